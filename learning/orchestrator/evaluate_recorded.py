"""`rarrl eval orchestrator --profile recorded`: every policy on recorded answers to held-out goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.errors import InputError
from rarrl.latency.profile import LatencyProfile, load_profile
from rarrl.orchestrator.learned import MODELS, load_learned
from rarrl.orchestrator.registry import RECORDED_RULES_FILE
from rarrl.orchestrator.rules import OrchestratorPolicy
from rarrl.results import make_results, write_results
from rarrl.types import THINK_ACTIONS, Action
from rarrl_sim_envs.alfred.datasets import RECORDED_TRAINING, load_recordings
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeConfig, EpisodeSampler
from rarrl_sim_envs.alfred.recorded_core import NEVER, RecordedCore, Recordings

from .evaluate import (
    LOSS_ALLOWED,
    NAMED,
    PRICES,
    EpisodeSet,
    Evaluation,
    Sweep,
    compare_with_always,
    pooled,
    sweep,
    variants,
)
from .rollout import Clusters, RolloutResult, rollout
from .scenarios import fixed_episodes, recorded_conditions


class PlanOracle:
    """Knows which plans are right: asks once, for the cheapest right plan, and only where the default is wrong.

    No policy without that knowledge can expect more success for the same LLM seconds, if it keeps within the budget."""

    name = "oracle"

    def peek(self, core: Any) -> None:
        """Called by `rollout` before the first decision."""
        self._core = core

    def act(self, s: Any, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """THINK(planner, l) for the right plan of the lowest level, else ACT."""
        core = self._core
        rows = np.arange(s.n)
        right = core.recordings.wrong_at[core.row] == NEVER
        wrong_now = ~right[rows, core.source]
        planner = np.where(right[:, 1] & mask[1], int(Action.PLANNER_1), int(Action.PLANNER_2))
        action = np.where(wrong_now & right[rows, planner], planner, 0)
        return np.where(mask[action, rows], action, 0)


@dataclass(frozen=True)
class RecordedEpisodeSet(EpisodeSet):
    """A fixed set of episodes on `recordings`; a profile's name is taken for granted."""

    recordings: Recordings | None = None

    @classmethod
    def of(cls, recordings: Recordings, replicas: int, seed: int) -> RecordedEpisodeSet:
        """Each task `replicas` times, each with its own luck, budget and price. Intervals are over ALFRED's plans."""
        rows = np.tile(np.arange(len(recordings.bank)), replicas)
        return cls(recordings.bank, rows, Clusters.make(recordings.trial[rows], seed=seed), seed, None, recordings)

    def play(
        self, policy: OrchestratorPolicy, profile: str, config: EpisodeConfig, hard: bool = False
    ) -> RolloutResult:
        """All episodes with one policy."""
        assert self.recordings is not None
        core = RecordedCore(self.recordings, len(self.rows), self.dynamics, hard)
        sampler = EpisodeSampler(self.bank, [self.recordings.table], config)
        return rollout(core, fixed_episodes(sampler, self.rows, self.seed), policy)


def recorded_seeds(folder: Path) -> list[OrchestratorPolicy]:
    """The training seeds of the policy for recorded answers; the first is the one in use."""
    files = [folder / "recorded.safetensors", *sorted(folder.glob("recorded_seed*.safetensors"))]
    if not files[0].exists():
        raise InputError(
            f"models: {folder} holds no recorded.safetensors; "
            "train one with `rarrl train orchestrator --profile recorded`"
        )

    return [load_learned(file) for file in files if file.exists()]


@dataclass
class PriceSelection:
    """The same comparison on the recordings that were trained on: prices are chosen there, never where they are judged.

    learned: a sweep per training seed. rules: one per rule, of one price."""

    learned: list[Sweep]
    rules: dict[str, Sweep]

    @classmethod
    def of(cls, ev: Evaluation, episode_set: RecordedEpisodeSet, condition: str) -> PriceSelection:
        """Plays everything of `ev` on `episode_set`."""
        assert episode_set.recordings is not None
        config = recorded_conditions(episode_set.recordings.table)[condition]
        rules = {**ev.rules(condition), "oracle": ev.oracle()}
        return cls(
            [sweep(episode_set, policy, [""], config) for policy in ev.learned],
            {family: sweep(episode_set, rule, [""], config, PRICES[:1]) for family, rule in rules.items()},
        )

    def price_against(self, run: int, family: str) -> int:
        """Index of the price at which training seed `run` did best with no more LLM seconds than rule `family`.

        Prices within 0.1 points of the best count as equal; of those the one with the fewest seconds is taken."""
        seconds, success = (getattr(self.learned[run], name).mean(axis=(1, 2)) for name in ("seconds", "success"))
        fits = np.flatnonzero(seconds <= self.rules[family].seconds.mean())
        if not len(fits):
            return int(seconds.argmin())

        good = fits[success[fits] >= success[fits].max() - 0.001]
        return int(good[seconds[good].argmin()])

    def dearest_price(self) -> float:
        """The dearest price at which the policy in use loses at most LOSS_ALLOWED of success against always-think.

        None dearer than it was trained with: beyond, what it does is chance."""
        goal = self.rules["always"].success.mean() - LOSS_ALLOWED
        success = self.learned[0].success.mean(axis=(1, 2))
        trained = TRAINING.call_price[1]
        good = [price for price, reached in zip(PRICES, success, strict=True) if reached >= goal and price <= trained]
        return max(good) if good else PRICES[0]


