"""Thinking beside acting against standing still, in missions at hosted models' latencies: tunes the rules for both, and
plays everything on the same missions and luck.

Whoever is compared has been tuned, or learned, for one objective, `score`; a rule that stands and the same rule that
thinks beside each with parameters of its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.files import write_json_atomic
from rarrl.latency.profile import LatencyProfile, content_sha256, load_profile
from rarrl.orchestrator.learned import load_learned
from rarrl.orchestrator.registry import HOSTED_RULES_FILE, SHIPPED, load_policy, tuned_parameters
from rarrl.orchestrator.rules import OrchestratorPolicy, grid, make_rule
from rarrl.report.runs import wilson
from rarrl.results import Figure
from rarrl_sim_envs.alfred.datasets import TRAINING_PROFILES
from rarrl_sim_envs.household.robot.beside import BesideExecutive
from rarrl_sim_envs.household.robot.drivers import ExpertDriver
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.robot.teleport_driver import TeleportDriver
from rarrl_sim_envs.household.tasks import Mission
from rarrl_sim_envs.household.world import DT

from ..orchestrator.rollout import Clusters, interval, rollout
from ..orchestrator.scenarios import fixed_episodes
from .beside import MISSION, PRICE, PricedBySecond
from .hosted_calls import HostedCalls
from .recorded_missions import RecordedMissionsCore

Floats = NDArray[np.float64]
TUNED = ("always", "interval", "after_failure", "start", "boundary")
"""Rules that are tuned, standing and beside."""
HOSTED = ("fireworks-70b", "perplexity-70b")
"""Two hosted models whose latencies nothing was trained or tuned on; of the eight that are shipped three are quicker
than the first, and two slower than the second."""
ARMS = {"standing": False, "beside": True}
SHIPPED_TODAY = "household, then household_beside"
"""The weights that `learned` means in homes, which stand, and those that may think beside."""
# Successive halving: missions of each candidate in the first round, then twice as many for the best quarter, and so on.
RUNG = 36
LAST_RUNG = 288
PEOPLE = 2
"""Who walk about where the way is driven; where it is skipped they are delays alone."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Missions:
    """What n missions came to; arrays (n,). `task`: which of the profile's missions it was. `stood_s`: in which the
    robot stood for a call."""

    task: NDArray[np.int64]
    success: Floats
    mission_s: Floats
    llm_s: Floats
    stood_s: Floats
    tokens: Floats
    calls: Floats
    beside: Floats
    withdrawn: Floats
    tokens_saved: Floats
    dropped: Floats
    stale_applied: Floats
    collisions: Floats

    @property
    def score(self) -> float:
        """What is tuned for."""
        return float(np.mean(self.success - PRICE * (self.llm_s + self.mission_s)))


class HostedMissions:
    """Plays missions of `answers` with any policy; homes and routes are computed once.

    hosted: whose seconds and tokens calls take, in turn at random. driven: the scripted expert drives, among PEOPLE,
    behind the gate; else the way is skipped (`teleport_driver`)."""

    def __init__(self, answers: LatencyProfile, hosted: Sequence[str], driven: bool = False) -> None:
        self._answers = answers
        self._hosted = [HostedCalls(load_profile(name)) for name in hosted]
        self._driven = driven
        self._missions: dict[int, Mission] = {}
        self._driver = TeleportDriver()
        self._cores: dict[int, RecordedMissionsCore] = {}

    def play(self, policy: OrchestratorPolicy, n: int, seed: int = 0) -> Missions:
        """n missions, the same for every policy."""
        core = self._core(n)
        sampler = PricedBySecond(core.recordings.bank, [calls.table for calls in self._hosted], MISSION)
        rows = (np.arange(n) + seed * 101) % len(core.answers)
        result = rollout(core, fixed_episodes(sampler, rows, seed), policy)
        robots = [robot for robot in core.executives if isinstance(robot, BesideExecutive)]

        def of(value: Callable[[BesideExecutive], float]) -> Floats:
            return np.array([value(robot) for robot in robots], dtype=np.float64)

        return Missions(
            task=rows,
            success=result.success.astype(np.float64),
            mission_s=of(lambda robot: robot.env.world.steps * DT),
            llm_s=result.seconds,
            stood_s=of(lambda robot: robot.stood_s),
            tokens=result.tokens,
            calls=result.calls,
            beside=of(lambda robot: robot.tally.beside),
            withdrawn=of(lambda robot: robot.tally.withdrawn),
            tokens_saved=of(lambda robot: robot.tally.tokens_saved),
            dropped=of(lambda robot: robot.tally.dropped),
            stale_applied=of(lambda robot: robot.stale_applied),
            collisions=of(lambda robot: robot.env.world.collisions),
        )

    def _core(self, n: int) -> RecordedMissionsCore:
        if n not in self._cores:
            self._cores[n] = RecordedMissionsCore(
                self._answers,
                known_goals(),
                n,
                missions=self._missions,
                driver=self._driver,
                make_driver=ExpertDriver if self._driven else None,
                people=PEOPLE if self._driven else 0,
                hosted=self._hosted,
                beside=True,
            )
        return self._cores[n]


