"""What comes from cameras, judged before use: bytes to images, pictures that stand still, where the camera is."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Encoding:
    """How a raw image is laid out, and what makes it gray or BGR.

    pixel: bytes per pixel. word: bytes per number, whose order `is_bigendian` tells. channels: numbers per pixel, 2 for
    the YUV formats, which need an even width. convert: OpenCV's code for what is done after that; None: nothing."""

    pixel: int
    word: int = 1
    channels: int = 1
    convert: int | None = None


def _bayer(pattern: str) -> int:
    """OpenCV names a pattern by its second row, ROS by its first."""
    return {
        "rggb": cv2.COLOR_BayerBG2BGR,
        "bggr": cv2.COLOR_BayerRG2BGR,
        "gbrg": cv2.COLOR_BayerGR2BGR,
        "grbg": cv2.COLOR_BayerGB2BGR,
    }[pattern]


ENCODINGS: dict[str, Encoding] = {
    "mono8": Encoding(1),
    "8UC1": Encoding(1),
    "bgr8": Encoding(3, channels=3),
    "8UC3": Encoding(3, channels=3),  # BGR, as cv_bridge takes it
    "rgb8": Encoding(3, channels=3, convert=cv2.COLOR_RGB2BGR),
    "bgra8": Encoding(4, channels=4, convert=cv2.COLOR_BGRA2BGR),
    "8UC4": Encoding(4, channels=4, convert=cv2.COLOR_BGRA2BGR),
    "rgba8": Encoding(4, channels=4, convert=cv2.COLOR_RGBA2BGR),
    "mono16": Encoding(2, word=2),
    "16UC1": Encoding(2, word=2),
    "bgr16": Encoding(6, word=2, channels=3),
    "rgb16": Encoding(6, word=2, channels=3, convert=cv2.COLOR_RGB2BGR),
    "bgra16": Encoding(8, word=2, channels=4, convert=cv2.COLOR_BGRA2BGR),
    "rgba16": Encoding(8, word=2, channels=4, convert=cv2.COLOR_RGBA2BGR),
    "yuv422": Encoding(2, channels=2, convert=cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": Encoding(2, channels=2, convert=cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": Encoding(2, channels=2, convert=cv2.COLOR_YUV2BGR_YUY2),
    "yuyv": Encoding(2, channels=2, convert=cv2.COLOR_YUV2BGR_YUY2),
    **{f"bayer_{p}8": Encoding(1, convert=_bayer(p)) for p in ("rggb", "bggr", "gbrg", "grbg")},
    **{f"bayer_{p}16": Encoding(2, word=2, convert=_bayer(p)) for p in ("rggb", "bggr", "gbrg", "grbg")},
}
"""What is understood, by the names of sensor_msgs/image_encodings. Of 16-bit numbers the upper 8 bits are used."""
REFUSED_ENCODINGS: dict[str, str] = {
    "32FC1": "distances or single-precision numbers, not a picture",
    "32FC3": "single-precision numbers, not a picture",
    "64FC1": "double-precision numbers, not a picture",
    "16SC1": "signed numbers, such as disparities, not a picture",
    "8UC2": "two channels of unknown meaning; of a YUV camera name it yuv422 or yuv422_yuy2",
    "nv21": "planar YUV; let the driver or image_proc convert it to bgr8",
    "nv24": "planar YUV; let the driver or image_proc convert it to bgr8",
    "jpeg": "compressed; decompress it: ros2 run image_transport republish compressed raw",
    "png": "compressed; decompress it: ros2 run image_transport republish compressed raw",
}
"""Encodings that are refused -> why, or what to do."""


def image_from_bytes(
    data: bytes | memoryview, encoding: str, width: int, height: int, step: int, is_bigendian: bool = False
) -> np.ndarray:
    """(height, width) gray or (height, width, 3) BGR uint8 of a raw image, rows `step` bytes apart.

    A view of `data` where the layout allows that: do not write to it. The last row may lack its padding.

    Raises: ValueError that says what is wrong with it."""
    layout = ENCODINGS.get(encoding)
    if layout is None:
        why = REFUSED_ENCODINGS.get(encoding, "use bgr8, rgb8, mono8 or another of docs/reference/messages.md")
        raise ValueError(f"encoding {encoding[:40]!r} is not understood: {why}")
    if not (MIN_SIDE <= width <= MAX_IMAGE_SIDE and MIN_SIDE <= height <= MAX_IMAGE_SIDE):
        raise ValueError(f"{width} x {height} pixels; a side must have {MIN_SIDE} to {MAX_IMAGE_SIDE}")
    if layout.channels == 2 and width % 2:
        raise ValueError(f"{width} columns of {encoding}; two share their colour, so their number must be even")

    row = width * layout.pixel
    if not row <= step <= row + MAX_PADDING:
        raise ValueError(f"step {step} does not fit {width} pixels of {encoding} ({row} bytes)")
    size = memoryview(data).nbytes
    if size not in (step * height, step * (height - 1) + row):
        raise ValueError(f"{size} bytes instead of {step} x {height}")

    flat = np.frombuffer(data, dtype=np.uint8)
    if size < step * height:
        flat = np.concatenate([flat, np.zeros(step * height - size, np.uint8)])
    rows = np.ascontiguousarray(flat.reshape(height, step)[:, :row])
    if layout.word == 2:
        rows = rows[:, 0 if is_bigendian else 1 :: 2]  # the upper bytes, as cv_bridge scales 65535 to 255
    image: np.ndarray = np.ascontiguousarray(rows).reshape(
        (height, width) if layout.channels == 1 else (height, width, layout.channels)
    )
    return image if layout.convert is None else cv2.cvtColor(image, layout.convert)


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


def camera_pose(height_m: float, pitch_rad: float, roll_rad: float = 0.0) -> np.ndarray:
    """(4, 4) `T_base_camera` of a camera `height_m` above the base frame's origin that looks ahead and down by
    `pitch_rad`, turned by `roll_rad` about the direction in which it looks (clockwise as it looks).

    >>> (camera_pose(1.0, math.pi / 6) @ [0, 0, 2, 1]).round(3).tolist()  # 2 m along the optical axis
    [1.732, 0.0, 0.0, 1.0]
    """
    c = math.cos(pitch_rad)
    s = math.sin(pitch_rad)
    down = np.eye(4)
    down[:3, :3] = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])  # about the optical x axis
    c = math.cos(roll_rad)
    s = math.sin(roll_rad)
    rolled = np.eye(4)
    rolled[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])  # about the optical z axis
    pose: np.ndarray = level_camera(height_m) @ down @ rolled
    return pose


def grid_of(config: DetectorConfig) -> GridSpec:
    """The cube that the configuration asks for. Raises: InputError, one line, where it cannot be."""
    if config.preset == "cube":
        return GridSpec.cube(config.size_m, config.voxel_size_m)
    return grid_spec(config.preset)
