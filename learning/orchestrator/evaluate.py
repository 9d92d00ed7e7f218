"""`rarrl eval orchestrator`: every policy on the same ALFRED episodes, with paired differences and intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import AlfredPlan
from rarrl.errors import InputError
from rarrl.orchestrator.learned import MODELS, load_learned
from rarrl.orchestrator.registry import tuned_parameters
from rarrl.orchestrator.rules import OrchestratorPolicy, make_rule
from rarrl.results import Figure, make_results, write_results
from rarrl.types import Action
from rarrl_sim_envs.alfred.core import CATEGORIES, AlfredReplayCore, Dynamics, EpisodeBank
from rarrl_sim_envs.alfred.datasets import HELD_OUT_PROFILES, TRAINING_PROFILES, load_plans, load_tables
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler

from .rollout import Clusters, RolloutResult, interval, matched, rollout
from .scenarios import CONDITIONS, every_episode, fixed_episodes, priced

# Prices of thinking that every learned policy is played at: points of success (0 to 1) per mean planner-1 call.
PRICES = (0.0003, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.06, 0.12)
LOSS_ALLOWED = 0.010  # of success against always-think when the operating price is chosen, on held-in plans
SCALES = (0.5, 1.0, 2.0, 4.0)  # factors on every latency in the jitter table; the slope is per doubling
JITTER = 0.5  # sigma of ln(latency) in the jitter table
# Variants of training that lack an input or an action; see `TrainConfig.variant`.
ABLATIONS = ("no_budget", "no_history", "planner_only", "verifier_only")
# Fields of `Episodes` that tables report besides success.
NAMED = ("seconds", "tokens", "calls", "misses")


class Oracle:
    """Peeks at the luck of the next attempt, and makes the cheapest call that prevents its failure, if any does.

    No policy without that knowledge can expect to reach it for the same LLM seconds. It does not save for later
    attempts, so under a binding budget it is not the optimum of those who peek."""

    name = "oracle"

    def peek(self, core: Any) -> None:
        """Called by `rollout` before the first decision."""
        self._core = core

    def act(self, s: Any, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """THINK(verifier, .) before a loss, THINK(planner, .) before a failure, else ACT."""
        luck = self._core.luck()
        probabilities = self._core.failure_probabilities

        lost, wrong = probabilities()
        action = np.zeros(s.n, np.int64)
        for level in (2, 1):
            saved = luck >= probabilities(verifier_level=level)[0]
            action = np.where((luck < lost) & saved, int(Action.VERIFIER_1) + level - 1, action)
            righted = luck <= 1.0 - probabilities(planner_level=level)[1]
            action = np.where((luck > 1.0 - wrong) & righted, int(Action.PLANNER_1) + level - 1, action)

        return np.where(mask[action, np.arange(s.n)], action, 0)


@dataclass(frozen=True)
class EpisodeSet:
    """A fixed set of episodes to play on, per language model."""

    bank: EpisodeBank
    rows: NDArray[np.int64]
    clusters: Clusters
    seed: int
    dynamics: Dynamics | None = None

    @classmethod
    def make(cls, plans: Sequence[AlfredPlan], replicas: int, seed: int) -> EpisodeSet:
        """`replicas`: see `every_episode`."""
        bank = EpisodeBank.from_plans(plans)
        rows = every_episode(bank, replicas)
        return cls(bank, rows, Clusters.make(bank.plan_index[rows], seed=seed), seed)

    def play(
        self, policy: OrchestratorPolicy, profile: str, config: EpisodeConfig, hard: bool = False
    ) -> RolloutResult:
        """All episodes with one policy and one language model."""
        tables = load_tables([profile])
        core = AlfredReplayCore(self.bank, tables, len(self.rows), self.dynamics, hard)
        return rollout(core, fixed_episodes(EpisodeSampler(self.bank, tables, config), self.rows, self.seed), policy)


@dataclass(frozen=True)
class Sweep:
    """One policy over PRICES and profiles. Arrays (prices, profiles, n)."""

    success: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    tokens: NDArray[np.float64]
    calls: NDArray[np.float64]
    misses: NDArray[np.float64]

    def at(self, choice: Sequence[int]) -> dict[str, NDArray[np.float64]]:
        """Per episode, averaged over profiles, with price `choice[profile]`: arrays (n,)."""
        profiles = range(self.success.shape[1])
        return {
            name: np.mean([getattr(self, name)[choice[p], p] for p in profiles], axis=0) for name in ("success", *NAMED)
        }


def sweep(
    episode_set: EpisodeSet,
    policy: OrchestratorPolicy,
    profiles: Sequence[str],
    config: EpisodeConfig,
    prices: Sequence[float] = PRICES,
    hard: bool = False,
) -> Sweep:
    """Plays `policy` at each price and profile. A rule ignores the price: give it one."""
    grid = [[episode_set.play(policy, p, priced(config, price), hard) for p in profiles] for price in prices]
    return Sweep(*(np.array([[getattr(e, name) for e in row] for row in grid]) for name in ("success", *NAMED)))


def pooled(sweeps: Sequence[Sweep], price: int = 0) -> dict[str, NDArray[np.float64]]:
    """Several runs at the price of that index: per episode, averaged over profiles, arrays (runs, n)."""
    runs = [s.at([price] * s.success.shape[1]) for s in sweeps]
    return {name: np.stack([run[name] for run in runs]) for name in ("success", *NAMED)}


def at_no_more_seconds(sweeps: Sequence[Sweep], theirs: Sweep) -> dict[str, NDArray[np.float64]]:
    """Several runs, each at the price that spends no more LLM seconds than `theirs`, profile by profile: (runs, n)."""
    limits = theirs.seconds[0].mean(axis=1)
    runs = [s.at([matched(s.seconds[:, p].mean(axis=1), limit) for p, limit in enumerate(limits)]) for s in sweeps]
    return {name: np.stack([run[name] for run in runs]) for name in ("success", *NAMED)}


def shipped_seeds(folder: Path) -> list[OrchestratorPolicy]:
    """The five training seeds of the shipped policy; the first is the one in use."""
    files = [folder / "policy.safetensors", *sorted(folder.glob("seed*.safetensors"))]
    if not files[0].exists():
        raise InputError(f"models: {folder} holds no policy.safetensors; train one with `rarrl train orchestrator`")
    return [load_learned(file) for file in files if file.exists()]


def variants(folder: Path, name: str) -> list[OrchestratorPolicy]:
    """The trained seeds of an ablation or rival; empty where none is shipped."""
    return [load_learned(file) for file in sorted(folder.glob(f"{name}_seed*.safetensors"))]


def choose_price(policy: OrchestratorPolicy, seed: int, profiles: Sequence[str]) -> float:
    """The dearest price at which the policy loses at most LOSS_ALLOWED of success against always-think.

    Chosen on plans drawn from the shipped statistics of the train split, never on the split that is reported."""
    plans, _ = load_plans(None, None, seed)
    episode_set = EpisodeSet.make(plans[:400], 2, seed + 1)
    config = CONDITIONS["unbound"]
    learned = sweep(episode_set, policy, profiles, config).success.mean(axis=(1, 2))
    always = make_rule("always", **tuned_parameters("unbound")["always"])
    goal = sweep(episode_set, always, profiles, config, PRICES[:1]).success.mean() - LOSS_ALLOWED
    good = [price for price, success in zip(PRICES, learned, strict=True) if success >= goal]

    return max(good) if good else PRICES[0]


@dataclass
class Evaluation:
    """Collects figures and tables while the comparisons run."""

    episode_set: EpisodeSet
    learned: list[OrchestratorPolicy]
    price: float
    figures: dict[str, Figure]
    tables: dict[str, Any]
    conditions: Mapping[str, EpisodeConfig] = field(default_factory=lambda: CONDITIONS)
    rules_file: Path | None = None  # None: the shipped rules
    oracle: Callable[[], OrchestratorPolicy] = Oracle

    def figure(self, name: str, values: NDArray[np.float64], unit: str, scale: float = 1.0) -> None:
        """A mean with its bootstrap interval; `values` (n,) or (training seeds, n)."""
        lo, hi = interval(self.episode_set.clusters.means(values) * scale)
        self.figures[name] = Figure(float(np.mean(values)) * scale, unit, int(np.size(values)), lo, hi)

    def ratio(self, name: str, part: NDArray[np.float64], whole: NDArray[np.float64], sign: int = 1) -> None:
        """1 - mean(part) / mean(whole), the share saved, with its interval; 0 where `whole` is 0.

        `sign` -1: the relative change from `whole` to `part` instead."""
        parts = self.episode_set.clusters.means(part)
        wholes = self.episode_set.clusters.means(whole)
        samples = np.where(wholes > 0.0, 1.0 - parts / np.where(wholes > 0.0, wholes, 1.0), 0.0)
        lo, hi = interval(sign * samples)
        value = 1.0 - float(np.mean(part) / np.mean(whole)) if np.any(whole) else 0.0
        self.figures[name] = Figure(sign * value, "fraction", int(np.size(part)), lo, hi)

    def row(self, e: dict[str, NDArray[np.float64]], **more: Any) -> dict[str, Any]:
        """A table row: means, p95 seconds, success per category."""
        category = self.episode_set.bank.category[self.episode_set.rows]
        success = np.atleast_2d(e["success"])
        lo, hi = interval(self.episode_set.clusters.means(success))
        out: dict[str, Any] = {
            "success": round(float(success.mean()), 4),
            "lo": round(lo, 4),
            "hi": round(hi, 4),
            "llm_seconds": round(float(e["seconds"].mean()), 3),
            "llm_seconds_p95": round(float(np.percentile(e["seconds"], 95)), 3),
            "tokens": round(float(e["tokens"].mean()), 1),
            "calls": round(float(e["calls"].mean()), 3),
            "deadline_misses": round(float(e["misses"].mean()), 4),
        }

        for i, name in enumerate(CATEGORIES):
            rows = category == i  # a data set may lack a category
            out[name] = round(float(success[:, rows].mean()), 4) if rows.any() else None
        return {**out, **more}

    def play(
        self,
        policies: Sequence[OrchestratorPolicy],
        config: EpisodeConfig,
        hard: bool = False,
        dynamics: Dynamics | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """All policies at the operating price on the training profiles; arrays (policies, n)."""
        episode_set = self.episode_set if dynamics is None else replace(self.episode_set, dynamics=dynamics)
        return pooled(
            [sweep(episode_set, policy, TRAINING_PROFILES, config, [self.price], hard) for policy in policies]
        )

    def gain(self, gain: NDArray[np.float64]) -> dict[str, float]:
        """A paired difference of success (seeds, n) as table entries, in points."""
        lo, hi = interval(100.0 * self.episode_set.clusters.means(gain))
        return {
            "gain_points": round(100.0 * float(gain.mean()), 2),
            "gain_lo": round(lo, 2),
            "gain_hi": round(hi, 2),
        }

    def rules(self, condition: str) -> dict[str, OrchestratorPolicy]:
        """Every rule, tuned for `condition`."""
        chosen = () if self.rules_file is None else (self.rules_file,)
        tuned = tuned_parameters(condition, *chosen)
        return {family: make_rule(family, **params) for family, params in tuned.items()}

    def operate(
        self, condition: str, family: str, sweeps: Sequence[Sweep], theirs: Sweep
    ) -> dict[str, NDArray[np.float64]]:
        """The learned policy (runs, n) at the price for the comparison with rule `family`, which played `theirs`."""
        return at_no_more_seconds(sweeps, theirs)

    def compare(self, condition: str, profiles: Sequence[str], hard: bool = False) -> dict[str, Any]:
        """Every rule against the learned policy at no more LLM seconds, profile by profile.

        Returns per rule: its table row, the gain (seeds, n) of the learned policy, and the sweeps used."""
        config = self.conditions[condition]
        sweeps = [sweep(self.episode_set, policy, profiles, config, hard=hard) for policy in self.learned]
        out: dict[str, Any] = {"sweeps": sweeps, "rules": {}}
        for family, rule in {**self.rules(condition), "oracle": self.oracle()}.items():
            s = sweep(self.episode_set, rule, profiles, config, PRICES[:1], hard)
            e = s.at([0] * len(profiles))
            mine = self.operate(condition, family, sweeps, s)
            gain = mine["success"] - e["success"]
            row = self.row(
                e,
                params=getattr(rule, "params", {}),
                learned_success=round(float(mine["success"].mean()), 4),
                learned_llm_seconds=round(float(mine["seconds"].mean()), 3),
                **self.gain(gain),
            )
            out["rules"][family] = {"episodes": e, "gain": gain, "row": row}

        return out

    def best_rule(self, comparison: dict[str, Any]) -> str:
        """The rule against which the learned policy gains least; never (no thinking) ties by definition."""
        rules = comparison["rules"]
        rivals = [name for name in rules if name not in ("never", "oracle")]
        return min(rivals, key=lambda name: float(rules[name]["gain"].mean()))

    def learned_rows(self, comparison: dict[str, Any]) -> list[dict[str, Any]]:
        """The lambda sweep: one row per price, averaged over training seeds."""
        rows = []
        for i, price in enumerate(PRICES):
            runs = pooled(comparison["sweeps"], i)
            spread = float(np.std(runs["success"].mean(axis=1)))
            rows.append(self.row(runs, price=price, success_std_over_seeds=round(spread, 4)))
        return rows

    def table(self, name: str, comparison: dict[str, Any]) -> None:
        """Keeps the rows of a comparison."""
        self.tables[name] = {
            "rules": {family: entry["row"] for family, entry in comparison["rules"].items()},
            "learned_by_price": self.learned_rows(comparison),
        }


def compare_with_always(ev: Evaluation, unbound: dict[str, Any]) -> None:
    """What the policy saves and loses at its price, against always-think."""
    always = unbound["rules"]["always"]["episodes"]
    runs = pooled(unbound["sweeps"], PRICES.index(ev.price))
    ev.ratio("llm_seconds_saved_vs_always", runs["seconds"], always["seconds"])
    ev.ratio("tokens_saved_vs_always", runs["tokens"], always["tokens"])
    ev.figure("success_lost_vs_always", always["success"] - runs["success"], "points", 100.0)


def _shock(ev: Evaluation) -> None:
    """The learned policy and the threshold rule, before and after a shock that neither could foresee."""
    before_and_after = ("comfortable", "shock")
    learned = {c: ev.play(ev.learned, CONDITIONS[c]) for c in before_and_after}
    rows = {f"learned, {c}": ev.row(e) for c, e in learned.items()}
    for tuned_for in before_and_after:
        rule = make_rule("threshold", **tuned_parameters(tuned_for)["threshold"])
        played = {c: ev.play([rule], CONDITIONS[c]) for c in before_and_after}
        rows |= {
            f"threshold tuned for {tuned_for}, {c}": ev.row(e, params=getattr(rule, "params", {}))
            for c, e in played.items()
        }
        gain = learned["shock"]["success"] - played["shock"]["success"]
        suffix = "" if tuned_for == "comfortable" else "_tuned_for_shock"
        ev.figure(f"shock_gain_over_threshold{suffix}", gain, "points", 100.0)
        if not suffix:
            calls = played["shock"]["calls"], played["comfortable"]["calls"]
            ev.ratio("shock_calls_change_threshold", *calls, sign=-1)

    ev.ratio("shock_calls_change", learned["shock"]["calls"], learned["comfortable"]["calls"], sign=-1)
    ev.tables["shock"] = rows


def _ablations(ev: Evaluation, folder: Path) -> None:
    """Each variant was trained without what its name says; it is compared with `full`, trained for as many steps.

    At the same price, under the binding budget."""
    config = CONDITIONS["binding"]
    full = ev.play(variants(folder, "full") or ev.learned, config)
    rows = {"full": ev.row(full)}
    for name in ABLATIONS:
        policies = variants(folder, name)
        if policies:
            e = ev.play(policies, config)
            rows[name] = ev.row(e, training_seeds=len(policies))
            runs = min(len(e["success"]), len(full["success"]))
            ev.figure(f"ablation_{name}", e["success"][:runs] - full["success"][:runs], "points", 100.0)

    ev.tables["ablations"] = rows


def _jitter(ev: Evaluation, rival: str) -> None:
    """Success against the factor on every latency, with lognormal jitter; slope in points per doubling."""
    rule = ev.rules("binding")[rival]
    rows: dict[str, Any] = {}
    means: dict[str, list[NDArray[np.float64]]] = {"learned": [], "best_rule": []}
    for scale in SCALES:
        config = replace(
            CONDITIONS["binding"], latency_scale=(scale, scale), latency_jitter=(JITTER, JITTER), disturbed_share=1.0
        )
        for name, policies in (("learned", ev.learned), ("best_rule", [rule])):
            e = ev.play(policies, config)
            means[name].append(ev.episode_set.clusters.means(e["success"]))
            label = name if name == "learned" else rival
            rows[f"{label}, latency x{scale:g}"] = ev.row(
                e, llm_seconds_p99=round(float(np.percentile(e["seconds"], 99)), 3)
            )

    x = np.log2(SCALES)
    for name, values in means.items():
        slopes = 100.0 * np.polyfit(x, np.stack(values), 1)[0]
        lo, hi = interval(slopes)
        key = f"jitter_slope_{name}"
        ev.figures[key] = Figure(float(slopes.mean()), "points per doubling", len(ev.episode_set.rows), lo, hi)

    ev.tables["jitter"] = rows


def _rivals(ev: Evaluation, folder: Path, comparison: dict[str, Any]) -> None:
    """Learned rivals (DQN, the binary asker) at matched LLM seconds, binding budget."""
    profiles = TRAINING_PROFILES
    config = CONDITIONS["binding"]
    rows = {}
    for name in ("when2ask", "dqn"):
        for policy in variants(folder, name)[:1]:
            theirs = sweep(ev.episode_set, policy, profiles, config, [ev.price])
            e = theirs.at([0] * len(profiles))
            mine = at_no_more_seconds(comparison["sweeps"], theirs)
            rows[name] = ev.row(e, **ev.gain(mine["success"] - e["success"]))

    ev.tables["rivals"] = rows


def _hard(ev: Evaluation, folder: Path) -> None:
    """Hard mode: a call that runs out of the budget ends the task."""
    rows = {}
    contenders: dict[str, Sequence[OrchestratorPolicy]] = {"learned (soft)": ev.learned}
    constrained = variants(folder, "hard")
    if constrained:
        contenders["constrained PPO"] = constrained
    contenders |= {name: [rule] for name, rule in ev.rules("binding").items()}
    for name, policies in contenders.items():
        rows[name] = ev.row(ev.play(policies, CONDITIONS["binding"], hard=True))
    ev.tables["hard"] = rows


def _sensitivity(ev: Evaluation, rival: str) -> None:
    """Other worlds than the one trained in: what if thinking helps less, if failures can be mended, if time is short?

    Binding budget; neither the policy is trained nor the rule tuned for the other world."""
    base = Dynamics()
    rule = ev.rules("binding")[rival]
    worlds = {
        "as trained": base,
        **{f"thinking helps x{f:g}": replace(base, eta=tuple(f * e for e in base.eta)) for f in (0.33, 0.66)},
        **{
            f"irreversible share x{f:g}": replace(base, irreversible=tuple(f * e for e in base.irreversible))
            for f in (0.0, 0.5)
        },
        **{f"{int(100 * h)} % hard scenes": replace(base, hard_scenes=h) for h in (0.2, 0.8)},
        "few attempts allowed": replace(base, slack=1.3),
    }

    rows = {}
    for name, world in worlds.items():
        learned = ev.play(ev.learned, CONDITIONS["binding"], dynamics=world)
        theirs = ev.play([rule], CONDITIONS["binding"], dynamics=world)
        mine_row = ev.row(learned)
        their_row = ev.row(theirs)
        rows[name] = {
            "learned": mine_row["success"],
            "learned_llm_seconds": mine_row["llm_seconds"],
            "best_rule": their_row["success"],
            "best_rule_llm_seconds": their_row["llm_seconds"],
            **ev.gain(learned["success"] - theirs["success"]),
        }

    ev.tables["sensitivity"] = rows


def eval_orchestrator(
    plans: Sequence[AlfredPlan],
    data_hash: str,
    *,
    seed: int = 0,
    replicas: int = 4,
    json_path: Path | None = None,
    picture: Path | None = None,
    command: str = "rarrl eval orchestrator",
    split: str | None = None,
    models: Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Plays the shipped policy (five training seeds), its ablations, every tuned rule and the oracle.

    Success is a mean over episodes; intervals are bootstrapped over plans and training seeds; comparisons are
    paired (same scenes, luck and latencies) and at no more LLM seconds than the rule, profile by profile.
    Returns (and writes to `json_path`) the results document; `picture` gets the Pareto plot.
    Raises: InputError where `models` holds no policy."""
    folder = models or MODELS / "orchestrator"
    learned = shipped_seeds(folder)
    say = progress or (lambda what, share: None)
    say("choosing the price of thinking on held-in plans", 0.0)
    price = choose_price(learned[0], seed, TRAINING_PROFILES)
    ev = Evaluation(EpisodeSet.make(plans, replicas, seed), learned, price, {}, {})
    say("unbound budget", 0.05)
    unbound = ev.compare("unbound", TRAINING_PROFILES)
    ev.table("unbound", unbound)
    compare_with_always(ev, unbound)
    say("binding budget", 0.25)
    binding = ev.compare("binding", TRAINING_PROFILES)
    ev.table("binding", binding)
    best = ev.best_rule(binding)
    ev.figure("gain_over_best_rule", binding["rules"][best]["gain"], "points", 100.0)
    say("held-out profiles", 0.5)
    held_out = ev.compare("binding", HELD_OUT_PROFILES)
    ev.table("held_out_profiles", held_out)
    worst = ev.best_rule(held_out)
    ev.figure("held_out_profile_gain_over_best_rule", held_out["rules"][worst]["gain"], "points", 100.0)
    say("budget shock", 0.65)
    _shock(ev)
    say("ablations", 0.75)
    _ablations(ev, folder)
    say("latency jitter", 0.8)
    _jitter(ev, best)
    say("rivals and hard mode", 0.9)
    _rivals(ev, folder, binding)
    _hard(ev, folder)
    _sensitivity(ev, best)
    ev.tables["setup"] = {
        "split": split,
        "data": data_hash,
        "plans": len(plans),
        "episodes": len(ev.episode_set.rows),
        "training_seeds": len(learned),
        "profiles": list(TRAINING_PROFILES),
        "held_out_profiles": list(HELD_OUT_PROFILES),
        "price": price,
        "best_rule": best,
        "best_rule_held_out": worst,
        "oracle_success_binding": binding["rules"]["oracle"]["row"]["success"],
    }
    results = make_results(command, seed, ev.figures, ev.tables)
    if json_path is not None:
        write_results(json_path, results)
    if picture is not None:
        from .figures import pareto

        pareto(results, picture)

    say("done", 1.0)
    return results
