"""`rarrl eval skills`: what thinking adds to a robot that is not ours, over the re-planner that costs nothing.

pyrobosim's missions, in process and in exact simulated seconds, played by the executive under each policy. All of them
re-plan for free from what the robot believes; they differ in when they ask the language model, whose answers are
recorded. Nothing is fitted to a test seed or to a sentence that only test missions use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import astuple
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.orchestrator.registry import load_policy
from rarrl.results import Figure, make_results, write_results
from rarrl.skills.nearest import NearestExample
from rarrl.skills.plan import Plan
from rarrl.strict_json import read_json
from rarrl_sim_envs.pyrobosim.missions import (
    GOALS,
    NAMED,
    TEST_SEEDS,
    TRAIN_SEEDS,
    VAGUE_TEST,
    VAGUE_TRAIN,
    VARIANTS,
    Goal,
    mission,
)

from ..progress import done_on_each
from ..trials import CallCosts, Terms, Trial
from .recorded_answers import LEVELS, RecordedAnswers
from .trials import costs_of, domain, task_of

ANSWERS = Path(__file__).parent / "smollm2_answers.json"
"""SmolLM2-135M-Instruct, Q4_1, in llama.cpp: recorded by `record_sentences`."""
RULES = ANSWERS.with_name("rules.json")
"""What `tune` found."""
WEIGHTS = ANSWERS.with_name("policy.safetensors")
"""What `rarrl_learning.skills.train` fitted."""
WHERE_THINKING_HELPS = ("hidden", "vague")
TOLD = "told"
"""A variant of the evaluation: `hidden`, and world.yaml says where things usually are."""
DRAWS = 2000
"""Bootstrap draws of the intervals."""
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "always": [{"recipe": "P1"}, {"recipe": "P2"}],
    "after_failure": [{"failures": 1, "recipe": r} for r in ("P1", "P2")],
    "start": [{"recipe": "P1"}, {"recipe": "P2"}],
    "interval": [{"every": 12, "recipe": r} for r in ("P1", "P2")],
    "threshold": [{"theta": 0.3, "recipe": r} for r in ("P1", "P2")],
    "brace": [{"failures": 1, "cooldown": 4, "window": 6, "recipe": r} for r in ("P1", "P2")],
    "confidence": [
        {"default": d, "theta": 0.0, "verify": 0, "first": f, "failures": 9}
        for d in (0.5, 0.65, 0.8, 0.97)
        for f in (1, 2)
    ],
}
"""Rule -> the parameters that tuning tries. The verifier's verdict changes nothing that the executive does, so that
recipes with it are left out, and the rules that are about it (`risk_table`, `risk_share`)."""
COLUMNS = ("success", "seconds", "skills", "llm_s", "tokens", "calls")


def sentences(test: bool) -> list[str]:
    """All sentences of the missions, those of test missions alone where `test`."""
    vague = VAGUE_TEST if test else VAGUE_TRAIN
    named = [] if test else [sentence for sentence, _ in NAMED.values()]
    return [*named, *(each for goals in vague.values() for said in goals.values() for each in said)]


def spec_of(family: str, params: Mapping[str, Any]) -> str:
    """A rule with its parameters, as `load_policy` reads it: policies go to other processes by name."""
    return f"{family}:{json.dumps(params)}" if params else family


_policy = lru_cache(maxsize=200)(load_policy)


def play_all(policies: Sequence[str], task: tuple[int, str, int]) -> list[tuple[float, ...]]:
    """One mission (goal, variant, seed) under each policy: COLUMNS of each."""
    answers = RecordedAnswers(ANSWERS)
    number, variant, seed = task
    played_as = "hidden" if variant == TOLD else variant
    trial = Trial(task_of(mission(number, played_as, seed), told=variant == TOLD))
    terms = Terms(answers, train_costs(answers))
    return [tuple(map(float, astuple(trial.play(_policy(policy), terms)))) for policy in policies]


def train_costs(answers: RecordedAnswers) -> CallCosts:
    """What calls cost on the sentences of training missions."""
    known = set(sentences(test=False))
    return costs_of([each for each in answers.entries.values() if each.goal in known])


def played(
    policies: Sequence[str],
    tasks: Sequence[tuple[int, str, int]],
    pool: Executor | None,
    say: Callable[[str, float], None],
) -> NDArray[np.float64]:
    """(policies, missions, COLUMNS)."""
    rows = done_on_each(partial(play_all, policies), tasks, pool, say, "missions")
    return np.array(rows).swapaxes(0, 1)


def tasks_of(seeds: Iterable[int], goals: Sequence[int] = GOALS, variants: Sequence[str] = VARIANTS) -> list[Any]:
    """(goal, variant, seed) of every goal and variant."""
    seeds = list(seeds)
    return [(number, variant, seed) for variant in variants for number in goals for seed in seeds]


def tune(n: int, pool: Executor | None, say: Callable[[str, float], None]) -> dict[str, dict[str, Any]]:
    """The best parameters of every rule, on `n` training seeds: by mission success, ties by mission seconds."""
    flat = [(family, params) for family, grid in CANDIDATES.items() for params in grid]
    results = played([spec_of(family, params) for family, params in flat], tasks_of(TRAIN_SEEDS[:n]), pool, say)
    best: dict[str, dict[str, Any]] = {}
    for (family, params), result in zip(flat, results, strict=True):
        success, seconds, _, llm_s, *_ = result.mean(axis=0)
        entry: dict[str, Any] = {
            "params": params,
            "success": round(float(success), 4),
            "seconds": round(float(seconds), 2),
            "llm_seconds": round(float(llm_s), 3),
            "tried": len(CANDIDATES[family]),
        }
        old = best.get(family)
        if old is None or (entry["success"], -entry["seconds"]) > (old["success"], -old["seconds"]):
            best[family] = entry
    return best


def eval_skills(
    policies: Mapping[str, str],
    *,
    n: int = 30,
    goals: Sequence[int] = GOALS,
    variants: Sequence[str] = (*VARIANTS, TOLD),
    pool: Executor | None = None,
    seed: int = 0,
    json_path: Path | None = None,
    command: str = "rarrl eval skills",
    tuned: Mapping[str, Any] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Plays `n` test seeds of every goal and variant under each policy; `never` and `always` must be among them.

    `learned`, where it is among them, is held against the best of all others by success. Missions are paired; intervals
    are bootstrapped over missions of each goal and variant. `tuned`: what the rules were tuned to, for the document."""
    say = progress or (lambda what, share: None)
    tasks = tasks_of(TEST_SEEDS[:n], goals, variants)
    names = list(policies)
    results = dict(zip(names, played(list(policies.values()), tasks, pool, say), strict=True))
    draws = _draws(len(tasks), n, seed)
    of_variant = {v: np.array([task[1] == v for task in tasks]) for v in variants}

    tables: dict[str, Any] = {"pooled": {name: _row(result, draws) for name, result in results.items()}}
    for variant, rows in of_variant.items():
        tables[variant] = {name: _row(result[rows], draws[:, rows]) for name, result in results.items()}
    tables["against_never"] = {
        name: {
            "success": _interval((result - results["never"])[:, 0], draws),
            "seconds": _interval((result - results["never"])[:, 1], draws),
        }
        for name, result in results.items()
        if name != "never"
    }
    tables["answers"] = {"train": answers_right(test=False), "test": answers_right(test=True)}
    tables["setup"] = {
        "model": RecordedAnswers(ANSWERS).model,
        "missions": len(tasks),
        "seeds": n,
        "tuned": dict(tuned or {}),
        "call_seconds": {
            a: round(float(s), 2)
            for a, s in zip(("P1", "P2"), train_costs(RecordedAnswers(ANSWERS)).mean_s, strict=False)
        },
    }

    figures: dict[str, Figure] = {}
    if "learned" in results:
        learned, never, always = results["learned"], results["never"], results["always"]
        others = [name for name in names if name != "learned"]
        best = max(others, key=lambda name: (results[name][:, 0].mean(), -results[name][:, 1].mean()))
        tables["setup"]["best_other"] = best
        helped = np.isin([task[1] for task in tasks], WHERE_THINKING_HELPS)
        figures["skills_success_learned"] = _figure(learned[:, 0], draws, "1")
        figures["skills_success_best_other"] = _figure(results[best][:, 0], draws, "1")
        figures["skills_success_gain_over_best"] = _figure(learned[:, 0] - results[best][:, 0], draws, "1")
        figures["skills_success_gain_over_never"] = _figure(learned[:, 0] - never[:, 0], draws, "1")
        figures["skills_llm_saved_vs_always"] = _ratio(learned[:, 3], always[:, 3], draws, saved=True)
        if helped.any():
            figures["skills_time_vs_replanner"] = _ratio(learned[helped, 1], never[helped, 1], draws[:, helped])
    results_document = make_results(command, seed, figures, tables)
    if json_path is not None:
        write_results(json_path, results_document)
    return results_document


