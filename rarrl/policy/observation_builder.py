"""What cameras and joints measure, checked and put together into an observation. Time is an argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from rarrl.policy.base import Interface, Observation

DROPS = ("corrupt", "size", "proprio", "stale", "future", "out_of_order")
_PROPRIO = "(proprioception)"  # no name of a camera


@dataclass(frozen=True, eq=False)
class Moment:
    """An observation, and the stamp of the oldest message in it, nanoseconds."""

    observation: Observation
    stamp_ns: int


class ObservationBuilder:
    """Keeps the latest picture of each camera and the latest proprioception. `now`: seconds of the steady clock;
    stamps and `clock_ns`: nanoseconds of the clock that stamps are made with.

    Args:
        spec: cameras, sizes and names
        max_age_s: what is older by its stamp, or as far ahead, is dropped
        slop_s: parts of one observation may differ by so much"""

    def __init__(self, spec: Interface, max_age_s: float, slop_s: float) -> None:
        self._spec = spec
        self._max_age_s = max_age_s
        self._slop_ns = round(1e9 * slop_s)
        self._parts: dict[str, tuple[int, float, np.ndarray]] = {}  # name -> stamp, steady time of it, value
        self._clock_ns = 0
        self.drops: Counter[str] = Counter()
        self.last_drop = ""

    def add_image(self, camera: str, image: np.ndarray, stamp_ns: int, clock_ns: int, now: float) -> bool:
        """A picture, (side, side, 3) uint8 RGB, at least as large as the policy's: larger ones are shrunk."""
        size = self._spec.image_size
        if image.ndim != 3 or image.shape[0] != image.shape[1] or image.shape[0] < size:
            return self.drop("size", f"{camera}: {image.shape}, must be square RGB of at least {size} pixels a side")
        if image.shape[0] > size:
            image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        return self._add(camera, image, stamp_ns, clock_ns, now)

    def add_proprio(
        self, names: Sequence[str], values: Sequence[float], stamp_ns: int, clock_ns: int, now: float
    ) -> bool:
        """Numbers by name; those that the policy does not know are ignored."""
        named = dict(zip(names, values, strict=False))
        if len(names) != len(values) or len(named) != len(names):
            return self.drop("proprio", f"{len(names)} names and {len(values)} positions, or a name twice")
        missing = [name for name in self._spec.proprio_names if name not in named]
        if missing:
            return self.drop("proprio", f"{missing[0]} is missing; needed: {', '.join(self._spec.proprio_names)}")
        proprio = np.array([named[name] for name in self._spec.proprio_names], np.float32)
        if not np.isfinite(proprio).all():
            return self.drop("proprio", "not finite")
        return self._add(_PROPRIO, proprio, stamp_ns, clock_ns, now)

    def drop(self, reason: str, what: str) -> bool:
        """Counts something that cannot be used; False."""
        self.drops[reason] += 1
        self.last_drop = f"{reason}: {what}"[:200]
        return False

    def latest(self, instruction: str) -> Moment | None:
        """The newest observation; None while a part is missing, or the latest ones do not belong together.

        Its time is that of its oldest part. Without cameras its images are (0, size, size, 3)."""
        parts = [self._parts.get(name) for name in (*self._spec.cameras, _PROPRIO)]
        known = [part for part in parts if part is not None]
        stamps = [stamp for stamp, _, _ in known]
        if len(known) < len(parts) or max(stamps) - min(stamps) > self._slop_ns:
            return None
        size = self._spec.image_size
        images = np.zeros((len(known) - 1, size, size, 3), np.uint8)
        for number, (_, _, image) in enumerate(known[:-1]):
            images[number] = image

        stamp_ns, observed_at, _ = min(known, key=lambda part: part[0])
        return Moment(Observation(images, known[-1][2], instruction, observed_at), stamp_ns)

    def reset(self) -> None:
        """Forgets all parts."""
        self._parts = {}

    def _add(self, name: str, value: np.ndarray, stamp_ns: int, clock_ns: int, now: float) -> bool:
        if clock_ns < self._clock_ns:  # a simulation or a bag started again
            self.reset()
        self._clock_ns = clock_ns
        age_s = (clock_ns - stamp_ns) / 1e9
        if abs(age_s) > self._max_age_s:
            return self.drop("stale" if age_s > 0 else "future", f"{name}: {age_s:.2f} s old by its stamp")
        if name in self._parts and stamp_ns <= self._parts[name][0]:
            return self.drop("out_of_order", f"{name}: its stamp is not later than the one before")
        self._parts[name] = (stamp_ns, now - max(age_s, 0.0), value)
        return True
