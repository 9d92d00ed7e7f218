"""Writing a bag again: the same messages, other attachments."""

from pathlib import Path

import pytest

pytest.importorskip("mcap_ros2", reason="mcap is missing: pip install 'rarrl[record]'")
from bag_fixtures import TWIST, twist, write_bag

from rarrl.bag.reader import Bag
from rarrl.bag.rewrite import rewrite
from rarrl.errors import InputError

ROBOT = Path(__file__).resolve().parents[1] / "data" / "robot.mcap"


def test_only_the_attachment_changes(tmp_path):
    path = tmp_path / "again.mcap"
    rewrite(Bag(ROBOT), path, {"new.json": b"1"})
    before, after = Bag(ROBOT), Bag(path)
    assert after.attachments == {**before.attachments, "new.json": b"1"}
    assert list(after._raw()) == list(before._raw())
    first = path.read_bytes()
    rewrite(after, path, {"new.json": b"1"})
    assert path.read_bytes() == first


def test_topics_are_left_out(tmp_path):
    rewrite(Bag(ROBOT), tmp_path / "less.mcap", {}, ["/scan", "/odom"])
    assert set(Bag(tmp_path / "less.mcap").topics) == {"/scan", "/odom"}


def test_several_files_are_refused(tmp_path):
    for number in range(2):
        write_bag(tmp_path / f"b_{number}.mcap", [("/c", TWIST, twist(number), number)])
    with pytest.raises(InputError, match="not one MCAP file"):
        rewrite(Bag(tmp_path), tmp_path / "b.mcap", {})
    with pytest.raises(InputError, match="cannot be written"):
        rewrite(Bag(ROBOT), ROBOT / "below", {})
