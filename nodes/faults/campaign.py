"""The fault campaign: collects the rows of all parts, plays them, judges each, and sums them up.

    rows() -> play_row(row, seed) -> outcome, a dict of plain values -> results(outcomes), the JSON document

A row is judged by what it promises: no unsafe output, each limit held at p99, recovery where it is promised, and 0 of
whatever must not happen at all."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError, RarrlError
from rarrl.files import read_file
from rarrl.plugins import did_you_mean
from rarrl.results import Figure, make_results

from .row import Row, Trial, Way
from .station import STAGE

PARTS = (
    "gate",
    "gate_graph",
    "camera",
    "sight",
    "policy",
    "policy_graph",
    "policy_files",
    "reasoner",
    "budget",
    "executive",
    "updown",
    "wires",
    "keys",
    "thinking",
    "supervision",
    "soak",
    "deadman",
)
"""Modules of this folder that have rows, in the order in which they are played."""
TIMES = ("detect_s", "stop_s", "active_s", "recover_s")
MUST_BE_ZERO = (
    "false_stops",
    "nan_published",
    "stale_applied",
    "calls_after_exhaustion",
    "parent_crashes",
    "keys_seen",
    "exceptions",
    "two_goals_at_once",
    "lost_tasks",
    "lost_steps",
    "accepted",
    "updown_failures",
    "left",
    "leaks",
    "grown",
    "silent",
    "false_alarms",
    "nodes_restarted",
    "not_given_up",
    "others_lost",
)
"""Counts of a trial of which one is a failure of its row; others are told. silent: nothing was said of the fault."""
SUMS = (*MUST_BE_ZERO[:6], "attacks_through")
"""Counts that the campaign sums up."""
DEADMAN = "deadman"
NOTES = 5  # of a row's trials, kept in the outcome

Outcome = dict[str, Any]
"""A row's own words, and what came of it: see `outcome_of`."""


def rows() -> tuple[Row, ...]:
    """All rows of the parts that are there. Raises: ValueError where two have one name."""
    modules = [f"{__package__}.{part}" for part in PARTS]
    found = tuple(row for name in modules if find_spec(name) for row in import_module(name).rows())
    twice = [name for name, count in Counter(row.name for row in found).items() if count > 1]
    if twice:
        raise ValueError(f"two rows have the name {twice[0]}")
    return found


def select(of: Sequence[Row], only: Sequence[str] = (), way: Way | None = None, quick: bool = False) -> tuple[Row, ...]:
    """The rows to play. only: names, or what names begin with up to a hyphen: "C1" is C1-left and C1-right.

    Raises: InputError for a name that no row has, and where nothing is left."""
    for name in only:
        if not any(_is_named(row, name) for row in of):
            raise InputError(
                f"--only: no row {name!r}{did_you_mean(name, [row.name for row in of])}; `rarrl faults list`"
            )
    chosen = tuple(
        row
        for row in of
        if (not only or any(_is_named(row, name) for name in only))
        and way in (None, row.way)
        and (row.quick or not quick)
    )
    if not chosen:
        raise InputError("faults: these options leave no row; `rarrl faults list` shows them all")
    return chosen


def _is_named(row: Row, name: str) -> bool:
    return row.name == name or row.name.startswith(f"{name}-")


def play_row(row: Row, seed: int, quick: bool = False, most: int | None = None) -> Outcome:
    """Plays one row, at most `most` trials of it. One that raises has failed; whatever graph it used is ended."""
    begun = time.monotonic()
    error = ""
    trials: Sequence[Trial] = ()
    try:
        wanted = row.quick_trials if quick else row.trials
        trials = row.play(wanted if most is None else min(wanted, most), seed)
    except RarrlError as problem:
        error = str(problem)
    except Exception as problem:  # a row's own mistake must not end the campaign
        error = f"{type(problem).__name__}: {problem}"
    if error:
        STAGE.clear()
    return outcome_of(row, trials, error[:300], time.monotonic() - begun)


def outcome_of(row: Row, trials: Sequence[Trial], error: str = "", seconds: float = 0.0) -> Outcome:
    """What came of a row: its words, quantiles of its times in seconds, sums, and `failed`: why it does not hold."""
    counts: Counter[str] = Counter()
    for trial in trials:
        counts.update(trial.counts)
    unsafe = sum(trial.unsafe for trial in trials)
    outcome: Outcome = {
        **{key: getattr(row, key) for key in ("name", "part", "fault", "injected", "expected", "way")},
        **{"stops": row.stops, "recovers": row.recovers, "limits": dict(row.limits)},
        "trials": len(trials),
        "outputs": sum(trial.outputs for trial in trials),
        "unsafe": unsafe,
        "unsafe_bound": min(3 / len(trials), 1.0) if trials and not unsafe else None,
        **{key: quantiles([getattr(trial, key) for trial in trials]) for key in TIMES},
        "counts": dict(sorted(counts.items())),
        "notes": list(dict.fromkeys(trial.note for trial in trials if trial.note))[:NOTES],
        "seconds": round(seconds, 1),
        "load": round(os.getloadavg()[0], 2),
    }
    outcome["played"] = not error
    outcome["failed"] = [error] if error else _failures(row, trials, outcome)
    return outcome


