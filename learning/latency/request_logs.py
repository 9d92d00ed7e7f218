"""Reads request logs of language models as their tools write them: a row of texts and numbers per request.

Known are a CSV with llmperf's columns (also in other units and spellings), llmperf's `*_individual_responses.json`, the
detailed result of `vllm bench serve` and of SGLang's `bench_serving`, and AIPerf's `profile_export.jsonl`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rarrl.errors import InputError, plain_line
from rarrl.files import read_file
from rarrl.latency.profile import MAX_SECONDS, MAX_TOKENS
from rarrl.plugins import did_you_mean
from rarrl.strict_json import short

FAILURES = ("error_code", "error_text", "status", "success")
"""The columns that may say that a request failed."""
COLUMNS = ("provider", "size", "ttft_s", "e2e_s", "in_tokens", "out_tokens", *FAILURES)
"""The columns of a row; others of a log are ignored."""
MAX_BYTES = 1 << 28
"""Bytes of a log: a detailed result holds the generated texts, a few hundred bytes a request."""
SHORT_ANSWER = -100.0
"""llmperf's mark for an answer shorter than asked, whose latency is valid."""
ANSWERED_CODES = (0.0, SHORT_ANSWER)
"""Error codes of requests that were answered. Codes of HTTP's success, 200 to 299, mean an answer too."""
MAX_TEXT = 200
"""Characters of a provider's or a model's name."""
WHAT = "request log"
"""How messages about a log begin."""

