"""Which goals the shipped planner abstains from, and whether its probability of a right plan can be believed.

    python benchmarks/planner_scope.py --alfred DIR [--fit]

Asks for a plan, at level 1, of the development goals of ALFRED and of its validation splits, of the household's own
tasks, of plain sentences ("Put the mug on the desk", every pair of ALFRED's plans), and of the sentences in
`planner_scope.json`. Each is judged as the model was trained (it always answers) and as a robot uses it (`carry_out`).
--fit: prints the weights of `rarrl/reasoner/scope.py` anew. Writes planner_scope.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.alfred import HOUSEHOLD_TASKS, AlfredPlan, SubgoalType, available_splits, is_development, read_alfred
from rarrl.alfred_plans import KNIVES, expert_plan, same_plan
from rarrl.build import SHIPPED_MODELS
from rarrl.reasoner import deliberate, scope
from rarrl.reasoner.base import Request
from rarrl.reasoner.language_model import CallOutcome, LanguageModel
from rarrl.reasoner.llama import LlamaReasoner
from rarrl.reasoner.plan import Plan
from rarrl.results import Figure, make_results, write_results
from rarrl.types import Role
from rarrl_sim_envs.household.catalogue import FURNITURE, NAMES

SENTENCES = Path(__file__).with_suffix(".json")
RESULTS = Path(__file__).parent / "results" / "planner_scope.json"
STEPS = 600  # step sentences of ALFRED that are no goals, for the fit
REFUSED = 0.007  # share of the development goals that the planner may refuse
PLAIN = 400  # plain sentences
BINS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)  # of the probability that a plan is right


@dataclass(frozen=True)
class Asked:
    """One goal. right: its plan; None: it is out of scope. trained: what the model wrote. plan: what a robot gets, if
    the goal is not refused."""

    goal: str
    right: Plan | None
    trained: Plan
    plan: Plan
    seen: scope.Evidence

    @property
    def refused(self) -> bool:
        """Whether the planner abstains."""
        seen = self.seen
        return bool(scope.unread(self.goal)) or seen.p_in_scope < 0.5 or seen.p_right < scope.MIN_RIGHT


def ask(goals: Iterable[tuple[str, Plan | None]]) -> list[Asked]:
    """Asks the shipped planner for all of `goals`: sentences, each with its right plan."""
    goals = list(goals)
    found: list[Asked] = []

    def observed(request: Request, model: LanguageModel) -> CallOutcome:
        outcome = deliberate.as_trained(request, model)
        assert isinstance(outcome.result, Plan)
        plan, nats = scope.explained(request, model, scope.grounded(outcome.result, request.goal))
        unspoken = scope.unspoken(outcome.result, request.goal)
        seen = scope.Evidence(nats, -outcome.confidence, unspoken)
        found.append(Asked(request.goal, goals[len(found)][1], outcome.result, plan, seen))
        return outcome

    reasoner = LlamaReasoner(SHIPPED_MODELS / "planner.gguf", recipe=observed)
    for goal, _ in goals:
        answer = reasoner.ask(Request(1, Role.PLANNER, 1, goal, 60.0))
        assert answer.plan is not None, f"{goal}: {answer.status.value}: {answer.why}"
    reasoner.close()
    return found


def annotated(plans: Iterable[AlfredPlan]) -> list[tuple[str, Plan | None]]:
    """Goal sentences with the experts' plans."""
    return [(annotation.goal, expert_plan(plan)) for plan in plans for annotation in plan.annotations]


def walking(plans: Sequence[AlfredPlan]) -> list[tuple[str, Plan | None]]:
    """Sentences of the steps that only walk: the words of ALFRED, but no goal."""
    sentences = [
        sentence
        for plan in plans
        for annotation in plan.annotations
        for kind, sentence in zip(plan.subgoals, annotation.steps, strict=False)
        if kind is SubgoalType.GotoLocation
    ]
    order = np.random.default_rng(0).permutation(len(sentences))[:STEPS]
    return [(sentences[i], None) for i in order]


def plain(plans: Iterable[AlfredPlan]) -> list[tuple[str, Plan | None]]:
    """ "Put the mug on the desk." for pairs of object and place in the plans."""
    pairs = {
        step.arguments
        for plan in plans
        for step in expert_plan(plan).steps
        if step.skill == "PutObject" and step.arguments[0] not in KNIVES
    }
    hollow = {name for name, each in FURNITURE.items() if each.is_hollow} | {"box", "pot", "pan", "bowl", "cup", "mug"}
    order = np.random.default_rng(0).permutation(len(pairs))[:PLAIN]
    found: list[tuple[str, Plan | None]] = []
    for thing, place in (sorted(pairs)[i] for i in order):
        where = f"{'in' if place in hollow else 'on'} the {NAMES.get(place, place)}"
        rows = [["PickupObject", thing], ["PutObject", thing, place]]
        found.append((f"Put the {NAMES.get(thing, thing)} {where}.", Plan.from_rows(rows)))
    return found


def share(hits: Sequence[bool]) -> Figure:
    """A share with Wilson's 95 % interval."""
    n, p, z = len(hits), float(np.mean(hits)), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Figure(p, "share", n, float(middle - half), float(middle + half))


def in_scope(name: str, asked: Sequence[Asked]) -> dict[str, Figure]:
    """How goals with known plans fare. *_trained: without abstaining; *_given: among the plans that are given."""
    given = [each for each in asked if not each.refused]
    right = [bool(each.right and same_plan(each.trained, each.right)) for each in asked]
    return {
        f"{name}_refused": share([each.refused for each in asked]),
        f"{name}_refused_though_right": share([e.refused and r for e, r in zip(asked, right, strict=True)]),
        f"{name}_plan_accuracy_trained": share(right),
        f"{name}_plan_accuracy": share([bool(not e.refused and e.right and same_plan(e.plan, e.right)) for e in asked]),
        f"{name}_plan_accuracy_given": share([bool(e.right and same_plan(e.plan, e.right)) for e in given]),
    }


