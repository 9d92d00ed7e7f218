"""The evaluation of the policy without names: what it compares, on a few robots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rarrl.alfred import SubgoalType as T
from rarrl.errors import InputError
from rarrl.orchestrator.features import N_FEATURES, NAMELESS_FEATURE_NAMES
from rarrl.orchestrator.learned import LearnedPolicy, save_policy
from rarrl_learning.orchestrator import evaluate_skillsets
from rarrl_learning.orchestrator.evaluate_skillsets import SkillsetEpisodes, eval_skillsets, nameless_seeds
from rarrl_sim_envs.random_skills.core import RandomSkillsCore
from rarrl_sim_envs.random_skills.ranges import HELD_OUT_SETS, TRAINING_SETS, SkillRanges


def act_alone(width: int, nameless: bool) -> LearnedPolicy:
    """A policy that never thinks."""
    bias = np.array([1.0, 0.0, 0.0, 0.0, 0.0], np.float32)
    hidden, allowed = np.zeros(width, bool), np.ones(5, bool)
    return LearnedPolicy("never", (np.zeros((5, width), np.float32),), (bias,), hidden, allowed, nameless=nameless)


def test_what_training_leaves_can_be_evaluated(tmp_path: Path, make_plan: Any) -> None:
    save_policy(act_alone(len(NAMELESS_FEATURE_NAMES), True), tmp_path, {})
    assert len(nameless_seeds(tmp_path)) == 1
    with pytest.raises(InputError, match="nowhere"):
        plans = [make_plan([(T.PutObject, 1)])]
        eval_skillsets(plans, "none", part="answers", models=tmp_path, profile="nowhere.json")


def test_held_out_robots_lie_outside_of_those_of_training() -> None:
    apart = [
        name
        for name in SkillRanges.__dataclass_fields__
        if isinstance(now := getattr(TRAINING_SETS, name), tuple)
        and (getattr(HELD_OUT_SETS, name)[0] >= now[1] or getattr(HELD_OUT_SETS, name)[1] <= now[0])
    ]
    assert apart == ["steps", "skills", "spread", "bias", "experience", "hard_scenes"]


def test_a_policy_that_never_thinks_ties_with_the_rule_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_plan: Any
) -> None:
    monkeypatch.setattr(evaluate_skillsets, "TRAINING_PROFILES", ("groq-70b",))
    monkeypatch.setattr(evaluate_skillsets, "FINE_PRICES", (0.001, 0.01))
    with pytest.raises(InputError, match="features nameless"):
        nameless_seeds(tmp_path)
    save_policy(act_alone(len(NAMELESS_FEATURE_NAMES), True), tmp_path, {}, "nameless.safetensors")
    save_policy(act_alone(N_FEATURES, False), tmp_path, {})
    rules = {"always": {"params": {"recipe": "P2V2"}}, "never": {"params": {}}}
    (tmp_path / "rules.json").write_text(json.dumps({"conditions": {"binding": rules, "answers": rules}}))

    results = eval_skillsets(
        [make_plan([(T.GotoLocation, 3), (T.PutObject, 1)])],
        "none",
        robots=20,
        replicas=2,
        models=tmp_path,
        rules_file=tmp_path / "rules.json",
        profile="groq-70b",
        json_path=tmp_path / "out.json",
    )
    figures = results["figures"]
    assert figures["alfred_loss_nameless"]["value"] == figures["unseen_skills_gain_over_never"]["value"] == 0.0
    assert figures["unseen_skills_answers_gain"]["value"] <= 0.0 and figures["unseen_skills_gain"]["n"] == 20
    assert results["tables"]["setup"]["best_rules"]["unseen"] == "always"
    assert results["tables"]["setup"]["profiles"] == ["groq-70b"]
    assert json.loads((tmp_path / "out.json").read_text())["figures"] == figures


def test_episodes_are_the_same_for_everybody() -> None:
    episodes = SkillsetEpisodes.of(TRAINING_SETS, RandomSkillsCore, 30, 5)
    policy = act_alone(len(NAMELESS_FEATURE_NAMES), True)
    config = evaluate_skillsets.SKILLSET_CONDITIONS["binding"]
    one, two = (episodes.play(policy, "groq-70b", config) for _ in range(2))
    assert np.array_equal(one.success, two.success) and one.seconds.sum() == 0.0
