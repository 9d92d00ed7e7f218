"""What is left to do of a plan, by what the robot itself has done so far. Pure: no world, no time.

A language model writes a plan from the task's beginning. A robot in the middle of the task compares it with what is in
its hand and with what it has put down, treated, sliced and switched on itself, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rarrl.reasoner.plan import Plan
from rarrl.skills.plan import Step

from ..catalogue import APPLIANCES
from ..world import Row

_PUT = "PutObject"
_PICK = "PickupObject"
_GOTO = "GotoLocation"
Look = Callable[[str], str]
"""Class name -> where to look for a thing of it."""


@dataclass(frozen=True)
class Found:
    """A thing as the robot knows it.

    at: where to go for it, a place or the class of what lies on the floor; "" where the robot does not know.
    put: where the robot has put it and believes it still to be, a place or the class of what holds it; else "".
    done: verbs of what the robot did to it."""

    index: int
    name: str
    at: str
    put: str = ""
    done: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Progress:
    """done: steps of the plan that need not be done any more. rows: what is left to do, with GotoLocation."""

    done: tuple[Step, ...]
    rows: tuple[Row, ...]


def progress(
    plan: Plan,
    things: Sequence[Found],
    held: int,
    lit: frozenset[str],
    look: Look,
    spare: str = "countertop",
    here: frozenset[str] = frozenset(),
) -> Progress:
    """What is left of `plan`.

    A carry (from PickupObject to PutObject) that the robot has done is left out, and so are treatments that the thing
    has had, slicing of what is sliced, lamps that are on, and the PickupObject of what is in the hand. Anything else in
    the hand is put down first. Two carries of one class are of two things. A plan that was never right is carried out
    as it is written.

    Args:
        things: all things that the robot knows of.
        held: index of the thing in the hand, or -1.
        lit: lamps that the robot has switched on.
        look: where to look for a thing whose place the robot does not know.
        spare: where to put down what is in the hand but not needed.
        here: what the robot stands in front of, and need not go to.
    """
    carries = _carries(plan.steps)
    writer = _Writer(things, held, lit, look, spare, here)

    # Asked from the last to the first, so that a later carry claims the thing that it has put down.
    open_ = [carry for carry in reversed(carries) if not writer.is_done(carry)][::-1]
    done = [step for carry in carries if carry not in open_ for step in carry.steps]
    for carry in open_:
        done += writer.write(carry)
    return Progress(tuple(done), tuple(writer.rows))


@dataclass(frozen=True, eq=False)
class _Carry:
    """Steps from a PickupObject to its PutObject; or a single step outside of these.

    thing: class of what is carried, "" for a single step. to: where it goes, "" without PutObject."""

    steps: tuple[Step, ...]
    thing: str
    to: str

    @property
    def between(self) -> list[Step]:
        return [step for step in self.steps if step.skill not in (_PICK, _PUT)]


def _carries(steps: Sequence[Step]) -> list[_Carry]:
    """The steps of a plan, in order, cut into carries."""
    found: list[_Carry] = []
    group: list[Step] = []
    for step in steps:
        if step.skill == _PICK and group:
            found.append(_Carry(tuple(group), group[0].arguments[0], ""))
            group = []

        if not group and step.skill != _PICK:
            lonely = step.skill == _PUT
            found.append(_Carry((step,), step.arguments[0] if lonely else "", step.arguments[-1] if lonely else ""))
            continue

        group.append(step)
        if step.skill == _PUT:
            found.append(_Carry(tuple(group), group[0].arguments[0], step.arguments[-1]))
            group = []
    if group:
        found.append(_Carry(tuple(group), group[0].arguments[0], ""))
    return found


class _Writer:
    """Writes rows and keeps in mind what they will have changed: what is held, where things are, which are taken."""

    def __init__(
        self,
        things: Sequence[Found],
        held: int,
        lit: frozenset[str],
        look: Look,
        spare: str,
        here: frozenset[str],
    ) -> None:
        self.things = {thing.index: thing for thing in things}
        self.hand = held
        self.lit = lit
        self.look = look
        self.spare = spare
        self.here = here

        self.at = {thing.index: thing.at for thing in things}
        self.taken: set[int] = set()  # things that a carry has claimed
        self.superseded: set[tuple[str, str]] = set()  # (class, target) of carries that are done
        self.rows: list[Row] = []

    # What is done

    def is_done(self, carry: _Carry) -> bool:
        """Whether nothing of it is left; asked from the last to the first. Claims the thing that it was done to."""
        if not carry.thing:
            return all(self._has(step, None) for step in carry.steps)

        holds = self.hand >= 0 and self.things[self.hand].name == carry.thing and self.hand not in self.taken
        if any(step.skill == "SliceObject" for step in carry.between) and carry.to:
            return not holds and all(self._has(step, None) for step in carry.between)  # a tool: wherever it is
        if any(thing == carry.thing and to != carry.to for thing, to in self.superseded):
            return True  # it has been carried elsewhere since

        for thing in self._free(carry.thing):
            there = thing.put == carry.to if carry.to else self.hand == thing.index
            if there and all(self._has(step, thing) for step in carry.between):
                self.taken.add(thing.index)
                self.superseded |= {(carry.thing, carry.to)} if carry.to else set()
                return True
        return False

    def _free(self, name: str) -> list[Found]:
        """Things of a class that no carry has claimed."""
        return [t for t in self.things.values() if t.name == name and t.index not in self.taken]

    def _has(self, step: Step, thing: Found | None) -> bool:
        """Whether a step has had its effect; a treatment: on `thing`."""
        if step.skill == "ToggleObject":
            return step.arguments[0] in self.lit
        if step.skill == "SliceObject":
            return any(t.name == step.arguments[0] and step.skill in t.done for t in self.things.values())
        return thing is not None and step.skill in thing.done

    # What is left

    def write(self, carry: _Carry) -> list[Step]:
        """Writes the rows of what is left of it. Returns the steps that need not be done again."""
        skipped: list[Step] = []
        thing = self._meant(carry)
        for step in carry.steps:
            name = step.arguments[0]
            if step.skill == _PICK:
                if thing is not None and thing.index == self.hand:
                    skipped.append(step)
                    continue
                self._empty_hand()
                self._go(self._where(name, thing), (_PICK, name))
                self.hand = -1 if thing is None else thing.index
            elif step.skill == _PUT:
                self._put(name, step.arguments[1])
            elif self._has(step, thing):
                skipped.append(step)
            elif step.skill == "SliceObject":
                self._go(self._where(name, self._best(name)), (step.skill, name))
            elif step.skill == "ToggleObject":
                self._go(name, (step.skill, name))
            else:
                self._go(APPLIANCES[step.skill], (step.skill, name or carry.thing))
        return skipped

    def _meant(self, carry: _Carry) -> Found | None:
        """Which thing a carry is about: the one in the hand, else the one with the most of it done, else one whose
        place is known."""
        if not carry.thing:
            return None

        verbs = {step.skill for step in carry.steps} | {"SliceObject"}
        free = self._free(carry.thing)
        best = max(free, key=lambda t: (t.index == self.hand, len(t.done & verbs), t.at != "", -t.index), default=None)
        self.taken |= set() if best is None else {best.index}
        return best

    def _best(self, name: str) -> Found | None:
        """A thing of a class, one whose place is known if there is any."""
        of_class = [t for t in self.things.values() if t.name == name]
        return max(of_class, key=lambda t: (self.at[t.index] != "", -t.index), default=None)

    def _where(self, name: str, thing: Found | None) -> str:
        """Where to go for a thing; its class for one that the robot has never met."""
        if thing is None:
            return name
        if not self.at[thing.index]:
            self.at[thing.index] = self.look(name)
        return self.at[thing.index]

    def _go(self, name: str, row: Row) -> None:
        """To `name`, unless the rows lead there already, and `row` there."""
        last = next((r[1] for r in reversed(self.rows) if r[0] == _GOTO), "")
        if name not in ({last} if last else self.here):
            self.rows.append((_GOTO, name))
        self.rows.append(row)

    def _put(self, name: str, to: str) -> None:
        """What is held to a place, or into a thing, wherever that is."""
        container = self._best(to)
        where = to if container is None else self._where(to, container)
        self._go(where, (_PUT, name, to))
        if self.hand >= 0:
            self.at[self.hand] = where
        self.hand = -1

    def _empty_hand(self) -> None:
        if self.hand >= 0:
            self._put(self.things[self.hand].name, self.spare)
