"""ALFWorld's agent as the executive plays it: `rarrl.executive.play.SkillPlayer` over a game's text, and nothing else.

What the robot believes comes from sentences alone. `domain_of` makes its world out of the game's first text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from rarrl.errors import InputError
from rarrl.skills.domain import ROBOTS, Domain
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.plan import Step
from rarrl.skills.skill_set import Example, SkillSet, load_skills
from rarrl.skills.world import Confirmed, Place, Thing, World, load_world

from .games import MAX_COMMANDS, TextGame, read_games
from .text import Answer, class_of, read_answer, read_opening
from .twin import Twin
from .usual import shares, shipped_usual

ROBOT = ROBOTS / "alfworld"
GO_S, COMMAND_S = 5.0, 2.0
"""Simulated seconds of a way, and of any other command: our assumption, since the world has no time."""


def domain_of(opening: str) -> Domain:
    """The robot in the home that a game's first text tells of. One value for each home.

    Places are its receptacles (`cabinet_1`), things are ALFWorld's classes. Skills that the home has nothing for, such
    as heating without a microwave, are left out.

    Raises: InputError where the text names no receptacles."""
    try:
        places = read_opening(opening).places
    except ValueError as error:
        raise InputError(f"ALFWorld: {error}") from None
    return _domain(places)


@lru_cache(maxsize=256)
def _domain(names: tuple[str, ...]) -> Domain:
    made, template = _files()
    classes = {place_of(name): class_of(name) for name in names}
    places = {place: template.places.get(f"{kind}_1", Place()) for place, kind in classes.items()}
    usual = shipped_usual()
    things: dict[str, Thing] = {
        name: thing.model_copy(update={"usual": shares(name, classes, usual)})
        for name, thing in template.things.items()
    }
    world = World(places=places, things=things, confirm=_confirmed(template, things, places))
    return Domain(_skills_for(made, world, classes), world)


def _confirmed(template: World, things: Mapping[str, Thing], places: Mapping[str, Place]) -> Confirmed:
    """The template's pairs of groups, as far as the home has both."""
    both: tuple[Thing | Place, ...] = (*things.values(), *places.values())
    groups = {f"<{group}>" for each in both for group in each.groups}
    known = groups | things.keys() | places.keys()
    pairs = (pair for pair in template.confirm.always if not isinstance(pair, str))
    return Confirmed(always=tuple(pair for pair in pairs if known.issuperset(pair)))


@lru_cache(maxsize=1)
def _files() -> tuple[SkillSet, World]:
    return load_skills(ROBOT / "skills.yaml"), load_world(ROBOT / "world.yaml")


def _skills_for(made: SkillSet, world: World, classes: dict[str, str]) -> SkillSet:
    """The skills that a home has places for, and the examples in terms of its places."""
    skills = {
        name: skill
        for name, skill in made.skills.items()
        if all(kind in world.groups for p in skill.parameters.values() for kind in p.kinds if kind not in _KINDS)
    }
    spare = next((place for place in classes if not world.places[place].groups), next(iter(classes)))
    examples = (_at_home(example, classes, spare) for example in made.examples)
    fitting = tuple(each for each in examples if all(row[0] in skills for row in each.plan))
    return made.model_copy(update={"skills": skills, "examples": fitting})


_KINDS = ("place", "portable")


def _at_home(example: Example, classes: dict[str, str], spare: str) -> Example:
    """An example with `spare` in place of the counter of the file, where the home has no counter."""
    counter = "countertop"
    if f"{counter}_1" in classes:
        return example
    rows = tuple(tuple(spare if each == f"{counter}_1" else each for each in row) for row in example.plan)
    return example.model_copy(update={"say": example.say.replace(counter, classes[spare]), "plan": rows})


def place_of(name: str) -> str:
    """The name in the domain of a receptacle: cabinet_1 of "cabinet 1"."""
    return name.replace(" ", "_")


def name_of(place: str) -> str:
    """The inverse of `place_of`."""
    return place.replace("_", " ")


@dataclass(frozen=True)
class Said:
    """One command and its answer."""

    command: str
    answer: str


