"""Trains the orchestrator with Stable-Baselines3: MaskablePPO, or DQN to compare with.

Checkpoints are safetensors and JSON (SB3's own zip holds pickles), so an interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from rarrl.errors import DependencyMissingError, InputError
from rarrl.files import MAX_WEIGHTS_BYTES, read_file, write_bytes_atomic, write_json_atomic
from rarrl.orchestrator.features import (
    ALL_FEATURE_NAMES,
    BUDGET_FEATURES,
    FEATURE_NAMES,
    HISTORY_FEATURES,
    N_ACTIONS,
    NAMELESS_FEATURE_NAMES,
    PLAN_FEATURE_NAMES,
    PLANNER_ACTIONS,
    VERIFIER_ACTIONS,
)
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl.types import Action

logger = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_EVERY_S = 60.0  # seconds: what an interruption costs at most
LEAST_RATE = 0.02  # of the learning rate at the start: it falls linearly with the steps that are left, not below this
MOST_MISS_PRICE = 10.0  # points of success per overrun: the Lagrangian's multiplier does not rise above it
DQN_RATE = 1e-3  # learning rate of DQN at the start
DQN_REPORT_EVERY = 200_000  # environment steps: DQN's rollouts are a single step
# What `TrainConfig.variant` may be.
VARIANTS = ("full", "no_budget", "no_history", "no_plan", "planner_only", "verifier_only", "when2ask")
Progress = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class TrainConfig:
    """One training run. `variant` is one of VARIANTS: ablations take inputs or actions away (`no_plan` those that only
    recorded answers have), `when2ask` is the
    binary asker of arXiv 2306.03604 (ACT or planner 1). `hard` adds a Lagrangian that keeps the share of
    budget overruns per episode under `miss_target`. `features`: "names" (ALFRED's), or "nameless"."""

    steps: int = 20_000_000
    seed: int = 0
    variant: str = "full"
    algorithm: str = "ppo"
    hard: bool = False
    features: str = "names"
    miss_target: float = 0.01
    learning_rate: float = 2e-3
    n_steps: int = 32
    batch_size: int = 8192
    epochs: int = 4
    gamma: float = 1.0
    gae_lambda: float = 0.95
    entropy: float = 0.001
    layers: tuple[int, ...] = field(default=(64, 64))

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise InputError(f"variant must be one of {', '.join(VARIANTS)}, got {self.variant!r}")
        if self.algorithm not in ("ppo", "dqn"):
            raise InputError(f"algorithm must be ppo or dqn, got {self.algorithm!r}")
        if self.features not in ("names", "nameless"):
            raise InputError(f"features must be names or nameless, got {self.features!r}")
        if self.steps < 1:
            raise InputError(f"steps must be >= 1, got {self.steps}")

    def hidden_of(self, width: int) -> NDArray[np.bool_]:
        """(width,) inputs that this variant does not get, where there are `width` features."""
        taken = {
            "no_budget": FEATURE_NAMES[BUDGET_FEATURES],
            "no_history": FEATURE_NAMES[HISTORY_FEATURES],
            "no_plan": ("plan.known", *PLAN_FEATURE_NAMES),
        }.get(self.variant, ())
        names = NAMELESS_FEATURE_NAMES if self.features == "nameless" else ALL_FEATURE_NAMES[:width]
        return np.isin(names, taken)

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """(5,) actions that this variant may take."""
        allowed = np.ones(N_ACTIONS, dtype=bool)
        if self.variant == "planner_only":
            allowed = ~VERIFIER_ACTIONS
        elif self.variant == "verifier_only":
            allowed = ~PLANNER_ACTIONS
        elif self.variant == "when2ask":
            allowed[[Action.PLANNER_2, Action.VERIFIER_1, Action.VERIFIER_2]] = False

        return allowed


class TrainingEnv(Protocol):
    """What training needs of its SB3 VecEnv beyond SB3's own protocol."""

    num_envs: int
    miss_price: float
    statistics: NDArray[np.float64]  # episodes, successes, overruns, LLM seconds since last cleared

    def reset(self) -> Any:
        """Starts a new episode in every environment."""
        ...


def train(
    env: Any,
    config: TrainConfig,
    folder: Path,
    progress: Progress | None = None,
    initial: LearnedPolicy | None = None,
    until: int | None = None,
) -> LearnedPolicy:
    """Trains on `env` (an SB3 VecEnv, see TrainingEnv) and returns the policy for numpy. initial: begins with the
    weights of this one (PPO, the same layers). until: stops after so many steps, while the learning rate falls as for
    all of `config.steps`; None: goes to their end.

    `folder` gets TensorBoard logs and checkpoints; a checkpoint of the same config found there is resumed.
    `progress(steps_done, figures)` is called after every rollout.
    Raises: DependencyMissingError without SB3; InputError for a checkpoint of another config."""
    try:
        import sb3_contrib  # noqa: F401
        import torch
        from stable_baselines3.common.logger import configure
    except ImportError as error:
        raise DependencyMissingError(f"training needs {error.name}: pip install 'rarrl[train]'") from None

    torch.set_num_threads(1)  # two OpenMP threads on two busy cores spin against each other
    model = _make_model(env, config)
    if initial is not None:
        _set_weights(model, initial)

    folder.mkdir(parents=True, exist_ok=True)
    model.set_logger(configure(str(folder / "tensorboard"), ["tensorboard"]))
    done = _resume(model, env, config, folder)
    last = config.steps if until is None else min(until, config.steps)
    if done >= last:
        return _export(model, config)

    try:
        callback = _make_callback(env, config, folder, progress, last)
        model.learn(config.steps - done, callback=callback, reset_num_timesteps=done == 0, log_interval=10)
    finally:
        _save(model, env, config, folder)  # an interrupted run too

    return _export(model, config)


def _make_model(env: Any, config: TrainConfig) -> Any:
    """The SB3 learner: MaskablePPO or DQN, on the CPU."""
    import torch
    from sb3_contrib import MaskablePPO
    from stable_baselines3 import DQN

    common: dict[str, Any] = {
        "gamma": config.gamma,
        "policy_kwargs": {"net_arch": list(config.layers), "activation_fn": torch.nn.Tanh},
        "seed": config.seed,
        "device": "cpu",
    }
    if config.algorithm == "ppo":
        return MaskablePPO(
            "MlpPolicy",
            env,
            learning_rate=lambda remaining: config.learning_rate * max(remaining, LEAST_RATE),
            n_steps=config.n_steps,
            batch_size=min(config.batch_size, config.n_steps * env.num_envs),
            n_epochs=config.epochs,
            gae_lambda=config.gae_lambda,
            ent_coef=config.entropy,
            **common,
        )

    return DQN(
        "MlpPolicy",
        env,
        learning_rate=lambda remaining: DQN_RATE * max(remaining, LEAST_RATE),
        buffer_size=1_000_000,
        learning_starts=50_000,
        batch_size=1024,
        train_freq=1,
        gradient_steps=16,
        target_update_interval=10_000,  # steps: SB3 itself divides by the number of environments
        exploration_fraction=0.3,
        **common,
    )


def _make_callback(env: Any, config: TrainConfig, folder: Path, progress: Progress | None, last: int) -> Any:
    """An SB3 callback that reports episodes, saves checkpoints, moves the Lagrangian's multiplier (`hard`), and stops
    after the step `last`."""
    from stable_baselines3.common.callbacks import BaseCallback

    class TrainingCallback(BaseCallback):
        saved_at = time.monotonic()
        reported_at = 0

        def _on_step(self) -> bool:
            if config.algorithm == "dqn" and self.num_timesteps - self.reported_at > DQN_REPORT_EVERY:
                self._on_rollout_end()
            return last == config.steps or self.num_timesteps <= last

        def _on_rollout_end(self) -> None:
            if config.algorithm == "dqn" and self.num_timesteps - self.reported_at <= DQN_REPORT_EVERY:
                return

            self.reported_at = self.num_timesteps
            episodes, successes, misses, seconds = (float(x) for x in env.statistics)
            if not episodes:
                return

            figures = {
                "success": successes / episodes,
                "llm_seconds": seconds / episodes,
                "misses": misses / episodes,
                "miss_price": env.miss_price,
            }
            for name, value in figures.items():
                self.logger.record(f"episodes/{name}", value)

            if config.hard:  # dual ascent on the overruns per episode
                price = env.miss_price + figures["misses"] - config.miss_target
                env.miss_price = float(np.clip(price, 0.0, MOST_MISS_PRICE))

            env.statistics[:] = 0.0
            if progress is not None:
                progress(self.num_timesteps, figures)

        def _on_rollout_start(self) -> None:
            if time.monotonic() - self.saved_at > CHECKPOINT_EVERY_S:
                _save(self.model, env, config, folder)
                self.saved_at = time.monotonic()

    return TrainingCallback()


def layers_of(model: Any) -> tuple[list[Any], list[Any]]:
    """The linear layers of the policy and of its value head (none for DQN: its outputs are values)."""
    import torch

    if hasattr(model.policy, "q_net"):
        stacks: tuple[list[Any], list[Any]] = (list(model.policy.q_net.q_net), [])
    else:
        extractor = model.policy.mlp_extractor
        stacks = ([*extractor.policy_net, model.policy.action_net], [*extractor.value_net, model.policy.value_net])

    policy, value = ([layer for layer in stack if isinstance(layer, torch.nn.Linear)] for stack in stacks)
    return policy, value


def _set_weights(model: Any, initial: LearnedPolicy) -> None:
    import torch

    stacks = ((initial.weights, initial.biases), (initial.value_weights, initial.value_biases))
    for layers, (weights, biases) in zip(layers_of(model), stacks, strict=True):
        for layer, weight, bias in zip(layers, weights, biases, strict=True):
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))


