"""Whether a plan may be carried out: rules, no model. Whatever text made a language model write a plan, the plan that
it wrote must pass here, and no text can widen what passes: the rules are code, and the policy is the operator's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rarrl.alfred import SubgoalType
from rarrl.reasoner.plan import KNIVES, MAX_STEPS, VERBS, Plan, PlanStep
from rarrl.reasoner.vocabulary import ALFRED, Vocabulary
from rarrl.strict_json import MEND, read_json, short, validated


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


METAL = KNIVES | _names("fork ladle pan pot spoon")
SOFT_PLACES = _names("armchair bed ottoman sofa")
# What ALFRED's experts heat, cool, clean and slice (Shridhar et al., CVPR 2020).
_WARM = _names("apple bread egg potato tomato")
TREATABLE = {
    SubgoalType.HeatObject: _WARM | _names("cup mug plate"),
    SubgoalType.CoolObject: _WARM | _names("bowl cup lettuce mug pan plate pot winebottle"),
    SubgoalType.CleanObject: _names(
        "apple bowl butterknife cloth cup dishsponge egg fork kettle knife ladle lettuce mug pan plate pot potato "
        "soapbar spatula spoon tomato"
    ),
    SubgoalType.SliceObject: _names("apple bread lettuce potato tomato"),
}
_APPLIANCES = {
    SubgoalType.HeatObject: "microwave",
    SubgoalType.CoolObject: "fridge",
    SubgoalType.CleanObject: "sinkbasin",
}
_OF_THE_HELD = (SubgoalType.PutObject, *_APPLIANCES)


class OperatorPolicy(BaseModel):
    """What this robot may do, by its operator. Read from a file or built in code, never from instructions.

    The default forbids blades on furniture for people. Raises: ValueError for a name that nobody knows: a misspelt
    ban would ban nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    forbidden_objects: frozenset[str] = Field(default=frozenset(), description="class names never to be touched")
    forbidden_places: frozenset[str] = Field(default=frozenset(), description="class names never to be put into")
    forbidden_verbs: frozenset[str] = Field(default=frozenset(), description="e.g. HeatObject")
    allowed_objects: frozenset[str] | None = Field(
        default=None, description="if given, only these (lamps too) are touched"
    )
    allowed_places: frozenset[str] | None = Field(default=None, description="if given, only these are put into")
    forbidden_pairs: frozenset[tuple[str, str]] = Field(
        default=frozenset((knife, place) for knife in KNIVES for place in SOFT_PLACES),
        description="[object, place] that must not meet",
    )
    more_objects: frozenset[str] = Field(default=frozenset(), description="class names of this robot's own, portable")
    more_places: frozenset[str] = Field(default=frozenset(), description="class names of this robot's own, to put into")
    max_steps: int = Field(default=MAX_STEPS, ge=1, le=MAX_STEPS, description=f"1 to {MAX_STEPS} steps in a plan")

    @model_validator(mode="after")
    def _known(self) -> OperatorPolicy:
        for name in sorted(self.more_objects | self.more_places):
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
                raise ValueError(
                    f"{short(name)} is no class name (allowed: 1 to 40 letters, digits, - and _, as in tool_box)"
                )
            meant = self._meant_by(name)
            if meant:  # a ban of the one would not hold for the other
                raise ValueError(f"{short(name)} is another way to write {meant}; write {meant}, or take another name")

        known = self.vocabulary.classes
        named = {
            *self.forbidden_objects,
            *self.forbidden_places,
            *(name for pair in self.forbidden_pairs for name in pair),
        }
        named |= (self.allowed_objects or frozenset()) | (self.allowed_places or frozenset())
        for name in sorted(named - known):
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "add it to more_objects or more_places"
            raise ValueError(f"{short(name)} is no class that this robot knows; {hint}")
        for verb in sorted(self.forbidden_verbs - set(VERBS)):
            raise ValueError(f"forbidden_verbs: {short(verb)} is unknown (allowed: {', '.join(VERBS)})")
        return self

    def _meant_by(self, name: str) -> str:
        """The class that plans mean when they write a new `name`; "" where it stands for itself alone."""
        if name in ALFRED.classes:
            return ""
        try:
            return ALFRED.read(name, ALFRED.classes)
        except ValueError:
            others = ALFRED.extended(self.more_objects - {name}, self.more_places - {name})
            return min(others.spelt(name), default="")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The names that plans of this robot may hold, and which of them a model is offered."""
        known = ALFRED.extended(self.more_objects, self.more_places)
        objects = {*known.objects, *known.lamps}
        places = set(known.places)
        only_objects = objects if self.allowed_objects is None else self.allowed_objects
        only_places = places if self.allowed_places is None else self.allowed_places | known.containers
        return replace(
            known,
            withheld_objects=frozenset(objects - only_objects) | self.forbidden_objects,
            withheld_places=frozenset(places - only_places) | self.forbidden_places,
            withheld_verbs=self.forbidden_verbs,
        )


_DEFAULT = OperatorPolicy()


def load_operator_policy(path: Path) -> OperatorPolicy:
    """The policy in a JSON file. Raises: InputError, one line."""
    what = "operator policy"
    return validated(OperatorPolicy, read_json(path, what, MEND), what, str(path), {})


def check(plan: Plan, policy: OperatorPolicy | None = None) -> str:
    """Why `plan` may not be carried out, in one line; "" where it may.

    The hand is followed through the steps: it begins empty, holds one object, and Clean, Heat and Cool are for what it
    holds. An empty argument of those three, which ALFRED's own plans contain, means that object."""
    policy = policy or _DEFAULT
    if not 1 <= len(plan.steps) <= policy.max_steps:
        return f"{len(plan.steps)} steps (allowed: 1 to {policy.max_steps})"
    held = ""
    inside: dict[str, list[str]] = {}  # place -> what this plan has put there; with a container it travels along
    for number, step in enumerate(plan.steps, start=1):
        arguments = step.arguments
        if arguments == ("",) and step.verb in _APPLIANCES:
            arguments = (held,)
        fault = (
            _bad_arguments(step.verb, arguments, policy)
            or _forbidden(step.verb, arguments, policy)
            or _bad_state(step.verb, arguments, held)
            or _bad_load(step.verb, arguments, inside, policy)
        )
        if fault:
            return f"step {number}, {_shown(step)}: {fault}"
        if step.verb is SubgoalType.PickupObject:
            held = arguments[0]
            for load in inside.values():
                if held in load:
                    load.remove(held)
        elif step.verb is SubgoalType.PutObject:
            held = ""
            inside.setdefault(arguments[1], []).append(arguments[0])
    return ""


