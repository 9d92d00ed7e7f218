"""Trains a small policy on a drawn task, to measure quantization on weights that were truly learned.

    python benchmarks/quantize_surrogate.py OUT --seed 0

A 32x32 picture shows three objects of different colours, each a square, a disc or a cross; the instruction names a
verb, a colour and a shape; the policy returns the next 8 displacements and gripper commands of a point that obeys.
Llama of 2 blocks, width 256, trained by L1 on fresh scenes. OUT gets model.gguf (float32), 1,024 fresh frames in
calibration.safetensors, and card.json. It stands in for the policy of a robot where none is trained; it is not one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rarrl.files import write_json_atomic
from rarrl.llama.gguf import write_llama
from rarrl.llama.model import Llama, block_mask
from rarrl.llama.shape import LlamaShape
from rarrl.quantize.calibration import Calibration, Head, save_calibration

PIXELS, PATCH, CHUNK, SPEED = 32, 8, 8, 0.08
COLOURS = np.array([[1, 0.1, 0.1], [0.1, 0.9, 0.1], [0.2, 0.3, 1], [0.9, 0.8, 0.1]])
SHAPES, VERBS = 3, 4  # square, disc, cross; reach, left of, above, away from
WORDS = VERBS + len(COLOURS) + SHAPES
SHAPE = LlamaShape(layers=2, width=256, heads=4, kv_heads=4, ffn=512, context=64)
PREFIX = 3 + (PIXELS // PATCH) ** 2 + 1


def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """n scenes: words (n, 3), pictures (n, 3, 32, 32), hand (n, 3): x, y, closed; actions (n, 8, 3)."""
    colour = np.argsort(rng.random((n, len(COLOURS))), axis=1)[:, :3]
    shape = rng.integers(SHAPES, size=(n, 3))
    # Three of the nine cells of a grid, jittered: objects do not cover one another.
    cell = np.argsort(rng.random((n, 9)), axis=1)[:, :3]
    place = (np.stack((cell % 3, cell // 3), -1) + rng.uniform(0.25, 0.75, (n, 3, 2))) / 3
    verb = rng.integers(VERBS, size=n)
    hand = np.column_stack((rng.random((n, 2)), rng.integers(2, size=n)))
    words = np.column_stack((verb, VERBS + colour[:, 0], VERBS + len(COLOURS) + shape[:, 0]))
    return words, picture(rng, colour, shape, place), hand, expert(verb, place[:, 0], hand)


def picture(rng: np.random.Generator, colour: np.ndarray, shape: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Soft-edged objects before a noisy grey."""
    n = len(colour)
    axis = (np.arange(PIXELS) + 0.5) / PIXELS
    dx = axis[None, None, None, :] - place[:, :, 0, None, None]
    dy = axis[None, None, :, None] - place[:, :, 1, None, None]
    square = np.maximum(abs(dx), abs(dy)) - 0.07
    disc = np.hypot(dx, dy) - 0.08
    cross = np.minimum(np.maximum(abs(dx), abs(dy) * 3.5), np.maximum(abs(dx) * 3.5, abs(dy))) - 0.09
    which = shape[:, :, None, None]
    alpha = np.clip(0.5 - np.select([which == 0, which == 1], [square, disc], cross) * PIXELS, 0, 1)
    image = rng.uniform(0.3, 0.7, (n, 1, 1, 1)) + 0.05 * rng.standard_normal((n, 3, PIXELS, PIXELS))
    for i in range(3):
        a = alpha[:, i, None]
        image = (1 - a) * image + a * COLOURS[colour[:, i]][:, :, None, None]
    return image * rng.uniform(0.8, 1.2, (n, 1, 1, 1))


