"""The learned policy: a small tanh network, run by numpy alone from a safetensors file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from rarrl.errors import InputError
from rarrl.files import read_file, sha256, write_bytes_atomic, write_json_atomic
from rarrl.orchestrator.beside import BESIDE_FEATURE_NAMES, N_CHOICES, encode_beside
from rarrl.orchestrator.features import (
    ALL_FEATURE_NAMES,
    FEATURE_NAMES,
    FEATURE_SETS,
    N_ACTIONS,
    NAMELESS_FEATURE_NAMES,
    Situation,
    encode,
    encode_nameless,
)
from rarrl.strict_json import read_json

Floats32 = NDArray[np.float32]
MAX_BYTES = 16_000_000
MODELS = Path(__file__).parent.parent / "models"
_PICKLES = (".zip", ".pkl", ".pickle", ".pt", ".pth")


@dataclass(frozen=True)
class LearnedPolicy:
    """An MLP over `encode(situation)`: tanh hidden layers, then one logit per choice; the largest allowed wins.
    There are five choices, or nine where it thinks beside acting (`rarrl.orchestrator.beside`).

    `weights[i]` (out, in), `biases[i]` (out,) float32. `hidden` (features,) bool: inputs this policy was trained
    without (ablations), set to zero. `allowed` (5,) or (9,) bool: choices it was trained with. `value_weights`,
    `value_biases`: the learner's value head, a network of its own; empty where the file holds none. `nameless`: it
    reads NAMELESS_FEATURE_NAMES; else as many of ALL_FEATURE_NAMES as its first layer has inputs. With nine choices
    BESIDE_FEATURE_NAMES come after them."""

    name: str
    weights: tuple[Floats32, ...]
    biases: tuple[Floats32, ...]
    hidden: NDArray[np.bool_]
    allowed: NDArray[np.bool_]
    value_weights: tuple[Floats32, ...] = ()
    value_biases: tuple[Floats32, ...] = ()
    nameless: bool = False

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of its inputs."""
        if self.thinks_beside:
            return (NAMELESS_FEATURE_NAMES if self.nameless else ALL_FEATURE_NAMES) + BESIDE_FEATURE_NAMES
        return NAMELESS_FEATURE_NAMES if self.nameless else ALL_FEATURE_NAMES[: len(self.hidden)]

    @property
    def thinks_beside(self) -> bool:
        """Whether it has nine choices."""
        return len(self.allowed) == N_CHOICES

    def encode(self, s: Situation) -> Floats32:
        """Its inputs (n, features) in situation `s`, or more of them than it reads."""
        features = encode_nameless(s) if self.nameless else encode(s)
        return with_beside(features, s) if self.thinks_beside else features

    def logits(self, features: Floats32) -> Floats32:
        """(n, 5 or 9) for `features` (n, features). Raises: InputError where there are fewer than in training."""
        return self._run(features, self.weights, self.biases)

    def probabilities(self, features: Floats32, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(n, 5 or 9) with the mask (5 or 9, n): how the policy was divided in training; it takes the most probable."""
        logits = np.where(mask.T & self.allowed, self.logits(features).astype(np.float64), -np.inf)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def value(self, features: Floats32) -> Floats32 | None:
        """(n,) the return that is expected from here; None where the file holds no value head."""
        return self._run(features, self.value_weights, self.value_biases)[:, 0] if self.value_weights else None

    def _run(self, features: Floats32, weights: tuple[Floats32, ...], biases: tuple[Floats32, ...]) -> Floats32:
        width = len(self.hidden)
        if features.shape[1] < width:
            raise InputError(
                f"policy {self.name}: it was trained on recorded answers and needs {width} features, here are "
                f"{features.shape[1]}; use `learned`, or play a recorded profile (`rarrl eval orchestrator --profile`)"
            )
        x = np.where(self.hidden, np.float32(0.0), features[:, :width])
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            x = np.tanh(x @ weight.T + bias)
        return np.asarray(x @ weights[-1].T + biases[-1])

    def act(self, s: Situation, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The most probable allowed choice (n,)."""
        logits = np.where(mask.T & self.allowed, self.logits(self.encode(s)), -np.inf)
        return np.asarray(logits.argmax(axis=1))


def with_beside(features: Floats32, s: Situation) -> Floats32:
    """`features` (n, k) of situation `s`, and those of BESIDE_FEATURE_NAMES after them."""
    nowhere = np.zeros(s.n, dtype=bool)
    can_go_on = nowhere if s.can_go_on is None else s.can_go_on
    thinking = nowhere if s.thinking is None else s.thinking
    return np.hstack([features, encode_beside(can_go_on, thinking, s.steps.seconds, s.mean_s)])


def save_policy(policy: LearnedPolicy, folder: Path, card: dict[str, Any], file: str = "policy.safetensors") -> None:
    """Writes `folder/<file>` and, last, `folder/card.json` with the weights' hash under `files`."""
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "hidden": policy.hidden.astype(np.uint8),
        "allowed": policy.allowed.astype(np.uint8),
    }
    for i, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
        tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"] = weight, bias
    for i, (weight, bias) in enumerate(zip(policy.value_weights, policy.value_biases, strict=True)):
        tensors[f"value{i}.weight"], tensors[f"value{i}.bias"] = weight, bias
    data = save_safetensors(tensors, metadata={"features": json.dumps(policy.feature_names), "name": policy.name})
    write_bytes_atomic(folder / file, data)
    card_path = folder / "card.json"
    files = json.loads(card_path.read_text())["files"] if card_path.exists() else {}
    write_json_atomic(card_path, {**card, "files": {**files, file: sha256(data)}})


