"""Meta-World's ten tasks of MT10 with words: images, proprioception and an instruction in, one arm command out.

Meta-World 3.1.1 (https://github.com/Farama-Foundation/Metaworld) brings scenes, success tests and scripted experts,
but no language, no cameras close to the table and a `reset` that ignores its seed. This module adds instructions with
paraphrases, two cameras and fixed lists of starts. It draws a start like Meta-World's own benchmarks do, from a seeded
generator, and keeps it as plain numbers: their `set_task` unpickles.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rarrl.errors import DependencyMissingError
from rarrl.policy.spec import RobotInfo

from ..instruction_env import RENDER_SIZE, InstructionEnv, load_mujoco, paraphrases, prepare_rendering, task_named
from ..words import words_in

CAMERAS = {
    # name: look at (x, y, z, metres), distance (m), azimuth and elevation (degrees). Both fill the image with what the
    # hand can reach.
    "top": ((0.0, 0.70, 0.10), 1.25, 90.0, -89.0),
    "side": ((0.0, 0.70, 0.15), 1.15, 180.0, -20.0),
}
# See the class for units.
ACTION_NAMES = ("dx", "dy", "dz", "gripper")
PROPRIO_NAMES = ("hand_x_m", "hand_y_m", "hand_z_m", "gripper_opening")
CONTROL_HZ = 80.0  # Meta-World's own: five physics steps of 2.5 ms an action
MAX_STEPS = 200  # control steps; experts need 32 to 120

UNSEEN_BODIES = ("pedestal", "right_arm_base_link", "right_l0", "head")
"""Out of both views, but for a few pixels of the pedestal; a third of the triangles, which MuJoCo would render all the
same."""

HIDDEN_GROUP = 5  # MuJoCo's geom groups 3 to 5 are not rendered by default
NEVER_TRUNCATED = 10**9
"""Steps that Meta-World allows. The environment counts itself, and steps that `expert_chunk` undoes do not count."""


@dataclass(frozen=True)
class MetaWorldTask:
    """One task and its instructions. Every verb goes with every object; pairs of equal index are held out of training.

    scene: tasks that share it look alike, so that only the words (and the start) tell them apart.
    swapped: the task whose instruction is given in the control: the opposite where there is one.
    goal_visible: the goal's marker is rendered; elsewhere it would give the task away."""

    name: str
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    scene: str
    swapped: str
    goal_visible: bool = False
    group: ClassVar[str] = ""

    @property
    def opposite(self) -> str:
        """The task of the same scene that undoes this one, or ""."""
        return self.swapped if TASKS[self.swapped].scene == self.scene else ""

    def instructions(self, held_out: bool = False) -> list[str]:
        """The paraphrases for training, or those held out."""
        return [f"{verb} {thing}" for verb, thing in paraphrases(self.verbs, self.objects, held_out)]


# Wordings of objects that two tasks share.
_DRAWER = ("the drawer", "the green drawer", "the box drawer")
_WINDOW = ("the window", "the window pane", "the glass window")
_TASKS = (
    MetaWorldTask(
        "reach",
        ("reach", "go to", "move to"),
        ("the red ball", "the red goal", "the red point"),
        "puck",
        "drawer-open",
        goal_visible=True,
    ),
    MetaWorldTask(
        "push",
        ("push the puck to", "slide the puck to", "shove the puck to"),
        ("the green ball", "the green goal", "the green point"),
        "puck",
        "window-close",
        goal_visible=True,
    ),
    MetaWorldTask(
        "pick-place",
        ("lift the puck to", "carry the puck to", "raise the puck to"),
        ("the blue ball", "the blue goal", "the blue point"),
        "puck",
        "door-open",
        goal_visible=True,
    ),
    MetaWorldTask(
        "door-open",
        ("open", "pull open", "swing open"),
        ("the door", "the cabinet door", "the black door"),
        "door",
        "drawer-close",
    ),
    MetaWorldTask("drawer-open", ("open", "pull open", "pull out"), _DRAWER, "drawer", "drawer-close"),
    MetaWorldTask("drawer-close", ("close", "push in", "shut"), _DRAWER, "drawer", "drawer-open"),
    MetaWorldTask(
        "button-press-topdown",
        ("press", "push down", "hit"),
        ("the button", "the red button", "the round button"),
        "button",
        "window-open",
    ),
    MetaWorldTask(
        "peg-insert-side",
        ("insert the peg into", "put the peg into", "push the peg into"),
        ("the hole", "the box", "the red hole"),
        "peg",
        "button-press-topdown",
    ),
    MetaWorldTask("window-open", ("open", "slide open", "move open"), _WINDOW, "window", "window-close"),
    MetaWorldTask("window-close", ("close", "slide shut", "shut"), _WINDOW, "window", "window-open"),
)
TASKS = {task.name: task for task in _TASKS}
MT10 = tuple(TASKS)
"""All ten, in Meta-World's order."""
SEVEN = tuple(name for name in MT10 if name not in ("push", "pick-place", "peg-insert-side"))
"""The tasks without grasping, over which `success_f16` is the mean."""


