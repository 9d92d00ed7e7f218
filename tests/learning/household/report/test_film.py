"""The GIF of a mission: its size, its end, and that it shows what happens."""

import io

import numpy as np
from mission_fixtures import result, trace
from PIL import Image

from rarrl_learning.household.report import film
from rarrl_learning.household.report.film import frames, gif


def test_the_film_is_small_and_ends_with_the_outcome(monkeypatch):
    data = gif(trace(), result())
    assert len(data) < film.MOST_BYTES
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 17 and image.is_animated  # 6 s, every 0.4 s, and the end
        image.seek(image.n_frames - 1)
        assert image.info["duration"] == film.END_MS
    whole = len(gif(trace(), result(), most_bytes=10_000_000))
    assert len(gif(trace(), result(), most_bytes=whole - 1)) < whole


def test_the_film_tells_what_it_does():
    shown = list(frames(trace(), result()))
    still = list(frames(trace(pictures=False), None))
    assert {f.shape for f in shown} == {shown[0].shape} == {f.shape for f in still} and shown[0].dtype == np.uint8
    assert not np.array_equal(shown[2], shown[4])  # acts, thinks
    red = np.all(shown[0] == shown[0][100, 600], axis=-1)[44:284, 472:792]
    assert red.mean() > 0.95  # the left eye's picture is there
