"""The gate's promises, each attacked: docs/explanation/safety.md, invariants 1 to 4."""

import doctest
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.config import GateConfig
from rarrl.errors import InputError
from rarrl.range_scan import RangeScan
from rarrl.safety import gate as module
from rarrl.safety.gate import SafetyGate, Surroundings, parse_joints
from rarrl.types import GateAction, GateReason, RobotCommand

CONFIG = GateConfig(sensor_x_m=0.2)
TICK = 1 / CONFIG.rate_hz
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
ARM = GateConfig(joints="shoulder:-1:1:2, elbow:0:2:1")


class Robot:
    """A robot that does what the gate says, in front of a wall at `wall` (metres ahead of where it started)."""

    def __init__(self, config=CONFIG, wall=10.0, field=1.2):
        self.gate, self.config, self.wall, self.field = SafetyGate(config), config, wall, field
        self.free = self.gate.free_space()
        self.x, self.now = 0.0, 100.0
        self.free.move((0.0, 0.0, 0.0))
        self.free.vouch(config.assumed_clear_m)
        self.look()

    def look(self):
        n, sensor = 31, self.x + self.config.sensor_x_m
        bearings = self.field * ((np.arange(n) + 0.5) / n - 0.5)
        self.free.move((self.x, 0.0, 0.0))
        ranges = (self.wall - sensor) / np.cos(bearings)
        self.free.see(RangeScan(bearings[0], self.field / n, ranges, 6.0), (sensor, 0.0, 0.0))
        self.seen = self.now

    def ask(self, v, omega, observed=0.0, heard=0.0, seen=0.0, posed=0.0, **others):
        """observed, heard, seen, posed: ages, seconds."""
        command = RobotCommand(v, omega, self.now - observed, self.now - heard)
        return self.gate.check(command, Surroundings(self.free, self.now - seen, self.now - posed), self.now, **others)

    def drive(self, v, seconds, omega=0.0):
        """Asks for v for so long; all results. The robot follows at once, the world is looked at each time."""
        results = []
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            self.look()
            results.append(self.ask(v, omega))
            self.x += results[-1].v * TICK
        return results


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(module).failed == 0


def test_a_clear_way_is_driven_at_the_speed_asked_for():
    last = Robot().drive(0.4, 3.0)[-1]
    assert (last.v, last.omega, last.action) == (0.4, 0.0, GateAction.PASS)


# 1: nothing old


@pytest.mark.parametrize(
    ("ages", "reason"),
    [
        ({"heard": CONFIG.max_command_age_s + 0.01}, GateReason.COMMAND_TOO_OLD),
        ({"observed": CONFIG.max_observation_age_s + 0.01}, GateReason.OBSERVATION_TOO_OLD),
        ({"observed": math.nan}, GateReason.OBSERVATION_FROM_FUTURE),
        ({"observed": -1.0}, GateReason.OBSERVATION_FROM_FUTURE),
        ({"heard": -1.0}, GateReason.COMMAND_FROM_FUTURE),
        ({"observed": math.inf}, GateReason.OBSERVATION_TOO_OLD),
        ({"seen": CONFIG.max_obstacle_age_s + 0.01}, GateReason.OBSTACLES_TOO_OLD),
        ({"seen": -1.0}, GateReason.OBSTACLES_TOO_OLD),
        ({"seen": math.nan}, GateReason.OBSTACLES_TOO_OLD),
        ({"posed": CONFIG.max_obstacle_age_s + 0.01}, GateReason.POSE_TOO_OLD),
    ],
)
def test_what_is_old_stops_the_robot_and_the_reason_is_told(ages, reason):
    robot = Robot()
    robot.drive(0.4, 1.0)
    robot.now += TICK
    result = robot.ask(0.4, 0.0, **ages)
    assert (result.v, result.omega, result.action, result.reason) == (0.0, 0.0, GateAction.STOP, reason)


def test_what_is_just_young_enough_passes():
    robot = Robot()
    robot.drive(0.3, 1.0)
    robot.now += TICK
    c = CONFIG
    edge = 0.999
    result = robot.ask(0.3, 0.0, edge * c.max_observation_age_s, edge * c.max_command_age_s, edge * 0.3, 0.0)
    assert result.v > 0.29


# 2: nothing that is not finite or out of limits


