"""Reads JSON from outside and reports whatever is wrong with it in one line: what, where, what is allowed, the fix."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from rarrl.errors import InputError
from rarrl.files import read_file

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Bytes: larger files are refused before they are read, because a robot's computer has little memory to spare."""

RESTORE = "restore the file"
"""What to do about a damaged file that a program wrote."""
MEND = "mend it there"
"""What to do about one that people write."""
_LISTS = {"frozen_set_type": "write a list of names", "tuple_type": "write a list"}
"""Faults whose text speaks of Python's types, which no file knows -> what to do."""

Model = TypeVar("Model", bound=BaseModel)


def short(value: object, limit: int = 60) -> str:
    """Returns `repr(value)` cut to `limit` characters, because a value from outside must not flood a message."""
    # The value is cut first: the repr of a string or list of 60 MB would be as large again.
    text = repr(value[:limit] if isinstance(value, (str, bytes, list, tuple)) else value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def check_regular_file(path: Path, what: str, max_bytes: int = MAX_FILE_BYTES) -> None:
    """Refuses what should not be read.

    Raises: InputError if nothing is there, or it is a folder, a device, a pipe, or larger than `max_bytes`."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise InputError(f"{what}: {path} does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise InputError(f"{what}: {short(str(path))} cannot be read ({error})") from None

    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{what}: {path} is a folder; give the path of a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{what}: {path} is not a regular file; copy it to one first")
    if status.st_size > max_bytes:
        raise InputError(f"{what}: {path} has {status.st_size} bytes, at most {max_bytes} are read; split the file")


def parse_json(data: bytes, what: str, where: str, remedy: str = RESTORE) -> Any:
    """Parses strict JSON: NaN, infinity and duplicate keys are refused. remedy: what to do about what is no JSON.

    Raises: InputError, one line that begins with `what: where`."""

    def refuse_constant(name: str) -> Any:
        raise ValueError(f"{name} is not a JSON number; numbers must be finite")

    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise ValueError(f"key {short(twice)} is given twice in one object; keep one")
        return result

    try:
        return json.loads(data, parse_constant=refuse_constant, object_pairs_hook=refuse_duplicates)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{what}: {where} is not whole JSON at {at} ({error.msg}); {remedy}") from None
    except RecursionError:
        raise InputError(f"{what}: {where} is nested too deeply to be one of ours; {remedy}") from None
    except ValueError as error:  # a constant, a duplicate, bad UTF-8, an integer of thousands of digits
        raise InputError(f"{what}: {where}: {' '.join(str(error).split())[:200]}") from None


def read_json(path: Path, what: str, remedy: str = RESTORE) -> Any:
    """Reads the file `path` as strict JSON. Raises: InputError (see `check_regular_file` and `parse_json`)."""
    check_regular_file(path, what)
    return parse_json(read_file(path, what), what, os.fspath(path), remedy)


def validated(model: type[Model], value: Any, what: str, where: str, parts: dict[str, type[BaseModel]]) -> Model:
    """Returns `model.model_validate(value)`.

    parts: top-level key -> the model of its members, whose field descriptions say what is allowed.

    Raises: InputError, one line about the first fault."""
    if not isinstance(value, dict):
        raise InputError(f"{what}: {where}: {_no_object(model, value)}")

    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputError(f"{what}: {where}: {describe(error, model, parts)}") from None


def _no_object(model: type[BaseModel], value: Any) -> str:
    return f"{short(value)} is not allowed (allowed: an object with the keys {', '.join(model.model_fields)})"


def faults(model: type[BaseModel], value: Any) -> list[str]:
    """All that is wrong with `value`, one line each; [] where it is a `model`."""
    if not isinstance(value, dict):
        return [_no_object(model, value)]
    try:
        model.model_validate(value)
    except ValidationError as error:
        return [_described(fault, model, {}) for fault in _sorted(error)]
    return []


def describe(error: ValidationError, model: type[BaseModel], parts: dict[str, type[BaseModel]]) -> str:
    """Describes the first fault of `error`: record number (from 1), key, value, what is allowed, and the fix."""
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return _described(_sorted(error)[0], model, parts, more)


def _sorted(error: ValidationError) -> list[ErrorDetails]:
    """Unknown keys first: one that is misspelt explains another that is missing."""
    return sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")


def _described(first: ErrorDetails, model: type[BaseModel], parts: dict[str, type[BaseModel]], more: str = "") -> str:
    loc = first["loc"]
    owner = _owner(model, loc) if not parts else parts.get(str(loc[0]), model) if len(loc) > 1 else model
    number = next((f"record {part + 1}, " for part in loc if isinstance(part, int)), "")
    key = ".".join(str(part) for part in loc if not isinstance(part, int))
    reason = " ".join(first["msg"].split()).removeprefix("Value error, ")

    if first["type"] == "extra_forbidden":
        allowed = ", ".join(owner.model_fields)
        return f"{number}key {short(key)} is unknown; allowed keys: {allowed}{_hint(str(loc[-1]), owner)}{more}"
    if first["type"] == "missing":
        return f"{number}key {key} is missing; add it{_allowed(owner, loc)}{more}"
    if first["type"] == "value_error" or not loc:  # our own validators already say what is allowed
        return f"{number}{key + ': ' if key else ''}{reason}{more}"

    reason = _LISTS.get(first["type"], reason)
    value = short(first["input"])
    return f"{number}key {short(key)[1:-1]}: {value} is not allowed{_allowed(owner, loc)}; {reason}{more}"


def _owner(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The model, `model` itself or one within it, that holds the last key of `loc`."""
    owner: Any = model
    kind: Any = model
    for part in loc[:-1]:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field is not None else None
        else:  # a key of a mapping, or a number of a list
            kind = next((each for each in reversed(get_args(kind)) if each is not Ellipsis), None)
        if not isinstance(kind, type):  # `Observes | None`
            inner = [each for each in get_args(kind) if isinstance(each, type) and issubclass(each, BaseModel)]
            kind = inner[0] if inner and get_origin(kind) in (UnionType, Union) else kind
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            owner = kind
    return cast("type[BaseModel]", owner)


def _hint(key: str, owner: type[BaseModel]) -> str:
    close = get_close_matches(key.lower(), list(owner.model_fields), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _allowed(owner: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    field = owner.model_fields.get(str(loc[-1]))
    return f" (allowed: {field.description})" if field is not None and field.description else ""
