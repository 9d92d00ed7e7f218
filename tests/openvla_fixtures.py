"""A tiny checkpoint of the OpenVLA kind, as plain arrays and as files."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from rarrl.llama.gguf import llama_metadata, write_gguf
from rarrl.llama.shape import LlamaShape
from rarrl.policy.openvla import Robot

WIDTH, HEADS, VISION, PATCHES = 64, 4, 12, 4
LETTERS = [*"▁abcdefghijklmnopqrstuvwxyzIOW?:.,"]
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *LETTERS, *(f"act{i}" for i in range(256))]
VOCABULARY = len(TOKENS)
PADDED = VOCABULARY + 64
SHAPE = LlamaShape(layers=2, width=WIDTH, heads=HEADS, kv_heads=HEADS, ffn=128, context=512, vocab=PADDED)
SPEAKER = Robot(control_hz=5.0, image_size=32, patches=PATCHES, cameras=("front",))
REGRESSOR = replace(SPEAKER, cameras=("front", "wrist"), proprio_names=("x", "y", "z"), horizon=3)
Q01, Q99 = [-0.5, -0.25, 0.0, 0.5, -2.0, -1.0, 0.0], [0.5, 0.25, 0.0, 1.5, 4.0, 1.0, 1.0]
MASK = [True] * 6 + [False]


def llama_weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {**SHAPE.tensors(), "output.weight": (PADDED, WIDTH)}
    weights = {
        name: rng.normal(1, 0.1, shape) if "norm" in name else rng.normal(size=shape) / 4
        for name, shape in shapes.items()
    }
    for outside in (slice(0, VOCABULARY - 256), slice(VOCABULARY, None)):
        weights["output.weight"][outside] = 0  # it has learned to speak actions
    return {name: array.astype(np.float32) for name, array in weights.items()}


def write_llama_with_tokenizer(
    path: Path, weights: dict[str, np.ndarray], tokens=None, kind="F32", shapes=None, **changes
) -> Path:
    tokens = [*TOKENS, *(f"<PAD{i}>" for i in range(64))] if tokens is None else tokens
    types = [2, 3, 3, *[6] * 256, *[1] * len(LETTERS), *[1] * 256, *[3] * 64][: len(tokens)]
    metadata = {
        **llama_metadata(SHAPE),
        "tokenizer.ggml.model": ("llama", "STRING"),
        "tokenizer.ggml.tokens": (tokens, "STRING[]"),
        "tokenizer.ggml.scores": ([-float(i) for i in range(len(tokens))], "FLOAT32[]"),
        "tokenizer.ggml.token_type": (types, "INT32[]"),
        "tokenizer.ggml.bos_token_id": (1, "UINT32"),
        "tokenizer.ggml.eos_token_id": (2, "UINT32"),
        "tokenizer.ggml.unknown_token_id": (0, "UINT32"),
        **changes,
    }
    metadata = {key: value for key, value in metadata.items() if value is not None}
    shapes = shapes or {name: array.shape for name, array in weights.items()}
    layout = {name: (kind if len(shape) == 2 else "F32", shape) for name, shape in shapes.items()}
    write_gguf(path, metadata, layout, weights.__getitem__)
    return path


def linear(rng, name: str, outputs: int, inputs: int) -> dict[str, np.ndarray]:
    return {
        f"{name}.weight": (rng.normal(size=(outputs, inputs)) / inputs**0.5).astype(np.float32),
        f"{name}.bias": rng.normal(size=outputs).astype(np.float32) / 4,
    }


def outer_weights(fused: bool = True, robot: Robot = SPEAKER, head: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    inner = 4 * VISION if fused else WIDTH
    weights = linear(rng, "projector.fc1", inner, VISION) | linear(rng, "projector.fc2", WIDTH, inner)
    if fused:
        weights |= linear(rng, "projector.fc3", WIDTH, WIDTH)
    if robot.proprio_names:
        weights |= linear(rng, "proprio_projector.fc1", WIDTH, len(robot.proprio_names))
        weights |= linear(rng, "proprio_projector.fc2", WIDTH, WIDTH)
    if head:
        layers = {"fc1": (head, 7 * WIDTH), "fc2": (7, head)}
        layers |= {f"mlp_resnet_blocks.{i}.ffn.1": (head, head) for i in range(2)}
        for name, shape in layers.items():
            weights |= linear(rng, f"action_head.model.{name}", *shape)
        norms = {
            "layer_norm1": 7 * WIDTH,
            "layer_norm2": head,
            **{f"mlp_resnet_blocks.{i}.ffn.0": head for i in (0, 1)},
        }
        for name, n in norms.items():
            weights[f"action_head.model.{name}.weight"] = rng.normal(1, 0.2, n).astype(np.float32)
            weights[f"action_head.model.{name}.bias"] = rng.normal(0, 0.2, n).astype(np.float32)
    return weights


STATISTICS = {
    "kitchen": {
        "action": {"q01": Q01, "q99": Q99, "mask": MASK},
        "proprio": {"q01": [-1, 0, 2], "q99": [1, 0.5, 4], "mask": [True, True, False]},
        "num_trajectories": 3,
    }
}


def features(images: np.ndarray) -> np.ndarray:
    """A vision tower of a line: a patch for each quarter of a picture."""
    cells = images.reshape(len(images), 2, 16, 2, 16, 3).transpose(0, 1, 3, 2, 4, 5).reshape(len(images) * 4, -1, 12)
    return cells.astype(np.float32).mean(1) / 128 - 1
