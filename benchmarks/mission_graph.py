"""Missions over the real graph, then each node killed once amid a mission.

    python benchmarks/mission_graph.py [--missions 10] [--seed 0] [--policy learned] [--kills-only] [--json FILE]

Five processes: sim_robot_node (a home with people, at 10 Hz in real time), stereo_voxel_node, vla_policy_node,
safety_gate_node, orchestrator_node with the shipped planner. Two idle cores; a mission takes one to five minutes.

Missions (table `missions`, a line of missions.jsonl each). graph_success, graph_partial (share of the goal conditions
met), graph_collisions (in all). loop_miss_rate: share of the simulator's steps that began more than half a period late,
left out ones too. nodes_alive: of the five, at the end, none started twice.

Kills (table `kills`, a row for each node). The robot is under way at `--speed-from` m/s or more, at least SETTLE_S into
a mission, when the node gets kill -9. For each node:
- brakes_s: from then until the base last held its speed: from there on it only slows down.
- stop_s: until it stands (|v| below 0.1 m/s, as for the hand) and does so for STILL_S. Its brakes reach 1.2 m/s2, so
  that 0.42 s of it are the way from 0.6 m/s to that.
The simulator's own base is gone with it: there both are the time until the gate's last command that was not zero.
RESPAWN_S later the node is started again. recovered: an attempt that began after that has ended, or the mission has;
of the simulator, whose home is gone, one in a new mission. recovery_s: from the new start to then.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from rarrl.report.runs import wilson
from rarrl.results import Figure, make_results, write_results
from rarrl_nodes.processes import Processes
from rarrl_nodes.sim_graph import GRAPH, SIM, TIME_LIMIT_S, starts
from rarrl_nodes.sim_run import MISSIONS, Missions, graph_environment, mission_line

ROOT = Path(__file__).resolve().parents[1]
STANDING = 0.1  # m/s: below it the base counts as standing
HELD = 0.02  # m/s: a smaller loss of speed between two readings counts as holding it
# Seconds.
SETTLE_S = 8.0  # of a mission before a kill
STILL_S = 0.5  # that the base must stand
LISTEN_S = 4.0  # after a kill, to see it stop
RESPAWN_S = 2.0  # until the node is started again
RECOVERY_S = 150.0  # at most, until an attempt or the mission has ended
UNDER_WAY_S = 240.0  # at most, until the robot moves
SLACK_S = 120.0  # beyond a mission's time limit
MANY = "50"  # missions, more than a kill takes
DRIVING = ("vla_policy_node", "stereo_voxel_node", "safety_gate_node")


class Ear:
    """Hears how fast the base is, and what the gate tells it."""

    def __init__(self) -> None:
        import rclpy
        from geometry_msgs.msg import TwistStamped
        from nav_msgs.msg import Odometry
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile, ReliabilityPolicy

        rclpy.init()
        self.node = rclpy.create_node("benchmark")
        qos = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.speeds: list[tuple[float, float]] = []  # when, m/s
        self.commands: list[tuple[float, float]] = []
        self.node.create_subscription(Odometry, "odom", self._on_odom, qos)
        self.node.create_subscription(TwistStamped, "cmd_vel", self._on_command, qos)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def _on_odom(self, msg: Any) -> None:
        self.speeds.append((time.monotonic(), msg.twist.twist.linear.x))

    def _on_command(self, msg: Any) -> None:
        moves = abs(msg.twist.linear.x) + abs(msg.twist.angular.z)
        self.commands.append((time.monotonic(), moves))

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Listens until `condition()`; whether it came to hold."""
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.05)
        return condition()

    @property
    def speed(self) -> float:
        """The last that was told; 0 where it is old."""
        fresh = self.speeds and time.monotonic() - self.speeds[-1][0] < 0.5
        return self.speeds[-1][1] if fresh else 0.0

    def close(self) -> None:
        import rclpy

        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()


