"""Raw camera data: layouts, garbage, frozen pictures, poses."""

import doctest
import math

import cv2
import numpy as np
import pytest

from rarrl.config import DetectorConfig
from rarrl.errors import InputError
from rarrl.perception import camera_input
from rarrl.perception.camera_input import (
    ENCODINGS,
    REFUSED_ENCODINGS,
    FrozenImageCheck,
    camera_pose,
    grid_of,
    image_from_bytes,
)
from rarrl.perception.voxels import PRESETS

RNG = np.random.default_rng(0)


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(camera_input).failed == 0


@pytest.mark.parametrize("padding", [0, 7])
@pytest.mark.parametrize("encoding", ["mono8", "bgr8", "rgb8"])
def test_images_come_back_as_gray_or_bgr(encoding, padding):
    channels = 1 if encoding == "mono8" else 3
    pixels = RNG.integers(0, 256, (70, 90, channels), dtype=np.uint8)
    rows = np.zeros((70, 90 * channels + padding), np.uint8)
    rows[:, : 90 * channels] = pixels.reshape(70, -1)
    image = image_from_bytes(rows.tobytes(), encoding, 90, 70, rows.shape[1])
    expected = {"mono8": pixels[..., 0], "bgr8": pixels, "rgb8": pixels[..., ::-1]}[encoding]
    assert image.shape == expected.shape and (image == expected).all() and image.flags.c_contiguous


GOOD = {"data": bytes(70 * 90), "encoding": "mono8", "width": 90, "height": 70, "step": 90}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": bytes(70 * 90 - 1)}, "bytes instead of"),
        ({"data": bytes(70 * 90 + 1)}, "bytes instead of"),
        ({"data": b""}, "bytes instead of"),
        ({"encoding": "32FC1"}, "not a picture"),
        ({"encoding": "8UC2"}, "yuv422"),
        ({"encoding": "jpeg"}, "image_transport republish"),
        ({"encoding": "BGR8"}, "encoding"),
        ({"encoding": "yuv422", "width": 91, "step": 182, "data": bytes(70 * 182)}, "must be even"),
        ({"encoding": "mono16"}, "step"),
        ({"encoding": "x" * 10**6}, "encoding"),
        ({"encoding": ""}, "encoding"),
        ({"width": 0, "height": 0, "step": 0, "data": b""}, "pixels"),
        ({"width": 16384, "height": 16384, "step": 16384}, "pixels"),
        ({"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1}, "pixels"),
        ({"step": 89}, "step"),
        ({"step": 0}, "step"),
        ({"step": 2**32 - 1}, "step"),
        ({"encoding": "bgr8"}, "step"),
    ],
)
def test_garbage_is_refused_with_its_reason(change, says):
    with pytest.raises(ValueError, match=says) as caught:
        image_from_bytes(**{**GOOD, **change})
    assert len(str(caught.value)) < 200


COLOURS = RNG.integers(0, 32, (70, 90, 3), dtype=np.uint8) * 8
GRAY = cv2.cvtColor(COLOURS, cv2.COLOR_BGR2GRAY)
SMOOTH = cv2.resize(RNG.integers(0, 256, (7, 9, 3), dtype=np.uint8), (90, 70), interpolation=cv2.INTER_CUBIC)


def big(image):
    """16-bit numbers whose upper bytes are the picture, and whose lower ones are noise."""
    return (image.astype(np.uint16) << 8) | RNG.integers(0, 256, image.shape, dtype=np.uint16)


def with_alpha(image):
    return np.concatenate([image, RNG.integers(0, 256, (*image.shape[:2], 1), dtype=image.dtype)], axis=2)


def mosaic(image, pattern):
    """What a sensor with this Bayer pattern (rows of two letters) measures of a BGR image."""
    raw = np.zeros(image.shape[:2], np.uint8)
    for place, letter in enumerate(pattern):
        row, column = divmod(place, 2)
        raw[row::2, column::2] = image[row::2, column::2, "bgr".index(letter)]
    return raw


def yuv(image, order):
    """Packed YUV 4:2:2, two pixels in four bytes, of a BGR image."""
    y, u, v = np.moveaxis(cv2.cvtColor(image, cv2.COLOR_BGR2YUV).astype(float), 2, 0)
    y = 16 + y * 219 / 255  # the formats hold luma from 16 to 235
    u = 128 + (u[:, ::2] - 128) * 0.564 / 0.492 * 224 / 255  # and colour differences (BT.601) from 16 to 240
    v = 128 + (v[:, ::2] - 128) * 0.713 / 0.877 * 224 / 255
    parts = {"Y": y[:, ::2], "Z": y[:, 1::2], "U": u, "V": v}
    return np.stack([parts[letter] for letter in order], axis=2).clip(0, 255).astype(np.uint8).reshape(70, 180)


