"""Messages of types that are known by name alone: finds the type, fills a message from a template, reads a result.

A template is what stands under `goal:` in a skills file: nested mappings and lists, whose texts may hold `{parameter}`
or `{parameter.part}`. A text that is nothing but a placeholder takes the argument as it is, number or pose."""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rosidl_parser.definition import (
    AbstractGenericString,
    AbstractNestedType,
    Array,
    BasicType,
    BoundedSequence,
    NamespacedType,
)

from rarrl.errors import InputError
from rarrl.plugins import did_you_mean
from rarrl.skills.world import PARTS
from rarrl.strict_json import short

KINDS = ("action", "srv", "msg")
"""The middle of a type's name; `pkg/Type` without it does not say which of them is meant."""

MAX_ITEMS = 1000
"""Elements of an array in a result that are read; an image or a map has more, and no outcome stands in its pixels."""

MAX_DEPTH = 8
"""Levels of nested messages in a result that are read."""

_NAME = re.compile(r"([a-z][a-z0-9_]*)/(\w+)/([A-Z]\w*)")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_TIMES = ("builtin_interfaces/Time", "builtin_interfaces/Duration")
_POSES = {
    "geometry_msgs/Pose2D": "",
    "geometry_msgs/Point": "",
    "geometry_msgs/PointStamped": "point",
    "geometry_msgs/Pose": "",
    "geometry_msgs/PoseStamped": "pose",
    "geometry_msgs/PoseWithCovariance": "pose",
    "geometry_msgs/PoseWithCovarianceStamped": "pose",
}
"""Messages that a pose fills as a whole -> the part of them that holds it."""


# Types


def load_type(name: str, kind: str = "", where: str = "") -> Any:
    """The Python class of a ROS type such as `nav2_msgs/action/NavigateToPose`.

    Args:
        kind: the kind that is needed, "action", "srv" or "msg".
        where: begins the message of an error.

    Raises: InputError where the name is none, the package or the type is missing, or the type is of another kind."""
    where = f"{where}: " if where else ""
    found = _NAME.fullmatch(name)
    if not found or found[2] not in KINDS:
        example = {"action": "nav2_msgs/action/NavigateToPose", "srv": "std_srvs/srv/Trigger"}.get(
            kind, "std_msgs/msg/String"
        )
        raise InputError(
            f"{where}{short(name)} is no name of a ROS type (allowed: package/{kind or '|'.join(KINDS)}/Type, such as "
            f"{example})"
        )
    package, middle, leaf = found.groups()
    if kind and middle != kind:
        raise InputError(f"{where}{name} is a type of kind {middle}; here stands one of kind {kind}")

    try:
        importlib.import_module(package)
    except ImportError as error:
        raise InputError(f"{where}{_why_no_package(package, error)}") from None
    try:
        module = importlib.import_module(f"{package}.{middle}")
    except ImportError:
        raise InputError(f"{where}the package {package} holds no type of kind {middle}") from None

    types = _types_in(module)
    if leaf not in types:
        listed = f"; it has {', '.join(sorted(types)[:8])}" if types else ""
        raise InputError(f"{where}{package}/{middle} has no type {leaf!r}{did_you_mean(leaf, types)}{listed}")
    return types[leaf]


