"""ggml's quantizer through ctypes: the bits it says, less error where it matters, no input that ends the process."""

import subprocess
import sys

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.llama import ggml

gguf = pytest.importorskip("gguf")
pytest.importorskip("llama_cpp")
QUICK = ("Q2_K", "Q3_K", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0")


def matrix(rows=8, columns=512, seed=0):
    return 0.05 * np.random.default_rng(seed).standard_normal((rows, columns), np.float32)


# ggml builds a table of seconds for each of these on first use.
SLOW = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S")


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in ggml.TYPES])
def test_sizes_and_values_are_those_of_the_format(kind):
    w = matrix()
    blocks = ggml.quantize(kind, w, np.ones(512))
    assert blocks.shape[0] == 8 and 8 * blocks.size / w.size == ggml.bits_per_weight(kind)
    read = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[kind])  # another implementation of the format
    np.testing.assert_allclose(ggml.dequantize(kind, blocks, 512), read, rtol=1e-5, atol=1e-7)
    assert 0 < np.abs(read - w).mean() < 0.05


def test_the_menu_rises_in_bits():
    bits = [ggml.bits_per_weight(kind) for kind in ggml.MENU]
    assert bits == sorted(bits) and bits[0] == 1.5625 and bits[-1] == 8.5


@pytest.mark.parametrize("kind", ["Q2_K", "Q4_K", "IQ4_XS"])
def test_error_goes_where_the_importance_is_not(kind):
    w = matrix()
    importance = np.exp(2 * np.random.default_rng(1).standard_normal(w.shape)).astype(np.float32)

    def weighted(by):
        return (importance * (ggml.rounded(kind, w, by) - w) ** 2).sum()

    per_weight, per_column, none = weighted(importance), weighted(importance.mean(0)), weighted(None)
    assert per_weight < 0.75 * per_column and per_weight < 0.75 * none


def test_importance_of_columns_is_the_same_as_that_importance_in_every_row():
    w, columns = matrix(), np.random.default_rng(1).random(512).astype(np.float32)
    rows = np.tile(columns, (8, 1))
    for kind in QUICK:
        assert np.array_equal(ggml.quantize(kind, w, columns), ggml.quantize(kind, w, rows)), kind


def test_only_ratios_of_the_importance_count():
    w, importance = matrix(), np.random.default_rng(1).random((8, 512))
    assert np.array_equal(ggml.quantize("Q4_K", w, importance), ggml.quantize("Q4_K", w, 1024 * importance))


def test_what_ggml_would_not_survive_is_an_error():
    w = matrix()
    for bad in (np.nan, np.inf, 1e6):
        spoiled = w.copy()
        spoiled[2, 3] = bad
        with pytest.raises(InputError, match="finite and at most 30000"):
            ggml.quantize("Q4_K", spoiled)
    for bad in (np.nan, -1.0, np.inf):
        importance = np.ones(512, np.float32)
        importance[5] = bad
        with pytest.raises(InputError, match="importance must be finite"):
            ggml.quantize("Q4_K", w, importance)
    with pytest.raises(ValueError, match="multiple of 256, got 288"):
        ggml.quantize("Q4_K", matrix(columns=288))
    with pytest.raises(ValueError, match="importance must be"):
        ggml.quantize("Q4_K", w, np.ones(8))
    assert ggml.quantize("Q8_0", matrix(columns=288)).shape == (8, 306)


@pytest.mark.slow
def test_no_weights_and_no_importance_end_the_process():
    code = """
import numpy as np
from rarrl.llama import ggml
rng = np.random.default_rng(0)
normal = rng.standard_normal((4, 512)).astype(np.float32)
spike = np.zeros((4, 512), np.float32); spike[:, 7] = 3e4
rows = [normal, 0 * normal, spike, np.ones_like(normal), -np.abs(normal), 1e-38 * normal, 1e-44 * normal, 7e3 * normal,
        np.where(rng.random(normal.shape) < 0.01, 2e4, 1e-6).astype(np.float32), np.full_like(normal, -3e4)]
importances = [None, 0 * normal, spike, np.abs(normal) * 1e-30, np.abs(normal) * 1e30, np.eye(4, 512, dtype=np.float32)]
for kind in ggml.TYPES:
    for w in rows:
        for importance in importances:
            assert np.isfinite(ggml.rounded(kind, np.clip(w, -3e4, 3e4), importance)).all(), kind
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr[-1000:])
