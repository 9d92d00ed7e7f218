"""What a general language model in this process costs, in CPU seconds of its worker, and how good its plans are.

    python benchmarks/local_model.py --model FILE.gguf [--against FOLDER] [--repeats 5] [--alfred DIR --goals 24]
                                     [--journal FILE] [--only PROBE] [--json benchmarks/results/local_model.json]

`--against` names a folder with the packages of another version (such as a checkout's `install` folder): it is asked the
same, by turns with this one. CPU seconds are counted, not wall time, so that a busy computer changes little.

Each repeat starts a process without any file of an earlier run (`cold`) and, for this version, one that finds the state
which the first one has kept (`kept`). `load` holds reading the file and what is read ahead of the first call. The slow
computer is this one with its worker stopped for most of the time: the same question is asked again until it is
answered, each time for `DEADLINE_S`. The grammar's share is measured with the whole model in one process.
The journal keeps what is done: several processes may share the work, one probe each with `--only`, and a last one
writes the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

GOALS = ("put a clean mug in the coffee machine", "look at the clock under the lamp", "move two pillows to the sofa")
DEADLINE_S = 6.0
"""Of a call on the slow computer, seconds."""
DUTY = 0.5
"""Share of the time for which the slow computer's worker may run."""
DUTY_PERIOD_S = 0.1
SLOW_CALLS = 8
"""Calls on the slow computer before it is given up."""
SEED = 1
"""Of the goals that are drawn."""


def main() -> None:
    """Measures both sides by turns and writes the figures, or, with `--probe`, is one of those measurements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="A GGUF file.")
    parser.add_argument("--against", type=Path, help="Folder with the packages of another version.")
    parser.add_argument("--repeats", type=int, default=5, help="Of each measurement of cost.")
    parser.add_argument("--alfred", type=Path, help="ALFRED's folder; without it no plans are judged.")
    parser.add_argument("--goals", type=int, default=24, help="Goals of valid_seen that are judged.")
    parser.add_argument("--json", type=Path, help="Write the figures here.")
    parser.add_argument("--journal", type=Path, help="Keep what is measured here, and do not measure it again.")
    parser.add_argument("--only", choices=sorted(PROBES), help="Run this probe alone.")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)  # goals of the probe `plans`
    parser.add_argument("--probe", choices=sorted(PROBES), help=argparse.SUPPRESS)
    options = parser.parse_args()

    if options.probe:
        json.dump(PROBES[options.probe](options), sys.stdout)
        return

    from rarrl.files import sha256
    from rarrl.results import make_results, write_results

    figures, tables = measure(options)
    tables["model"] = {"name": options.model.name, "sha256": sha256(options.model.read_bytes())}
    for name, figure in figures.items():
        print(f"{name:44} {figure.text()} {figure.unit}, n={figure.n}")

    if options.json:
        write_results(options.json, make_results("python benchmarks/local_model.py", SEED, figures, tables))


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Runs all probes of both sides, interleaved. Returns figures and their single values."""
    from rarrl.report.runs import wilson
    from rarrl.results import Figure

    sides = {"this": None} | ({"against": options.against} if options.against else {})
    values: dict[str, dict[str, list[float]]] = {side: defaultdict(list) for side in sides}
    tables: dict[str, Any] = {"slow": {}, "plans": {}}

    with tempfile.TemporaryDirectory() as cache:
        for repeat in range(options.repeats):
            for side, packages in sides.items():
                for kind in ("cold", "kept") if side == "this" else ("cold",):
                    where = Path(cache) / f"{side}{repeat}"  # the second process finds what the first one has kept
                    found = run("cost", options, packages, where, f"{side} {kind} {repeat}")
                    for name, seconds in found.items():
                        values[side][f"{kind}.{name}"].append(seconds)

        for probe in ("grammar", "slow", *(["plans"] if options.alfred else [])):
            for side, packages in sides.items():
                found = run(probe, options, packages, Path(cache) / f"{probe}-{side}", side)
                if probe == "grammar":
                    for name, value in found.items():
                        values[side][f"grammar.{name}"].append(value)
                elif found:
                    tables[probe][side] = found if probe == "slow" else judged(found["rows"], options)

    figures = {}
    for side, named in values.items():
        for name, some in named.items():
            unit = "share" if name.endswith("share") else "CPU s"
            figures[f"{side}.{name}"] = Figure(statistics.median(some), unit, len(some), min(some), max(some))

    for side, table in tables["plans"].items():
        for name in ("right", "rule_abiding"):
            n = len(table["rows"])
            lo, hi = wilson(table[name], n)
            figures[f"{side}.plans.{name}"] = Figure(table[name] / n, "share", n, lo, hi)
        seconds = [row["cpu_s"] for row in table["rows"]]
        lo, hi = np.quantile(seconds, (0.025, 0.975))
        figures[f"{side}.plans.cpu_s"] = Figure(statistics.mean(seconds), "CPU s a goal", n, float(lo), float(hi))

    if options.against:
        for name in sorted(set(values["this"]) & set(values["against"])):
            ours, theirs = (statistics.median(values[side][name]) for side in ("this", "against"))
            if theirs > 0:
                figures[f"ratio.{name}"] = Figure(ours / theirs, "this / against", options.repeats)

    return figures, {**tables, "values": {side: dict(named) for side, named in values.items()}}


