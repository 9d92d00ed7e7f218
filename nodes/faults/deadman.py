"""The deadman over ROS, below the gate that it watches; and, in this process, its clock.

Gate, deadman and the three that the gate hears are processes of their own; who attacks is this one."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rarrl.config import DeadmanConfig
from rarrl.errors import RarrlError
from rarrl.safety.deadman import Deadman
from rarrl.safety.timeline import Timeline

from .gate_graph import CLEAN_S, RATES, WATCH_S, Listener, command_message, types
from .row import Row, Trial
from .station import STAGE, own_domain, start_node

STOP_S = 0.25
"""Seconds from a fault of the gate to zero, and of anything that is bad for the deadman itself."""
UNSAFE_S = 0.5
"""Seconds after which movement is called unsafe: as long as a base itself waits for commands."""
FORGED_MPS = 0.44
"""Speed of forged commands, by which they are known on cmd_vel: nobody else asks for it."""
STANDS_S = 1.5
"""Seconds for which a robot must stand that is not to move by itself: longer than any silence that goes on."""
HELD_UP_S = 0.05
"""Seconds from a message's stamp until it is heard, from which on a report tells it."""
GATE_STOPS_S = 1.0
"""Seconds after which the gate says zero, once nobody commands: the age that a command may have, and a busy machine."""
RESTART_S = 10.0
"""Seconds in which a gate that was started again moves the robot, unless the deadman waits for a command of zero."""
MODULES = {"gate": "safety_gate_node", "deadman": "deadman_node"}
OPTIONS = {"gate": ["--ros-args", "-r", "cmd_vel:=cmd_vel_gated"], "deadman": []}


class Pair(Listener):
    """Gate and deadman; hears cmd_vel, and what the deadman says of itself."""

    def __init__(self) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from std_msgs.msg import Bool

        super().__init__()
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.said: list[tuple[float, str]] = []  # when, and what the deadman said
        self.gate_said = "nothing"
        self.delays: list[tuple[float, float]] = []  # when a message was heard, and how long after it was stamped
        self.gated: list[tuple[float, float]] = []  # when, v: what the gate says
        self.node.create_subscription(types()["command"], "cmd_vel_gated", self._on_gated, 100)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self.button = self.node.create_publisher(Bool, "estop", 10)

    def _on_twist(self, msg: Any) -> None:
        super()._on_twist(msg)
        stamped = msg.header.stamp.sec + msg.header.stamp.nanosec / 1e9
        self.delays.append((time.monotonic(), time.time() - stamped))

    def _on_gated(self, msg: Any) -> None:
        self.gated.append((time.monotonic(), msg.twist.linear.x))

    def _on_diagnostics(self, msg: Any) -> None:
        for status in msg.status:
            if status.name.startswith("deadman_node"):
                self.said.append((time.monotonic(), status.message))
            elif status.name.startswith("safety_gate_node"):
                self.gate_said = status.message

    def start_node(self, name: str) -> None:
        """Starts gate or deadman."""
        self.nodes[name] = start_node(MODULES[name], *OPTIONS[name])

    def kill(self, name: str) -> None:
        """Kills gate or deadman."""
        self.nodes[name].kill()
        self.nodes[name].wait()

    def press(self, pressed: bool) -> None:
        """What the emergency stop's topic says."""
        from std_msgs.msg import Bool

        self.button.publish(Bool(data=pressed))

    def ask(self, service: str) -> bool:
        """Whether a service of the deadman did what its name says."""
        from std_srvs.srv import Trigger

        client = self.node.create_client(Trigger, f"deadman_node/{service}")
        self.need(client.service_is_ready, f"deadman_node/{service} is not there")
        future = client.call_async(Trigger.Request())
        self.need(future.done, f"deadman_node/{service} does not answer")
        self.node.destroy_client(client)
        return bool(future.result().success)

    def pause(self) -> None:
        """Who commands stops for a moment: the gate says zero."""
        self.end("command")
        self.listen(GATE_STOPS_S)  # cmd_vel does not show it: where the stop is latched, it carries zero before
        self.need(lambda: bool(self.heard) and self.heard[-1][1] == 0.0, "the gate does not stop")

    def drive(self, by_itself_s: float = 2.0) -> None:
        """The robot moves, whatever was before: by itself within these seconds, or after a pause of who commands."""
        if self.wait(self.moving, by_itself_s):
            return
        self.pause()
        self.start("command")
        self.until_moving()

    def until_moving(self) -> None:
        """See `Listener`; an error tells what gate and deadman say of it."""
        if not self.wait(self.moving):
            deadman = self.said[-1][1] if self.said else "nothing"
            raise RarrlError(f"faults: the base is not moved; the gate says {self.gate_said}, the deadman {deadman}")

    def detected(self, at: float, word: str) -> float | None:
        """Seconds until the deadman said `word`, None if it did not."""
        return next((t - at for t, text in self.said if t >= at and word in text), None)

    def stopped(self, at: float) -> float:
        """Seconds until zero was on cmd_vel and nothing moved after it; all that was listened, without a zero."""
        zero, last, _, _ = self.answer(at)
        return max(last, time.monotonic() - at if zero is None else zero)

    def held_up(self, at: float) -> str:
        """Whether messages came late because who listens was held up, or the wire; "" where they did not."""
        late_s = max((late for t, late in self.delays if t >= at), default=0.0)
        return f"a message was heard {late_s:.2f} s after it was sent" if late_s > HELD_UP_S else ""

    def moved(self, at: float, until: float = math.inf) -> int:
        """Messages on cmd_vel since then that move the robot."""
        return sum(at <= t < until and (v != 0.0 or omega != 0.0) for t, v, omega in self.heard)

    def begin(self) -> None:
        """A trial begins: the robot moves, and nothing was heard yet."""
        self.drive()
        self.listen(0.4)
        self.heard.clear()
        self.said.clear()
        self.delays.clear()
        self.gated.clear()