_SPELLINGS = {
    "provider": ("provider", "vendor"),
    "size": ("size", "model_size"),
    "ttft": ("ttft", "time_to_first_token", "first_token_latency", "first_token"),
    "e2e": ("e2e", "end_to_end_latency", "e2e_latency", "e2el", "request_latency", "total_latency", "latency", "total"),
    "in_tokens": ("in_tokens", "number_input_tokens", "num_input_tokens", "input_tokens", "prompt_tokens", "input_len"),
    "out_tokens": (
        "out_tokens",
        "number_output_tokens",
        "num_output_tokens",
        "output_tokens",
        "completion_tokens",
        "output_len",
    ),
    "error_code": ("error_code", "err_code"),
    "error_text": ("error_msg", "error_message", "err_msg", "error", "errors", "exception"),
    "status": ("status_code", "http_status", "http_status_code", "http_code", "status"),
    "success": ("success", "succeeded", "successful", "is_success"),
}
"""How a column may be called, in small letters with `_`; times end in their unit besides."""
_UNITS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Ends of the names of times -> seconds."""
_MISSING = frozenset(("", "nan", "none", "null", "nil", "na", "n/a", "-", "<na>", "#n/a"))
"""Writings of "there is no value", in small letters."""
_YES = frozenset(("true", "yes", "1", "1.0", "ok", "success", "succeeded", "complete", "completed", "done", "finished"))
"""What a column says of a request that was answered, in small letters."""
_NO = frozenset(
    ("false", "no", "0", "0.0", "error", "failed", "failure", "timeout", "cancelled", "canceled", "aborted")
)
"""What it says of one that failed."""
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?([eE][+-]?\d+)?")
"""A number with commas between thousands."""
_THOUSANDS_BY_POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
"""A whole number with points between thousands."""
_NAMED = "name times with their unit, such as ttft_s or ttft_ms"
"""What to do about a time without a unit, for messages."""


@dataclass(frozen=True)
class LoggedRequest:
    """One measured request. Failed ones hold zeros: logs have no time for them."""

    ttft_s: float
    e2e_s: float
    out_tokens: int
    failed: bool

    @property
    def per_token_s(self) -> float:
        """Seconds per generated token after the first."""
        return (self.e2e_s - self.ttft_s) / max(self.out_tokens - 1, 1)


@dataclass(frozen=True)
class Row:
    """One request of a log. where: line or number, for messages. values: by COLUMNS, seconds and tokens; a text is as
    the log has it, None means that there is no value. names: what the log calls a column, where it differs. scale:
    seconds of the unit of a time, where it is another."""

    where: str
    values: dict[str, Any]
    names: dict[str, str] = field(default_factory=dict)
    scale: dict[str, float] = field(default_factory=dict)
    decimal_comma: bool = False

    def text(self, column: str) -> str:
        """What a text column holds."""
        value = self.values.get(column)
        return "" if value is None else plain_line(str(value).strip(), MAX_TEXT)

    def request(self) -> LoggedRequest:
        """The request. Raises: ValueError that names the column, its value and what is allowed."""
        if self._failed():
            return LoggedRequest(0.0, 0.0, 0, failed=True)

        ttft = self._number("ttft_s", 0.0, MAX_SECONDS)
        e2e = self._number("e2e_s", ttft, MAX_SECONDS)
        if not is_missing(self.values.get("in_tokens")):
            self._number("in_tokens", 0, MAX_TOKENS, whole=True)
        out_tokens = int(self._number("out_tokens", 1, MAX_TOKENS, whole=True))
        return LoggedRequest(ttft, e2e, out_tokens, failed=False)

    def _failed(self) -> bool:
        """Whether any column says so. llmperf's mark of a short answer stands above the text beside it."""
        code = self._bad_code("error_code")
        short_answer = read_number(self.values.get("error_code"), self.decimal_comma) == SHORT_ANSWER
        text = self.values.get("error_text")
        told = not short_answer and self._is_fault(text)
        return code or told or self._bad_code("status") or self._no_success()

    def _bad_code(self, column: str) -> bool:
        """Whether a code tells of a failure. Raises: ValueError for one that is not known."""
        code = self.values.get(column)
        status = column == "status"
        if isinstance(code, bool):
            return code is not status
        if is_missing(code):
            return False
        if isinstance(code, dict):  # a description of what went wrong
            return True

        number = read_number(code, self.decimal_comma)
        if not math.isnan(number):
            return number not in ANSWERED_CODES and not 200 <= number < 300
        word = str(code).strip().lower()
        if status and word in _YES | _NO:
            return word in _NO
        if not status and word in ("true", "false"):
            return word == "true"
        raise ValueError(f"column {self._name(column)}: {short(code)} is not a number, and not empty")

    def _is_fault(self, text: Any) -> bool:
        if is_missing(text) or isinstance(text, bool | list | dict):
            return bool(text) and not is_missing(text)
        number = read_number(text, self.decimal_comma)
        if not math.isnan(number):
            return number not in ANSWERED_CODES and not 200 <= number < 300
        return str(text).strip().lower() not in ("false", "no", "ok", "success", "[]", "{}")

    def _no_success(self) -> bool:
        said = self.values.get("success")
        if is_missing(said):
            return False
        word = str(said).strip().lower()
        if word not in _YES | _NO:
            raise ValueError(f"column {self._name('success')}: {short(said)} is neither true nor false")
        return word in _NO

    def _number(self, column: str, low: float, high: float, whole: bool = False) -> float:
        given = self.values.get(column)
        scale = self.scale.get(column, 1.0)
        value = read_number(given, self.decimal_comma) * scale
        if not low <= value <= high or (whole and not value.is_integer()):
            kind = "whole number" if whole else "number"
            raise ValueError(
                f"column {self._name(column)}: {short('' if given is None else given)} is not a {kind} from "
                f"{low / scale:g} to {high / scale:g}"
            )
        return value

    def _name(self, column: str) -> str:
        return self.names.get(column, column)


