import numpy as np
import pytest

from rarrl.executive.certainty import DoneSignals
from rarrl_learning.executive.done_trials import (
    EFFECTS,
    SUITES,
    Sensors,
    Trial,
    household_trials,
    pyrobosim_trials,
    sensed,
)

EXACT = Sensors(gripper=0.0, misses=0.0, imagines=0.0, voxels=0.0, odometry_m=0.0)


def test_exact_sensors_tell_the_truth_in_the_household():
    trials = list(household_trials(range(3), wrong=0.5, stereo=False, sensors=EXACT))
    assert {trial.skill for trial in trials} >= {"navigate", "pick", "place"}
    assert any(not trial.done for trial in trials) and any(trial.done for trial in trials)
    for trial in trials:
        signals = trial.signals
        assert bool(trial.how) is not trial.done
        assert signals.changed is None
        if trial.skill == "pick" and trial.done:
            assert signals.holding and not signals.seen
        if trial.skill == "place" and trial.how == "fingers stuck":
            assert signals.holding
        if trial.skill == "navigate":
            assert (signals.distance_left_m < 0.6) or not trial.done


@pytest.mark.slow  # pyrobosim itself, and its road map
def test_lies_in_pyrobosim_are_found_by_exact_sensors():
    pytest.importorskip("pyrobosim")
    trials = list(pyrobosim_trials([0], lie_rate=0.5, errands=1, sensors=EXACT))
    assert {trial.skill for trial in trials} >= {"navigate", "pick"}
    for trial in trials:
        if trial.skill in ("pick", "place"):
            assert trial.signals.seen is (trial.done == (trial.skill == "place"))
            assert trial.signals.holding is (trial.done == (trial.skill == "pick"))
        assert trial.signals.changed is (None if trial.skill == "navigate" else trial.done)


def test_a_robot_with_few_sensors_keeps_those():
    signals = DoneSignals(seconds=1.0, expected_s=2.0, holding=True, seen=True, changed=False)
    trial = Trial("robot", 0, "pick", signals, True)
    assert sensed(trial, "result and time").signals == DoneSignals(seconds=1.0, expected_s=2.0)
    assert sensed(trial, "and gripper").signals.holding is True
    assert sensed(trial, "and gripper").signals.seen is None
    assert sensed(trial, "and camera") == trial
    assert len(SUITES) == 3


def test_sensors_err_as_often_as_they_say():
    sensors, luck = Sensors(gripper=0.2, misses=0.3, imagines=0.1), np.random.default_rng(0)
    n = 4000
    assert np.mean([sensors.holds(True, luck) for _ in range(n)]) == pytest.approx(0.8, abs=0.03)
    assert np.mean([sensors.sees(True, luck) for _ in range(n)]) == pytest.approx(0.7, abs=0.03)
    assert np.mean([sensors.sees(False, luck) for _ in range(n)]) == pytest.approx(0.1, abs=0.03)


def test_effects_of_the_skills():
    assert (EFFECTS["pick"].holds, EFFECTS["pick"].leaves) == (True, False)
    assert (EFFECTS["place"].holds, EFFECTS["place"].leaves) == (False, True)
    assert EFFECTS["open"].moves_things and not EFFECTS["navigate"].moves_things
