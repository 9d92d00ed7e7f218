"""Tuning of the rules: it finds what is best, repeats itself, and writes what the registry reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rarrl.alfred import SubgoalType as T
from rarrl.orchestrator import registry
from rarrl.orchestrator.registry import load_policy, tuned_parameters
from rarrl.orchestrator.rules import grid, make_rule, plain_families
from rarrl_learning.orchestrator import tune
from rarrl_learning.orchestrator.scenarios import CONDITIONS
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.episodes import EpisodeConfig


@pytest.fixture
def plans(make_plan: Any) -> list[Any]:
    return [make_plan([(T.GotoLocation, n), (T.SliceObject, 1), (T.PutObject, 1)]) for n in (3, 12)]


def test_it_finds_the_best_of_the_grid(plans: Any, make_table: Any) -> None:
    bank, tables = EpisodeBank.from_plans(plans), [make_table()]
    rich = EpisodeConfig(time_budget_s=1e3, token_budget=1e6)
    best = tune.tune_family("always", bank, rich, tables, 300_000, seed=0)
    assert best["params"] == {"recipe": "P2V2"} and best["tried"] == 6  # most thinking wins where it is free
    never = tune.tune_family("never", bank, rich, tables, 50_000, seed=0)
    assert never["success"] < best["success"] - 0.2 and never["llm_seconds"] == 0.0 and best["llm_seconds"] > 5.0


def test_ties_go_to_the_cheaper_rule(plans: Any, make_table: Any) -> None:
    bank, deaf = EpisodeBank.from_plans(plans), [make_table(ok=False)]  # no call ever helps
    best = tune.tune_family("boundary", bank, EpisodeConfig(time_budget_s=1e3, token_budget=1e6), deaf, 10_000, seed=0)
    assert best["params"]["recipe"] in ("P1", "V1")


def test_steps_buy_episodes(plans: Any, make_table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[int] = []
    real = tune.rollout

    def spy(core: Any, episodes: Any, rule: Any) -> Any:
        played.append(core.n)
        return real(AlfredReplayCore(core.bank, core.tables, 50), episodes.take(np.arange(50)), rule)

    monkeypatch.setattr(tune, "rollout", spy)
    bank = EpisodeBank.from_plans(plans)
    steps = 12_000_000
    tune.tune_family("interval", bank, CONDITIONS["binding"], [make_table()], steps, seed=0)
    assert len(grid("interval")) == 42 and len(played) == 42 + 10 + 2
    assert sum(played) * tune.STEPS_PER_EPISODE <= steps * 1.05
    assert played[0] < played[42] <= played[52] <= tune.MAX_EPISODES


def test_all_rules_under_all_conditions(plans: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "TRAINING_PROFILES", ("groq-70b",))
    monkeypatch.setattr(tune, "grid", lambda family: grid(family)[:2])
    shares: list[float] = []
    out = tmp_path / "rules.json"
    document = tune.tune_rules(plans, "abc", 2000, 0, out, progress=lambda what, share: shares.append(share))
    assert json.loads(out.read_text()) == document
    assert set(document["conditions"]) == set(CONDITIONS)
    assert (document["data"], document["steps_per_family"], document["profiles"]) == ("abc", 2000, ["groq-70b"])
    assert shares == sorted(shares) and len(shares) == len(CONDITIONS) * len(plain_families()) and shares[-1] < 1
    again = tune.tune_rules(plans, "abc", 2000, 0, tmp_path / "again.json")
    assert again["conditions"] == document["conditions"]
    monkeypatch.setattr(registry, "RULES_FILE", out)
    for condition in CONDITIONS:
        for family, params in tuned_parameters(condition).items():
            make_rule(family, **params)
    assert load_policy("brace").params == document["conditions"]["binding"]["brace"]["params"]  # type: ignore[attr-defined]
