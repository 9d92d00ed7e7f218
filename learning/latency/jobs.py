"""Import and sum up latency profiles, count ALFRED: the functions behind `rarrl profile` and `rarrl alfred`.

Nothing here prints, so that a notebook can call it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rarrl.alfred import AlfredData, AlfredStatistics, alfred_statistics, read_alfred, save_statistics
from rarrl.latency.profile import CallRecord, LatencyProfile, load_profile, save_profile
from rarrl.latency.replay import option_samples

from .import_logs import ImportResult, Origin, import_log


@dataclass(frozen=True)
class ProfileRow:
    """The calls of one role at one level, a row of `rarrl profile show`.

    Attributes:
        role: "planner" or "verifier".
        level: 1 or 2.
        n: Number of calls.
        ok_rate: Share of the calls that were answered, 0 to 1.
        mean_s: Mean seconds of a call; `p50_s`, `p95_s` and `p99_s` are its quantiles.
        mean_tokens: Mean tokens of a call, prompt and answer.
        right: Share of the calls with a right answer, 0 to 1; None where no answer was checked.
    """

    role: str
    level: int
    n: int
    ok_rate: float
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    mean_tokens: float
    right: float | None = None


@dataclass(frozen=True)
class AnswerTable:
    """A table of `rarrl profile show` as text: its title, the names of the columns, and rows of as many cells."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def import_profile(
    log: Path | str,
    provider: str | None,
    size: str | None,
    out: Path | str,
    seed: int = 0,
    origin: Origin | None = None,
) -> ImportResult:
    """Imports a log of requests to a hosted language model and writes it as a latency profile.

    Args:
        log: The log, in one of the formats of `request_logs`.
        provider: Whose requests to take, as the log names it; None: the only one that there is.
        size: Which model size to take, as the log names it; None: the only one that there is.
        out: File of the profile (JSON).
        seed: Of the answer lengths that are drawn; see `import_log`.
        origin: What the profile's header says of the log.

    Returns: The profile, the rows that were left out, and warnings for a user.

    Raises:
        InputError: For a log that cannot be read, or without a valid request of this provider and size.
    """
    result = import_log(Path(log), provider, size, seed, origin)
    save_profile(result.profile, out)
    return result


def show_profile(name_or_path: str | Path, picture: Path | str | None = None) -> list[ProfileRow]:
    """Reads a profile and sums it up.

    Args:
        name_or_path: Name of a shipped profile, or path of a profile file.
        picture: Where to draw it (.png, .svg or .pdf); None: nowhere.

    Returns: A row per role and level, sorted.

    Raises:
        InputError: For an unknown name, a file that is no profile, or a picture that cannot be written.
    """
    profile = load_profile(name_or_path)
    if picture is not None:
        from .figures import plot_profile  # imported here: matplotlib takes half a second

        plot_profile(profile, picture)

    return profile_rows(profile)


def profile_rows(profile: LatencyProfile) -> list[ProfileRow]:
    """A row per role and level of a profile, sorted."""
    return [_row(profile, role, level) for role, level in profile.options()]


def _row(profile: LatencyProfile, role: str, level: int) -> ProfileRow:
    samples = option_samples(profile, role, level)
    p50, p95, p99 = (float(value) for value in np.quantile(samples.seconds, (0.5, 0.95, 0.99)))

    return ProfileRow(
        role=role,
        level=level,
        n=len(samples.seconds),
        ok_rate=float(samples.ok.mean()),
        mean_s=float(samples.seconds.mean()),
        p50_s=p50,
        p95_s=p95,
        p99_s=p99,
        mean_tokens=float((samples.tokens_in + samples.tokens_out).mean()),
        right=_right([r for r in profile.records or () if (r.role, r.level) == (role, level)]),
    )


def _right(records: Sequence[CallRecord]) -> float | None:
    if all(record.correct is None for record in records):
        return None
    return sum(record.correct is True for record in records) / len(records)


def answer_tables(profile: LatencyProfile) -> list[AnswerTable]:
    """How good the answers of a recorded profile are: right ones by task type, and how far confidence can be trusted.

    Returns: The tables; none where the profile holds no tasks."""
    if profile.tasks is None:
        return []

    records = list(profile.records or ())
    options = profile.options()

    types = sorted({task.task_type for task in profile.tasks})
    rows = []
    for name in types:
        tasks = {i for i, task in enumerate(profile.tasks) if task.task_type == name}
        defaults = [profile.tasks[i].default_correct for i in sorted(tasks)]
        cells = [_percent(sum(defaults) / len(defaults))]
        for option in options:
            mine = [r for r in records if (r.role, r.level) == option and r.task in tasks]
            right = _right(mine) if mine else None
            cells.append("-" if right is None else _percent(right))
        rows.append((name, *cells))

    head = ("task type", "default plan", *(f"{role} {level}" for role, level in options))
    tables = [AnswerTable("Right answers by task type", head, rows)]
    for role, title, of in (
        ("planner", "Planner's confidence: mean probability a token, and how often the plan is right", _confidence),
        ("verifier", "Verifier's probability of ok, and how often the plan is right", _p_ok),
    ):
        calibration = [row for r, level in options if r == role for row in _bins(records, role, level, of)]
        if calibration:
            tables.append(AnswerTable(title, ("call", "n", "mean", "plan right"), calibration))

    return tables


def _confidence(record: CallRecord) -> tuple[float, bool] | None:
    if record.confidence is None or record.correct is None:
        return None
    return float(np.exp(record.confidence)), record.correct


def _p_ok(record: CallRecord) -> tuple[float, bool] | None:
    if record.p_ok is None or record.correct is None:
        return None
    return record.p_ok, record.verdict is record.correct


def _bins(
    records: Sequence[CallRecord], role: str, level: int, of: Callable[[CallRecord], tuple[float, bool] | None]
) -> list[tuple[str, ...]]:
    """Up to five bins of about equally many calls; calls of one value are never torn apart."""
    pairs = [of(record) for record in records if (record.role, record.level) == (role, level)]
    values = np.array([pair for pair in pairs if pair is not None], dtype=np.float64).reshape(-1, 2)
    if not len(values):
        return []

    edges = np.unique(np.quantile(values[:, 0], (0.2, 0.4, 0.6, 0.8), method="lower"))
    label = np.searchsorted(edges, values[:, 0], side="left")

    return [
        (f"{role}, level {level}", f"{len(part)}", f"{part[:, 0].mean():.3f}", _percent(part[:, 1].mean()))
        for part in (values[label == i] for i in np.unique(label))
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def count_alfred(folder: Path | str, out: Path | str, split: str | None = None) -> tuple[AlfredData, AlfredStatistics]:
    """Counts the plans of ALFRED, sub-goals per task type and steps per sub-goal, and writes the statistics.

    Args:
        folder: The data set; see `read_alfred`.
        out: File of the statistics (JSON).
        split: Which split to count; None: train where there is one.

    Returns: What was read (its `skipped` names the entries that were left out), and what was written.

    Raises:
        InputError: Where the folder holds no such split.
    """
    data = read_alfred(folder, split)
    statistics = alfred_statistics(data)
    save_statistics(statistics, out)
    return data, statistics
