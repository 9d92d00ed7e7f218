"""Why a decision was taken: what else there was to choose, and what it would have cost."""

import numpy as np
import pytest

from rarrl.build import make_orchestrator
from rarrl.clock import ManualClock
from rarrl.config import config_from_flat
from rarrl.decision_loop import play_episode
from rarrl.types import Action
from rarrl.view.weighing import WatchedSession
from rarrl_sim_envs.alfred.make import make_executive


def weighed(policy, episode=0):
    """(decision, reason) of each decision of an episode, and its orchestrator."""
    config = config_from_flat({"orchestrator.policy": policy, "replay.seed": 3}, "test")
    orchestrator, found = make_orchestrator(config.orchestrator), []
    session = WatchedSession(orchestrator, lambda decision, reason: found.append((decision, reason)))
    play_episode(make_executive(config), orchestrator, episode, ManualClock(), session=session)
    return found, orchestrator


def test_a_learned_policy_says_how_likely_it_took_each_choice():
    found, _ = weighed("learned")
    assert [decision.id for decision, _ in found] == list(range(1, len(found) + 1))
    for decision, reason in found:
        assert [option.label for option in reason.options] == [action.label for action in Action]
        chosen = [option for option in reason.options if option.chosen]
        assert [option.label for option in chosen] == [decision.action.label] and chosen[0].allowed
        assert sum(option.probability for option in reason.options) == pytest.approx(1.0)
        assert chosen[0].probability == max(option.probability for option in reason.options)
        assert all(option.probability == 0.0 for option in reason.options if not option.allowed)
        assert (reason.decision, reason.why) == (decision.id, decision.why)


def test_each_choice_has_its_expected_cost_and_price():
    found, orchestrator = weighed("learned")
    act, *thinks = found[0][1].options
    assert (act.seconds, act.tokens, act.price) == (0.0, 0.0, 0.0)
    assert np.allclose([option.seconds for option in thinks], orchestrator.costs.mean_s)
    assert np.allclose([option.tokens for option in thinks], orchestrator.costs.mean_tokens)
    assert np.allclose([option.price for option in thinks], orchestrator.cost_weight * orchestrator.costs.mean_s)


def test_a_rule_has_no_probabilities():
    found, _ = weighed("after_failure")
    assert all(option.probability is None for _, reason in found for option in reason.options)
    assert all(reason.value is None and reason.policy for _, reason in found)


def test_watching_changes_no_decision():
    found, _ = weighed("learned")
    config = config_from_flat({"orchestrator.policy": "learned", "replay.seed": 3}, "test")
    alone, plain = make_orchestrator(config.orchestrator), []
    play_episode(make_executive(config), alone, 0, ManualClock(), plain.append)
    decisions = [event for event in plain if event.type in ("act", "think")]
    assert [decision.id for decision, _ in found] == [event.decision for event in decisions]
    assert [decision.why for decision, _ in found] == [event.why for event in decisions]
