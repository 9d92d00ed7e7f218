"""Heartbeats as messages, and that a node sends them."""

import os
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from rarrl.supervision.events import Beat, Life
from rarrl_nodes.heartbeat import HEARD, MAX_WHY, TOPIC, beat_of, message_of
from rarrl_nodes.orchestrator_node import OrchestratorNode


@pytest.mark.parametrize(
    "beat",
    [
        Beat("policy_node", 7, Life.ACTIVE),
        Beat("policy_node", 4_000_000, Life.UNCONFIGURED, "config: no such folder", refused=True),
        Beat("orchestrator_node", 7, Life.ACTIVE, troubles={"reasoner": "the worker ended", "memory": "full"}),
    ],
)
def test_a_heartbeat_comes_back_as_it_was(beat):
    assert beat_of(message_of(beat)) == beat


def test_a_long_reason_is_cut_and_its_end_is_kept():
    beat = beat_of(message_of(Beat("a", 7, Life.UNCONFIGURED, "x" * 2000 + " the cause")))
    assert len(beat.failure) == MAX_WHY and beat.failure.endswith("the cause")


def message(state="active", **texts):
    values = [KeyValue(key=key, value=text) for key, text in texts.items()]
    return DiagnosticStatus(name="a", message=state, values=values)


@pytest.mark.parametrize(
    "msg",
    [
        message(),
        message(pid=""),
        message(pid="-3"),
        message(pid="0"),
        message(pid="9" * 400),
        message(pid="7", state="asleep"),
        message(pid="7", failure="x" * 5000),
        message(pid="7", **{f"key{n}": "" for n in range(50)}),
    ],
)
def test_what_is_no_heartbeat_is_refused(msg):
    with pytest.raises(ValueError, match=r".+"):
        beat_of(msg)


def test_a_node_beats_by_itself_and_says_what_becomes_of_it(ear, local_node):
    beats = []
    ear.node.create_subscription(DiagnosticStatus, TOPIC, lambda msg: beats.append(beat_of(msg)), HEARD)
    node = local_node(OrchestratorNode, start=False)
    assert ear.until(lambda: len(beats) >= 3)
    assert beats[-1] == Beat("orchestrator_node", os.getpid(), Life.UNCONFIGURED)

    node.trigger_configure()
    node.trigger_activate()
    assert ear.until(lambda: beats[-1].life is Life.ACTIVE)
    assert Life.CHANGING in [beat.life for beat in beats], "a supervisor knows why it is silent for a while"

    node._reasoner = SimpleNamespace(down="the worker ended", close=lambda: None)
    assert ear.until(lambda: beats[-1].troubles == {"reasoner": "the worker ended"})
    node.trigger_deactivate()
    assert ear.until(lambda: beats[-1].life is Life.INACTIVE and not beats[-1].troubles)
    node.end()
    assert ear.until(lambda: beats[-1].life is Life.FINALIZED)
