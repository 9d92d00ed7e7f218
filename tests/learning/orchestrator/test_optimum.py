"""The dynamic programme against the simulator, against every rule, and as the goal of a PPO run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rarrl.alfred import SubgoalType as T
from rarrl.orchestrator.rules import grid, make_rule, plain_families
from rarrl_learning.orchestrator.optimum import Instance, Optimum, solve
from rarrl_learning.orchestrator.rollout import rollout
from rarrl_sim_envs.alfred.core import AlfredReplayCore, Dynamics, EpisodeBank
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler, seeds

PLAN = [(T.GotoLocation, 12), (T.PickupObject, 1), (T.SliceObject, 1), (T.GotoLocation, 5), (T.PutObject, 1)]
U = np.array([0.3, 0.1, 0.7, 0.2, 0.6])
CALL_S, BUDGET_S, PRICE = (1, 2, 1, 2), 5, 0.01
CONFIG = EpisodeConfig(time_budget_s=float(BUDGET_S), token_budget=1e6, cost_weight=PRICE)


class KnownU(AlfredReplayCore):
    """The same world, but u is fixed per sub-goal: what can be known is then all that there is to know."""

    def _enter(self, where: Any) -> None:
        super()._enter(where)
        self.u[where] = U[self.subgoal[where].astype(int)]


def instance_of(bank: EpisodeBank, **changes: Any) -> Instance:
    d, pieces = Dynamics(), int(bank.pieces[0])
    kind, subgoal = bank.piece_type[0, :pieces], bank.piece_subgoal[0, :pieces]
    numbers: dict[str, Any] = {
        "failure": np.array(d.base_failure)[kind] * (d.easy + d.slope * U[subgoal]),
        "irreversible": np.array(d.irreversible)[kind],
        "u": U[subgoal],
        "subgoal": subgoal,
        "consecutive_penalty": d.consecutive_penalty,
        "max_failure": d.max_failure,
        "eta": d.eta,
        "call_s": CALL_S,
        "attempts": int(np.ceil(d.slack * pieces)) + 1,
        "budget_s": BUDGET_S,
        "cost_weight": PRICE,
    }
    return Instance(**{**numbers, **changes})


@pytest.fixture(scope="module")
def world(make_plan: Any, make_table: Any) -> tuple[EpisodeBank, Any, Optimum]:
    bank = EpisodeBank.from_plans([make_plan(PLAN)], ("Delivery",))
    return bank, make_table(CALL_S), solve(instance_of(bank))


def returns(bank: EpisodeBank, table: Any, policy: Any, n: int = 40_000) -> np.ndarray:
    core = KnownU(bank, [table], n)
    e = rollout(core, EpisodeSampler(bank, [table], CONFIG).draw(seeds(3, n)), policy)
    return e.success - PRICE * e.seconds


def test_without_budget_the_value_is_the_chance_of_enough_successes() -> None:
    # One reversible piece that fails with 0.4 (no penalty), three attempts: 1 - 0.4^3.
    i = Instance(
        np.array([0.4]), np.zeros(1), np.ones(1), np.zeros(1, int), 0.0, 0.9, (0.5, 1, 0.5, 1), CALL_S, 3, 0, 0.1
    )
    assert solve(i).value == pytest.approx(1 - 0.4**3)


def test_one_attempt_by_hand() -> None:
    # Fails with 0.8, half of it for good, u = 0.5. Planner 2 and verifier 2 (2 s each, eta 1) halve their halves.
    i = Instance(
        np.array([0.8]),
        np.array([0.5]),
        np.array([0.5]),
        np.zeros(1, int),
        0.0,
        0.9,
        (0.2, 1, 0.2, 1),
        CALL_S,
        1,
        4,
        0.0,
    )
    assert solve(i).value == pytest.approx(1 - 0.2 - 0.2)
    dear = Instance(**{**vars(i), "cost_weight": 0.2})  # 0.2 a call gained, 0.4 paid for it: act
    assert solve(dear).value == pytest.approx(0.2)
    assert solve(dear).actions[1, 0, 0, 0, 0, 0, 4] == 0


def test_planner_advice_ends_with_its_subgoal() -> None:
    two = {"failure": np.full(2, 0.6), "irreversible": np.zeros(2), "u": np.ones(2), "consecutive_penalty": 0.0}
    rest = {"max_failure": 0.9, "eta": (1.0, 1.0, 0.0, 0.0), "call_s": CALL_S, "cost_weight": 0.0, "attempts": 2}
    same = solve(Instance(subgoal=np.array([0, 0]), budget_s=1, **two, **rest)).value
    other = solve(Instance(subgoal=np.array([0, 1]), budget_s=1, **two, **rest)).value
    assert (same, other) == (pytest.approx(1.0), pytest.approx(0.4))


def test_its_policy_earns_its_value_in_the_simulator(world: Any) -> None:
    bank, table, optimum = world
    earned = returns(bank, table, optimum)
    assert abs(earned.mean() - optimum.value) < 3 * earned.std() / np.sqrt(len(earned))


@pytest.mark.parametrize("family", plain_families())
def test_no_rule_is_worth_more(world: Any, family: str) -> None:
    bank, table, optimum = world
    step = max(len(grid(family)) // 6, 1)
    for params in grid(family)[::step]:
        earned = returns(bank, table, make_rule(family, **params), 8000)
        assert earned.mean() <= optimum.value + 3 * earned.std() / np.sqrt(len(earned)), params


def test_more_budget_is_never_worse(world: Any) -> None:
    values = [solve(instance_of(world[0], budget_s=b)).value for b in range(0, 9)]
    assert (np.diff(values) >= -1e-12).all() and values[5] > values[0] + 0.05


@pytest.mark.parametrize(
    "changes", [{"call_s": (0, 1, 1, 1)}, {"call_s": (1.5, 1, 1, 1)}, {"attempts": 0}, {"u": np.ones(2)}]
)
def test_impossible_instances_are_refused(world: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Instance"):
        instance_of(world[0], **changes)


@pytest.mark.slow
def test_ppo_learns_97_percent_of_the_optimum(world: Any, tmp_path: Path) -> None:
    """Can it learn at all: MaskablePPO as `rarrl train orchestrator` runs it, on this one instance."""
    pytest.importorskip("sb3_contrib")
    from rarrl_learning.orchestrator.train import TrainConfig, train
    from rarrl_sim_envs.alfred.sb3_vec_env import AlfredReplayVecEnv

    bank, table, optimum = world
    # 64 environments, 300,000 steps: seven of seven seeds came to 99.1 % or more; with few or many environments one
    # seed in three stops at a local optimum of about 85 % or worse. What a seed comes to depends on the processor (its
    # sums round otherwise): on one with AMX seed 0 stops at 94.8 %, so that a second seed may try.
    for seed in (0, 1):
        env = AlfredReplayVecEnv(KnownU(bank, [table], 64), EpisodeSampler(bank, [table], CONFIG), seed=1)
        policy = train(env, TrainConfig(steps=300_000, batch_size=512, seed=seed), tmp_path / str(seed))
        learned = returns(bank, table, policy)
        if learned.mean() >= 0.97 * optimum.value:
            break
    never = returns(bank, table, make_rule("never"))
    assert learned.mean() >= 0.97 * optimum.value
    assert learned.mean() >= never.mean() + 0.75 * (optimum.value - never.mean())  # most of what thinking can bring
