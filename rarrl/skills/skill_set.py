"""`skills.yaml`: what a robot can do, how each skill is run, and what its results mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rarrl.plugins import did_you_mean, is_import_path
from rarrl.skills.facts import Condition
from rarrl.skills.outcome import OutcomeMap
from rarrl.strict_json import short, validated
from rarrl.strict_yaml import read_yaml

NAME = re.compile(r"[A-Za-z]\w{0,39}")
"""A skill, a parameter, a class or a place: 1 to 40 letters, digits and _."""
KINDS = ("thing", "portable", "receptacle", "place", "door", "room", "number", "text")
"""Domains of parameters that every world has; the names of groups in world.yaml are further ones. portable: things that
can be carried. receptacle: places and things that other things can be put on or into."""
_TYPE = re.compile(r"[a-z]\w*/(action|srv|msg)/[A-Z]\w*")
MAX_SKILLS = 64
"""More would not fit into the prompt of a small model."""
Confirm = Literal["never", "unasked", "always"]
"""When a person has to say yes: `rarrl.skills.permission`."""
WAYS = ("action", "service", "topic", "python")
"""How a skill can be run."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameter(_Part):
    """What an argument may be: one of several kinds, a number within bounds, or one of fixed words."""

    kinds: tuple[str, ...] = Field(
        default=(),
        description="thing, portable, receptacle, place, door, room, number, text, or groups of world.yaml",
    )
    one_of: tuple[str, ...] = Field(default=(), description="the words that are allowed")
    minimum: float = Field(default=float("-inf"), description="smallest number")
    maximum: float = Field(default=float("inf"), description="largest number")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        """`thing`, `place or door`, `[low, high]` as one_of, `{number: [0, 10]}`."""
        if isinstance(value, str):
            return {"kinds": tuple(part.strip() for part in value.split(" or "))}
        if isinstance(value, list):
            for word in value:
                if isinstance(word, bool) or not isinstance(word, (str, int, float)):
                    raise ValueError(f"{short(word)} is no word; put on, off, yes and no in quotes")
            return {"one_of": tuple(map(str, value))}
        if isinstance(value, dict) and set(value) == {"number"}:
            bounds = value["number"]
            if not (isinstance(bounds, list) and len(bounds) == 2 and all(type(b) in (int, float) for b in bounds)):
                raise ValueError(f"number: {short(bounds)} is not allowed (allowed: [smallest, largest])")
            return {"kinds": ("number",), "minimum": bounds[0], "maximum": bounds[1]}
        return value

    @model_validator(mode="after")
    def _not_empty(self) -> Parameter:
        if bool(self.kinds) == bool(self.one_of):
            raise ValueError(f"a parameter is one of {', '.join(KINDS)}, a group of world.yaml, or a list of words")
        alone = next((kind for kind in ("number", "text") if kind in self.kinds and len(self.kinds) > 1), "")
        if alone:
            raise ValueError(f"{' or '.join(self.kinds)}: {alone} stands alone; write two skills")
        fits = self.minimum <= self.maximum  # false for NaN
        if not fits or self.minimum == float("inf") or self.maximum == float("-inf"):
            raise ValueError(
                f"number: [{self.minimum:g}, {self.maximum:g}] is not allowed (allowed: [smallest, largest])"
            )
        return self


