"""ROS from pip or from an installation, and the middleware."""

import pytest

from rarrl.doctor import Check, Status, core, ros

GOOD = {
    **dict.fromkeys(core.REQUIRED, "99.0"),
    **dict.fromkeys(("torch", "stable-baselines3", "sb3-contrib", "tensorboard"), "2.13.0+cpu"),
    "ros-rclpy": "7.1.6",
}


SOURCED = {"AMENT_PREFIX_PATH": "/home/me/ws/install:/opt/ros/jazzy", "ROS_DISTRO": "jazzy"}


def test_wheels_and_an_installation_at_once_fail():
    check = ros.check_rclpy(GOOD.get, SOURCED, "/anywhere/rclpy/__init__.py")
    assert check.status == "fail"
    assert "7.1.6" in check.detail and "/opt/ros/jazzy" in check.detail and check.fix


@pytest.mark.parametrize(
    ("distributions", "environment", "origin", "status", "says"),
    [
        (GOOD, {}, "x", "ok", "from pip"),
        (GOOD, {"AMENT_PREFIX_PATH": "/home/me/ws/install"}, "x", "ok", "from pip"),  # a workspace of one's own
        ({}, SOURCED, "/opt/ros/jazzy/lib/rclpy/__init__.py", "ok", "jazzy"),
        ({}, {}, None, "warn", "not installed"),
    ],
)
def test_rclpy(distributions, environment, origin, status, says):
    check = ros.check_rclpy(distributions.get, environment, origin)
    assert (check.status, says in check.detail) == (status, True)


def tried(works):
    """As `try_python`; `works` says of the variables whether a trial succeeds."""
    return lambda code, variables: "" if works(variables) else "ImportError: libEGL.so.1: no such file"


RCLPY = Check("rclpy", Status.OK, "from pip")


@pytest.mark.parametrize(
    ("environment", "works", "status", "says"),
    [
        ({}, lambda variables: True, "ok", "a node starts"),
        ({"ROS_DOMAIN_ID": "232"}, lambda variables: True, "ok", "a node starts"),
        ({"ROS_DOMAIN_ID": "233"}, lambda variables: True, "fail", "allowed: 0 to 232"),
        ({"ROS_DOMAIN_ID": "-1"}, lambda variables: True, "fail", "'-1'"),
        ({"ROS_DOMAIN_ID": "\u00b2"}, lambda variables: True, "fail", "allowed: 0 to 232"),
        ({"ROS_DOMAIN_ID": "home"}, lambda variables: True, "fail", "'home'"),
        ({"RMW_IMPLEMENTATION": "rmw_x_cpp"}, lambda variables: bool(variables), "fail", "rmw_x_cpp does not start"),
        ({"RMW_IMPLEMENTATION": "rmw_x_cpp"}, lambda variables: False, "fail", "from pip, but a node does not start"),
        ({}, lambda variables: False, "fail", "libEGL"),
    ],
)
def test_the_middleware_is_tried(environment, works, status, says):
    check = ros.check_middleware(RCLPY, environment, tried(works))
    assert (check.status, says in check.detail, bool(check.fix)) == (status, True, status != "ok")


def test_ros2_launches_in_a_python_of_its_own(tmp_path):
    calls = []

    def try_(code, variables, python):
        calls.append(python)
        return "ModuleNotFoundError: No module named 'pydantic'" if python == "/usr/bin/python3" else ""

    assert ros.check_launching(None, "/env/site-packages", try_) is None
    for first, status in (("#!/usr/bin/python3 -s", "fail"), ("#!/env/bin/python", "ok")):
        (tmp_path / "ros2").write_text(f"{first}\nimport ros2cli\n")
        assert ros.check_launching(str(tmp_path / "ros2"), "/env/site-packages", try_).status == status
    assert calls == ["/usr/bin/python3", "/env/bin/python"]
    (tmp_path / "ros2").write_bytes(b"\x7fELF")
    assert ros.check_launching(str(tmp_path / "ros2"), "/env/site-packages", try_) is None


def test_shared_memory_that_is_not_there(tmp_path):
    assert ros.check_shared_memory(tmp_path / "shm").status == "warn"


@pytest.mark.parametrize(
    ("numpy", "environment", "warns"),
    [
        ("2.2.6", SOURCED, True),
        ("1.26.4", SOURCED, False),
        ("2.2.6", {"ROS_DISTRO": "jazzy"}, False),  # a variable that is left over
        ("2.2.6", {**SOURCED, "ROS_DISTRO": "lyrical"}, False),
    ],
)
def test_numpy_is_of_the_kind_that_ros_was_compiled_for(numpy, environment, warns):
    check = ros.check_numpy({"numpy": numpy}.get, environment)
    assert bool(check) == warns and (not check or check.status == "warn")