class MetaWorldLanguageEnv(InstructionEnv):
    """## Description
    A simulated Sawyer arm does one of Meta-World's ten MT10 tasks (Yu et al., CoRL 2019) from two small images and an
    instruction. Several tasks share a scene, where only the instruction tells them apart.

    ## Action space
    `Box(-1, 1, (4,), float32)`, 80 times a second: displacement of the hand along x, y, z (1 is 1 cm a step) and effort
    of the gripper (1 closes).

    ## Observation space
    `Dict`: `images` (2, 64, 64, 3) uint8, RGB, cameras top and side; `proprio` (4,) float32: x, y, z of the hand in
    metres in Meta-World's frame (x to the right, y away from the robot, z up) and the opening of the gripper, 0 to 1;
    `instruction`: text.

    ## Rewards
    1 in the step of success, else 0.

    ## Starting state
    The i-th start of a fixed list: places of object, goal and hand, drawn as Meta-World's benchmarks draw them.
    `reset(options={"split": "train" | "test", "start": i, "instruction": text})` chooses it; `reset(seed=s)` without
    `start` takes start s of the split. The two lists have no start in common.

    ## Episode end
    Terminates at Meta-World's own success, truncates after `max_steps`.

    ## Information
    `state` (39,) float64: what Meta-World gives to its experts; privileged, not for policies.

    ## Arguments
    `task` (a name of `TASKS`, e.g. "drawer-close"), `max_steps` (control steps until the episode is truncated),
    `render_mode` ("rgb_array": both images side by side).

    Raises: InputError for an unknown task, split or render mode; DependencyMissingError without the extra `sim`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 80}  # noqa: RUF012 (declared by gymnasium.Env)
    robot = RobotInfo(tuple(CAMERAS), PROPRIO_NAMES, ACTION_NAMES, CONTROL_HZ)
    rendering = "128 px shrunk to 64, no multisampling, no shadows, no reflections, geometry out of view hidden"

    def __init__(self, task: str, max_steps: int = MAX_STEPS, render_mode: str | None = "rgb_array") -> None:
        self.task = task_named(TASKS, task)
        self._sim, self._expert = _make(self.task)
        self._state = np.zeros(39)
        instruction = self.task.instructions()[0]
        super().__init__(load_mujoco(), self._sim.model, self._sim.data, instruction, max_steps, render_mode)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the instructions of all tasks, for `rarrl_sim_envs.words.WordCounts`."""
        return words_in(text for task in TASKS.values() for held in (False, True) for text in task.instructions(held))

    def _begin(self, first: int, start: int) -> None:
        # As Meta-World's benchmarks make their lists: a seeded draw inside the reset, which tasks may repeat until
        # goal and object are far enough from each other.
        self._sim.seed(first + start)
        self._sim.reset()
        self._settle()

    def _settle(self) -> None:
        """Meta-World moves objects in a reset, but observes and renders them where they were; this brings both up to
        date."""
        sim = self._sim
        self._mujoco.mj_forward(sim.model, sim.data)
        sim._prev_obs = sim._get_curr_obs_combined_no_goal()
        self._state = np.asarray(sim._get_obs(), np.float64)

    def _info(self) -> dict[str, Any]:
        return {"state": self._state.copy()}

    def advance(self, action: np.ndarray) -> bool:
        """`step` without rendering: whether the task is done."""
        self._state, _, _, _, info = self._sim.step(np.clip(action, -1.0, 1.0).astype(np.float32))
        self._steps += 1
        return bool(info["success"])

    def proprio(self) -> np.ndarray:
        """(4,) float32, see the class."""
        return self._state[:4].astype(np.float32)

    @property
    def state(self) -> np.ndarray:
        """(39,) float64: what Meta-World gives to its experts; privileged, not for policies."""
        return self._state.copy()

    def privileged(self) -> np.ndarray:
        """(6,) float32: places of object and goal, metres; privileged too."""
        return np.concatenate([self._state[4:7], self._state[36:39]]).astype(np.float32)

    def expert_action(self) -> np.ndarray:
        """(4,) float32: what the scripted expert would do now."""
        # A copy, because some experts write into what they are given.
        return np.clip(self._expert.get_action(self._state.copy()), -1.0, 1.0).astype(np.float32)

    def _saved(self) -> Any:
        return self._state, self._sim._prev_obs.copy(), self._sim.curr_path_length

    def _restore(self, saved: Any) -> None:
        self._state, self._sim._prev_obs, self._sim.curr_path_length = saved

    def _make_views(self) -> Sequence[Any]:
        _render_fast(self._model)
        return [_camera(self._mujoco, *view) for view in CAMERAS.values()]


