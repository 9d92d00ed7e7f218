"""What the command line does with latency profiles and ALFRED: plain functions, one per verb, no printing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rarrl.alfred import AlfredData, AlfredStatistics, alfred_statistics, read_alfred, save_statistics
from rarrl.latency.import_logs import ImportResult, Origin, import_log
from rarrl.latency.profile import LatencyProfile, load_profile, save_profile
from rarrl.latency.replay import option_samples


@dataclass(frozen=True)
class ProfileRow:
    """One line of `rarrl profile show`: n calls of a role at a level. ok_rate in 0..1; times in seconds."""

    role: str
    level: int
    n: int
    ok_rate: float
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    mean_tokens: float


def import_profile(
    csv: Path | str, provider: str, size: str, out: Path | str, seed: int = 0, origin: Origin | None = None
) -> ImportResult:
    """`rarrl profile import`: imports a request log and writes the profile to `out`.

    Returns: the profile, the rows left out, and warnings to show. Raises: InputError."""
    result = import_log(Path(csv), provider, size, seed, origin)
    save_profile(result.profile, out)
    return result


def show_profile(name_or_path: str | Path, picture: Path | str | None = None) -> list[ProfileRow]:
    """`rarrl profile show`: a row per role and level; draws the picture too where a path is given.

    Raises: InputError."""
    profile = load_profile(name_or_path)
    if picture is not None:
        from rarrl.latency.plot import plot_profile  # here, for matplotlib is slow to import

        plot_profile(profile, picture)
    return profile_rows(profile)


def profile_rows(profile: LatencyProfile) -> list[ProfileRow]:
    """The table of a profile, sorted by role and level."""
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
    )


def alfred_statistics_command(
    folder: Path | str, out: Path | str, split: str | None = None
) -> tuple[AlfredData, AlfredStatistics]:
    """`rarrl alfred statistics`: counts the plans in `folder` (see `read_alfred`) and writes the statistics to `out`.

    Returns: what was read (with `skipped`, to be shown) and what was written. Raises: InputError."""
    data = read_alfred(folder, split)
    statistics = alfred_statistics(data)
    save_statistics(statistics, out)
    return data, statistics