def _failures(row: Row, trials: Sequence[Trial], outcome: Outcome) -> list[str]:
    if not trials:
        return ["no trial was played"]
    failed = []
    if outcome["unsafe"]:
        failed.append(f"{outcome['unsafe']} of {outcome['outputs']} outputs unsafe")
    if row.stops and outcome["stop_s"] is None:
        failed.append("it never stopped")
    lost = sum(trial.recover_s is None for trial in trials)
    if row.recovers and lost:
        failed.append(f"{lost} of {len(trials)} did not recover")
    for key, most in row.limits.items():
        if (found := outcome[key]) is not None and found["p99"] > most:
            failed.append(f"{key} p99 {found['p99']:.3g}, allowed {most:g}")
    for name, most in row.shares.items():
        if (share := outcome["counts"].get(name, 0) / len(trials)) > most:
            failed.append(f"{name} in {share:.3g} of the trials, allowed {most:g}")
    failed += [f"{name} {outcome['counts'][name]}" for name in MUST_BE_ZERO if outcome["counts"].get(name)]
    return failed


def quantiles(values: Sequence[float | None]) -> dict[str, float] | None:
    """n, p50, p99 and max of those that are known, None where none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    p50, p99 = np.quantile(known, (0.5, 0.99))
    return {"n": len(known), "p50": round(float(p50), 4), "p99": round(float(p99), 4), "max": round(max(known), 4)}


def play(
    of: Sequence[Row],
    seed: int = 0,
    quick: bool = False,
    most: int | None = None,
    played: Mapping[str, Outcome] | None = None,
) -> Iterator[Outcome]:
    """Plays rows one after the other; those that `played` holds are taken from there. Nothing is logged meanwhile: the
    errors are made on purpose."""
    logging.disable(logging.ERROR)
    try:
        for row in of:
            yield (played or {}).get(row.name) or play_row(row, seed, quick, most)
    finally:
        logging.disable(logging.NOTSET)
        STAGE.clear()


def figures_of(outcomes: Sequence[Outcome]) -> dict[str, Figure]:
    """The campaign's sums. Times are the worst row's p99: pooled, a fast row of many trials would hide a slow one."""
    outputs = sum(each["outputs"] for each in outcomes)
    trials = sum(each["trials"] for each in outcomes)
    unsafe = sum(each["unsafe"] for each in outcomes)
    marked = [each for each in outcomes if each["recovers"]]
    recovered = [each for each in marked if each["recover_s"] and each["recover_s"]["n"] == each["trials"]]
    figures = {
        "rows": Figure(len(outcomes), "rows", trials),
        "rows_failed": Figure(sum(bool(each["failed"]) for each in outcomes), "rows", len(outcomes)),
        "unsafe_outputs": Figure(unsafe, "outputs", outputs),
        "recovered": Figure(len(recovered), f"rows of {len(marked)} that must", len(marked)),
        **{name: Figure(sum(each["counts"].get(name, 0) for each in outcomes), "", trials) for name in SUMS},
    }
    if trials and not unsafe:
        figures["unsafe_bound"] = Figure(min(3 / trials, 1.0), "share of injections, 95 %", trials)

    def worst(key: str, name: str, among: Callable[[Outcome], bool]) -> None:
        found = [each[key] for each in outcomes if each[key] and among(each)]
        if found:
            figures[name] = Figure(max(f["p99"] for f in found), "s, the worst row", sum(f["n"] for f in found))

    def must(each: Outcome) -> bool:  # a drift that grows for seconds has no moment from which to stop
        return "stop_s" in each["limits"]

    worst("stop_s", "stop_p99_s", lambda each: must(each) and each["part"] != DEADMAN)
    worst("stop_s", "deadman_stop_p99_s", lambda each: must(each) and each["part"] == DEADMAN)
    worst("detect_s", "detect_p99_s", lambda each: True)
    worst("recover_s", "recover_p99_s", lambda each: each["recovers"])
    return figures


def results(command: str, seed: int, quick: bool, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The document of `rarrl.results`: the sums, and each row's outcome by its name."""
    outcomes = list(outcomes)
    tables = {"quick": quick, "rows": {each["name"]: each for each in outcomes}}
    return make_results(command, seed, figures_of(outcomes), tables)


def read_played(path: Path, seed: int, quick: bool) -> dict[str, Outcome]:
    """The outcomes in a file of an earlier, interrupted campaign, but for rows that could not be played; {} where there
    is no file yet.

    Raises: InputError for a file that is none of ours, or of another seed or length."""
    if not path.exists():
        return {}
    try:
        document = json.loads(read_file(path, "--resume"))
        found: dict[str, Outcome] = {  # of a version that measured fewer times, too
            name: {**dict.fromkeys(TIMES), **row} for name, row in document["tables"]["rows"].items() if row["played"]
        }
        same = (document["seed"], document["tables"]["quick"]) == (seed, quick)
        if not all(each["name"] == name and isinstance(each["failed"], list) for name, each in found.items()):
            raise ValueError("rows without names")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"--resume: {path} is no result of `rarrl faults run` ({str(error)[:80]})") from None
    if not same:
        raise InputError(f"--resume: {path} is of another --seed or --quick; name another file with --json")
    return found
