"""The results document: figures with intervals, machine and versions, valid JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from rarrl import results
from rarrl.results import Figure, machine, make_results, versions, write_results


def test_a_figure_as_text() -> None:
    assert Figure(0.8234, "s").text() == "0.823"
    assert Figure(0.8234, "s", 10, 0.801, 0.84).text(2) == "0.82 [0.8, 0.84]"
    assert Figure(-3.0, "points", 10, -4.25, -1.0).text() == "-3 [-4.25, -1]"


def test_the_document_round_trips(tmp_path: Path) -> None:
    figures = {"a": Figure(1.5, "s", 3, 1.0, 2.0), "b": Figure(2.0, "times")}
    document = make_results("rarrl eval", 7, figures, {"t": {"x": [1, 2]}})
    write_results(tmp_path / "deep" / "r.json", document)
    read = json.loads((tmp_path / "deep" / "r.json").read_text())
    assert read == document
    assert read["figures"]["a"] == {"value": 1.5, "unit": "s", "n": 3, "lo": 1.0, "hi": 2.0}
    assert read["figures"]["b"]["lo"] is None
    assert (read["command"], read["seed"], read["tables"]) == ("rarrl eval", 7, {"t": {"x": [1, 2]}})
    assert len(read["date"]) == 10


def test_what_it_was_measured_on() -> None:
    m = machine()
    assert set(m) == {"platform", "processor", "cores", "python"} and m["cores"] >= 1
    v = versions()
    assert {"rarrl", "numpy", "gymnasium"} <= set(v) and all(v.values())


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PACKAGES", ("numpy", "no-such-package-at-all"))
    assert set(versions()) == {"numpy"}


def test_nan_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_results(path, make_results("c", 0, {}, {}))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_results(path, make_results("c", 0, {"a": Figure(math.nan, "s")}, {}))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