LAYOUTS = {
    "mono8": (GRAY, GRAY),
    "8UC1": (GRAY, GRAY),
    "bgr8": (COLOURS, COLOURS),
    "8UC3": (COLOURS, COLOURS),
    "rgb8": (COLOURS[..., ::-1], COLOURS),
    "bgra8": (with_alpha(COLOURS), COLOURS),
    "8UC4": (with_alpha(COLOURS), COLOURS),
    "rgba8": (with_alpha(COLOURS[..., ::-1]), COLOURS),
    "mono16": (big(GRAY), GRAY),
    "16UC1": (big(GRAY), GRAY),
    "bgr16": (big(COLOURS), COLOURS),
    "rgb16": (big(COLOURS[..., ::-1]), COLOURS),
    "bgra16": (with_alpha(big(COLOURS)), COLOURS),
    "rgba16": (with_alpha(big(COLOURS[..., ::-1])), COLOURS),
    "yuv422": (yuv(SMOOTH, "UYVZ"), SMOOTH),
    "uyvy": (yuv(SMOOTH, "UYVZ"), SMOOTH),
    "yuv422_yuy2": (yuv(SMOOTH, "YUZV"), SMOOTH),
    "yuyv": (yuv(SMOOTH, "YUZV"), SMOOTH),
    **{f"bayer_{p}8": (mosaic(SMOOTH, p), SMOOTH) for p in ("rggb", "bggr", "gbrg", "grbg")},
    **{f"bayer_{p}16": (big(mosaic(SMOOTH, p)), SMOOTH) for p in ("rggb", "bggr", "gbrg", "grbg")},
}


def test_each_encoding_has_an_example():
    assert set(LAYOUTS) == set(ENCODINGS) and not set(REFUSED_ENCODINGS) & set(ENCODINGS)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("encoding", LAYOUTS)
def test_each_encoding_becomes_the_same_picture(encoding, is_bigendian, padding):
    raw, expected = LAYOUTS[encoding]
    if is_bigendian:
        raw = raw.astype(raw.dtype.newbyteorder(">"))
    row = np.ascontiguousarray(raw).reshape(70, -1).view(np.uint8)
    rows = np.full((70, row.shape[1] + padding), 255, np.uint8)
    rows[:, : row.shape[1]] = row
    data = rows.tobytes()

    for sent in (data, data[: len(data) - padding]):  # some drivers do not pad the last row
        image = image_from_bytes(sent, encoding, 90, 70, rows.shape[1], is_bigendian)
        assert image.shape == expected.shape and image.dtype == np.uint8 and image.flags.c_contiguous
        error = np.abs(image[4:-4, 4:-4].astype(int) - expected[4:-4, 4:-4])
        approximate = encoding.startswith(("yu", "uyvy", "bayer"))
        assert error.mean() < (6 if approximate else 0.001), f"off by {error.mean():.1f} gray levels"


def test_a_camera_upside_down_sees_what_is_left_on_its_right():
    upright, turned = camera_pose(0.5, 0.1), camera_pose(0.5, 0.1, math.pi)
    point = np.array([0.3, 0.2, 2.0, 1.0])
    np.testing.assert_allclose(turned @ (point * [-1, -1, 1, 1]), upright @ point, atol=1e-12)


def noise():
    return RNG.integers(0, 256, (64, 64), dtype=np.uint8)


@pytest.mark.parametrize("eye", ["left", "right"])
def test_one_frozen_eye_is_enough_and_it_may_thaw(eye):
    watch, stuck = FrozenImageCheck(3), noise()

    def judge():
        return watch.frozen(stuck, noise()) if eye == "left" else watch.frozen(noise(), stuck)

    assert [judge() for _ in range(4)] == ["", "", eye, eye]
    assert watch.frozen(noise(), noise()) == ""


def test_a_still_scene_with_noise_is_not_frozen_and_zero_turns_the_watch_off():
    watch, scene = FrozenImageCheck(2), noise() // 2
    assert not any(watch.frozen(scene + noise() % 3, scene + noise() % 3) for _ in range(50))
    assert not any(FrozenImageCheck(0).frozen(scene, scene) for _ in range(5))


def test_the_cube_is_the_preset_or_what_was_asked_for():
    assert grid_of(DetectorConfig()) == PRESETS["indoor"]
    assert grid_of(DetectorConfig(preset="outdoor", size_m=3.0)) == PRESETS["outdoor"]
    assert grid_of(DetectorConfig(preset="cube", size_m=3.2, voxel_size_m=0.2)).size == 16
    with pytest.raises(InputError, match="grid: size"):
        grid_of(DetectorConfig(preset="cube", size_m=64.0, voxel_size_m=0.1))
