"""The class names that plans are made of, as the shipped planner's grammar and the prompts of chat models tell them.

Grammar, prompt, parser and checker all come from one `Domain`, so that what a model is told, what it may write, and
what the robot may do are the same names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from rarrl.alfred_plans import ALFRED_DOMAIN, VERBS
from rarrl.skills.domain import Domain
from rarrl.skills.plan import Plan

Arguments = dict[str, tuple[tuple[str, ...], ...]]
"""Verb -> the classes that each of its arguments may be."""


@dataclass(frozen=True)
class Names:
    """objects: what can be picked up. places: what something can be put on or in. lamps: what can be toggled."""

    objects: tuple[str, ...]
    places: tuple[str, ...]
    lamps: tuple[str, ...]

    @property
    def arguments(self) -> Arguments:
        """The shipped planner was trained to write any object behind all verbs but one; what may be heated, the checker
        knows."""
        return dict.fromkeys(VERBS, (self.objects,)) | {
            "PutObject": (self.objects, self.places),
            "ToggleObject": (self.lamps,),
        }


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The names of ALFRED's robot, under its operator's policy.

    What the operator forbids is known, but not offered to a model. Where it uses such a name all the same, the checker
    says who forbids it."""

    domain: Domain

    @cached_property
    def known(self) -> Names:
        """All names."""
        world = self.domain.world
        lamps = world.groups.get("lamps", ())
        return Names(world.names("portable"), tuple(sorted(world.names("receptacle"))), lamps)

    @cached_property
    def offered(self) -> Names:
        """What a model may use."""
        may, known = self.domain.may_name, self.known
        return Names(
            tuple(name for name in known.objects if may(name)),
            tuple(name for name in known.places if may(name, as_place=True)),
            tuple(name for name in known.lamps if may(name)),
        )

    @property
    def classes(self) -> frozenset[str]:
        """All names."""
        return frozenset(self.domain.world.named)

    @property
    def own(self) -> tuple[str, ...]:
        """Names of the operator's own, which a model trained on ALFRED alone does not know."""
        return self.domain.own

    @property
    def withheld_verbs(self) -> frozenset[str]:
        """What the operator forbids to do."""
        return self.domain.policy.forbidden_skills

    @property
    def arguments(self) -> Arguments:
        """All names that may stand behind a verb."""
        return self.known.arguments

    @property
    def offered_arguments(self) -> Arguments:
        """The same of the verbs and names that a model may use."""
        return {verb: names for verb, names in self.offered.arguments.items() if verb not in self.withheld_verbs}

    def allows(self, plan: Plan) -> bool:
        """Whether a model may write `plan`."""
        offered = self.offered_arguments
        return all(
            verb in offered and all(name in names for name, names in zip(arguments, offered[verb], strict=True))
            for verb, *arguments in plan.to_rows()
        )

    def lacking(self, names: Iterable[str], home: Iterable[str]) -> frozenset[str]:
        """Those of `names` that a home lacks, by the classes that the robot knows to be there.

        Where nothing to carry is among them the robot has but looked around: only furniture can be lacking then. Where
        `home` is empty nothing is known of it.

        >>> sorted(ALFRED.lacking(("mug", "desk", "sofa"), ("desk", "bed")))
        ['sofa']
        >>> sorted(ALFRED.lacking(("mug", "desk", "sofa"), ("desk", "bed", "pen")))
        ['mug', 'sofa']
        """
        there = frozenset(home)
        carried = frozenset(self.known.objects)
        furniture = frozenset(self.known.places) - carried
        lost = frozenset(names) - there
        if there & carried:
            return lost
        return lost & furniture if there & furniture else frozenset()

    def read(self, name: str, allowed: Iterable[str]) -> str:
        """See `Lexicon.read`.

        >>> ALFRED.read("Coffee_Machine", ALFRED.known.places)
        'coffeemachine'
        """
        return self.domain.lexicon.read(name, allowed)

    def named(self, text: str) -> frozenset[str]:
        """See `Lexicon.named`."""
        return self.domain.lexicon.named(text)

    def mentions(self, text: str, name: str) -> bool:
        """See `Lexicon.mentions`."""
        return self.domain.lexicon.mentions(text, name)


ALFRED = Vocabulary(ALFRED_DOMAIN)
"""The names that the shipped planner was trained on."""
