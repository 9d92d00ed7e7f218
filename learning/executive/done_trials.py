"""Skills that report success, what the robot's sensors say, and whether they were really done.

Two robots: pyrobosim's, which lies about some of its picks, places and openings (`Setup.lie_rate`), and the
household's, whose grasps slip as they do there, reported as done, as a gripper without sensors would. What it does not
do wrong by itself is done to it: it takes the thing beside, its fingers do not let go, what it puts down falls, what it
opens stays shut, its drive ends short.

The household's voxels are real: the detector, on pictures of the head before and after. Sensors that neither simulation
has are drawn with errors (`Sensors`): gripper, detector of things, odometry, and for pyrobosim voxels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rarrl.executive.certainty import DoneSignals, Effects
from rarrl.perception.change import has_changed
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.voxels import grid_spec
from rarrl.skills.skill_set import Run, Skill
from rarrl_sim_envs.household import disturbances
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.expert import Expert, find_path, find_target
from rarrl_sim_envs.household.interactions import OPENED, SECONDS
from rarrl_sim_envs.household.robot.drivers import PRESET
from rarrl_sim_envs.household.robot.teleport_driver import S_PER_M
from rarrl_sim_envs.household.world import DT, STANDING, Row, World
from rarrl_sim_envs.pyrobosim.robot import PLACES, PyrobosimRobot, Setup

_RUN = Run(python="robot.driver:run")
SKILLS = {
    "navigate": Skill(does="drives", parameters={"to": "place"}, run=_RUN, gives=("at {to}",)),
    "pick": Skill(does="takes", parameters={"thing": "thing"}, run=_RUN, gives=("holding {thing}",)),
    "place": Skill(
        does="puts down", parameters={"thing": "thing", "to": "place"}, run=_RUN, gives=("{thing} at {to}",)
    ),
    "open": Skill(does="opens", parameters={"what": "place"}, run=_RUN, gives=("open {what}",)),
}
"""As both robots' `skills.yaml` would have them."""
EFFECTS = {name: Effects.of(skill) for name, skill in SKILLS.items()}
"""Skill -> what it changes."""
LOOK_S = {"pyrobosim": 2.0, "household": 1.0}
"""Seconds that a look at the place takes where the robot stands: pyrobosim's detect; a picture and the detector."""


@dataclass(frozen=True)
class Sensors:
    """Errors of sensors that the simulations do not have; chosen, not measured.

    gripper: how often it says that it holds something though it does not, or the other way round (a spoon between soft
    fingers). misses, imagines: how often a detector of things overlooks one that is there, and sees one that is not.
    voxels: how often voxels have changed where nothing has, or the other way round, as measured in the household.
    odometry_m: standard deviation of the distance left."""

    gripper: float = 0.03
    misses: float = 0.1
    imagines: float = 0.02
    voxels: float = 0.1
    odometry_m: float = 0.05

    def holds(self, really: bool, luck: np.random.Generator) -> bool:
        """What the gripper says."""
        return really != (luck.random() < self.gripper)

    def sees(self, really: bool, luck: np.random.Generator) -> bool:
        """What the detector says."""
        return bool(luck.random() >= self.misses) if really else bool(luck.random() < self.imagines)

    def changes(self, really: bool, luck: np.random.Generator) -> bool:
        """What voxels say."""
        return really != (luck.random() < self.voxels)


@dataclass(frozen=True)
class Trial:
    """A skill that has reported success. life: of one robot, in whose order it learns. how: what went wrong, or ""."""

    robot: str
    life: int
    skill: str
    signals: DoneSignals
    done: bool
    how: str = ""


ALL_SIGNALS = ("seconds", "distance_left_m", "recoveries", "holding", "changed", "seen")
SUITES = {
    "result and time": ("seconds",),
    "and gripper": ("seconds", "distance_left_m", "recoveries", "holding"),
    "and camera": ALL_SIGNALS,
}
"""Robots, by what they sense."""


def sensed(trial: Trial, suite: str) -> Trial:
    """The trial of a robot that has these sensors alone."""
    hidden: dict[str, Any] = dict.fromkeys(set(ALL_SIGNALS) - set(SUITES[suite]))
    return replace(trial, signals=replace(trial.signals, **hidden))


# pyrobosim


