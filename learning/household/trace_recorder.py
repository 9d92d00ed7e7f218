"""Records a mission step by step as a trace, for the report and the GIF."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from rarrl.decision_loop import DecisionSession
from rarrl.events import ActEvent, EpisodeEvent, Event, ShockEvent, ThinkEvent
from rarrl.range_scan import RangeScan
from rarrl.types import GateResult, ObstacleSummary
from rarrl_sim_envs.household.catalogue import NAMES
from rarrl_sim_envs.household.executor import sentence
from rarrl_sim_envs.household.home import Home
from rarrl_sim_envs.household.robot.drivers import HomeSensor
from rarrl_sim_envs.household.world import DT, RANGE_M, Row, World

from .report.trace import HomePlan, MissionResult, Trace, TracedDecision

if TYPE_CHECKING:
    from rarrl.orchestrator.orchestrator import Orchestrator
    from rarrl_sim_envs.household.env import HouseholdEnv

__all__ = ["HomePlan", "MissionResult", "Trace", "TraceRecorder", "TracedDecision", "home_plan"]

PICTURE_EVERY = 4  # steps between two pictures: ten a second at four times the speed


def home_plan(home: Home) -> HomePlan:
    """A home as the pictures need it."""
    places = list(home.places.values())
    boxes = np.array([place.box for place in places]).reshape(-1, 4)
    return HomePlan(home.size, np.array(home.walls), boxes, tuple(p.name for p in places), np.array(home.door), NAMES)


class TraceRecorder:
    """Takes a mission in while it runs: `begin` after the environment's reset, `step` after each step, `decision` for
    each event of the pipeline (it may be the `log` of a `rarrl.pipeline.Robot`), `trace` in the end.

    policy: who decides, for the titles. pictures: keep those of the left camera."""

    def __init__(self, policy: str = "", pictures: bool = True) -> None:
        self.policy = policy
        self._pictures = pictures

    def begin(self, env: HouseholdEnv, seed: int = 0) -> None:
        """A new mission, just reset."""
        self._env = env
        self._seed = seed
        self._goal = env.mission.task.goal
        self._home = home_plan(env.world.home)
        self._rows: list[tuple[float, tuple[float, ...], tuple[float, float], np.ndarray, bool]] = []
        self._gate: list[tuple[str, str]] = []
        self._clear: list[np.ndarray] = []
        self._subgoals: list[str] = []
        self._targets: list[tuple[float, float]] = []
        self._held: list[str] = []
        self._decisions: list[TracedDecision] = []
        self._jpegs: list[bytes] = []
        self._picture_steps: list[int] = []
        self._bearings = np.zeros(0)
        self._range_m = RANGE_M
        self._origin_s = self._time_budget_s = self._token_budget = 0.0

    def sees(self, sensor: HomeSensor) -> HomeSensor:
        """The sensor that is to be used in place of `sensor`: here itself."""
        return sensor

    def session(self, orchestrator: Orchestrator) -> DecisionSession:
        """The orchestrator's side of the mission."""
        return DecisionSession(orchestrator)

    def step(
        self,
        world: World,
        gate_result: GateResult | None,
        scan: RangeScan | ObstacleSummary | None,
        picture: np.ndarray | None,
        row: Row | None,
    ) -> None:
        """The world after a step. gate_result: of the command that was carried out; None: no gate was asked.

        scan: what the robot took to be free; row: the sub-goal that is on. picture: not used: a policy's is too small,
        so the left camera's image is rendered again every PICTURE_EVERY steps."""
        people = np.array([(p.x, p.y) for p in world.people], dtype=np.float64).reshape(-1, 2)
        index = len(self._rows)
        self._rows.append(
            (world.steps * DT, (world.x, world.y, world.heading), (world.v, world.omega), people, world.door_open)
        )
        self._gate.append(("", "") if gate_result is None else (gate_result.action.value, str(gate_result.reason)))
        self._see(scan)
        self._subgoals.append(sentence(row))
        self._targets.append(self._target(row))
        self._held.append(world.things[world.held].name if world.held >= 0 else "")
        last = self._picture_steps[-1] if self._picture_steps else -PICTURE_EVERY
        if self._pictures and self._env.stereo and index - last >= PICTURE_EVERY:
            drawn = self._env.render()[..., ::-1]
            self._jpegs.append(cv2.imencode(".jpg", drawn, (cv2.IMWRITE_JPEG_QUALITY, 90))[1].tobytes())
            self._picture_steps.append(index)

    def _see(self, scan: RangeScan | ObstacleSummary | None) -> None:
        if isinstance(scan, RangeScan):
            bearings = scan.angle_min + scan.increment * np.arange(len(scan.ranges))
            clear = scan.ranges
            self._range_m = scan.range_max
        elif scan is not None:
            bearings = scan.bearings
            clear = scan.clear_m
        else:
            self._clear.append(np.zeros(0))
            return

        self._bearings = np.asarray(bearings, dtype=np.float64)
        self._clear.append(np.minimum(np.asarray(clear, dtype=np.float64), self._range_m))

    def decision(self, event: Event) -> None:
        """What the pipeline logs; an EpisodeEvent sets the clock and the budgets."""
        if isinstance(event, EpisodeEvent):
            self._origin_s = event.t
            self._time_budget_s = event.time_budget_s
            self._token_budget = event.token_budget
        elif isinstance(event, ActEvent):
            t0, t1 = event.t0 - self._origin_s, event.t1 - self._origin_s
            time_left_s, tokens_left = self._left()
            self._decisions.append(
                TracedDecision(
                    t0,
                    t1,
                    "act",
                    event.status,
                    event.subgoal,
                    seconds=t1 - t0,
                    time_left_s=time_left_s,
                    tokens_left=tokens_left,
                )
            )
        elif isinstance(event, ThinkEvent):
            t0, t1 = event.t0 - self._origin_s, event.t1 - self._origin_s
            self._decisions.append(
                TracedDecision(
                    t0,
                    t1,
                    "think",
                    event.status,
                    role=event.role,
                    level=event.level,
                    tokens=event.tokens,
                    seconds=t1 - t0,
                    time_left_s=event.time_left_s,
                    tokens_left=event.tokens_left,
                    answer=event.answer,
                )
            )
        elif isinstance(event, ShockEvent):
            t = event.t - self._origin_s
            self._decisions.append(
                TracedDecision(t, t, "cut", "", time_left_s=event.time_left_s, tokens_left=event.tokens_left)
            )

    def trace(self) -> Trace:
        """The whole mission so far; `begin` must have been called."""
        rows = self._rows
        sectors = len(self._bearings)
        people = max((len(r[3]) for r in rows), default=0)

        return Trace(
            policy=self.policy,
            seed=self._seed,
            goal=self._goal,
            home=self._home,
            time_budget_s=self._time_budget_s,
            token_budget=self._token_budget,
            bearings=self._bearings,
            range_m=self._range_m,
            t_s=np.array([r[0] for r in rows]),
            pose=np.array([r[1] for r in rows]).reshape(-1, 3),
            speed=np.array([r[2] for r in rows]).reshape(-1, 2),
            people=np.array([r[3] for r in rows]).reshape(len(rows), people, 2),
            door_open=np.array([r[4] for r in rows], dtype=bool),
            gate=tuple(g for g, _ in self._gate),
            gate_reason=tuple(reason for _, reason in self._gate),
            clear_m=np.array(
                [scan if len(scan) == sectors else np.full(sectors, np.nan) for scan in self._clear]
            ).reshape(len(rows), sectors),
            subgoal=tuple(self._subgoals),
            target=np.array(self._targets).reshape(-1, 2),
            held=tuple(self._held),
            decisions=tuple(self._decisions),
            pictures=tuple(self._jpegs),
            picture_steps=np.array(self._picture_steps, dtype=np.int64),
        )

    def _left(self) -> tuple[float, float]:
        """Seconds and tokens of the budget that the last decision left."""
        if not self._decisions:
            return self._time_budget_s, self._token_budget
        last = self._decisions[-1]
        return last.time_left_s, last.tokens_left

    def _target(self, row: Row | None) -> tuple[float, float]:
        """Where the robot's map and memory have what a sub-goal is about."""
        world = self._env.world
        name = row[-1] if row else ""
        if name not in world.home.places:
            known = self._env.memory.known
            name = next((place for i, place in known.items() if world.things[i].name == name), "")
        if name not in world.home.places:
            return math.nan, math.nan

        x0, y0, x1, y1 = world.home.places[name].box
        return (x0 + x1) / 2, (y0 + y1) / 2
