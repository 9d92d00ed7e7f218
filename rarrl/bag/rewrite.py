"""Writes an MCAP file again with other attachments: a regression test's bag with what it expects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path

from rarrl.errors import InputError
from rarrl.files import write_bytes_atomic

from .reader import Bag
from .writer import CHUNK_BYTES

MAX_BYTES = 1 << 30
"""Of a file that is written again: it is held in memory."""


def rewrite(bag: Bag, path: Path, attachments: Mapping[str, bytes], topics: Collection[str] | None = None) -> None:
    """Writes `bag` to `path`, whole or not at all. A bag without a change gives the same bytes each time.

    Args:
        bag: of a single MCAP file; may be `path` itself.
        attachments: name -> content; they win over those of the bag, which are kept otherwise.
        topics: those that are kept; None: all.

    Raises: InputError where the bag is of several files or no MCAP, is too large, or `path` cannot be written."""
    from mcap.records import Channel, Message, Metadata, Schema
    from mcap.writer import CompressionType, Writer

    if len(bag.files) != 1 or bag.files[0].suffix != ".mcap":
        raise InputError(f"bag: {bag.path} is not one MCAP file, which alone can be written again; `ros2 bag convert`")
    if bag.files[0].stat().st_size > MAX_BYTES:
        raise InputError(f"bag: {bag.files[0]} is larger than {MAX_BYTES} bytes; cut it first (`ros2 bag convert`)")

    stream = BytesIO()
    writer = Writer(stream, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
    writer.start("ros2", "rarrl")
    schemas: dict[int, Schema] = {}
    numbers: dict[str, int] = {}  # schema's name -> number in the new file
    channels: dict[int, int | None] = {}
    for record in bag.records(bag.files[0]):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel) and record.id not in channels:
            channels[record.id] = None
            if topics is None or record.topic in topics:
                schema = schemas[record.schema_id]
                if schema.name not in numbers:
                    numbers[schema.name] = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[record.id] = writer.register_channel(
                    record.topic, record.message_encoding, numbers[schema.name], record.metadata
                )
        elif isinstance(record, Message) and (number := channels[record.channel_id]) is not None:
            writer.add_message(number, record.log_time, record.data, record.publish_time, record.sequence)
        elif isinstance(record, Metadata) and topics is None:
            writer.add_metadata(record.name, record.metadata)
    for name, data in sorted({**bag.attachments, **attachments}.items()):
        writer.add_attachment(0, 0, name, "application/octet-stream", data)
    writer.finish()
    try:
        write_bytes_atomic(path, stream.getvalue())
    except OSError as error:
        raise InputError(f"bag: {path} cannot be written ({error.strerror}); name another path") from None
