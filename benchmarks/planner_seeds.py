"""How much of the planner's accuracy is chance: models of other seeds, and all of them together.

    python benchmarks/planner_seeds.py --alfred DIR [--seeds 6] [--steps 1900] [--batch-tokens 8192] [--device cuda]

Trains the shipped recipe once per seed, side by side, and lets each model write the plans of the development goals and
of valid_seen: greedily, at level 1, from the goal alone, in torch without a grammar. `together`: by the mean of their
probabilities at each token, which no single model of this recipe can be expected to pass. Writes planner_seeds.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from rarrl.alfred import is_development, read_alfred
from rarrl.alfred_plans import normal_form
from rarrl.reasoner import prompt as p
from rarrl.reasoner.plan import Plan
from rarrl.results import Figure, make_results, write_results
from rarrl.types import Role
from rarrl_learning.reasoner.curriculum import FIELDS, achieved, fields
from rarrl_learning.reasoner.evaluate import Bootstrap, Item, items
from rarrl_learning.reasoner.jobs import training_and_development
from rarrl_learning.reasoner.train import PlannerModel, TrainConfig, fit_planner, load_averaged

RESULTS = Path(__file__).parent / "results" / "planner_seeds.json"
MAX_TOKENS = 64  # of an answer
GROUP = 2048  # goals decoded at once on the accelerator


def train(alfred: Path, folder: Path, config: TrainConfig, device: str) -> None:
    """One model, into `folder`."""
    training_set, development = training_and_development(read_alfred(alfred, "train").plans)
    fit_planner(training_set, development, config, folder, device=device)


@torch.no_grad()
def write_on(models: Sequence[PlannerModel], tokenizer: Tokenizer, prompts: Sequence[str]) -> list[str]:
    """The likeliest token each time, by the models' mean probabilities."""
    end = tokenizer.token_to_id(p.END)
    device = models[0].token_embd.weight.device
    asked = [encoding.ids for encoding in tokenizer.encode_batch(list(prompts), add_special_tokens=False)]

    texts = [""] * len(asked)
    order = sorted(range(len(asked)), key=lambda i: len(asked[i]))
    for _, same in groupby(order, key=lambda i: len(asked[i])):  # of one length: nothing is padded
        members = list(same)
        for first in range(0, len(members), GROUP):
            rows = members[first : first + GROUP]
            ids = torch.tensor([asked[i] for i in rows], device=device)
            start = ids.shape[1]
            ended = torch.zeros(len(rows), dtype=torch.bool, device=device)
            while ids.shape[1] < start + MAX_TOKENS and not bool(ended.all()):
                with torch.autocast(device.type, torch.bfloat16):
                    logits = [model.logits(model.hidden(ids)[:, -1]).float() for model in models]
                chosen = torch.stack(logits).softmax(-1).mean(0).argmax(-1)
                ended |= chosen == end
                ids = torch.cat((ids, chosen[:, None]), 1)

            for i, row in zip(rows, ids[:, start:].tolist(), strict=True):
                texts[i] = tokenizer.decode(row[: row.index(end)] if end in row else row, skip_special_tokens=False)

    return texts


def judged(models: Sequence[PlannerModel], tokenizer: Tokenizer, asked: Sequence[Item]) -> dict[str, np.ndarray]:
    """Figure -> (items,) bool."""
    hits = []
    right = []
    for item, text in zip(asked, write_on(models, tokenizer, [p.prompt(p.PLAN, i.goal) for i in asked]), strict=True):
        try:
            plan = p.parse(text, Role.PLANNER)
        except ValueError:
            plan = None
        assert plan is None or isinstance(plan, Plan)
        named = fields(*achieved(plan)) if plan else (None,) * len(FIELDS)
        hits.append([a == b for a, b in zip(named, item.target, strict=True)])
        right.append(plan is not None and normal_form(plan) == normal_form(item.plan))

    table = np.array(hits)
    found = {f"{name}_accuracy": table[:, i] for i, name in enumerate(FIELDS)}
    return found | {"all_parameters_accuracy": table.min(axis=1), "plan_accuracy_level1": np.array(right)}


def main() -> None:
    """Trains, judges, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alfred", type=Path, required=True, help="folder of the ALFRED data set")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=1900)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, default=Path("runs/planner_seeds"))
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    folders = [given.out / f"seed{seed}" for seed in range(given.seeds)]
    runs = [
        context.Process(
            target=train,
            args=(
                given.alfred,
                folder,
                TrainConfig(seed=seed, steps=given.steps, batch_tokens=given.batch_tokens),
                given.device,
            ),
        )
        for seed, folder in enumerate(folders)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    if any(run.exitcode for run in runs):
        raise SystemExit("a training failed: see above; the same command goes on")

    loaded = [load_averaged(folder) for folder in folders]
    models = [model.to(given.device) for model, _ in loaded]
    tokenizer = loaded[0][1]
    train_split = read_alfred(given.alfred, "train")
    held = [plan for plan in train_split.plans if is_development(plan)]
    splits = {
        "development": replace(train_split, plans=tuple(held)),
        "valid_seen": read_alfred(given.alfred, "valid_seen"),
    }

    figures: dict[str, Figure] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, data in splits.items():
        asked = items(data, 0)
        spread = Bootstrap([item.cluster for item in asked], 0)
        each = [judged([model], tokenizer, asked) for model in models]
        together = judged(models, tokenizer, asked)
        rows[split] = [{name: round(float(hit.mean()), 4) for name, hit in one.items()} for one in each]
        for name, hit in together.items():
            means = [float(one[name].mean()) for one in each]
            unit = "share, mean of the models; bounds: least, greatest"
            figures[f"{split}_{name}"] = Figure(float(np.mean(means)), unit, len(means), min(means), max(means))
            figures[f"{split}_{name}_together"] = spread.mean(hit)
        named = np.array([one["object_accuracy"] for one in each])
        figures[f"{split}_object_by_any"] = spread.mean(named.any(axis=0))

    facts = {
        "seeds": given.seeds,
        "steps": given.steps,
        "batch_tokens": given.batch_tokens,
        "device": device_name(given),
    }
    command = f"python benchmarks/planner_seeds.py --alfred DIR --device {given.device}"
    write_results(given.json, make_results(command, 0, figures, {"settings": facts, "models": rows}))
    print({name: figure.text(4) for name, figure in figures.items()})


def device_name(given: argparse.Namespace) -> str:
    """What it ran on."""
    return torch.cuda.get_device_name() if given.device == "cuda" else f"{os.cpu_count()} cores"


if __name__ == "__main__":
    main()
