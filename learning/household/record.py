"""Records household demonstrations: a noisy expert or a policy acts, and the expert labels every fourth step.

As in the other suites the label is the expert's own clean chunk from that very state, tried out in a copy of the world.
Who acts: the expert with noise and bursts of random motion (DART, Laskey et al. 2017), or a trained policy in turn with
the expert (DAgger, Ross et al. 2011); what they ask passes the safety gate, as on the robot.

A task is a verb; each frame has its own words ("PickupObject mug"). The third action is a wish: 1 from where the expert
would interact until the interaction is over.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.policy.base import Observation, Policy
from rarrl.policy.recovery import Recovery
from rarrl.policy.spec import RobotInfo, TaskInfo
from rarrl.types import ActStatus
from rarrl_sim_envs.household.catalogue import FURNITURE, OBJECTS
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.executor import VERBS, sentence
from rarrl_sim_envs.household.expert import Expert, find_target
from rarrl_sim_envs.household.robot.drivers import HomeGate, InteractDebounce
from rarrl_sim_envs.household.robot.proprioception import (
    ACTION_NAMES,
    CAMERA,
    PROPRIO_NAMES,
    MapProprioception,
    picture,
)
from rarrl_sim_envs.household.tasks import remaining_plan
from rarrl_sim_envs.household.world import DT, MAX_OMEGA, MAX_V, RANGE_M, Row, World

from ..policy.demonstrations import Frames, write_shard
from ..progress import Progress

HORIZON = 8  # rows of a recorded chunk
STRIDE = 4  # control steps from frame to frame while the robot drives
NEAR_STRIDE = 2  # the same during interactions, which are short
SHORT = 4  # episodes of a single interaction beside each mission
ROBOT = RobotInfo((CAMERA,), PROPRIO_NAMES, ACTION_NAMES, 1 / DT)
MAX_STEPS = 900  # control steps of a mission: 90 s


def instructions() -> dict[str, list[str]]:
    """All sub-goals as texts, by verb."""
    things = list(OBJECTS)
    places = list(FURNITURE)
    one = {"GotoLocation": places + things, "ToggleObject": ["desklamp", "floorlamp"]}
    found = {verb: [f"{verb} {name}" for name in one.get(verb, things)] for verb in VERBS if verb != "PutObject"}
    return found | {"PutObject": [f"PutObject {a} {b}" for a in things for b in places + things]}


def record_household(
    out: Path,
    missions: int,
    first: int = 0,
    batch: int = 20,
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Records missions `first` to `first + missions` (seeds from 1,000,000 on, which no evaluation uses); files
    that are there stay.

    Args:
        out: gets `<verb>_<first mission>.safetensors`, `batch` missions in each
        policy: acts in turn with the expert; None: the disturbed expert alone

    Returns: the frames of each verb."""
    counts = dict.fromkeys(VERBS, 0)
    texts = instructions()
    for begin in range(first, first + missions, batch):
        seeds = range(begin, min(begin + batch, first + missions))
        if not (out / f"GotoLocation_{begin:05d}.safetensors").exists():
            rows: dict[str, list[tuple[Any, ...]]] = {verb: [] for verb in VERBS}
            for seed in seeds:
                _record(1_000_000 + seed, rows, texts, policy)
                for part in range(SHORT):
                    _record(2_000_000 + SHORT * seed + part, rows, texts, policy, short=True)
                if progress:
                    progress(seed - first, "")

            about = {"suite": "household", "missions": [seeds.start, seeds.stop], "dagger": policy is not None}
            about |= {"stride": [STRIDE, NEAR_STRIDE], "versions": {"mujoco": version("mujoco")}}
            for verb, found in rows.items():
                if found:
                    write_shard(
                        out / f"{verb}_{begin:05d}.safetensors",
                        ROBOT,
                        TaskInfo(verb, tuple(texts[verb]), "home", ""),
                        Frames(*map(np.array, zip(*found, strict=True))),
                        about,
                    )

                counts[verb] += len(found)

        if progress:
            progress(seeds.stop - first, "")

    return counts


def _record(
    seed: int,
    rows: dict[str, list[tuple[Any, ...]]],
    texts: dict[str, list[str]],
    policy: Policy | None,
    short: bool = False,
) -> None:
    rng = np.random.default_rng(seed)
    verb = str(rng.choice(VERBS[1:], p=np.array([6, 6, 2, 2, 2, 1, 1]) / 20)) if short else None

    env = HouseholdEnv(None, verb, people=int(rng.integers(0, 4)), disturbance=float(rng.choice([0.0, 1.0, 2.0])))
    try:
        env.reset(seed=seed)
        if not short and rng.random() < 0.3:
            env.world.door_open = False  # shut doors are rare otherwise
        actor = _Actor(rng, policy)
        gate = HomeGate()
        guide = MapProprioception()
        debounce = InteractDebounce()
        recovery = Recovery()
        gate.begin(env)
        done = late = False
        while not done and not late and env.world.steps < MAX_STEPS:
            row = env.executor.row
            world = env.world
            if row is None or find_target(world, row, env.memory) is None:
                if world.busy:
                    done, late = _advance(env, 0.0, 0.0, False)
                    continue
                if short:
                    break
                _replan(env)
                debounce.reset()
                continue

            gate.look(world)
            proprio = guide.proprio(world, env.memory, row)
            seen = None
            if world.steps % (STRIDE if row[0] == "GotoLocation" else NEAR_STRIDE) == 0:
                image = picture(env.pair().left)
                chunk = expert_chunk(world, row, env)
                told = texts[row[0]].index(sentence(row))
                frame = (image[None], proprio, chunk, privileged(world, row), np.int32(seed), np.int32(world.steps))
                rows[row[0]].append((*frame, np.int32(told)))
                seen = Observation(image[None], proprio, sentence(row))

            v, omega, wish = actor.act(world, row, env, seen)
            stands, pressed = debounce.update(world, wish)
            v, omega = (0.0, 0.0) if stands else recovery.update(v, omega, world.v, world.steps * DT)
            result = gate.check(world, v, omega)
            done, late = _advance(env, result.v, result.omega, pressed)
            if env.executor.row != row:
                debounce.reset()
                recovery.reset()
                actor.reset()
    finally:
        env.close()


