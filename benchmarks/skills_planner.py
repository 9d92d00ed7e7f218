"""A small general model plans for a robot that rarrl does not know, from its two files: pyrobosim's, in four ways.

    python benchmarks/skills_planner.py MODEL.gguf --server "PYTHON benchmarks/llama_server.py MODEL.gguf --port 8080"

The sentences of `skills_planner.json`, with the facts that hold in the end, are asked through `llama:` (levels 1 and
2) and through a real server (level 1; PYTHON's environment has the wheel xllamacpp); beside them the nearest example of
the file without a model. A plan is valid if `Domain.check` finds nothing wrong with it, and right if it ends with what
is wanted and nothing else moved, by the skills' needs and gives (`rarrl_learning.reasoner.skill_goals`). Writes
skills_planner.json; calls that stand in --journal are not made again, --only names the ways that are asked (none: what
there is is judged), in an order that makes a part of them a sample of all.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.config import LanguageModelConfig
from rarrl.reasoner.base import Request
from rarrl.reasoner.breaker import CircuitBreaker, GuardedReasoner
from rarrl.reasoner.llama import LlamaReasoner
from rarrl.reasoner.openai import OpenAiReasoner
from rarrl.report.runs import wilson
from rarrl.resources.cpu import cpu_seconds
from rarrl.results import Figure, make_results, write_results
from rarrl.skills.domain import load_robot
from rarrl.skills.nearest import NearestExample
from rarrl.skills.plan import Plan
from rarrl.types import Role
from rarrl_learning.reasoner.skill_goals import Outcomes, Wanted

SENTENCES = Path(__file__).with_suffix(".json")
RESULTS = Path(__file__).parent / "results" / "skills_planner.json"
KINDS = ("plain", "vague", "doors and lids", "two things", "foreign")
WAYS = ("llama_1", "llama_2", "server_1")
PORT = 18080
DEADLINE_S = 600.0  # quality is measured here, not time
START_S = 120.0


def main() -> None:
    """Asks what the journal does not hold yet, and judges."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--server", default="", help="command that serves the model, at port 18080")
    parser.add_argument("--only", nargs="*", default=list(WAYS), choices=WAYS, help="ways that are asked")
    parser.add_argument("--part", default="0/1", help="I/N: ask the I-th of N parts, and judge nothing")
    parser.add_argument("--journal", type=Path, default=Path("skills_planner.jsonl"))
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args()

    domain = load_robot("pyrobosim")
    told = json.loads(SENTENCES.read_text())
    outcomes = Outcomes(domain, told["start"]["at"], told["start"]["shut"])
    asked = [(kind, say, Wanted.parse(lists)) for kind in KINDS for say, lists in told[kind].items()]

    lines = given.journal.read_text().splitlines() if given.journal.exists() else []
    done = {(row["way"], row["say"]): row for row in map(json.loads, lines)}
    for way in given.only:
        part, parts = map(int, given.part.split("/"))
        order = np.random.default_rng(0).permutation(len(asked))  # so that a part of them is a sample of all
        left = [asked[i][1] for i in order[part::parts] if (way, asked[i][1]) not in done]
        if not left or (way.startswith("server") and not given.server):
            continue
        with _reasoner(way, given) as (reasoner, cpu_s):
            for say in left:
                before = cpu_s()
                answer = reasoner.ask(Request(1, Role.PLANNER, int(way[-1]), say, DEADLINE_S, domain=domain))
                row = {
                    "way": way,
                    "say": say,
                    "status": answer.status.value,
                    "plan": None if answer.plan is None else answer.plan.to_rows(),
                    "why": answer.why,
                    "where": {thing: list(map(list, shares)) for thing, shares in answer.where.items()},
                    "tokens": [answer.tokens_in, answer.tokens_out],
                    "seconds": round(answer.seconds, 2),
                    "cpu_s": round(cpu_s() - before, 2),
                }
                done[way, say] = row
                with given.journal.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")

    if given.part != "0/1":
        return
    known = NearestExample(domain)
    for _, say, _ in asked:
        plan = known.recall(say).plan
        done["nearest", say] = {"plan": None if plan is None else plan.to_rows(), "status": "OK" if plan else "REFUSED"}

    figures: dict[str, Figure] = {}
    table: list[dict[str, Any]] = []
    for way in ("nearest", *WAYS):
        rows = [(kind, done[way, say], wanted, say) for kind, say, wanted in asked if (way, say) in done]
        if rows:
            figures |= judged(way, rows, outcomes, table)
    write_results(
        given.json,
        make_results(
            f"python benchmarks/skills_planner.py {given.model.name} --server COMMAND",
            0,
            figures,
            {"model": given.model.name, "answers": table},
        ),
    )
    print("\n".join(f"{name} {figure.text(3)} (n {figure.n})" for name, figure in figures.items()))


