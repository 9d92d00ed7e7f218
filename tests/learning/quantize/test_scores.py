"""Scores and importances: held against plain recomputations."""

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.llama import ggml
from rarrl_learning.quantize.methods import quantizer, rounder

torch = pytest.importorskip("torch")
from rarrl_learning.quantize import scores  # noqa: E402
from rarrl_learning.torch_llama import Llama, block_mask  # noqa: E402


@pytest.fixture
def probe(gguf, calibration):
    return scores.Probe(gguf, calibration)


def plain_actions(gguf, calibration, changed=None):
    """All frames through the whole model, nothing kept."""
    model = Llama.from_gguf(gguf)
    for name, values in (changed or {}).items():
        model.linears()[name].weight.data = torch.from_numpy(values)
    (w0, b0), (w1, b1) = ((torch.from_numpy(w), torch.from_numpy(b)) for w, b in calibration.head.weights)
    with torch.no_grad():
        hidden = model(torch.from_numpy(calibration.inputs), block_mask(calibration.blocks))[:, -4:]
        hidden = hidden.reshape(-1, 2, 512)  # two tokens to a row of the chunk
        return (torch.nn.functional.gelu(hidden @ w0.T + b0) @ w1.T + b1).numpy()


def test_actions_with_replaced_weights_are_those_of_a_model_with_these_weights(gguf, calibration, probe):
    np.testing.assert_allclose(probe.reference, plain_actions(gguf, calibration), atol=1e-5)
    for names in (["blk.0.attn_v.weight"], ["blk.1.ffn_down.weight"], ["blk.0.ffn_up.weight", "blk.1.attn_q.weight"]):
        changed = {name: gguf.values(name) * 0.5 for name in names}
        expected = plain_actions(gguf, calibration, changed)
        np.testing.assert_allclose(probe.actions(changed), expected, atol=1e-5)
        assert probe.error(changed) == pytest.approx(np.abs(expected - probe.reference).mean(), rel=1e-3)
        assert probe.error(changed) > 1e-3
    np.testing.assert_array_equal(probe.actions({}), probe.reference)  # and nothing stays changed


def test_imatrix_is_the_mean_square_of_what_enters(gguf, calibration, probe):
    found = scores.mean_square_input(probe)
    assert {name: value.shape for name, value in found.items()} == {n: s[1:] for n, s in gguf.shape.linears().items()}
    x = calibration.inputs / np.sqrt(np.square(calibration.inputs).mean(2, keepdims=True) + gguf.shape.norm_eps)
    np.testing.assert_allclose(found["blk.0.attn_q.weight"], np.square(x).mean((0, 1)), rtol=1e-4)


def test_fisher_is_the_mean_of_squared_gradients_of_single_frames(gguf, calibration, probe):
    found = scores.fisher(probe)
    name, step = "blk.1.ffn_up.weight", 1e-2
    weights = gguf.values(name)
    rows, columns = np.unravel_index(np.argsort(found[name].ravel())[[-1, -50, -2000]], weights.shape)
    for row, column in zip(rows, columns, strict=True):
        losses = []
        for sign in (1, -1):
            moved = weights.copy()
            moved[row, column] += sign * step
            losses.append(np.abs(probe.actions({name: moved}) - calibration.targets).mean((1, 2)).astype(np.float64))
        gradient = (losses[0] - losses[1]) / (2 * step)
        assert found[name][row, column] == pytest.approx(np.square(gradient).mean(), rel=0.1)
    assert not any(p.requires_grad for p in probe.model.parameters())


def test_hsic_by_definition():
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(m @ m.T) for m in rng.standard_normal((2, 7, 3)))
    centring = torch.eye(7, dtype=torch.double) - torch.full((7, 7), 1 / 7, dtype=torch.double)
    assert scores.hsic(a, b) == pytest.approx(float(torch.trace(a @ centring @ b @ centring)) / 36)
    assert scores.hsic(a, torch.ones(7, 7, dtype=torch.double)) == pytest.approx(0, abs=1e-12)


def test_hsic_sensitivity_is_higher_where_a_layer_keeps_what_the_expert_needs(gguf, calibration):
    """A layer whose output forgets the inputs scores lower against X and Y than one that passes them on."""
    found = scores.hsic_sensitivity(scores.Probe(gguf, calibration))
    assert list(found) == list(gguf.shape.linears()) and np.isfinite(list(found.values())).all()
    assert len(set(found.values())) == len(found)


def test_curvature_predicts_how_far_small_errors_move_the_actions(gguf, calibration, probe):
    """sum e H e over rows against the mean over frames of the squared change; signs drawn for the sum over actions."""
    curvature = probe.curvature()
    rng = np.random.default_rng(0)
    for name in ("blk.0.attn_v.weight", "blk.1.ffn_down.weight"):
        e = 1e-3 * rng.standard_normal(gguf.values(name).shape, np.float32)
        change = np.square(probe.actions({name: gguf.values(name) + e}) - probe.reference).sum((1, 2)).mean()
        assert (((e @ curvature.columns[name]) * e).sum()) == pytest.approx(change, rel=0.6)
        assert (curvature.weights[name] * e**2).sum() == pytest.approx(change, rel=0.6)
        diagonal = curvature.weights[name].mean(0)
        np.testing.assert_allclose(np.diag(curvature.columns[name]), diagonal, rtol=1e-3)


def test_tuned_norms_repair_a_scaled_layer_and_change_nothing_else(gguf, calibration, probe):
    before = {name: p.clone() for name, p in probe.model.named_parameters()}
    damaged = {f"blk.{layer}.attn_v.weight": gguf.values(f"blk.{layer}.attn_v.weight") * 0.8 for layer in (0, 1)}
    norms = probe.tuned_norms(damaged)
    assert probe.error({**damaged, **norms}) < 0.8 * probe.error(damaged)
    assert len(norms) == 5 and set(norms) < set(before)
    assert all(torch.equal(p, before[name]) and not p.requires_grad for name, p in probe.model.named_parameters())


def test_curvature_errors_by_hand(gguf, probe):
    columns, name = probe.curvature().columns, "blk.1.ffn_up.weight"
    rounded = rounder(quantizer(probe.weight, {}, {}), gguf.shape.linears())
    found = scores.curvature_errors(probe, columns, rounded, {name: ["Q3_K"]})[name]["Q3_K"]
    gap = ggml.rounded("Q3_K", gguf.values(name)) - gguf.values(name)
    assert found == pytest.approx(np.sqrt(np.einsum("ri,ij,rj->", gap, columns[name], gap)), rel=1e-3)


def test_fisher_errors_by_hand(gguf, probe):
    importance = scores.fisher(probe)
    name = "blk.0.attn_q.weight"
    rounded = rounder(quantizer(probe.weight, importance, {}), gguf.shape.linears())
    found = scores.fisher_errors(probe, importance, rounded, {name: ["Q3_K"]})[name]["Q3_K"]
    gap = ggml.rounded("Q3_K", gguf.values(name), importance[name]) - gguf.values(name)
    assert found == pytest.approx(np.sqrt((importance[name] * gap**2).sum()), rel=1e-4)


def test_frames_of_another_model_are_refused(gguf, calibration_of_another_width):
    with pytest.raises(InputError, match="9 tokens of width 128"):
        scores.Probe(gguf, calibration_of_another_width)