def expert(verb: np.ndarray, goal: np.ndarray, hand: np.ndarray) -> np.ndarray:
    """The next displacements (in speed limits) and gripper commands (1 closed, -1 open)."""
    offset = np.array([[0, 0], [-0.15, 0], [0, -0.15], [0, 0]])[verb]
    position, closed, rows = hand[:, :2].copy(), hand[:, 2].copy(), []
    for _ in range(CHUNK):
        away = position - goal
        distance = np.linalg.norm(away, axis=1, keepdims=True)
        flee = goal + away / np.maximum(distance, 1e-3) * 0.45
        step = np.where(verb[:, None] == 3, flee, goal + offset) - position
        length = np.linalg.norm(step, axis=1, keepdims=True)
        step *= np.minimum(1, SPEED / np.maximum(length, 1e-9))
        position = position + step
        closed = np.where(verb == 0, np.linalg.norm(position - goal, axis=1) < 0.05, np.where(verb == 3, 0, closed))
        rows.append(np.column_stack((step / SPEED, 2 * closed - 1)))
    return np.stack(rows, axis=1)


class Surrogate(nn.Module):
    """[3 words | 16 patches | hand | 8 action slots] through the Llama, then an MLP on the action slots."""

    def __init__(self) -> None:
        super().__init__()
        width = SHAPE.width
        self.words = nn.Embedding(WORDS, width)
        self.patches = nn.Linear(3 * PATCH * PATCH, width)
        self.hand = nn.Linear(3, width)
        self.positions = nn.Parameter(0.5 * torch.randn(PREFIX + CHUNK, width))
        self.llama = Llama(SHAPE)
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3))
        self.mask = block_mask(PREFIX + CHUNK, PREFIX)

    def embed(self, words: torch.Tensor, image: torch.Tensor, hand: torch.Tensor) -> torch.Tensor:
        patches = nn.functional.unfold(image - 0.5, PATCH, stride=PATCH).transpose(1, 2)
        slots = torch.zeros(len(words), CHUNK, SHAPE.width)
        parts = (self.words(words), self.patches(patches), self.hand(hand)[:, None], slots)
        return torch.cat(parts, 1) + self.positions

    def forward(self, words: torch.Tensor, image: torch.Tensor, hand: torch.Tensor) -> torch.Tensor:
        return self.head(self.llama(self.embed(words, image, hand), self.mask)[:, PREFIX:])


def tensors(rng: np.random.Generator, n: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    words, image, hand, actions = draw(rng, n)
    seen = [torch.from_numpy(words), torch.from_numpy(image).float(), torch.from_numpy(hand).float()]
    return seen, torch.from_numpy(actions).float()


def train(seed: int, steps: int, batch: int) -> tuple[Surrogate, float]:
    """The policy, and its L1 error on fresh scenes."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Surrogate()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-4, total_steps=steps, pct_start=0.05)
    start = time.monotonic()
    for step in range(steps):
        seen, actions = tensors(rng, batch)
        loss = (model(*seen) - actions).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1} L1 {loss.item():.4f} {time.monotonic() - start:.0f} s", flush=True)
    model.eval()
    seen, actions = tensors(np.random.default_rng(seed + 10**6), 512)
    with torch.no_grad():
        return model, (model(*seen) - actions).abs().mean().item()


def save(folder: Path, model: Surrogate, seed: int, frames: int = 1024) -> None:
    """model.gguf and calibration.safetensors."""
    weights = {name: p.detach().numpy() for name, p in model.llama.named_parameters()}
    write_llama(folder / "model.gguf", SHAPE, weights)
    seen, actions = tensors(np.random.default_rng(seed + 2 * 10**6), frames)
    with torch.no_grad():
        inputs = model.embed(*seen).numpy()
    layers = [layer for layer in model.head if isinstance(layer, nn.Linear)]
    head = Head(tuple((layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in layers))
    save_calibration(folder, Calibration(inputs, actions.numpy(), head, PREFIX, PREFIX, np.arange(frames)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    model, error = train(args.seed, args.steps, args.batch)
    save(args.out, model, args.seed)
    card = {"kind": "surrogate", "seed": args.seed, "steps": args.steps, "batch": args.batch, "l1_fresh": error}
    write_json_atomic(args.out / "card.json", card)
    print(f"L1 on fresh scenes: {error:.4f}")


if __name__ == "__main__":
    main()
