"""When to ask, and when to ask a person: learned on trees and trajectories of our own."""

import numpy as np
import pytest
from alfworld_fixtures import a_game

from rarrl.errors import InputError
from rarrl.orchestrator.abstain import SIGNALS
from rarrl.orchestrator.rules import make_rule
from rarrl.types import Action
from rarrl_learning.alfworld.abstain import Trajectory, calibrated, fit_score
from rarrl_learning.alfworld.evaluate import Bootstrap, contenders_of, engine_of, said_in
from rarrl_learning.alfworld.train import FREE_S, Lesson, default_price, fit, tune, within
from rarrl_learning.alfworld.trials import Home
from rarrl_learning.grove import Grove
from rarrl_learning.trees import grow
from rarrl_learning.trials import Trial
from rarrl_sim_envs.alfworld.twin import Twin

from .test_trials import COSTS, GAME, UNCLEAR, terms

SENTENCES = (
    GAME.goal,
    UNCLEAR,
    "a warm cup, please",
    "heat some mug and put it in the desk.",
    "could you warm a drink",
)


@pytest.fixture(scope="module")
def lesson():
    home = Home(GAME, Twin)
    actions = (Action.PLANNER_1, Action.PLANNER_2)
    trees = [grow(Trial(home.task(said)), terms(), actions) for said in SENTENCES]
    return Lesson(Grove(trees, COSTS), np.ones(len(trees)), 1.0)


@pytest.fixture(scope="module")
def policy(lesson):
    pytest.importorskip("torch")
    return fit([lesson])


def test_it_asks_where_the_sentence_is_unclear_alone(lesson, policy):
    never = lesson.score(lesson.grove.play(make_rule("never"), FREE_S))[0]
    free = lesson.grove.play(policy, FREE_S, 0.002)
    best = lesson.grove.oracle(FREE_S)
    assert never < free.success.mean() == best.success.mean() == 1.0
    assert free.llm_s.sum() == best.llm_s.sum() > 0.0
    spent = [lesson.grove.play(policy, FREE_S, weight).llm_s.sum() for weight in (0.002, 0.2, 1.0, 3.0)]
    assert spent == sorted(spent, reverse=True)  # the dearer, the less
    assert lesson.grove.play(policy, 0.5, 0.002).llm_s.sum() == 0.0  # nothing left to spend


def test_rules_and_prices_are_chosen_within_a_budget(lesson, policy):
    best = tune(lesson)
    assert best["start"] == {"recipe": "P1"}  # level 2 is wrong here
    full_s = lesson.score(lesson.grove.play(make_rule("start", recipe="P1"), FREE_S))[1]
    found = within(lesson, policy, 0.7 * full_s)
    assert found["rule_s"] <= 0.7 * full_s and found["learned_s"] <= 0.7 * full_s
    assert found["learned_success"] >= found["rule_success"] - 1e-6
    full = lesson.mean(lesson.grove.play(make_rule("start", recipe="P1"), FREE_S).tokens)
    found = within(lesson, policy, 0.7 * full, "tokens")
    assert 0.0 < found["learned_tokens"] <= 0.7 * full and found["rule_tokens"] <= 0.7 * full
    assert default_price(lesson, policy) > 0.0


def drawn(n, seed):
    """Tasks of which doubtful ones fail more often."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        doubt = rng.normal()
        signals = np.zeros((3, len(SIGNALS)), np.float32)
        signals[:, SIGNALS.index("default_doubt")] = doubt
        signals[2, SIGNALS.index("consecutive_failures")] = rng.random() < 0.3
        found.append(Trajectory(f"{number}", signals, bool(rng.random() < 1.0 / (1.0 + np.exp(-2.0 * doubt)))))
    return found


def test_the_promise_holds_on_tasks_that_nothing_was_fitted_to():
    made = calibrated(fit_score(drawn(300, 0)), drawn(1200, 1))
    assert made.weights[SIGNALS.index("default_doubt")] > 0.5
    tasks = drawn(3000, 2)
    announced = np.array([each.score(made) >= made.threshold for each in tasks])
    failed = np.array([each.failed for each in tasks])
    assert abs(announced[failed].mean() - 0.9) < 0.03
    assert announced[~failed].mean() < 0.65  # it does not ask everywhere


def test_intervals_are_over_games_and_not_over_sentences():
    values = np.repeat([0.0, 1.0], 50)
    apart, together = Bootstrap([str(n) for n in range(100)]), Bootstrap([str(n // 25) for n in range(100)])
    width = [found[2] - found[1] for found in (apart.mean(values), together.mean(values))]
    assert width[1] > 2.0 * width[0]


def test_what_cannot_be_played_is_said(tmp_path):
    with pytest.raises(InputError, match="allowed: textworld, twin"):
        engine_of("unity")
    with pytest.raises(InputError, match="allowed: template, human, both"):
        said_in("valid_seen", "songs")
    with pytest.raises(InputError, match="'chance' is none"):
        contenders_of({"rules": {"always": {}}}, ["never", "chance"])
    at = {"rule": "start", "params": {"recipe": "P1"}, "cap_s": 1.0, "cost_weight": 2.0}
    tuned = {"rules": {}, "cost_weight_sure": 0.5, "budgets": {"0.5": at}, "token_budgets": {"0.5": at}}
    found = {each.name: each for each in contenders_of(tuned)}
    assert {"rule@0.5", "learned@0.5", "rule@0.5tokens", "learned@0.5tokens"} <= found.keys()
    assert found["learned_sure"].cost_weight == 0.5 and found["learned@0.5tokens"].cost_weight == 2.0
    from alfworld_fixtures import write_folder

    folder = write_folder(tmp_path, [a_game()])
    assert [each.game.goal for each in said_in(str(folder), "template")] == ["put some mug on desk."]
    with pytest.raises(InputError, match="add --alfred FOLDER"):
        said_in(str(folder), "human")
