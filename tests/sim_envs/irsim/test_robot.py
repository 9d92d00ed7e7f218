"""ir-sim's lidar and base, as the gate meets them."""

import math

import numpy as np
import pytest

from rarrl.config import GateConfig
from rarrl.errors import InputError
from rarrl.safety.base_gate import BaseGate
from rarrl.types import RobotCommand

pytest.importorskip("irsim", reason="ir-sim is not installed (extra irsim)")

from rarrl_sim_envs.irsim.robot import ROBOT, IrSimRobot, with_robot

WALL_X = 5.0
WALL = {"shape": {"name": "rectangle", "length": 8, "width": 0.2}, "state": [WALL_X + 0.1, 4, math.pi / 2]}
WORLD = {"world": {"height": 8, "width": 8, "step_time": 0.1}, "obstacle": [WALL]}


@pytest.fixture
def robot():
    made = IrSimRobot(with_robot(WORLD))
    made.place(2.0, 4.0, 0.0)
    yield made
    made.close()


def test_the_scan_is_the_worlds_geometry(robot):
    scan = robot.scan
    bearings = np.radians(np.array([-40.0, -20.0, 0.0, 20.0, 40.0]))
    assert scan.reach(bearings) == pytest.approx((WALL_X - 2.0) / np.cos(bearings), abs=0.01)
    assert scan.reach(np.array(math.pi)) == scan.range_max  # nothing behind
    assert robot.clearance(np.array([[2.0, 4.0], [WALL_X + 0.1, 4.0]])) == pytest.approx([WALL_X - 2.0, 0.0], abs=1e-6)


def test_a_scan_follows_the_place_and_the_turn(robot):
    robot.place(1.0, 4.0, math.pi / 2)
    assert robot.scan.reach(np.array(-math.pi / 2)) == pytest.approx(WALL_X - 1.0, abs=0.01)
    assert robot.pose[:2, 3].tolist() == [1.0, 4.0]


def test_what_is_too_near_to_measure_is_not_told_as_free():
    near = {**ROBOT["sensors"][0], "range_min": 1.0}
    robot = IrSimRobot(with_robot(WORLD, {**ROBOT, "sensors": [near]}))
    robot.place(WALL_X - 0.6, 4.0, 0.0)  # ir-sim's own reading is range_min here: 1 m
    assert robot.scan.reach(np.array(0.0)) == 0.0
    robot.close()


def test_commands_move_the_base_as_a_differential_one(robot):
    for _ in range(10):
        robot.drive(0.5, 0.4)
    yaw = 0.4
    assert robot.pose[0, 3] == pytest.approx(2.0 + 0.5 / 0.4 * math.sin(yaw), abs=0.02)
    assert robot.pose[1, 3] == pytest.approx(4.0 + 0.5 / 0.4 * (1 - math.cos(yaw)), abs=0.02)
    with pytest.raises(ValueError, match=r"0\.1 s here"):
        robot.drive(0.5, 0.0, 0.05)


def drive_at_the_wall(robot: IrSimRobot, gated: bool) -> float:
    """The least distance to the wall, metres."""
    gate = BaseGate(GateConfig(rate_hz=10, latency_s=0.1, radius_m=robot.radius_m, assumed_clear_m=0.5))
    least = math.inf
    for k in range(80):
        now = k * 0.1
        v = 0.5
        if gated:
            gate.on_odometry(robot.pose, now, now)
            assert gate.on_scan(robot.scan, now, now, robot.mount)
            v = gate.check(RobotCommand(0.5, 0.0, now, now), now).v
        robot.drive(v, 0.0)
        least = min(least, WALL_X - robot.radius_m - robot.pose[0, 3])
        if robot.touched:
            break
    return least


def test_the_gate_stops_it_at_its_margin_and_without_the_gate_it_hits(robot):
    least = drive_at_the_wall(robot, gated=True)
    assert 0.1 <= least < 0.2  # the gate's margin, and two cells of its map
    assert not robot.touched

    robot.place(2.0, 4.0, 0.0)
    assert drive_at_the_wall(robot, gated=False) < 0.0
    assert robot.touched_by == "standing"


def test_a_thing_that_drives_into_a_standing_base_is_told_apart():
    mover = {
        "kinematics": {"name": "omni"},
        "behavior": {"name": "dash"},
        "shape": {"name": "circle", "radius": 0.2},
        "state": [4, 4, 0],
        "goal": [0, 4, 0],
        "vel_max": [1, 1],
    }
    robot = IrSimRobot(with_robot({**WORLD, "obstacle": [mover]}))
    robot.place(2.0, 4.0, 0.0)
    for _ in range(30):
        robot.drive(0.0, 0.0)
    assert robot.touched_by == "standing base"
    robot.close()


def test_a_world_keeps_what_stands_in_it_and_gets_our_robot():
    theirs = {**WORLD, "robot": [{"kinematics": {"name": "acker"}}], "gui": {}}
    assert with_robot(theirs)["obstacle"] == [WALL]
    assert with_robot(theirs)["robot"] == [ROBOT]
    assert "robot" in theirs and "control_mode" not in theirs["world"]


def test_a_robot_that_the_gate_does_not_fit_is_refused():
    theirs = {**WORLD, "robot": [{"kinematics": {"name": "omni"}, "shape": {"name": "circle", "radius": 0.2}}]}
    with pytest.raises(InputError, match="omni circle without a lidar"):
        IrSimRobot(theirs)
    with pytest.raises(InputError, match="does not exist"):
        IrSimRobot("nowhere.yaml")
