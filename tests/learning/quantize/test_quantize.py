"""From a model and frames to a file that llama.cpp runs, and a report that says what is in it."""

import dataclasses

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.llama.gguf import read_gguf, write_llama
from rarrl_learning.quantize import methods
from rarrl_learning.quantize.quantize import llama_cpp_actions, make_probe, quantize_model, report, write_quantized

pytest.importorskip("torch")
QUICK = ("Q2_K", "Q3_K", "Q4_K", "Q6_K", "Q8_0")


@pytest.fixture(autouse=True)
def quick_types(monkeypatch):
    """Without the types whose tables ggml computes for many seconds."""
    for name in set(methods.METHODS) - {"rtn"}:
        monkeypatch.setitem(methods.METHODS, name, dataclasses.replace(methods.METHODS[name], menu=QUICK))


@pytest.mark.slow
@pytest.mark.parametrize("method", list(methods.METHODS))
def test_every_method_keeps_its_budget_and_runs_in_llama_cpp(tmp_path, gguf, calibration, method):
    bpw = 4.7 if method == "rtn" else 3.3
    used, held_out = calibration.split(12, seed=0)
    quantized = quantize_model(gguf, used, bpw, method)
    path = tmp_path / "small.gguf"
    write_quantized(path, gguf, quantized)
    small = read_gguf(path)
    assert {name: small.tensors[name].type for name in gguf.shape.linears()} == quantized.types
    linears = [small.tensors[name] for name in gguf.shape.linears()]
    real = sum(8 * t.data.nbytes for t in linears) / sum(np.prod(t.shape) for t in linears)
    assert bpw - 0.35 < real <= bpw
    assert small.metadata["rarrl.note"] == ("kept", "STRING")
    same = np.array_equal(small.values("output_norm.weight"), gguf.values("output_norm.weight"))
    assert same == (method not in ("tuned", "aware"))  # these two learn the norms too
    found = report(gguf, path, quantized, held_out)
    assert found["bpw_linears"] == pytest.approx(real)
    assert found["bytes"] == path.stat().st_size
    assert found["bpw_file"] > found["bpw_blocks"] > found["bpw_linears"]
    # llama.cpp rounds its inputs to 8 bits too; the error of the weights is the larger part here.
    assert found["action_error_llama_cpp"] == pytest.approx(found["action_error"], rel=0.3)
    assert 0 < max(found["action_error_of_layer"]) < 2 * found["action_error"]
    assert [row["tensor"] for row in found["tensors"]] == list(gguf.shape.linears())


def test_llama_cpp_computes_the_actions_of_the_probe(gguf, calibration):
    found = llama_cpp_actions(gguf.path, calibration)
    assert np.abs(found - make_probe(gguf, calibration).reference).max() < 1e-2


@pytest.mark.slow
def test_importance_and_scores_lower_the_action_error(tmp_path, gguf, calibration):
    """On the frames themselves: a gain that even a random network must show."""
    errors = {}
    for method in ("plain", "flat", "compensated", "tuned"):
        quantized = quantize_model(gguf, calibration, 3.3, method)
        write_quantized(tmp_path / method, gguf, quantized)
        small = read_gguf(tmp_path / method)
        errors[method] = make_probe(gguf, calibration).error(
            {n: small.values(n) for n in (*quantized.types, *quantized.norms)}
        )
    assert errors["tuned"] < 0.95 * errors["compensated"]
    assert errors["compensated"] < 0.9 * errors["flat"] and errors["compensated"] < 0.9 * errors["plain"]


def test_without_frames_only_the_methods_that_need_none(gguf):
    assert quantize_model(gguf, None, 4.0, "plain").norms == {}
    for method in ("tuned", "imatrix"):
        with pytest.raises(InputError, match=f"{method}: needs calibration frames"):
            quantize_model(gguf, None, 4.0, method)


def test_what_cannot_be_quantized_is_said(tmp_path, gguf, calibration):
    with pytest.raises(InputError, match=r"bpw: 2 is too few, the least here is 2.625"):
        quantize_model(gguf, None, 2.0, "plain")
    with pytest.raises(InputError, match=r"bpw: 4 is too few, the least here is 4.5"):
        quantize_model(gguf, None, 4.0, "rtn")
    with pytest.raises(InputError, match="'awq' is not one of aware, tuned, compensated"):
        quantize_model(gguf, calibration, 4.0, "awq")
    write_quantized(tmp_path / "q.gguf", gguf, quantize_model(gguf, None, 4.0, "plain"))
    with pytest.raises(InputError, match="already; quantize the F16 or F32 model"):
        quantize_model(read_gguf(tmp_path / "q.gguf"), None, 4.0, "plain")


def ones(gguf, path, dtype=np.float32, **changes):
    """A model of another shape, all weights alike."""
    shape = dataclasses.replace(gguf.shape, **changes)
    write_llama(path, shape, {n: np.full(s, 0.5, dtype) for n, s in shape.tensors().items()})
    return read_gguf(path)


def test_rows_that_fit_few_types_get_one_of_those(tmp_path, gguf):
    odd = ones(gguf, tmp_path / "m.gguf", ffn=352)
    types = quantize_model(odd, None, 6.0, "plain").types
    assert types["blk.0.ffn_down.weight"] == "Q8_0" and types["blk.0.ffn_up.weight"] != "Q8_0"
    with pytest.raises(InputError, match=r"rows of blk.0.ffn_down.weight fit no type"):
        quantize_model(ones(gguf, tmp_path / "n.gguf", ffn=400), None, 6.0, "plain")


def test_a_real_vocabulary_is_quantized_too(tmp_path, gguf):
    large = ones(gguf, tmp_path / "m.gguf", np.float16, vocab=512)
    write_quantized(tmp_path / "q.gguf", large, quantize_model(large, None, 4.0, "plain"))
    small = read_gguf(tmp_path / "q.gguf")
    assert small.tensors["token_embd.weight"].type == "Q6_K"
    assert np.abs(small.values("token_embd.weight") - 0.5).max() < 0.01
