"""A small real language model through every command that takes one, each to its end.

    python benchmarks/real_model.py llama:SmolLM2-135M-Instruct.Q4_1.gguf
    python benchmarks/real_model.py openai:http://127.0.0.1:8080/v1#smollm2 --server "llama-server -m FILE --port 8080"
    (or, with a wheel: --server "PYTHON benchmarks/llama_server.py FILE --port 8080")

Any model and server do: what is looked at is whether the commands work, not how good the plans are. A recording is
interrupted once, as by Ctrl-C, and resumed. Steps that are done stand in the results and are not made again, so that
the same command goes on after an interruption; one that takes longer than --limit counts as failed (exit status 124).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rarrl.files import write_json_atomic
from rarrl.latency.profile import shareable
from rarrl.resources.cpu import cpu_seconds
from rarrl.results import Figure, make_results

RESULTS = Path(__file__).resolve().parent / "results" / "real_model.json"
GOAL = "put a mug on the table"
SERVER_START_S = 120.0
"""Seconds that a server may take to load its model."""
ON_TIME_OUT = 124
"""Exit status of a step that took too long, as of the command `timeout`."""


@dataclass(frozen=True)
class Step:
    """One command. name: in the table. statuses: counts how its calls ended, from what the command left or printed.
    interrupted_after_s: it gets SIGINT then; None: it may end by itself. good: the exit statuses that are right."""

    name: str
    words: list[str]
    statuses: Callable[[str], Counter[str]]
    interrupted_after_s: float | None = None
    good: tuple[int, ...] = (0,)

    @property
    def folder(self) -> Path | None:
        """The folder of a run that it makes, which must not be there; None where it makes none, or goes on with it."""
        makes = self.words[0] in ("replay", "run", "demo")
        return Path(self.words[self.words.index("--out") + 1]) if makes else None


def steps(llm: str, work: Path, goals: int, episodes: int, interrupt_s: float) -> Iterator[Step]:
    """The commands, in the order in which a user would come to them."""
    profile, trained = work / "mine.json", work / "trained"
    record = ["profile", "record", "--llm", llm, "--n", str(goals), "--out", str(profile)]
    journal = work / "mine.calls.jsonl"

    yield Step("ask", ["ask", GOAL, "--llm", llm, "--json"], of_answers, good=(0, 1))
    yield Step(
        "profile record, interrupted",
        record,
        lambda _: of_journal(journal),
        interrupted_after_s=interrupt_s,
        good=(130,),
    )
    yield Step("profile record, resumed", record, lambda _: of_journal(journal))
    train = ["train", "orchestrator", "--profile", str(profile), "--steps", "20000", "--out", str(trained)]
    yield Step("train orchestrator", train, lambda _: Counter())
    replay = ["replay", "--policy", "never", "--policy", "always", "--policy", str(trained), "--profile", str(profile)]
    yield Step("replay", [*replay, "--out", str(work / "replay")], lambda _: Counter())
    run = ["run", "--llm", llm, "--policy", "always", "--episodes", str(episodes), "--time-budget", "60"]
    yield Step("run", [*run, "--out", str(work / "run")], lambda _: of_events(work / "run"))
    demo = ["demo", "--quick", "--llm", llm, "--n", str(episodes), "--out", str(work / "demo")]
    yield Step("demo --quick", demo, lambda _: of_events(work / "demo"))


def of_answers(printed: str) -> Counter[str]:
    """How the calls of `rarrl ask --json` ended."""
    try:
        return Counter(answer["status"] for answer in json.loads(printed))
    except (ValueError, TypeError, KeyError):
        return Counter()


def of_journal(path: Path) -> Counter[str]:
    """How the calls of a recording ended so far."""
    lines = path.read_text("utf-8").splitlines()[1:] if path.exists() else []
    return Counter(json.loads(line)["status"] for line in lines)


def of_events(folder: Path) -> Counter[str]:
    """How the calls of all runs in a folder ended."""
    found: Counter[str] = Counter()
    for log in folder.glob("*/events.jsonl"):
        events = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        found.update(event["status"] for event in events if event["type"] == "think")
    return found


def carry_out(step: Step, limit_s: float, server_pid: int | None = None) -> dict[str, Any]:
    """Runs a command; its row of the table. What it prints goes on to this one's output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    served_before = _cpu_s_of(server_pid)
    started = time.monotonic()
    command = [sys.executable, "-c", "from rarrl.cli import main; raise SystemExit(main())", *step.words]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=_with_ctrl_c)
    try:
        printed, _ = child.communicate(timeout=step.interrupted_after_s or limit_s)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
        printed, _ = child.communicate()

    print(printed, flush=True)
    status = child.returncode
    if step.interrupted_after_s is None and time.monotonic() - started > limit_s:
        status = ON_TIME_OUT
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    return {
        "step": step.name,
        "exit_status": status,
        "good": status in step.good,
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "server_cpu_s": round(_cpu_s_of(server_pid) - served_before, 1),
        "seconds": round(time.monotonic() - started, 1),
        "statuses": dict(sorted(step.statuses(printed).items())),
    }


