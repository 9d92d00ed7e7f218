"""The executive's journal: a file that is written before each goal and after each result, so that a process that was
killed goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rarrl.errors import InputError
from rarrl.executive.commands import Commands
from rarrl.executive.executive import TaskExecutive
from rarrl.files import write_json_atomic
from rarrl.strict_json import read_json, short

VERSION = 1
MAX_AGE_S = 3600.0
"""An older journal is not gone on with: in an hour the world has changed more than beliefs survive."""


class Journal:
    """One file.

    Args:
        path: of the file.
        wall_clock: seconds since 1970; how long the process was down is measured with it.
    """

    def __init__(self, path: Path, wall_clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._wall_clock = wall_clock

    def save(self, executive: TaskExecutive) -> None:
        """Writes the file, whole or not at all. Raises: OSError."""
        write_json_atomic(
            self.path, {"version": VERSION, "written_at": self._wall_clock(), "executive": executive.to_json()}
        )

    def restore(self, executive: TaskExecutive, now_s: float) -> Commands:
        """Goes on with what the file says; () where there is none, or it is older than MAX_AGE_S.

        Raises: InputError, one line, for a file that is damaged or of other skills; it is left as it is."""
        if not self.path.exists():
            return ()
        value = read_json(self.path, "journal", "remove it to begin without it")
        try:
            return self._restored(executive, value, now_s)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, InputError) as error:
            reason = f"key {error} is missing" if isinstance(error, KeyError) else short(str(error), 200)
            raise InputError(f"journal: {self.path}: {reason}; remove it to begin without it") from None

    def _restored(self, executive: TaskExecutive, value: Any, now_s: float) -> Commands:
        if value["version"] != VERSION:
            raise ValueError(f"version {short(value['version'])} is not allowed (allowed: {VERSION})")
        down_s = self._wall_clock() - float(value["written_at"])
        if not 0.0 <= down_s < MAX_AGE_S:
            return ()
        written = {**value["executive"]}
        written["now_s"] = float(written["now_s"]) + down_s
        return executive.restore(written, now_s)
