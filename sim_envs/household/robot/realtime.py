"""A home that goes on in real time: one step each tenth of a second, however slow the robot is. No ROS in here.

One thread steps the environment and hands out what is to be seen; others command the base, and wait for the end of an
attempt. `monitor` guards the environment: who reads or changes it holds it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rarrl.clock import Clock, SteadyClock
from rarrl.diagnostics import Latencies
from rarrl.thinking import Kind
from rarrl.types import ActStatus, StereoPair

from ...alfred.executive import Attempt
from ..env import HEIGHT, WIDTH, HouseholdEnv
from ..executor import Event, sentence
from ..scene import HouseholdScene
from ..world import DT, Row, World
from .beside import BesideExecutive
from .drivers import LOST_S, NEVER, STOPPED, InteractDebounce, ended
from .proprioception import MapProprioception

DEADMAN_S = 0.2
"""Seconds without a command after which the base stands."""
SILENCE_S = 0.18
"""Seconds of silence of the orchestrator, once heard, after which it stands too."""
POLL_S = 0.5
"""Seconds after which a waiting thread looks whether the world has stopped."""
LOOK_STEPS = 2
"""Steps from picture to picture. More often than `rarrl eval mission` looks: messages take time, and age counts."""


class EndedError(Exception):
    """The world has stopped for good."""


@dataclass(frozen=True, eq=False)
class Moment:
    """What the robot senses after a step. proprio: by `PROPRIO_NAMES`; subgoal: "" where it is to hold."""

    pose: tuple[float, float, float]
    speed: tuple[float, float]
    proprio: np.ndarray
    subgoal: str


@dataclass
class _Attempt:
    row: Row
    begun: int  # step of the world
    known: bool  # whether there is any idea where to go


class SimWorld:
    """The world's thread, and the driver of `RealtimeExecutive` on it: `attempt` blocks until it is over.

    Args:
        env: without pictures; `reset` it under `monitor`.
        feel: called with each step at once, in the world's thread.
        see: gets what the cameras see then, of every LOOK_STEPS-th step, in the same thread.
        clock: of the steps; a quicker one for tests.

    going: whether the world moves on; it is seen and felt while it stands too. `begin` it after each reset.
    error: what ended the thread, None while all is well."""

    def __init__(
        self,
        env: HouseholdEnv,
        feel: Callable[[Moment], None],
        see: Callable[[Moment, StereoPair, HouseholdScene], None],
        clock: Clock | None = None,
    ) -> None:
        self.env = env
        self._feel = feel
        self._see = see
        self._clock = clock or SteadyClock()
        self.monitor = threading.Condition()
        self.going = False
        self._proprioception = MapProprioception()
        self._debounce = InteractDebounce()
        self._attempt: _Attempt | None = None
        self._event: Event | None = None
        self._between: list[tuple[Sequence[Row], Event]] = []  # events without an attempt, and of which plan
        self._asked = (0.0, 0.0, -np.inf)  # v, omega, when
        self._wish = (False, -np.inf)
        self._obeyed = False
        self._shown: World | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None
        self.ticks = self.late_ticks = self.deadman = 0
        self._heard_s: float | None = None
        self.latencies = Latencies()

    # From any thread

    def command(self, v: float, omega: float) -> None:
        """Speeds from now on, m/s and rad/s. What is not finite is zero."""
        finite = bool(np.isfinite([v, omega]).all())
        self._asked = (v, omega, self._clock.now()) if finite else (0.0, 0.0, self._clock.now())

    def hear(self) -> None:
        """Who decides is there."""
        self._heard_s = self._clock.now()

    def interact(self, wish: bool) -> None:
        """Whether the hand is to act."""
        self._wish = (wish, self._clock.now())

    @property
    def miss_rate(self) -> float:
        """Share of the steps that began later than half a period after they were due."""
        return self.late_ticks / max(self.ticks, 1)

    # Of the task's thread

    def begin(self, env: HouseholdEnv) -> None:
        """A new mission: nothing of the last one counts. The world stands until `going`."""
        with self.monitor:
            self._proprioception.reset()
            self._attempt = self._event = None
            self._between = []
            self.going = False

    def attempt(self, env: HouseholdEnv, until: int = NEVER) -> Event:
        """Blocks until the sub-goal that is on has succeeded or failed, or the step `until` has come. Raises:
        EndedError."""
        with self.monitor:
            row = env.executor.row
            assert row is not None, "an attempt needs a sub-goal that is on"
            self._debounce.reset()
            self._wish = (False, -np.inf)  # the one for the sub-goal before would count for this one
            known = self._proprioception.knows(env.world, env.memory, row)
            self._attempt = _Attempt(row, env.world.steps, known)
            self._event = None
            while (event := self._ended()) is None:
                self.check()
                if env.world.steps >= until:
                    self._attempt = None
                    return Event(row, ActStatus.FAILURE, STOPPED)
                self.monitor.wait(POLL_S)
            return event

    def _ended(self) -> Event | None:
        """How the attempt ended; set by the world's thread."""
        return self._event

    def between(self) -> list[Event]:
        """Events of this plan that came while no attempt was on: a base that rolled on until it was there, a hand that
        was not done in time. Each is returned once."""
        between = self._between
        self._between = []
        return [event for rows, event in between if rows is self.env.executor.rows]

    @property
    def has_succeeded(self) -> bool:
        """Whether `between` would return a success."""
        with self.monitor:
            rows = self.env.executor.rows
            return any(of is rows and event.status is ActStatus.SUCCESS for of, event in self._between)

    def stand(self, seconds: float) -> None:
        """Lets so much time pass in the home. Raises: EndedError."""
        with self.monitor:
            until = self.env.world.steps + round(seconds / DT)
            while self.env.world.steps < until and not (self.env.is_done or self.env.is_late):
                self.check()
                self.monitor.wait(POLL_S)

    def wait_shown(self) -> None:
        """Until the world of the last reset has been seen by all. Raises: EndedError."""
        with self.monitor:
            while self._shown is not self.env.world:
                self.check()
                self.monitor.wait(POLL_S)

    def check(self) -> None:
        """Raises: EndedError when the world has stopped."""
        if self._stop.is_set() or self.error is not None:
            raise EndedError

    # The world's thread

    def start(self) -> None:
        """Starts the thread, where it does not run yet; the environment must have been reset."""
        if self._thread is not None or self._stop.is_set():
            return
        self._thread = threading.Thread(target=self._run, name="world", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it, and all waiting."""
        self._stop.set()
        with self.monitor:
            self.monitor.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        scene: HouseholdScene | None = None
        world: World | None = None
        due = self._clock.now()
        try:
            while not self._stop.is_set():
                self._clock.sleep(due - self._clock.now())
                with self.monitor:
                    new = self.env.world is not world
                    world = self.env.world
                if new or scene is None:  # another home: drawing it takes longer than a step
                    if scene is not None:
                        scene.close()
                    scene = HouseholdScene(world, WIDTH, HEIGHT, seed=0)
                    due = self._clock.now()
                began = self._clock.now()
                due = self._count(began, due)
                with self.monitor:
                    if self.env.world is not world:
                        continue
                    if self.going:
                        self._step(began)
                    moment = self._moment()
                self._feel(moment)
                if self.ticks % LOOK_STEPS == 0 or not self.going:
                    self._see(moment, scene.pair(world), scene)
                self.latencies.add(began, self._clock.now() - began)
                with self.monitor:
                    self._shown = world
                    self.monitor.notify_all()
        except Exception as error:  # who waits in another thread raises it
            with self.monitor:
                self.error = error
                self.monitor.notify_all()
        finally:
            if scene is not None:
                scene.close()

    def _count(self, began: float, due: float) -> float:
        """When the next step is due. Steps for which there was no time are left out, and count as late."""
        behind = began - due
        left_out = int(behind / DT)
        if self.going:
            self.ticks += 1 + left_out
            self.late_ticks += left_out + (behind - left_out * DT > DT / 2)
        return due + (1 + left_out) * DT

    def _step(self, time: float) -> None:
        env = self.env
        world = env.world
        attempt = self._attempt

        v, omega, at = self._asked
        silent = self._heard_s is not None and time - self._heard_s > SILENCE_S
        obeyed = time - at <= DEADMAN_S and not silent
        self.deadman += self._obeyed and not obeyed
        self._obeyed = obeyed
        wish, wished_at = self._wish
        wants = attempt is not None and attempt.known and wish and time - wished_at <= DEADMAN_S and not silent
        stands, interacts = self._debounce.update(world, float(wants))
        if stands or not obeyed:
            v = omega = 0.0

        _, done, late, info = env.advance(np.array([v, omega, float(interacts)]))
        event = info["event"]
        if attempt is None:
            if event is not None:
                self._between.append((env.executor.rows, event))
            return
        if event is None and not attempt.known and (world.steps - attempt.begun) * DT >= LOST_S:
            event = Event(attempt.row, ActStatus.FAILURE, "not known")
        event = ended(env, attempt.row, event, done or late)
        if event is not None:
            self._attempt = None
            self._event = event
            self.monitor.notify_all()

    def _moment(self) -> Moment:
        env = self.env
        world = env.world
        attempt = self._attempt
        row = attempt.row if attempt is not None and attempt.known else None
        proprio = self._proprioception.proprio(world, env.memory, row)
        return Moment((world.x, world.y, world.heading), (world.v, world.omega), proprio, sentence(row))


class RealtimeExecutive(BesideExecutive):
    """A robot in a home whose time passes by itself: while it thinks, too."""

    driver: SimWorld

    @property
    def next_kind(self) -> Kind | None:
        """See `GoesOn`. What has succeeded already needs no attempt that does anything."""
        return Kind.WAITS if self.driver.has_succeeded else super().next_kind

    def act(self) -> Attempt:
        """See `HouseholdExecutive`. What has succeeded already, between two attempts, needs no other one."""
        event = self._catch_up()
        if event is None:
            return super().act()
        self._check_open()
        self._acts += 1
        self.event = event
        self._end()
        return Attempt(event.status, 0.0, True)

    def _give_up(self) -> Event:
        row = self.row
        assert row is not None
        self.driver.stand(LOST_S)
        return Event(row, ActStatus.FAILURE, "not here")

    def _pass(self, seconds: float) -> None:
        self._catch_up()
        self._end()

    def _catch_up(self) -> Event | None:
        """Notes what came between attempts; the last success among it."""
        events = self.driver.between()
        for event in events:
            self._deeds.note(event, self.env.world.steps)
            if event.status is ActStatus.SUCCESS:
                self._learn(event)
        return next((event for event in reversed(events) if event.status is ActStatus.SUCCESS), None)
