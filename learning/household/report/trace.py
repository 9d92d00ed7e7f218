"""The record of a mission in a home, as plain data for pictures and tables; and its file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.files import read_npz, write_bytes_atomic
from rarrl.types import GateReason

FORMAT = "rarrl mission trace 1"
_ARRAYS = ("t_s", "bearings", "pose", "speed", "people", "door_open", "clear_m", "target", "picture_steps")
OF_OBSTACLE = frozenset(reason.value for reason in GateReason if reason.of_obstacle)
"""The words of a gate that stops the base because something is in the way, as results count them."""
_TEXTS = ("gate", "gate_reason", "subgoal", "held")
_BOXES = ("walls", "boxes", "door")


@dataclass(frozen=True)
class MissionResult:
    """How a mission ended. share: of the goal conditions that are met, 0 to 1. mission_s: simulated, thinking included.
    llm_s, tokens, calls: of the language model. gate_stops: how often the gate stopped a moving or commanded base.
    end_reason: a few words, e.g. "done", "plan done, goal not met", "out of time"."""

    policy: str
    seed: int
    goal: str
    success: bool
    share: float
    mission_s: float
    llm_s: float
    tokens: float
    calls: int
    collisions: int
    gate_stops: int
    end_reason: str


@dataclass(frozen=True, eq=False)
class HomePlan:
    """A home from above, metres, its corner at (0, 0). size: (x, y). walls: (n, 4), boxes: (m, 4) footprints of the
    furniture called `names`, door: (4,) of the leaf between the rooms; each x low, y low, x high, y high. words: a
    class name in words, where it is not its own."""

    size: tuple[float, float]
    walls: np.ndarray
    boxes: np.ndarray
    names: tuple[str, ...]
    door: np.ndarray
    words: dict[str, str]

    def room(self, x: float) -> tuple[float, float]:
        """From where to where, along x, the room at x reaches."""
        low, high = float(self.door[0]), float(self.door[2])
        return (0.0, low) if x < (low + high) / 2 else (high, self.size[0])


@dataclass(frozen=True)
class TracedDecision:
    """An attempt (action "act") or a call of the language model ("think"), from t0 to t1, seconds of the mission.

    subgoal: what an attempt was at. role, level, tokens: of a call, else "", 0, 0. seconds: of the clock that it took.
    time_left_s, tokens_left: of the budget, afterwards. answer: the plan or the verdict that came back."""

    t0: float
    t1: float
    action: str
    status: str
    subgoal: str = ""
    role: str = ""
    level: int = 0
    tokens: float = 0.0
    seconds: float = 0.0
    time_left_s: float = 0.0
    tokens_left: float = 0.0
    answer: str = ""


@dataclass(frozen=True, eq=False)
class Trace:
    """A mission, a row per step of a tenth of a second (n of them).

    t_s: (n,) seconds of the mission. pose: (n, 3) x, y (m), heading (rad). speed: (n, 2) v (m/s), omega (rad/s).
    people: (n, p, 2) metres. door_open: (n,) of the door between the rooms. gate: PASS, LIMITED or STOP, "" where no
    gate was asked; gate_reason: its words. clear_m: (n, s) how far each of `bearings` ((s,) rad from ahead) was
    seen to be free, at most range_m; NaN where nothing was scanned. subgoal: the one that is on, as text, "" for none.
    target: (n, 2) where the robot believes its sub-goal to be, NaN where it does not know. held: class in the hand, or
    "".

    pictures: of the left camera, as JPEG, taken at the rows `picture_steps` (k,)."""

    policy: str
    seed: int
    goal: str
    home: HomePlan
    time_budget_s: float
    token_budget: float
    range_m: float
    bearings: np.ndarray
    t_s: np.ndarray
    pose: np.ndarray
    speed: np.ndarray
    people: np.ndarray
    door_open: np.ndarray
    gate: tuple[str, ...]
    gate_reason: tuple[str, ...]
    clear_m: np.ndarray
    subgoal: tuple[str, ...]
    target: np.ndarray
    held: tuple[str, ...]
    decisions: tuple[TracedDecision, ...]
    pictures: tuple[bytes, ...]
    picture_steps: np.ndarray

    def picture(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB: the picture number `index`."""
        import cv2

        decoded = cv2.imdecode(np.frombuffer(self.pictures[index], np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise InputError(f"mission trace: picture {index} cannot be read; play the mission again")
        return decoded[..., ::-1]

    @property
    def duration_s(self) -> float:
        """From the first row to the end of the last decision or step."""
        last = max((d.t1 for d in self.decisions), default=0.0)
        return max(float(self.t_s[-1]) if len(self.t_s) else 0.0, last)

    def stops(self) -> list[tuple[float, float, str]]:
        """(from, to, reason) of each time that the gate stopped the base for an obstacle; moments that touch are one.

        What it holds back while the hand works, for scans that are old by then, is no stop of a moving base."""
        found: list[tuple[float, float, str]] = []
        for t, gate, reason in zip(self.t_s.tolist(), self.gate, self.gate_reason, strict=True):
            if gate != "STOP" or reason not in OF_OBSTACLE:
                continue
            if found and t - found[-1][1] < 0.25 and found[-1][2] == reason:
                found[-1] = (found[-1][0], t, reason)
            else:
                found.append((t, t, reason))

        return found


@dataclass(frozen=True, eq=False)
class Played:
    """A mission that was played: how it ended, the calls of the language model in it, and its trace, or None."""

    result: MissionResult
    thoughts: tuple[TracedDecision, ...]
    trace: Trace | None = None


def save_trace(path: Path, trace: Trace) -> None:
    """Writes `trace` as numpy's npz; no pickle."""
    head: dict[str, Any] = {name: getattr(trace, name) for name in ("policy", "seed", "goal", "time_budget_s")}
    head |= {name: getattr(trace, name) for name in ("token_budget", "range_m", *_TEXTS)}
    head |= {"format": FORMAT, "size": trace.home.size, "names": trace.home.names, "words": trace.home.words}
    head["decisions"] = [vars(decision) for decision in trace.decisions]
    arrays = {name: getattr(trace, name) for name in _ARRAYS} | {name: getattr(trace.home, name) for name in _BOXES}
    arrays["jpeg"] = np.frombuffer(b"".join(trace.pictures), np.uint8)
    arrays["jpeg_bytes"] = np.array([len(picture) for picture in trace.pictures], dtype=np.int64)
    buffer = BytesIO()
    np.savez_compressed(buffer, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)
    write_bytes_atomic(path, buffer.getvalue())


def load_trace(path: Path) -> Trace:
    """Reads what `save_trace` wrote. Raises: InputError for another file."""
    stored = read_npz(path, "mission trace")
    try:
        head = json.loads(stored["head"].tobytes())
        if head.pop("format") != FORMAT:
            raise ValueError("another format")
        arrays = {name: stored[name] for name in (*_ARRAYS, *_BOXES, "jpeg", "jpeg_bytes")}
        jpeg = arrays.pop("jpeg").tobytes()
        ends = np.cumsum(arrays.pop("jpeg_bytes")).tolist()
        boxes = {name: arrays.pop(name) for name in _BOXES}
        home = HomePlan(size=tuple(head.pop("size")), names=tuple(head.pop("names")), words=head.pop("words"), **boxes)
        values: dict[str, Any] = head | arrays | {name: tuple(head[name]) for name in _TEXTS}
        values["decisions"] = tuple(TracedDecision(**decision) for decision in head["decisions"])
        values["pictures"] = tuple(jpeg[begin:end] for begin, end in zip([0, *ends], ends, strict=False))
        return Trace(home=home, **values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"mission trace: {path} is none of ours ({str(error)[:80]}); play the mission again") from None
