"""A furnished room in MuJoCo, seen by a stereo head, with exact truth: `StereoScene`.

The room is a list of boxes and balls, drawn from a seed. World: metres, x ahead, y left, z up, the floor at z = 0. Two
truths: `truth` holds the surfaces that the left camera sees (from its depth image), `solid` every voxel that a solid
touches, seen or not (from the geometry, by separating axes).

MuJoCo is in the extra `sim`. It renders without a window through EGL, or OSMesa where EGL is absent: Debian's `libegl1`
or `libosmesa6`; no GPU is needed. `rarrl_learning.perception.synthetic` makes pairs without either.
"""

from __future__ import annotations

import ctypes.util
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from rarrl.errors import DependencyMissingError, InputError
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import GridSpec
from rarrl.types import StereoPair, VoxelGrid, VoxelState

TEXTURES = 12  # different ones, by number
TEXTURE_SIDE = 256  # px
CLEARANCE_M = 0.9  # m around the head's first place without furniture: a body's width and the nearest range of stereo
WALL_M = 0.1  # m, thickness
TOUCH_M = 1e-4  # m; a face between two voxels belongs to both
PIECES = 9  # of furniture, at most
PIECE_TRIES = 40  # random places for a piece before it is left out
PIECE_M = 0.45  # m, radius of the floor that a piece takes
GAP_M = 0.1  # m between two such discs
PANEL_M = 1.3  # m; walls, floor and ceiling are panels of about this side, each with a texture of its own

GL_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
"""Value of MUJOCO_GL -> the library that it needs."""
GL_HELP = "on Debian and Ubuntu: apt install libegl1, or libosmesa6 and MUJOCO_GL=osmesa; no GPU is needed"
OPTICAL_TO_MUJOCO = np.diag([1.0, -1.0, -1.0])  # MuJoCo's cameras: x right, y up, z back


