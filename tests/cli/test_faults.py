"""`rarrl faults run` and `list`: rows by name, exit status 1 where one does not hold, files, and going on."""

import json

import pytest
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.safety.gate import SafetyGate
from rarrl.types import GateAction, GateReason, GateResult

QUICK = ["--in-process", "--quick", "--only", "C3-gate,P2-gate"]


@pytest.fixture
def rarrl():
    return lambda *arguments: CliRunner().invoke(app, ["faults", *arguments])


def test_list(rarrl):
    told = rarrl("list", "--only", "C1,P2")
    assert told.exit_code == 0 and "C1-left" in told.output and "P2-gate" in told.output and "C2" not in told.output


def test_run_writes_figures_and_a_report(rarrl, tmp_path):
    told = rarrl("run", *QUICK, "--json", str(tmp_path / "f.json"), "--html", str(tmp_path / "f.html"))
    assert told.exit_code == 0, told.output
    document = json.loads((tmp_path / "f.json").read_text())
    assert set(document["tables"]["rows"]) == {"C3-gate", "P2-gate"}
    assert document["figures"]["unsafe_outputs"]["value"] == 0
    assert "All 2 rows held." in (tmp_path / "f.html").read_text()


def test_a_broken_part_is_told_and_the_exit_status_is_1(rarrl, tmp_path, monkeypatch):
    def open_gate(self, command, around, now_s, veto=None):
        return (
            GateResult(command.v, command.omega, GateAction.PASS) if command else GateResult.stop(GateReason.NO_COMMAND)
        )

    monkeypatch.setattr(SafetyGate, "check", open_gate)
    told = rarrl("run", *QUICK, "--json", str(tmp_path / "f.json"))
    assert told.exit_code == 1 and "2 of 2 rows do not hold: C3-gate, P2-gate" in told.output
    assert json.loads((tmp_path / "f.json").read_text())["figures"]["unsafe_outputs"]["value"] > 0


def test_resume_keeps_what_was_played(rarrl, tmp_path):
    path = str(tmp_path / "f.json")
    rarrl("run", *QUICK[:-1], "C3-gate", "--json", path)
    first = json.loads((tmp_path / "f.json").read_text())["tables"]["rows"]["C3-gate"]
    assert rarrl("run", *QUICK[:-1], "P2-gate", "--json", path, "--resume").exit_code == 0
    rows = json.loads((tmp_path / "f.json").read_text())["tables"]["rows"]
    assert set(rows) == {"C3-gate", "P2-gate"} and rows["C3-gate"] == first


def test_named_rows_are_played_again_and_the_others_kept(rarrl, tmp_path):
    path = tmp_path / "f.json"
    rarrl("run", *QUICK, "--json", str(path))
    document = json.loads(path.read_text())
    for row in document["tables"]["rows"].values():
        row["notes"] = ["of an earlier run"]
    path.write_text(json.dumps(document))
    assert rarrl("run", *QUICK[:-1], "P2-gate", "--json", str(path), "--resume", "--again").exit_code == 0
    rows = json.loads(path.read_text())["tables"]["rows"]
    assert rows["C3-gate"]["notes"] == ["of an earlier run"] != rows["P2-gate"]["notes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "Q9"], "no row 'Q9'"),
        (["--resume"], "--resume: needs --json FILE"),
        (["--again", "--only", "P2-gate"], "--again: needs --resume"),
        (["--again", "--resume", "--json", "f.json"], "with --only the rows to play anew"),
        (["--quick", "--in-process", "--only", "C1-left"], "leave no row"),
    ],
)
def test_bad_options_are_one_line(rarrl, arguments, message):
    told = rarrl("run", *arguments)
    assert told.exit_code == 2 and message in told.output and len(told.output.strip().splitlines()) == 1
