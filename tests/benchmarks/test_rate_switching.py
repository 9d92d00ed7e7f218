"""benchmarks/rate_switching.py: what its figures count, and that they can come out against switching."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import rate_switching as bench


def answers(numbers, quality="accurate"):
    return [bench.Answer(number, number / 10, number / 10 + 0.05, quality) for number in numbers]


def test_the_rate_is_what_was_answered_of_what_was_due():
    every = range(100)
    assert bench.deviations(answers(every), 100, 10.0).tolist() == [0.0] * 10
    half = [n for n in every if n < 50 or n % 2]
    np.testing.assert_allclose(bench.deviations(answers(half), 100, 10.0), [0.0] * 5 + [0.5] * 5)
    assert bench.deviations(answers([]), 25, 10.0).tolist() == [1.0, 1.0], "of whole windows"


def test_a_film_goes_there_and_back():
    film = bench.Film(None, [], [])
    numbers = [film.frame(n) for n in range(3 * bench.FRAMES)]
    assert set(numbers) == set(range(bench.FRAMES)) and set(map(abs, np.diff(numbers))) == {1}


def row(variant, deviation):
    columns = dict.fromkeys(("rate_deviation_rms", "age_p95_ms", "iou"), 0.5)
    return {"variant": variant, "rate_deviation": deviation, "switches": 2, **columns}


@pytest.mark.parametrize(("fixed", "switching", "ratio"), [(0.4, 0.1, 0.25), (0.1, 0.4, 4.0)])
def test_switching_can_lose(fixed, switching, ratio):
    rows = [row(bench.FIXED, fixed), row(bench.SWITCHING, switching), row(bench.QUICKEST, 0.0)]
    measured = {name: {"iou": [0.5], "missed_free": [0.01]} for name in bench.DETECTORS}
    figures = bench._figures(rows, measured, [dict.fromkeys(bench.DETECTORS, 1.0)], 10.0)
    assert figures["rate_deviation_ratio"].value == pytest.approx(ratio)
    assert figures["rate_deviation_fixed"].value == fixed and figures["rate_deviation_switching"].value == switching


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="cores are taken away by Linux's affinity")
def test_cores_are_taken_away_and_given_back():
    import os

    before = os.sched_getaffinity(0)
    cores = bench.Cores(1)
    try:
        cores.leave(1, 1)
        assert os.sched_getaffinity(0) == {max(before)}
        assert os.sched_getaffinity(cores._busy[0].pid) == {max(before)}
        cores.leave(2, 0)
        assert os.sched_getaffinity(0) == set(sorted(before)[-2:])
    finally:
        cores.close()
        os.sched_setaffinity(0, before)
    assert cores._busy[0].returncode is not None
