"""What a policy is: an observation in, a chunk of actions out. `check_policy` holds any implementation to it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from types import SimpleNamespace
from typing import Any, Protocol, cast

import numpy as np

from rarrl.errors import InputError

MAX_INSTRUCTION = 1000  # characters; longer ones are refused before they are searched for words


@dataclass(frozen=True, eq=False)
class Observation:
    """What the robot sees, feels and was asked to do.

    images: (cameras, height, width, 3) uint8 RGB, in the order of the spec. proprio: (p,) float32, units by the names
    in the spec. instruction: a few words. observed_at: seconds of the caller's steady clock, when the oldest picture
    was taken. The arrays are copied and locked."""

    images: np.ndarray
    proprio: np.ndarray
    instruction: str
    observed_at: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.images, Mapping):
            raise InputError(
                "Observation: images must be one array (cameras, height, width, 3), got a dictionary; give "
                "np.stack([images[name] for name in policy.spec.cameras])"
            )
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


@dataclass(frozen=True)
class InterfaceSpec:
    """An `Interface` as plain values, for policies that need no more than that.

    names: with units, such as `x_m`. An empty vocabulary: any words.

    Raises: ValueError as `check_interface`."""

    cameras: tuple[str, ...]
    image_size: int
    proprio_names: tuple[str, ...]
    proprio_mean: tuple[float, ...]
    proprio_scale: tuple[float, ...]
    action_names: tuple[str, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    horizon: int
    control_hz: float
    vocabulary: tuple[str, ...] = ()
    max_words: int = 40

    def __post_init__(self) -> None:
        check_interface(self)

    @classmethod
    def of(cls, interface: Interface) -> InterfaceSpec:
        """The same values as those of `interface`, in Python's own types."""
        return cls(
            cameras=tuple(map(str, interface.cameras)),
            image_size=int(interface.image_size),
            proprio_names=tuple(map(str, interface.proprio_names)),
            proprio_mean=tuple(map(float, interface.proprio_mean)),
            proprio_scale=tuple(map(float, interface.proprio_scale)),
            action_names=tuple(map(str, interface.action_names)),
            action_low=tuple(map(float, interface.action_low)),
            action_high=tuple(map(float, interface.action_high)),
            horizon=int(interface.horizon),
            control_hz=float(interface.control_hz),
            vocabulary=tuple(map(str, interface.vocabulary)),
            max_words=int(interface.max_words),
        )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> InterfaceSpec:
        """The spec of JSON values, as `dataclasses.asdict` gives them. Raises: TypeError, ValueError, KeyError."""
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise KeyError(f"a spec holds {', '.join(sorted(names))}")
        return cls.of(cast(Interface, SimpleNamespace(**values)))

    def words(self, instruction: str) -> np.ndarray:
        """(words,) int64: row of the vocabulary from 2 on, or 1 for a word that is not known; any is known where
        there is no vocabulary.

        Raises: InputError for no word at all, more than `max_words`, or none that is known."""
        row = {word: number + 2 for number, word in enumerate(self.vocabulary)}
        found = checked_words(self, instruction)
        return np.array([row.get(word, 1 if self.vocabulary else 2) for word in found])


SMALL_WORDS = frozenset(
    (
        "a",
        "an",
        "and",
        "at",
        "by",
        "for",
        "from",
        "in",
        "into",
        "is",
        "it",
        "of",
        "on",
        "onto",
        "please",
        "the",
        "then",
        "to",
        "with",
    )
)
"""Words that say nothing by themselves: "fly to the moon" is not understood by a policy that knows "to" and "the"."""


def checked_words(spec: Interface, instruction: str, any_words: bool = False) -> list[str]:
    """Returns the words of an instruction, in lower case.

    A policy that knows none of them would not stand still, but act at full strength on noise: what it does with unknown
    words alone was never trained. any_words: all of them may be unknown, for experiments.

    Raises: InputError for no word at all, more than `max_words`, or none that is known."""
    words = re.findall(r"[a-z0-9]+", instruction[: MAX_INSTRUCTION + 1].lower())
    if not 1 <= len(words) <= spec.max_words or len(instruction) > MAX_INSTRUCTION:
        raise InputError(
            f"instruction: must hold 1 to {spec.max_words} words, got {len(words)} ({instruction[:60]!r}); say it "
            "shorter"
        )

    vocabulary = set(spec.vocabulary)
    known = sorted(vocabulary - SMALL_WORDS)
    if known and not any_words and not set(words) & set(known):
        some = ", ".join(known[:40]) + (", ..." if len(known) > 40 else "")
        raise InputError(
            f"instruction: the policy knows no word of {instruction[:60]!r}; use words that it knows: {some}"
        )
    return words


