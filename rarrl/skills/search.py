"""The free planner: what prepares a step, by needs and gives alone, from what the robot believes. No language model.

`prepare` answers one question: what is to be done before this step can be tried? It searches over what skills give,
for the fewest expected seconds (A* with the additive heuristic of Bonet and Geffner, Planning as heuristic search,
Artificial Intelligence 129, 2001). Where the place of a thing is not known, it goes and looks where the thing most
likely is, weighed against the way.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, islice, product

from rarrl.skills.beliefs import Beliefs
from rarrl.skills.domain import Domain
from rarrl.skills.facts import Condition, State, locates
from rarrl.skills.plan import Plan, Step
from rarrl.skills.skill_set import Skill

INFINITE = float("inf")
EFFORTS = ((1.0, 150), (4.0, 2_000))
"""(weight of the heuristic, states looked at) of the searches that are tried in turn. 150 states take a tenth of a
second in Python; with weight 4, a home of 7 places and 8 shut doors takes some dozens."""
MAX_GROUNDED = 5_000
"""Steps that one search considers."""
MAX_TRIED = 50_000
"""Steps that are looked at for those that the operator allows: about a second."""
MAX_SOLVED = 2_000
"""Solved problems that are kept: what prepares a row is asked again after every outcome, and for the report before."""
_HAND_EMPTY = ("", "hand_empty")
_OF_THE_ROBOT = ("at", "holding", "hand_empty", "open")
"""Facts that say nothing about what a thing has become."""


@dataclass(frozen=True)
class Preparation:
    """steps: to be done now, in order; the step itself is the last one unless `looks_for` says what is looked for
    first. fault: why there is no way, "" where there is."""

    steps: tuple[Step, ...] = ()
    looks_for: str = ""
    fault: str = ""


@dataclass(frozen=True, eq=False)
class _Deed:
    """A step with its needs and effects filled in. aims: what its effects bring about, with their negation before
    them; what is put somewhere, or no longer held, leaves a hand empty. seconds: until it succeeds, without the way.
    moves: it brings the robot to a place and does nothing else."""

    step: Step
    conditions: tuple[Condition, ...]
    effects: tuple[Condition, ...]
    aims: frozenset[tuple[str, ...]]
    seconds: float
    moves: bool


@dataclass(frozen=True)
class _Problem:
    """goal: what must hold. deeds: what can help. sought: a thing whose place must be known first; "" where none.

    needs: the goal and what the deeds need, each once; `goal` and `conditions`, for each deed, count in it."""

    needs: tuple[Condition, ...]
    goal: tuple[int, ...]
    deeds: tuple[_Deed, ...]
    conditions: tuple[tuple[int, ...], ...]
    sought: str

    @classmethod
    def of(cls, goal: tuple[Condition, ...], deeds: tuple[_Deed, ...], sought: str) -> _Problem:
        """With its needs counted."""
        rows: dict[Condition, int] = {}
        counted = [
            tuple(rows.setdefault(need, len(rows)) for need in needs)
            for needs in (goal, *(deed.conditions for deed in deeds))
        ]
        return cls(tuple(rows), counted[0], deeds, tuple(counted[1:]), sought)


class Search:
    """Finds what prepares steps.

    Args:
        domain: skills and world.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self._world = domain.world
        self._skills = domain.skills.skills
        self._deeds = [self._deed(step) for step in self._ground()]
        self._giving: dict[tuple[str, ...], list[_Deed]] = {}  # aim -> the deeds that bring it about
        for deed in self._deeds:
            for aim in deed.aims:
                self._giving.setdefault(aim, []).append(deed)
        self._looks = [deed.step for deed in self._deeds if self._skills[deed.step.skill].observes is not None]
        self._emptying: dict[str, list[_Deed]] = {}  # what is held -> the deeds that empty the hand of it
        for deed in self._giving.get(_HAND_EMPTY, ()):
            for held in {condition.words[-1] for condition in deed.conditions}:
                self._emptying.setdefault(held, []).append(deed)
        self._posed = lru_cache(MAX_SOLVED)(self._problem)
        self._solved = lru_cache(MAX_SOLVED)(self._solve)

    def prepare(
        self,
        step: Step,
        beliefs: Beliefs,
        barred: frozenset[Step] = frozenset(),
        kept: frozenset[tuple[str, str]] = frozenset(),
    ) -> Preparation:
        """What is to be done for `step`, from `beliefs`.

        barred: steps that must not be used, because they were refused or have no way for the moment. kept: (thing,
        place) of what stays where it is: see `ends_of`."""
        skill = self.domain.skill(step)
        if not skill.conditions:
            return Preparation((step,))
        needs = tuple(condition.filled(self.domain.arguments(step)) for condition in skill.conditions)

        state = beliefs.state
        for thing, place in kept:
            state = state.counted(thing, place, 0)
        sought = self._posed(needs, state, barred).sought
        if sought:
            return self._look_for(sought, beliefs, barred, kept)
        found = self.reach(needs, state, barred)
        if found is not None:
            return Preparation((*found, step))

        missing = [str(need) for need in needs if not self.holds(need, beliefs.state)]
        return Preparation(fault=f"no way to {' and '.join(missing) or 'do it'} is known")

    def ends_of(self, plan: Plan, done: Collection[Step] = ()) -> frozenset[tuple[str, str]]:
        """Where a plan puts things: what is there already must not be taken away again to be put there.

        A thing that the plan changes first, such as cleans, may be taken from there until it was put there: `done`."""
        found: set[tuple[str, str]] = set()
        changed: set[str] = set()
        for step in plan.steps:
            effects = [c.filled(self.domain.arguments(step)) for c in self.domain.skill(step).effects if not c.negated]
            for words in (effect.words for effect in effects):
                if locates(words) and (words[0] not in changed or step in done):
                    found.add((words[0], words[2]))
                elif not locates(words) and words[0] not in _OF_THE_ROBOT:
                    changed.update(words[1:])
        return frozenset(found)

    def holds(self, need: Condition, state: State) -> bool:
        """Whether a filled condition holds."""
        return self._world.holds(need, state)

    def go_to(self, place: str, state: State, barred: frozenset[Step] = frozenset()) -> tuple[Step, ...] | None:
        """Steps that bring the robot to a place; None where there are none."""
        return self.reach((Condition(("at", place)),), state, barred)

    def look_here(self, state: State) -> Step | None:
        """A look at the place where the robot stands; None where no skill can."""
        steps = self.look_at(state.at, state, frozenset()) if state.at in self._world.places else None
        return steps[0] if steps is not None and len(steps) == 1 else None

    def doors_to(self, names: tuple[str, ...], state: State) -> tuple[str, ...]:
        """The doors, believed to be open, on the shortest way from the robot's room to one of `names`."""
        ends: set[str] = set()
        for name in names:
            door = self._world.doors.get(name)
            ends |= set(door.between) if door is not None else {self._world.room_of(name)}
        queue: list[tuple[str, tuple[str, ...]]] = [(state.room, ())]
        seen = {state.room}
        for room, way in queue:
            if room in ends:
                return way
            for name, door in self._world.doors.items():
                if room in door.between and ("open", name) in state.flags:
                    other = door.beyond(room)
                    if other not in seen:
                        seen.add(other)
                        queue.append((other, (*way, name)))
        return ()

    def reach(
        self, needs: tuple[Condition, ...], state: State, barred: frozenset[Step] = frozenset()
    ) -> tuple[Step, ...] | None:
        """Steps after which all `needs` hold, of few expected seconds; None where there are none."""
        return self._solved(needs, state, barred)

    def _solve(self, needs: tuple[Condition, ...], state: State, barred: frozenset[Step]) -> tuple[Step, ...] | None:
        """Tries for the cheapest steps first, and if that takes too many states, for any."""
        problem = self._posed(needs, state, barred)
        for weight, states in EFFORTS:
            found = self._searched(problem, state, weight, states)
            if found is not None:
                return found
        return None

    def _searched(self, problem: _Problem, state: State, weight: float, states: int) -> tuple[Step, ...] | None:
        order = count()
        queue: list[tuple[float, int, float, State, tuple[_Deed, ...]]] = [(0.0, next(order), 0.0, state, ())]
        best = {state: 0.0}
        for _ in range(states):
            if not queue:
                return None
            _, _, cost, here, deeds = heapq.heappop(queue)
            if cost > best[here]:
                continue
            holds = [self.holds(need, here) for need in problem.needs]
            if all(holds[row] for row in problem.goal):
                return tuple(deed.step for deed in deeds)
            left = self._relaxed(problem, here, holds)
            if left == INFINITE:
                continue

            moved = bool(deeds) and deeds[-1].moves
            for deed, conditions in zip(problem.deeds, problem.conditions, strict=True):
                if (moved and deed.moves) or not all(holds[row] for row in conditions):
                    continue
                after = self.apply(deed.effects, here)
                price = cost + self.seconds(deed.step, here)
                if price < best.get(after, INFINITE):
                    best[after] = price
                    heapq.heappush(queue, (price + weight * left, next(order), price, after, (*deeds, deed)))
        return None

    def _relaxed(self, problem: _Problem, state: State, holds: list[bool]) -> float:
        """Seconds to the goal if nothing that was given were ever taken away, each need on its own; INFINITE where
        there is no way even then."""
        costs: dict[tuple[str, ...], float] = {}
        aims = [() if now else tuple(self._aims(need, state)) for need, now in zip(problem.needs, holds, strict=True)]
        prices = [0.0] * len(problem.needs)

        for _ in range(2 * len(problem.deeds) + 2):
            rooms = self._room_costs(state, costs)
            for row, need in enumerate(problem.needs):
                if holds[row]:
                    continue
                if need.words[0] == "reachable":
                    prices[row] = min(
                        (self._way_in(target, rooms) for target in state.meant(need.words[1])), default=INFINITE
                    )
                else:
                    prices[row] = min((costs.get(aim, INFINITE) for aim in aims[row]), default=INFINITE)

            changed = False
            for deed, conditions in zip(problem.deeds, problem.conditions, strict=True):
                price = deed.seconds
                for row in conditions:
                    price += prices[row]
                if price == INFINITE:
                    continue
                for aim in deed.aims:
                    if price < costs.get(aim, INFINITE):
                        costs[aim] = price
                        changed = True
            if not changed:
                break
        return sum(prices[row] for row in problem.goal)

    def _way_in(self, name: str, rooms: dict[str, float]) -> float:
        door = self._world.doors.get(name)
        if door is not None:
            return min(rooms.get(room, INFINITE) for room in door.between)
        return rooms.get(name if name in self._world.rooms else self._world.room_of(name), INFINITE)

    def _room_costs(self, state: State, costs: dict[tuple[str, ...], float]) -> dict[str, float]:
        """Room -> seconds of opening the doors on the way to it."""
        rooms = {state.room: 0.0} if state.room else dict.fromkeys(self._world.rooms, 0.0)
        queue = [(0.0, room) for room in rooms]
        while queue:
            cost, room = heapq.heappop(queue)
            if cost > rooms[room]:
                continue
            for name, door in self._world.doors.items():
                if room in door.between:
                    other = door.beyond(room)
                    shut = 0.0 if ("open", name) in state.flags else costs.get(("", "open", name), INFINITE)
                    if cost + shut < rooms.get(other, INFINITE):
                        rooms[other] = cost + shut
                        heapq.heappush(queue, (cost + shut, other))
        return rooms

    def apply(self, effects: tuple[Condition, ...], state: State) -> State:
        """The state after `effects`, filled."""
        for effect in effects:
            before = state
            state = state.with_fact(effect.words, effect.negated)
            if effect.words[0] == "at" and len(effect.words) == 2:
                state = replace(state, room=self._world.room_at(effect.words[1], before))
        return state

    def seconds(self, step: Step, state: State) -> float:
        """Expected seconds of a step until it succeeds, with the way there."""
        skill = self._skills[step.skill]
        way = 0.0
        if skill.speed_mps and step.arguments:
            way = self._world.distance_m(state.at or state.room, step.arguments[0]) / skill.speed_mps
        return (skill.expected_s + way) / skill.prior.success

    # Looking for things

    def _look_for(
        self, thing: str, beliefs: Beliefs, barred: frozenset[Step], kept: frozenset[tuple[str, str]]
    ) -> Preparation:
        """The way to the place that is worth most: likely, near, or both."""
        best: tuple[float, tuple[Step, ...]] | None = None
        for place, share in beliefs.likely_places(thing):
            if (thing, place) in kept:
                continue
            steps = self.look_at(place, beliefs.state, barred)
            if steps is None:
                continue
            price = sum(self._prices(steps, beliefs.state)) / max(share, 1e-6)
            if best is None or price < best[0]:
                best = price, steps
        if best is None:
            return Preparation(looks_for=thing, fault=f"{thing} was not found at any place that can be reached")
        return Preparation(best[1], looks_for=thing)

    def look_at(self, place: str, state: State, barred: frozenset[Step]) -> tuple[Step, ...] | None:
        """Steps that end with a look at `place`; None where there is no way or no skill that looks."""
        for step in self._looks:
            skill = self._skills[step.skill]
            if step in barred:
                continue
            here = (Condition(("at", place)),) if place not in step.arguments else ()
            if place not in step.arguments and any(p in self._world.places for p in step.arguments):
                continue
            shut = (Condition(("open", place)),) if self._world.places[place].opens else ()
            needs = tuple(c.filled(self.domain.arguments(step)) for c in skill.conditions)
            found = self.reach((*here, *shut, *needs), state, barred)
            if found is not None:
                return (*found, step)
        return None

    def can_look_at(self, place: str) -> bool:
        """Whether some skill looks at `place`, or where the robot stands."""
        return any(
            place in step.arguments or not any(p in self._world.places for p in step.arguments) for step in self._looks
        )

    def _prices(self, steps: tuple[Step, ...], state: State) -> Iterator[float]:
        for step in steps:
            yield self.seconds(step, state)
            effects = tuple(c.filled(self.domain.arguments(step)) for c in self._skills[step.skill].effects)
            state = self.apply(effects, state)

    # Grounding

    def _ground(self) -> Iterator[Step]:
        """All steps with arguments out of the world; those with numbers or texts are for people and models alone. Of
        more than MAX_GROUNDED those of skills with few come first: driving and looking are needed for all others."""
        sized: list[tuple[int, str, list[tuple[str, ...]]]] = []
        for name, skill in self._skills.items():
            domains = [self.domain.values(parameter) for parameter in skill.parameters.values()]
            if all(domains) and name not in self.domain.policy.forbidden_skills:
                sized.append((math.prod(map(len, domains)), name, domains))
        if sum(size for size, _, _ in sized) > MAX_GROUNDED:
            sized.sort(key=lambda each: each[0])

        steps = (Step(name, arguments) for _, name, domains in sized for arguments in product(*domains))
        allowed = (step for step in islice(steps, MAX_TRIED) if not self.domain.check_step(step))
        return islice(allowed, MAX_GROUNDED)

    def _problem(self, needs: tuple[Condition, ...], state: State, barred: frozenset[Step]) -> _Problem:
        """What is needed, and the steps that give something of it, or that such steps need in turn: others cannot
        help. A hand is emptied by what puts down what it holds now."""
        wanted: set[tuple[str, ...]] = set()
        queue = list(needs)
        chosen: dict[_Deed, None] = {}
        sought = ""
        while queue:
            need = queue.pop()
            thing = need.thing_sought
            if thing and thing not in state.held and not state.places_of(thing):
                sought = thing
            for aim in self._aims(need, state):
                if aim in wanted:
                    continue
                wanted.add(aim)
                for deed in self._givers(aim, state):
                    if deed not in chosen and deed.step not in barred:
                        chosen[deed] = None
                        queue += deed.conditions
        return _Problem.of(needs, tuple(chosen), sought)

    def _givers(self, aim: tuple[str, ...], state: State) -> Iterable[_Deed]:
        """The deeds that bring `aim` about, in the order of the file."""
        if aim != _HAND_EMPTY:
            return self._giving.get(aim, ())
        found = {deed for held in state.held for deed in self._emptying.get(held, ())}
        return found if len(found) < 2 else [deed for deed in self._giving[aim] if deed in found]

    def _deed(self, step: Step) -> _Deed:
        skill: Skill = self._skills[step.skill]
        arguments = self.domain.arguments(step)
        effects = tuple(c.filled(arguments) for c in skill.effects)
        aims = {(("not" if effect.negated else ""), *effect.words) for effect in effects}
        if any(_empties(effect) for effect in effects):
            aims.add(_HAND_EMPTY)
        return _Deed(
            step,
            tuple(c.filled(arguments) for c in skill.conditions),
            effects,
            frozenset(aims),
            skill.expected_s / skill.prior.success,
            bool(effects) and all(effect.words[0] == "at" and len(effect.words) == 2 for effect in effects),
        )

    def _aims(self, need: Condition, state: State) -> Iterator[tuple[str, ...]]:
        """The facts, with their negation before them, that make `need` hold."""
        sign = ("not",) if need.negated else ("",)
        words = need.words
        if words[0] == "reachable":
            for door in self._world.doors:
                if not self._world.is_open(door, state):
                    yield ("", "open", door)
            return
        if words == ("hand_empty",):
            yield _HAND_EMPTY
            return
        for at, word in enumerate(words):
            if word.startswith("{"):
                for place in state.places_of(word[1:-7]):
                    yield (*sign, *words[:at], place, *words[at + 1 :])
                return
            if word.startswith("<"):
                for thing in self._world.members(word):
                    yield (*sign, *words[:at], thing, *words[at + 1 :])
                return
        yield (*sign, *words)


def _empties(effect: Condition) -> bool:
    """Whether a hand is empty after an effect."""
    if effect.negated:
        return effect.words[0] == "holding"
    return locates(effect.words)
