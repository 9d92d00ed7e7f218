"""`rarrl/Household-v0`, missions in a home for a base with a stereo head, and its twin without images."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from rarrl.alfred import TASK_TYPES
from rarrl.errors import InputError
from rarrl.types import ActStatus, StereoPair

from ..words import words_in
from .catalogue import FURNITURE, OBJECTS
from .executor import VERBS, Event, Executor, Memory, checked, sentence
from .expert import target_pose
from .home import ROBOT_M, cell
from .tasks import Mission, conditions, draw_mission, goal_sentences, remaining_plan
from .top_view import from_above
from .world import DT, MAX_OMEGA, MAX_V, MIN_V, RANGE_M, SECTORS, Row, World

if TYPE_CHECKING:
    from .scene import HouseholdScene

HEIGHT = 240  # px of an image of the head: small enough to render ten times a second on a CPU
WIDTH = 320
MAX_TEXT = 200  # characters of an instruction; goals here have fewer than 100
MAX_SIDE_M = 20.0  # m, bound of the positions' space; no home is larger
LOOK_STEPS = 5  # steps between two updates of the memory by what is in view: 0.5 s
SUBGOAL_LIMIT_S = 30.0  # s, of an episode of one sub-goal; the expert needs about 10
PRESSED = 0.5  # of the third action: above it the robot interacts


class HouseholdEnv(gym.Env[dict[str, Any], np.ndarray]):
    """## Description
    A mobile base with a stereo head and a simple gripper carries out tasks of ALFRED's seven types in a home of two
    rooms, among people who walk about and things that go wrong. docs/explanation/household.md says what is simulated.

    ## Action space
    `Box((3,), float32)`, ten times a second: v (m/s, -0.2 to 0.6), omega (rad/s, -1.5 to 1.5), interact (0 to 1). When
    interact rises over 0.5, the interaction of the current sub-goal begins (pick up, put down, open, wash, ...), if the
    base stands where it can.

    ## Observation space
    `Dict`: `stereo` (2, 240, 320, 3) uint8, left and right, BGR (the twin: `scan` (31,) float32, metres, right to
    left over the field of view of 75 degrees, at most 4; `world.summary()` gives it as an `ObstacleSummary`);
    `proprio` (8,) float32: x, y (metres, the home's corner at the origin), cosine and sine of the heading, v, omega,
    whether the hand holds something, whether an interaction is under way; `instruction` and `subgoal`: text.

    ## Rewards
    The change of the share of goal conditions that are met, so that a finished task sums to 1. In an episode of one
    sub-goal: 1 for success.

    ## Starting state
    Task, home, places of things, people and disturbances are drawn from the seed. The plan in force is right for the
    world as it is at the start.

    ## Episode end
    Terminates when all goal conditions are met (an episode of one sub-goal: when it succeeds). Truncates after
    `time_limit_s` (of one sub-goal: 30 s).

    ## Information
    `subgoal` (the current row of the plan, or None), `index` (its number), `event` (`Event` of the last step, or None),
    `conditions` (met, all), `contact` and `collisions` (so far), `disturbed` (what went wrong in the last step; not for
    the robot), `is_success`.

    ## Arguments
    `task_type` (one of ALFRED's seven; None: all), `subgoal` (a verb, e.g. "PickupObject": each episode is one sub-goal
    of that kind, begun where a plan would begin it), `people` (0 to 6), `disturbance` (0: nothing goes wrong; 1: as
    documented), `stereo` (False: the twin), `noise` (of the images, standard deviation in gray levels),
    `time_limit_s`, `render_mode` ("rgb_array": the left image; the twin: the home from above).
    `reset(options={"task_type": ..., "subgoal": ...})` overrides for an episode.

    `set_plan(rows)` of the unwrapped environment puts another plan in force.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / DT)}  # noqa: RUF012 (declared by gym.Env)

    def __init__(
        self,
        task_type: str | None = None,
        subgoal: str | None = None,
        people: int = 2,
        disturbance: float = 1.0,
        stereo: bool = True,
        noise: float = 1.0,
        time_limit_s: float = 300.0,
        render_mode: str | None = None,
    ) -> None:
        if not 0 <= people <= 6 or not 0 <= disturbance <= 5 or not 0 < time_limit_s < math.inf:
            raise InputError(
                f"Household: people must be 0 to 6, disturbance 0 to 5, time_limit_s above 0, got {people}, "
                f"{disturbance} and {time_limit_s}"
            )
        if render_mode not in (None, "rgb_array"):
            raise InputError(f"Household: render_mode must be None or 'rgb_array', got {render_mode!r}")
        self._defaults = {"task_type": task_type, "subgoal": subgoal}
        _check_options(self._defaults)
        self._people = people
        self._disturbance = disturbance
        self._limit_s = time_limit_s
        self._stereo = stereo
        self._noise = noise
        self.render_mode = render_mode
        self._scene: HouseholdScene | None = None
        self._verb: str | None = subgoal
        self._pressed = False
        self.is_done = False

        text = gym.spaces.Text(MAX_TEXT, min_length=0, charset=string.printable)
        low = np.array([0, 0, -1, -1, MIN_V, -MAX_OMEGA, 0, 0], dtype=np.float32)
        high = np.array([MAX_SIDE_M, MAX_SIDE_M, 1, 1, MAX_V, MAX_OMEGA, 1, 1], dtype=np.float32)
        sight = (
            {"stereo": gym.spaces.Box(0, 255, (2, HEIGHT, WIDTH, 3), np.uint8)}
            if stereo
            else {"scan": gym.spaces.Box(0.0, RANGE_M, (SECTORS,), np.float32)}
        )
        self.observation_space = gym.spaces.Dict(
            {**sight, "proprio": gym.spaces.Box(low, high), "instruction": text, "subgoal": text}
        )
        self.action_space = gym.spaces.Box(
            np.array([MIN_V, -MAX_OMEGA, 0], dtype=np.float32), np.array([MAX_V, MAX_OMEGA, 1], dtype=np.float32)
        )

        # Since the first reset.
        self.mission: Mission
        self.world: World
        self.executor: Executor
        self.memory: Memory

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A new mission. Raises: InputError for options that are unknown or cannot be."""
        super().reset(seed=seed)
        chosen = self._defaults | (options or {})
        _check_options(chosen)
        self._verb = chosen["subgoal"]

        number = int(self.np_random.integers(2**31))
        rng = np.random.default_rng(number)
        mission = draw_mission(rng, chosen["task_type"], self._verb or "GotoLocation")
        self.begin(mission, number, rng)
        return self._observation(), self._info(None)

    def begin(self, mission: Mission, number: int, rng: np.random.Generator | None = None) -> None:
        """Starts a given mission. number: of people and luck; rng: draws where an episode of one sub-goal begins."""
        self.mission = mission
        self.world = mission.world(number, self._people, self._disturbance)
        rows = remaining_plan(self.world, mission.task)
        if self._verb:
            rows = [_begin_at(self.world, rows, self._verb, rng or np.random.default_rng(number))]

        self.executor = Executor()
        self.executor.set_plan(rows, 0)
        self.memory = Memory(self.world)
        self._met = conditions(self.world, mission.task)
        self._pressed = False
        self.is_done = False

        self.close()
        if self._stereo:
            from .scene import HouseholdScene

            self._scene = HouseholdScene(self.world, WIDTH, HEIGHT, seed=number, noise=self._noise)

    def set_plan(self, rows: Sequence[Sequence[str]]) -> None:
        """Puts a plan in force from its first step. rows: as in ALFRED; where GotoLocation is left out (as in
        `rarrl.reasoner.plan.Plan.to_rows`), it goes where the robot believes the thing to be.

        The interaction that is under way still ends; it is an event if its row is the current one then.

        Raises: InputError for a row that is no sub-goal."""
        filled = self.memory.fill_in([checked(row) for row in rows], self.world)
        self.executor.set_plan(filled, self.world.steps)

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """A tenth of a second. Raises: InputError for an action that is not three finite numbers."""
        reward, done, late, info = self.advance(action)
        return self._observation(), reward, done, late, info

    def advance(self, action: np.ndarray) -> tuple[float, bool, bool, dict[str, Any]]:
        """`step` without an observation: (reward, terminated, truncated, info)."""
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (3,) or not np.isfinite(values).all():
            raise InputError(f"Household: an action is three finite numbers (v, omega, interact), got {action!r}")

        v, omega, interact = values.tolist()
        pressed = interact > PRESSED
        self.world.step(v, omega, self.executor.row if pressed and not self._pressed else None)
        self._pressed = pressed

        event = self.executor.update(self.world)
        if self.world.steps % LOOK_STEPS == 0:
            self.memory.update(self.world)

        before = self._met
        self._met = conditions(self.world, self.mission.task)
        if self._verb:
            self.is_done = event is not None and event.status is ActStatus.SUCCESS
            reward = float(self.is_done)
        else:
            self.is_done = self._met[0] == self._met[1]
            reward = (self._met[0] - before[0]) / self._met[1]
        return reward, self.is_done, self.is_late and not self.is_done, self._info(event, self.is_done)

    @property
    def is_late(self) -> bool:
        """Whether the time of the mission, or of the one sub-goal, is up."""
        return self.world.steps * DT >= (SUBGOAL_LIMIT_S if self._verb else self._limit_s)

    @property
    def met(self) -> tuple[int, int]:
        """(met, all) of the goal conditions."""
        return self._met

    @property
    def is_short(self) -> bool:
        """Whether the episode is one sub-goal."""
        return self._verb is not None

    @property
    def stereo(self) -> bool:
        """Whether it renders images."""
        return self._stereo

    def pair(self) -> StereoPair:
        """The images of both cameras now, as the detector takes them; `rig` of `scene` is the camera's. Stereo only."""
        return self.scene.pair(self.world)

    @property
    def scene(self) -> HouseholdScene:
        """The scene of this mission. Raises: InputError in the twin, and before the first reset."""
        if self._scene is None:
            raise InputError("Household: no images here; make it with stereo=True, and reset it first")
        return self._scene

    @property
    def words(self) -> tuple[str, ...]:
        """The words that instructions and sub-goals are made of, for `rarrl_sim_envs.words.WordCounts`."""
        return _all_words()

    def render(self) -> np.ndarray:
        """(240, 320, 3) uint8 RGB: the left image; of the twin the home from above."""
        if not self._stereo:
            return from_above(self.world, WIDTH, HEIGHT)
        return np.ascontiguousarray(self.pair().left[..., ::-1])

    def close(self) -> None:
        """Frees the renderer."""
        if self._scene is not None:
            self._scene.close()
            self._scene = None

    def _observation(self) -> dict[str, Any]:
        world = self.world
        proprio = (world.x, world.y, math.cos(world.heading), math.sin(world.heading), world.v, world.omega)
        observed: dict[str, Any] = {
            "proprio": np.array([*proprio, world.held >= 0, world.busy], dtype=np.float32),
            "instruction": self.mission.task.goal,
            "subgoal": sentence(self.executor.row),
        }
        if self._stereo:
            pair = self.pair()
            return {"stereo": np.stack([pair.left, pair.right])} | observed
        return {"scan": world.scan().astype(np.float32)} | observed

    def _info(self, event: Event | None, done: bool = False) -> dict[str, Any]:
        return {
            "subgoal": self.executor.row,
            "index": self.executor.index,
            "event": event,
            "conditions": self._met,
            "contact": self.world.contact,
            "collisions": self.world.collisions,
            "disturbed": tuple(self.world.disturbed),
            "is_success": done,
        }


