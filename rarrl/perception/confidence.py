"""How far to trust a match: the chance that a matched pixel votes for the right voxel, by a small learnt network.

A second matcher, block matching at half size, sees less but errs in other ways; what it says, the texture, steps of
disparity near by (matches spread over the edges of near things) and the gaps around are what the network reads. It is
trained on rendered pairs, for any camera and voxel: the width of a voxel in pixels of disparity is one of its inputs.
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
MAX_BYTES = 1_000_000
FEATURES = ("unlike", "unconfirmed", "texture", "to_far", "to_near", "known_near", "known_around", "width", "bias")
WIDTH = FEATURES.index("width")
BIAS = FEATURES.index("bias")
WINDOW = 11  # of block matching
AGREE_PX = 1.0  # at half size
UNLIKE_PX = 4.0  # differences beyond this, and none found, count alike
STEP_PX = 4.0  # steps of disparity beyond this count alike
NEAR = np.ones((5, 5), dtype=np.uint8)
CHUNK = 8192  # pixels at a time, which stay in the cache


@dataclass(frozen=True, eq=False)
class MatchFeatures:
    """What is known of the matches at every second row and column. disparity: (rows, columns) float32, px of the full
    image, NaN = none. features: (len(FEATURES), rows, columns) float32, without meaning where there is none.
    agree: (rows, columns) bool, where block matching confirms."""

    disparity: np.ndarray
    features: np.ndarray
    agree: np.ndarray


def half_size(image: np.ndarray) -> np.ndarray:
    """`image` with half the rows and columns, rounded up."""
    return cv2.resize(image, (-(-image.shape[1] // 2), -(-image.shape[0] // 2)), interpolation=cv2.INTER_AREA)


def clues(
    left: np.ndarray, right: np.ndarray, start: int, count: int, disparity: np.ndarray, width_px: np.ndarray
) -> MatchFeatures:
    """left, right: (height, width) uint8. start, count: the disparities that were searched. disparity: (height, width)
    float32, NaN = none. width_px: the same shape halved, how wide a voxel is there in px of disparity."""
    left, right = half_size(left), half_size(right)
    found = np.ascontiguousarray(disparity[::2, ::2])
    known = found == found  # false for NaN
    first = start // 2
    searched = 16 * math.ceil((start + count - 2 * first) / 32)
    matcher = block_matcher(first, searched, WINDOW)
    matcher.setSpeckleWindowSize(0)
    other = match_padded(matcher, left, right, max(first + searched, 0))
    ones = known.view(np.uint8)
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
    cv2.boxFilter(ones, cv2.CV_32F, (7, 7), dst=near)
    cv2.boxFilter(ones, cv2.CV_32F, (31, 31), dst=around)
    np.log(width_px, out=width)
    bias[:] = 1

    return MatchFeatures(found, features, agree)


@dataclass(frozen=True, eq=False)
class MatchConfidence:
    """One hidden layer of rectified units. hidden: (units, len(FEATURES)) float32. out: (units + 1,) float32, the last
    number the bias."""

    hidden: np.ndarray
    out: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(n,) float32 0..1 for (len(FEATURES), n) float32: the chance that a match lies within half a voxel."""
        logit = np.empty(features.shape[1], dtype=np.float32)
        for part in (slice(i, i + CHUNK) for i in range(0, len(logit), CHUNK)):
            # einsum, not `@`: BLAS threads spin for a while after each product, on the cores that matching needs.
            inner = np.einsum("uk,kn->un", self.hidden, features[:, part])
            np.maximum(inner, 0, out=inner)
            np.einsum("u,un->n", self.out[:-1], inner, out=logit[part])

        return 0.5 + 0.5 * np.tanh(0.5 * (logit + self.out[-1]))

    def image(self, seen: MatchFeatures, height: int, width: int) -> np.ndarray:
        """(height, width) float32 0..1; each clue stands for its 2 x 2 pixels, the most trusting neighbour for none."""
        known = seen.disparity == seen.disparity
        small = np.where(known, self(seen.features.reshape(len(FEATURES), -1)).reshape(known.shape), np.float32(0))
        small = np.where(known, small, cv2.dilate(small, np.ones((3, 3), dtype=np.uint8)))
        rows, columns = small.shape
        return cv2.resize(small, (2 * columns, 2 * rows), interpolation=cv2.INTER_NEAREST)[:height, :width]

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        return save_safetensors({"hidden": self.hidden, "out": self.out}, metadata={"features": " ".join(FEATURES)})


def read_confidence(path: Path) -> MatchConfidence:
    """The network in the safetensors file `path`. Raises: InputError naming what is wrong with it."""
    data = read_file(path, "trust")
    if len(data) > MAX_BYTES:
        raise InputError(f"trust: {path} has {len(data)} bytes; a network as `rarrl train detector` writes has less")

    try:
        tensors = load_safetensors(data)
        hidden = tensors["hidden"]
        out = tensors["out"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"trust: {path} is not a network of `rarrl train detector` ({error})") from None

    units = len(hidden)
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
    """The shipped network."""
    return read_confidence(SHIPPED)
