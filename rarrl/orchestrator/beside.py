"""Thinking beside acting, as the orchestrator sees it: nine choices in place of five, and what they depend on.

Choices 0 to 4 are `rarrl.types.Action`, as ever; 5 to 8 are the THINK actions 1 to 4 *beside*: the robot goes on
meanwhile with what the answer cannot spoil (`rarrl.thinking` says with what). A policy has five choices, or nine where
its `thinks_beside` is true. While a call is pending the only choice is ACT: nothing is asked twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rarrl.types import THINK_ACTIONS, Action

Floats = NDArray[np.float64]
N_CHOICES = len(Action) + len(THINK_ACTIONS)
FIRST_BESIDE = len(Action)
"""The lowest choice that thinks beside; it is THINK_ACTIONS[0]."""
MOST_CALLS = 4.0
"""More calls than this fit beside a step as well as any number."""
BESIDE_FEATURE_NAMES: tuple[str, ...] = (
    "can_go_on",
    "call_pending",
    *(f"calls_by_step.{action.name}" for action in THINK_ACTIONS[:2]),
)
"""Appended to the features of a policy with nine choices. calls_by_step: how many calls the step at hand takes."""


def encode_beside(
    can_go_on: NDArray[np.bool_], thinking: NDArray[np.bool_], step_s: Floats, mean_s: Floats
) -> NDArray[np.float32]:
    """(n, 4) float32 by BESIDE_FEATURE_NAMES. `can_go_on`, `thinking` (n,): as of `Situation`. `step_s` (n,): expected
    seconds of the step at hand. `mean_s` (4, n): as `Situation.mean_s`."""
    out = np.empty((len(BESIDE_FEATURE_NAMES), len(step_s)), dtype=np.float32)
    out[0] = can_go_on
    out[1] = thinking
    out[2:4] = np.minimum(step_s / mean_s[:2], MOST_CALLS) * 0.5
    return np.ascontiguousarray(out.T)


def thinks_beside(policy: object) -> bool:
    """Whether a policy, maybe a user's, was made for nine choices."""
    return bool(getattr(policy, "thinks_beside", False))


def action_of(choice: int) -> tuple[Action, bool]:
    """The action of a choice 0 to 8, and whether it is beside.

    >>> action_of(6)
    (<Action.PLANNER_2: 2>, True)
    """
    beside = choice >= FIRST_BESIDE
    return Action(choice - FIRST_BESIDE + 1 if beside else choice), beside
