"""Reads JSON from outside and reports whatever is wrong with it in one line: what, where, what is allowed, the fix."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from rarrl.errors import InputError
from rarrl.files import check_regular_file as check_regular_file  # known by both names
from rarrl.files import read_file

MAX_JSON_VALUES = 5_000_000
"""Values of one document: an empty list takes 2 bytes of a file and 56 of memory. The largest profile has 3 million."""
MAX_JSON_INT = 2**63
"""Integers are smaller than this; what is larger is no count of anything, and does not fit into a float for sure."""
RESTORE = "restore the file"
"""What to do about a damaged file that a program wrote."""
MEND = "mend it there"
"""What to do about one that people write."""
_LISTS = {"frozen_set_type": "write a list of names", "tuple_type": "write a list"}
"""Faults whose text speaks of Python's types, which no file knows -> what to do."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

Model = TypeVar("Model", bound=BaseModel)


def short(value: object, limit: int = 60) -> str:
    """Returns `repr(value)` cut to `limit` characters, because a value from outside must not flood a message."""
    # The value is cut first: the repr of a string or list of 60 MB would be as large again.
    text = repr(value[:limit] if isinstance(value, (str, bytes, list, tuple)) else value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def parse_json(data: bytes, what: str, where: str, remedy: str = RESTORE) -> Any:
    """Parses strict JSON: NaN, numbers beyond a double or 64 bits, half surrogate pairs and duplicate keys are refused.

    remedy: what to do about what is no JSON. Raises: InputError, one line that begins with `what: where`."""

    def refuse_constant(name: str) -> Any:
        raise ValueError(f"{name} is not a JSON number; numbers must be finite")

    def finite(text: str) -> float:
        number = float(text)
        if math.isinf(number):
            raise ValueError(f"number {short(text)[1:-1]} is too large; numbers must be finite")
        return number

    def whole(text: str) -> int:
        number = int(text) if len(text) <= 20 else MAX_JSON_INT
        if not -MAX_JSON_INT <= number < MAX_JSON_INT:
            raise ValueError(f"integer {short(text)[1:-1]} is too large (allowed: 64 bits)")
        return number

    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise ValueError(f"key {short(twice)} is given twice in one object; keep one")
        return result

    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > MAX_JSON_VALUES:
        raise InputError(f"{what}: {where} holds {values} values, at most {MAX_JSON_VALUES} are read; split the file")
    try:
        value = json.loads(
            data,
            parse_float=finite,
            parse_int=whole,
            parse_constant=refuse_constant,
            object_pairs_hook=refuse_duplicates,
        )
        if _SURROGATE.search(data):  # may be half of a pair, which no text file, topic or terminal takes
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UnicodeEncodeError:
        raise InputError(f"{what}: {where} holds half of a surrogate pair (\\ud800 to \\udfff); {remedy}") from None
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
