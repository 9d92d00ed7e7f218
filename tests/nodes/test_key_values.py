"""Key-value texts: numbers come back bit by bit, and a message that is no such text is refused."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from rarrl_nodes import key_values


def test_bad_envelopes_are_refused():
    def message(*pairs, n=1):
        return DiagnosticArray(status=[DiagnosticStatus(values=[KeyValue(key=k, value=v) for k, v in pairs])] * n)

    schema = ("schema", "1")
    for bad in (
        DiagnosticArray(),
        message(schema, n=2),
        message(),
        message(("schema", "2")),
        message(schema, schema),
        message(schema, ("plan", "x" * 1_000_000)),
        message(schema, *((str(i), "") for i in range(1000))),
    ):
        with pytest.raises(ValueError):
            key_values.values_of(bad)
    assert key_values.values_of(message(schema)) == {"schema": "1"}


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-300, -2.5e300, 0.0])
def test_numbers_travel_exactly(value):
    msg = key_values.array("test: x", {"schema": key_values.SCHEMA, "x": value}, Time())
    assert float(key_values.values_of(msg)["x"]) == value


def test_what_an_error_quotes_is_short():
    assert key_values.quoted("a" * 1000) == repr("a" * (key_values.QUOTED - 3) + "...")
    assert key_values.quoted(None) == "None"
