"""The sets of tasks with instructions that demonstrations, training, evaluation and the command line know."""

from __future__ import annotations

from rarrl.errors import InputError

from .libero.suite import SUITES as LIBERO
from .metaworld.suite import SUITE as METAWORLD
from .suite import Control, Env, Suite, Task
from .tabletop.suite import SUITE as TABLETOP

__all__ = ["SUITES", "Control", "Env", "Suite", "Task", "suite_named"]

SUITES: dict[str, Suite] = {suite.name: suite for suite in (METAWORLD, TABLETOP, *LIBERO)}
"""Name, as `--suite` takes it -> suite."""


def suite_named(name: str) -> Suite:
    """Raises: InputError for an unknown name."""
    if name not in SUITES:
        raise InputError(f"--suite: {name!r} is unknown; allowed: {', '.join(SUITES)}")
    return SUITES[name]
