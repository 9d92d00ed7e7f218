"""A table in MuJoCo on which one picture allows 24 instructions: only the words tell which of them is meant.

Two cubes and two discs, each red or blue, lie at random places; a suction tool on three sliding axes presses, pushes,
lifts or carries one of them. Colour and shape are both needed to name a thing, the verb and the mat to name what to do
with it. The start of an episode (its picture) does not depend on the task.
"""

from __future__ import annotations

import os
import string
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np

from rarrl.errors import DependencyMissingError, InputError

CAMERAS = ("top", "wrist")
IMAGE_SIZE = 64
RENDER_SIZE = 128  # shrunk to IMAGE_SIZE, as in Meta-World with words
ACTION_NAMES = ("vx", "vy", "vz", "suction")
PROPRIO_NAMES = ("tool_x_m", "tool_y_m", "tool_z_m", "holds")
CONTROL_HZ = 20.0
MAX_STEPS = 80  # the expert needs 10 to 50
SPLITS = {"train": 0, "test": 1_000_000}  # first seed of the list of starts
RENDERING = "128 px shrunk to 64, no multisampling, no shadows, no reflections"

SPEED = 0.4  # m/s at an action of 1
TIMESTEP = 0.0025  # s
LOW = np.array([-0.31, -0.27, 0.004])  # what the tool's tip can reach, metres
HIGH = np.array([0.31, 0.27, 0.26])
PAD = 0.012  # half a side of the suction pad, m
HALF_HEIGHT = {"cube": 0.022, "disc": 0.0125}  # m
RADIUS = {"cube": 0.022, "disc": 0.04}  # half a side, or radius, m
COLOURS = {"red": "0.85 0.08 0.08 1", "blue": "0.08 0.15 0.85 1"}
MATS = {"left": (-0.25, 0.02), "right": (0.25, 0.02), "front": (0.0, -0.21)}  # centres, m
MAT_HALF = 0.06
FIELD_LOW, FIELD_HIGH = np.array([-0.15, -0.09]), np.array([0.15, 0.18])  # where things start, m

CARRY_M = 0.06  # a carried thing's bottom above the table
LIFT_M = 0.12  # a lifted one's
PUSH_M = 0.05
PRESS_STEPS = 3  # control steps with the tool on the thing, suction off
DISTURBED_M = 0.03  # another thing moved so far spoils the episode


@dataclass(frozen=True)
class TabletopTask:
    """One instruction of the 24. verb: press, push, lift or put. mat: of `put`, else empty."""

    verb: str
    colour: str
    shape: str
    mat: str = ""

    @property
    def name(self) -> str:
        """e.g. `put-red-cube-left`."""
        return "-".join(filter(None, (self.verb, self.colour, self.shape, self.mat)))

    @property
    def kind(self) -> str:
        """The task without its thing, e.g. `put-left`."""
        return "-".join(filter(None, (self.verb, self.mat)))

    @property
    def thing(self) -> str:
        """e.g. `red cube`."""
        return f"{self.colour} {self.shape}"

    def instructions(self, held_out: bool = False) -> list[str]:
        """Six paraphrases for training, or the three held out, whose words all occur in training."""
        return [
            f"{verb} the {self.colour} {noun}{_TAILS[self.verb].format(mat=self.mat)}"
            for i, verb in enumerate(_VERBS[self.verb])
            for j, noun in enumerate(_NOUNS[self.shape])
            if (i == j) == held_out
        ]


_VERBS = {
    "press": ("press", "touch", "tap"),
    "push": ("push", "shove", "nudge"),
    "lift": ("lift", "raise", "hold up"),
    "put": ("put", "place", "set"),
}
_TAILS = {"press": "", "push": " away", "lift": "", "put": " on the {mat} mat"}
_NOUNS = {"cube": ("cube", "block", "box"), "disc": ("disc", "puck", "plate")}
KINDS = (("press", ""), ("push", ""), ("lift", ""), *(("put", mat) for mat in MATS))
THINGS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in RADIUS)
TASKS = {
    task.name: task
    for verb, mat in KINDS
    for colour in COLOURS
    for shape in RADIUS
    for task in (TabletopTask(verb, colour, shape, mat),)
}


