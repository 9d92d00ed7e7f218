"""`rarrl sweep orchestrator`: one training for each cell of a grid of seeds, budgets, latency profiles and prices.

A cell depends on its own values alone, so that it comes out the same wherever and whenever it is played. Its folder is
written when it is over, the card last: what has a card is not trained again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rarrl.errors import InputError
from rarrl.files import read_file, sha256, write_bytes_atomic, write_json_atomic
from rarrl.orchestrator.learned import load_learned, save_policy
from rarrl.results import Figure, machine, make_results, versions, write_results
from rarrl_sim_envs.alfred.datasets import TRAINING_PROFILES, holds_answers, load_plans
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeConfig

from ..progress import Progress
from .evaluate import EpisodeSet
from .train import TrainConfig
from .train_alfred import train_orchestrator

ANY = "any"
"""Stands for all budgets, prices or profiles at once, as the shipped policy is trained."""
PLAYED_SEED = 1_000_000
"""Of the plans and episodes that cells are judged on: none that a cell is trained on, and the same for all."""
RESULTS = "sweep.json"
COLUMNS = ("success", "llm_seconds", "calls", "misses")


@dataclass(frozen=True)
class Cell:
    """One training. budget: mean planner-1 calls of its profile. price: points of success that such a call costs.

    None: any. profile: a name, or ANY: those of the shipped training."""

    seed: int
    budget: float | None
    profile: str
    price: float | None
    steps: int

    @property
    def name(self) -> str:
        """Of its folder.

        >>> Cell(0, 6.0, "groq-70b", None, 1000).name
        'seed0_budget6_groq-70b_price-any'
        """
        profile = Path(self.profile).stem
        return f"seed{self.seed}_budget{_word(self.budget)}_{profile}_price{_word(self.price)}"

    @property
    def episodes(self) -> EpisodeConfig:
        """What it is trained on."""
        config = TRAINING
        if self.budget is not None:
            config = replace(config, budget_calls=(self.budget, self.budget))
        return config if self.price is None else replace(config, call_price=(self.price, self.price))

    @property
    def profiles(self) -> tuple[str, ...]:
        """Whose latencies it is trained on."""
        return TRAINING_PROFILES if self.profile == ANY else (self.profile,)


def _word(value: float | None) -> str:
    return f"-{ANY}" if value is None else f"{value:g}"


def grid(
    seeds: Sequence[int],
    budgets: Sequence[float | None],
    profiles: Sequence[str],
    prices: Sequence[float | None],
    steps: int,
) -> list[Cell]:
    """All combinations, seeds last, so that the table has the same cell's seeds together.

    Raises: InputError for a value out of range, a name that is unknown or holds recorded answers, or two alike."""
    for name, values in (("--budgets", budgets), ("--prices", prices)):
        if bad := [value for value in values if value is not None and not (0.0 < value < math.inf)]:
            raise InputError(f"{name}: {bad[0]:g} is not allowed (allowed: greater than 0, or {ANY})")
    for profile in profiles:
        if profile != ANY and holds_answers(profile):
            raise InputError(
                f"--profiles: {profile} has recorded answers; a sweep is on latencies "
                "(`rarrl train orchestrator --profile` trains on answers)"
            )
    cells = [Cell(s, b, p, w, steps) for b, p, w, s in product(budgets, profiles, prices, seeds)]
    names = [cell.name for cell in cells]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"sweep: two cells are {twice[0]}; name each value once")
    return cells


def train_cell(cell: Cell, alfred: str, split: str | None, replicas: int) -> tuple[bytes, dict[str, Any]]:
    """Trains a cell from its beginning, and plays it: the weights, and its card.

    It writes nothing that stays: a cell whose process died is trained again and comes out the same."""
    plans, data = load_plans(Path(alfred) if alfred else None, split)
    with TemporaryDirectory(prefix="rarrl-sweep-") as name:
        folder = Path(name)
        config = TrainConfig(steps=cell.steps, seed=cell.seed)
        policy = train_orchestrator(config, folder / "training", plans, cell.profiles, episodes=cell.episodes)
        save_policy(policy, folder, {})
        weights = (folder / "policy.safetensors").read_bytes()
        learned = load_learned(folder)

    judged = load_plans(None, None, PLAYED_SEED)[0]
    played = EpisodeSet.make(judged, replicas, PLAYED_SEED)
    found: dict[str, list[float]] = {column: [] for column in COLUMNS}
    for profile in cell.profiles:
        result = played.play(learned, profile, replace(cell.episodes, latency_scale=(1.0, 1.0), shock_share=0.0))
        for column, values in zip(COLUMNS, (result.success, result.seconds, result.calls, result.misses), strict=True):
            found[column].append(float(values.mean()))
    row = {column: round(sum(values) / len(values), 6) for column, values in found.items()}
    row["episodes"] = len(played.rows) * len(cell.profiles)
    return weights, {"cell": asdict(cell), "data": data, "row": row, "machine": machine(), "versions": versions()}


def run_sweep(
    cells: Sequence[Cell],
    out: Path,
    pool: Executor | None = None,
    *,
    alfred: Path | None = None,
    split: str | None = None,
    replicas: int = 1,
    command: str = "rarrl sweep orchestrator",
    progress: Progress | None = None,
    one: Callable[[Cell, str, str | None, int], tuple[bytes, dict[str, Any]]] = train_cell,
) -> dict[str, Any]:
    """Trains the cells that have no card in `out` yet; writes and returns the document of all.

    Args:
        out: gets a folder for each cell, and sweep.json
        pool: trains, as `spread.crew` makes it; None: this process
        replicas: how often each plan is played
        one: trains a cell

    Raises: InputError where `out` holds a cell of another sweep."""
    cards = {cell: card for cell in cells if (card := _card(out / cell.name, cell)) is not None}
    todo = [cell for cell in cells if cell not in cards]

    def take(cell: Cell, weights: bytes, card: dict[str, Any]) -> None:
        folder = out / cell.name
        write_bytes_atomic(folder / "policy.safetensors", weights)
        _save_card(folder, weights, {"command": command, **card})
        cards[cell] = card
        if progress is not None:
            progress(len(cards), f"{cell.name}: success {card['row']['success']:.3f}")

    place = "" if alfred is None else str(alfred.absolute())
    if pool is None:
        for cell in todo:
            take(cell, *one(cell, place, split, replicas))
    else:
        futures = {pool.submit(one, cell, place, split, replicas): cell for cell in todo}
        for future in as_completed(futures):
            take(futures[future], *future.result())

    document = make_results(
        command, min(cell.seed for cell in cells), _figures(cells, cards), {"cells": _rows(cells, cards)}
    )
    write_results(out / RESULTS, document)
    return document


def _save_card(folder: Path, weights: bytes, card: Mapping[str, Any]) -> None:
    """Writes the card beside the weights, with their hash: the cell is over."""
    write_json_atomic(folder / "card.json", {**card, "files": {"policy.safetensors": sha256(weights)}})


def _card(folder: Path, cell: Cell) -> dict[str, Any] | None:
    path = folder / "card.json"
    if not path.exists():
        return None
    try:
        card = dict(json.loads(read_file(path, "--out")))
        same = card["cell"] == asdict(cell) and set(card["row"]) >= set(COLUMNS)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"--out: {path} is no card of a sweep ({str(error)[:80]}); remove its folder") from None
    if not same:
        raise InputError(f"--out: {folder} holds a cell of another sweep ({card['cell']}); give another folder")
    return card


def _rows(cells: Sequence[Cell], cards: Mapping[Cell, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": cell.name, **asdict(cell), **cards[cell]["row"]} for cell in cells]


def _figures(cells: Sequence[Cell], cards: Mapping[Cell, Mapping[str, Any]]) -> dict[str, Figure]:
    """Success by budget, profile and price, over seeds; lo and hi: the least and the greatest seed."""
    groups: dict[str, list[float]] = {}
    for cell in cells:
        name = cell.name.split("_", 1)[1]
        groups.setdefault(f"success_{name}", []).append(cards[cell]["row"]["success"])
    return {
        name: Figure(
            sum(found) / len(found),
            "share of tasks; bounds: least and greatest seed",
            len(found),
            min(found),
            max(found),
        )
        for name, found in groups.items()
    }
