"""The bare node beside one of ours: it finds what that one hears and says, and says the same elsewhere."""

import os

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from rclpy.node import Node
from std_msgs.msg import String

from rarrl.errors import RarrlError
from rarrl_nodes.faults import bare_node, soak
from rarrl_nodes.faults.station import Station, own_domain
from rarrl_nodes.lifecycle import LATCHED


@pytest.fixture
def station():
    with own_domain():
        station = Station("talker")
        yield station
        station.close()


@pytest.fixture
def model(station):
    """A node that hears one topic and says another."""
    node = Node("model", context=station._context, start_parameter_services=False)
    node.create_subscription(String, "heard", lambda _: None, 1)
    node.said = node.create_publisher(String, "said", LATCHED)
    yield node
    node.destroy_node()


def test_what_a_node_hears_and_says_is_found(station, model):
    heard, said = bare_node.settled(station.node, station.listen, "model")
    assert [topic for topic, _ in heard] == ["/heard"] and [topic for topic, _ in said] == ["/said"]
    assert said[0][1].qos_profile.durability is LATCHED.durability


def test_a_node_that_is_not_there_is_an_error(station, monkeypatch):
    monkeypatch.setattr(bare_node, "FIND_S", 0.5)
    with pytest.raises(RarrlError, match="a node nobody"):
        bare_node.settled(station.node, station.listen, "nobody")


def test_its_process_says_again_what_the_model_says_and_ends(station, model):
    again = []
    station.node.create_subscription(String, f"{bare_node.OURS}/said", lambda msg: again.append(msg.data), LATCHED)
    with soak.bare_nodes(station, ["model"]) as processes:
        assert list(processes) == [f"{soak.BARE}model"]
        (pid,) = processes.values()
        model.said.publish(String(data="word"))
        station.need(lambda: again == ["word"], "nothing is said again")
        assert soak.sample(pid) is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
