"""Imports request logs of hosted language models (`request_logs`) as latency profiles.

The logs time another workload than ours (a 550-token prompt, about 150 tokens of answer). What carries over to our
calls is the time to the first token and the time per token after it; how long *our* answers are is assumed below, and
the assumption is written into the header of every imported profile.
"""

from __future__ import annotations

import difflib
import logging
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rarrl.errors import InputError
from rarrl.latency.profile import CallRecord, Finish, LatencyProfile, ProfileHeader
from rarrl.strict_json import short
from rarrl.types import MAX_NEW_TOKENS, THINK_ACTIONS

from .request_logs import WHAT, LoggedRequest, pairs, read_rows

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

MIN_VALID = 50  # fewer requests than that say little about a 95 % quantile
MIN_VALID_SHARE = 0.5  # of the requests; below it, a user is warned


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


def import_log(
    path: Path, provider: str | None = None, size: str | None = None, seed: int = 0, origin: Origin | None = None
) -> ImportResult:
    """Turns the requests of one provider and model size into a profile.

    Each request gives four records, aligned (record j of every role and level is the same request): an answer length
    is drawn from a lognormal (`ANSWER_MEDIAN_TOKENS`, `ANSWER_SIGMA`; capped at the level's budget, and a capped
    answer ends as "length"), and total_s = ttft_s + answer length x that request's measured time per token. A request
    that failed (429 and the like) stays as finish "error" taking the provider's median time to first token.

    Args:
        path: a log in one of the formats of `request_logs`.
        provider, size: as the log names them; None: the only ones that there are.
        seed: of the answer lengths.
        origin: for the header.

    Raises: InputError, one line: unreadable file, missing column, unknown provider or size, no valid request."""
    requests, skipped, (found_provider, found_size) = _read_requests(path, provider, size)
    provider = found_provider or provider or path.stem
    size = found_size or size or ""
    valid = [request for request in requests if not request.failed]
    if not valid:
        why = f"; first: {skipped[0]}" if skipped else " (all failed)"
        raise InputError(
            f"{WHAT}: {path}: none of the {len(requests) + len(skipped)} requests of {f'{provider} {size}'.strip()} is "
            f"valid"
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


def _records(requests: list[LoggedRequest], seed: int) -> Iterator[CallRecord]:
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
        model=origin.model or f"{provider} {size}".strip(),
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
    words = ["rarrl", "profile", "import", path.name, "--provider", provider]
    words += ["--size", size] if size else []
    words += ["--seed", str(seed)]
    return _one_line(shlex.join(words))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _warnings(
    provider: str, size: str, requests: list[LoggedRequest], valid: list[LoggedRequest], skipped: list[str]
) -> list[str]:
    lines = []
    whose = f"{provider} {size}".strip()
    if skipped:
        lines.append(f"{len(skipped)} bad rows of {whose} were left out; first: {skipped[0]}")
    if len(valid) < MIN_VALID or len(valid) < MIN_VALID_SHARE * len(requests):
        lines.append(
            f"only {len(valid)} of {len(requests)} requests of {whose} are valid (wanted: at least "
            f"{MIN_VALID} and half of all); do not rely on this profile's quantiles"
        )

    return lines


def _read_requests(
    path: Path, provider: str | None, size: str | None
) -> tuple[list[LoggedRequest], list[str], tuple[str, str]]:
    """The requests that are wanted in file order, a line for each row that is no request, and whose they are."""
    rows = read_rows(path)
    wanted = _chosen(path, pairs(rows), provider, size)

    requests: list[LoggedRequest] = []
    skipped: list[str] = []
    for row in rows:
        if (row.text("provider"), row.text("size")) != wanted:
            continue
        try:
            requests.append(row.request())
        except ValueError as error:
            skipped.append(f"{path.name} {row.where}: {error}")
    return requests, skipped, wanted


def _chosen(path: Path, there: list[tuple[str, str]], provider: str | None, size: str | None) -> tuple[str, str]:
    """The one provider and size of a log that are meant; what a log does not say need not be said.

    Raises: InputError: none of them, or several."""
    fits = [(p, s) for p, s in there if provider in (None, p) or not p]
    fits = [(p, s) for p, s in fits if size in (None, s) or not s]
    if len(fits) == 1:
        return fits[0]

    known = [" ".join(f"{p} {s}".split())[:60] for p, s in there]
    listed = ", ".join(known[:30]) or "no rows at all"
    asked = " ".join(short(text) for text in (provider, size) if text is not None)
    if fits:
        of = f"of {asked} " if asked else ""
        raise InputError(f"{WHAT}: {path}: requests {of}of several models: {listed}; choose by --provider and --size")

    close = difflib.get_close_matches(f"{provider or ''} {size or ''}".strip(), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ";"
    raise InputError(f"{WHAT}: {path} has no requests{' of ' + asked if asked else ''}{hint} It has: {listed}")
