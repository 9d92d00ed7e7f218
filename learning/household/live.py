"""A mission in this process, watched while it is played: a recorder that is a source of `rarrl.view.server` as well."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rarrl.decision_loop import DecisionSession
from rarrl.events import EpisodeEvent, Event
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.obstacle_sensor import ObstacleReading
from rarrl.perception.rig import CameraRig
from rarrl.range_scan import RangeScan
from rarrl.robot import RangeReading, RangeSensor
from rarrl.types import Decision, GateResult, ObstacleSummary, StereoPair
from rarrl.view.state import (
    Belief,
    Camera,
    Controls,
    Home,
    Moment,
    Path,
    Reason,
    Scan,
    Snapshot,
    Story,
    gate_state,
    voxels_over,
)
from rarrl.view.story import after, decided, steps_of
from rarrl.view.weighing import WatchedSession
from rarrl_sim_envs.household.catalogue import NAMES
from rarrl_sim_envs.household.executor import sentence
from rarrl_sim_envs.household.robot.drivers import BODY, GATE, HomeSensor
from rarrl_sim_envs.household.scene import PITCH_RAD
from rarrl_sim_envs.household.world import DT, HEAD_M, Row, World

from .trace_recorder import TraceRecorder, home_plan

if TYPE_CHECKING:
    from rarrl.orchestrator.orchestrator import Orchestrator
    from rarrl_sim_envs.household.env import HouseholdEnv

    from .report.trace import HomePlan

NOT_NOW = "no mission is under way"
T_BASE_CAMERA = camera_pose(HEAD_M, PITCH_RAD)


class LiveRecorder(TraceRecorder):
    """Takes a mission in as its base class does, and shows it: `rarrl.view.server.viewing(recorder)`.

    What is shown is looked up by the server's threads; a step only leaves behind where it was. Missions may be played
    one after another. Paused, the simulated world stands in its next step.

    Args:
        policy, pictures: as of the base class.
        paced: the world goes no faster than real time, while somebody watches."""

    def __init__(self, policy: str = "", pictures: bool = False, paced: bool = True) -> None:
        super().__init__(policy, pictures)
        self._paced = paced
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._watched = False
        self._moment, self._story = Moment(), Story()
        self._shown_home: Home | None = None
        self._camera: Camera | None = None
        self._seen: tuple[StereoPair, ObstacleReading, CameraRig] | None = None
        self._drawn: StereoPair | None = None
        self._path = Path()
        self._session: DecisionSession | None = None
        self._controls = Controls("a simulated mission", no_think=NOT_NOW)
        self._pace: tuple[float, float] | None = None  # of the steady clock, and of the mission at that time

    # -- of the mission, in its thread

    def begin(self, env: HouseholdEnv, seed: int = 0) -> None:
        """See the base class."""
        super().begin(env, seed)
        self._shown_home = home_of(home_plan(env.world.home))
        self._path.clear()
        self._seen = self._camera = self._pace = None
        self._moment, self._story = Moment(), Story(policy=self.policy)

    def sees(self, sensor: HomeSensor) -> HomeSensor:
        """`sensor`, whose readings are kept until the next one."""

        def make(env: HouseholdEnv) -> RangeSensor:
            return _Kept(sensor.make(env), env.scene.rig, self._keep) if env.stereo else sensor.make(env)

        return replace(sensor, make=make)

    def session(self, orchestrator: Orchestrator) -> DecisionSession:
        """See the base class."""
        self._session = WatchedSession(orchestrator, self._weighed)
        self._controls = replace(self._controls, no_think="")
        return self._session

    def decision(self, event: Event) -> None:
        """See the base class."""
        super().decision(event)
        if not isinstance(event, EpisodeEvent):
            self._wait(getattr(event, "t1", getattr(event, "t", 0.0)))
        self._story = self._with_plan(after(self._story, event))

    def step(
        self,
        world: World,
        gate_result: GateResult | None,
        scan: RangeScan | ObstacleSummary | None,
        picture: np.ndarray | None,
        row: Row | None,
    ) -> None:
        """See the base class."""
        super().step(world, gate_result, scan, picture, row)
        x, y = self._targets[-1]
        told = gate_result
        self._moment = Moment(
            t_s=world.steps * DT,
            pose=(world.x, world.y, world.heading),
            v_m_s=world.v,
            omega_rad_s=world.omega,
            path=self._path.add(world.x, world.y),
            people=self._rows[-1][3],
            scan=_scan_of(scan) if isinstance(scan, RangeScan) else None,
            gate=None if told is None else gate_state(GATE, told.action.value, str(told.reason), told.detail, world.v),
            target=(x, y) if np.isfinite(x) else None,
            held=in_words(self._held[-1]),
        )
        self._wait(world.steps * DT)

    def _keep(self, pair: StereoPair, reading: ObstacleReading, rig: CameraRig) -> None:
        self._seen = pair, reading, rig

    def _weighed(self, decision: Decision, reason: Reason) -> None:
        self._story = decided(self._with_plan(self._story), decision, reason, self._moment.t_s)

    def _with_plan(self, story: Story) -> Story:
        """`story` with the plan as the robot carries it out, and where it believes the things to be that this names."""
        plan = self._env.executor
        failed = any(step.state == "failed" for step in story.steps)
        steps = steps_of([sentence(row) for row in plan.rows], plan.index, failed, in_words)
        return replace(story, steps=steps, beliefs=self._beliefs(plan.rows))

    def _beliefs(self, rows: Sequence[Row]) -> tuple[Belief, ...]:
        named = {name for row in rows for name in row[1:]}
        things = [(i, each.name) for i, each in enumerate(self._env.world.things) if each.name in named]
        return tuple(
            Belief(text) for text in sorted({f"{in_words(name)}: {self._where(i, name)}" for i, name in things})
        )

    def _where(self, index: int, name: str) -> str:
        if index == self._env.world.held:
            return "in the hand"
        place = self._env.memory.known.get(index)
        if place is None:
            return "not known"
        return "on the floor" if place == name else in_words(place)

    def _wait(self, t_s: float) -> None:
        """Until the world may go on: after a pause, and where it is ahead of real time."""
        while not self._goes_on.wait(0.5):
            self._pace = None
        if not (self._paced and self._watched):
            self._pace = None
            return
        now = time.monotonic()
        if self._pace is None or t_s < self._pace[1]:
            self._pace = now, t_s
        ahead_s = (t_s - self._pace[1]) - (now - self._pace[0])
        if ahead_s < 0:  # what is late is not made up for
            self._pace = now, t_s
        end = now + ahead_s
        while self._watched and self._goes_on.is_set() and (left_s := end - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.2))

    # -- of the view, in the server's threads

    def look(self) -> Snapshot:
        """See `Source`."""
        seen = self._seen
        if seen is not None and seen[0] is not self._drawn:
            pair, reading, rig = seen
            over = voxels_over(reading.grid, rig, T_BASE_CAMERA, BODY.low_m)
            image = pair.left[..., ::-1]
            self._camera = Camera(image, image.shape[1], image.shape[0], over, self._moment.t_s)
            self._drawn = pair
        return Snapshot(self._moment, self._story, self._controls, self._camera, self._shown_home)

    def watch(self, somebody: bool) -> None:
        """See `Source`."""
        self._watched = somebody

    def pause(self, wanted: bool) -> str:
        """See `Source`."""
        if wanted:
            self._goes_on.clear()
        else:
            self._goes_on.set()
        self._controls = replace(self._controls, paused=wanted)
        return ""

    def think_now(self) -> str:
        """See `Source`."""
        return NOT_NOW if self._session is None else self._session.think_now()


class _Kept:
    """A sensor whose readings somebody else sees, too."""

    def __init__(
        self, inner: RangeSensor, rig: CameraRig, keep: Callable[[StereoPair, ObstacleReading, CameraRig], None]
    ) -> None:
        self._inner, self._rig, self._keep = inner, rig, keep

    def read(self, pair: StereoPair, T_odom_base: np.ndarray | None = None) -> RangeReading:
        """See `RangeSensor`."""
        reading = self._inner.read(pair, T_odom_base)
        if isinstance(reading, ObstacleReading):
            self._keep(pair, reading, self._rig)
        return reading


def in_words(name: str) -> str:
    """A class of things or places in words."""
    return NAMES.get(name, name)


def home_of(plan: HomePlan) -> Home:
    """A home's plan for the view."""
    names = tuple(in_words(name) for name in plan.names)
    return Home((float(plan.size[0]), float(plan.size[1])), plan.walls, plan.boxes, names)


def _scan_of(scan: RangeScan) -> Scan:
    return Scan(scan.ranges, scan.angle_min, scan.increment, scan.range_max, GATE.sensor_x_m, GATE.sensor_y_m)
