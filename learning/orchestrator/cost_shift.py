"""`rarrl bench costs`: calls that cost other than recorded; deciding by today's costs against the profile's.

Robots play a run of tasks each. At some moment calls become slower, for all tasks from then on or within a task, and
nobody is told. The same policies play it twice, on the same tasks, luck and latencies: believing the profile (static),
and with expected costs that follow their own calls (online). Budgets bind, as in the evaluation of the orchestrator.

within budget: a call that runs out of the budget ends the task, without success. cut: such a call is cut off at the
budget's end, and the robot goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import AlfredPlan
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.learned import MODELS
from rarrl.orchestrator.registry import RECORDED_RULES_FILE, tuned_parameters
from rarrl.orchestrator.rules import OrchestratorPolicy, make_rule
from rarrl.orchestrator.running_costs import CostsOfRobots
from rarrl.results import Figure, make_results, write_results
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank, StepResult, uniform
from rarrl_sim_envs.alfred.datasets import RECORDED_EVALUATION, TRAINING_PROFILES, load_recordings, load_tables
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler, seeds
from rarrl_sim_envs.alfred.recorded_core import RecordedCore, Recordings

from .evaluate import shipped_seeds
from .evaluate_recorded import recorded_seeds
from .rollout import Clusters, interval, rollout
from .scenarios import CONDITIONS, priced, recorded_conditions

Floats = NDArray[np.float64]

TASKS = 12
"""Tasks of a run: a robot's morning. The shift comes at the seventh."""
PRICE = 0.003
"""Price of thinking, points of success per mean planner-1 call of the profile: about what the evaluation chooses."""
STATIC, ONLINE = "static", "online"
_NOISE = 120
"""Stream of `uniform` that the shifts' own draws come from."""


@dataclass(frozen=True)
class Shift:
    """What happens to the seconds of calls.

    factors: of the calls that are slower, drawn one a call. within: the calls of the second half of every task are
    slower, and with the next task it is over; else all calls of the second half of the run. cold: factor on a task's
    first call, after the pause between two tasks; from the first task on. noise: standard deviation of the logarithm of
    a factor on every call, whose median is 1."""

    factors: tuple[float, ...] = (1.0,)
    within: bool = False
    cold: float = 1.0
    noise: float = 0.0

    def stretch(self, core: Any, where: NDArray[np.int64]) -> Floats:
        """(m,) factors on the seconds of the calls that the robots `where` make now."""
        call = core.calls[where]
        draw = uniform(core.seed[where], (_NOISE, _NOISE + 1, _NOISE + 2), call)
        if self.within:
            slow = 2 * core.piece[where] >= core.bank.pieces[core.row[where]]
        else:
            slow = np.full(len(where), 2 * core.task >= core.tasks)
        factors = np.asarray(self.factors)
        out = np.where(slow, factors[(draw[0] * len(factors)).astype(np.int64)], 1.0)
        out = out * np.where(call == 0, self.cold, 1.0)
        normal = np.sqrt(-2.0 * np.log(1.0 - draw[1])) * np.cos(2.0 * np.pi * draw[2])
        return np.asarray(out * np.exp(self.noise * normal))