class Graph:
    """The five nodes. stand_in: a module in the place of vla_policy_node."""

    def __init__(self, folder: Path, environment: dict[str, str], given: dict[str, str], stand_in: str = "") -> None:
        self.folder = folder
        self._given = given
        self._stand_in = stand_in
        self.processes = Processes(folder, environment)
        self.log = folder

    def start(self, name: str = "", **given: str) -> None:
        """Starts a node, or all."""
        for start in starts({**self._given, "run_dir": str(self.log), **given}):
            if name in ("", start.node.name):
                replaced = self._stand_in and start.node.name == "vla_policy_node"
                module = self._stand_in if replaced else start.node.module
                self.processes.start(start.node.name, module, start.parameters, start.remappings)

    def events(self) -> list[dict[str, Any]]:
        """What the robot has logged so far."""
        try:
            lines = (self.log / "events.jsonl").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def ends(self) -> int:
        """Attempts and missions that have ended."""
        return sum(event["type"] in ("act", "end") for event in self.events())

    @property
    def alive(self) -> int:
        """How many run."""
        return sum(self.processes.running(node.name) for node in GRAPH)


def say(text: str) -> None:
    print(text, flush=True)


def run_missions(graph: Graph, missions: int, limit_s: float) -> tuple[list[dict[str, Any]], int]:
    """The missions' lines, and how many of the nodes lived to the end (the simulator ends by itself)."""
    tail = Missions(graph.folder / MISSIONS, lambda mission: say(mission_line(mission)))
    with graph.processes:
        graph.start(missions=str(missions))
        end = time.monotonic() + missions * limit_s
        while graph.processes.running(SIM.name) and time.monotonic() < end:
            tail.read()
            time.sleep(0.2)
        tail.read()
        over = len(tail.lines) == missions
        alive = graph.alive + (over and not graph.processes.running(SIM.name))

    return tail.lines, alive


def kill(graph: Graph, ear: Ear, name: str, speed_from: float) -> dict[str, Any]:
    """Kills a node while the robot drives, and starts it again."""
    row: dict[str, Any] = {"node": name, "speed_mps": None, "brakes_s": None, "stop_s": None}
    row |= {"recovered": False, "recovery_s": None}

    with graph.processes:
        graph.start(missions=MANY)
        if not ear.until(lambda: bool(graph.events()), UNDER_WAY_S):
            return row | {"why": "no mission began"}
        ear.until(lambda: False, SETTLE_S)
        if not ear.until(lambda: ear.speed >= speed_from, UNDER_WAY_S):
            return row | {"why": "it never drove"}
        ear.speeds.clear()
        ear.commands.clear()
        speed = ear.until(lambda: bool(ear.speeds), 2.0) and ear.speed
        graph.processes.kill(name)
        killed = time.monotonic()
        row["speed_mps"] = round(float(speed), 3)
        ear.until(lambda: False, LISTEN_S)
        row |= stopped(ear.commands, killed) if name == SIM.name else braked(ear.speeds, killed)
        ear.until(lambda: False, RESPAWN_S)
        if name == SIM.name:
            graph.log = graph.folder / "again"
        before = graph.ends()
        again = time.monotonic()
        graph.start(name, missions=MANY, **({"first": "1"} if name == SIM.name else {}))

        # The attempt that was under way when the node came back may have failed for its absence: one more.
        row["recovered"] = ear.until(lambda: graph.ends() > before + (name in DRIVING), RECOVERY_S)
        row["recovery_s"] = round(time.monotonic() - again, 1)
        row["alive"] = graph.alive

    return row


def braked(speeds: list[tuple[float, float]], killed: float) -> dict[str, float | None]:
    """Of the speeds heard after the kill: until when it held its speed, and when it stood for STILL_S."""
    after = [(at - killed, abs(v)) for at, v in speeds if at >= killed]
    for i, (at, _) in enumerate(after):
        still = [v for t, v in after[i:] if t - at <= STILL_S]
        if max(still) < STANDING:
            held = [t for (_, v), (t, w) in pairwise(after[: i + 1]) if w > v - HELD]
            return {"brakes_s": round(held[-1] if held else 0.0, 3), "stop_s": round(at, 3)}
    return {"brakes_s": None, "stop_s": None}


