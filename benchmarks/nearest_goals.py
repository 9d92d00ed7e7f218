"""A small general model on ALFRED's goals with the nearest known goals as examples, beside the nearest plan copied.

    python benchmarks/nearest_goals.py MODEL.gguf --alfred DIR

Asks for plans, at level 2, of one annotation each of 100 trials of valid_seen; known are the goals of the train
split. Level 2 begins with what level 1 answers, the plan of the model's own words, so both are judged. Writes
nearest_goals.json. --part I/N asks the I-th of N parts and writes a journal, so that several processes can
share the work; the last command, without --part, goes on with what they have written.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.alfred import read_alfred
from rarrl.alfred_plans import expert_plan, same_plan
from rarrl.config import LanguageModelConfig
from rarrl.reasoner.base import Request
from rarrl.reasoner.fewshot import from_words
from rarrl.reasoner.llama import LlamaReasoner
from rarrl.reasoner.nearest import NearestGoal
from rarrl.reasoner.plan import Plan
from rarrl.report.runs import wilson
from rarrl.resources.cpu import cpu_seconds
from rarrl.results import Figure, make_results, write_results
from rarrl.types import Role

RESULTS = Path(__file__).parent / "results" / "nearest_goals.json"
SEED = 0
DEADLINE_S = 600.0  # quality is measured here, not time


def main() -> None:
    """Asks what the journal does not hold yet, and judges."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--alfred", type=Path, required=True, help="folder of the ALFRED data set")
    parser.add_argument("--goals", type=int, default=100)
    parser.add_argument("--levels", type=int, nargs="+", default=[2])
    parser.add_argument("--part", default="0/1", help="I/N: the I-th of N parts of the goals")
    parser.add_argument("--journal", type=Path, default=Path("nearest_goals.jsonl"))
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args()

    seen = read_alfred(given.alfred, "valid_seen").plans
    drawn = [seen[i] for i in np.random.default_rng(SEED).permutation(len(seen))[: given.goals]]
    part, parts = map(int, given.part.split("/"))
    done = _read(given.journal)
    left = [(n, level) for level in given.levels for n in range(part, len(drawn), parts) if (n, level) not in done]
    if left:
        # the whole folder would hold the split that is asked for
        settings = LanguageModelConfig(examples=str(_train_alone(given.alfred)), call_timeout_s=DEADLINE_S)
        reasoner = LlamaReasoner(given.model, settings=settings)
        for n, level in left:
            before = cpu_seconds(reasoner.worker.pid)
            answer = reasoner.ask(Request(n, Role.PLANNER, level, drawn[n].goal, DEADLINE_S))
            row: dict[str, Any] = {
                "goal": n,
                "level": level,
                "status": answer.status.value,
                "right": answer.plan is not None and same_plan(answer.plan, expert_plan(drawn[n])),
                "plan": str(answer.plan or answer.why),
                "own_right": _own_right(answer.text, expert_plan(drawn[n])),
                "tokens": [answer.tokens_in, answer.tokens_out],
                "cpu_s": round(cpu_seconds(reasoner.worker.pid) - before, 2),
            }
            done[n, level] = row
            with given.journal.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
        reasoner.close()
    if parts > 1:
        return

    figures: dict[str, Figure] = {}
    for level in given.levels:
        rows = [row for (_, asked), row in sorted(done.items()) if asked == level]
        figures["smollm2_right" if level == 2 else "smollm2_right_1"] = _share([row["right"] for row in rows])
        figures[f"answered_{level}"] = _share([row["status"] == "OK" for row in rows])
        if level == 2:
            figures["smollm2_own_words_right"] = _share([row["own_right"] for row in rows])
        figures[f"cpu_s_{level}"] = _mean([row["cpu_s"] for row in rows], "CPU s a goal")
        figures[f"tokens_{level}"] = _mean([sum(row["tokens"]) for row in rows], "tokens a goal")

    known = NearestGoal(read_alfred(given.alfred, "train").plans)
    copied = [(known.recall(source.goal).plan, expert_plan(source)) for source in drawn]
    figures["nearest_copied_right"] = _share([same_plan(plan, right) for plan, right in copied])
    unseen = [(known.examples(source.goal, 1)[-1][1], expert_plan(source)) for source in drawn]
    figures["nearest_of_other_words_copied_right"] = _share([same_plan(plan, right) for plan, right in unseen])

    rows = [done[key] for key in sorted(done)]
    command = f"python benchmarks/nearest_goals.py {given.model.name} --alfred DIR"
    write_results(given.json, make_results(command, SEED, figures, {"model": given.model.name, "goals": rows}))
    print("\n".join(f"{name} {figure.text(3)} (n {figure.n})" for name, figure in figures.items()))


def _own_right(text: str, right: Plan) -> bool:
    """Whether the plan that the model wrote by itself, which is what level 1 answers, is right."""
    try:
        return same_plan(from_words(text), right)
    except ValueError:
        return False


def _train_alone(alfred: Path) -> Path:
    return next(path for path in sorted(alfred.iterdir()) if "train" in path.name)


def _read(journal: Path) -> dict[tuple[int, int], dict[str, Any]]:
    lines = journal.read_text().splitlines() if journal.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["goal"], row["level"]): row for row in rows}


def _share(hits: list[bool]) -> Figure:
    low, high = wilson(sum(hits), len(hits))
    return Figure(float(np.mean(hits)), "share", len(hits), low, high)


def _mean(values: list[float], unit: str) -> Figure:
    low, high = np.quantile(values, (0.025, 0.975))
    return Figure(float(np.mean(values)), unit, len(values), float(low), float(high))


if __name__ == "__main__":
    main()
