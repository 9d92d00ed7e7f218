"""A small Llama with random weights and frames for it."""

import numpy as np
import pytest

from rarrl.llama.gguf import read_gguf, write_llama
from rarrl.llama.shape import LlamaShape
from rarrl_learning.quantize.calibration import Calibration, Head

SHAPE = LlamaShape(layers=2, width=256, heads=4, kv_heads=2, ffn=512, context=32)
FRAMES, TOKENS, CHUNK, ACTION = 24, 9, 2, 3


@pytest.fixture(scope="session")
def gguf(tmp_path_factory):
    pytest.importorskip("llama_cpp")
    path = tmp_path_factory.mktemp("model") / "model.gguf"
    rng = np.random.default_rng(0)
    weights = {
        name: 0.05 * rng.standard_normal(size, np.float32) if len(size) == 2 else np.ones(size, np.float32)
        for name, size in SHAPE.tensors().items()
    }
    write_llama(path, SHAPE, weights, {"rarrl.note": ("kept", "STRING")})
    return read_gguf(path)


def frames_of(width=SHAPE.width, frames=FRAMES, seed=1):
    """Frames whose expert is a noisy readout of the inputs; two frames to an episode."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((frames, TOKENS, width), np.float32)
    head = Head(
        (
            (0.1 * rng.standard_normal((16, 2 * width), np.float32), np.zeros(16, np.float32)),
            (0.5 * rng.standard_normal((ACTION, 16), np.float32), np.zeros(ACTION, np.float32)),
        )
    )
    targets = inputs.mean(1)[:, : CHUNK * ACTION].reshape(frames, CHUNK, ACTION).copy()
    return Calibration(inputs, targets, head, (2, TOKENS - 6, 4), TOKENS - 4, np.arange(frames) // 2)


@pytest.fixture
def calibration():
    return frames_of()


@pytest.fixture
def calibration_of_another_width():
    return frames_of(width=128)
