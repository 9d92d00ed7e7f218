"""Renders a `World` with MuJoCo as a stereo head on the base sees it: textured boxes, balls and cans, no physics.

Rendered like `rarrl_sim_envs.stereo_room.scene`: without shadows, reflections and multisampling, which is several times
quicker without a GPU. A class looks alike in every home: its shape, size and colour are its own.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from rarrl.perception.camera_input import camera_pose
from rarrl.perception.rig import CameraRig
from rarrl.types import StereoPair

from ..stereo_room.scene import OPTICAL_TO_MUJOCO, load_mujoco, make_renderer
from .catalogue import FURNITURE, OBJECTS, Style
from .home import WALL_HEIGHT_M, WALL_M, Home, Place
from .world import FIELD_RAD, HEAD_M, PERSON_M, World

BASELINE_M = 0.12  # m between the cameras, as on common stereo heads
PITCH_RAD = 0.65  # rad (37 degrees) that the head looks down: the floor from 0.5 m ahead is in view
HAND_M = 0.25  # m above the floor, what is held: on a tray, below what the head sees
TEXTURES = 8  # different ones, by number
TEXTURE_SIDE = 128  # px
PANEL_M = 1.2  # m; walls and floors are panels of about this side, each with a texture of its own
LINTEL_M = 2.1  # m, height of the doorway
DOOR_SLIDE_M = 1.1  # m that the open door slides into the wall beside: its width
STEPS_PER_S = 10  # of the world, for the stamps of the images
SLICED = 0.7  # size of a sliced thing, of the whole one
SHAPES = {"box": "box", "ball": "sphere", "can": "cylinder"}
"""Shape in the catalogue -> MuJoCo's type of geom."""
_T = 0.03  # m, thickness of boards
Box = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Centre and half sides, metres."""

T_BASE_LEFT = camera_pose(HEAD_M, PITCH_RAD)
"""(4, 4): takes points of the left optical frame to the base frame (x ahead, y left, z up from the floor)."""
T_BASE_LEFT[1, 3] = BASELINE_M / 2
T_BASE_LEFT.setflags(write=False)


class HouseholdScene:
    """Images of one world: `pair(world)`; `rig` describes the cameras.

    Close it, or use it in a `with`: it holds an OpenGL context.

    Args:
        world: the one to render; later states of it may be rendered, but no other home
        width, height: of an image, px
        seed: of the sensor noise
        noise: standard deviation of the sensor noise, gray levels

    Raises: DependencyMissingError where MuJoCo or OpenGL is missing."""

    def __init__(self, world: World, width: int = 320, height: int = 240, seed: int = 0, noise: float = 1.0) -> None:
        focal = width / 2 / math.tan(FIELD_RAD / 2)
        self.rig = CameraRig(focal, focal, (width - 1) / 2, (height - 1) / 2, BASELINE_M, width, height)

        self._noise = noise
        self._rng = np.random.default_rng([seed, 3])
        size = 3 * width * height
        self._grain = np.rint(noise * self._rng.standard_normal(2 * size, dtype=np.float32)).astype(np.int16)

        self._mujoco = load_mujoco()
        drawing = _draw(world)
        textures = {f"t{i}.png": _texture(i) for i in range(TEXTURES)}
        self._model = self._mujoco.MjModel.from_xml_string(drawing.xml(self.rig), textures)
        self._data = self._mujoco.MjData(self._model)
        self._mujoco.mj_forward(self._model, self._data)

        self._named = {name: self._model.geom(name).id for name in drawing.named}
        self._home_xpos = self._data.geom_xpos.copy()
        self._bright = self._model.material("lit").id
        self._renderer = make_renderer(self._mujoco, self._model, width, height)

    def __enter__(self) -> HouseholdScene:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the OpenGL context."""
        self._renderer.close()

    def pair(self, world: World) -> StereoPair:
        """Both images, (height, width, 3) BGR uint8, with fresh noise; stamped with the world's time, seconds."""
        self._place(world)
        return StereoPair(self._image("left"), self._image("right"), world.steps / STEPS_PER_S)

    def depth(self, world: World) -> np.ndarray:
        """(height, width) float32: metres along the left camera's axis to what each pixel shows."""
        self._place(world)
        self._renderer.enable_depth_rendering()
        try:
            self._renderer.update_scene(self._data, "left")
            return self._renderer.render().copy()
        finally:
            self._renderer.disable_depth_rendering()

    def _place(self, world: World) -> None:
        """Moves the head and everything that moves to where the world has them."""
        self._place_head(world)

        xpos = self._data.geom_xpos
        for i, thing in enumerate(world.things):
            geom = self._named[f"thing{i}"]
            xpos[geom] = thing.x, thing.y, _height(world, i)
            if thing.sliced:
                self._model.geom_size[geom] = _size(thing.name, sliced=True)

        for i, person in enumerate(world.people):
            for part in ("body", "head"):
                xpos[self._named[f"{part}{i}"], :2] = person.x, person.y

        for name, place in world.home.places.items():
            if place.opens:  # its shutter slides down into the base
                door = self._named[f"shutter {name}"]
                kind = FURNITURE[name]
                xpos[door] = self._home_xpos[door]
                xpos[door, 2] -= 0.0 if name in world.shut else kind.tall - kind.height
            elif name in world.lit:
                self._model.geom_matid[self._named[f"lamp {name}"]] = self._bright

        if world.door_open:  # into the wall beside
            xpos[self._named["door"], 1] = self._home_xpos[self._named["door"], 1] - DOOR_SLIDE_M

    def _place_head(self, world: World) -> None:
        cos, sin = math.cos(world.heading), math.sin(world.heading)
        T_world_base = np.eye(4)
        T_world_base[:2, :2] = [[cos, -sin], [sin, cos]]
        T_world_base[:2, 3] = (world.x, world.y)
        T_world_left = T_world_base @ T_BASE_LEFT

        quaternion = np.empty(4)
        self._mujoco.mju_mat2Quat(quaternion, (T_world_left[:3, :3] @ OPTICAL_TO_MUJOCO).ravel())
        self._data.mocap_pos[0] = T_world_left[:3, 3]
        self._data.mocap_quat[0] = quaternion
        self._mujoco.mj_forward(self._model, self._data)

    def _image(self, camera: str) -> np.ndarray:
        """(height, width, 3) BGR uint8 of the camera `left` or `right`, with noise."""
        self._renderer.update_scene(self._data, camera)
        image = cv2.cvtColor(self._renderer.render(), cv2.COLOR_RGB2BGR)
        if self._noise:
            # Sampled once and read from a random start: fresh normals for each image take as long as rendering it.
            start = int(self._rng.integers(self._grain.size - image.size))
            grain = self._grain[start : start + image.size].reshape(image.shape)
            image = cv2.add(image, grain, dtype=cv2.CV_8U)  # saturates
        return image


