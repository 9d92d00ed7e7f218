"""What calls of a live language model take, by a few calls before it plays: for budgets, and for what policies expect.

`rarrl profile record` measures the same with many goals; this takes eight calls, because somebody is waiting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rarrl.alfred import HOUSEHOLD_TASKS
from rarrl.errors import RarrlError
from rarrl.latency.profile import MAX_SECONDS, MAX_TOKENS, CallRecord, LatencyProfile, shareable
from rarrl.latency.replay import ReplayTable
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.types import THINK_ACTIONS, Action, CallStatus, Role

from ..reasoner.record import WARM_UP_GOAL, RecordConfig, shipped_tasks, unbroken

ROUNDS = 2
"""Goals that each kind of call is made for. Calls of one kind differ by about a third, so that the mean of two is good
enough for a budget of eight calls."""
_ALLOW_MORE = "allow more (--llm-option call_timeout_s=SECONDS)"


@dataclass(frozen=True)
class Calibration:
    """What a few calls took.

    Attributes:
        model: the reasoner's name, without the address of its server.
        seconds, tokens: means per THINK action.
        ends: how many calls ended in which way.
    """

    model: str
    seconds: dict[Action, float]
    tokens: dict[Action, float]
    ends: Counter[CallStatus]

    @property
    def made(self) -> int:
        """How many calls were made."""
        return self.ends.total()

    def line(self) -> str:
        """One line for people."""
        kinds = ", ".join(f"{action.label} {self.seconds[action]:.2g} s" for action in THINK_ACTIONS)
        ends = ", ".join(f"{n} {status.value}" for status, n in self.ends.most_common())
        return f"{self.made} calls of {self.model}: {kinds} in the mean; {ends}"


def calibrate(
    reasoner: Reasoner,
    deadline_s: float,
    rounds: int = ROUNDS,
    seed: int = 0,
    progress: Callable[[int, str], None] | None = None,
) -> Calibration:
    """Asks `reasoner` for each kind of call, for goals that come with the package.

    A call that missed its deadline counts with the seconds until then.

    Args:
        reasoner: closed by the caller.
        deadline_s: of each call.
        rounds: goals that each kind of call is made for.
        seed: of their choice.
        progress: is called with how many calls are made, and a word.

    Raises: RarrlError where the backend is not there, or no call was in time."""
    reasoner = unbroken(reasoner)
    tasks, _ = shipped_tasks(RecordConfig("", HOUSEHOLD_TASKS.stem, n=rounds, seed=seed))
    reasoner.ask(Request(0, Role.PLANNER, 1, WARM_UP_GOAL, deadline_s))  # loads the model

    answers: dict[Action, list[Answer]] = {action: [] for action in THINK_ACTIONS}
    ends: Counter[CallStatus] = Counter()
    for task in tasks:
        for action in THINK_ACTIONS:
            assert action.role is not None
            plan = task.default.plan if action.role is Role.VERIFIER else None
            number = ends.total() + 1
            answer = reasoner.ask(Request(number, action.role, action.level, task.goal, deadline_s, plan=plan))
            if answer.status is CallStatus.BACKEND_DOWN:
                hint = f"{_ALLOW_MORE} than {deadline_s:.3g} s" if "loading its model" in answer.why else ""
                raise RarrlError(f"{reasoner.name} cannot be asked: {answer.why}{hint and '; ' + hint}")
            answers[action].append(answer)
            ends[answer.status] += 1
            if progress is not None:
                progress(number, f"{action.label}: {answer.status.value} after {answer.seconds:.1f} s")

    if set(ends) == {CallStatus.TIMEOUT}:
        raise RarrlError(
            f"{reasoner.name}: none of {ends.total()} calls was answered within {deadline_s:.3g} s; {_ALLOW_MORE}, "
            "or take a smaller model"
        )
    return Calibration(
        shareable(reasoner.name),
        {action: float(np.mean([a.seconds for a in made])) for action, made in answers.items()},
        {action: float(np.mean([a.tokens for a in made])) for action, made in answers.items()},
        ends,
    )


def calibrated(profile: LatencyProfile, measured: Calibration) -> LatencyProfile:
    """`profile` as if its calls had been made by another model: their seconds and tokens scaled to the measured means.

    Its plans and verdicts stay those of the model that it was recorded with, and its header says so. It is for playing
    the tasks of a recorded profile with a live model, whose answers take the place of the recorded ones."""
    costs = ReplayTable.from_profile(profile).costs
    factors = {}
    for option, action in enumerate(THINK_ACTIONS):
        assert action.role is not None
        slower = measured.seconds[action] / max(float(costs.mean_s[option]), 1e-9)
        longer = measured.tokens[action] / max(float(costs.mean_tokens[option]), 1e-9)
        factors[action.role.value, action.level] = (slower, longer or 1.0)  # none where every call was too late

    header = profile.header.model_copy(
        update={
            "name": f"{profile.name[:50]}-calibrated",
            "model": measured.model,
            "assumptions": f"seconds and tokens scaled to the means of {measured.made} calls of {measured.model}; "
            f"plans and verdicts are those of {profile.header.model}"[:2000],
        }
    )
    return profile.model_copy(
        update={
            "header": header,
            "records": tuple(_scaled(r, *factors[r.role, r.level]) for r in profile.records or ()),
        }
    )


def _scaled(record: CallRecord, slower: float, longer: float) -> CallRecord:
    return record.model_copy(
        update={
            "ttft_s": round(min(record.ttft_s * slower, MAX_SECONDS), 5),
            "total_s": round(min(record.total_s * slower, MAX_SECONDS), 5),
            "tokens_in": min(round(record.tokens_in * longer), MAX_TOKENS),
            "tokens_out": min(round(record.tokens_out * longer), MAX_TOKENS),
        }
    )
