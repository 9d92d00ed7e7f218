"""The difference between llama.cpp's actions and torch's, for one set of weights."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def torch_scaled(model: PolicyModel, observation: Observation, network: Callable[..., Any] | None = None) -> np.ndarray:
    """As `LlamaPolicy.scaled`, by the torch model. network: what computes in its place, such as `frozen`."""
    import torch

    with torch.inference_mode():
        actions, _ = (network or model)(*torch_inputs(model.spec, observation))
    return actions[0].numpy()


def frozen(model: PolicyModel, example: Observation) -> Callable[..., Any]:
    """The model as TorchScript that was traced with an observation: it computes the same in a sixth less time."""
    import torch

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that are constants then, which they are
        return torch.jit.freeze(torch.jit.trace(model, torch_inputs(model.spec, example)))


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
