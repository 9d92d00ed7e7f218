"""What the detector makes of spoiled pictures, over many scenes: in this process, without ROS (`camera` has the graph).

C2, C4 and C7 spoil one pair of each scene. Unsafe is a pair that holds no information and yet leaves a bearing of the
scan, or a voxel, free. D1 lets the right camera turn slowly while the robot drives; times are those of its frames.
Unsafe is a pair that is answered although its obstacles' distances (median of nine strips of the picture) have become
wrong by a tenth, against the nearest of CLEAN pictures of the same scene without drift; `false_stops` are alarms before
anything has turned. D1 is played with cameras whose field of view is WIDE_DEG or more: a narrow one does not see yaw
(benchmarks/stereo_health.py has both)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np

from rarrl.config import DetectorConfig
from rarrl.perception.camera_input import FrozenImageCheck, camera_pose
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacle_sensor import ObstacleSensor
from rarrl.perception.obstacles import Body
from rarrl.perception.stereo_health import HealthWatch
from rarrl.perception.voxels import PRESETS
from rarrl.types import StereoPair
from rarrl_learning.perception.drift import Turn, drifted, least_error, obstacle_distances
from rarrl_learning.perception.synthetic import RenderedPair, SynthConfig, render_pair

from .row import Row, Trial

SIZE = (320, 240)
"""Pixels of a picture that is spoiled."""
WIDE_SIZE = (640, 480)
"""Pixels of a picture of D1."""
WIDE_DEG = 60.0
KIND = "indoor"
FRAME_S = 0.1
FROZEN_HZ = 15.0
STILL_FRAMES = 60
"""Frames of a camera that stands still, which must not look frozen."""
SETTLED_S = 1.5
"""Of driving before the camera begins to turn, and after it is back."""
BACK_S = 2.0
CLEAN = 4
"""Pictures without drift that tell where obstacles are: with noise alone a strip with two surfaces changes by 16 %."""
DRIFT_S = 1.0
"""Seconds for one step of the drift, with another picture."""
DRIFT = {"pitch_deg": 0.02, "yaw_deg": 0.04, "roll_deg": 0.04, "rows_px": 0.1}
"""A second: a mount that warms up takes minutes for that."""
LONGEST_S = 25.0
"""One degree of yaw: the end of a drift that nobody has noticed."""
TENTH = 0.1

Spoil = Callable[[StereoPair], StereoPair]


def both(change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    return lambda pair: StereoPair(change(pair.left), change(pair.right))


BLIND: dict[str, tuple[str, Spoil]] = {
    "C4-many-swapped": ("left and right are swapped", lambda pair: StereoPair(pair.right, pair.left)),
    "C4-many-twice": ("both images are the left one", lambda pair: StereoPair(pair.left, pair.left)),
    "C7-many-dark": ("it is dark", both(lambda image: image // 60)),
    "C7-many-glare": ("glare everywhere", both(lambda image: np.full_like(image, 255))),
    "C7-many-blur": ("blur that leaves nothing", both(lambda image: cv2.GaussianBlur(image, (0, 0), 30))),
    "C7-many-bare": ("a wall without texture", both(lambda image: np.full_like(image, 128))),
    "C7-many-covered": ("the right camera is covered", lambda pair: StereoPair(pair.left, np.zeros_like(pair.right))),
}
"""Row -> what is wrong, and how a pair becomes so."""


def scenes(seed: int, size: tuple[int, int] = SIZE, field_deg: float = 0.0) -> Iterator[RenderedPair]:
    """Rendered pairs with aligned rows, without end, by cameras whose field of view is `field_deg` or more."""
    index = 0
    while True:
        drawn = render_pair(seed + 900, index, SynthConfig(*size, kinds=(KIND,), misrectification_px=0.0))
        if math.degrees(2 * math.atan(size[0] / 2 / drawn.rig.fx)) >= field_deg:
            yield drawn
        index += 1


def sensor_of(scene: RenderedPair) -> ObstacleSensor:
    config = DetectorConfig()
    pose = camera_pose(config.camera_height_m, 0.0)
    body = Body(low_m=config.body_low_m, high_m=config.body_high_m)
    return ObstacleSensor(ClassicalDetector(scene.rig, PRESETS[KIND]), pose, body, config.scan_sectors)


def with_noise(pair: StereoPair, rng: np.random.Generator, levels: float = 1.0) -> StereoPair:
    """`pair` with a sensor's noise, in gray levels: no two pictures are alike."""
    images = (image + levels * rng.standard_normal(image.shape, dtype=np.float32) for image in (pair.left, pair.right))
    return StereoPair(*(np.clip(image, 0, 255).astype(np.uint8) for image in images))


def play_blind(spoil: Spoil, trials: int, seed: int) -> list[Trial]:
    """One spoiled pair of each scene."""
    rng = np.random.default_rng(seed)
    found = []
    for scene, _ in zip(scenes(seed), range(trials), strict=False):
        reading = sensor_of(scene).read(with_noise(spoil(scene.pair), rng))
        free = bool(reading.scan.ranges.any() or reading.grid.free.any())
        found.append(Trial(unsafe=int(free), note=f"free although {reading.refusal or 'not refused'}" if free else ""))
    return found


