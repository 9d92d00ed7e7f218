"""The benchmark: what it measures is what it says, and it can lose."""

import json

import numpy as np
import pytest

from rarrl.llama import ggml
from rarrl.llama.gguf import read_gguf
from rarrl_learning.quantize import benchmark
from rarrl_learning.quantize.methods import quantizer, rounder
from rarrl_learning.quantize.quantize import make_probe

pytest.importorskip("torch")
QUICK = ("Q2_K", "Q3_K", "Q4_K", "Q8_0")


def test_round_to_nearest_by_hand():
    w = np.array([[0.0, 1.0, 2.9, 3.0], [-1.0, -1.0, 1.0, 0.2]], np.float32)
    np.testing.assert_allclose(benchmark.round_to_nearest(w, 2), [[0, 1, 3, 3], [-1, -1, 1, 1 / 3]], rtol=1e-6)
    assert np.array_equal(benchmark.round_to_nearest(np.ones((2, 4), np.float32), 2), np.ones((2, 4)))


def test_rank_correlation_by_hand():
    assert benchmark.rank_correlation([1, 20, 300], [0.1, 0.2, 0.9]) == pytest.approx(1)
    assert benchmark.rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert benchmark.rank_correlation([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)


def test_interval_holds_the_mean_and_widens_with_the_models():
    rng = np.random.default_rng(0)
    alike = [list(1 + 0.01 * rng.standard_normal(3)) for _ in range(3)]
    apart = [[v + gap for v in group] for group, gap in zip(alike, (-0.3, 0, 0.3), strict=True)]
    lo, hi = benchmark.interval(alike, 0)
    wide_lo, wide_hi = benchmark.interval(apart, 0)
    assert lo < np.mean(alike) < hi < lo + 0.05
    assert wide_lo < lo and wide_hi > hi + 0.1


def made_up(ours, uniform):
    """Errors of one draw: every method `uniform`, ours `ours`."""
    errors = {("rtn", b): 1.0 for b in benchmark.ROUNDED_BITS}
    errors |= {(f"uniform {by}", k): uniform for by in benchmark.WEIGHTS for k in ggml.MENU}
    for method in benchmark.COMPARED:
        errors |= {(method, b): ours if method == benchmark.OURS else uniform for b in benchmark.BPW}
        errors |= {(f"bpw of {method}", b): b for b in benchmark.BPW}
        errors[f"rank of {method}", ""] = 0.5
    return errors


def test_the_figures_are_ratios_and_can_be_above_one():
    pytest.importorskip("llama_cpp")
    found = benchmark.summarise([(0, made_up(0.02, 0.01)), (1, made_up(0.01, 0.01)), (1, made_up(0.01, 0.01))], 0)
    for name in ("error_ratio_uniform_2p5", "error_ratio_uniform_3", "error_ratio_flat_3"):
        assert found[name].value == pytest.approx(1.5) and found[name].n == 3  # models weigh alike
        assert (found[name].lo, found[name].hi) == (1, 2)
    assert found["error_ratio_compensated_imatrix"].value == 1


def test_the_best_uniform_type_with_any_importance_is_what_ours_is_held_against():
    pytest.importorskip("llama_cpp")
    errors = made_up(1.0, 1.0)
    errors["uniform plain", "IQ2_S"] = 0.7  # 2.5625
    errors["uniform fisher", "IQ3_XXS"] = 0.1  # 3.0625: not at 2.5
    errors["uniform fisher", "IQ2_XS"] = 0.2  # 2.3125: fewer bits
    errors["uniform compensated", "Q2_K"] = 0.3  # ours
    assert benchmark.uniform_at(errors, 2.5) == 0.7
    assert benchmark.uniform_at(errors, 3.0) == 0.1


@pytest.mark.slow
def test_errors_are_measured_on_frames_that_the_calibration_did_not_see(gguf, calibration, monkeypatch):
    monkeypatch.setattr(ggml, "MENU", QUICK)
    monkeypatch.setattr(benchmark, "PROBED", ("Q3_K",))
    monkeypatch.setattr(benchmark, "BPW", (3.3,))
    errors = benchmark.measure(
        gguf, rounder(quantizer(gguf.values, {}, {}), gguf.shape.linears()), calibration, frames=12, held_out=8, seed=5
    )
    _, others = calibration.split(12, 5)
    judge = make_probe(gguf, others.select(np.arange(8)))
    plain = {n: ggml.rounded("Q3_K", gguf.values(n)) for n in gguf.shape.linears()}
    assert errors["uniform plain", "Q3_K"] == pytest.approx(judge.error(plain), rel=1e-5)
    assert errors["rtn", 8] < errors["rtn", 4] < errors["rtn", 2]
    assert errors["uniform fisher", "Q8_0"] < errors["uniform fisher", "Q4_K"] < errors["uniform fisher", "Q2_K"]
    for method in benchmark.COMPARED:
        assert 2.625 < errors[f"bpw of {method}", 3.3] <= 3.3
        assert errors["uniform plain", "Q4_K"] < errors[method, 3.3] < 2 * errors["uniform plain", "Q2_K"]
    assert errors["rank of compensated", ""] > 0.5  # what is left after compensation orders the tensors on other frames


def test_tables_are_plain_json():
    pytest.importorskip("llama_cpp")
    tables = benchmark._tables([(0, made_up(0.02, 0.01))])
    assert json.loads(json.dumps(tables)) == tables
    assert [point["bpw"] for point in tables["curves"]["tuned"]] == list(benchmark.BPW)
    assert {row["type"] for row in tables["uniform"]} == set(ggml.MENU)


def test_curves_and_types_are_drawn(tmp_path, gguf):
    from rarrl_learning.quantize.figures import draw_curves, draw_types

    draw_curves(tmp_path / "c.png", benchmark._tables([(0, made_up(0.02, 0.01))]))
    draw_types(tmp_path / "t.png", dict.fromkeys(read_gguf(gguf.path).shape.linears(), "Q4_K"), "all alike")
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("c.png", "t.png"))