def tuned_rules() -> dict[str, Any]:
    """The parameters of every rule, as `tune` found them."""
    return dict(read_json(RULES, "tuned rules")["rules"])


def shipped_policies() -> dict[str, str]:
    """never, the tuned rules, and the fitted policy: what `load_policy` reads."""
    rules = {family: spec_of(family, entry["params"]) for family, entry in tuned_rules().items()}
    return {"never": "never", **rules, "learned": str(WEIGHTS)}


def reaches(plan: Plan | None, goal: Goal) -> bool:
    """Whether a plan, carried out, leaves things as the goal wants them; more than that it may do."""
    if plan is None:
        return False
    placed = [step.arguments for step in plan.steps if step.skill == "place"]
    shut = {step.arguments[0] for step in plan.steps if step.skill == "close"}
    return set(goal.shut) <= shut and all(
        sum(thing in end.things and place == end.place for thing, place in placed) >= end.count for end in goal.ends
    )


def answers_right(test: bool) -> dict[str, Any]:
    """Share of the vague sentences whose plan is right: the nearest example's, and the model's of each level."""
    answers = RecordedAnswers(ANSWERS)
    nearest = NearestExample(domain())
    said = VAGUE_TEST if test else VAGUE_TRAIN
    rows = [(each, goal) for goals in said.values() for goal, sayings in goals.items() for each in sayings]
    found: dict[str, Any] = {"sentences": len(rows)}
    found["nearest"] = float(np.mean([reaches(nearest.recall(each).plan, goal) for each, goal in rows]))
    for level in LEVELS:
        plans = [answers.entries[each, level].plan for each, _ in rows]
        right = [reaches(Plan.from_rows(p) if p else None, goal) for p, (_, goal) in zip(plans, rows, strict=True)]
        found[f"planner_{level}"] = float(np.mean(right))
    return found