@dataclass(frozen=True)
class Solid:
    """A box, or a ball where `radius` > 0. centre, half (half its sides): metres; yaw: about z, rad; texture: index,
    one picture on each face."""

    name: str
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    texture: int
    yaw: float = 0.0
    radius: float = 0.0

    @property
    def axes(self) -> np.ndarray:
        """(3, 3) rotation from the box's own axes to the world."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def furnished_room(seed: int) -> tuple[Solid, ...]:
    """Walls, floor, ceiling, a crate straight ahead of (0, 0), and furniture that leaves its surroundings clear.

    The same seed gives the same room."""
    rng = np.random.default_rng([seed, 0])
    length = rng.uniform(4.5, 6.0)
    width = rng.uniform(4.0, 5.5)
    height = rng.uniform(2.3, 2.8)
    solids = _shell(rng, length, width, height)

    crate = float(rng.uniform(0.22, 0.3))
    at = (float(rng.uniform(1.4, 2.2)), float(rng.uniform(-0.3, 0.3)), crate)
    solids.append(Solid("crate", at, (crate, crate, crate), _texture(rng), float(rng.uniform(-0.5, 0.5))))

    taken = [(at[0], at[1], 1.5 * crate), (0.0, 0.0, CLEARANCE_M)]
    makers = (_table, _shelf, _chair, _pillar, _crates, _ball)
    for number in range(PIECES):
        make = makers[number % len(makers)]
        for _ in range(PIECE_TRIES):  # a full room just gets fewer
            x = rng.uniform(-0.8, length - 1.3)
            y = rng.uniform(-width / 2 + 0.4, width / 2 - 0.4)
            if all(math.hypot(x - a, y - b) > r + (PIECE_M + GAP_M) for a, b, r in taken):
                solids += make(rng, f"{make.__name__[1:]}{number}", x, y)
                taken.append((x, y, PIECE_M))
                break
    return tuple(solids)


def solid_voxels(solids: Sequence[Solid], T_world_left: np.ndarray, spec: GridSpec) -> np.ndarray:
    """(size, size, size) bool: the voxels of a cube in the left optical frame that touch a solid; exact.

    T_world_left: (4, 4) rigid, takes points of the left optical frame to the world. Boxes by the separating axis
    theorem (Gottschalk, Lin and Manocha, "OBBTree", 1996), balls by their nearest point."""
    half = spec.voxel_size / 2 + TOUCH_M
    steps = [o + spec.voxel_size * (np.arange(spec.size) + 0.5) for o in spec.origin]
    held = np.zeros(spec.shape, dtype=bool)
    R = T_world_left[:3, :3]
    t = T_world_left[:3, 3]
    for solid in solids:
        middle = R.T @ (np.asarray(solid.centre) - t)
        axes = R.T @ solid.axes  # columns: the box's axes in the camera's frame
        extent = np.full(3, solid.radius) if solid.radius else np.abs(axes) @ solid.half
        near = [np.abs(step - m) <= half + e for step, m, e in zip(steps, middle, extent, strict=True)]

        away = np.stack(np.meshgrid(*(s[n] for s, n in zip(steps, near, strict=True)), indexing="ij"), axis=-1) - middle
        if solid.radius:
            touches = (np.maximum(np.abs(away) - half, 0.0) ** 2).sum(axis=-1) <= solid.radius**2
        else:
            touches = np.ones(away.shape[:3], dtype=bool)
            crosses = [np.cross(np.eye(3)[i], axes[:, j]) for i in range(3) for j in range(3)]
            for axis in (*axes.T, *crosses):  # the cube's own three are `near`
                reach = half * np.abs(axis).sum() + np.abs(axis @ axes) @ solid.half
                touches &= np.abs(away @ axis) <= reach
        held[np.ix_(*near)] |= touches
    return held


class StereoScene:
    """A room and a stereo head in it: `pair()`, `rig`, `truth(spec)`.

    Close it, or use it in a `with`: it holds an OpenGL context. Not for several threads. Rendered without shadows,
    reflections and multisampling: on a computer without a GPU that is several times quicker.

    Args:
        seed: of room, textures and sensor noise
        width, height: of an image, px
        baseline_m: distance between the cameras
        fov_deg: horizontal field of view
        noise: standard deviation of the sensor noise, gray levels (0: none; then a head that stands still looks frozen)
        solids: another room than `furnished_room(seed)`

    Raises: DependencyMissingError where MuJoCo or OpenGL is missing; InputError for an impossible camera."""

    def __init__(
        self,
        seed: int = 0,
        width: int = 640,
        height: int = 480,
        baseline_m: float = 0.12,
        fov_deg: float = 75.0,
        noise: float = 1.0,
        solids: Sequence[Solid] | None = None,
    ) -> None:
        if not 1 <= fov_deg <= 170:
            raise InputError(f"stereo scene: fov_deg must be 1 to 170 degrees, got {fov_deg}")

        focal = width / 2 / math.tan(math.radians(fov_deg) / 2)
        # Pixel centres at whole numbers: the axis passes between the middle ones.
        self.rig = CameraRig(focal, focal, (width - 1) / 2, (height - 1) / 2, float(baseline_m), width, height)
        self.solids = furnished_room(seed) if solids is None else tuple(solids)
        self._noise = noise
        self._rng = np.random.default_rng([seed, 1])

        self._mujoco = load_mujoco()
        textures = {f"t{i}.png": _png(np.random.default_rng([seed, 2, i])) for i in range(TEXTURES)}
        self._model = self._mujoco.MjModel.from_xml_string(_xml(self.solids, self.rig), textures)
        self._data = self._mujoco.MjData(self._model)
        self._renderer = make_renderer(self._mujoco, self._model, width, height)
        self.move_head()

    def __enter__(self) -> StereoScene:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the OpenGL context."""
        self._renderer.close()

    def move_head(
        self, x: float = 0.0, y: float = 0.0, height_m: float = 0.55, yaw: float = 0.0, pitch: float = 0.0
    ) -> None:
        """Puts the left camera at (x, y, height_m), metres, looking along `yaw` (to the left) and down by `pitch`,
        rad."""
        cos, sin = math.cos(yaw), math.sin(yaw)
        T_world_base = np.eye(4)
        T_world_base[:2, :2] = [[cos, -sin], [sin, cos]]
        T_world_base[:2, 3] = (x, y)
        self.T_world_left = T_world_base @ camera_pose(height_m, pitch)
        """(4, 4): takes points of the left optical frame to the world."""

        quaternion = np.empty(4)
        self._mujoco.mju_mat2Quat(quaternion, (self.T_world_left[:3, :3] @ OPTICAL_TO_MUJOCO).ravel())
        self._data.mocap_pos[0] = self.T_world_left[:3, 3]
        self._data.mocap_quat[0] = quaternion
        self._mujoco.mj_forward(self._model, self._data)

    def pair(self, stamp_s: float = 0.0) -> StereoPair:
        """Both images now, (height, width, 3) BGR uint8, with fresh noise."""
        return StereoPair(self._image("left"), self._image("right"), stamp_s)

    def depth(self) -> np.ndarray:
        """(height, width) float32: metres along the left camera's axis to what each pixel shows."""
        self._renderer.enable_depth_rendering()
        try:
            self._renderer.update_scene(self._data, "left")
            return self._renderer.render().copy()
        finally:
            self._renderer.disable_depth_rendering()

    def truth(self, spec: GridSpec, stamp_s: float = 0.0) -> VoxelGrid:
        """What a perfect detector could say. Occupied: the voxel holds the surface point of a pixel of the left
        camera; free: its centre is nearer than what the pixel there shows; unknown: hidden or out of view."""
        depth = self.depth()
        rig = self.rig

        v, u = np.indices(depth.shape)
        points = np.stack([(u - rig.cx) * depth / rig.fx, (v - rig.cy) * depth / rig.fy, depth], axis=-1)
        cell = np.floor((points.reshape(-1, 3) - spec.origin) / spec.voxel_size).astype(int)
        cell = cell[((cell >= 0) & (cell < spec.size)).all(axis=1)]

        steps = [o + spec.voxel_size * (np.arange(spec.size) + 0.5) for o in spec.origin]
        x, y, z = np.meshgrid(*steps, indexing="ij")
        with np.errstate(divide="ignore", invalid="ignore"):
            column = np.round(rig.fx * x / z + rig.cx)
            row = np.round(rig.fy * y / z + rig.cy)
        seen = (z > 0) & (column >= 0) & (column < rig.width) & (row >= 0) & (row < rig.height)

        state = np.zeros(spec.shape, dtype=np.uint8)
        state[seen] = VoxelState.FREE * (z[seen] < depth[row[seen].astype(int), column[seen].astype(int)])
        state[tuple(cell.T)] = VoxelState.OCCUPIED
        return self._grid(state, spec, stamp_s)

    def solid(self, spec: GridSpec, stamp_s: float = 0.0) -> VoxelGrid:
        """Occupied: the voxel touches a solid, seen or not (`solid_voxels`); free: it does not."""
        held = solid_voxels(self.solids, self.T_world_left, spec)
        return self._grid(np.where(held, VoxelState.OCCUPIED, VoxelState.FREE).astype(np.uint8), spec, stamp_s)

    def _grid(self, state: np.ndarray, spec: GridSpec, stamp_s: float) -> VoxelGrid:
        probability = np.array([0.5, 0.0, 1.0], dtype=np.float32)[state]  # by VoxelState
        return VoxelGrid(state, probability, spec.origin, spec.voxel_size, self.rig.frame, stamp_s)

    def _image(self, camera: str) -> np.ndarray:
        """(height, width, 3) BGR uint8 of the camera `left` or `right`, with noise."""
        self._renderer.update_scene(self._data, camera)
        image = cv2.cvtColor(self._renderer.render(), cv2.COLOR_RGB2BGR)
        if self._noise:
            grain = self._rng.standard_normal(image.shape, dtype=np.float32)
            image = np.clip(image + np.float32(self._noise) * grain, 0, 255).astype(np.uint8)
        return image


