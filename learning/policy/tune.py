"""Searches the fastest preset of a policy that keeps its success."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.files import write_json_atomic
from rarrl.llama.gguf import read_gguf
from rarrl.policy.base import Observation
from rarrl.policy.preset import FOLDER, Preset
from rarrl.policy.relevance import FILE as RELEVANCE
from rarrl.policy.spec import PolicySpec

from ..progress import Progress

# Numbers of image patches to try; all are tried too.
PATCHES = (4, 6, 8, 12, 16, 24)


@dataclass(frozen=True)
class Trial:
    """One start of a task.

    words: "trained" (its own) or "swapped": another task's, where success means that the policy did not read."""

    task: str
    start: int
    words: str


@dataclass(frozen=True)
class CandidateResult:
    """One setting. ms: CPU milliseconds of a chunk. solved, misread: trials with its own words that were solved, and
    with another task's words. played: of both, fewer than all where it was given up."""

    preset: Preset
    ms: float
    solved: int
    misread: int
    played: int
    chosen: bool = False


def candidates(folder: Path, spec: PolicySpec, ggufs: Sequence[str] = ()) -> list[Preset]:
    """All settings to try but the full policy: patches x blocks x transformers.

    ggufs: names of other transformers in the folder; they may have fewer blocks.

    Raises: InputError."""
    patches: list[int | None] = [None]
    if (folder / RELEVANCE).is_file():
        patches += [count for count in PATCHES if count < spec.image_tokens]
    found = []
    for gguf in (None, *ggufs):
        depth = read_gguf(folder / gguf).shape.layers if gguf else spec.layers
        layers = (None, *range(1, depth))
        found += [Preset(patches=p, layers=n, gguf=gguf) for n in layers for p in patches if p or n or gguf]

    return found


def cpu_ms(
    policies: Mapping[str, Callable[[Observation], Any]],
    clips: Sequence[Sequence[Observation]],
    rounds: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """CPU milliseconds a call of each policy, (rounds,): in turn, in one process, on the same clips, in random order.

    The first frame of a clip is not counted: there, the words are new."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in policies}
    for number in range(rounds + 1):  # the first one warms up
        spent = dict.fromkeys(policies, 0.0)
        for clip in clips:
            for name in rng.permutation(list(policies)):
                infer = policies[name]
                infer(clip[0])
                begin = time.process_time()
                for observation in clip[1:]:
                    infer(observation)
                spent[name] += time.process_time() - begin

        if number:
            for name, seconds in spent.items():
                found[name].append(1000 * seconds / sum(len(clip) - 1 for clip in clips))
        if progress:
            progress(number, "timing")

    return {name: np.array(values) for name, values in found.items()}


def tune(
    presets: Sequence[Preset],
    ms: Sequence[float],
    trials: Sequence[Trial],
    play: Callable[[Preset, Trial], bool],
    keep: float = 0.97,
    misread: float = 0.05,
    target_ms: float | None = None,
    progress: Progress | None = None,
) -> list[CandidateResult]:
    """All settings that were played: the full policy, then the others in their order, the chosen one last.

    Without a target, settings are played from the quickest on until one will do; with one, from the slowest that fits
    the target on. A setting will do where it solves `keep` of the trials that the full policy solves, and as many of
    those with swapped words as `misread` allows or the full policy does. It is given up as soon as it cannot.

    Args:
        presets: what to choose from; the first one leaves out nothing
        ms: CPU milliseconds of a chunk, of each
        play: solved?

    Raises: InputError where no setting will do."""
    whole = _try(presets[0], ms[0], trials, play, 0, len(trials))
    if not whole.solved:
        raise InputError(f"policy: it solved none of {len(trials)} trials; train it before it is tuned")

    needed = keep * whole.solved
    allowed = max(int(misread * sum(trial.words == "swapped" for trial in trials)), whole.misread)
    order = sorted(range(len(presets)), key=lambda i: ms[i])
    if target_ms is not None:
        order = [i for i in reversed(order) if ms[i] <= target_ms]
        if not order:
            raise InputError(f"target: the quickest setting takes {min(ms):.2f} ms, got {target_ms}; allow more")

    tried = [whole]
    for number, i in enumerate(order):
        if i == 0:
            return [replace(whole, chosen=True)]
        if progress:
            progress(number, str(presets[i]))
        tried.append(_try(presets[i], ms[i], trials, play, needed, allowed))
        if tried[-1].chosen:
            return tried

    raise InputError(f"target: no setting within {target_ms} ms does the tasks as the whole policy does; allow more")


def _try(
    preset: Preset,
    ms: float,
    trials: Sequence[Trial],
    play: Callable[[Preset, Trial], bool],
    needed: float,
    allowed: int,
) -> CandidateResult:
    solved = misread = 0
    left = sum(trial.words == "trained" for trial in trials)
    for number, trial in enumerate(trials, 1):
        success = play(preset, trial)
        if trial.words == "swapped":
            misread += success
        else:
            solved = solved + success
            left = left - 1
        if solved + left < needed or misread > allowed:
            return CandidateResult(preset, ms, solved, misread, number)

    return CandidateResult(preset, ms, solved, misread, len(trials), chosen=True)


def write_preset(folder: Path, name: str, tried: Sequence[CandidateResult], command: str) -> Path:
    """Writes `presets/<name>.json`, the last setting with what was measured of all; its path."""
    path = folder / FOLDER / f"{name}.json"
    record = {
        "preset": tried[-1].preset.model_dump(exclude_none=True),
        "command": command,
        "tried": [
            {
                "setting": str(t.preset),
                "ms": round(t.ms, 3),
                "solved": t.solved,
                "misread": t.misread,
                "played": t.played,
            }
            for t in tried
        ],
    }
    write_json_atomic(path, record)

    return path