def play_frozen(trials: int, seed: int) -> list[Trial]:
    """A camera that stands still, with noise of half a gray level, and then freezes."""
    rng = np.random.default_rng(seed)
    found = []
    for scene, _ in zip(scenes(seed), range(trials), strict=False):
        check = FrozenImageCheck(DetectorConfig().freeze_frames)
        alarms = 0
        for _ in range(STILL_FRAMES):
            still = with_noise(scene.pair, rng, 0.5)
            alarms += bool(check.frozen(still.left, still.right))

        moving = (with_noise(scene.pair, rng).left for _ in range(100))
        after = next((k for k, left in enumerate(moving, 1) if check.frozen(left, still.right)), None)
        at_s = None if after is None else after / FROZEN_HZ
        found.append(Trial(at_s, at_s, None, 1, int(after is None), {"false_stops": alarms}))
    return found


def play_drift(axis: str, trials: int, seed: int) -> list[Trial]:
    """The right camera turns about one axis, to either side in turn."""
    rng = np.random.default_rng(seed)
    wide = scenes(seed, WIDE_SIZE, WIDE_DEG)
    return [_drift(axis, (-1) ** k, scene, rng) for k, scene in zip(range(trials), wide, strict=False)]


def _drift(axis: str, sign: int, scene: RenderedPair, rng: np.random.Generator) -> Trial:
    config = DetectorConfig()
    detector = ClassicalDetector(scene.rig, PRESETS[KIND])
    watch = HealthWatch(scene.rig, PRESETS[KIND].z_far, config.health_period_s, stops=True)
    for k in range(round(SETTLED_S / FRAME_S)):
        watch.look(with_noise(scene.pair, rng), k * FRAME_S - SETTLED_S)
    false_stops = int(bool(watch.refusal))

    clean = [obstacle_distances(detector, with_noise(scene.pair, rng)) for _ in range(CLEAN)]
    known = [each for each in clean if each is not None]
    stop_s = None
    outputs = unsafe = 0
    for second in range(round(LONGEST_S / DRIFT_S)):
        turn = Turn(**{axis: sign * DRIFT[axis] * DRIFT_S * second})
        pair = drifted(with_noise(scene.pair, rng), scene.rig, turn)
        now = obstacle_distances(detector, pair)
        outputs += 1
        for k in range(round(DRIFT_S / FRAME_S)):
            if watch.look(pair, second * DRIFT_S + k * FRAME_S) and watch.refusal:
                stop_s = second * DRIFT_S + k * FRAME_S
                break
        # Of a second in which the watch alarms, the first frames were answered.
        if known and now is not None:
            unsafe += least_error(known, now) >= TENTH
        if stop_s is not None:
            break

    told = watch.drift.text() if watch.drift is not None else "nothing seen"
    recover_s = None
    for k in range(round(BACK_S / FRAME_S)):
        watch.look(with_noise(scene.pair, rng), LONGEST_S + k * FRAME_S)
        if not watch.refusal:
            recover_s = (k + 1) * FRAME_S
            break
    counts = {"false_stops": false_stops}
    note = f"{axis} {sign * DRIFT[axis] * second * DRIFT_S:+.2f}: {told}"
    # From the first, harmless part of a degree on: how far the drift has come, and no delay that could have a limit.
    return Trial(None, stop_s, recover_s, outputs, unsafe, counts, note if unsafe or stop_s is None else "")


def rows() -> tuple[Row, ...]:
    """Of the detector alone; those of its node are in `camera`."""
    blind = [
        Row(
            name,
            "camera",
            what,
            "one spoiled pair of each of many scenes",
            "nothing looks free",
            "in-process",
            partial(play_blind, spoil),
            30,
            6,
        )
        for name, (what, spoil) in BLIND.items()
    ]
    frozen = Row(
        "C2-many",
        "camera",
        "a camera stands still, then freezes",
        f"{STILL_FRAMES} frames with noise of half a gray level, then one picture again and again",
        "noticed within 0.5 s, and not before",
        "in-process",
        play_frozen,
        10,
        2,
        stops=True,
        limits={"stop_s": 0.5},
    )
    drift = [
        Row(
            f"D1-{axis.partition('_')[0]}",
            "camera",
            f"the stereo pair loses its calibration: {what}",
            f"{DRIFT[axis]:g} {unit} more a second, to either side, by cameras of {WIDE_DEG:g} degrees or more",
            "an alarm before obstacle distances are wrong by a tenth; driving again when it is back",
            "in-process",
            partial(play_drift, axis),
            6,
            int(axis == "rows_px"),
            stops=True,
            recovers=True,
        )
        for axis, what, unit in (
            ("pitch_deg", "pitch", "degrees"),
            ("yaw_deg", "yaw", "degrees"),
            ("roll_deg", "roll", "degrees"),
            ("rows_px", "rows", "rows"),
        )
    ]
    return (*blind, frozen, *drift)