def run(probe: str, options: argparse.Namespace, packages: Path | None, cache: Path, key: str) -> dict[str, Any]:
    """Runs one probe in a process of its own, with the packages in `packages`, or those of this process.

    key: of the journal. Returns nothing where `--only` names another probe that the journal does not know yet."""
    if options.journal and options.journal.exists():
        for line in options.journal.read_text().splitlines():
            done = json.loads(line)
            if done["key"] == [probe, key]:
                return dict(done["found"])
    if options.only not in (None, probe):
        return {}

    cache.mkdir(parents=True, exist_ok=True)  # not where a checkout lies: a worker finds its packages there first
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    if packages is not None:
        environment["PYTHONPATH"] = str(packages.resolve())

    command = [sys.executable, str(Path(__file__).resolve()), "--probe", probe, "--model", str(options.model.resolve())]
    if probe == "plans":
        (cache / "goals.json").write_text(json.dumps([source.goal for source in drawn(options)]))
        command += ["--ask", str(cache / "goals.json")]

    print(probe, key, file=sys.stderr, flush=True)
    found = json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, cwd=cache).stdout)
    if options.journal:
        with options.journal.open("a") as stream:
            stream.write(json.dumps({"key": [probe, key], "found": found}) + "\n")
    return dict(found)


def drawn(options: argparse.Namespace) -> list[Any]:
    """The expert plans of valid_seen that are asked for."""
    from rarrl.alfred import read_alfred

    data = read_alfred(options.alfred, "valid_seen").plans
    return [data[i] for i in np.random.default_rng(SEED).permutation(len(data))[: options.goals]]


def judged(rows: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """Counts the plans that are right, and those that keep the rules."""
    from rarrl.alfred_plans import expert_plan, same_plan
    from rarrl.reasoner.plan import Plan
    from rarrl.skills.check import check

    for row, source in zip(rows, drawn(options), strict=True):
        plan = Plan.from_rows(row["plan"]) if row["plan"] else None
        row["right"] = plan is not None and same_plan(plan, expert_plan(source))
        row["rule_abiding"] = plan is not None and not check(plan)
    return {name: sum(bool(row[name]) for row in rows) for name in ("right", "rule_abiding")} | {"rows": rows}


@contextlib.contextmanager
def _reasoner(model: Path) -> Iterator[tuple[Any, Callable[[], float]]]:
    """A loaded model, and what tells the CPU seconds of its worker."""
    from rarrl.reasoner.llama import LlamaReasoner

    made = LlamaReasoner(model)
    pid = made.worker.pid

    def cpu_s() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    try:
        yield made, cpu_s
    finally:
        made.close()


def _request(role: str, level: int, goal: str, deadline_s: float = 600.0, plan: Any = None) -> Any:
    from rarrl.reasoner.base import Request
    from rarrl.types import Role

    return Request(1, Role(role), level, goal, deadline_s, plan=plan)


def cost(options: argparse.Namespace) -> dict[str, float]:
    """CPU seconds of loading and of calls in turn."""
    from rarrl.reasoner.plan import Plan

    plan = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]])
    calls = {
        "first_call": ("planner", 1, GOALS[0]),
        "next_call": ("planner", 1, GOALS[1]),
        "verifier_of_the_same_goal": ("verifier", 1, GOALS[1]),
        "planner_after_verifier": ("planner", 1, GOALS[2]),
        "planner_2": ("planner", 2, GOALS[2]),
        "verifier_2": ("verifier", 2, GOALS[2]),
    }
    found = {}
    with _reasoner(options.model) as (made, cpu_s):
        found["load"] = cpu_s()
        for name, (role, level, goal) in calls.items():
            before = cpu_s()
            made.ask(_request(role, level, goal, plan=plan if role == "verifier" else None))
            found[name] = cpu_s() - before
        time.sleep(0.2)  # what the worker does after an answer counts, too
        found["all"] = cpu_s()

    found["load_and_first_call"] = found["load"] + found["first_call"]
    return found


