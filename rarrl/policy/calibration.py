"""Frames for `rarrl quantize`: what enters a policy's transformer on demonstrations, and what should come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rarrl.errors import InputError
from rarrl.policy.base import Observation
from rarrl.policy.demonstrations import Demonstrations
from rarrl.policy.serve import embed, load_card, load_outer


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
    frames, rng = data.frames, np.random.default_rng(seed)
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
    inputs = []
    for i, frame in enumerate(order):
        words = data.tasks[data.task[frame]].instructions
        told = frames.told[frame] if frames.told[frame] >= 0 else rng.integers(len(words))
        observation = Observation(frames.images[frame], frames.proprio[frame], words[told])
        inputs.append(np.concatenate(embed(spec, weights, observation)))
        if progress:
            progress(i + 1, "")
    return PolicyFrames(
        np.stack(inputs),
        spec.scale_actions(frames.chunks[order, : spec.horizon]),
        data.task[order].astype(np.int64) * (int(frames.episode.max()) + 1) + frames.episode[order],
        tuple((weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in ("head_in", "head_out")),
        spec.blocks,
    )
