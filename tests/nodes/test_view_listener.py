"""The view of a running graph: what it hears, when it listens, and the two buttons."""

import threading
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from nav_msgs.msg import Odometry
from std_srvs.srv import Trigger

from rarrl.clock import ManualClock
from rarrl.config import Config
from rarrl.decision_loop import EpisodeRunner
from rarrl.errors import InputError
from rarrl_nodes import conversions, key_values
from rarrl_nodes.bag_decisions import make_session
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.orchestrator_node import OrchestratorNode
from rarrl_nodes.view_listener import listening
from rarrl_sim_envs.alfred.make import make_executive


@pytest.fixture
def view(ros, namespace):
    with listening(namespace) as opened:
        yield opened


def within(ear, condition, seconds=30.0):
    assert ear.until(condition, seconds), "not so in time"


def press(ear, button):
    """What the button says, which is pressed in a thread of the server's while nodes go on."""
    said = []
    thread = threading.Thread(target=lambda: said.append(button()))
    thread.start()
    within(ear, lambda: not thread.is_alive())
    return said[0]


def test_a_graph_is_seen_and_can_be_paused(ear, local_node, view):
    local_node(OrchestratorNode)
    within(ear, lambda: view.look().story.policy == "learned")
    within(ear, lambda: not view.look().controls.no_pause and not view.look().controls.no_think)

    robot, session = EpisodeRunner(make_executive(Config()), ManualClock(), run="a"), make_session(Config())
    report = robot.begin(0)
    tell(ear, report)
    within(ear, lambda: view.look().story.reason is not None and view.look().story.reason.options)
    shown = view.look().story
    assert len(shown.steps) == len(report.summary.subgoals) and shown.time_budget_s == report.budget.initial_time_s
    assert shown.bars[-1].t1_s is None and [option.chosen for option in shown.reason.options].count(True) == 1

    assert press(ear, lambda: view.pause(True)) == "" and view.look().controls.paused
    decided = len(ear.heard["decision"])
    robot.execute(session.answer(report))
    report = robot.complete()
    tell(ear, report)
    within(ear, lambda: view.look().story.bars[-1].t1_s is not None)
    assert len(ear.heard["decision"]) == decided, "paused: nothing is decided"

    assert press(ear, view.think_now) == ""
    assert press(ear, lambda: view.pause(False)) == "" and not view.look().controls.paused
    tell(ear, report)
    within(ear, lambda: view.look().story.reason.label == "THINK(planner, 1)")
    assert press(ear, lambda: view.pause(False)) == "it is not paused"


def tell(ear, report):
    ear.state.publish(
        key_values.array("test", conversions.values_from_report(report), ear.node.get_clock().now().to_msg())
    )


def test_what_comes_often_is_heard_only_while_somebody_watches(ear, view):
    odom = ear.node.create_publisher(Odometry, "odom", 5)
    latched = ear.node.create_publisher(type(key_values.array("x", {}, Odometry().header.stamp)), "mode", LATCHED)
    within(ear, lambda: latched.get_subscription_count() == 1)
    assert odom.get_subscription_count() == 0
    view.watch(True)
    within(ear, lambda: odom.get_subscription_count() == 1)
    msg = Odometry()
    msg.pose.pose.position.x, msg.pose.pose.orientation.w = 1.5, 1.0

    def seen():
        odom.publish(msg)
        pose = view.look().moment.pose
        return pose is not None and pose[0] == 1.5

    within(ear, seen)
    view.watch(False)
    within(ear, lambda: odom.get_subscription_count() == 0)


def test_the_executive_is_asked_to_pause_before_the_orchestrator(ear, view):
    asked = []

    def serve(name):
        def answer(_, response):
            asked.append(name)
            response.success, response.message = name != "executive_node/resume", "there is nothing to resume"
            return response

        ear.node.create_service(Trigger, name, answer)

    for name in ("orchestrator_node/pause", "orchestrator_node/resume"):
        serve(name)
    within(ear, lambda: not view.look().controls.no_pause)
    assert [press(ear, lambda wanted=wanted: view.pause(wanted)) for wanted in (True, False)] == ["", ""]
    assert asked == ["orchestrator_node/pause", "orchestrator_node/resume"] and not view.look().controls.paused

    for name in ("executive_node/resume", "executive_node/pause"):
        serve(name)
    within(ear, lambda: press(ear, lambda: view.pause(True)) == "" and asked[-1] == "executive_node/pause")
    assert press(ear, lambda: view.pause(False)) == "there is nothing to resume"
    assert asked[-1] == "executive_node/resume" and view.look().controls.paused


def test_without_a_robot_the_buttons_say_so(view):
    deadline = time.monotonic() + 10
    while not view.look().controls.no_pause:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "no node" in view.pause(True) and view.look().controls.no_think == "no orchestrator_node is there"


def test_a_namespace_that_cannot_be_one(ros):
    with pytest.raises(InputError, match="--namespace 'a b' is not allowed"), listening("a b"):
        pass
