"""From a policy's chunks to one command per control tick: `Actor`, the same in the policy's node and in simulation.

sub-goal + chunks -> chunk broker -> the row that is due -> a base stands while the hand acts, backs off when stuck
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rarrl.policy.base import ActionChunk, Interface, Observation
from rarrl.policy.chunking import ChunkBroker, Row
from rarrl.policy.recovery import Recovery

LINEAR_X = "linear_x_m_s"
LINEAR_Y = "linear_y_m_s"
ANGULAR_Z = "angular_z_rad_s"
BASE_ACTIONS = frozenset({LINEAR_X, LINEAR_Y, ANGULAR_Z})
"""A policy with no other actions than these, and perhaps INTERACT, drives a base."""
INTERACT = "interact"
"""Above INTERACT_FROM the policy wants the hand to act. The base stands meanwhile."""
INTERACT_FROM = 0.5
"""Of an action from 0 to 1: more likely than not."""
SPEED = "speed_m_s"
"""Proprioception of a base that measures its speed: where it does not get on, it backs off."""
BUSY = "busy"
"""Proprioception of a hand: above INTERACT_FROM it is acting."""


@dataclass(frozen=True)
class BaseMotion:
    """What the base is asked to do: m/s ahead and to the left, rad/s to the left."""

    linear_x: float = 0.0
    linear_y: float = 0.0
    angular_z: float = 0.0


STAND = BaseMotion()


@dataclass(frozen=True, eq=False)
class ActorCommand:
    """What the policy asks for in one tick.

    row: of its chunk; None: hold, nothing fresh enough is left. motion: of a base that it drives, all zero with hold.
    interact: whether the hand is to act. observed_at: of the oldest observation that this rests on, steady clock; with
    hold the time of the tick."""

    row: Row | None
    motion: BaseMotion
    interact: bool
    observed_at: float


class Actor:
    """Keeps what a policy answered and hands out one command per tick. Times are seconds of one steady clock.

    The caller asks the policy where `wants_chunk` says so, in a thread of its own or at once. It calls `asked` when it
    asks, and gives the answer to `take`.

    Args:
        spec: of the policy
        dt: seconds per row and tick
        max_age_s: no command rests on an older observation
        blend_rows, replan_share: see `ChunkBroker`

    Raises: ValueError for a dt or max_age_s that is not above 0.

    drives: whether the policy's actions are those of a base. refused_answers: answers to a sub-goal that is no longer
    in force."""

    def __init__(
        self, spec: Interface, dt: float, max_age_s: float, blend_rows: int = 2, replan_share: float = 0.7
    ) -> None:
        for name, value in (("dt", dt), ("max_age_s", max_age_s)):
            if not value > 0:  # NaN as well
                raise ValueError(f"Actor: {name} must be above 0 s, got {value!r}")

        self._names = tuple(spec.action_names)
        self._dt = dt
        self._max_age_s = max_age_s
        self.broker = ChunkBroker((spec.horizon, len(self._names)), dt, max_age_s, blend_rows, replan_share)
        self.recovery = Recovery()

        moves = set(self._names) - {INTERACT}
        self.drives = bool(moves) and moves <= BASE_ACTIONS
        self._recovers = self.drives and SPEED in spec.proprio_names

        self.subgoal = ""
        self.refused_answers = 0
        self._ask_at_once = False  # the sub-goal is not that of the rows at hand

    def follow(self, subgoal: str) -> None:
        """The sub-goal in force from now on; "": hold, and forget all rows. Rows of the sub-goal before are handed out
        until the first chunk of the new one comes."""
        if subgoal != self.subgoal:
            self.subgoal = subgoal
            self._ask_at_once = True
            self.recovery.reset()
        if not subgoal:
            self.broker.clear()

    def wants_chunk(self, now: float) -> bool:
        """Whether the policy should be asked: a sub-goal is in force, and few rows are left, or none of that one."""
        return bool(self.subgoal) and (self._ask_at_once or self.broker.wants_chunk(now))

    def is_fresh(self, observation: Observation, now: float) -> bool:
        """Whether rows that rest on `observation` could still be handed out."""
        return now - observation.observed_at < self._max_age_s

    def asked(self) -> None:
        """The policy has been asked about the sub-goal in force."""
        self._ask_at_once = False

    def take(self, chunk: ActionChunk, subgoal: str, now: float) -> bool:
        """The policy's answer to an observation under `subgoal`; False where it is refused: to another sub-goal, or by
        the broker, which counts why. Its rows count `dt` each, whatever the policy was trained with."""
        if subgoal != self.subgoal:
            self.refused_answers += 1
            return False
        return not self.broker.push(replace(chunk, dt=self._dt), now)

    def tick(self, now: float, speed_mps: float = 0.0, busy: bool = False) -> ActorCommand:
        """The command of this tick; to be called once per tick. speed_mps: of the base, measured. busy: the hand is
        acting."""
        row = self.broker.next_row(now)
        if row is None:
            return self.hold(now)

        interact = self._interacts(row)
        motion = STAND if not self.drives or interact or busy else self._motion(row)
        if self._recovers:
            v, omega = self.recovery.update(motion.linear_x, motion.angular_z, speed_mps, now)
            motion = replace(motion, linear_x=v, angular_z=omega)
        return ActorCommand(row, motion, interact, row.observed_at)

    def hold(self, now: float) -> ActorCommand:
        """The command of a robot that has nothing to do, or nothing fresh to go by."""
        return ActorCommand(None, STAND, False, now)

    def _interacts(self, row: Row) -> bool:
        return INTERACT in self._names and bool(row.action[self._names.index(INTERACT)] > INTERACT_FROM)

    def _motion(self, row: Row) -> BaseMotion:
        values = {name: float(value) for name, value in zip(self._names, row.action, strict=True)}
        return BaseMotion(values.get(LINEAR_X, 0.0), values.get(LINEAR_Y, 0.0), values.get(ANGULAR_Z, 0.0))
