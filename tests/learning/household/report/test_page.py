"""The report of missions as a page: what it holds, what is kept for it, text from outside."""

import pytest
from mission_fixtures import PLAN, played

from rarrl.errors import InputError
from rarrl_learning.household.report.page import read_missions, save_missions, write_mission_report


def test_a_report_of_a_folder(tmp_path):
    save_missions(tmp_path, [played("never", success=False), played("learned", pictures=True)])
    report = write_mission_report(tmp_path, ["a note & more"])
    page = report.html.read_text("utf-8")
    assert report.png.exists() and report.gif is not None and report.gif.stat().st_size < 3_000_000
    assert PLAN in page and "a note &amp; more" in page and "data:image/gif" in page
    assert "<script" not in page and "http" not in page
    again = read_missions(tmp_path)
    assert [p.result.policy for p in again] == ["never", "learned"] and again[1].thoughts[0].answer == PLAN


def test_text_from_outside_stays_text(tmp_path):
    save_missions(tmp_path, [played("<b>x</b>", goal="<img src=x>", success=False, end_reason="<i>late</i>")])
    page = write_mission_report(tmp_path).html.read_text("utf-8")
    assert "<img src=x>" not in page and "<b>x" not in page and "<i>late" not in page


def test_without_pictures_there_is_no_film(tmp_path):
    save_missions(tmp_path, [played("never")])
    assert write_mission_report(tmp_path).gif is None and not (tmp_path / "mission.gif").exists()


def test_only_the_shown_mission_keeps_its_trace(tmp_path):
    save_missions(tmp_path, [played("never", 1), played("never", 2)])
    assert [path.name for path in tmp_path.glob("*.npz")] == ["trace_never_1.npz"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "rarrl missions 1", "missions": [{}]}'])
def test_another_file_is_no_list_of_missions(tmp_path, text):
    (tmp_path / "missions.json").write_text(text)
    with pytest.raises(InputError, match=r"missions: .*(none of ours|not whole JSON)"):
        read_missions(tmp_path)


def test_no_missions_are_no_report(tmp_path):
    (tmp_path / "missions.json").write_text('{"format": "rarrl missions 1", "missions": []}')
    with pytest.raises(InputError, match="holds none"):
        write_mission_report(tmp_path)
