"""How far to trust a match: a small learned network predicts whether a matched pixel votes for the right voxel.

The network reads the result of a second matcher (block matching at half size, which sees less but errs differently; for
the fast detector, the quick look),
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
"""The accurate detector's network, which comes with the package."""
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
AGREE_PX = 2.0
"""Pixels within which the second matcher confirms a match. Chosen by hand."""
UNLIKE_PX = 4.0
"""Pixels: larger differences between the matchers, and pixels where the second finds nothing, count as this one."""
STEP_PX = 4.0
"""Pixels: larger steps of disparity count as this one."""
CHUNK = 8192
"""Pixels that go through the network at a time, so that its inner layer stays in the processor's cache."""


@dataclass(frozen=True)
class Windows:
    """Sides of the windows in which features look around, in rows and columns of the matches. Chosen by hand.

    texture: for the mean slope of the image. steps: for steps of disparity. near, around: for the share of matches."""

    texture: int
    steps: int
    near: int
    around: int


HALF_SIZE = Windows(5, 5, 7, 31)
QUARTER_SIZE = Windows(3, 3, 3, 15)


@dataclass(frozen=True, eq=False)
class MatchFeatures:
    """What is known of some of the matches, in rows and columns.

    disparity: (rows, columns) float32, pixels of the full image, NaN where there is none. features: (len(FEATURES),
    rows, columns) float32, without meaning where there is no disparity. agree: (rows, columns) bool, True where the
    second matcher confirms the match. first, step: which pixels of the image they are, in rows and in columns."""

    disparity: np.ndarray
    features: np.ndarray
    agree: np.ndarray
    first: int
    step: int

    def pick(self, image: np.ndarray) -> np.ndarray:
        """Returns the pixels of `image` ((height, width)) that the matches are of, (rows, columns)."""
        rows, columns = self.disparity.shape
        return image[self.first :: self.step, self.first :: self.step][:rows, :columns]


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

    first = start // 2
    searched = 16 * math.ceil((start + count - 2 * first) / 32)
    matcher = block_matcher(first, searched, WINDOW)
    matcher.setSpeckleWindowSize(0)
    other = 2 * match_padded(matcher, left, right, max(first + searched, 0))

    return MatchFeatures(*features_of(found, other, left, width_px, HALF_SIZE), 0, 2)


def coarse_clues(small: np.ndarray, coarse: np.ndarray, found: np.ndarray, width_px: np.ndarray) -> MatchFeatures:
    """Computes the features of matches in the middle of blocks of 4 x 4 pixels, without a matcher of their own.

    small: (rows, columns) uint8, the left image at quarter size. coarse: (rows, columns) float32, pixels of the full
    image, what the quick look matched. found: the matches, and width_px: how wide a voxel is there, in pixels of
    disparity, both float32 with up to as many rows and columns."""
    there = tuple(slice(n) for n in found.shape)
    return MatchFeatures(*features_of(found, coarse[there], small[there], width_px, QUARTER_SIZE), 2, 4)


def features_of(
    found: np.ndarray, other: np.ndarray, left: np.ndarray, width_px: np.ndarray, windows: Windows
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns disparity, features and agree of `MatchFeatures`. All images are (rows, columns); other: what the second
    matcher found, pixels of the full image."""
    known = found == found  # false for NaN
    features = np.empty((len(FEATURES), *found.shape), dtype=np.float32)
    unlike, unconfirmed, texture, to_far, to_near, near, around, width, bias = features

    np.minimum(np.abs(other - found), UNLIKE_PX, out=unlike)
    agree = unlike < AGREE_PX  # false for NaN
    np.isnan(other, out=unconfirmed, casting="unsafe")
    unlike[other != other] = UNLIKE_PX

    slope = cv2.Sobel(left, cv2.CV_32F, 1, 0, ksize=1)
    cv2.blur(np.abs(slope, out=slope), (windows.texture, windows.texture), dst=texture)
    np.log(texture + np.float32(0.5), out=texture)

    steps = np.ones((windows.steps, windows.steps), dtype=np.uint8)
    np.minimum(found - cv2.erode(np.where(known, found, np.float32(1e4)), steps), STEP_PX, out=to_far)
    np.minimum(cv2.dilate(np.where(known, found, np.float32(-1e4)), steps) - found, STEP_PX, out=to_near)

    ones = known.view(np.uint8)
    cv2.boxFilter(ones, cv2.CV_32F, (windows.near, windows.near), dst=near)
    cv2.boxFilter(ones, cv2.CV_32F, (windows.around, windows.around), dst=around)
    np.log(width_px, out=width)
    bias[:] = 1

    return found, features, agree


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
        """Returns the probability for each pixel, (height, width) float32; `seen` has every second row and column."""
        small = self.of(seen)
        rows, columns = small.shape
        return cv2.resize(small, (2 * columns, 2 * rows), interpolation=cv2.INTER_NEAREST)[:height, :width]

    def of(self, seen: MatchFeatures) -> np.ndarray:
        """Returns the probability of each of the matches, (rows, columns) float32.

        Where there is no match, it is the largest of the neighbours'."""
        known = seen.disparity == seen.disparity
        stated = np.where(known, self(seen.features.reshape(len(FEATURES), -1)).reshape(known.shape), np.float32(0))
        return np.where(known, stated, cv2.dilate(stated, np.ones((3, 3), dtype=np.uint8)))

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
def load_confidence(folder: Path = SHIPPED.parent) -> MatchConfidence:
    """Reads the network that comes with the package in `folder`, once."""
    return read_confidence(folder / SHIPPED.name)
