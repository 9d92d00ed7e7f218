"""The settings of `rarrl demo`: the policies side by side, and what is drawn where packages are missing."""

import json

from rarrl.errors import DependencyMissingError
from rarrl_nodes import demo


def test_the_demo_compares_the_two_ends_the_best_rule_and_a_learned_policy():
    policies = demo.demo_policies()
    assert (policies[:2], policies[3]) == (["never", "always"], "learned")
    assert demo.demo_policies("expert")[3] == "recorded"


def test_the_best_rule_is_the_one_with_the_highest_success_and_neither_end(tmp_path):
    rows = {"never": 0.9, "always": 0.8, "risk_table": 0.5, "after_failure": 0.6}
    table = {"conditions": {demo.CONDITION: {name: {"success": value} for name, value in rows.items()}}}
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(table))
    assert demo.best_rule(file) == "after_failure"
    assert demo.demo_policies()[2] == demo.best_rule()


def test_the_budget_of_a_real_reasoner_buys_the_same_number_of_its_dearest_calls():
    config = demo.demo_config(episodes=3, seed=9, llm="expert")
    assert (config.replay.episodes, config.replay.seed, config.replay.speed) == (3, 9, demo.SPEED)
    assert (config.orchestrator.reasoner, config.orchestrator.profile) == ("expert", demo.HOUSEHOLD)
    again = demo.demo_config(episodes=3, seed=10, llm="expert")
    assert again.orchestrator == config.orchestrator  # the seed does not change the setting
    assert demo.demo_config(1, 0).orchestrator.reasoner == "profile"


def test_a_scene_whose_package_is_missing_is_left_out_and_named(monkeypatch):
    def missing(seed):
        raise DependencyMissingError("mujoco is missing")

    monkeypatch.setattr(demo, "_simulated", missing)
    monkeypatch.setattr(demo, "_real", missing)
    scenes, notes = demo.perception_scenes(seed=1)
    assert [scene.name for scene in scenes] == ["rendered room"]
    assert notes == ["left out: mujoco is missing"] * 2
    assert scenes[0].pair.left.shape[:2] == demo.DEMO_SIZE[::-1]


def test_no_more_scenes_than_asked_for(monkeypatch):
    for name in ("_simulated", "_real", "_rendered"):
        monkeypatch.setattr(demo, name, lambda seed: seed)
    assert demo.perception_scenes(seed=4, most=2) == ([4, 4], [])
