"""Rows of the supervisor: each node killed and stopped, a callback that never returns, the supervisor itself killed, a
node that cannot be configured; and the clean control, with every core busy.

Played on the light robot (`light_robot.py`). Whether the robot's own outputs stop is judged at `cmd_vel`, below the
deadman: a command that moves half a second after the supervisor has told a mode in which the robot has to stand is
unsafe."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..processes import recorded
from ..supervised import Supervised
from .light_robot import LightRobot, light_graph
from .row import Row, Trial
from .station import STAGE

STOPS_S = 0.5
"""Seconds that the robot has for coming to a stand once a mode is told in which it has to."""
WELL_S = 2.0
"""Seconds without a fault before each injection, and up to as many more."""
RECOVERY_S = 60.0
"""Seconds after which a robot that is not back counts as lost: a process takes many to start on a busy machine."""
TOLD_S = 0.3
"""Seconds by which a node may work again before the supervisor tells so: a heartbeat and a look."""
STANDS_S = 0.3
"""Seconds without a command that moves: the robot stands."""
CLEAN_S = 1800.0
"""Seconds of the clean control in the full campaign; its row plays one trial a minute."""

LOOK_S = 3.0
"""Seconds of a look at how busy the cores are."""
FULL = 0.97
"""Share of the cores' time from which on they are called busy."""

Graph = tuple[LightRobot, Supervised, Path]
Inject = Callable[[LightRobot, Path], None]


@contextmanager
def light_stage() -> Iterator[Graph]:
    """The light robot under its supervisor, for rows that share it."""
    with tempfile.TemporaryDirectory(prefix="rarrl-faults-") as name, light_graph(Path(name)) as (robot, graph):
        robot.station.node.create_timer(0.1, graph.running)  # starts a supervisor again that was killed
        yield robot, graph, Path(name)


def _on_graph(inject: Inject, part: str, stands: bool, trials: int, seed: int) -> list[Trial]:
    """One fault after the other on one graph."""
    robot, _, folder = STAGE.keep("light robot", light_stage)
    rng = random.Random(seed)
    told = []
    for _ in range(trials):
        robot.station.need(lambda: robot.mode == "normal" and robot.moving(), f"{part}: the robot does not drive")
        robot.station.listen(WELL_S + rng.uniform(0.0, WELL_S))
        robot.station.need(lambda: robot.moving(0.1), f"{part}: the robot stands before the fault")
        told.append(_judge(robot, folder, inject, part, stands))
    return told


def _judge(robot: LightRobot, folder: Path, inject: Inject, part: str, stands: bool) -> Trial:
    """Injects once and waits until the robot does its work again."""
    inject(robot, folder)
    injected = time.monotonic()

    def missing(at: float, parts: frozenset[str]) -> bool:
        return at >= injected and part in parts

    robot.station.wait(lambda: any(missing(at, parts) for at, _, parts in robot.modes), RECOVERY_S)
    detected = next((at for at, _, parts in robot.modes if missing(at, parts)), None)
    if detected is None:
        return Trial(note=f"{part}: never told")

    def back() -> float | None:
        return next((at for at, mode, _ in robot.modes if at > detected and mode == "normal"), None)

    def works() -> bool:
        at = back()
        return at is not None and bool(robot.moves) and robot.moves[-1] > at

    recovered = robot.station.wait(works, RECOVERY_S)
    end = back() or time.monotonic()
    moves = [at for at in robot.moves if at >= injected]
    stop_s = None
    if stands:
        last = injected
        for at in moves:
            if at - last > STANDS_S:
                break
            last = at
        stop_s = last - injected
    judged = [at for at in robot.commands if detected + STOPS_S < at < end] if stands else []
    unsafe = sum(detected + STOPS_S < at < end - TOLD_S for at in moves) if stands else 0
    first = next((at for at in moves if at > end), None)
    return Trial(
        detect_s=detected - injected,
        stop_s=stop_s,
        recover_s=first - injected if recovered and first is not None else None,
        outputs=len(judged),
        unsafe=unsafe,
        note="" if recovered else f"{part}: not back within {RECOVERY_S:.0f} s",
    )


