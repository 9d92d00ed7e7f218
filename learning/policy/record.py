"""Records a suite's demonstrations: a noisy expert or a policy acts, and the expert labels every fourth step.

Who acts matters, since a policy is later asked about the states that it reaches itself: the expert with noise and with
bursts of random motion (DART, Laskey et al. 2017), or a trained policy in turn with the expert (DAgger, Ross et al.
2011). The label is always the expert's own clean chunk, tried out in the simulator from that very state and undone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rarrl_sim_envs.suites import Env, Suite

from ..progress import Progress
from .demonstrations import Frames, write_shard

HORIZON = 8  # rows of a recorded chunk
STRIDE = 4  # control steps from frame to frame


class Actor(Protocol):
    """Chooses the action that is done; the label does not depend on it."""

    def act(self, env: Env, observation: dict[str, Any] | None) -> np.ndarray:
        """(a,) float32. observation: what was just drawn for the record, None between frames."""


@dataclass
class NoisyExpert:
    """The expert with Gaussian noise, its strength drawn per episode, and bursts of random motion of 0.04 to 0.4 s.

    disturbed: (a,) how strongly each action is; 0: the expert's own, in bursts too. distracted: goes to up to two other
    objects first. Otherwise the hand is at the object in most frames, and a policy learns to take the nearest object
    instead of reading which is meant."""

    rng: np.random.Generator
    control_hz: float
    distracted: bool = False
    disturbed: np.ndarray = field(default_factory=lambda: np.ones(4))

    def __post_init__(self) -> None:
        self._noise = float(self.rng.choice([0.0, 0.1, 0.3]))
        # Two in five episodes begin with a long burst: the hand starts where a reset never puts it.
        self._left = self._steps(8, 30) if self.rng.random() < 0.4 else 0
        self._burst = self._direction()
        self._detour: list[int] = []
        if self.distracted:
            steps = self.rng.integers(0, round(0.8 * self.control_hz), 2)
            self._detour = np.repeat(self.rng.integers(0, 1000, 2), steps).tolist()

    def act(self, env: Env, observation: dict[str, Any] | None) -> np.ndarray:
        if self._detour:
            return env.distraction(self._detour.pop())

        if self._left == 0 and self.rng.random() < 1.2 / self.control_hz:
            self._left, self._burst = self._steps(3, 11), self._direction()
        if self._left:
            self._left -= 1
            return np.where(self.disturbed > 0, self._burst, env.expert_action())

        noise = self._noise * self.disturbed * self.rng.standard_normal(len(self.disturbed))
        return env.expert_action() + noise.astype(np.float32)

    def _steps(self, low: int, high: int) -> int:
        return math.ceil(self.rng.integers(low, high) * self.control_hz / 80)

    def _direction(self) -> np.ndarray:
        return (self.disturbed * self.rng.uniform(-1, 1, len(self.disturbed))).astype(np.float32)


@dataclass
class PolicyAndExpert:
    """A policy and the expert in turn: 0.1 to 0.5 s by the policy, then 0 to 0.2 s by the expert.

    infer: observation -> chunk (rows, a); its first `STRIDE` rows are done, until the next frame."""

    rng: np.random.Generator
    control_hz: float
    infer: Callable[[dict[str, Any]], np.ndarray]

    def __post_init__(self) -> None:
        self._policy_acts = False
        self._left = 0
        self._rows: list[np.ndarray] = []

    def act(self, env: Env, observation: dict[str, Any] | None) -> np.ndarray:
        if observation is not None:  # at a frame
            if self._left <= 0:
                self._policy_acts = not self._policy_acts
                steps = self.rng.integers(8, 41) if self._policy_acts else self.rng.integers(0, 17)
                self._left = math.ceil(steps * self.control_hz / 80)
            self._rows = list(self.infer(observation)[:STRIDE]) if self._policy_acts else []
        self._left -= 1
        return self._rows.pop(0) if self._rows else env.expert_action()


def record_demonstrations(
    out: Path,
    suite: Suite,
    tasks: Sequence[str],
    episodes: int = 100,
    first: int = 0,
    batch: int = 20,
    infer: Callable[[dict[str, Any]], np.ndarray] | None = None,
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """Records starts `first` to `first + episodes` of the training list of each task; files that are there stay.

    Args:
        out: gets `<task>_<first start>.safetensors`, `batch` episodes in each
        infer: the policy for DAgger; None: the noisy expert acts

    Returns: per task episodes, frames and the share that ended in success. Raises: InputError."""
    counts = {suite.task(name).name: {"episodes": 0.0, "frames": 0.0, "solved": 0.0} for name in tasks}
    done = 0
    for begin in range(first, first + episodes, batch):
        starts = range(begin, min(begin + batch, first + episodes))
        for task, count in counts.items():
            path = out / f"{task}_{begin:05d}.safetensors"
            if not path.exists():
                frames, solved = _record_batch(suite, task, starts, infer)
                count["episodes"] += len(starts)
                count["frames"] += len(frames.step)
                count["solved"] += solved
                record = _record(suite, starts, solved, infer is not None)
                write_shard(path, suite.robot, suite.info(task), frames, record)

            done += len(starts)
            if progress:
                progress(done, task)

    return counts


def _record_batch(
    suite: Suite, task: str, starts: range, infer: Callable[[dict[str, Any]], np.ndarray] | None
) -> tuple[Frames, int]:
    env = suite.make(task, suite.record_steps)
    hz = suite.robot.control_hz
    words = suite.task(task).instructions()

    rows: list[tuple[Any, ...]] = []
    solved = 0
    try:
        for i in starts:
            start = suite.start(task, i)
            rng = np.random.default_rng([start, list(suite.tasks).index(task)])
            actor: Actor = (
                PolicyAndExpert(rng, hz, infer)
                if infer is not None
                else NoisyExpert(rng, hz, suite.distracting, suite.noise)
            )
            env.reset(options={"split": "train", "start": start, "instruction": words[i % len(words)]})
            for step in range(suite.record_steps):
                observation = None
                if step % STRIDE == 0:
                    observation = env.observation()
                    privileged = env.privileged()
                    chunk = env.expert_chunk(HORIZON)
                    images = observation["images"]
                    proprio = observation["proprio"]
                    rows.append((images, proprio, chunk, privileged, start, step))

                if env.advance(actor.act(env, observation)):
                    solved += 1
                    break
    finally:
        env.close()

    images, proprio, chunks, privileged, episode, steps = map(np.array, zip(*rows, strict=True))
    return Frames(images, proprio, chunks, privileged, episode.astype(np.int32), steps.astype(np.int32)), solved


def _record(suite: Suite, starts: range, solved: int, dagger: bool) -> dict[str, Any]:
    return {
        "suite": suite.name,
        "starts": [starts.start, starts.stop],
        "solved": solved,
        "acted": "a policy and the expert in turn" if dagger else "the expert, disturbed",
        "rendering": suite.rendering,
        "stride": STRIDE,
        "versions": {name: version(name) for name in suite.packages},
    }
