"""Raw camera data: layouts, garbage, frozen pictures, poses."""

import doctest

import numpy as np
import pytest

from rarrl.config import DetectorConfig
from rarrl.errors import InputError
from rarrl.perception import camera_input
from rarrl.perception.camera_input import FrozenImageCheck, grid_of, image_from_bytes
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
        ({"encoding": "bayer_rggb8"}, "encoding"),
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
