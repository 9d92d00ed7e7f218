"""What the view shows, as frozen values, and those as JSON. Nothing here knows of robots, ROS or browsers.

A `Snapshot` has four parts that change at different rates: the home once a mission, the story with each decision, the
picture with each pair of images, the moment with each step. Each part is encoded where it has changed, and only then.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from rarrl.config import GateConfig
from rarrl.perception.rig import CameraRig
from rarrl.secrets import hide_secrets
from rarrl.types import VoxelGrid

MOST_VOXELS = 700
"""Squares over a picture: the nearest ones. More cannot be told apart in 320 pixels, and take the page time to draw."""
JPEG_QUALITY = 80
"""Artefacts are not seen at the size of the page, and 320 x 240 pixels take 12 kB."""
DIGITS = 3
"""Behind the point: millimetres, and milliseconds."""


@dataclass(frozen=True, eq=False)
class Camera:
    """What the left camera shows. image: (height, width, 3) uint8 RGB, or JPEG as bytes. voxels: (n, 4) float32 over
    it, far ones first: column and row of the centre (pixels), side (pixels), distance (m); see `voxels_over`. None: not
    known. t_s: when it was taken, on the clock of the `Moment`."""

    image: np.ndarray | bytes
    width_px: int
    height_px: int
    voxels: np.ndarray | None
    t_s: float = 0.0


@dataclass(frozen=True, eq=False)
class Home:
    """What stands still, from above, metres. size_m: (x, y). walls, boxes: (n, 4) x low, y low, x high, y high; names:
    of the boxes, in words."""

    size_m: tuple[float, float]
    walls: np.ndarray
    boxes: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scan:
    """How far each bearing is seen to be free: ranges_m (n,), of bearing `angle_min_rad + i * increment_rad`, from
    `x_m`, `y_m` in the robot's frame."""

    ranges_m: np.ndarray
    angle_min_rad: float
    increment_rad: float
    range_max_m: float
    x_m: float = 0.0
    y_m: float = 0.0


@dataclass(frozen=True)
class GateState:
    """What the safety gate did with the last command: PASS, LIMITED or STOP, and why; "" where none was asked.

    radius_m: of the base, with the gate's margin. stop_m: how far the base goes on until it stands, at its present
    speed; reach_m: at full speed. An obstacle within stop_m of the base's edge, in its way, is a STOP."""

    action: str = ""
    reason: str = ""
    detail: str = ""
    radius_m: float = 0.0
    stop_m: float = 0.0
    reach_m: float = 0.0


@dataclass(frozen=True, eq=False)
class Moment:
    """Where the robot is now. t_s: seconds since the beginning. pose: x (m), y (m), heading (rad), None where it is not
    known. v_m_s, omega_rad_s: of the base. path: (n, 2) metres, oldest first. people: (p, 2) metres. target: (2,) where
    the robot believes its sub-goal to be. held: what is in the hand. mode: of the supervisor, "" without one."""

    t_s: float = 0.0
    pose: tuple[float, float, float] | None = None
    v_m_s: float = 0.0
    omega_rad_s: float = 0.0
    path: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    people: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    scan: Scan | None = None
    gate: GateState | None = None
    target: tuple[float, float] | None = None
    held: str = ""
    mode: str = ""


@dataclass(frozen=True)
class Bar:
    """A stretch of time: an attempt (role "") or a call of the language model (role planner or verifier, level 1 or 2).

    t1_s: None while it is not over. status: how it ended, "" before. label: the sub-goal, or what came back. tokens,
    time_left_s, tokens_left: of a call, and of the budget after it. beside: the robot went on meanwhile."""

    decision: int
    t0_s: float
    t1_s: float | None
    role: str = ""
    level: int = 0
    status: str = ""
    label: str = ""
    tokens: float = 0.0
    time_left_s: float = 0.0
    tokens_left: float = 0.0
    beside: bool = False


