"""A process sees how long it waits for a core, by what Linux counts."""

import pytest

from rarrl.resources import own_share
from rarrl.resources.own_share import OwnShare


@pytest.fixture
def threads(tmp_path, monkeypatch):
    """Writes what two threads ran and waited, seconds; and no reading is too early."""
    monkeypatch.setattr(own_share, "READ_EVERY_S", 0.0)

    def write(ran_s, waited_s):
        for name in ("1", "2"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "schedstat").write_text(f"{int(5e8 * ran_s)} {int(5e8 * waited_s)} 12\n")

    write(1.0, 0.0)
    return tmp_path, write


def test_the_slowdown_is_of_what_was_computed_since(threads):
    folder, write = threads
    share = OwnShare(folder)
    assert share.slowdown() == 1.0
    write(1.2, 0.6)
    assert share.slowdown() == pytest.approx(4.0)
    write(1.21, 0.61)
    assert share.slowdown() == pytest.approx(4.0), "10 ms tell nothing yet"
    write(2.2, 0.6)
    assert share.slowdown() == pytest.approx(1.0)


def test_a_thread_that_ended_takes_its_counts_along(threads):
    folder, write = threads
    share = OwnShare(folder)
    write(1.2, 0.6)
    assert share.slowdown() == pytest.approx(4.0)
    write(0.1, 0.0)
    assert share.slowdown() == pytest.approx(4.0)
    write(0.3, 0.2)
    assert share.slowdown() == pytest.approx(2.0)


def test_where_nothing_is_counted_there_is_no_slowdown(tmp_path):
    assert OwnShare(tmp_path / "none").slowdown() == 1.0


def test_this_process_is_seen():
    assert OwnShare().slowdown() >= 1.0
