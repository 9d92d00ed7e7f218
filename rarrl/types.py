"""The frozen value objects that the stages pass forward. Units are in the names or the docstrings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum

import numpy as np


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
        """The role that is asked, None for ACT."""
        return None if self is Action.ACT else (Role.PLANNER if self < Action.VERIFIER_1 else Role.VERIFIER)

    @property
    def level(self) -> int:
        """The budget level: 0 for ACT (no call), 1 (at most 256 new tokens) or 2 (at most 512)."""
        return 0 if self is Action.ACT else 1 + (int(self) - 1) % 2

    @property
    def label(self) -> str:
        """The name for people: `ACT`, or such as `THINK(planner, 1)`."""
        return "ACT" if self.role is None else f"THINK({self.role.value}, {self.level})"


THINK_ACTIONS: tuple[Action, ...] = (Action.PLANNER_1, Action.PLANNER_2, Action.VERIFIER_1, Action.VERIFIER_2)
"""The actions that call the language model, in the order of all arrays of costs."""
MAX_NEW_TOKENS: dict[int, int] = {1: 256, 2: 512}
"""Budget level -> the default cap on the tokens of an answer; `language_model.max_new_tokens_1` and `_2` set others."""
CALL_TIMEOUT_S = 60.0
"""Default seconds after which a call is given up, however much budget is left: the robot stands meanwhile. Of the
shipped latency profiles replicate-70b alone has calls that are longer. `language_model.call_timeout_s` sets another."""


class CallStatus(str, Enum):
    """How a call to the language model ended. WITHDRAWN: it was stopped because nobody needed its answer any more."""

    OK = "OK"
    TIMEOUT = "TIMEOUT"
    BUDGET = "BUDGET"
    INVALID = "INVALID"
    REFUSED = "REFUSED"
    BACKEND_DOWN = "BACKEND_DOWN"
    WITHDRAWN = "WITHDRAWN"


class ActStatus(str, Enum):
    """How one execution attempt ended. LOST: it failed irreversibly, so the task cannot succeed any more."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    LOST = "LOST"


MAX_STEP_NAME = 60
"""Characters of a step's name."""
MAX_STEP_NUMBER = 1e9
"""Seconds of a step and attempts that stand behind an expectation, at most: beyond, a number is a mistake."""


@dataclass(frozen=True)
class StepView:
    """One step of a plan as the orchestrator sees it: what its skill is expected to do, not what it is called.

    name: the skill's, for people and for policies that were trained on ALFRED's names; 1 to 60 printable characters
    without a comma. failures: expected share of the attempts that fail, 0 to 1 (mean of a Beta). attempts: how many
    attempts that expectation is worth (alpha + beta), above 0. irreversible: share of the failures that cannot be
    undone, 0 to 1. seconds: expected duration of an attempt. looks: it finds out and changes nothing.

    The defaults are those of a skill that nobody told anything about: it mostly succeeds, which two attempts could
    refute; some of its failures may be beyond repair; and it takes as long as a short drive."""

    name: str
    failures: float = 0.2
    attempts: float = 2.0
    irreversible: float = 0.25
    seconds: float = 5.0
    looks: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_STEP_NAME or not self.name.isprintable() or "," in self.name:
            raise ValueError(
                f"StepView.name must be 1 to {MAX_STEP_NAME} printable characters without a comma, got "
                f"{self.name[: MAX_STEP_NAME + 1]!r}"
            )
        for name in ("failures", "irreversible"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"StepView.{name} of {self.name} must be 0 to 1, got {value}")
        if not 0.0 < self.attempts <= MAX_STEP_NUMBER:
            raise ValueError(f"StepView.attempts of {self.name} must be above 0 and at most 1e9, got {self.attempts}")
        if not 0.0 <= self.seconds <= MAX_STEP_NUMBER:
            raise ValueError(f"StepView.seconds of {self.name} must be 0 to 1e9, got {self.seconds}")


