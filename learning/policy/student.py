"""Distils a policy's transformer into fewer blocks that act alike on the most relevant patches, for presets.

The words, images, slots and head stay those of the policy; only the blocks between are trained, on the policy's own
chunks (Hinton et al. 2015, arXiv 1503.02531, with L1 as in the policy's training). What enters the blocks does not
change meanwhile, so it is computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from rarrl.errors import InputError
from rarrl.policy.relevance import Relevance

from ..progress import Progress
from .demonstrations import Demonstrations
from .model import PolicyModel
from .train import PATCH_NOISE, Batches, TrainSettings, descend, make_optimizer, speed_settings

SHARES = (1 / 8, 1 / 8, 3 / 16, 1 / 4)
"""Shares of the patches that are kept; one is drawn for each batch."""


@dataclass(frozen=True)
class DistillationSet:
    """n samples as they enter the blocks, and the full policy's actions for them.

    words: (n, max_words) int16; pictures: (n, patches, width) float16, their places added; proprio: (n, p) float32,
    scaled; actions: (n, horizon, a) float32, the network's units; scores: (n, patches) float32, relevance."""

    words: np.ndarray
    pictures: np.ndarray
    proprio: np.ndarray
    actions: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.words)


def distillation_set(
    teacher: PolicyModel, relevance: Relevance, batches: Iterable[tuple[torch.Tensor, ...]]
) -> DistillationSet:
    """The full policy's actions for the batches of `Batches`; 16 kB a sample with 32 patches."""
    parts: list[tuple[np.ndarray, ...]] = []
    with torch.no_grad():
        for words, images, proprio, *_ in batches:
            pictures = teacher.pictures(images)
            actions = teacher.act(teacher.slots_after(teacher.joined(words, pictures, proprio))[-1])
            scores = relevance.scores(words.numpy(), proprio.numpy())
            parts.append((words.short().numpy(), pictures.half().numpy(), proprio.numpy(), actions.numpy(), scores))

    return DistillationSet(*map(np.concatenate, zip(*parts, strict=True)))


def student_of(teacher: PolicyModel, blocks: int) -> PolicyModel:
    """The policy with its first `blocks` blocks only, which alone can learn.

    Raises: InputError."""
    spec = teacher.spec
    if not 1 <= blocks < spec.layers:
        raise InputError(f"blocks: this policy has {spec.layers}, got {blocks}; allowed: 1 to {spec.layers - 1}")

    student = PolicyModel(spec.model_copy(update={"layers": blocks}))
    known = teacher.state_dict()
    student.load_state_dict({name: known[name] for name in student.state_dict()})
    student.requires_grad_(False).llama.requires_grad_(True)

    return student


def fit_student(
    teacher: PolicyModel,
    relevance: Relevance,
    data: Demonstrations,
    settings: TrainSettings,
    blocks: int = 1,
    samples: int = 80_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[PolicyModel, dict[str, float]]:
    """Trains the blocks on about `samples` frames of the data, images augmented and words sometimes another task's.

    Args:
        settings: see `student_settings`
        progress: gets the share that is done, 0 to 1, and a text

    Returns: the averaged model, and `loss` and `validation_l1` (see `validate`). Raises: InputError."""
    student = student_of(teacher, blocks)
    batches = Batches(data, teacher.spec, settings, seed)

    total = samples + settings.steps * settings.batch

    def drawn() -> Iterator[tuple[torch.Tensor, ...]]:
        for step in range(max(1, samples // settings.batch)):
            if progress and step % 10 == 0:
                progress(step * settings.batch / total, "asking the whole policy")
            yield batches.draw(step)

    targets = distillation_set(teacher, relevance, drawn())
    rng = np.random.default_rng([seed, 3])
    optimizer = make_optimizer(student.llama.parameters(), settings)

    average = {name: value.detach().clone() for name, value in student.state_dict().items()}
    loss_mean = 0.0
    with sdpa_kernel(SDPBackend.MATH):  # see `fit_policy`
        for step in range(settings.steps):
            rows = rng.integers(len(targets), size=settings.batch)
            loss = _difference(student, targets, rows, int(rng.choice(settings.patches)), rng)
            descend(loss, student, optimizer, average, step, settings)
            loss_mean = loss.item() if step == 0 else 0.99 * loss_mean + 0.01 * loss.item()
            if progress and step % 50 == 0:
                progress((samples + step * settings.batch) / total, f"L1 {loss_mean:.4f}")

    student.load_state_dict(average)
    return student.eval(), {
        "loss": loss_mean,
        "validation_l1": validate(student, teacher, relevance, batches, settings),
    }


@torch.no_grad()
def validate(
    student: PolicyModel, teacher: PolicyModel, relevance: Relevance, batches: Batches, settings: TrainSettings
) -> float:
    """Mean L1 from the full policy's chunks in network units, with the fewest patches, over frames of held-out
    episodes; 0 where there are none."""
    errors = []
    for first in range(0, len(batches.validation), settings.batch):
        targets = distillation_set(teacher, relevance, [batches.validation_batch(first)])
        rows = np.arange(len(targets))
        errors += len(rows) * [float(_difference(student, targets, rows, min(settings.patches)))]
    return float(np.mean(errors)) if errors else 0.0


def student_settings(teacher: PolicyModel, steps: int, weights: dict[str, float]) -> TrainSettings:
    """As `speed_settings`, but for blocks that learn alone."""
    patches = tuple(max(1, round(share * teacher.spec.image_tokens)) for share in SHARES)
    return replace(
        speed_settings(teacher.spec, steps, weights),
        batch=64,
        learning_rate=1e-3,
        warm_up=100,
        decay=0.5,
        ema=0.995,
        patches=patches,
    )


def _difference(
    student: PolicyModel, targets: DistillationSet, rows: np.ndarray, count: int, rng: np.random.Generator | None = None
) -> torch.Tensor:
    """Mean L1 from the full policy's actions on the `count` most relevant patches; with `rng`, chosen with noise."""
    scores = targets.scores[rows]
    if rng is not None:
        scores = scores + PATCH_NOISE * rng.gumbel(size=scores.shape)
    kept = np.sort(np.argsort(-scores, axis=1)[:, :count], axis=1)
    pictures = np.take_along_axis(targets.pictures[rows], kept[:, :, None], axis=1).astype(np.float32)
    words = torch.from_numpy(targets.words[rows]).long()
    proprio = torch.from_numpy(targets.proprio[rows])
    x = student.joined(words, torch.from_numpy(pictures), proprio)

    return (student.act(student.slots_after(x)[-1]) - torch.from_numpy(targets.actions[rows])).abs().mean()
