"""A base's gate with its map: what must be known before it moves, and what stops it. No ROS, no clock."""

import math

import numpy as np
import pytest

from rarrl.config import GateConfig
from rarrl.errors import InputError
from rarrl.poses import pose_matrix
from rarrl.range_scan import RangeScan
from rarrl.safety.base_gate import BaseGate
from rarrl.types import GateAction, GateReason, RobotCommand

CONFIG = GateConfig(sensor_x_m=0.2)
BLIND = CONFIG.model_copy(update={"odometry": False})
TICK = 1 / CONFIG.rate_hz
STAMP_S = 1e9  # what the clock of stamps is ahead of the steady one


def scan(metres=5.0, field=1.2):
    return RangeScan(-field / 2 + field / 62, field / 31, np.full(31, float(metres)), 6.0)


class Base:
    """A base that goes where the gate lets it, in front of a wall."""

    def __init__(self, config=CONFIG, wall=10.0):
        self.gate, self.config, self.wall = BaseGate(config), config, wall
        self.now, self.x, self.yaw = 100.0, 0.0, 0.0

    def odometry(self):
        self.gate.on_odometry(pose_matrix(self.x, 0.0, self.yaw), STAMP_S + self.now, self.now)

    def look(self, metres=None):
        ahead = self.wall - self.x - self.config.sensor_x_m if metres is None else metres
        return self.gate.on_scan(scan(ahead), STAMP_S + self.now, self.now)

    def ask(self, v=0.2, omega=0.0, veto=None):
        return self.gate.check(RobotCommand(v, omega, self.now - 0.05, self.now), self.now, veto)

    def drive(self, seconds, v=0.2, odometry=True, look=True, metres=None):
        results = []
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            if odometry:
                self.odometry()
            if look:
                self.look(metres)
            results.append(self.ask(v))
            self.x += results[-1].v * TICK
        return results


def test_it_drives_where_all_is_known():
    base = Base()
    assert base.drive(2.0)[-1].v == pytest.approx(0.2)
    assert base.gate.scan_s == base.gate.pose_s == base.now and not base.gate.lost


@pytest.mark.parametrize(
    ("missing", "reason"),
    [({"odometry": False}, GateReason.NO_OBSTACLES_KNOWN), ({"look": False}, GateReason.NO_OBSTACLES_KNOWN)],
)
def test_without_odometry_or_scan_it_never_moves(missing, reason):
    base = Base()
    results = base.drive(1.0, **missing)
    assert {result.v for result in results} == {0.0} and results[-1].reason is reason


def test_without_a_command_it_stands():
    base = Base()
    base.drive(1.0)
    result = base.gate.check(None, base.now)
    assert (result.v, result.reason) == (0.0, GateReason.NO_COMMAND)


@pytest.mark.parametrize(
    ("silent", "reason"),
    [({"odometry": False}, GateReason.POSE_TOO_OLD), ({"look": False}, GateReason.OBSTACLES_TOO_OLD)],
)
def test_silence_of_odometry_or_scans_stops_it_in_time(silent, reason):
    base = Base()
    assert base.drive(1.0)[-1].v > 0.1
    results = base.drive(CONFIG.max_obstacle_age_s + 0.1, **silent)
    assert results[-1].v == 0.0 and reason in {result.reason for result in results}


def test_a_scan_of_a_moment_without_a_pose_is_of_no_use():
    base = Base()
    assert not base.look() and base.gate.scan_s is None
    base.odometry()
    base.now += 1.0
    assert not base.look()
    assert base.gate.check(RobotCommand(0.2, 0.0, base.now, base.now), base.now).v == 0.0


def test_a_scan_is_put_where_the_base_was_when_it_was_taken():
    """Half a second late, a metre on: the wall that it shows stands where it stood."""
    base = Base()
    for k in range(11):
        base.now, base.x = 100.0 + 0.05 * k, 0.1 * k
        base.odometry()
    base.gate.on_scan(scan(1.5), STAMP_S + 100.0, base.now)  # sensor at 0.2: a wall at 1.7; the front is at 1.3
    assert base.ask(0.5).v == pytest.approx(0.025)  # the first tick's gain
    base.gate.on_scan(scan(1.05), STAMP_S + 100.0, base.now)  # a wall at 1.25, within the footprint's reach
    base.now += TICK
    base.odometry()
    assert base.ask(0.5).reason in (GateReason.BLOCKED, GateReason.BRAKING)


def test_a_wall_ahead_stops_it():
    base = Base(wall=2.0)
    results = base.drive(10.0, v=0.5)
    assert results[-1].v == 0.0 and results[-1].reason is GateReason.BLOCKED
    assert base.x + CONFIG.front_m + CONFIG.margin_m <= 2.0 + 1e-6


def test_a_jump_of_the_odometry_stops_it_for_good():
    base = Base()
    base.drive(1.0)
    base.x += 3.0
    results = base.drive(1.0)
    assert base.gate.lost and {result.reason for result in results} == {GateReason.ODOMETRY_JUMPED}
    assert {result.v for result in results} == {0.0}


