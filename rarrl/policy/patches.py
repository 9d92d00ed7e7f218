"""Computes embeddings of image patches with numpy: only the patches that are asked for, and what these depend on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rarrl.policy.spec import PolicySpec


@dataclass(frozen=True)
class _Plan:
    """What a set of patches depends on.

    patches: (k,), rising indices. windows: index of the first layer's windows. gather: for each further layer,
    (rows, k * k) positions in the output of the layer before, whose last row is zero and stands for the padding."""

    patches: np.ndarray
    windows: tuple[Any, ...]
    gather: list[np.ndarray]


class PatchEncoder:
    """The convolutions of `policy.safetensors`, each as one matrix product. Two threads must not use it at once."""

    def __init__(self, spec: PolicySpec, weights: dict[str, np.ndarray]) -> None:
        self._spec = spec
        names = [f"stem.{i}" for i in range(sum(name.startswith("stem.") for name in weights) // 2)] + ["patch"]

        # (out, in, k, k) as torch keeps it -> (k * k * in, out), the order of a window's pixels.
        self._matrices = [
            np.ascontiguousarray(weights[f"{n}.weight"].transpose(2, 3, 1, 0)).reshape(-1, len(weights[f"{n}.bias"]))
            for n in names
        ]
        self._matrices[0] = self._matrices[0] / np.float32(255)  # pixels enter as -127.5 to 127.5
        self._biases = [weights[f"{n}.bias"] for n in names]
        first, *self._tables = _tables(len(spec.cameras), spec.image_size, len(names))

        # The pixels, then the positions of each layer's output, that each patch depends on: (patches, positions) bool.
        needs = [np.eye(spec.image_tokens, dtype=bool)]
        for table, positions in reversed([first, *self._tables]):
            before = np.zeros((spec.image_tokens, positions + 1), bool)
            for patch, rows in enumerate(needs[0]):
                before[patch, table[rows]] = True
            needs.insert(0, before[:, :-1])

        # As bits, because a plan is made for most frames; those of all layers side by side.
        self._pixels = np.packbits(needs[0], axis=1)
        self._needs = np.packbits(np.hstack(needs[1:-1]), axis=1)
        self._ends = np.cumsum([layer.shape[1] for layer in needs[1:-1]])
        self._size = spec.image_size

        self.all_patches = np.arange(spec.image_tokens)
        self._plan = self._make_plan(self.all_patches)

        # The windows of the first layer are a view of the padded images, so that nothing is copied for them.
        size = spec.image_size + 2
        self._padded = np.zeros((len(spec.cameras), size, size, 3), np.float32)
        by_camera, by_row, by_column, _ = self._padded.strides
        half = spec.image_size // 2
        self._windows = np.lib.stride_tricks.as_strided(
            self._padded,
            (len(spec.cameras), half, half, 4, 12),
            (by_camera, 2 * by_row, 2 * by_column, by_row, self._padded.itemsize),
            writeable=False,
        )

    def encode(self, images: np.ndarray, patches: np.ndarray) -> np.ndarray:
        """Returns the embeddings, (k, width) float32, of some patches.

        images: (cameras, size, size, 3) uint8. patches: (k,), rising indices."""
        plan = self.plan(patches)
        np.subtract(images, np.float32(127.5), out=self._padded[:, 1:-1, 1:-1], dtype=np.float32)
        x = self._windows[plan.windows].reshape(len(plan.windows[0]), -1)

        for gather, matrix, bias in zip(plan.gather, self._matrices, self._biases, strict=False):
            y = np.empty((len(x) + 1, len(bias)), np.float32)
            y[-1] = 0
            inside = y[:-1]
            np.matmul(x, matrix, out=inside)
            inside += bias
            np.maximum(inside, 0, out=inside)
            x = y.take(gather, axis=0).reshape(len(gather), -1)

        return x @ self._matrices[-1] + self._biases[-1]

    def plan(self, patches: np.ndarray) -> _Plan:
        """Returns the plan for these patches. The last one is kept, because successive frames often use the same
        ones."""
        if not np.array_equal(patches, self._plan.patches):
            self._plan = self._make_plan(patches)
        return self._plan

    def pixels(self, patches: np.ndarray) -> np.ndarray:
        """(cameras, size, size) bool: those that these patches depend on."""
        bits = np.bitwise_or.reduce(self._pixels[patches], axis=0)
        return (
            np.unpackbits(bits).view(bool)[: self._padded.shape[0] * self._size**2].reshape(-1, self._size, self._size)
        )

    def differ(self, images: np.ndarray, before: np.ndarray, patches: np.ndarray) -> bool:
        """Whether two sets of images differ in a pixel that these patches depend on."""
        changed = images != before
        return bool(changed.any() and changed.any(axis=3)[self.pixels(patches)].any())

    def _make_plan(self, patches: np.ndarray) -> _Plan:
        bits = np.bitwise_or.reduce(self._needs[patches], axis=0)
        wanted = np.flatnonzero(np.unpackbits(bits))  # without those that fill up the last byte, which are 0
        *cuts, _ = np.searchsorted(wanted, self._ends)
        rows = [part - start for part, start in zip(np.split(wanted, cuts), (0, *self._ends), strict=False)]
        rows.append(patches)

        gather = []
        for layer, (table, positions) in enumerate(self._tables):
            place = np.full(positions + 1, len(rows[layer]))  # the last one is the padding
            place[rows[layer]] = np.arange(len(rows[layer]))
            gather.append(place[table[rows[layer + 1]]])

        half = self._size // 2
        camera, pixel = np.divmod(rows[0], half**2)
        return _Plan(patches, (camera, *np.divmod(pixel, half)), gather)


def _tables(cameras: int, size: int, layers: int) -> list[tuple[np.ndarray, int]]:
    """Returns for each layer the positions that its windows read, and how many positions the layer before has.

    The positions, (windows, k * k), are those of the layer before (pixels for the first one); their number itself
    stands for the padding. The last layer's windows are 2 x 2 without padding, the others' 4 x 4 with padding 1."""
    tables = []
    for layer in range(layers):
        before = size >> layer
        kernel, pad = (2, 0) if layer == layers - 1 else (4, 1)
        index = np.arange(cameras * before**2).reshape(cameras, before, before)
        index = np.pad(index, ((0, 0), (pad, pad), (pad, pad)), constant_values=cameras * before**2)
        windows = np.lib.stride_tricks.sliding_window_view(index, (kernel, kernel), axis=(1, 2))[:, ::2, ::2]
        tables.append((windows.reshape(-1, kernel**2), cameras * before**2))

    return tables