def _types_in(module: Any) -> dict[str, Any]:
    """Types of a module of generated messages, without the parts of services and actions."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and "_" not in name and not name.startswith("Metaclass")
    }


def _why_no_package(package: str, error: ImportError) -> str:
    """Why a package of messages cannot be loaded, and the way out."""
    if getattr(error, "name", package) not in (package, None):
        return f"the ROS package {package} cannot be loaded ({error}); build and source its workspace once more"
    debian = package.replace("_", "-")
    return (
        f"the ROS package {package} is not installed here{did_you_mean(package, installed_packages())}; install it "
        f"(apt install ros-$ROS_DISTRO-{debian}), or build it in your workspace (colcon build --packages-select "
        f"{package}) and source that"
    )


def installed_packages() -> tuple[str, ...]:
    """Names of the packages of messages that Python can load here."""
    found = set()
    for folder in map(Path, sys.path):
        for kind in KINDS:
            found |= {path.parent.parent.name for path in folder.glob(f"*/{kind}/__init__.py")}
    return tuple(sorted(found))


def type_name(kind: Any) -> str:
    """The name of a message's class, as ROS writes it in field types.

    >>> from std_msgs.msg import String
    >>> type_name(String)
    'std_msgs/String'
    """
    return f"{kind.__module__.partition('.')[0]}/{kind.__name__}"


def fields_of(kind: Any) -> dict[str, Any]:
    """Field -> its type, of a class of messages."""
    return dict(zip(kind.get_fields_and_field_types(), kind.SLOT_TYPES, strict=True))


def constants_of(kind: Any) -> dict[str, Any]:
    """Constant -> its value, of a class of messages.

    >>> from diagnostic_msgs.msg import DiagnosticStatus
    >>> constants_of(DiagnosticStatus)["STALE"]
    b'\\x03'
    """
    return {name: getattr(kind, name) for name in dir(type(kind)) if name.isupper() and not name.startswith("_")}


@lru_cache(maxsize=256)
def _class_of(package: str, middle: str, name: str) -> Any:
    return getattr(importlib.import_module(f"{package}.{middle}"), name)


def class_of(slot: NamespacedType) -> Any:
    """The class of the messages that a field holds."""
    package, middle = slot.namespaces[0], slot.namespaces[-1]
    return _class_of(package, middle, slot.name)


# Filling


@dataclass(frozen=True)
class Frame:
    """What poses are filled with besides x, y and yaw. stamp: seconds and nanoseconds of the node's clock."""

    name: str = "map"
    stamp: tuple[int, int] = (0, 0)


def fill(
    message: Any,
    template: Mapping[str, Any],
    arguments: Mapping[str, Any],
    frame: Frame | None = None,
    where: str = "goal",
) -> Any:
    """Sets the fields of `message` that `template` names; the others keep their defaults.

    Args:
        arguments: parameter -> a text, a number, a pose, or something with parts: a mapping or an object.
        where: the path of the message, for errors.

    Raises: InputError, one line, where a field, a value or a placeholder does not fit."""
    if not isinstance(template, Mapping):
        raise InputError(f"{where}: {short(template)} is no mapping of fields of {type_name(type(message))}")
    slots = fields_of(type(message))
    for name, value in template.items():
        if name not in slots:
            known = ", ".join(slots) or "none"
            raise InputError(
                f"{where}: {type_name(type(message))} has no field {short(name)}{did_you_mean(str(name), slots)} "
                f"(its fields: {known})"
            )
        setattr(message, name, _value(slots[name], value, arguments, frame or Frame(), f"{where}.{name}"))
    return message


def resolve(text: str, arguments: Mapping[str, Any], where: str) -> Any:
    """A text of a template with its placeholders filled in. A text that is one placeholder becomes its argument.

    Raises: InputError for a placeholder that stands for nothing."""
    whole = _PLACEHOLDER.fullmatch(text)
    if whole:
        return _argument(whole[1], arguments, where)
    return _PLACEHOLDER.sub(lambda found: _in_text(_argument(found[1], arguments, where)), text)


def _argument(path: str, arguments: Mapping[str, Any], where: str) -> Any:
    name, *parts = path.split(".")
    if name not in arguments:
        known = ", ".join(arguments) or "none"
        raise InputError(f"{where}: {{{path}}} is no parameter{did_you_mean(name, arguments)} (parameters: {known})")
    value = arguments[name]
    for number, part in enumerate(parts):
        holder = ".".join((name, *parts[:number]))
        inner = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
        if inner is None:
            inner = getattr(value, "values", {}).get(part) if not isinstance(value, Mapping) else None
        if inner is None and number:
            raise InputError(f"{where}: {holder} has no {part!r}; write {{{name}.x}}, {{{name}.y}} or {{{name}.yaw}}")
        if inner is None:
            named = f" ({short(value)})" if isinstance(value, str) else ""
            key = "" if part in PARTS else ", under values"
            raise InputError(f"{where}: {holder}{named} has no {part!r}; give it one in the world file{key}")
        value = inner
    return value


def _in_text(value: Any) -> str:
    named = getattr(value, "name", value)
    return f"{named:g}" if isinstance(named, float) else str(named)


def _value(slot: Any, value: Any, arguments: Mapping[str, Any], frame: Frame, where: str) -> Any:
    """`value` of a template as the field of type `slot` takes it."""
    given = isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is not None
    if isinstance(value, str):
        value = resolve(value, arguments, where)

    if isinstance(slot, AbstractNestedType):
        return _array(slot, value, arguments, frame, where)
    if isinstance(slot, AbstractGenericString):
        return _text(slot, value, given, where)
    if isinstance(slot, NamespacedType):
        return _message(slot, value, arguments, frame, where)
    return _scalar(slot, value, where)