def _export(model: Any, config: TrainConfig) -> LearnedPolicy:
    linear, value = layers_of(model)
    return LearnedPolicy(
        name=_name(config),
        weights=tuple(layer.weight.detach().numpy().copy() for layer in linear),
        biases=tuple(layer.bias.detach().numpy().copy() for layer in linear),
        hidden=config.hidden_of(linear[0].in_features),
        allowed=config.allowed,
        value_weights=tuple(layer.weight.detach().numpy().copy() for layer in value),
        value_biases=tuple(layer.bias.detach().numpy().copy() for layer in value),
        nameless=config.features == "nameless",
    )


def _name(config: TrainConfig) -> str:
    if config.variant == "full" and config.algorithm == "ppo":
        return "learned" if config.features == "names" else "nameless"
    return config.variant if config.algorithm == "ppo" else config.algorithm


def _save(model: Any, env: TrainingEnv, config: TrainConfig, folder: Path) -> None:
    """Parameters, Adam's moments and the counters; the environments start new episodes on resuming."""
    tensors = {f"policy.{k}": v.detach().numpy().copy() for k, v in model.policy.state_dict().items()}
    for index, state in model.policy.optimizer.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"adam.{index}.{key}"] = np.asarray(value.detach().numpy() if hasattr(value, "detach") else value)
    write_bytes_atomic(folder / CHECKPOINT, save_safetensors({k: np.ascontiguousarray(v) for k, v in tensors.items()}))
    state_now = {"config": _plain(config), "steps_done": int(model.num_timesteps), "miss_price": env.miss_price}
    write_json_atomic(folder / "checkpoint.json", state_now)


