"""What Meta-World with words and the tabletop share: two small images and an instruction in, one arm command out."""

from __future__ import annotations

import os
import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import gymnasium
import numpy as np

from rarrl.errors import DependencyMissingError, InputError
from rarrl.policy.spec import RobotInfo
from rarrl.resources.threads import plan_if_nobody_has

IMAGE_SIZE = 64
"""Pixels, width and height of an image that a policy sees. The policies here are trained on this size."""

RENDER_SIZE = 128
"""Pixels, as MuJoCo renders; then shrunk to IMAGE_SIZE. Cheaper than multisampling, and a ball of 3 pixels moves
smoothly."""

SPLITS = {"train": 0, "test": 1_000_000}
"""Split -> seed of its first start. Far enough apart that no training list reaches the test list."""

MAX_TEXT = 200
"""Characters of an instruction; the longest one here has fewer than 50."""

PROPRIO_LIMIT = 10.0
"""Metres, bound of the proprioception's space: well outside of what either arm reaches."""

Item = TypeVar("Item")


def paraphrases(verbs: Sequence[str], nouns: Sequence[str], held_out: bool) -> list[tuple[str, str]]:
    """Every verb with every noun. Pairs of equal index are held out of training, so that each held-out pair consists
    of words that training has seen apart.

    Args:
        verbs: wordings of the verb
        nouns: wordings of the object, as many
        held_out: whether to return the pairs that are held out, or the others
    """
    return [(verb, noun) for i, verb in enumerate(verbs) for j, noun in enumerate(nouns) if (i == j) == held_out]


def task_named(tasks: Mapping[str, Item], name: str) -> Item:
    """The task of a table. Raises: InputError for an unknown name."""
    if name not in tasks:
        raise InputError(f"task: {name!r} is unknown; allowed: {', '.join(tasks)}")
    return tasks[name]


def prepare_rendering() -> None:
    """Chooses rendering without a window, unless the user has chosen. To be called before MuJoCo is imported."""
    plan_if_nobody_has()  # Mesa's software renderer reads its number of threads as it loads
    os.environ.setdefault("MUJOCO_GL", "egl")


def load_mujoco() -> Any:
    """The module `mujoco`. Raises: DependencyMissingError."""
    prepare_rendering()
    try:
        import mujoco
    except ImportError:
        raise DependencyMissingError("MuJoCo is not installed: pip install 'rarrl[sim]'") from None
    return mujoco


class InstructionEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """One task in MuJoCo with an instruction; the base class of a suite's environment.

    A subclass names its `robot` and `rendering`, gives the model and its state to `__init__`, and implements `_begin`,
    `advance`, `proprio`, `expert_action` and, where it has state beside MuJoCo's, `_saved` and `_restore`.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (declared by gymnasium.Env)
    robot: ClassVar[RobotInfo]
    """Cameras, names of proprioception and actions, control rate."""
    rendering: ClassVar[str]
    """How images are rendered, in words, for result files: a policy is trained on exactly this."""

    def __init__(
        self, mujoco: Any, model: Any, data: Any, instruction: str, max_steps: int, render_mode: str | None
    ) -> None:
        """mujoco: the module. model, data: MuJoCo's `MjModel` and `MjData`. instruction: the one used by default."""
        if render_mode not in (None, "rgb_array"):
            raise InputError(f"{type(self).__name__}: render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.max_steps = max_steps
        self.render_mode = render_mode

        self._mujoco = mujoco
        self._model = model
        self._data = data
        self._renderer: Any = None
        self._views: Sequence[Any] = ()

        self._steps = 0
        self._default_instruction = instruction
        self._instruction = ""

        robot = self.robot
        images = (len(robot.cameras), IMAGE_SIZE, IMAGE_SIZE, 3)
        self.observation_space = gymnasium.spaces.Dict(
            {
                "images": gymnasium.spaces.Box(0, 255, images, np.uint8),
                "proprio": gymnasium.spaces.Box(-PROPRIO_LIMIT, PROPRIO_LIMIT, (len(robot.proprio_names),), np.float32),
                "instruction": gymnasium.spaces.Text(MAX_TEXT, charset=string.printable),
            }
        )
        self.action_space = gymnasium.spaces.Box(-1, 1, (len(robot.action_names),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Puts the scene at a start of a list. options: `split`, `start` and `instruction`; see the class."""
        super().reset(seed=seed)
        options = options or {}
        split = options.get("split", "train")
        if split not in SPLITS:
            raise InputError(f"split: {split!r} is unknown; allowed: {', '.join(SPLITS)}")

        start = options.get("start", seed if seed is not None else int(self.np_random.integers(100_000)))
        self._instruction = options.get("instruction") or self._default_instruction
        self._begin(SPLITS[split], int(start))
        self._steps = 0
        return self.observation(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One control step, `1 / robot.control_hz` seconds; see the class."""
        success = self.advance(action)
        truncated = self._steps >= self.max_steps
        return self.observation(), float(success), success, truncated, self._info()

    def observation(self) -> dict[str, Any]:
        """The current observation, rendered now."""
        return {"images": self.images(), "proprio": self.proprio(), "instruction": self._instruction}

    def images(self) -> np.ndarray:
        """(cameras, 64, 64, 3) uint8 RGB, rendered now, in the order of `robot.cameras`."""
        import cv2

        if self._renderer is None:
            self._views = self._make_views()
            self._renderer = self._mujoco.Renderer(self._model, RENDER_SIZE, RENDER_SIZE)
        images = []
        for view in self._views:
            self._update_scene(view)
            rendered = self._renderer.render()
            images.append(cv2.resize(rendered, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA))
        return np.stack(images)

    def render(self) -> Any:
        """(64, 64 cameras, 3) uint8 RGB: the images side by side."""
        return np.concatenate(list(self.images()), axis=1)

    def close(self) -> None:
        """Frees the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def expert_chunk(self, horizon: int) -> np.ndarray:
        """(horizon, a) float32: what the expert would do from here on, simulated and undone."""
        chunk = np.empty((horizon, len(self.robot.action_names)), np.float32)
        with self._undone():
            for row in chunk:
                row[:] = self.expert_action()
                self.advance(row)
        return chunk

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Whatever happens inside of the `with` has not happened afterwards."""
        mujoco = self._mujoco
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.empty(mujoco.mj_stateSize(self._model, kind))
        mujoco.mj_getState(self._model, self._data, physics, kind)
        steps = self._steps
        saved = self._saved()

        yield

        self._steps = steps
        self._restore(saved)
        mujoco.mj_setState(self._model, self._data, physics, kind)
        mujoco.mj_forward(self._model, self._data)

    # What a subclass implements

    def advance(self, action: np.ndarray) -> bool:
        """`step` without rendering: whether the task is done. action: (a,), clipped to [-1, 1]."""
        raise NotImplementedError

    def proprio(self) -> np.ndarray:
        """(p,) float32, see the class."""
        raise NotImplementedError

    def expert_action(self) -> np.ndarray:
        """(a,) float32: what the scripted expert would do now."""
        raise NotImplementedError

    def _begin(self, first: int, start: int) -> None:
        """Puts the scene at the `start`-th start of the list whose first seed is `first`."""
        raise NotImplementedError

    def _make_views(self) -> Sequence[Any]:
        """Prepares the model for rendering: names of its cameras, or `MjvCamera`s."""
        return self.robot.cameras

    def _update_scene(self, view: Any) -> None:
        """Tells the renderer what a view of `_make_views` shows now."""
        self._renderer.update_scene(self._data, camera=view)

    def _info(self) -> dict[str, Any]:
        """`info` of reset and step."""
        return {}

    def _saved(self) -> Any:
        """State beside MuJoCo's, copied."""
        return None

    def _restore(self, saved: Any) -> None:
        """Puts back what `_saved` returned."""
