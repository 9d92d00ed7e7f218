"""Closed-loop success of quantized policies against the unquantized one, on the same starts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.build import make_policy
from rarrl.errors import InputError
from rarrl.llama.gguf import read_gguf
from rarrl.policy.base import Policy
from rarrl.policy.serve import GGUF, OUTER, load_card
from rarrl.results import Figure
from rarrl_sim_envs.suites import Suite

from ..policy.demonstrations import load_demonstrations
from ..policy.evaluate import Episode, play
from ..progress import Progress
from .quantize import Quantized

OURS = "tuned"  # the method that is played at 3.0 and 2.5 bits per weight too
# Methods whose smallest size that keeps enough is searched.
METHODS = (OURS, "flat", "imatrix", "plain")
SWEEP = (1.68, 1.75, 1.85, 2.0, 2.15, 2.3, 2.5, 2.75, 3.0, 3.5, 4.0)
"""Bits per weight of everything, from the smallest up, until enough is kept; with ggml's types the shipped policy
cannot have fewer."""
KEPT = 0.95  # share of the unquantized policy's successes that counts as kept
SOLVED = 0.8  # of the starts, by the unquantized policy: where it fails, nothing can be lost
Save = Callable[[dict[str, Figure], dict[str, Any]], None]


def closed_loop(
    folder: Path,
    data: Sequence[Path],
    suite: Suite,
    tasks: Sequence[str],
    episodes: int,
    frames: int,
    seed: int,
    save: Save,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Plays the policy unquantized, ours at 3.0 and 2.5 bits per weight, and each method from the smallest size up.

    Args:
        folder: a policy; data: folders of demonstrations, to calibrate with
        tasks: only those count that the unquantized policy solves in `SOLVED` of the starts
        episodes: starts of each task, from `1000 * seed` on of the test list
        keep: a folder for the quantized policies, METHOD_BPW each; None: they are not kept
        save: gets the figures and tables after each size, so that an interrupted run keeps what it played

    Raises: InputError where the policy solves no task."""
    from . import policy_folder  # loads torch

    starts = range(1000 * seed, 1000 * seed + episodes)
    used = policy_folder.policy_inputs(load_card(folder)[0], load_demonstrations(data), frames, seed)
    player = _Player(suite, starts, progress)

    with make_policy(folder) as policy:
        whole = player.play(policy, tasks, "unquantized")
    solved = [task for task in tasks if np.mean([e.success for e in whole if e.task == task]) >= SOLVED]
    if not solved:
        raise InputError(f"policy: {folder} solves none of {', '.join(tasks)} in {SOLVED:.0%} of the starts")

    whole = [e for e in whole if e.task in solved]
    figures = {"success_f16": _share(whole)}
    rows: list[dict[str, Any]] = []
    settings = {
        "tasks": solved,
        "starts of each": episodes,
        "control steps allowed": suite.play_steps,
        "frames": frames,
    }
    tables: dict[str, Any] = {"sizes": rows, "settings": settings}

    quantizers: dict[str, Callable[[float], Quantized]] = {}

    def kept(method: str, bpw: float, place: Path) -> tuple[Figure, float]:
        """Quantizes and plays: the share of successes that is kept, and the real bits per weight."""
        if method not in quantizers:
            quantizers[method] = policy_folder.policy_quantizer(folder, used, method)
        path = place / f"{method}_{bpw:g}"
        policy_folder.write_policy(path, folder, quantizers[method](bpw), {"method": method, "bpw": bpw})

        with make_policy(path) as policy:
            small = player.play(policy, solved, f"{method} {bpw:g}")

        row = {"method": method, "bpw": policy_folder.policy_bpw(path), **_comparison(whole, small, solved)}
        rows.append(row)
        return kept_share(whole, small), row["bpw"]

    with tempfile.TemporaryDirectory() as scratch:
        place = keep or Path(scratch)
        measured: dict[tuple[str, float], tuple[Figure, float]] = {}
        for name, bpw in (("kept_3bpw", 3.0), ("kept_2p5bpw", 2.5)):
            measured[OURS, bpw] = kept(OURS, bpw, place)
            figures[name] = measured[OURS, bpw][0]
            if bpw == 2.5:
                figures |= _memory_figures(folder, place / f"{OURS}_{bpw:g}")
            save(figures, tables)

        smallest: dict[str, float] = {}
        unit = f"bits per weight that keep {KEPT}"
        for method in METHODS:
            for bpw in SWEEP:
                if (method, bpw) not in measured:
                    measured[method, bpw] = kept(method, bpw, place)
                    save(figures, tables)
                if measured[method, bpw][0].value >= KEPT:
                    smallest[method] = measured[method, bpw][1]
                    break

            if method == OURS and method in smallest:
                figures["min_bpw_kept_ours"] = Figure(smallest[method], unit, len(whole))
                save(figures, tables)

    if others := [smallest[method] for method in METHODS if method != OURS and method in smallest]:
        figures["min_bpw_kept_best_other"] = Figure(min(others), unit, len(whole))
    tables["smallest kept"] = smallest
    save(figures, tables)
    return figures, tables


