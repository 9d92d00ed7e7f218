"""Runs the simulated robot without ros2 launch: five supervised processes, ended in order."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rarrl.errors import DependencyMissingError, InputError, RarrlError
from rarrl.events import FILE_NAME

from .graph import FASTDDS_PROFILE, PACKAGE
from .run import POLL_S, START_S, LineTail, Processes, environment_for
from .sim_graph import GRAPH, SIM, TIME_LIMIT_S, starts

MISSIONS = "missions.jsonl"

SLACK_S = 120.0
"""Real time that the calls of the language model may add to a mission, beyond the mission's own limit."""

Mission = dict[str, Any]
"""A line of missions.jsonl."""


def run_sim(
    given: Mapping[str, str],
    run_dir: Path,
    on_mission: Callable[[Mission], None] | None = None,
    domain_id: int | None = None,
    timeout_s: float | None = None,
) -> list[Mission]:
    """Carries out `given["missions"]` missions.

    Args:
        given: launch argument -> text, as in `sim_graph.ARGUMENTS`.
        run_dir: created; receives events.jsonl, missions.jsonl and the output of each node.
        on_mission: called with each finished mission.
        domain_id: ROS_DOMAIN_ID of the graph; None: the one in the environment, or else one of its own.
        timeout_s: real seconds after which the run is aborted; None: ample time.

    Returns: the lines of missions.jsonl.

    Raises: InputError for a bad setting; DependencyMissingError without rclpy; RarrlError where a node died (with its
        exit status and last lines) or the time ran out."""
    if find_spec("rclpy") is None:
        raise DependencyMissingError("run: rclpy is missing; pip install 'rarrl[ros]', or source a ROS 2 installation")
    run_dir = Path(run_dir).resolve()
    if (run_dir / FILE_NAME).exists():
        raise InputError(f"run: {run_dir} holds a run already; choose another folder")

    nodes = starts({**given, "run_dir": str(run_dir)})
    missions = int(given.get("missions") or 0)
    if missions < 1:
        raise InputError("run: --missions must be at least 1; `ros2 launch rarrl sim.launch.py` waits for instructions")
    limit_s = float(given.get("time_limit_s") or TIME_LIMIT_S)
    timeout_s = timeout_s or START_S + missions * (limit_s + SLACK_S)

    environment, _ = graph_environment(domain_id)
    tail = Missions(run_dir / MISSIONS, on_mission)
    started = time.monotonic()
    with Processes(run_dir, environment) as processes:
        for start in nodes:
            processes.start(start.node.name, start.node.module, start.parameters, start.remappings)

        while processes.running(SIM.name):
            for node in GRAPH:
                if node is not SIM:
                    processes.check_alive(node.name)
            tail.read()
            if time.monotonic() - started > timeout_s:
                raise RarrlError(
                    f"run: not finished after {timeout_s:.0f} s; {len(tail.lines)} of {missions} missions done"
                )
            time.sleep(POLL_S)

        tail.read()
        processes.check_ended_well(SIM.name)

    return tail.lines


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

    places = (Path(__file__).resolve().parents[1], Path(sys.prefix) / "share" / PACKAGE)  # a checkout, an installation
    profile = next((p for p in (place.joinpath(*FASTDDS_PROFILE) for place in places) if p.is_file()), None)
    if profile is not None:
        environment.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(profile))

    # Five processes share the cores; extra threads for linear algebra would only compete with them.
    environment.setdefault("OMP_NUM_THREADS", "1")
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