def load_mujoco() -> Any:
    """The module `mujoco`, set to render without a window unless the user has chosen otherwise by MUJOCO_GL.

    Raises: DependencyMissingError where MuJoCo or OpenGL is missing."""
    if "MUJOCO_GL" not in os.environ:
        found = next((name for name, library in GL_LIBRARIES.items() if ctypes.util.find_library(library)), None)
        if found is None:
            raise DependencyMissingError(f"stereo scene: neither EGL nor OSMesa is installed; {GL_HELP}")
        os.environ["MUJOCO_GL"] = found

    try:
        import mujoco
    except ModuleNotFoundError:
        raise DependencyMissingError("stereo scene: MuJoCo is missing: pip install 'rarrl[sim]'") from None
    except Exception as error:  # PyOpenGL raises AttributeError and others where the library is missing
        raise DependencyMissingError(
            f"stereo scene: MUJOCO_GL={os.environ['MUJOCO_GL']} does not work here ({error}); {GL_HELP}"
        ) from error
    return mujoco


def make_renderer(mujoco: Any, model: Any, width: int, height: int) -> Any:
    """A renderer of images of this size, px. Raises: DependencyMissingError where there is no OpenGL."""
    try:
        return mujoco.Renderer(model, height, width)
    except Exception as error:  # each GL back end has errors of its own
        raise DependencyMissingError(
            f"stereo scene: no OpenGL context ({type(error).__name__}: {error}); {GL_HELP}"
        ) from error


