"""Sensitivity of the actions to each tensor and weight, measured on calibration frames."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rarrl.errors import InputError
from rarrl.llama.gguf import Gguf

from ..progress import Progress
from ..torch_llama import Llama, block_mask
from .calibration import Calibration, Head
from .curvature import cost_terms
from .methods import Rounder

BATCH = 32  # frames computed at once
# Tuning of the norms: Adam with a rate that falls linearly to zero.
TUNING_STEPS = 80  # optimizer steps
TUNING_BATCH = 16  # frames a step
TUNING_RATE = 2e-3  # learning rate of the first step
Weights = Mapping[str, np.ndarray]
Choices = Mapping[str, list[str]]


@dataclass(frozen=True)
class Curvature:
    """How much small errors of a linear layer's weights change the actions: mean over frames of the squared change.

    columns: name -> (inputs, inputs), for a row of errors, the same for all rows; weights: name -> (outputs, inputs),
    for each weight alone."""

    columns: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]

    def add(self, name: str, columns: torch.Tensor, weights: torch.Tensor) -> None:
        """Sums up, until `mean`."""
        self.columns[name] = self.columns.get(name, 0) + columns.numpy()
        self.weights[name] = self.weights.get(name, 0) + weights.numpy()

    def mean(self, frames: int) -> Curvature:
        """From sums over `frames` frames."""
        columns, weights = ({n: part / frames for n, part in parts.items()} for parts in (self.columns, self.weights))
        return Curvature(columns, weights)


class ActionProbe(ABC):
    """A policy on its calibration frames: its actions, with some weights replaced for a moment.

    Args:
        model: in torch; its weights as they are are the reference
        matrices: names of the parameters that may be quantized, in the order in which they are computed
        targets: (frames, chunk, action), the expert's
    """

    def __init__(self, model: nn.Module, matrices: Iterable[str], targets: np.ndarray) -> None:
        self.model = model.requires_grad_(False)
        self.targets = targets

        # A transformer within a policy goes by the names of its own file.
        self._parameters = {name.removeprefix("llama."): p for name, p in model.named_parameters()}
        self._matrices = {name: self._parameters[name] for name in matrices}
        modules = {name.removeprefix("llama."): module for name, module in model.named_modules()}
        layers = {name: modules.get(name.removesuffix(".weight")) for name in self._matrices}
        self._layers = {name: m for name, m in layers.items() if isinstance(m, nn.Linear | nn.Conv2d)}
        self._batches = torch.arange(len(targets)).split(BATCH)
        self.reference = self.actions({})

    @abstractmethod
    def _act(self, rows: torch.Tensor, traced: bool = False) -> torch.Tensor:
        """(rows, chunk, action) of these frames, computed from the start; traced: every layer's output has a gradient,
        though no weight has one."""

    @abstractmethod
    def entering(self) -> torch.Tensor:
        """(frames, numbers) of what the policy is given, for `hsic_sensitivity`."""

    def actions(self, weights: Weights) -> np.ndarray:
        """(frames, chunk, action) with these weights, of matrices or norms, in place of the model's."""
        with self._replaced(weights), torch.no_grad():
            return torch.cat([self._act(rows) for rows in self._batches]).numpy()

    @contextmanager
    def _replaced(self, weights: Weights) -> Iterator[None]:
        kept = {name: self._parameters[name].data for name in weights}
        try:
            for name, values in weights.items():
                self._parameters[name].data = torch.from_numpy(values.copy()).view_as(kept[name])
            yield
        finally:
            for name, data in kept.items():
                self._parameters[name].data = data

    def error(self, weights: Weights) -> float:
        """Mean absolute difference from the unchanged policy's actions."""
        return float(np.abs(self.actions(weights) - self.reference).mean())

    def weight(self, name: str) -> np.ndarray:
        """(outputs, inputs) float32 of a matrix; a convolution's inputs are all that a window sees."""
        return self._matrices[name].detach().flatten(1).numpy()

    def names(self) -> Iterable[str]:
        """The matrices."""
        return self._matrices

    def parameters(self) -> dict[str, nn.Parameter]:
        """All that the policy consists of, by the names of its files."""
        return self._parameters

    def act(self, rows: torch.Tensor) -> torch.Tensor:
        """(rows, chunk, action) of these frames with the weights as they are, for training."""
        return self._act(rows)

    def traced(self, see: Callable[[str, torch.Tensor, torch.Tensor], None]) -> None:
        """Runs the frames once; `see(name, input, output)` gets the (batch, tokens, ...) of every layer."""

        def hook(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
            return lambda layer, inputs, output: see(name, *_by_token(layer, inputs[0], output))

        with self._hooked(hook), torch.no_grad():
            for rows in self._batches:
                self._act(rows)

    @contextmanager
    def _hooked(self, hook: Callable[[str], Callable[[nn.Module, Any, torch.Tensor], None]]) -> Iterator[None]:
        hooks = [layer.register_forward_hook(hook(name)) for name, layer in self._layers.items()]
        try:
            yield
        finally:
            for each in hooks:
                each.remove()

    def gradients(
        self, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> Iterable[dict[str, torch.Tensor]]:
        """For every frame alone: gradient of `loss(predicted, expert's)` by each matrix, in the shape of `weight`."""
        weights = list(self._matrices.values())
        for weight in weights:
            weight.requires_grad_(True)
        try:
            for row, target in enumerate(self.targets):
                predicted = self._act(torch.tensor([row]))[0]
                found = torch.autograd.grad(loss(predicted, torch.from_numpy(target)), weights)
                yield {name: gradient.flatten(1) for name, gradient in zip(self._matrices, found, strict=True)}
        finally:
            for weight in weights:
                weight.requires_grad_(False)

    def curvature(self, seed: int = 0) -> Curvature:
        """Of the squared change of the actions, by Gauss-Newton; signs drawn at random stand for the sum over the
        actions (Hutchinson), and tokens count as independent."""
        found = Curvature({}, {})
        generator = torch.Generator().manual_seed(seed)

        def hook(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
            def see(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
                entering = inputs[0].detach()

                def add(gradient: torch.Tensor) -> None:
                    x, g = (part.flatten(0, 1) for part in _by_token(layer, entering, gradient))
                    square = g.square()
                    found.add(name, (x * square.mean(1, keepdim=True)).T @ x, square.T @ x.square())

                output.register_hook(add)

            return see

        with self._hooked(hook):
            for rows in self._batches:
                actions = self._act(rows, traced=True)
                signs = torch.randint(0, 2, actions.shape, generator=generator) * 2 - 1
                (actions * signs).sum().backward()

        return found.mean(len(self.targets))

    def tuned_norms(self, weights: Weights, seed: int = 0) -> dict[str, np.ndarray]:
        """The norms' gains that bring the actions with these `weights` back towards the reference.

        They stay float32 in any file, so that what they can repair costs no bit (after Norm Tweaking, Li et al. 2023,
        arXiv 2309.02784, but by the actions themselves)."""
        gains = {name: p for name, p in self._parameters.items() if name.endswith("norm.weight")}
        kept = {name: gain.data.clone() for name, gain in gains.items()}
        reference = torch.from_numpy(self.reference)
        generator = torch.Generator().manual_seed(seed)

        optimizer = torch.optim.Adam(gains.values(), TUNING_RATE)
        count = len(reference)
        try:
            for gain in gains.values():
                gain.requires_grad_(True)
            with self._replaced(weights):
                for step in range(TUNING_STEPS):
                    optimizer.param_groups[0]["lr"] = TUNING_RATE * (1 - step / TUNING_STEPS)
                    chosen = torch.randint(count, (min(TUNING_BATCH, count),), generator=generator)
                    loss = (self._act(chosen) - reference[chosen]).abs().mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()

            return {name: gain.detach().numpy().copy() for name, gain in gains.items()}
        finally:
            for name, gain in gains.items():
                gain.requires_grad_(False)
                gain.data = kept[name]


def _by_token(layer: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What enters and what leaves a layer as (batch, tokens, ...): a convolution's tokens are its windows."""
    if not isinstance(layer, nn.Conv2d):
        return (x, y) if x.ndim > 2 else (x[:, None], y[:, None])
    windows = functional.unfold(x, layer.kernel_size, padding=layer.padding, stride=layer.stride)
    return windows.transpose(1, 2), y.flatten(2).transpose(1, 2)


class Probe(ActionProbe):
    """A policy's transformer, with its head, on frames as they enter it.

    Args:
        gguf: the model
        calibration: frames; their width must be the model's

    Raises: InputError."""

    def __init__(self, gguf: Gguf, calibration: Calibration) -> None:
        tokens, width = calibration.inputs.shape[1:]
        if width != gguf.shape.width or tokens > gguf.shape.context:
            raise InputError(
                f"calibration: {tokens} tokens of width {width}; {gguf.path} takes up to {gguf.shape.context} of "
                f"{gguf.shape.width}: record the calibration with this model"
            )

        self.calibration = calibration
        self._llama = Llama.from_gguf(gguf).requires_grad_(False)
        self._mask = block_mask(calibration.blocks)
        self._head = head_function(calibration.head)

        self._inputs = torch.from_numpy(calibration.inputs)

        # What enters each block: a change in block 5 need not compute the first five again.
        self._entering = [[x] for x in self._inputs.split(BATCH)]
        with torch.no_grad():
            for states in self._entering:
                for block in self._llama.blk[:-1]:
                    states.append(block(states[-1], self._llama.rotation(tokens), self._mask))

        super().__init__(self._llama, self._llama.linears(), calibration.targets)

    def actions(self, weights: Weights) -> np.ndarray:
        """As of `ActionProbe`, but only what comes after the first changed block is computed."""
        last = len(self._llama.blk) - 1
        first = min((int(name.split(".")[1]) for name in weights if name.startswith("blk.")), default=last)
        with self._replaced(weights), torch.no_grad():
            return torch.cat([self._finish(states[first], first) for states in self._entering]).numpy()

    def entering(self) -> torch.Tensor:
        """See `ActionProbe`."""
        return self._inputs.mean(1)

    def _act(self, rows: torch.Tensor, traced: bool = False) -> torch.Tensor:
        return self._finish(self._inputs[rows].requires_grad_(traced), 0)

    def _finish(self, x: torch.Tensor, first: int) -> torch.Tensor:
        """Actions of what enters block `first`; the last block computes the action tokens alone."""
        rotation = self._llama.rotation(x.shape[1])
        start = self.calibration.first_action
        for block in self._llama.blk[first:-1]:
            x = block(x, rotation, self._mask)
        hidden = self._llama.output_norm(self._llama.blk[-1](x, rotation, self._mask, start))
        return self._head(hidden.reshape(len(x), self.calibration.targets.shape[1], -1))


def head_function(head: Head) -> Callable[[torch.Tensor], torch.Tensor]:
    """The head as a function of a (..., inputs) tensor."""
    layers = [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in head.weights]
    activation = torch.tanh if head.activation == "tanh" else getattr(functional, head.activation)

    def apply(x: torch.Tensor) -> torch.Tensor:
        for i, (weight, bias) in enumerate(layers):
            x = functional.linear(activation(x) if i else x, weight, bias)
        return x

    return apply


def mean_square_input(probe: ActionProbe) -> dict[str, np.ndarray]:
    """llama.cpp's importance matrix: mean square of each input of each layer, (inputs,); tables have none."""
    total: dict[str, tuple[torch.Tensor, int]] = {}

    def see(name: str, x: torch.Tensor, _: torch.Tensor) -> None:
        before, tokens = total.get(name, (torch.zeros(()), 0))
        total[name] = before + x.square().sum((0, 1)), tokens + x.shape[0] * x.shape[1]

    probe.traced(see)
    return {name: (value / tokens).numpy() for name, (value, tokens) in total.items()}


def fisher(probe: ActionProbe) -> dict[str, np.ndarray]:
    """Importance of every weight, (outputs, inputs): mean over frames of the squared gradient of the L1 error of the
    predicted against the expert's chunk. One frame at a time: the square of a mean gradient would be near zero at a
    minimum. (ActQuant's Action-Mixed Fisher, arXiv 2605.24011, for a policy without a token head.)"""
    total = {name: torch.zeros(probe.weight(name).shape) for name in probe.names()}
    for gradients in probe.gradients(lambda predicted, target: (predicted - target).abs().mean()):
        for name, gradient in gradients.items():
            total[name] += gradient.square()
    return {name: (value / len(probe.targets)).numpy() for name, value in total.items()}


def hsic_sensitivity(probe: ActionProbe) -> dict[str, float]:
    """ActQuant's score of a tensor: how much its output gains over its input in F = -HSIC(X, .) + HSIC(., Y), X what
    enters the first block, Y the expert's chunks (arXiv 2605.24011, section 3.2). A layer that computes each camera by
    itself counts with the mean over them; tables have no input, and get the mean of the other scores."""
    means: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    probe.traced(lambda name, x, y: means.setdefault(name, []).append((x.mean(1), y.mean(1))))
    targets = torch.from_numpy(probe.targets).flatten(1).double()
    targets = (targets - targets.mean(0)) / targets.std(0).clamp_min(1e-9)
    kernel_x = _rbf(probe.entering())
    kernel_y = targets @ targets.T

    def objective(states: torch.Tensor) -> float:
        kernel = _rbf(states)
        return hsic(kernel, kernel_y) - hsic(kernel_x, kernel)

    scores = {}
    for name, parts in means.items():
        entering, leaving = (
            torch.cat(side).unflatten(0, (len(targets), -1)).mean(1) for side in zip(*parts, strict=True)
        )
        scores[name] = objective(leaving) - objective(entering)
    mean = sum(max(score, 0.0) for score in scores.values()) / len(scores)
    return {name: scores.get(name, mean) for name in probe.names()}


def hsic(k: torch.Tensor, m: torch.Tensor) -> float:
    """tr(K H M H) / (n - 1)^2, the biased estimator, of two (n, n) kernels."""
    centred = k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()
    return float((centred * m).sum() / (len(k) - 1) ** 2)


def _rbf(states: torch.Tensor) -> torch.Tensor:
    """exp(-D / (2 median D)) of the squared distances between rows."""
    distances = torch.cdist(states.double(), states.double()).square()
    upper = distances[tuple(torch.triu_indices(len(states), len(states), 1))]
    return torch.exp(-distances / (2 * upper.median().clamp_min(1e-12)))


def curvature_errors(
    probe: ActionProbe,
    columns: Mapping[str, np.ndarray],
    rounded: Rounder,
    choices: Choices,
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """sqrt(sum over rows of e H e) of every tensor in every type, e the row's error, H the curvature of `columns`: how
    far the actions move, without running the policy."""

    def error(name: str, kind: str) -> float:
        e = rounded(name, kind) - probe.weight(name)
        return math.sqrt(float(cost_terms(e, columns[name]).sum()))

    return _each(choices, error, progress)


def fisher_errors(
    probe: ActionProbe,
    importance: Mapping[str, np.ndarray],
    rounded: Rounder,
    choices: Choices,
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """sqrt(sum F (W - W^)^2) of every tensor in every type: predicts the action error without running the policy."""

    def error(name: str, kind: str) -> float:
        return math.sqrt(float((importance[name] * np.square(rounded(name, kind) - probe.weight(name))).sum()))

    return _each(choices, error, progress)


def _each(
    choices: Choices, error: Callable[[str, str], float], progress: Progress | None
) -> dict[str, dict[str, float]]:
    errors: dict[str, dict[str, float]] = {}
    for done, (name, kinds) in enumerate(choices.items()):
        errors[name] = {kind: error(name, kind) for kind in kinds}
        if progress is not None:
            progress(done + 1, name)
    return errors
