"""Long work: the type of the callback to which it reports its progress, and the same work on many things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

Progress = Callable[[float, str], None]
"""(done, text): how much is done, in the units that the function names (steps, tasks, ...), and a few words on it."""


def counted(progress: Progress | None) -> Callable[[str], None]:
    """`progress` for callers that pass names alone: it counts how many came before."""
    done = 0

    def report(name: str) -> None:
        nonlocal done
        if progress:
            progress(done, name)
        done += 1

    return report


Item = TypeVar("Item")
Found = TypeVar("Found")


def done_on_each(
    one: Callable[[Item], Found],
    items: Sequence[Item],
    pool: Executor | None,
    say: Callable[[str, float], None],
    what: str,
) -> list[Found]:
    """What `one` returns for each of `items`, in their order.

    pool: does it, as `spread.crew` makes it; None: this process. say: hears how many of them are done, such as "3 of 8
    missions" where `what` is "missions", and their share."""
    found: list[Found] = []
    for result in map(one, items) if pool is None else pool.map(one, items, chunksize=4):
        found.append(result)
        say(f"{len(found)} of {len(items)} {what}", len(found) / len(items))
    return found
