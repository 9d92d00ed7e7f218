"""The type of the callback to which long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""(done, text): how much is done, in the units that the function names (steps, tasks, ...), and a few words on it."""
