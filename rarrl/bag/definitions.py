"""Definitions of the messages that a replay or the view reads, as ROS 2 has them from Humble on; without comments.

A bag brings its own along. They are not used: what stands in a file from outside is not to say how the file is read."""

from __future__ import annotations

_HEADER = """MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
"""
_TWIST = """MSG: geometry_msgs/Twist
geometry_msgs/Vector3 linear
geometry_msgs/Vector3 angular
"""
_VECTOR = """MSG: geometry_msgs/Vector3
float64 x
float64 y
float64 z
"""
_POSE = """MSG: geometry_msgs/Pose
geometry_msgs/Point position
geometry_msgs/Quaternion orientation
"""
_POINT = """MSG: geometry_msgs/Point
float64 x
float64 y
float64 z
"""
_QUATERNION = """MSG: geometry_msgs/Quaternion
float64 x
float64 y
float64 z
float64 w
"""
_POSE_COVARIANCE = """MSG: geometry_msgs/PoseWithCovariance
geometry_msgs/Pose pose
float64[36] covariance
"""
_TWIST_COVARIANCE = """MSG: geometry_msgs/TwistWithCovariance
geometry_msgs/Twist twist
float64[36] covariance
"""
_STATUS = """MSG: diagnostic_msgs/DiagnosticStatus
byte level
string name
string message
string hardware_id
diagnostic_msgs/KeyValue[] values
"""
_KEY_VALUE = """MSG: diagnostic_msgs/KeyValue
string key
string value
"""
_TRANSITION = """MSG: lifecycle_msgs/Transition
uint8 id
string label
"""
_STATE = """MSG: lifecycle_msgs/State
uint8 id
string label
"""
_REGION = """MSG: sensor_msgs/RegionOfInterest
uint32 x_offset
uint32 y_offset
uint32 height
uint32 width
bool do_rectify
"""


def _text(own: str, *parts: str) -> str:
    return ("=" * 80 + "\n").join([own, *parts])


DEFINITIONS: dict[str, str] = {
    "diagnostic_msgs/msg/DiagnosticArray": _text(
        "std_msgs/Header header\ndiagnostic_msgs/DiagnosticStatus[] status\n", _HEADER, _STATUS, _KEY_VALUE
    ),
    "geometry_msgs/msg/Twist": _text(_TWIST.partition("\n")[2], _VECTOR),
    "geometry_msgs/msg/TwistStamped": _text(
        "std_msgs/Header header\ngeometry_msgs/Twist twist\n", _HEADER, _TWIST, _VECTOR
    ),
    "lifecycle_msgs/msg/TransitionEvent": _text(
        "uint64 timestamp\nlifecycle_msgs/Transition transition\nlifecycle_msgs/State start_state\n"
        "lifecycle_msgs/State goal_state\n",
        _TRANSITION,
        _STATE,
    ),
    "nav_msgs/msg/Odometry": _text(
        "std_msgs/Header header\nstring child_frame_id\ngeometry_msgs/PoseWithCovariance pose\n"
        "geometry_msgs/TwistWithCovariance twist\n",
        *(_HEADER, _POSE_COVARIANCE, _POSE, _POINT, _QUATERNION, _TWIST_COVARIANCE, _TWIST, _VECTOR),
    ),
    "sensor_msgs/msg/CameraInfo": _text(
        "std_msgs/Header header\nuint32 height\nuint32 width\nstring distortion_model\nfloat64[] d\nfloat64[9] k\n"
        "float64[9] r\nfloat64[12] p\nuint32 binning_x\nuint32 binning_y\nsensor_msgs/RegionOfInterest roi\n",
        _HEADER,
        _REGION,
    ),
    "sensor_msgs/msg/Image": _text(
        "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\n"
        "uint8[] data\n",
        _HEADER,
    ),
    "sensor_msgs/msg/PointCloud2": _text(
        "std_msgs/Header header\nuint32 height\nuint32 width\nsensor_msgs/PointField[] fields\nbool is_bigendian\n"
        "uint32 point_step\nuint32 row_step\nuint8[] data\nbool is_dense\n",
        _HEADER,
        "MSG: sensor_msgs/PointField\nstring name\nuint32 offset\nuint8 datatype\nuint32 count\n",
    ),
    "sensor_msgs/msg/LaserScan": _text(
        "std_msgs/Header header\nfloat32 angle_min\nfloat32 angle_max\nfloat32 angle_increment\n"
        "float32 time_increment\nfloat32 scan_time\nfloat32 range_min\nfloat32 range_max\nfloat32[] ranges\n"
        "float32[] intensities\n",
        _HEADER,
    ),
}
"""Type -> its definition, with those that it is made of."""