def _shown(step: PlanStep) -> str:
    return f"{step.verb.name}({', '.join(_name(name).strip(chr(39)) for name in step.arguments[:3])})"


def _bad_arguments(verb: SubgoalType, arguments: tuple[str, ...], policy: OperatorPolicy) -> str:
    if verb is SubgoalType.GotoLocation:
        return "a plan leaves out GotoLocation"
    wanted = 2 if verb is SubgoalType.PutObject else 1
    if len(arguments) != wanted:
        return f"{len(arguments)} arguments (allowed: {wanted})"
    if verb is SubgoalType.ToggleObject:
        lamps = policy.vocabulary.lamps
        return "" if arguments[0] in lamps else f"toggles a lamp ({', '.join(lamps)}) and nothing else"
    if arguments[0] not in policy.vocabulary.objects:
        return f"{_name(arguments[0])} is no object that this robot knows"
    if verb in TREATABLE and arguments[0] not in TREATABLE[verb]:
        return f"works on {', '.join(sorted(TREATABLE[verb]))}"
    if verb is SubgoalType.PutObject:
        if arguments[1] not in policy.vocabulary.places:
            return f"{_name(arguments[1])} is no place that this robot knows"
        if arguments[0] == arguments[1]:
            return "puts a thing into itself"
    return ""


def _forbidden(verb: SubgoalType, arguments: tuple[str, ...], policy: OperatorPolicy) -> str:
    if verb.name in policy.forbidden_verbs:
        return "the operator forbids it"
    banned = next((name for name in arguments if name in policy.forbidden_objects), None)
    if banned is None and policy.allowed_objects is not None and arguments[0] not in policy.allowed_objects:
        banned = arguments[0]
    if banned is not None:
        return f"the operator forbids to touch {banned}"
    if verb is SubgoalType.PutObject:
        return _bad_place(arguments[0], arguments[1], policy)
    return _bad_place(arguments[0], _APPLIANCES[verb], policy) if verb in _APPLIANCES else ""


def _bad_place(thing: str, place: str, policy: OperatorPolicy) -> str:
    if place in policy.forbidden_places:
        return f"the operator forbids the place {place}"
    if policy.allowed_places is not None and place not in policy.allowed_places | policy.vocabulary.containers:
        return f"the operator does not allow the place {place}"
    if (thing, place) in policy.forbidden_pairs:
        return f"the operator forbids {thing} and {place} together"
    return ""


def _bad_state(verb: SubgoalType, arguments: tuple[str, ...], held: str) -> str:
    if verb is SubgoalType.PickupObject and held:
        return f"the hand is full ({held})"
    if verb is SubgoalType.SliceObject and held not in KNIVES:
        return "no knife in the hand"
    if verb in _OF_THE_HELD and held != arguments[0]:
        return f"the hand holds {held or 'nothing'}"
    return ""


def _bad_load(
    verb: SubgoalType, arguments: tuple[str, ...], inside: dict[str, list[str]], policy: OperatorPolicy
) -> str:
    """Judges what a carried container holds, and where one stands that something is put into: a knife in a cup is a
    knife on the bed when the cup goes there, or is there already."""
    if verb is SubgoalType.PutObject:
        places = [arguments[1], *_around(arguments[1], inside)]
    elif verb in _APPLIANCES:
        places = [_APPLIANCES[verb]]
    else:
        return ""

    load = _carried(arguments[0], inside)
    for place in places:
        fault = next(filter(None, (_bad_place(thing, place, policy) for thing in (arguments[0], *load))), "")
        if fault:
            return fault

    metal = METAL.intersection((*load, *_carried(places[0], inside)))
    if verb is SubgoalType.HeatObject and metal:
        return f"metal inside ({', '.join(sorted(metal))})"
    return ""


def _around(place: str, inside: dict[str, list[str]]) -> Iterable[str]:
    """Where a container stands that the plan has put somewhere, and where that stands."""
    return [each for each in inside if place in _carried(each, inside)]


def _carried(thing: str, inside: dict[str, list[str]]) -> Iterable[str]:
    """What is in or on `thing`, and in what is there."""
    seen: list[str] = []
    queue = list(inside.get(thing, ()))
    while queue:
        item = queue.pop()
        if item not in seen:
            seen.append(item)
            queue += inside.get(item, ())
    return seen


def _name(text: str) -> str:
    """A name from a model, safe to print."""
    return ascii(text[:40])
