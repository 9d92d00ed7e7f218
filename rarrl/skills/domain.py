"""A robot's skills in its world under its operator's policy: what arguments may be, and which plans may run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rarrl.errors import InputError
from rarrl.plugins import did_you_mean
from rarrl.skills import check as checker
from rarrl.skills.facts import State
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.skills.plan import Plan, Step
from rarrl.skills.skill_set import KINDS, Parameter, Skill, SkillSet, load_skills
from rarrl.skills.words import Lexicon
from rarrl.skills.world import World, load_world
from rarrl.strict_json import faults, short
from rarrl.strict_yaml import read_yaml

ROBOTS = Path(__file__).resolve().parents[1] / "data" / "robots"
"""The robots that come with the package, a folder with `skills.yaml` and `world.yaml` for each."""


@dataclass(frozen=True, eq=False)
class Domain:
    """Skills and world together. Prompt, grammar, plan checker and report are derived from one such value.

    world: as its maker wrote it; it is extended by the names of the operator's own. Another operator's domain:
    `under`.

    Raises: InputError where the files do not fit together, or the policy names what they do not have."""

    skills: SkillSet
    world: World
    policy: OperatorPolicy = field(default_factory=OperatorPolicy)
    made: World = field(init=False)
    """The world without the operator's own names."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "made", self.world)
        object.__setattr__(self, "world", self.policy.world(self.world))
        self.policy.check_names(self.world, self.skills)

        kinds = {*KINDS, *self.world.groups}
        for name, skill in self.skills.skills.items():
            for parameter, spec in skill.parameters.items():
                for kind in spec.kinds:
                    if kind not in kinds:
                        raise InputError(
                            f"skills: skill {name}, parameter {parameter}: {short(kind)} is no kind (allowed: "
                            f"{', '.join(sorted(kinds))}){did_you_mean(kind, kinds)}"
                        )
            for condition in (*skill.conditions, *skill.effects):
                for word in condition.words:
                    if word.startswith("<") and word[1:-1] not in self.world.groups:
                        raise InputError(
                            f"skills: skill {name}: `{condition}` speaks of the group {word[1:-1]}, which world.yaml "
                            f"does not have{did_you_mean(word[1:-1], self.world.groups)}"
                        )
            self._check_freely(name, skill)
        if self.policy == OperatorPolicy():  # an operator may forbid what an example does
            for example in self.skills.examples:
                fault = self.check(Plan.from_rows(example.plan)) if example.plan else ""
                if fault:
                    raise InputError(f"skills: example {short(example.say)}: {fault}")

    def _check_freely(self, name: str, skill: Skill) -> None:
        """Raises: InputError where a skill is meant for what its first parameter cannot be."""
        if not skill.freely:
            return
        if not skill.parameters:
            raise InputError(f"skills: skill {name}: freely: it has no parameter; leave freely out")
        first = next(iter(skill.parameters.values()))
        groups = [f"<{group}>" for group in self.world.groups]
        known = [*self.values(first), *groups]
        for word in skill.freely:
            if word not in known and (word.startswith("<") or self.values(first)):
                raise InputError(
                    f"skills: skill {name}: freely: {short(word)} is unknown (allowed: {', '.join(known)[:200]})"
                    f"{did_you_mean(word, known)}"
                )

    def under(self, policy: OperatorPolicy) -> Domain:
        """The same robot under another operator's policy. Raises: InputError for a name that it does not know."""
        return Domain(self.skills, self.made, policy)

    def is_robot_of(self, other: Domain) -> bool:
        """Whether both have the same skills and the same maker's world, whatever their operators say."""
        return self.skills == other.skills and self.made == other.made

    # Names

    def values(self, parameter: Parameter) -> tuple[str, ...]:
        """The names that an argument may be; () where any number or text may stand."""
        if parameter.one_of:
            return parameter.one_of
        if len(parameter.kinds) == 1 and parameter.kinds[0] not in ("number", "text"):
            return self.world.names(parameter.kinds[0])
        found: dict[str, None] = {}
        for kind in parameter.kinds:
            if kind in ("number", "text"):
                return ()
            found |= dict.fromkeys(self.world.names(kind))
        return tuple(found)

    @cached_property
    def offered(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """What a model may use: skills that plans name and the operator allows -> the names for each argument; () for
        an argument that is any number or text."""
        found = {}
        for name, skill in self.skills.skills.items():
            if skill.in_plans and name not in self.policy.forbidden_skills:
                found[name] = tuple(self._offered(parameter) for parameter in skill.parameters.values())
        return found

    def _offered(self, parameter: Parameter) -> tuple[str, ...]:
        return tuple(n for n in self.values(parameter) if self.may_name(n, self._is_place(n, parameter)))

    def may_name(self, name: str, as_place: bool = False) -> bool:
        """Whether a model is offered a name, for a place or receptacle, or for a thing."""
        if name in self.policy.forbidden_things or (name in self.world.things and self.barred_thing(name)):
            return False
        return not (as_place and name in self.world.named and self.barred_place(name))

    @cached_property
    def own(self) -> tuple[str, ...]:
        """Names of the operator's own, which the maker's world does not have, sorted."""
        return tuple(sorted(set(self.world.named) - set(self.made.named)))

    @cached_property
    def aliases(self) -> dict[str, tuple[str, ...]]:
        """Name of a room, place, door or thing -> what people call it, the name first."""
        return {name: (name.replace("_", " "), *each.aliases) for name, each in self.world.named.items()}

    @cached_property
    def lexicon(self) -> Lexicon:
        """Reads names as people and models write them."""
        return Lexicon(self.aliases)

    @cached_property
    def told_groups(self) -> dict[str, tuple[str, ...]]:
        """The world's groups but for those that only `confirm` speaks of, which a model need not know."""
        said = {word for _, entry in self.world.confirm.entries for word in entry}
        skills = self.skills.skills.values()
        said |= {word for skill in skills for word in skill.freely}
        used = {kind for skill in skills for each in skill.parameters.values() for kind in each.kinds}
        facts = (fact for skill in skills for fact in (*skill.conditions, *skill.effects))
        used |= {word[1:-1] for fact in facts for word in fact.words if word.startswith("<")}
        used |= {word[1:-1] for pair in self.world.forbidden_pairs for word in pair if word.startswith("<")}
        return {name: each for name, each in self.world.groups.items() if name in used or f"<{name}>" not in said}

    # Skills

    @cached_property
    def plans_by_itself(self) -> bool:
        """Whether needs and gives are given, so that the robot can plan without a model."""
        return any(skill.gives for skill in self.skills.skills.values())

    @cached_property
    def seen_to(self) -> frozenset[str]:
        """Sorts of facts that the robot brings about by itself: what skills that no plan names give."""
        skills = (skill for skill in self.skills.skills.values() if not skill.in_plans)
        return frozenset(checker.sort_of(effect) for skill in skills for effect in skill.effects)

    def skill(self, step: Step) -> Skill:
        """Raises: KeyError."""
        return self.skills.skills[step.skill]

    def arguments(self, step: Step) -> dict[str, str]:
        """Parameter -> argument."""
        return self.skills.arguments(step.skill, step.arguments)

    def roles(self, step: Step) -> tuple[list[str], list[str]]:
        """The things that a step handles, and the places where it does, those that its skill always needs included."""
        skill = self.skill(step)
        things: list[str] = []
        places: list[str] = []
        for value, parameter in zip(step.arguments, skill.parameters.values(), strict=True):
            if value in self.world.named:
                (places if self._is_place(value, parameter) else things).append(value)
        always = (condition.words for condition in skill.conditions if not condition.negated)
        places += [words[1] for words in always if words[0] == "at" and words[1] in self.world.named]
        return things, places

    def _is_place(self, name: str, parameter: Parameter) -> bool:
        """Whether a name stands for a place: a thing does where it is a receptacle and nothing else fits."""
        if name not in self.world.things:
            return True
        return "receptacle" in parameter.kinds and not any(
            name in self.world.names(kind) for kind in parameter.kinds if kind not in ("receptacle", "number", "text")
        )

    # Rules

    @property
    def max_steps(self) -> int:
        """Steps of the longest plan that may be carried out."""
        return self.policy.max_steps or self.skills.max_steps

    @cached_property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """(thing, place) that must not meet: the operator's, else those of the maker."""
        pairs = self.policy.forbidden_pairs
        return frozenset(
            (thing, place)
            for a, b in (self.world.forbidden_pairs if pairs is None else pairs)
            for thing in self.world.members(a)
            for place in self.world.members(b)
        )

    def barred_thing(self, name: str) -> str:
        """Why the operator lets no step touch a thing; "" where it may."""
        allowed = self.policy.allowed_things
        if name in self.policy.forbidden_things or (allowed is not None and name not in allowed):
            return f"the operator forbids to touch {name}"
        return ""

    def barred_place(self, name: str) -> str:
        """Why the operator lets no step use a place, door, room or receptacle; "" where it may.

        `allowed_places` does not speak of things that hold others."""
        policy = self.policy
        if name in policy.forbidden_places or self.world.room_of(name) in policy.forbidden_places:
            return f"the operator forbids the place {name}"
        if policy.allowed_places is not None and name not in policy.allowed_places and name not in self.world.things:
            return f"the operator does not allow the place {name}"
        return ""

    def check(self, plan: Plan) -> str:
        """Why `plan` may not be carried out, in one line that a model can mend it by; "" where it may."""
        return checker.check(plan, self)

    def misfit(self, plan: Plan) -> str:
        """Why `plan` is no plan of this robot's skills, whatever the rules say of it; "" where it is one."""
        return next(filter(None, (checker.misfit(step, self) for step in plan.steps)), "")

    def check_step(self, step: Step) -> str:
        """Why a step may not be carried out, whatever comes before it; "" where it may."""
        return checker.check_step(step, self)

    def check_now(self, step: Step, state: State) -> str:
        """Why a step may not be carried out in `state`; "" where it may."""
        return checker.check_now(step, self, state)


def load_domain(skills: Path, world: Path, policy: OperatorPolicy | None = None) -> Domain:
    """Reads both files. Raises: InputError, one line."""
    return Domain(load_skills(skills), load_world(world), policy or OperatorPolicy())


def load_robot(name: str) -> Domain:
    """A robot that comes with the package: alfred or pyrobosim. Raises: InputError."""
    return load_domain(ROBOTS / name / "skills.yaml", ROBOTS / name / "world.yaml")


ROBOT = "robot:"
"""Begins the name of a robot that comes with the package, where a path may stand too."""


def domain_of(skills: str, world: str = "", policy: OperatorPolicy | None = None) -> Domain:
    """The robot that settings name: paths of its two files, or `robot:NAME`; `world` "": that of the same robot.

    Raises: InputError, one line."""
    if not world and skills and not skills.startswith(ROBOT):
        raise InputError(f"world: none is given for {short(skills)}; name its world.yaml, or robot:NAME")
    files = (_file_of(skills, "skills.yaml"), _file_of(world or skills, "world.yaml"))
    return load_domain(*files, policy)


def _file_of(text: str, name: str) -> Path:
    if not text.startswith(ROBOT):
        return Path(text)
    robot, known = text.removeprefix(ROBOT), sorted(folder.name for folder in ROBOTS.iterdir() if folder.is_dir())
    if robot not in known:
        raise InputError(f"robot {short(robot)} is unknown (allowed: {', '.join(known)}){did_you_mean(robot, known)}")
    return ROBOTS / robot / name


STARTER = ROBOTS.parent / "starter"
"""Files to begin with, which `rarrl skills new` writes."""


def file_faults(skills: str, world: str = "") -> list[str]:
    """All that is wrong with the two files, each for itself and one line each; names as in `domain_of`.

    Raises: InputError where a file cannot be read."""
    found = []
    for text, name, what, model in (
        (skills, "skills.yaml", "skills", SkillSet),
        (world or skills, "world.yaml", "world", World),
    ):
        if name == "world.yaml" and not world and not skills.startswith(ROBOT):
            continue
        path = _file_of(text, name)
        value = read_yaml(path, what)
        value = {} if value is None else value
        found += [f"{what}: {path}: {fault}" for fault in faults(model, value)]
    return found


def names_in(plan: Iterable[Step]) -> frozenset[str]:
    """All arguments of steps."""
    return frozenset(value for step in plan for value in step.arguments)
