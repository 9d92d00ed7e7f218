"""Trains the reader of goal sentences (`rarrl.reasoner.goal_reader`) on ALFRED's train split.

    python -m rarrl_learning.reasoner.train_goal_reader --alfred DIR --alfworld DIR [--without-homes 0.15]

About a minute on one core; the same seed gives the same weights on the same machine. What is in a home comes from
ALFWorld's games of the same trials. Its accuracy on the development plans, which it was not taught, is in its card.
--without-homes: tells how well it reads in homes that it was not taught, instead of writing weights: a share of
them."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as save_safetensors

from rarrl.alfred import AlfredPlan, is_development, read_alfred
from rarrl.errors import InputError
from rarrl.files import sha256, write_bytes_atomic, write_json_atomic
from rarrl.reasoner.goal_reader import (
    CLASSES,
    FIELDS,
    WEIGHTS,
    GoalReader,
    load_goal_reader,
    ngrams,
    presence,
)
from rarrl.results import machine, versions

from ..alfworld.goals import Game, read_games
from .curriculum import fields


@dataclass(frozen=True)
class ReaderConfig:
    """How the reader is trained. buckets: of n-grams. dropped: share of the n-grams of a sentence that are left out,
    another each time. hidden_dropout: share of the hidden units that are. home_decay: weight decay of what the home
    adds, which must not learn homes by heart."""

    buckets: int = 1 << 14
    width: int = 64
    hidden: int = 160
    epochs: int = 12
    home_decay: float = 0.1
    batch: int = 128
    embedding_rate: float = 6e-3
    rate: float = 3e-3
    dropped: float = 0.1
    hidden_dropout: float = 0.3
    smoothing: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class Lesson:
    """A sentence, and a value for each of `FIELDS`. things: classes of what is in the home; () where that is not
    known."""

    said: str
    goal: tuple[str, ...]
    things: tuple[str, ...] = ()


def lessons(plans: Iterable[AlfredPlan], games: Iterable[Game] = ()) -> list[Lesson]:
    """All annotations with goal parameters. games: tell what is in the homes of their trials."""
    things = {game.trial: game.things for game in games}
    found = []
    for plan in plans:
        if plan.parameters is None:
            continue
        goal = tuple(map(str, fields(plan.task_type, plan.parameters)))
        found += [Lesson(annotation.goal, goal, things.get(plan.trial, ())) for annotation in plan.annotations]
    return found


def train_reader(taught: Sequence[Lesson], config: ReaderConfig) -> GoalReader:
    """A reader with weights of eight bits. Needs torch."""
    import torch
    from torch import nn

    torch.manual_seed(config.seed)
    values = tuple(tuple(sorted({each.goal[at] for each in taught})) for at in range(len(FIELDS)))
    ids = [torch.tensor(ngrams(each.said, config.buckets) or [0]) for each in taught]
    wanted = torch.tensor([[k.index(v) for k, v in zip(values, each.goal, strict=True)] for each in taught])
    seen = torch.tensor(np.array([presence(each.things) for each in taught]))

    embedding = nn.EmbeddingBag(config.buckets, config.width, mode="sum")
    nn.init.normal_(embedding.weight, 0.0, 0.1)
    hidden = nn.Linear(config.width, config.hidden)
    heads = nn.ModuleList(nn.Linear(config.hidden + config.width, len(each)) for each in values)
    homes = nn.ModuleList(nn.Linear(1 + len(CLASSES), len(each), bias=False) for each in values)
    for layer in homes:
        nn.init.zeros_(layer.weight)
    drop = nn.Dropout(config.hidden_dropout)
    rest = [*hidden.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": embedding.parameters(), "weight_decay": 0.0},
            {"params": rest, "weight_decay": 0.01},
            {"params": homes.parameters(), "weight_decay": config.home_decay},
        ]
    )
    batches = -(-len(ids) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [config.embedding_rate, config.rate, config.rate], total_steps=config.epochs * batches
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
            there = seen[rows] * torch.randint(2, (len(rows), 1))  # every other time nothing was seen
            loss = sum(
                nn.functional.cross_entropy(
                    head(both) + home(there), wanted[rows, at], label_smoothing=config.smoothing
                )
                for at, (head, home) in enumerate(zip(heads, homes, strict=True))
            )
            assert isinstance(loss, torch.Tensor)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    layers = {"hidden.weight": hidden.weight, "hidden.bias": hidden.bias}
    for name, head, home in zip(FIELDS, heads, homes, strict=True):
        layers |= {f"{name}.weight": head.weight, f"{name}.bias": head.bias, f"{name}.home": home.weight}
    whole = embedding.weight.detach().numpy()
    scale = np.maximum(np.abs(whole).max(1), 1e-8).astype(np.float32) / 127.0
    small = np.round(whole / scale[:, None]).astype(np.int8)
    return GoalReader(values, small, scale, {name: layer.detach().numpy() for name, layer in layers.items()})


def accuracy(reader: GoalReader, asked: Sequence[Lesson], known: Callable[[Lesson], Iterable[str]]) -> dict[str, float]:
    """Share of the sentences whose likeliest value is the right one, by field; `all`: of which every one is. known:
    what is told of the home."""
    hits = []
    for each in asked:
        read = reader.read(each.said, known(each))
        best = (values[int(field.argmax())] for values, field in zip(reader.values, read, strict=True))
        hits.append([found == value for found, value in zip(best, each.goal, strict=True)])
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


def judged(reader: GoalReader, asked: Sequence[Lesson]) -> dict[str, Any]:
    """Accuracies where nothing was seen, and where all that is in the home was."""
    whole = [each for each in asked if each.things]
    ways: dict[str, Callable[[Lesson], Iterable[str]]] = {"nothing": lambda _: (), "things": lambda each: each.things}
    return {name: accuracy(reader, whole, known) for name, known in ways.items()} | {"sentences": len(whole)}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alfred", type=Path, required=True, help="folder with alfred_train.jsonl.gz")
    parser.add_argument("--alfworld", type=Path, required=True, help="folder with ALFWorld's games")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the weights go")
    parser.add_argument("--without-homes", type=float, default=0.0, help="share of the homes to judge on")
    args = parser.parse_args()
    data = read_alfred(args.alfred, "train")
    games = read_games(args.alfworld, args.alfred, "train")
    config = ReaderConfig()
    if args.without_homes:
        homes = sorted({plan.scene for plan in data.plans})
        chosen = np.random.default_rng(config.seed).permutation(len(homes))[: round(args.without_homes * len(homes))]
        new = {homes[i] for i in chosen}
        taught, held = (lessons([p for p in data.plans if (p.scene in new) is kept], games) for kept in (False, True))
        print(json.dumps(judged(train_reader(taught, config), held), indent=1))
        return

    taught, held = (lessons([p for p in data.plans if is_development(p) is kept], games) for kept in (False, True))
    if not taught or not held:
        raise InputError(f"goal reader: {args.alfred} holds no plans to learn from and to judge on")
    reader = train_reader(taught, config)
    card = {
        "what": "reader of goal sentences: hashed n-grams and what is in the home (rarrl.reasoner.goal_reader)",
        "command": "python -m rarrl_learning.reasoner.train_goal_reader --alfred DIR --alfworld DIR",
        "seed": config.seed,
        "data": "ALFRED json_2.1.0, split train, without its development plans (MIT, (c) 2019 ALFRED); ALFWorld "
        "json_2.1.1, the same trials (MIT, (c) ALFWorld authors)",
        "data_sha256": data.sha256,
        "metrics": {"what": "likeliest value right on development plans, by what was seen"} | judged(reader, held),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
    }
    save_reader(reader, args.out, card)
    load_goal_reader(args.out)
    print(json.dumps(card["metrics"]), args.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