def _array(slot: Any, value: Any, arguments: Mapping[str, Any], frame: Frame, where: str) -> Any:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence | np.ndarray):
        raise InputError(f"{where}: {short(value)} is no list")
    if isinstance(slot, Array) and len(value) != slot.size:
        raise InputError(f"{where}: has {len(value)} elements, the field has exactly {slot.size}")
    if isinstance(slot, BoundedSequence) and len(value) > slot.maximum_size:
        raise InputError(f"{where}: has {len(value)} elements, the field takes at most {slot.maximum_size}")

    items = [_value(slot.value_type, each, arguments, frame, f"{where}[{at}]") for at, each in enumerate(value)]
    numbers = isinstance(slot.value_type, BasicType) and slot.value_type.typename not in ("boolean", "octet")
    if isinstance(slot, Array) and numbers:
        kinds = {"float": "float32", "double": "float64", "char": "uint8"}
        typename = slot.value_type.typename
        return np.array(items, dtype=kinds.get(typename, typename))
    return items


def _text(slot: Any, value: Any, given: bool, where: str) -> str:
    named = getattr(value, "name", value)
    if given and isinstance(named, (int, float)) and not isinstance(named, bool):
        named = _in_text(named)
    if not isinstance(named, str):
        raise InputError(f"{where}: {short(value)} is no text; write it in quotes")
    limit = getattr(slot, "maximum_size", None)
    if limit is not None and len(named) > limit:
        raise InputError(f"{where}: {short(named)} has {len(named)} characters, the field takes at most {limit}")
    return named