class Run(_Part):
    """How a skill is run: one of action, service, topic or python. Texts in `goal` hold arguments as `{thing}`, the
    skill's own name as `{skill}`, and name and arguments with spaces between them as `{row}`.

    A topic is published once and counts as done after `expected_s`."""

    action: str = Field(default="", description="name of a ROS 2 action, such as navigate_to_pose")
    service: str = Field(default="", description="name of a ROS 2 service")
    topic: str = Field(default="", description="name of a ROS 2 topic that the command is published on")
    python: str = Field(default="", description="a callable in Python, package.module:function")
    type: str = Field(
        default="", description="the interface's type, package/action/Type, package/srv/Type, package/msg/Type"
    )
    goal: dict[str, Any] = Field(
        default={},
        description="fields of the goal, request or message; of a callable, its arguments (not given: those of the "
        "skill, by name)",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Run:
        ways = [name for name in WAYS if getattr(self, name)]
        if len(ways) != 1:
            raise ValueError(
                f"a skill is run by one of action, service, topic and python, got {' and '.join(ways) or 'none'}"
            )
        if self.python and not is_import_path(self.python):
            raise ValueError(f"python: {short(self.python)} is not allowed (allowed: package.module:function)")
        kind = {"action": "action", "service": "srv", "topic": "msg"}.get(ways[0])
        if kind and not (_TYPE.fullmatch(self.type) and f"/{kind}/" in self.type):
            raise ValueError(f"type: {short(self.type)} is not allowed (allowed: such as some_msgs/{kind}/Name)")
        return self

    @property
    def passes_arguments(self) -> bool:
        """Whether no `goal` is given, so that a callable gets the arguments of the skill by name."""
        return "goal" not in self.model_fields_set

    @property
    def server(self) -> str:
        """What takes one goal at a time: the name of the action or service, or the callable."""
        return self.action or self.service or self.topic or self.python


class Prior(_Part):
    """How often the skill succeeds, before it was ever tried here. weight: how many attempts this is worth."""

    success: float = Field(
        default=0.8, gt=0.0, lt=1.0, description="share of attempts that succeed, above 0 and below 1"
    )
    weight: float = Field(default=4.0, gt=0.0, le=1000.0, description="attempts, above 0")


class Observes(_Part):
    """What a skill finds out: a list of what is there, in its result.

    A result without the list says nothing. One with a list says, too, that other things are not at that place."""

    list: str = Field(description="field of the result that holds the list, dotted")
    thing: str = Field(description="field of an entry that holds the class")
    place: str = Field(default="", description="field of an entry that holds the place; empty: where the robot stands")
    confidence: float = Field(default=0.95, gt=0.0, le=1.0, description="how sure a sighting is, above 0 to 1")


SIGNALS = ("distance_left_m", "recoveries", "holding", "opening_m", "opening_before_m", "changed", "seen")
"""What a result, or its last feedback, may tell of whether the skill is really done: `rarrl.executive.certainty`."""
_SIGNAL_FIELD = re.compile(r"(not )?[A-Za-z]\w*(\.\w+)*")


class Skill(_Part):
    """One skill."""

    does: str = Field(min_length=1, max_length=200, description="what it does, for the language model and for people")
    parameters: dict[str, Parameter] = Field(default={}, description="name -> thing, place, door, number ...")
    run: Run = Field(description="action, service, topic or python")
    outcome: OutcomeMap = Field(default=OutcomeMap(), description="what the codes of a result mean")
    expected_s: float = Field(default=5.0, gt=0.0, le=3600.0, description="seconds that it usually takes, above 0")
    speed_mps: float = Field(default=0.0, ge=0.0, le=100.0, description="m/s; above 0: driving is added to expected_s")
    timeout_s: float = Field(default=60.0, gt=0.0, le=86400.0, description="seconds until it is cancelled, above 0")
    accept_s: float = Field(default=5.0, gt=0.0, le=600.0, description="seconds for a server to accept the goal")
    cancel_s: float = Field(default=5.0, gt=0.0, le=600.0, description="seconds for a cancelled goal to end")
    retry: int = Field(
        default=1, ge=0, le=20, description="how often it is tried again by itself after it failed, 0 to 20"
    )
    prior: Prior = Field(default=Prior(), description="how often it succeeds before it was tried")
    irreversible: Literal["never", "possible", "always"] = Field(
        default="never", description="whether what it does, or a failure of it, can be undone: never, possible, always"
    )
    confirm: Confirm = Field(
        default="never",
        description="when a person has to say yes before it is carried out: never, unasked (where the instruction does "
        "not ask for it with these names and numbers), always",
    )
    words: tuple[str, ...] = Field(
        default=(),
        description="beginnings of words by which people ask for it, such as [heat, warm, microwav]; with `confirm: "
        "unasked` one of them has to be said of the thing; none given: its names are enough",
    )
    freely: tuple[str, ...] = Field(
        default=(),
        description="what it is meant for: names, groups (<food>) or texts of its first parameter; with anything else "
        "a person has to say yes each time, also where the instruction asks for it; none given: no such list",
    )
    needs: tuple[str, ...] = Field(default=(), description="facts that must hold before, such as `at {thing.place}`")
    gives: tuple[str, ...] = Field(default=(), description="facts that hold after success, such as `holding {thing}`")
    observes: Observes | None = Field(default=None, description="what it finds out")
    in_plans: bool = Field(
        default=True,
        description="whether plans name it; false: the robot adds it by itself, such as driving to where the next "
        "step is done",
    )
    signals: dict[str, str] = Field(
        default={}, description="signal -> field of the result or the feedback, such as holding: stalled"
    )

    @model_validator(mode="after")
    def _signals_fit(self) -> Skill:
        for name, field in self.signals.items():
            if name not in SIGNALS:
                raise ValueError(
                    f"signals: {short(name)} is unknown (allowed: {', '.join(SIGNALS)}){did_you_mean(name, SIGNALS)}"
                )
            if not _SIGNAL_FIELD.fullmatch(field):
                raise ValueError(f"signals: {name}: {short(field)} is no field (allowed: such as a.b, or `not a.b`)")
        return self

    @model_validator(mode="after")
    def _facts_fit(self) -> Skill:
        for name in self.parameters:
            if not NAME.fullmatch(name):
                raise ValueError(f"parameter {short(name)} is no name (allowed: letters, digits and _)")
        for text in (*self.needs, *self.gives):
            condition = Condition.parse(text)
            for name in sorted(condition.parameters - set(self.parameters)):
                raise ValueError(
                    f"{text!r}: {{{name}}} is no parameter (allowed: {', '.join(self.parameters) or 'none'})"
                    f"{did_you_mean(name, self.parameters)}"
                )
        for name in sorted(_placeholders(self.run.goal) - set(self.parameters)):
            raise ValueError(
                f"run.goal: {{{name}}} is no parameter (allowed: {', '.join(self.parameters) or 'none'})"
                f"{did_you_mean(name, self.parameters)}"
            )
        return self

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """`needs`, read."""
        return tuple(map(Condition.parse, self.needs))

    @cached_property
    def effects(self) -> tuple[Condition, ...]:
        """`gives`, read."""
        return tuple(map(Condition.parse, self.gives))

    @property
    def looks(self) -> bool:
        """Whether it finds out and changes nothing."""
        return self.observes is not None and not self.gives

    @property
    def irreversible_share(self) -> float:
        """Expected share of failures that cannot be undone: a maker says never, possible or always."""
        return {"never": 0.0, "possible": 0.5, "always": 1.0}[self.irreversible]


class Example(_Part):
    """A sentence and its plan, for the language model and for the robot without one."""

    say: str = Field(min_length=1, max_length=500, description="what a person says")
    plan: tuple[tuple[str, ...], ...] = Field(
        description="[skill, argument, ...] in order; [] says that there is no plan"
    )

    @field_validator("plan", mode="before")
    @classmethod
    def _numbers(cls, plan: Any) -> Any:
        """A number may be written without quotes."""
        if not isinstance(plan, list):
            return plan
        return [
            [str(each) if type(each) in (int, float) else each for each in row] if isinstance(row, list) else row
            for row in plan
        ]


class SkillSet(_Part):
    """All of `skills.yaml`."""

    robot: str = Field(default="robot", max_length=200, description="what the robot is, in a few words")
    defaults: dict[str, Any] = Field(
        default={},
        description="what all skills have in common: keys of a skill, which each of them takes over where it does not "
        "give them itself. Mappings are merged; a skill that names its own action, service, topic or python takes "
        "nothing of the common `run`, and one whose outcome is {} or names `like` or `field` nothing of the common "
        "`outcome`",
    )
    skills: dict[str, Skill] = Field(min_length=1, description="name -> skill")
    examples: tuple[Example, ...] = Field(default=(), description="sentences with their plans")
    strict: bool = Field(
        default=False,
        description="whether a plan must itself meet the needs of its steps, from what holds at the start; what "
        "skills with `in_plans: false` give, the robot sees to. false: it prepares each step by itself",
    )
    max_steps: int = Field(default=24, ge=1, le=100, description="steps of the longest plan, 1 to 100")

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, value: Any) -> Any:
        """Each skill with what it takes over from `defaults`, and `{skill}` and `{row}` in its goal written out."""
        if not isinstance(value, dict) or not isinstance(value.get("skills"), dict):
            return value
        defaults = value.get("defaults") or {}
        if not isinstance(defaults, dict):
            raise ValueError(f"defaults: {short(defaults)} is not allowed (allowed: keys of a skill)")
        for key in defaults:
            if key not in Skill.model_fields:
                allowed = ", ".join(Skill.model_fields)
                raise ValueError(
                    f"defaults: key {short(key)} is unknown (allowed: {allowed}){did_you_mean(key, Skill.model_fields)}"
                )
        skills = {name: _completed(name, skill, defaults) for name, skill in value["skills"].items()}
        return {key: each for key, each in value.items() if key != "defaults"} | {"skills": skills}

    @model_validator(mode="after")
    def _fits(self) -> SkillSet:
        if len(self.skills) > MAX_SKILLS:
            raise ValueError(f"{len(self.skills)} skills (allowed: at most {MAX_SKILLS})")
        for name in self.skills:
            if not NAME.fullmatch(name):
                raise ValueError(f"skill {short(name)} is no name (allowed: letters, digits and _)")
        for example in self.examples:
            for row in example.plan:
                if not row or row[0] not in self.skills:
                    name = row[0] if row else ""
                    raise ValueError(
                        f"example {short(example.say)}: {short(name)} is no skill{did_you_mean(name, self.skills)}"
                    )
                wanted = len(self.skills[row[0]].parameters)
                if len(row) - 1 != wanted:
                    raise ValueError(
                        f"example {short(example.say)}: {row[0]} has {len(row) - 1} arguments (allowed: {wanted})"
                    )
        return self

    def arguments(self, skill: str, values: tuple[str, ...]) -> dict[str, str]:
        """Parameter name -> argument of one step. Raises: KeyError; ValueError where their numbers differ."""
        return dict(zip(self.skills[skill].parameters, values, strict=True))