class _Shifting(AlfredReplayCore):
    """Mixed into a core: its calls are stretched by `shift`, and robots know their costs from `online`, which stays
    with them from task to task, or from the profile."""

    shift: Shift
    online: CostsOfRobots | None = None
    task, tasks = 0, 1

    def follow(self, shift: Shift, tasks: int, online: bool, expected: Mapping[str, Floats]) -> None:
        """expected: (4, n) each, by the profile."""
        self.shift, self.tasks = shift, tasks
        self.online = CostsOfRobots(**expected, n=self.n) if online else None

    def begin(self, where: NDArray[np.int64], params: Any) -> None:
        super().begin(where, params)
        self._know(np.ones(self.n, bool))

    def _replay(self, where: NDArray[np.int64], option: NDArray[np.int64]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        seconds, tokens, ok = super()._replay(where, option)
        return seconds * self.shift.stretch(self, where), tokens, ok

    def _think(self, action: NDArray[np.int64], thinks: NDArray[np.bool_]) -> StepResult:
        first = self.calls == 0
        result = super()._think(action, thinks)
        where = np.flatnonzero(thinks)
        if self.online is not None and len(where):
            cut = result.deadline_miss[where] | (result.seconds[where] >= self.call_timeout_s)
            self.online.observe(
                where, action[where] - 1, result.seconds[where], result.tokens[where], cut, first[where]
            )
            self._know(self.calls == 0)
        return result

    def _know(self, cold: NDArray[np.bool_]) -> None:
        if self.online is not None:
            self.online.update(cold)
            for name in self._cost_now:
                self._cost_now[name] = getattr(self.online, name)


class _ReplayCore(_Shifting):
    """Latencies alone."""


class _RecordedCore(_Shifting, RecordedCore):
    """Recorded answers."""


@dataclass(frozen=True)
class World:
    """Where runs are played: `robots` of them, one after another language model. recordings: None for latencies."""

    bank: EpisodeBank
    tables: tuple[ReplayTable, ...]
    config: EpisodeConfig
    robots: int
    seed: int
    recordings: Recordings | None = None

    def play(self, policy: OrchestratorPolicy, shift: Shift, online: bool, hard: bool) -> dict[str, Floats]:
        """(tasks, robots) each of success, seconds, misses and calls."""
        n = self.robots
        if self.recordings is None:
            core: Any = _ReplayCore(self.bank, self.tables, n, None, hard)
        else:
            core = _RecordedCore(self.recordings, n, None, hard)
        table = np.arange(n) % len(self.tables)  # a robot keeps its language model
        names = ("mean_s", "p95_s", "mean_tokens", "max_tokens")
        expected = {name: np.stack([getattr(t.costs, name) for t in self.tables])[table].T for name in names}
        core.follow(shift, TASKS, online, expected)
        samplers = [EpisodeSampler(self.bank, [t], self.config) for t in self.tables]

        out: dict[str, list[Floats]] = {name: [] for name in ("success", "seconds", "misses", "calls")}
        for core.task in range(TASKS):
            params = _joined(samplers, table, seeds(self.seed, n, core.task * n))
            played = rollout(core, params, policy)
            for name, rows in out.items():
                rows.append(np.asarray(getattr(played, name), dtype=np.float64))
        return {name: np.stack(rows) for name, rows in out.items()}


def _joined(samplers: Sequence[EpisodeSampler], table: NDArray[np.int64], seed: NDArray[np.uint64]) -> Any:
    """The episodes of `seed` (n,), each by the sampler of its robot's language model."""
    drawn = [sampler.draw(seed) for sampler in samplers]
    parts = {name: np.stack([getattr(each, name) for each in drawn]) for name in vars(drawn[0])}
    picked = {name: values[table, np.arange(len(table))] for name, values in parts.items()}
    return type(drawn[0])(**{**picked, "table": table})


SHIFTS: dict[str, Shift] = {
    "x4 from half of the run on": Shift((4.0,)),
    "x4 in the second half of each task": Shift((4.0,), within=True),
    "cold start: first call of a task x4": Shift(cold=4.0),
    "noise: every call x exp(0.6 N)": Shift(noise=0.6),
    "no shift": Shift(),
}
"""Beside these, `BUSY`: factors that were measured on this computer."""
X4, NO_SHIFT, BUSY = "x4 from half of the run on", "no shift", "both cores busy from half of the run on"
RULES = {
    "latencies": ("always", "after_failure", "threshold", "paced", "risk_table"),
    "recorded": ("always", "confidence"),
}
"""The rules that are played beside the learned policy, tuned for the binding budget of their world."""


@dataclass
class _Played:
    """One policy in one world under one shift, both ways. gain: (robots,), mean over the tasks that count."""

    row: dict[str, Any]
    gain: Floats


@dataclass
class CostShift:
    """The comparisons of `bench_costs`."""

    worlds: Mapping[str, World]
    policies: Mapping[str, Mapping[str, OrchestratorPolicy]]
    shifts: Mapping[str, Shift]
    seed: int
    tables: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)

    def compare(self, world: str, policy: str, shift: str, hard: bool) -> _Played:
        """What counts are the tasks from the shift on, where it comes within the run, else all."""
        w, p, s = self.worlds[world], self.policies[world][policy], self.shifts[shift]
        since = 0 if s.within or s.factors == (1.0,) else TASKS // 2
        static, online = (w.play(p, s, follows, hard) for follows in (False, True))
        gain = (online["success"] - static["success"])[since:].mean(axis=0)
        row: dict[str, Any] = {"world": world, "shift": shift, "policy": policy, "overrun": "fails" if hard else "cut"}
        for name, played in ((STATIC, static), (ONLINE, online)):
            means = {key: float(values[since:].mean()) for key, values in played.items()}
            row[f"{name}_success"] = round(means["success"], 4)
            row[f"{name}_llm_seconds"] = round(means["seconds"], 3)
            row[f"{name}_calls"] = round(means["calls"], 3)
            row[f"{name}_overruns"] = round(means["misses"], 4)
        lo, hi = self._interval(gain)
        row |= {"gain_points": round(100.0 * float(gain.mean()), 2), "gain_lo": round(lo, 2), "gain_hi": round(hi, 2)}
        row["gain_points_whole_run"] = round(100.0 * float((online["success"] - static["success"]).mean()), 2)
        return _Played(row, gain)

    def figure(self, name: str, gain: Floats, sign: float = 1.0) -> None:
        """Points, with the interval over robots: the tasks of one are not independent."""
        lo, hi = sorted(sign * bound for bound in self._interval(gain))
        self.figures[name] = Figure(sign * 100.0 * float(gain.mean()), "points", len(gain) * TASKS, lo, hi)

    def _interval(self, gain: Floats) -> tuple[float, float]:
        return interval(100.0 * Clusters.make(np.arange(len(gain)), seed=self.seed).means(gain))


