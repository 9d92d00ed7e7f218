"""Imports request logs of hosted language models (llmperf columns) as latency profiles.

The logs time another workload than ours (a 550-token prompt, about 150 tokens of answer). What carries over to our
calls is the time to the first token and the time per token after it; how long *our* answers are is assumed below, and
the assumption is written into the header of every imported profile.
"""

from __future__ import annotations

import csv
import difflib
import io
import logging
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rarrl.errors import InputError
from rarrl.files import read_file
from rarrl.latency.profile import MAX_SECONDS, MAX_TOKENS, CallRecord, Finish, LatencyProfile, ProfileHeader
from rarrl.strict_json import check_regular_file, short
from rarrl.types import MAX_NEW_TOKENS, THINK_ACTIONS

logger = logging.getLogger(__name__)

# Assumed lengths of our answers and prompts, until profiles recorded from the real reasoner replace them. A plan of 4
# to 8 sub-goals as short JSON is about 110 tokens, with its reasons 260; a verdict 35, with its reasons 120.
ANSWER_MEDIAN_TOKENS: dict[tuple[str, int], int] = {
    ("planner", 1): 110,
    ("planner", 2): 260,
    ("verifier", 1): 35,
    ("verifier", 2): 120,
}
ANSWER_SIGMA = 0.35  # of ln(tokens): half of the answers lie within +-24 % of the median
PROMPT_TOKENS: dict[str, int] = {"planner": 260, "verifier": 330}  # the verifier reads the plan besides

# Of the log; others are ignored.
COLUMNS = ("provider", "size", "ttft_s", "e2e_s", "in_tokens", "out_tokens", "error_code")
TOO_FEW_TOKENS = "-100"  # llmperf's mark for an answer shorter than asked; its latency is valid
MIN_VALID = 50  # fewer requests than that say little about a 95 % quantile
MIN_VALID_SHARE = 0.5  # of the requests; below it, a user is warned
_WHAT = "request log"


@dataclass(frozen=True)
class Request:
    """One measured request. Failed ones hold zeros: the log has no time for them."""

    ttft_s: float
    e2e_s: float
    out_tokens: int
    failed: bool

    @property
    def per_token_s(self) -> float:
        """Seconds per generated token after the first."""
        return (self.e2e_s - self.ttft_s) / max(self.out_tokens - 1, 1)


@dataclass(frozen=True)
class ImportResult:
    """The profile, the rows left out (one line each: file, line, column, why), and what a user should know."""

    profile: LatencyProfile
    skipped: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """What a log does not say of itself; it goes into the profile's header."""

    model: str = ""
    hardware: str = "the provider's servers (not disclosed)"
    date: str = "unknown"
    source: str = ""
    licence: str = "unknown"
    command: str = ""


def import_log(path: Path, provider: str, size: str, seed: int = 0, origin: Origin | None = None) -> ImportResult:
    """Turns the requests of one provider and model size into a profile.

    Each request gives four records, aligned (record j of every role and level is the same request): an answer length
    is drawn from a lognormal (`ANSWER_MEDIAN_TOKENS`, `ANSWER_SIGMA`; capped at the level's budget, and a capped
    answer ends as "length"), and total_s = ttft_s + answer length x that request's measured time per token. A request
    that failed (429 and the like) stays as finish "error" taking the provider's median time to first token.

    Args:
        path: CSV with the columns provider, size, ttft_s, e2e_s, in_tokens, out_tokens, error_code.
        provider: as in the column `provider`; `size`: as in the column `size`.
        seed: of the answer lengths.
        origin: for the header.

    Raises: InputError, one line: unreadable file, missing column, unknown provider or size, no valid request."""
    requests, skipped = _read_requests(path, provider, size)
    valid = [request for request in requests if not request.failed]
    if not valid:
        why = f"; first: {skipped[0]}" if skipped else " (all failed)"
        raise InputError(
            f"{_WHAT}: {path}: none of the {len(requests) + len(skipped)} requests of {provider} {size} is valid"
            f"{why}; choose another provider and size"
        )

    warnings = _warnings(provider, size, requests, valid, skipped)
    for line in warnings:
        logger.warning(line)
    header = _header(path, provider, size, seed, origin or Origin(), len(requests), len(valid))
    profile = LatencyProfile(schema_version=1, header=header, records=tuple(_records(requests, seed)))
    return ImportResult(profile, tuple(skipped), tuple(warnings))


def answer_lengths(n: int, seed: int) -> NDArray[np.int64]:
    """Assumed answer lengths before the cap, (4, n) int64 tokens >= 1, rows in the order of THINK_ACTIONS."""
    medians = [ANSWER_MEDIAN_TOKENS[_role(i), action.level] for i, action in enumerate(THINK_ACTIONS)]
    factor = np.exp(ANSWER_SIGMA * np.random.default_rng(seed).standard_normal((4, n)))
    lengths: NDArray[np.int64] = np.maximum(np.rint(np.array(medians)[:, None] * factor), 1).astype(np.int64)
    return lengths


def _role(option: int) -> str:
    role = THINK_ACTIONS[option].role
    assert role is not None
    return role.value


