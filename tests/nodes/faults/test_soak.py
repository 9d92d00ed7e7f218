"""Hours of driving: growth is told from noise, a process that ended is told, and samples are those of a process."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest

from rarrl_nodes.faults import soak

RNG = np.random.default_rng(3)


def samples(per_hour_mb, count=200, noise_mb=0.1, threads=5, files=9):
    sizes = 80 + per_hour_mb / soak.PER_HOUR * np.arange(count) + noise_mb * RNG.standard_normal(count)
    return [(float(size), threads, files) for size in sizes]


def test_growth_is_told_from_noise():
    counts, note = soak.judged({"flat": samples(0.0), "grows": samples(5.0)})
    assert counts == {"grown": 1, "left": 0} and "flat" in note and "grows +5." in note


def test_growth_counts_beyond_what_a_bare_node_grows_by():
    """rclpy's own growth is not ours; a leak of our own is found beside it, and nothing stands in for a leak."""
    bare = {soak.BARE + name: samples(2.0, noise_mb=0.01) for name in ("same", "leaks")}
    counts, note = soak.judged({"same": samples(2.0, noise_mb=0.01), "leaks": samples(2.4, noise_mb=0.01), **bare})
    assert counts["grown"] == 1 and note.count("rclpy's own +") == 2
    alone = soak.judged({"same": samples(2.0, noise_mb=0.01), soak.BARE + "another": samples(9.0, noise_mb=0.01)})
    assert alone[0]["grown"] == 1


def test_a_slow_leak_is_found_in_the_usual_hour():
    """One page in each ten samples, in steps as memory comes: .14 MB an hour."""
    pages = [(80 + (k // 10) / 256, 5, 9) for k in range(soak.HOUR)]
    assert soak.judged({"node": pages, soak.BARE + "node": [(60.0, 5, 9)] * soak.HOUR})[0]["grown"] == 1


def test_what_fills_in_the_first_half_does_not_count():
    warm = [(40.0 + 0.1 * min(k, 100), 5, 9 + min(k, 100) // 50) for k in range(200)]
    noise = [(size + 0.01 * RNG.standard_normal(), threads, files) for size, threads, files in warm]
    assert soak.judged({"node": noise})[0] == {"grown": 0, "left": 0}


def test_memory_that_stands_still_has_not_grown():
    still = {f"{pages} pages": [(pages * 4 / 1024, 5, 9)] * 240 for pages in RNG.integers(5_000, 100_000, 100)}
    assert soak.judged(still)[0] == {"grown": 0, "left": 0}


def test_threads_and_files_that_stay_are_told():
    late = [*samples(0.0, 100), *samples(0.0, 50, threads=5), *samples(0.0, 50, threads=6, files=11)]
    assert soak.judged({"node": late})[0]["left"] == 3


def test_few_samples_say_nothing():
    counts, note = soak.judged({"node": samples(50.0, 4)})
    assert counts["grown"] == 0 and "too few" in note


def test_a_sample_is_of_a_process_and_its_children():
    size, threads, files = soak.sample(os.getpid())
    assert 1.0 < size < 1e5 and threads >= 1 and files >= 3
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in soak.children(os.getpid())
        child.stdin.close()
    assert soak.sample(child.pid) is None and child.pid not in soak.children(os.getpid())


@pytest.mark.parametrize("ends", [False, True])
def test_a_robot_that_stops_or_loses_a_process_fails(monkeypatch, ends):
    """A robot that is played: it stops once, and a process of it may end half-way."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    class Robot:
        mode = "normal"
        modes, commands = [], []

        def __init__(self):
            self.station = self

        def moving(self):
            return True

        def need(self, condition, what):
            assert condition()

        def listen(self, seconds):
            self.commands += [0.0] * 10
            if len(self.commands) == 20:
                self.modes.append((time.monotonic(), "hold", frozenset()))
                if ends:
                    child.kill()
                    child.wait()

    @contextmanager
    def stage():
        yield Robot(), None, None

    monkeypatch.setattr(soak, "light_stage", stage)
    monkeypatch.setattr(soak, "still_running", lambda folder: {"node": child.pid})
    try:
        trials = soak.play(4, 0)
    finally:
        soak.STAGE.clear()
        child.kill()
        child.communicate()
    assert [trial.outputs for trial in trials] == [10] * 4
    assert [trial.counts["false_stops"] for trial in trials] == [0, 1, 0, 0]
    assert trials[-1].counts["nodes_restarted"] == int(ends)
