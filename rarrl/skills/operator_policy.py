"""What the operator of a robot forbids and adds, whatever its files, an instruction or a language model say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from rarrl.errors import InputError
from rarrl.plugins import did_you_mean
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.words import Lexicon
from rarrl.skills.world import WORLD_NAME, Place, Thing, World
from rarrl.strict_json import MEND, read_json, short, validated
from rarrl.strict_yaml import read_yaml

_OLD_KEYS = {
    "forbidden_objects": "forbidden_things",
    "forbidden_verbs": "forbidden_skills",
    "allowed_objects": "allowed_things",
    "more_objects": "more_things",
}
"""Keys of the time when ALFRED's household was the only one -> today's."""


class OperatorPolicy(BaseModel):
    """What a robot may do, by its operator. Read from a file or built in code, never from instructions.

    It holds for a robot once it is part of its domain: `Domain.under`, which refuses names that the robot does not
    know, because a misspelt ban would ban nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    forbidden_things: frozenset[str] = Field(default=frozenset(), description="names that no step may touch or use")
    forbidden_places: frozenset[str] = Field(
        default=frozenset(), description="places, doors, rooms with all that is in them, and things as receptacles"
    )
    forbidden_skills: frozenset[str] = Field(default=frozenset(), description="skills that no plan may use")
    allowed_things: frozenset[str] | None = Field(default=None, description="if given, only these things are touched")
    allowed_places: frozenset[str] | None = Field(
        default=None, description="if given, only these places and doors are used"
    )
    forbidden_pairs: tuple[tuple[str, str], ...] | None = Field(
        default=None,
        description="[thing, place] that must not meet, as names or groups of the world file (<knives>), in the place "
        "of the pairs in that file",
    )
    more_things: frozenset[str] = Field(default=frozenset(), description="names of this robot's own, portable")
    more_places: frozenset[str] = Field(
        default=frozenset(), description="names of this robot's own, to put things into"
    )
    max_steps: int | None = Field(default=None, ge=1, description="steps in a plan, at most those of the skills file")

    _where: str = PrivateAttr(default="")

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for old, new in _OLD_KEYS.items():
            if old in value and new in value:
                raise ValueError(f"{old} is the former name of {new}; give one of them")
        return {_OLD_KEYS.get(key, key): each for key, each in value.items()}

    @model_validator(mode="after")
    def _names(self) -> OperatorPolicy:
        for name in sorted(self.more_things | self.more_places):
            if not WORLD_NAME.fullmatch(name):
                raise ValueError(
                    f"{short(name)} is no name (allowed: 1 to 40 letters, digits, - and _, as in tool_box)"
                )
        return self

    def world(self, world: World) -> World:
        """`world` with the operator's own names. Raises: InputError for one that is another way to write a name."""
        sayings = {name: each.aliases for name, each in world.named.items()}
        own = (self.more_things | self.more_places) - set(sayings)
        if not self.more_things | self.more_places:
            return world
        for name in sorted(own):  # a ban of the one would not hold for the other
            try:
                meant = Lexicon(sayings).read(name, sayings)
            except ValueError:
                others = {**sayings, **dict.fromkeys(own - {name}, ())}
                meant = min(Lexicon(others).spelt(name), default="")
            if meant:
                raise self.fault(f"{short(name)} is another way to write {meant}; write {meant}, or take another name")

        for name in sorted((self.more_things | self.more_places) & {*world.rooms, *world.doors}):
            raise self.fault(f"{short(name)} is a room or door already; take another name")
        things = {name: Thing() for name in sorted(self.more_things)}
        try:
            return world.extended(things, {name: Place() for name in sorted(self.more_places)})
        except ValidationError as error:  # such as the place where the robot starts, as a thing
            raise self.fault(error.errors()[0]["msg"].removeprefix("Value error, ")) from None

    def check_names(self, world: World, skills: SkillSet) -> None:
        """Raises: InputError for a name that `world`, the operator's own names included, or `skills` does not have."""
        known = tuple(world.named)
        spots = (*world.names("receptacle"), *world.places, *world.doors, *world.rooms)
        groups = tuple(f"<{group}>" for group in world.groups)
        things = tuple(world.things)

        self._known("forbidden_things", self.forbidden_things, known)
        self._known("forbidden_places", self.forbidden_places, spots)
        self._known("allowed_things", self.allowed_things or (), known)
        self._known("allowed_places", self.allowed_places or (), spots)
        for thing, place in self.forbidden_pairs or ():
            self._known("forbidden_pairs", (thing,), (*things, *groups))
            self._known("forbidden_pairs", (place,), (*spots, *groups))
        for name in sorted(self.forbidden_skills - set(skills.skills)):
            raise self.fault(
                f"forbidden_skills: {short(name)} is unknown (allowed: {', '.join(skills.skills)})"
                f"{did_you_mean(name, skills.skills)}"
            )
        if self.max_steps is not None and self.max_steps > skills.max_steps:
            raise self.fault(f"max_steps: {self.max_steps} is not allowed (allowed: 1 to {skills.max_steps})")

    def _known(self, key: str, names: Iterable[str], known: tuple[str, ...]) -> None:
        for name in sorted(set(names) - set(known)):
            hint = did_you_mean(name, known) or "; add it to more_things or more_places"
            raise self.fault(f"{key}: {short(name)} is no name of this robot that can stand there{hint}")

    def fault(self, text: str) -> InputError:
        """The error that says what is wrong, and in which file."""
        return InputError(f"operator policy: {self._where + ': ' if self._where else ''}{text}")


def load_operator_policy(path: Path) -> OperatorPolicy:
    """The policy in a JSON or YAML file; its names are checked by `Domain.under`. Raises: InputError, one line."""
    what = "operator policy"
    value = read_yaml(path, what) if path.suffix in (".yaml", ".yml") else read_json(path, what, MEND)
    policy = validated(OperatorPolicy, {} if value is None else value, what, str(path), {})
    policy._where = str(path)
    return policy
