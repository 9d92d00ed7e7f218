"""Reading bags: MCAP and SQLite, whole, cut and damaged, and what an archive may claim."""

import random
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("mcap_ros2", reason="mcap is missing: pip install 'rarrl[record]'")
from bag_fixtures import ARRAY, TWIST, plain, twist, write_bag
from mcap.writer import CompressionType, Writer

from rarrl.bag import reader
from rarrl.bag.reader import Bag
from rarrl.bag.writer import BagWriter, Topic
from rarrl.errors import InputError

ROBOT = Path(__file__).resolve().parents[1] / "data" / "robot.mcap"


def messages(path, *topics):
    bag = Bag(path)
    return [(m.topic, plain(m.value), m.log_s) for m in bag.messages(set(topics) or set(bag.topics))]


def test_a_bag_says_what_it_holds():
    bag = Bag(ROBOT)
    assert bag.whole and bag.topics["/command"] == TWIST and bag.topics["/state"] == ARRAY
    assert sum(bag.counts.values()) == len(messages(ROBOT)) > 1000
    assert set(bag.attachments) >= {"rarrl/settings/safety_gate_node.json", "rarrl/expected.json.gz"}
    assert 20.0 < bag.end_s - bag.start_s < 60.0


def test_content_comes_back(tmp_path):
    path = write_bag(tmp_path / "a.mcap", [("/command", TWIST, twist(5.25, 0.3, -0.1), 5.5)])
    (message,) = Bag(path).messages({"/command"})
    assert (message.value.twist.linear.x, message.value.twist.angular.z) == (0.3, -0.1)
    assert (message.value.header.stamp.nanosec, message.value.header.frame_id) == (250_000_000, "base_link")
    assert (message.log_s, message.publish_s) == (5.5, 5.5)


def test_a_file_that_was_cut_reads_up_to_there(tmp_path):
    data = ROBOT.read_bytes()
    whole = messages(ROBOT, "/cmd_vel")
    path = tmp_path / "cut.mcap"
    lengths = []
    for end in range(0, len(data), len(data) // 40):
        path.write_bytes(data[:end])
        try:
            found = messages(path, "/cmd_vel")
        except InputError:
            assert end < 100
            continue
        assert found == whole[: len(found)]
        lengths.append(len(found))
    assert lengths == sorted(lengths) and lengths[-1] == len(whole)
    path.write_bytes(data[: len(data) // 2])
    assert not Bag(path).whole


def test_damage_is_told_in_one_line_or_changes_nothing_that_is_read(tmp_path):
    data = ROBOT.read_bytes()
    rng = random.Random(1)
    path = tmp_path / "hurt.mcap"
    refused = 0
    for _ in range(60):
        hurt = bytearray(data)
        for _ in range(rng.choice((1, 1, 20))):
            hurt[rng.randrange(len(hurt))] = rng.randrange(256)
        path.write_bytes(hurt)
        try:
            messages(path, "/odom")
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 10


def chunk_file(path, raw, uncompressed_size=None, compression="zstd"):
    """An MCAP file of one chunk that holds `raw` as it is."""
    body = struct.pack("<QQQI", 0, 1, len(raw) if uncompressed_size is None else uncompressed_size, 0)
    body += struct.pack("<I", len(compression)) + compression.encode() + struct.pack("<Q", len(raw)) + raw
    path.write_bytes(reader.MAGIC + struct.pack("<BQ", 1, 8) + bytes(8) + struct.pack("<BQ", 6, len(body)) + body)
    return path


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_chunk_may_not_unpack_to_more_than_the_limit(tmp_path, monkeypatch, compression):
    import lz4.frame
    import zstandard

    monkeypatch.setattr(reader, "MAX_RECORD", 1 << 20)
    zeros = bytes(16 << 20)
    raw = zstandard.compress(zeros) if compression == "zstd" else lz4.frame.compress(zeros)
    assert len(raw) < 1 << 20
    with pytest.raises(InputError, match=r"unpacks to more than|too much memory"):
        Bag(chunk_file(tmp_path / "bomb.mcap", raw, 100, compression))  # it claims 100 bytes
    assert Bag(chunk_file(tmp_path / "none.mcap", b"", 0, "")).topics == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no MCAP file"),
        (b"#ROSBAG V2.0\n", "no MCAP file"),
        (reader.MAGIC + struct.pack("<BQ", 5, 1 << 62), "a record of"),
        (reader.MAGIC + struct.pack("<BQ", 5, 22) + bytes(22), "not announced"),
        (reader.MAGIC + struct.pack("<BQ", 4, 2) + b"\x01\x00", "damaged"),
    ],
)
def test_what_is_no_bag_is_refused_in_one_line(tmp_path, content, told):
    path = tmp_path / "bad.mcap"
    path.write_bytes(content)
    with pytest.raises(InputError, match=told) as error:
        Bag(path)
    assert "\n" not in str(error.value)


def test_time_that_runs_back_is_refused(tmp_path):
    path = write_bag(tmp_path / "back.mcap", [("/c", TWIST, twist(at), at) for at in (10.0, 9.5, 11.0)])
    assert Bag(path).start_s == 9.5  # two threads of a recorder
    path = write_bag(tmp_path / "back.mcap", [("/c", TWIST, twist(at), at) for at in (10.0, 11.0, 3.0)])
    with pytest.raises(InputError, match=r"time runs back by 8\.0 s"):
        Bag(path)


def test_a_message_that_is_not_of_its_type_is_refused(tmp_path):
    path = tmp_path / "odd.mcap"
    with path.open("wb") as stream:
        writer = Writer(stream, compression=CompressionType.NONE)
        writer.start("ros2")
        # A definition of its own, which would be read without end, is not looked at.
        schema = writer.register_schema(TWIST, "ros2msg", b"std_msgs/Empty[] x\n")
        channel = writer.register_channel("/command", "cdr", schema)
        writer.add_message(channel, 0, b"\x00\x01\x00\x00\xff\xff\xff\xff", 0)
        other = writer.register_channel("/own", "cdr", writer.register_schema("my/msg/Own", "ros2msg", b""))
        writer.add_message(other, 0, b"", 0)
        writer.finish()
    bag = Bag(path)
    with pytest.raises(InputError, match=f"is no {TWIST}"):
        list(bag.messages({"/command"}))
    with pytest.raises(InputError, match="my/msg/Own"):
        list(bag.messages({"/own"}))


def test_a_folder_is_one_bag(tmp_path):
    for number in (2, 10, 9):
        write_bag(tmp_path / f"b_{number}.mcap", [("/c", TWIST, twist(number), number)])
    assert [file.stem for file in Bag(tmp_path).files] == ["b_2", "b_9", "b_10"]
    (tmp_path / "b_0.db3").touch()
    with pytest.raises(InputError, match="or several"):
        Bag(tmp_path)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "b_0.mcap.zstd").touch()
    with pytest.raises(InputError, match="unpack them"):
        Bag(tmp_path / "packed")
    with pytest.raises(InputError, match="does not exist"):
        Bag(tmp_path / "nothing")
    with pytest.raises(InputError, match="no bag of rosbag2"):
        Bag(Path(__file__))


