"""replay_node in this process: it carries out the decision for its own state, and nothing else."""

import pytest

from rarrl.events import ActEvent, read_events
from rarrl.types import Action, Decision

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from rarrl_nodes import conversions, key_values
from rarrl_nodes.conversions import DecisionMessage
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.replay_node import ReplayNode


@pytest.fixture
def robot(ear, local_node, tmp_path):
    """The node at a high speed, and a way to send it decisions."""
    node = local_node(
        ReplayNode,
        replay__episodes=1,
        replay__speed=1000.0,
        orchestrator__decision_timeout_s=1.0,
        run_dir=str(tmp_path / "run"),
    )
    publisher = ear.node.create_publisher(DiagnosticArray, "decision", LATCHED)
    assert ear.until(lambda: publisher.get_subscription_count() > 1 and ear.heard["state"])

    def send(state, action=Action.ACT, run=None, changes=None):
        run = run or ear.values("state")[-1]["run"]
        message = DecisionMessage(run, state, 0, Decision(state, action, 5.0, "test"), 20.0, 4000.0)
        values = {**conversions.values_from_decision(message), **(changes or {})}
        publisher.publish(key_values.array("orchestrator_node: decision", values, Time()))

    node.send = send
    return node


def state(ear):
    """Number and phase of the last state heard."""
    values = ear.values("state")[-1]
    return int(values["state"]), values["phase"]


def test_the_decision_for_the_present_state_is_carried_out_once(ear, robot):
    assert state(ear) == (1, "waiting")
    robot.send(1)
    robot.send(1)
    assert ear.until(lambda: state(ear) == (2, "waiting"))
    values = ear.values("state")[-1]
    assert (values["outcome_id"], values["outcome_action"], values["step"]) == ("1", "ACT", "1")
    robot.send(2, Action.PLANNER_1)
    assert ear.until(lambda: state(ear) == (3, "waiting"))
    values = ear.values("state")[-1]
    assert values["outcome_action"] == "PLANNER_1" and float(values["time_left_s"]) < 20.0


def test_other_decisions_are_ignored_and_counted(ear, robot):
    robot.send(1, run="another")
    assert ear.until(lambda: robot._client.ignored == 1)
    for change in ({"action": "PANIC"}, {"deadline_s": "nan"}, {"level": "9"}, {"id": "x" * 20_000}):
        before = robot._client.ignored
        robot.send(1, changes=change)
        assert ear.until(lambda before=before: robot._client.ignored == before + 1), change
    robot.send(7)  # of a state to come
    assert not ear.until(lambda: state(ear)[0] > 1, 0.5)
    assert ear.until(lambda: any("decisions_ignored" in [v.key for v in s.values] for s in statuses(ear)))


def statuses(ear):
    return ear.statuses("replay_node: episodes")


def test_a_silent_orchestrator_is_told(ear, robot):
    assert ear.until(
        lambda: any(
            s.level == DiagnosticStatus.STALE and "orchestrator_node silent" in s.message for s in statuses(ear)
        ),
        5.0,
    )


def test_deactivated_it_pauses_amid_a_decision(ear, robot):
    assert robot.set_parameters([Parameter("replay.speed", value=0.01)])[0].successful
    robot.send(1)
    assert ear.until(lambda: robot._robot.report.phase.value == "executing")
    assert robot.trigger_deactivate() is TransitionCallbackReturn.SUCCESS
    assert robot.set_parameters([Parameter("replay.speed", value=1000.0)])[0].successful
    assert not ear.until(lambda: state(ear)[0] > 1, 0.5)
    assert robot.trigger_activate() is TransitionCallbackReturn.SUCCESS
    assert ear.until(lambda: state(ear) == (2, "waiting"))


def test_the_log_follows(ear, robot, tmp_path):
    for number in range(1, 4):
        robot.send(number)
        assert ear.until(lambda number=number: state(ear)[0] == number + 1)
    acts = [e for e in read_events(tmp_path / "run").events if isinstance(e, ActEvent)]
    assert [a.decision for a in acts] == [1, 2, 3] and all(a.t1 > a.t0 for a in acts)