def _records(requests: list[Request], seed: int) -> Iterator[CallRecord]:
    lengths = answer_lengths(len(requests), seed)
    failed_s = float(np.median([r.ttft_s for r in requests if not r.failed]))
    for j, request in enumerate(requests):
        for i, action in enumerate(THINK_ACTIONS):
            cap = MAX_NEW_TOKENS[action.level]
            drawn = int(lengths[i, j])
            n_out = 0 if request.failed else min(drawn, cap)
            ttft = failed_s if request.failed else request.ttft_s
            finish: Finish = "error" if request.failed else ("length" if drawn >= cap else "stop")
            yield CallRecord.model_validate(
                {
                    "role": _role(i),
                    "level": action.level,
                    "tokens_in": PROMPT_TOKENS[_role(i)],
                    "tokens_out": n_out,
                    "ttft_s": round(ttft, 4),
                    "total_s": round(min(ttft + n_out * (0.0 if request.failed else request.per_token_s), 3600.0), 4),
                    "finish": finish,
                }
            )


def _header(path: Path, provider: str, size: str, seed: int, origin: Origin, total: int, valid: int) -> ProfileHeader:
    medians = ", ".join(f"{role} {level}: {n}" for (role, level), n in ANSWER_MEDIAN_TOKENS.items())
    name = re.sub(r"[^a-z0-9._-]+", "-", f"{provider}-{size}".lower()).strip("-._")[:64] or "imported"

    return ProfileHeader(
        name=name,
        kind="imported",
        measured=(
            f"{valid} answered and {total - valid} failed requests to {provider}: time to first token and time per "
            "token; replayed as ttft + answer tokens x time per token of the same request"
        ),
        model=origin.model or f"{provider} {size}",
        hardware=origin.hardware,
        date=origin.date,
        source=origin.source or _one_line(path.name),
        licence=origin.licence,
        assumptions=(
            f"answer tokens drawn lognormal (seed {seed}), median {medians}, sigma of ln {ANSWER_SIGMA}, capped at "
            f"{MAX_NEW_TOKENS[1]} (level 1) and {MAX_NEW_TOKENS[2]} (level 2) where finish is length; prompt tokens "
            f"{PROMPT_TOKENS['planner']} (planner), {PROMPT_TOKENS['verifier']} (verifier); a failed request takes "
            "the median time to first token; whether answers were right is unknown"
        ),
        command=origin.command or _command(path, provider, size, seed),
    )


def _command(path: Path, provider: str, size: str, seed: int) -> str:
    words = ["rarrl", "profile", "import", path.name, "--provider", provider, "--size", size, "--seed", str(seed)]
    return _one_line(shlex.join(words))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _warnings(provider: str, size: str, requests: list[Request], valid: list[Request], skipped: list[str]) -> list[str]:
    lines = []
    if skipped:
        lines.append(f"{len(skipped)} bad rows of {provider} {size} were left out; first: {skipped[0]}")
    if len(valid) < MIN_VALID or len(valid) < MIN_VALID_SHARE * len(requests):
        lines.append(
            f"only {len(valid)} of {len(requests)} requests of {provider} {size} are valid (wanted: at least "
            f"{MIN_VALID} and half of all); do not rely on this profile's quantiles"
        )

    return lines


def _read_requests(path: Path, provider: str, size: str) -> tuple[list[Request], list[str]]:
    """The requests of `provider` and `size` in file order, and a line for each row that is no request."""
    requests: list[Request] = []
    skipped: list[str] = []
    seen: Counter[tuple[str, str]] = Counter()
    for line, row in _rows(path):
        key = (row["provider"], row["size"])
        seen[key] += 1
        if key != (provider, size):
            continue
        try:
            requests.append(_request(row))
        except ValueError as error:
            skipped.append(f"{path.name} line {line}: {error}")

    if not requests and not skipped:
        known = [f"{p} {s}" for p, s in sorted(seen)]
        close = difflib.get_close_matches(f"{provider} {size}", known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ";"
        listed = ", ".join(known[:30]) or "no rows at all"
        raise InputError(f"{_WHAT}: {path} has no requests of {short(provider)} {short(size)}{hint} It has: {listed}")

    return requests, skipped


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV that has our columns; short rows read as empty cells."""
    check_regular_file(path, _WHAT)
    try:
        text = read_file(path, _WHAT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{_WHAT}: {path} is not UTF-8 text at byte {error.start}; save it as CSV in UTF-8") from None

    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                f"{_WHAT}: {path} line 1: column {missing[0]} is missing (needed: {', '.join(COLUMNS)}); "
                "export the log with these columns"
            )

        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{_WHAT}: {path} line {reader.line_num}: {error}; save it again as plain CSV") from None


def _request(row: dict[str, str]) -> Request:
    """Raises ValueError naming the column."""
    if row["error_code"].strip() not in ("", "0", TOO_FEW_TOKENS):
        return Request(0.0, 0.0, 0, failed=True)
    ttft = _number(row, "ttft_s", 0.0, MAX_SECONDS)
    e2e = _number(row, "e2e_s", ttft, MAX_SECONDS)
    _number(row, "in_tokens", 0, MAX_TOKENS)
    return Request(ttft, e2e, int(_number(row, "out_tokens", 1, MAX_TOKENS)), failed=False)


def _number(row: dict[str, str], column: str, low: float, high: float) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"column {column}: {short(row[column])} is not a number from {low:g} to {high:g}")
    return value
