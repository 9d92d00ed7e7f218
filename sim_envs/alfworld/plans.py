"""Plans of ALFRED's robot as plans of this one in a home: classes of places become receptacles that are there."""

from __future__ import annotations

from rarrl.skills.domain import Domain
from rarrl.skills.plan import Plan, Step
from rarrl.strict_json import short

from .games import Game
from .robot import name_of
from .text import class_of

TREATMENTS = {
    "CleanObject": ("clean", "sinks"),
    "HeatObject": ("heat", "heaters"),
    "CoolObject": ("cool", "coolers"),
}
"""ALFRED's action -> this robot's skill, and the group of places where it is done."""
_OF_TASK = {
    "pick_clean_then_place_in_recep": "CleanObject",
    "pick_heat_then_place_in_recep": "HeatObject",
    "pick_cool_then_place_in_recep": "CoolObject",
}


def plan_for(plan: Plan, domain: Domain) -> Plan:
    """This robot's plan for one in ALFRED's words, such as PickupObject(mug); PutObject(mug, desk).

    Taking a thing is left out where a later row needs it in the hand: the robot sees to it.

    Raises: ValueError where this home has nothing for a row, or the robot cannot do it."""
    steps = []
    for number, step in enumerate(plan.steps):
        arguments = tuple(argument.lower() for argument in step.arguments)
        if step.skill in ("GotoLocation", "NoOp"):
            continue
        if step.skill == "PickupObject" and len(arguments) == 1:
            if not _is_used(plan.steps[number + 1 :], arguments[0]):
                steps.append(Step("take", arguments))
        elif step.skill == "PutObject" and len(arguments) == 2:
            steps.append(Step("put", (arguments[0], receptacle(arguments[1], domain))))
        elif step.skill in TREATMENTS and len(arguments) == 1:
            skill, group = TREATMENTS[step.skill]
            places = domain.world.groups.get(group, ())
            place = next((each for each in places if each in domain.world.places), "")
            if not place:
                raise ValueError(f"{step}: this home has nothing to {skill} with")
            steps.append(Step(skill, (arguments[0], place)))
        elif step.skill == "ToggleObject" and len(arguments) == 1:
            steps.append(Step("use", arguments))
        else:
            raise ValueError(f"{short(str(step))} is nothing that this robot does")
    return Plan(tuple(steps))


def _is_used(steps: tuple[Step, ...], thing: str) -> bool:
    """Whether one of `steps`, before another thing is taken, needs `thing` in the hand."""
    for step in steps:
        if step.skill == "PickupObject":
            return False
        if step.skill in ("PutObject", *TREATMENTS) and step.arguments[:1] and step.arguments[0].lower() == thing:
            return True
    return False


def receptacle(kind: str, domain: Domain) -> str:
    """The first receptacle of a class in a home. Raises: ValueError where there is none."""
    for place in domain.world.places:
        if class_of(name_of(place)) == kind:
            return place
    raise ValueError(f"this home has no {short(kind)}")


def alfred_plan_of(game: Game) -> Plan:
    """The right plan of a game in ALFRED's words, in its normal form: to judge answers by."""
    thing, place = game.thing, game.place
    take, put = Step("PickupObject", (thing,)), Step("PutObject", (thing, place))
    if game.task_type == "look_at_obj_in_light":
        return Plan((take, Step("ToggleObject", (place,))))
    if game.task_type == "pick_two_obj_and_place":
        return Plan((take, put, take, put))
    if game.task_type in _OF_TASK:
        return Plan((take, Step(_OF_TASK[game.task_type], (thing,)), put))
    return Plan((take, put))


def right_plan(game: Game, domain: Domain) -> Plan:
    """The right plan of a game for this robot in its home. Raises: ValueError where its home has nothing for it."""
    return plan_for(alfred_plan_of(game), domain)
