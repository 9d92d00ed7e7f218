"""The files that come with rarrl."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .finding import Check, Status

MODELS = (
    "classical-detector",
    "fast-detector",
    "goal_reader",
    "orchestrator",
    "planner",
    "policy_household",
    "policy_libero_goal",
    "policy_libero_object",
    "policy_libero_spatial",
    "policy_metaworld",
    "policy_tabletop",
)
"""Folders of models that come with rarrl."""


def check_shipped(package_dir: Path, models: Sequence[str] = MODELS) -> Check:
    """Checks the files that come with rarrl: latency profiles, ALFRED's statistics, and the models by their hashes."""
    profiles = sorted((package_dir / "data" / "profiles").glob("*.json"))
    bad = [] if profiles else ["latency profiles are missing"]
    bad += [f"{path.name} is damaged" for path in profiles if _read_json(path) is None]

    statistics = package_dir / "data" / "alfred_statistics.json"
    if _read_json(statistics) is None:
        bad.append("ALFRED's statistics are " + ("damaged" if statistics.exists() else "missing"))

    for name in models:
        bad += faults_of(package_dir / "models" / name)

    if bad:
        return Check("shipped files", Status.FAIL, "; ".join(bad), "install rarrl again, from a full clone")
    return Check(
        "shipped files", Status.OK, f"{len(profiles)} latency profiles, {len(models)} models, ALFRED's statistics"
    )


def faults_of(model: Path) -> list[str]:
    """What is wrong with a model's folder, by the hashes that its cards name; [] if it is whole."""
    card = _read_json(model / "card.json")
    if card is None:
        return [f"the card of {model.name} is " + ("damaged" if (model / "card.json").exists() else "missing")]

    hashes = {**card.get("files", {}), **(_read_json(model / "quantized.json") or {}).get("files", {})}
    if not hashes and "weights" not in card:  # some hold their few weights in the card
        return [f"the card of {model.name} names no weights"]

    faults = []
    for name, expected in sorted(hashes.items()):
        if isinstance(expected, dict):  # with the figures of a quantization
            expected = expected.get("sha256")
        try:
            data = (model / name).read_bytes()
        except OSError:
            faults.append(f"{model.name}/{name} is missing")
            continue
        if hashlib.sha256(data).hexdigest() != expected:
            faults.append(f"{model.name}/{name} is damaged ({len(data)} bytes, another hash than its card's)")
    return faults


def _read_json(path: Path) -> dict[str, Any] | None:
    """Returns the object in a JSON file, None where there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
