"""The value objects that the stages pass forward. Frozen; units in the names or the docstrings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum


class SubgoalType(IntEnum):
    """ALFRED's eight high-level actions (Shridhar et al., CVPR 2020), in the order of their one-hot feature."""

    GotoLocation = 0
    PickupObject = 1
    PutObject = 2
    SliceObject = 3
    ToggleObject = 4
    CleanObject = 5
    HeatObject = 6
    CoolObject = 7


class Role(str, Enum):
    """What the language model is asked to be."""

    PLANNER = "planner"
    VERIFIER = "verifier"


class Action(IntEnum):
    """RARRL's five actions (arXiv 2603.16673): ACT, or THINK(role, budget level)."""

    ACT = 0
    PLANNER_1 = 1
    PLANNER_2 = 2
    VERIFIER_1 = 3
    VERIFIER_2 = 4

    @property
    def role(self) -> Role | None:
        """The role asked; None for ACT."""
        return None if self is Action.ACT else (Role.PLANNER if self < Action.VERIFIER_1 else Role.VERIFIER)

    @property
    def level(self) -> int:
        """Budget level: 0 for ACT (no call), 1 (at most 256 new tokens), 2 (at most 512)."""
        return 0 if self is Action.ACT else 1 + (int(self) - 1) % 2

    @property
    def label(self) -> str:
        """`ACT` or e.g. `THINK(planner, 1)`."""
        return "ACT" if self.role is None else f"THINK({self.role.value}, {self.level})"


THINK_ACTIONS: tuple[Action, ...] = (Action.PLANNER_1, Action.PLANNER_2, Action.VERIFIER_1, Action.VERIFIER_2)
MAX_NEW_TOKENS: dict[int, int] = {1: 256, 2: 512}
"""The cap on generated tokens per budget level."""


class CallStatus(str, Enum):
    """How a call to the language model ended."""

    OK = "OK"
    TIMEOUT = "TIMEOUT"
    BUDGET = "BUDGET"
    INVALID = "INVALID"
    BACKEND_DOWN = "BACKEND_DOWN"


class ActStatus(str, Enum):
    """How one execution attempt ended. LOST: failed irreversibly, the task cannot succeed any more."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    LOST = "LOST"


@dataclass(frozen=True)
class StateSummary:
    """What the robot knows of its task when it decides."""

    subgoals: tuple[SubgoalType, ...]  # the whole plan
    subgoal_index: int  # 0-based; == len(subgoals) when all are done
    step: int  # decisions taken so far
    horizon: int  # decisions allowed in this episode

    def __post_init__(self) -> None:
        if not self.subgoals:
            raise ValueError("StateSummary.subgoals must hold at least one sub-goal, got none")
        if not 0 <= self.subgoal_index <= len(self.subgoals):
            raise ValueError(f"StateSummary.subgoal_index must be 0..{len(self.subgoals)}, got {self.subgoal_index}")
        if self.horizon < 1 or self.step < 0:
            raise ValueError(f"StateSummary needs horizon >= 1 and step >= 0, got {self.horizon} and {self.step}")


@dataclass(frozen=True)
class Budget:
    """What may still be spent on thinking: seconds of LLM time and tokens (prompt + generated)."""

    time_s: float
    tokens: float
    initial_time_s: float
    initial_tokens: float

    def __post_init__(self) -> None:
        for name in ("time_s", "tokens", "initial_time_s", "initial_tokens"):
            value = getattr(self, name)
            if not 0.0 <= value < float("inf"):
                raise ValueError(f"Budget.{name} must be finite and >= 0, got {value}")

    @classmethod
    def full(cls, time_s: float, tokens: float) -> Budget:
        """An untouched budget."""
        return cls(time_s, tokens, time_s, tokens)

    def spend(self, time_s: float, tokens: float) -> Budget:
        """The budget after a call; never below zero."""
        return replace(self, time_s=max(self.time_s - time_s, 0.0), tokens=max(self.tokens - tokens, 0.0))


@dataclass(frozen=True)
class Decision:
    """One decision of the orchestrator. `id` tells late answers from current ones."""

    id: int
    action: Action
    deadline_s: float  # seconds that a THINK may take; 0 for ACT
    why: str  # one line for people


@dataclass(frozen=True)
class LlmCall:
    """A finished call: what it cost, and whether its answer may be used (status OK)."""

    action: Action
    status: CallStatus
    seconds: float
    tokens: float
