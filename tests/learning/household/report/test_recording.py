"""The recording of a mission for rerun, with and without rerun."""

import pytest
from mission_fixtures import played, trace

from rarrl.errors import DependencyMissingError
from rarrl_learning.household.report import recording
from rarrl_learning.household.report.page import save_missions, write_mission_report


def test_a_recording_for_rerun(tmp_path):
    pytest.importorskip("rerun")
    recording.write_recording(tmp_path / "m.rrd", trace())
    assert (tmp_path / "m.rrd").read_bytes().startswith(b"RRF")


def test_without_rerun_a_report_and_no_recording(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "find_spec", lambda name: None)
    save_missions(tmp_path, [played("never")])
    assert write_mission_report(tmp_path).recording is None
    with pytest.raises(DependencyMissingError, match=r"rarrl\[view\]"):
        recording.write_recording(tmp_path / "m.rrd", trace())
