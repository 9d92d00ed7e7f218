"""What a robot accepts of the orchestrator's messages, and what it counts as ignored."""

from dataclasses import replace

import pytest

from rarrl.alfred import SubgoalType, step_views
from rarrl.config import OrchestratorConfig
from rarrl.decision_loop import Phase, Report
from rarrl.events import RunEvent, read_events
from rarrl.reasoner.base import Answer
from rarrl.skills.plan import Plan
from rarrl.types import Action, Budget, CallStatus, Decision, Role, StateSummary

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from builtin_interfaces.msg import Time

from rarrl_nodes import conversions, key_values
from rarrl_nodes.conversions import AnswerMessage, Asked, DecisionMessage
from rarrl_nodes.decision_client import (
    GRACE_S,
    DecisionClient,
    no_answer,
    open_log,
    patience_s,
    state_message,
    state_period_s,
)

REPORT = Report(
    run="mine",
    number=3,
    phase=Phase.WAITING,
    episode=0,
    summary=StateSummary(step_views((SubgoalType.GotoLocation,)), 0, 1, 10),
    budget=Budget(20.0, 4000.0, 20.0, 4000.0),
    outcome=None,
)
THINK = Decision(3, Action.PLANNER_1, 5.0, "test")
ASKED = Asked("mine", 3, 3, Action.PLANNER_1)
ANSWER = Answer(3, Role.PLANNER, 1, CallStatus.INVALID, seconds=0.2, backend="test")


def decision(run="mine", state=3):
    message = DecisionMessage(run, state, 0, THINK, 20.0, 4000.0)
    return key_values.array("o: decision", conversions.values_from_decision(message), Time())


def answer(run="mine", state=3, of=ANSWER):
    return key_values.array("o: answer", conversions.values_from_answer(AnswerMessage(run, state, of)), Time())


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def client(warnings):
    return DecisionClient(warnings.append)


def test_a_decision_for_this_run_is_accepted_and_is_a_sign_of_life(client):
    assert client.decision(decision(), REPORT).decision == THINK
    assert client.decision(decision(state=1), REPORT).state == 1  # latched: for an earlier state
    assert client.ignored == 0
    assert client.heartbeat.silent_s(1e12) is not None


@pytest.mark.parametrize("msg", [decision(run="another"), key_values.array("o: decision", {"schema": "9"}, Time())])
def test_decisions_of_other_runs_and_malformed_ones_are_ignored_and_no_sign_of_life(client, warnings, msg):
    assert client.decision(msg, REPORT) is None
    assert (client.ignored, warnings) == (1, [client.last_ignored])
    assert client.heartbeat.silent_s(1e12) is None


def test_a_second_question_is_ignored(client):
    thinking = replace(REPORT, summary=replace(REPORT.summary, thinking=True))
    assert client.decision(decision(), thinking) is None
    assert client.decision(decision(state=2), thinking).state == 2  # latched: the one that is open
    assert "only ACT is due" in client.last_ignored and client.ignored == 1


@pytest.mark.parametrize("asked", [ASKED, replace(ASKED, withdrawn=True)])
def test_an_answer_to_what_was_asked_is_accepted_also_where_it_was_withdrawn(client, asked):
    accepted = client.answer(answer(), asked)
    assert (accepted.decision, accepted.status) == (3, CallStatus.INVALID)


@pytest.mark.parametrize(("msg", "asked"), [(answer(run="another"), ASKED), (answer(state=2), ASKED), (answer(), None)])
def test_answers_that_nobody_awaits_are_ignored(client, msg, asked):
    assert client.answer(msg, asked) is None
    assert client.ignored == 1


@pytest.mark.parametrize("row", [["navigate", "desk"], ["PickupObject"], ["PutObject", "mug"]])
def test_a_plan_of_another_robot_is_ignored(client, row):
    plan = replace(ANSWER, status=CallStatus.OK, plan=Plan.from_rows([row]))
    assert client.answer(answer(of=plan), ASKED) is None
    assert "a plan of another robot" in client.last_ignored


@pytest.mark.parametrize("change", [{"decision": 2}, {"role": Role.VERIFIER}, {"level": 2}])
def test_an_answer_to_another_decision_or_role_or_level_does_not_count(client, change):
    assert client.answer(answer(of=replace(ANSWER, **change)), ASKED) is None
    assert "not to 3" in client.last_ignored


def test_equal_reasons_warn_once_and_count_each_time(client, warnings):
    for reason in ("a", "a", "b", "a"):
        client.ignore(reason)
    assert warnings == ["a", "b", "a"]
    assert client.ignored == 4


def test_no_answer_is_a_timeout_after_the_deadline_and_the_grace():
    assert patience_s(THINK) == 5.0 + GRACE_S
    late = no_answer(THINK)
    assert (late.decision, late.role, late.level, late.status) == (3, Role.PLANNER, 1, CallStatus.TIMEOUT)
    assert late.seconds == 5.0  # the deadline is what the budget is charged
    with pytest.raises(AssertionError):
        no_answer(replace(THINK, action=Action.ACT))


def test_the_state_is_repeated_several_times_within_the_orchestrators_timeout():
    assert state_period_s(0.3) == pytest.approx(0.1)
    assert state_period_s(60.0) == 1.0


def test_the_state_message_is_read_back_as_the_report():
    msg = state_message("replay_node", REPORT, Time(sec=5))
    assert (msg.status[0].name, msg.status[0].message, msg.header.stamp.sec) == ("replay_node: state", "waiting", 5)
    assert conversions.report_from_values(key_values.values_of(msg)) == REPORT


def test_the_log_begins_with_the_settings_of_the_run(tmp_path):
    config = OrchestratorConfig(policy="always", cost_weight=0.25)
    open_log(tmp_path, config, seed=7, speed=2.0).close()
    run = read_events(tmp_path).run
    assert isinstance(run, RunEvent)
    assert (run.policy, run.cost_weight, run.seed, run.speed, run.source) == ("always", 0.25, 7, 2.0, "graph")
