"""Types by name, goals from templates, fields of results; with messages that pip installs everywhere."""

import math

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Pose2D, PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Path
from sensor_msgs.msg import CameraInfo, JointState, Joy, NavSatFix, Range
from std_msgs.msg import Header, UInt8
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from rarrl.errors import InputError
from rarrl_nodes import ros_types
from rarrl_nodes.ros_types import Frame, fill
from rarrl_nodes.skill_events import Spot

DESK = Spot("desk", "office", "map", (1.0, 2.0, math.pi))


@pytest.mark.parametrize(
    "name, kind, says",
    [
        ("std_srvs/srv/Triger", "srv", "did you mean 'Trigger'"),
        ("std_srv/srv/Trigger", "srv", r"std_srv is not installed.*did you mean 'std_srvs'.*apt install ros-.*std-srv"),
        ("nav9_msgs/action/NavigateToPose", "action", "apt install ros-.*-nav9-msgs.*colcon build"),
        ("std_srvs/srv/Trigger", "action", "of kind srv; here stands one of kind action"),
        ("std_msgs/action/String", "action", "std_msgs holds no type of kind action"),
        ("std_msgs/String", "msg", "no name of a ROS type .*std_msgs/msg/String"),
        ("os/msg/Path", "msg", "os"),
        ("std_msgs/msg/Metaclass_String", "msg", "no type"),
    ],
)
def test_a_type_that_is_not_there_is_refused_with_the_way_out(name, kind, says):
    with pytest.raises(InputError, match=says):
        ros_types.load_type(name, kind, "skill x")


def test_types_are_found_by_name():
    assert ros_types.load_type("std_srvs/srv/SetBool", "srv") is SetBool
    assert ros_types.load_type("geometry_msgs/msg/PoseStamped") is PoseStamped
    assert "geometry_msgs" in ros_types.installed_packages()


def test_a_goal_is_filled_from_nested_fields_lists_and_arguments():
    template = {
        "header": {"frame_id": "{place.room}", "stamp": "now"},
        "status": [
            {"name": "{thing}", "level": 2, "message": "take {thing} to {place}, {count} times"},
            {"name": "b", "values": [{"key": "n", "value": "{count}"}]},
        ],
    }
    msg = fill(DiagnosticArray(), template, {"thing": "soda", "place": DESK, "count": 3}, Frame(stamp=(7, 8)))
    assert (msg.header.frame_id, msg.header.stamp.sec, msg.header.stamp.nanosec) == ("office", 7, 8)
    assert msg.status[0].message == "take soda to desk, 3 times"
    assert msg.status[0].level == b"\x02"
    assert msg.status[1].values == [KeyValue(key="n", value="3")]


def test_numbers_keep_their_type():
    msg = fill(JointState(), {"position": ["{a}", 1, 0.5]}, {"a": 2})
    assert list(msg.position) == [2.0, 1.0, 0.5]
    assert list(fill(Joy(), {"buttons": ["{a}", 4.0]}, {"a": 3.0}).buttons) == [3, 4]
    assert fill(SetBool.Request(), {"data": True}, {}).data is True
    assert fill(CameraInfo(), {"k": [1.0] * 9}, {}).k.shape == (9,)


def test_a_pose_fills_a_message_as_a_whole():
    msg = fill(
        PoseWithCovarianceStamped(), {"header": {"frame_id": "odom"}, "pose": {"pose": "{place.pose}"}}, {"place": DESK}
    )
    assert (msg.header.frame_id, msg.pose.pose.position.x) == ("odom", 1.0)
    assert msg.pose.pose.orientation.z == pytest.approx(1.0)

    pose = fill(
        Path(), {"poses": ["{place.pose}", {"pose": {"x": 1, "y": "{place.y}"}}]}, {"place": DESK}, Frame("map", (5, 6))
    )
    stamped, written = pose.poses
    assert (stamped.header.frame_id, stamped.header.stamp.sec) == ("map", 5)
    assert (stamped.pose.position.y, stamped.pose.orientation.w) == (2.0, pytest.approx(0.0))
    assert (written.header.frame_id, written.pose.position.y) == ("", 2.0)
    assert fill(PoseStamped(), {"pose": {"position": {"x": 1.0}}}, {}).pose.position.x == 1.0
    assert ros_types.pose_of({"x": 1, "y": 2, "frame": "odom"}) == (1.0, 2.0, 0.0, "odom")


