"""benchmarks/stereo_node.py can lose: what it counts as false free, by hand-made messages. Needs no ROS."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "stereo_node.py"
QUIET = {"pairs": "5", "refused": "0", "exceptions": "0", "dropped_stale": "0", "refusal": "", "last_drop": ""}


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("stereo_node_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def occupancy(cells):
    return SimpleNamespace(info=SimpleNamespace(width=cells.shape[0], height=cells.shape[1]), data=cells.T.ravel())


def row(benchmark, heard, usable=False, grace=0, truth=None, after=QUIET):
    fault = benchmark.Fault("C0 test", lambda *_: None, usable=usable, grace=grace)
    heard = {topic: {k: (0.0, m) for k, m in heard.get(topic, {}).items()} for topic in ("voxels", "scan", "occupancy")}
    stamps = [(10, 11), (20, 21), (30, 31)]
    return benchmark.row_of(fault, "easy", heard, stamps, truth, QUIET, after, True)


UNKNOWN = np.full((4, 5), -1, np.int8)
FREE = np.where(np.arange(20).reshape(4, 5) == 7, 0, UNKNOWN).astype(np.int8)
BLOCKED = SimpleNamespace(ranges=[0.01, 0.01])


def test_silence_and_blocked_answers_are_not_false_free(benchmark):
    heard = {"scan": {10: BLOCKED, 20: BLOCKED}, "occupancy": {10: occupancy(UNKNOWN), 20: occupancy(UNKNOWN)}}
    found = row(benchmark, heard, after=QUIET | {"refused": "2", "dropped_stale": "1", "refusal": "too dark"})
    assert (found["n"], found["false_free"], found["refused"], found["noticed_after"]) == (3, 0, 2, 0)
    assert found["did"] == "refused 2, dropped_stale 1" and found["said"] == "too dark"


@pytest.mark.parametrize(
    "heard",
    [
        {"voxels": {20: SimpleNamespace()}},
        {"voxels": {21: SimpleNamespace()}},  # with the stamp of the right image
        {"scan": {30: SimpleNamespace(ranges=[0.01, 0.5])}},
        {"occupancy": {10: occupancy(FREE)}},
    ],
)
def test_each_way_to_look_free_counts(benchmark, heard):
    assert row(benchmark, heard)["false_free"] == 1


def test_grace_is_taken_off_both_sides(benchmark):
    found = row(benchmark, {"voxels": {10: SimpleNamespace(), 20: SimpleNamespace()}}, grace=1)
    assert (found["n"], found["false_free"], found["noticed_after"]) == (2, 1, 2)


def test_a_missed_surface_is_a_free_cell_without_an_occupied_neighbour(benchmark):
    truth = np.zeros((4, 5), bool)
    truth[1, 2] = truth[3, 4] = truth[0, 0] = True
    cells = np.zeros((4, 5), np.int8)
    cells[2, 3] = 100  # beside (1, 2) and (3, 4)
    cells[0, 0] = -1  # unknown is not free
    assert not benchmark.missed(cells, truth).any()
    cells[2, 3] = 0
    found = row(benchmark, {"occupancy": {10: occupancy(cells)}}, usable=True, truth=truth)
    assert (found["missed_cells"], found["surface_cells"], found["false_free"]) == (2, 3, None)


def test_every_row_of_the_fault_matrix_is_there(benchmark):
    assert {fault.name[:2] for fault in benchmark.FAULTS} == {"C1", "C2", "C3", "C4", "C5", "C6", "C7", "cl"}
    assert len({fault.name for fault in benchmark.FAULTS}) == len(benchmark.FAULTS)


def test_truth_is_where_the_scene_has_surfaces(benchmark):
    held = benchmark.true_cells(benchmark.scene_of("easy"))
    assert 50 < held.sum() < 0.3 * held.size and not held[:3].any(), "nothing stands against the camera"
