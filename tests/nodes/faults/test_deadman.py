"""The deadman's rows: clean where it is well, and they catch one that is not."""

import pytest

from rarrl.safety.deadman import Deadman
from rarrl.safety.timeline import Timeline
from rarrl_nodes.faults import deadman
from rarrl_nodes.faults.station import STAGE

ROWS = {row.name: row for row in deadman.rows()}
CLOCKS = ["T1-deadman", "T2-deadman"]


def total(trials, name):
    return sum(trial.counts.get(name, 0) for trial in trials)


@pytest.mark.parametrize("name", CLOCKS)
def test_no_clock_stops_it_or_makes_old_commands_fresh(name):
    trials = ROWS[name].play(20, 1)
    assert len(trials) == 20 and total(trials, "false_stops") == total(trials, "stale_applied") == 0
    assert sum(trial.unsafe for trial in trials) == 0


@pytest.mark.parametrize("name", CLOCKS)
def test_the_rows_catch_a_deadman_that_looks_at_no_stamp(name, monkeypatch):
    command = Deadman.command
    monkeypatch.setattr(Deadman, "command", lambda self, v, taken, now, number: command(self, v, now, now, number))
    trials = ROWS[name].play(20, 1)
    assert total(trials, "stale_applied") == sum(trial.unsafe for trial in trials) > 20


@pytest.mark.parametrize("name", CLOCKS)
def test_the_rows_catch_a_deadman_that_believes_in_its_first_clock(name, monkeypatch):
    look = Timeline.look
    monkeypatch.setattr(Timeline, "look", lambda self, ros, now: look(self, ros, now) if self._offset is None else None)
    assert total(ROWS[name].play(20, 1), "false_stops") > 100


def test_each_row_over_ros_has_trials_and_a_limit_where_it_stops():
    assert len(ROWS) == 11 and all(row.trials >= 10 for row in ROWS.values())
    for row in ROWS.values():
        assert row.stops is bool(row.limits) and row.limits.get("stop_s", 0.25) == 0.25


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if name not in CLOCKS and row.quick])
def test_a_trial_of_each_row_over_ros(name):
    pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
    (trial,) = ROWS[name].play(1, 0)
    assert trial.unsafe == 0 and trial.note == "" and not any(trial.counts.values())
    assert not ROWS[name].recovers or trial.recover_s is not None


def teardown_module():
    STAGE.clear()
