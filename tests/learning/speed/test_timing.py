"""Stages of the detector and of the policy, each in its place, and where their milliseconds vary."""

import os
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.perception import classical, fast
from rarrl_learning.speed.measure import rendered_rooms
from rarrl_learning.speed.timing import (
    CAUSES,
    DETECTOR_STAGES,
    END_TO_END,
    ORDER,
    POLICY_STAGES,
    READ,
    REST,
    busy_processes,
    detector_times,
    policy_times,
    spreads,
    timing_figures,
)


def nothing(*_):
    pass


@pytest.fixture(scope="module")
def times(tmp_path_factory):
    threads = cv2.getNumThreads()
    found = detector_times(rendered_rooms(160, 120, 2), [1, 2], 2, 0, tmp_path_factory.mktemp("t"), nothing, nothing)
    assert cv2.getNumThreads() == threads
    return found


def test_every_stage_of_every_detector_takes_its_time(times):
    assert tuple(times) == DETECTOR_STAGES
    for stage, ms in times.items():
        assert ms.shape == (2, 2, 3, 2, 2, 2) and np.isfinite(ms).all(), stage
        took = ms[:, 1] if stage == READ else ms
        assert (took > 0).all(), f"{stage} is not called by all detectors"
    assert not times[READ][:, 0].any(), "what is in memory is not read"


def test_the_stages_add_up_to_the_whole_way(times):
    parts = sum(ms for stage, ms in times.items() if stage != END_TO_END)
    np.testing.assert_allclose(parts, times[END_TO_END])
    assert np.median(times[REST] / times[END_TO_END]) < 0.3


def test_nothing_is_watched_afterwards(times):
    assert not hasattr(classical.quick_look, "__wrapped__") and not hasattr(fast.match, "__wrapped__")


def test_figures_and_table_hold_all_causes_of_all_stages(times):
    found = spreads(times)
    assert found[READ].range_ms["I/O"] > 0 and found["match"].range_ms["model"] > 0
    figures, rows = timing_figures("detector", found)
    assert sum(figures[f"detector_variance_{c.lower().replace('/', '')}"].value for c in ORDER) == pytest.approx(1.0)
    assert [row["stage"] for row in rows] == list(found) and rows[-1]["stage"] == END_TO_END
    assert set(rows[0]["variance"]) == set(ORDER) and set(rows[0]["range_ms"]) == set(CAUSES)
    assert figures["detector_ms"].n == rows[-1]["n"] == times[END_TO_END].size


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama.cpp is missing: pip install 'rarrl[llama]'")
def test_the_policy_from_pictures_to_a_chunk(tmp_path):
    found = policy_times("", 2, [1], 2, 0, tmp_path, nothing, nothing)
    assert tuple(found) == POLICY_STAGES
    parts = sum(ms for stage, ms in found.items() if stage != END_TO_END)
    np.testing.assert_allclose(parts, found[END_TO_END])
    whole, preset = np.median(found["transformer"], axis=(0, 1, 3, 4, 5))
    assert whole > preset > 0, "the preset leaves blocks out"


def test_a_policy_whose_stages_are_not_known_is_refused(tmp_path):
    with pytest.raises(InputError, match="the stages of 'own_parts:Dial' are not known"):
        policy_times("own_parts:Dial", 2, [1], 2, 0, tmp_path, nothing, nothing)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processor time of others is read from Linux")
def test_busy_processes_compute_only_while_they_are_told_to():
    from rarrl.resources.cpu import cpu_seconds

    def children():
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]

    def used(pid, wanted_s):
        """Whether it uses `wanted_s` of processor time within a while."""
        before, end = cpu_seconds(pid), time.monotonic() + 5.0
        while time.monotonic() < end and cpu_seconds(pid) - before < wanted_s:
            time.sleep(0.01)
        return cpu_seconds(pid) - before >= wanted_s

    before = set(children())
    with busy_processes(1) as work:
        (pid,) = set(children()) - before
        work(True)
        assert used(pid, 0.05)
        work(False)
        rested = cpu_seconds(pid)
        time.sleep(0.1)
        assert cpu_seconds(pid) == rested
    assert set(children()) == before
