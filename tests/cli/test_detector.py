"""What `rarrl eval detector` and `rarrl bench detector` print and refuse."""

import pytest
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.errors import DependencyMissingError
from rarrl_learning.perception import jobs

IOU, CD = [0.6, 0.5, 0.7], [0.01, None, None]
ROW = {"group": "indoor", "n": 2, "iou": IOU, "obs_iou": IOU, "iou_2x": IOU, "cd": CD, "precision": IOU, "recall": IOU}
FIGURES = {"iou_gain_indoor": {"value": 0.1, "lo": None, "hi": None, "n": 1, "unit": "IoU"}}


def run(*words: str):
    return CliRunner().invoke(app, words, env={"COLUMNS": "160"})


def test_eval_prints_all_detectors_and_marks_the_rival(monkeypatch, tmp_path):
    asked = []

    def evaluate(*values):
        asked.extend(values)
        rows = [ROW | {"detector": "classical", "chosen": "classical"}, ROW | {"detector": "bm", "chosen": "bm>=3"}]
        return {"figures": FIGURES, "tables": {"rivals": {"indoor": "bm>=3"}, "detectors": rows}}

    monkeypatch.setattr(jobs, "eval_detector", evaluate)
    done = run("eval", "detector", "--rendered", "4", "--pictures", str(tmp_path / "drawn"))
    assert done.exit_code == 0, done.output
    assert "bm>=3 *" in done.output and "classical *" not in done.output
    assert "0.600 [0.50, 0.70]" in done.output and "0.010" in done.output and "drawn" in done.output
    assert asked[0] is None and asked[1] == 4 and asked[-1] == tmp_path / "drawn"


def test_bench_prints_both_thread_counts_and_what_was_left_out(monkeypatch):
    ms = {"colour": {"median": 71.2, "p95": 83.0}, "classical": {"median": 31.4, "p95": 44.0}}
    frame = {"scene": "room", "width": 640, "height": 480, "ms": {"1": ms, "2": ms}}
    tables = {"frames": [frame], "left_out": ["StereoVoxelNet needs torch"]}
    monkeypatch.setattr(jobs, "bench_detector", lambda *values: {"figures": FIGURES, "tables": tables})
    done = run("bench", "detector", "--rounds", "1")
    assert done.exit_code == 0, done.output
    assert done.output.count("71 (83)") == 2 and "640x480" in done.output
    assert "left out: StereoVoxelNet needs torch" in done.output


def test_what_cannot_be_done_is_said_in_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    for words in (("--pictures", str(tmp_path / "file")), ("--json", str(tmp_path))):
        done = run("eval", "detector", *words)
        assert done.exit_code == 2 and words[0] in done.stderr and done.stderr.count("\n") == 1

    def missing():
        raise DependencyMissingError("needs scikit-image: pip install 'rarrl[eval]'")

    monkeypatch.setattr(jobs, "motorcycle_scene", missing)
    done = run("eval", "detector", "--rendered", "0")
    assert done.exit_code == 2 and "rarrl[eval]" in done.stderr


@pytest.mark.parametrize("words", [("--rendered", "-1"), ("--seed", "-1"), ("--data", "nowhere")])
def test_bad_values_are_refused(words):
    assert run("eval", "detector", *words).exit_code == 2
