"""The campaign: which rows there are, how each is judged, what is summed up, and that a broken part is told."""

import json

import pytest

from rarrl.errors import InputError, RarrlError
from rarrl.results import make_results, write_results
from rarrl_nodes.faults import campaign
from rarrl_nodes.faults.row import Row, Trial

MATRIX = {
    *(f"C{n}" for n in range(1, 8)),
    *(f"L{n}" for n in range(1, 7)),
    *(f"P{n}" for n in range(1, 5)),
    "N1",
    "N4",
    "B1",
    "B2",
    "M1",
    "M2",
    "M3",
    "M4",
    "S4",
}
"""Rows of the fault matrix that the parts here play; others bring more."""


def row(play=lambda trials, seed: [Trial()] * trials, **changes):
    given = {"trials": 4, "quick_trials": 1, **changes}
    return Row("T0-test", "gate", "a fault", "somehow", "nothing", "in-process", play, **given)


def test_the_fault_matrix_is_there():
    rows = campaign.rows()
    names = [each.name for each in rows]
    assert len(names) == len(set(names)) >= 40
    assert {name.partition("-")[0] for name in names} >= MATRIX
    assert all(each.fault and each.injected and each.expected for each in rows)
    assert any(each.quick for each in rows) and {each.way for each in rows} == {"graph", "in-process"}


def test_two_rows_of_one_name_are_a_mistake(monkeypatch):
    monkeypatch.setattr(campaign, "PARTS", ("gate", "gate"))
    with pytest.raises(ValueError, match="two rows have the name C3-gate"):
        campaign.rows()


def test_a_part_that_is_not_there_is_left_out(monkeypatch):
    monkeypatch.setattr(campaign, "PARTS", ("gate", "not_written_yet"))
    assert len(campaign.rows()) == 4


def test_select():
    rows = campaign.rows()
    assert {each.name for each in campaign.select(rows, ["C1"])} == {"C1-gate", "C1-left", "C1-right"}
    assert all(each.way == "graph" for each in campaign.select(rows, way="graph"))
    assert all(each.quick for each in campaign.select(rows, quick=True))
    with pytest.raises(InputError, match=r"no row 'C1-lef'; did you mean 'C1-left'"):
        campaign.select(rows, ["C1-lef"])
    with pytest.raises(InputError, match="leave no row"):
        campaign.select(rows, ["C1-left"], way="in-process")


def test_a_row_plays_its_own_number_of_trials_or_fewer():
    given = []
    of = row(lambda trials, seed: given.append((trials, seed)) or [Trial()] * trials)
    campaign.play_row(of, 7)
    campaign.play_row(of, 7, quick=True)
    campaign.play_row(of, 7, most=2)
    assert given == [(4, 7), (1, 7), (2, 7)]


@pytest.mark.parametrize(
    ("trial", "changes", "why"),
    [
        (Trial(unsafe=1, outputs=3), {}, "1 of 3 outputs unsafe"),
        (Trial(stop_s=0.6), {"limits": {"stop_s": 0.5}}, "stop_s p99 0.6, allowed 0.5"),
        (Trial(), {"stops": True}, "it never stopped"),
        (Trial(), {"recovers": True}, "1 of 1 did not recover"),
        (Trial(counts={"nan_published": 2}), {}, "nan_published 2"),
        (Trial(counts={"false_stops": 1}), {}, "false_stops 1"),
    ],
)
def test_a_row_can_fail(trial, changes, why):
    assert campaign.outcome_of(row(**changes), [trial])["failed"] == [why]


def test_a_row_that_holds():
    trials = [Trial(detect_s=0.1 * k, stop_s=0.1, recover_s=1.0, counts={"calls": 2}) for k in range(1, 4)]
    limits = {"stop_s": 0.5, "detect_s": 0.5}
    outcome = campaign.outcome_of(row(stops=True, recovers=True, limits=limits), trials)
    assert outcome["failed"] == [] and outcome["unsafe_bound"] == 1.0 and outcome["counts"] == {"calls": 6}
    assert outcome["detect_s"] == {"n": 3, "p50": 0.2, "p99": 0.298, "max": 0.3}