def _scalar(slot: BasicType, value: Any, where: str) -> Any:
    kind = slot.typename
    if kind == "boolean":
        if not isinstance(value, (bool, np.bool_)):
            raise InputError(f"{where}: {short(value)} is not true or false")
        return bool(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        hint = "; write a plain number without quotes" if isinstance(value, str) else ""
        raise InputError(f"{where}: {short(value)} is no number, the field is {kind}{hint}")
    if kind in ("float", "double", "long double"):
        number = float(value)
        if math.isnan(number) or (kind == "float" and math.isfinite(number) and abs(number) > _FLOAT32_MAX):
            raise InputError(f"{where}: {number} is out of range of {kind}")
        return number

    if not math.isfinite(value) or value != int(value):
        raise InputError(f"{where}: {value} is no whole number, the field is {kind}")
    low, high = _limits(kind)
    if not low <= int(value) <= high:
        raise InputError(f"{where}: {int(value)} is out of range of {kind} ({low} to {high})")
    return bytes([int(value)]) if kind == "octet" else int(value)


def _limits(kind: str) -> tuple[int, int]:
    if kind in ("octet", "char", "uint8"):
        return 0, 255
    bits = int(kind.lstrip("uint"))
    return (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _message(slot: NamespacedType, value: Any, arguments: Mapping[str, Any], frame: Frame, where: str) -> Any:
    kind = class_of(slot)
    name = type_name(kind)
    if isinstance(value, kind):
        return value
    if name in _TIMES:
        seconds = _seconds(value, frame, name, where)
        if seconds is not None:
            return kind(sec=seconds[0], nanosec=seconds[1])
    if name == "geometry_msgs/Quaternion" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return kind(z=math.sin(value / 2.0), w=math.cos(value / 2.0))
    if name in _POSES and _is_pose(value, kind):
        value = _resolved(value, arguments, where)
        return _pose(kind, name, value, frame, where)
    if not isinstance(value, Mapping):
        raise InputError(
            f"{where}: {short(value)} cannot fill a {name}; write its fields: {', '.join(fields_of(kind))}"
        )
    return fill(kind(), value, arguments, frame, where)


def _resolved(value: Any, arguments: Mapping[str, Any], where: str) -> Any:
    """A pose that is written as a mapping or a list, with its placeholders filled in."""
    if isinstance(value, Mapping):
        return {name: _resolved(each, arguments, where) for name, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, arguments, where) for each in value]
    return resolve(value, arguments, where) if isinstance(value, str) else value


def _is_pose(value: Any, kind: Any) -> bool:
    """Whether `value` is a pose as a whole; a mapping may also name the message's own fields."""
    if not isinstance(value, Mapping):
        return True
    return set(value) <= {"x", "y", "yaw", "frame"} and not set(value) <= set(fields_of(kind))


def _seconds(value: Any, frame: Frame, name: str, where: str) -> tuple[int, int] | None:
    """A time or duration of a template in seconds and nanoseconds; None where it is written as fields."""
    if value == "now" and name.endswith("Time"):
        return frame.stamp
    if isinstance(value, Mapping):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{where}: {short(value)} is no time; write seconds, or `now` for the node's time")
    if not -(2**31) <= value < 2**31:
        raise InputError(f"{where}: {value} s is out of range of {name}")
    whole = math.floor(value)
    nanoseconds = round((value - whole) * 1e9)
    return (whole + nanoseconds // 10**9, nanoseconds % 10**9)


def _pose(kind: Any, name: str, value: Any, frame: Frame, where: str) -> Any:
    x, y, yaw, own_frame = pose_of(value, where)
    message = kind()
    target = getattr(message, _POSES[name]) if _POSES[name] else message
    if name == "geometry_msgs/PoseWithCovarianceStamped":
        target = target.pose
    if name == "geometry_msgs/Pose2D":
        target.x, target.y, target.theta = x, y, yaw
    elif name.startswith("geometry_msgs/Point"):
        target.x, target.y = x, y
    else:
        target.position.x, target.position.y = x, y
        target.orientation.z, target.orientation.w = math.sin(yaw / 2.0), math.cos(yaw / 2.0)
    if hasattr(message, "header"):
        message.header.frame_id = own_frame or frame.name
        message.header.stamp.sec, message.header.stamp.nanosec = frame.stamp
    return message


def pose_of(value: Any, where: str = "pose") -> tuple[float, float, float, str]:
    """x and y in metres, yaw in rad, and the frame ("" where it says none) of a pose: a list [x, y, yaw], a mapping, or
    an object with these attributes. A yaw that is missing is 0.

    Raises: InputError for anything else."""
    if isinstance(value, (list, tuple, np.ndarray)):
        numbers, frame = list(value), ""
    else:
        get = value.get if isinstance(value, Mapping) else lambda key, default=None: getattr(value, key, default)
        numbers, frame = [get("x"), get("y"), get("yaw", 0.0)], get("frame", "") or ""
    usable = len(numbers) in (2, 3) and all(
        isinstance(each, (int, float, np.floating, np.integer)) and not isinstance(each, bool) and math.isfinite(each)
        for each in numbers
    )
    if not usable:
        raise InputError(f"{where}: {short(value)} is no pose (allowed: x and y in metres, yaw in rad)")
    x, y, yaw = (*map(float, numbers), 0.0)[:3]
    return x, y, yaw, str(frame)


# Reading


def slot_at(kind: Any, path: str, where: str = "result") -> tuple[Any, Any]:
    """The class of the message that holds the field at a dotted path, and the field's type.

    Raises: InputError where there is no such field."""
    holder, slot = kind, None
    walked = where
    for part in path.split("."):
        if slot is not None:
            if not isinstance(slot, NamespacedType):
                raise InputError(f"{walked} has no fields, and so no {part!r}")
            holder = class_of(slot)
        slots = fields_of(holder)
        if part not in slots:
            raise InputError(
                f"{walked}: {type_name(holder)} has no field {part!r}{did_you_mean(part, slots)} "
                f"(its fields: {', '.join(slots) or 'none'})"
            )
        slot, walked = slots[part], f"{walked}.{part}"
    return holder, slot


def read(message: Any, path: str) -> Any:
    """The value at a dotted path, as plain Python. Raises: InputError where there is no such field."""
    slot_at(type(message), path)
    for part in path.split("."):
        message = getattr(message, part)
    return plain(message)


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A message as nested dicts, lists, numbers and texts. Arrays above MAX_ITEMS are left out (None)."""
    if hasattr(value, "get_fields_and_field_types"):
        return {name: plain(getattr(value, name), depth - 1) for name in fields_of(type(value))} if depth else None
    if isinstance(value, bytes):
        return value[0] if len(value) == 1 else list(value[:MAX_ITEMS])
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    return [plain(each, depth - 1) for each in value] if len(value) <= MAX_ITEMS else None


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of all that is not a message of its own."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def codes_at(kind: Any, path: str) -> dict[str, Any]:
    """Constants of the message that holds the field at `path`, as plain Python: what its codes are called."""
    holder, _ = slot_at(kind, path)
    return {name: plain(value) for name, value in constants_of(holder).items()}


def is_code(slot: Any) -> bool:
    """Whether a field may hold an outcome's code: a number, a truth value or a text."""
    return isinstance(slot, BasicType | AbstractGenericString)
