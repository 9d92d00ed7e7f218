"""What ALFWorld asks for: its goal sentences, and plans that are made of them without a language model.

A game has two kinds of sentences. ALFWorld's own are made from a dozen templates ("cool some cup and put it in
microwave."), which rules can read. Its `goal_desc_human_anns_prob` takes what ALFRED's annotators wrote of the same
trial ("Chill the cup by the sink and heat it up"), about three sentences a game, which is where reading is hard."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path

from rarrl.alfred import AlfredPlan, is_development, read_alfred
from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.errors import InputError
from rarrl.reasoner.nearest import NearestGoal
from rarrl.reasoner.plan import Plan

from ..reasoner.curriculum import achieved

MAX_GAMES_BYTES = 1 << 29
"""Bytes of a split when it is unpacked; that of train has 190 MB."""
_PREFIX = "Your task is to:"
_THING = r"(?:a |an |some |the )?(?P<thing>[a-z]+?)"
_PLACE = r"(?P<place>[a-z]+)"
_TREATED = {"clean": "CleanObject", "hot": "HeatObject", "heat": "HeatObject", "cool": "CoolObject"}
_TEMPLATES = (
    rf"put two (?P<two>[a-z]+?) in {_PLACE}",
    rf"find two (?P<two>[a-z]+?) and put them in {_PLACE}",
    rf"put (?:a |an |some )?(?P<how>clean|hot|cool) {_THING} in {_PLACE}",
    rf"(?P<how>clean|heat|cool) {_THING} and put it in {_PLACE}",
    rf"look at {_THING} under the (?P<lamp>desklamp|floorlamp)",
    rf"examine {_THING} with the (?P<lamp>desklamp|floorlamp)",
    rf"put {_THING} (?:in|on) {_PLACE}",
)
"""All of ALFWorld's templates that a text game has; the first that matches is meant."""


class Kind(str, Enum):
    """The two kinds of sentences."""

    TEMPLATE = "template"
    HUMAN = "human"


@dataclass(frozen=True)
class Game:
    """One game. task: ALFWorld's name of it, type-object-movable-place-scene. template, human: its sentences.

    furniture, things: ALFRED's classes of what is in the home: what the opening text names, and what the robot sees
    once it has looked everywhere."""

    task: str
    trial: str
    template: str
    human: tuple[str, ...]
    furniture: tuple[str, ...]
    things: tuple[str, ...]

    @cached_property
    def wanted(self) -> tuple[str, str, str, str]:
        """Type of the task, thing, place, and lamp; "" where the type has none."""
        kind, thing, _, place, _ = self.task.lower().split("-")
        lights = kind == "look_at_obj_in_light"
        return (kind, thing, "" if lights else place, place if lights else "")

    @property
    def scene(self) -> str:
        """ALFRED's home."""
        return f"FloorPlan{self.task.rsplit('-', 1)[1]}"

    def is_right(self, plan: Plan | None) -> bool:
        """Whether `plan`, of ALFRED's steps, does what the game wants, judged by type and parameters of the task."""
        if plan is None:
            return False
        kind, goal = achieved(plan)
        return (kind, goal.object, goal.place, goal.lamp, goal.movable, goal.sliced) == (*self.wanted, "", False)


def sentences(game: Game, kind: Kind) -> tuple[str, ...]:
    """The sentences of one kind, without ALFWorld's "Your task is to:"."""
    return (game.template,) if kind is Kind.TEMPLATE else game.human


def read_games(alfworld: Path, alfred: Path, split: str) -> tuple[Game, ...]:
    """The games of a split, with the annotators' sentences from the same split of ALFRED.

    Args:
        alfworld: folder with `alfworld_<split>.jsonl.xz`.
        alfred: see `rarrl.alfred.read_alfred`.

    Raises: InputError for a file that is missing or no list of games."""
    path = alfworld / f"alfworld_{split}.jsonl.xz"
    if not path.is_file():
        raise InputError(f"ALFWorld: {path} does not exist; name a folder with alfworld_{split}.jsonl.xz")
    human: dict[str, tuple[str, ...]] = {}
    for plan in read_alfred(alfred, split).plans:
        more = (annotation.goal for annotation in plan.annotations)
        human[plan.trial] = tuple(dict.fromkeys((*human.get(plan.trial, ()), *more)))
    return tuple(_game(line, path, human) for line in _lines(path))


