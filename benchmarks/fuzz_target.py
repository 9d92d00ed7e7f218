"""A parser that is fuzzed: what it documents, and from what its inputs are made."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fuzz_mutators import Mutator

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # homes, robots and policies that are made by hand

from rarrl.errors import InputError  # noqa: E402

DATA = ROOT / "rarrl" / "data"
MODELS = ROOT / "rarrl" / "models"
CHEAP, COSTLY, DEAR = 100_000, 20_000, 3_000
"""Executions: where a run takes a tenth of a millisecond, half of one, and several (YAML in plain Python, weights)."""

Parse = Callable[[bytes], object]
Start = Callable[[Path], tuple[Parse, Mutator]]
"""Takes an empty folder; gives the parser and the damaged inputs. It is called in the parser's own process."""


@dataclass(frozen=True)
class Target:
    """One parser. needs: modules without which it is left out. native: whether it calls code that could end the
    process. errors: what it documents."""

    name: str
    start: Start
    runs: int = CHEAP
    needs: tuple[str, ...] = ()
    native: bool = False
    errors: tuple[type[Exception], ...] = (InputError,)

    def missing(self) -> str:
        """Why it cannot run here; "" where it can."""
        lacks = [name for name in self.needs if find_spec(name) is None]
        return f"{', '.join(lacks)} is not installed" if lacks else ""


TARGETS: list[Target] = []


def target(name: str, **more: Any) -> Callable[[Start], Start]:
    """Adds a function to TARGETS."""

    def add(start: Start) -> Start:
        TARGETS.append(Target(name, start, **more))
        return start

    return add


def at(path: Path, read: Callable[[Path], object]) -> Parse:
    """A parser of files as one of bytes."""

    def parse(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return parse


def document(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text("utf-8"))


def value_of(data: bytes) -> Any:
    """What strict JSON leaves of `data`: the trees that YAML could hold as well."""
    from rarrl.strict_json import parse_json

    return parse_json(data, "file", "a.json")