def task_named(name: str) -> TabletopTask:
    """Raises: InputError for an unknown name."""
    if name not in TASKS:
        raise InputError(f"task: {name!r} is unknown; allowed: {', '.join(TASKS)}")
    return TASKS[name]


class TabletopEnv(gymnasium.Env):
    """One task. Observation: `images` (2, 64, 64, 3) uint8 RGB (cameras top, wrist), `proprio` (4,) float32 (tip of the
    tool, x to the right, y away, z up, metres above the table's middle; 1 while a thing hangs at the suction pad) and
    `instruction`. Action: (4,) float32 in [-1, 1]: velocity (1 is 0.4 m/s), and suction, on above 0. Reward: 1 in the
    step of success, which ends the episode.

    Success, always without another thing having moved 3 cm: *press*, the tool stood on the thing for 0.15 s, suction
    off; *push*, it moved 5 cm away and less than 4 cm aside, never having hung at the tool; *lift*, it hangs 12 cm
    above the table, less than 6 cm beside where it lay; *put*, it lies on the mat, released.

    The axes are driven by velocity and limited in force; suction is MuJoCo's adhesion of 12 N at the contact.

    Args:
        task: a name of `TASKS`
        max_steps: the episode is truncated after so many

    `reset(options={"split": "train" | "test", "start": i, "instruction": text})` chooses the i-th start of a fixed
    list; without `start`, `reset(seed=s)` takes start s of the split. Raises: InputError, DependencyMissingError."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, task: str, max_steps: int = MAX_STEPS) -> None:
        self.task = task_named(task)
        self.max_steps = max_steps
        self.render_mode = "rgb_array"
        self._mujoco = _load_mujoco()
        self._model = self._mujoco.MjModel.from_xml_string(_XML)
        self._data = self._mujoco.MjData(self._model)
        self._pad = self._model.geom("pad").id
        self._geoms = {self._model.geom(thing).id: i for i, thing in enumerate(THINGS)}
        self._renderer: Any = None
        self._steps = 0
        self._instruction = ""
        self._lay = np.zeros((len(THINGS), 3))
        self._forget()
        images = gymnasium.spaces.Box(0, 255, (len(CAMERAS), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        text = gymnasium.spaces.Text(200, charset=string.printable)
        proprio = gymnasium.spaces.Box(-10, 10, (len(PROPRIO_NAMES),), np.float32)
        self.observation_space = gymnasium.spaces.Dict({"images": images, "proprio": proprio, "instruction": text})
        self.action_space = gymnasium.spaces.Box(-1, 1, (len(ACTION_NAMES),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Lays the things and the tool as in a start of the list; see the class."""
        super().reset(seed=seed)
        options = options or {}
        split = options.get("split", "train")
        if split not in SPLITS:
            raise InputError(f"split: {split!r} is unknown; allowed: {', '.join(SPLITS)}")
        start = options.get("start", seed if seed is not None else int(self.np_random.integers(100_000)))
        self._instruction = options.get("instruction") or self.task.instructions()[0]
        rng = np.random.default_rng([SPLITS[split], int(start)])
        self._mujoco.mj_resetData(self._model, self._data)
        for thing, (x, y) in zip(THINGS, _layout(rng), strict=True):
            yaw = rng.uniform(-0.5, 0.5)
            height = HALF_HEIGHT[thing.split()[1]]
            self._data.joint(thing).qpos[:] = x, y, height, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
        self._data.qpos[:3] = rng.uniform((-0.2, -0.2, 0.12), (0.2, 0.2, 0.2))
        self._mujoco.mj_forward(self._model, self._data)
        self._steps = 0
        self._lay = self._places().copy()
        self._forget()
        return self.observation(), {}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One control step of 50 ms; see the class."""
        success = self.advance(action)
        return self.observation(), float(success), success, self._steps >= self.max_steps, {}

    def advance(self, action: np.ndarray) -> bool:
        """`step` without drawing a picture: whether the task is done."""
        told = np.clip(np.asarray(action, dtype=float), -1.0, 1.0)
        tip = self._data.qpos[:3]
        # No further than to the end of an axis.
        velocity = np.clip(SPEED * told[:3], (LOW - tip) * CONTROL_HZ, (HIGH - tip) * CONTROL_HZ)
        self._data.ctrl[:] = *velocity, float(told[3] > 0)
        self._mujoco.mj_step(self._model, self._data, round(1 / CONTROL_HZ / TIMESTEP))
        self._steps += 1
        self._notice()
        return self.solved(self.task)

    def solved(self, task: TabletopTask) -> bool:
        """Whether the state fulfils `task`, which need not be this environment's; see the class."""
        i = THINGS.index(task.thing)
        places = self._places()
        moved = places - self._lay
        others = np.arange(len(THINGS)) != i
        if (np.linalg.norm(moved[others], axis=1) > DISTURBED_M).any():
            return False
        if task.verb == "press":
            return bool(self._pressed[i] >= PRESS_STEPS)
        if task.verb == "push":
            return bool(not self._held[i] and moved[i, 1] > PUSH_M and abs(moved[i, 0]) < 0.04)
        bottom = places[i, 2] - HALF_HEIGHT[task.shape]
        if task.verb == "lift":
            return bool(self._holds == i and bottom > LIFT_M and np.linalg.norm(moved[i, :2]) < 0.06)
        beside = np.abs(places[i, :2] - MATS[task.mat]).max()
        return bool(self._held[i] and self._holds != i and bottom < 0.01 and beside < MAT_HALF)

    def observation(self) -> dict[str, Any]:
        """The current observation, drawn now."""
        return {"images": self.render(), "proprio": self.proprio(), "instruction": self._instruction}

    def proprio(self) -> np.ndarray:
        """(4,) float32, see the class."""
        return np.array([*self._data.qpos[:3], float(self._holds >= 0)], np.float32)

    def privileged(self) -> np.ndarray:
        """(6,) float32: the thing from the tool (x, y, metres), whether it is red, whether it is a cube (1 or 0), and
        the red things' middle from the blue ones' (x, y, metres).

        An extra target of training and never an input. The last four are the two halves of reading a colour: a policy
        that is asked for the first two alone is slow to find out that the word and the picture belong together."""
        i = THINGS.index(self.task.thing)
        xy = self._places()[:, :2]
        red = np.array([thing.startswith("red") for thing in THINGS])
        looks = float(red[i]), float(self.task.shape == "cube")
        middles = xy[red].mean(axis=0) - xy[~red].mean(axis=0)
        return np.array([*(xy[i] - self._data.qpos[:2]), *looks, *middles], np.float32)

    def distraction(self, i: int) -> np.ndarray:
        """(4,) float32: on the way to 4 cm above thing number `i`, whichever is meant."""
        thing = self._places()[i % len(THINGS)].copy()
        thing[2] += 0.06
        return _towards(self._data.qpos[:3].copy(), thing, -1.0)

    def expert_action(self) -> np.ndarray:
        """(4,) float32: what the scripted expert would do now. It knows the state, and needs no memory."""
        i = THINGS.index(self.task.thing)
        tip, thing = self._data.qpos[:3].copy(), self._places()[i]
        half, radius = HALF_HEIGHT[self.task.shape], RADIUS[self.task.shape]
        top, bottom = thing[2] + half, thing[2] - half
        if self._holds >= 0 and (self._holds != i or self.task.verb in ("press", "push")):
            return np.array([0, 0, 0.3, -1], np.float32)  # let go
        if self.task.verb == "push":
            return _push(tip, thing, radius)
        if self._holds < 0:
            if self.task.verb == "put" and self.solved(self.task):
                return np.array([0, 0, 1, -1], np.float32)
            suction = 1.0 if self.task.verb != "press" and np.linalg.norm((thing - tip)[:2]) < 0.03 else -1.0
            return _towards(tip, np.array([*thing[:2], top - 0.01]), suction)
        if self.task.verb == "lift":
            return np.array([*_servo(self._lay[i, :2] - thing[:2]), 1, 1], np.float32)
        away = np.array(MATS[self.task.mat]) - thing[:2]
        far = np.linalg.norm(away)
        climb = np.clip(2 * (far - 0.02), -0.01, CARRY_M) - bottom
        aside = _servo(away) * np.clip(bottom / 0.04, 0, 1) if far > 0.05 else _servo(away)
        return np.array([*aside, *_servo(np.array([climb])), -1 if far < 0.03 and bottom < 0.006 else 1], np.float32)

    def expert_chunk(self, horizon: int) -> np.ndarray:
        """(horizon, 4) float32: what the expert would do from here on, tried out in the simulator and undone."""
        mujoco = self._mujoco
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        saved = np.empty(mujoco.mj_stateSize(self._model, kind))
        mujoco.mj_getState(self._model, self._data, saved, kind)
        kept = self._steps, self._holds, self._held.copy(), self._pressed.copy()
        chunk = np.empty((horizon, len(ACTION_NAMES)), np.float32)
        for row in chunk:
            row[:] = self.expert_action()
            self.advance(row)
        self._steps, self._holds, self._held, self._pressed = kept
        mujoco.mj_setState(self._model, self._data, saved, kind)
        mujoco.mj_forward(self._model, self._data)
        return chunk

    def render(self) -> np.ndarray:
        """(2, 64, 64, 3) uint8 RGB."""
        import cv2

        if self._renderer is None:
            self._renderer = self._mujoco.Renderer(self._model, RENDER_SIZE, RENDER_SIZE)
        images = []
        for camera in CAMERAS:
            self._renderer.update_scene(self._data, camera)
            drawn = self._renderer.render()
            images.append(cv2.resize(drawn, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA))
        return np.stack(images)

    def close(self) -> None:
        """Frees the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _notice(self) -> None:
        """What hangs at the pad, and what is pressed."""
        on, sucks = self._touched(), bool(self._data.ctrl[3])
        self._holds = on if sucks else -1
        if self._holds >= 0:
            self._held[self._holds] = True
        pressed = np.zeros(len(THINGS), dtype=int)
        if on >= 0 and not sucks and self._data.qpos[2] > self._places()[on, 2]:  # from above, not aside
            pressed[on] = self._pressed[on] + 1
        self._pressed = pressed

    def _forget(self) -> None:
        self._holds = -1  # index of the thing at the pad
        self._held = np.zeros(len(THINGS), dtype=bool)  # ever
        self._pressed = np.zeros(len(THINGS), dtype=int)  # control steps so far

    def _places(self) -> np.ndarray:
        """(4, 3) centres of the things, metres."""
        return self._data.qpos[3:].reshape(len(THINGS), 7)[:, :3]

    def _touched(self) -> int:
        """Index of the thing that the pad touches, or -1."""
        for pair in self._data.contact.geom:
            if self._pad in pair and (other := int(pair.sum()) - self._pad) in self._geoms:
                return self._geoms[other]
        return -1


def _layout(rng: np.random.Generator) -> np.ndarray:
    """(4, 2) places with room around each thing, and more before and behind it, for pushing."""
    while True:
        xy = rng.uniform(FIELD_LOW, FIELD_HIGH, (len(THINGS), 2))
        apart = np.abs(xy[:, None] - xy)[np.triu_indices(len(THINGS), 1)]
        if ((apart[:, 0] > 0.11) | (apart[:, 1] > 0.16)).all():
            return xy


def _servo(error: np.ndarray) -> np.ndarray:
    """Velocity as an action, towards where `error` (metres) is zero."""
    return np.clip(error / 0.03, -1, 1)


def _towards(tip: np.ndarray, goal: np.ndarray, suction: float) -> np.ndarray:
    """Through a funnel: the lower, the nearer; so the tool passes over what is beside."""
    away = goal - tip
    far = np.linalg.norm(away[:2])
    away[2] += np.clip(2 * (far - 0.008), 0, 0.09)
    return np.array([*_servo(away), suction], np.float32)


def _push(tip: np.ndarray, thing: np.ndarray, radius: float) -> np.ndarray:
    """From behind, low, straight on; steering sideways against the thing's drift."""
    dx, dy = (tip - thing)[:2]
    behind = radius + PAD
    if abs(dx) < 0.015 and -behind - 0.045 < dy < -behind + 0.012 and tip[2] < 0.03:
        return np.array([*_servo(np.array([-dx])), 0.5, *_servo(np.array([0.012 - tip[2]])), -1], np.float32)
    return _towards(tip, np.array([thing[0], thing[1] - behind - 0.025, 0.012]), -1.0)


