"""A table in MuJoCo on which one image allows 24 instructions: only the words say which of them is meant.

Two cubes and two discs, each red or blue, lie at random places; a suction tool on three sliding axes presses, pushes,
lifts or carries one of them. Colour and shape are both needed to name an object, the verb and the mat to name what to
do with it. The start of an episode (its images) does not depend on the task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rarrl.policy.spec import RobotInfo

from ..instruction_env import RENDER_SIZE, InstructionEnv, load_mujoco, paraphrases, task_named
from ..words import words_in

# See the class for units.
CAMERAS = ("top", "wrist")
ACTION_NAMES = ("vx", "vy", "vz", "suction")
PROPRIO_NAMES = ("tool_x_m", "tool_y_m", "tool_z_m", "holds")
CONTROL_HZ = 20.0  # a chunk of 8 rows lasts 0.4 s
MAX_STEPS = 80  # control steps; the expert needs 10 to 50

SPEED = 0.4  # m/s at an action of 1: across the table in 1.5 s
TIMESTEP = 0.0025  # s of a physics step: 20 of them in a control step
LOW = np.array([-0.31, -0.27, 0.004])  # m, what the tool's tip can reach: the table with its mats, just not touching it
HIGH = np.array([0.31, 0.27, 0.26])
PAD = 0.012  # m, half a side of the suction pad: smaller than the smallest object
HALF_HEIGHT = {"cube": 0.022, "disc": 0.0125}  # m
RADIUS = {"cube": 0.022, "disc": 0.04}  # m, half a side, or radius
COLOURS = {"red": "0.85 0.08 0.08 1", "blue": "0.08 0.15 0.85 1"}  # RGBA
MATS = {"left": (-0.25, 0.02), "right": (0.25, 0.02), "front": (0.0, -0.21)}  # m, centres: beside the field below
MAT_HALF = 0.06  # m, half a side
FIELD_LOW = np.array([-0.15, -0.09])  # m, where objects start
FIELD_HIGH = np.array([0.15, 0.18])

# What success means; see the class.
PRESS_STEPS = 3  # control steps of the tool on the object, suction off: 0.15 s, so brushing over it does not count
PUSH_M = 0.05  # m, away: more than the width of a cube
PUSH_ASIDE_M = 0.04  # m, to the side that a push may end
LIFT_M = 0.12  # m, bottom of a lifted object above the table: twice as high as a carried one
LIFT_ASIDE_M = 0.06  # m, from where it lay
PUT_M = 0.01  # m, bottom of a put object above the table: it lies
DISTURBED_M = 0.03  # m; another object that moved so far spoils the episode

# How the expert moves.
CARRY_M = 0.06  # m, bottom of a carried object above the table: over the objects beside (4.4 cm)
ABOVE_M = 0.06  # m, over an object's middle, where `distraction` stops: 4 cm above a cube
SERVO_M = 0.03  # m of error from which the tool moves at full speed


@dataclass(frozen=True)
class TabletopTask:
    """One instruction of the 24. verb: press, push, lift or put. mat: of `put`, else empty."""

    verb: str
    colour: str
    shape: str
    mat: str = ""
    scene: ClassVar[str] = "table"
    opposite: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """e.g. `put-red-cube-left`."""
        return "-".join(filter(None, (self.verb, self.colour, self.shape, self.mat)))

    @property
    def group(self) -> str:
        """The task without its object, e.g. `put-left`."""
        return "-".join(filter(None, (self.verb, self.mat)))

    @property
    def thing(self) -> str:
        """The object, e.g. `red cube`."""
        return f"{self.colour} {self.shape}"

    def instructions(self, held_out: bool = False) -> list[str]:
        """Six paraphrases for training, or the three held out, whose words all occur in training."""
        tail = _TAILS[self.verb].format(mat=self.mat)
        pairs = paraphrases(_VERBS[self.verb], _NOUNS[self.shape], held_out)
        return [f"{verb} the {self.colour} {noun}{tail}" for verb, noun in pairs]


_VERBS = {
    "press": ("press", "touch", "tap"),
    "push": ("push", "shove", "nudge"),
    "lift": ("lift", "raise", "hold up"),
    "put": ("put", "place", "set"),
}
"""Verb of a task -> its wordings."""
_TAILS = {"press": "", "push": " away", "lift": "", "put": " on the {mat} mat"}
"""Verb of a task -> the end of its sentence."""
_NOUNS = {"cube": ("cube", "block", "box"), "disc": ("disc", "puck", "plate")}
"""Shape -> its wordings."""
KINDS = (("press", ""), ("push", ""), ("lift", ""), *(("put", mat) for mat in MATS))
"""(verb, mat) of the six kinds of task."""
THINGS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in RADIUS)
"""The four objects, in the order of every array over objects here."""
TASKS = {
    task.name: task
    for verb, mat in KINDS
    for colour in COLOURS
    for shape in RADIUS
    for task in (TabletopTask(verb, colour, shape, mat),)
}


class TabletopEnv(InstructionEnv):
    """## Description
    A suction tool on three sliding axes does one of 24 tasks on a table with two cubes, two discs and three mats, from
    two small images and an instruction. All tasks have the same starts, so the images alone do not say what to do.

    The axes are driven by velocity and limited in force; suction is MuJoCo's adhesion of 12 N at the contact.

    ## Action space
    `Box(-1, 1, (4,), float32)`, 20 times a second: velocity along x, y, z (1 is 0.4 m/s), and suction, on above 0.

    ## Observation space
    `Dict`: `images` (2, 64, 64, 3) uint8, RGB, cameras top and wrist; `proprio` (4,) float32: tip of the tool (x to the
    right, y away, z up, metres from the middle of the table's surface), and 1 while an object hangs at the suction
    pad; `instruction`: text.

    ## Rewards
    1 in the step of success, else 0. Success, always without another object having moved 3 cm:

    - *press*: the tool stood on the object for 0.15 s, suction off;
    - *push*: the object moved 5 cm away and less than 4 cm aside, never having hung at the tool;
    - *lift*: it hangs 12 cm above the table, less than 6 cm beside where it lay;
    - *put*: it lies on the mat, released.

    ## Starting state
    The i-th start of a fixed list: places and headings of the objects, and the place of the tool.
    `reset(options={"split": "train" | "test", "start": i, "instruction": text})` chooses it; `reset(seed=s)` without
    `start` takes start s of the split. The two lists have no start in common.

    ## Episode end
    Terminates at success, truncates after `max_steps`.

    ## Information
    Empty.

    ## Arguments
    `task` (a name of `TASKS`, e.g. "put-red-cube-left"), `max_steps` (control steps until the episode is truncated),
    `render_mode` ("rgb_array": both images side by side).

    Raises: InputError for an unknown task, split or render mode; DependencyMissingError without the extra `sim`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (declared by gymnasium.Env)
    robot = RobotInfo(CAMERAS, PROPRIO_NAMES, ACTION_NAMES, CONTROL_HZ)
    rendering = "128 px shrunk to 64, no multisampling, no shadows, no reflections"

    def __init__(self, task: str, max_steps: int = MAX_STEPS, render_mode: str | None = "rgb_array") -> None:
        self.task = task_named(TASKS, task)
        mujoco = load_mujoco()
        model = mujoco.MjModel.from_xml_string(_XML)
        self._pad = model.geom("pad").id
        self._geoms = {model.geom(thing).id: i for i, thing in enumerate(THINGS)}

        self._start_places = np.zeros((len(THINGS), 3))  # m, where the objects lay at the start
        self._holds = -1  # index of the object at the pad, or -1
        self._held = np.zeros(len(THINGS), dtype=bool)  # in this episode, ever
        self._pressed = np.zeros(len(THINGS), dtype=int)  # control steps so far, without a gap

        super().__init__(mujoco, model, mujoco.MjData(model), self.task.instructions()[0], max_steps, render_mode)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the instructions of all tasks, for `rarrl_sim_envs.words.WordCounts`."""
        return words_in(text for task in TASKS.values() for held in (False, True) for text in task.instructions(held))

    def _begin(self, first: int, start: int) -> None:
        rng = np.random.default_rng([first, start])
        self._mujoco.mj_resetData(self._model, self._data)
        for thing, (x, y) in zip(THINGS, _layout(rng), strict=True):
            yaw = rng.uniform(-0.5, 0.5)
            height = HALF_HEIGHT[thing.split()[1]]
            self._data.joint(thing).qpos[:] = x, y, height, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
        self._data.qpos[:3] = rng.uniform((-0.2, -0.2, 0.12), (0.2, 0.2, 0.2))
        self._mujoco.mj_forward(self._model, self._data)

        self._start_places = self._places().copy()
        self._holds = -1
        self._held = np.zeros(len(THINGS), dtype=bool)
        self._pressed = np.zeros(len(THINGS), dtype=int)

    def advance(self, action: np.ndarray) -> bool:
        """`step` without rendering: whether the task is done."""
        command = np.clip(np.asarray(action, dtype=float), -1.0, 1.0)
        tip = self._data.qpos[:3]
        # No further than to the end of an axis.
        velocity = np.clip(SPEED * command[:3], (LOW - tip) * CONTROL_HZ, (HIGH - tip) * CONTROL_HZ)
        self._data.ctrl[:] = *velocity, float(command[3] > 0)
        self._mujoco.mj_step(self._model, self._data, round(1 / CONTROL_HZ / TIMESTEP))
        self._steps += 1
        self._update_contacts()
        return self.solved(self.task)

    def solved(self, task: TabletopTask) -> bool:
        """Whether the state fulfils `task`, which need not be this environment's; see the class."""
        i = THINGS.index(task.thing)
        places = self._places()
        moved = places - self._start_places
        others = np.arange(len(THINGS)) != i
        if (np.linalg.norm(moved[others], axis=1) > DISTURBED_M).any():
            return False

        if task.verb == "press":
            return bool(self._pressed[i] >= PRESS_STEPS)
        if task.verb == "push":
            return bool(not self._held[i] and moved[i, 1] > PUSH_M and abs(moved[i, 0]) < PUSH_ASIDE_M)

        bottom = places[i, 2] - HALF_HEIGHT[task.shape]
        if task.verb == "lift":
            return bool(self._holds == i and bottom > LIFT_M and np.linalg.norm(moved[i, :2]) < LIFT_ASIDE_M)
        beside = np.abs(places[i, :2] - MATS[task.mat]).max()
        return bool(self._held[i] and self._holds != i and bottom < PUT_M and beside < MAT_HALF)

    def proprio(self) -> np.ndarray:
        """(4,) float32, see the class."""
        return np.array([*self._data.qpos[:3], float(self._holds >= 0)], np.float32)

    def privileged(self) -> np.ndarray:
        """(6,) float32: the object from the tool (x, y, metres), whether it is red, whether it is a cube (1 or 0), and
        the red objects' middle from the blue ones' (x, y, metres).

        An extra target of training and never an input. The last four are the two halves of reading a colour: a policy
        that is asked for the first two alone is slow to find out that the word and the image belong together."""
        i = THINGS.index(self.task.thing)
        xy = self._places()[:, :2]
        red = np.array([thing.startswith("red") for thing in THINGS])
        looks = (float(red[i]), float(self.task.shape == "cube"))
        middles = xy[red].mean(axis=0) - xy[~red].mean(axis=0)
        return np.array([*(xy[i] - self._data.qpos[:2]), *looks, *middles], np.float32)

    def distraction(self, i: int) -> np.ndarray:
        """(4,) float32: towards 4 cm above object number `i`, whichever is meant."""
        goal = self._places()[i % len(THINGS)].copy()
        goal[2] += ABOVE_M
        return _towards(self._data.qpos[:3].copy(), goal, -1.0)

    def expert_action(self) -> np.ndarray:
        """(4,) float32: what the scripted expert would do now. It knows the state, and needs no memory."""
        i = THINGS.index(self.task.thing)
        verb = self.task.verb
        tip = self._data.qpos[:3].copy()
        thing = self._places()[i]

        if self._holds >= 0 and (self._holds != i or verb in ("press", "push")):
            return np.array([0, 0, 0.3, -1], np.float32)  # let go
        if verb == "push":
            return _push(tip, thing, RADIUS[self.task.shape])
        if self._holds < 0:
            return self._approach(tip, thing)
        if verb == "lift":
            return np.array([*_servo(self._start_places[i, :2] - thing[:2]), 1, 1], np.float32)
        return self._carry(thing)

    def _approach(self, tip: np.ndarray, thing: np.ndarray) -> np.ndarray:
        """Down onto the object, with suction near it unless it is only pressed; up, once it has been put."""
        if self.task.verb == "put" and self.solved(self.task):
            return np.array([0, 0, 1, -1], np.float32)
        near = np.linalg.norm((thing - tip)[:2]) < 0.03
        top = thing[2] + HALF_HEIGHT[self.task.shape]
        suction = 1.0 if self.task.verb != "press" and near else -1.0
        return _towards(tip, np.array([*thing[:2], top - 0.01]), suction)

    def _carry(self, thing: np.ndarray) -> np.ndarray:
        """The object at the pad to its mat: up first, sideways the faster the higher it is, down and released there."""
        bottom = thing[2] - HALF_HEIGHT[self.task.shape]
        away = np.array(MATS[self.task.mat]) - thing[:2]
        far = np.linalg.norm(away)
        climb = np.clip(2 * (far - 0.02), -0.01, CARRY_M) - bottom
        aside = _servo(away) * np.clip(bottom / 0.04, 0, 1) if far > 0.05 else _servo(away)
        suction = -1 if far < 0.03 and bottom < 0.006 else 1
        return np.array([*aside, *_servo(np.array([climb])), suction], np.float32)

    def _saved(self) -> Any:
        return self._holds, self._held.copy(), self._pressed.copy()

    def _restore(self, saved: Any) -> None:
        self._holds, self._held, self._pressed = saved

    def _update_contacts(self) -> None:
        """What hangs at the pad, and what is pressed."""
        touched = self._touched()
        suction = bool(self._data.ctrl[3])
        self._holds = touched if suction else -1
        if self._holds >= 0:
            self._held[self._holds] = True

        pressed = np.zeros(len(THINGS), dtype=int)
        from_above = touched >= 0 and self._data.qpos[2] > self._places()[touched, 2]
        if from_above and not suction:
            pressed[touched] = self._pressed[touched] + 1
        self._pressed = pressed

    def _places(self) -> np.ndarray:
        """(4, 3) centres of the objects, metres."""
        return self._data.qpos[3:].reshape(len(THINGS), 7)[:, :3]

    def _touched(self) -> int:
        """Index of the object that the pad touches, or -1."""
        for pair in self._data.contact.geom:
            if self._pad in pair and (other := int(pair.sum()) - self._pad) in self._geoms:
                return self._geoms[other]
        return -1


def _layout(rng: np.random.Generator) -> np.ndarray:
    """(4, 2) places, metres, with room around each object, and more before and behind it, for pushing."""
    while True:
        xy = rng.uniform(FIELD_LOW, FIELD_HIGH, (len(THINGS), 2))
        apart = np.abs(xy[:, None] - xy)[np.triu_indices(len(THINGS), 1)]
        if ((apart[:, 0] > 0.11) | (apart[:, 1] > 0.16)).all():
            return xy


def _servo(error: np.ndarray) -> np.ndarray:
    """Velocity as an action, towards where `error` (metres) is zero."""
    return np.clip(error / SERVO_M, -1, 1)


def _towards(tip: np.ndarray, goal: np.ndarray, suction: float) -> np.ndarray:
    """Through a funnel: the lower, the nearer; so the tool passes over what is beside the goal."""
    away = goal - tip
    far = np.linalg.norm(away[:2])
    away[2] += np.clip(2 * (far - 0.008), 0, 0.09)
    return np.array([*_servo(away), suction], np.float32)


def _push(tip: np.ndarray, thing: np.ndarray, radius: float) -> np.ndarray:
    """From behind, low, straight on; steering sideways against the object's drift."""
    dx, dy = (tip - thing)[:2]
    behind = radius + PAD
    in_place = abs(dx) < 0.015 and -behind - 0.045 < dy < -behind + 0.012 and tip[2] < 0.03
    if in_place:
        return np.array([*_servo(np.array([-dx])), 0.5, *_servo(np.array([0.012 - tip[2]])), -1], np.float32)
    return _towards(tip, np.array([thing[0], thing[1] - behind - 0.025, 0.012]), -1.0)


def _thing(name: str) -> str:
    """An object as a body of the MuJoCo model."""
    colour, shape = name.split()
    half = HALF_HEIGHT[shape]
    radius = RADIUS[shape]
    form = (
        f'type="box" size="{radius} {radius} {half}"' if shape == "cube" else f'type="cylinder" size="{radius} {half}"'
    )
    return (
        f'<body name="{name}"><freejoint name="{name}"/><geom name="{name}" {form} mass="0.1" '
        f'rgba="{COLOURS[colour]}" friction="0.5 0.01 0.001"/></body>'
    )


# Lengths in metres, masses in kg, forces in N; without shadows, see `TabletopEnv.rendering`.
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
