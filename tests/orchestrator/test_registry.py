"""Names of policies: what they mean, and what is said where they mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.orchestrator import registry
from rarrl.orchestrator.features import N_FEATURES
from rarrl.orchestrator.learned import LearnedPolicy, save_policy
from rarrl.orchestrator.registry import RULES_FILE, SHIPPED, Fitted, load_policy, tuned_parameters
from rarrl.orchestrator.rules import RULES, make_rule, plain_families, recorded_families, skill_families


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder of our own: a policy and tuned rules."""
    policy = LearnedPolicy(
        "learned",
        (np.zeros((5, N_FEATURES), np.float32),),
        (np.zeros(5, np.float32),),
        np.zeros(N_FEATURES, bool),
        np.ones(5, bool),
    )
    save_policy(policy, tmp_path, {})
    table = {c: {"interval": {"params": {"every": n, "recipe": "V2"}}} for c, n in (("binding", 4), ("unbound", 1))}
    (tmp_path / "rules.json").write_text(json.dumps({"conditions": table}))
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    monkeypatch.setattr(registry, "RULES_FILE", tmp_path / "rules.json")
    return tmp_path


def test_names(shipped: Path) -> None:
    assert load_policy("learned").name == "learned"
    assert load_policy(str(shipped)).name == "learned"
    assert load_policy(str(shipped / "policy.safetensors")).name == "learned"
    rule = load_policy("interval")
    assert (rule.name, rule.params) == ("interval", {"every": 4, "recipe": "V2"})  # type: ignore[attr-defined]
    assert load_policy("threshold").params == make_rule("threshold").params  # type: ignore[attr-defined]
    rule = load_policy('brace:{"failures": 3, "recipe": "P2V2"}')
    assert rule.params["failures"] == 3 and rule.params["window"] == 3  # type: ignore[attr-defined]


def test_tuned_parameters(shipped: Path) -> None:
    assert tuned_parameters("unbound") == {"interval": {"every": 1, "recipe": "V2"}}
    with pytest.raises(InputError, match="no condition 'stormy'; allowed: binding, unbound"):
        tuned_parameters("stormy")
    (shipped / "rules.json").unlink()
    with pytest.raises(InputError, match="does not exist"):
        load_policy("interval")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("leanred", "did you mean 'learned'?"),
        ("after_failur", "did you mean 'after_failure'?"),
        ("LEARNED", "did you mean 'learned'?"),
        ('interva:{"rate":0.5}', "is unknown; allowed"),
        ('interva:{"rate":0.5}', "did you mean 'interval'?"),
        ("xyz", "allowed: learned, never, always"),
        ("", "is unknown"),
        ("learned:{}", "is unknown"),
        ("interval:{", "not JSON"),
        ("interval:every=3", "not JSON"),
        ("interval:[1]", "must be a JSON object"),
        ("interval:null", "must be a JSON object"),
        ('interval:{"often": 3}', "often"),
        ('interval:{"every": "x"}', "every"),
        ('interval:{"every": NaN}', "every"),
        ('interval:{"recipe": "P7"}', "P7"),
        ("nowhere/policy.safetensors", "does not exist"),
        ("policy.zip", "may hold a pickle"),
        ("a" * 1000, "is unknown"),
        ("a\0b", "is unknown"),
        ("a/\0b", "cannot be read"),
    ],
)
def test_bad_names_are_one_clear_line(shipped: Path, spec: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_policy(spec)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_shipped_models_serve_every_name() -> None:
    if not RULES_FILE.exists() or not (SHIPPED / "policy.safetensors").exists():
        pytest.skip("no tuned rules or no policy in this tree: rarrl/models/orchestrator")
    assert load_policy("learned").name == "learned"
    for condition in ("unbound", "binding", "comfortable", "shock"):
        untuned = set(plain_families()) - set(tuned_parameters(condition))
        assert set(tuned_parameters(condition)) <= set(plain_families())
        assert not [family for family in untuned if RULES[family].axes], "rarrl tune rules"
        for family, params in tuned_parameters(condition).items():
            make_rule(family, **params)


def test_what_was_learnt_and_tuned_in_homes_has_a_name() -> None:
    policy = load_policy("household")
    assert policy.name == "learned" and len(policy.hidden) > N_FEATURES  # type: ignore[attr-defined]
    tuned = tuned_parameters("mission", registry.HOUSEHOLD_RULES_FILE)
    rule = load_policy("after_failure", Fitted.HOUSEHOLD)
    assert rule.params == tuned["after_failure"]  # type: ignore[attr-defined]


def test_what_knows_no_names_is_taken_for_any_robots_skills() -> None:
    policy = load_policy("nameless")
    assert policy.name == "nameless" and policy.nameless  # type: ignore[attr-defined]
    assert load_policy("learned", Fitted.SKILLS).name == "nameless"
    tuned = {c: tuned_parameters(c, registry.SKILLSET_RULES_FILE) for c in ("binding", "answers")}
    shipped = {"never", "always", "risk_share"}  # a rule that somebody adds is not tuned yet
    assert shipped <= set(tuned["binding"]) <= set(skill_families())
    assert set(tuned["answers"]) <= set(recorded_families())
    for fitted in (Fitted.LATENCIES, Fitted.SKILLS):
        assert load_policy("risk_share", fitted).params == tuned["binding"]["risk_share"]  # type: ignore[attr-defined]
    rule = load_policy("interval", Fitted.SKILLS)
    assert rule.params == tuned["answers"]["interval"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("fitted", Fitted)
@pytest.mark.parametrize("family", RULES)
def test_every_rule_has_shipped_parameters_whatever_it_is_for(family: str, fitted: Fitted) -> None:
    assert load_policy(family, fitted).name == family
