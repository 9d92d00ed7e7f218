"""Writes a trained policy as a folder for `serve.py`: GGUF for llama.cpp, safetensors for numpy, a card for both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save as save_safetensors

from rarrl.files import read_file, sha256, write_bytes_atomic, write_json_atomic
from rarrl.llama.gguf import write_llama
from rarrl.policy.relevance import FILE as RELEVANCE
from rarrl.policy.relevance import Relevance
from rarrl.policy.serve import CARD, GGUF, OUTER, STUDENTS, outer_shapes

if TYPE_CHECKING:
    from .model import PolicyModel


def export_policy(
    model: PolicyModel, folder: Path, card: dict[str, Any], half: bool = True, relevance: Relevance | None = None
) -> None:
    """Writes the folder; the card last, so that a half-written folder is refused.

    Args:
        card: how it was made; `spec` and `files` are added
        half: the transformer's linear layers as float16, else float32
        relevance: the scorer of patches, where one was trained
    """
    weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    outer = {name: np.ascontiguousarray(weights[name]) for name in outer_shapes(model.spec)}
    _write_transformer(model, folder / GGUF, half)
    write_bytes_atomic(folder / OUTER, save_safetensors(outer))
    files = {name: sha256((folder / name).read_bytes()) for name in (GGUF, OUTER)}
    if relevance is not None:
        files[RELEVANCE] = relevance.save(folder)
    write_json_atomic(folder / CARD, {**card, "spec": model.spec.model_dump(mode="json"), "files": files})


def export_relevance(relevance: Relevance, folder: Path) -> None:
    """Writes a scorer of patches beside a policy, and its hash into the card."""
    card = json.loads(read_file(folder / CARD, "policy"))
    card["files"][RELEVANCE] = relevance.save(folder)
    write_json_atomic(folder / CARD, card)


def export_student(model: PolicyModel, folder: Path, name: str, facts: dict[str, Any]) -> None:
    """Writes the transformer of `model` beside that of the folder's policy, and its hash and `facts` into the card."""
    _write_transformer(model, folder / name, half=True)
    card = json.loads(read_file(folder / CARD, "policy"))
    card[STUDENTS] = {**card.get(STUDENTS, {}), name: facts}
    card["files"][name] = sha256((folder / name).read_bytes())
    write_json_atomic(folder / CARD, card)


def _write_transformer(model: PolicyModel, path: Path, half: bool) -> None:
    kind = np.float16 if half else np.float32
    weights = {name: value.detach().cpu().numpy() for name, value in model.llama.state_dict().items()}
    inner = {name: value.astype(kind) if value.ndim == 2 else value for name, value in weights.items()}
    write_llama(path, model.spec.llama, inner)
