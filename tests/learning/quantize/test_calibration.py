"""Calibration frames: written, read, split by episode; what does not fit is one line."""

import dataclasses

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl_learning.quantize.calibration import FILE, Head, load_calibration, save_calibration


def test_round_trip(tmp_path, calibration):
    save_calibration(tmp_path, calibration)
    read = load_calibration(tmp_path)
    assert np.abs(read.inputs - calibration.inputs).max() < 2e-3  # float16
    assert np.array_equal(read.targets, calibration.targets) and np.array_equal(read.episode, calibration.episode)
    assert (read.blocks, read.first_action, read.head.activation) == ((2, 3, 4), 5, "gelu")
    for (w, b), (v, c) in zip(read.head.weights, calibration.head.weights, strict=True):
        assert np.array_equal(w, v) and np.array_equal(b, c)


def test_a_split_never_cuts_an_episode(calibration):
    used, held_out = calibration.split(7, seed=3)
    assert len(used) == 7 and not set(used.episode) & set(held_out.episode)
    assert len(held_out) == 24 - 8
    again, _ = calibration.split(7, seed=3)
    other, _ = calibration.split(7, seed=4)
    assert np.array_equal(used.inputs, again.inputs) and not np.array_equal(used.inputs, other.inputs)
    with pytest.raises(InputError, match="leave no episode to judge by"):
        calibration.split(24, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": np.zeros((3, 9, 256), np.float32)}, "one each"),
        ({"inputs": np.zeros((24, 256), np.float32)}, "must be"),
        ({"blocks": (2, 8)}, "do not fit 9 tokens"),
        ({"first_action": 6}, "3 action tokens for 2 rows"),
        ({"first_action": 7}, "must map \\(256, 3\\) numbers"),
        ({"targets": np.full((24, 2, 3), np.nan, np.float32)}, "finite"),
    ],
)
def test_what_does_not_fit_is_named(calibration, change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(calibration, **change)


def test_a_head_whose_layers_do_not_fit_is_refused():
    w = np.zeros((3, 4), np.float32)
    with pytest.raises(InputError, match="do not fit"):
        Head(((w, np.zeros(3, np.float32)), (w, np.zeros(3, np.float32))))
    with pytest.raises(InputError, match="one of gelu"):
        Head(((w, np.zeros(3, np.float32)),), "softmax")


def test_files_that_are_none_are_one_line(tmp_path, calibration):
    with pytest.raises(InputError, match="does not exist"):
        load_calibration(tmp_path)
    (tmp_path / FILE).write_bytes(b"not this")
    with pytest.raises(InputError, match="not a safetensors file"):
        load_calibration(tmp_path)
    from safetensors.numpy import save

    (tmp_path / FILE).write_bytes(save({"inputs": np.zeros(3)}))
    with pytest.raises(InputError, match="must carry the metadata"):
        load_calibration(tmp_path)
    save_calibration(tmp_path, calibration)
    data = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(data[:-100])
    with pytest.raises(InputError, match="not a safetensors file"):
        load_calibration(tmp_path)
    (tmp_path / FILE).write_bytes(data.replace(b"head.1.bias", b"head.1.base"))
    with pytest.raises(InputError, match=r"lacks 'head.1.bias'"):
        load_calibration(tmp_path)