def test_a_veto_comes_before_everything():
    base = Base()
    base.drive(1.0)
    base.gate.lost = True
    result = base.ask(veto=GateReason.OTHER_PUBLISHER)
    assert (result.v, result.action, result.reason) == (0.0, GateAction.STOP, GateReason.OTHER_PUBLISHER)


@pytest.mark.parametrize(("room_m", "moves"), [(1.0, True), (0.0, False)])
def test_the_room_around_it_must_be_vouched_for(room_m, moves):
    """No camera sees beside the base: a turn needs somebody's word that nothing stands there."""
    base = Base(CONFIG.model_copy(update={"assumed_clear_m": room_m}))
    base.odometry()
    base.look()
    assert (base.ask(0.0, 0.5).omega > 0.0) == moves


def test_without_odometry_each_scan_begins_a_new_map_around_the_base():
    base = Base(BLIND)
    assert base.drive(1.0, odometry=False)[-1].v == pytest.approx(0.2)
    base.gate.on_odometry(pose_matrix(50.0, 0.0, 0.0), STAMP_S + base.now, base.now)  # nobody should say so
    assert not base.gate.lost and base.drive(0.5, odometry=False)[-1].v == pytest.approx(0.2)
    assert base.drive(1.0, odometry=False, metres=0.2)[-1].v == 0.0
    assert base.drive(CONFIG.max_obstacle_age_s + 0.1, odometry=False, look=False)[-1].v == 0.0


def test_nearer_than_the_blind_zone_a_scan_says_nothing_whatever_it_claims():
    c = CONFIG.model_copy(update={"blind_m": 0.5})
    base = Base(c)
    base.odometry()
    told = RangeScan(-0.6, 0.04, np.full(31, 0.3), 6.0, blind_m=0.0)
    base.gate.on_scan(told, STAMP_S + base.now, base.now)
    assert base.ask().v > 0.0  # the room that was vouched for still counts


def test_scans_start_at_the_sensor():
    """The same scan, of a sensor that sits further back: what it shows lies nearer."""
    near, far = (Base(CONFIG.model_copy(update={"sensor_x_m": x})) for x in (-0.2, 0.2))
    for base in (near, far):
        base.odometry()
        base.look(0.75)
        for _ in range(10):
            base.now += TICK
            base.odometry()
            base.look(0.75)
            last = base.ask(0.5)
        base.last = last
    assert near.last.v < far.last.v


@pytest.mark.parametrize("pose", [(math.nan, 0.0), (0.0, math.inf)])
def test_a_pose_that_is_no_number_is_the_callers_mistake_and_changes_nothing(pose):
    base = Base()
    base.drive(0.5)
    T = pose_matrix(0.0, 0.0, 0.0)
    T[:2, 3] = pose
    with pytest.raises(ValueError, match="finite"):
        base.gate.on_odometry(T, STAMP_S + base.now, base.now)


def test_contradicting_settings_are_refused():
    with pytest.raises(InputError, match="decel_mps2"):
        BaseGate(GateConfig(decel_mps2=2.0, brake_mps2=1.0))


def test_reasons_are_texts_of_their_own():
    assert str(GateReason.BLOCKED) == f"{GateReason.BLOCKED}" == "blocked" and not GateReason.NONE
    assert GateReason.BRAKING.of_obstacle and not GateReason.LOOKING.of_obstacle
    assert all(reason.of_command == reason.value.startswith("command") for reason in GateReason)


@pytest.mark.parametrize(
    ("yaw_deg", "flipped", "odometry"), [(180.0, False, True), (90.0, True, True), (-135.0, False, False)]
)
def test_a_lidar_that_is_mounted_turned_or_upside_down_still_sees_the_wall(yaw_deg, flipped, odometry):
    mounting = {"sensor_yaw_deg": yaw_deg, "sensor_flipped": flipped, "sensor_x_m": 0.1, "odometry": odometry}
    base = Base(CONFIG.model_copy(update=mounting), wall=1.5)
    bearings = np.arange(90) * math.tau / 90

    def look(metres=None):
        at = base.x + 0.1
        cosine = np.cos((-1 if flipped else 1) * bearings + math.radians(yaw_deg))
        with np.errstate(divide="ignore"):
            ranges = np.where(cosine > 0, (base.wall - at) / cosine, (at + 3) / -cosine)
        return base.gate.on_scan(RangeScan(0.0, math.tau / 90, ranges, 6.0), STAMP_S + base.now, base.now)

    base.look = look
    results = base.drive(6.0, v=0.4)
    assert max(result.v for result in results) > 0.3 and results[-1].v == 0.0
    assert 0.9 < base.x < 1.5 - CONFIG.front_m - CONFIG.margin_m + 0.05


def half_circle(toward, metres, count=90):
    return RangeScan(toward - math.pi / 2, math.pi / count, np.full(count, float(metres)), 6.0)


def with_two_lidars(base, front_m=3.0, rear_m=3.0):
    """Both on one topic, in one frame; None is silence."""

    def look(metres=None):
        at = STAMP_S + base.now, base.now
        ahead = front_m if metres is None else metres
        if not math.isinf(ahead):
            base.gate.on_scan(half_circle(0.0, ahead, 90 + round(base.now * 20) % 3), *at, frame="base_link")
        return base.gate.on_scan(half_circle(math.pi, rear_m), *at, frame="base_link")

    base.look = look
    return base