def _plain(config: TrainConfig) -> dict[str, Any]:
    return dict(json.loads(json.dumps(asdict(config))))


def _resume(model: Any, env: TrainingEnv, config: TrainConfig, folder: Path) -> int:
    """Loads a checkpoint of the same run into `model`; returns the steps already done."""
    if not (folder / "checkpoint.json").exists():
        return 0

    text = read_file(folder / "checkpoint.json", "checkpoint")
    data = read_file(folder / CHECKPOINT, "checkpoint", MAX_WEIGHTS_BYTES)
    try:
        state = json.loads(text)
        found = state["config"]
        steps_done = int(state["steps_done"])
        miss_price = float(state["miss_price"])
        tensors = load_safetensors(data)
    except Exception as error:  # JSON, a missing key or safetensors: the same to a user
        raise _damaged(folder, error) from None

    if {"features": "names", **found} != _plain(config):  # one of before says nothing of features
        raise InputError(
            f"checkpoint: {folder} holds a run with another configuration ({found}); "
            "give another folder, or remove this one"
        )

    try:
        _load(model, tensors)
    except (RuntimeError, ValueError, KeyError) as error:  # tensors of another network
        raise _damaged(folder, error) from None

    model.num_timesteps = steps_done
    env.miss_price = miss_price
    env.reset()
    logger.info("resumed at step %d", model.num_timesteps)

    return steps_done


def _damaged(folder: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"checkpoint: {folder} is damaged ({type(error).__name__}: {reason}); remove it to start again")


def _load(model: Any, tensors: dict[str, NDArray[Any]]) -> None:
    """Parameters and Adam's moments into `model`."""
    import torch

    policy = {k[7:]: torch.from_numpy(v.copy()) for k, v in tensors.items() if k.startswith("policy.")}
    model.policy.load_state_dict(policy)

    adam: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            adam.setdefault(int(index), {})[name] = torch.from_numpy(value.copy())

    if adam:
        optimizer = model.policy.optimizer.state_dict()
        model.policy.optimizer.load_state_dict({"state": adam, "param_groups": optimizer["param_groups"]})
