"""Types from bits and scores alone, by hand; and the methods' table."""

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.llama import ggml
from rarrl_learning.quantize.methods import METHODS, mean_bits, options, plan, quantizer, type_costs

SHAPES = {"blk.0.attn_q.weight": (256, 256), "blk.0.ffn_down.weight": (64, 32)}


def test_narrow_rows_can_only_have_types_with_blocks_of_32():
    choices = options(SHAPES, ggml.MENU)
    assert choices["blk.0.attn_q.weight"] == list(ggml.MENU)
    assert {ggml.block_size(kind) for kind in choices["blk.0.ffn_down.weight"]} == {32}


def test_costs_are_the_rounding_noise_of_the_bits():
    bits = ggml.bits_per_weight("Q8_0")
    assert type_costs({"a": ["Q8_0"]}, None) == {"a": {"Q8_0": 2**-bits}}
    assert type_costs({"a": ["Q8_0"], "b": ["Q8_0"]}, {"a": 3.0, "b": -1.0}) == {
        "a": {"Q8_0": 3.0 * 4**-bits},
        "b": {"Q8_0": 0.0},  # a negative sensitivity counts as none
    }


def test_a_plan_stays_within_its_bits_and_spends_them():
    choices = options(SHAPES, ggml.MENU)
    costs = type_costs(choices, None)
    found = [mean_bits(plan(METHODS["flat"], costs, SHAPES, bpw), SHAPES) for bpw in (3.0, 4.0, 6.0)]
    assert found == sorted(found) and all(real <= bpw for real, bpw in zip(found, (3.0, 4.0, 6.0), strict=True))
    with pytest.raises(InputError, match="too few"):
        plan(METHODS["flat"], costs, SHAPES, 1.0)


def test_without_importance_weights_are_rounded_by_ggml_alone():
    weights = np.random.default_rng(0).standard_normal((4, 64), np.float32)
    blocks = quantizer(lambda name: weights, {}, {})
    assert np.array_equal(blocks("any", "Q8_0"), ggml.quantize("Q8_0", weights))


def test_methods_that_need_no_calibration_say_so():
    assert {name for name, method in METHODS.items() if not (method.importance or method.score)} == {"plain", "rtn"}
