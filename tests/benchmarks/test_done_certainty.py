"""benchmarks/done_certainty.py can lose: what it counts, by hand-made trials."""

import importlib.util
import sys
from pathlib import Path

import pytest

from rarrl.executive.certainty import SURE, DoneSignals, shipped_weights
from rarrl.strict_json import read_json
from rarrl_learning.executive.done_trials import Trial
from rarrl_learning.executive.fit_certainty import fingerprint

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "benchmarks" / "done_certainty.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("done_certainty_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def pick(done, holding=None, ratio=1.0):
    return Trial("pyrobosim", 0, "pick", DoneSignals(seconds=ratio, expected_s=1.0, holding=holding), done)


def test_who_believes_all_is_wrong_as_often_as_the_robot_lies(benchmark):
    row = benchmark.counted([pick(True)] * 8 + [pick(False)] * 2, benchmark.Fixed(benchmark.believe))
    assert (row["false_success"], row["coverage"], row["look_s_per_step"]) == (0.2, 1.0, 0.0)


def test_who_is_never_sure_looks_at_everything(benchmark):
    row = benchmark.counted([pick(True)] * 4, benchmark.Fixed(lambda _: 0.5))
    assert (row["done"], row["coverage"], row["look_s_per_step"]) == (0, 0.0, 2.0)


def test_who_gives_up_what_was_done_is_found_out(benchmark):
    row = benchmark.counted([pick(True)] * 3 + [pick(False)], benchmark.Fixed(lambda _: 0.0))
    assert (row["not_done"], row["needless"], row["coverage"]) == (4, 0.75, 1.0)


def test_a_hand_that_is_empty_contradicts(benchmark):
    assert benchmark.agree(pick(True, holding=True)) == 1.0
    assert benchmark.agree(pick(True, holding=False)) < SURE


def test_times_are_tuned_on_what_they_tell(benchmark):
    trials = [pick(True)] * 90 + [pick(False, ratio=4.0)] * 10
    factor = benchmark.tuned_time(trials)
    assert 1.0 < factor < 4.0
    assert benchmark.counted(trials, benchmark.Fixed(benchmark.in_time(factor)))["false_success"] == 0.0


def test_ours_learns_from_what_it_looks_at(benchmark):
    judge = benchmark.Ours({})
    first = judge(pick(True))
    judge.learn(pick(False))
    assert judge(pick(True)) < first


def test_reliability_finds_a_judge_who_boasts(benchmark):
    _, honest = benchmark.reliability([(0.5, pick(True)), (0.5, pick(False))])
    _, boasting = benchmark.reliability([(0.99, pick(True)), (0.99, pick(False))])
    assert honest == 0.0
    assert boasting == pytest.approx(0.49)


def test_the_figures_are_of_the_weights_that_are_shipped():
    results = read_json(ROOT / "benchmarks" / "results" / "done_certainty.json", "results")
    assert results["tables"]["weights_sha256"] == fingerprint(shipped_weights())
    for robot in ("pyrobosim", "household"):
        assert results["figures"][f"done_false_success_{robot}"]["value"] <= 0.05
        assert results["figures"][f"done_coverage_{robot}"]["value"] >= 0.9