def _cpu_s_of(pid: int | None) -> float:
    """CPU seconds that a running process has used; 0 where there is none."""
    if pid is None:
        return 0.0
    return cpu_seconds(pid)


def _with_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it


@contextmanager
def server(command: str | None, llm: str) -> Iterator[int | None]:
    """A server for as long as the block lasts, and its process id; None: it is there already, or none is needed."""
    if command is None:
        yield None
        return
    child = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = llm.partition(":")[2].partition("#")[0].removesuffix("/") + "/models"
        end = time.monotonic() + SERVER_START_S
        while not _answers(url):
            if child.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the server did not answer at {url} ({command})")
            time.sleep(0.5)
        yield child.pid
    finally:
        child.terminate()
        child.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5.0):
            return True
    except urllib.error.HTTPError as error:
        return error.code != 503  # that means: still loading
    except OSError:
        return False


def main() -> int:
    """Carries the steps out that are not in the results yet; the exit status says whether all of them are good."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llm", help="as in --llm")
    parser.add_argument("--server", help="a command that serves the model; it is ended at the end")
    parser.add_argument("--work", type=Path, default=Path("runs") / "real_model", help="folder of what is made")
    parser.add_argument("--goals", type=int, default=20, help="goals of the recording")
    parser.add_argument("--episodes", type=int, default=2, help="tasks of run and demo")
    parser.add_argument(
        "--interrupt", type=float, default=60.0, help="seconds after which the recording is interrupted"
    )
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds that a step may take")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()

    document = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {"tables": {}}
    model = shareable(options.llm) if "://" in options.llm else f"llama:{Path(options.llm.partition(':')[2]).name}"
    rows: list[dict[str, Any]] = document["tables"].get(model, [])
    done = {row["step"] for row in rows if row["good"]}
    work = options.work / "".join(c if c.isalnum() else "_" for c in model)
    work.mkdir(parents=True, exist_ok=True)

    with server(options.server, options.llm) as server_pid:
        for step in steps(options.llm, work, options.goals, options.episodes, options.interrupt):
            if step.name in done:
                continue
            print(f"--- {model}: {step.name}", flush=True)
            if step.folder is not None:
                shutil.rmtree(step.folder, ignore_errors=True)  # of a step that was broken off
            row = carry_out(step, options.limit, server_pid)
            print(row, flush=True)
            rows = [*(r for r in rows if r["step"] != step.name), row]
            tables = {**document["tables"], model: rows}
            results = make_results("python benchmarks/real_model.py", 0, figures(tables), tables)
            write_json_atomic(options.json, results)
            if not row["good"]:
                print(f"{step.name}: exit status {row['exit_status']}; the same command tries it again", flush=True)
                return 1
    return 0


def figures(tables: dict[str, list[dict[str, Any]]]) -> dict[str, Figure]:
    """Steps that are good and CPU seconds, over all models."""
    rows = [row for table in tables.values() for row in table]
    return {
        "steps_good": Figure(sum(row["good"] for row in rows), "steps", len(rows)),
        "cpu_s": Figure(round(sum(row["cpu_s"] for row in rows), 1), "CPU s", len(rows)),
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