def learning_games(games: Iterable[Game]) -> tuple[Game, ...]:
    """Those games of the train split that the shipped planner was not taught (`rarrl.alfred.is_development`)."""
    return tuple(game for game in games if is_development(AlfredPlan("", "", game.trial, (), (), ())))


def rules_plan(sentence: str) -> Plan | None:
    """The plan of a template sentence, read by rules; None for a sentence that no template makes.

    >>> str(rules_plan("Your task is to: find two book and put them in desk."))
    'PickupObject(book); PutObject(book, desk); PickupObject(book); PutObject(book, desk)'
    >>> rules_plan("Make the mug shine.") is None
    True
    """
    text = sentence.removeprefix(_PREFIX).strip().lower().rstrip(".")
    for template in _TEMPLATES:
        match = re.fullmatch(template, text)
        if match is None:
            continue
        said = match.groupdict("")
        thing = said.get("two") or said["thing"]
        if {thing, *filter(None, (said.get("place"), said.get("lamp")))} <= ALFRED_DOMAIN.world.named.keys():
            return _plan(thing, said)
    return None


def nearest_plan(sentence: str, known: NearestGoal) -> Plan:
    """The plan of the most similar sentence that the robot knows: what thinking without a model costs nothing."""
    return known.recall(sentence).plan


def known_sentences(plans: Iterable[AlfredPlan], games: Iterable[Game]) -> NearestGoal:
    """What the robot has been taught: sentences of both kinds with their plans, none of a game to learn from."""
    taught = [plan for plan in plans if not is_development(plan)]
    held = {game.trial for game in learning_games(games)}
    pairs = ((game.template, rules_plan(game.template)) for game in games if game.trial not in held)
    return NearestGoal(taught, ((said, plan) for said, plan in pairs if plan is not None))


def _plan(thing: str, said: Mapping[str, str]) -> Plan:
    if said.get("lamp"):
        return Plan.from_rows([["PickupObject", thing], ["ToggleObject", said["lamp"]]])
    treat = [[_TREATED[said["how"]], thing]] if said.get("how") else []
    carry = [["PickupObject", thing], *treat, ["PutObject", thing, said["place"]]]
    return Plan.from_rows(carry * (2 if said.get("two") else 1))


def _lines(path: Path) -> Iterator[str]:
    with lzma.open(path, "rt", encoding="utf-8") as stream:
        size = 0
        for line in stream:
            size += len(line)
            if size > MAX_GAMES_BYTES:
                raise InputError(
                    f"ALFWorld: {path} unpacks to more than {MAX_GAMES_BYTES} bytes; give a split of its own"
                )
            yield line


def _game(line: str, path: Path, human: Mapping[str, tuple[str, ...]]) -> Game:
    try:
        entry = json.loads(line)
        task, trial, goal, problem = (str(entry[key]) for key in ("task", "trial", "goal", "pddl_problem"))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"ALFWorld: {path}: a line is no game ({error!r:.80}); make the file again") from None
    if task.count("-") != 4:
        raise InputError(f"ALFWorld: {path}: {task[:80]!r} is no name of a task (type-object-movable-place-scene)")
    named = ALFRED_DOMAIN.world.named.keys()

    def classes(fact: str) -> tuple[str, ...]:
        found = {name.lower() for name in re.findall(rf"\({fact} \S+ (\w+)Type\)", problem)}
        return tuple(sorted(found & named))

    said = goal.removeprefix(_PREFIX).strip()
    return Game(task, trial, said, human.get(trial, ()), classes("receptacleType"), classes("objectType"))
