"""What the shipped planner's level 2 is worth: on ALFRED's goals, and on ALFWorld's in the homes where they are said.

    python benchmarks/level_2.py --alfred DIR --alfworld DIR [--split valid_seen] [--fit]

ALFRED's goals are asked live, with what the robot met in the home in earlier tasks, and with nothing (`*_new_home`);
those of ALFWorld come from the recorded answers (`python -m rarrl_learning.alfworld.record shipped`). --fit: prints
`WORTH` of `rarrl/reasoner/deliberate.py` anew, from the development goals. Writes level_2.json."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.alfred import AlfredPlan, is_development, read_alfred
from rarrl.alfred_plans import expert_plan, normal_form, same_plan
from rarrl.build import shipped_model
from rarrl.reasoner import deliberate
from rarrl.reasoner.base import Request
from rarrl.reasoner.goal_reader import goal_of, shipped_goal_reader
from rarrl.reasoner.language_model import CallOutcome, LanguageModel
from rarrl.reasoner.llama import LlamaReasoner
from rarrl.reasoner.plan import Plan
from rarrl.results import Figure, make_results, write_results
from rarrl.types import Role
from rarrl_learning.alfworld.answers import load_answers
from rarrl_learning.alfworld.goals import (
    Game,
    Kind,
    known_sentences,
    learning_games,
    nearest_plan,
    read_games,
    rules_plan,
    sentences,
)
from rarrl_learning.alfworld.record import Goal
from rarrl_learning.reasoner.curriculum import homes
from rarrl_learning.reasoner.evaluate import Bootstrap
from rarrl_learning.recorded_answers import AnswerFile, Question

RESULTS = Path(__file__).parent / "results" / "level_2.json"
DEADLINE_S = 60.0


def alfred_figures(plans: Sequence[AlfredPlan], known: Sequence[AlfredPlan]) -> dict[str, Figure]:
    """Right plans of ALFRED's goals, in a home that the robot knows from earlier tasks, and in a new one."""
    reasoner = LlamaReasoner(shipped_model())
    reasoner.answer_always()
    met = homes(plans, known)
    rows, clusters = [], []
    try:
        for number, (plan, home) in enumerate(zip(plans, met, strict=True)):
            right = expert_plan(plan)
            for annotation in plan.annotations:
                asked = Request(0, Role.PLANNER, 1, annotation.goal, DEADLINE_S)
                found = [reasoner.ask(asked).plan]
                for scene in (home, ()):
                    found.append(reasoner.ask(_at_level_2(asked, scene, None)).plan)
                for scene in (home, ()):  # level 1's plan has failed
                    again = None
                    if not _is_right(found[0], right):
                        again = reasoner.ask(_at_level_2(asked, scene, found[0])).plan
                    found.append(again if again is not None else found[0])
                rows.append([_is_right(each, right) for each in found])
                clusters.append(number)
            if number % 25 == 24:
                print(f"ALFRED: {number + 1} of {len(plans)} plans", flush=True)
    finally:
        reasoner.close()

    right_by = np.array(rows, float)
    spread = Bootstrap(clusters, 0)
    names = ("level_1", "level_2", "level_2_new_home", "second_plan", "second_plan_new_home")
    figures = {f"alfred_{name}": spread.mean(right_by[:, at]) for at, name in enumerate(names)}
    for at, name in enumerate(names[1:], 1):
        figures[f"alfred_gain_{name}"] = spread.mean(right_by[:, at] - right_by[:, 0])
    return figures


def _at_level_2(asked: Request, scene: tuple[str, ...], failed: Plan | None) -> Request:
    return Request(0, asked.role, 2, asked.goal, asked.deadline_s, scene, failed)


def _is_right(plan: Plan | None, right: Plan) -> bool:
    return plan is not None and same_plan(plan, right)


