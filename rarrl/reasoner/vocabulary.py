"""The class names that plans are made of: ALFRED's and the operator's own, and how people and models write them.

Grammar, prompt, parser and checker all read one `Vocabulary`, so that what a model is told, what it may write, and what
the robot may do are the same names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from rarrl.reasoner.plan import VERBS, Plan

# Class names of ALFRED's expert plans (train split).
_OBJECTS = """
    alarmclock apple baseballbat basketball book bowl box bread butterknife candle cd cellphone cloth creditcard cup
    dishsponge egg fork glassbottle handtowel kettle keychain knife ladle laptop lettuce mug newspaper pan pen pencil
    peppershaker pillow plate plunger pot potato remotecontrol saltshaker soapbar soapbottle spatula spoon spraybottle
    statue tennisracket tissuebox toiletpaper tomato vase watch wateringcan winebottle
"""
_PLACES = """
    armchair bathtubbasin bed bowl box cabinet cart coffeemachine coffeetable countertop cup desk diningtable drawer
    dresser fridge garbagecan microwave mug ottoman pan plate pot safe shelf sidetable sinkbasin sofa stoveburner
    toilet toiletpaperhanger
"""
OBJECTS = tuple(_OBJECTS.split())
"""Classes that ALFRED's expert plans pick up."""
PLACES = tuple(_PLACES.split())
"""Classes on or in which they put it."""
LAMPS = ("desklamp", "floorlamp")
"""Classes that they toggle."""

_SPOKEN = {
    "alarmclock": "alarm clock",
    "baseballbat": "baseball bat",
    "bathtubbasin": "bathtub basin, bathtub, bath tub, tub",
    "butterknife": "butter knife",
    "cabinet": "cabinet, cupboard",
    "cd": "cd, compact disc",
    "cellphone": "cell phone, mobile phone, phone, smartphone",
    "coffeemachine": "coffee machine, coffee maker, coffeemaker",
    "coffeetable": "coffee table",
    "countertop": "counter top, counter, kitchen counter",
    "creditcard": "credit card",
    "desklamp": "desk lamp",
    "diningtable": "dining table, dinner table",
    "dishsponge": "dish sponge, sponge",
    "floorlamp": "floor lamp, standing lamp",
    "fridge": "fridge, refrigerator",
    "garbagecan": "garbage can, garbage bin, trash can, trash bin, rubbish bin, waste bin, bin, trashcan",
    "glassbottle": "glass bottle",
    "handtowel": "hand towel",
    "keychain": "key chain, keyring",
    "laptop": "laptop computer",
    "lettuce": "lettuce, cabbage",
    "microwave": "microwave, microwave oven",
    "newspaper": "news paper",
    "peppershaker": "pepper shaker, pepper pot",
    "plunger": "toilet plunger",
    "remotecontrol": "remote control, remote",
    "saltshaker": "salt shaker",
    "shelf": "shelf, bookshelf",
    "sidetable": "side table, bedside table, end table",
    "sinkbasin": "sink basin, sink, wash basin, washbasin",
    "soapbar": "soap bar, bar of soap, soap",
    "soapbottle": "soap bottle, bottle of soap",
    "sofa": "sofa, couch",
    "spraybottle": "spray bottle",
    "statue": "statue, statuette, figurine",
    "stoveburner": "stove burner, burner, stove",
    "tennisracket": "tennis racket, tennis racquet",
    "tissuebox": "tissue box, box of tissues",
    "toiletpaper": "toilet paper, toilet roll, roll of toilet paper",
    "toiletpaperhanger": "toilet paper hanger, toilet paper holder",
    "wateringcan": "watering can",
    "winebottle": "wine bottle, bottle of wine",
}
"""Class -> how people and language models say it, the plainest first; other classes are their own word."""


