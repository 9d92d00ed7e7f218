import json
from pathlib import Path

import numpy as np
import pytest

from rarrl.orchestrator.registry import load_policy
from rarrl_learning.skills.evaluate import CANDIDATES, eval_skills, sentences, shipped_policies, tuned_rules
from rarrl_learning.spread import crew
from rarrl_sim_envs.pyrobosim.missions import VAGUE_TEST

pytest.importorskip("pyrobosim")


def test_test_sentences_are_no_training_sentences() -> None:
    assert not set(sentences(test=True)) & set(sentences(test=False))
    assert len(sentences(test=True)) == sum(len(said) for goals in VAGUE_TEST.values() for said in goals.values())


def test_every_policy_that_is_shipped_can_be_loaded() -> None:
    policies = shipped_policies()
    assert set(tuned_rules()) == set(CANDIDATES) and {"never", "always", "after_failure", "learned"} <= set(policies)
    assert all(load_policy(spec) is not None for spec in policies.values())


def test_figures_are_of_the_missions(tmp_path: Path) -> None:
    path = tmp_path / "skills.json"
    policies = {"never": "never", "always": 'always:{"recipe": "P1"}', "learned": "never"}

    results = eval_skills(policies, n=2, goals=(1,), variants=("plain", "vague"), json_path=path)

    pooled = results["tables"]["pooled"]
    assert json.loads(path.read_text())["figures"] == results["figures"]
    assert results["tables"]["setup"]["missions"] == 4
    assert pooled["never"]["calls"][0] == 0.0 and pooled["always"]["calls"][0] >= 1.0
    assert results["figures"]["skills_time_vs_replanner"]["value"] == 1.0  # it never thinks: as the re-planner
    assert results["figures"]["skills_llm_saved_vs_always"]["value"] == 1.0
    assert results["tables"]["plain"]["never"]["success"] == [1.0, 1.0, 1.0]
    assert np.isclose(
        pooled["never"]["success"][0],
        np.mean([results["tables"][v]["never"]["success"][0] for v in ("plain", "vague")]),
    )


@pytest.mark.slow
def test_one_seed_of_all() -> None:
    with crew(2, "") as pool:
        results = eval_skills(shipped_policies(), n=1, pool=pool)
    assert results["tables"]["pooled"]["never"]["success"][0] >= 0.6
    assert results["figures"]["skills_success_learned"]["value"] >= 0.6