@dataclass(frozen=True)
class Option:
    """One of the choices at a decision. allowed: whether the budget permits it. probability: that the policy gives it,
    None for a rule. seconds, tokens: what it is expected to cost. price: these seconds in points of success."""

    label: str
    allowed: bool
    chosen: bool
    probability: float | None
    seconds: float
    tokens: float
    price: float


@dataclass(frozen=True)
class Reason:
    """Why the last decision was taken. why: the orchestrator's own line. value: the chance of success less the price of
    thinking still to come, as the policy sees it, None where it does not say."""

    decision: int
    label: str
    why: str
    options: tuple[Option, ...] = ()
    value: float | None = None
    policy: str = ""


@dataclass(frozen=True)
class Step:
    """A step of the plan. state: done, now or next."""

    name: str
    state: str


@dataclass(frozen=True)
class Belief:
    """What the robot believes. share: how sure, 0 to 1; None where it does not say."""

    text: str
    share: float | None = None


@dataclass(frozen=True)
class Story:
    """The task, and how it came so far. status: one or two words. plan_sure: how sure the robot is of its plan, 0 to 1,
    None where that is not known; plan_by: who made it. bars: attempts and calls, in the order in which they ended."""

    goal: str = ""
    policy: str = ""
    model: str = ""
    episode: int = 0
    status: str = "waiting"
    steps: tuple[Step, ...] = ()
    beliefs: tuple[Belief, ...] = ()
    plan_sure: float | None = None
    plan_by: str = ""
    bars: tuple[Bar, ...] = ()
    began_s: float = 0.0
    time_budget_s: float = 0.0
    time_left_s: float = 0.0
    token_budget: float = 0.0
    tokens_left: float = 0.0
    reason: Reason | None = None