@pytest.mark.parametrize("error", [RarrlError("the node does not start"), ZeroDivisionError("division by zero")])
def test_a_row_that_raises_has_failed_and_the_campaign_goes_on(error):
    def fails(trials, seed):
        raise error

    outcomes = list(campaign.play([row(fails), row()]))
    assert [bool(each["failed"]) for each in outcomes] == [True, False]
    assert str(error) in outcomes[0]["failed"][0] and not outcomes[0]["played"]


def test_sums():
    slow = campaign.outcome_of(row(limits={"stop_s": 0.5}), [Trial(stop_s=0.4, recover_s=2.0)])
    bad = campaign.outcome_of(
        row(recovers=True), [Trial(stop_s=0.2, unsafe=2, outputs=5, counts={"stale_applied": 2}), Trial(recover_s=1.0)]
    )
    watched = Row("N2", "deadman", "", "", "", "graph", None, 1, limits={"stop_s": 0.25})
    deadman = campaign.outcome_of(watched, [Trial(stop_s=0.1)])
    drift = {**campaign.outcome_of(row(), [Trial(stop_s=12.0)]), "name": "D1"}  # it grows: no limit to stop within
    figures = {name: figure.value for name, figure in campaign.figures_of([slow, bad, deadman]).items()}
    assert campaign.figures_of([slow, drift])["stop_p99_s"].value == 0.4
    assert (figures["rows"], figures["rows_failed"], figures["unsafe_outputs"]) == (3, 1, 2)
    assert (figures["stop_p99_s"], figures["deadman_stop_p99_s"]) == (0.4, 0.1)
    assert (figures["stale_applied"], figures["nan_published"], figures["recovered"]) == (2, 0, 0)
    assert "unsafe_bound" not in figures
    assert "unsafe_bound" in campaign.figures_of([slow])


def test_the_file_is_read_back_without_rows_that_could_not_be_played(tmp_path):
    path = tmp_path / "faults.json"
    assert campaign.read_played(path, 0, False) == {}
    good = campaign.outcome_of(row(), [Trial()])
    broken = campaign.outcome_of(row(), [], error="no graph") | {"name": "T1"}
    write_results(path, campaign.results("rarrl faults run", 0, False, [good, broken]))
    assert campaign.read_played(path, 0, False) == {"T0-test": good}
    earlier = {key: value for key, value in good.items() if key != "active_s"}  # of a version that did not measure it
    write_results(
        path,
        campaign.results("rarrl faults run", 0, False, [good])
        | {"tables": {"quick": False, "rows": {"T0-test": earlier}}},
    )
    assert campaign.read_played(path, 0, False) == {"T0-test": good}
    with pytest.raises(InputError, match="another --seed or --quick"):
        campaign.read_played(path, 1, False)
    for bad in ("{", "[]", "[" * 100_000, json.dumps(make_results("x", 0, {}, {}))):
        path.write_text(bad)
        with pytest.raises(InputError, match="is no result of `rarrl faults run`"):
            campaign.read_played(path, 0, False)


def test_rows_that_were_played_are_not_played_again():
    def fails(trials, seed):
        raise AssertionError

    good = campaign.outcome_of(row(), [Trial()])
    assert list(campaign.play([row(fails)], played={"T0-test": good})) == [good]


@pytest.mark.slow
def test_the_quick_campaign_holds():
    """What CI plays: a few trials of each kind of row, over graphs too."""
    pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
    rows = campaign.select(campaign.rows(), quick=True)
    assert len(rows) >= 15
    failed = {each["name"]: each["failed"] for each in campaign.play(rows, quick=True) if each["failed"]}
    failed.pop(
        "S2-instruction", None
    )  # a tenth of what comes by the instruction gets through: docs/explanation/attacks.md
    assert failed == {}
