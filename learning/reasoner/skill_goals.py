"""Whether a plan of a robot's skills brings about what was asked for, by needs and gives: no robot, no model.

The plan is carried out as the executive does it where nothing fails: what prepares each step is searched for
(`rarrl.skills.search`), and what it gives is applied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rarrl.skills.beliefs import Beliefs
from rarrl.skills.domain import Domain
from rarrl.skills.facts import Condition, State
from rarrl.skills.plan import Plan
from rarrl.skills.search import Search


@dataclass(frozen=True)
class Wanted:
    """What holds when a sentence is done: any of the lists of facts. () : the robot cannot do it."""

    facts: tuple[tuple[Condition, ...], ...]

    @classmethod
    def parse(cls, lists: Iterable[Sequence[str]]) -> Wanted:
        """Reads lists of facts such as "soda at desk". Raises: ValueError."""
        return cls(tuple(tuple(map(Condition.parse, each)) for each in lists))


class Outcomes:
    """Follows plans from one state of a domain.

    Args:
        domain: whose plans they are. at: thing -> where one is at the start; None: where it usually is. shut: places
        and doors that are not open at the start.
    """

    def __init__(self, domain: Domain, at: dict[str, str] | None = None, shut: Iterable[str] = ()) -> None:
        self.domain = domain
        self.start = start_beliefs(domain, at, shut)
        self._search = Search(domain)

    def end(self, plan: Plan) -> State | None:
        """The state after `plan`; None where a step cannot be prepared, or is no step of this robot."""
        beliefs = self.start
        if self.domain.check(plan):
            return None
        for step in plan.steps:
            prepared = self._search.prepare(step, beliefs)
            if prepared.fault or prepared.looks_for:
                return None
            for each in prepared.steps:
                skill = self.domain.skill(each)
                filled = tuple(effect.filled(self.domain.arguments(each)) for effect in skill.effects)
                beliefs = replace(beliefs, state=self._search.apply(filled, beliefs.state))
        return beliefs.state

    def does(self, plan: Plan, wanted: Wanted) -> bool:
        """Whether `plan` brings about what is wanted, and moves nothing else."""
        end = self.end(plan)
        return end is not None and any(self._holds(facts, end) for facts in wanted.facts)

    def same(self, plan: Plan, expert: Plan) -> bool:
        """Whether two plans end alike: the same things at the same places and in the hand, the same open and shut; the
        robot at the same place where the expert's plan ends with driving."""
        end, right = self.end(plan), self.end(expert)
        if end is None or right is None:
            return plan == expert
        at_matters = expert.steps[-1].skill in self._drives
        return (end.located, end.held, end.flags) == (right.located, right.held, right.flags) and (
            not at_matters or end.at == right.at
        )

    @property
    def _drives(self) -> set[str]:
        skills = self.domain.skills.skills.items()
        return {name for name, skill in skills if skill.effects and all(e.words[0] == "at" for e in skill.effects)}

    def _holds(self, facts: tuple[Condition, ...], end: State) -> bool:
        if not all(self._search.holds(fact, end) for fact in facts):
            return False
        spoken = {word for fact in facts for word in fact.words}
        before = {each for each in self.start.state.located if each[0] not in spoken}
        after = {each for each in end.located if each[0] not in spoken}
        return before == after and all(thing in spoken for thing in end.held)


def start_beliefs(domain: Domain, at: dict[str, str] | None = None, shut: Iterable[str] = ()) -> Beliefs:
    """Beliefs before a task: all things are somewhere; those that world.yaml does not place, where they usually are."""
    beliefs = Beliefs.at_start(domain.world)
    state = beliefs.state
    for name, thing in domain.world.things.items():
        place = (at or {}).get(name) or (max(thing.usual, key=lambda p: thing.usual[p]) if thing.usual else "")
        if place and not state.places_of(name):
            state = state.counted(name, place, 1)
    for name in shut:
        state = state.with_fact(("open", name), negated=True)
    return replace(beliefs, state=state)
