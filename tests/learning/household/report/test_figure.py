"""The picture of missions: figures by hand, the mission that is shown, what was seen, and that it is drawn."""

import io
from dataclasses import replace

import numpy as np
from mission_fixtures import played, result, trace
from PIL import Image

from rarrl_learning.household.report.figure import HEAD, budget_curve, figures_of, render, seen, shown_seed


def test_figures_are_means_and_sums_per_policy():
    rows = figures_of([result("a", 1), result("a", 2, False, llm_s=4.0, collisions=1), result("b", 1)])
    first, second = rows
    assert (first.policy, first.done, first.n, first.share, first.llm_s) == ("a", 1, 2, 0.75, 3.0)
    assert (first.collisions, first.gate_stops, second.done) == (1, 4, 1)
    assert first.low < 0.5 < first.high
    assert len(first.row()) == len(HEAD) and first.row()[1] == "1 of 2"


def test_the_shown_mission_is_one_that_tells_the_policies_apart():
    same = [result("a", 1), result("b", 1), result("a", 2), result("b", 2, False)]
    assert shown_seed(same)[0] == 2
    quiet = [result("a", 1, calls=0), result("b", 1, calls=0), result("a", 2, calls=0), result("b", 2, calls=3)]
    assert shown_seed(quiet) == (2, "the first with a call of the language model")
    assert shown_seed([result("a", 1), result("a", 2, False), result("b", 1)])[0] == 1  # b has not played the second


def test_the_budget_falls_during_calls():
    times, left = budget_curve(trace())
    assert times == [0.0, 1.0, 3.0, 6.0] and left == [10.0, 10.0, 8.0, 8.0]


def test_what_was_seen_leaves_people_out():
    wedges, cells = seen(trace())
    assert len(wedges) == 20 and wedges[0].shape == (4, 2)
    assert (60, 20) in {tuple(c) for c in cells.tolist()}  # the shelf's front at x = 6, hit again and again
    near = replace(trace(), people=np.full((60, 1, 2), (6.0, 2.0)))
    assert (60, 20) not in {tuple(c) for c in seen(near)[1].tolist()}


def test_the_picture_shows_every_policy():
    runs = [played("never", success=False), played("learned")]
    picture = render([p.trace for p in runs], [p.result for p in runs])
    with Image.open(io.BytesIO(picture)) as image:
        assert image.width == 1404 and image.height > 600
    text = render([p.trace for p in runs], [p.result for p in runs], "svg").decode()
    assert text.startswith("<?xml")


def test_no_mission_at_all_is_a_picture_of_the_table():
    assert render([], [result()])[:4] == b"\x89PNG"