@dataclass
class RecordedEvaluation(Evaluation):
    """`Evaluation` whose operating prices come from a selection; one per condition."""

    price_selections: dict[str, PriceSelection] = field(default_factory=dict)

    def operate(
        self, condition: str, family: str, sweeps: Sequence[Sweep], theirs: Sweep
    ) -> dict[str, NDArray[np.float64]]:
        """At the price that did best in the selection with no more LLM seconds than the rule there: (runs, n)."""
        selection = self.price_selections[condition]
        runs = [s.at([selection.price_against(run, family)]) for run, s in enumerate(sweeps)]
        return {name: np.stack([run[name] for run in runs]) for name in ("success", *NAMED)}


def eval_recorded(
    profile: str,
    *,
    training_profile: str = RECORDED_TRAINING,
    seed: int = 0,
    replicas: int = 12,
    json_path: Path | None = None,
    command: str = "rarrl eval orchestrator --profile recorded",
    models: Path | None = None,
    rules_file: Path = RECORDED_RULES_FILE,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Plays the policy (its training seeds), its ablation, every tuned rule and the oracle on recorded answers.

    As `eval_orchestrator`: means over episodes, intervals bootstrapped over plans and training seeds, comparisons
    paired. The price at which the policy is held against a rule is the one that did best with no more LLM seconds than
    the rule on the recordings of training. Returns (and writes to `json_path`) the results document.
    Raises: InputError where `models` holds no policy, or the profile no answers."""
    folder = models or MODELS / "orchestrator"
    learned = recorded_seeds(folder)
    say = progress or (lambda what, share: None)
    recordings = load_recordings(profile)
    document = load_profile(profile)
    episode_set = RecordedEpisodeSet.of(recordings, replicas, seed)
    conditions = recorded_conditions(recordings.table)

    ev = RecordedEvaluation(episode_set, learned, 0.0, {}, {}, conditions, rules_file, PlanOracle)
    selection_set = RecordedEpisodeSet.of(load_recordings(training_profile), replicas, seed + 1)
    for share, condition in enumerate(conditions):
        say(f"choosing prices on the recordings of training, {condition} budget", 0.2 * share)
        ev.price_selections[condition] = PriceSelection.of(ev, selection_set, condition)
    price = ev.price = ev.price_selections["unbound"].dearest_price()
    say("unbound budget", 0.4)
    unbound = ev.compare("unbound", [profile])
    ev.table("unbound", unbound)
    compare_with_always(ev, unbound)
    runs = pooled(unbound["sweeps"], PRICES.index(price))
    start = unbound["rules"]["start"]["episodes"]
    ev.ratio("llm_seconds_saved_vs_start", runs["seconds"], start["seconds"])
    ev.figure("success_lost_vs_start", start["success"] - runs["success"], "points", 100.0)
    say("binding budget", 0.7)
    binding = ev.compare("binding", [profile])
    ev.table("binding", binding)

    best = {}
    for suffix, comparison in (("", binding), ("_unbound", unbound)):
        best[suffix] = ev.best_rule(comparison)
        ev.figure(f"gain_over_best_rule{suffix}", comparison["rules"][best[suffix]]["gain"], "points", 100.0)
        ev.figure(f"gain_over_confidence_rule{suffix}", comparison["rules"]["confidence"]["gain"], "points", 100.0)

    say("without the features of the plan", 0.9)
    _without_plan(ev, folder, profile)
    ev.tables["answers"] = _answers(document)
    ev.tables["setup"] = {
        "profile": document.name,
        "measured": document.header.measured,
        "model": document.header.model,
        "tasks": len(recordings.bank),
        "plans": int(recordings.trial.max()) + 1,
        "episodes": len(episode_set.rows),
        "training_seeds": len(learned),
        "training_profile": load_profile(training_profile).name,
        "price": price,
        "best_rule": best[""],
        "best_rule_unbound": best["_unbound"],
        "budget_s": {
            name: [round(calls * float(recordings.table.costs.mean_s[0]), 4) for calls in config.budget_calls]
            for name, config in conditions.items()
        },
        "mean_s": dict(
            zip((a.name for a in THINK_ACTIONS), np.round(recordings.table.costs.mean_s, 5).tolist(), strict=True)
        ),
    }
    results = make_results(command, seed, ev.figures, ev.tables)
    if json_path is not None:
        write_results(json_path, results)
    say("done", 1.0)
    return results


def _without_plan(ev: Evaluation, folder: Path, profile: str) -> None:
    """What knowing the plan's confidence, verdict and source is worth: a policy trained without, at the same price."""
    blind = variants(folder, "recorded_no_plan")
    if not blind:
        return

    config = ev.conditions["binding"]
    full, bare = (
        pooled([sweep(ev.episode_set, policy, [profile], config, [ev.price]) for policy in policies])
        for policies in (ev.learned, blind)
    )
    ev.tables["ablations"] = {"full": ev.row(full), "no_plan": ev.row(bare, training_seeds=len(blind))}
    runs = min(len(full["success"]), len(bare["success"]))
    ev.figure("ablation_no_plan", bare["success"][:runs] - full["success"][:runs], "points", 100.0)


def _answers(profile: LatencyProfile) -> dict[str, Any]:
    """How often each kind of answer is right, and the default plan."""
    from ..latency.jobs import profile_rows

    assert profile.tasks is not None
    rows = {f"{row.role} {row.level}": {"right": row.right, "mean_s": row.mean_s} for row in profile_rows(profile)}
    rows = {name: {key: round(float(value or 0.0), 5) for key, value in row.items()} for name, row in rows.items()}
    defaults = [task.default_correct for task in profile.tasks]
    return {"default plan": {"right": round(sum(defaults) / len(defaults), 5), "mean_s": 0.0}, **rows}