class _Drawing:
    """Collects geoms and the materials that they need."""

    def __init__(self) -> None:
        self.named: list[str] = []
        self._materials: dict[str, str] = {}
        self._geoms: list[str] = []

    def add(self, kind: str, centre: Sequence[float], half: Sequence[float], colour: str, name: str = "") -> None:
        """A geom. centre, half: metres. colour: a class name, or any text: the same text is the same material. name: of
        a geom that moves."""
        texture, (r, g, b) = _look(colour)
        self._materials[colour] = (
            f'<material name="{colour}" texture="t{texture}" rgba="{r:.3f} {g:.3f} {b:.3f} 1" specular="0"/>'
        )
        label = f'name="{name}" ' if name else ""
        self.named += [name] if name else []
        self._geoms.append(
            f'<geom {label}type="{kind}" pos="{_text(centre)}" size="{_text(half)}" material="{colour}" '
            'contype="0" conaffinity="0"/>'
        )

    def xml(self, rig: CameraRig) -> str:
        """The MuJoCo model, with a stereo head that can be put anywhere."""
        fovy = 2 * math.degrees(math.atan(rig.height / 2 / rig.fy))
        textures = "".join(f'<texture name="t{i}" type="cube" file="t{i}.png"/>' for i in range(TEXTURES))
        lit = '<material name="lit" rgba="1 1 .7 1" emission="1" specular="0"/>'
        return f"""<mujoco>
<visual><quality offsamples="0" shadowsize="0"/><map znear="0.01" zfar="30"/>
<global offwidth="{rig.width}" offheight="{rig.height}"/>
<headlight ambient=".6 .6 .6" diffuse="0 0 0" specular="0 0 0"/></visual>
<statistic extent="1" center="0 0 0"/>
<asset>{textures}{lit}{"".join(self._materials.values())}</asset>
<worldbody><light directional="true" dir=".5 .35 -.8" diffuse=".5 .5 .5" specular="0 0 0" castshadow="false"/>
{"".join(self._geoms)}
<body name="head" mocap="true"><camera name="left" fovy="{fovy}"/>
<camera name="right" pos="{rig.baseline} 0 0" fovy="{fovy}"/></body></worldbody></mujoco>"""


