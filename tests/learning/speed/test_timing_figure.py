"""The picture of where time varies."""

import cv2
import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl_learning.speed.timing import ORDER
from rarrl_learning.speed.timing_figure import COLOURS, draw_timing


def row(part, stage, mean=3.0, **shares):
    return {
        "part": part,
        "stage": stage,
        "mean_ms": mean,
        "sd_ms": mean / 3,
        "p99_over_p50": 2.0,
        "variance": dict.fromkeys(ORDER, 0.0) | shares,
    }


def test_the_shares_are_drawn_in_their_colours(tmp_path):
    path = tmp_path / "t.png"
    rows = [row("detector", "match", model=0.5, data=0.5), row("policy", "pictures", hardware=1.0)]
    draw_timing(rows, path)
    picture = cv2.imread(str(path))
    colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    drawn = {tuple(colour[::-1]): count for colour, count in zip(colours.tolist(), counts.tolist(), strict=True)}
    rgb = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in COLOURS]
    data, model, hardware = (drawn[rgb[ORDER.index(cause)]] for cause in ("data", "model", "hardware"))
    assert data == pytest.approx(model, rel=0.1) and hardware == pytest.approx(2 * data, rel=0.1)


def test_other_endings_and_places_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"does not end in one of \.png"):
        draw_timing([row("detector", "match")], tmp_path / "t.bmp")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        draw_timing([row("detector", "match")], tmp_path / "file" / "t.png")
