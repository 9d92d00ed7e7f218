"""What the shipped planner's level 2 is worth: on ALFRED's goals, and on ALFWorld's in the homes where they are said.

    python benchmarks/level_2.py --alfred DIR --alfworld DIR [--split valid_seen] [--fit]

ALFRED's goals are asked live, with what the robot met in the home in earlier tasks, and with nothing (`*_new_home`);
those of ALFWorld come from the recorded answers (`python -m rarrl_learning.alfworld.record shipped`). --fit: prints
`WORTH` of `rarrl/reasoner/deliberate.py` anew, from the development goals. Writes level_2.json."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rarrl.alfred import AlfredPlan, is_development, read_alfred
from rarrl.alfred_plans import expert_plan, normal_form, same_plan
from rarrl.build import shipped_model
from rarrl.reasoner import deliberate
from rarrl.reasoner.base import Request
from rarrl.reasoner.goal_reader import goal_of, shipped_goal_reader
from rarrl.reasoner.language_model import CallOutcome, LanguageModel
from rarrl.reasoner.llama import LlamaReasoner
from rarrl.reasoner.nearest import NearestGoal
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
from rarrl_learning.recorded_answers import AnswerFile, Question, Recorded

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


PLANS = ("rules", "nearest", "level_1", "level_2", "level_2_searched")
SECOND_PLANS = ("second_plan_level_1", "second_plan", "second_plan_searched")
COSTS = {"seconds_level_1": "s", "seconds_level_2": "s", "tokens_level_1": "tokens", "tokens_level_2": "tokens"}


def alfworld_figures(name: str, games: Sequence[Game], answers: AnswerFile, free: NearestGoal) -> dict[str, Figure]:
    """Right plans on the sentences of `games` that were asked about, by who answered; right: type and parameters of
    the game's task. second_plan*: right at once, or at the second try, after level 1's plan has failed. *_searched:
    level 2 that knows all that is in the home, else its furniture. verifier_*_auc: of right against wrong plans of
    level 1. free: the sentences that the robot was taught."""
    figures: dict[str, Figure] = {}
    for kind in Kind:
        found = [
            (number, row)
            for number, game in enumerate(games)
            for sentence in sentences(game, kind)
            if (row := _asked(Goal(game, sentence), answers, free)) is not None
        ]
        if not found:
            continue
        spread = Bootstrap([number for number, _ in found], 0)
        table = {key: np.array([row[key] for _, row in found], float) for key in found[0][1]}
        before = f"{name}_{kind.value}"
        figures |= {f"{before}_{key}": spread.mean(table[key]) for key in (*PLANS, *SECOND_PLANS)}
        for key in (*PLANS[3:], *SECOND_PLANS):
            figures[f"{before}_gain_{key}"] = spread.mean(table[key] - table["level_1"])
        figures |= {f"{before}_{key}": spread.mean(table[key], unit) for key, unit in COSTS.items()}
        for level in (1, 2):
            told = table[f"p_ok_{level}"]
            if np.isfinite(told).any():
                figures[f"{before}_verifier_{level}_auc"] = spread.auc(told, table["level_1"].astype(bool))
    return figures


def _asked(goal: Goal, answers: AnswerFile, free: NearestGoal) -> dict[str, float] | None:
    """What came of one sentence; None where it was not asked about."""
    game, said = goal.game, goal.sentence

    def planned(level: int, failed: Plan | None, *homes: tuple[str, ...]) -> Recorded | None:
        ways = (Question(said, Role.PLANNER, level, failed, home) for home in homes)
        return next((answers.entries[each] for each in ways if each in answers.entries), None)

    def right(answer: Recorded | None) -> bool:
        return answer is not None and answer.plan is not None and game.is_right(Plan.from_rows(answer.plan))

    one, two = planned(1, None, ()), planned(2, None, goal.opening)
    if one is None or two is None:
        return None
    plan = None if one.plan is None else Plan.from_rows(one.plan)
    row: dict[str, float] = {
        "rules": game.is_right(rules_plan(said)),
        "nearest": game.is_right(nearest_plan(said, free)),
        "level_1": right(one),
        "level_2": right(two),
        "level_2_searched": right(planned(2, None, goal.searched, goal.opening)),
        "seconds_level_1": one.seconds,
        "seconds_level_2": two.seconds,
        "tokens_level_1": one.tokens_in + one.tokens_out,
        "tokens_level_2": two.tokens_in + two.tokens_out,
    }
    again = (planned(1, plan, ()), planned(2, plan, goal.opening), planned(2, plan, goal.searched, goal.opening))
    row |= {key: right(one) or right(each) for key, each in zip(SECOND_PLANS, again, strict=True)}
    for level, home in ((1, ()), (2, goal.opening)):
        verdict = None if plan is None else answers.entries.get(Question(said, Role.VERIFIER, level, plan, home))
        row[f"p_ok_{level}"] = np.nan if verdict is None or verdict.p_ok is None else verdict.p_ok
    return row


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
