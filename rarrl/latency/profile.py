"""Latency profiles: what calls to a language model cost, measured or modelled; schema, load, save.

A profile is one JSON file. Its records are kept as columns and rows, one call a line, so that a file of hundreds of
calls stays small and a change shows as one line in a diff. docs/LATENCY_PROFILES.md describes it for people.
"""

from __future__ import annotations

import difflib
import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rarrl.errors import InputError
from rarrl.files import write_text_atomic
from rarrl.strict_json import read_json, short, validated

PROFILE_DIR = Path(__file__).resolve().parents[1] / "data" / "profiles"
MAX_SECONDS = 3600.0
MAX_TOKENS = 1_000_000
MAX_RECORDS = 200_000

RoleName = Literal["planner", "verifier"]
Kind = Literal["recorded", "imported", "parametric"]
Finish = Literal["stop", "length", "timeout", "error"]


class _Strict(BaseModel):
    # strict: "3" is not 3 and true is not 1. Small integers are bounded, not Literal[1, 2], which true would pass.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


_TEXT = "text of 1 to 2000 characters on one line"
_LINE = r"^[^\r\n]*$"


class CallRecord(_Strict):
    """One call to the language model.

    `finish`: stop = a whole answer; length = cut off at the cap, so no usable answer; timeout; error = no answer.
    `correct`: whether the answer was right, None where nobody checked."""

    role: RoleName = Field(description="planner, verifier")
    level: int = Field(ge=1, le=2, description="1, 2")
    tokens_in: int = Field(ge=0, le=MAX_TOKENS, description="integer 0 to 1000000, prompt tokens")
    tokens_out: int = Field(ge=0, le=MAX_TOKENS, description="integer 0 to 1000000, generated tokens")
    ttft_s: float = Field(ge=0, le=MAX_SECONDS, description="0 to 3600 s, time to the first token")
    total_s: float = Field(ge=0, le=MAX_SECONDS, description="ttft_s to 3600 s, time to the last token")
    finish: Finish = Field(description="stop, length, timeout, error")
    correct: bool | None = Field(default=None, description="true, false, null")

    @model_validator(mode="after")
    def _order(self) -> CallRecord:
        if self.total_s < self.ttft_s:
            raise ValueError(
                f"key total_s: {self.total_s} is below ttft_s {self.ttft_s} (allowed: ttft_s to 3600 s); fix or drop it"
            )
        return self


COLUMNS = tuple(CallRecord.model_fields)
"""The columns of a record in the file, in this order."""


