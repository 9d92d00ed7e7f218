"""Runs a plan: which sub-goal is the current one, whether it has succeeded or failed; and what the robot remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rarrl.alfred import SubgoalType
from rarrl.errors import InputError
from rarrl.types import ActStatus

from .catalogue import APPLIANCES, FURNITURE, OBJECTS
from .interactions import OPENED
from .world import DT, Row, World

VERBS = tuple(SubgoalType.__members__)
"""ALFRED's eight kinds of sub-goal."""
TOO_LATE = "too late"  # the reason of a failure without an interaction
LIMIT_S = 60.0  # s without success that count as a failure; the expert needs about 10 a sub-goal


@dataclass(frozen=True)
class Event:
    """The end of an attempt at a sub-goal. status: SUCCESS or FAILURE. reason: of a failure, e.g. "out of reach"."""

    row: Row
    status: ActStatus
    reason: str = ""


class Executor:
    """A plan in force. After a success the next sub-goal is the current one; after a failure the same one stays, until
    it succeeds or another plan is set. GotoLocation succeeds by standing there; the others by their interaction. A
    failure is an interaction that did something else or nothing, and every `limit_s` seconds without success."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self.rows: tuple[Row, ...] = ()
        self.index = 0
        self._since = 0  # the world's step at which the current attempt began

    def set_plan(self, rows: Sequence[Sequence[str]], step: int) -> None:
        """Begins with the first of `rows`, at a step of the world. Raises: InputError for a sub-goal that cannot be."""
        self.rows = tuple(checked(row) for row in rows)
        self.index = 0
        self._since = step

    @property
    def row(self) -> Row | None:
        """The current sub-goal; None when the plan is done."""
        return self.rows[self.index] if self.index < len(self.rows) else None

    def update(self, world: World) -> Event | None:
        """What the world's last step means for the current sub-goal; None: it goes on."""
        row = self.row
        outcome = world.outcome
        if row is None:
            return None

        arrived = row[0] == "GotoLocation" and world.arrived(row[1])
        if arrived or (outcome is not None and outcome.row == row and outcome.ok):
            self.index += 1
            self._since = world.steps
            return Event(row, ActStatus.SUCCESS)

        if outcome is not None and outcome.reason != OPENED:
            return Event(row, ActStatus.FAILURE, outcome.reason)
        if (world.steps - self._since) * DT >= self._limit_s:
            self._since = world.steps
            return Event(row, ActStatus.FAILURE, TOO_LATE)
        return None


class Memory:
    """Where the robot believes each thing to be: where it was when the mission began, then where it was last seen.

    known: index of the thing -> the place, or the thing's own class name when it lies on the floor. spots: index ->
    (x, y) where it was, metres, of the known ones."""

    def __init__(self, world: World) -> None:
        self.known: dict[int, str] = {}
        self.spots: dict[int, tuple[float, float]] = {}
        for i in range(len(world.things)):
            self.note(world, i)

    def update(self, world: World) -> None:
        """Notes what is in view. A thing that is not where it was believed to be, seen from near, is forgotten."""
        seen = set(world.seen())
        for i in seen:
            self.note(world, i)
        for i, place in list(self.known.items()):
            if i not in seen and place not in world.shut and world.at(place) and world.place_of(i) != place:
                del self.known[i], self.spots[i]

    def note(self, world: World, index: int) -> None:
        """Notes where a thing is."""
        self.known[index] = _where(world, index)
        self.spots[index] = world.things[index].x, world.things[index].y

    def fill_in(self, rows: Sequence[Row], world: World) -> list[Row]:
        """`rows` with the GotoLocation that is missing before a step: to where its thing is believed to be, to the
        class itself where nothing is known."""
        filled: list[Row] = []
        used: set[int] = set()
        here = ""
        for row in rows:
            verb, *names = row
            goal = names[0] if verb == "GotoLocation" else APPLIANCES.get(verb, names[-1])

            if verb != "GotoLocation" and goal in OBJECTS:
                index = self._meant(goal, here if filled and filled[-1][0] == "GotoLocation" else "", used, world)
                goal = self.known.get(index, goal)
                used |= {index} if verb == "PickupObject" else set()

            if verb != "GotoLocation" and goal != here and (not filled or filled[-1][0] != "GotoLocation"):
                filled.append(("GotoLocation", goal))
            here = goal if verb == "GotoLocation" or filled[-1][0] == "GotoLocation" else here
            filled.append(row)
        return filled

    def _meant(self, name: str, here: str, used: set[int], world: World) -> int:
        """Which thing of a class a step means: one at `here`, else any that no step before has taken; -1: none."""
        of_class = [i for i, t in enumerate(world.things) if t.name == name and i in self.known and i not in used]
        free = [i for i in of_class if world.root(i) != world.held]
        return max(free, key=lambda i: (self.known[i] == here, -i), default=-1)


def _where(world: World, index: int) -> str:
    """The place that holds a thing, or the class of the outermost thing on the floor."""
    return world.place_of(index) or world.things[world.root(index)].name


def checked(row: Sequence[str]) -> Row:
    """A sub-goal in ALFRED's form. Raises: InputError naming what is wrong."""
    names = {"PutObject": 2}.get(row[0] if row else "", 1)
    if not row or row[0] not in VERBS or len(row) != 1 + names:
        raise InputError(f"household: sub-goal {tuple(row)!r} is not (verb, class name...), verbs: {', '.join(VERBS)}")
    unknown = [name for name in row[1:] if name not in OBJECTS and name not in FURNITURE]
    if unknown:
        raise InputError(
            f"household: sub-goal {tuple(row)!r}: {unknown[0]!r} is no class of ALFRED that homes here hold"
        )
    return tuple(row)


def sentence(row: Row | None) -> str:
    """A sub-goal as text, e.g. "PutObject mug shelf"; "" for None."""
    return " ".join(row or ())
