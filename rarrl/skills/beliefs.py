"""What the robot believes about things and places: how sure it is, since when, and what it has looked at in vain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rarrl.skills.facts import Fact, State, locates
from rarrl.skills.world import World

START_CONFIDENCE = 0.8
"""How sure the robot is of what world.yaml says: its maker knew the home, but not today's."""


@dataclass(frozen=True)
class Mark:
    """How sure the robot is of a fact (0 to 1), and since when it believes it (seconds of the executive's clock)."""

    confidence: float
    since_s: float


@dataclass(frozen=True)
class Beliefs:
    """All that the robot believes. A new value for each change.

    state: what is taken to be the case. marks: fact -> confidence and age; a fact `THING at PLACE` that is not in
    `state` and has a mark is known to be false: the robot has looked there in vain. contradicted: how many beliefs
    the world has contradicted so far in this task. hints: thing -> place -> share, what a language model says of where
    such a thing usually is; they come before `usual` of world.yaml. doubts: (thing, place) -> classes that the thing
    seen there may be as well: what a detector took it for besides, and what is missing where it has appeared."""

    world: World
    state: State
    marks: Mapping[Fact, Mark] = field(default_factory=dict)
    contradicted: int = 0
    hints: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    doubts: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    @classmethod
    def at_start(cls, world: World, now_s: float = 0.0) -> Beliefs:
        """What world.yaml says."""
        state = world.start_state()
        mark = Mark(START_CONFIDENCE, now_s)
        marks: dict[Fact, Mark] = {(thing, "at", place): mark for thing, place, _ in state.located}
        marks |= dict.fromkeys(state.flags, mark)
        if state.at:
            marks["at", state.at] = mark
        return cls(world, state, marks)

    def give(self, fact: Fact, now_s: float, confidence: float = 1.0, negated: bool = False) -> Beliefs:
        """After a skill gave `fact`, or took it away."""
        before = self.state
        state = before.with_fact(fact, negated)
        marks = dict(self.marks)
        if fact[0] == "at" and len(fact) == 2:
            marks.pop(("at", before.at), None)
            state = replace(state, room=self.world.room_at(fact[1], before))
        if fact[0] == "holding" and not negated and before.count(fact[1], before.at) <= 1:
            marks.pop((fact[1], "at", before.at), None)  # there may or may not be another one
        if negated and not locates(fact):
            marks.pop(fact, None)
        else:
            marks[fact] = Mark(confidence, now_s)
        return replace(self, state=state, marks=marks)

    def drop(self, fact: Fact, now_s: float) -> Beliefs:
        """The world has contradicted `fact`: it is believed to be false from now on."""
        located = locates(fact)
        state = self.state.counted(fact[0], fact[2], 0) if located else self.state.with_fact(fact, negated=True)
        marks = dict(self.marks)
        marks.pop(fact, None)
        if located:
            marks[fact] = Mark(START_CONFIDENCE, now_s)
        return replace(self, state=state, marks=marks, contradicted=self.contradicted + 1)

    def observe(self, place: str, things: Iterable[str], now_s: float, confidence: float = 0.95) -> Beliefs:
        """The robot has looked at `place` and seen `things` there, and nothing else of what it knows."""
        seen: dict[str, int] = {}
        for thing in things:
            seen[thing] = seen.get(thing, 0) + 1

        state, marks, contradicted = self.state, dict(self.marks), self.contradicted
        appeared, gone = set(), set()
        for thing in self.world.things:
            believed, found = state.count(thing, place), seen.get(thing, 0)
            contradicted += found < believed
            appeared |= {thing} if found > believed else set()
            gone |= {thing} if found < believed else set()
            state = state.counted(thing, place, found)
            marks[thing, "at", place] = Mark(confidence, now_s)
        beliefs = replace(self, state=state, marks=marks, contradicted=contradicted)
        return beliefs._doubted(appeared, gone, place)

    def sight(
        self,
        thing: str,
        place: str,
        now_s: float,
        confidence: float,
        others: Iterable[str] = (),
        instead_of: Iterable[str] = (),
    ) -> Beliefs:
        """A detector has reported a thing at a place. One report more of what is known there changes no count.

        others: what it took it for besides. instead_of: what is believed there and is not in the report; it may be
        this thing, if this thing is new there."""
        is_new = not self.state.count(thing, place)
        state = self.state.counted(thing, place, 1) if is_new else self.state
        marks = {**self.marks, (thing, "at", place): Mark(confidence, now_s)}
        doubted = {*others, *(instead_of if is_new else ())}
        return replace(self, state=state, marks=marks)._doubted({thing}, doubted, place)

    def _doubted(self, appeared: Iterable[str], others: Iterable[str], place: str) -> Beliefs:
        """With `others` as what each of `appeared` at a place may be. What has appeared is nothing else's mistake any
        more, wherever it was missed."""
        appeared = frozenset(appeared)
        if not appeared or (not others and not self.doubts):
            return self
        doubts = {key: maybe - appeared for key, maybe in self.doubts.items()}
        for thing in appeared:
            doubts[thing, place] = (doubts.get((thing, place), frozenset()) | frozenset(others)) - {thing}
        return replace(self, doubts={key: maybe for key, maybe in doubts.items() if maybe})

    def is_ruled_out(self, thing: str, place: str) -> bool:
        """Whether the robot has looked at `place` and found no such thing."""
        return (thing, "at", place) in self.marks and not self.state.count(thing, place)

    def likely_places(self, thing: str) -> tuple[tuple[str, float], ...]:
        """Where a thing that was not found yet may be, the likeliest first, with their shares (sum 1).

        By `hints`, else by `usual` of world.yaml; places that they do not name share what is left evenly."""
        known = self.world.things.get(thing)
        usual = self.hints.get(thing) or (known.usual if known is not None else {})
        open_places = [
            name for name, place in self.world.places.items() if place.holds and not self.is_ruled_out(thing, name)
        ]
        unnamed = [name for name in self.world.places if name not in usual]
        rest = max(1.0 - sum(usual.values()), 0.05) / max(len(unnamed), 1)
        weights = {name: usual.get(name, rest) for name in open_places}
        total = sum(weights.values())
        return tuple(sorted(((name, w / total) for name, w in weights.items()), key=lambda pair: (-pair[1], pair[0])))

    def fresh(self, now_s: float) -> Beliefs:
        """The same at the start of a task: nothing is contradicted yet; what was sought in vain may be there now."""
        marks = {
            fact: mark for fact, mark in self.marks.items() if not locates(fact) or self.state.count(fact[0], fact[2])
        }
        return replace(self, marks=marks, contradicted=0, hints={})

    def reconsidered(self, thing: str) -> Beliefs:
        """Where the robot has looked for `thing` in vain it may be after all."""
        gone = {
            fact for fact in self.marks if fact[0] == thing and len(fact) == 3 and self.is_ruled_out(thing, fact[2])
        }
        return replace(self, marks={fact: mark for fact, mark in self.marks.items() if fact not in gone})

    def hinted(self, where: Mapping[str, Mapping[str, float] | Iterable[tuple[str, float]]]) -> Beliefs:
        """With what a language model says of where things are (thing -> place -> share, or pairs of both); places that
        this world does not have are left out."""
        known = {
            thing: {
                place: share
                for place, share in dict(shares).items()
                if place in self.world.places and 0.0 < share <= 1.0
            }
            for thing, shares in where.items()
            if thing in self.world.things
        }
        return replace(self, hints={**self.hints, **{thing: shares for thing, shares in known.items() if shares}})

    def about(self, names: Iterable[str]) -> tuple[str, ...]:
        """What is believed about `names`, one short sentence each, for a language model and for people."""
        wanted = set(names)
        lines = []
        if self.state.at:
            lines.append(f"the robot is at {self.state.at}")
        lines.append(f"it holds {', '.join(self.state.held)}" if self.state.held else "its hand is empty")
        for thing, place, number in sorted(self.state.located):
            if thing in wanted or place in wanted:
                lines.append(f"{thing} is at {place}" + (f" ({number})" if number > 1 else ""))
        for fact in sorted(self.marks):
            if locates(fact) and fact[0] in wanted and self.is_ruled_out(fact[0], fact[2]):
                lines.append(f"{fact[0]} is not at {fact[2]}")
        for name in [*self.world.places, *self.world.doors]:
            if name in wanted and not self.world.is_open(name, self.state):
                lines.append(f"{name} is shut")
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """As a journal keeps it."""
        state = self.state
        return {
            "at": state.at,
            "room": state.room,
            "held": list(state.held),
            "located": [list(each) for each in sorted(state.located)],
            "flags": [list(each) for each in sorted(state.flags)],
            "marks": [[list(fact), mark.confidence, mark.since_s] for fact, mark in sorted(self.marks.items())],
            "contradicted": self.contradicted,
            "hints": {thing: dict(shares) for thing, shares in sorted(self.hints.items())},
            "doubts": [[*key, *sorted(maybe)] for key, maybe in sorted(self.doubts.items())],
        }

    @classmethod
    def from_json(cls, world: World, value: Any) -> Beliefs:
        """The inverse of `to_json`. Raises: ValueError, KeyError or TypeError where it is none."""
        state = State(
            str(value["at"]),
            str(value["room"]),
            tuple(map(str, value["held"])),
            frozenset((str(thing), str(place), int(n)) for thing, place, n in value["located"]),
            frozenset(tuple(map(str, fact)) for fact in value["flags"]),
        )
        marks = {
            tuple(map(str, fact)): Mark(float(confidence), float(since_s))
            for fact, confidence, since_s in value["marks"]
        }
        if not all((*state.flags, *marks)):
            raise ValueError("a fact without words is none")
        hints = {str(t): {str(p): float(n) for p, n in shares.items()} for t, shares in value["hints"].items()}
        doubts = {(str(t), str(p)): frozenset(map(str, maybe)) for t, p, *maybe in value.get("doubts", ())}
        return cls(world, state, marks, int(value["contradicted"]), hints, doubts)
