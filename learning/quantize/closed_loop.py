"""Closed-loop success of quantized policies against the unquantized one, on the same starts.

A table of cells, a method at a size each, is played task by task, and saved after each task of a cell. Played again
with more sizes, methods or starts, it goes on from what is there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.build import make_policy
from rarrl.errors import InputError
from rarrl.llama.gguf import read_gguf
from rarrl.policy.serve import GGUF, OUTER, load_card
from rarrl.results import Figure
from rarrl_sim_envs.suites import Suite

from ..policy.demonstrations import load_demonstrations
from ..policy.evaluate_speed import TrialRunner
from ..progress import Progress
from .quantize import Quantized

METHODS = ("tuned", "aware", "actquant", "imatrix", "plain", "rtn")
"""Methods that are played; of "rtn" whole bits alone: rows rounded to nearest, as textbooks do."""
SIZES = (4.0, 3.0, 2.5, 2.0, 1.75)
"""Bits per weight of everything."""
AWARE_BELOW = 2.0
"""Bits per weight below which ours is "aware", and from which on "tuned": where much is lost, much can be repaired."""
OURS = ("tuned", "aware")
KEPT = 0.95  # share of the unquantized policy's successes that counts as kept
SOLVED = 0.8  # of the starts, by the unquantized policy: where it fails, nothing can be lost
WHOLE = "unquantized"
Save = Callable[[dict[str, Figure], dict[str, Any]], None]
Outcomes = dict[str, list[bool]]
"""Task -> solved or not, start by start."""


def closed_loop(
    folder: Path,
    data: Sequence[Path],
    suite: Suite,
    tasks: Sequence[str],
    episodes: int,
    frames: int,
    seed: int,
    save: Save,
    methods: Sequence[str] = METHODS,
    sizes: Sequence[float] = SIZES,
    earlier: Mapping[str, Any] | None = None,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Plays the policy unquantized, then every method at every size.

    Args:
        folder: a policy; data: folders of demonstrations, to calibrate with
        tasks: only those count that the unquantized policy solves in `SOLVED` of the starts
        episodes: starts of each task, from `1000 * seed` on of the test list
        save: gets the figures and tables again and again, so that an interrupted run keeps what it played
        earlier: the tables of a run with the same policy, seed and frames: what it played is not played again
        keep: a folder for the quantized policies, METHOD_BPW each; None: they are not kept

    Raises: InputError where the policy solves no task, or `earlier` is of something else."""
    from . import policy_folder  # loads torch

    spec, hashes = load_card(folder)
    settings = {"policy": dict(sorted(hashes.items())), "suite": suite.name, "seed": seed, "frames": frames}
    rows = _earlier_rows(earlier, settings)
    starts = range(1000 * seed, 1000 * seed + episodes)

    quantizers: dict[str, Callable[[float], Quantized]] = {}
    inputs: list[Any] = []

    def write(method: str, size: float, path: Path) -> float:
        """Writes the quantized policy; its bits per weight."""
        facts = {"method": method, "bpw": size}
        if method == "rtn":
            quantized, bpw = policy_folder.rounded_to_nearest(folder, round(size))
            policy_folder.write_policy(path, folder, quantized, facts)
            return bpw

        if not inputs:
            demonstrations = load_demonstrations(data)
            inputs.append(policy_folder.policy_inputs(spec, demonstrations, frames, seed))
            inputs.append(policy_folder.tuning_inputs(spec, demonstrations, seed))
        if method not in quantizers:
            quantizers[method] = policy_folder.policy_quantizer(folder, inputs[0], method, more=inputs[1])
        policy_folder.write_policy(path, folder, quantizers[method](size), facts)
        return policy_folder.policy_bpw(path)

    def play(row: dict[str, Any], path: Path, task: str, arena: TrialRunner) -> None:
        """Adds what is missing of the task's starts."""
        done = row["played"].setdefault(task, [])
        if len(done) < episodes:
            with make_policy(path) as policy:
                done += [arena.play(policy, task, s, split="test") for s in starts[len(done) :]]

    if not rows:
        rows.append({"method": WHOLE, "played": {}})
    for number, task in enumerate(tasks):
        if progress:
            progress(number, f"{WHOLE}, {task}")
        with TrialRunner(suite) as arena:
            play(rows[0], folder, task, arena)
    solved = [t for t in tasks if np.mean(rows[0]["played"][t][:episodes]) >= SOLVED]
    if not solved:
        raise InputError(f"policy: {folder} solves none of {', '.join(tasks)} in {SOLVED:.0%} of the starts")

    settings |= {"tasks that count": solved, "control steps allowed": suite.play_steps}
    with tempfile.TemporaryDirectory() as scratch:
        place = keep or Path(scratch)
        cells: list[tuple[dict[str, Any], Path]] = []
        for size, method in product(sizes, methods):
            row = next((r for r in rows[1:] if (r["method"], r["size"]) == (method, size)), None)
            complete = row is not None and all(len(row["played"].get(t, ())) >= episodes for t in solved)
            if complete or (method == "rtn" and size != round(size)):
                continue
            if progress:
                progress(len(tasks), f"{method} {size:g}")
            path = place / f"{method}_{size:g}"
            bpw = write(method, size, path)
            if row is None:
                blocks, files = byte_counts(path)
                sizes_of = {"block_bytes": blocks, "file_bytes": files}
                row = {"method": method, "size": size, "bpw": bpw, **sizes_of, "played": {}}
                rows.append(row)
            cells.append((row, path))

        # A scene is loaded once, and held alone: LIBERO's takes a gigabyte.
        for number, task in enumerate(solved):
            with TrialRunner(suite) as arena:
                for row, path in cells:
                    if progress:
                        progress(len(tasks) + number, f"{row['method']} {row['size']:g}, {task}")
                    play(row, path, task, arena)
                    save(*summary(rows, solved, settings, byte_counts(folder)))

    return summary(rows, solved, settings, byte_counts(folder))


