"""What comes from cameras, judged before use: bytes to images, pictures that stand still, where the camera is."""

from __future__ import annotations

import math
import zlib

import cv2
import numpy as np

from rarrl.config import DetectorConfig
from rarrl.perception.obstacles import level_camera
from rarrl.perception.rig import MIN_SIDE
from rarrl.perception.voxels import GridSpec, grid_spec

MAX_IMAGE_SIDE = 4096
"""Pixels; more is a garbled message, which must not make us allocate gigabytes."""
MAX_PADDING = 256
"""Bytes at the end of a row; more is a wrong encoding or width: drivers align rows to 64 or 256 bytes."""
CHANNELS = {"mono8": 1, "bgr8": 3, "rgb8": 3}
"""Bytes per pixel of each encoding that is understood."""


def image_from_bytes(data: bytes | memoryview, encoding: str, width: int, height: int, step: int) -> np.ndarray:
    """(height, width) gray or (height, width, 3) BGR uint8 of a raw image, rows `step` bytes apart.

    A view of `data` where the layout allows that: do not write to it.

    Raises: ValueError that says what is wrong with it."""
    channels = CHANNELS.get(encoding)
    if channels is None:
        raise ValueError(f"encoding {encoding[:40]!r} is not one of {', '.join(CHANNELS)}")
    if not (MIN_SIDE <= width <= MAX_IMAGE_SIDE and MIN_SIDE <= height <= MAX_IMAGE_SIDE):
        raise ValueError(f"{width} x {height} pixels; a side must have {MIN_SIDE} to {MAX_IMAGE_SIDE}")
    row = width * channels
    if not row <= step <= row + MAX_PADDING:
        raise ValueError(f"step {step} does not fit {width} pixels of {encoding} ({row} bytes)")
    if memoryview(data).nbytes != step * height:
        raise ValueError(f"{memoryview(data).nbytes} bytes instead of {step} x {height}")
    rows = np.frombuffer(data, dtype=np.uint8).reshape(height, step)[:, :row]
    image: np.ndarray = np.ascontiguousarray(rows).reshape((height, width) if channels == 1 else (height, width, 3))
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if encoding == "rgb8" else image


class FrozenImageCheck:
    """Notices a camera that sends one picture again and again: sensor noise alone makes real ones differ.

    frames: how many equal pictures in a row of either camera mean frozen; 0 never does (a simulator without noise)."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._digest: dict[str, int] = {}
        self._equal: dict[str, int] = {}

    def frozen(self, left: np.ndarray, right: np.ndarray) -> str:
        """The camera that is frozen with this pair, left or right; "" if none."""
        if not self._frames:
            return ""
        for side, image in (("left", left), ("right", right)):
            digest = zlib.crc32(np.ascontiguousarray(image).data)
            same = self._digest.get(side) == digest
            self._digest[side] = digest
            self._equal[side] = self._equal.get(side, 0) + 1 if same else 1
        return next((side for side, equal in self._equal.items() if equal >= self._frames), "")


def camera_pose(height_m: float, pitch_rad: float) -> np.ndarray:
    """(4, 4) `T_base_camera` of a camera `height_m` above the base frame's origin that looks ahead and down by
    `pitch_rad`.

    >>> (camera_pose(1.0, math.pi / 6) @ [0, 0, 2, 1]).round(3).tolist()  # 2 m along the optical axis
    [1.732, 0.0, 0.0, 1.0]
    """
    c = math.cos(pitch_rad)
    s = math.sin(pitch_rad)
    down = np.eye(4)
    down[:3, :3] = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])  # about the optical x axis
    pose: np.ndarray = level_camera(height_m) @ down
    return pose


def grid_of(config: DetectorConfig) -> GridSpec:
    """The cube that the configuration asks for. Raises: InputError, one line, where it cannot be."""
    if config.preset == "cube":
        return GridSpec.cube(config.size_m, config.voxel_size_m)
    return grid_spec(config.preset)