def _pid(folder: Path, name: str) -> int:
    """The process of a node."""
    pid = recorded(folder)[name]["pid"]
    assert pid is not None
    return pid


def _send(name: str, number: int, robot: LightRobot, folder: Path) -> None:
    """A signal to a node. A process that was stopped is killed by the supervisor."""
    os.kill(_pid(folder, name), number)


def _hang(robot: LightRobot, folder: Path) -> None:
    """The orchestrator's policy, which runs in a callback, never returns: see `light_robot.Asks`."""
    file = folder / "hang"
    file.touch()
    robot.station.need(lambda: not file.exists(), "the orchestrator decides nothing")


def _kill_worker(name: str, robot: LightRobot, folder: Path) -> None:
    """Kills the worker process of a node."""
    for task in Path(f"/proc/{_pid(folder, name)}/task").iterdir():
        for child in (task / "children").read_text("ascii").split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


def _play_hang(trials: int, seed: int) -> Sequence[Trial]:
    return _on_graph(_hang, "orchestrator", False, trials, seed)


def _play(name: str, number: int, part: str, stands: bool, trials: int, seed: int) -> Sequence[Trial]:
    return _on_graph(partial(_send, name, number), part, stands, trials, seed)


def _play_reasoner(trials: int, seed: int) -> Sequence[Trial]:
    return _on_graph(partial(_kill_worker, "orchestrator_node"), "reasoner", False, trials, seed)


def _play_supervisor(trials: int, seed: int) -> Sequence[Trial]:
    """The supervisor is killed: no node may end or be started twice, the robot goes on, and the next supervisor looks
    after it: a node that is killed then comes back."""
    robot, graph, folder = STAGE.keep("light robot", light_stage)
    told = []
    for _ in range(trials):
        robot.station.need(lambda: robot.mode == "normal" and robot.moving(), "the robot does not drive")
        robot.station.listen(WELL_S)
        before = {name: entry["pid"] for name, entry in recorded(folder).items()}
        count = len(robot.modes)
        injected = time.monotonic()
        graph.kill_supervisor()
        back = robot.station.wait(lambda n=count: len(robot.modes) > n and robot.mode == "normal", RECOVERY_S)
        recovered = time.monotonic()
        robot.station.listen(1.0)
        after = {name: entry["pid"] for name, entry in recorded(folder).items()}
        moves = [injected, *(at for at in robot.moves if at > injected)]
        told.append(
            Trial(
                recover_s=recovered - injected if back else None,
                outputs=len(moves),
                counts={"nodes_restarted": sum(before[name] != after.get(name) for name in before)},
                note="" if back else "no supervisor came back",
            )
        )
    return told


def _play_unconfigurable(trials: int, seed: int) -> Sequence[Trial]:
    """A detector whose setting cannot be used: three tries, then it is given up, the robot stands and all else runs."""
    told = []
    for _ in range(trials):
        STAGE.clear()
        with tempfile.TemporaryDirectory(prefix="rarrl-faults-") as name:
            graph = light_graph(Path(name), drives=False, spoil={"vla_policy_node": {"policy.folder": "/nowhere"}})
            with graph as (robot, _):
                began = time.monotonic()
                gave_up = robot.station.wait(lambda: any("given up" in text for text in robot.texts), 2 * RECOVERY_S)
                seconds = time.monotonic() - began
                robot.station.listen(2.0)
                told.append(
                    Trial(
                        outputs=len(robot.commands),
                        unsafe=len(robot.moves),
                        counts={"not_given_up": int(not gave_up), "others_lost": int(robot.mode != "hold")},
                        note=f"given up {seconds:.1f} s after the graph was started",
                    )
                )
    return told