# Tuning


def tune_hosted(out: Path, command: str, progress: Say | None = None) -> dict[str, Any]:
    """Finds the best parameters of TUNED by `score`, standing and beside (successive halving), on the missions and the
    latencies that the policies were trained on; writes them to `out`."""
    profile = load_profile("household-training")
    missions = HostedMissions(profile, TRAINING_PROFILES)
    table: dict[str, dict[str, Any]] = {arm: {} for arm in ARMS}
    document = {
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "data": content_sha256(profile),
        "profiles": list(TRAINING_PROFILES),
        "objective": f"mean success less {PRICE} for each second of the language model and of the mission",
        "conditions": table,
    }
    for family in TUNED:
        for arm, beside in ARMS.items():
            table[arm][family] = _tuned(missions, family, beside)
            if progress is not None:
                progress(f"{family} {arm}: {table[arm][family]}")
        write_json_atomic(out, document)
    return document


def _tuned(missions: HostedMissions, family: str, beside: bool) -> dict[str, Any]:
    candidates, n, seed = grid(family, beside), RUNG, 1
    while True:
        played = [(missions.play(make_rule(family, **params), n, seed), params) for params in candidates]
        played.sort(key=lambda entry: entry[0].score, reverse=True)
        if n == LAST_RUNG:
            best, params = played[0]
            figures = {
                "score": best.score,
                "success": float(best.success.mean()),
                "seconds": float(best.mission_s.mean()),
            }
            return {"params": params, **{k: round(v, 4) for k, v in figures.items()}, "tried": len(grid(family))}

        candidates = [params for _, params in played[: max(1, len(played) // 4)]]
        n = min(2 * n, LAST_RUNG) if len(candidates) > 2 else LAST_RUNG
        seed += 1


# Evaluation


def compared() -> dict[str, dict[str, OrchestratorPolicy]]:
    """Kind of policy -> how it thinks (standing, beside) -> the policy. learned: the same network, learned twice for
    the same objective, once without the choices beside."""
    found: dict[str, dict[str, OrchestratorPolicy]] = {
        "learned": {arm: load_learned(SHIPPED / f"household_{arm}.safetensors") for arm in ARMS},
        SHIPPED_TODAY: {
            "standing": load_policy("household"),
            "beside": load_policy("household_beside"),
        },
        "always, planner 2": {arm: make_rule("always", recipe="P2", beside=beside) for arm, beside in ARMS.items()},
        "after_failure, planner 2": {
            arm: make_rule("after_failure", recipe="P2", beside=beside) for arm, beside in ARMS.items()
        },
    }
    tuned = {arm: tuned_parameters(arm, HOSTED_RULES_FILE) for arm in ARMS}
    for family in TUNED:
        found[f"{family}, tuned"] = {arm: make_rule(family, **tuned[arm][family]) for arm in ARMS}
    return found


Played = dict[str, dict[str, dict[str, Missions]]]
"""Latency profile -> kind of policy -> how it thinks -> what came of it."""


def play_beside(
    hosted: Sequence[str],
    n: int,
    seed: int = 0,
    driven: bool = False,
    kinds: Sequence[str] | None = None,
    progress: Say | None = None,
) -> Played:
    """All of `compared`, or `kinds` of it, on n missions that were held out, at each of the latencies `hosted`."""
    policies = compared()
    answers = load_profile("household-heldout")
    played: Played = {}
    for name in hosted:
        missions = HostedMissions(answers, [name], driven)
        played[name] = {}
        for kind in kinds or policies:
            played[name][kind] = {}
            for arm, policy in policies[kind].items():
                played[name][kind][arm] = missions.play(policy, n, seed)
                if progress is not None:
                    progress(f"{name}: {kind}, {arm}")
    return played


def beside_figures(played: Played) -> dict[str, Figure]:
    """Ratios of mission times and differences in success, with intervals over missions; and what must never happen."""
    figures: dict[str, Figure] = {}
    for name, kinds in played.items():
        for kind, arms in kinds.items():
            figures |= _of_pair(f"{_key(kind)}_{_key(name)}", arms["standing"], arms["beside"])

    learned = [kinds["learned"] for kinds in played.values() if "learned" in kinds]
    if learned:
        standing, beside = (_joined([arms[arm] for arms in learned]) for arm in ARMS)
        pair = _of_pair("", standing, beside)
        figures |= {name.rstrip("_"): figure for name, figure in pair.items()}

    return figures | totals(beside_rows(played))


def totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Sums over all missions beside of `beside_rows`; a policy that is compared with two others counts once."""
    beside = [row for row in rows if row["thinks"] == "beside" and row["policy"] != SHIPPED_TODAY]
    n = sum(row["missions"] for row in beside)
    return {
        name: Figure(float(sum(row[column] for row in beside)), unit, n)
        for name, column, unit in (
            ("withdrawn_calls", "withdrawn", "calls in all missions beside"),
            ("tokens_saved_by_withdrawing", "tokens saved", "tokens in all missions beside"),
            ("dropped_answers", "dropped", "stale answers that had no effect"),
            ("stale_applied", "stale applied", "stale answers that took effect"),
            ("collisions", "collisions", "contacts in all missions beside"),
        )
    }


def _of_pair(name: str, standing: Missions, beside: Missions) -> dict[str, Figure]:
    clusters = Clusters.make(standing.task)
    n = len(standing.task)
    ratio = clusters.means(beside.mission_s) / clusters.means(standing.mission_s)
    gain = 100.0 * (beside.success - standing.success)
    share = standing.stood_s.mean() / standing.mission_s.mean()
    lo, hi = interval(ratio)
    low, high = interval(clusters.means(gain))
    return {
        f"mission_time_ratio_beside_{name}": Figure(
            round(float(beside.mission_s.mean() / standing.mission_s.mean()), 4),
            "mission seconds beside over standing",
            n,
            round(lo, 4),
            round(hi, 4),
        ),
        f"success_gained_beside_{name}": Figure(
            round(float(gain.mean()), 3), "points of success", n, round(low, 3), round(high, 3)
        ),
        f"thinking_share_{name}": Figure(round(float(share), 4), "share of a mission stood for calls, standing", n),
    }


def _joined(parts: Sequence[Missions]) -> Missions:
    return Missions(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def _key(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.lower()).replace("__", "_").strip("_")


def beside_rows(played: Played, driven: bool = False) -> list[dict[str, Any]]:
    """A table row for each kind, way of thinking and latency."""
    return [
        _row(name, kind, arm, missions, driven)
        for name, kinds in played.items()
        for kind, arms in kinds.items()
        for arm, missions in arms.items()
    ]


def _row(name: str, kind: str, arm: str, m: Missions, driven: bool) -> dict[str, Any]:
    lo, hi = wilson(int(m.success.sum()), len(m.task))
    means: Mapping[str, tuple[Floats, int]] = {
        "mission s": (m.mission_s, 1),
        "LLM s": (m.llm_s, 2),
        "stood s": (m.stood_s, 2),
        "tokens": (m.tokens, 0),
        "calls": (m.calls, 2),
        "beside": (m.beside, 2),
    }
    sums = {
        "withdrawn": m.withdrawn,
        "tokens saved": m.tokens_saved,
        "dropped": m.dropped,
        "stale applied": m.stale_applied,
        "collisions": m.collisions,
    }
    return {
        "latency": name,
        "way": "driven" if driven else "skipped",
        "policy": kind,
        "thinks": arm,
        "missions": len(m.task),
        "success": round(float(m.success.mean()), 4),
        "interval": [round(lo, 3), round(hi, 3)],
        **{key: round(float(values.mean()), digits) for key, (values, digits) in means.items()},
        **{key: round(float(values.sum())) for key, values in sums.items()},
    }
