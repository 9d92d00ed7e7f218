"""Reads what a robot has met in its home from a JSON file: `{"countertop": ["mug", "knife"], "shelf": []}`."""

from __future__ import annotations

import difflib
from pathlib import Path

from rarrl.errors import InputError
from rarrl.reasoner.vocabulary import LAMPS, OBJECTS, PLACES
from rarrl.strict_json import MEND, read_json, short

_KNOWN = frozenset((*OBJECTS, *PLACES, *LAMPS))
"""Class names that a plan can hold."""


def read_home(path: Path) -> tuple[str, ...]:
    """Returns the class names in the file at `path` (place -> what was met there), sorted, for `Request.scene`.

    Raises: InputError if there is no such file, it has another shape, it holds a name that no plan can hold, or no plan
        could be written with its names. Level 2 plans only with these things, so a misspelt one could not be used."""
    met = read_json(path, "home", MEND)
    if not isinstance(met, dict) or not all(isinstance(things, list) for things in met.values()):
        raise InputError(f'home: {path}: expected {{"place": ["thing", ...], ...}}, got {short(met)}')

    names = [*met, *(thing for things in met.values() for thing in things)]
    for name in names:
        if not isinstance(name, str) or name not in _KNOWN:
            close = difflib.get_close_matches(str(name), _KNOWN, n=1)
            hint = f"; did you mean {close[0]}?" if close else "; leave it out"
            raise InputError(f"home: {path}: {short(name)} is no class of ALFRED's plans{hint}")

    if not set(names) & set(OBJECTS) or not set(names) & {*PLACES, *LAMPS}:
        raise InputError(f"home: {path}: names no object, or no place or lamp; no plan could be written of it")
    return tuple(sorted(set(names)))