@settings(max_examples=200)
@given(v=NUMBERS | st.floats(-0.6, 1.2), omega=NUMBERS | st.floats(-2, 2))
def test_whatever_is_asked_for_the_limits_hold(v, omega):
    robot = Robot()
    robot.drive(0.5, 0.3)
    before = robot.gate._sent[0]
    robot.now += TICK
    result = robot.ask(v, omega)
    c = robot.config
    assert -c.max_reverse_mps <= result.v <= c.max_speed_mps and abs(result.omega) <= c.max_turn_radps
    assert result.v <= before + c.accel_mps2 * TICK + 1e-9
    assert abs(result.omega) <= c.turn_accel_radps2 * TICK + 1e-9
    beyond = (
        not (math.isfinite(v) and math.isfinite(omega))
        or v > c.max_speed_mps * (1 + c.clamp_margin) + 1e-9
        or v < -c.max_reverse_mps - c.max_speed_mps * c.clamp_margin - 1e-9
        or abs(omega) > c.max_turn_radps * (1 + c.clamp_margin) + 1e-9
    )
    if beyond:
        assert (result.v, result.omega, result.action) == (0.0, 0.0, GateAction.STOP)
    else:
        assert result.reason not in (
            GateReason.INTERNAL_ERROR,
            GateReason.COMMAND_NOT_FINITE,
            GateReason.COMMAND_OUT_OF_LIMITS,
        )


def test_a_little_too_much_is_cut():
    assert Robot().drive(0.55, 3.0)[-1].v == 0.5


def test_speed_is_gained_and_lost_in_comfort_but_a_stop_is_at_once():
    robot = Robot()
    speeds = [r.v for r in robot.drive(0.5, 2.0)]
    assert np.diff([0.0, *speeds]).max() <= CONFIG.accel_mps2 * TICK + 1e-9
    slowing = [r.v for r in robot.drive(0.0, 2.0)]
    assert np.diff([0.5, *slowing]).min() >= -CONFIG.decel_mps2 * TICK - 1e-9 and slowing[-1] == 0.0
    robot.drive(0.5, 2.0)
    robot.now += TICK
    assert robot.ask(math.nan, 0.0).v == 0.0


# 3: no information is an obstacle


def test_without_obstacle_information_nothing_moves():
    robot = Robot()
    result = robot.gate.check(RobotCommand(0.3, 0.0, robot.now, robot.now), None, robot.now)
    assert (result.v, result.reason) == (0.0, GateReason.NO_OBSTACLES_KNOWN)


def test_an_empty_map_lets_nothing_move():
    for v, omega in ((0.3, 0.0), (-0.1, 0.0), (0.0, 0.5), (0.2, -0.5)):
        robot = Robot()
        robot.free.forget()
        robot.now += 0.1
        result = robot.ask(v, omega)
        assert (result.v, result.omega, result.reason) == (0.0, 0.0, GateReason.BLOCKED)


@pytest.mark.parametrize("wall", [1.5, 2.0, 3.0])
def test_the_robot_slows_and_stops_before_a_wall_and_keeps_the_margin(wall):
    robot = Robot(wall=wall)
    results = robot.drive(0.5, 20.0)
    gap = wall - robot.x - CONFIG.front_m
    assert CONFIG.margin_m <= gap < CONFIG.margin_m + 0.12
    assert results[-1].action is GateAction.STOP and results[-1].reason is GateReason.BLOCKED
    assert GateReason.OBSTACLE_NEAR in {r.reason for r in results}
    # It saw the wall in time: what is left for the brakes is the last step of the map.
    before = [a.v for a, b in itertools.pairwise(results) if b.reason is GateReason.BRAKING]
    assert max(before, default=0.0) < 0.15


def test_what_steps_into_the_way_is_braked_for_at_once():
    robot = Robot()
    robot.drive(0.5, 2.0)
    robot.wall = robot.x + CONFIG.front_m + CONFIG.margin_m + 0.08  # the brakes need 0.2 m
    assert robot.drive(0.5, TICK)[0].reason is GateReason.BRAKING


def test_the_braking_way_holds_at_every_speed():
    """From any speed on any arc: what was let through can be stopped before anything that is not free."""
    rng = np.random.default_rng(0)
    moved = 0
    for _ in range(40):
        robot = Robot(wall=float(rng.uniform(0.5, 3.0)))
        v, omega = rng.uniform(-0.1, 0.5), rng.uniform(-1, 1)
        for _ in range(20):
            robot.now += TICK
            result = robot.ask(v, omega)
        if result.v or result.omega:
            moved += 1
            rate = min(
                CONFIG.brake_mps2 / max(abs(result.v), 1e-9), CONFIG.turn_brake_radps2 / max(abs(result.omega), 1e-9)
            )
            needed = CONFIG.latency_s + 1 / (2 * rate)
            assert robot.gate._room(result.v, result.omega, needed, robot.free, robot.now)[0] >= needed - 1e-9
    assert moved > 20