def bench_costs(
    plans: Sequence[AlfredPlan],
    *,
    busy: Sequence[float],
    robots: int = 400,
    seed: int = 0,
    json_path: Path | None = None,
    command: str = "rarrl bench costs",
    models: Path | None = None,
    busy_table: Mapping[str, Any] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Plays every policy under every shift, with static and with online costs, on ALFRED replay and recorded answers.

    Args:
        plans: of ALFRED; recorded answers bring their own
        busy: factors on the seconds of calls while both cores are busy, see `busy_cores`
        robots: runs of TASKS tasks, in each world

    Returns (and writes to `json_path`) the results document. Raises: InputError where `models` holds no policy."""
    folder = models or MODELS / "orchestrator"
    tables = tuple(load_tables(TRAINING_PROFILES))
    recordings = load_recordings(RECORDED_EVALUATION)
    recorded = recorded_conditions(recordings.table)["binding"]
    bench = CostShift(
        {
            "latencies": World(
                EpisodeBank.from_plans(plans), tables, priced(CONDITIONS["binding"], PRICE), robots, seed
            ),
            "recorded": World(recordings.bank, (recordings.table,), priced(recorded, PRICE), robots, seed, recordings),
        },
        {
            "latencies": {"learned": shipped_seeds(folder)[0], **_rules("latencies")},
            "recorded": {"learned": recorded_seeds(folder)[0], **_rules("recorded", RECORDED_RULES_FILE)},
        },
        {BUSY: Shift(tuple(busy)), **SHIFTS},
        seed,
    )

    jobs = [
        (world, policy, shift, hard)
        for world in bench.worlds
        for policy in bench.policies[world]
        for shift in bench.shifts
        for hard in (True, False)
        if hard or policy == "learned"
    ]
    say = progress or (lambda what, share: None)
    played = {}
    for done, job in enumerate(jobs):
        say(f"{job[0]}, {job[1]}: {job[2]}", done / len(jobs))
        played[job] = bench.compare(*job)

    bench.tables["comparison"] = [each.row for each in played.values()]
    for world, suffix in (("latencies", ""), ("recorded", "_recorded")):
        gains = {
            (shift, hard): played[world, "learned", shift, hard].gain
            for shift in bench.shifts
            for hard in (True, False)
        }
        bench.figure(f"cost_shift_gain{suffix}", gains[X4, True])
        bench.figure(f"cost_shift_gain_busy_cores{suffix}", gains[BUSY, True])
        bench.figure(f"cost_shift_gain_overrun_cut{suffix}", gains[X4, False])
        bench.figure(f"cost_shift_loss_without_shift{suffix}", gains[NO_SHIFT, True])
        bench.figure(f"cost_shift_loss_without_shift_overrun_cut{suffix}", gains[NO_SHIFT, False])
    bench.tables["setup"] = {
        "robots": robots,
        "tasks": TASKS,
        "price": PRICE,
        "profiles": list(TRAINING_PROFILES),
        "recorded_profile": RECORDED_EVALUATION,
        "busy_cores": dict(busy_table or {}),
    }
    results = make_results(command, seed, bench.figures, bench.tables)
    if json_path is not None:
        write_results(json_path, results)
    say("done", 1.0)
    return results


def _rules(world: str, *file: Path) -> dict[str, OrchestratorPolicy]:
    tuned = tuned_parameters("binding", *file)
    return {family: make_rule(family, **tuned[family]) for family in RULES[world]}