class ProfileHeader(_Strict):
    """Where the numbers come from."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit"
    )
    kind: Kind = Field(description="recorded, imported, parametric")
    measured: str = Field(min_length=1, max_length=2000, pattern=_LINE, description=_TEXT)
    model: str = Field(min_length=1, max_length=2000, pattern=_LINE, description=_TEXT)
    hardware: str = Field(min_length=1, max_length=2000, pattern=_LINE, description=_TEXT)
    date: str = Field(
        pattern=r"^([0-9]{4}(-[0-9]{2}){0,2}|unknown)$", description="YYYY, YYYY-MM, YYYY-MM-DD or unknown"
    )
    source: str = Field(min_length=1, max_length=2000, pattern=_LINE, description=_TEXT)
    licence: str = Field(min_length=1, max_length=2000, pattern=_LINE, description=_TEXT)
    assumptions: str = Field(default="", max_length=2000, pattern=_LINE, description="text on one line")
    command: str = Field(default="", max_length=2000, pattern=_LINE, description="text on one line")


class ParametricOption(_Strict):
    """A lognormal latency for one role and level: ln(seconds) ~ Normal(mu, sigma)."""

    role: RoleName = Field(description="planner, verifier")
    level: int = Field(ge=1, le=2, description="1, 2")
    mu: float = Field(ge=-10, le=8, description="-10 to 8, mean of ln(seconds)")
    sigma: float = Field(ge=0, le=3, description="0 to 3, standard deviation of ln(seconds)")
    tokens_in: int = Field(ge=0, le=MAX_TOKENS, description="integer 0 to 1000000, prompt tokens a call")
    tokens_out: int = Field(ge=0, le=MAX_TOKENS, description="integer 0 to 1000000, generated tokens a call")
    error_rate: float = Field(ge=0, le=1, description="0 to 1, share of calls without a usable answer")

    @model_validator(mode="after")
    def _tail(self) -> ParametricOption:
        slowest = math.exp(min(self.mu + 3.1 * self.sigma, 700.0))  # the 99.9 % quantile
        if slowest > MAX_SECONDS:
            raise ValueError(
                f"key mu: {self.mu} with sigma {self.sigma} puts the 99.9 % quantile at {slowest:.4g} s "
                "(allowed: up to 3600 s); lower mu or sigma"
            )
        return self


class LatencyProfile(_Strict):
    """A latency profile: measured records (kinds recorded, imported) or a parametric block, never both.

    The order of the records is the order of the measurement: replay keeps bursts by it. In an imported profile the
    j-th record of every role and level derives from the same measured request."""

    schema_version: int = Field(ge=1, le=1, description="1")
    header: ProfileHeader
    records: tuple[CallRecord, ...] | None = Field(default=None, max_length=MAX_RECORDS)
    parametric: tuple[ParametricOption, ...] | None = Field(default=None, max_length=4)

    @model_validator(mode="after")
    def _one_content(self) -> LatencyProfile:
        parametric = self.header.kind == "parametric"
        wanted, other = ("parametric", "records") if parametric else ("records", "parametric")
        if getattr(self, other) is not None:
            raise ValueError(f"header.kind {self.header.kind} goes with {wanted}, not {other}; remove {other}")
        if not getattr(self, wanted):
            raise ValueError(f"header.kind {self.header.kind} needs at least one entry in {wanted}; add it")
        options = [(option.role, option.level) for option in self.parametric or ()]
        if len(set(options)) != len(options):
            raise ValueError("parametric holds a role and level twice; keep one of them")
        return self

    @property
    def name(self) -> str:
        """The name in the header."""
        return self.header.name

    def options(self) -> list[tuple[str, int]]:
        """The (role, level) pairs that this profile knows, sorted."""
        return sorted({(entry.role, entry.level) for entry in self.records or self.parametric or ()})

    def require(self, role: str, level: int) -> None:
        """Raises InputError, one line, when the profile knows nothing of `role` at `level`."""
        if (role, level) not in self.options():
            known = ", ".join(f"{r} level {n}" for r, n in self.options())
            raise InputError(
                f"latency profile {self.name}: no records of {role} level {level} (it has: {known}); "
                f"record or import them, or choose a profile that has them ({', '.join(shipped_profiles())})"
            )


_PARTS: dict[str, type[BaseModel]] = {
    "records": CallRecord,
    "header": ProfileHeader,
    "parametric": ParametricOption,
}
_WHAT = "latency profile"


def shipped_profiles() -> list[str]:
    """Names of the profiles that come with the package, sorted."""
    return sorted(path.stem for path in PROFILE_DIR.glob("*.json"))


def load_profile(name_or_path: str | Path) -> LatencyProfile:
    """Loads a shipped profile by name, or any profile by path.

    Raises: InputError, one line naming file, record number (from 1), key, value, what is allowed, the way out."""
    path = _resolve(str(name_or_path))
    value = _lists_to_tuples(_expand_rows(read_json(path, _WHAT), str(path)))
    return validated(LatencyProfile, value, _WHAT, str(path), _PARTS)


def save_profile(profile: LatencyProfile, path: Path | str) -> None:
    """Writes `profile` whole or not at all; `load_profile` gives back an equal one."""
    try:
        write_text_atomic(Path(path), dumps_profile(profile))
    except OSError as error:
        raise InputError(f"{_WHAT}: cannot write {path} ({error.strerror}); choose another path") from None


def dumps_profile(profile: LatencyProfile) -> str:
    """The text of a profile file: header indented, one record a line. Same profile, same text."""
    head = {"schema_version": profile.schema_version, "header": profile.header.model_dump()}
    if profile.parametric is not None:
        head["parametric"] = [option.model_dump() for option in profile.parametric]
        return json.dumps(head, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    rows = ",\n".join(_row_text(record) for record in profile.records or ())
    text = json.dumps(head, indent=1, allow_nan=False, ensure_ascii=False)
    columns = json.dumps(list(COLUMNS))
    return f'{text[:-2]},\n "records": {{\n  "columns": {columns},\n  "rows": [\n{rows}\n  ]\n }}\n}}\n'


def _row_text(record: CallRecord) -> str:
    return "   " + json.dumps([getattr(record, column) for column in COLUMNS], allow_nan=False, separators=(",", ":"))


def _resolve(name: str) -> Path:
    shipped = shipped_profiles()
    if name in shipped:
        return PROFILE_DIR / f"{name}.json"
    if "/" in name or "\\" in name or name.endswith(".json") or _exists(name):
        return Path(name)
    close = difflib.get_close_matches(name, shipped, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise InputError(f"{_WHAT}: no profile {short(name)}{hint} Shipped: {', '.join(shipped)}; or give a file's path")


def _exists(name: str) -> bool:
    try:
        return bool(name) and Path(name).exists()
    except (OSError, ValueError):  # too long, or a NUL character
        return False


def _expand_rows(value: Any, where: str) -> Any:
    """Columns and rows -> a dict per record. What has another shape is left for the schema to refuse."""
    if not isinstance(value, dict) or value.get("records") is None:
        return value
    block = value["records"]
    if not isinstance(block, dict) or set(block) != {"columns", "rows"} or not isinstance(block.get("rows"), list):
        raise InputError(
            f'{_WHAT}: {where}: key records: {short(block)} is not allowed (allowed: {{"columns": [...], "rows": '
            "[[...], ...]}); see docs/LATENCY_PROFILES.md"
        )
    columns = block["columns"]
    names = columns if isinstance(columns, list) else []
    bad = [name for name in names if name not in COLUMNS] or [name for name in COLUMNS[:-1] if name not in names]
    if bad or not names or len(set(names)) != len(names):
        raise InputError(
            f"{_WHAT}: {where}: key records.columns: {short(columns)} is not allowed "
            f"(allowed: each once of {', '.join(COLUMNS)}); fix the column names"
        )
    for number, row in enumerate(block["rows"], start=1):
        if not isinstance(row, list) or len(row) != len(names):
            raise InputError(
                f"{_WHAT}: {where}: record {number}: {short(row)} is not allowed (allowed: a list of {len(names)} "
                f"values, one per column: {', '.join(names)}); fix or drop the record"
            )
    return {**value, "records": [dict(zip(names, row, strict=True)) for row in block["rows"]]}


def _lists_to_tuples(value: Any) -> Any:
    """The strict schema takes tuples, JSON gives lists."""
    if not isinstance(value, dict):
        return value
    lists = {key for key in ("records", "parametric") if isinstance(value.get(key), list)}
    return {key: tuple(entry) if key in lists else entry for key, entry in value.items()}
