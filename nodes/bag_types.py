"""Definitions of message types as texts, for a bag: each with the types that it is made of."""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from pathlib import Path

BASIC = frozenset(("bool", "byte", "char", "string", "wstring", "float32", "float64")) | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_FIELD = re.compile(r"\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[A-Za-z]\w*")
SEPARATOR = "=" * 80


@lru_cache(maxsize=512)
def definition_of(kind: str) -> str | None:
    """The definition of `kind`, such as sensor_msgs/msg/LaserScan, as `ros2msg` of MCAP has it: its own .msg file, and
    behind a separator that of each type that it is made of. None where a file is missing.

    https://mcap.dev/spec/registry#ros2msg"""
    package, _, name = kind.partition("/msg/")
    texts: dict[str, str] = {}
    todo = [f"{package}/{name}"]
    while todo:
        known = todo.pop(0)
        if known in texts:
            continue
        text = _file(known)
        if text is None:
            return None
        texts[known] = text
        todo += _parts(known, text)
    own, *others = texts
    return "\n".join([texts[own], *(f"{SEPARATOR}\nMSG: {other}\n{texts[other]}" for other in others)])


def _parts(known: str, text: str) -> list[str]:
    """The types of a definition's fields that are no basic ones, as package/Name."""
    found = []
    for line in text.splitlines():
        field = _FIELD.match(line.split("#")[0])
        if field and field[1] not in BASIC:
            found.append(field[1] if "/" in field[1] else f"{known.partition('/')[0]}/{field[1]}")
    return found


def _file(known: str) -> str | None:
    """The text of a .msg file, of a sourced ROS installation or of ROS's packages for pip; None where there is none."""
    package, _, name = known.partition("/")
    for prefix in (*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix):
        try:
            return Path(prefix, "share", package, "msg", f"{name}.msg").read_text("utf-8")
        except (OSError, ValueError):
            continue
    return None
