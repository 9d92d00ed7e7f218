"""Writing bags: others read them, a killed writer loses little, a full disk is told."""

from pathlib import Path

import pytest
import yaml

pytest.importorskip("mcap_ros2", reason="mcap is missing: pip install 'rarrl[record]'")
from mcap.reader import make_reader

from rarrl.bag.definitions import DEFINITIONS
from rarrl.bag.reader import Bag
from rarrl.bag.writer import BagWriter, Topic
from rarrl.errors import InputError

ROBOT = Path(__file__).resolve().parents[1] / "data" / "robot.mcap"
NEVER = {"sec": 9223372036, "nsec": 854775807}
QOS = {
    "history": 1,
    "depth": 5,
    "reliability": 1,
    "durability": 2,
    "deadline": NEVER,
    "lifespan": NEVER,
    "liveliness": 1,
    "liveliness_lease_duration": NEVER,
    "avoid_ros_namespace_conventions": False,
}


def copied(folder, flush_at=None):
    """The robot's bag, written by us once more; the writer, still open."""
    bag = Bag(ROBOT)
    writer = BagWriter(folder, "jazzy")
    numbers = {}
    for raw in bag._raw():
        if raw.topic not in numbers:
            numbers[raw.topic] = writer.add(Topic(raw.topic, raw.kind, DEFINITIONS[raw.kind], [QOS]))
        writer.write(numbers[raw.topic], raw.log_ns, raw.publish_ns, raw.data)
        if writer.messages == flush_at:
            writer.flush()
    return writer


def test_others_read_it_whole(tmp_path):
    rosbags = pytest.importorskip("rosbags.rosbag2", reason="rosbags is missing: pip install 'rarrl[dev]'")
    from rosbags.typesys import Stores, get_typestore

    copied(tmp_path / "bag").close()
    store = get_typestore(Stores.ROS2_JAZZY)
    counts = Bag(ROBOT).counts
    for path in (tmp_path / "bag", tmp_path / "bag" / "bag_0.mcap"):
        with rosbags.Reader(path) as reader:
            read = [store.deserialize_cdr(data, connection.msgtype) for connection, _, data in reader.messages()]
            assert len(read) == reader.message_count == sum(counts.values())
            assert {c.topic: c.msgcount for c in reader.connections} == counts
            (qos,) = reader.connections[0].ext.offered_qos_profiles
            assert (qos.depth, qos.reliability.name, qos.durability.name) == (5, "RELIABLE", "VOLATILE")


def test_its_index_and_its_checksums_are_right(tmp_path):
    copied(tmp_path / "bag").close()
    with (tmp_path / "bag" / "bag_0.mcap").open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
        assert summary.statistics.message_count == sum(1 for _ in reader.iter_messages()) > 1000
        assert {channel.message_encoding for channel in summary.channels.values()} == {"cdr"}
        assert {schema.encoding for schema in summary.schemas.values()} == {"ros2msg"}
        (record,) = reader.iter_metadata()
    beside = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert yaml.safe_load(record.metadata["serialized_metadata"]) == beside
    assert beside["relative_file_paths"] == ["bag_0.mcap"] and beside["ros_distro"] == "jazzy"
    assert yaml.safe_load(beside["topics_with_message_count"][0]["topic_metadata"]["offered_qos_profiles"]) == [QOS]


def test_a_killed_writer_leaves_what_was_flushed(tmp_path):
    writer = copied(tmp_path / "bag", flush_at=500)
    bag = Bag(tmp_path / "bag" / "bag_0.mcap")  # as it lies on the disk, without an end
    assert not bag.whole and sum(bag.counts.values()) == 500
    writer.abandon()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_an_error_of_the_system(tmp_path):
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        BagWriter(tmp_path / "bag", stream=full).flush()


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="not empty"):
        BagWriter(tmp_path)
    with pytest.raises(InputError, match="cannot be made"):
        BagWriter(tmp_path / "notes.txt" / "bag")
