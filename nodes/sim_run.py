"""Runs the simulated robot without ros2 launch, under its supervisor."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rarrl.config import Scalar
from rarrl.errors import DependencyMissingError, InputError, RarrlError
from rarrl.events import FILE_NAME

from .graph import FASTDDS_PROFILE
from .loopback import PROFILES, shared_file
from .processes import environment_for
from .run import POLL_S, LineTail
from .sim_graph import TIME_LIMIT_S, starts
from .supervised import Supervised

MISSIONS = "missions.jsonl"
PROGRESS = "progress.json"
"""File in which the simulated robot says where the mission under way stands."""

REPORT_S = 15.0
"""How often a word is said of the mission under way."""

STALLED_S = 180.0
"""Real time without a step of the simulated world after which a run is given up: longer than nodes take to start on a
busy machine, and than a call of a language model."""

SLOW = 0.7
"""Simulated seconds per real second below which a machine is too slow: commands and scans then arrive so old that the
gate stops the robot."""

Mission = dict[str, Any]
"""A line of missions.jsonl."""


def run_sim(
    given: Mapping[str, str],
    run_dir: Path,
    on_mission: Callable[[Mission], None] | None = None,
    domain_id: int | None = None,
    timeout_s: float | None = None,
    on_progress: Callable[[str], None] | None = None,
    settings: Mapping[str, Scalar] | None = None,
) -> list[Mission]:
    """Carries out `given["missions"]` missions.

    Args:
        given: launch argument -> text, as in `sim_graph.ARGUMENTS`.
        run_dir: created; receives events.jsonl, missions.jsonl and the output of each node.
        on_mission: called with each finished mission.
        domain_id: ROS_DOMAIN_ID of the graph; None: the one in the environment, or else one of its own.
        timeout_s: real seconds after which the run is aborted; None: when the simulated world stands for STALLED_S.
            A mission ends by itself after its time limit, which is in simulated seconds.
        on_progress: called now and then with a line on the mission under way.
        settings: of a configuration, by dotted name; what is given takes precedence.

    Returns: the lines of missions.jsonl.

    Raises: InputError for a bad setting; DependencyMissingError without rclpy; RarrlError where a node died (with its
        exit status and last lines) or the time ran out."""
    if find_spec("rclpy") is None:
        raise DependencyMissingError("run: rclpy is missing; pip install 'rarrl[ros]', or source a ROS 2 installation")
    run_dir = Path(run_dir).resolve()
    if (run_dir / FILE_NAME).exists():
        raise InputError(f"run: {run_dir} holds a run already; choose another folder")

    nodes = starts({**given, "run_dir": str(run_dir)}, settings)
    missions = int(given.get("missions") or 0)
    if missions < 1:
        raise InputError("run: --missions must be at least 1; `ros2 launch rarrl sim.launch.py` waits for instructions")
    limit_s = float(given.get("time_limit_s") or TIME_LIMIT_S)

    environment, _ = graph_environment(domain_id)
    tail = Missions(run_dir / MISSIONS, on_mission)
    started = time.monotonic()
    pace = Pace(run_dir / PROGRESS, limit_s, started)
    with Supervised(run_dir, environment, nodes) as graph:
        while graph.running():
            tail.read()
            now = time.monotonic()
            line = pace.line(now)
            if line and on_progress is not None:
                on_progress(line)

            done = f"{len(tail.lines)} of {missions} missions done"
            if timeout_s is not None and now - started > timeout_s:
                raise RarrlError(f"run: not finished after {timeout_s:.0f} s; {done}; {pace.state()}")
            if pace.stalled_s(now) > STALLED_S:
                raise RarrlError(
                    f"run: the simulated world has stood for {STALLED_S:.0f} s; {done}; {pace.state()}; what the "
                    f"nodes said: {run_dir}/*.log"
                )
            time.sleep(POLL_S)

        tail.read()

    return tail.lines


class Pace:
    """How fast the simulated world goes, by the file that its node writes.

    Args:
        path: of that file.
        limit_s: simulated seconds that a mission may take.
        started: seconds of the steady clock.
    """

    def __init__(self, path: Path, limit_s: float, started: float) -> None:
        self._path = path
        self._limit_s = limit_s
        self._values: dict[str, Any] = {}
        self._moved = started  # when the world was seen to move last
        self._said = started
        self._last: dict[str, Any] = {}  # as of the last line
        self._warned = False

    def line(self, now: float) -> str:
        """A line for people every REPORT_S; "" in between."""
        values = self._read()
        if values != self._values:
            if _moved(self._values, values):
                self._moved = now
            self._values = values
        if now - self._said < REPORT_S:
            return ""

        factor = self._factor(now)
        self._said = now
        self._last = values
        text = self.state()
        if factor is None:
            return text

        text += f", {factor:.2f} times real time"
        if factor < SLOW and not self._warned:
            self._warned = True
            text += (
                "; this machine is too slow for real time: the gate stops the robot for scans that are too old; end "
                "other programs (`rarrl demo` plays the same missions without ROS, on any machine)"
            )
        return text

    def stalled_s(self, now: float) -> float:
        """Real seconds since the world was seen to move."""
        return now - self._moved

    def state(self) -> str:
        """Where the run stands, in words."""
        values = self._values
        if not values:
            return "the nodes are starting"
        if values["waits_for"]:
            return f"mission {values['mission']} waits for {values['waits_for']}"
        late = 100 * values["late_ticks"] / max(values["ticks"], 1)
        return (
            f"mission {values['mission']}: {values['mission_s']:.0f} of {self._limit_s:.0f} s, {late:.0f} % late steps"
        )

    def _factor(self, now: float) -> float | None:
        """Simulated seconds per real second since the last line; None where a mission began in between."""
        last, values = self._last, self._values
        if not last or last["mission"] != values["mission"] or not (last["going"] and values["going"]):
            return None
        return float((values["mission_s"] - last["mission_s"]) / (now - self._said))

    def _read(self) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):  # not there yet
            return self._values
        return values


def _moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the simulated world took a step, or another mission began."""
    return not old or (old["mission"], old["mission_s"]) != (new["mission"], new["mission_s"])


def mission_line(mission: Mission) -> str:
    """A finished mission in one line, for people to read."""
    end = "success" if mission["success"] else f"{mission['met']} of {mission['conditions']} conditions"
    return (
        f"mission {mission['mission']}: {end}, {mission['seconds']:.0f} s, {mission['attempts']} attempts, "
        f"{mission['calls']} calls ({mission['llm_s']:.1f} s), {mission['collisions']} collisions: {mission['goal']}"
    )


def graph_environment(domain_id: int | None = None) -> tuple[dict[str, str], int]:
    """Environment variables of the processes, and their ROS_DOMAIN_ID. Images go through shared memory."""
    environment, domain = environment_for(domain_id)
    if (profile := shared_file(FASTDDS_PROFILE, environment)) is not None:
        environment.setdefault(PROFILES, str(profile))
    return environment, domain


class Missions:
    """Follows a growing missions.jsonl.

    Attributes:
        lines: the finished missions so far.
    """

    def __init__(self, path: Path, on_mission: Callable[[Mission], None] | None = None) -> None:
        self.lines: list[Mission] = []
        self._tail = LineTail(path)
        self._on_mission = on_mission

    def read(self) -> None:
        """Reads what is new, and calls `on_mission` for each new line."""
        for line in self._tail.new_lines():
            mission = json.loads(line)
            self.lines.append(mission)
            if self._on_mission is not None:
                self._on_mission(mission)
