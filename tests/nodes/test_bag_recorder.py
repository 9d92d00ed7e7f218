"""Recording: every message as it came over the wire, whatever its quality of service; a full disk; a whole graph."""

import time
from pathlib import Path

import pytest

pytest.importorskip("mcap_ros2", reason="mcap is missing: pip install 'rarrl[record]'")
pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Empty, String

from rarrl.bag.reader import Bag
from rarrl.bag.writer import BagWriter, Topic
from rarrl.errors import InputError
from rarrl_nodes import asked_settings, bag_recorder
from rarrl_nodes.bag_recorder import BagQueue, Recorder
from rarrl_nodes.bag_replay import replay_bag
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.safety_gate_node import SafetyGateNode

BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


def test_every_kind_of_publisher_is_heard(ear, namespace, tmp_path):
    latched = ear.node.create_publisher(String, "goal", LATCHED)
    latched.publish(String(data="said before"))
    command = ear.node.create_publisher(TwistStamped, "command", BEST_EFFORT)
    alive = ear.node.create_publisher(Empty, "alive", 1)
    ear.node.create_publisher(String, "of_no_interest", 1)
    extra = ear.node.create_publisher(String, "extra", 1)

    queue = BagQueue(BagWriter(tmp_path / "bag", "jazzy"))
    Recorder(ear.node, queue, more=[f"{namespace}/extra"])
    topics = (command, alive, extra)
    assert ear.until(lambda: all(publisher.get_subscription_count() for publisher in topics))
    for number in range(20):
        message = TwistStamped()
        message.twist.linear.x = number / 10
        command.publish(message)
        alive.publish(Empty())
        extra.publish(String(data=str(number)))
        ear.executor.spin_once(timeout_sec=0.01)
    assert ear.until(lambda: queue.writer.messages >= 61)
    queue.close()

    bag = Bag(tmp_path / "bag")
    counts = {name.removeprefix(f"{namespace}/"): count for name, count in bag.counts.items()}
    assert (counts["command"], counts["alive"], counts["extra"], counts["goal"]) == (20, 20, 20, 1)
    assert "of_no_interest" not in counts and not queue.dropped and not queue.failure
    speeds = [message.value.twist.linear.x for message in bag.messages({f"{namespace}/command"})]
    assert speeds == [number / 10 for number in range(20)]
    assert all(
        abs(m.log_s - time.time()) < 60 and m.publish_s <= m.log_s + 0.01
        for m in bag.messages({f"{namespace}/command"})
    )


def test_others_read_every_message_by_the_definitions_in_the_bag(ear, namespace, tmp_path):
    rosbags = pytest.importorskip("rosbags.rosbag2", reason="rosbags is missing: pip install 'rarrl[dev]'")
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    queue = BagQueue(BagWriter(tmp_path / "bag"))
    Recorder(ear.node, queue)
    state = ear.node.create_publisher(DiagnosticArray, "state", LATCHED)
    state.publish(DiagnosticArray())
    assert ear.until(lambda: queue.writer.messages >= 1)
    queue.close()

    known = get_typestore(Stores.ROS2_JAZZY)
    with rosbags.Reader(tmp_path / "bag") as reader:
        stores = {connection.msgtype: get_typestore(Stores.EMPTY) for connection in reader.connections}
        for connection in reader.connections:
            store = stores[connection.msgtype]
            store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
            # REP 2016: the hash is of the whole definition, with all that it is made of.
            assert store.hash_rihs01(connection.msgtype) == known.hash_rihs01(connection.msgtype) == connection.digest
            assert connection.ext.offered_qos_profiles
        read = [stores[each.msgtype].deserialize_cdr(data, each.msgtype) for each, _, data in reader.messages()]
        assert len(read) == reader.message_count >= 1


def test_settings_are_asked_for_and_secrets_left_out(ear, local_node, namespace, tmp_path):
    local_node(SafetyGateNode, gate__max_speed_mps=0.3)
    queue = BagQueue(BagWriter(tmp_path / "bag"))
    Recorder(ear.node, queue)
    name = "rarrl/settings/safety_gate_node.json"

    def told():
        queue.writer.flush()
        return name in Bag(queue.writer.path).attachments

    assert ear.until(told)
    queue.close()
    assert Bag(tmp_path / "bag").attachments[name] == b'{"gate.max_speed_mps": 0.3}'
    assert asked_settings.needed("orchestrator.policy") and asked_settings.needed("language_model.call_timeout_s")
    assert not asked_settings.needed("language_model.headers") and not asked_settings.needed("autostart")


def test_what_the_disk_cannot_keep_up_with_is_dropped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(bag_recorder, "MAX_QUEUED", 1000)
    queue = BagQueue(BagWriter(tmp_path / "bag"))
    number = queue.add(Topic("/x", "std_msgs/msg/Empty"))
    with queue._lock:  # the writer waits
        for _ in range(3):
            queue._waiting += 400
    queue.put(number, 1, 1, bytes(10))
    assert queue.dropped == 1
    queue._waiting = 0
    queue.put(number, 1, 1, bytes(10))
    queue.close()
    assert Bag(tmp_path / "bag").counts == {"/x": 1}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_ends_the_recording_and_says_so(tmp_path):
    writer = BagWriter(tmp_path / "bag")
    queue = BagQueue(writer)
    number = queue.add(Topic("/x", "std_msgs/msg/Empty"))
    queue.put(number, 1, 1, bytes(10))
    with Path("/dev/full").open("wb", buffering=0) as full:
        writer._writer._Writer__stream = full  # from here on the disk is full
        end = time.monotonic() + 10.0
        while not queue.failure and time.monotonic() < end:
            queue.put(number, 1, 1, bytes(1 << 20))
        queue.put(number, 1, 1, bytes(10))
        queue.close()
    assert "No space left on device; the robot goes on" in queue.failure and queue.dropped >= 1


def test_a_folder_that_is_taken_is_refused_before_anything_starts(tmp_path):
    from rarrl_nodes.bag_run import recording
    from rarrl_nodes.run import environment_for

    (tmp_path / "notes.txt").touch()
    said = []
    with (
        pytest.raises(InputError, match="before it began"),
        recording(tmp_path, False, environment_for(None)[0], said.append),
    ):
        raise AssertionError("the block was entered")
    assert any("not empty" in line for line in said)


@pytest.mark.slow
def test_a_robot_is_recorded_and_replayed(tmp_path):
    from bag_robot import drive

    said = []
    moved, _ = drive(tmp_path / "bag", 6.0, said.append)
    bag = Bag(tmp_path / "bag")
    assert bag.whole and moved > 0 and "recorded" in said[-1]
    assert (tmp_path / "bag" / "metadata.yaml").exists()
    replay = replay_bag(bag)
    compared = {each.part: each for each in replay.comparisons}
    assert compared["decisions"].different == 0 < compared["decisions"].compared
    assert compared["gate"].compared > 50 and compared["gate"].different < 0.3 * compared["gate"].compared