def _xml(solids: Sequence[Solid], rig: CameraRig) -> str:
    """The MuJoCo model: light without shadows, textured solids, and a stereo head that can be put anywhere."""
    fovy = 2 * math.degrees(math.atan(rig.height / 2 / rig.fy))
    assets = [
        f'<texture name="t{i}" type="cube" file="t{i}.png"/><material name="t{i}" texture="t{i}" specular="0"/>'
        for i in range(TEXTURES)
    ]
    geoms = [
        (f'<geom type="sphere" size="{s.radius}"' if s.radius else f'<geom type="box" size="{_text(s.half)}"')
        + f' pos="{_text(s.centre)}" euler="0 0 {s.yaw}" material="t{s.texture}" contype="0" conaffinity="0"/>'
        for s in solids
    ]
    return f"""<mujoco>
<compiler angle="radian"/>
<visual><quality offsamples="0" shadowsize="0"/><map znear="0.01" zfar="30"/>
<global offwidth="{rig.width}" offheight="{rig.height}"/>
<headlight ambient=".55 .55 .55" diffuse="0 0 0" specular="0 0 0"/></visual>
<statistic extent="1" center="0 0 0"/>
<asset>{"".join(assets)}</asset>
<worldbody><light directional="true" dir=".5 .35 -.8" diffuse=".5 .5 .5" specular="0 0 0" castshadow="false"/>
{"".join(geoms)}
<body name="head" mocap="true"><camera name="left" fovy="{fovy}"/>
<camera name="right" pos="{rig.baseline} 0 0" fovy="{fovy}"/></body></worldbody></mujoco>"""


def _text(values: Sequence[float]) -> str:
    return " ".join(map(str, values))


def _png(rng: np.random.Generator) -> bytes:
    """A texture: coloured noise of all sizes with a few dozen patches; something to match at every distance."""
    side = TEXTURE_SIDE
    dark = rng.uniform(10, 110, 3)
    light = rng.uniform(130, 250, 3)

    mix = np.zeros((side, side), dtype=np.float32)
    for cells, weight in ((4, 0.25), (16, 0.3), (48, 0.3), (128, 0.25)):
        mix += weight * cv2.resize(rng.random((cells, cells), dtype=np.float32), (side, side))
    for _ in range(int(rng.integers(20, 60))):
        x, y, w, h = (int(n) for n in rng.integers((0, 0, 4, 4), (side, side, 40, 40)))
        mix[y : y + h, x : x + w] += np.float32(rng.uniform(-0.35, 0.35))

    image = dark + (light - dark) * np.clip(mix, 0, 1)[..., None]
    return cv2.imencode(".png", image.astype(np.uint8))[1].tobytes()


# The parts of a room. Each maker of furniture gives solids on the floor within about 0.45 m of (x, y).


def _panels(
    rng: np.random.Generator, name: str, low: Sequence[float], high: Sequence[float], side: float = PANEL_M
) -> list[Solid]:
    """The box from `low` to `high` as panels of about `side` metres, each with a texture of its own."""
    span = np.subtract(high, low)
    counts = np.maximum(np.round(span / side).astype(int), 1)
    half = span / counts / 2
    return [
        Solid(name, _triple(low + (2 * np.array(index) + 1) * half), _triple(half), _texture(rng))
        for index in np.ndindex(*counts)
    ]


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z