def alfworld_figures(name: str, games: Sequence[Game], answers: AnswerFile, free: Any) -> dict[str, Figure]:
    """Right plans on the sentences of `games` that were asked about, by who answered; right: type and parameters of
    the game's task. second_plan: what level 2 says where it knows that level 1's plan failed. free: the sentences that
    the robot was taught."""
    figures: dict[str, Figure] = {}
    for kind in Kind:
        rows, clusters, seconds = [], [], []
        verdicts: list[tuple[float, float, bool]] = []
        for number, game in enumerate(games):
            for sentence in sentences(game, kind):
                goal = Goal(game, sentence)
                one = answers.entries.get(Question(sentence, Role.PLANNER, 1))
                two = answers.entries.get(Question(sentence, Role.PLANNER, 2, None, goal.opening))
                if one is None or two is None:
                    continue
                plan = None if one.plan is None else Plan.from_rows(one.plan)
                row = [game.is_right(rules_plan(sentence)), game.is_right(nearest_plan(sentence, free))]
                row.append(game.is_right(plan))
                all_seen = answers.entries.get(Question(sentence, Role.PLANNER, 2, None, goal.searched))
                again = answers.entries.get(Question(sentence, Role.PLANNER, 2, plan, goal.opening), two)
                later = answers.entries.get(Question(sentence, Role.PLANNER, 2, plan, goal.searched), all_seen or two)
                for each in (two, all_seen or two):
                    row.append(each.plan is not None and game.is_right(Plan.from_rows(each.plan)))
                for each in (again, later):
                    second = each.plan is not None and game.is_right(Plan.from_rows(each.plan))
                    row.append(row[2] or (plan is not None and second))
                rows.append(row)
                clusters.append(number)
                seconds.append(
                    [one.seconds, two.seconds, one.tokens_in + one.tokens_out, two.tokens_in + two.tokens_out]
                )
                if plan is not None:
                    told = [
                        answers.entries.get(Question(sentence, Role.VERIFIER, level, plan, home))
                        for level, home in ((1, ()), (2, goal.opening))
                    ]
                    if all(each is not None and each.p_ok is not None for each in told):
                        verdicts.append((*(each.p_ok for each in told), row[2]))  # type: ignore[union-attr, misc, arg-type]
        if not rows:
            continue
        right, spread = np.array(rows, float), Bootstrap(clusters, 0)
        before = f"{name}_{kind.value}"
        names = ("rules", "nearest", "level_1", "level_2", "level_2_searched", "second_plan", "second_plan_searched")
        figures |= {f"{before}_{each}": spread.mean(right[:, at]) for at, each in enumerate(names)}
        for at, each in enumerate(names[3:], 3):
            figures[f"{before}_gain_{each}"] = spread.mean(right[:, at] - right[:, 2])
        for at, (each, unit) in enumerate(
            (
                ("seconds_level_1", "s"),
                ("seconds_level_2", "s"),
                ("tokens_level_1", "tokens"),
                ("tokens_level_2", "tokens"),
            )
        ):
            figures[f"{before}_{each}"] = spread.mean(np.array(seconds)[:, at], unit)
        if verdicts:
            told_ok, is_right = np.array([v[:2] for v in verdicts]), np.array([v[2] for v in verdicts], bool)
            one_each = Bootstrap(range(len(verdicts)), 0)
            for at in (0, 1):
                figures[f"{before}_verifier_{at + 1}_auc"] = one_each.auc(told_ok[:, at], is_right)
    return figures


def fit(plans: Sequence[AlfredPlan], n: int = 750) -> None:
    """Prints `WORTH`: a conditional logit over the plans that level 2 weighs, with nothing known of the home."""
    from scipy.optimize import minimize

    goals = [(a.goal, expert_plan(plan)) for plan in plans if is_development(plan) for a in plan.annotations]
    order = np.random.default_rng(1).permutation(len(goals))[:n]
    choices: list[tuple[np.ndarray, np.ndarray]] = []

    def weighed(request: Request, model: LanguageModel) -> CallOutcome:
        first = deliberate.as_trained(Request(0, Role.PLANNER, 1, request.goal, DEADLINE_S), model)
        reader = shipped_goal_reader()
        read = reader.read(request.goal)
        nats = deliberate.weigh(request, model, list(deliberate.probabilities(request, model, first)))
        right = np.array([normal_form(plan) == normal_form(goals[request.decision][1]) for plan in nats])
        if right.any():
            features = [[likely, reader.nats(read, goal_of(plan))] for plan, likely in nats.items()]
            choices.append((np.array(features), right))
        return first

    reasoner = LlamaReasoner(shipped_model(), recipe=weighed)
    for number in order:
        reasoner.ask(Request(int(number), Role.PLANNER, 2, goals[number][0], DEADLINE_S))
    reasoner.close()

    def loss(w: np.ndarray) -> float:
        return -float(np.mean([np.logaddexp.reduce((x @ w)[y]) - np.logaddexp.reduce(x @ w) for x, y in choices]))

    print("WORTH", *minimize(loss, np.array([0.5, 0.5])).x)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alfred", type=Path, required=True)
    parser.add_argument("--alfworld", type=Path, required=True)
    parser.add_argument("--split", default="valid_seen")
    parser.add_argument("--fit", action="store_true")
    args = parser.parse_args()
    train = read_alfred(args.alfred, "train").plans
    if args.fit:
        fit(train)
        return

    taught = read_games(args.alfworld, args.alfred, "train")
    known = known_sentences(train, taught)
    figures: dict[str, Figure] = {}
    for model in ("shipped", "smollm2"):
        answers = load_answers(model)
        for name, games in (
            ("train", learning_games(taught)),
            (args.split, read_games(args.alfworld, args.alfred, args.split)),
        ):
            figures |= alfworld_figures(f"{model}_{name}", games, answers, known)
    figures |= alfred_figures(read_alfred(args.alfred, args.split).plans, train)
    command = f"python benchmarks/level_2.py --alfred DIR --alfworld DIR --split {args.split}"
    write_results(RESULTS, make_results(command, 0, figures, {}))
    print("\n".join(f"{key} {figure.text(3)} (n {figure.n})" for key, figure in figures.items()))


if __name__ == "__main__":
    main()