@dataclass(frozen=True)
class Vocabulary:
    """The class names that plans may hold. Made by `OperatorPolicy.vocabulary`.

    objects: what can be picked up. places: what something can be put on or in. lamps: what can be toggled. own: those
    of the operator, which ALFRED does not have, and which a model trained on ALFRED alone does not know.
    withheld_objects, withheld_places, withheld_verbs: known, but not offered to a model, because the operator forbids
    them. Where a model uses one all the same, the checker says who forbids it."""

    objects: tuple[str, ...] = OBJECTS
    places: tuple[str, ...] = PLACES
    lamps: tuple[str, ...] = LAMPS
    own: tuple[str, ...] = ()
    withheld_objects: frozenset[str] = frozenset()
    withheld_places: frozenset[str] = frozenset()
    withheld_verbs: frozenset[str] = frozenset()

    @cached_property
    def classes(self) -> frozenset[str]:
        """All names."""
        return frozenset((*self.objects, *self.places, *self.lamps))

    @cached_property
    def containers(self) -> frozenset[str]:
        """Objects that hold others while they are carried."""
        return frozenset(self.objects) & frozenset(self.places)

    @cached_property
    def arguments(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """Verb -> the classes that each of its arguments may be."""
        return dict.fromkeys(VERBS, (self.objects,)) | {
            "PutObject": (self.objects, self.places),
            "ToggleObject": (self.lamps,),
        }

    @cached_property
    def offered(self) -> Vocabulary:
        """What a model may use."""
        return Vocabulary(
            tuple(name for name in self.objects if name not in self.withheld_objects),
            tuple(name for name in self.places if name not in self.withheld_places | self._banned_containers),
            tuple(name for name in self.lamps if name not in self.withheld_objects),
            self.own,
        )

    @property
    def _banned_containers(self) -> frozenset[str]:
        return self.withheld_objects & self.containers

    @property
    def offered_arguments(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """`arguments` of the verbs that a model may use, with the names that it may use."""
        arguments = self.offered.arguments
        return {verb: names for verb, names in arguments.items() if verb not in self.withheld_verbs}

    def allows(self, plan: Plan) -> bool:
        """Whether a model may write `plan`."""
        offered = self.offered_arguments
        return all(
            verb in offered and all(name in names for name, names in zip(arguments, offered[verb], strict=True))
            for verb, *arguments in plan.to_rows()
        )

    def extended(self, objects: Iterable[str], places: Iterable[str]) -> Vocabulary:
        """The same with names of the operator's own."""
        objects, places = sorted(objects), sorted(places)
        return replace(
            self,
            objects=tuple(dict.fromkeys((*self.objects, *objects))),
            places=tuple(dict.fromkeys((*self.places, *places))),
            own=tuple(sorted({*self.own, *objects, *places} - Vocabulary().classes)),
        )

    def read(self, name: str, allowed: Iterable[str]) -> str:
        """Returns the class among `allowed` that `name` means, as models write them: "Mug", "mugs", "coffee machine",
        "Coffee_Machine", "CoffeeMachine", "mug 1", or the last words of what one class alone is called ("clock").

        Raises: ValueError where it means none of them, or could mean several.

        >>> Vocabulary().read("Coffee_Machine", PLACES)
        'coffeemachine'
        """
        allowed = tuple(allowed)
        if name in allowed:
            return name

        found: set[str] = set()
        for said in _glued([word for word in _words(name) if word not in ("a", "an", "the")]):
            found = {each for each in self._whole.get(said, ()) if each in allowed}
            found = found or {each for each in self._ends.get(said, ()) if each in allowed}
            if found:
                break

        if len(found) > 1:
            raise ValueError(f"{name!r:.40} may mean {', '.join(sorted(found))}")
        if not found:
            raise ValueError(f"{name!r:.40} is no name that may stand there")
        return found.pop()

    def spelt(self, name: str) -> frozenset[str]:
        """Returns the classes that `name` is a writing of, in full: "Drills" of drill.

        >>> sorted(Vocabulary().spelt("Knives"))
        ['knife']
        """
        return frozenset(each for said in _glued(_words(name)) for each in self._whole.get(said, ()))

    def named(self, text: str) -> frozenset[str]:
        """Returns the classes that `text` names in full. "coffee table" names no coffee machine, and "table" nothing.

        >>> sorted(Vocabulary().named("Put two mugs on the coffee machine, not on the table"))
        ['coffeemachine', 'mug']
        """
        words = _words(text)
        found: set[str] = set()
        at = 0
        while at < len(words):
            for length in range(min(4, len(words) - at), 0, -1):
                meant = [each for said in _glued(words[at : at + length]) for each in self._whole.get(said, ())]
                if meant:
                    break
            found.update(meant[:1])
            at += length
        return frozenset(found)

    def mentions(self, text: str, name: str) -> bool:
        """Whether `text` names the class, or says a word that may mean it: "table" a dining table."""
        words = [said for word in _words(text) for said in _glued([word])]
        return name in self.named(text) or any(name in self._ends.get(word, ()) for word in words)

    @cached_property
    def _whole(self) -> dict[str, list[str]]:
        """What a class is called, without spaces -> the classes."""
        return _index((said, each) for each in sorted(self.classes) for said in _sayings(each))

    @cached_property
    def _ends(self) -> dict[str, list[str]]:
        """The last words of what a class is called, without spaces -> the classes."""
        return _index(
            (said[at:], each) for each in sorted(self.classes) for said in _sayings(each) for at in range(1, len(said))
        )


ALFRED = Vocabulary()
"""The names that the shipped planner was trained on."""


def _index(sayings: Iterable[tuple[list[str], str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for said, name in sayings:
        names = found.setdefault("".join(said), [])
        if name not in names:
            names.append(name)
    return found


def _sayings(name: str) -> list[list[str]]:
    """The ways to say a class name, each as words; its own spelling is one of them."""
    return [_words(name), *(_words(each) for each in _SPOKEN.get(name, "").split(",") if each.strip())]


def _words(text: str) -> list[str]:
    """Words in lower case; CamelCase is split; numbers at the end, as in "mug 1" and "Mug_2", are left out."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    words = re.findall(r"\w+", text.replace("_", " ").lower())
    while len(words) > 1 and words[-1].isdecimal():
        words.pop()
    return words


def _glued(words: list[str]) -> list[str]:
    """`words` without spaces, as they are and in the singular."""
    text = "".join(words)
    found = [text]
    if text.endswith("ves"):
        found += [text[:-3] + "f", text[:-3] + "fe"]
    if text.endswith("es"):
        found.append(text[:-2])
    if text.endswith("s") and not text.endswith("ss"):
        found.append(text[:-1])
    return found
