"""How much more or less than expected calls cost today: a filter on the logarithm of what they took.

log(measured / expected) of a call of kind k is modelled as

    y = f + d_k + [cold] c + load b + noise,      noise ~ N(0, v s_k^2)

f: how today differs from the profile, for all kinds alike (another machine, busy cores, a slow network). d_k: how
kind k differs from that. c: what a call costs more that is the first one or comes after a long pause (a model that is
loaded, a cold cache). load: the logarithm of what is known of the computer before the call, 0 where it is idle or
unknown (`rarrl.resources.own_share`); b: how far calls follow it, learnt from them. s_k: the spread that the profile
measured; v: what the calls themselves say of it.

Of each call three things may be true: nothing has changed, f has jumped, or this call alone is odd. The filter weighs
them by how likely they make the call, updates a Kalman filter under each, and keeps one Gaussian with the mean and the
covariance of the mixture: the generalized pseudo-Bayesian filter of first order (G. A. Ackerson and K. S. Fu, "On state
estimation in switching environments", IEEE Trans. Automatic Control 15(1), 1970). One slow call is half believed, a
second one settles it.

A call that was given up took at least so long: it enters with the moments of a normal distribution cut off there, as in
the Tobit Kalman filter (B. Allik et al., IEEE Trans. Control Systems Technology 24(1), 2016).

The spread v has a scaled inverse chi-squared posterior (conjugate to a normal distribution's variance) with forgetting,
so that predictions are of Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.types import THINK_ACTIONS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_KINDS = len(THINK_ACTIONS)
_F, _C, _B = 0, _KINDS + 1, _KINDS + 2  # places in the state (f, d_1 .. d_4, c, b)
_SIZE = _KINDS + 3
Z95 = 1.6448536269514722
"""The standard normal distribution's 95 % quantile."""


@dataclass(frozen=True)
class FilterSettings:
    """What is believed before the first call; logarithms (0.1 is about 10 %). Chosen by hand, see the tests' coverage.

    common, kinds, cold, load: standard deviations of f, d_k, c and b. drift, kind_drift: of what f and each d_k may
    move from call to call. jump: of f where it jumps; 1.5 is a factor of 4.5. odd: of a call that is odd. first_jump:
    probability that f has jumped before the first call (the profile was made on another machine); jump_share: before a
    later one; odd_share: that a call is odd. spread_calls: how many calls the profile's spread counts as. memory: share
    of the weight that a call's word on the spread keeps with each later call."""

    common: float = 0.1
    kinds: float = 0.15
    cold: float = 0.7
    load: float = 0.5
    drift: float = 0.015
    kind_drift: float = 0.015
    jump: float = 1.5
    odd: float = 1.5
    first_jump: float = 0.25
    jump_share: float = 0.05
    odd_share: float = 0.05
    spread_calls: float = 10.0
    memory: float = 0.97


SECONDS = FilterSettings()
TOKENS = FilterSettings(cold=0.0, drift=0.01, jump=1.0, odd=1.0, jump_share=0.01)
"""What calls read and write depends on the model and the prompt, and rarely changes."""


