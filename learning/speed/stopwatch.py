"""How long each stage of a call takes, by wrapping the functions that it calls for as long as it is watched."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any


class Stopwatch:
    """Adds up real time by stage. A stage that is called by another one counts for itself alone.

    ms: milliseconds of each stage since the last `clear`."""

    def __init__(self) -> None:
        self.ms: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = []  # of the stages that run: seconds of those that they have called

    def clear(self) -> None:
        """Begins anew."""
        self.ms.clear()

    def wrap(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, timed as `stage`."""

        @wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                took = time.perf_counter() - start
                self.ms[stage] += 1e3 * (took - self._inner.pop())
                if self._inner:
                    self._inner[-1] += took

        return timed

    @contextmanager
    def watching(self, spots: Sequence[tuple[str, Any, str]]) -> Iterator[None]:
        """Times calls in the block. spots: (stage, owner, name), where `owner.name` is what is called: a function of a
        module, or a method of a class or an object.

        Raises: AttributeError for a spot that is not there, so that a stage that was renamed is not lost."""
        before = [(owner, name, name in vars(owner), getattr(owner, name)) for _, owner, name in spots]
        for (stage, owner, name), (*_, call) in zip(spots, before, strict=True):
            setattr(owner, name, self.wrap(stage, call))
        try:
            yield
        finally:
            for owner, name, own, call in reversed(before):
                if own:
                    setattr(owner, name, call)
                else:
                    delattr(owner, name)
