"""`rarrl eval skillsets`: the policy without names, on skills that it never saw and on ALFRED."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import AlfredPlan
from rarrl.errors import InputError
from rarrl.orchestrator.learned import MODELS, load_learned
from rarrl.orchestrator.registry import SKILLSET_RULES_FILE
from rarrl.orchestrator.rules import OrchestratorPolicy
from rarrl.results import make_results, write_results
from rarrl.types import Action
from rarrl_sim_envs.alfred.datasets import HELD_OUT_PROFILES, TRAINING_PROFILES, load_tables
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler
from rarrl_sim_envs.random_skills.core import RandomSkillsCore, random_bank
from rarrl_sim_envs.random_skills.ranges import HELD_OUT_SETS, TRAINING_SETS, SkillRanges

from .evaluate import EpisodeSet, Evaluation, Oracle, at_no_more_seconds, shipped_seeds, sweep
from .rollout import Clusters, RolloutResult, rollout
from .scenarios import CONDITIONS, SKILLSET_CONDITIONS, fixed_episodes, with_tokens
from .tune import SKILLSET_CORES

PARTS = ("all", *SKILLSET_CORES, "alfred")
HELD_OUT_SEED = 1_000_003  # of plans and robots that nothing was fitted to; training and tuning begin at 0
# Prices at which the policy is held against another at no more seconds; finer than PRICES, for the difference is small.
FINE_PRICES = tuple(float(p) for p in np.geomspace(0.0005, 0.03, 22))
LEARNED_PRICE = 0.003  # at which `rarrl eval orchestrator` plays the policy that knows names


@dataclass(frozen=True)
class SkillsetEpisodes(EpisodeSet):
    """A fixed set of robots, each with one task."""

    ranges: SkillRanges = TRAINING_SETS
    kind: type[RandomSkillsCore] = RandomSkillsCore

    @classmethod
    def of(cls, ranges: SkillRanges, kind: type[RandomSkillsCore], count: int, seed: int) -> SkillsetEpisodes:
        """`count` robots."""
        rows = np.arange(count)
        bank = random_bank(ranges, count, seed)
        return cls(bank, rows, Clusters.make(rows, seed=seed), seed, None, ranges, kind)

    def play(
        self, policy: OrchestratorPolicy, profile: str, config: EpisodeConfig, hard: bool = False
    ) -> RolloutResult:
        """All robots with one policy and one language model."""
        tables = load_tables([profile])
        core = self.kind(self.bank, tables, len(self.rows), self.ranges, hard)
        return rollout(core, fixed_episodes(EpisodeSampler(self.bank, tables, config), self.rows, self.seed), policy)


class SkillPlanOracle:
    """Knows which plans are right: asks for the cheapest right one, where the plan in force is wrong."""

    name = "oracle"

    def peek(self, core: Any) -> None:
        """Called by `rollout` before the first decision."""
        self._core = core

    def act(self, s: Any, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """THINK(planner, l) for the right plan of the lowest level, else ACT."""
        core, robots = self._core, np.arange(s.n)
        planner = np.where(core.right[1] & mask[Action.PLANNER_1], int(Action.PLANNER_1), int(Action.PLANNER_2))
        helps = ~core.right[core.source, robots] & core.right[planner, robots]
        action = np.where(helps, planner, 0)
        return np.where(mask[action, robots], action, 0)


def nameless_seeds(folder: Path) -> list[OrchestratorPolicy]:
    """The training seeds of the policy without names; the first is the one in use."""
    files = [folder / "nameless.safetensors", *sorted(folder.glob("nameless_seed*.safetensors"))]
    if not files[0].exists():
        if (folder / "policy.safetensors").exists():  # as training leaves it
            policy = load_learned(folder)
            if policy.nameless:
                return [policy]
        raise InputError(
            f"models: {folder} holds no nameless.safetensors; train one with "
            "`rarrl train orchestrator --features nameless`"
        )
    return [load_learned(file) for file in files]


class SkillsetEvaluation(Evaluation):
    """`Evaluation` on robots, which have no categories."""

    def row(self, e: dict[str, NDArray[np.float64]], **more: Any) -> dict[str, Any]:
        """As there, without the categories."""
        categories = ("Navigation", "Inspection", "Delivery")
        return {key: value for key, value in super().row(e, **more).items() if key not in categories}


def eval_skillsets(
    plans: Sequence[AlfredPlan],
    data_hash: str,
    *,
    seed: int = 0,
    robots: int = 4000,
    replicas: int = 4,
    part: str = "all",
    json_path: Path | None = None,
    command: str = "rarrl eval skillsets",
    split: str | None = None,
    models: Path | None = None,
    rules_file: Path = SKILLSET_RULES_FILE,
    profile: str | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Plays the nameless policy on random skill sets that nothing was fitted to, beside every tuned rule, and on
    ALFRED's `plans` beside the policy that knows names.

    Success is a mean over robots, or over episodes; intervals are bootstrapped over robots, or over plans and training
    seeds; comparisons are paired and at no more LLM seconds than the other, profile by profile. Returns (and writes to
    `json_path`) the results document. part: all, or the random skill sets under
    one of SKILLSET_CONDITIONS, or alfred. profile: the language model of the random skill sets; default: two that
    nothing was fitted to.

    Raises: InputError where `models` holds no policy, or for another part."""
    if part not in PARTS:
        raise InputError(f"part {part!r} is unknown; allowed: {', '.join(PARTS)}")
    folder = models or MODELS / "orchestrator"
    nameless = nameless_seeds(folder)
    say = progress or (lambda what, share: None)
    total = Evaluation(EpisodeSet.make(plans, replicas, seed), nameless, 0.0, {}, {})
    best: dict[str, str] = {}

    profiles = [profile] if profile else list(HELD_OUT_PROFILES)
    tables = load_tables(profiles)  # a bad one is refused before anything is played
    conditions = {name: with_tokens(config, tables) for name, config in SKILLSET_CONDITIONS.items()}
    worlds = {"unseen": HELD_OUT_SETS, "new_seeds": TRAINING_SETS}
    for share, (world, ranges) in enumerate(worlds.items()):
        for condition, kind in SKILLSET_CORES.items():
            if part not in ("all", condition):
                continue
            say(f"{world} robots, {condition}", 0.25 * share)
            episode_set = SkillsetEpisodes.of(ranges, kind, robots, HELD_OUT_SEED + seed)
            ev = SkillsetEvaluation(
                episode_set,
                nameless,
                0.0,
                total.figures,
                total.tables,
                conditions,
                rules_file,
                SkillPlanOracle if condition == "answers" else Oracle,
            )
            suffix = "" if condition == "binding" else f"_{condition}"
            best[f"{world}{suffix}"] = _hold(ev, condition, profiles, f"{world}_skills{suffix}")

    if part in ("all", "alfred"):
        say("ALFRED", 0.6)
        _alfred(total, shipped_seeds(folder), nameless)
    total.tables["setup"] = {
        "held_out": "plans of 11 to 16 steps (training: 1 to 10), 9 to 12 skills (2 to 8), makers' word off by "
        "1 to 1.5 logits (0 to 1), hard scenes 70 to 90 % (10 to 70 %), experience 200 to 2000 attempts (1 to 200), "
        "and all seeds" + ("" if profile else "; the language models, too"),
        "profiles": [Path(name).stem for name in profiles],
        "robots": robots,
        "split": split,
        "data": data_hash,
        "plans": len(plans),
        "training_seeds": len(nameless),
        "best_rules": best,
        "price_of_learned": LEARNED_PRICE,
    }
    results = make_results(command, seed, total.figures, total.tables)
    if json_path is not None:
        write_results(json_path, results)
    say("done", 1.0)
    return results


