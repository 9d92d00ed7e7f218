"""A policy of when to think that you trained with stable-baselines3, as the file that everything here loads.

SB3's own zip holds pickles, which run code when they are read; what this module writes are numbers alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.orchestrator.features import ALL_FEATURE_NAMES, N_ACTIONS, N_FEATURES, NAMELESS_FEATURE_NAMES
from rarrl.orchestrator.learned import LearnedPolicy, save_policy

from .train import layers_of


def save_sb3(model: Any, folder: Path | str, name: str = "own", nameless: bool = False) -> Path:
    """Writes the network of `model` to `folder`; its path is then a policy wherever one is named: `make_orchestrator`,
    `--policy`, the parameter `policy` of the node.

    A zip of your own, which you trust, is loaded by SB3 first: `save_sb3(MaskablePPO.load("own.zip"), "runs/own")`.

    Args:
        model: PPO, MaskablePPO, A2C or DQN with "MlpPolicy", trained on `rarrl/AlfredReplay-v0`
        folder: made where it is missing
        name: what reports call the policy
        nameless: it was trained on `rarrl/RandomSkills-v0`, whose features know no names of skills

    Returns: the folder.

    Raises: InputError for another network than linear layers with tanh between them (DQN: give
    `policy_kwargs={"activation_fn": torch.nn.Tanh}`), observations that VecNormalize has scaled, or other features and
    actions than the environment's."""
    linear, value = _checked(model, nameless)
    hidden = np.zeros(linear[0].in_features, dtype=np.bool_)
    policy = LearnedPolicy(
        name=name,
        weights=tuple(layer.weight.detach().cpu().numpy().copy() for layer in linear),
        biases=tuple(layer.bias.detach().cpu().numpy().copy() for layer in linear),
        hidden=hidden,
        allowed=np.ones(N_ACTIONS, dtype=np.bool_),
        value_weights=tuple(layer.weight.detach().cpu().numpy().copy() for layer in value),
        value_biases=tuple(layer.bias.detach().cpu().numpy().copy() for layer in value),
        nameless=nameless,
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_policy(policy, folder, {"what": f"{type(model).__name__}, trained outside of rarrl"})
    return folder


def _checked(model: Any, nameless: bool) -> tuple[list[Any], list[Any]]:
    """The linear layers of policy and value head. Raises: InputError where numpy's tanh network is not the same."""
    import torch
    from stable_baselines3.common.torch_layers import FlattenExtractor

    kind = type(model).__name__
    try:
        linear, value = layers_of(model)
    except AttributeError:
        raise InputError(
            f"save_sb3: {kind} has no policy network that this can read; allowed: PPO, MaskablePPO, A2C and DQN with "
            '"MlpPolicy"'
        ) from None

    scaled = model.get_vec_normalize_env()
    if scaled is not None and scaled.norm_obs:
        raise InputError(f"save_sb3: VecNormalize scales what this {kind} sees; allowed: VecNormalize(norm_obs=False)")

    extractor = getattr(model.policy, "q_net", model.policy).features_extractor
    if type(extractor) is not FlattenExtractor:
        raise InputError(
            f"save_sb3: this {kind} sees through a {type(extractor).__name__}; allowed: FlattenExtractor, as in "
            '"MlpPolicy"'
        )

    activation = getattr(model.policy, "activation_fn", None)
    if activation is not torch.nn.Tanh:
        name = getattr(activation, "__name__", activation)
        raise InputError(
            f"save_sb3: the layers of this {kind} have {name} between them; allowed: Tanh. Train it with "
            'policy_kwargs={"activation_fn": torch.nn.Tanh}'
        )

    inputs, outputs = (linear[0].in_features, linear[-1].out_features) if linear else (0, 0)
    if nameless and (inputs, outputs) != (len(NAMELESS_FEATURE_NAMES), N_ACTIONS):
        raise InputError(
            f"save_sb3: this {kind} maps {inputs} numbers to {outputs}; allowed for a nameless one: "
            f"{len(NAMELESS_FEATURE_NAMES)} features to {N_ACTIONS} actions, as of rarrl/RandomSkills-v0"
        )
    if inputs not in (N_FEATURES, len(ALL_FEATURE_NAMES)) or outputs != N_ACTIONS:
        raise InputError(
            f"save_sb3: this {kind} maps {inputs} numbers to {outputs}; allowed: {N_FEATURES} or "
            f"{len(ALL_FEATURE_NAMES)} features to {N_ACTIONS} actions, as of rarrl/AlfredReplay-v0"
        )
    return linear, value