def is_missing(value: Any) -> bool:
    """Whether a cell holds no value: None, NaN, or a usual writing of them.

    >>> is_missing(" None "), is_missing(float("nan")), is_missing(0)
    (True, True, False)
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str) and value.strip().lower() in _MISSING


def read_number(value: Any, decimal_comma: bool = False) -> float:
    """The number in a cell, in the writings of spreadsheets and JSON; NaN where there is none.

    decimal_comma: a comma stands before the decimals, and a point between thousands.

    >>> read_number("1,234.5"), read_number(" 1.2e3 "), read_number("1.234,5", decimal_comma=True)
    (1234.5, 1200.0, 1234.5)
    """
    if isinstance(value, bool):
        return math.nan
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if not isinstance(value, str) or "_" in value:  # Python reads 1_000; no log writes it
        return math.nan

    text = value.strip()
    if decimal_comma and ("," in text or _THOUSANDS_BY_POINTS.fullmatch(text)):
        text = text.replace(".", "").replace(",", ".")
    elif _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        return float(text)
    except ValueError:
        return math.nan


def read_rows(path: Path) -> list[Row]:
    """The requests of a log in file order.

    Raises: InputError, one line: an unreadable file, another format, a missing column."""
    try:
        text = read_file(path, WHAT, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{WHAT}: {path} is not UTF-8 text at byte {error.start}; save it again in UTF-8") from None

    if text.lstrip()[:1] in ("{", "["):
        rows, semicolons = _json_rows(path, text), False
    else:
        rows, semicolons = _csv_rows(path, text)
    decimal_comma = _decimal_comma(path, rows, semicolons)
    return [replace(row, decimal_comma=True) for row in rows] if decimal_comma else rows


def _decimal_comma(path: Path, rows: list[Row], semicolons: bool) -> bool:
    """Whether the times of a log are written with a comma before their decimals: `1,234` alone does not tell.

    semicolons: they part the cells, as programs write that use the comma for decimals.
    Raises: InputError where it stays open, or where both ways are used."""
    found: dict[str, tuple[str, str]] = {}  # mark -> where it was met first, and the cell
    for row in rows:
        for column in ("ttft_s", "e2e_s"):
            value = row.values.get(column)
            if isinstance(value, str) and ("," in value or "." in value):
                at = f"{row.where}, column {row.names.get(column, column)}"
                found.setdefault(_decimal_mark(value.strip()), (at, value))

    if "," in found and "." in found:
        (at, cell), (_, other) = found[","], found["."]
        why = f"a comma before the decimals, {short(other)} a point"
    elif "," in found or "." in found:
        return "," in found
    elif "?," in found and not (semicolons and "?." not in found):
        (at, cell), why = found["?,"], "decimals, or thousands"
    elif "?." in found and semicolons:
        (at, cell), why = found["?."], "decimals, or thousands"
    else:
        return "?," in found
    raise InputError(
        f"{WHAT}: {path} {at}: {short(cell)} may have {why}; write times with a point before the decimals, and nothing "
        "between thousands"
    )


def _decimal_mark(text: str) -> str:
    """What stands before the decimals of a number: "," or "."; with "?" in front where it may part thousands as well,
    "" where there is no such mark.

    >>> [_decimal_mark(text) for text in ("0,350", "1.5", "1,234", "1.234,5", "1,234,567", "soon")]
    [',', '.', '?,', ',', '.', '']
    """
    number = re.fullmatch(r"[+-]?([\d.,]+)([eE][+-]?\d+)?", text)
    if number is None:
        return ""
    digits = number[1]
    if "," in digits and "." in digits:
        return max(",.", key=digits.rfind)

    mark = "," if "," in digits else "."
    whole, *groups = digits.split(mark)
    if len(groups) > 1:  # a number has one decimal mark: these part thousands
        return "." if mark == "," else ","
    thousands = bool(groups) and len(groups[0]) == 3 and re.fullmatch(r"[1-9]\d{0,2}", whole)
    return f"?{mark}" if thousands else mark if groups else ""


def _csv_rows(path: Path, text: str) -> tuple[list[Row], bool]:
    """The rows of a CSV with commas, semicolons or tabs, and whether it is semicolons; short rows read as empty cells.

    Raises: InputError where a row has more cells than the header, whose values may have slipped into other columns."""
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="", delimiter=delimiter)
    rows: list[Row] = []
    try:
        columns = _columns(reader.fieldnames or (), f"{path} line 1")
        names = {column: name for column, (name, _) in columns.items() if name != column}
        scale = {column: factor for column, (_, factor) in columns.items() if factor != 1.0}
        for raw in reader:
            surplus: Any = raw.get(None, ())
            if any(cell.strip() for cell in surplus):
                raise InputError(
                    f"{WHAT}: {path} line {reader.line_num}: {len(surplus)} cells more than the header has columns; "
                    "write decimals with a point, and put texts with commas into quotes"
                )
            values = {column: raw[name] for column, (name, _) in columns.items()}
            rows.append(Row(f"line {reader.line_num}", values, names, scale))
    except csv.Error as error:
        raise InputError(f"{WHAT}: {path} line {reader.line_num}: {error}; save it again as plain CSV") from None
    return rows, delimiter == ";"


def _columns(found: Sequence[str], where: str) -> dict[str, tuple[str, float]]:
    """Our column -> what a log calls it, and seconds of its unit. Raises: InputError for a missing one."""
    plain = {re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_"): name for name in found if name is not None}
    columns: dict[str, tuple[str, float]] = {}
    for column in COLUMNS:
        base = column.removesuffix("_s")
        timed = column != base
        for spelling in _SPELLINGS[base]:
            units = _UNITS if timed else {"": 1.0}
            names = [(f"{spelling}_{unit}" if unit else spelling, factor) for unit, factor in units.items()]
            match = next(((plain[name], factor) for name, factor in names if name in plain), None)
            if match is not None:
                columns.setdefault(column, match)

        unitless = next((plain[s] for s in _SPELLINGS[base] if timed and s in plain), None)
        if column not in columns and unitless is not None:
            raise InputError(f"{WHAT}: {where}: column {column} is missing; {unitless!r} names no unit: {_NAMED}")

    needed = [column for column in ("ttft_s", "e2e_s", "out_tokens") if column not in columns]
    if needed:
        listed = " ".join(", ".join(map(str, found)).split()) or "nothing"
        raise InputError(
            f"{WHAT}: {where}: column {needed[0]} is missing (needed: ttft_s, e2e_s, out_tokens; used where they are "
            f"there: provider, size, in_tokens, {', '.join(FAILURES)}; found: {listed[:300]})"
            f"{did_you_mean(needed[0], plain)}"
        )
    return columns


def _json_rows(path: Path, text: str) -> list[Row]:
    """The rows of a JSON document, or of one per line."""
    try:
        documents = [json.loads(text)]
    except RecursionError:
        raise InputError(f"{WHAT}: {path} is nested too deeply; it is no log of requests") from None
    except ValueError:
        documents = _lines(path, text)

    entries: list[Any] = []
    for document in documents:
        entries += document if isinstance(document, list) else [document]

    rows: list[Row] = []
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise InputError(
                f"{WHAT}: {path}: entry {number}: {short(entry)} is not an object with a request's figures"
            )
        if isinstance(entry.get("ttfts"), list):
            rows += _run_rows(path, entry)
        elif isinstance(entry.get("metrics"), dict):
            rows += _aiperf_rows(number, entry)
        else:
            rows.append(_flat_row(path, number, entry))
    if not rows:
        raise InputError(f"{WHAT}: {path} holds no request")
    return rows


def _lines(path: Path, text: str) -> list[Any]:
    documents = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            documents.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{WHAT}: {path} line {number} is not JSON ({error}); give a whole log, not one that is being written"
            ) from None
    return documents


def _run_rows(path: Path, run: dict[str, Any]) -> Iterator[Row]:
    """The requests of a detailed result of `vllm bench serve`, or of SGLang: a list per figure, in seconds."""
    ttfts = run["ttfts"]
    lists = {name: run.get(name) for name in ("itls", "output_lens", "input_lens", "errors", "e2els")}
    for name in ("itls", "output_lens"):
        if not isinstance(lists[name], list):
            raise InputError(f"{WHAT}: {path}: key {name} is missing; save the result with --save-detailed")
    for name, values in lists.items():
        if isinstance(values, list) and len(values) != len(ttfts):
            raise InputError(f"{WHAT}: {path}: key {name} has {len(values)} entries for {len(ttfts)} requests")

    for index, ttft in enumerate(ttfts):
        one = {name: values[index] if isinstance(values, list) else None for name, values in lists.items()}
        error = one["errors"]
        yield Row(
            f"request {index + 1}",
            {
                "provider": run.get("backend"),
                "size": run.get("model_id"),
                "ttft_s": ttft,
                "e2e_s": one["e2els"] if one["e2els"] is not None else _summed(ttft, one["itls"]),
                "in_tokens": one["input_lens"],
                "out_tokens": one["output_lens"],
                "error_text": (bool(error) and not is_missing(error)) or _never_began(ttft, one["itls"]),
            },
            {"ttft_s": "ttfts", "e2e_s": "ttfts and itls", "in_tokens": "input_lens", "out_tokens": "output_lens"},
        )


def _never_began(ttft: Any, itls: Any) -> bool:
    """Whether a request has no time of any token: it failed, even where the tool lost the reason."""
    return read_number(ttft) == 0.0 and not itls


def _summed(ttft: Any, itls: Any) -> float:
    """Seconds to the last token, by the times between them; NaN where they are no numbers."""
    if not isinstance(itls, list):
        return math.nan
    return math.fsum([read_number(ttft), *map(read_number, itls)])


def _aiperf_rows(number: int, record: dict[str, Any]) -> Iterator[Row]:
    """A line of AIPerf's profile_export.jsonl; requests of the warm-up are left out."""
    about = record.get("metadata")
    about = about if isinstance(about, dict) else {}
    if about.get("benchmark_phase") == "warmup":
        return

    metrics = record["metrics"]
    wanted = {
        "ttft_s": ("time_to_first_token",),
        "e2e_s": ("request_latency",),
        "in_tokens": ("input_sequence_length",),
        "out_tokens": ("output_sequence_length", "output_token_count"),
    }
    values: dict[str, Any] = {"error_text": record.get("error") or about.get("was_cancelled") is True}
    names: dict[str, str] = {}
    scale: dict[str, float] = {}
    for column, spellings in wanted.items():
        metric: dict[str, Any] = next((metrics[name] for name in spellings if isinstance(metrics.get(name), dict)), {})
        values[column] = metric.get("value")
        names[column] = spellings[0]
        if column.endswith("_s"):
            scale[column] = _UNITS.get(str(metric.get("unit", "ms")), math.nan)
    yield Row(f"request {number}", values, names, scale)


def _flat_row(path: Path, number: int, entry: dict[str, Any]) -> Row:
    """An object per request, as llmperf writes them."""
    summary = [name for name in entry if re.search(r"mean_ttft|ttft_s_quantiles|^results$|^experiments$", str(name))]
    if summary:
        raise InputError(
            f"{WHAT}: {path}: key {summary[0]}: this is a summary; give the file with single requests (llmperf: "
            "*_individual_responses.json; vLLM: --save-result --save-detailed; AIPerf: profile_export.jsonl)"
        )
    columns = _columns(list(entry), f"{path}: request {number}")
    return Row(
        f"request {number}",
        {column: entry[name] for column, (name, _) in columns.items()},
        {column: name for column, (name, _) in columns.items() if name != column},
        {column: factor for column, (_, factor) in columns.items() if factor != 1.0},
    )


def pairs(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """The (provider, size) that there are, sorted."""
    return sorted({(row.text("provider"), row.text("size")) for row in rows})