def _play_clean(seconds: float, trials: int, seed: int) -> Sequence[Trial]:
    """Nothing fails, and every core has as much other work as it takes: each mode but `normal` is a false alarm. Where
    other programs keep the cores busy already, no loops are added."""
    robot, _, _ = STAGE.keep("light robot", light_stage)
    robot.station.need(lambda: robot.mode == "normal", "the robot is not well")
    before = _processor_s()
    robot.station.listen(LOOK_S)
    loops = 0 if _busy_share(before) > FULL else os.cpu_count() or 1
    spin = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(spin, start_new_session=True) for _ in range(loops)]
    told = []
    shares = []
    try:
        for _ in range(trials):
            robot.station.need(lambda: robot.mode == "normal", "the robot is not well")
            count, commands, before = len(robot.modes), len(robot.commands), _processor_s()
            robot.station.listen(seconds / trials)
            shares.append(_busy_share(before))
            alarms = [mode for _, mode, _ in robot.modes[count:] if mode != "normal"]
            told.append(
                Trial(
                    outputs=len(robot.commands) - commands,
                    counts={
                        "false_stops": sum(mode in ("stop", "hold") for mode in alarms),
                        "false_alarms": len(alarms),
                    },
                )
            )
    finally:
        for process in busy:
            process.kill()
            process.wait()
    note = f"{loops} loops added; cores busy for {np.mean(shares):.1%}, {min(shares):.1%} in the least busy trial"
    return [replace(trial, note=note) for trial in told]


def _processor_s() -> tuple[float, float]:
    """Seconds that all cores worked, and were there, since the computer was started. Linux."""
    ticks = [int(word) for word in Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # idle, and waiting for a disk


def _busy_share(before: tuple[float, float]) -> float:
    worked, there = _processor_s()
    return (worked - before[0]) / max(there - before[1], 1.0)


NODES = {
    "gate": ("safety_gate_node", True),
    "detector": ("stereo_voxel_node", True),
    "policy": ("vla_policy_node", True),
    "executive": ("executive_node", True),
    "orchestrator": ("orchestrator_node", False),
}
"""Part -> its node, and whether the robot has to stand without it."""
HOW = {"kill": (signal.SIGKILL, "kill -9"), "stop": (signal.SIGSTOP, "SIGSTOP")}


def rows() -> tuple[Row, ...]:
    """The rows, in the order in which they are played: those that share a graph follow one another."""
    found = []
    for part, (node, stands) in NODES.items():
        for how, (number, injected) in HOW.items():
            limits = {"detect_s": 1.0} | ({"stop_s": 0.5} if stands and part != "executive" else {})
            found.append(
                Row(
                    f"N1-{part}-{how}",
                    part,
                    f"{node} is lost",
                    injected,
                    "told within a second; the robot stands half a second later; restarted and activated by itself"
                    if stands
                    else "told within a second; steps go on without asking; restarted and activated by itself",
                    "graph",
                    partial(_play, node, number, part, stands),
                    trials=20,
                    quick_trials=1 if (part, how) in (("detector", "stop"), ("policy", "kill")) else 0,
                    stops=stands,
                    recovers=True,
                    limits=limits,
                )
            )
    found += [
        Row(
            "N1-orchestrator-hang",
            "orchestrator",
            "a callback of orchestrator_node never returns",
            "a policy that hangs",
            "told within a second; steps go on without asking; killed, restarted and activated by itself",
            "graph",
            _play_hang,
            trials=20,
            recovers=True,
            limits={"detect_s": 1.0},
        ),
        Row(
            "N1-reasoner-kill",
            "reasoner",
            "the process of the language model is lost",
            "kill -9 of the worker",
            "told within a second; every decision is ACT until it is back",
            "graph",
            _play_reasoner,
            trials=20,
            recovers=True,
            limits={"detect_s": 1.0},
        ),
        Row(
            "N2-supervisor-kill",
            "supervisor",
            "the supervisor is lost",
            "kill -9",
            "no node ends or is started twice; the next supervisor takes them over",
            "graph",
            _play_supervisor,
            trials=10,
            recovers=True,
        ),
        Row(
            "N1-clean",
            "supervisor",
            "nothing; every core is busy",
            "as many endless loops as cores, where other work does not fill them",
            "no mode but normal",
            "graph",
            partial(_play_clean, CLEAN_S),
            trials=30,
        ),
        Row(
            "N1-policy-unfit",
            "policy",
            "a node cannot be configured",
            "a policy folder that is not there",
            "given up after three tries and told; the others run, and the robot stands",
            "graph",
            _play_unconfigurable,
            trials=3,
        ),
    ]
    return tuple(found)
