"""Meta-World's ten tasks of MT10 with words: pictures, proprioception and an instruction in, one arm command out.

Meta-World 3.1.1 (https://github.com/Farama-Foundation/Metaworld) brings scenes, success tests and scripted experts,
but no language, no cameras close to the table and a `reset` that ignores its seed. This module adds instructions with
paraphrases, two cameras and fixed lists of starts. It draws a start like Meta-World's own benchmarks do, from a seeded
generator, and keeps it as plain numbers: their `set_task` unpickles.
"""

from __future__ import annotations

import os
import string
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np

from rarrl.errors import DependencyMissingError, InputError

CAMERAS = {
    # name: look at (x, y, z, metres), distance (m), azimuth and elevation (degrees)
    "top": ((0.0, 0.70, 0.10), 1.25, 90.0, -89.0),
    "side": ((0.0, 0.70, 0.15), 1.15, 180.0, -20.0),
}
IMAGE_SIZE = 64
RENDER_SIZE = 128  # shrunk to IMAGE_SIZE: cheaper than multisampling, and a ball of 3 pixels moves smoothly
ACTION_NAMES = ("dx", "dy", "dz", "gripper")
PROPRIO_NAMES = ("hand_x_m", "hand_y_m", "hand_z_m", "gripper_opening")
CONTROL_HZ = 80.0
MAX_STEPS = 200  # experts need 32 to 120
SPLITS = {"train": 0, "test": 1_000_000}  # first seed of the list of starts

# Out of both views, but for a few pixels of the pedestal; a third of the triangles, which MuJoCo would draw all the
# same.
UNSEEN_BODIES = ("pedestal", "right_arm_base_link", "right_l0", "head")
RENDERING = "128 px shrunk to 64, no multisampling, no shadows, no reflections, geometry out of view hidden"


@dataclass(frozen=True)
class MetaWorldTask:
    """One task and its words. Every verb goes with every object; pairs of equal index are held out of training.

    scene: tasks that share it look alike, so that only the words (and the start) tell them apart.
    swapped: the task whose words are given in the control: the opposite where there is one.
    goal_visible: the goal's marker is drawn; elsewhere it would give the task away."""

    name: str
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    scene: str
    swapped: str
    goal_visible: bool = False

    def instructions(self, held_out: bool = False) -> list[str]:
        """The paraphrases for training, or those held out."""
        return [
            f"{verb} {thing}"
            for i, verb in enumerate(self.verbs)
            for j, thing in enumerate(self.objects)
            if (i == j) == held_out
        ]


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
SEVEN = tuple(name for name in MT10 if name not in ("push", "pick-place", "peg-insert-side"))
"""The tasks without grasping, over which `success_f16` is the mean."""


def task_named(name: str) -> MetaWorldTask:
    """Raises: InputError for an unknown name."""
    if name not in TASKS:
        raise InputError(f"task: {name!r} is unknown; allowed: {', '.join(TASKS)}")
    return TASKS[name]


