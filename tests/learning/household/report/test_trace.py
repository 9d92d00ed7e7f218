"""The trace of a mission: stops, its file, and other files."""

import numpy as np
import pytest
from mission_fixtures import trace

from rarrl.errors import InputError
from rarrl_learning.household.report.trace import load_trace, save_trace


def test_stops_that_touch_are_one():
    assert [(round(t0, 1), round(t1, 1)) for t0, t1, _ in trace().stops()] == [(1.1, 1.3), (4.1, 4.1)]


def test_a_trace_is_kept_whole(tmp_path):
    save_trace(tmp_path / "t.npz", trace())
    back, own = load_trace(tmp_path / "t.npz"), trace()
    assert back.decisions == own.decisions and back.pictures == own.pictures and back.gate == own.gate
    assert np.array_equal(back.pose, own.pose) and np.array_equal(back.home.walls, own.home.walls)
    assert back.home.words == own.home.words and back.duration_s == own.duration_s
    assert back.picture(0).shape == (240, 320, 3) and abs(int(back.picture(0)[0, 0, 2]) - 200) < 5  # RGB


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04 but no archive"])
def test_another_file_is_no_trace(tmp_path, data):
    (tmp_path / "t.npz").write_bytes(data)
    with pytest.raises(InputError, match=r"mission trace: .*(none of ours|not a whole .npz file)"):
        load_trace(tmp_path / "t.npz")
