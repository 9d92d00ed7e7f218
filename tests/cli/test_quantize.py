"""`rarrl quantize` as a user types it."""

import json

import pytest
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.llama.gguf import read_gguf
from rarrl_learning.quantize.calibration import save_calibration

pytest.importorskip("torch")


def run(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def test_a_model_a_picture_and_figures(tmp_path, gguf):
    out, figures = tmp_path / "small.gguf", tmp_path / "figures.json"
    done = run("quantize", gguf.path, "--bpw", 5.5, "--method", "rtn", "--out", out, "--json", figures)
    assert done.exit_code == 0, done.output
    assert {t.type for n, t in read_gguf(out).tensors.items() if n in gguf.shape.linears()} == {"Q5_0"}
    document = json.loads(figures.read_text())
    assert document["figures"]["bpw_linears"]["value"] == 5.5
    assert len(document["tables"]["tensors"]) == 14
    assert out.with_suffix(".png").exists()


def test_with_calibration_the_action_error_is_told(tmp_path, gguf, calibration):
    save_calibration(tmp_path, calibration)
    figures = tmp_path / "figures.json"
    common = ("--method", "rtn", "--bpw", 4.5, "--calibration", tmp_path, "--frames", 8)
    done = run("quantize", gguf.path, *common, "--out", tmp_path / "q.gguf", "--json", figures)
    assert done.exit_code == 0, done.output
    document = json.loads(figures.read_text())
    assert document["figures"]["action_error"]["value"] > 0
    assert document["tables"]["settings"]["held_out_frames"] == 16


def test_bad_input_is_one_line_and_status_2(tmp_path, gguf):
    (tmp_path / "damaged.gguf").write_bytes(gguf.path.read_bytes()[:2000])
    for args, message in (
        ((tmp_path / "none.gguf",), "no such file"),
        ((tmp_path / "damaged.gguf",), "not a whole GGUF file"),
        ((gguf.path,), "give --calibration or --method plain"),
        ((gguf.path, "--calibration", tmp_path / "none"), "does not exist"),
        ((gguf.path, "--method", "plain", "--bpw", 1), "is too few"),
        ((gguf.path, "--out", gguf.path), "is the model itself"),
    ):
        done = run("quantize", *args)
        assert done.exit_code == 2, (args, done.output)
        assert message in done.output and done.output.count("\n") == 1
    assert sorted(p.name for p in gguf.path.parent.iterdir()) == ["model.gguf"]