@dataclass(frozen=True)
class StateSummary:
    """What the robot knows about its task when it decides.

    retries_left: further attempts at the present step before the robot must decide otherwise. contradicted: beliefs
    that the last outcomes contradicted. A robot that counts neither leaves them at 0. thinking: a question that was
    asked beside acting is open, so that nothing but ACT may be decided; can_go_on: whether there is anything that ACT
    may do beside it, or could beside a planner that is asked now (`rarrl.thinking`)."""

    subgoals: tuple[StepView, ...]  # the whole plan
    subgoal_index: int  # 0-based; == len(subgoals) when all are done
    step: int  # decisions taken so far
    horizon: int  # decisions allowed in this episode
    retries_left: int = 0
    contradicted: int = 0
    thinking: bool = False
    can_go_on: bool = False

    def __post_init__(self) -> None:
        if self.retries_left < 0 or self.contradicted < 0:
            raise ValueError(
                f"StateSummary.retries_left and contradicted must be >= 0, got {self.retries_left} and "
                f"{self.contradicted}"
            )
        if not self.subgoals:
            raise ValueError("StateSummary.subgoals must hold at least one sub-goal, got none")
        if not 0 <= self.subgoal_index <= len(self.subgoals):
            raise ValueError(f"StateSummary.subgoal_index must be 0..{len(self.subgoals)}, got {self.subgoal_index}")
        if self.horizon < 1 or self.step < 0:
            raise ValueError(f"StateSummary needs horizon >= 1 and step >= 0, got {self.horizon} and {self.step}")


@dataclass(frozen=True)
class PlanStatus:
    """What a robot knows about the plan in force and the answers that it got; never whether the plan is right.

    source: 0 for the plan that the robot has without a language model, 1 or 2 for one by the planner of that level.
    confidence: 0 to 1, the mean probability of the plan's tokens; for source 0 the similarity of the goal that the plan
    was made for. similarity: the latter, whatever plan is in force. verdict: the verifier's on the plan in force, 1 ok,
    -1 a fault, 0 not asked. verdict_level: 0 (not asked), 1 or 2. p_ok: the verifier's probability of ok, 0.5 if not
    asked. answered: whether the planner of level 1 and of level 2 gave a plan in this task. agreeing: how many other
    known plans equal the one in force. contradicted: the plan in force begins differently from what was done already.
    words: number of words of the goal. unknown: how many of them the robot has never met."""

    source: int
    confidence: float
    similarity: float
    verdict: int
    verdict_level: int
    p_ok: float
    answered: tuple[bool, bool]
    agreeing: int
    contradicted: bool
    words: int
    unknown: int


@dataclass(frozen=True)
class Budget:
    """What may still be spent on thinking: seconds of language model time, and tokens (prompt and generated)."""

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
        """Makes a budget of which nothing is spent."""
        return cls(time_s, tokens, time_s, tokens)

    def spend(self, time_s: float, tokens: float) -> Budget:
        """Returns the budget after a call, never below zero."""
        return replace(self, time_s=max(self.time_s - time_s, 0.0), tokens=max(self.tokens - tokens, 0.0))


@dataclass(frozen=True)
class Decision:
    """One decision of the orchestrator. id: answers carry it, so that late ones are recognized.

    deadline_s: seconds that a THINK may take; 0 for ACT. why: one line for people. beside: of a THINK: the robot goes
    on meanwhile with what the answer cannot spoil. asks_person: of an ACT: the robot stops and asks a person instead of
    acting, because it doubts that it would succeed."""

    id: int
    action: Action
    deadline_s: float
    why: str
    beside: bool = False
    asks_person: bool = False

    def __post_init__(self) -> None:
        if self.beside and self.action is Action.ACT:
            raise ValueError("Decision.beside is of a THINK; ACT goes on as it is")
        if self.asks_person and self.action is not Action.ACT:
            raise ValueError(f"Decision.asks_person stands in place of ACT, not of {self.action.label}")


@dataclass(frozen=True)
class LlmCall:
    """A finished call: what it cost, and whether its answer may be used (status OK). ttft_s: of `seconds`, those to the
    first token, where whoever asked knows them; else NaN."""

    action: Action
    status: CallStatus
    seconds: float
    tokens: float
    ttft_s: float = float("nan")


