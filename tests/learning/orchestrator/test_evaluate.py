"""`rarrl eval orchestrator`: its arithmetic by hand, and a small run that gives every figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rarrl.alfred import SubgoalType as T
from rarrl.errors import InputError
from rarrl.orchestrator.features import N_FEATURES
from rarrl.orchestrator.learned import LearnedPolicy, save_policy
from rarrl.orchestrator.registry import RULES_FILE, SHIPPED
from rarrl.orchestrator.rules import grid, make_rule, plain_families
from rarrl_learning.orchestrator import evaluate
from rarrl_learning.orchestrator.evaluate import (
    ABLATIONS,
    PRICES,
    EpisodeSet,
    Evaluation,
    Oracle,
    Sweep,
    eval_orchestrator,
    shipped_seeds,
    sweep,
)
from rarrl_learning.orchestrator.rollout import rollout
from rarrl_learning.orchestrator.scenarios import CONDITIONS
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler, seeds

FIGURES = {
    "llm_seconds_saved_vs_always",
    "tokens_saved_vs_always",
    "success_lost_vs_always",
    "gain_over_best_rule",
    "shock_gain_over_threshold",
    "shock_calls_change",
    "ablation_no_budget",
    "ablation_no_history",
    "ablation_planner_only",
    "ablation_verifier_only",
    "jitter_slope_learned",
    "jitter_slope_best_rule",
    "held_out_profile_gain_over_best_rule",
}


@pytest.fixture(scope="module")
def plans(make_plan: Any) -> list[Any]:
    tail = [(T.PickupObject, 1), (T.GotoLocation, 5), (T.PutObject, 2)]
    return [make_plan([(T.GotoLocation, n), *tail]) for n in (3, 9, 12, 20)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, plans: Any) -> None:
    """Two language models, few plans, rules not tuned."""
    monkeypatch.setattr(evaluate, "TRAINING_PROFILES", ("groq-70b", "gpt4o-mini-anchor"))
    monkeypatch.setattr(evaluate, "HELD_OUT_PROFILES", ("fireworks-70b",))
    monkeypatch.setattr(evaluate, "load_plans", lambda *a: (plans, "hash"))
    monkeypatch.setattr(evaluate, "tuned_parameters", lambda condition: {f: grid(f)[-1] for f in plain_families()})


def thrifty(seed: int, name: str = "learned") -> LearnedPolicy:
    """A policy that thinks less the dearer it is: the last feature columns hold the price."""
    from rarrl.orchestrator.features import FEATURE_NAMES

    weight = np.zeros((5, N_FEATURES), np.float32)
    weight[4, FEATURE_NAMES.index("price.VERIFIER_2")] = -1.0 - 0.1 * seed
    weight[4, FEATURE_NAMES.index("verifier_in_force")] = -5.0
    bias = np.array([0.0, -9.0, -9.0, -9.0, 0.1], np.float32)
    return LearnedPolicy(name, (weight,), (bias,), np.zeros(N_FEATURES, bool), np.ones(5, bool))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    save_policy(thrifty(0), folder, {})
    save_policy(thrifty(1), folder, {}, "seed1.safetensors")
    for name in (*ABLATIONS, "when2ask", "dqn", "hard"):
        save_policy(thrifty(2, name), folder, {}, f"{name}_seed0.safetensors")
    return folder


def inside(figure: dict[str, Any]) -> bool:
    return figure["lo"] <= figure["value"] <= figure["hi"]


def test_every_figure_and_table(small: None, plans: Any, models: Path, tmp_path: Path) -> None:
    said: list[float] = []
    results = eval_orchestrator(
        plans,
        "hash",
        replicas=6,
        json_path=tmp_path / "f.json",
        picture=tmp_path / "pareto.png",
        split="valid_seen",
        models=models,
        progress=lambda what, share: said.append(share),
    )
    assert json.loads((tmp_path / "f.json").read_text()) == results
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert said == sorted(said) and said[-1] == 1.0
    figures, tables = results["figures"], results["tables"]
    assert set(figures) >= FIGURES
    assert all(np.isfinite(f["value"]) and inside(f) for f in figures.values()), figures
    # The figures are what the tables say.
    setup, unbound, binding = tables["setup"], tables["unbound"], tables["binding"]
    learned = next(row for row in unbound["learned_by_price"] if row["price"] == setup["price"])
    always = unbound["rules"]["always"]
    saved = 1 - learned["llm_seconds"] / always["llm_seconds"]
    assert figures["llm_seconds_saved_vs_always"]["value"] == pytest.approx(saved, abs=1e-3)
    assert figures["tokens_saved_vs_always"]["value"] == pytest.approx(
        1 - learned["tokens"] / always["tokens"], abs=1e-3
    )
    lost = 100 * (always["success"] - learned["success"])
    assert figures["success_lost_vs_always"]["value"] == pytest.approx(lost, abs=0.02)
    rivals = {k: v["gain_points"] for k, v in binding["rules"].items() if k not in ("never", "oracle")}
    assert figures["gain_over_best_rule"]["value"] == pytest.approx(min(rivals.values()), abs=0.01)
    assert rivals[setup["best_rule"]] == min(rivals.values())
    shock = tables["shock"]
    change = shock["learned, shock"]["calls"] / shock["learned, comfortable"]["calls"] - 1
    assert figures["shock_calls_change"]["value"] == pytest.approx(change, abs=1e-3)
    gain = 100 * (shock["learned, shock"]["success"] - shock["threshold tuned for comfortable, shock"]["success"])
    assert figures["shock_gain_over_threshold"]["value"] == pytest.approx(gain, abs=0.02)
    assert (setup["split"], setup["training_seeds"], setup["plans"]) == ("valid_seen", 2, len(plans))
    assert set(unbound["rules"]) == {*plain_families(), "oracle"}
    assert [row["price"] for row in binding["learned_by_price"]] == list(PRICES)
    assert set(tables["ablations"]) == {"full", *ABLATIONS} and set(tables["rivals"]) == {"when2ask", "dqn"}
    assert {"learned (soft)", "constrained PPO", "never"} <= set(tables["hard"])
    assert {"llm_seconds_p95", "deadline_misses", "Navigation", "Delivery"} <= set(always)
    assert always["Inspection"] is None  # these plans hold none
    assert tables["hard"]["never"]["deadline_misses"] == 0 == unbound["rules"]["never"]["llm_seconds"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures(small: None, plans: Any, models: Path) -> None:
    runs = [eval_orchestrator(plans, "hash", replicas=1, seed=s, models=models)["figures"] for s in (0, 0, 1)]
    assert runs[0] == runs[1] and runs[0] != runs[2]


def test_without_ablations_their_figures_are_left_out(small: None, plans: Any, tmp_path: Path) -> None:
    save_policy(thrifty(0), tmp_path, {})
    results = eval_orchestrator(plans, "hash", replicas=1, models=tmp_path)
    assert set(results["tables"]["ablations"]) == {"full"} and results["tables"]["rivals"] == {}
    assert {name for name in FIGURES if not name.startswith("ablation")} <= set(results["figures"])


def test_models_without_a_policy_are_one_clear_line(small: None, plans: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no policy\.safetensors; train one"):
        eval_orchestrator(plans, "hash", models=tmp_path)
    assert [p.name for p in _seeds(tmp_path)] == ["learned", "learned"]


def _seeds(folder: Path) -> list[Any]:
    save_policy(thrifty(0), folder, {})
    save_policy(thrifty(1), folder, {}, "seed3.safetensors")
    save_policy(thrifty(1, "no_budget"), folder, {}, "no_budget_seed0.safetensors")
    return shipped_seeds(folder)


@pytest.mark.slow
def test_the_shipped_models_give_every_figure(plans: Any) -> None:
    if not (SHIPPED / "policy.safetensors").exists() or not RULES_FILE.exists():
        pytest.skip("rarrl/models/orchestrator holds no policy.safetensors or no rules.json in this tree")
    results = eval_orchestrator(plans, "hash", replicas=1)
    missing = FIGURES - set(results["figures"])
    if missing and all(name.startswith("ablation") for name in missing):
        pytest.skip(f"ablations not shipped in this tree: {', '.join(sorted(missing))}")
    assert not missing


# --- its parts, by hand ---


def test_a_sweep_is_averaged_over_profiles_at_each_profile_s_own_price() -> None:
    grid_ = np.arange(3 * 2 * 4, dtype=float).reshape(3, 2, 4)
    s = Sweep(*(grid_ + k for k in range(5)))
    at = s.at([2, 0])
    assert at["success"].tolist() == ((grid_[2, 0] + grid_[0, 1]) / 2).tolist()
    assert at["misses"].tolist() == ((grid_[2, 0] + grid_[0, 1]) / 2 + 4).tolist()


def test_a_sweep_shares_its_luck_between_policies_and_prices(plans: Any) -> None:
    episode_set = EpisodeSet.make(plans, 3, seed=0)
    a, b = (
        sweep(episode_set, make_rule("never"), ["groq-70b"], CONDITIONS["binding"], prices)
        for prices in (PRICES[:2], PRICES[-1:])
    )
    assert np.array_equal(a.success[0], a.success[1]) and np.array_equal(a.success[0], b.success[0])
    assert not a.seconds.any() and a.success.shape == (2, 1, len(episode_set.rows))


def test_figures_and_ratios_by_hand(plans: Any) -> None:
    episode_set = EpisodeSet.make(plans, 5, seed=0)
    ev, n = Evaluation(episode_set, [], 0.01, {}, {}), len(episode_set.rows)
    part, whole = np.full(n, 3.0), np.full(n, 4.0)
    ev.ratio("saved", part, whole)
    ev.figure("points", np.full((2, n), 0.25), "points", 100.0)
    assert vars(ev.figures["saved"]) == {"value": 0.25, "unit": "fraction", "n": n, "lo": 0.25, "hi": 0.25}
    assert vars(ev.figures["points"]) == {"value": 25.0, "unit": "points", "n": 2 * n, "lo": 25.0, "hi": 25.0}
    rules = {
        name: {"gain": np.full((1, n), g)} for name, g in (("never", -1.0), ("a", 0.2), ("b", 0.1), ("oracle", -2.0))
    }
    assert ev.best_rule({"rules": rules}) == "b"


@pytest.mark.parametrize(
    ("learned", "expected"), [([0.9, 0.9, 0.895, 0.8], 2), ([0.9, 0.7, 0.895, 0.8], 2), ([0.5] * 4, 0)]
)
def test_the_dearest_price_that_loses_little_is_chosen(
    monkeypatch: pytest.MonkeyPatch, plans: Any, learned: list[float], expected: int
) -> None:
    monkeypatch.setattr(evaluate, "PRICES", PRICES[:4])
    monkeypatch.setattr(evaluate, "load_plans", lambda *a: (plans, "hash"))
    monkeypatch.setattr(evaluate, "tuned_parameters", lambda condition: {"always": {}})

    def fake(episode_set: Any, policy: Any, *rest: Any) -> Sweep:
        values = [0.9] if policy.name == "always" else learned
        success = np.array(values)[:, None, None] * np.ones((1, 1, 5))
        return Sweep(*(success for _ in range(5)))

    monkeypatch.setattr(evaluate, "sweep", fake)
    assert evaluate.choose_price(make_rule("never"), 0, ["groq-70b"]) == PRICES[expected]


def test_the_oracle_reaches_what_always_thinking_reaches_with_few_calls(plans: Any, make_table: Any) -> None:
    bank, table, n = EpisodeBank.from_plans(plans), make_table(), 2000
    rich = EpisodeConfig(time_budget_s=1e4, token_budget=1e7)
    params = EpisodeSampler(bank, [table], rich).draw(seeds(0, n))
    oracle, always, never = (
        rollout(AlfredReplayCore(bank, [table], n), params, p)
        for p in (Oracle(), make_rule("always", recipe="P2V2"), make_rule("never"))
    )
    assert np.array_equal(oracle.success, always.success)  # the same luck, and every failure that thinking prevents
    assert oracle.seconds.sum() < 0.2 * always.seconds.sum()
    assert never.success.mean() < oracle.success.mean() - 0.1
    assert not oracle.calls[never.success & (never.acts == oracle.acts)].any()  # no call where none was needed
