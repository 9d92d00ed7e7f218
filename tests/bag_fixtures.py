"""Bags for tests: messages of `rarrl.bag.definitions`, written by `mcap-ros2-support`."""

from types import SimpleNamespace

from mcap_ros2.writer import Writer

from rarrl.bag.definitions import DEFINITIONS

ARRAY = "diagnostic_msgs/msg/DiagnosticArray"
TWIST = "geometry_msgs/msg/TwistStamped"


def header(at_s, frame="base_link"):
    return {"stamp": {"sec": int(at_s), "nanosec": round(at_s % 1 * 1e9)}, "frame_id": frame}


def twist(at_s, v=0.0, omega=0.0):
    zero = {"x": 0.0, "y": 0.0, "z": 0.0}
    return {"header": header(at_s), "twist": {"linear": {**zero, "x": v}, "angular": {**zero, "z": omega}}}


def write_bag(path, messages):
    """messages: (topic, type, content as nested mappings, seconds)."""
    with path.open("wb") as stream:
        writer = Writer(stream)
        schemas = {kind: writer.register_msgdef(kind, DEFINITIONS[kind]) for _, kind, _, _ in messages}
        for topic, kind, content, at_s in messages:
            at_ns = round(at_s * 1e9)
            writer.write_message(topic, schemas[kind], content, at_ns, at_ns)
        writer.finish()
    return path


def plain(value):
    """A decoded message as nested tuples, to compare."""
    if isinstance(value, SimpleNamespace) or hasattr(value, "__slots__"):
        names = getattr(value, "__slots__", None) or vars(value)
        return tuple((name, plain(getattr(value, name))) for name in names)
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value