def pyrobosim_trials(
    seeds: Iterable[int], lie_rate: float = 0.1, errands: int = 8, sensors: Sensors | None = None
) -> Iterator[Trial]:
    """Each seed is one robot that carries things about; whoever sends it knows the truth, so its steps make sense."""
    sensors = sensors or Sensors()
    for seed in seeds:
        luck = np.random.default_rng([seed, 11])
        shut = frozenset(name for name in ("fridge", "pantry", "dumpster") if luck.random() < 0.7)
        robot = PyrobosimRobot(Setup(shut=shut, lie_rate=lie_rate, slip_rate=0.05), seed)
        for _ in range(errands):
            things = [(thing, place) for thing, place in robot.truth().things if place != "gripper"]
            thing, origin = things[int(luck.integers(len(things)))]
            targets = [place for place in PLACES if place not in (origin, "charger")]
            goal = targets[int(luck.integers(len(targets)))]
            for trial in _errand(robot, thing, origin, goal, sensors, luck):
                yield replace(trial, life=seed)


def _errand(
    robot: PyrobosimRobot, thing: str, origin: str, goal: str, sensors: Sensors, luck: np.random.Generator
) -> Iterator[Trial]:
    """Opens the goal, fetches the thing, brings it; steps that were not done are done again, three times at most."""
    for skill, name in (
        *(("navigate", goal), ("open", goal), ("navigate", origin), ("open", origin)),
        *(("pick", thing), ("navigate", goal), ("place", goal)),
    ):
        for _ in range(3):
            before = robot.truth()
            if skill == "open" and name not in before.shut:
                break
            trial = _pyrobosim_step(robot, skill, thing, name, sensors, luck)
            if trial is not None:
                yield trial
                if trial.done:
                    break


def _pyrobosim_step(
    robot: PyrobosimRobot, skill: str, thing: str, name: str, sensors: Sensors, luck: np.random.Generator
) -> Trial | None:
    """One skill; None where it does not report success."""
    before, begun = robot.truth(), robot.pose
    result = robot.run(skill, {"thing": thing} if skill == "pick" else {"place": name})
    if result.status != 0:
        return None

    after = robot.truth()
    here = after.where
    count = after.things.count((thing, here)) - before.things.count((thing, here))
    done = {
        "navigate": here == name,
        "pick": after.holding == thing,
        "place": count == 1,
        "open": name not in after.shut,
    }[skill]
    drive_m = math.dist(begun[:2], robot.pose[:2]) if skill == "navigate" else 0.0
    expected_s = {"navigate": 0.5 + drive_m, "pick": 5.0, "place": 4.0, "open": 6.0}[skill]
    signals = DoneSignals(
        seconds=max(result.seconds, 0.1),
        expected_s=expected_s,
        distance_left_m=abs(float(luck.normal(0.0, sensors.odometry_m))) if skill == "navigate" else None,
        holding=sensors.holds(after.holding is not None, luck),
        changed=sensors.changes(done, luck) if skill != "navigate" else None,
        # of a thing taken: as many as before are still there; of one put down: one more is there
        seen=sensors.sees(count == 0 if skill == "pick" else count == 1, luck) if skill in ("pick", "place") else None,
    )
    return Trial("pyrobosim", 0, skill, signals, done, "" if done else "lie")


# The household