def test_times_are_written_as_seconds():
    msg = fill(JointTrajectory(), {"points": [{"time_from_start": "{t}"}]}, {"t": 1.25})
    assert (msg.points[0].time_from_start.sec, msg.points[0].time_from_start.nanosec) == (1, 250_000_000)
    assert fill(Header(), {"stamp": {"sec": 3}}, {}).stamp.sec == 3


@pytest.mark.parametrize(
    "message, template, says",
    [
        (
            Pose2D,
            {"thta": 1.0},
            r"goal: geometry_msgs/Pose2D has no field 'thta'; did you mean 'theta'\? .*x, y, theta",
        ),
        (Header, {"stamp": {"second": 1}}, "goal.stamp: builtin_interfaces/Time has no field 'second'"),
        (Header, {"stamp": True}, "no time"),
        (Header, {"frame_id": 3}, "goal.frame_id: 3 is no text; write it in quotes"),
        (Header, {"frame_id": "{plcae}"}, "{plcae} is no parameter; did you mean 'place'"),
        (Header, {"frame_id": "{thing.pose}"}, r"thing \('soda'\) has no 'pose'"),
        (Header, {"frame_id": "{kitchen.pose}"}, "kitchen has no 'pose'; give it one in the world file"),
        (UInt8, {"data": "{kitchen.stop}"}, "kitchen has no 'stop'; give it one in the world file, under values"),
        (UInt8, {"data": "{place.pose.0}"}, r"place.pose has no '0'; write {place.x}, {place.y} or {place.yaw}"),
        (UInt8, {"data": 256}, r"goal.data: 256 is out of range of uint8 \(0 to 255\)"),
        (UInt8, {"data": -1}, "out of range"),
        (UInt8, {"data": 0.5}, "0.5 is no whole number, the field is uint8"),
        (UInt8, {"data": True}, "True is no number"),
        (UInt8, {"data": "7"}, "'7' is no number.*without quotes"),
        (UInt8, {"data": float("inf")}, "no whole number"),
        (Range, {"range": 1e39}, "out of range of float"),
        (NavSatFix, {"latitude": float("nan")}, "out of range of double"),
        (NavSatFix, {"position_covariance": [0.0] * 8}, "has 8 elements, the field has exactly 9"),
        (JointState, {"name": "a"}, "goal.name: 'a' is no list"),
        (JointState, {"name": ["a", 2]}, r"goal.name\[1\]: 2 is no text"),
        (DiagnosticArray, {"status": [{"values": [{"kex": ""}]}]}, r"goal.status\[0\].values\[0\].*did you mean 'key'"),
        (PoseStamped, {"pose": "{thing}"}, "goal.pose: 'soda' is no pose"),
        (PoseStamped, {"pose": [1, 2, 3, 4]}, "no pose"),
        (PoseStamped, {"header": "map"}, "goal.header: 'map' cannot fill a std_msgs/Header; write its fields"),
        (SetBool.Request, {"data": 1}, "1 is not true or false"),
        (SetBool.Request, [1], "no mapping"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(message, template, says):
    arguments = {"thing": "soda", "place": DESK, "kitchen": Spot("kitchen")}
    with pytest.raises(InputError, match=says) as error:
        fill(message(), template, arguments)
    assert "\n" not in str(error.value)


def test_fields_are_read_by_their_path():
    status = DiagnosticStatus(level=DiagnosticStatus.WARN, message="hot", values=[KeyValue(key="a", value="b")])
    msg = DiagnosticArray(header=Header(frame_id="map"), status=[status])
    assert ros_types.read(msg, "header.frame_id") == "map"
    assert ros_types.read(msg, "status")[0]["level"] == 1
    assert ros_types.read(msg, "status")[0]["values"] == [{"key": "a", "value": "b"}]
    assert ros_types.codes_at(DiagnosticStatus, "level") == {"OK": 0, "WARN": 1, "ERROR": 2, "STALE": 3}
    with pytest.raises(InputError, match=r"std_msgs/Header has no field 'fram_id'; did you mean 'frame_id'"):
        ros_types.read(msg, "header.fram_id")
    with pytest.raises(InputError, match="has no fields"):
        ros_types.slot_at(DiagnosticArray, "header.frame_id.x")


def test_long_arrays_of_a_result_are_left_out():
    values = ros_types.plain(JointState(position=[0.0] * 2000, name=["a"]))
    assert (values["position"], values["name"]) == (None, ["a"])
    assert dict(ros_types.flat({"a": {"b": 1}, "c": 2})) == {"a.b": 1, "c": 2}