def test_bags_of_sqlite_read_alike(tmp_path):
    rosbags = pytest.importorskip("rosbags.rosbag2", reason="rosbags is missing: pip install 'rarrl[dev]'")
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    with (
        rosbags.Reader(ROBOT) as source,
        rosbags.Writer(tmp_path / "sql", version=9, storage_plugin=rosbags.StoragePlugin.SQLITE3) as target,
    ):
        made = {c.id: target.add_connection(c.topic, c.msgtype, typestore=store) for c in source.connections}
        for connection, at, data in source.messages():
            target.write(made[connection.id], at, data)
    bag = Bag(tmp_path / "sql")
    assert bag.files[0].suffix == ".db3" and bag.counts == Bag(ROBOT).counts
    assert messages(tmp_path / "sql", "/scan") == messages(ROBOT, "/scan")

    data = bag.files[0].read_bytes()
    for end in (0, 50, len(data) // 2):
        (tmp_path / "cut.db3").write_bytes(data[:end])
        with pytest.raises(InputError, match="damaged, or no bag"):
            messages(tmp_path / "cut.db3")


def test_a_database_whose_tables_are_programs_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "endless.db3")) as database:
        database.execute("CREATE TABLE topics(id INTEGER, name TEXT, type TEXT, serialization_format TEXT)")
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, i, i, '' FROM n"
        database.execute(f"CREATE VIEW messages(id, topic_id, timestamp, data) AS {endless}")
    with pytest.raises(InputError, match="no tables topics and messages"):
        Bag(tmp_path / "endless.db3")


def test_what_we_write_we_read(tmp_path):
    (message,) = list(Bag(write_bag(tmp_path / "a.mcap", [("/c", TWIST, twist(1.0, 0.2), 1.0)])).messages({"/c"}))
    writer = BagWriter(tmp_path / "own")
    number = writer.add(Topic("/c", TWIST))
    raw = next(iter(Bag(tmp_path / "a.mcap")._raw()))
    writer.write(number, 2_000_000_000, 1_000_000_000, raw.data)
    writer.attach("x.json", b"{}")
    writer.close()
    bag = Bag(tmp_path / "own")
    (again,) = bag.messages({"/c"})
    assert plain(again.value) == plain(message.value) and (again.log_s, again.publish_s) == (2.0, 1.0)
    assert bag.attachments == {"x.json": b"{}"} and bag.whole