class AlfworldPlayer:
    """Runs the skills of `rarrl/data/robots/alfworld/skills.yaml` by typing commands.

    It remembers which mug was seen where, so that a plan may speak of a mug; what it has put somewhere it takes again
    only where no other one is left.

    Args:
        game: begun, with no command given.
        domain: of this home.
        commands: after so many the game is over, and the task lost.
    """

    def __init__(self, game: TextGame, domain: Domain, commands: int = MAX_COMMANDS) -> None:
        self.domain = domain
        self.log: list[Said] = []
        self._game = game
        self._commands = commands
        self._seen: dict[str, tuple[str, ...]] = {}  # place -> names of what was seen there
        self._put: dict[str, str] = {}  # name -> the place where this robot has put it
        self._held = self._at = ""
        self._skills: dict[str, Callable[..., tuple[Outcome, str]]] = {
            **{"look": self._look, "go": self._go, "open": self._open, "close": self._close},
            **{"take": self._take, "put": self._move, "use": self._use},
            **{verb: partial(self._treat, verb) for verb in ("clean", "heat", "cool")},
        }

    def run(self, step: Step, timeout_s: float) -> SkillResult:
        """Runs one skill to its end; a skill is one command, or two where an arrival has to be looked at."""
        if len(self.log) >= self._commands:
            return SkillResult(Outcome.LOST, f"the game is over: {self._commands} commands were given")
        before = len(self.log)
        outcome, place = self._skills[step.skill](*step.arguments)
        said = self.log[before:]
        why = said[-1].answer if said else "nothing of the kind was seen here"
        seconds = sum(GO_S if each.command.startswith("go to") else COMMAND_S for each in said)

        fields: dict[str, object] = {"holding": bool(self._held)}
        if step.skill in _CHANGES:
            fields["changed"] = outcome is Outcome.SUCCESS
        if place and outcome is Outcome.SUCCESS:
            fields["things"] = [{"class": class_of(name), "place": place} for name in self._there(place)]
        return SkillResult(outcome, why, seconds, fields=fields)

    # Skills: the outcome, and the place that was seen

    def _look(self, place: str) -> tuple[Outcome, str]:
        return self._looked(self._say(f"examine {name_of(place)}"), place)

    def _go(self, place: str) -> tuple[Outcome, str]:
        answer = self._say(f"go to {name_of(place)}")
        if not answer.happened and len(self.log) < self._commands:
            answer = self._say(f"examine {name_of(place)}")  # two receptacles may be reached from one spot
        if answer.happened:
            self._at = place
        return self._looked(answer, place)

    def _open(self, place: str) -> tuple[Outcome, str]:
        return self._looked(self._say(f"open {name_of(place)}"), place)

    def _close(self, place: str) -> tuple[Outcome, str]:
        return _outcome(self._say(f"close {name_of(place)}")), ""

    def _take(self, thing: str) -> tuple[Outcome, str]:
        name, here = self._one_of(thing), self._at
        if not name:
            return Outcome.REFUSED, ""
        answer = self._say(f"take {name} from {name_of(here)}")
        self._seen[here] = tuple(each for each in self._seen[here] if each != name)
        if answer.happened:
            self._held = name
            self._put.pop(name, None)
        return _outcome(answer), ""

    def _move(self, thing: str, place: str) -> tuple[Outcome, str]:
        answer = self._say(f"move {self._held} to {name_of(place)}")
        if answer.happened:
            self._put[self._held] = place
            self._seen[place] = (*self._seen.get(place, ()), self._held)
            self._held = ""
        return _outcome(answer), ""

    def _treat(self, verb: str, thing: str, place: str) -> tuple[Outcome, str]:
        return _outcome(self._say(f"{verb} {self._held} with {name_of(place)}")), ""

    def _use(self, lamp: str) -> tuple[Outcome, str]:
        name = self._one_of(lamp)
        return (_outcome(self._say(f"use {name}")), "") if name else (Outcome.REFUSED, "")

    # What was seen

    def _say(self, command: str) -> Answer:
        answer = read_answer(self._game.step(command))
        self.log.append(Said(command, answer.text))
        for name, things in answer.seen.items():
            self._seen[place_of(name)] = things
        return answer

    def _looked(self, answer: Answer, place: str) -> tuple[Outcome, str]:
        return _outcome(answer), place if name_of(place) in answer.seen else ""

    def _there(self, place: str) -> Iterable[str]:
        """Names of what was seen at a place, without what this robot holds or has put elsewhere since: the world
        goes on telling of a thing on a dresser after it was taken out of the safe that stands there."""
        return (
            name for name in self._seen.get(place, ()) if name != self._held and self._put.get(name, place) == place
        )

    def _one_of(self, thing: str) -> str:
        """The name of a thing of a class where the robot stands, one that it has not put there before others; "" for
        none."""
        here = [name for name in self._there(self._at) if class_of(name) == thing]
        return min(here, key=lambda name: (name in self._put, int(name.rpartition(" ")[2])), default="")


@lru_cache(maxsize=1)
def _player(path: str) -> AlfworldPlayer:
    game = Twin(read_games(Path(path), n=1)[0])
    return AlfworldPlayer(game, domain_of(game.reset()))


def perform(row: str) -> SkillResult:
    """Runs a skill, such as "go fridge_1", in the game that the environment variable ALFWORLD_GAME names, a
    game.tw-pddl: how a node that was given `skills.yaml` runs them. Raises: InputError."""
    path = os.environ.get("ALFWORLD_GAME", "")
    if not path:
        raise InputError("ALFWORLD_GAME is not set; name a game.tw-pddl")
    skill, *arguments = row.split()
    return _player(path).run(Step(skill, tuple(arguments)), 0.0)


_CHANGES = ("clean", "heat", "cool", "use", "open", "close")
"""Skills whose answer says that something is not as before."""


def _outcome(answer: Answer) -> Outcome:
    return Outcome.SUCCESS if answer.happened else Outcome.REFUSED
