"""What a detector sees, as things at places of world.yaml: vision_msgs/Detection3DArray, or MarkerArray without it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from rarrl.skills.world import World

AS_GOOD = 0.3
"""Share of the best hypothesis' score from which another one counts as well: a label that is held into the picture
outdoes the thing's own class, and seldom by more."""
SURE = 0.9
"""How sure a marker is, which says nothing of it: a publisher draws what it believes."""


@dataclass(frozen=True)
class Sighting:
    """A thing of a class, seen at x, y of `frame`, in metres. confidence: above 0 to 1. others: the classes that it may
    be as well, such as what is written on it."""

    label: str
    x: float
    y: float
    frame: str
    confidence: float
    others: tuple[str, ...] = ()


def message_type() -> Any:
    """The type of the topic `detections`: vision_msgs where it is installed, else visualization_msgs; None without
    either."""
    for package, name in (("vision_msgs", "Detection3DArray"), ("visualization_msgs", "MarkerArray")):
        try:
            return getattr(import_module(f"{package}.msg"), name)
        except ImportError:
            continue
    return None


def sightings(msg: Any) -> Iterator[Sighting]:
    """What a message of `message_type` holds; entries without label, place or probability are left out."""
    if hasattr(msg, "markers"):
        for marker in msg.markers:
            if marker.action == 0 and (marker.text or marker.ns):  # 0: add or modify
                at = marker.pose.position
                yield from _made(marker.text or marker.ns, at.x, at.y, marker.header.frame_id, SURE)
        return
    for detection in msg.detections:
        best = max(detection.results, key=lambda each: each.hypothesis.score, default=None)
        if best is not None:
            at = detection.bbox.center.position
            frame = detection.header.frame_id or msg.header.frame_id
            score = float(best.hypothesis.score)
            others = (each.hypothesis for each in detection.results if each is not best)
            names = tuple(other.class_id for other in others if other.score >= AS_GOOD * score)
            yield from _made(best.hypothesis.class_id, at.x, at.y, frame, score, names)


def _made(
    label: str, x: float, y: float, frame: str, confidence: float, others: tuple[str, ...] = ()
) -> Iterator[Sighting]:
    if label and math.isfinite(x) and math.isfinite(y) and 0.0 < confidence <= 1.0:
        yield Sighting(label, x, y, frame, confidence, others)


def place_of(seen: Sighting, world: World, radius_m: float) -> str:
    """The nearest place whose pose is within `radius_m`; "" where there is none."""
    near = [
        (math.hypot(place.pose[0] - seen.x, place.pose[1] - seen.y), name)
        for name, place in world.places.items()
        if place.pose is not None and place.holds
    ]
    distance, name = min(near, default=(math.inf, ""))
    return name if distance <= radius_m else ""


def in_frame(seen: Iterable[Sighting], frame: str) -> list[Sighting]:
    """Those in the frame of the world; a frame that is not named counts as it."""
    return [each for each in seen if each.frame.lstrip("/") in ("", frame.lstrip("/"))]