def _draw(world: World) -> _Drawing:
    drawing = _Drawing()
    _draw_shell(drawing, world.home)
    for place in world.home.places.values():
        _draw_place(drawing, place)
    for i, thing in enumerate(world.things):
        shape, half = OBJECTS[thing.name]
        drawing.add(SHAPES[shape], (0, 0, 0), _mujoco_size(shape, half), thing.name, f"thing{i}")
    for i in range(len(world.people)):
        drawing.add("cylinder", (0, 0, 0.72), (PERSON_M * 0.9, 0.72), f"clothes{i}", f"body{i}")
        drawing.add("sphere", (0, 0, 1.58), (0.13,), "skin", f"head{i}")
    return drawing


def _draw_shell(drawing: _Drawing, home: Home) -> None:
    (length, width), h = home.size, WALL_HEIGHT_M
    for number, (x0, y0, x1, y1) in enumerate(home.walls):
        _panels(drawing, (x0, y0, 0.0), (x1, y1, h), f"wall{number % 3}")
    _panels(drawing, (0, 0, -WALL_M), (length, width, 0), "floor")
    _panels(drawing, (0, 0, h), (length, width, h + WALL_M), "ceiling")

    x0, y0, x1, y1 = home.door
    _panels(drawing, (x0, y0, LINTEL_M), (x1, y1, h), "wall1")  # above the door
    centre, half = _box((x0 + 0.02, y0, 0.0), (x1 - 0.02, y1, LINTEL_M))
    drawing.add("box", centre, half, "door", "door")


def _panels(drawing: _Drawing, low: Sequence[float], high: Sequence[float], colour: str) -> None:
    span = np.subtract(high, low)
    counts = np.maximum(np.round(span / PANEL_M).astype(int), 1)
    half = span / counts / 2
    for index in np.ndindex(*counts):
        drawing.add("box", low + (2 * np.array(index) + 1) * half, half, f"{colour} {sum(index) % 3}")


