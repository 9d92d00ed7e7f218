"""Budgets of thinking that are spent, zero, cut or senseless, and a language model that is slow or wedged: fake clocks.

A trial is an episode of `rarrl replay`, or one run against a circuit breaker. Judged from the log alone:
`calls_after_exhaustion` are calls that began with nothing left, or with less than the cheapest call takes; unsafe is
a call that the budget did not pay for, and `lost_tasks` an episode that did not come to its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rarrl.alfred import SubgoalType, step_views
from rarrl.build import make_orchestrator
from rarrl.clock import ManualClock
from rarrl.config import config_from_flat
from rarrl.decision_loop import DecisionSession, Phase, Report, replay
from rarrl.errors import InputError
from rarrl.events import EndEvent, EpisodeEvent, Event, ShockEvent, ThinkEvent
from rarrl.latency.profile import load_profile
from rarrl.latency.replay import ReplayTable
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.breaker import CircuitBreaker, GuardedReasoner
from rarrl.reasoner.plan import Plan
from rarrl.types import Action, Budget, CallStatus, Role, StateSummary
from rarrl_sim_envs.alfred.make import make_executive

from .row import Row, Trial

PROFILE = "gpt4o-mini-anchor"
POLICIES = ("always", "learned", "brace")
"""Who decides; each plays a third of a row's episodes."""
SCALES = (2.0, 5.0, 10.0)
"""Factors on every latency."""
HANG_S = 2.0
"""Deadline of a call to a wedged backend."""
COOL_DOWN_S = 10.0


def costs() -> Any:
    """What calls of the profile take."""
    return ReplayTable.from_profile(load_profile(PROFILE)).costs


def episodes(
    settings: Callable[[np.random.Generator], dict[str, Any]], shock: bool = False, none: bool = False
) -> Callable[[int, int], list[Trial]]:
    """Plays episodes, those of a policy under the same drawn settings. none: no call at all may be made."""

    def play(trials: int, seed: int) -> list[Trial]:
        rng = np.random.default_rng(seed)
        cheapest = float(costs().mean_s.min())
        found = []
        for policy in POLICIES:
            given = settings(rng)
            live = given.get("replay.latency_scale", 1.0) != 1.0
            config = config_from_flat({"orchestrator.profile": PROFILE, "replay.seed": seed, **given}, "faults")
            decide = make_orchestrator(policy, PROFILE, live=live)
            executive = make_executive(config, shock)
            for number in range(math.ceil(trials / len(POLICIES))):
                log: list[Event] = []
                replay(executive, decide, [number], log.append)
                found.append(judged(log, 0.0 if live else cheapest, none))
        return found

    return play


def judged(log: list[Event], cheapest_s: float, none: bool = False) -> Trial:
    """What the log of an episode tells. cheapest_s: seconds that must be left for a call."""
    start = next(event for event in log if isinstance(event, EpisodeEvent))
    seconds, tokens = start.time_budget_s, start.token_budget
    late = unpaid = calls = 0
    for event in log:
        if isinstance(event, ShockEvent):
            seconds, tokens = min(seconds, event.time_left_s), min(tokens, event.tokens_left)
        if isinstance(event, ThinkEvent):
            calls += 1
            late += seconds < max(cheapest_s, 1e-9) or tokens <= 0.0 or none
            seconds -= event.t1 - event.t0
            tokens -= event.tokens
            unpaid += seconds < -1e-6 or tokens < -1e-6

    ended = sum(isinstance(event, EndEvent) for event in log)
    counts = {"calls_after_exhaustion": int(late), "lost_tasks": int(ended != 1), "calls": calls}
    return Trial(outputs=calls + 1, unsafe=int(late + unpaid), counts=counts)


def wishes(trials: int, seed: int) -> list[Trial]:
    """A person wishes for a call before every decision, while reports come twice and cut the budget."""
    rng = np.random.default_rng(seed)
    prices = costs()
    found = []
    for _ in range(trials):
        session = DecisionSession(make_orchestrator("always", PROFILE))
        left = float(rng.choice([0.0, 1e-9, prices.mean_s.min() * 0.99, rng.uniform(0, 10)]))
        tokens = float(rng.choice([0.0, prices.max_tokens.min() - 1, 4000.0]))
        summary = StateSummary(step_views((SubgoalType.GotoLocation, SubgoalType.PutObject)), 0, 0, 9)
        budget = replace(Budget.full(20.0, 4000.0), time_s=left, tokens=tokens)
        late = 0
        for number in range(1, 6):
            for _ in range(int(rng.integers(1, 4))):
                session.think_now()
                decision = session.answer(Report("run", number, Phase.WAITING, 0, summary, budget, None))
                kind = -1 if decision is None or decision.action is Action.ACT else int(decision.action) - 1
                late += kind >= 0 and not (left >= prices.mean_s[kind] and tokens >= prices.max_tokens[kind])
        found.append(Trial(outputs=5, unsafe=late, counts={"calls_after_exhaustion": late}))
    return found


SENSELESS = (math.nan, math.inf, -math.inf, -1.0, -1e-300, 1e300, "ten", "", True, None)


