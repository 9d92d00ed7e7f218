"""Rows of files and wires, a few trials of each: refused in one line, counted, and able to say no."""

from pathlib import Path

import pytest

from rarrl.errors import InputError
from rarrl_nodes.faults import wire_files, wires
from rarrl_nodes.faults.campaign import outcome_of, play_row

ROWS = {row.name: row for row in wires.rows()}


@pytest.mark.parametrize("name", ["M2-orchestrator", "M3-weights", "M4-files", "S1-text", "R1-disk"])
def test_a_row_is_clean(name):
    row = ROWS[name]
    trials = row.play(row.quick_trials, 1)
    assert len(trials) == row.quick_trials
    assert not [trial for trial in trials if trial.unsafe or trial.counts["exceptions"]]


def test_models_are_refused_before_llama_cpp_sees_them():
    pytest.importorskip("llama_cpp")
    assert not [t for t in ROWS["M1-reader"].play(6, 1) if t.unsafe or t.counts["exceptions"]]


def test_strangers_are_counted_and_friends_answered():
    pytest.importorskip("websockets")
    assert not [t for t in ROWS["S4-strangers"].play(5, 1) if t.unsafe or any(t.counts.values())]


def test_of_a_flood_a_few_tasks_are_begun_and_the_newest_last():
    pytest.importorskip("rclpy")
    (trial,) = ROWS["S1-flood"].play(1, 1)
    assert not trial.unsafe
    assert 10 <= trial.counts["begun"] <= 20 and trial.counts["begun"] + trial.counts["dropped"] == 3000


def offer(read):
    return wire_files.refused(lambda place, rng: lambda: read(place))(1, 0)[0]


def test_what_is_taken_is_unsafe():
    taken = offer(lambda place: "a value")
    assert (taken.unsafe, taken.counts["accepted"], taken.note) == (1, 1, "accepted")


@pytest.mark.parametrize(
    "error", [KeyError("a"), ValueError("a"), RecursionError(), AssertionError("a pickle was run")]
)
def test_another_error_than_the_documented_one_is_counted(error):
    def read(place):
        raise error

    assert offer(read).counts == {"accepted": 0, "exceptions": 1, "parent_crashes": 0}


def test_a_folder_of_the_trial_is_not_told():
    def read(place: Path):
        raise InputError(f"config: {place}/a.yaml: no")

    assert offer(read).note == "config: DIR/a.yaml: no"


def test_a_failing_trial_fails_its_row():
    row = ROWS["M4-files"]
    bad = type(row)(**{**vars(row), "play": wire_files.refused(lambda place, rng: lambda: "taken"), "trials": 2})
    outcome = play_row(bad, 0)
    assert outcome["unsafe"] == 2
    assert outcome_of is not None