@dataclass(frozen=True)
class Controls:
    """What the buttons do, and of what. source: what is shown, in words. recorded: it is over long since. paused: it
    stands. no_pause, no_think: why a button is of no use, "" where it is of use."""

    source: str = ""
    recorded: bool = False
    paused: bool = False
    no_pause: str = ""
    no_think: str = ""
    pause_label: str = "Pause"
    resume_label: str = "Go on"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that is shown. Parts that have not changed are the same objects."""

    moment: Moment
    story: Story
    controls: Controls = Controls()
    camera: Camera | None = None
    home: Home | None = None

    def parts(self) -> dict[str, Any]:
        """Name -> what is encoded as one; None for what there is not."""
        return {
            "home": self.home,
            "story": self.story,
            "controls": self.controls,
            "camera": self.camera,
            "moment": self.moment,
        }


def encode(part: Any) -> str:
    """A part as JSON, in one line, without secrets. Arrays are lists, rounded to DIGITS; what is not finite is null."""
    return json.dumps(_plain(part), allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float | np.floating):
        return round(float(value), DIGITS) if math.isfinite(value) else None
    if isinstance(value, Camera):
        return _camera(value)
    if isinstance(value, np.ndarray):
        return _numbers(value)
    if isinstance(value, np.integer):
        return int(value)
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    raise TypeError(f"view: {type(value).__name__} cannot be shown")


def _numbers(values: np.ndarray) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.round(values.astype(np.float64), DIGITS)
    if np.isfinite(rounded).all():  # the ends of the range overflow as they are rounded
        return rounded.tolist()
    return [_plain(each) for each in values.tolist()] if values.ndim == 1 else [_numbers(row) for row in values]


def _camera(camera: Camera) -> dict[str, Any]:
    return {
        "jpeg": base64.b64encode(jpeg_of(camera.image)).decode("ascii"),
        "width_px": camera.width_px,
        "height_px": camera.height_px,
        "t_s": round(camera.t_s, DIGITS),
        "voxels": None if camera.voxels is None else np.round(camera.voxels.astype(np.float64), 2).tolist(),
    }


def jpeg_of(image: np.ndarray | bytes) -> bytes:
    """`image` as of `Camera`, as JPEG."""
    if isinstance(image, bytes):
        return image
    import cv2

    bgr = np.ascontiguousarray(image[..., ::-1])
    done, data = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    assert done, "OpenCV encodes every (h, w, 3) uint8"
    return data.tobytes()


def voxels_over(
    grid: VoxelGrid, rig: CameraRig, T_base_camera: np.ndarray | None = None, low_m: float = 0.0
) -> np.ndarray:
    """The occupied voxels of `grid` as `Camera.voxels` over the left image of `rig`; see `squares_over`."""
    return squares_over(grid.centres(grid.occupied), grid.voxel_size, rig, T_base_camera, low_m)


def squares_over(
    centres_m: np.ndarray,
    side_m: float,
    rig: CameraRig,
    T_base_camera: np.ndarray | None = None,
    low_m: float = 0.0,
    most: int = MOST_VOXELS,
) -> np.ndarray:
    """Cubes as squares over the left image of `rig`: (n, 4) as of `Camera.voxels`, the `most` nearest, far ones first.

    centres_m: (m, 3) in the left optical frame (x right, y down, z forward). side_m: of each cube. T_base_camera:
    (4, 4), where the camera is; what is lower than `low_m` over the ground is left out then, as the floor is."""
    centres_m = centres_m[centres_m[:, 2] > side_m]
    if T_base_camera is not None:
        centres_m = centres_m[centres_m @ T_base_camera[2, :3] + T_base_camera[2, 3] >= low_m]
    x, y, z = centres_m.T
    with np.errstate(over="ignore", invalid="ignore"):  # a camera of absurd numbers shows nothing
        u, v, side = rig.cx + rig.fx * x / z, rig.cy + rig.fy * y / z, rig.fx * side_m / z
    inside = (u > -side) & (v > -side) & (u < rig.width + side) & (v < rig.height + side)
    rows = np.column_stack([u, v, side, z])[inside]
    near = np.argsort(rows[:, 3], kind="stable")[:most]
    with np.errstate(over="ignore"):
        shown = rows[near[::-1]].astype(np.float32)
    return shown[np.isfinite(shown).all(axis=1)]


def gate_state(config: GateConfig, action: str, reason: str, detail: str, v_m_s: float) -> GateState:
    """What the gate did, and its zones at this speed. They are those of `rarrl.safety.gate` for a straight way: what
    passes until the brakes are on, by the age that scans may have and the latency, and the braking distance."""
    radius_m = config.radius_m or max(config.half_width_m, config.front_m)
    delay_s = config.latency_s + config.max_obstacle_age_s

    def until_it_stands(speed: float) -> float:
        return speed * delay_s + speed**2 / (2 * config.decel_mps2)

    return GateState(
        action,
        reason,
        detail,
        radius_m + config.margin_m,
        math.copysign(until_it_stands(abs(v_m_s)), v_m_s),
        until_it_stands(config.max_speed_mps),
    )


class Path:
    """Where the robot was, thinned out as it grows: never more than `most` points."""

    def __init__(self, spacing_m: float = 0.08, most: int = 400) -> None:
        self._first_m = self._spacing_m = spacing_m
        self._most = most
        self._points: list[tuple[float, float]] = []
        self._array = np.zeros((0, 2))

    def clear(self) -> None:
        """Begins again."""
        self._points, self._spacing_m, self._array = [], self._first_m, np.zeros((0, 2))

    def add(self, x_m: float, y_m: float) -> np.ndarray:
        """(n, 2): the path with a point that is far enough from the last one."""
        if self._points and math.dist(self._points[-1], (x_m, y_m)) < self._spacing_m:
            return self._array
        self._points.append((x_m, y_m))
        if len(self._points) > self._most:
            self._points = self._points[::2]
            self._spacing_m *= 2
        self._array = np.array(self._points)
        return self._array