class CallFilter:
    """Of n robots. Arrays have the robots last, as everywhere in the orchestrator.

    Args:
        spread: (4,) or (4, n), s_k per THINK action, in logarithms
        n: robots
        settings: what is believed before
    """

    def __init__(self, spread: Floats, n: int = 1, settings: FilterSettings = SECONDS) -> None:
        self.n = n
        self._settings = settings
        wide = np.asarray(spread, dtype=np.float64).reshape(_KINDS, -1)
        self._spread = np.array(np.broadcast_to(wide, (_KINDS, n)))
        s = settings
        before = np.array([s.common, *[s.kinds] * _KINDS, s.cold, s.load]) ** 2
        self._drift = np.diag([s.drift**2, *[s.kind_drift**2] * _KINDS, 0.0, 0.0])
        self._mean = np.zeros((n, _SIZE))
        self._cov = np.tile(np.diag(before), (n, 1, 1))
        self._spread_sum = np.full(n, s.spread_calls)
        self._spread_weight = np.full(n, s.spread_calls)
        self.calls = np.zeros(n, np.int64)
        """How many calls each robot has made."""

    def predict(self, cold: Bools | bool = False, load: Floats | float = 0.0) -> tuple[Floats, Floats, Floats]:
        """(4, n) each of the next call's logarithm: its mean, the standard deviation of that, and that of the noise."""
        flag = np.asarray(cold, dtype=np.float64)
        m, p, k = self._mean.T, self._cov.transpose(1, 2, 0), np.arange(1, _C)
        mean = m[_F] + m[k] + flag * m[_C] + load * m[_B]
        variance = p[_F, _F] + p[k, k] + 2.0 * p[_F, k]
        variance += flag * (p[_C, _C] + 2.0 * (p[_F, _C] + p[k, _C]))
        variance += load * (load * p[_B, _B] + 2.0 * (p[_F, _B] + p[k, _B] + flag * p[_C, _B]))
        return mean, np.sqrt(variance), self._spread * np.sqrt(self._variance())

    @property
    def freedom(self) -> Floats:
        """(n,) degrees of freedom of the predictions."""
        return self._spread_weight

    def update(
        self, where: Ints, kind: Ints, y: Floats, at_least: Bools, cold: Bools, load: Floats | float = 0.0
    ) -> None:
        """Takes in a call of each of the robots `where`, arrays (m,).

        Args:
            where: numbers of robots, each once
            kind: 0 to 3, the place in THINK_ACTIONS
            y: log(measured / expected)
            at_least: the call was given up, so that `y` is the least that it would have taken
            cold: it was the first one, or came after a pause
            load: the logarithm of what was known of the computer before it"""
        s = self._settings
        h = self._looks(kind, cold.astype(np.float64), load)
        mean, cov = self._mean[where], self._cov[where] + self._drift
        toward = np.einsum("nij,nj->ni", cov, h)
        known = np.einsum("ni,ni->n", toward, h)
        error = y - np.einsum("ni,ni->n", mean, h)
        noise = self._spread[kind, where] ** 2 * self._variance()[where]

        jumped = cov.copy()
        jumped[:, _F, _F] += s.jump**2
        toward_jumped = toward.copy()
        toward_jumped[:, _F] += s.jump**2
        jump_share = np.where(self.calls[where] == 0, s.first_jump, s.jump_share)
        steady_share = 1.0 - jump_share - s.odd_share
        branches = (
            (steady_share, cov, toward, known + noise),
            (jump_share, jumped, toward_jumped, known + noise + s.jump**2),
            (np.full(len(where), s.odd_share), cov, toward, known + noise + s.odd**2),
        )

        weights, means, covs = [], [], []
        for share, before, gain_up, variance in branches:
            moved, left, likely = _moments(error, variance, at_least)
            gain = gain_up / variance[:, None]
            means.append(mean + gain * moved[:, None])
            covs.append(before - np.einsum("n,ni,nj->nij", variance - left, gain, gain))
            weights.append(np.log(share) + likely)
        weight = np.exp(np.stack(weights) - np.max(weights, axis=0))
        weight /= weight.sum(axis=0)

        mixed = np.einsum("bn,bni->ni", weight, np.stack(means))
        apart = np.stack(means) - mixed
        self._mean[where] = mixed
        self._cov[where] = np.einsum("bn,bnij->nij", weight, np.stack(covs)) + np.einsum(
            "bn,bni,bnj->nij", weight, apart, apart
        )

        # What is left of the error once the state has been estimated tells of the noise; a lower bound tells nothing.
        told = np.where(at_least, 0.0, 1.0)
        excess = np.minimum(error**2 / (known + noise), _MOST_EXCESS) * self._variance()[where]
        self._spread_sum[where] = s.memory * self._spread_sum[where] + (1.0 - s.memory) * s.spread_calls + told * excess
        self._spread_weight[where] = s.memory * self._spread_weight[where] + (1.0 - s.memory) * s.spread_calls + told
        self.calls[where] += 1

    def memory(self) -> dict[str, Any]:
        """Everything that was learnt, as plain lists: `remember` takes it up again."""
        return {name: getattr(self, name).tolist() for name in _LEARNT}

    def remember(self, memory: dict[str, Any]) -> None:
        """The inverse of `memory`. Raises: ValueError where the arrays do not fit, or hold anything but numbers."""
        arrays = {name: np.asarray(memory[name], dtype=getattr(self, name).dtype) for name in _LEARNT}
        for name, array in arrays.items():
            if array.shape != getattr(self, name).shape or not np.isfinite(array).all():
                raise ValueError(f"CallFilter.remember: {name.strip('_')} does not fit {self.n} robots")
        for name, array in arrays.items():
            setattr(self, name, array)

    def _variance(self) -> Floats:
        return self._spread_sum / self._spread_weight

    @staticmethod
    def _looks(kind: Ints, cold: Floats, load: Floats | float) -> Floats:
        """(m, 7): which parts of the state a call of `kind` shows."""
        h = np.zeros((len(kind), _SIZE))
        h[:, _F] = 1.0
        h[np.arange(len(kind)), kind + 1] = 1.0
        h[:, _C], h[:, _B] = cold, load
        return h


_LEARNT = ("_mean", "_cov", "_spread_sum", "_spread_weight", "calls")
_MOST_EXCESS = 6.0
"""Squared standard deviations that one call may add to the spread: what lies farther out is a jump, or odd."""
_erfc = np.frompyfunc(erfc, 1, 1)


def _moments(error: Floats, variance: Floats, at_least: Bools) -> tuple[Floats, Floats, Floats]:
    """Of an error ~ N(0, variance), (m,) each: its mean and variance once it is seen (`error`, without variance) or
    known to be `error` or more; and the log-likelihood of that."""
    sd = np.sqrt(variance)
    a = error / sd
    density = -0.5 * a * a - 0.5 * np.log(2.0 * np.pi)
    if not at_least.any():
        return error, np.zeros_like(error), density - np.log(sd)

    cut = np.minimum(a, _FARTHEST)  # beyond, the hazard is a and nothing is learnt from more digits
    above = np.maximum(0.5 * _erfc(cut / np.sqrt(2.0)).astype(np.float64), 1e-300)
    hazard = np.exp(-0.5 * cut * cut) / (np.sqrt(2.0 * np.pi) * above)
    mean = np.where(a > _FARTHEST, error, sd * hazard)
    left = np.where(a > _FARTHEST, 0.0, variance * np.clip(1.0 - hazard * (hazard - cut), 0.0, 1.0))
    likely = np.where(a > _FARTHEST, density - np.log(np.maximum(a, 1.0)), np.log(above))
    return (
        np.where(at_least, mean, error),
        np.where(at_least, left, 0.0),
        np.where(at_least, likely, density - np.log(sd)),
    )


_FARTHEST = 25.0
"""Standard deviations up to which erfc is more than the smallest number."""


def t_quantile(z: float, freedom: Floats) -> Floats:
    """The quantile of Student's t that belongs to `z` of the normal distribution (Cornish-Fisher, two terms; within
    1 % from 5 degrees of freedom on).

    >>> round(float(t_quantile(1.6449, np.array(10.0))), 3)
    1.811
    """
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    return np.asarray(z + first / freedom + second / freedom**2)