@lru_cache(maxsize=1)
def _all_words() -> tuple[str, ...]:
    return words_in((*goal_sentences(), *VERBS, *FURNITURE, *OBJECTS))


def _check_options(options: dict[str, Any]) -> None:
    unknown = sorted(set(options) - {"task_type", "subgoal"})
    if unknown:
        raise InputError(f"Household: no option {unknown[0]!r} (allowed: task_type, subgoal)")
    if options["task_type"] is not None and options["task_type"] not in TASK_TYPES:
        raise InputError(f"Household: no task type {options['task_type']!r} (allowed: {', '.join(TASK_TYPES)})")
    if options["subgoal"] is not None and options["subgoal"] not in VERBS:
        raise InputError(f"Household: no sub-goal {options['subgoal']!r} (allowed: {', '.join(VERBS)})")


def _begin_at(world: World, rows: list[Row], verb: str, rng: np.random.Generator) -> Row:
    """Brings the world to the start of one of the sub-goals of a kind, and returns that sub-goal: the steps before have
    happened, and the base stands a little off from where they left it."""
    index = int(rng.choice([i for i, row in enumerate(rows) if row[0] == verb]))
    pose = world.home.start
    for row in rows[:index]:
        pose = target_pose(world, row)
        world.teleport(*pose)
        if row[0] != "GotoLocation":
            of_thing = row[0] in ("PickupObject", "SliceObject")
            world.open(world.place_of(world.find(row[-1])) if of_thing else row[-1])
            world.apply(row)

    for _ in range(50):  # tries; where none is free the base stays where the steps left it
        x, y, heading = np.add(pose, rng.uniform((-0.15, -0.15, -0.4), (0.15, 0.15, 0.4))).tolist()
        grid = world.home.clearance(True)
        if grid[cell(grid, x, y)] > ROBOT_M + 0.08:
            world.teleport(x, y, heading)
            break
    return rows[index]