class WordedInterface(Interface, Protocol):
    """An `Interface` that says which words of an instruction the policy knows."""

    def words(self, instruction: str) -> np.ndarray:
        """(n,) int64: 0 fills up, 1 is a word that is not known, any other number is one that is.

        Raises: InputError for no word at all, too many, or none that is known."""
        ...


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


class LoadedPolicy(Policy, Protocol):
    """A policy that holds memory, files or a device until it is closed; `with` closes it."""

    def close(self) -> None:
        """Frees what it holds."""

    def __enter__(self) -> LoadedPolicy: ...
    def __exit__(self, *_: object) -> None: ...


def closable(policy: Policy) -> LoadedPolicy:
    """`policy` itself where it can be closed and used with `with`; else the same with both."""
    if all(hasattr(policy, name) for name in ("close", "__enter__", "__exit__")):
        return cast(LoadedPolicy, policy)
    return _Closable(policy)


class _Closable:
    """A policy of a user who had nothing to free, or left `with` away."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def spec(self) -> Interface:
        return self._policy.spec

    def infer(self, observation: Observation, stop: Callable[[], bool] | None = None) -> ActionChunk:
        return self._policy.infer(observation, stop)

    def reset(self) -> None:
        self._policy.reset()

    def close(self) -> None:
        close = getattr(self._policy, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> _Closable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_interface(spec: Interface) -> None:
    """Refuses a spec that no policy can keep.

    Raises: ValueError in one line: the field, what it must be, and what it is."""
    missing = [field.name for field in fields(InterfaceSpec) if not hasattr(spec, field.name)]
    if missing:
        raise ValueError(f"spec: a {type(spec).__name__} has no {', '.join(missing)}")

    for name in ("cameras", "proprio_names", "action_names", "vocabulary"):
        _check_words(name, getattr(spec, name))
    for name in ("image_size", "horizon", "max_words"):
        value = getattr(spec, name)
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"spec: {name} must be a whole number of at least 1, got {value!r}")
    if not _is_number(spec.control_hz) or spec.control_hz <= 0:
        raise ValueError(f"spec: control_hz must be a finite number above 0, got {spec.control_hz!r}")
    if not spec.action_names:
        raise ValueError("spec: action_names must hold at least one name, got none")

    for what, parts in (("proprio", ("mean", "scale")), ("action", ("low", "high"))):
        names = f"{what}_names"
        for part in parts:
            _check_numbers(f"{what}_{part}", getattr(spec, f"{what}_{part}"), names, len(getattr(spec, names)))

    for name, scale in zip(spec.proprio_names, spec.proprio_scale, strict=True):
        if scale <= 0:
            raise ValueError(f"spec: proprio_scale must be above 0, got {scale!r} for {name}")
    for name, low, high in zip(spec.action_names, spec.action_low, spec.action_high, strict=True):
        if low > high:
            raise ValueError(f"spec: action_low must not be above action_high, got {low!r} and {high!r} for {name}")


def _check_words(field: str, values: object) -> None:
    if not isinstance(values, tuple | list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"spec: {field} must be a tuple of names, got {values!r}")


def _check_numbers(field: str, values: Any, names: str, count: int) -> None:
    if isinstance(values, str) or not hasattr(values, "__len__") or not all(map(_is_number, values)):
        raise ValueError(f"spec: {field} must be a tuple of finite numbers, got {values!r}")
    if len(values) != count:
        raise ValueError(f"spec: {field} must hold {count} numbers, one for each of {names}, got {len(values)}")


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def check_policy(policy: Policy, steps: int = 3, seed: int = 0) -> None:
    """Holds `policy` to the contract on `steps` random observations.

    Checks its methods and its spec, then shape, type, finiteness, range, time stamps, that nothing is written into, and
    that answers repeat: with and without `reset`, whatever was asked in between. Raises: AssertionError naming the
    breach."""
    name = type(policy).__name__
    assert not isinstance(policy, type), "policy: a class; give an object of it"
    missing = [each for each in ("spec", "infer", "reset") if not hasattr(policy, each)]
    assert not missing, f"policy: {name} has no {', '.join(missing)}; a policy has spec, infer and reset"
    spec = policy.spec
    try:
        check_interface(spec)
    except ValueError as error:
        raise AssertionError(f"policy: {name}: {error}") from None

    rng = np.random.default_rng(seed)
    shape = (len(spec.cameras), spec.image_size, spec.image_size, 3)
    low, high = np.array(spec.action_low), np.array(spec.action_high)
    words = [*spec.vocabulary, "unheard"][: spec.max_words + 1]
    known = [word for word in spec.vocabulary if word not in SMALL_WORDS] or ["go"]
    observations = [
        Observation(
            rng.integers(0, 256, shape, np.uint8),
            (spec.proprio_mean + rng.normal(size=len(spec.proprio_names)) * spec.proprio_scale).astype(np.float32),
            " ".join([known[i % len(known)], *rng.permutation(words)[: spec.max_words - 1]]),
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
