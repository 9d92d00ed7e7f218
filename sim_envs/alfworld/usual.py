"""Where things usually are in ALFWorld's homes: counted on the train games, kept in a small file, read for any home."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from rarrl.skills.domain import ROBOTS
from rarrl.strict_json import read_json

from .games import Game
from .pddl import read_problem
from .text import class_of
from .twin import names_of

USUAL_PATH = ROBOTS.parent / "alfworld_usual.json"
"""Thing -> class of receptacle -> how many such things are in or on one of them, in homes that have the thing."""
PRIOR_THINGS, PRIOR_PLACES = 0.5, 50.0
"""What a pair counts before it was seen: half a thing in fifty receptacles, so that nothing is ever ruled out."""
MIN_SHARE = 0.004
"""Smaller shares are left to what places share that are not named: one place of a large home in 250."""


def count_usual(games: Iterable[Game]) -> dict[str, dict[str, float]]:
    """Thing -> class of receptacle -> things in one of them, smoothed, of the beginnings of `games`."""
    things: Counter[tuple[str, str]] = Counter()
    places: Counter[tuple[str, str]] = Counter()  # (thing, class of receptacle): receptacles in homes with the thing
    for game in games:
        facts = read_problem(game.problem, f"ALFWorld: game {game.name}").facts
        names = names_of(each for rows in facts.values() for row in rows for each in row)
        classes = {each: class_of(name) for each, name in names.items()}
        located = [(classes[thing], classes[place]) for thing, place in facts.get("inreceptacle", ())]
        held = Counter(classes[place] for place, _ in facts.get("receptacletype", ()))
        things.update(located)
        for thing in {thing for thing, _ in located}:
            places.update({(thing, place): number for place, number in held.items()})

    found: dict[str, dict[str, float]] = {}
    for (thing, place), number in sorted(places.items()):
        rate = (things[thing, place] + PRIOR_THINGS) / (number + PRIOR_PLACES)
        found.setdefault(thing, {})[place] = round(rate, 5)
    return found


@lru_cache(maxsize=1)
def shipped_usual() -> Mapping[str, Mapping[str, float]]:
    """What was counted on the train games."""
    read: Any = read_json(USUAL_PATH, "usual places of ALFWorld's things")
    return {str(thing): {str(p): float(n) for p, n in rates.items()} for thing, rates in read["usual"].items()}


def shares(thing: str, places: Mapping[str, str], usual: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Place -> how likely a thing is there, in a home of `places` (place -> its class); those that count alone."""
    rates = usual.get(thing, {})
    never = PRIOR_THINGS / (PRIOR_PLACES + 1000.0)
    found = {place: rates.get(kind, never) for place, kind in places.items()}
    total = sum(found.values())
    return {place: round(rate / total, 4) for place, rate in found.items() if rate / total >= MIN_SHARE}
