"""Rows on spoiled pictures: they hold today, and they would notice a detector or a watch that does not."""

from dataclasses import replace

import numpy as np
import pytest

from rarrl.perception.camera_input import FrozenImageCheck
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.stereo_health import HealthWatch
from rarrl_nodes.faults import sight
from rarrl_nodes.faults.sight import WIDE_DEG, WIDE_SIZE, rows, scenes

ROWS = {row.name: row for row in rows()}


def test_each_row_says_what_it_does_and_is_played_without_ros():
    assert len(ROWS) == 12 and {row.part for row in ROWS.values()} == {"camera"}
    assert all(row.way == "in-process" and row.trials >= 6 for row in ROWS.values())
    assert {name for name, row in ROWS.items() if row.recovers} == {"D1-pitch", "D1-yaw", "D1-roll", "D1-rows"}


@pytest.mark.parametrize("name", [name for name in ROWS if "many" in name and not name.startswith("C2")])
def test_nothing_is_free_in_pictures_that_tell_nothing(name):
    trials = ROWS[name].play(2, 1)
    assert [trial.unsafe for trial in trials] == [0, 0] and [trial.note for trial in trials] == ["", ""]


def test_a_detector_that_sees_free_space_in_the_dark_is_noticed(monkeypatch):
    def detect(self, pair):
        grid = self.voxelizer.nothing_seen(0.0)
        return replace(grid, state=np.full_like(grid.state, 1))

    monkeypatch.setattr(ClassicalDetector, "detect", detect)
    assert [trial.unsafe for trial in ROWS["C7-many-dark"].play(2, 1)] == [1, 1]


def test_a_camera_that_stands_still_is_not_frozen_and_one_that_freezes_is(monkeypatch):
    (trial,) = ROWS["C2-many"].play(1, 0)
    assert trial.unsafe == 0 and trial.counts == {"false_stops": 0} and 0.0 < trial.stop_s < 0.5
    monkeypatch.setattr(FrozenImageCheck, "frozen", lambda self, left, right: "")
    (trial,) = ROWS["C2-many"].play(1, 0)
    assert trial.unsafe == 1 and trial.stop_s is None


def test_cameras_of_the_drift_have_a_wide_field():
    drawn = next(scenes(0, WIDE_SIZE, WIDE_DEG))
    assert drawn.rig.width == WIDE_SIZE[0] and drawn.rig.fx <= WIDE_SIZE[0] / 2 / np.tan(np.radians(WIDE_DEG / 2))


def test_a_drift_stops_the_robot_before_distances_are_wrong_and_it_goes_on_afterwards():
    (trial,) = ROWS["D1-rows"].play(1, 0)
    assert trial.unsafe == 0 and trial.counts == {"false_stops": 0}
    assert 4.0 < trial.stop_s < 15.0 and 0.0 < trial.recover_s < 1.0


def test_a_drift_that_nobody_notices_is_unsafe(monkeypatch):
    monkeypatch.setattr(HealthWatch, "look", lambda self, pair, now_s: True)
    monkeypatch.setattr(sight, "LONGEST_S", 60.0)
    monkeypatch.setattr(sight, "DRIFT_S", 12.0)
    (trial,) = ROWS["D1-yaw"].play(1, 0)
    assert trial.unsafe > 0 and trial.stop_s is None and trial.note
