"""What ALFWorld asks for: its goal sentences, and plans that are made of them without a language model.

A game has two kinds of sentences. ALFWorld's own are made from a dozen templates ("cool some cup and put it in
microwave."), which rules can read. Its `goal_desc_human_anns_prob` takes what ALFRED's annotators wrote of the same
trial ("Chill the cup by the sink and heat it up"), about three sentences a game, which is where reading is hard."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path

from rarrl.alfred import AlfredPlan, is_development, read_alfred
from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.reasoner.nearest import NearestGoal
from rarrl.reasoner.plan import Plan
from rarrl_sim_envs.alfworld import games

from ..reasoner.curriculum import achieved

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


_SAID = {"some": "a"} | {
    name: said
    for name, sayings in ALFRED_DOMAIN.aliases.items()
    for said in sayings
    if " " in said and said.replace(" ", "") == name
}
"""What templates write -> what people say."""


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
        alfworld: see `rarrl_sim_envs.alfworld.games.read_games`.
        alfred: see `rarrl.alfred.read_alfred`.

    Raises: InputError for what is no folder of games or of ALFRED's plans."""
    human: dict[str, tuple[str, ...]] = {}
    for plan in read_alfred(alfred, split).plans:
        more = (annotation.goal for annotation in plan.annotations)
        human[plan.trial] = tuple(dict.fromkeys((*human.get(plan.trial, ()), *more)))
    return tuple(
        Game(
            game.task,
            game.trial,
            game.goal,
            human.get(game.trial, ()),
            _classes("receptacleType", game.problem),
            _classes("objectType", game.problem),
        )
        for game in games.read_games(alfworld, split)
    )


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


def spoken(sentence: str) -> str:
    """A template's sentence as people would say it; any other one as it is. Templates write a class as one word, and
    "some" of what can be counted.

    >>> spoken("heat some soapbar and put it in countertop.")
    'heat a soap bar and put it in counter top.'
    >>> spoken("Put some soapbar away.")
    'Put some soapbar away.'
    """
    if rules_plan(sentence) is None:
        return sentence
    return re.sub(r"[a-z]+", lambda word: _SAID.get(word[0], word[0]), sentence)


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


def _classes(fact: str, problem: str) -> tuple[str, ...]:
    """ALFRED's classes of what a problem says there is."""
    found = {name.lower() for name in re.findall(rf"\({fact} \S+ (\w+)Type\)", problem)}
    return tuple(sorted(found & ALFRED_DOMAIN.world.named.keys()))