def _draws(missions: int, n: int, seed: int) -> NDArray[np.float64]:
    """(DRAWS, missions): how often each mission is in each draw, drawn within its goal and variant."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [rng.multinomial(n, np.full(n, 1.0 / n), size=DRAWS) for _ in range(missions // n)], axis=1
    ).astype(np.float64)


def _interval(values: NDArray[np.float64], draws: NDArray[np.float64]) -> list[float]:
    means = draws @ values / draws.sum(axis=1)
    return [round(float(x), 4) for x in (values.mean(), *np.percentile(means, [2.5, 97.5]))]


def _figure(values: NDArray[np.float64], draws: NDArray[np.float64], unit: str) -> Figure:
    value, lo, hi = _interval(values, draws)
    return Figure(value, unit, len(values), lo, hi)


def _ratio(
    above: NDArray[np.float64], below: NDArray[np.float64], draws: NDArray[np.float64], saved: bool = False
) -> Figure:
    """The ratio of two sums; with `saved`, what is missing to 1."""
    ratios = (draws @ above) / np.maximum(draws @ below, 1e-9)
    value = above.sum() / max(below.sum(), 1e-9)
    if saved:
        value, ratios = 1.0 - value, 1.0 - ratios
    lo, hi = np.percentile(ratios, [2.5, 97.5])
    return Figure(round(float(value), 4), "1", len(above), round(float(lo), 4), round(float(hi), 4))


def _row(result: NDArray[np.float64], draws: NDArray[np.float64]) -> dict[str, Any]:
    """COLUMNS, each with its interval."""
    return {name: _interval(result[:, column], draws) for column, name in enumerate(COLUMNS)}