def reliability(asked: Sequence[Asked]) -> list[dict[str, float]]:
    """Told against found: per bin of the probability, its mean and the share of right plans."""
    given = [each for each in asked if not each.refused]
    told = np.array([each.seen.p_right for each in given])
    right = np.array([bool(each.right and same_plan(each.plan, each.right)) for each in given])
    rows = []
    for low, high in pairwise(BINS):
        inside = (told >= low) & (told < high)
        if inside.any():
            rows.append(
                {
                    "from": low,
                    "to": high,
                    "n": int(inside.sum()),
                    "told": round(float(told[inside].mean()), 3),
                    "right": round(float(right[inside].mean()), 3),
                }
            )
    return rows


def fit(good: Sequence[Asked], bad: Sequence[Asked]) -> None:
    """Prints `IN_SCOPE` and `RIGHT`. good: development goals. bad: what is none."""
    from sklearn.linear_model import LogisticRegression

    def features(asked: Sequence[Asked]) -> np.ndarray:
        return np.array([scope.features(each.seen) for each in asked])

    model = LogisticRegression(C=10.0).fit(np.r_[features(good), features(bad)], [1] * len(good) + [0] * len(bad))
    refused = float(np.quantile(model.decision_function(features(good)), REFUSED))
    print("IN_SCOPE", model.intercept_[0] - refused, *model.coef_[0])
    right = [bool(each.right and same_plan(each.trained, each.right)) for each in good]
    model = LogisticRegression(C=10.0).fit(features(good)[:, :2], right)
    print("RIGHT", model.intercept_[0], *model.coef_[0])
    print(
        "MAX_WORD_NATS: 0.5 % of the development goals are above", np.quantile([e.seen.word_nats for e in good], 0.995)
    )


def again(sets: Sequence[str], alfred: Path, path: Path) -> None:
    """Asks some of the sets anew and keeps the other figures of the file `path`, which are of an earlier run."""
    sentences = json.loads(SENTENCES.read_text())
    old = json.loads(path.read_text())
    figures = {name: Figure(**figure) for name, figure in old["figures"].items()}
    tables = old["tables"]
    for name in sets:
        if name in sentences["out_of_scope"]:
            asked = ask((goal, None) for goal in sentences["out_of_scope"][name])
            figures[f"out_of_scope_{name}_refused"] = share([each.refused for each in asked])
            tables[f"answered_{name}"] = {each.goal: str(each.plan) for each in asked if not each.refused}
        else:
            asked = ask(annotated(read_alfred(alfred, name).plans))
            figures |= in_scope(name, asked)
            tables |= {
                f"reliability_{name}": reliability(asked),
                f"refused_{name}": [each.goal for each in asked if each.refused],
            }
        print("\n".join(f"{key} {f.text(3)} (n {f.n})" for key, f in figures.items() if name in key), flush=True)
    command = f"python benchmarks/planner_scope.py --alfred DIR; later --only {' '.join(sets)}"
    write_results(path, make_results(command, 0, figures, tables))


def main() -> None:
    """Asks, judges, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alfred", type=Path, required=True, help="folder of the ALFRED data set")
    parser.add_argument("--fit", action="store_true", help="print the weights that fit, too")
    parser.add_argument(
        "--only", nargs="+", metavar="SET", help="ask these alone (valid_seen, foreign_robot, more ...); keep the rest"
    )
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.only:
        again(given.only, given.alfred, given.json)
        return

    sentences = json.loads(SENTENCES.read_text())
    train = read_alfred(given.alfred, "train").plans
    held = [plan for plan in train if is_development(plan)]
    development = ask(annotated(held))
    outside = {name: ask((goal, None) for goal in goals) for name, goals in sentences["out_of_scope"].items()}
    steps = ask(walking(held))
    if given.fit:
        fit(development, [*steps, *outside["fitted_on"] * 4])

    figures: dict[str, Figure] = {}
    tables: dict[str, Any] = {}
    splits = [name for name in ("valid_seen", "valid_unseen") if name in available_splits(given.alfred)]
    known: dict[str, list[Asked]] = {name: ask(annotated(read_alfred(given.alfred, name).plans)) for name in splits}
    known["household"] = ask(annotated(read_alfred(HOUSEHOLD_TASKS).plans))
    known["plain"] = ask(plain(train))
    for name, asked in {"development": development, **known}.items():
        figures |= in_scope(name, asked)
        tables[f"reliability_{name}"] = reliability(asked)
        tables[f"refused_{name}"] = [each.goal for each in asked if each.refused]

    own = ask((goal, None) for goal in sentences["in_scope"])
    figures["paraphrases_refused"] = share([each.refused for each in own])
    for name, asked in outside.items():
        figures[f"out_of_scope_{name}_refused"] = share([each.refused for each in asked])
        tables[f"answered_{name}"] = {each.goal: str(each.plan) for each in asked if not each.refused}
    figures["walking_refused"] = share([each.refused for each in steps])
    tables["refused_paraphrases"] = [each.goal for each in own if each.refused]

    write_results(given.json, make_results("python benchmarks/planner_scope.py --alfred DIR", 0, figures, tables))
    print("\n".join(f"{name} {figure.text(3)} (n {figure.n})" for name, figure in figures.items()))


if __name__ == "__main__":
    main()