def _load_mujoco() -> Any:
    # Mesa's software renderer: its worker threads cost more in waiting than they draw in pictures this small.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except ImportError:
        raise DependencyMissingError("MuJoCo is not installed: pip install 'rarrl[sim]'") from None
    return mujoco


def _thing(name: str) -> str:
    colour, shape = name.split()
    half, radius = HALF_HEIGHT[shape], RADIUS[shape]
    form = (
        f'type="box" size="{radius} {radius} {half}"' if shape == "cube" else f'type="cylinder" size="{radius} {half}"'
    )
    return (
        f'<body name="{name}"><freejoint name="{name}"/><geom name="{name}" {form} mass="0.1" '
        f'rgba="{COLOURS[colour]}" friction="0.5 0.01 0.001"/></body>'
    )


_XML = f"""<mujoco>
<option timestep="{TIMESTEP}" integrator="implicitfast" cone="elliptic"/>
<visual><quality offsamples="0" shadowsize="0"/><global offwidth="{RENDER_SIZE}" offheight="{RENDER_SIZE}"/>
<headlight ambient=".5 .5 .5" diffuse=".3 .3 .3" specular="0 0 0"/><map znear="0.01"/></visual>
<statistic extent="1" center="0 0 0"/>
<worldbody><light directional="true" dir=".4 .3 -.8" diffuse=".4 .4 .4" specular="0 0 0" castshadow="false"/>
<geom name="table" type="plane" size=".5 .5 .1" rgba=".72 .68 .6 1" friction="0.5 0.01 0.001"/>
{
    "".join(
        f'<geom type="box" size="{MAT_HALF} {MAT_HALF} .0004" pos="{x} {y} 0" rgba=".25 .6 .3 1" contype="0" '
        'conaffinity="0"/>'
        for x, y in MATS.values()
    )
}
<camera name="top" pos="0 0 .95" fovy="37"/>
<body name="tool" gravcomp="1"><joint name="x" type="slide" axis="1 0 0"/><joint name="y" type="slide" axis="0 1 0"/>
<joint name="z" type="slide" axis="0 0 1"/>
<geom name="pad" type="box" size="{PAD} {
    PAD
} .006" pos="0 0 .006" mass=".3" rgba=".1 .1 .1 1" condim="6" friction="1 0.02 0.02"/>
<geom type="cylinder" size=".006 .05" pos="0 0 .062" mass=".2" rgba=".95 .8 .1 1" contype="0" conaffinity="0"/>
<camera name="wrist" pos="0 -.07 .17" xyaxes="1 0 0 0 .94 .34" fovy="80"/></body>
{"".join(map(_thing, THINGS))}
</worldbody>
<actuator><velocity joint="x" kv="60" forcerange="-15 15"/><velocity joint="y" kv="60" forcerange="-15 15"/>
<velocity joint="z" kv="60" forcerange="-8 8"/><adhesion body="tool" ctrlrange="0 1" gain="12"/></actuator>
</mujoco>"""