def _hold(ev: Evaluation, condition: str, profiles: Sequence[str], name: str) -> str:
    """Every rule against the policy; the name of the best one."""
    comparison = ev.compare(condition, profiles)
    best = ev.best_rule(comparison)
    ev.figure(f"{name}_gain", comparison["rules"][best]["gain"], "points", 100.0)
    ev.figure(f"{name}_gain_over_never", comparison["rules"]["never"]["gain"], "points", 100.0)
    ev.table(name, comparison)
    return best


def _alfred(ev: Evaluation, learned: Sequence[OrchestratorPolicy], nameless: Sequence[OrchestratorPolicy]) -> None:
    """What the policy loses on ALFRED against the one that knows its names, at no more LLM seconds."""
    rows: dict[str, Any] = {}
    for condition in ("binding", "unbound"):
        config = CONDITIONS[condition]
        theirs = [sweep(ev.episode_set, policy, TRAINING_PROFILES, config, [LEARNED_PRICE]) for policy in learned]
        mine = [sweep(ev.episode_set, policy, TRAINING_PROFILES, config, FINE_PRICES) for policy in nameless]
        known = [s.at([0] * len(TRAINING_PROFILES)) for s in theirs]
        # Each pair of training seeds is matched on its own.
        pairs = [(k, at_no_more_seconds([m], t)) for k, t in zip(known, theirs, strict=True) for m in mine]
        loss = np.stack([k["success"] - m["success"][0] for k, m in pairs])
        suffix = "" if condition == "binding" else f"_{condition}"
        ev.figure(f"alfred_loss_nameless{suffix}", loss, "points", 100.0)
        rows[f"learned, {condition}"] = ev.row({key: np.stack([k[key] for k in known]) for key in known[0]})
        rows[f"nameless, {condition}"] = ev.row(
            {key: np.concatenate([m[key] for _, m in pairs]) for key in pairs[0][1]}
        )
    ev.tables["alfred"] = rows