def stopped(commands: list[tuple[float, float]], killed: float) -> dict[str, float | None]:
    """Until the last command that was not zero; None where none came after it."""
    after = [(at - killed, moves) for at, moves in commands if at >= killed]
    last = max((at for at, moves in after if moves > 0.0), default=0.0)
    zero = any(at > last for at, _ in after)
    return {"brakes_s": round(last, 3) if zero else None, "stop_s": round(last, 3) if zero else None}


def figures_of(missions: list[dict[str, Any]], alive: int, kills: list[dict[str, Any]]) -> dict[str, Figure]:
    figures = {}
    if missions:
        n = len(missions)
        good = sum(m["success"] for m in missions)
        low, high = wilson(good, n)
        figures |= {
            "graph_success": Figure(good / n, "share", n, low, high),
            "graph_partial": Figure(sum(m["met"] / m["conditions"] for m in missions) / n, "share", n),
            "graph_collisions": Figure(sum(m["collisions"] for m in missions), "contacts", n),
            "loop_miss_rate": Figure(missions[-1]["loop_miss_rate"], "share"),
            "nodes_alive": Figure(alive, f"of {len(GRAPH)}"),
        }

    if kills:
        times = [row["stop_s"] for row in kills]
        begun = [row["brakes_s"] for row in kills]
        if times and None not in times:
            figures["stop_s_max"] = Figure(max(times), "s", len(times))
            figures["brakes_s_max"] = Figure(max(begun), "s", len(begun))
        figures["recovered"] = Figure(sum(row["recovered"] for row in kills), f"of {len(kills)}", len(kills))

    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missions", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policy", default="learned", help="who decides when to think")
    parser.add_argument("--llm", default="llama", help="who thinks")
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--disturbance", type=float, default=1.0)
    parser.add_argument("--time-limit", type=float, default=TIME_LIMIT_S, help="of a mission, s")
    parser.add_argument("--speed-from", type=float, default=0.3, help="m/s at which a node is killed")
    parser.add_argument("--nodes", nargs="*", default=[node.name for node in GRAPH], help="which are killed")
    parser.add_argument("--kills-only", action="store_true")
    parser.add_argument("--stand-in", default="", help="a module in the place of vla_policy_node, for trying this")
    parser.add_argument("--folder", type=Path, help="keeps the logs here")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="mission_graph"))
    environment, domain = graph_environment()
    os.environ.update({k: environment[k] for k in environment if k.startswith(("ROS_", "FASTRTPS"))})
    given = {
        "seed": str(args.seed),
        "policy": args.policy,
        "reasoner": args.llm,
        "people": str(args.people),
        "disturbance": str(args.disturbance),
        "time_limit_s": str(args.time_limit),
    }
    say(f"domain {domain}, load {os.getloadavg()[0]:.1f}, logs in {folder}")
    missions: list[dict[str, Any]] = []
    alive = 0
    if not args.kills_only:
        graph = Graph(folder / "missions", environment, given, args.stand_in)
        missions, alive = run_missions(graph, args.missions, args.time_limit + SLACK_S)
    kills = []
    ear = Ear()
    try:
        for name in args.nodes:
            graph = Graph(folder / f"kill_{name}", environment, given, args.stand_in)
            kills.append(kill(graph, ear, name, args.speed_from))
            say(json.dumps(kills[-1]))
    finally:
        ear.close()

    figures = figures_of(missions, alive, kills)
    for name, figure in figures.items():
        say(f"{name}: {figure.value:.4g} {figure.unit}")
    if args.json:
        command = "python benchmarks/mission_graph.py " + " ".join(a for a in sys.argv[1:] if "json" not in a)
        tables = {"missions": missions, "kills": kills, "load": [round(load, 2) for load in os.getloadavg()]}
        write_results(args.json, make_results(command.strip(), args.seed, figures, tables))


if __name__ == "__main__":
    main()
