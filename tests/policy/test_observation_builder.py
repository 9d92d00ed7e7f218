"""What becomes an observation, and what is dropped."""

import numpy as np
import pytest
from policy_fixtures import tiny_spec

from rarrl.policy.base import InterfaceSpec
from rarrl.policy.observation_builder import DROPS, ObservationBuilder

S = 10**9
PICTURE = np.full((32, 32, 3), 7, np.uint8)


def feed(**changes):
    return ObservationBuilder(tiny_spec(**changes), max_age_s=0.4, slop_s=0.05)


def filled(target, stamp_ns=100 * S, clock_ns=100 * S, now=5.0):
    for camera in target._spec.cameras:
        assert target.add_image(camera, PICTURE, stamp_ns, clock_ns, now)
    assert target.add_proprio(["y", "unknown", "x"], [2.0, 9.0, 1.0], stamp_ns, clock_ns, now)
    return target


def test_parts_make_a_whole():
    moment = filled(feed(), clock_ns=100 * S + S // 10).latest("go left")
    assert moment.stamp_ns == 100 * S
    observation = moment.observation
    assert observation.observed_at == pytest.approx(4.9)
    assert observation.images.shape == (1, 32, 32, 3) and (observation.images == 7).all()
    assert observation.proprio.tolist() == [1.0, 2.0]  # in the order of the spec
    assert observation.instruction == "go left"


def test_its_time_is_that_of_the_oldest_part():
    target = filled(feed(cameras=("top", "side")))
    assert target.add_image("side", PICTURE, 100 * S + S // 50, 100 * S + S // 50, 5.02)
    moment = target.latest("go")
    assert (moment.stamp_ns, moment.observation.observed_at) == (100 * S, 5.0)


def test_a_policy_without_cameras_sees_no_pictures():
    spec = InterfaceSpec(
        cameras=(),
        image_size=32,
        proprio_names=("x", "y"),
        proprio_mean=(0.0, 0.0),
        proprio_scale=(1.0, 1.0),
        action_names=("vx",),
        action_low=(-1.0,),
        action_high=(1.0,),
        horizon=4,
        control_hz=20.0,
    )
    moment = filled(ObservationBuilder(spec, max_age_s=0.4, slop_s=0.05)).latest("go")
    assert moment.stamp_ns == 100 * S
    assert moment.observation.images.shape == (0, 32, 32, 3) and moment.observation.images.dtype == np.uint8
    assert moment.observation.proprio.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("missing", ["top", "side", "proprio"])
def test_a_part_missing_is_no_observation(missing):
    target = feed(cameras=("top", "side"))
    for camera in {"top", "side"} - {missing}:
        target.add_image(camera, PICTURE, S, S, 1.0)
    if missing != "proprio":
        target.add_proprio(["x", "y"], [0.0, 0.0], S, S, 1.0)
    assert target.latest("go") is None


def test_parts_of_different_times_are_no_observation():
    target = filled(feed(cameras=("top", "side")))
    later = 100 * S + S // 10
    target.add_image("top", PICTURE, later, later, 5.1)
    assert target.latest("go").stamp_ns == 100 * S, "the parts of before still belong together"
    target.add_image("side", PICTURE, later, later, 5.1)
    target.add_proprio(["x", "y"], [0.0, 0.0], later, later, 5.1)
    assert target.latest("go").stamp_ns == later


def test_larger_pictures_are_shrunk():
    target = feed()
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, 32:] = 200
    assert target.add_image("top", half, 100 * S, 100 * S, 5.0)
    assert target.add_proprio(["x", "y"], [1.0, 2.0], 100 * S, 100 * S, 5.0)
    assert target.latest("go").observation.images[0, 5].tolist() == [[0] * 3] * 16 + [[200] * 3] * 16


@pytest.mark.parametrize("shape", [(16, 16, 3), (64, 32, 3), (32, 32)])
def test_pictures_that_do_not_fit_are_dropped(shape):
    target = feed()
    assert not target.add_image("top", np.zeros(shape, np.uint8), S, S, 1.0)
    assert dict(target.drops) == {"size": 1}


@pytest.mark.parametrize(
    ("names", "values", "says"),
    [
        (["x", "y"], [1.0], "2 names and 1 positions"),
        (["x", "y", "x"], [1.0, 2.0, 3.0], "a name twice"),
        (["x", "y"], [1.0, np.nan], "y is nan, which is not finite"),
        (["x", "y"], [np.inf, 1.0], "x is inf, which is not finite"),
    ],
)
def test_bad_proprioception_is_dropped(names, values, says):
    target = filled(feed())
    target.add_proprio(names, values, 101 * S, 101 * S, 6.0)
    assert target.drops["proprio"] == 1 and says in target.last_drop
    moment = target.latest("go")
    assert moment is None or moment.observation.proprio.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(("names", "values"), [([], []), (["wheel"], [1.0]), (["x", "y"], [])])
def test_joint_states_of_others_or_without_positions_change_nothing(names, values):
    target = filled(feed())
    assert not target.add_proprio(names, values, 100 * S + 1, 100 * S + 1, 5.0)
    assert not target.drops and target.latest("go").stamp_ns == 100 * S


MS = S // 1000


def play(late_ms, camera_ms=100, joint_ms=10, offset_ms=0, apart=False, slop_s=0.05, seconds=1.0):
    """A second of pictures that come `late_ms` after they were taken, `offset_ms` off the joints' stamps; what the
    builder then holds. Each number comes in a message of its own with `apart`."""
    target = ObservationBuilder(tiny_spec(), max_age_s=0.4, slop_s=slop_s)
    events = [(at + late_ms, at + offset_ms, "top") for at in range(0, int(1000 * seconds), camera_ms)]
    events += [(at, at, "joints") for at in range(0, int(1000 * seconds), joint_ms)]
    for came, taken, what in sorted(events):
        clock = 100 * S + came * MS
        stamp = 100 * S + taken * MS
        if what == "top":
            target.add_image("top", np.full((32, 32, 3), taken % 251, np.uint8), stamp, clock, came / 1000)
        elif apart:
            target.add_proprio(["y"], [taken], stamp - 3 * MS, clock, came / 1000)
            target.add_proprio(["x"], [taken], stamp, clock, came / 1000)
        else:
            target.add_proprio(["x", "y"], [taken, taken], stamp, clock, came / 1000)
    return target


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("late_ms", [0, 30, 70, 200, 350])
def test_late_pictures_are_paired_with_the_joints_of_their_time(late_ms, apart):
    moment = play(late_ms, apart=apart).latest("go")
    seen = int(moment.observation.images[0, 0, 0, 0])
    assert moment is not None
    assert all(
        abs((value - seen) % 251) <= 5 or abs((value - seen) % 251) >= 246 for value in moment.observation.proprio
    )


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ({"joint_ms": 10}, ""),
        ({"late_ms": 390, "seconds": 0.35}, "waiting for top"),
        (
            {"camera_ms": 200, "joint_ms": 200, "offset_ms": 80},
            "are 80 ms apart at best, more than policy.slop_s (50 ms)",
        ),
        ({"camera_ms": 200, "joint_ms": 200, "offset_ms": 80, "slop_s": 0.1}, ""),
        ({"slop_s": 0.001, "offset_ms": 3}, "are 3 ms apart at best, more than policy.slop_s (1 ms)"),
    ],
)
def test_what_an_observation_waits_for_is_told(case, says):
    target = play(**({"late_ms": 0} | case))
    if "seconds" in case:
        target = feed()
        target.add_proprio(["x", "y"], [0.0, 0.0], S, S, 1.0)
    assert says in target.waiting() and bool(says) == bool(target.waiting())
    assert (target.latest("go") is None) == bool(says)
    assert target.waits or not says


def test_a_part_that_falls_silent_is_told_by_name():
    target = feed()
    target.add_image("top", PICTURE, S, S, 1.0)
    target.add_proprio(["x"], [0.0], S, S, 1.0)
    assert target.waiting() == "waiting for proprio y" and target.latest("go") is None and target.waits == 2


@pytest.mark.parametrize(
    ("stamp_ns", "reason"),
    [(100 * S, "out_of_order"), (99 * S, "stale"), (103 * S, "future"), (0, "stale"), (100 * S - 1, "out_of_order")],
)
def test_stamps_that_are_not_believed(stamp_ns, reason):
    target = filled(feed())
    assert not target.add_image("top", PICTURE, stamp_ns, 100 * S + S // 10, 5.1)
    assert dict(target.drops) == {reason: 1} and reason in DROPS


def test_a_clock_set_back_begins_anew():
    target = filled(feed())
    filled(target, stamp_ns=S, clock_ns=S, now=9.0)
    assert target.latest("go").stamp_ns == S and not target.drops