def test_backwards_goes_only_where_was_looked_before():
    robot = Robot()
    robot.drive(0.5, 6.0)
    start = robot.x
    robot.drive(-0.1, 15.0)
    assert start - robot.x > 1.0  # the way it came was seen
    robot = Robot(GateConfig(assumed_clear_m=0.45))
    robot.drive(-0.1, 15.0)
    assert robot.x > -0.1  # behind it nobody has looked
    never = Robot(GateConfig(max_reverse_mps=0.0))
    assert {r.v for r in never.drive(-0.05, 1.0)} == {0.0}


def test_turning_in_place_needs_room_for_the_corners():
    robot = Robot(wall=3.0)
    assert robot.drive(0.0, 1.0, omega=0.5)[-1].omega == 0.5
    corner = math.hypot(CONFIG.front_m, CONFIG.half_width_m)
    robot = Robot(wall=corner + 0.05)  # further off than the front, nearer than a corner with its margin
    assert robot.drive(0.0, 1.0, omega=0.5)[-1].omega == 0.0


ROUND = GateConfig(radius_m=0.25, look_radps=0.8, margin_m=0.02, sensor_x_m=0.0)


def test_a_round_base_may_turn_beside_a_wall_and_keeps_its_turn_while_it_slows_down():
    robot = Robot(ROUND, wall=ROUND.radius_m + 0.06)
    assert robot.drive(0.0, 1.0, omega=0.5)[-1].omega == 0.5
    result = robot.drive(0.4, 1.0, omega=0.9)[-1]
    assert (result.v, result.omega, result.reason) == (0.0, 0.9, GateReason.TURNING_ONLY) and robot.x == 0.0


@settings(max_examples=40)
@given(v=st.floats(0.0, 0.6), omega=st.floats(-1.0, 1.0), wall=st.floats(0.6, 2.0))
def test_a_round_base_never_comes_to_a_wall(v, omega, wall):
    robot = Robot(ROUND, wall)
    for result in robot.drive(v, 5.0, omega):  # the heading stays: the worst of all arcs is straight
        assert result.v <= v + 1e-9
    assert robot.x <= wall - ROUND.radius_m


def test_a_round_base_looks_at_what_blocks_it_out_of_view():
    blind = ROUND.model_copy(update={"assumed_clear_m": 0.27})
    robot = Robot(blind, field=1.2)
    result = robot.drive(0.3, 1.0)[-1]
    assert result.v == 0.0 and result.reason is GateReason.LOOKING and abs(result.omega) == pytest.approx(0.8)
    still = Robot(blind.model_copy(update={"look_radps": 0.0}), field=1.2)
    assert still.drive(0.3, 1.0)[-1].action is GateAction.STOP


def test_a_look_ends_with_the_command():
    robot = Robot(ROUND.model_copy(update={"assumed_clear_m": 0.27}))
    robot.drive(0.3, 1.0)
    robot.now += TICK
    assert robot.gate.check(None, Surroundings(robot.free, robot.now, robot.now), robot.now).omega == 0.0
    assert robot.drive(0.0, 0.5)[-1].omega == 0.0


def test_who_stands_too_near_may_leave_but_come_no_nearer():
    robot = Robot(wall=CONFIG.front_m + 0.06)  # within the margin
    assert robot.drive(0.3, 2.0)[-1].v == 0.0 and robot.x == 0.0
    assert robot.drive(-0.1, 2.0)[-1].v < 0.0


# 4: silence, and the gate's own faults


def test_an_error_inside_is_a_stop(monkeypatch):
    robot = Robot()
    robot.drive(0.4, 1.0)
    monkeypatch.setattr(robot.free, "edges", lambda *_: 1 / 0)
    robot.now += TICK
    result = robot.ask(0.4, 0.0)
    assert (result.v, result.omega, result.reason) == (0.0, 0.0, GateReason.INTERNAL_ERROR)
    assert "ZeroDivisionError" in result.detail


def test_a_number_that_went_wrong_is_a_stop(monkeypatch):
    robot = Robot()
    monkeypatch.setattr(module, "_share", lambda *_: math.nan)
    robot.now += TICK
    monkeypatch.setattr(robot.gate, "_gently", lambda v, omega, dt: (math.nan, 0.0))
    assert (robot.ask(0.4, 0.0).v, robot.ask(0.4, 0.0).reason) == (0.0, GateReason.INTERNAL_ERROR)


