"""Turns your own measurements of a language model into a latency profile, and replays tasks against it.

Needs: rarrl alone. Run: python examples/own_latency_profile.py [calls.csv]
You see: what a call of each kind costs by your measurements, and how many of 50 tasks a rule solves with a model so
slow, beside a quick one. The CSV has a line for each call and the header
role,level,tokens_in,tokens_out,ttft_s,total_s, with calls of planner 1, planner 2, verifier 1 and verifier 2. Without a
CSV, calls are made up.
"""

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

from rarrl import make_orchestrator, replay
from rarrl.config import config_from_values
from rarrl.latency.profile import CallRecord, LatencyProfile, ProfileHeader, load_profile, save_profile
from rarrl.latency.replay import ReplayTable
from rarrl.types import THINK_ACTIONS
from rarrl_sim_envs.alfred.make import make_executive

COLUMNS = ("role", "level", "tokens_in", "tokens_out", "ttft_s", "total_s")


def measured_calls() -> list[CallRecord]:
    """The calls of the CSV, in the order in which they were made: slow calls come in bursts, and replay keeps them."""
    if len(sys.argv) > 1:
        with open(sys.argv[1], newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rng = np.random.default_rng(0)
        tokens = {("planner", 1): 110, ("planner", 2): 260, ("verifier", 1): 35, ("verifier", 2): 120}
        rows = []
        for _ in range(60):
            for (role, level), n in tokens.items():
                total_s = 0.8 + n / rng.uniform(15.0, 40.0)  # 15 to 40 tokens a second
                rows.append(dict(zip(COLUMNS, (role, level, 300, n, 0.8, total_s), strict=True)))

    kinds = (str, int, int, int, float, float)
    typed = [{name: kind(row[name]) for name, kind in zip(COLUMNS, kinds, strict=True)} for row in rows]
    return [CallRecord(finish="stop", **row) for row in typed]


def solved(profile: str, episodes: int = 50) -> str:
    """Plays tasks with 30 s of thinking each; the rule asks the planner after each failure."""
    chosen = {"profile": profile, "time_budget_s": 30.0, "token_budget": 4000.0}
    config = config_from_values({"orchestrator": chosen, "replay": {"seed": 1}}, "example")
    orchestrator = make_orchestrator('after_failure:{"recipe": "P2"}', profile)
    ends = replay(make_executive(config), orchestrator, episodes)
    thinking = np.mean([end.llm_seconds for end in ends])
    return f"{sum(end.success for end in ends)} of {episodes} tasks, {thinking:.1f} s of LLM a task"


def main() -> None:
    about = {"measured": "calls of my robot", "model": "my model", "hardware": "my computer", "licence": "unknown"}
    header = ProfileHeader(name="mine", kind="recorded", date="unknown", source="my log", **about)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.json"
        save_profile(LatencyProfile(schema_version=1, header=header, records=tuple(measured_calls())), path)

        costs = ReplayTable.from_profile(load_profile(path)).costs
        for action, mean_s, p95_s in zip(THINK_ACTIONS, costs.mean_s, costs.p95_s, strict=True):
            print(f"{action.label}: mean {mean_s:.2f} s, 95 % within {p95_s:.2f} s")

        print(f"mine:     {solved(str(path))}")
        print(f"groq-70b: {solved('groq-70b')}")


if __name__ == "__main__":
    main()
