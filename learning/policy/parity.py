"""The difference between llama.cpp's actions and torch's, for one set of weights."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rarrl.policy.base import Observation
from rarrl.policy.serve import LlamaPolicy
from rarrl.results import Figure

from .export import export_policy

if TYPE_CHECKING:
    import torch

    from rarrl.policy.spec import PolicySpec

    from .model import PolicyModel


def parity(model: PolicyModel, observations: Sequence[Observation]) -> dict[str, Figure]:
    """`parity_f32` and `parity_f16`: the largest difference of an action, in the network's units (-1 to 1).

    float32 is held against torch with float32 attention; float16 as it is served."""
    expected = [torch_scaled(model, observation) for observation in observations]
    figures = {}
    for name, half in (("parity_f32", False), ("parity_f16", True)):
        with tempfile.TemporaryDirectory() as folder:
            export_policy(model, Path(folder), {}, half)
            with LlamaPolicy(Path(folder), exact=not half) as policy:
                found = [policy.scaled(observation) for observation in observations]
        gap = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
        figures[name] = Figure(gap, "largest absolute difference of an action", len(observations))

    return figures


def torch_scaled(model: PolicyModel, observation: Observation) -> np.ndarray:
    """As `LlamaPolicy.scaled`, by the torch model."""
    import torch

    with torch.inference_mode():
        actions, _ = model(*torch_inputs(model.spec, observation))
    return actions[0].numpy()


def torch_inputs(spec: PolicySpec, observation: Observation) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Words, images and proprioception as `PolicyModel` takes them, a batch of one."""
    import torch

    words = torch.from_numpy(spec.words(observation.instruction))
    images = torch.from_numpy(observation.images.astype(np.float32) / 255 - 0.5).permute(0, 3, 1, 2)
    proprio = torch.from_numpy(spec.scale_proprio(observation.proprio))
    return words[None], images[None], proprio[None]


def one_thread() -> None:
    """torch computes with one thread from now on, as llama.cpp does."""
    import torch

    torch.set_num_threads(1)
