"""Small homes of our own in ALFWorld's form: no game of the data set is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rarrl_sim_envs.alfworld.games import GAME_FILE, Game

OPENABLE = ("Fridge", "Microwave", "Drawer")
ABILITIES = {
    "cleanable": ("Mug", "Apple", "Plate", "Knife"),
    "heatable": ("Mug", "Apple", "Plate"),
    "coolable": ("Mug", "Apple", "Plate", "Pan"),
    "sliceable": ("Apple",),
    "isReceptacleObject": ("Mug", "Plate", "Pan"),
}
GOALS = {
    "pick_and_place_simple": "(inReceptacle ?o ?r) (objectType ?o {thing}Type) (receptacleType ?r {place}Type)",
    "pick_clean_then_place_in_recep": "(cleanable ?o) (isClean ?o)",
    "pick_heat_then_place_in_recep": "(heatable ?o) (isHot ?o)",
    "pick_cool_then_place_in_recep": "(coolable ?o) (isCool ?o)",
}
SENTENCES = {
    "pick_and_place_simple": "put some {thing} on {place}.",
    "pick_clean_then_place_in_recep": "put a clean {thing} in {place}.",
    "pick_heat_then_place_in_recep": "heat some {thing} and put it in {place}.",
    "pick_cool_then_place_in_recep": "cool some {thing} and put it in {place}.",
    "pick_two_obj_and_place": "find two {thing} and put them in {place}.",
    "look_at_obj_in_light": "look at {thing} under the {place}.",
}
KITCHEN: dict[str, Sequence[str]] = {
    "CounterTop_1": ("Mug", "Apple", "Knife"),
    "CounterTop_2": ("Mug", "Plate"),
    "Fridge_1": ("Pan",),
    "Microwave_1": (),
    "SinkBasin_1": (),
    "Drawer_1": ("Pen",),
    "Drawer_2": ("Pen", "Book"),
    "Desk_1": ("DeskLamp", "Book"),
}
"""Receptacle -> what is on or in it. Drawers are reached from one spot."""


def a_game(
    task_type: str = "pick_and_place_simple",
    thing: str = "Mug",
    place: str = "Desk",
    home: Mapping[str, Sequence[str]] | None = None,
    walkthrough: Sequence[str] = (),
) -> Game:
    """A game in a kitchen, or in another home."""
    sentence = SENTENCES[task_type].format(thing=thing.lower(), place=place.lower())
    goal = _goal(task_type, thing, place)
    return Game(f"{task_type}-{thing}-None-{place}-1", "trial_1", sentence, problem(home or KITCHEN, goal),
                tuple(walkthrough))  # fmt: skip


def problem(home: Mapping[str, Sequence[str]], goal: str) -> str:
    """ALFWorld's PDDL of a home."""
    facts = ["(atLocation agent1 loc_start)"]
    number = 0
    for spot, (receptacle, things) in enumerate(home.items()):
        kind = receptacle.partition("_")[0]
        suffix = f"_bar_{kind}" if kind == "SinkBasin" else ""
        name = f"{kind.removesuffix('Basin')}_bar_{spot:02d}{suffix}"
        location = f"loc_bar_{'drawers' if kind == 'Drawer' else spot}"
        facts += [f"(receptacleType {name} {kind}Type)", f"(receptacleAtLocation {name} {location})"]
        facts += [f"(openable {name})"] if kind in OPENABLE else []
        facts += [f"(canContain {kind}Type {each}Type)" for each in ("Mug", "Apple", "Plate", "Pan", "Pen", "Book")]
        for thing in things:
            number += 1
            each = f"{thing}_bar_{number:02d}"
            facts += [f"(objectType {each} {thing}Type)", f"(objectAtLocation {each} {location})"]
            facts += [f"(inReceptacle {each} {name})"]
            facts += [f"(toggleable {each})"] if thing == "DeskLamp" else [f"(pickupable {each})"]
            facts += [f"({ability} {each})" for ability, classes in ABILITIES.items() if thing in classes]
    lines = "\n  ".join(facts)
    return f"(define (problem p)\n(:domain alfred)\n(:init\n  {lines}\n)\n(:goal {goal})\n)"


def _goal(task_type: str, thing: str, place: str) -> str:
    if task_type == "look_at_obj_in_light":
        return (
            "(and (exists (?ot - object ?r - receptacle ?a - agent ?l - location) (and (objectType ?ot DeskLampType) "
            "(toggleable ?ot) (isToggled ?ot) (receptacleAtLocation ?r ?l) (atLocation ?a ?l) (inReceptacle ?ot ?r))) "
            f"(exists (?o - object ?a - agent) (and (objectType ?o {thing}Type) (holds ?a ?o))))"
        )
    if task_type == "pick_two_obj_and_place":
        return (
            f"(and (exists (?r - receptacle) (exists (?o1 - object) (and (objectType ?o1 {thing}Type) "
            f"(receptacleType ?r {place}Type) (inReceptacle ?o1 ?r) (exists (?o2 - object) (and (not (= ?o1 ?o2)) "
            f"(objectType ?o2 {thing}Type) (receptacleType ?r {place}Type) (inReceptacle ?o2 ?r)))))))"
        )
    put = GOALS["pick_and_place_simple"].format(thing=thing, place=place)
    more = GOALS[task_type] if task_type != "pick_and_place_simple" else ""
    return f"(and (exists (?r - receptacle) (exists (?o - object) (and {put} {more}))))"


def write_folder(folder: Path, games: Sequence[Game], split: str = "valid_seen") -> Path:
    """Writes games as `alfworld-download` does; returns the folder."""
    for game in games:
        grammar = '"task": [ { "rhs": "Your task is to: ' + game.goal + '" } ]'
        value = {"pddl_domain": "", "grammar": grammar, "pddl_problem": game.problem}
        value |= {"walkthrough": list(game.walkthrough), "solvable": game.solvable}
        path = folder / "json_2.1.1" / split / game.task / game.trial / GAME_FILE
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(value), "utf-8")
    return folder