@pytest.mark.parametrize("config", [CONFIG, BLIND], ids=["odometry", "no odometry"])
def test_of_two_lidars_the_one_that_falls_silent_stops_the_base_until_it_is_heard_again(config):
    base = with_two_lidars(Base(config))
    assert base.drive(1.0)[-1].v > 0.15
    last = base.drive(config.max_obstacle_age_s + 0.3, metres=math.inf)[-1]
    assert (last.v, last.reason) == (0.0, GateReason.OBSTACLES_TOO_OLD)
    assert "the sensor with frame 'base_link' and bearings from -90 to 90 degrees" in last.detail
    assert base.drive(1.0)[-1].v > 0.15


@pytest.mark.parametrize("config", [CONFIG, BLIND], ids=["odometry", "no odometry"])
def test_of_two_lidars_the_one_that_measures_nothing_is_a_wall(config):
    base = with_two_lidars(Base(config))
    assert base.drive(1.0)[-1].v > 0.15
    last = base.drive(0.6, metres=math.nan)[-1]
    assert (last.v, last.reason) == (0.0, GateReason.BLOCKED)


def test_more_sensors_than_there_can_be_are_refused():
    base = Base()
    base.odometry()
    with pytest.raises(InputError, match="more than 32 ways; the last: frame '32'"):
        for k in range(40):
            base.gate.on_scan(scan(), STAMP_S + base.now, base.now, frame=str(k))


def test_odometry_that_stands_while_the_base_drives_stops_it_until_commands_cease():
    base = Base()
    assert base.drive(1.0)[-1].v > 0.15
    at = base.x

    def frozen(seconds, v):
        base.x = at
        results = []
        for _ in range(round(seconds / TICK)):
            base.now += TICK
            base.x = at
            base.odometry()
            base.look()
            results.append(base.ask(v))
        return results

    results = frozen(1.0, 0.2)
    assert results[10].v > 0.15 and {r.reason for r in results[15:]} == {GateReason.ODOMETRY_STANDS}
    assert frozen(0.2, -0.1)[-1].v < 0.0, "what is held ahead may go back"
    assert frozen(1.0, -0.1)[-1].reason is GateReason.ODOMETRY_STANDS
    assert frozen(0.1, 0.0)[-1].reason is not GateReason.ODOMETRY_STANDS
    assert frozen(5.0, 0.2)[-1].reason is GateReason.ODOMETRY_STANDS, "as long as it is asked to"
    assert frozen(0.2, -0.1)[-1].v > -0.05, "who is behind it by now, nobody has seen"
    assert frozen(0.1, 0.0)[-1].reason is not GateReason.ODOMETRY_STANDS
    assert base.drive(1.0)[-1].v > 0.15, "with odometry that lives it drives on"


def test_in_a_dry_run_the_base_stands_as_it_should():
    base = Base()
    base.gate = BaseGate(CONFIG, dry_run=True)
    for _ in range(40):
        base.now += TICK
        base.odometry()
        base.look()
        assert base.ask(0.2).reason is not GateReason.ODOMETRY_STANDS
    assert base.ask(0.2).v > 0.15


def person_behind(base, waits_s):
    """Drives ahead to a wall and stands there for so long, while somebody walks up behind it to 0.15 m; then it is told
    to back off for 3 s. How near they come, metres; below 0: they touch."""
    base.drive(8.0, v=0.5)
    stood_at = base.x
    stood = base.drive(waits_s, v=0.5)
    assert stood[-1].reason.of_obstacle and base.x == pytest.approx(stood_at, abs=0.02)
    person = base.x - base.config.rear_m - 0.15
    base.drive(3.0, v=-0.1)
    return base.x - base.config.rear_m - person


@pytest.mark.parametrize("waits_s", [3.5, 8.0])
def test_it_does_not_back_off_into_a_person_who_has_come_up_behind_it(waits_s):
    assert person_behind(Base(wall=2.5), waits_s) > 0.1
    forgets_by_metres_alone = CONFIG.model_copy(update={"memory_s": 3600.0})
    assert person_behind(Base(forgets_by_metres_alone, wall=2.5), waits_s) < 0.0, "the fault that memory_s is for"


def test_it_backs_off_at_once_and_no_further_than_where_it_was_just_now():
    base = Base(wall=2.5)
    base.drive(3.0, v=0.5)
    base.drive(1.0, v=0.0)
    front = base.x
    results = base.drive(5.0, v=-0.1)
    assert min(result.v for result in results) == pytest.approx(-0.1) and 0.05 < front - base.x < 0.3
    assert (results[-1].v, results[-1].reason) == (0.0, GateReason.BLOCKED)
    assert base.drive(1.0, v=0.1)[-1].v > 0.0, "ahead it goes on"


def test_without_odometry_what_was_vouched_for_goes_with_it():
    base = Base(BLIND)
    base.drive(1.0, v=0.0)
    assert base.drive(8.0, v=-0.1)[-1].v == pytest.approx(-0.1)