def senseless(trials: int, seed: int) -> list[Trial]:
    """Budgets that are none, in a configuration and in a report."""
    found = []
    for k in range(trials):
        value = SENSELESS[k % len(SENSELESS)]
        name = ("orchestrator.time_budget_s", "orchestrator.token_budget")[k % 2]
        why = ""
        try:
            config_from_flat({name: value}, "faults")  # type: ignore[dict-item]
        except InputError as error:
            why = str(error)
        accepted = not why or "\n" in why or name.partition(".")[2] not in why
        try:
            Budget.full(float(value), 1.0) if isinstance(value, float) and not 0 <= value < math.inf else None
            accepted |= isinstance(value, float) and not 0 <= value < math.inf
        except ValueError:
            pass
        found.append(Trial(unsafe=int(accepted), counts={"accepted": int(accepted)}, note=f"{value!r}: {why}"[:120]))
    return found


@dataclass
class Wedged:
    """A backend that answers nothing, and no cancel either, until it is well."""

    clock: ManualClock
    name: str = "wedged"
    well: bool = False
    asked: int = 0

    def ask(self, request: Request) -> Answer:
        """See `Reasoner`."""
        self.asked += 1
        status = CallStatus.OK if self.well else CallStatus.TIMEOUT
        seconds = 0.5 if self.well else request.deadline_s
        self.clock.sleep(seconds)
        plan = Plan.from_rows([["PickupObject", "mug"]]) if self.well else None
        return Answer(request.decision, request.role, request.level, status, seconds, self.name, plan=plan)

    def cancel(self, decision: int) -> bool:
        """Ignored."""
        return False

    def close(self) -> None:
        """Nothing."""


def wedged(trials: int, seed: int) -> list[Trial]:
    """A call a second for a minute; the backend is well again at a drawn time. `wasted`: calls that got no answer."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(trials):
        clock = ManualClock()
        backend = Wedged(clock)
        reasoner = GuardedReasoner(backend, breaker=CircuitBreaker(3, COOL_DOWN_S, clock))
        well_at = float(rng.uniform(10.0, 40.0))
        back = opened = None
        wasted = number = 0
        while clock.now() < 60.0 and back is None:
            backend.well = clock.now() >= well_at
            asked = backend.asked
            answer = reasoner.ask(Request(number, Role.PLANNER, 1, "put a mug on the desk", HANG_S))
            wasted += answer.status is CallStatus.TIMEOUT
            opened = clock.now() if opened is None and backend.asked == asked else opened
            back = clock.now() - well_at if answer.status is CallStatus.OK else None
            number += 1
            clock.advance(1.0)
        allowed = 3 + math.ceil((well_at + HANG_S) / COOL_DOWN_S)  # till it opens, and the probes
        counts = {"wasted": wasted}
        note = "" if opened is not None else "the breaker never opened"
        found.append(Trial(recover_s=back, unsafe=int(wasted > allowed or opened is None), counts=counts, note=note))
    return found


def rows() -> tuple[Row, ...]:
    """Budgets, slow calls, and the circuit breaker."""

    def row(name: str, fault: str, injected: str, expected: str, play: Callable[..., Any], **more: Any) -> Row:
        return Row(
            name,
            "orchestrator",
            fault,
            injected,
            expected,
            "in-process",
            play,
            **{"trials": 90, "quick_trials": 9, **more},
        )

    goes_on = "no further call; the task goes on without"
    time, token = "orchestrator.time_budget_s", "orchestrator.token_budget"
    p50_s = float(np.median(costs().mean_s))
    return (
        row("B1-spent", "the budget is spent amid a task", "2 to 8 s, 500 to 3000 tokens", goes_on,
            episodes(lambda rng: {time: float(rng.uniform(2, 8)), token: float(rng.uniform(500, 3000))})),
        row("B1-zero", "a budget of 0", "0 s, or 0 tokens", "no call",
            episodes(lambda rng: {(time, token)[rng.integers(2)]: 0.0}, none=True)),
        row("B1-cut", "the budget is cut amid a task", "to 40 % of what is left", goes_on,
            episodes(lambda rng: {time: float(rng.uniform(5, 20))}, shock=True)),
        row("B1-wish", "a person wishes for calls, the budget is spent", "1 to 3 wishes a decision, reports twice",
            "no call", wishes),
        row("B1-senseless", "budgets that are none", "NaN, infinite, negative, huge, text", "refused in one line",
            senseless, trials=20, quick_trials=20),
        row("B2", "less time than half of the calls take", f"up to {0.3 * p50_s:.2g} s", "no call",
            episodes(lambda rng: {time: float(rng.uniform(0.0, 0.3) * p50_s)}, none=True)),
        row("L2-slow", "calls take longer than the profile says", f"times {', '.join(map(str, SCALES))}",
            "never more seconds than the budget",
            episodes(lambda rng: {"replay.latency_scale": float(rng.choice(SCALES))})),
        row("L3", "a wedged backend that ignores cancels", f"no answer within {HANG_S:g} s, for 10 to 40 s",
            "circuit breaker opens after 3 calls, one probe each 10 s", wedged, recovers=True,
            trials=200, quick_trials=50),
    )  # fmt: skip
