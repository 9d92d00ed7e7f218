"""What calls of a language model are expected to cost: at first what a latency profile says, then what they take.

A profile was recorded with one model on one machine. Asked for real, another model may take a hundred times as long,
a robot whose cores are busy waits four times as long for the same one, and a policy that goes on believing the profile
spends a whole budget on its first call.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.orchestrator.call_filter import SECONDS, TOKENS, Z95, CallFilter, t_quantile
from rarrl.orchestrator.features import Costs, Floats
from rarrl.types import THINK_ACTIONS, CallStatus, LlmCall

COLD_AFTER_S = 240.0
"""Seconds without a call after which the next one may find the model cold. Servers on one's own machine unload a model
after five minutes without a call (Ollama's `keep_alive`), and hosts without own machines after a similar time."""
FIRST_TOKENS = 30
"""Calls of a kind among which the fastest first token is looked for: with fewer, a lasting queue is soon taken for a
slower server."""
WAIT_MEMORY = 0.6
"""Share that the wait expected before keeps when a call has told of its own: queues last for a few calls."""
EXPONENTIAL_95 = 3.0
"""The 95 % quantile of an exponential distribution over its mean: waits vary by as much as they are long."""
TOKEN_SPREAD = 0.25
"""Standard deviation of the logarithm of a call's tokens where the profile does not tell it, as it does of seconds."""
MOST_RATIO = 1e4
"""Calls cost this factor more or less than the profile says, at most: beyond, a number is a mistake."""
MOST_SLOWDOWN = 100.0
"""More than this counts as this."""
_NEW_LOAD = 0.02
"""Change of the load's logarithm from which on the costs are written anew."""
_STREAMED = 0.02
"""Share of a call's seconds after its first token, at least: with less, the answer came in one piece."""
_UNANSWERED = (CallStatus.BACKEND_DOWN,)
"""Ends of a call that say nothing of what an answer costs."""
_GIVEN_UP = (CallStatus.TIMEOUT, CallStatus.WITHDRAWN)
"""Ends of a call whose seconds are the least that it would have taken."""


class CostsOfRobots:
    """What calls are expected to cost n robots: `RunningCosts` for one, evaluation for many side by side.

    Args:
        mean_s, p95_s, mean_tokens, max_tokens: (4,) or (4, n), what the profile says
        n: robots

    Attributes:
        mean_s, p95_s, mean_tokens, max_tokens: (4, n), of a call made now. Written anew by `update`.
    """

    def __init__(self, mean_s: Floats, p95_s: Floats, mean_tokens: Floats, max_tokens: Floats, n: int = 1) -> None:
        prior = (np.asarray(part, dtype=np.float64) for part in (mean_s, p95_s, mean_tokens, max_tokens))
        self._prior = [np.array(np.broadcast_to(part.reshape(len(THINK_ACTIONS), -1), (4, n))) for part in prior]
        mean_s, mean_tokens = np.maximum(self._prior[0], 1e-9), np.maximum(self._prior[2], 1e-9)
        self._spread = lognormal_spread(mean_s, self._prior[1])
        self._base = mean_s * np.exp(-0.5 * self._spread**2), mean_tokens * np.exp(-0.5 * TOKEN_SPREAD**2)
        self.seconds = CallFilter(self._spread, n, SECONDS)
        self.token_filter = CallFilter(np.full((4, n), TOKEN_SPREAD), n, TOKENS)
        self._longest = np.zeros((4, n))
        self.mean_s, self.p95_s, self.mean_tokens, self.max_tokens = (part.copy() for part in self._prior)

    def observe(
        self,
        where: NDArray[np.int64],
        kind: NDArray[np.int64],
        seconds: Floats,
        tokens: Floats,
        at_least: NDArray[np.bool_],
        cold: NDArray[np.bool_],
        load: Floats | float = 0.0,
    ) -> None:
        """Takes in a call of each of the robots `where` (m,). tokens: 0 where they are not known; else see
        `CallFilter.update`."""
        self.seconds.update(where, kind, _log_ratio(seconds, self._base[0][kind, where]), at_least, cold, load)
        known = (tokens > 0.0) & ~at_least
        if known.any():
            some, of = where[known], kind[known]
            ratio = _log_ratio(tokens[known], self._base[1][of, some])
            no = np.zeros(len(some), bool)
            self.token_filter.update(some, of, ratio, no, no)
            self._longest[of, some] = np.maximum(self._longest[of, some], tokens[known])

    def update(self, cold: NDArray[np.bool_] | bool = False, load: Floats | float = 0.0) -> None:
        """Writes the attributes. cold: (n,), whether a call made now would be the first, or come after a pause. load:
        (n,), see `CallFilter.update`."""
        mean_s, _, mean_tokens, max_tokens = self._prior
        log, _, noise = self.seconds.predict(cold, load)
        wider = 0.5 * (noise**2 - self._spread**2)  # the mean of a lognormal lies above its median by half the variance
        self.mean_s = mean_s * np.exp(log + np.minimum(wider, 1.0))
        self.p95_s = self.quantile(Z95, cold, load)

        log, *_ = self.token_filter.predict()
        self.mean_tokens = mean_tokens * np.exp(log)
        self.max_tokens = np.maximum(max_tokens * np.exp(log), self._longest)

    def quantile(self, z: float, cold: NDArray[np.bool_] | bool = False, load: Floats | float = 0.0) -> Floats:
        """(4, n) seconds that a call made now stays below with the probability of `z`, a quantile of the standard
        normal distribution. With the profile's own spread, it is the profile's p95 that is scaled."""
        log, unsure, noise = self.seconds.predict(cold, load)
        wide = np.sqrt(unsure**2 + noise**2)
        return self._prior[1] * np.exp(log + t_quantile(z, self.seconds.freedom) * wide - Z95 * self._spread)


class RunningCosts:
    """`Costs` of one robot that start as those of a profile and follow the calls that are made; see `call_filter`.

    Where the backend tells when the first token came, waiting in a queue is told apart from the work: a queue costs
    every kind of call the same seconds, not the same factor. A call has waited for what its first token took longer
    than the fastest of its kind, as TCP tells queues from distance by the shortest round trip (L. S. Brakmo and L. L.
    Peterson, "TCP Vegas", IEEE JSAC 13(8), 1995); less what the tokens after it were slower, too.

    A kind of call that was never made is expected to differ from the profile as the others did. A call that was given
    up counts as one that would have taken longer. The first call, and one after a pause, is expected to be slower once
    such calls were seen to be.

    Args:
        prior: what the profile says.
        now: seconds on the clock that pauses are measured on.
        slowdown: what programs on this computer meet now, 1 where it is idle, such as `OwnShare.slowdown`; for models
            that run on it. How far calls follow it is learnt. None: nothing is known.

    Attributes:
        calls: how many have been taken in.
        wait_s: seconds that a call is expected to wait in a queue, 0 where no backend tells.
    """

    def __init__(
        self, prior: Costs, now: Callable[[], float] = time.monotonic, slowdown: Callable[[], float] | None = None
    ) -> None:
        self.calls = 0
        self.now = now
        self._costs = CostsOfRobots(prior.mean_s, prior.p95_s, prior.mean_tokens, prior.max_tokens)
        self.wait_s = 0.0
        self._first_tokens: tuple[deque[tuple[float, float]], ...] = tuple(
            deque(maxlen=FIRST_TOKENS) for _ in THINK_ACTIONS
        )
        self._last_s = -np.inf
        self._slowdown = slowdown
        self._seen = False, 0.0  # whether the next call is cold, and the load: what `_costs` hold for

    @property
    def mean_s(self) -> Floats:
        """Seconds of a call, per THINK action."""
        return self._now_costs().mean_s[:, 0] + self.wait_s

    @property
    def p95_s(self) -> Floats:
        """Seconds that 95 % of the calls stay below, per THINK action."""
        return self._now_costs().p95_s[:, 0] + EXPONENTIAL_95 * self.wait_s

    @property
    def mean_tokens(self) -> Floats:
        """Tokens of a call, read and written, per THINK action."""
        return self._costs.mean_tokens[:, 0]

    @property
    def max_tokens(self) -> Floats:
        """Most tokens of a call, per THINK action."""
        return self._costs.max_tokens[:, 0]

    def observe(self, call: LlmCall) -> None:
        """Takes in what a call took, at its end."""
        if call.status in _UNANSWERED or call.seconds <= 0.0:
            return

        kind = THINK_ACTIONS.index(call.action)
        waited_s = self._waited(kind, call)
        cold = self.is_cold(self.now() - call.seconds)
        load = self._seen[1]
        self.calls += 1
        self._last_s = self.now()
        one = np.zeros(1, np.int64)
        self._costs.observe(
            one,
            one + kind,
            np.array([max(call.seconds - waited_s, 1e-3)]),
            np.array([call.tokens]),
            np.array([call.status in _GIVEN_UP]),
            np.array([cold]),
            load,
        )
        self._look(again=True)

    def _waited(self, kind: int, call: LlmCall) -> float:
        """Seconds that a call waited in a queue, by its first token; the expected wait follows them."""
        after_s = call.seconds - call.ttft_s
        if not (call.ttft_s > 0.0 and after_s > _STREAMED * call.seconds):  # NaN too: the backend does not tell
            return 0.0
        known = self._first_tokens[kind]
        known.append((call.ttft_s, after_s))
        fastest_s, its_after_s = min(known)
        slower = max(after_s / its_after_s, 1.0)
        waited_s = max(call.ttft_s - slower * fastest_s, 0.0)
        self.wait_s += (1.0 - WAIT_MEMORY) * (waited_s - self.wait_s)
        return waited_s

    def is_cold(self, now_s: float) -> bool:
        """Whether a call that starts at `now_s` is the first one, or comes after a pause."""
        return now_s - self._last_s > COLD_AFTER_S

    def memory(self) -> dict[str, Any]:
        """What was learnt, as plain values that JSON holds: `remember` takes it up after a restart."""
        costs = self._costs
        return {
            "calls": self.calls,
            "longest": costs._longest.tolist(),
            "seconds": costs.seconds.memory(),
            "tokens": costs.token_filter.memory(),
        }

    def remember(self, memory: dict[str, Any]) -> None:
        """The inverse of `memory`; the next call counts as the first since a pause.

        Raises: ValueError, KeyError or TypeError where it is none."""
        costs = self._costs
        longest = np.asarray(memory["longest"], dtype=np.float64).reshape(4, 1)
        costs.seconds.remember(memory["seconds"])
        costs.token_filter.remember(memory["tokens"])
        self.calls, costs._longest, self._last_s = int(memory["calls"]), longest, -np.inf
        self._look(again=True)

    def _now_costs(self) -> CostsOfRobots:
        self._look()
        return self._costs

    def _look(self, again: bool = False) -> None:
        """Sees to it that the costs are those of a call made now. again: more calls are known."""
        cold = self.calls > 0 and self.is_cold(self.now())
        load = 0.0 if self._slowdown is None else float(np.log(np.clip(self._slowdown(), 1.0, MOST_SLOWDOWN)))
        was_cold, was_load = self._seen
        if again or cold != was_cold or abs(load - was_load) > _NEW_LOAD:
            self._seen = cold, load
            self._costs.update(cold, load)


def lognormal_spread(mean: Floats, p95: Floats) -> Floats:
    """The standard deviation of the logarithm, of lognormal distributions with these means and 95 % quantiles.

    ln(p95 / mean) = 1.645 s - s^2 / 2; where no lognormal fits, the widest one is meant.

    >>> round(float(lognormal_spread(np.array(1.0), np.array(1.7))), 3)
    0.363
    """
    tail = np.clip(np.log(np.maximum(p95, 1e-9) / mean), 0.0, 0.5 * Z95**2)
    return np.clip(Z95 - np.sqrt(Z95**2 - 2.0 * tail), *_SPREADS)


_SPREADS = 0.05, 1.2
"""A profile of a few calls may show hardly any spread; one with rare very long calls is not that wide in the middle."""


def _log_ratio(measured: Floats, expected: Floats) -> Floats:
    ratio = np.log(np.maximum(measured, 1e-9) / expected)
    limit = np.log(MOST_RATIO)
    return np.clip(ratio, -limit, limit)
