"""Whether a plan may be carried out: rules, no model.

Whatever text made a language model write a plan, the plan must pass here, and no text can widen what passes: the rules
follow from the robot's two files, and the policy is the operator's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rarrl.plugins import did_you_mean
from rarrl.skills.facts import Condition, State, locates
from rarrl.skills.plan import Plan, Step
from rarrl.skills.skill_set import Parameter
from rarrl.strict_json import short

if TYPE_CHECKING:
    from rarrl.skills.domain import Domain

_LISTED = 160
"""Characters of a list of allowed names in a message."""


def check(plan: Plan, domain: Domain) -> str:
    """Why `plan` may not be carried out, in one line that a model can mend it by; "" where it may.

    What steps give is followed from what holds at the start, so that a knife in a cup is a knife on the bed when the
    cup goes there, or is there already. A plan of a `strict` robot must also meet what its steps need."""
    if not 1 <= len(plan.steps) <= domain.max_steps:
        return f"{len(plan.steps)} steps (allowed: 1 to {domain.max_steps})"

    state = domain.world.start_state()
    for number, step in enumerate(plan.steps, start=1):
        fault = _left_out(step, domain) or check_step(step, domain)
        fault = fault or _unmet(step, domain, state) or _meetings(step, domain, state)
        if fault:
            return f"step {number}, {_shown(step)}: {fault}"
        state = _after(step, domain, state)
    return ""


def check_step(step: Step, domain: Domain) -> str:
    """Why a step may not be carried out, whatever comes before it; "" where it may."""
    fault = misfit(step, domain)
    if fault:
        return fault
    for value, (name, parameter) in zip(step.arguments, domain.skill(step).parameters.items(), strict=True):
        fault = _bad_value(value, parameter, domain)
        if fault:
            return f"{name}: {fault}"

    things, places = domain.roles(step)
    twice = next((name for name in things if name in places), None)
    if twice is not None:
        return f"{twice} into itself"
    if step.skill in domain.policy.forbidden_skills:
        return "the operator forbids it"
    barred = next((name for name in step.arguments if name in domain.policy.forbidden_things), None)
    faults = (domain.barred_thing(name) for name in things)
    return (
        (domain.barred_thing(barred) if barred is not None else "")
        or next(filter(None, faults), "")
        or _meeting(things, places, domain)
    )


def check_now(step: Step, domain: Domain, state: State) -> str:
    """Why a step may not be carried out in `state`, such as with a knife in the cup that goes to the bed; "" where it
    may."""
    return check_step(step, domain) or _meetings(step, domain, state)


def misfit(step: Step, domain: Domain) -> str:
    """Why a step is none of this robot's, whatever its arguments are; "" where it is one."""
    skill = domain.skills.skills.get(step.skill)
    if skill is None:
        return f"{short(step.skill)} is no skill {_allowed(domain.skills.skills, step.skill)}"
    if len(step.arguments) != len(skill.parameters):
        wanted = ", ".join(skill.parameters) or "none"
        return f"{len(step.arguments)} arguments (allowed: {len(skill.parameters)}: {wanted})"
    return ""


def _left_out(step: Step, domain: Domain) -> str:
    skill = domain.skills.skills.get(step.skill)
    if skill is None or skill.in_plans:
        return ""
    return f"a plan leaves out {step.skill}; the robot adds it by itself"


def _bad_value(value: str, parameter: Parameter, domain: Domain) -> str:
    allowed = domain.values(parameter)
    if not allowed and parameter.kinds == ("text",):
        return "" if 0 < len(value) <= 200 else "a text of 1 to 200 characters is allowed"
    if not allowed and "number" in parameter.kinds:
        try:
            number = float(value)
        except ValueError:
            return f"{short(value)} is no number"
        if not math.isfinite(number):
            return f"{short(value)} is no finite number"
        inside = parameter.minimum <= number <= parameter.maximum
        return (
            "" if inside else f"{short(value)} is not allowed (allowed: {parameter.minimum:g} to {parameter.maximum:g})"
        )
    if value in allowed:
        return ""
    if value in domain.world.named and parameter.kinds:
        return f"{value} is not among {' or '.join(parameter.kinds)} {_allowed(allowed)}"
    return f"{short(value)} is unknown {_allowed(allowed, value)}"


def _allowed(names: Iterable[str], meant: str = "") -> str:
    names = list(names)
    listed = ", ".join(names)
    listed = listed if len(listed) <= _LISTED else f"{listed[:_LISTED].rpartition(',')[0]}, ..."
    return f"(allowed: {listed}){did_you_mean(meant[:80], names) if meant else ''}"


def _unmet(step: Step, domain: Domain, state: State) -> str:
    """What a step of a strict robot's plan needs and does not have."""
    if not domain.skills.strict:
        return ""
    arguments = domain.arguments(step)
    for condition in domain.skill(step).conditions:
        need = condition.filled(arguments)
        if sort_of(need) not in domain.seen_to and not domain.world.holds(need, state):
            return _in_words(need, domain, state)
    return ""


def sort_of(fact: Condition) -> str:
    """What sort of fact it is: `at` where the robot is, `_ at` where a thing is, else its first word."""
    return "_ at" if locates(fact.words) else fact.words[0]


def _in_words(need: Condition, domain: Domain, state: State) -> str:
    words = need.words
    held = ", ".join(state.held) or "nothing"
    if words == ("hand_empty",):
        return f"the hand is full ({held})"
    if words[0] == "holding" and not need.negated:
        members = domain.world.members(words[1])
        one_of = f"none of {words[1][1:-1]} ({', '.join(members)})" if words[1].startswith("<") else f"not {words[1]}"
        return f"the hand holds {held}, {one_of}"
    if need.negated and sort_of(need) == "_ at":
        inside = state.within(words[2])
        found = [name for name in domain.world.members(words[0]) if name in inside]
        return f"{words[0].strip('<>')} inside {words[2]} ({', '.join(found)})"
    return f"`{need}` does not hold"


def _meetings(step: Step, domain: Domain, state: State) -> str:
    """Judges what a carried thing holds, and where a thing stands that something is put into."""
    things, places = domain.roles(step)
    carried = [load for thing in things for load in state.within(thing)]
    beneath = [each for place in places for each in state.around(place)]
    return _meeting([*things, *carried], [*places, *beneath], domain) if carried or beneath else ""


def _meeting(things: Sequence[str], places: Sequence[str], domain: Domain) -> str:
    for place in places:
        fault = domain.barred_place(place)
        if fault:
            return fault
        for thing in things:
            if (thing, place) in domain.pairs:
                return f"the operator forbids {thing} and {place} together"
    return ""


def _after(step: Step, domain: Domain, state: State) -> State:
    """What holds after a step, as far as its skill says."""
    arguments = domain.arguments(step)
    for effect in domain.skill(step).effects:
        fact = effect.filled(arguments)
        if fact.words[0] == "holding" and not fact.negated and not state.at:
            for place in state.places_of(fact.words[1]):  # from which of them is not known
                state = state.counted(fact.words[1], place, state.count(fact.words[1], place) - 1)
        state = state.with_fact(fact.words, fact.negated)
    return state


def _shown(step: Step) -> str:
    """A step from a model, safe to print."""
    skill, *arguments = (ascii(name[:40])[1:-1][:40] for name in (step.skill, *step.arguments[:3]))
    return f"{skill}({', '.join(arguments)})"
