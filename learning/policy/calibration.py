"""Calibration frames for `rarrl quantize`: what a policy is given on demonstrations, and should answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rarrl.errors import InputError
from rarrl.policy.base import Observation
from rarrl.policy.serve import embed, load_card, load_outer
from rarrl.policy.spec import PolicySpec

from .demonstrations import Demonstrations


@dataclass(frozen=True)
class PolicyFrames:
    """n frames in random order.

    inputs: (n, tokens, width) float32; targets: (n, horizon, action) float32, the expert's chunk in the network's
    units; episode: (n,) int64, one number for each start of each task; head: weights and biases from a slot's hidden
    state to an action, ReLU between; blocks: tokens of each block, the last one ends with a slot for each row."""

    inputs: np.ndarray
    targets: np.ndarray
    episode: np.ndarray
    head: tuple[tuple[np.ndarray, np.ndarray], ...]
    blocks: tuple[int, ...]


def policy_frames(
    folder: Path,
    data: Demonstrations,
    count: int,
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
) -> PolicyFrames:
    """Embeds `count` frames of `data`, as many of each task, each with one of its task's instructions.

    Raises: InputError where the policy folder is damaged or of another robot, or there are too few frames."""
    spec, hashes = load_card(folder)
    weights = load_outer(folder, spec, hashes)
    order, instructions = choose_frames(spec, data, count, seed)

    frames = data.frames
    inputs = []
    for frame, words in zip(order, instructions, strict=True):
        observation = Observation(frames.images[frame], frames.proprio[frame], words)
        inputs.append(np.concatenate(embed(spec, weights, observation)))
        if progress:
            progress(len(inputs), "")

    return PolicyFrames(
        np.stack(inputs),
        spec.scale_actions(frames.chunks[order, : spec.horizon]),
        episodes_of(data, order),
        tuple((weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in ("head_in", "head_out")),
        spec.blocks,
    )


def choose_frames(spec: PolicySpec, data: Demonstrations, count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Indices of `count` frames in random order, as many of each task, and one of its task's instructions for each.

    Raises: InputError where the demonstrations are of another robot, or there are too few frames."""
    frames = data.frames
    rng = np.random.default_rng(seed)
    if frames.chunks.shape[1] < spec.horizon or data.robot.action_names != spec.action_names:
        raise InputError(
            f"demonstrations: chunks of {frames.chunks.shape[1]} rows of {', '.join(data.robot.action_names)}; the "
            f"policy gives {spec.horizon} of {', '.join(spec.action_names)}: record them for this robot"
        )

    each, more = divmod(count, len(data.tasks))
    chosen: list[int] = []
    for task, info in enumerate(data.tasks):
        of_task = np.flatnonzero(data.task == task)
        wanted = each + (task < more)
        if wanted > len(of_task):
            raise InputError(f"frames: {wanted} of {info.name} asked for, {len(of_task)} recorded; ask for fewer")
        chosen += rng.choice(of_task, wanted, replace=False).tolist()

    order = rng.permutation(chosen)
    instructions = []
    for frame in order:
        words = data.tasks[data.task[frame]].instructions
        instructions.append(words[frames.told[frame] if frames.told[frame] >= 0 else rng.integers(len(words))])
    return order, instructions


def episodes_of(data: Demonstrations, frames: np.ndarray) -> np.ndarray:
    """(n,) int64: one number for each start of each task."""
    return data.task[frames].astype(np.int64) * (int(data.frames.episode.max()) + 1) + data.frames.episode[frames]
