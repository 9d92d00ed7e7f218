"""Writes what a robot's topics carried as a bag of rosbag2: one MCAP file and its metadata.yaml, in a folder.

A process that is killed leaves a file that reads up to its last flush: `ros2 bag reindex` and `mcap recover` give it
the index that it lacks, and `reader.Bag` reads it as it is. https://mcap.dev/spec,
https://github.com/ros2/rosbag2/tree/rolling/rosbag2_storage_mcap"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from rarrl import __version__
from rarrl.errors import DependencyMissingError, InputError
from rarrl.files import write_text_atomic

METADATA = "metadata.yaml"
METADATA_VERSION = 8
"""The newest that rosbag2 of Humble to Rolling all read: 9 writes a quality of service in words, which Humble does not
know."""
CHUNK_BYTES = 1 << 20
"""A chunk is compressed alone and read alone: a megabyte, as `mcap` itself has it."""
NEED = "pip install 'rarrl[record]'"

Qos = Mapping[str, Any]
"""A publisher's quality of service: keys and numbers as metadata.yaml of rosbag2 has them."""


def need_mcap(what: str) -> None:
    """Raises: DependencyMissingError where the extra `record` is not installed. what: begins the message."""
    if find_spec("mcap") is None or find_spec("mcap_ros2") is None:
        raise DependencyMissingError(f"{what}: mcap is missing; {NEED}")


@dataclass(frozen=True)
class Topic:
    """A topic as it is recorded.

    Attributes:
        kind: type of its messages, such as sensor_msgs/msg/LaserScan.
        definition: text of that type, `ros2msg`, with the types that it is made of.
        qos: of its publishers.
        type_hash: REP 2016's, such as RIHS01_...; "" where it is not known.
    """

    name: str
    kind: str
    definition: str = ""
    qos: Sequence[Qos] = ()
    type_hash: str = ""


def bag_file(folder: Path) -> Path:
    """The MCAP file of the bag in `folder`, named as rosbag2 does it.

    >>> print(bag_file(Path("runs/mine")))
    runs/mine/mine_0.mcap
    """
    return folder / f"{folder.name}_0.mcap"


class BagWriter:
    """A new bag.

    Args:
        folder: made; must not be there, or be empty.
        distro: name of the ROS distribution, for metadata.yaml.
        stream: where the file goes instead; for tests of what a full disk does.

    Attributes:
        path: the MCAP file.
        messages: how many were written.

    Raises: InputError where the folder cannot be made; DependencyMissingError without mcap."""

    def __init__(self, folder: Path, distro: str = "", stream: BinaryIO | None = None) -> None:
        need_mcap("record")
        from mcap.writer import CompressionType, Writer

        self.folder = folder
        self.path = bag_file(folder)
        self._distro = distro
        self._topics: dict[int, Topic] = {}
        self._schemas: dict[str, int] = {}
        self._counts: dict[int, int] = {}
        self._first_ns: int | None = None
        self._last_ns = 0
        self._stream = stream or self._new_file()
        self._writer = Writer(self._stream, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start("ros2", f"rarrl {__version__}")
        self._writer.flush()

    def _new_file(self) -> BinaryIO:
        folder = self.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise InputError(f"record: {folder} is not empty; name a new folder")
            return self.path.open("xb")
        except OSError as error:
            raise InputError(
                f"record: {folder} cannot be made ({error.strerror}); name a new folder for the bag"
            ) from None

    @property
    def messages(self) -> int:
        return sum(self._counts.values())

    def add(self, topic: Topic) -> int:
        """Announces a topic; the number that `write` knows it by. Raises: OSError."""
        if topic.kind not in self._schemas:
            definition = topic.definition.encode("utf-8")
            self._schemas[topic.kind] = self._writer.register_schema(topic.kind, "ros2msg", definition)

        metadata = {"offered_qos_profiles": qos_text(topic.qos)}
        if topic.type_hash:
            metadata["topic_type_hash"] = topic.type_hash
        number = self._writer.register_channel(topic.name, "cdr", self._schemas[topic.kind], metadata)
        self._topics[number] = topic
        self._counts[number] = 0
        return number

    def write(self, topic: int, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Adds a message as it came over the wire: CDR with its header of four bytes. Raises: OSError.

        log_ns, publish_ns: when it was received and sent, nanoseconds since 1970."""
        self._counts[topic] += 1
        self._first_ns = log_ns if self._first_ns is None else min(self._first_ns, log_ns)
        self._last_ns = max(self._last_ns, log_ns)
        self._writer.add_message(topic, log_ns, data, publish_ns, self._counts[topic])

    def attach(self, name: str, data: bytes, media_type: str = "application/json") -> None:
        """Adds a file of its own to the bag. Raises: OSError."""
        self._writer.flush()
        self._writer.add_attachment(0, self._last_ns, name, media_type, data)

    def flush(self) -> None:
        """Brings all that was written so far to the disk's cache: a process that is killed loses nothing of it."""
        self._writer.flush()

    def close(self) -> None:
        """Writes the index, and metadata.yaml. Raises: OSError."""
        information = self._information()
        self._writer.add_metadata("rosbag2", {"serialized_metadata": yaml.safe_dump(information, sort_keys=False)})
        self._writer.finish()
        self._stream.close()
        text = yaml.safe_dump({"rosbag2_bagfile_information": information}, sort_keys=False)
        write_text_atomic(self.folder / METADATA, text)

    def abandon(self) -> None:
        """Lets go of the file as it is, after an error."""
        with suppress(OSError):
            self._stream.close()

    def _information(self) -> dict[str, Any]:
        start = self._first_ns or 0
        duration = max(self._last_ns - start, 0)

        def span() -> dict[str, Any]:
            return {
                "duration": {"nanoseconds": duration},
                "starting_time": {"nanoseconds_since_epoch": start},
                "message_count": self.messages,
            }

        return {
            "version": METADATA_VERSION,
            "storage_identifier": "mcap",
            **span(),
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.kind,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": qos_text(topic.qos),
                        "type_description_hash": topic.type_hash,
                    },
                    "message_count": self._counts[number],
                }
                for number, topic in self._topics.items()
            ],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [self.path.name],
            "files": [{"path": self.path.name, **span()}],
            "custom_data": None,
            "ros_distro": self._distro,
        }


def qos_text(profiles: Sequence[Qos]) -> str:
    """As rosbag2 writes the quality of service of a topic's publishers; "" of none."""
    return yaml.safe_dump([dict(profile) for profile in profiles], sort_keys=False) if profiles else ""
