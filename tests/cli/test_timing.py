"""`rarrl bench timing`, on small pictures."""

import json

import pytest
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl_learning.speed import measure


def rarrl(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})


def test_timing_prints_every_stage_and_draws_it(tmp_path, monkeypatch):
    rooms = measure.rendered_rooms
    monkeypatch.setattr(measure, "rendered_rooms", lambda width, height, count, seed: rooms(160, 120, count, seed))
    out = ("--json", tmp_path / "t.json", "--png", tmp_path / "t.png")
    done = rarrl("bench", "timing", "--rounds", "2", "--scenes", "2", "--policy", "none", *out)
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "t.json").read_text())
    stages = [row["stage"] for row in results["tables"]["timing"]]
    assert stages[0] == "read" and stages[-1] == "end to end" and "match" in stages
    assert all(f"  {stage}  " in done.stdout for stage in stages), done.stdout
    assert results["figures"]["detector_p99_over_p50"]["value"] >= 1
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--png", "t.bmp"), "does not end in one of .png"),
        (("--json", "."), "--json: . is a folder"),
        (("--png", "."), "--png: . is a folder"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    done = rarrl("bench", "timing", *arguments)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("error: ") and told in done.stderr and len(done.stderr.splitlines()) == 1
