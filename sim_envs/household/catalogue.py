"""What a home can hold, by ALFRED's class names: furniture and objects with sizes, what goes where, goal sentences.

The class names are ALFRED's (Shridhar et al., CVPR 2020); sizes, habits and sentences are our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Style(Enum):
    """The build of a piece of furniture, by which it is rendered."""

    BACKED = "backed"  # a block with a panel behind its surface: a shelf, a coffee machine
    BASIN = "basin"  # a block with a rim
    BLOCK = "block"
    LAMP = "lamp"  # a block with a lamp on a post
    NICHE = "niche"  # a block with a compartment open to the front, with or without a door
    SEAT = "seat"  # a block with a back rest
    TABLE = "table"  # a board on four legs


@dataclass(frozen=True)
class Furniture:
    """A class of furniture; metres.

    width: of the front. depth: front to back. height: of the surface that holds things. tall: of the whole body; 0: as
    `height`. style: how it is rendered. opens: it has a door, behind which things are hidden."""

    width: float
    depth: float
    height: float
    style: Style
    tall: float = 0.0
    opens: bool = False

    @property
    def is_surface(self) -> bool:
        """Whether anything can be put down on it: flat and open to above and front."""
        return self.style in (Style.BLOCK, Style.TABLE, Style.BACKED)

    @property
    def is_hollow(self) -> bool:
        """Whether things are in it, not on it."""
        return self.style in (Style.NICHE, Style.BASIN)


# Sizes of common pieces, our own choice.
FURNITURE: dict[str, Furniture] = {
    "armchair": Furniture(0.8, 0.7, 0.42, Style.SEAT, 0.85),
    "bathtubbasin": Furniture(1.4, 0.7, 0.45, Style.BASIN, 0.55),
    "bed": Furniture(1.4, 1.8, 0.5, Style.SEAT, 0.95),
    "cabinet": Furniture(0.8, 0.45, 0.62, Style.NICHE, 1.0, opens=True),
    "cart": Furniture(0.6, 0.4, 0.7, Style.TABLE),
    "coffeemachine": Furniture(0.5, 0.45, 0.85, Style.BACKED, 1.2),
    "coffeetable": Furniture(0.9, 0.5, 0.42, Style.TABLE),
    "countertop": Furniture(1.4, 0.6, 0.88, Style.BLOCK),
    "desk": Furniture(1.2, 0.6, 0.74, Style.TABLE),
    "desklamp": Furniture(0.5, 0.45, 0.6, Style.LAMP, 1.05),
    "diningtable": Furniture(1.3, 0.8, 0.75, Style.TABLE),
    "drawer": Furniture(0.6, 0.5, 0.42, Style.NICHE, 0.75, opens=True),
    "dresser": Furniture(1.0, 0.5, 0.85, Style.BLOCK),
    "floorlamp": Furniture(0.45, 0.45, 0.4, Style.LAMP, 1.6),
    "fridge": Furniture(0.7, 0.65, 0.85, Style.NICHE, 1.7, opens=True),
    "garbagecan": Furniture(0.5, 0.4, 0.4, Style.BASIN, 0.5),
    "microwave": Furniture(0.6, 0.5, 0.8, Style.NICHE, 1.15, opens=True),
    "ottoman": Furniture(0.6, 0.5, 0.4, Style.BLOCK),
    "safe": Furniture(0.5, 0.5, 0.4, Style.NICHE, 0.8, opens=True),
    "shelf": Furniture(0.9, 0.35, 0.8, Style.BACKED, 1.5),
    "sidetable": Furniture(0.55, 0.45, 0.6, Style.TABLE),
    "sinkbasin": Furniture(0.8, 0.55, 0.78, Style.BASIN, 0.88),
    "sofa": Furniture(1.7, 0.8, 0.42, Style.SEAT, 0.85),
    "stoveburner": Furniture(0.7, 0.6, 0.86, Style.BLOCK),
    "toilet": Furniture(0.5, 0.6, 0.75, Style.BACKED, 0.9),
    "toiletpaperhanger": Furniture(0.5, 0.3, 0.7, Style.BACKED, 0.9),
}
APPLIANCES = {"CleanObject": "sinkbasin", "HeatObject": "microwave", "CoolObject": "fridge"}
"""Verb of a treatment -> where it is done."""

# Class -> shape (box, ball, can) and half sides, metres. Shape, size and colour of its class identify a thing.
OBJECTS: dict[str, tuple[str, tuple[float, float, float]]] = {
    "alarmclock": ("can", (0.05, 0.05, 0.05)),
    "apple": ("ball", (0.04, 0.04, 0.04)),
    "baseballbat": ("box", (0.03, 0.12, 0.03)),
    "basketball": ("ball", (0.1, 0.1, 0.1)),
    "book": ("box", (0.07, 0.09, 0.02)),
    "bowl": ("can", (0.08, 0.08, 0.03)),
    "box": ("box", (0.09, 0.09, 0.06)),
    "bread": ("box", (0.06, 0.1, 0.05)),
    "butterknife": ("box", (0.015, 0.09, 0.01)),
    "candle": ("can", (0.03, 0.03, 0.06)),
    "cd": ("can", (0.06, 0.06, 0.006)),
    "cellphone": ("box", (0.04, 0.07, 0.01)),
    "cloth": ("box", (0.08, 0.08, 0.01)),
    "creditcard": ("box", (0.03, 0.05, 0.004)),
    "cup": ("can", (0.04, 0.04, 0.05)),
    "dishsponge": ("box", (0.04, 0.06, 0.02)),
    "egg": ("ball", (0.03, 0.03, 0.03)),
    "fork": ("box", (0.012, 0.08, 0.008)),
    "glassbottle": ("can", (0.035, 0.035, 0.1)),
    "handtowel": ("box", (0.08, 0.1, 0.02)),
    "kettle": ("can", (0.08, 0.08, 0.09)),
    "keychain": ("ball", (0.025, 0.025, 0.025)),
    "knife": ("box", (0.015, 0.11, 0.012)),
    "ladle": ("box", (0.02, 0.11, 0.02)),
    "laptop": ("box", (0.1, 0.12, 0.015)),
    "lettuce": ("ball", (0.08, 0.08, 0.08)),
    "mug": ("can", (0.045, 0.045, 0.05)),
    "newspaper": ("box", (0.08, 0.1, 0.01)),
    "pan": ("can", (0.1, 0.1, 0.025)),
    "pen": ("box", (0.01, 0.06, 0.01)),
    "pencil": ("box", (0.008, 0.07, 0.008)),
    "peppershaker": ("can", (0.025, 0.025, 0.05)),
    "pillow": ("box", (0.1, 0.12, 0.06)),
    "plate": ("can", (0.1, 0.1, 0.012)),
    "plunger": ("can", (0.05, 0.05, 0.12)),
    "pot": ("can", (0.09, 0.09, 0.07)),
    "potato": ("ball", (0.045, 0.045, 0.045)),
    "remotecontrol": ("box", (0.03, 0.08, 0.012)),
    "saltshaker": ("can", (0.025, 0.025, 0.05)),
    "soapbar": ("box", (0.03, 0.05, 0.015)),
    "soapbottle": ("can", (0.035, 0.035, 0.08)),
    "spatula": ("box", (0.03, 0.11, 0.01)),
    "spoon": ("box", (0.015, 0.08, 0.008)),
    "spraybottle": ("can", (0.04, 0.04, 0.1)),
    "statue": ("can", (0.05, 0.05, 0.12)),
    "tennisracket": ("box", (0.08, 0.12, 0.015)),
    "tissuebox": ("box", (0.06, 0.1, 0.04)),
    "toiletpaper": ("can", (0.05, 0.05, 0.05)),
    "tomato": ("ball", (0.038, 0.038, 0.038)),
    "vase": ("can", (0.06, 0.06, 0.12)),
    "watch": ("box", (0.025, 0.04, 0.012)),
    "wateringcan": ("can", (0.07, 0.07, 0.08)),
    "winebottle": ("can", (0.04, 0.04, 0.13)),
}

# Where kinds of things are found.
_COOK = "countertop diningtable sinkbasin fridge microwave cabinet garbagecan"
_STORE = "countertop diningtable cabinet drawer shelf"
_SIT = "sofa armchair bed ottoman coffeetable"
_OFFICE = "desk dresser sidetable shelf drawer safe coffeetable"
_BATH = "countertop cabinet garbagecan bathtubbasin toilet cart drawer"
HABITS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = tuple(
    (tuple(objects.split()), tuple(places.split()))
    for objects, places in (
        ("apple bread egg lettuce potato tomato", _COOK),
        ("bowl cup mug pan plate pot kettle winebottle glassbottle", _COOK + " shelf stoveburner"),
        ("butterknife fork knife ladle spatula spoon", "countertop diningtable sinkbasin drawer"),
        ("peppershaker saltshaker dishsponge", _STORE),
        ("cloth handtowel soapbar soapbottle spraybottle toiletpaper candle plunger", _BATH),
        ("pillow newspaper remotecontrol laptop basketball baseballbat tennisracket box", _SIT + " desk dresser"),
        ("alarmclock book cd cellphone creditcard keychain pen pencil watch", _OFFICE + " bed sofa"),
        ("statue vase tissuebox wateringcan", _OFFICE),
    )
)
"""(objects, places): where each kind of thing is found and put."""

NAMES = {
    "alarmclock": "alarm clock",
    "baseballbat": "baseball bat",
    "bathtubbasin": "bathtub",
    "butterknife": "butter knife",
    "cd": "CD",
    "cellphone": "cell phone",
    "coffeemachine": "coffee machine",
    "coffeetable": "coffee table",
    "countertop": "counter",
    "creditcard": "credit card",
    "desklamp": "desk lamp",
    "diningtable": "dining table",
    "dishsponge": "dish sponge",
    "floorlamp": "floor lamp",
    "garbagecan": "garbage can",
    "glassbottle": "glass bottle",
    "handtowel": "hand towel",
    "peppershaker": "pepper shaker",
    "remotecontrol": "remote control",
    "saltshaker": "salt shaker",
    "sidetable": "side table",
    "sinkbasin": "sink",
    "soapbar": "soap bar",
    "soapbottle": "soap bottle",
    "spraybottle": "spray bottle",
    "stoveburner": "stove",
    "tennisracket": "tennis racket",
    "tissuebox": "tissue box",
    "toiletpaper": "toilet paper",
    "toiletpaperhanger": "toilet paper hanger",
    "wateringcan": "watering can",
    "winebottle": "wine bottle",
}
"""Class -> its words in a sentence; other classes are their own words."""

SENTENCES: dict[str, tuple[str, ...]] = {
    "pick_and_place_simple": (
        "Put the {object} {place}.",
        "Take the {object} and leave it {place}.",
        "The {object} belongs {place}, bring it there.",
    ),
    "pick_two_obj_and_place": (
        "Put two {object}s {place}.",
        "Leave both {object}s {place}.",
    ),
    "look_at_obj_in_light": (
        "Look at the {object} by the light of the {lamp}.",
        "Hold the {object} and switch the {lamp} on.",
    ),
    "pick_clean_then_place_in_recep": (
        "Rinse the {object}, then put it {place}.",
        "Put a washed {object} {place}.",
    ),
    "pick_heat_then_place_in_recep": (
        "Warm the {object} and put it {place}.",
        "Put a hot {object} {place}.",
    ),
    "pick_cool_then_place_in_recep": (
        "Chill the {object} and put it {place}.",
        "Put a cold {object} {place}.",
    ),
    "pick_and_place_with_movable_recep": (
        "Put the {object} into the {movable} and the {movable} {place}.",
        "Leave the {movable} with the {object} in it {place}.",
    ),
}
"""Task type -> templates of its goal; {place} is "on the desk" or "in the drawer"."""
