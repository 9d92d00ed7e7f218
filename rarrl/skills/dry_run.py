"""What a robot would do for a plan if all went well: no robot is needed."""

from __future__ import annotations

from dataclasses import dataclass

from rarrl.skills.beliefs import Beliefs
from rarrl.skills.domain import Domain
from rarrl.skills.plan import Plan, Step
from rarrl.skills.search import Search


@dataclass(frozen=True)
class DryStep:
    """One skill. row: of the plan, from 0. seconds: expected, with failures. looks_for: what is taken to be found."""

    row: int
    step: Step
    seconds: float
    looks_for: str = ""


@dataclass(frozen=True)
class DryRun:
    """steps: in order. fault: why there is no way on from there; "" where the plan is done. places: thing that has to
    be looked for -> where it may be, the likeliest first."""

    steps: tuple[DryStep, ...]
    fault: str
    places: dict[str, tuple[tuple[str, float], ...]]


def dry_run(domain: Domain, plan: Plan, beliefs: Beliefs | None = None) -> DryRun:
    """What prepares and carries out `plan`, from `beliefs` (None: what world.yaml says), if each skill does what the
    file says, and things are found where they are looked for first."""
    search = Search(domain)
    beliefs = beliefs or Beliefs.at_start(domain.world)
    kept = search.ends_of(plan)
    steps: list[DryStep] = []
    places: dict[str, tuple[tuple[str, float], ...]] = {}

    for row, wanted in enumerate(plan.steps):
        found = search.prepare(wanted, beliefs, kept=kept)
        for _ in range(len(domain.world.things)):  # each look finds one
            if found.fault or not found.looks_for:
                break
            thing = found.looks_for
            places[thing] = beliefs.likely_places(thing)
            beliefs = _after(domain, search, found.steps, beliefs, row, steps, thing)
            beliefs = beliefs.sight(thing, beliefs.state.at, 0.0, 1.0)
            found = search.prepare(wanted, beliefs, kept=kept)
        if found.fault:
            return DryRun(tuple(steps), found.fault, places)
        beliefs = _after(domain, search, found.steps, beliefs, row, steps)
    return DryRun(tuple(steps), "", places)


def _after(
    domain: Domain,
    search: Search,
    added: tuple[Step, ...],
    beliefs: Beliefs,
    row: int,
    steps: list[DryStep],
    looks_for: str = "",
) -> Beliefs:
    """Adds to `steps`; returns what is believed after them."""
    for number, step in enumerate(added, start=1):
        last = looks_for if number == len(added) else ""
        steps.append(DryStep(row, step, search.seconds(step, beliefs.state), last))
        for effect in domain.skill(step).effects:
            fact = effect.filled(domain.arguments(step))
            beliefs = beliefs.give(fact.words, 0.0, 1.0, fact.negated)
    return beliefs
