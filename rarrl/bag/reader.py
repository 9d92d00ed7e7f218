"""Reads bags of rosbag2: MCAP and SQLite, a file or the folder with its metadata.yaml. What they hold is untrusted.

The container is read by `mcap` (280 kB) and Python's sqlite3, messages by `mcap-ros2-support` (260 kB). `rosbags`,
which reads both containers by itself, brings 16 MB of packages, sets no limit on what a chunk unpacks to, and refuses a
file whose recorder was killed. The tests read our bags with it, too."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from rarrl.errors import InputError
from rarrl.strict_json import short

from .definitions import DEFINITIONS
from .writer import need_mcap

# Far above what a robot records, and small enough for a computer of 2 GB.
MAX_RECORD = 256 << 20
"""Bytes of a record, and of what a chunk unpacks to. rosbag2's chunks are of less than 1 MB, an image is of 50."""
MAX_TOPICS = 10_000
MAX_FILES = 10_000
MAX_ATTACHMENT = 16 << 20
"""Bytes of an attachment that is kept."""
MAX_ATTACHMENTS = 100
MAGIC = b"\x89MCAP0\r\n"
SUFFIXES = (".mcap", ".db3")
BACK_S = 1.0
"""Seconds by which a message may have been received before one of its topic that stands earlier in the file. Between
topics it may be more: a recorder that is short of time takes them one after the other."""
_HEAD = struct.Struct("<BQ")


@dataclass(frozen=True)
class Message:
    """A recorded message. value: its content, with the fields of its type as attributes. log_s, publish_s: when it was
    received and sent, seconds since 1970."""

    topic: str
    value: Any
    log_s: float
    publish_s: float


@dataclass(frozen=True)
class _Raw:
    topic: str
    kind: str
    log_ns: int
    publish_ns: int
    data: bytes


class Bag:
    """A bag, opened and looked through once.

    Args:
        path: the folder of a bag, or a file of one: *.mcap or *.db3.

    Attributes:
        files: in the order of their names.
        topics: name -> type.
        counts: name -> how many messages.
        attachments: name -> content; of MCAP alone.
        whole: False where a file ends within a record, as one whose recorder was killed.
        start_s, end_s: of the first and last message, seconds since 1970; both 0 of none.

    Raises: InputError, one line, for what is no bag, is damaged, or exceeds the limits; DependencyMissingError."""

    def __init__(self, path: Path) -> None:
        need_mcap("bag")
        self.path = path
        self.files = _files(path)
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.attachments: dict[str, bytes] = {}
        self.whole = True
        first, last = 1 << 63, 0
        newest: dict[str, int] = {}
        for raw in self._raw(self._keep):
            if raw.topic not in self.topics:
                if len(self.topics) >= MAX_TOPICS:
                    raise InputError(f"bag: {path} has more than {MAX_TOPICS} topics")
                self.topics[raw.topic] = raw.kind
                self.counts[raw.topic] = 0
            self.counts[raw.topic] += 1
            first = min(first, raw.log_ns)
            back_s = (newest.get(raw.topic, 0) - raw.log_ns) / 1e9
            if back_s > BACK_S:
                raise InputError(
                    f"bag: {path}: time runs back by {back_s:.1f} s on {short(raw.topic)}: the clock was set while it "
                    f"was recorded; cut it there (`ros2 bag convert`)"
                )
            newest[raw.topic] = max(newest.get(raw.topic, 0), raw.log_ns)
            last = max(last, raw.log_ns)
        self.start_s, self.end_s = (first / 1e9, last / 1e9) if self.topics else (0.0, 0.0)

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """The messages of `topics` in the order of the file, each as the type that `DEFINITIONS` has.

        Raises: InputError for one that is not of its type."""
        decoders: dict[str, Callable[[bytes], Any]] = {}
        for raw in self._raw():
            if raw.topic not in topics:
                continue
            if raw.kind not in decoders:
                decoders[raw.kind] = _decoder(raw.kind, raw.topic)
            try:
                value = decoders[raw.kind](raw.data)
            except Exception as error:
                raise InputError(
                    f"bag: {self.path}: a message on {short(raw.topic)} is no {raw.kind} ({type(error).__name__})"
                ) from None
            yield Message(raw.topic, value, raw.log_ns / 1e9, raw.publish_ns / 1e9)

    def _raw(self, attached: Callable[[str, bytes], None] = lambda *_: None) -> Iterator[_Raw]:
        """Every message. attached: called with the name and content of each attachment."""
        for file in self.files:
            try:
                yield from self._of_mcap(file, attached) if file.suffix == ".mcap" else _of_sqlite(file)
            except (ValueError, OverflowError, struct.error, sqlite3.Error, OSError, MemoryError) as error:
                why = " ".join(str(error).split())[:100]
                raise InputError(f"bag: {file} is damaged, or no bag ({type(error).__name__}: {why})") from None

    def _of_mcap(self, file: Path, attached: Callable[[str, bytes], None]) -> Iterator[_Raw]:
        from mcap.records import Attachment, Channel, Schema
        from mcap.records import Message as McapMessage

        kinds: dict[int, str] = {}
        channels: dict[int, tuple[str, str]] = {}
        for record in self.records(file):
            if isinstance(record, Schema):
                kinds[record.id] = record.name
            elif isinstance(record, Channel):
                channels[record.id] = (record.topic, kinds.get(record.schema_id, ""))
            elif isinstance(record, McapMessage):
                if record.channel_id not in channels:
                    raise InputError(f"bag: {file}: a message of a channel that was not announced")
                yield _Raw(*channels[record.channel_id], record.log_time, record.publish_time, record.data)
            elif isinstance(record, Attachment):
                attached(record.name, record.data)
            if len(channels) > MAX_TOPICS or len(kinds) > MAX_TOPICS:
                raise InputError(f"bag: {file} has more than {MAX_TOPICS} topics")

    def _keep(self, name: str, data: bytes) -> None:
        if len(data) <= MAX_ATTACHMENT and (len(self.attachments) < MAX_ATTACHMENTS or name in self.attachments):
            self.attachments[name] = data

    def records(self, file: Path) -> Iterator[Any]:
        """The records of an MCAP file and of its chunks, up to where it ends or its index begins."""
        from mcap.exceptions import McapError
        from mcap.records import Chunk, DataEnd
        from mcap.stream_reader import StreamReader, breakup_chunk

        with file.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                raise InputError(f"bag: {file} is no MCAP file")
            while True:
                head = stream.read(_HEAD.size)
                length = _HEAD.unpack(head)[1] if len(head) == _HEAD.size else 0
                if length > MAX_RECORD:
                    raise InputError(f"bag: {file}: a record of {length} bytes (allowed: at most {MAX_RECORD})")
                body = stream.read(length)
                if len(head) < _HEAD.size or len(body) < length:
                    self.whole = False
                    return

                # One record at a time: no length that stands inside of it reaches beyond it.
                try:
                    record = next(StreamReader(BytesIO(head + body), skip_magic=True, emit_chunks=True).records, None)
                    if isinstance(record, DataEnd):  # behind it stands the index, which says nothing new
                        return
                    if isinstance(record, Chunk):
                        yield from breakup_chunk(_unpacked(record, file), validate_crc=True)
                    elif record is not None:
                        yield record
                except McapError as error:
                    raise ValueError(str(error) or type(error).__name__) from None