def _locked(array: np.ndarray) -> np.ndarray:
    """Returns a read-only copy of `array`: a frozen dataclass does not freeze its arrays."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, eq=False)
class StereoPair:
    """A rectified pair. left, right: uint8, (height, width) gray or (height, width, 3) BGR, of one shape.

    stamp_s: when both were taken, seconds. The arrays are used as they are: do not write to them afterwards."""

    left: np.ndarray
    right: np.ndarray
    stamp_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("left", "right"):
            image = getattr(self, name)
            if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
                raise ValueError(f"StereoPair.{name} must be a uint8 array, got {getattr(image, 'dtype', type(image))}")
            if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
                raise ValueError(f"StereoPair.{name} must be (height, width) or (height, width, 3), got {image.shape}")

        if self.left.shape != self.right.shape:
            raise ValueError(f"StereoPair: left is {self.left.shape}, right is {self.right.shape}; they must be alike")
        if not np.isfinite(self.stamp_s):
            raise ValueError(f"StereoPair.stamp_s must be finite, got {self.stamp_s}")


class VoxelState(IntEnum):
    """What is known about a voxel."""

    UNKNOWN = 0
    FREE = 1
    OCCUPIED = 2


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """What a detector saw, as a cube of voxels in the left camera's optical frame (x right, y down, z forward).

    state: (nx, ny, nz) uint8 of `VoxelState`. probability: (nx, ny, nz) float32, that the voxel holds a surface (0.5
    where unknown). origin, voxel_size: metres; voxel [i, j, k] spans `origin + voxel_size * [i, j, k]` to one
    voxel_size beyond. stamp_s: when the images were taken, seconds. refusal: why the pair could not be used, in one
    line; all voxels are unknown then. "" where it could."""

    state: np.ndarray
    probability: np.ndarray
    origin: tuple[float, float, float]
    voxel_size: float
    frame: str
    stamp_s: float = 0.0
    refusal: str = ""

    def __post_init__(self) -> None:
        if self.state.ndim != 3 or self.state.shape != self.probability.shape:
            raise ValueError(
                f"VoxelGrid: state and probability must be 3-D and alike, got {self.state.shape}, "
                f"{self.probability.shape}"
            )
        if not (np.isfinite(self.voxel_size) and self.voxel_size > 0) or not np.isfinite(self.origin).all():
            raise ValueError(
                f"VoxelGrid needs a finite origin and voxel_size > 0 m, got {self.origin}, {self.voxel_size}"
            )
        if self.state.size and int(self.state.max()) > VoxelState.OCCUPIED:
            raise ValueError(f"VoxelGrid.state must hold 0, 1, 2; got {int(self.state.max())}")
        if self.probability.size and not (self.probability.min() >= 0 and self.probability.max() <= 1):  # false for NaN
            raise ValueError("VoxelGrid.probability must be within 0..1, without NaN")

        object.__setattr__(self, "state", _locked(self.state.astype(np.uint8, copy=False)))
        object.__setattr__(self, "probability", _locked(self.probability.astype(np.float32, copy=False)))

    @property
    def occupied(self) -> np.ndarray:
        """The occupied voxels, (nx, ny, nz) bool."""
        return self.state == VoxelState.OCCUPIED

    @property
    def free(self) -> np.ndarray:
        """The free voxels, (nx, ny, nz) bool."""
        return self.state == VoxelState.FREE

    @property
    def unknown(self) -> np.ndarray:
        """The unknown voxels, (nx, ny, nz) bool."""
        return self.state == VoxelState.UNKNOWN

    def centres(self, mask: np.ndarray) -> np.ndarray:
        """Returns the centres, (n, 3) float64 in metres, of the voxels where `mask` ((nx, ny, nz) bool) is true."""
        index = np.unravel_index(np.flatnonzero(mask), mask.shape)  # three times as quick as np.argwhere
        return np.asarray(self.origin) + self.voxel_size * (np.stack(index, axis=1) + 0.5)


@dataclass(frozen=True, eq=False)
class ObstacleSummary:
    """The obstacles by bearing, in the robot's base frame (REP 103: x forward, y left, z up).

    bearings: (n,) float64, rad, the middle of each sector, increasing (right to left). nearest_m: (n,) distance of the
    nearest obstacle, inf if none was seen. clear_m: (n,) how far the sector is *seen* to be free without a gap, 0 if
    nothing was seen, because what is not seen is not free. free_path_width_m: width of the free corridor straight
    ahead, 0 if it is blocked or unseen. time_to_contact_s: time until the robot, at the speed given, touches what is in
    its own corridor; inf if the corridor is seen to be free as far as was asked for, 0 if it is unseen."""

    bearings: np.ndarray
    nearest_m: np.ndarray
    clear_m: np.ndarray
    free_path_width_m: float
    time_to_contact_s: float
    stamp_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("bearings", "nearest_m", "clear_m"):
            array = getattr(self, name)
            if array.ndim != 1 or array.shape != self.bearings.shape or np.isnan(array).any():
                raise ValueError(f"ObstacleSummary.{name} must be (n,) without NaN, got shape {array.shape}")
            object.__setattr__(self, name, _locked(array.astype(np.float64, copy=False)))

        for name in ("free_path_width_m", "time_to_contact_s"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"ObstacleSummary.{name} must be >= 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class RobotCommand:
    """What a mobile base is asked to do (REP 103). v: m/s, forward is positive. omega: rad/s, left is positive.

    observed_s: when the observation was taken that the command was derived from. heard_s: when the command arrived.
    Both are on the steady clock. fault: why it cannot be meant for this base, "" if it can; the gate stops then. The
    values are not checked here, because that is the gate's work."""

    v: float
    omega: float
    observed_s: float
    heard_s: float
    fault: str = ""


