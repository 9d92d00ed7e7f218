"""Trains a small policy on a drawn task, to measure quantization on weights that were truly learned.

    python benchmarks/quantize_surrogate.py OUT --seed 0

A scene is a list of three objects (colour, shape, noisy place), no two alike; the instruction names a verb, a colour
and a shape, and both words are needed to tell the object; the policy returns the next 8 displacements and gripper
commands of a point that obeys. Llama of 2 blocks, width 256, trained by L1 on fresh scenes. OUT gets model.gguf
(float32), 1,024 fresh frames in calibration.safetensors, and card.json. It stands in for a robot's policy and is none.
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

CHUNK, SPEED = 8, 0.08
COLOURS, SHAPES, OBJECTS, VERBS = 4, 3, 3, 4  # verbs: reach, left of, above, away from
WORDS = VERBS + COLOURS + SHAPES
SHAPE = LlamaShape(layers=2, width=256, heads=4, kv_heads=4, ffn=512, context=64)
PREFIX = 3 + OBJECTS + 1


def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """n scenes: words (n, 3); objects (n, 3, 4): colour, shape, x, y; hand (n, 3): x, y, closed; actions (n, 8, 3)."""
    kind = np.argsort(rng.random((n, COLOURS * SHAPES)), axis=1)[:, :OBJECTS]
    colour, shape, place = kind // SHAPES, kind % SHAPES, rng.random((n, OBJECTS, 2))
    named, row = rng.integers(OBJECTS, size=n), np.arange(n)
    verb = rng.integers(VERBS, size=n)
    hand = np.column_stack((rng.random((n, 2)), rng.integers(2, size=n)))
    words = np.column_stack((verb, VERBS + colour[row, named], VERBS + COLOURS + shape[row, named]))
    seen = place + 0.005 * rng.standard_normal(place.shape)
    objects = np.concatenate((np.stack((VERBS + colour, VERBS + COLOURS + shape), -1), seen), axis=2)
    return words, objects, hand, expert(verb, place[row, named], hand)


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
    """[3 words | 3 objects | hand | 8 action slots] through the Llama, then an MLP on the action slots."""

    def __init__(self) -> None:
        super().__init__()
        width = SHAPE.width
        self.words = nn.Embedding(WORDS, width)
        self.place = nn.Linear(2, width)
        self.hand = nn.Linear(3, width)
        self.positions = nn.Parameter(0.5 * torch.randn(PREFIX + CHUNK, width))
        self.llama = Llama(SHAPE)
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3))
        self.mask = block_mask(PREFIX + CHUNK, PREFIX)

    def embed(self, words: torch.Tensor, objects: torch.Tensor, hand: torch.Tensor) -> torch.Tensor:
        slots = torch.zeros(len(words), CHUNK, SHAPE.width)
        seen = self.words(objects[..., :2].long()).sum(2) + self.place(4 * objects[..., 2:] - 2)
        parts = (self.words(words), seen, self.hand(4 * hand - 2)[:, None], slots)
        return torch.cat(parts, 1) + self.positions

    def forward(self, words: torch.Tensor, objects: torch.Tensor, hand: torch.Tensor) -> torch.Tensor:
        return self.head(self.llama(self.embed(words, objects, hand), self.mask)[:, PREFIX:])


def tensors(rng: np.random.Generator, n: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    words, objects, hand, actions = draw(rng, n)
    seen = [torch.from_numpy(words), torch.from_numpy(objects).float(), torch.from_numpy(hand).float()]
    return seen, torch.from_numpy(actions).float()


def train(seed: int, steps: int, batch: int) -> tuple[Surrogate, float]:
    """The policy, and its L1 error on fresh scenes."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Surrogate()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.05)
    start, losses = time.monotonic(), []
    for step in range(steps):
        seen, actions = tensors(rng, batch)
        loss = (model(*seen) - actions).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 99:
            print(f"step {step + 1} L1 {np.mean(losses[-100:]):.4f} {time.monotonic() - start:.0f} s", flush=True)
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
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    model, error = train(args.seed, args.steps, args.batch)
    save(args.out, model, args.seed)
    card = {"kind": "surrogate", "seed": args.seed, "steps": args.steps, "batch": args.batch, "l1_fresh": error}
    write_json_atomic(args.out / "card.json", card)
    print(f"L1 on fresh scenes: {error:.4f}")


if __name__ == "__main__":
    main()