def load_learned(path: Path) -> LearnedPolicy:
    """Loads a policy from a folder (its `policy.safetensors`) or a safetensors file.

    A card.json beside the file is held against it: a wrong hash is refused.
    Raises: InputError in one line for a missing, malformed or foreign file, wrong shapes, NaN, or a pickle."""
    if path.suffix in _PICKLES:
        raise InputError(
            f"policy: {path} may hold a pickle, which can run code when it is read; allowed: .safetensors, as "
            "`rarrl train orchestrator` writes them, and `rarrl_learning.orchestrator.from_sb3.save_sb3` for a model "
            "of stable-baselines3"
        )
    file = path / "policy.safetensors" if os.path.isdir(path) else path
    data = read_file(file, "policy", MAX_BYTES)
    _check_hash(file, data)
    try:
        tensors = load_safetensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        features, name = tuple(json.loads(header["features"])), str(header["name"])
    except Exception as error:  # the safetensors reader raises several kinds for one thing: not our file
        raise InputError(
            f"policy: {file} is not a policy saved by rarrl ({type(error).__name__}: {error}); "
            "train one with `rarrl train orchestrator`"
        ) from None
    if features not in FEATURE_SETS.values():
        raise InputError(
            f"policy: {file} was trained on {len(features)} other features than this version's {len(FEATURE_NAMES)}; "
            "train it again with `rarrl train orchestrator`"
        )
    return _build(file, name, tensors, features)


def _check_hash(file: Path, data: bytes) -> None:
    card = file.parent / "card.json"
    if not card.exists():
        return
    value = read_json(card, "policy", "restore it or remove it")
    files = value.get("files") if isinstance(value, dict) else None
    if not isinstance(files, dict):
        raise InputError(f"policy: {card} is not a model card (it has no object files); restore it or remove it")
    expected = files.get(file.name)
    if expected is not None and expected != sha256(data):
        raise InputError(f"policy: {file} does not match the hash in {card}: the file is damaged or was changed")


def _build(file: Path, name: str, tensors: dict[str, Any], features: tuple[str, ...]) -> LearnedPolicy:
    width = len(features)
    layers = sum(key.startswith("layer") and key.endswith(".weight") for key in tensors)
    heads = sum(key.startswith("value") and key.endswith(".weight") for key in tensors)
    choices = N_CHOICES if features[-len(BESIDE_FEATURE_NAMES) :] == BESIDE_FEATURE_NAMES else N_ACTIONS
    stacks = [("layer", layers, choices)] + [("value", heads, 1)] * (heads > 0)
    keys = {f"{stack}{i}.{part}" for stack, n, _ in stacks for i in range(n) for part in ("weight", "bias")}
    wanted = {"hidden", "allowed"} | keys
    if layers < 1 or set(tensors) != wanted:
        raise InputError(f"policy: {file} has the tensors {sorted(tensors)}; allowed: {sorted(wanted)}")
    shapes_ok = tensors["hidden"].shape == (width,) and tensors["allowed"].shape == (choices,)
    for stack, n, outputs in stacks:
        inputs = width
        for i in range(n):
            weight, bias = tensors[f"{stack}{i}.weight"], tensors[f"{stack}{i}.bias"]
            shapes_ok = shapes_ok and weight.ndim == 2 and weight.shape[1] == inputs and bias.shape == weight.shape[:1]
            inputs = weight.shape[0] if weight.ndim == 2 else -1
        shapes_ok = shapes_ok and inputs == outputs
    if not shapes_ok:
        raise InputError(
            f"policy: {file} has layers {[tensors[f'layer{i}.weight'].shape for i in range(layers)]}; allowed: "
            f"(.., {width}) to ({choices}, ..), each fitting the next"
        )
    if not all(tensors[key].dtype == np.float32 and np.isfinite(tensors[key]).all() for key in keys):
        raise InputError(f"policy: {file} has weights that are not finite float32 numbers; the file is damaged")

    def stack_of(stack: str, n: int, part: str) -> tuple[Floats32, ...]:
        return tuple(tensors[f"{stack}{i}.{part}"] for i in range(n))

    return LearnedPolicy(
        name,
        stack_of("layer", layers, "weight"),
        stack_of("layer", layers, "bias"),
        tensors["hidden"].astype(bool),
        tensors["allowed"].astype(bool),
        stack_of("value", heads, "weight"),
        stack_of("value", heads, "bias"),
        nameless=features[: len(NAMELESS_FEATURE_NAMES)] == NAMELESS_FEATURE_NAMES,
    )
