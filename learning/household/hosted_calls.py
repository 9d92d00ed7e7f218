"""Calls of another model's latency profile, for missions whose answers were recorded with the shipped one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rarrl.latency.profile import LatencyProfile
from rarrl.latency.replay import ReplayTable, Samples, option_samples
from rarrl.reasoner.base import Answer
from rarrl.types import THINK_ACTIONS, Action, CallStatus

CALLS = 27  # stream of the draws, apart from what else is drawn from an episode's seed


class HostedCalls:
    """Seconds and tokens of a profile's calls. table: what they cost in the mean."""

    def __init__(self, profile: LatencyProfile) -> None:
        self.table = ReplayTable.from_profile(profile)
        self._options: list[Samples] = []
        for action in THINK_ACTIONS:
            assert action.role is not None
            self._options.append(option_samples(profile, action.role.value, action.level))

    def cost(self, answer: Answer, action: Action, seed: int, number: int, stretch: float = 1.0) -> Answer:
        """`answer` as slow, and as long, as call `number` of the mission `seed`. stretch: scales its seconds. A call
        that the profile lost is lost."""
        calls = self._options[int(action) - 1]
        row = int(np.random.default_rng([seed, number, CALLS]).integers(len(calls.seconds)))
        lost = not calls.ok[row]
        return replace(
            answer,
            status=CallStatus.INVALID if lost else answer.status,
            seconds=float(calls.seconds[row]) * stretch,
            tokens_in=int(calls.tokens_in[row]),
            tokens_out=int(calls.tokens_out[row]),
            plan=None if lost else answer.plan,
            verdict=None if lost else answer.verdict,
        )
