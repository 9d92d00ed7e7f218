"""Names in the picture of success against seconds: none covers another, a point or the edge.

The whole picture is shown through test_page.py."""

import pytest

from rarrl.report.figure import places_beside


def test_a_name_that_stands_alone_is_to_the_right_of_its_point():
    assert places_beside([(0.0, 0.5), (0.5, 0.9)], ["never", "learned"]) == [(8.0, 0.0), (8.0, 0.0)]


def test_a_name_at_the_right_edge_is_to_the_left():
    assert places_beside([(1.0, 0.5)], ["always"]) == [(-8.0, 0.0)]


@pytest.mark.parametrize(
    ("points", "names"),
    [
        ([(0.3, 0.9), (0.5, 0.9)], ["confidence", "recorded"]),
        ([(0.3, 0.9), (0.32, 0.91), (0.34, 0.9)], ["confidence", "recorded", "risk_table"]),
        ([(0.5, 0.5)] * 4, ["never", "always", "after_failure", "learned"]),
        ([(0.0, 0.0), (0.01, 0.01)], ["never", "learned"]),
    ],
)
def test_names_of_points_that_are_close_stand_on_different_lines_or_sides(points, names):
    placed = places_beside(points, names)
    spans = []
    for (x, y), name, (dx, dy) in zip(points, names, placed, strict=True):
        middle, wide = y + dy / 12 * 0.075, 0.03 * len(name)
        x0 = x + 0.03 if dx > 0 else x - 0.03 - wide
        spans.append((x0, x0 + wide, middle))
    for i, (a0, a1, a) in enumerate(spans):
        for b0, b1, b in spans[:i]:
            assert a1 <= b0 or b1 <= a0 or abs(a - b) > 0.074