def _advance(env: HouseholdEnv, v: float, omega: float, pressed: bool) -> tuple[bool, bool]:
    _, done, late, info = env.advance(np.array([v, omega, float(pressed)]))
    event = info["event"]
    failed = event is not None and event.status is ActStatus.FAILURE
    if env.is_short:
        return done, late

    if (failed or info["disturbed"]) and not done and not env.world.busy:
        _replan(env)
    return done, late


def _replan(env: HouseholdEnv) -> None:
    """Gives the memory the true places of all objects, and the executor the plan that is right now."""
    for index in range(len(env.world.things)):
        env.memory.note(env.world, index)
    env.set_plan(remaining_plan(env.world, env.mission.task))


class _Actor:
    """The expert with noise and bursts, or a policy in turn with it."""

    def __init__(self, rng: np.random.Generator, policy: Policy | None) -> None:
        self._rng = rng
        self._policy = policy
        self._expert = Expert()
        self._noise = float(rng.choice([0.0, 0.15, 0.4]))
        self._burst = np.zeros(2)
        self._burst_left = 0
        self._policy_left = self._expert_left = 0
        self._rows: list[np.ndarray] = []

    def reset(self) -> None:
        """Another sub-goal is on."""
        self._expert.reset()
        self._rows = []

    def act(self, world: World, row: Row, env: HouseholdEnv, seen: Observation | None) -> tuple[float, float, float]:
        if self._policy is not None and seen is not None:
            if self._policy_left <= 0 and self._expert_left <= 0:
                self._policy_left, self._expert_left = int(self._rng.integers(10, 80)), int(self._rng.integers(0, 25))
            self._rows = list(self._policy.infer(seen).actions[:STRIDE]) if self._policy_left > 0 else []

        if self._rows:
            self._policy_left -= 1
            v, omega, wish = self._rows.pop(0).tolist()
            return v, omega, wish

        self._policy_left = 0
        self._expert_left = self._expert_left - 1
        v, omega, wish = wishes(self._expert, world, row, env)
        if wish:
            return v, omega, wish
        if self._burst_left:
            self._burst_left -= 1
            return float(self._burst[0]), float(self._burst[1]), 0.0

        if self._rng.random() < 0.02:
            self._burst_left = int(self._rng.integers(4, 15))
            self._burst = self._rng.uniform((-0.1, -1.5), (0.5, 1.5))
        v += self._noise * 0.3 * self._rng.standard_normal()
        omega += self._noise * 1.5 * self._rng.standard_normal()
        return float(np.clip(v, -0.2, MAX_V)), float(np.clip(omega, -MAX_OMEGA, MAX_OMEGA)), 0.0


def wishes(expert: Expert, world: World, row: Row, env: HouseholdEnv) -> tuple[float, float, float]:
    """What the expert would do now, its press held while the interaction is under way."""
    if world.busy:
        return 0.0, 0.0, 1.0
    v, omega, press = expert.act(world, row, env.memory).tolist()
    expert._pressed = False
    return v, omega, press


def expert_chunk(world: World, row: Row, env: HouseholdEnv) -> np.ndarray:
    """(HORIZON, 3) float32: what the expert would do from here on, tried out in a copy of the world."""
    trial = world.copy()
    expert = Expert()

    chunk = np.zeros((HORIZON, 3), np.float32)
    pressed = False
    for i in range(HORIZON):
        chunk[i] = wishes(expert, trial, row, env)
        press = chunk[i, 2] > 0.5 and not trial.busy and not pressed
        trial.step(float(chunk[i, 0]), float(chunk[i, 1]), row if press else None)
        pressed = press
        outcome = trial.outcome
        if (row[0] == "GotoLocation" and trial.arrived(row[1])) or (outcome is not None and outcome.ok):
            chunk[i + 1 :, 2] = chunk[i, 2]  # it stays as it ended
            break

    return chunk


def privileged(world: World, row: Row) -> np.ndarray:
    """(6,) float32, what only the simulator knows: the nearest person in view (x, y ahead and left, metres; 4, 0 where
    there is none), whether the door between the rooms is shut and where it is (x, y), how far ahead is free."""
    person = (RANGE_M, 0.0)
    near = [(math.hypot(p.x - world.x, p.y - world.y), world.bearing(p.x, p.y)) for p in world.people]
    ahead = [(far, bearing) for far, bearing in near if far < RANGE_M and abs(bearing) < 0.65]
    if ahead:
        far, bearing = min(ahead)
        person = (far * math.cos(bearing), far * math.sin(bearing))
    door = world.home.door
    x, y = (door[0] + door[2]) / 2, (door[1] + door[3]) / 2
    far = min(math.hypot(x - world.x, y - world.y), RANGE_M)
    bearing = world.bearing(x, y)
    way = (far * math.cos(bearing), far * math.sin(bearing))
    free = float(world.scan()[13:18].min())

    return np.array([*person, not world.door_open, *way, free], np.float32)
