"""What a tensor, and a weight, is worth to the actions: measured on calibration frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from rarrl.errors import InputError
from rarrl.llama.gguf import Gguf
from rarrl.llama.model import Llama, block_mask
from rarrl.quantize.calibration import Calibration, Head
from rarrl.quantize.methods import Rounder

BATCH = 32
TUNING_STEPS, TUNING_BATCH, TUNING_RATE = 80, 16, 2e-3
Weights = Mapping[str, np.ndarray]
Choices = Mapping[str, list[str]]
Update = Callable[[float, str], None]


@dataclass(frozen=True)
class Curvature:
    """How much small errors of a linear layer's weights change the actions: mean over frames of the squared change.

    columns: name -> (inputs, inputs), for a row of errors, the same for all rows; weights: name -> (outputs, inputs),
    for each weight alone."""

    columns: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]


class Probe:
    """A policy on its calibration frames: its actions, with some weights replaced for a moment.

    Args:
        gguf: the model; its weights as they are in the file are the reference
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
        self.model = Llama.from_gguf(gguf).requires_grad_(False)
        self._linears = self.model.linears()
        self._mask = block_mask(calibration.blocks)
        self._head = head_function(calibration.head)
        # What enters each block: a change in block 5 need not compute the first five again.
        self._entering = [[x] for x in torch.from_numpy(calibration.inputs).split(BATCH)]
        with torch.no_grad():
            for states in self._entering:
                for block in self.model.blk[:-1]:
                    states.append(block(states[-1], self.model.rotation(tokens), self._mask))
        self.reference = self.actions({})

    def actions(self, weights: Weights) -> np.ndarray:
        """(frames, chunk, action) with these weights, of linear layers or norms, in place of the model's."""
        last = len(self.model.blk) - 1
        first = min((int(name.split(".")[1]) for name in weights if name.startswith("blk.")), default=last)
        with self._replaced(weights), torch.no_grad():
            return torch.cat([self._finish(states[first], first) for states in self._entering]).numpy()

    @contextmanager
    def _replaced(self, weights: Weights) -> Iterator[None]:
        parameters = {name: self.model.get_parameter(name) for name in weights}
        kept = {name: parameter.data for name, parameter in parameters.items()}
        try:
            for name, values in weights.items():
                parameters[name].data = torch.from_numpy(values.copy())
            yield
        finally:
            for name, values in kept.items():
                parameters[name].data = values

    def error(self, weights: Weights) -> float:
        """Mean absolute difference from the unchanged policy's actions."""
        return float(np.abs(self.actions(weights) - self.reference).mean())

    def weight(self, name: str) -> np.ndarray:
        """(outputs, inputs) float32 of a linear layer."""
        return self._linears[name].weight.detach().numpy()

    def names(self) -> Iterable[str]:
        """The linear layers, in the order in which they are computed."""
        return self._linears

    def traced(self, see: Callable[[str, torch.Tensor, torch.Tensor], None]) -> None:
        """Runs the frames once; `see(name, input, output)` gets the (batch, tokens, ...) of every linear layer."""

        def hook(name: str) -> Callable[[object, tuple[torch.Tensor, ...], torch.Tensor], None]:
            return lambda _, inputs, output: see(name, inputs[0], output)

        hooks = [layer.register_forward_hook(hook(name)) for name, layer in self._linears.items()]
        try:
            with torch.no_grad():
                for states in self._entering:
                    self.model(states[0], self._mask)
        finally:
            for each in hooks:
                each.remove()

    def gradients(
        self, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> Iterable[dict[str, torch.Tensor]]:
        """For every frame alone: gradient of `loss(predicted, expert's)` by the weights of each linear layer."""
        weights = {name: layer.weight for name, layer in self._linears.items()}
        for weight in weights.values():
            weight.requires_grad_(True)
        try:
            for x, target in zip(self.calibration.inputs, self.calibration.targets, strict=True):
                predicted = self._finish(torch.from_numpy(x)[None], 0)[0]
                found = torch.autograd.grad(loss(predicted, torch.from_numpy(target)), list(weights.values()))
                yield dict(zip(weights, found, strict=True))
        finally:
            for weight in weights.values():
                weight.requires_grad_(False)

    def curvature(self, seed: int = 0) -> Curvature:
        """Of the squared change of the actions, by Gauss-Newton; signs drawn at random stand for the sum over the
        actions (Hutchinson), and tokens count as independent."""
        found = Curvature({}, {})
        generator = torch.Generator().manual_seed(seed)

        def hook(name: str) -> Callable[[object, tuple[torch.Tensor, ...], torch.Tensor], None]:
            def see(_: object, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
                x = inputs[0].detach().flatten(0, 1)

                def add(gradient: torch.Tensor) -> None:
                    square = gradient.flatten(0, 1).square()
                    of_columns = ((x * square.mean(1, keepdim=True)).T @ x).numpy()
                    of_weights = (square.T @ x.square()).numpy()
                    found.columns[name] = found.columns.get(name, 0) + of_columns
                    found.weights[name] = found.weights.get(name, 0) + of_weights

                output.register_hook(add)

            return see

        hooks = [layer.register_forward_hook(hook(name)) for name, layer in self._linears.items()]
        try:
            for states in self._entering:
                actions = self._finish(states[0].clone().requires_grad_(True), 0)
                signs = torch.randint(0, 2, actions.shape, generator=generator) * 2 - 1
                (actions * signs).sum().backward()
        finally:
            for each in hooks:
                each.remove()
        for part in (found.columns, found.weights):
            for name in part:
                part[name] = part[name] / len(self.calibration)
        return found

    def tuned_norms(self, weights: Weights, seed: int = 0) -> dict[str, np.ndarray]:
        """The norms' gains that bring the actions with these `weights` back towards the reference.

        They stay float32 in any file, so that what they can repair costs no bit (after Norm Tweaking, Li et al. 2023,
        arXiv 2309.02784, but by the actions themselves)."""
        gains = {name: p for name, p in self.model.named_parameters() if name.endswith("norm.weight")}
        kept = {name: gain.data.clone() for name, gain in gains.items()}
        inputs = torch.cat([states[0] for states in self._entering])
        reference, generator = torch.from_numpy(self.reference), torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(gains.values(), TUNING_RATE)
        try:
            for gain in gains.values():
                gain.requires_grad_(True)
            with self._replaced(weights):
                for step in range(TUNING_STEPS):
                    optimizer.param_groups[0]["lr"] = TUNING_RATE * (1 - step / TUNING_STEPS)
                    chosen = torch.randint(len(inputs), (min(TUNING_BATCH, len(inputs)),), generator=generator)
                    loss = (self._finish(inputs[chosen], 0) - reference[chosen]).abs().mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            return {name: gain.detach().numpy().copy() for name, gain in gains.items()}
        finally:
            for name, gain in gains.items():
                gain.requires_grad_(False)
                gain.data = kept[name]

    def _finish(self, x: torch.Tensor, first: int) -> torch.Tensor:
        """Actions of what enters block `first`; the last block computes the action tokens alone."""
        rotation, start = self.model.rotation(x.shape[1]), self.calibration.first_action
        for block in self.model.blk[first:-1]:
            x = block(x, rotation, self._mask)
        hidden = self.model.output_norm(self.model.blk[-1](x, rotation, self._mask, start))
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


def mean_square_input(probe: Probe) -> dict[str, np.ndarray]:
    """llama.cpp's importance matrix: mean square of each input of each linear layer, (inputs,)."""
    total: dict[str, torch.Tensor] = {}

    def see(name: str, x: torch.Tensor, _: torch.Tensor) -> None:
        total[name] = total.get(name, torch.zeros(())) + x.square().sum((0, 1))

    probe.traced(see)
    tokens = probe.calibration.inputs.shape[0] * probe.calibration.inputs.shape[1]
    return {name: (value / tokens).numpy() for name, value in total.items()}


def fisher(probe: Probe) -> dict[str, np.ndarray]:
    """Importance of every weight, (outputs, inputs): mean over frames of the squared gradient of the L1 error of the
    predicted against the expert's chunk. One frame at a time: the square of a mean gradient would be near zero at a
    minimum. (ActQuant's Action-Mixed Fisher, arXiv 2605.24011, for a policy without a token head.)"""
    total = {name: torch.zeros(probe.weight(name).shape) for name in probe.names()}
    for gradients in probe.gradients(lambda predicted, target: (predicted - target).abs().mean()):
        for name, gradient in gradients.items():
            total[name] += gradient.square()
    return {name: (value / len(probe.calibration)).numpy() for name, value in total.items()}


def hsic_sensitivity(probe: Probe) -> dict[str, float]:
    """ActQuant's score of a tensor: how much its output gains over its input in F = -HSIC(X, .) + HSIC(., Y), X what
    enters the first block, Y the expert's chunks (arXiv 2605.24011, section 3.2)."""
    means: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    probe.traced(lambda name, x, y: means.setdefault(name, []).append((x.mean(1), y.mean(1))))
    targets = torch.from_numpy(probe.calibration.targets).flatten(1).double()
    targets = (targets - targets.mean(0)) / targets.std(0).clamp_min(1e-9)
    kernel_x = _rbf(torch.from_numpy(probe.calibration.inputs).mean(1))
    kernel_y = targets @ targets.T

    def objective(states: torch.Tensor) -> float:
        kernel = _rbf(states)
        return hsic(kernel, kernel_y) - hsic(kernel_x, kernel)

    scores = {}
    for name, parts in means.items():
        entering, leaving = (torch.cat(side) for side in zip(*parts, strict=True))
        scores[name] = objective(leaving) - objective(entering)
    return scores


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
    probe: Probe,
    columns: Mapping[str, np.ndarray],
    rounded: Rounder,
    choices: Choices,
    update: Update | None = None,
) -> dict[str, dict[str, float]]:
    """sqrt(sum over rows of e H e) of every tensor in every type, e the row's error, H the curvature of `columns`: how
    far the actions move, without running the policy."""

    def error(name: str, kind: str) -> float:
        e = rounded(name, kind) - probe.weight(name)
        return math.sqrt(float(((e @ columns[name]) * e).sum()))

    return _each(choices, error, update)


def fisher_errors(
    probe: Probe,
    importance: Mapping[str, np.ndarray],
    rounded: Rounder,
    choices: Choices,
    update: Update | None = None,
) -> dict[str, dict[str, float]]:
    """sqrt(sum F (W - W^)^2) of every tensor in every type: predicts the action error without running the policy."""

    def error(name: str, kind: str) -> float:
        return math.sqrt(float((importance[name] * np.square(rounded(name, kind) - probe.weight(name))).sum()))

    return _each(choices, error, update)


def _each(choices: Choices, error: Callable[[str, str], float], update: Update | None) -> dict[str, dict[str, float]]:
    errors: dict[str, dict[str, float]] = {}
    for done, (name, kinds) in enumerate(choices.items()):
        errors[name] = {kind: error(name, kind) for kind in kinds}
        if update is not None:
            update(done + 1, name)
    return errors
