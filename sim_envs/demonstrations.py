"""Records demonstrations in Meta-World: somebody acts, and at every fourth step the expert says what it would do.

Who acts matters, since a policy is later asked about the places where it goes itself: the expert with noise and with
bursts of random motion (DART, Laskey et al. 2017), or a trained policy in turn with the expert (DAgger, Ross et al.
2011). The label is always the expert's own clean chunk, tried out in the simulator from that very state and undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rarrl.policy.demonstrations import Frames, RobotInfo, TaskInfo, write_shard

from .metaworld_language import (
    ACTION_NAMES,
    CAMERAS,
    CONTROL_HZ,
    MT10,
    PROPRIO_NAMES,
    RENDERING,
    MetaWorldLanguageEnv,
    Task,
    task_named,
)

HORIZON = 8  # rows of a recorded chunk
STRIDE = 4  # control steps from frame to frame
MAX_STEPS = 140
ROBOT = RobotInfo(tuple(CAMERAS), PROPRIO_NAMES, ACTION_NAMES, CONTROL_HZ)
Say = Callable[[float, str], None]


class Actor(Protocol):
    """Chooses the action that is done; the label does not depend on it."""

    def act(self, env: MetaWorldLanguageEnv, observation: dict[str, Any] | None) -> np.ndarray:
        """(4,) float32. observation: what was just drawn for the record, None between frames."""


@dataclass
class NoisyExpert:
    """The expert with Gaussian noise, its strength drawn per episode, and bursts of random motion."""

    rng: np.random.Generator

    def __post_init__(self) -> None:
        self._noise = float(self.rng.choice([0.0, 0.1, 0.3]))
        # Two in five episodes begin with a long burst: the hand starts where a reset never puts it.
        self._left = int(self.rng.integers(8, 30)) if self.rng.random() < 0.4 else 0
        self._burst = self._direction()

    def act(self, env: MetaWorldLanguageEnv, observation: dict[str, Any] | None) -> np.ndarray:
        if self._left == 0 and self.rng.random() < 0.015:
            self._left, self._burst = int(self.rng.integers(3, 11)), self._direction()
        if self._left:
            self._left -= 1
            return self._burst
        return env.expert_action() + self._noise * self.rng.standard_normal(4).astype(np.float32)

    def _direction(self) -> np.ndarray:
        return self.rng.uniform(-1, 1, 4).astype(np.float32)


@dataclass
class PolicyAndExpert:
    """A policy and the expert in turn: 8 to 40 steps by the policy, then 0 to 16 by the expert.

    infer: observation -> chunk (rows, 4); its first `STRIDE` rows are done, until the next frame."""

    rng: np.random.Generator
    infer: Callable[[dict[str, Any]], np.ndarray]

    def __post_init__(self) -> None:
        self._policy_acts = False
        self._left = 0
        self._rows: list[np.ndarray] = []

    def act(self, env: MetaWorldLanguageEnv, observation: dict[str, Any] | None) -> np.ndarray:
        if observation is not None:  # at a frame
            if self._left <= 0:
                self._policy_acts = not self._policy_acts
                self._left = int(self.rng.integers(8, 41) if self._policy_acts else self.rng.integers(0, 17))
            self._rows = list(self.infer(observation)[:STRIDE]) if self._policy_acts else []
        self._left -= 1
        return self._rows.pop(0) if self._rows else env.expert_action()


def record_metaworld(
    out: Path,
    tasks: Sequence[str] = MT10,
    episodes: int = 100,
    first: int = 0,
    batch: int = 20,
    infer: Callable[[dict[str, Any]], np.ndarray] | None = None,
    progress: Say | None = None,
) -> dict[str, dict[str, float]]:
    """Records starts `first` to `first + episodes` of the training list of each task; files that are there stay.

    Args:
        out: gets `<task>_<first start>.safetensors`, `batch` episodes in each
        infer: the policy for DAgger; None: the noisy expert acts

    Returns: per task episodes, frames and the share that ended in success. Raises: InputError."""
    chosen = [task_named(name) for name in tasks]
    counts = {task.name: {"episodes": 0.0, "frames": 0.0, "solved": 0.0} for task in chosen}
    done = 0
    for begin in range(first, first + episodes, batch):
        starts = range(begin, min(begin + batch, first + episodes))
        for task in chosen:
            path = out / f"{task.name}_{begin:05d}.safetensors"
            if not path.exists():
                frames, solved = _record_batch(task, starts, infer)
                count = counts[task.name]
                count["episodes"] += len(starts)
                count["frames"] += len(frames.step)
                count["solved"] += solved
                write_shard(path, ROBOT, _info(task), frames, _record(task, starts, solved, infer is not None))
            done += len(starts)
            if progress:
                progress(done, task.name)
    return counts


def _record_batch(
    task: Task, starts: range, infer: Callable[[dict[str, Any]], np.ndarray] | None
) -> tuple[Frames, int]:
    env = MetaWorldLanguageEnv(task.name, MAX_STEPS)
    rows: list[tuple[Any, ...]] = []
    solved = 0
    try:
        for start in starts:
            rng = np.random.default_rng([start, MT10.index(task.name)])
            actor: Actor = NoisyExpert(rng) if infer is None else PolicyAndExpert(rng, infer)
            words = task.instructions()
            options = {"split": "train", "start": start, "instruction": words[start % len(words)]}
            env.reset(options=options)
            for step in range(MAX_STEPS):
                observation = None
                if step % STRIDE == 0:
                    observation = env.observation()
                    state = env.state
                    places = np.concatenate([state[4:7], state[36:39]]).astype(np.float32)  # object, goal
                    chunk = env.expert_chunk(HORIZON)
                    rows.append((observation["images"], observation["proprio"], chunk, places, start, step))
                if env.advance(actor.act(env, observation)):
                    solved += 1
                    break
    finally:
        env.close()
    images, proprio, chunks, places, episode, steps = map(np.array, zip(*rows, strict=True))
    return Frames(images, proprio, chunks, places, episode.astype(np.int32), steps.astype(np.int32)), solved


def _info(task: Task) -> TaskInfo:
    same_scene = task_named(task.swapped).scene == task.scene
    return TaskInfo(task.name, tuple(task.instructions()), task.scene, task.swapped if same_scene else "")


def _record(task: Task, starts: range, solved: int, dagger: bool) -> dict[str, Any]:
    return {
        "suite": "Meta-World 3.1.1",
        "starts": [starts.start, starts.stop],
        "solved": solved,
        "acted": "a policy and the expert in turn" if dagger else "the expert, disturbed",
        "rendering": RENDERING,
        "stride": STRIDE,
        "versions": {name: version(name) for name in ("mujoco", "metaworld")},
    }
