"""A whole policy in fewer bits: what is written, what is read again, and what it costs."""

import json
import struct

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from policy_fixtures import tiny_spec  # noqa: E402

from rarrl.cli import app  # noqa: E402
from rarrl.errors import InputError  # noqa: E402
from rarrl.policy.base import Observation  # noqa: E402
from rarrl.policy.serve import LlamaPolicy, load_card, load_outer  # noqa: E402
from rarrl_learning.policy.demonstrations import load_demonstrations  # noqa: E402
from rarrl_learning.policy.export import export_policy  # noqa: E402
from rarrl_learning.policy.model import PolicyModel, load_model  # noqa: E402
from rarrl_learning.quantize.policy_folder import (  # noqa: E402
    PolicyProbe,
    matrices,
    policy_bpw,
    policy_inputs,
    policy_quantizer,
    quantize_policy,
    write_policy,
)
from rarrl_learning.quantize.scores import _by_token  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    export_policy(PolicyModel(tiny_spec()), tmp_path / "policy", {"what": "made in a test"})
    return tmp_path / "policy"


@pytest.fixture
def inputs(recorded):
    return policy_inputs(tiny_spec(), load_demonstrations([recorded]), 24, 0)


def test_a_convolution_is_a_matrix_of_its_windows():
    layer = torch.nn.Conv2d(3, 5, 4, stride=2, padding=1)
    x = torch.randn(2, 3, 8, 8)
    entering, leaving = _by_token(layer, x, layer(x))
    product = entering @ layer.weight.flatten(1).T + layer.bias
    torch.testing.assert_close(product, leaving)


def test_everything_but_norms_biases_and_narrow_rows_is_a_matrix(folder):
    names = matrices(load_model(folder))
    assert {"word.weight", "place", "slot", "patch.weight", "stem.1.weight", "head_out.weight"} < set(names)
    assert "stem.0.weight" not in names and "proprio_in.weight" not in names  # rows of 48 and 2
    assert "blk.0.attn_q.weight" in names and not any("norm" in name or "bias" in name for name in names)


def test_the_curvature_of_a_table_is_of_the_rows_that_entered(folder, inputs):
    curvature = PolicyProbe(load_model(folder), inputs).curvature()
    seen = np.unique(inputs.words)
    of_words = curvature.weights["word.weight"].sum(axis=1)
    assert (of_words[seen] > 0).all() and of_words.sum() == pytest.approx(of_words[seen].sum())
    for name in ("slot", "stem.1.weight", "blk.1.ffn_down.weight", "head_in.weight"):
        columns = curvature.columns[name]
        assert columns.shape == (curvature.weights[name].shape[1],) * 2
        assert np.linalg.eigvalsh(columns)[0] > -1e-4 * np.abs(columns).max()  # float32


@pytest.mark.parametrize("method", [pytest.param("tuned", marks=pytest.mark.slow), "imatrix", "plain"])
def test_a_quantized_folder_plays_within_its_bits(folder, inputs, tmp_path, method):
    at = policy_quantizer(folder, inputs, method)
    reference, errors = PolicyProbe(load_model(folder), inputs).reference, []
    for bpw in (2.5, 6.0):
        out = tmp_path / f"{method}_{bpw}"
        write_policy(out, folder, at(bpw), {"method": method})
        assert bpw - 0.3 < policy_bpw(out) <= bpw
        errors.append(np.abs(PolicyProbe(load_model(out), inputs).reference - reference).mean())
        observation = Observation(np.zeros((1, 32, 32, 3), np.uint8), np.zeros(2, np.float32), "go left")
        with LlamaPolicy(out) as small, LlamaPolicy(folder) as whole:
            assert np.abs(small.scaled(observation) - whole.scaled(observation)).mean() < 20 * errors[-1] + 1e-3
    assert 0 < errors[1] < errors[0]
    card = json.loads((out / "card.json").read_text())
    assert card["quantized"] == {"method": method} and card["what"] == "made in a test"


def test_too_few_bits_or_its_own_folder_are_refused(folder, inputs):
    at = policy_quantizer(folder, inputs, "plain")
    with pytest.raises(InputError, match="too few"):
        at(1.0)
    with pytest.raises(InputError, match="is the policy itself"):
        write_policy(folder, folder, at(4.0), {})


def test_presets_with_a_transformer_of_their_own_stay_behind(folder, inputs, tmp_path):
    from rarrl_learning.policy.export import export_student
    from rarrl_learning.policy.student import student_of

    export_student(student_of(load_model(folder), 1), folder, "student.gguf", {"command": "test"})
    for name, preset in (("fast", {"patches": 4, "gguf": "student.gguf"}), ("early", {"layers": 1})):
        (folder / "presets").mkdir(exist_ok=True)
        (folder / "presets" / f"{name}.json").write_text(json.dumps({"preset": preset}))
    out = tmp_path / "small"
    write_policy(out, folder, policy_quantizer(folder, inputs, "plain")(4.0), {})
    assert [path.name for path in (out / "presets").iterdir()] == ["early.json"]
    assert not (out / "student.gguf").exists()
    assert "students" not in json.loads((out / "card.json").read_text())


def rewritten(path, change):
    """A safetensors file with other metadata."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    types = json.loads(header["__metadata__"]["types"])
    change(types)
    header["__metadata__"]["types"] = json.dumps(types)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


@pytest.mark.parametrize(
    "change",
    [
        lambda types: types.update({"head_in.weight": "Q9_9"}),
        lambda types: types.update({"head_in.weight": "Q8_0" if types["head_in.weight"] != "Q8_0" else "Q6_K"}),
        lambda types: types.update({"head_in.bias": "Q8_0"}),
        lambda types: types.update({"no such": "Q8_0"}),
    ],
)
def test_blocks_that_are_not_what_is_told_are_refused(folder, inputs, tmp_path, change):
    out = tmp_path / "small"
    write_policy(out, folder, policy_quantizer(folder, inputs, "plain")(4.0), {})
    rewritten(out / "policy.safetensors", change)
    spec, _ = load_card(out)
    with pytest.raises(InputError, match="quantize again"):
        load_outer(out, spec, {})


def test_the_command_reports_what_is_in_the_files(folder, recorded, tmp_path):
    out = tmp_path / "small"
    told = quantize_policy(folder, [recorded], 3.0, "flat", 24, 0, out, tmp_path / "report.json", "the command")
    assert told["figures"]["bpw"]["value"] == pytest.approx(policy_bpw(out))
    assert {row["tensor"] for row in told["tables"]["tensors"]} == set(matrices(load_model(folder)))
    assert json.loads((tmp_path / "report.json").read_text())["figures"]["action_error"]["value"] > 0
    said = CliRunner().invoke(app, ["quantize", str(folder), "--out", str(tmp_path / "other")])
    assert said.exit_code == 2 and "--data" in said.output