@contextmanager
def running_pair() -> Iterator[Pair]:
    """Gate and deadman, with all that the gate hears."""
    with own_domain():
        pair = Pair()
        try:
            for name in MODULES:
                pair.start_node(name)
            pair.need(lambda: bool(pair.heard), "deadman_node does not start")
            for role in RATES:
                pair.start(role)
            pair.until_moving()
            yield pair
        finally:
            for role in tuple(pair.players):
                pair.end(role)
            for name in pair.nodes:
                pair.kill(name)
            pair.close()


@contextmanager
def _first_of_all() -> Iterator[None]:
    """This process takes precedence meanwhile, where that is allowed: who waits for a processor measures how long it
    waited. Not those that it starts."""
    _schedule(os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, 40)
    try:
        yield
    finally:
        _schedule(os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, 0)


def _schedule(policy: int, priority: int) -> None:
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(int(thread), policy, os.sched_param(priority))


Play = Callable[[Pair], Trial]


def played(play: Play) -> Callable[[int, int], list[Trial]]:
    """Trials over one graph, kept from row to row."""

    def trials(trials: int, seed: int) -> list[Trial]:
        pair = STAGE.keep("deadman", running_pair)
        found = []
        with _first_of_all():
            for k in range(trials):
                pair.begin()
                pair.listen(0.037 * (k % 5))  # at any phase of the gate's period
                found.append(play(pair))
        return found

    return trials


def clean(pair: Pair) -> Trial:
    """Everything well: each time that the deadman stops the robot is one without need; the gate has its own control."""
    pair.listen(CLEAN_S)
    stops = sum(text.startswith(("SILENT", "HELD", "ESTOP")) for _, text in pair.said)
    return Trial(outputs=len(pair.heard), counts={"false_stops": stops})


def gate_silenced(number: signal.Signals) -> Play:
    """The gate gets a signal; a second later it is started again, or goes on."""

    def play(pair: Pair) -> Trial:
        at = time.monotonic()
        pair.nodes["gate"].send_signal(number)
        pair.listen(WATCH_S)
        _, _, outputs, nan = pair.answer(at)
        stop_s = pair.stopped(at)
        detect_s = pair.detected(at, "SILENT")
        note = pair.held_up(at)

        again = time.monotonic()
        if number is signal.SIGKILL:
            pair.kill("gate")
            pair.start_node("gate")
        else:
            pair.nodes["gate"].send_signal(signal.SIGCONT)
        pair.drive(RESTART_S)  # the deadman may have met the gate after its first zeros: it then waits for another one
        recover_s = time.monotonic() - again
        return Trial(detect_s, stop_s, recover_s, outputs, int(stop_s > UNSAFE_S), {"nan_published": nan}, note)

    return play


def deadman_killed(pair: Pair) -> Trial:
    """Nothing comes any more: from here on the base's own time limit counts. Started again, it lets nothing pass,
    though the gate's commands go on, until the gate says zero (a busy computer makes it) or somebody enables."""
    at = time.monotonic()
    pair.kill("deadman")
    pair.listen(0.5)
    after = sum(t - delay > at + HELD_UP_S for t, delay in pair.delays)  # whoever sent it

    pair.heard.clear()
    pair.gated.clear()
    pair.start_node("deadman")
    pair.need(lambda: bool(pair.heard), "deadman_node does not start again")
    begun = time.monotonic()
    pair.listen(STANDS_S)
    zero_at = next((t for t, v in pair.gated if v == 0.0 and t >= pair.heard[0][0]), math.inf)
    unsafe = pair.moved(at, zero_at) + after
    outputs = len(pair.heard)
    enabled = pair.ask("enable") and pair.wait(pair.moving, 2.0)
    note = "" if enabled else "~/enable did not let it move"
    if zero_at < math.inf:
        note = "the gate said zero meanwhile"
    return Trial(None, None, time.monotonic() - begun if enabled else None, outputs, unsafe, note=note)


