"""The camera rows can lose: what they count as unsafe, by hand-made messages. Needs no ROS."""

from types import SimpleNamespace

import numpy as np
import pytest

from rarrl_nodes.faults import camera

UNKNOWN = np.full((4, 5), -1, np.int8)
FREE = np.where(np.arange(20).reshape(4, 5) == 7, 0, UNKNOWN).astype(np.int8)
BLOCKED = SimpleNamespace(ranges=[0.01, 0.01])


def occupancy(cells):
    return SimpleNamespace(info=SimpleNamespace(width=cells.shape[0], height=cells.shape[1]), data=cells.T.ravel())


def judge(heard, usable=False, grace=0, truth=None, twists=()):
    fault = camera.Fault("C0", "test", lambda *_: None, usable=usable, grace=grace)
    heard = {topic: {k: (0.0, m) for k, m in heard.get(topic, {}).items()} for topic in ("voxels", "scan", "occupancy")}
    return camera.judge(fault, heard, [(10, 11), (20, 21), (30, 31)], truth, twists)


def test_silence_and_blocked_answers_are_not_unsafe():
    heard = {"scan": {10: BLOCKED, 20: BLOCKED}, "occupancy": {10: occupancy(UNKNOWN), 20: occupancy(UNKNOWN)}}
    trial = judge(heard, twists=[(0.1, 0.1), (0.2, 0.0), (0.4, 0.0)])
    assert (trial.unsafe, trial.outputs, trial.detect_s, trial.stop_s) == (0, 4, 0.2, 0.1)


@pytest.mark.parametrize(
    "heard",
    [
        {"voxels": {20: SimpleNamespace()}},
        {"voxels": {21: SimpleNamespace()}},  # with the stamp of the right image
        {"scan": {30: SimpleNamespace(ranges=[0.01, 0.5])}},
        {"occupancy": {10: occupancy(FREE)}},
    ],
)
def test_each_way_to_look_free_counts(heard):
    assert judge(heard).unsafe == 1


def test_moving_on_counts_and_a_base_that_did_not_drive_is_not_timed():
    assert judge({}, twists=[(0.2, 0.0), (camera.STOP_S + 0.1, 0.1)]).unsafe == 1
    assert judge({}).stop_s is None


def test_grace_is_taken_off_both_sides():
    trial = judge({"voxels": {10: SimpleNamespace(), 20: SimpleNamespace()}}, grace=1)
    assert (trial.outputs, trial.unsafe) == (3, 1)


def test_a_missed_surface_is_a_free_cell_without_an_occupied_neighbour():
    truth = np.zeros((4, 5), bool)
    truth[1, 2] = truth[3, 4] = truth[0, 0] = True
    cells = np.zeros((4, 5), np.int8)
    cells[2, 3] = 100  # beside (1, 2) and (3, 4)
    cells[0, 0] = -1  # unknown is not free
    assert not camera.missed(cells, truth).any()
    cells[2, 3] = 0
    trial = judge({"occupancy": {10: occupancy(cells)}}, usable=True, truth=truth)
    assert trial.counts == {"missed_cells": 2, "surface_cells": 3} and trial.unsafe == 0


def test_every_camera_row_of_the_fault_matrix_is_there():
    assert {row.name[:2] for row in camera.rows()} == {"C1", "C2", "C3", "C4", "C5", "C6", "C7", "K-"}


def test_truth_is_where_the_scene_has_surfaces():
    held = camera.true_cells(camera.scene_of("easy"))
    assert 50 < held.sum() < 0.3 * held.size and not held[:3].any(), "nothing stands against the camera"
