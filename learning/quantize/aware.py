"""Quantization-aware tuning: all weights are distilled from the unquantized policy, through the rounding.

The weights that are rounded keep unrounded copies. Gradients are computed with what the blocks stand for and move the
copies (straight through, Bengio et al. 2013, arXiv 1308.3432); every few steps the copies are rounded again. What stays
float32 (norms, biases) learns along. The targets are the unquantized policy's own actions, as in Squat (arXiv
2402.10787) and LLM-QAT (arXiv 2305.17888), so no expert is needed. The types stay as they were chosen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from rarrl.llama import ggml

from .scores import ActionProbe

STEPS = 240  # optimizer steps
EVERY = 20  # steps between roundings
BATCH = 16  # frames a step
RATE = 3e-4  # learning rate of the matrices at the first step; it falls linearly to zero
FLOAT_RATE = 1e-3  # of what stays float32

Arrays = dict[str, np.ndarray]


def tune(
    teacher: ActionProbe,
    judge: ActionProbe,
    types: Mapping[str, str],
    blocks: Arrays,
    floats: Arrays,
    importance: Mapping[str, np.ndarray],
    seed: int = 0,
) -> tuple[Arrays, Arrays]:
    """The blocks and the float32 parameters after tuning; what it begins with where nothing is better.

    Args:
        teacher: the unquantized policy on the frames to learn from
        judge: the same on the frames that choose among the roundings
        types: of every matrix
        blocks: the matrices as they are rounded now
        floats: float32 parameters that differ from the policy's already
        importance: see `ggml.quantize`
    """

    def values(name: str, found: np.ndarray) -> np.ndarray:
        return ggml.dequantize(types[name], found, teacher.weight(name).shape[1])

    def error(found: Arrays, others: Arrays) -> float:
        return judge.error({name: values(name, b) for name, b in found.items()} | others)

    best, best_floats = blocks, floats
    lowest = error(blocks, floats)
    start = {name: values(name, found) for name, found in blocks.items()}
    learner = _Learner(teacher, start, floats)
    generator = torch.Generator().manual_seed(seed)
    try:
        for step in range(STEPS):
            learner.step(torch.randint(len(teacher.targets), (BATCH,), generator=generator), 1 - step / STEPS)
            if (step + 1) % EVERY:
                continue

            found = {n: ggml.quantize(types[n], copy, importance.get(n)) for n, copy in learner.copies().items()}
            learner.place({name: values(name, b) for name, b in found.items()})
            others = learner.floats()
            now = error(found, others)
            if now < lowest:
                best, best_floats, lowest = found, others, now
    finally:
        learner.undo()
    return best, best_floats


class _Learner:
    """The policy of a probe with other weights, until `undo`."""

    def __init__(self, teacher: ActionProbe, start: Arrays, floats: Arrays) -> None:
        self._teacher = teacher
        parameters = teacher.parameters()
        self._matrices = {name: parameters[name] for name in start}
        self._floats = {n: p for n, p in parameters.items() if n.endswith(("norm.weight", ".bias")) and n not in start}
        self._kept = {n: p.data for n, p in (self._matrices | self._floats).items()}
        self._targets = torch.from_numpy(teacher.reference)

        self._copies = {n: torch.from_numpy(v.copy()).view_as(self._matrices[n]) for n, v in start.items()}
        for name, p in self._floats.items():
            given = floats.get(name)
            p.data = self._kept[name].clone() if given is None else torch.from_numpy(given.copy()).view_as(p)
        for p in (self._matrices | self._floats).values():
            p.requires_grad_(True)
        self.place(start)
        self._optimizer = torch.optim.Adam(
            [
                {"params": list(self._copies.values()), "lr": RATE, "first": RATE},
                {"params": list(self._floats.values()), "lr": FLOAT_RATE, "first": FLOAT_RATE},
            ]
        )

    def place(self, rounded: Arrays) -> None:
        """Computes with these rounded matrices from now on, plus what their copies move by."""
        self._offset = {
            n: torch.from_numpy(v.copy()).view_as(self._copies[n]) - self._copies[n] for n, v in rounded.items()
        }

    def step(self, rows: torch.Tensor, share: float) -> None:
        """share: of the learning rate."""
        for name, p in self._matrices.items():
            p.data = self._copies[name] + self._offset[name]
        loss = (self._teacher.act(rows) - self._targets[rows]).abs().mean()
        self._optimizer.zero_grad()
        for p in self._matrices.values():
            p.grad = None
        loss.backward()
        for name, p in self._matrices.items():
            self._copies[name].grad = p.grad
        for group in self._optimizer.param_groups:
            group["lr"] = group["first"] * share
        self._optimizer.step()

    def copies(self) -> Arrays:
        """(outputs, inputs) of each matrix, not rounded."""
        return {n: copy.flatten(1).numpy() for n, copy in self._copies.items()}

    def floats(self) -> Arrays:
        """What stays float32."""
        return {n: p.detach().numpy().copy() for n, p in self._floats.items()}

    def undo(self) -> None:
        """The policy is the teacher again."""
        for name, p in (self._matrices | self._floats).items():
            p.requires_grad_(False)
            p.grad = None
            p.data = self._kept[name]
