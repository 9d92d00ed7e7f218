"""The report's page: verdict, a line per row, and nothing that comes from outside unescaped."""

from rarrl_nodes.faults import campaign
from rarrl_nodes.faults.page import page
from rarrl_nodes.faults.row import Row, Trial


def document(*trials, note=""):
    of = Row("T0-test", "gate", "a <b> fault", "somehow", "nothing", "in-process", None, 1, limits={"stop_s": 0.5})
    outcome = campaign.outcome_of(of, trials)
    return campaign.results("rarrl faults run --only '<x>'", 3, True, [outcome])


def test_a_page_of_rows_that_hold():
    text = page(document(Trial(stop_s=0.25, counts={"calls": 2})))
    assert "All 1 rows held." in text and "0.25 / 0.25 / 0.25" in text and "calls 2" in text
    assert "<b>" not in text and "<x>" not in text and "<script" not in text


def test_a_page_of_a_row_that_failed():
    text = page(document(Trial(unsafe=1, note="<i>moved</i>")))
    assert "1 of 1 rows failed." in text and "1 of 1 outputs unsafe" in text and "<details open>" in text
    assert "<i>" not in text