def summary(
    rows: Sequence[Mapping[str, Any]], tasks: Sequence[str], settings: Mapping[str, Any], whole_bytes: tuple[int, int]
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures and tables of what was played: the unquantized policy first, then cells.

    whole_bytes: see `byte_counts`, of the unquantized policy"""
    whole, *begun = rows
    cells = [cell for cell in begun if any(cell["played"].get(t) for t in tasks)]
    solved = np.concatenate([whole["played"][t] for t in tasks])
    figures = {"success_f16": Figure(float(solved.mean()), "share of episodes", len(solved))}
    kept = {(c["method"], c["size"]): kept_share(*_pairs(whole, c, tasks)) for c in cells}

    for name, size in (("kept_3bpw", 3.0), ("kept_2p5bpw", 2.5), ("kept_2bpw", 2.0)):
        if (_ours(size), size) in kept:
            figures[name] = kept[_ours(size), size]
    others = [c for c in cells if c["method"] not in OURS and c["size"] == 2.0]
    ours = next((c for c in cells if (c["method"], c["size"]) == (_ours(2.0), 2.0)), None)
    if ours is not None and others:
        best = max(others, key=lambda c: kept[c["method"], 2.0].value)
        figures["lead_2bpw"] = paired_difference(*_pairs(ours, best, tasks))
    for cell in cells:
        if (cell["method"], cell["size"]) == ("tuned", 2.5):
            figures["memory_ratio_2p5"] = Figure(
                whole_bytes[0] / cell["block_bytes"], "bytes of the blocks, F16 to quantized"
            )
            figures["file_ratio_2p5"] = Figure(
                whole_bytes[1] / cell["file_bytes"], "bytes of the policy's files, shipped to quantized"
            )

    methods = list(dict.fromkeys(c["method"] for c in cells if c["method"] not in OURS))
    least = {method: _least([c for c in cells if c["method"] == method], kept) for method in methods}
    least["ours"] = _least([c for c in cells if c["method"] == _ours(c["size"])], kept)
    unit = f"bits per weight that keep {KEPT}"
    for method, bpw in least.items():
        if bpw is not None:
            figures[f"min_bpw_kept_{method}"] = Figure(bpw, unit, len(solved))

    def line(cell: Mapping[str, Any]) -> dict[str, Any]:
        share = kept[cell["method"], cell["size"]]
        full, small = _pairs(whole, cell, tasks)
        lost, won = int((full & ~small).sum()), int((small & ~full).sum())
        cells_of = {"success": float(small.mean()), "kept": share.value, "lo": share.lo, "hi": share.hi}
        return {
            "method": cell["method"],
            "bpw": round(cell["bpw"], 3),
            "n": share.n,
            **cells_of,
            "lost": lost,
            "won": won,
        }

    ordered = sorted(cells, key=lambda c: (-c["size"], c["method"]))
    tables: dict[str, Any] = {"sizes": [line(c) for c in ordered], "settings": dict(settings), "played": list(rows)}
    return figures, tables


def _ours(size: float) -> str:
    return "aware" if size < AWARE_BELOW else "tuned"


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any], tasks: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of the starts that both have played."""
    both = [(a["played"].get(t, []), b["played"].get(t, [])) for t in tasks]
    pairs = np.array([pair for x, y in both for pair in zip(x, y, strict=False)], bool).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _least(cells: Sequence[Mapping[str, Any]], kept: Mapping[tuple[str, float], Figure]) -> float | None:
    """The fewest bits per weight from which on all of these cells keep enough."""
    least = None
    for cell in sorted(cells, key=lambda c: -c["size"]):
        if kept[cell["method"], cell["size"]].value < KEPT:
            break
        least = cell["bpw"]
    return least


def _earlier_rows(earlier: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an earlier run played. Raises: InputError where it is of another policy, suite, seed or calibration."""
    if earlier is None:
        return []
    found = earlier.get("settings", {})
    differs = [name for name, value in settings.items() if found.get(name) != value]
    if differs or not isinstance(earlier.get("played"), list):
        raise InputError(f"--json: the file is there, with another {differs[0] if differs else 'table'}; name another")
    return [dict(row) for row in earlier["played"]]


def byte_counts(folder: Path) -> tuple[int, int]:
    """Of the transformer's blocks, as llama.cpp holds them in memory, and of the policy's files."""
    tensors = read_gguf(folder / GGUF).tensors.items()
    blocks = sum(tensor.data.nbytes for name, tensor in tensors if name.startswith("blk."))
    return blocks, sum((folder / name).stat().st_size for name in (GGUF, OUTER))


def kept_share(whole: np.ndarray, small: np.ndarray) -> Figure:
    """Success of the quantized policy over that of the unquantized one, on the same starts; both (n,) bool.

    The interval is of the four kinds of pairs (both, lost, gained, neither) under Jeffreys' prior."""
    counts, drawn = _drawn(whole, small)
    shares = (drawn[:, 0] + drawn[:, 2]) / (drawn[:, 0] + drawn[:, 1])
    value = float((counts[0] + counts[2]) / max(counts[0] + counts[1], 1))
    return _figure(value, shares, "ratio of successes", len(whole))


def paired_difference(a: np.ndarray, b: np.ndarray) -> Figure:
    """Success of `a` minus that of `b`, on the same starts; the interval as of `kept_share`."""
    counts, drawn = _drawn(a, b)
    value = float((counts[1] - counts[2]) / max(len(a), 1))
    return _figure(value, drawn[:, 1] - drawn[:, 2], "success, difference", len(a))


def _drawn(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts of both, only a, only b, neither; and draws of their shares."""
    counts = np.array([(a & b).sum(), (a & ~b).sum(), (b & ~a).sum(), (~a & ~b).sum()])
    return counts, np.random.default_rng(0).dirichlet(counts + 0.5, 20_000)


def _figure(value: float, drawn: np.ndarray, unit: str, n: int) -> Figure:
    lo, hi = map(float, np.quantile(drawn, [0.025, 0.975]))
    return Figure(value, unit, n, min(lo, value), max(hi, value))
