"""Reads what a robot has met in its home from a JSON file: `{"countertop": ["mug", "knife"], "shelf": []}`."""

from __future__ import annotations

from pathlib import Path

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.errors import InputError
from rarrl.plugins import did_you_mean
from rarrl.skills.domain import Domain
from rarrl.strict_json import MEND, read_json, short


def read_home(path: Path, domain: Domain = ALFRED_DOMAIN) -> tuple[str, ...]:
    """Returns the names in the file at `path` (place -> what was met there), sorted, for `Request.scene`.

    Raises: InputError if there is no such file, it has another shape, it holds a name that the robot does not know, or
        no plan could be written with its names. Level 2 plans only with these things, so a misspelt one could not be
        used."""
    met = read_json(path, "home", MEND)
    if not isinstance(met, dict) or not all(isinstance(things, list) for things in met.values()):
        raise InputError(f'home: {path}: expected {{"place": ["thing", ...], ...}}, got {short(met)}')

    world = domain.world
    names = [*met, *(thing for things in met.values() for thing in things)]
    for name in names:
        if not isinstance(name, str) or name not in world.named:
            hint = did_you_mean(str(name), world.named) or "; leave it out"
            raise InputError(f"home: {path}: {short(name)} is no thing, place, door or room of this robot{hint}")

    portable = set(world.names("portable"))
    if not set(names) & portable or not set(names) & {*world.names("receptacle"), *(world.named.keys() - portable)}:
        raise InputError(f"home: {path}: names no thing to carry, or no place for it; no plan could be written of it")
    return tuple(sorted(set(names)))
