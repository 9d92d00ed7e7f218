"""How far to trust a match: a small learned network predicts whether a matched pixel votes for the right voxel.

The network reads the result of a second matcher (block matching at half size, which sees less but errs differently),
the texture, steps of disparity nearby (matches spread over the edges of near things) and the gaps around. It was
trained on rendered pairs and fits any camera and voxel size, because the width of a voxel in pixels of disparity is an
input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from rarrl.errors import InputError
from rarrl.files import read_file
from rarrl.perception.opencv_matchers import block_matcher, match_padded

SHIPPED = Path(__file__).resolve().parents[1] / "models" / "classical-detector" / "trust.safetensors"
"""The network that comes with the package."""
MAX_BYTES = 1_000_000
"""Bytes of a network's file; the shipped one has 564, so a larger one is a wrong file."""
FEATURES = ("unlike", "unconfirmed", "texture", "to_far", "to_near", "known_near", "known_around", "width", "bias")
"""The network's inputs, in their order; `clues` computes them."""
WIDTH = FEATURES.index("width")
"""Index of the width of a voxel in pixels of disparity (its logarithm)."""
BIAS = FEATURES.index("bias")
"""Index of the constant 1."""
WINDOW = 11
"""Pixels at half size: side of block matching's window. Chosen by hand."""
AGREE_PX = 1.0
"""Pixels at half size within which block matching confirms a match. Chosen by hand."""
UNLIKE_PX = 4.0
"""Pixels: larger differences between the matchers, and pixels where block matching finds nothing, count as this one."""
STEP_PX = 4.0
"""Pixels: larger steps of disparity count as this one."""
NEAR = np.ones((5, 5), dtype=np.uint8)
"""Neighbourhood, at half size, in which steps of disparity are looked for. Chosen by hand."""
CHUNK = 8192
"""Pixels that go through the network at a time, so that its inner layer stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class MatchFeatures:
    """What is known of the matches at every second row and column.

    disparity: (rows, columns) float32, pixels of the full image, NaN where there is none. features: (len(FEATURES),
    rows, columns) float32, without meaning where there is no disparity. agree: (rows, columns) bool, True where block
    matching confirms the match."""

    disparity: np.ndarray
    features: np.ndarray
    agree: np.ndarray


def half_size(image: np.ndarray) -> np.ndarray:
    """Returns `image` with half the rows and columns, rounded up."""
    return cv2.resize(image, (-(-image.shape[1] // 2), -(-image.shape[0] // 2)), interpolation=cv2.INTER_AREA)


def clues(
    left: np.ndarray, right: np.ndarray, start: int, count: int, disparity: np.ndarray, width_px: np.ndarray
) -> MatchFeatures:
    """Computes the features of the matches in `disparity`.

    Args:
        left, right: (height, width) uint8
        start, count: the disparities that were searched, pixels
        disparity: (height, width) float32, pixels, NaN where there is none
        width_px: (rows, columns) float32 at half size: how wide a voxel is there, in pixels of disparity
    """
    left, right = half_size(left), half_size(right)
    found = np.ascontiguousarray(disparity[::2, ::2])
    known = found == found  # false for NaN

    first = start // 2
    searched = 16 * math.ceil((start + count - 2 * first) / 32)
    matcher = block_matcher(first, searched, WINDOW)
    matcher.setSpeckleWindowSize(0)
    other = match_padded(matcher, left, right, max(first + searched, 0))

    features = np.empty((len(FEATURES), *found.shape), dtype=np.float32)
    unlike, unconfirmed, texture, to_far, to_near, near, around, width, bias = features

    np.minimum(np.abs(2 * other - found), UNLIKE_PX, out=unlike)
    agree = unlike < 2 * AGREE_PX  # false for NaN
    np.isnan(other, out=unconfirmed, casting="unsafe")
    unlike[other != other] = UNLIKE_PX

    slope = cv2.Sobel(left, cv2.CV_32F, 1, 0, ksize=1)
    cv2.blur(np.abs(slope, out=slope), (5, 5), dst=texture)
    np.log(texture + np.float32(0.5), out=texture)

    np.minimum(found - cv2.erode(np.where(known, found, np.float32(1e4)), NEAR), STEP_PX, out=to_far)
    np.minimum(cv2.dilate(np.where(known, found, np.float32(-1e4)), NEAR) - found, STEP_PX, out=to_near)

    ones = known.view(np.uint8)
    cv2.boxFilter(ones, cv2.CV_32F, (7, 7), dst=near)
    cv2.boxFilter(ones, cv2.CV_32F, (31, 31), dst=around)
    np.log(width_px, out=width)
    bias[:] = 1

    return MatchFeatures(found, features, agree)


@dataclass(frozen=True, eq=False)
class MatchConfidence:
    """A network with one hidden layer of rectified linear units.

    hidden: (units, len(FEATURES)) float32. out: (units + 1,) float32, of which the last number is the bias."""

    hidden: np.ndarray
    out: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Returns the probability, (n,) float32, that each match lies within half a voxel of the truth.

        features: (len(FEATURES), n) float32."""
        logit = np.empty(features.shape[1], dtype=np.float32)
        for part in (slice(i, i + CHUNK) for i in range(0, len(logit), CHUNK)):
            # einsum, not `@`: BLAS threads spin for a while after each product, on the cores that matching needs.
            inner = np.einsum("uk,kn->un", self.hidden, features[:, part])
            np.maximum(inner, 0, out=inner)
            np.einsum("u,un->n", self.out[:-1], inner, out=logit[part])

        return 0.5 + 0.5 * np.tanh(0.5 * (logit + self.out[-1]))

    def image(self, seen: MatchFeatures, height: int, width: int) -> np.ndarray:
        """Returns the probability for each pixel, (height, width) float32.

        Each feature stands for its 2 x 2 pixels; a pixel without a match takes the largest of its neighbours."""
        known = seen.disparity == seen.disparity
        small = np.where(known, self(seen.features.reshape(len(FEATURES), -1)).reshape(known.shape), np.float32(0))
        small = np.where(known, small, cv2.dilate(small, np.ones((3, 3), dtype=np.uint8)))
        rows, columns = small.shape
        return cv2.resize(small, (2 * columns, 2 * rows), interpolation=cv2.INTER_NEAREST)[:height, :width]

    def to_bytes(self) -> bytes:
        """Returns the content of a safetensors file."""
        return save_safetensors({"hidden": self.hidden, "out": self.out}, metadata={"features": " ".join(FEATURES)})


def read_confidence(path: Path) -> MatchConfidence:
    """Reads the network in the safetensors file `path`. Raises: InputError that names what is wrong with it."""
    data = read_file(path, "trust", MAX_BYTES)
    try:
        tensors = load_safetensors(data)
        hidden = tensors["hidden"]
        out = tensors["out"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"trust: {path} is not a network of `rarrl train detector` ({error})") from None

    units = len(hidden) if hidden.ndim else 0
    if hidden.shape != (units, len(FEATURES)) or out.shape != (units + 1,) or not units:
        raise InputError(
            f"trust: {path} needs hidden (units, {len(FEATURES)}) and out (units + 1,), got {hidden.shape}, {out.shape}"
        )

    if (
        hidden.dtype != np.float32
        or out.dtype != np.float32
        or not (np.isfinite(hidden).all() and np.isfinite(out).all())
    ):
        raise InputError(f"trust: {path} needs finite float32 weights")

    return MatchConfidence(hidden, out)


@cache
def load_confidence() -> MatchConfidence:
    """Reads the network that comes with the package, once."""
    return read_confidence(SHIPPED)
