"""One robot in one episode, and that it sees in service what it saw in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rarrl.alfred import SubgoalType as T
from rarrl.alfred import step_views
from rarrl.config import Config
from rarrl.errors import InputError
from rarrl.orchestrator.features import Situation, encode
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import make_rule
from rarrl.types import Action, ActStatus, Budget, CallStatus
from rarrl_sim_envs.alfred.core import AlfredReplayCore, Dynamics, EpisodeBank
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler, seeds
from rarrl_sim_envs.alfred.executive import AlfredExecutive
from rarrl_sim_envs.alfred.make import make_executive

SURE = Dynamics(base_failure=(0.0,) * 8)
PLAN = [(T.GotoLocation, 12), (T.PickupObject, 1), (T.HeatObject, 9), (T.PutObject, 1)]
PLENTY = EpisodeConfig(time_budget_s=10.0, token_budget=2000.0, cost_weight=0.0)


@pytest.fixture(scope="module")
def bank(make_plan: Any) -> EpisodeBank:
    return EpisodeBank.from_plans([make_plan(PLAN)], ("Delivery",))


def test_an_episode_by_hand(bank: EpisodeBank, make_table: Any) -> None:
    executive = AlfredExecutive(bank, make_table(), PLENTY, dynamics=SURE)
    info = executive.begin(0)
    assert (info.category, info.time_budget_s, info.token_budget) == ("Delivery", 10.0, 2000.0)
    assert executive.summary.subgoals == step_views(t for t, _ in PLAN) and executive.summary.horizon == 13
    call = executive.think(Action.PLANNER_2)
    assert (call.status, call.seconds, call.tokens) == (CallStatus.OK, 2.0, 100.0)
    assert executive.budget_left == (8.0, 1900.0)
    attempts = [executive.act() for _ in range(6)]
    assert [a.status for a in attempts] == [ActStatus.SUCCESS] * 6
    assert [a.subgoal_done for a in attempts] == [False, True, True, False, True, True]
    assert [a.seconds for a in attempts] == [2.0, 1.0, 0.25, 2.0, 0.25, 0.25]
    assert executive.done and executive.success and executive.summary.subgoal_index == 4
    with pytest.raises(RuntimeError, match="begin"):
        executive.act()


def test_calls_that_fail(bank: EpisodeBank, make_table: Any) -> None:
    late = AlfredExecutive(bank, make_table(), PLENTY, dynamics=SURE)
    late.begin(0)
    call = late.think(Action.PLANNER_2, deadline_s=0.5)
    assert (call.status, call.seconds) == (CallStatus.TIMEOUT, 0.5)
    assert late.think(Action.PLANNER_2).status is CallStatus.OK  # the deadline was that call's alone
    bad = AlfredExecutive(bank, make_table(ok=False), PLENTY, dynamics=SURE)
    bad.begin(0)
    assert (bad.think(Action.VERIFIER_1).status, bad.budget_left[0]) == (CallStatus.INVALID, 9.0)


def test_an_overrun_of_the_budget_is_a_timeout_and_counted(bank: EpisodeBank, make_table: Any) -> None:
    slow = make_table([[1.0] * 6 + [50.0, 50.0]] * 4)  # mean 13.25 s
    config = EpisodeConfig(time_budget_s=14.0, token_budget=2000.0, cost_weight=0.0)
    executive, calls = AlfredExecutive(bank, slow, config), []
    for number in range(20):
        executive.begin(number)
        call = executive.think(Action.PLANNER_1)
        calls.append((call.status, call.seconds, executive.deadline_misses))
    assert set(calls) == {(CallStatus.OK, 1.0, 0), (CallStatus.TIMEOUT, 14.0, 1)}


def test_what_cannot_be_paid_for_is_refused_and_costs_nothing(bank: EpisodeBank, make_table: Any) -> None:
    executive = AlfredExecutive(
        bank, make_table(), EpisodeConfig(time_budget_s=1.5, token_budget=2000.0), dynamics=SURE
    )
    executive.begin(0)
    call = executive.think(Action.PLANNER_2)
    assert (call.status, call.seconds, executive.budget_left) == (CallStatus.BUDGET, 0.0, (1.5, 2000.0))
    assert executive.summary.step == 0  # nor was it executed as ACT
    with pytest.raises(ValueError, match="use act"):
        executive.think(Action.ACT)


def test_numbers_name_episodes(bank: EpisodeBank, make_table: Any) -> None:
    def play(seed: int, number: int) -> list[ActStatus]:
        executive = AlfredExecutive(bank, make_table(), PLENTY, seed)
        executive.begin(number)
        out = []
        while not executive.done:
            out.append(executive.act().status)
        return out

    assert [play(0, n) for n in range(12)] == [play(0, n) for n in range(12)]
    assert [play(0, n) for n in range(12)] != [play(1, n) for n in range(12)]


@pytest.mark.parametrize("rule", [make_rule("always", recipe="P1V1"), make_rule("risk_table"), make_rule("random")])
def test_service_sees_what_training_saw(make_table: Any, make_plan: Any, rule: Any) -> None:
    """The orchestrator's own ledger gives, decision by decision, the observation that training's core gives:
    through failed calls, timeouts, overruns and shocks."""
    rng = np.random.default_rng(0)
    table = make_table(rng.lognormal(0, 0.8, (4, 40)), rng.integers(50, 200, (4, 40)), rng.random((4, 40)) < 0.8)
    plans = [make_plan(PLAN), make_plan([(T.GotoLocation, 20), (T.SliceObject, 3), (T.PutObject, 1)])]
    bank = EpisodeBank.from_plans(plans)
    config = EpisodeConfig(budget_calls=(3.0, 12.0), cost_weight=0.02, latency_jitter=(0.4, 0.4), shock_share=0.6)
    executive, sampler = AlfredExecutive(bank, table, config, seed=3), EpisodeSampler(bank, [table], config)
    core = AlfredReplayCore(bank, [table], 1)
    brain = Orchestrator(rule, table.costs, 0.02)
    decisions = 0
    seen = set()
    for number in range(40):
        info = executive.begin(number)
        core.begin(np.zeros(1, int), sampler.draw(seeds(3, 1, number)))
        brain.start(Budget.full(info.time_budget_s, info.token_budget))
        while not executive.done:
            s = Situation.single(executive.summary, brain.budget, brain.history, brain.costs, brain.cost_weight)
            assert np.allclose(encode(s), core.observe(), rtol=0, atol=1e-6)
            assert np.array_equal(s.action_mask(), core.situation().action_mask())
            decision = brain.decide(executive.summary)
            if decision.action is Action.ACT:
                attempt = executive.act()
                brain.record_act(attempt.status, attempt.subgoal_done)
            else:
                call = executive.think(decision.action, decision.deadline_s)
                brain.record_call(call)
                seen.add(call.status)
            brain.cut_budget(*executive.budget_left)
            core.step(np.array([int(decision.action)]))
            decisions += 1
    assert decisions > 200 and {CallStatus.OK, CallStatus.INVALID} <= seen


def test_make_player_from_a_config() -> None:
    config = Config.model_validate(
        {
            "orchestrator": {"profile": "groq-70b", "time_budget_s": 5.0, "token_budget": 3000},
            "replay": {"category": "Inspection", "seed": 4},
        }
    )
    executive = make_executive(config)
    info = executive.begin(0)
    assert (info.category, info.time_budget_s, info.token_budget) == ("Inspection", 5.0, 3000.0)
    shocked = make_executive(config, shock=True)
    shocked.begin(0)
    while not executive.done and not shocked.done:
        assert executive.act() == shocked.act()  # the shock is to the budget alone
    assert executive.budget_left[0] == 5.0 and shocked.budget_left[0] in (5.0, pytest.approx(2.0))


def test_make_player_refuses_what_the_data_does_not_hold(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="nowhere"):
        make_executive(Config.model_validate({"replay": {"alfred": str(tmp_path / "nowhere")}}))
    with pytest.raises(InputError, match="gpt9"):
        make_executive(Config.model_validate({"orchestrator": {"profile": "gpt9"}}))