def household_trials(
    seeds: Iterable[int], wrong: float = 0.1, per_life: int = 30, stereo: bool = True, sensors: Sensors | None = None
) -> Iterator[Trial]:
    """Drives, picks and places by turns, each of one episode.

    wrong: share of the steps, at most 0.5, in which something is done to the robot; as many of its grasps slip besides.
    All of it is reported as done. stereo: False leaves the voxels out, and takes a tenth of the time."""
    sensors = sensors or Sensors()
    level = wrong / disturbances.P_SLIP
    envs = {
        verb: HouseholdEnv(stereo=stereo and verb != "GotoLocation", subgoal=verb, disturbance=level)
        for verb in ("GotoLocation", "PickupObject", "PutObject")
    }
    try:
        for number, seed in enumerate(seeds):
            luck = np.random.default_rng([seed, 13])
            for verb, env in envs.items():
                env.reset(seed=seed)
                trial = _drive(env, wrong, sensors, luck) if verb == "GotoLocation" else _use(env, wrong, sensors, luck)
                if trial is not None:
                    yield replace(trial, life=number // per_life)
    finally:
        for env in envs.values():
            env.close()


def _drive(env: HouseholdEnv, wrong: float, sensors: Sensors, luck: np.random.Generator) -> Trial | None:
    """A drive, which may end short of its goal; that is reported as an arrival."""
    world, row, expert = env.world, env.executor.row, Expert()
    assert row is not None
    target = find_target(world, row, env.memory)
    if target is None:
        return None
    goal = target[0]
    metres = max(len(find_path(world, goal)) * 0.05, math.dist((world.x, world.y), goal[:2]))
    stop_m = luck.uniform(0.3, 1.5) if luck.random() < wrong else -1.0

    while not env.is_late:
        is_near = math.dist((world.x, world.y), goal[:2]) < stop_m
        *_, info = env.advance(np.zeros(3) if is_near else expert.act(world, row, env.memory))
        if (info["event"] is not None and info["event"].status.name == "SUCCESS") or (is_near and world.v < STANDING):
            break
    else:
        return None

    done = world.arrived(row[1])
    left = math.dist((world.x, world.y), goal[:2]) + float(luck.normal(0.0, sensors.odometry_m))
    signals = DoneSignals(
        seconds=world.steps * DT,
        expected_s=2.0 + S_PER_M * metres,
        distance_left_m=abs(left),
        holding=sensors.holds(world.held >= 0, luck),
    )
    return Trial("household", 0, "navigate", signals, done, "" if done else "ended short")


def _use(env: HouseholdEnv, wrong: float, sensors: Sensors, luck: np.random.Generator) -> Trial | None:
    """A pick or place, with pictures before and after, or the opening of what is shut before it."""
    world, row, expert = env.world, env.executor.row, Expert()
    assert row is not None
    before: tuple[World, Any] | None = None
    while not env.is_late:
        env.advance(expert.act(world, row, env.memory))
        if world.busy and before is None:
            before = world.copy(), _voxels(env)
        if world.outcome is not None:
            break
    if before is None or world.outcome is None:
        return None

    was, voxels = before
    if world.outcome.reason == OPENED:
        return _opened(env, was, voxels, row, wrong, luck)
    if world.outcome.reason not in ("", "slipped"):
        return None  # it says so itself

    picks = row[0] == "PickupObject"
    index = was.find(row[1]) if picks else was.held
    spot = (was.things[index].x, was.things[index].y) if picks else (world.things[index].x, world.things[index].y)
    how = world.outcome.reason
    if not how and luck.random() < wrong:
        how = _go_wrong(world, was, picks, index, luck)
    env.world = world
    holds, here = world.held, was.place_of(index) if picks else row[-1]
    done = not how and (holds == index if picks else holds < 0)
    there = world.place_of(index) == here if picks or here in world.home.places else done
    signals = DoneSignals(
        seconds=world.steps * DT,
        expected_s=2.0 + SECONDS[row[0]],
        holding=sensors.holds(holds >= 0, luck),
        changed=_changed(env, voxels, spot),
        seen=sensors.sees(there and holds != index, luck),
    )
    return Trial("household", 0, "pick" if picks else "place", signals, done, how)


def _go_wrong(world: World, was: World, picks: bool, index: int, luck: np.random.Generator) -> str:
    """What has gone well is made to have gone wrong."""
    if not picks:
        world.take(index)
        if luck.random() < 0.5:
            return "fingers stuck"
        disturbances.drop(world)
        return "fell"

    place, name = was.place_of(index), was.things[index].name
    beside = [i for i, t in enumerate(was.things) if place and t.on == place and t.name != name]
    world.held = -1
    thing, old = world.things[index], was.things[index]
    thing.on, thing.slot, thing.inside, thing.x, thing.y = old.on, old.slot, old.inside, old.x, old.y
    world.move_contents(index)
    if beside:
        world.take(beside[int(luck.integers(len(beside)))])
        return "took another"
    return "grasped nothing"


def _opened(env: HouseholdEnv, was: World, voxels: Any, row: Row, wrong: float, luck: np.random.Generator) -> Trial:
    """The robot has opened what was shut before it."""
    world = env.world
    name = next(iter(was.shut - world.shut))
    done = bool(luck.random() >= wrong)
    if not done:
        world.shut.add(name)
    place = world.home.places[name]
    # The middle of its front, a little inside: there the door was.
    spot = (place.front[0] - 0.05 * place.facing[0], place.front[1] - 0.05 * place.facing[1])
    signals = DoneSignals(seconds=world.steps * DT, expected_s=2.0 + 0.5, changed=_changed(env, voxels, spot))
    return Trial("household", 0, "open", signals, done, "" if done else "jammed")


def _voxels(env: HouseholdEnv) -> Any:
    if not env.stereo:
        return None
    return ClassicalDetector(env.scene.rig, grid_spec(PRESET)).detect(env.pair())


def _changed(env: HouseholdEnv, before: Any, spot: tuple[float, float]) -> bool | None:
    if before is None:
        return None
    from rarrl_sim_envs.household.scene import T_BASE_LEFT

    world = env.world
    dx, dy = spot[0] - world.x, spot[1] - world.y
    cos, sin = math.cos(world.heading), math.sin(world.heading)
    return has_changed(before, _voxels(env), T_BASE_LEFT, cos * dx + sin * dy, cos * dy - sin * dx)
