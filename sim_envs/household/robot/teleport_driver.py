"""A driver that skips the drive: for learning when to think, where only what attempts come to matters.

The base is set down along its path, after the time that the scripted expert takes for it; looks about there; and does
the interaction itself. Things go wrong meanwhile, as in the whole simulation. People are there as delays alone: in an
environment with none (`HouseholdEnv(people=0)`) the times are those with two.
"""

from __future__ import annotations

import math

import numpy as np

from rarrl.types import ActStatus

from ..env import HouseholdEnv
from ..executor import Event
from ..expert import Pose, find_path, find_target
from ..home import Home, cell
from ..world import DT, Row, World, wrap
from .drivers import NEVER, STOPPED, ended

# Fitted to the scripted expert among two people; see `benchmarks/household_orchestrator.py drivers`.
S_PER_M = 1.9
"""Seconds that a metre of the path takes."""
S_PER_RAD = 0.7
"""Seconds that a turn of one radian takes before it."""
WAITS_PER_M = 0.11
"""How often a person is in the way, per metre of the path."""
WAIT_S = 4.5
"""Seconds that the base waits then, the mean of an exponential distribution."""
DOOR_S = 4.0
"""Seconds for the door between the rooms."""
APPROACH_S_PER_M = 4.5
"""Seconds that a metre takes on the last bit, before an interaction."""
LOOK_M = 0.8
"""Metres from look to look: no further than what was seen at one place reaches."""
LIMIT_S = 60.0
"""Seconds after which a drive to a place that is not there counts as too late, as in `Executor`."""
_STILL = np.zeros(3)
_INTERACT = np.array([0.0, 0.0, 1.0])

Way = tuple[float, list[Pose]]
"""Metres, and poses LOOK_M apart on it; the last is the goal."""


class TeleportDriver:
    """See the module's text. Keeps the ways of each home that it has seen; may drive in many environments by turns."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Home, dict[tuple[int, ...], Way]]] = {}

    def begin(self, env: HouseholdEnv) -> None:
        """See `rarrl_sim_envs.household.robot.drivers.Driver`."""

    def attempt(self, env: HouseholdEnv, until: int = NEVER) -> Event:
        """See `rarrl_sim_envs.household.robot.drivers.Driver`. It breaks off at the next place where it looks about."""
        row = env.executor.row
        world = env.world
        assert row is not None, "an attempt needs a sub-goal that is on"
        begun = world.steps
        target = find_target(world, row, env.memory)
        if row[0] == "GotoLocation":
            if target is not None and not world.arrived(row[1]) and not self._drive(env, target[0], until):
                return Event(row, ActStatus.FAILURE, STOPPED)
            event = self._step(env, row, _STILL)
            if event is None:  # nothing there to arrive at
                _pass(world, begun + round(LIMIT_S / DT) - world.steps - 1)
                event = self._step(env, row, _STILL) or Event(row, ActStatus.FAILURE, "too late")
            return event
        if target is not None and world.refusal(row):
            self._approach(env, target[0])
        for _ in range(3):  # opens first what is shut
            if event := self._step(env, row, _INTERACT) or self._wait(env, row):
                return event
        return Event(row, ActStatus.FAILURE, "too late")

    def _step(self, env: HouseholdEnv, row: Row, action: np.ndarray) -> Event | None:
        _, done, late, info = env.advance(action)
        return ended(env, row, info["event"], done or late)

    def _wait(self, env: HouseholdEnv, row: Row) -> Event | None:
        """Until the interaction has ended, and a step more, in which the hand lets go."""
        world = env.world
        if world.busy:
            rest = world._busy - 1
            world._busy = 1
            _pass(world, rest)
        event = self._step(env, row, _STILL)
        return event or (self._step(env, row, _STILL) if world.busy else None)

    def _drive(self, env: HouseholdEnv, goal: Pose, until: int = NEVER) -> bool:
        """Whether it came to `goal`."""
        world = env.world
        metres, poses = self._way(world, goal)
        turn = abs(world.bearing(*poses[0][:2])) if metres > 0.3 else abs(wrap(goal[2] - world.heading))
        seconds = S_PER_M * metres + S_PER_RAD * turn
        if world._luck.random() < WAITS_PER_M * metres:
            seconds += float(world._luck.exponential(WAIT_S))
        share = seconds / DT / len(poses)
        spent = 0.0
        for pose in poses:
            if world.steps >= until:
                return False
            _pass(world, int(spent + share) - int(spent))
            spent += share
            if not world.door_open and world.home.room(pose[0]) != world.home.room(world.x):
                _pass(world, round(DOOR_S / DT))
                world.open("door")
            _set(world, pose)
            env.memory.update(world)
        return True

    def _approach(self, env: HouseholdEnv, goal: Pose) -> None:
        world = env.world
        away = math.hypot(goal[0] - world.x, goal[1] - world.y)
        if away > 1.0:
            self._drive(env, goal)
            return
        turn = abs(wrap(goal[2] - world.heading))
        _pass(world, round(max(APPROACH_S_PER_M * away, S_PER_RAD * turn) / DT))
        _set(world, goal)

    def _way(self, world: World, goal: Pose) -> Way:
        grid = world.home.clearance(True)
        key = (*cell(grid, world.x, world.y), *cell(grid, *goal[:2]), round(goal[2] * 10))
        ways = self._known.setdefault(id(world.home), (world.home, {}))[1]  # with the home: no other gets its id
        if key not in ways:
            path = find_path(world, goal)
            points = np.vstack([[(world.x, world.y)], path]) if len(path) else np.array([(world.x, world.y), goal[:2]])
            steps = np.diff(points, axis=0)
            run = np.concatenate([[0.0], np.cumsum(np.hypot(*steps.T))])
            marks = np.arange(LOOK_M, run[-1], LOOK_M)
            at = np.searchsorted(run, marks)
            poses: list[Pose] = []
            for i in at:
                ahead = steps[min(i, len(steps) - 1)]
                poses.append((float(points[i][0]), float(points[i][1]), math.atan2(ahead[1], ahead[0])))
            ways[key] = float(run[-1]), [*poses, goal]
        return ways[key]


def _set(world: World, pose: Pose) -> None:
    world.x, world.y, world.heading = pose
    world.v = world.omega = 0.0
    if world.held >= 0:
        world._carry()


def _pass(world: World, steps: int) -> None:
    """Time passes while the base stands; what goes wrong by chance goes wrong."""
    if steps <= 0:
        return
    world.skip(steps)
