"""Random skill sets: what is drawn, what the robot knows of it, and that policies see the plan as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rarrl.orchestrator.features import FOREIGN, NAMELESS_FEATURE_NAMES, Steps
from rarrl.orchestrator.rules import make_rule
from rarrl.types import StateSummary, StepView
from rarrl_learning.orchestrator.rollout import rollout
from rarrl_sim_envs.alfred.datasets import load_tables
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler, seeds
from rarrl_sim_envs.random_skills.core import RandomSkillsCore, counted, random_bank
from rarrl_sim_envs.random_skills.ranges import HELD_OUT_SETS, TRAINING_SETS, SkillRanges

N = 300
RICH = EpisodeConfig(budget_calls=(1000.0, 1000.0), token_ratio=(2.0, 2.0))


def made(ranges: SkillRanges = TRAINING_SETS, n: int = N, seed: int = 1) -> tuple[RandomSkillsCore, Any]:
    bank, tables = random_bank(ranges, n, 0), load_tables(["groq-70b"])
    return RandomSkillsCore(bank, tables, n, ranges), EpisodeSampler(bank, tables, RICH).draw(seeds(seed, n))


def begun(ranges: SkillRanges = TRAINING_SETS) -> RandomSkillsCore:
    core, params = made(ranges)
    core.begin(np.arange(N), params)
    return core


@pytest.mark.parametrize("ranges", [TRAINING_SETS, HELD_OUT_SETS])
def test_plans_keep_to_their_ranges(ranges: SkillRanges) -> None:
    bank = random_bank(ranges, 500, 3)
    assert (bank.subgoals.min(), bank.subgoals.max()) == ranges.steps
    assert bank.piece_type.max() < ranges.skills[1] and (bank.pieces >= bank.subgoals).all()
    rows = np.arange(500)
    assert (bank.piece_subgoal[rows, bank.pieces - 1] == bank.subgoals - 1).all()
    kinds = np.take_along_axis(bank.subgoal_types, bank.piece_subgoal, axis=1)
    assert np.array_equal(kinds, bank.piece_type) and (np.diff(bank.piece_subgoal, axis=1) >= 0).all()


def test_the_same_seed_gives_the_same_robot_wherever_it_stands() -> None:
    core, params = made()
    core.begin(np.arange(N), params)
    before = core.observe()
    order = np.random.default_rng(0).permutation(N)
    core.begin(order, params.take(order))
    assert np.array_equal(core.observe(), before)
    other, more = made(seed=2)
    other.begin(np.arange(N), more)
    assert (other.observe() != before).any(axis=1).all()


def test_the_steps_are_those_of_the_plan() -> None:
    core = begun()
    for robot in range(20):
        steps = tuple(
            StepView("skill", *(float(v) for v in core._views[:4, k, robot]), looks=bool(core._views[4, k, robot]))
            for k in range(int(core.bank.subgoals[core.row[robot]]))
        )
        expected = Steps.single(StateSummary(steps, 0, 0, 9, int(core._retries[robot])))
        for name in Steps.__dataclass_fields__:
            assert getattr(core.steps, name)[robot] == pytest.approx(getattr(expected, name)[0]), name
    assert (core.situation().subgoal_type == FOREIGN).all()
    assert core.observe().shape == (N, len(NAMELESS_FEATURE_NAMES))


def test_old_robots_with_honest_makers_know_their_skills() -> None:
    honest = replace(TRAINING_SETS, bias=(0.0, 0.0), error=(0.0, 0.0), experience=(1e5, 1e5))
    core = begun(honest)
    kinds = core.subgoal_type, np.arange(N)
    assert core.steps.failures == pytest.approx(core._failure[kinds], abs=0.01)
    share = core._irreversible[kinds]
    often = core._failure[kinds] > 0.05
    assert core.steps.irreversible[often] == pytest.approx(share[often], abs=0.1)
    doubted = begun(replace(honest, bias=(1.5, 1.5), experience=(1.0, 1.0)))
    wrong = np.abs(doubted.steps.failures - doubted._failure[doubted.subgoal_type, np.arange(N)])
    assert np.median(wrong) > 0.05 and doubted.steps.attempts.max() < 20.0


def test_a_skills_failure_share_is_its_mean_over_scenes() -> None:
    core = begun(replace(TRAINING_SETS, penalty=(0.0, 0.0), failures=(0.1, 0.1), spread=(0.0, 0.0)))
    assert np.mean(sum(core.failure_probabilities())) == pytest.approx(0.1, abs=0.02)


def test_advice_helps_and_no_failure_is_irreversible_for_the_careless() -> None:
    core, params = made(replace(TRAINING_SETS, careless=1.0))
    assert not rollout(core, params, make_rule("never")).lost.any()
    core, params = made()
    never, always = (rollout(core, params, make_rule(name)) for name in ("never", "always"))
    assert never.lost.any() and always.success.mean() > never.success.mean() + 0.05
    lost, wrong = core.failure_probabilities()
    less, fewer = core.failure_probabilities(planner_level=2, verifier_level=2)
    assert (less <= lost).all() and (fewer <= wrong).all()


def test_a_step_is_given_up_after_its_retries() -> None:
    hopeless = replace(TRAINING_SETS, counting=1.0, retries=(2, 2), slack=(9.0, 9.0), careless=1.0, believing=1.0)
    core, params = made(replace(hopeless, failures=(0.7, 0.7)))
    core.begin(np.arange(N), params)
    seen = []
    for _ in range(3):
        seen.append(core.steps.retries_left.copy())
        core._failure[:] = 1e9  # the chance of a failure is cut off at 0.9
        core.step(np.zeros(N, np.int64))
    failed_always = (core.history.consecutive_failures == 3) & ~core.alive
    assert failed_always.mean() > 0.6 and [s[failed_always][0] for s in seen] == [2.0, 1.0, 0.0]
    assert core._noticed[failed_always].max() >= 1.0


def test_counts_are_possible() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 20_000))
    found = counted(np.full(20_000, 0.3), np.full(20_000, 50.0), a, b)
    assert found.mean() == pytest.approx(15.0, abs=0.1) and found.std() == pytest.approx(3.24, abs=0.1)
    assert counted(np.ones(1), np.zeros(1), np.array([0.9]), np.zeros(1)) == [0.0]