def _draw_place(drawing: _Drawing, place: Place) -> None:
    """The body of a piece of furniture, from boxes in its own frame."""
    kind = FURNITURE[place.name]
    w = kind.width
    d = kind.depth
    h = kind.height
    tall = kind.tall or kind.height

    def board(
        across: tuple[float, float], inward: tuple[float, float], up: tuple[float, float], name: str = ""
    ) -> None:
        """across: from the left end; inward: from the front; up: from the floor, metres."""
        (ax, ay), (fx, fy) = place.front, place.facing
        corners = [(ax - fx * i - fy * (a - w / 2), ay - fy * i + fx * (a - w / 2)) for a in across for i in inward]
        xs, ys = zip(*corners, strict=True)
        centre, half = _box((min(xs), min(ys), up[0]), (max(xs), max(ys), up[1]))
        colour = f"shutter {place.name}" if name.startswith("shutter") else place.name
        drawing.add("box", centre, half, colour, name)

    if kind.style is Style.TABLE:
        board((0, w), (0, d), (h - _T, h))
        for a in (0.0, w - 0.06):
            for i in (0.0, d - 0.06):
                board((a, a + 0.06), (i, i + 0.06), (0, h - _T))
    elif kind.style is Style.SEAT:
        board((0, w), (0, d), (0, h))
        board((0, w), (d - 0.15, d), (h, tall))
    elif kind.style is Style.BASIN:
        board((0, w), (0, d), (0, h))
        for across, inward in (((0, _T), (0, d)), ((w - _T, w), (0, d)), ((0, w), (0, _T)), ((0, w), (d - _T, d))):
            board(across, inward, (h, tall))
    elif kind.style is Style.NICHE:
        board((0, w), (0.025, d), (0, h))
        for across, inward in (((0, _T), (0, d)), ((w - _T, w), (0, d)), ((0, w), (d - _T, d))):
            board(across, inward, (h, tall))
        board((0, w), (0, d), (tall - _T, tall))
        board((_T, w - _T), (0, 0.02), (h, tall), f"shutter {place.name}")
    elif kind.style is Style.BACKED:
        board((0, w), (0, d), (0, h))
        board((0, w), (d - 0.1, d), (h, tall))
    elif kind.style is Style.LAMP:
        board((0, w), (0, d), (0, h))
        board((w / 2 - 0.02, w / 2 + 0.02), (d / 2 - 0.02, d / 2 + 0.02), (h, tall - 0.25))
        board((w / 2 - 0.13, w / 2 + 0.13), (d / 2 - 0.13, d / 2 + 0.13), (tall - 0.25, tall), f"lamp {place.name}")
    else:
        board((0, w), (0, d), (0, h))


def _box(low: Sequence[float], high: Sequence[float]) -> Box:
    (x0, y0, z0), (x1, y1, z1) = low, high
    return ((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2), ((x1 - x0) / 2, (y1 - y0) / 2, (z1 - z0) / 2)


def _height(world: World, index: int) -> float:
    """Of the middle of a thing, metres above the floor."""
    thing = world.things[index]
    half = OBJECTS[thing.name][1][2]
    if thing.inside >= 0:
        return _height(world, thing.inside) + OBJECTS[world.things[thing.inside].name][1][2] + half
    if index == world.held:
        return HAND_M
    return half + (FURNITURE[thing.on].height if thing.on else 0.0)


def _size(name: str, sliced: bool) -> tuple[float, float, float]:
    """As MuJoCo takes the size of a geom, metres."""
    shape, half = OBJECTS[name]
    x, y, z = (*_mujoco_size(shape, half), 0.0, 0.0)[:3]
    scale = SLICED if sliced else 1.0
    return x * scale, y * scale, z * scale


def _mujoco_size(shape: str, half: tuple[float, float, float]) -> tuple[float, ...]:
    return {"box": half, "ball": half[:1], "can": (half[0], half[2])}[shape]


def _look(colour: str) -> tuple[int, tuple[float, float, float]]:
    """Texture and colour of a class, spread over the hues by its place in the catalogue; of other names by letters."""
    names = (*OBJECTS, *FURNITURE)
    number = names.index(colour) if colour in names else 100 + sum(map(ord, colour)) * 7
    furniture = colour not in OBJECTS
    hue = (number * 0.618034) % 1.0
    return number % TEXTURES, colorsys.hsv_to_rgb(hue, 0.35 if furniture else 0.85, 0.85 if furniture else 1.0)


@lru_cache(maxsize=TEXTURES)
def _texture(number: int) -> bytes:
    """Gray noise of all sizes, with patches: something to match at every distance."""
    rng = np.random.default_rng([11, number])
    side = TEXTURE_SIDE
    mix = np.zeros((side, side), dtype=np.float32)
    for cells, weight in ((4, 0.25), (12, 0.3), (32, 0.3), (64, 0.25)):
        mix += weight * cv2.resize(rng.random((cells, cells), dtype=np.float32), (side, side))
    for _ in range(30):
        x, y, w, h = (int(n) for n in rng.integers((0, 0, 3, 3), (side, side, 20, 20)))
        mix[y : y + h, x : x + w] += np.float32(rng.uniform(-0.3, 0.3))
    return cv2.imencode(".png", (80 + 175 * np.clip(mix, 0, 1)).astype(np.uint8))[1].tobytes()


def _text(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