class _Player:
    """Plays policies on the same starts, and counts episodes for `progress`."""

    def __init__(self, suite: Suite, starts: Sequence[int], progress: Progress | None) -> None:
        self._suite = suite
        self._starts = starts
        self._progress = progress
        self._done = 0

    def play(self, policy: Policy, tasks: Sequence[str], what: str) -> list[Episode]:
        """The episodes of all tasks, in order. what: the policy, for `progress`."""
        played: list[Episode] = []
        for task in tasks:
            if self._progress:
                self._progress(self._done, f"{what}, {task}")
            played += play(policy, self._suite, task, "trained", self._starts, policy.spec.horizon)
            self._done += len(self._starts)
        return played


def _comparison(whole: Sequence[Episode], small: Sequence[Episode], tasks: Sequence[str]) -> dict[str, Any]:
    """The cells of a table row: the share kept with its interval, and the successes lost in each task."""
    figure = kept_share(whole, small)
    lost = {t: sum(a.success > b.success for a, b in zip(whole, small, strict=True) if a.task == t) for t in tasks}
    return {"kept": figure.value, "lo": figure.lo, "hi": figure.hi, "lost": lost}


def _memory_figures(folder: Path, small: Path) -> dict[str, Figure]:
    """How many times smaller the quantized policy `small` is: its blocks in memory, and its files."""
    blocks, files = byte_counts(folder)
    small_blocks, small_files = byte_counts(small)
    return {
        "memory_ratio_2p5": Figure(blocks / small_blocks, "bytes of the blocks, F16 to quantized"),
        "file_ratio_2p5": Figure(files / small_files, "bytes of the policy's files, shipped to quantized"),
    }


def byte_counts(folder: Path) -> tuple[int, int]:
    """Of the transformer's blocks, as llama.cpp holds them in memory, and of the policy's files."""
    tensors = read_gguf(folder / GGUF).tensors.items()
    blocks = sum(tensor.data.nbytes for name, tensor in tensors if name.startswith("blk."))
    return blocks, sum((folder / name).stat().st_size for name in (GGUF, OUTER))


def kept_share(whole: Sequence[Episode], small: Sequence[Episode]) -> Figure:
    """Success of the quantized policy over that of the unquantized one, on the same starts.

    The interval is of the four kinds of pairs (both, lost, gained, neither) under Jeffreys' prior."""
    pairs = [(a.success, b.success) for a, b in zip(whole, small, strict=True)]
    counts = np.array([pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))])
    drawn = np.random.default_rng(0).dirichlet(counts + 0.5, 20_000)
    shares = (drawn[:, 0] + drawn[:, 2]) / (drawn[:, 0] + drawn[:, 1])
    value = float((counts[0] + counts[2]) / (counts[0] + counts[1]))
    lo, hi = np.quantile(shares, [0.025, 0.975])

    return Figure(value, "ratio of successes", len(pairs), min(float(lo), value), max(float(hi), value))


def _share(played: Sequence[Episode]) -> Figure:
    return Figure(float(np.mean([e.success for e in played])), "share of episodes", len(played))