class GateAction(str, Enum):
    """What the gate did with a command."""

    PASS = "PASS"
    LIMITED = "LIMITED"  # less than was asked for
    STOP = "STOP"


class GateReason(str, Enum):
    """Why the gate lets less through than was asked for. The values are the texts in diagnostics and logs."""

    NONE = ""  # it passes as it is
    LIMITS = "limits"
    OBSTACLE_NEAR = "obstacle near"
    TURNING_ONLY = "turning only"  # no room ahead; a round base may still turn
    LOOKING = "looking"  # it turns towards what blocks it
    BLOCKED = "blocked"
    BRAKING = "braking for an obstacle"
    NO_COMMAND = "no command"
    COMMAND_UNFIT = "command not for this base"
    COMMAND_NOT_FINITE = "command not finite"
    COMMAND_OUT_OF_LIMITS = "command out of limits"
    COMMAND_TOO_OLD = "command too old"
    COMMAND_FROM_FUTURE = "command from the future"
    OBSERVATION_TOO_OLD = "observation too old"
    OBSERVATION_FROM_FUTURE = "observation from the future"
    NO_OBSTACLES_KNOWN = "no obstacle information"
    OBSTACLES_TOO_OLD = "obstacle information too old"
    POSE_TOO_OLD = "pose too old"
    ODOMETRY_JUMPED = "odometry jumped: activate the gate again"
    ODOMETRY_STANDS = "odometry stands though the base should drive"
    WRONG_FRAME = "unknown frame"
    OTHER_PUBLISHER = "another publisher on our topics"
    SUPERVISOR = "the supervisor says stop"
    INTERNAL_ERROR = "internal error"

    def __str__(self) -> str:
        """The value: texts are the same on each Python version."""
        return self.value

    @property
    def of_command(self) -> bool:
        """Whether the command itself is at fault, by its numbers or its age."""
        return self in (
            GateReason.COMMAND_UNFIT,
            GateReason.COMMAND_NOT_FINITE,
            GateReason.COMMAND_OUT_OF_LIMITS,
            GateReason.COMMAND_TOO_OLD,
            GateReason.COMMAND_FROM_FUTURE,
        )

    @property
    def of_obstacle(self) -> bool:
        """Whether something stands in the way, or could."""
        return self in (GateReason.BLOCKED, GateReason.BRAKING)


@dataclass(frozen=True)
class GateResult:
    """What may leave the gate: v (m/s) and omega (rad/s), both 0 with STOP.

    reason: NONE with PASS. detail: the numbers behind the reason."""

    v: float
    omega: float
    action: GateAction
    reason: GateReason = GateReason.NONE
    detail: str = ""

    @classmethod
    def stop(cls, reason: GateReason, detail: str = "") -> GateResult:
        """Makes a stop with its reason."""
        return cls(0.0, 0.0, GateAction.STOP, reason, detail)

    @classmethod
    def limited(cls, v: float, omega: float, reason: GateReason, detail: str = "") -> GateResult:
        """Less than was asked for, and why."""
        return cls(v, omega, GateAction.LIMITED, reason, detail)