def emergency_stop(pair: Pair) -> Trial:
    """Pressed while it drives; released; reset while commands ask for motion, and after they ended."""
    at = time.monotonic()
    pair.press(True)
    pair.listen(STANDS_S)
    stop_s = pair.stopped(at)
    detect_s = pair.detected(at, "ESTOP")
    too_early = pair.ask("reset")
    pair.press(False)
    pair.listen(STANDS_S)
    too_early |= pair.ask("reset")  # the gate's commands go on

    pair.pause()
    reset = pair.ask("reset")
    pair.listen(STANDS_S)
    unsafe = int(stop_s > UNSAFE_S) + pair.moved(at + UNSAFE_S) + too_early
    outputs = len(pair.heard)
    again = time.monotonic()
    pair.start("command")
    moves = pair.wait(pair.moving)
    note = "" if reset else "the reset was refused though nothing asked for motion"
    return Trial(detect_s, stop_s, time.monotonic() - again if moves else None, outputs, unsafe, note=note)


def forged(topic: str, v: float, stamp_age_s: float = 0.0) -> Play:
    """Another process publishes on one of the deadman's topics, at the gate's rate, for a second.

    On cmd_vel what it publishes reaches the base whatever we do; judged is what the deadman publishes meanwhile."""

    def play(pair: Pair) -> Trial:
        from geometry_msgs.msg import TwistStamped

        rival = pair.node.create_publisher(TwistStamped, topic, 1)
        pair.need(lambda: rival.get_subscription_count() > 0, f"nobody hears {topic}")
        pair.begin()
        at = time.monotonic()
        sent = 0
        while time.monotonic() - at < WATCH_S:
            msg = command_message(v, 0.0)
            msg.header.stamp = pair.now_stamp(stamp_age_s)
            rival.publish(msg)
            sent += 1
            pair.listen(0.05)

        after = [(t - at, speed) for t, speed, omega in pair.heard if t >= at]
        bad = sum(math.isnan(speed) or speed == FORGED_MPS for _, speed in after)
        ours = [(t, speed) for t, speed in after if speed != FORGED_MPS]
        last = max((t for t, speed in ours if speed), default=0.0)
        passed = max(bad - sent, 0) if topic == "cmd_vel" else bad
        nan = sum(math.isnan(speed) for _, speed in after)
        detect_s = pair.detected(at, "another publisher")
        if detect_s is None:
            detect_s = pair.detected(at, "not finite")
        pair.node.destroy_publisher(rival)
        pair.listen(WATCH_S)
        stale = nan + passed
        unsafe = passed + int(last > UNSAFE_S)
        stop_s = None if stamp_age_s else last  # old ones are the gate's to stop for, which hears its topic too
        return Trial(detect_s, stop_s, None, len(ours), unsafe, {"nan_published": nan, "stale_applied": stale})

    return play


# In this process, by fake clocks

STEPS = 200  # messages of a trial, at 20 Hz
PERIOD_S = 0.05
AHEAD = (0.2, 0.0, 0.0, 0.0, 0.0, 0.0)


def _clock_trial(clock: Callable[[int, float], float], rng: np.random.Generator) -> Trial:
    """A gate that commands all the while, by a clock of stamps that `clock` makes of message and steady time; now and
    then a message that by that clock is much too old comes in between."""
    line = Timeline()
    now = 100.0
    number = 0
    deadman = Deadman(DeadmanConfig(), now)
    false_stops = stale = 0

    def passes(k: int, age_s: float) -> bool:
        nonlocal number
        number += 1
        taken = line.taken(clock(k, now - age_s), now, deadman.taken_s)
        return deadman.command(AHEAD if k else (0.0,) * 6, taken, now, number)

    for k in range(STEPS):
        line.look(clock(k, now), now)
        false_stops += not passes(k, 0.005)
        old_s = float(rng.uniform(0.25, 5.0))
        if rng.random() < 0.1 and clock(k, now) - clock(k, now - old_s) > 0.25:  # a clock that stands ages nothing
            stale += passes(k, old_s)
        now += PERIOD_S
    return Trial(outputs=STEPS, unsafe=stale, counts={"false_stops": false_stops, "stale_applied": stale})


