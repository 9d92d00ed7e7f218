"""Measures vla_policy_node with the shipped Meta-World policy: node, its worker and robot each a process.

    python benchmarks/policy_node.py [--seconds 60] [--rate 10] [--preset fast] [--seed 0] [--json FILE]

What faults make of it: `rarrl faults run --only N1-policy,C3-policy,M1-policy,M2-policy,P4`.

The robot sends two pictures and proprioception `--rate` times a second, recorded beforehand: the first STEPS control
steps of the expert in each of Meta-World's ten tasks, again and again; the subgoal changes with the task. So the robot
does not obey: this measures the node, not success (`rarrl eval policy` does). Needs the extras ros, sim and llama, and
most of one core: on a machine that is busier the policy misses its deadlines. Two minutes.

chunks, inference_p50_ms, inference_p95_ms: what the node says. late_chunks: inferences that missed the deadline, and
chunks that came when none of their rows could be used. holds: ticks without a command, after the first one. seam_jump:
the largest change of any joint from one tick to the next at a seam, as the node tells; seam_jump_at_once: the same
chunks in the same ticks through a broker that does not blend. stale_commands: commands whose stamp, that of the oldest
observation they rest on, was more than the limit ago when they were written, by the time stamp of the middleware.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.policy.base import ActionChunk
from rarrl.policy.chunking import ChunkBroker
from rarrl.results import Figure, make_results, write_results
from rarrl_nodes.faults.policy_graph import LIMIT_S, Frame, Player, Robot, robot_of_the_policy, running_node

STEPS = 20  # control steps of each task


def record(seed: int) -> list[Frame]:
    """The first steps of the expert's way, task by task."""
    from rarrl_sim_envs.metaworld.env import MT10, MetaWorldLanguageEnv

    frames = []
    for task in MT10:
        env = MetaWorldLanguageEnv(task)
        told, _ = env.reset(options={"split": "test", "start": seed})
        for _ in range(STEPS):
            frames.append(Frame(told["images"], told["proprio"], told["instruction"]))
            env.advance(env.expert_action())
            told = env.observation()
        env.close()

    return frames


def clean(robot: Robot, player: Player, seconds: float, rate: float) -> dict[str, Any]:
    """The row of the clean run."""
    before = player.status()
    first = len(robot.commands)
    player.play(lambda: False, seconds)
    commands = robot.commands[first:]
    after = player.status()

    def counted(name: str) -> int:
        return int(after[name]) - int(before[name])

    ages = [heard.age_s for heard in commands if len(heard.points)]
    return {
        "seconds": seconds,
        "ticks": len(commands),
        "holds": sum(not len(heard.points) for heard in commands),
        "chunks": counted("chunks"),
        "late_chunks": counted("late") + counted("refused_stale"),
        "refused_out_of_order": counted("refused_out_of_order"),
        "other_subgoal": counted("other_subgoal"),
        "exceptions": counted("exceptions"),
        "inference_p50_ms": float(after["inference_p50_ms"]),
        "inference_p95_ms": float(after["inference_p95_ms"]),
        "age_p50_s": float(np.quantile(ages, 0.5)),
        "age_max_s": float(max(ages)),
        "seam_jump": float(after["seam_jump"]),
        "seam_jumps": {n.removeprefix("seam_jump_"): float(v) for n, v in after.items() if n.startswith("seam_jump_")},
        "seam_jump_at_once": at_once(robot, 1 / rate),
        "load": os.getloadavg()[0],
    }


def at_once(robot: Robot, dt: float) -> float:
    """`seam_jump` of the same chunks in the same ticks without blending."""
    chunks = list(robot.chunks)
    commands = robot.commands

    broker = ChunkBroker(chunks[0].points.shape, dt, LIMIT_S, blend_rows=0)
    offset = min(heard.at - heard.stamp_ns / 1e9 - heard.age_s for heard in chunks)  # steady minus ROS time
    for command in commands:
        while chunks and chunks[0].at <= command.at:
            heard = chunks.pop(0)
            broker.push(ActionChunk(heard.points, dt, heard.stamp_ns / 1e9 + offset), heard.at)
        broker.next_row(command.at)

    return float(broker.seam_jump.max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the run")
    parser.add_argument("--rate", type=float, default=10.0, help="control ticks and observations per second")
    parser.add_argument("--preset", default="fast", help="how the policy is served; empty: whole")
    parser.add_argument("--seed", type=int, default=0, help="of the starts")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()
    frames = record(args.seed)
    given = {"policy__control_hz": float(args.rate), "policy__preset": args.preset}
    with robot_of_the_policy() as robot, running_node(**given):
        player = Player(robot, frames, args.rate)
        if not player.play(lambda: bool(robot.commands and len(robot.commands[-1].points)), 60.0):
            raise SystemExit("policy_node: the node did not start")
        player.play(lambda: False, 3.0)
        run = clean(robot, player, args.seconds, args.rate)

    commands = [c for c in robot.commands if len(c.points)]
    figures = {
        "late_chunks": Figure(run["late_chunks"], "chunks", run["chunks"]),
        "holds": Figure(run["holds"], "ticks", run["ticks"]),
        "seam_jump": Figure(run["seam_jump"], "action", run["ticks"]),
        "seam_jump_at_once": Figure(run["seam_jump_at_once"], "action", run["ticks"]),
        "inference_p50_ms": Figure(run["inference_p50_ms"], "ms", run["chunks"]),
        "inference_p95_ms": Figure(run["inference_p95_ms"], "ms", run["chunks"]),
        "stale_commands": Figure(sum(c.age_s > LIMIT_S for c in commands), "commands", len(commands)),
        "exceptions": Figure(run["exceptions"], "", run["ticks"]),
    }
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        command = " ".join(["python", "benchmarks/policy_node.py", *sys.argv[1:]])
        write_results(args.json, make_results(command, args.seed, figures, {"clean": [run]}))

    return 0


if __name__ == "__main__":
    sys.exit(main())
