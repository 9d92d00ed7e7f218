"""Robots that keep plans: a wrong plan fails until a right one takes its place; answers are the same twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rarrl.orchestrator.rules import make_rule
from rarrl_learning.orchestrator.evaluate_skillsets import SkillPlanOracle
from rarrl_learning.orchestrator.rollout import rollout
from rarrl_sim_envs.alfred.datasets import load_tables
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler, seeds
from rarrl_sim_envs.random_skills.core import random_bank
from rarrl_sim_envs.random_skills.planned_core import NEVER, PlannedSkillsCore, _quantile
from rarrl_sim_envs.random_skills.ranges import TRAINING_SETS

N = 400
RICH = EpisodeConfig(budget_calls=(1000.0, 1000.0), token_ratio=(2.0, 2.0))
P1, P2, V1 = 1, 2, 3


@pytest.fixture
def core() -> PlannedSkillsCore:
    bank, tables = random_bank(TRAINING_SETS, N, 0), load_tables(["groq-70b"])
    world = PlannedSkillsCore(bank, tables, N)
    world.begin(np.arange(N), EpisodeSampler(bank, tables, RICH).draw(seeds(4, N)))
    return world


def everybody(action: int) -> np.ndarray:
    return np.full(N, action)


def test_better_planners_are_right_more_often(core: PlannedSkillsCore) -> None:
    own, first, second = core.right.mean(axis=1)
    assert 0.3 < own < first < second < 1.0
    assert (core._wrong_at[core.right] == NEVER).all() and (core._wrong_at[~core.right] < NEVER).all()
    confidence = core._confidence
    assert np.median(confidence[core.right]) > np.median(confidence[~core.right])
    judged = (core._p_ok > 0.5) == core.right[:, None, :]
    assert 0.6 < judged[:, 0].mean() < judged[:, 1].mean() < 1.0


def test_a_model_is_right_as_often_as_its_profile_counted(core: PlannedSkillsCore) -> None:
    table = replace(core.tables[0], judged=np.array([[98, 98, 98, 0], [4, 49, 94, 0]]))
    world = PlannedSkillsCore(core.bank, [table], N)
    world.begin(np.arange(N), EpisodeSampler(core.bank, [table], RICH).draw(seeds(4, N)))
    assert world.right.mean(axis=1)[1:] == pytest.approx([0.05, 0.5], abs=0.06)
    assert np.array_equal(world.right[0], core.right[0])  # what is not counted stays as it was
    judged = (world._p_ok > 0.5) == world.right[:, None, :]
    assert judged[:, 0].mean() == pytest.approx(0.95, abs=0.03)


def test_a_wrong_plan_fails_until_a_right_one_takes_its_place(core: PlannedSkillsCore) -> None:
    stuck = ~core.right[0] & (core._wrong_at[0] == 0)
    assert stuck.any() and sum(core.failure_probabilities())[stuck] == pytest.approx(1.0)
    result = core.step(everybody(P2))
    healed = stuck & core.right[2] & result.call_ok
    assert healed.any() and (sum(core.failure_probabilities())[healed] < 1.0).all()
    plan = core.situation().plan
    assert plan is not None and (plan.source[result.call_ok] == 2).all() and plan.answered[1][result.call_ok].all()
    both_right = core.right[0] & core.right[2] & result.call_ok
    assert (plan.agreeing[both_right] == 1.0).all() and (plan.agreeing[healed] == 0.0).all()


def test_a_verdict_holds_for_its_plan_alone(core: PlannedSkillsCore) -> None:
    told = core.step(everybody(V1)).call_ok
    plan = core.situation().plan
    assert plan is not None and (plan.verdict[told] != 0.0).all() and (plan.verdict_level[told] == 1.0).all()
    changed = told & core.step(everybody(P1)).call_ok & ~(core.right[0] & core.right[1])
    plan = core.situation().plan
    assert plan is not None and changed.any() and (plan.verdict[changed] == 0.0).all()
    assert (plan.p_ok[changed] == 0.5).all()


def test_knowing_which_plan_is_right_is_worth_most(core: PlannedSkillsCore) -> None:
    params = EpisodeSampler(core.bank, core.tables, RICH).draw(seeds(4, N))
    success = {
        name: rollout(core, params, policy).success.mean()
        for name, policy in (
            ("never", make_rule("never")),
            ("start", make_rule("start", recipe="P2")),
            ("oracle", SkillPlanOracle()),
        )
    }
    assert success["never"] < success["start"] <= success["oracle"]


def test_the_quantile_is_near_enough() -> None:
    assert _quantile(np.array([0.5, 0.841, 0.977])) == pytest.approx([0.0, 1.0, 2.0], abs=0.25)
