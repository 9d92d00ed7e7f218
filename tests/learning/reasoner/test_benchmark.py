import json

import pytest

from rarrl.reasoner.process import WorkerSettings
from rarrl_learning.reasoner import benchmark


@pytest.fixture
def settings(model_file):
    return WorkerSettings(model_file)


def test_speed(settings):
    figures, table = benchmark.speed(settings, 1, 0)
    assert figures["tokens_per_s"].n and figures["tokens_per_s"].value > 0.0
    assert 0.0 < figures["ttft_ms"].value < 1e3 * figures["plan_s"].value
    assert {"planner 1", "planner 2"} <= set(table["speed"])


def test_restart(settings):
    figures, table = benchmark.restarts(settings, 2, 0)
    assert len(table["restart_s"]) == figures["restart_s"].n == 2
    assert 0.0 < figures["restart_s"].value < 30.0


@pytest.mark.slow
def test_malformed_files(settings):
    figures, table = benchmark.malformed(settings, 1, 0)
    assert figures["malformed_worker_crashes"].n == sum(table["malformed"].values()) == 6


@pytest.mark.slow
def test_deadlines_under_load(settings, monkeypatch):
    monkeypatch.setattr(benchmark, "DEADLINES_S", (0.2,))
    figures, table = benchmark.deadlines(settings, 1, 0)
    assert figures["deadline_overrun_p99_ms"].n == 5 == table["deadlines"]["0.2 s"]["n"]


def test_false_refusals_of_a_data_set(tmp_path):
    def task(*plan):
        entry = {"task_type": "pick_and_place_simple", "scene": "x", "trial": "t", "plan": plan}
        return json.dumps(entry | {"low_steps": [1] * len(plan)}) + "\n"

    good = task(["GotoLocation", "desk"], ["PickupObject", "pen"], ["PutObject", "pen", "shelf"])
    (tmp_path / "alfred_train.jsonl").write_text(good * 3 + task(["PutObject", "pen", "shelf"]))
    figures, table = benchmark.false_refusal_figures(tmp_path)
    assert figures["false_refusals"].value == 0.25
    assert table["split"] == "train" and "holds nothing" in table["refused"][0]