def _shell(rng: np.random.Generator, length: float, width: float, height: float) -> list[Solid]:
    """Floor, ceiling and walls, metres inside; the back wall is 1.5 m behind the head's first place."""
    back = -1.5
    w = width / 2
    t = WALL_M
    boxes = {
        "floor": ((back, -w, -t), (length, w, 0.0)),
        "ceiling": ((back, -w, height), (length, w, height + t)),
        "far wall": ((length, -w, 0.0), (length + t, w, height)),
        "back wall": ((back - t, -w, 0.0), (back, w, height)),
        "left wall": ((back, w, 0.0), (length, w + t, height)),
        "right wall": ((back, -w - t, 0.0), (length, -w, height)),
    }
    return [panel for name, (low, high) in boxes.items() for panel in _panels(rng, name, low, high)]


def _block(
    rng: np.random.Generator,
    name: str,
    at: tuple[float, float, float],
    sides: tuple[float, float, float],
    yaw: float,
    offset: tuple[float, float] = (0.0, 0.0),
) -> Solid:
    """A box on a base at height at[2]; `offset` is turned by `yaw` with it."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    x = at[0] + cos * offset[0] - sin * offset[1]
    y = at[1] + sin * offset[0] + cos * offset[1]
    half = (sides[0] / 2, sides[1] / 2, sides[2] / 2)
    return Solid(name, (x, y, at[2] + half[2]), half, _texture(rng), yaw)


def _legs(
    rng: np.random.Generator, name: str, x: float, y: float, a: float, b: float, h: float, yaw: float
) -> list[Solid]:
    """Four legs of height `h` under a top of `a` by `b`, metres."""
    corners = [(i * (a / 2 - 0.03), j * (b / 2 - 0.03)) for i in (-1, 1) for j in (-1, 1)]
    return [_block(rng, name, (x, y, 0.0), (0.05, 0.05, h), yaw, corner) for corner in corners]


def _table(rng: np.random.Generator, name: str, x: float, y: float) -> list[Solid]:
    a, b, h = rng.uniform((0.5, 0.4, 0.5), (0.8, 0.6, 0.75))
    yaw = float(rng.uniform(-1.5, 1.5))
    return [_block(rng, name, (x, y, h), (a, b, 0.04), yaw), *_legs(rng, name, x, y, a, b, h, yaw)]


def _chair(rng: np.random.Generator, name: str, x: float, y: float) -> list[Solid]:
    yaw = float(rng.uniform(-3, 3))
    seat = _block(rng, name, (x, y, 0.42), (0.42, 0.42, 0.05), yaw)
    back = _block(rng, name, (x, y, 0.47), (0.04, 0.42, 0.45), yaw, (-0.19, 0.0))
    return [seat, back, *_legs(rng, name, x, y, 0.42, 0.42, 0.42, yaw)]


def _shelf(rng: np.random.Generator, name: str, x: float, y: float) -> list[Solid]:
    yaw = float(rng.uniform(-1.5, 1.5))
    levels = int(rng.integers(3, 5))
    boards = [_block(rng, name, (x, y, 0.4 * i), (0.3, 0.8, 0.03), yaw) for i in range(levels + 1)]
    sides = [_block(rng, name, (x, y, 0.0), (0.3, 0.03, 0.4 * levels), yaw, (0.0, 0.4 * i)) for i in (-1, 1)]
    return boards + sides


def _pillar(rng: np.random.Generator, name: str, x: float, y: float) -> list[Solid]:
    side = float(rng.uniform(0.08, 0.25))
    return [_block(rng, name, (x, y, 0.0), (side, side, 2.2), float(rng.uniform(0, 1.5)))]


def _crates(rng: np.random.Generator, name: str, x: float, y: float) -> list[Solid]:
    low = rng.uniform(0.35, 0.5)
    high = rng.uniform(0.2, 0.33)
    yaws = rng.uniform(-0.7, 0.7, 2)
    return [
        _block(rng, name, (x, y, 0.0), (low, low, low), float(yaws[0])),
        _block(rng, name, (x, y, low), (high, high, high), float(yaws[1])),
    ]


def _ball(rng: np.random.Generator, name: str, x: float, y: float) -> list[Solid]:
    radius = float(rng.uniform(0.12, 0.3))
    return [Solid(name, (x, y, radius), (radius,) * 3, _texture(rng), radius=radius)]


def _texture(rng: np.random.Generator) -> int:
    return int(rng.integers(TEXTURES))