def judged(
    way: str, rows: list[tuple[str, dict[str, Any], Wanted, str]], outcomes: Outcomes, table: list[dict[str, Any]]
) -> dict[str, Figure]:
    """Figures of one way to plan; its answers are added to `table`."""
    right: dict[str, list[bool]] = {}
    valid = []
    for kind, row, wanted, say in rows:
        plan = None if row["plan"] is None else Plan.from_rows(row["plan"])
        good = plan is None if not wanted.facts else plan is not None and outcomes.does(plan, wanted)
        if plan is not None:
            valid.append(not outcomes.domain.check(plan))
        elif row["status"] not in ("REFUSED",):
            valid.append(False)
        right.setdefault(kind, []).append(good)
        table.append({"way": way, "kind": kind, "say": say, "right": good, **row})

    within = [hit for kind, hits in right.items() if kind != "foreign" for hit in hits]
    figures = {f"{way}_right": _share(within), f"{way}_valid": _share(valid)}
    figures |= {f"{way}_{kind.replace(' ', '_')}_right": _share(hits) for kind, hits in right.items()}
    figures[f"{way}_refused_in_scope"] = _share([r["status"] == "REFUSED" for k, r, _, _ in rows if k != "foreign"])
    for key, unit in (("cpu_s", "CPU s a call"), ("seconds", "s a call")):
        if all(key in row for _, row, _, _ in rows):
            figures[f"{way}_{key}"] = _mean([row[key] for _, row, _, _ in rows], unit)
    if way != "nearest":
        figures[f"{way}_tokens_read"] = _mean([row["tokens"][0] for _, row, _, _ in rows], "tokens a call")
        figures[f"{way}_tokens_written"] = _mean([row["tokens"][1] for _, row, _, _ in rows], "tokens a call")
    return figures


@contextmanager
def _reasoner(way: str, given: argparse.Namespace) -> Iterator[tuple[GuardedReasoner, Callable[[], float]]]:
    """A model behind the guard, and what tells the CPU seconds of its process."""
    settings = LanguageModelConfig(call_timeout_s=DEADLINE_S)
    patient = CircuitBreaker(failures=10_000)
    if way.startswith("llama"):
        made = LlamaReasoner(given.model, settings=settings)
        try:
            yield GuardedReasoner(made, breaker=patient), lambda: _cpu_s(made.worker.pid)
        finally:
            made.close()
        return

    server = subprocess.Popen(shlex.split(given.server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{PORT}"
    try:
        _wait_for(url)
        yield (
            GuardedReasoner(OpenAiReasoner(f"{url}/v1", "model", settings), breaker=patient),
            lambda: _cpu_s(server.pid),
        )
    finally:
        server.terminate()
        server.wait()


def _wait_for(url: str) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2.0) as response:
                if response.status == 200:
                    return
        except (OSError, urllib.error.URLError):
            time.sleep(0.5)
    raise SystemExit(f"{url}: no server after {START_S:g} s")


def _cpu_s(pid: int | None) -> float:
    return math.nan if pid is None else cpu_seconds(pid)


def _share(hits: list[bool]) -> Figure:
    if not hits:
        return Figure(math.nan, "share", 0)
    low, high = wilson(sum(hits), len(hits))
    return Figure(float(np.mean(hits)), "share", len(hits), low, high)


def _mean(values: list[float], unit: str) -> Figure:
    low, high = np.quantile(values, (0.025, 0.975))
    return Figure(float(np.mean(values)), unit, len(values), float(low), float(high))


if __name__ == "__main__":
    main()
