"""Trains the reader of goal sentences (`rarrl.reasoner.goal_reader`) on ALFRED's train split.

    python -m rarrl_learning.reasoner.train_goal_reader --alfred DIR

About two minutes on one core; the same seed gives the same weights on the same machine. Its accuracy on the development
plans, which it was not taught, is in its card."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as save_safetensors

from rarrl.alfred import AlfredPlan, is_development, read_alfred
from rarrl.errors import InputError
from rarrl.files import sha256, write_bytes_atomic, write_json_atomic
from rarrl.reasoner.goal_reader import FIELDS, WEIGHTS, GoalReader, load_goal_reader, ngrams
from rarrl.results import machine, versions

from .curriculum import fields


@dataclass(frozen=True)
class ReaderConfig:
    """How the reader is trained. buckets: of n-grams. dropped: share of the n-grams of a sentence that are left out,
    another each time. hidden_dropout: share of the hidden units that are."""

    buckets: int = 1 << 14
    width: int = 64
    hidden: int = 160
    epochs: int = 12
    batch: int = 128
    embedding_rate: float = 6e-3
    rate: float = 3e-3
    dropped: float = 0.1
    hidden_dropout: float = 0.3
    smoothing: float = 0.02
    seed: int = 0


Lesson = tuple[str, tuple[str, ...]]
"""A sentence, and a value for each of `FIELDS`."""


def lessons(plans: Sequence[AlfredPlan]) -> list[Lesson]:
    """All annotations with goal parameters."""
    return [
        (annotation.goal, tuple(map(str, fields(plan.task_type, plan.parameters))))
        for plan in plans
        if plan.parameters is not None
        for annotation in plan.annotations
    ]


def train_reader(taught: Sequence[Lesson], config: ReaderConfig) -> GoalReader:
    """A reader with weights of eight bits. Needs torch."""
    import torch
    from torch import nn

    torch.manual_seed(config.seed)
    values = tuple(tuple(sorted({goal[at] for _, goal in taught})) for at in range(len(FIELDS)))
    ids = [torch.tensor(ngrams(said, config.buckets) or [0]) for said, _ in taught]
    wanted = torch.tensor([[known.index(v) for known, v in zip(values, goal, strict=True)] for _, goal in taught])

    embedding = nn.EmbeddingBag(config.buckets, config.width, mode="sum")
    nn.init.normal_(embedding.weight, 0.0, 0.1)
    hidden = nn.Linear(config.width, config.hidden)
    heads = nn.ModuleList(nn.Linear(config.hidden + config.width, len(known)) for known in values)
    drop = nn.Dropout(config.hidden_dropout)
    rest = [*hidden.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": embedding.parameters(), "weight_decay": 0.0}, {"params": rest, "weight_decay": 0.01}]
    )
    batches = -(-len(ids) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [config.embedding_rate, config.rate], total_steps=config.epochs * batches
    )
    for _ in range(config.epochs):
        for rows in torch.randperm(len(ids)).split(config.batch):
            bags = []
            for row in rows.tolist():
                kept = ids[row][torch.rand(len(ids[row])) >= config.dropped]
                bags.append(kept if len(kept) else ids[row])
            sizes = torch.tensor([len(bag) for bag in bags])
            x = drop(embedding(torch.cat(bags), sizes.cumsum(0) - sizes) / sizes.sqrt()[:, None])
            both = torch.cat([drop(torch.relu(hidden(x))), x], 1)
            loss = sum(
                nn.functional.cross_entropy(head(both), wanted[rows, at], label_smoothing=config.smoothing)
                for at, head in enumerate(heads)
            )
            assert isinstance(loss, torch.Tensor)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    layers = {"hidden.weight": hidden.weight, "hidden.bias": hidden.bias}
    for name, head in zip(FIELDS, heads, strict=True):
        layers |= {f"{name}.weight": head.weight, f"{name}.bias": head.bias}
    whole = embedding.weight.detach().numpy()
    scale = np.maximum(np.abs(whole).max(1), 1e-8).astype(np.float32) / 127.0
    small = np.round(whole / scale[:, None]).astype(np.int8)
    return GoalReader(values, small, scale, {name: layer.detach().numpy() for name, layer in layers.items()})


def accuracy(reader: GoalReader, asked: Sequence[Lesson]) -> dict[str, float]:
    """Share of the sentences whose likeliest value is the right one, by field; `all`: of which every one is."""
    hits = []
    for said, goal in asked:
        best = (known[int(field.argmax())] for known, field in zip(reader.values, reader.read(said), strict=True))
        hits.append([read == value for read, value in zip(best, goal, strict=True)])
    right = np.array(hits)
    shares = dict(zip(FIELDS, right.mean(0), strict=True)) | {"all": right.all(1).mean()}
    return {name: round(float(share), 4) for name, share in shares.items()}


def save_reader(reader: GoalReader, path: Path, card: dict[str, Any]) -> None:
    """Writes the weights, and a card with their hash beside them."""
    tensors = {"embedding": reader.embedding, "scale": reader.scale, **reader.layers}
    values = json.dumps(dict(zip(FIELDS, reader.values, strict=True)))
    data = save_safetensors(tensors, metadata={"values": values})
    write_bytes_atomic(path, data)
    write_json_atomic(path.with_name("card.json"), {**card, "files": {path.name: sha256(data)}})


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alfred", type=Path, required=True, help="folder with alfred_train.jsonl.gz")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the weights go")
    args = parser.parse_args()
    data = read_alfred(args.alfred, "train")
    taught, held = (lessons([p for p in data.plans if is_development(p) is kept]) for kept in (False, True))
    if not taught or not held:
        raise InputError(f"goal reader: {args.alfred} holds no plans to learn from and to judge on")

    config = ReaderConfig()
    reader = train_reader(taught, config)
    card = {
        "what": "reader of goal sentences: hashed n-grams, one hidden layer, eight bits (rarrl.reasoner.goal_reader)",
        "command": "python -m rarrl_learning.reasoner.train_goal_reader --alfred DIR",
        "seed": config.seed,
        "data": "ALFRED json_2.1.0, split train, without its development plans (MIT, (c) 2019 ALFRED)",
        "data_sha256": data.sha256,
        "metrics": {"what": "likeliest value right, development plans"} | accuracy(reader, held),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
    }
    save_reader(reader, args.out, card)
    print(json.dumps(card["metrics"]), args.out.stat().st_size, "bytes")
    load_goal_reader(args.out)


if __name__ == "__main__":
    main()
