"""MiniWorld's camera and base, against its own geometry; the detector and the gate on its pictures."""

import math

import numpy as np
import pytest

from rarrl.build import make_detector
from rarrl.config import GateConfig
from rarrl.errors import DependencyMissingError, InputError
from rarrl.perception.classical import Matches
from rarrl.perception.obstacle_sensor import ObstacleSensor
from rarrl.perception.obstacles import Body
from rarrl.safety.base_gate import BaseGate
from rarrl.types import RobotCommand
from rarrl_sim_envs.miniworld.robot import MiniWorldRobot

pytestmark = pytest.mark.slow  # to import it takes seconds
WALL_X = 10.0  # of OneRoom: 0 to 10 m, and y from -10 m to 0


@pytest.fixture(scope="module")
def made():
    pytest.importorskip("pyglet", reason="MiniWorld is not installed (extra miniworld)")
    try:
        robot = MiniWorldRobot("OneRoom")
    except DependencyMissingError as error:
        pytest.skip(str(error))
    except Exception as error:  # pyglet raises several kinds where there is no OpenGL
        pytest.skip(f"this machine draws no pictures: {type(error).__name__}")
    yield robot
    robot.close()


@pytest.fixture
def robot(made):
    made.reset(0)
    made.env.unwrapped.entities[:] = [made.agent]  # the red box may stand in the way
    made.place(7.0, -5.0, 0.0)
    return made


def world_points(robot: MiniWorldRobot) -> np.ndarray:
    """(n, 3) metres, what each pixel of the depth buffer shows, by the rig and the poses that the adapter tells."""
    rig, depth = robot.rig, robot.depth()
    u, v = np.meshgrid(np.arange(rig.width), np.arange(rig.height))
    rays = np.stack([(u - rig.cx) / rig.fx, (v - rig.cy) / rig.fy, np.ones_like(depth)], axis=-1)
    T = robot.pose @ robot.camera_mount
    return (rays * depth[..., None]).reshape(-1, 3) @ T[:3, :3].T + T[:3, 3]


def test_its_depth_lies_on_the_rooms_walls_and_floor(robot):
    for place in ((7.0, -5.0, 0.0), (8.0, -6.0, 0.4)):
        robot.place(*place)
        points = world_points(robot)
        floor = np.abs(points[:, 2])
        wall = np.abs(points[:, 0] - WALL_X)
        assert np.quantile(np.minimum(floor, wall), 0.99) < 0.03
        assert 0.1 < np.mean(wall < 0.03) < 0.9  # it shows both


def test_the_right_picture_is_the_left_one_moved_by_the_disparity(robot):
    pair, rig = robot.pair(), robot.rig
    shift = np.round(rig.disparity(robot.depth())).astype(int)
    u = np.arange(rig.width)

    def differs(sign: int) -> float:
        there = u - sign * shift
        inside = (there >= 0) & (there < rig.width)
        moved = np.take_along_axis(pair.right.mean(axis=2), np.clip(there, 0, rig.width - 1), axis=1)
        return float(np.abs(moved - pair.left.mean(axis=2))[inside].mean())

    assert differs(1) < 0.3 * min(differs(-1), differs(0))


def test_the_detectors_depth_is_the_simulators(robot):
    robot.reset(3)
    found = make_detector(robot.rig).matches(robot.pair())
    assert isinstance(found, Matches)
    depth = robot.depth()
    told = np.isfinite(found.disparity)
    error = np.abs(robot.rig.depth(found.disparity) - depth)[told] / depth[told]
    assert told.mean() > 0.9
    assert np.median(error) < 0.01 and np.quantile(error, 0.9) < 0.03


def test_commands_move_the_base_along_an_arc_and_walls_hold_it(robot):
    for _ in range(20):
        robot.drive(0.5, 0.4, 0.1)
    yaw = 0.8
    assert robot.pose[0, 3] == pytest.approx(7.0 + 0.5 / 0.4 * math.sin(yaw), abs=1e-3)
    assert robot.pose[1, 3] == pytest.approx(-5.0 + 0.5 / 0.4 * (1 - math.cos(yaw)), abs=1e-3)
    assert not robot.touched

    robot.place(7.0, -5.0, 0.0)
    for _ in range(60):
        robot.drive(0.5, 0.0, 0.1)
    assert robot.touched
    assert robot.pose[0, 3] == pytest.approx(WALL_X - robot.radius_m, abs=0.06)
    assert robot.clearance(robot.pose[None, :2, 3]) == pytest.approx([robot.radius_m], abs=0.06)


def test_the_gate_stops_it_by_its_pictures_before_the_wall(robot):
    sensor = ObstacleSensor(make_detector(robot.rig), robot.camera_mount, Body(0.8, 0.1, 1.5), 31)
    x, y = map(float, robot.camera_mount[:2, 3])
    gate = BaseGate(
        GateConfig(
            rate_hz=10,
            latency_s=0.1,
            radius_m=robot.radius_m,
            margin_m=0.2,
            sensor_x_m=x,
            sensor_y_m=y,
            blind_m=sensor.blind_m(0.3),
            assumed_clear_m=1.2,
        )
    )
    for k in range(80):
        now = k * 0.1
        gate.on_odometry(robot.pose, now, now)
        if k % 2 == 0:
            gate.on_scan(sensor.read(robot.pair(now)).scan, now, now)
        sent = gate.check(RobotCommand(0.5, 0.0, now, now), now)
        robot.drive(sent.v, 0.0, 0.1)
        assert not robot.touched

    gap = WALL_X - robot.radius_m - robot.pose[0, 3]
    assert 0.15 < gap < 0.6 and sent.v < 0.01


def test_an_unknown_world_is_refused_with_those_that_there_are(made):
    with pytest.raises(InputError, match=r"OneRom.*FourRooms.*OneRoom"):
        MiniWorldRobot("OneRom")
