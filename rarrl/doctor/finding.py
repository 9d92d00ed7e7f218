"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(str, Enum):
    """How a check ended. WARN: something optional is missing. FAIL: a robot would not
    run, or not with what is installed for it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One finding. fix: what to do, empty if there is nothing to do."""

    name: str
    status: Status
    detail: str
    fix: str = ""
