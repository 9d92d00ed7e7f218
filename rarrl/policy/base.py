"""What a policy is: an observation in, a chunk of actions out. `check_policy` holds any implementation to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Observation:
    """What the robot sees, feels and was told.

    images: (cameras, height, width, 3) uint8 RGB, in the order of the spec. proprio: (p,) float32, units by the names
    in the spec. instruction: a few words. observed_at: seconds of the caller's steady clock, when the oldest picture
    was taken. The arrays are copied and locked."""

    images: np.ndarray
    proprio: np.ndarray
    instruction: str
    observed_at: float = 0.0

    def __post_init__(self) -> None:
        for name in ("images", "proprio"):
            copy = np.array(getattr(self, name))
            copy.setflags(write=False)
            object.__setattr__(self, name, copy)


@dataclass(frozen=True, eq=False)
class ActionChunk:
    """Commands to run, one row per control tick.

    actions: (horizon, a) float32, units by the names in the spec. dt: seconds per row. observed_at: of the observation
    that it answers, not when the computation ended."""

    actions: np.ndarray
    dt: float
    observed_at: float


class Interface(Protocol):
    """What a policy takes and gives, whatever is inside; `PolicySpec` is one.

    cameras: names of the pictures, each image_size x image_size. proprio_mean, proprio_scale: where the robot's state
    mostly is. action_low, action_high: no action leaves them. vocabulary: the words known to it (none: free text)."""

    @property
    def vocabulary(self) -> tuple[str, ...]: ...
    @property
    def max_words(self) -> int: ...
    @property
    def cameras(self) -> tuple[str, ...]: ...
    @property
    def image_size(self) -> int: ...
    @property
    def proprio_names(self) -> tuple[str, ...]: ...
    @property
    def proprio_mean(self) -> tuple[float, ...]: ...
    @property
    def proprio_scale(self) -> tuple[float, ...]: ...
    @property
    def action_names(self) -> tuple[str, ...]: ...
    @property
    def action_low(self) -> tuple[float, ...]: ...
    @property
    def action_high(self) -> tuple[float, ...]: ...
    @property
    def horizon(self) -> int: ...
    @property
    def control_hz(self) -> float: ...


class Policy(Protocol):
    """Chooses chunks of actions; for one thread."""

    @property
    def spec(self) -> Interface:
        """What it takes and gives."""

    def infer(self, observation: Observation, stop: Callable[[], bool] | None = None) -> ActionChunk:
        """The chunk for `observation`. stop: asked often; True ends the computation.

        Raises: InputError for an observation that does not fit the spec or is not finite, InterruptedDecodeError."""

    def reset(self) -> None:
        """Forgets what is kept between calls; the answers stay the same."""


def check_policy(policy: Policy, steps: int = 3, seed: int = 0) -> None:
    """Holds `policy` to the contract on `steps` random observations.

    Checks shape, type, finiteness, range, time stamps, that nothing is written into, and that answers repeat: with and
    without `reset`, whatever was asked in between. Raises: AssertionError naming the breach."""
    spec, rng = policy.spec, np.random.default_rng(seed)
    shape = (len(spec.cameras), spec.image_size, spec.image_size, 3)
    low, high = np.array(spec.action_low), np.array(spec.action_high)
    words = [*spec.vocabulary, "unheard"][: spec.max_words + 1]
    observations = [
        Observation(
            rng.integers(0, 256, shape, np.uint8),
            (spec.proprio_mean + rng.normal(size=len(spec.proprio_names)) * spec.proprio_scale).astype(np.float32),
            " ".join(rng.permutation(words)[: spec.max_words]),
            observed_at=10.0 + i,
        )
        for i in range(steps)
    ]
    first = [policy.infer(observation) for observation in observations]
    for observation, chunk in zip(observations, first, strict=True):
        expected = (spec.horizon, len(spec.action_names))
        assert chunk.actions.shape == expected, f"actions have shape {chunk.actions.shape}, the spec says {expected}"
        assert chunk.actions.dtype == np.float32, f"actions are {chunk.actions.dtype}, must be float32"
        assert np.isfinite(chunk.actions).all(), "actions are not finite"
        assert ((chunk.actions >= low - 1e-6) & (chunk.actions <= high + 1e-6)).all(), "actions leave the spec's range"
        assert chunk.observed_at == observation.observed_at, "a chunk must carry the observation's time"
        assert np.isclose(chunk.dt * spec.control_hz, 1), f"dt is {chunk.dt}, the spec says {1 / spec.control_hz}"
    for observation, chunk in zip(reversed(observations), reversed(first), strict=True):
        assert np.array_equal(policy.infer(observation).actions, chunk.actions), "the order of questions matters"
    policy.reset()
    assert np.array_equal(policy.infer(observations[0]).actions, first[0].actions), "reset changes the answer"
