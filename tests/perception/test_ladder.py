"""Detectors that take each other's place: the quality that was asked for first, quicker ones while pairs take long."""

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.perception.detectors import DETECTORS
from rarrl.perception.ladder import DetectorLadder
from rarrl.perception.voxels import PRESETS

SPEC = PRESETS["indoor"]


def slow(ladder, seconds, pairs=3, start=100.0):
    return [ladder.took(start + n * seconds, seconds) for n in range(pairs)][-1]


def test_costs_fall_along_the_names():
    costs = [made.cost for made in DETECTORS.values()]
    assert costs == sorted(costs, reverse=True) and len(set(costs)) == len(costs) and costs[0] == 1.0


def test_each_rung_answers_as_the_detector_of_its_name(indoor_pair):
    ladder = DetectorLadder(indoor_pair.rig, SPEC, "accurate", 10.0)
    seen = []
    for name, made in DETECTORS.items():
        assert ladder.quality == name
        grid = ladder.detect(indoor_pair.pair)
        np.testing.assert_array_equal(grid.state, made(indoor_pair.rig, SPEC).detect(indoor_pair.pair).state)
        seen.append(grid.state)
        slow(ladder, 0.101 / DETECTORS[name].cost * made.cost, start=1000.0 * len(seen))
    assert not np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[1], seen[2])
    assert ladder.switches == 2 and ladder.voxelizer.rig == indoor_pair.rig


def test_a_switch_is_told_once_with_its_reason(rig):
    ladder = DetectorLadder(rig, SPEC, "accurate", 10.0)
    line = slow(ladder, 0.15)
    assert line == "quality fast instead of accurate: a pair took 150 ms, and at 10 Hz it may take 100 ms"
    assert [ladder.took(200.0 + 0.1 * n, 0.08) for n in range(5)] == [""] * 5
    ladder.reset()
    assert (ladder.quality, ladder.switches) == ("accurate", 0)


@pytest.mark.parametrize(("quality", "target_hz"), [("accurate", 0.0), ("fast", 0.0), ("quick", 10.0)])
def test_without_a_rate_or_a_quicker_one_nothing_changes(rig, quality, target_hz):
    ladder = DetectorLadder(rig, SPEC, quality, target_hz)
    assert slow(ladder, 5.0, 20) == "" and (ladder.quality, ladder.switches) == (quality, 0)


def test_it_begins_with_the_quality_that_is_set(rig):
    ladder = DetectorLadder(rig, SPEC, "fast", 10.0)
    assert ladder.quality == "fast" and "quick instead of fast" in slow(ladder, 0.15)
    with pytest.raises(InputError, match="allowed: accurate, fast, quick"):
        DetectorLadder(rig, SPEC, "best", 10.0)