def _make(task: MetaWorldTask) -> tuple[Any, Any]:
    """Meta-World's environment of a task, and its expert."""
    prepare_rendering()
    try:
        # The experts say once per process that their gains are high; that is known.
        warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high")
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.policies import ENV_POLICY_MAP
    except ImportError:
        raise DependencyMissingError("Meta-World is not installed: pip install 'rarrl[sim]'") from None

    sim = ALL_V3_ENVIRONMENTS[f"{task.name}-v3"]()
    sim._set_task_called = True
    sim._partially_observable = False  # experts of some tasks read the goal
    sim._freeze_rand_vec = False
    sim.seeded_rand_vec = True
    vars(sim).pop("sawyer_observation_space", None)  # cached with the goal clipped to zero
    sim.max_path_length = NEVER_TRUNCATED
    _hide_markers(sim.model, task.goal_visible)
    return sim, ENV_POLICY_MAP[f"{task.name}-v3"]()


def _hide_markers(model: Any, goal_visible: bool) -> None:
    """Markers would show a policy where to go; the two of the fingers show only where the hand is."""
    for i in range(model.nsite):
        name = model.site(i).name
        shown = goal_visible if name == "goal" else name in ("leftEndEffector", "rightEndEffector")
        if not shown:
            model.site_rgba[i, 3] = 0.0


def _render_fast(model: Any) -> None:
    """Software rendering several times as fast; part of what a policy is trained on, so not optional."""
    model.vis.quality.offsamples = 0
    model.vis.quality.shadowsize = 0
    model.light_castshadow[:] = 0
    model.mat_reflectance[:] = 0
    for body in UNSEEN_BODIES:
        model.geom_group[model.geom_bodyid == model.body(body).id] = HIDDEN_GROUP
    model.vis.global_.offwidth = RENDER_SIZE
    model.vis.global_.offheight = RENDER_SIZE


def _camera(mujoco: Any, look_at: tuple[float, ...], distance: float, azimuth: float, elevation: float) -> Any:
    """A free camera; metres and degrees."""
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = look_at
    camera.distance = distance
    camera.azimuth = azimuth
    camera.elevation = elevation
    return camera
