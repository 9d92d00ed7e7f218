"""What calls of a live language model are expected to cost: at first what a latency profile says, then what they take.

A profile was recorded with one model on one machine. Asked for real, another model may take a hundred times as long,
and a policy that goes on believing the profile spends a whole budget on its first call.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from rarrl.orchestrator.features import Costs, Floats
from rarrl.types import THINK_ACTIONS, CallStatus, LlmCall

WINDOW = 20
"""Calls of one kind that are remembered: a server that becomes slow is believed to be slow about ten calls later."""
PRIOR_CALLS = 1.0
"""How many calls of one's own the expectation from before counts as. It is small because calls of one model resemble
each other much more than those of two."""
_MOVED_ON = (CallStatus.BACKEND_DOWN,)
"""Ends of a call that say nothing of what an answer costs."""


class RunningCosts:
    """`Costs` that start as those of a profile and follow the calls that are made.

    A kind of call that was never made is expected to differ from the profile as the others did, in the mean of the
    logarithms. A call that was given up counts with the seconds until then, which is the least it takes.

    Args:
        prior: what the profile says.

    Attributes:
        calls: how many have been taken in.
    """

    def __init__(self, prior: Costs) -> None:
        self.calls = 0
        self._prior = prior
        self._seconds: list[deque[float]] = [deque(maxlen=WINDOW) for _ in THINK_ACTIONS]
        self._tokens: list[deque[float]] = [deque(maxlen=WINDOW) for _ in THINK_ACTIONS]
        self._update()

    @property
    def mean_s(self) -> Floats:
        """Seconds of a call, per THINK action."""
        return self._mean_s

    @property
    def p95_s(self) -> Floats:
        """Seconds that 95 % of the calls stay below, per THINK action."""
        return self._p95_s

    @property
    def mean_tokens(self) -> Floats:
        """Tokens of a call, read and written, per THINK action."""
        return self._mean_tokens

    @property
    def max_tokens(self) -> Floats:
        """Most tokens of a call, per THINK action."""
        return self._max_tokens

    def observe(self, call: LlmCall) -> None:
        """Takes in what a call took."""
        if call.status in _MOVED_ON or call.seconds <= 0.0:
            return

        option = THINK_ACTIONS.index(call.action)
        self.calls += 1
        self._seconds[option].append(call.seconds)
        if call.tokens > 0.0:
            self._tokens[option].append(call.tokens)
        self._update()

    def _update(self) -> None:
        prior = self._prior
        seconds, slower = _follow(prior.mean_s, self._seconds)
        tokens, longer = _follow(prior.mean_tokens, self._tokens)

        slowest = [float(np.quantile(own, 0.95)) if own else 0.0 for own in self._seconds]
        longest = [max(own, default=0.0) for own in self._tokens]
        self._mean_s = seconds
        self._mean_tokens = tokens
        self._p95_s = np.maximum(prior.p95_s * slower, slowest)
        self._max_tokens = np.maximum(prior.max_tokens * longer, longest)


def _follow(prior: Floats, own: list[deque[float]]) -> tuple[Floats, Floats]:
    """The expectation per kind of call, and by which factor it differs from `prior`."""
    counts = np.array([len(calls) for calls in own], dtype=np.float64)
    means = np.array([np.mean(calls) if calls else 0.0 for calls in own])
    base = np.maximum(np.asarray(prior, dtype=np.float64), 1e-9)

    known = counts > 0
    others = np.exp(np.mean(np.log(means[known] / base[known]))) if known.any() else 1.0
    expected = (PRIOR_CALLS * base * others + counts * means) / (PRIOR_CALLS + counts)
    return expected, expected / base
