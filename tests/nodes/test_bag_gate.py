"""The gate's part of a bag: what it takes and refuses, on the bag's own clock. No ROS."""

from pathlib import Path

import pytest

pytest.importorskip("mcap_ros2", reason="mcap is missing: pip install 'rarrl[record]'")
from bag_fixtures import ARRAY, TWIST, header, twist, write_bag

from rarrl.bag.reader import Bag
from rarrl.errors import InputError
from rarrl.supervision.modes import Mode
from rarrl.types import GateAction, GateReason
from rarrl_nodes.bag_gate import GatePlayer, play_gate

SCAN = "sensor_msgs/msg/LaserScan"
ODOM = "nav_msgs/msg/Odometry"
EVENT = "lifecycle_msgs/msg/TransitionEvent"
TOPICS = {name: f"/{name}" for name in ("command", "scan", "odom", "cmd_vel")}
ACTIVE = "safety_gate_node/transition_event"


def scan(at_s, range_m=5.0, frame="stereo_scan"):
    zeros = {"time_increment": 0.0, "scan_time": 0.0, "range_min": 0.05, "range_max": 8.0, "intensities": []}
    return {"header": header(at_s, frame), "angle_min": -1.0, "angle_max": 1.0, "angle_increment": 0.05, **zeros} | {
        "ranges": [range_m] * 41
    }


def odom(at_s, x=0.0, frame="base_link"):
    vector = {"x": 0.0, "y": 0.0, "z": 0.0}
    pose = {"position": {**vector, "x": x}, "orientation": {**vector, "w": 1.0}}
    return {
        "header": header(at_s, "odom"),
        "child_frame_id": frame,
        "pose": {"pose": pose, "covariance": [0.0] * 36},
        "twist": {"twist": {"linear": vector, "angular": vector}, "covariance": [0.0] * 36},
    }


def event(label):
    state = {"id": 1, "label": label}
    return {"timestamp": 0, "transition": state, "start_state": state, "goal_state": state}


def bag_of(path, seconds=2.0, command=0.2, more=(), **of_scan):
    """A base that is asked to drive ahead for `seconds`, at 20 Hz, from 100 s on."""
    messages = []
    for step in range(round(seconds * 20)):
        at = 100.0 + step / 20
        messages += [
            ("/odom", ODOM, odom(at), at),
            ("/scan", SCAN, scan(at, **of_scan), at + 0.001),
            ("/command", TWIST, twist(at, command), at + 0.002),
            ("/cmd_vel", TWIST, twist(at + 0.003), at + 0.003),
        ]
    return Bag(write_bag(path, sorted([*messages, *more], key=lambda message: message[3])))


def test_free_space_lets_it_speed_up(tmp_path):
    ticks, refused = play_gate(bag_of(tmp_path / "a.mcap", 0.4), {}, TOPICS)
    speeds = [tick.result.v for tick in ticks]
    assert speeds[0] >= 0.0 and speeds == sorted(speeds) and speeds[-1] > 0.1 and not refused
    assert ticks[2].at_s == pytest.approx(0.103) and ticks[2].was == (0.0, 0.0)


def test_a_wall_stops_it(tmp_path):
    ticks, _ = play_gate(bag_of(tmp_path / "a.mcap", 0.4, range_m=0.1), {}, TOPICS)
    assert {tick.result.action for tick in ticks} == {GateAction.STOP}
    assert ticks[-1].result.reason is GateReason.BLOCKED


def test_a_dry_run_sends_zero_and_judges(tmp_path):
    ticks, _ = play_gate(bag_of(tmp_path / "a.mcap", 0.4), {"dry_run": True}, TOPICS)
    assert {tick.sent for tick in ticks} == {(0.0, 0.0)} and ticks[-1].result.v > 0.1


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("/scan", SCAN, scan(100.2, frame="elsewhere"), 100.2), GateReason.WRONG_FRAME),
        (("/odom", ODOM, odom(100.2, frame="arm"), 100.21), GateReason.WRONG_FRAME),
    ],
)
def test_frames_that_are_not_known_stop_it(tmp_path, more, reason):
    ticks, refused = play_gate(bag_of(tmp_path / "a.mcap", 0.4, more=[more]), {}, TOPICS)
    assert ticks[-1].result.reason is reason and refused.total() == 1


def test_messages_that_came_late_are_refused(tmp_path):
    late = [
        ("/odom", ODOM, odom(100.3), 101.9),
        ("/scan", SCAN, scan(100.3), 101.9),
        ("/command", TWIST, twist(200.0), 101.9),
    ]
    _, refused = play_gate(bag_of(tmp_path / "a.mcap", 2.0, more=late), {}, TOPICS)
    assert refused == {"odom: out of order": 1, "scan: out of order": 1, "command: future": 1}


def test_it_starts_anew_when_it_was_activated(tmp_path):
    name = f"/{ACTIVE}"
    more = [(name, EVENT, event("inactive"), 100.105), (name, EVENT, event("activating"), 100.255)]
    ticks, _ = play_gate(bag_of(tmp_path / "a.mcap", 0.5, more=more), {}, {**TOPICS, ACTIVE: name})
    assert len(ticks) == 7  # while it was not active it said nothing
    assert ticks[2].result.v > 0.0 and ticks[3].result.v <= ticks[2].result.v  # from a standstill


def test_a_gate_that_was_silent_at_first_was_activated_later(tmp_path):
    """Its transition was not recorded; what it would have heard before, it does not know."""
    early = [("/scan", SCAN, scan(98.0, 0.1), 98.0), ("/command", TWIST, twist(98.0, 0.2), 98.0)]
    early += [("/odom", ODOM, odom(98.0, x=30.0), 98.0)]
    ticks, refused = play_gate(bag_of(tmp_path / "a.mcap", 0.4, more=early), {}, TOPICS)
    assert ticks[0].result.reason is GateReason.NO_COMMAND and ticks[-1].result.v > 0.1 and not refused


def test_the_supervisors_stop_is_heeded(tmp_path):
    def mode(text):
        values = [{"key": "schema", "value": "1"}, {"key": "mode", "value": text}]
        status = {"level": 0, "name": "supervisor", "message": "no scan", "hardware_id": "", "values": values}
        return {"header": header(100.0), "status": [status]}

    more = [("/mode", ARRAY, mode(Mode.STOP.label), 100.105), ("/mode", ARRAY, mode("normal"), 100.305)]
    ticks, _ = play_gate(bag_of(tmp_path / "a.mcap", 0.5, more=more), {}, {**TOPICS, "mode": "/mode"})
    stopped = [tick.result.reason is GateReason.SUPERVISOR for tick in ticks]
    assert stopped == [False] * 3 + [True] * 4 + [False] * 3 and ticks[4].result.detail == "no scan"


def test_a_sensor_placed_by_tf_is_not_played():
    with pytest.raises(InputError, match="TF"):
        GatePlayer({"gate.sensor_from_tf": True})


def test_it_needs_no_ros():
    source = (Path(__file__).resolve().parents[2] / "nodes" / "bag_gate.py").read_text()
    assert "rclpy" not in source and "_msgs.msg import" not in source
