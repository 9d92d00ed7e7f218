"""The optimal policy of a small, fully known instance, by dynamic programming backwards over attempts.

A yardstick, not a robot's policy: it must know u. It holds for one plan, one fixed cost per call, calls that always
answer, and tokens without bound (seconds are the budget).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rarrl.orchestrator.features import ACTION_LEVEL, MAX_CALLS_PER_ACT, PLANNER_ACTIONS, Situation

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Instance:
    """A plan and its world. Arrays (pieces,): `failure` p_exec of a first attempt, `irreversible` its share that
    loses the task, `u` in 0..1, `subgoal` the index of the sub-goal that the piece belongs to (0, 0, 1, ...).

    `eta` (4,) effect of planner 1, planner 2, verifier 1, verifier 2; `call_s` (4,) whole seconds per call;
    `attempts` allowed in all; `budget_s` whole seconds of thinking; `cost_weight` lambda, points per second."""

    failure: Floats
    irreversible: Floats
    u: Floats
    subgoal: NDArray[np.int64]
    consecutive_penalty: float
    max_failure: float
    eta: tuple[float, ...]
    call_s: tuple[int, ...]
    attempts: int
    budget_s: int
    cost_weight: float

    def __post_init__(self) -> None:
        if not len(self.failure) == len(self.irreversible) == len(self.u) == len(self.subgoal) > 0:
            raise ValueError("Instance: failure, irreversible, u and subgoal need one entry per piece, at least one")
        if any(seconds != int(seconds) or seconds < 1 for seconds in self.call_s):
            raise ValueError(f"Instance.call_s: whole seconds >= 1 per call are needed, got {self.call_s}")
        if self.attempts < 1 or self.budget_s < 0:
            raise ValueError(f"Instance needs attempts >= 1 and budget_s >= 0, got {self.attempts}, {self.budget_s}")


@dataclass(frozen=True)
class Optimum:
    """`value`: expected success - lambda x seconds from the start. `actions`: the best action (int8) by
    (attempts left, piece, consecutive failures, planner level, verifier level, calls since the last attempt,
    seconds left). Follows the contract of `OrchestratorPolicy` on that one instance."""

    instance: Instance
    value: float
    actions: NDArray[np.int8]
    name: str = "optimum"

    def act(self, s: Situation, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The optimal action (n,); ACT where `mask` forbids it."""
        h = s.history
        first = np.searchsorted(self.instance.subgoal, s.subgoal_index)  # its sub-goal's first piece
        piece = first + h.subgoal_acts - h.subgoal_failures
        state = (s.horizon - s.step, piece, h.consecutive_failures, h.planner_level, h.verifier_level)
        where = tuple(np.asarray(x).astype(np.int64) for x in (*state, h.calls_since_act, np.floor(s.time_s)))
        actions = self.actions[where].astype(np.int64)
        return np.where(mask[actions, np.arange(s.n)], actions, 0)


def solve(instance: Instance) -> Optimum:
    """Values every state, from the last attempt to the first."""
    i = instance
    pieces = len(instance.failure)
    fails = i.attempts
    levels = 3
    budgets = i.budget_s + 1
    calls = MAX_CALLS_PER_ACT + 1
    lost, wrong = _failures(i, fails)  # (pieces, fails, planner, verifier)

    actions = np.zeros((i.attempts + 1, pieces, fails, levels, levels, calls, budgets), np.int8)
    after = np.zeros((pieces, fails, levels, levels, calls, budgets))  # nothing comes after the last attempt
    for left in range(1, i.attempts + 1):
        value = np.empty_like(after)
        act = _act_value(i, lost, wrong, after)
        for call in reversed(range(calls)):
            best = act.copy()
            if call < MAX_CALLS_PER_ACT:
                for action, q in _think_values(i, value[:, :, :, :, call + 1]):
                    better = q > best
                    best[better] = q[better]
                    actions[left, :, :, :, :, call][better] = action
            value[:, :, :, :, call] = best

        after = value

    return Optimum(i, float(after[0, 0, 0, 0, 0, i.budget_s]), actions)


def _failures(i: Instance, fails: int) -> tuple[Floats, Floats]:
    """Irreversible and reversible failure probability of an attempt, by (piece, fails, planner, verifier)."""
    p = np.minimum(i.failure[:, None] + i.consecutive_penalty * np.arange(fails), i.max_failure)
    planner = (0.0, i.eta[0], i.eta[1])
    verifier = (0.0, i.eta[2], i.eta[3])
    lost = (p * i.irreversible[:, None])[:, :, None] * (1.0 - np.multiply.outer(i.u, verifier))[:, None]
    wrong = (p * (1.0 - i.irreversible[:, None]))[:, :, None] * (1.0 - np.multiply.outer(i.u, planner))[:, None]
    return np.broadcast_arrays(lost[:, :, None, :], wrong[:, :, :, None])  # type: ignore[return-value]


def _act_value(i: Instance, lost: Floats, wrong: Floats, after: Floats) -> Floats:
    """One attempt, then on as valued by `after`; by (piece, fails, planner, verifier, budget)."""
    following = after[:, :, :, 0, 0]  # an attempt uses up the verifier's advice, and calls may be made again
    repeat = np.concatenate([following[:, 1:], following[:, -1:]], axis=1)  # one failure more
    onward = np.ones_like(following)  # after the last piece: success
    onward[:-1] = following[1:, :1]  # no consecutive failures any more
    onward[:-1] = np.where(np.diff(i.subgoal)[:, None, None, None] > 0, onward[:-1, :, :1], onward[:-1])
    success = 1.0 - lost - wrong
    return np.asarray(success[..., None] * onward[:, :, :, None] + wrong[..., None] * repeat[:, :, :, None])


def _think_values(i: Instance, after: Floats) -> list[tuple[int, Floats]]:
    """Each call and its value, by (piece, fails, planner, verifier, budget); -inf where it cannot be paid for."""
    out = []
    for action in range(1, 5):
        seconds = int(i.call_s[action - 1])
        level = int(ACTION_LEVEL[action])
        raised = np.maximum(np.arange(3), level)
        advised = after[:, :, raised] if PLANNER_ACTIONS[action] else after[:, :, :, raised]
        q = np.full_like(after, -np.inf)
        if seconds <= i.budget_s:
            q[..., seconds:] = advised[..., : after.shape[-1] - seconds] - i.cost_weight * seconds
        out.append((action, q))

    return out
