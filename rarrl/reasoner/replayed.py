"""A reasoner that takes as long as a measured one and answers from given plans, for simulation without a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rarrl.clock import Clock, SteadyClock
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.types import CallStatus, Role


@dataclass(frozen=True)
class ReplayedCall:
    """What one call cost: seconds to the first token and in all, tokens, and how it ended (`CallRecord.finish`)."""

    ttft_s: float
    seconds: float
    tokens_in: int
    tokens_out: int
    finish: str = "stop"


class ReplayedReasoner:
    """Draws the cost of each call from `draw` and answers from `plans` (goal sentence -> the right plan).

    A goal that is not in `plans` is answered with INVALID."""

    def __init__(
        self,
        name: str,
        draw: Callable[[Request], ReplayedCall],
        plans: Mapping[str, Plan] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._draw = draw
        self._plans = plans or {}
        self._clock = clock or SteadyClock()
        self._closed = False

    def ask(self, request: Request) -> Answer:
        """See `Reasoner.ask`. `clock` advances by what the call takes, at most to the deadline."""
        if self._closed:
            return self._answer(request, ReplayedCall(0.0, 0.0, 0, 0), CallStatus.BACKEND_DOWN, "closed")

        call = self._draw(request)
        self._clock.sleep(min(call.seconds, request.deadline_s))
        if call.seconds > request.deadline_s or call.finish == "timeout":
            return self._answer(request, call, CallStatus.TIMEOUT, "the deadline passed")
        if call.finish == "length" or call.tokens_out > request.max_new_tokens:
            return self._answer(request, call, CallStatus.BUDGET, "cut off at the cap")
        if call.finish == "refused":
            return self._answer(request, call, CallStatus.REFUSED, "the recorded plan was refused")
        if call.finish == "error":
            return self._answer(request, call, CallStatus.BACKEND_DOWN, "the recorded call failed")

        right = self._plans.get(request.goal)
        if right is None:
            why = "a latency profile knows what a call costs, not what it answers"
            return self._answer(request, call, CallStatus.INVALID, why)

        return self._answer(request, call, CallStatus.OK, "", right)

    def _answer(
        self, request: Request, call: ReplayedCall, status: CallStatus, why: str, right: Plan | None = None
    ) -> Answer:
        seconds = min(call.seconds, request.deadline_s)
        return Answer(
            decision=request.decision,
            role=request.role,
            level=request.level,
            status=status,
            seconds=seconds,
            backend=self.name,
            tokens_in=call.tokens_in,
            tokens_out=min(call.tokens_out, request.max_new_tokens),
            ttft_s=call.ttft_s if call.ttft_s <= seconds else math.nan,
            plan=right if request.role is Role.PLANNER else None,
            verdict=Verdict(request.plan == right) if right is not None and request.role is Role.VERIFIER else None,
            text=str(right or ""),
            why=why,
        )

    def close(self) -> None:
        """Ends the reasoner; later calls are answered with BACKEND_DOWN."""
        self._closed = True