def load_skills(path: Path) -> SkillSet:
    """Reads a `skills.yaml`. Raises: InputError, one line that says what, where, what is allowed."""
    return validated(SkillSet, read_yaml(path, "skills") or {}, "skills", str(path), {})


def _completed(name: str, skill: object, defaults: Mapping[str, Any]) -> object:
    """A skill as it is written in the file, with `defaults`."""
    if not isinstance(skill, dict):
        return skill
    run = skill.get("run")
    if isinstance(run, dict) and any(way in run for way in WAYS):
        defaults = {key: each for key, each in defaults.items() if key != "run"}
    outcome = skill.get("outcome")
    if outcome == {} or (isinstance(outcome, dict) and not outcome.keys().isdisjoint(("like", "field"))):
        defaults = {key: each for key, each in defaults.items() if key != "outcome"}

    skill = _merged(defaults, skill)
    run, parameters = skill.get("run"), skill.get("parameters")
    if not isinstance(run, dict):
        return skill
    names = [*map(str, parameters)] if isinstance(parameters, dict) else []
    own = {"skill": name, "row": " ".join([name, *(f"{{{each}}}" for each in names)])}
    for word, text in own.items():
        if word not in names:
            run = _replaced(run, f"{{{word}}}", text)
    return skill | {"run": run}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`; mappings in both are merged in turn."""
    both = {
        key: _merged(below[key], each) if isinstance(each, dict) and isinstance(below.get(key), dict) else each
        for key, each in above.items()
    }
    return {**below, **both}


def _replaced(value: Any, old: str, new: str) -> Any:
    """`value` with `new` for `old` in all its texts."""
    if isinstance(value, dict):
        return {key: _replaced(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, old, new) for each in value]
    return value.replace(old, new) if isinstance(value, str) else value


def _placeholders(value: object) -> frozenset[str]:
    """Names of the arguments that a goal template speaks of; `{place.pose}` speaks of place."""
    if isinstance(value, dict):
        return frozenset().union(*map(_placeholders, value.values()))
    if isinstance(value, (list, tuple)):
        return frozenset().union(*map(_placeholders, value))
    return frozenset(re.findall(r"\{([A-Za-z_]\w*)(?:\.\w+)*\}", value)) if isinstance(value, str) else frozenset()
