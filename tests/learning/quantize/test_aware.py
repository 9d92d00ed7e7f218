"""Quantization-aware tuning brings the actions nearer to the unquantized policy's, and leaves that one alone."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")

from policy_fixtures import tiny_spec

from rarrl.llama import ggml
from rarrl_learning.policy.model import PolicyModel
from rarrl_learning.quantize import aware
from rarrl_learning.quantize.policy_folder import PolicyInputs, PolicyProbe


@pytest.fixture
def probes(monkeypatch):
    import torch

    torch.manual_seed(0)
    monkeypatch.setattr(aware, "STEPS", 40)
    model = PolicyModel(tiny_spec()).eval()
    rng = np.random.default_rng(0)

    def frames(n):
        spec = model.spec
        return PolicyInputs(
            rng.integers(0, 5, (n, spec.max_words)),
            rng.integers(0, 256, (n, 1, spec.image_size, spec.image_size, 3), np.uint8),
            rng.normal(size=(n, 2)).astype(np.float32),
            rng.normal(size=(n, spec.horizon, 2)).astype(np.float32),
            np.arange(n),
        )

    return PolicyProbe(model, frames(64)), PolicyProbe(model, frames(32)), frames(32)


def error_of(probe, types, blocks, floats):
    values = {n: ggml.dequantize(types[n], b, probe.weight(n).shape[1]) for n, b in blocks.items()}
    return probe.error(values | floats)


def test_tuning_lowers_the_error_on_frames_that_neither_tuned_nor_chose(probes):
    teacher, judge, others = probes
    unseen = PolicyProbe(judge.model, others)
    types = {n: "IQ2_XXS" for n in teacher.names() if ggml.fits("IQ2_XXS", teacher.weight(n).shape[1])}
    ones = {n: np.ones_like(teacher.weight(n)) for n in types}
    blocks = {n: ggml.quantize(kind, teacher.weight(n), ones[n]) for n, kind in types.items()}
    before = {n: p.detach().clone() for n, p in teacher.parameters().items()}

    tuned, floats = aware.tune(teacher, judge, types, blocks, {}, ones)
    assert {n: b.shape for n, b in tuned.items()} == {n: b.shape for n, b in blocks.items()}
    assert error_of(unseen, types, tuned, floats) < 0.9 * error_of(unseen, types, blocks, {})
    assert any(name.endswith(".bias") for name in floats)
    for name, p in teacher.parameters().items():
        assert p.equal(before[name]) and not p.requires_grad


def test_what_is_no_better_is_not_taken(probes, monkeypatch):
    teacher, judge, _ = probes
    monkeypatch.setattr(aware, "RATE", 10.0)  # destroys the weights
    monkeypatch.setattr(aware, "FLOAT_RATE", 10.0)
    types = dict.fromkeys(teacher.names(), "Q8_0")
    blocks = {n: ggml.quantize("Q8_0", teacher.weight(n)) for n in types}
    tuned, floats = aware.tune(teacher, judge, types, blocks, {}, {})
    assert all(np.array_equal(tuned[n], blocks[n]) for n in blocks) and floats == {}