def clock_set(trials: int, seed: int) -> list[Trial]:
    """The wall clock is set once, by up to an hour either way."""
    found = []
    for k in range(trials):
        rng = np.random.default_rng([seed, k])
        jump_s = float(rng.choice([2.0, -2.0, 3600.0, -3600.0]))
        at = int(rng.integers(1, STEPS))
        base = 1.7e9 + float(rng.uniform(0, 1e6))
        found.append(_clock_trial(lambda k, now, at=at, jump=jump_s, base=base: base + now + jump * (k >= at), rng))  # type: ignore[misc]
    return found


def simulated_time(trials: int, seed: int) -> list[Trial]:
    """Simulated time is paused, reset to 0, or begins again with a bag."""
    found = []
    for k in range(trials):
        rng = np.random.default_rng([seed, k])
        at = int(rng.integers(20, STEPS - 20))
        loop_s = float(rng.uniform(2.0, 8.0))
        kinds: tuple[Callable[[int, float], float], ...] = (
            lambda k, now, at=at: min(now - 100.0, at * PERIOD_S),  # type: ignore[misc]
            lambda k, now, at=at: now - 100.0 - at * PERIOD_S * (k >= at),  # type: ignore[misc]
            lambda k, now, loop=loop_s: (k * PERIOD_S) % loop + now - 100.0 - k * PERIOD_S,  # type: ignore[misc]
        )
        found.append(_clock_trial(kinds[k % len(kinds)], rng))
    return found


def rows() -> tuple[Row, ...]:
    """The clean control, the gate and the deadman dying, emergency stop, forgeries, clocks."""
    times = {"stop_s": STOP_S, "detect_s": 1.0}

    def row(name: str, fault: str, injected: str, expected: str, play: Play, trials: int = 10, **more: Any) -> Row:
        return Row(name, "deadman", fault, injected, expected, "graph", played(play), trials, **more)

    zero = "zero on cmd_vel within 0.25 s"
    stands = "zero until the gate says zero or somebody enables; the base's own time limit stops it meanwhile"
    forgery = "another process publishes motion"
    held = f"{zero}, as long as it is there, and then until a command of zero"
    clocks = "no stop, and nothing old passes"
    return (
        row("K-deadman", "none: the control", "nothing", "no stop", clean, 12, quick_trials=1),
        row(
            "N2-gate-killed",
            "the safety gate is killed",
            "SIGKILL",
            f"{zero}; moves when the gate is back",
            gate_silenced(signal.SIGKILL),
            30,
            quick_trials=2,
            stops=True,
            recovers=True,
            limits=times,
        ),
        row(
            "N2-gate-frozen",
            "the safety gate is frozen",
            "SIGSTOP",
            f"{zero}; moves after a command of zero",
            gate_silenced(signal.SIGSTOP),
            80,
            quick_trials=2,
            stops=True,
            limits=times,
        ),
        row("N2-deadman-killed", "the deadman is killed, and started again", "SIGKILL", stands, deadman_killed),
        row(
            "E1-estop",
            "the emergency stop is pressed, and reset too early",
            "estop, ~/reset",
            f"{zero}; no reset while it is pressed or commands ask for motion",
            emergency_stop,
            stops=True,
            recovers=True,
            limits=times,
        ),
        row(
            "N4-cmd-vel",
            forgery,
            "20 a second on cmd_vel",
            f"{held}; what it sends reaches the base",
            forged("cmd_vel", FORGED_MPS),
            stops=True,
            limits=times,
        ),
        row(
            "S3-forged-command",
            forgery,
            "20 a second on cmd_vel_gated",
            held,
            forged("cmd_vel_gated", FORGED_MPS),
            stops=True,
            limits=times,
        ),
        row(
            "P1-deadman-nan",
            "commands of NaN below the gate",
            "20 a second on cmd_vel_gated",
            held,
            forged("cmd_vel_gated", math.nan),
            stops=True,
            limits=times,
        ),
        row(
            "C3-deadman-old",
            "commands 1 s old below the gate",
            "20 a second on cmd_vel_gated",
            "they do not pass",
            forged("cmd_vel_gated", FORGED_MPS, 1.0),
        ),
        Row(
            "T1-deadman",
            "deadman",
            "the wall clock is set",
            "by 2 s or 1 h, either way",
            clocks,
            "in-process",
            clock_set,
            200,
            50,
        ),
        Row(
            "T2-deadman",
            "deadman",
            "simulated time is paused, reset or looped",
            "/clock",
            clocks,
            "in-process",
            simulated_time,
            200,
            50,
        ),
    )
