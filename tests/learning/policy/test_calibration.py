"""Calibration frames of a policy: the quantizer computes the policy's own actions from them."""

import numpy as np
import pytest
from policy_fixtures import ROBOT, tiny_spec
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.errors import InputError
from rarrl.policy.base import Observation
from rarrl.policy.serve import LlamaPolicy
from rarrl_learning.policy.calibration import policy_frames
from rarrl_learning.policy.demonstrations import load_demonstrations

pytest.importorskip("llama_cpp")
torch = pytest.importorskip("torch")


@pytest.fixture
def folder(tmp_path):
    from rarrl_learning.policy.export import export_policy
    from rarrl_learning.policy.model import PolicyModel

    torch.manual_seed(0)
    model = PolicyModel(tiny_spec()).eval()
    with torch.no_grad():
        for linear in model.llama.linears().values():
            linear.weight.mul_(4)
    export_policy(model, tmp_path / "policy", {"command": "test"}, half=False)
    return tmp_path / "policy"


def test_the_quantizer_sees_the_actions_of_the_policy(tmp_path, folder, recorded):
    from rarrl.llama.gguf import read_gguf
    from rarrl_learning.quantize.calibration import load_calibration
    from rarrl_learning.quantize.quantize import make_probe

    out = tmp_path / "calibration"
    args = ["data", "calibrate", "--policy", folder, "--data", recorded, "--out", out, "--frames", 12]
    done = CliRunner().invoke(app, list(map(str, args)))
    assert done.exit_code == 0, done.output
    calibration = load_calibration(out)
    found = make_probe(read_gguf(out / "model.gguf"), calibration).reference
    data, spec = load_demonstrations([recorded]), tiny_spec()
    expected, targets = [], []
    with LlamaPolicy(folder, exact=True) as policy:
        for i, task in enumerate(data.task):
            for words in data.tasks[task].instructions:
                observation = Observation(data.frames.images[i], data.frames.proprio[i], words)
                expected.append(policy.scaled(observation))
                targets.append(spec.scale_actions(data.frames.chunks[i, : spec.horizon]))
    for chunk, target in zip(found, calibration.targets, strict=True):
        # Inputs are kept as float16: far below what tells two frames apart.
        gaps = np.abs(np.array(expected) - chunk).max((1, 2))
        assert gaps.min() < 5e-3 and np.median(gaps) > 0.05
        np.testing.assert_allclose(targets[gaps.argmin()], target)


def test_tasks_have_equal_shares_and_an_order_drawn_by_the_seed(folder, recorded):
    data = load_demonstrations([recorded])
    found, again, other = (policy_frames(folder, data, 13, seed) for seed in (0, 0, 1))
    per_task = np.bincount(found.episode // 40)
    assert sorted(per_task) == [4, 4, 5] and len(set(found.episode.tolist())) == 13
    assert found.inputs.shape == (13, 3 + 4 + 5, 256) and found.blocks == (3, 4, 5)
    assert np.array_equal(found.inputs, again.inputs) and not np.array_equal(found.inputs, other.inputs)


def test_what_cannot_be_used_is_said(folder, recorded, monkeypatch):
    data = load_demonstrations([recorded])
    with pytest.raises(InputError, match="41 of left asked for, 40 recorded"):
        policy_frames(folder, data, 123)
    object.__setattr__(data, "robot", type(ROBOT)(ROBOT.cameras, ROBOT.proprio_names, ("a", "b"), 20.0))
    with pytest.raises(InputError, match="record them for this robot"):
        policy_frames(folder, data, 3)