def test_a_veto_stops_whatever_was_asked_for():
    robot = Robot()
    robot.drive(0.4, 1.0)
    robot.now += TICK
    result = robot.ask(0.4, 0.0, veto=GateReason.ODOMETRY_JUMPED)
    assert (result.v, result.reason) == (0.0, GateReason.ODOMETRY_JUMPED)


def test_contradicting_settings_are_refused():
    with pytest.raises(InputError, match="decel_mps2"):
        SafetyGate(GateConfig(decel_mps2=2.0, brake_mps2=1.0))
    with pytest.raises(InputError, match="cell_m"):
        SafetyGate(GateConfig(max_speed_mps=3.0, cell_m=0.01))


# Arms


def arm(rows, times=(0.1,), names=("shoulder", "elbow"), measured=None, **ages):
    ages = {"measured": 0.0, "observed": 0.0, "heard": 0.0} | ages
    measured = {"shoulder": 0.0, "elbow": 1.0} if measured is None else measured
    return SafetyGate(ARM).check_joints(
        list(names),
        np.array(rows, dtype=float).reshape(len(times), len(names)),
        np.array(times),
        measured,
        *(100.0 - ages[name] for name in ("measured", "observed", "heard")),
        100.0,
    )


def test_a_good_row_passes_in_the_order_of_the_configuration():
    result = arm([[1.05, 0.1]], names=("elbow", "shoulder"))
    assert result.positions.tolist() == [[0.1, 1.05]] and result.times.tolist() == [0.1]


def test_an_arm_gets_no_more_than_it_may_run_in_silence():
    result = arm([[0.01 * k, 1.0] for k in range(20)], times=[0.05 * (k + 1) for k in range(20)])
    assert len(result.positions) == 5 and result.times[-1] <= ARM.max_command_age_s


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows": [[math.nan, 1.0]]}, "not finite"),
        ({"rows": [[0.1, 1.0]] * 9 + [[math.inf, 1.0]], "times": [0.1 * k for k in range(1, 11)]}, "not finite"),
        ({"rows": [[0.1, 2.5]]}, "out of limits"),
        ({"rows": [[0.9, 1.0]]}, "too fast"),
        ({"rows": [[0.1, 1.0], [0.1, 1.5]], "times": [0.1, 0.2]}, "too fast"),
        ({"times": [math.nan]}, "not finite"),
        ({"times": [-0.1]}, "times that do not increase"),
        ({"rows": [[0.1, 1.0]] * 2, "times": [0.2, 0.2]}, "times that do not increase"),
        ({"names": ("shoulder", "wrist")}, "joints shoulder, wrist are not those of gate.joints"),
        ({"names": ("shoulder", "shoulder")}, "joints shoulder, shoulder are not those of gate.joints"),
        ({"measured": {"shoulder": 0.0}}, "no joint state of elbow"),
        ({"times": [1.0]}, "no row within max_command_age_s"),
    ],
)
def test_a_bad_chunk_is_refused_as_a_whole(changes, reason):
    result = arm(**({"rows": [[0.1, 1.0]]} | changes))
    assert result.positions is None and result.reason == reason


@pytest.mark.parametrize("which", ["observed", "heard"])
def test_an_old_chunk_is_refused(which):
    gate = SafetyGate(ARM)
    times = {"observed": 100.0, "heard": 100.0} | {which: 99.0}
    joints = {"shoulder": 0.0, "elbow": 1.0}
    row = np.array([[0.0, 1.0]])
    args = (list(joints), row, np.array([0.1]), joints)
    assert gate.check_joints(*args, 100.0, times["observed"], times["heard"], 100.0).positions is None
    assert gate.check_joints(*args, 99.0, 100.0, 100.0, 100.0).reason == "joint states too old: 1.00 s, at most 0.4 s"


def test_a_little_out_of_range_is_cut():
    assert arm([[0.1, 2.05]], measured={"shoulder": 0.0, "elbow": 1.9}).positions.tolist() == [[0.1, 2.0]]


@pytest.mark.parametrize("text", ["a", "a:1:0:1", "a:0:1:0", "a:0:nan:1", "a:0:1:inf", ":0:1:1", "a:0:1:1,a:0:1:1"])
def test_bad_joints_are_told_in_one_line(text):
    with pytest.raises(InputError, match=r"gate\.joints"):
        parse_joints(text)
