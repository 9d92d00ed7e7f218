import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.policy.base import check_policy
from rarrl.policy.preset import Preset
from rarrl.policy.serve import LlamaPolicy
from rarrl_learning.policy.demonstrations import load_demonstrations

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")
os.environ.setdefault("MUJOCO_GL", "egl")  # before MuJoCo is imported


def rarrl(*arguments: str):
    return CliRunner().invoke(app, arguments)


def test_demonstrations_become_a_policy_that_runs(recorded, tmp_path):
    out = tmp_path / "policy"
    arguments = ("--data", str(recorded), "--out", str(out), "--batch", "4", "--layers", "1")
    done = rarrl("train", "policy", *arguments, "--steps", "2")
    assert done.exit_code == 0, done.output
    card = json.loads((out / "card.json").read_text())
    assert card["data"] == {"frames": 120, "sha256": load_demonstrations([recorded]).digest}
    assert card["samples"] == 8
    with LlamaPolicy(out) as policy:
        check_policy(policy)
    assert rarrl("train", "policy", *arguments, "--steps", "3").exit_code == 0  # goes on
    assert json.loads((out / "card.json").read_text())["files"] != card["files"]
    assert rarrl("train", "policy", *arguments, "--steps", "3").exit_code == 0  # nothing is left to do
    assert json.loads((out / "card.json").read_text())["metrics"].keys() == {"validation_l1"}


@pytest.mark.slow
def test_a_policy_learns_to_do_with_less(recorded, tmp_path):
    first, out = tmp_path / "policy", tmp_path / "fast"
    made = ("--data", str(recorded), "--batch", "4", "--layers", "2", "--steps", "2")
    assert rarrl("train", "policy", *made, "--out", str(first)).exit_code == 0
    done = rarrl(
        "train", "policy-speed", "--policy", str(first), "--data", str(recorded), "--out", str(out), "--steps", "2"
    )
    assert done.exit_code == 0, done.output
    card = json.loads((out / "card.json").read_text())
    assert len(card["command"]) == 2
    assert card["samples"] == 8 + 2 * 32
    for preset in (None, Preset(patches=2), Preset(patches=1, layers=1)):
        with LlamaPolicy(out, preset=preset) as policy:
            check_policy(policy)


@pytest.mark.slow
def test_fewer_blocks_learn_to_act_as_the_whole_policy_does(recorded, tmp_path):
    policy, data = str(tmp_path / "policy"), ("--data", str(recorded))
    made = ("--batch", "4", "--layers", "2", "--steps", "2")
    assert rarrl("train", "policy", *data, *made, "--out", policy).exit_code == 0
    assert rarrl("train", "policy-speed", "--policy", policy, *data, "--steps", "2", "--out", policy).exit_code == 0
    learn = ("train", "policy-student", "--policy", policy, *data, "--samples", "640", "--steps", "150")
    assert rarrl(*learn, "--name", "dull", "--steps", "1").exit_code == 0
    done = rarrl(*learn)
    assert done.exit_code == 0, done.output
    card = json.loads((tmp_path / "policy" / "card.json").read_text())
    dull, learned = (card["students"][f"{name}.gguf"]["metrics"]["validation_l1"] for name in ("dull", "student"))
    assert learned < 0.5 * dull
    with LlamaPolicy(tmp_path / "policy", preset=Preset(patches=2, gguf="student.gguf")) as student:
        check_policy(student)
    for wrong, words in (
        (("--blocks", "2"), "allowed: 1 to 1"),
        (("--name", "model"), "not the policy's own file"),
        (("--name", "../x"), "allowed are letters"),
    ):
        done = rarrl(*learn, *wrong)
        assert done.exit_code == 2, done.output
        assert words in done.output


@pytest.mark.slow
def test_a_student_needs_no_further_training_of_its_policy(recorded, tmp_path):
    policy, data = tmp_path / "policy", ("--data", str(recorded))
    made = ("--batch", "4", "--layers", "2", "--steps", "2")
    assert rarrl("train", "policy", *data, *made, "--out", str(policy)).exit_code == 0
    before = json.loads((policy / "card.json").read_text())["files"]
    learn = ("train", "policy-student", "--policy", str(policy), *data, "--samples", "64", "--steps", "2")
    done = rarrl(*learn)
    assert done.exit_code == 0, done.output
    after = json.loads((policy / "card.json").read_text())["files"]
    assert before.items() <= after.items()
    assert set(after) - set(before) == {"relevance.safetensors", "student.gguf"}
    with LlamaPolicy(policy, preset=Preset(patches=2, gguf="student.gguf")) as student:
        check_policy(student)


def test_a_run_begins_with_another_policy(recorded, tmp_path):
    first, out = tmp_path / "first", tmp_path / "out"
    made = ("--data", str(recorded), "--batch", "4", "--layers", "1", "--steps", "1")
    assert rarrl("train", "policy", *made, "--out", str(first)).exit_code == 0
    done = rarrl("train", "policy", *made, "--out", str(out), "--start", str(first), "--seed", "1")
    assert done.exit_code == 0, done.output
    had, has = (load_file(folder / "policy.safetensors")["head_in.weight"] for folder in (first, out))
    np.testing.assert_allclose(has, had, atol=1e-3)  # random weights would differ by a tenth
    deeper = rarrl(
        "train", "policy", *made[:-4], "--layers", "2", "--out", str(tmp_path / "deep"), "--start", str(first)
    )
    assert deeper.exit_code == 2
    assert "start: that policy has layers 1, the new one needs 2" in deeper.output


@pytest.mark.slow
def test_a_preset_alone_is_played_beside_the_whole(tmp_path):
    pytest.importorskip("metaworld")
    path = tmp_path / "speed.json"
    done = rarrl("bench", "policy", "--rounds", "2", "--episodes", "1", "--no-parts", "--json", str(path))
    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text())
    assert [row["setting"] for row in found["tables"]["success, trained words"]] == ["whole", "tuned"]
    assert found["figures"]["kept_tuned"]["n"] == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "policy", "--data", "nowhere", "--out", "OUT"), "rarrl data record"),
        (("train", "policy", "--data", "DATA", "--out", "OUT", "--weight", "left"), "TASK=NUMBER"),
        (("train", "policy", "--data", "DATA", "--out", "OUT", "--weight", "down=1"), "no task"),
        (("train", "policy", "--data", "DATA", "--out", "DATA/left.safetensors"), "is a file"),
        (("eval", "policy", "--suite", "libero"), "allowed: metaworld"),
        (("eval", "policy", "--words", "loud"), "allowed: trained"),
        (("eval", "policy", "--policy", "nowhere"), "does not exist"),
        (("eval", "policy", "--preset", "none"), "allowed: fast"),
        (("bench", "policy", "--preset", "none"), "allowed: fast"),
        (("bench", "policy", "--words", "loud"), "allowed: trained"),
        (("tune", "policy", "--policy", "nowhere"), "does not exist"),
        (("train", "policy-speed", "--policy", "nowhere", "--data", "DATA", "--out", "OUT"), "does not exist"),
        (("data", "record", "--out", "OUT", "--task", "juggle"), "allowed: reach"),
        (("data", "record", "--out", "OUT", "--policy", "nowhere"), "does not exist"),
        (("data", "record", "--out", "OUT", "--preset", "fast"), "give --policy too"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(recorded, tmp_path, arguments, words):
    places = {"DATA": str(recorded), "OUT": str(tmp_path / "out")}
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    done = rarrl(*arguments)
    assert done.exit_code == 2, done.output
    assert words in done.output
    assert "Traceback" not in done.output
