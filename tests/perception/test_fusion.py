"""Log-odds over time: by hand, in motion, cleared, faded, without flicker; and the films that measure it."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.errors import InputError
from rarrl.perception.fusion import FusionConfig, VoxelFusion
from rarrl.types import VoxelGrid, VoxelState
from rarrl_learning.perception import evaluate_fusion
from rarrl_learning.perception.evaluate_fusion import clearing, eval_fusion, flicker
from rarrl_learning.perception.synthetic import SynthConfig, build_scene, render_frame, render_pair

SIDE, SIZE = 8, 0.5
FREE, OCCUPIED = VoxelState.FREE, VoxelState.OCCUPIED
C = FusionConfig()
STEP = 1 / 15


def frame(stamp_s: float, marks: dict[tuple[int, int, int], float] | None = None, frame_id: str = "eye") -> VoxelGrid:
    """Unknown but for `marks`: probabilities; occupied from .24 on, else free."""
    state, p = np.zeros((SIDE,) * 3, np.uint8), np.full((SIDE,) * 3, 0.5, np.float32)
    for at, value in (marks or {}).items():
        p[at], state[at] = value, OCCUPIED if value >= 0.24 else FREE
    return VoxelGrid(state, p, (-2.0, -2.0, 0.0), SIZE, frame_id, stamp_s)


def moved(x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    T[:3, 3] = x, y, z
    return T


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_log_odds_by_hand():
    config = replace(C, enter=0.3, leave=0.1, hit=2.0)
    fusion, at = VoxelFusion(config), (1, 2, 3)
    first = fusion.update(frame(0.0, {at: 0.4}))
    gain = logit(0.4) - logit(0.24)
    assert first.state[at] == OCCUPIED and first.probability[at] == pytest.approx(0.4, abs=1e-6)
    second = fusion.update(frame(0.1, {at: 0.4}))
    expected = gain * math.exp(-0.1 / config.memory_s) + gain
    assert logit(float(second.probability[at])) == pytest.approx(expected + logit(0.24), abs=1e-5)
    assert np.count_nonzero(second.state) == 1 and (second.probability[second.unknown] == 0.5).all()


def test_a_frame_adds_no_more_than_hit_and_the_map_is_clamped():
    fusion, at = VoxelFusion(), (1, 2, 3)
    one = fusion.update(frame(0.0, {at: 1.0}))
    assert logit(float(one.probability[at])) == pytest.approx(C.hit + logit(C.prior), abs=1e-5)
    for i in range(1, 30):
        many = fusion.update(frame(i * STEP, {at: 1.0}))
    assert logit(float(many.probability[at])) == pytest.approx(C.highest + logit(C.prior), abs=1e-5)
    for i in range(30, 60):
        many = fusion.update(frame(i * STEP, {at: 0.0}))
    assert logit(float(many.probability[at])) == pytest.approx(C.lowest + logit(C.prior), abs=1e-5)


@pytest.mark.parametrize("cells", [(1, 0, 0), (0, -2, 0), (0, 0, 3), (-1, 2, 1), (9, 0, 0)])
def test_motion_by_whole_voxels_is_exact(cells):
    rng = np.random.default_rng(1)
    marks = {tuple(int(v) for v in at): 0.9 for at in rng.integers(0, SIDE, (60, 3))}
    fusion = VoxelFusion()
    before = fusion.update(frame(0.0, marks))
    after = fusion.update(frame(STEP), moved(*(SIZE * c for c in cells)))
    expected = np.zeros_like(before.state)
    for at in np.argwhere(before.occupied):
        to = at - cells
        if (to >= 0).all() and (to < SIDE).all():
            expected[tuple(to)] = OCCUPIED
    np.testing.assert_array_equal(after.state, expected)  # what entered is unknown


def test_a_quarter_turn_takes_voxels_along():
    fusion = VoxelFusion()
    fusion.update(frame(0.0, {(7, 4, 2): 0.9}))  # x 1.75, z 1.25
    after = fusion.update(frame(STEP), moved(yaw=math.pi / 2))
    # The camera now looks along the old x: the old x is ahead, and the old z to the left.
    np.testing.assert_array_equal(np.argwhere(after.occupied), [[1, 4, 3]])


def test_motion_below_half_a_voxel_adds_up():
    fusion = VoxelFusion(replace(C, memory_s=100.0, fade_s=100.0))
    fusion.update(frame(0.0, {(4, 4, 6): 1.0}))
    for i in range(1, 21):  # 2 m in steps of a fifth of a voxel
        after = fusion.update(frame(i * STEP), moved(z=0.1))
    np.testing.assert_array_equal(np.argwhere(after.occupied), [[4, 4, 2]])


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=1, max_size=5))
def test_there_and_back_again_loses_only_what_left_the_cube(steps):
    fusion, at = VoxelFusion(replace(C, memory_s=100.0, fade_s=100.0)), np.array([4, 4, 4])
    fusion.update(frame(0.0, {(4, 4, 4): 1.0}))
    inside = True
    for i, cells in enumerate((*steps, *[tuple(-c for c in cells) for cells in reversed(steps)]), 1):
        at = at - cells
        inside &= bool((at >= 0).all() and (at < SIDE).all())
        after = fusion.update(frame(i * STEP), moved(*(SIZE * c for c in cells)))
    assert after.occupied[4, 4, 4] == inside and np.count_nonzero(after.state) == int(inside)


def test_what_is_seen_through_is_cleared_within_half_a_second():
    fusion, at = VoxelFusion(), (3, 3, 3)
    for i in range(30):
        fusion.update(frame(i * STEP, {at: 0.95}))
    states = [int(fusion.update(frame((30 + i) * STEP, {at: 0.01})).state[at]) for i in range(8)]
    assert states[-1] == FREE
    assert states == sorted(states, key=[OCCUPIED, VoxelState.UNKNOWN, FREE].index)  # no way back


def test_what_appears_in_free_space_is_marked_within_a_third_of_a_second():
    fusion, at = VoxelFusion(), (3, 3, 3)
    for i in range(30):
        fusion.update(frame(i * STEP, {at: 0.01}))
    states = [int(fusion.update(frame((30 + i) * STEP, {at: 0.9})).state[at]) for i in range(5)]
    assert states[-1] == OCCUPIED


@pytest.mark.parametrize("rate_hz", [5, 15, 60])
def test_fading_goes_by_time_not_by_frames(rate_hz):
    at, other = (3, 3, 3), (0, 0, 0)
    fusion = VoxelFusion(replace(C, hit=5.0, leave=0.01, enter=0.02))
    fusion.update(frame(0.0, {at: 1.0}))
    for i in range(1, rate_hz + 1):
        after = fusion.update(frame(i / rate_hz, {other: 0.01}))
    assert logit(float(after.probability[at])) == pytest.approx(
        C.highest * math.exp(-1 / C.fade_s) + logit(C.prior), abs=1e-3
    )


def test_frames_without_information_only_fade_and_slowly():
    fusion, at = VoxelFusion(), (3, 3, 3)
    fusion.update(frame(0.0, {at: 1.0, (0, 0, 0): 0.0}))
    for i in range(1, 8):
        after = fusion.update(frame(i * STEP))
    assert after.occupied[at]
    assert logit(float(after.probability[at])) == pytest.approx(
        C.hit * math.exp(-7 * STEP / C.memory_s) + logit(C.prior), abs=1e-4
    )
    for i in range(8, 200):
        after = fusion.update(frame(i * STEP))
    assert not after.state.any()


def test_what_left_the_view_is_remembered_longer():
    in_view = np.ones((SIDE,) * 3, bool)
    in_view[:3] = False
    fusion = VoxelFusion(in_view=in_view)
    for i in range(10):
        fusion.update(frame(i * STEP, {(3, 1, 1): 0.95, (7, 6, 6): 0.95}))
    fusion.update(frame(10 * STEP), moved(x=SIZE))  # the camera steps aside: the one leaves its view, the other stays
    for i in range(11, 26):  # a second in which only another voxel is seen
        after = fusion.update(frame(i * STEP, {(7, 0, 0): 0.01}))
    assert after.occupied[2, 1, 1] and not after.occupied[6, 6, 6]
    with pytest.raises(ValueError, match="in_view"):
        VoxelFusion(in_view=np.ones((2, 2, 2), bool)).update(frame(0.0))


def test_what_a_frame_speaks_of_is_in_view():
    # At the image's border a voxel is hit whose middle the camera does not see: it must not haunt for seconds.
    at, given = (1, 1, 1), np.zeros((SIDE,) * 3, bool)
    fusion = VoxelFusion(in_view=given)
    for i in range(10):
        fusion.update(frame(i * STEP, {at: 0.95}))
    for i in range(10, 19):
        after = fusion.update(frame(i * STEP, {(7, 0, 0): 0.01}))
    assert not after.occupied[at] and not given.any()  # the caller's array is left alone


@pytest.mark.parametrize("motion", [moved(z=0.6 * SIZE), moved(yaw=0.6 * SIZE / 2.0)])  # the middle is 2 m ahead
def test_on_the_move_what_is_no_longer_confirmed_goes_at_once(motion):
    """Else a surface that crosses into the next voxel stands in two of them for half a second."""
    still, moving = VoxelFusion(), VoxelFusion()
    for i in range(10):
        for fusion in (still, moving):
            fusion.update(frame(i * STEP, {(4, 4, 4): 0.95}))
    for i in range(10, 12):
        kept = still.update(frame(i * STEP, {(7, 0, 0): 0.01}))
        gone = moving.update(frame(i * STEP, {(7, 0, 0): 0.01}), motion)
    assert kept.occupied.sum() == 1 and gone.occupied.sum() == 0


def test_unknown_never_becomes_free_or_occupied():
    fusion = VoxelFusion()
    for i in range(30):
        assert not fusion.update(frame(i * STEP)).state.any()


def test_identical_frames_do_not_flicker():
    rng = np.random.default_rng(2)
    marks = {tuple(int(v) for v in at): float(rng.random()) for at in rng.integers(0, SIDE, (200, 3))}
    fusion = VoxelFusion()
    states = [fusion.update(frame(i * STEP, marks)).state for i in range(300)]
    changes = [np.count_nonzero(a != b) for a, b in itertools.pairwise(states)]
    assert sum(changes[200:]) == 0
    # Each voxel settles without ever turning back.
    assert max(np.count_nonzero(np.diff(np.array(states, dtype=int), axis=0), axis=0).ravel()) <= 1


def test_a_noisy_voxel_flickers_less_than_its_frames():
    rng, fusion, at = np.random.default_rng(3), VoxelFusion(), (3, 3, 3)
    raw = rng.random(300) < 0.6
    fused = [fusion.update(frame(i * STEP, {at: 0.6 if hit else 0.1})).occupied[at] for i, hit in enumerate(raw)]
    assert np.count_nonzero(np.diff(fused)) < 0.3 * np.count_nonzero(np.diff(raw))


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (frame(0.9), "ran back by 0.100 s"),
        (frame(3.5), "jumped by 2.500 s"),
        (frame(1.1, frame_id="other eye"), "another cube or frame"),
    ],
)
def test_the_map_starts_anew_and_says_why(second, reason):
    fusion = VoxelFusion()
    assert fusion.update(frame(1.0, {(1, 1, 1): 0.9})).occupied.any() and fusion.reason == ""
    assert not fusion.update(second).state.any()
    assert reason in fusion.reason
    fusion.update(replace(second, stamp_s=second.stamp_s + STEP))
    assert fusion.reason == ""


def test_a_frame_seen_twice_counts_once():
    fusion, seen = VoxelFusion(), frame(1.0, {(1, 1, 1): 0.9})
    once, twice = fusion.update(seen), fusion.update(seen)
    np.testing.assert_array_equal(once.probability, twice.probability)


@pytest.mark.parametrize(
    "T", [np.eye(3), 2 * np.eye(4), np.full((4, 4), np.nan), np.diag([-1.0, 1, 1, 1]), np.eye(4) + np.eye(4)[::-1]]
)
def test_motion_that_is_not_rigid_is_refused(T):
    with pytest.raises(ValueError, match="T_previous_current"):
        VoxelFusion().update(frame(0.0), T)


@pytest.mark.parametrize(
    "values",
    [
        {"prior": 0.0},
        {"hit": -1.0},
        {"miss": 0.0},
        {"memory_s": math.nan},
        {"fade_s": 0.0},
        {"fade_s": 5.0},
        {"fade_voxels": 0.0},
        {"max_gap_s": -1},
        {"leave": 1.0},
        {"highest": 0.5},
        {"free_enter": -0.1},
        {"lowest": 0.0},
        {"hit": True},
    ],
)
def test_bad_parameters_are_named(values):
    with pytest.raises(ValueError, match=f"FusionConfig.*{next(iter(values))}"):
        FusionConfig(**values)


def test_frames_of_a_film_differ_by_their_noise_alone():
    config = SynthConfig(128, 96)
    scene = build_scene(5, 0, config)
    one, two = (render_frame(scene, 7, n, n * STEP, config) for n in (0, 1))
    again = render_frame(scene, 7, 0, 0.0, config)
    assert again.pair.left.tobytes() == one.pair.left.tobytes() != two.pair.left.tobytes()
    np.testing.assert_array_equal(one.disparity, two.disparity)
    np.testing.assert_array_equal(one.disparity, render_pair(5, 0, config).disparity)
    assert np.abs(one.pair.left.astype(int) - two.pair.left).mean() < 12


def test_clearing_and_flicker_by_hand():
    frames, left_at = 40, 15
    occupied = np.zeros((frames, 4), bool)
    occupied[10 : left_at + 4, 0] = True  # three frames too long
    occupied[10:, 1] = True  # a ghost
    occupied[:, 2] = True  # there before the box came: not judged
    occupied[10 : left_at + 1, 3] = True  # at once
    occupied[left_at + 6, 0] = True  # and once more
    first, last, ghosts = clearing(occupied, np.ones(4, bool), np.full(4, left_at))
    assert (list(first), list(last), ghosts) == ([3, frames - 1 - left_at, 0], [6, frames - 1 - left_at, 0], 1)
    assert flicker([occupied[0], occupied[0]], np.ones(4, bool)) == 0


def test_eval_command(tmp_path, monkeypatch):
    for name, value in (("WIDTH", 240), ("HEIGHT", 192), ("LEAD", 2), ("CROSSING", 6)):
        monkeypatch.setattr(evaluate_fusion, name, value)
    out, told = tmp_path / "fusion.json", []
    results = eval_fusion(1, 8, 1, out, "test", lambda done, text: told.append(done))
    assert json.loads(out.read_text("utf-8")) == json.loads(json.dumps(results)) and told == [0]
    assert {"flicker_rate", "flicker_rate_raw", "clear_s", "ghost_voxels", "iou_gain_fused"} <= set(results["figures"])


@pytest.mark.parametrize(
    ("values", "named"), [({"seed": -1}, "--seed"), ({"frames": 3}, "--frames"), ({"scenes": 0}, "--scenes")]
)
def test_eval_refuses_bad_input(values, named):
    with pytest.raises(InputError, match=named):
        eval_fusion(**values)


def test_the_page_says_what_was_measured():
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs/explanation/detector.md").read_text("utf-8")
    figures = json.loads((root / "benchmarks/results/detector_fusion.json").read_text("utf-8"))["figures"]
    for name, digits in (("flicker_rate", 3), ("clear_s", 2), ("clear_s_mean", 2), ("moving_recall", 3)):
        row = next(line for line in page.splitlines() if f"(`{name}`)" in line and line.startswith("|"))
        cells = [cell.split()[0] for cell in row.split("|")[2:4]]
        assert cells == [f"{figures[key]['value']:.{digits}f}" for key in (f"{name}_raw", name)]
    for name in ("iou_gain_fused", "iou_gain_still"):
        assert f"by {figures[name]['value']:+.3f} [{figures[name]['lo']:.3f}, {figures[name]['hi']:.3f}]" in page
