"""How the right camera has turned, from the pictures alone; and when that is told, and taken back."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rarrl.perception.stereo_health import (
    ALARM_CHANGE_PX,
    ALARM_DISTANCE,
    ALARM_ROWS_PX,
    LEAVE,
    MIN_PAIRS,
    SETTLING,
    WARN_CHANGE_PX,
    WARN_ROWS_PX,
    WARNED,
    Drift,
    HealthJudge,
    HealthWatch,
    StereoHealth,
)
from rarrl.types import StereoPair
from rarrl_learning.perception.drift import Turn, drifted
from rarrl_learning.perception.synthetic import SynthConfig, render_pair

FAR_M = 6.4


@pytest.fixture(scope="module")
def scene():
    """A wide camera: 640 pixels, focal length 500 px."""
    drawn = render_pair(3, 0, SynthConfig(640, 480, kinds=("indoor",), misrectification_px=0.0))
    assert 400 < drawn.rig.fx < 650
    return drawn


def drift_of(scene, turn=None, looks=MIN_PAIRS):
    health = StereoHealth(scene.rig, FAR_M)
    pair = scene.pair if turn is None else drifted(scene.pair, scene.rig, turn)
    for _ in range(looks):
        health.look(pair.left, pair.right)
    return health.drift


def test_a_calibrated_pair_has_no_drift(scene):
    drift = drift_of(scene)
    assert drift.points > 100 and drift.pairs == MIN_PAIRS
    assert drift.rows_rms_px < 0.15 and max(abs(drift.pitch_deg), abs(drift.roll_deg)) < 0.03
    assert abs(drift.yaw_deg) < 2.5 * drift.yaw_sd_deg < 0.5
    judge = HealthJudge()
    assert not judge.judge(drift).warns and judge.verdict.text == ""


@pytest.mark.parametrize("degrees", [0.2, -0.5])
@pytest.mark.parametrize("axis", ["pitch_deg", "yaw_deg", "roll_deg"])
def test_each_axis_is_told_in_degrees_within_its_own_uncertainty(scene, axis, degrees):
    clean, turned = drift_of(scene), drift_of(scene, Turn(**{axis: degrees}))
    for other in ("pitch_deg", "yaw_deg", "roll_deg"):
        sd = getattr(turned, other.replace("_deg", "_sd_deg"))
        change = getattr(turned, other) - getattr(clean, other)
        assert abs(change - (degrees if other == axis else 0.0)) < max(2.5 * sd, 0.02), (other, change, sd)


@pytest.mark.parametrize("rows", [0.5, -1.0, 2.0, 10.0])
def test_rows_are_told_in_pixels_also_far_beyond_where_the_detector_matches(scene, rows):
    drift = drift_of(scene, Turn(rows_px=rows))
    assert drift.rows_px == pytest.approx(rows, abs=max(0.1, 3 * drift.rows_sd_px))
    assert drift.rows_rms_px == pytest.approx(abs(rows), abs=max(0.1, 3 * drift.rows_sd_px))
    assert drift.rows_sd_px < 0.15


def test_yaw_is_told_as_the_share_by_which_distances_are_wrong(scene):
    drift = drift_of(scene, Turn(yaw_deg=0.5))
    expected = math.radians(drift.yaw_deg) * drift.distance_m / scene.rig.baseline
    assert drift.distance_error == pytest.approx(expected, rel=1e-6) and drift.distance_error > 0.0
    assert drift_of(scene, Turn(yaw_deg=-0.5)).distance_error < 0.0, "turned to the right, things look nearer"


def test_a_narrow_camera_says_that_it_cannot_see_yaw():
    narrow = render_pair(500, 0, SynthConfig(463, 370, kinds=("indoor",), misrectification_px=0.0))
    rig = replace(narrow.rig, fx=4 * narrow.rig.fx, fy=4 * narrow.rig.fy)  # the same pixels, of a quarter of the field
    health = StereoHealth(rig, FAR_M)
    health.look(narrow.pair.left, narrow.pair.right)
    assert health.drift.yaw_sd_deg > 0.3 > 30 * health.drift.pitch_sd_deg


def test_points_behind_infinity_show_yaw_to_the_left_where_the_corners_do_not(scene):
    """All is far away, and the rows tell nothing: the right image is the left one, shifted as yaw to the left does."""
    left = scene.pair.left
    right = np.roll(left, 3, axis=1)
    health = StereoHealth(scene.rig, FAR_M)
    for _ in range(MIN_PAIRS):
        health.look(left, right)
    assert health.drift.yaw_deg == pytest.approx(math.degrees(3 / scene.rig.fx), rel=0.15)


@pytest.mark.parametrize("what", ["dark", "bare", "unrelated"])
def test_pictures_that_show_nothing_tell_nothing(scene, what):
    left, right = scene.pair.left, scene.pair.right
    if what == "dark":
        left, right = left // 60, right // 60
    elif what == "bare":
        left, right = np.full_like(left, 128), np.full_like(right, 128)
    else:
        right = render_pair(4, 0, SynthConfig(640, 480, kinds=("indoor",))).pair.right
    health = StereoHealth(scene.rig, FAR_M)
    for _ in range(5):
        health.look(left, right)
    assert what == "dark" or health.drift is None or health.drift.points < 75
    assert not HealthJudge().judge(health.drift).alarms


def test_the_smallest_pictures_do_not_fail(scene):
    rng = np.random.default_rng(0)
    rig = replace(scene.rig, width=64, height=64, cx=32.0, cy=32.0, fx=50.0, fy=50.0)
    image = rng.integers(0, 255, (64, 64), dtype=np.uint8)
    StereoHealth(rig, FAR_M).look(image, image)
    with pytest.raises(ValueError, match="64"):
        StereoHealth(rig, FAR_M).look(image[:, :60], image)


def test_a_jump_starts_over_and_a_small_change_is_averaged(scene):
    health = StereoHealth(scene.rig, FAR_M)
    off = drifted(scene.pair, scene.rig, Turn(rows_px=2.0))
    for _ in range(4):
        health.look(off.left, off.right)
    assert health.drift.pairs == 4 and health.drift.rows_rms_px > 1.8
    health.look(scene.pair.left, scene.pair.right)
    assert health.drift.pairs == 1 and health.drift.rows_rms_px < 0.2

    near = drifted(scene.pair, scene.rig, Turn(rows_px=0.3))
    health.look(near.left, near.right)
    assert health.drift.pairs == 2 and 0.1 < health.drift.rows_px - drift_of(scene).rows_px < 0.28


def test_rows_are_told_where_they_are_worst_and_by_how_much_they_have_changed(scene):
    health = StereoHealth(scene.rig, FAR_M)
    off = drifted(scene.pair, scene.rig, Turn(roll_deg=0.15))
    for _ in range(MIN_PAIRS - 1 + SETTLING):
        assert not health.settled and (health.drift is None or health.drift.changed_px == 0.0)
        health.look(off.left, off.right)
    assert health.settled and health.drift.changed_px < 0.1
    assert health.drift.rows_worst_px > 1.25 * health.drift.rows_rms_px, "roll moves the sides of the picture"

    for _ in range(4):
        health.look(scene.pair.left, scene.pair.right)
    assert health.drift.rows_worst_px < 0.15 and health.drift.changed_px > 1.25 * 0.15 * np.pi / 180 * scene.rig.fx / 4


# The verdict

STILL = Drift(0.0, 0.0, 0.0, 0.01, 0.05, 0.01, 0.0, 0.0, 0.03, 0.0, 0.0, 0.0, 0.01, 1.5, MIN_PAIRS, 200)


def test_a_verdict_comes_over_its_limit_and_goes_below_a_smaller_one():
    judge = HealthJudge()
    seen = []
    for rows in (0.3, 0.9 * ALARM_ROWS_PX, 1.1 * ALARM_ROWS_PX, 0.8 * ALARM_ROWS_PX, 0.9 * LEAVE * ALARM_ROWS_PX, 0.1):
        verdict = judge.judge(replace(STILL, rows_rms_px=rows))
        seen.append((verdict.warns, verdict.alarms))
    assert seen == [(False, False), (True, False), (True, True), (True, True), (True, False), (False, False)]
    assert "recalibrate" in judge.judge(replace(STILL, rows_rms_px=2 * WARN_ROWS_PX)).text


def test_a_pair_that_changes_is_told_sooner_than_one_that_was_made_so():
    made_so = replace(STILL, rows_rms_px=0.9 * WARN_ROWS_PX, rows_worst_px=1.2 * ALARM_CHANGE_PX)
    assert not HealthJudge().judge(made_so).warns
    changed = replace(made_so, changed_px=1.2 * WARN_CHANGE_PX)
    assert HealthJudge().judge(changed).warns and not HealthJudge().judge(changed).alarms
    assert HealthJudge().judge(replace(made_so, changed_px=1.1 * ALARM_CHANGE_PX)).alarms
    better = replace(STILL, rows_worst_px=0.5 * WARN_CHANGE_PX, changed_px=2 * ALARM_CHANGE_PX)
    assert not HealthJudge().judge(better).warns, "a start of which too little was seen is no drift"
    assert not HealthJudge().judge(replace(changed, changed_px=2 * ALARM_CHANGE_PX, rows_sd_px=0.5)).warns


def test_a_pair_that_warns_is_looked_at_more_often(scene):
    watch = HealthWatch(scene.rig, FAR_M, 1.0, True)
    for k in range(MIN_PAIRS - 1 + SETTLING):
        watch.look(scene.pair, 0.1 * k)
    off = drifted(scene.pair, scene.rig, Turn(rows_px=0.9 * ALARM_CHANGE_PX))
    for k in range(4):
        watch.look(off, 5.0 + k)
    assert watch.verdict.warns and not watch.verdict.alarms
    assert [watch.look(off, 9.0 + WARNED / 2 * k) for k in range(4)] == [True, False, True, False]


def test_what_is_not_known_well_enough_is_no_alarm():
    wrong = replace(STILL, distance_error=-2 * ALARM_DISTANCE)
    assert HealthJudge().judge(wrong).alarms
    assert not HealthJudge().judge(replace(wrong, distance_error_sd=ALARM_DISTANCE)).alarms
    assert not HealthJudge().judge(replace(wrong, pairs=MIN_PAIRS - 1)).alarms
    assert not HealthJudge().judge(None).alarms


@pytest.mark.parametrize("stops", [True, False])
def test_a_watch_looks_when_it_is_due_and_refuses_only_where_it_may(scene, stops):
    watch = HealthWatch(scene.rig, FAR_M, 1.0, stops)
    assert "unknown" in watch.values()["health"] and watch.refusal == ""
    first = MIN_PAIRS - 1 + SETTLING
    assert [watch.look(scene.pair, 0.1 * k) for k in range(first + 2)] == [True] * first + [False] * 2
    assert watch.values()["health"] == "ok"

    off = drifted(scene.pair, scene.rig, Turn(rows_px=2.0))
    looked = [watch.look(off, 1.45 + 0.1 * k) for k in range(6)]
    assert looked == [False, False, True, True, True, not_late := watch.verdict.alarms], "due, then until it is sure"
    assert not_late and bool(watch.refusal) == stops
    values = watch.values()
    assert values["health"] == "alarm" and values["drift_rows_px"] == pytest.approx(2.0, abs=0.1)

    for k in range(MIN_PAIRS):
        assert watch.look(scene.pair, 2.05 + 0.1 * k), "while it alarms, each pair counts"
    assert watch.refusal == "" and watch.values()["health"] == "ok"


def test_a_few_spoiled_pairs_are_no_drift(scene):
    watch = HealthWatch(scene.rig, FAR_M, 0.0, True)
    spoiled = drifted(scene.pair, scene.rig, Turn(rows_px=5.0))
    for k in range(12):
        watch.look(spoiled if k % 4 in (1, 2) else scene.pair, float(k))
        assert not watch.verdict.alarms


def test_where_nothing_is_seen_it_is_not_looked_for_all_the_time(scene):
    watch = HealthWatch(scene.rig, FAR_M, 1.0, True)
    bare = StereoPair(*(np.full_like(image, 128) for image in (scene.pair.left, scene.pair.right)))
    assert [watch.look(bare, 0.25 * k) for k in range(8)] == [True, False, False, False] * 2


def test_gray_pictures_do(scene):
    gray = StereoPair(*(image[..., 1].copy() for image in (scene.pair.left, scene.pair.right)))
    watch = HealthWatch(scene.rig, FAR_M, 0.0, True)
    assert watch.look(gray, 0.0) and watch.drift.points > 100