def slow(options: argparse.Namespace) -> dict[str, Any]:
    """The same question, until it is answered, on a computer that is `1 / DUTY` times as slow."""
    rows = []
    with _reasoner(options.model) as (made, cpu_s), _stopped(made.worker.pid):
        for _ in range(SLOW_CALLS):
            before = cpu_s()
            answer = made.ask(_request("planner", 1, GOALS[0], DEADLINE_S))
            rows.append(
                {
                    "status": answer.status.value,
                    "tokens_in": answer.tokens_in,
                    "tokens_out": answer.tokens_out,
                    "cpu_s": round(cpu_s() - before, 2),
                }
            )
            if answer.plan is not None:
                break

    answered = next((number for number, row in enumerate(rows, 1) if row["status"] == "OK"), None)
    return {"deadline_s": DEADLINE_S, "duty": DUTY, "answered_at_call": answered, "calls": rows}


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """Lets a process run for `DUTY` of the time only."""
    over = threading.Event()

    def throttle() -> None:
        with contextlib.suppress(ProcessLookupError):
            while not over.is_set():
                os.kill(pid, signal.SIGSTOP)
                over.wait(DUTY_PERIOD_S * (1 - DUTY))
                os.kill(pid, signal.SIGCONT)
                over.wait(DUTY_PERIOD_S * DUTY)

    thread = threading.Thread(target=throttle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def grammar(options: argparse.Namespace) -> dict[str, float]:
    """CPU seconds of the grammar, of all, and the share, in one process with the model; the prompt is not counted."""
    from rarrl.reasoner import worker
    from rarrl.reasoner.llama import LlamaReasoner

    asked: list[dict[str, Any]] = []
    made = LlamaReasoner(options.model)
    call = made.worker.call

    def listen(op: str, deadline: float, **fields: Any) -> dict[str, Any]:
        if op == "complete":
            asked.append(fields)
        return call(op, deadline, **fields)

    made.worker.call = listen
    for goal in GOALS[:2]:
        made.ask(_request("planner", 1, goal))
    made.close()

    model = worker.Model(str(options.model), 2048, 1, 16.0)
    spent = [0.0]
    allowed = model._allowed

    def timed(*arguments: Any) -> Any:
        before = time.process_time()
        try:
            return allowed(*arguments)
        finally:
            spent[0] += time.process_time() - before

    model._allowed = timed  # type: ignore[method-assign]
    in_grammar = 0.0
    total = 0.0
    for fields in asked:
        model.complete({**fields, "deadline": time.monotonic() + 600.0})  # its prompt is known in the second one
        spent[0] = 0.0
        before = time.process_time()
        model.complete({**fields, "deadline": time.monotonic() + 600.0})
        total += time.process_time() - before
        in_grammar += spent[0]

    return {"cpu_s": in_grammar, "decoding_cpu_s": total, "share": in_grammar / total}


def plans(options: argparse.Namespace) -> dict[str, Any]:
    """What the planner at level 1 writes for the goals of a file."""
    rows = []
    with _reasoner(options.model) as (made, cpu_s):
        for goal in json.loads(options.ask.read_text()):
            before = cpu_s()
            answer = made.ask(_request("planner", 1, goal))
            steps = answer.plan.steps if answer.plan is not None else ()
            rows.append(
                {
                    "goal": goal,
                    "status": answer.status.value,
                    "plan": [[step.skill, *step.arguments] for step in steps],
                    "cpu_s": round(cpu_s() - before, 2),
                }
            )

    return {"rows": rows}


PROBES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "cost": cost,
    "grammar": grammar,
    "plans": plans,
    "slow": slow,
}

if __name__ == "__main__":
    main()
