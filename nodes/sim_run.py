"""Runs the whole robot in simulation without ros2 launch: five processes, watched, and ended in good order."""

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
from .run import POLL_S, START_S, Processes, _environment
from .sim_graph import GRAPH, SIM, TIME_LIMIT_S, starts

MISSIONS = "missions.jsonl"
SLACK_S = 120.0  # of thinking in a mission, beyond its own time limit
Mission = dict[str, Any]


def run_sim(
    given: Mapping[str, str],
    run_dir: Path,
    on_mission: Callable[[Mission], None] | None = None,
    domain_id: int | None = None,
    timeout_s: float | None = None,
) -> list[Mission]:
    """Carries `given["missions"]` missions out (argument -> text, as `sim_graph.ARGUMENTS` has them).

    Args:
        run_dir: made; gets events.jsonl, missions.jsonl, and what each node printed.
        on_mission: told of each mission that is over.
        domain_id: ROS_DOMAIN_ID of the graph; None: the environment's, else one of its own.
        timeout_s: real seconds after which the run is given up; None: ample.

    Returns: the lines of missions.jsonl.

    Raises: InputError for a bad setting; DependencyMissingError without rclpy; RarrlError where a node died (which,
        how, its last lines) or the time ran out."""
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
    tail, started = Missions(run_dir / MISSIONS, on_mission), time.monotonic()
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
                    f"run: not over after {timeout_s:.0f} s; {len(tail.lines)} of {missions} missions done"
                )
            time.sleep(POLL_S)
        tail.read()
        processes.check_ended_well(SIM.name)
    return tail.lines


def mission_line(mission: Mission) -> str:
    """What came of a mission, for people."""
    end = "success" if mission["success"] else f"{mission['met']} of {mission['conditions']} conditions"
    return (
        f"mission {mission['mission']}: {end}, {mission['seconds']:.0f} s, {mission['attempts']} attempts, "
        f"{mission['calls']} calls ({mission['llm_s']:.1f} s), {mission['collisions']} collisions: {mission['goal']}"
    )


def graph_environment(domain_id: int | None = None) -> tuple[dict[str, str], int]:
    """Environment and domain of the processes: pictures go through shared memory."""
    environment, domain = _environment(domain_id)
    places = (Path(__file__).resolve().parents[1], Path(sys.prefix) / "share" / PACKAGE)
    profile = next((p for p in (place.joinpath(*FASTDDS_PROFILE) for place in places) if p.is_file()), None)
    if profile is not None:
        environment.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(profile))
    environment.setdefault("OMP_NUM_THREADS", "1")
    return environment, domain


class Missions:
    """Follows missions.jsonl while it grows; `lines`: what it holds so far."""

    def __init__(self, path: Path, on_mission: Callable[[Mission], None] | None = None) -> None:
        self._path, self._on_mission, self._offset = path, on_mission, 0
        self.lines: list[Mission] = []

    def read(self) -> None:
        """Takes in what is new."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                new = stream.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            mission = json.loads(line)
            self.lines.append(mission)
            if self._on_mission is not None:
                self._on_mission(mission)