class MetaWorldLanguageEnv(gymnasium.Env):
    """One task. Observation: `images` (2, 64, 64, 3) uint8 RGB (cameras top, side), `proprio` (4,) float32 (hand
    x, y, z in metres in Meta-World's frame: x to the right, y away from the robot; gripper opening 0 to 1) and
    `instruction`. Action: (4,) float32 in [-1, 1]: hand displacement (1 is 1 cm a step) and gripper effort (1 closes).
    Reward: 1 in the step of success, which ends the episode.

    Args:
        task: a name of `TASKS`
        max_steps: the episode is truncated after so many

    `reset(options={"split": "train" | "test", "start": i, "instruction": text})` chooses the i-th start of a fixed
    list; without `start`, `reset(seed=s)` takes start s of the split. Raises: InputError, DependencyMissingError."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 80}

    def __init__(self, task: str, max_steps: int = MAX_STEPS) -> None:
        self.task = task_named(task)
        self.max_steps = max_steps
        self.render_mode = "rgb_array"
        self._sim, self._expert = _make(task)
        self._renderer: Any = None
        self._steps = 0
        self._instruction = ""
        self._state = np.zeros(39)
        images = gymnasium.spaces.Box(0, 255, (len(CAMERAS), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        text = gymnasium.spaces.Text(200, charset=string.printable)
        proprio = gymnasium.spaces.Box(-10, 10, (len(PROPRIO_NAMES),), np.float32)
        self.observation_space = gymnasium.spaces.Dict({"images": images, "proprio": proprio, "instruction": text})
        self.action_space = gymnasium.spaces.Box(-1, 1, (len(ACTION_NAMES),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Puts the scene at a start of the list; see the class."""
        super().reset(seed=seed)
        options = options or {}
        split = options.get("split", "train")
        if split not in SPLITS:
            raise InputError(f"split: {split!r} is unknown; allowed: {', '.join(SPLITS)}")
        start = options.get("start", seed if seed is not None else int(self.np_random.integers(100_000)))
        self._instruction = options.get("instruction") or self.task.instructions()[0]
        # As Meta-World's benchmarks make their lists: a seeded draw inside the reset, which tasks may repeat until
        # goal and object are far enough from each other.
        self._sim.seed(SPLITS[split] + int(start))
        self._sim.reset()
        self._settle()
        self._steps = 0
        return self.observation(), {"state": self._state.copy()}

    def _settle(self) -> None:
        """Meta-World moves things in a reset and tells and draws them as they were; here they are where they are."""
        import mujoco

        sim = self._sim
        mujoco.mj_forward(sim.model, sim.data)
        sim._prev_obs = sim._get_curr_obs_combined_no_goal()
        self._state = np.asarray(sim._get_obs(), np.float64)

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One control step of 12.5 ms; see the class."""
        success = self.advance(action)
        observation = self.observation()
        return observation, float(success), success, self._steps >= self.max_steps, {"state": self._state.copy()}

    def advance(self, action: np.ndarray) -> bool:
        """`step` without drawing a picture: whether the task is done."""
        self._state, _, _, _, info = self._sim.step(np.clip(action, -1.0, 1.0).astype(np.float32))
        self._steps += 1
        return bool(info["success"])

    def observation(self) -> dict[str, Any]:
        """The current observation, drawn now."""
        return {"images": self.render(), "proprio": self.proprio(), "instruction": self._instruction}

    def proprio(self) -> np.ndarray:
        """(4,) float32, see the class."""
        return self._state[:4].astype(np.float32)

    @property
    def state(self) -> np.ndarray:
        """(39,) float64: what Meta-World tells its experts; privileged, not for policies."""
        return self._state.copy()

    def privileged(self) -> np.ndarray:
        """(6,) float32: object and goal, metres; privileged too."""
        return np.concatenate([self._state[4:7], self._state[36:39]]).astype(np.float32)

    def expert_action(self) -> np.ndarray:
        """(4,) float32: what the scripted expert would do now."""
        # Some experts write into what they are given.
        return np.clip(self._expert.get_action(self._state.copy()), -1.0, 1.0).astype(np.float32)

    def expert_chunk(self, horizon: int) -> np.ndarray:
        """(horizon, 4) float32: what the expert would do from here on, tried out in the simulator and undone."""
        import mujoco

        sim = self._sim
        spec = mujoco.mjtState.mjSTATE_INTEGRATION
        saved = np.empty(mujoco.mj_stateSize(sim.model, spec))
        mujoco.mj_getState(sim.model, sim.data, saved, spec)
        kept = self._state, sim._prev_obs.copy(), sim.curr_path_length, self._steps
        chunk = np.empty((horizon, len(ACTION_NAMES)), np.float32)
        for row in chunk:
            row[:] = self.expert_action()
            self.advance(row)
        self._state, sim._prev_obs, sim.curr_path_length, self._steps = kept
        mujoco.mj_setState(sim.model, sim.data, saved, spec)
        mujoco.mj_forward(sim.model, sim.data)
        return chunk

    def render(self) -> np.ndarray:
        """(2, 64, 64, 3) uint8 RGB."""
        import cv2
        import mujoco

        if self._renderer is None:
            _fast_rendering(self._sim.model)
            self._renderer = mujoco.Renderer(self._sim.model, RENDER_SIZE, RENDER_SIZE)
            self._cameras = [_camera(*view) for view in CAMERAS.values()]
        images = []
        for camera in self._cameras:
            self._renderer.update_scene(self._sim.data, camera=camera)
            drawn = self._renderer.render()
            images.append(cv2.resize(drawn, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA))
        return np.stack(images)

    def close(self) -> None:
        """Frees the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _make(task: str) -> tuple[Any, Any]:
    # Mesa's software renderer: its worker threads cost more in waiting than they draw in pictures this small.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        # The experts say once per process that their gains are high; that is known.
        warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high")
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.policies import ENV_POLICY_MAP
    except ImportError:
        raise DependencyMissingError("Meta-World is not installed: pip install 'rarrl[sim]'") from None
    sim = ALL_V3_ENVIRONMENTS[f"{task}-v3"]()
    sim._set_task_called = True
    sim._partially_observable = False  # experts of some tasks read the goal
    sim._freeze_rand_vec, sim.seeded_rand_vec = False, True
    vars(sim).pop("sawyer_observation_space", None)  # cached with the goal clipped to zero
    sim.max_path_length = 10**9  # this class counts; branches of `expert_chunk` count for nothing
    visible = TASKS[task].goal_visible
    for i in range(sim.model.nsite):
        if sim.model.site(i).name not in ("goal", "leftEndEffector", "rightEndEffector") or (
            sim.model.site(i).name == "goal" and not visible
        ):
            sim.model.site_rgba[i, 3] = 0.0
    return sim, ENV_POLICY_MAP[f"{task}-v3"]()


def _fast_rendering(model: Any) -> None:
    """Software rendering several times as fast; part of what a policy is trained on, so not optional."""
    model.vis.quality.offsamples = 0
    model.vis.quality.shadowsize = 0
    model.light_castshadow[:] = 0
    model.mat_reflectance[:] = 0
    for body in UNSEEN_BODIES:
        model.geom_group[model.geom_bodyid == model.body(body).id] = 5
    model.vis.global_.offwidth = model.vis.global_.offheight = RENDER_SIZE


def _camera(look_at: tuple[float, ...], distance: float, azimuth: float, elevation: float) -> Any:
    import mujoco

    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = look_at
    camera.distance, camera.azimuth, camera.elevation = distance, azimuth, elevation
    return camera
