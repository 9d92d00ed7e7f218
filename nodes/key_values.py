"""Key-value texts in the single `DiagnosticStatus` of a `DiagnosticArray`, as all value objects travel here.

Numbers are written with enough digits to be read back exactly. Every node loads this module, which imports nothing of
ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what a recording holds is read without ROS
    from builtin_interfaces.msg import Time
    from diagnostic_msgs.msg import DiagnosticArray

SCHEMA = "1"
"""Version of the key-value format. A message with another version is refused."""

MAX_VALUES = 64
"""Key-value pairs; the largest message that is read back has 57."""
MAX_TEXT = 10_000
"""Characters per key or value: far above what a run needs, and a bad sender does not exhaust the memory."""
QUOTED = 40
"""Characters of a value that an error message quotes."""
OK = b"\x00"
"""Level of a `DiagnosticStatus`."""


def array(
    name: str, values: Mapping[str, object], stamp: Time, level: bytes = OK, message: str = ""
) -> DiagnosticArray:
    """A message with a single status.

    Args:
        name: "node: task", as the diagnostics of ROS have it.
    """
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

    texts = [KeyValue(key=key, value=as_text(value)) for key, value in values.items()]
    msg = DiagnosticArray(status=[DiagnosticStatus(level=level, name=name, message=message, values=texts)])
    msg.header.stamp = stamp
    return msg


def values_of(msg: DiagnosticArray) -> dict[str, str]:
    """The key-value texts of a message.

    Raises: ValueError unless it holds exactly one status of this schema, texts within the limits, unique keys."""
    if len(msg.status) != 1:
        raise ValueError(f"expected one status, got {len(msg.status)}")

    values = msg.status[0].values
    if len(values) > MAX_VALUES or any(len(v.key) > MAX_TEXT or len(v.value) > MAX_TEXT for v in values):
        raise ValueError(f"more than {MAX_VALUES} values or {MAX_TEXT} characters in one")

    texts = {v.key: v.value for v in values}
    if len(texts) != len(values):
        raise ValueError("a key occurs twice")
    if texts.get("schema") != SCHEMA:
        raise ValueError(f"key schema: {quoted(texts.get('schema'))} is not {SCHEMA!r}")
    return texts


def as_text(value: object) -> str:
    """A value as it is sent."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value)) if isinstance(value, float) else str(value)  # repr is read back as the same number


def quoted(text: object) -> str:
    """What an error message shows of a value."""
    return repr(text if not isinstance(text, str) or len(text) <= QUOTED else text[: QUOTED - 3] + "...")
