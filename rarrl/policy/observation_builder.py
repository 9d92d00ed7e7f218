"""What cameras and joints measure, checked and put together into an observation. Time is an argument."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from rarrl.policy.base import Interface, Observation

DROPS = ("corrupt", "size", "frame", "proprio", "stale", "future", "out_of_order")
MAX_KEPT = 500
"""Measurements of one part that are kept: 0.4 s, the usual limit of age, at 1000 Hz."""


@dataclass(frozen=True, eq=False)
class _Measured:
    """One part: its stamp, nanoseconds; the steady time of it, seconds; a picture or a number."""

    stamp_ns: int
    at: float
    value: Any


@dataclass(frozen=True, eq=False)
class Moment:
    """An observation, and the stamp of the oldest message in it, nanoseconds."""

    observation: Observation
    stamp_ns: int


class ObservationBuilder:
    """Pairs the pictures of each camera and the numbers of the proprioception by their stamps, from a short history.

    Each number is a part of its own, so that several nodes may publish some of them each. `now`: seconds of the steady
    clock; stamps and `clock_ns`: nanoseconds of the clock that stamps are made with.

    Args:
        spec: cameras, sizes and names
        max_age_s: what is older by its stamp, or as far ahead, is dropped
        slop_s: parts of one observation may differ by so much

    drops: what could not be used, by reason. waits: parts that came and completed no observation."""

    def __init__(self, spec: Interface, max_age_s: float, slop_s: float) -> None:
        self._spec = spec
        self._max_age_s = max_age_s
        self._slop_ns = round(1e9 * slop_s)
        self._names = (*spec.cameras, *(_number(name) for name in spec.proprio_names))
        self._clock_ns = 0
        self.drops: Counter[str] = Counter()
        self.last_drop = ""
        self.waits = 0
        self.reset()

    def add_image(self, camera: str, image: np.ndarray, stamp_ns: int, clock_ns: int, now: float) -> bool:
        """A picture, (side, side, 3) uint8 RGB, at least as large as the policy's: larger ones are shrunk."""
        size = self._spec.image_size
        if image.ndim != 3 or image.shape[0] != image.shape[1] or image.shape[0] < size:
            return self.drop("size", f"{camera}: {image.shape}, must be square RGB of at least {size} pixels a side")
        if image.shape[0] > size:
            image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        return self._add({camera: image}, camera, stamp_ns, clock_ns, now)

    def add_proprio(
        self, names: Sequence[str], values: Sequence[float], stamp_ns: int, clock_ns: int, now: float
    ) -> bool:
        """Numbers by name, all that the policy needs or some of them; those that it does not know are ignored."""
        if not len(values):  # such as a message of velocities alone
            return False
        named = dict(zip(names, values, strict=False))
        if len(names) != len(values) or len(named) != len(names):
            return self.drop("proprio", f"{len(names)} names and {len(values)} positions, or a name twice")

        needed = {name: named[name] for name in self._spec.proprio_names if name in named}
        finite = {_number(name): np.float32(value) for name, value in needed.items() if np.isfinite(value)}
        if wrong := [name for name in needed if _number(name) not in finite]:
            self.drop("proprio", f"{wrong[0]} is {named[wrong[0]]}, which is not finite")
        return bool(finite) and self._add(finite, "proprio", stamp_ns, clock_ns, now)

    def drop(self, reason: str, what: str) -> bool:
        """Counts something that cannot be used; False."""
        self.drops[reason] += 1
        self.last_drop = f"{reason}: {what}"[:200]
        return False

    def latest(self, instruction: str) -> Moment | None:
        """The newest observation whose parts belong together; None where there is none.

        Its time is that of its oldest part. Without cameras its images are (0, size, size, 3)."""
        parts, spread_ns = self._match()
        if not parts or spread_ns > self._slop_ns:
            return None

        cameras = len(self._spec.cameras)
        size = self._spec.image_size
        images = np.zeros((cameras, size, size, 3), np.uint8)
        for number, part in enumerate(parts[:cameras]):
            images[number] = part.value
        proprio = np.array([part.value for part in parts[cameras:]], np.float32)

        oldest = min(parts, key=lambda part: part.stamp_ns)
        return Moment(Observation(images, proprio, instruction, oldest.at), oldest.stamp_ns)

    def missing(self) -> list[str]:
        """The parts of which nothing is at hand: cameras by their names, numbers as `proprio NAME`."""
        return [name for name in self._names if not self._parts[name]]

    def waiting(self) -> str:
        """What an observation lacks, in one line; "" where there is one."""
        if missing := self.missing():
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            return f"waiting for {missing[0]}{more}"

        parts, spread_ns = self._match()
        if spread_ns <= self._slop_ns:
            return ""
        stamps = {name: part.stamp_ns for name, part in zip(self._names, parts, strict=True)}
        behind, ahead = min(stamps, key=stamps.__getitem__), max(stamps, key=stamps.__getitem__)
        return (
            f"{behind} and {ahead} are {spread_ns / 1e6:.0f} ms apart at best, more than policy.slop_s "
            f"({self._slop_ns / 1e6:.0f} ms)"
        )

    def reset(self) -> None:
        """Forgets all parts."""
        self._parts: dict[str, deque[_Measured]] = {name: deque(maxlen=MAX_KEPT) for name in self._names}

    def _match(self) -> tuple[list[_Measured], int]:
        """The newest parts within the slop, in the order of `_names`, and how far their stamps are apart, nanoseconds;
        the nearest where none are within it. Nothing while a part is missing."""
        best: list[_Measured] = []
        least_ns = 2**63
        rarest = min(self._parts.values(), key=len, default=deque())  # the slowest one; the others have one near it
        for pivot in reversed(rarest):
            parts = [_nearest(part, pivot.stamp_ns) for part in self._parts.values()]
            stamps = [part.stamp_ns for part in parts]
            spread_ns = max(stamps) - min(stamps)
            if spread_ns < least_ns:
                best, least_ns = parts, spread_ns
            if spread_ns <= self._slop_ns:
                break
        return best, least_ns

    def _add(self, values: Mapping[str, Any], who: str, stamp_ns: int, clock_ns: int, now: float) -> bool:
        if clock_ns < self._clock_ns:  # a simulation or a bag started again
            self.reset()
        self._clock_ns = clock_ns

        age_s = (clock_ns - stamp_ns) / 1e9
        if abs(age_s) > self._max_age_s:
            limit = f"policy.max_observation_age_s {self._max_age_s:g}"
            return self.drop("stale" if age_s > 0 else "future", f"{who}: {age_s:.2f} s old by its stamp ({limit})")

        later = [name for name in values if not self._parts[name] or stamp_ns > self._parts[name][-1].stamp_ns]
        if not later:
            return self.drop("out_of_order", f"{who}: its stamp is not later than the one before")
        for name in later:
            part = self._parts[name]
            part.append(_Measured(stamp_ns, now - max(age_s, 0.0), values[name]))
            while clock_ns - part[0].stamp_ns > 1e9 * self._max_age_s:
                part.popleft()

        self.waits += self._match()[1] > self._slop_ns
        return True


def _number(name: str) -> str:
    """The part of a number of the proprioception: a camera may have the same name."""
    return f"proprio {name}"


def _nearest(part: deque[_Measured], stamp_ns: int) -> _Measured:
    """Of measurements in the order of their stamps."""
    after = bisect_left(part, stamp_ns, key=lambda one: one.stamp_ns)
    if after == len(part) or (after and stamp_ns - part[after - 1].stamp_ns <= part[after].stamp_ns - stamp_ns):
        return part[after - 1]
    return part[after]