def _unpacked(chunk: Any, file: Path) -> Any:
    """A chunk that is not compressed. Its own word on what it unpacks to is not taken: an archive may lie.

    Raises: InputError where it is more than MAX_RECORD; ValueError where it is none."""
    if chunk.compression == "":
        return chunk
    import lz4.frame
    import zstandard

    try:
        if chunk.compression == "zstd":
            with zstandard.ZstdDecompressor(max_window_size=MAX_RECORD).stream_reader(chunk.data) as stream:
                data = stream.read(MAX_RECORD + 1)
        elif chunk.compression == "lz4":
            data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, MAX_RECORD + 1)
        else:
            raise ValueError(f"compression {chunk.compression[:20]!r} is not known (allowed: zstd, lz4)")
    except (zstandard.ZstdError, RuntimeError) as error:
        raise ValueError(str(error)) from None
    if len(data) > MAX_RECORD:
        raise InputError(f"bag: {file}: a chunk unpacks to more than {MAX_RECORD} bytes")
    return replace(chunk, compression="", data=data)


def _of_sqlite(file: Path) -> Iterator[_Raw]:
    """Of a file that the plugin sqlite3 of rosbag2 wrote. Read-only, without a journal beside it."""
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        # A view may be a program, and one without end.
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'")
        if not {"topics", "messages"} <= {name for (name,) in tables}:
            raise ValueError("it has no tables topics and messages")
        rows = database.execute("SELECT id, name, type, serialization_format FROM topics LIMIT ?", (MAX_TOPICS,))
        topics = {number: (str(name), str(kind)) for number, name, kind, form in rows if form == "cdr"}
        for number, stamp, data in database.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id"):
            if number in topics:
                if not (isinstance(stamp, int) and isinstance(data, bytes) and len(data) <= MAX_RECORD):
                    raise ValueError("a message that is none, or too large")
                yield _Raw(*topics[number], stamp, stamp, data)


def _decoder(kind: str, topic: str) -> Callable[[bytes], Any]:
    """What reads messages of `kind`. Raises: InputError."""
    from mcap.records import Schema
    from mcap_ros2.decoder import DecoderFactory

    if kind not in DEFINITIONS:
        raise InputError(
            f"bag: {short(topic)} carries {short(kind)} (allowed on a topic that is replayed: {', '.join(DEFINITIONS)})"
        )
    schema = Schema(id=1, name=kind, encoding="ros2msg", data=DEFINITIONS[kind].encode())
    decode = DecoderFactory().decoder_for("cdr", schema)
    assert decode is not None
    return decode


def _files(path: Path) -> tuple[Path, ...]:
    """The files of a bag. Raises: InputError."""
    if not path.exists():
        raise InputError(f"bag: {path} does not exist")
    if not path.is_dir():
        if path.suffix not in SUFFIXES:
            raise InputError(f"bag: {path} is no bag of rosbag2 (allowed: a folder, {', '.join(SUFFIXES)})")
        return (path,)

    found = sorted((file for file in path.iterdir() if file.suffix in SUFFIXES), key=_numbered)
    if len({file.suffix for file in found}) != 1 or len(found) > MAX_FILES:
        packed = ": its files are compressed; unpack them, `zstd -d`" if list(path.glob("*.zstd")) else ""
        raise InputError(f"bag: {path} holds no bag of rosbag2, or several (allowed: *.mcap or *.db3 in it){packed}")
    return tuple(found)


def _numbered(file: Path) -> tuple[int, str]:
    """rosbag2 counts the files of a bag at the end of their names: mine_10 comes after mine_9."""
    number = file.stem.rpartition("_")[2]
    return (int(number) if number.isdecimal() and len(number) < 10 else -1, file.name)
