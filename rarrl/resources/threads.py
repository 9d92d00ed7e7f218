"""How many threads libraries may start, from the cores that there are: the one place that says so.

Each process would otherwise start as many threads as there are cores, in BLAS, OpenMP, OpenCV and Mesa alike, and those
of several processes spin against one another. Libraries read these variables as they load: they are set before. What
is in the environment already was set by the user, and stays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

OURS = "RARRL_PLANNED_THREADS"
"""Environment variable with the names of those that were set here, and not by the user."""
_ONE = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Linear algebra: matrices of a robot are so small that a second thread waits more than it computes. Training sets
PyTorch's threads itself."""
_SHARE = ("OPENCV_FOR_THREADS_NUM", "NUMBA_NUM_THREADS")
"""Loops over pictures: a process takes its share of the cores."""
_NONE = ("LP_NUM_THREADS",)
"""Mesa's software renderer (llvmpipe): 0 draws in the thread that asks."""


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def planned(processes: int, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with what each of `processes` processes that work at once is to set. What the user has set stays."""
    share = str(max(1, cores() // max(1, processes)))
    plan = {**dict.fromkeys(_ONE, "1"), **dict.fromkeys(_SHARE, share), **dict.fromkeys(_NONE, "0")}
    before = environ.get(OURS, "").split(",")
    ours = {name: number for name, number in plan.items() if name not in environ or name in before}
    return {**environ, **ours, OURS: ",".join(ours)}


def plan_threads(processes: int = 1) -> None:
    """For this process, which is one of `processes` that work at once, and for those that it starts. To be called
    before the libraries load."""
    os.environ.update(planned(processes, os.environ))


def plan_if_nobody_has() -> None:
    """The same for a process that works alone, unless it or whoever started it has planned already."""
    if OURS not in os.environ:
        plan_threads()


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """What is started meanwhile has these variables, too."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def threads_for(processes: int) -> Iterator[None]:
    """For processes that are started meanwhile, `processes` of which work at once."""
    with environment(planned(processes, os.environ)):
        yield
