"""Training: tiny runs, interruption and resumption, and that what is exported is what was trained."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sb3_contrib")
from safetensors.numpy import load_file

from rarrl.alfred import SubgoalType as T
from rarrl.errors import DependencyMissingError, InputError
from rarrl.orchestrator.features import FEATURE_NAMES, N_FEATURES, NAMELESS_FEATURE_NAMES
from rarrl.orchestrator.learned import load_learned, save_policy
from rarrl_learning.orchestrator import train as training
from rarrl_learning.orchestrator import train_alfred as sim_training
from rarrl_learning.orchestrator import train_nameless
from rarrl_learning.orchestrator.train import VARIANTS, TrainConfig, train
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler
from rarrl_sim_envs.alfred.sb3_vec_env import AlfredReplayVecEnv

N_ENVS, N_STEPS = 16, 16
ROLLOUT = N_ENVS * N_STEPS


@pytest.fixture
def make_env(make_plan: Any, make_table: Any) -> Any:
    plans = [make_plan([(T.GotoLocation, n), (T.PickupObject, 1), (T.PutObject, 1)]) for n in (3, 12)]
    bank = EpisodeBank.from_plans(plans)
    tables = [make_table(np.random.default_rng(0).lognormal(0, 1, (4, 40)))]

    def make(config: TrainConfig, n: int = N_ENVS) -> AlfredReplayVecEnv:
        core = AlfredReplayCore(bank, tables, n, hard=config.hard)
        sampler = EpisodeSampler(bank, tables, EpisodeConfig(budget_calls=(1.0, 6.0), cost_weight=0.01))
        return AlfredReplayVecEnv(core, sampler, config.seed, config.hidden_of(N_FEATURES), config.allowed)

    return make


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The SB3 models that `train` made, as they were when exported."""
    seen, export = [], training._export

    def spy(model: Any, config: TrainConfig) -> Any:
        seen.append(model)
        return export(model, config)

    monkeypatch.setattr(training, "_export", spy)
    return seen


def tiny(steps: int = 4 * ROLLOUT, **more: Any) -> TrainConfig:
    return TrainConfig(steps=steps, n_steps=N_STEPS, batch_size=128, epochs=2, layers=(16, 16), **more)


def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(200, N_FEATURES)).astype(np.float32)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_tiny_run_of_every_variant(make_env: Any, models: Any, tmp_path: Path, variant: str) -> None:
    import torch

    config, reports = tiny(variant=variant), []
    policy = train(make_env(config), config, tmp_path, lambda done, figures: reports.append((done, figures)))
    assert policy.name == ("learned" if variant == "full" else variant)
    assert [done for done, _ in reports] == [ROLLOUT * i for i in (1, 2, 3, 4)]
    assert all(0 <= f["success"] <= 1 and f["llm_seconds"] >= 0 and f["miss_price"] == 0 for _, f in reports)
    hidden = config.hidden_of(N_FEATURES)
    assert np.array_equal(policy.hidden, hidden) and np.array_equal(policy.allowed, config.allowed)
    # The numbers are torch's: same logits, same choices.
    x = np.where(hidden, 0, features()).astype(np.float32)
    masks = (np.random.default_rng(1).random((len(x), 5)) < 0.6) & config.allowed
    masks[:, 0] = True
    with torch.no_grad():
        theirs = models[-1].policy.get_distribution(torch.from_numpy(x)).distribution.logits.numpy()
    ours = policy.logits(features())
    ours = ours - np.log(np.exp(ours).sum(axis=1, keepdims=True))
    assert ours == pytest.approx(theirs, abs=1e-5)
    chosen, _ = models[-1].predict(x, action_masks=masks, deterministic=True)
    assert np.array_equal(chosen, np.where(masks, ours, -np.inf).argmax(axis=1))
    save_policy(policy, tmp_path / "out", {})
    assert np.array_equal(load_learned(tmp_path / "out").logits(x), policy.logits(x))
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_what_each_variant_lacks() -> None:
    def lacks(variant: str) -> tuple[set[str], list[int]]:
        c = TrainConfig(variant=variant)
        names = {
            name.split(".")[0] for name, hidden in zip(FEATURE_NAMES, c.hidden_of(N_FEATURES), strict=True) if hidden
        }
        return names, np.flatnonzero(c.allowed).tolist()

    assert lacks("full") == (set(), [0, 1, 2, 3, 4])
    budget = {"time_fraction", "token_fraction", "calls_by_time", "calls_by_tokens"}
    assert lacks("no_budget") == (budget, [0, 1, 2, 3, 4])
    history, actions = lacks("no_history")
    assert {"last_success", "ema_failure", "last5_failures", "acts_since_think", "planner_in_force"} <= history
    assert not history & {"time_fraction", "progress", "type", "price"} and actions == [0, 1, 2, 3, 4]
    assert lacks("planner_only") == (set(), [0, 1, 2])
    assert lacks("verifier_only") == (set(), [0, 3, 4])
    assert lacks("when2ask") == (set(), [0, 1])


def test_a_tiny_run_without_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_plan: Any) -> None:
    for name in ("ALFRED_ENVS", "RECORDED_ENVS", "SKILLS_ENVS", "PLANNED_ENVS"):
        monkeypatch.setattr(train_nameless, name, 4)
    monkeypatch.setattr(train_nameless, "DRAWN_PLANS", 20)
    plans = [make_plan([(T.GotoLocation, 3), (T.PickupObject, 1)])]
    config, reports = tiny(2 * ROLLOUT, features="nameless"), []
    policy = train_nameless.train_nameless(config, tmp_path, plans, ["groq-70b"], lambda n, now: reports.append(now))
    assert policy.nameless and policy.name == "nameless" and policy.feature_names == NAMELESS_FEATURE_NAMES
    assert len(reports) == 2 and all(0 < now["success"] <= 1 for now in reports)
    save_policy(policy, tmp_path / "out", {})
    again = load_learned(tmp_path / "out")
    x = np.random.default_rng(0).normal(size=(9, len(NAMELESS_FEATURE_NAMES))).astype(np.float32)
    assert again.nameless and np.array_equal(again.logits(x), policy.logits(x))
    blind = TrainConfig(variant="no_plan", features="nameless").hidden_of(len(NAMELESS_FEATURE_NAMES))
    assert NAMELESS_FEATURE_NAMES[blind.argmax()] == "plan.known" and blind.sum() == 16
    with pytest.raises(InputError, match="names or nameless"):
        TrainConfig(features="faceless")


def test_same_seed_same_weights(make_env: Any, tmp_path: Path) -> None:
    runs = [train(make_env(c), c, tmp_path / str(i)) for i, c in enumerate((tiny(), tiny(), tiny(seed=1)))]
    assert np.array_equal(runs[0].weights[0], runs[1].weights[0])
    assert not np.array_equal(runs[0].weights[0], runs[2].weights[0])


class Interrupt:
    """A user who presses Ctrl-C after so many reports."""

    def __init__(self, after: int = 0) -> None:
        self.after, self.steps, self.figures = after, [], []

    def __call__(self, done: int, figures: dict[str, float]) -> None:
        self.steps.append(done)
        self.figures.append(figures)
        if len(self.steps) == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("hard", [False, True])
def test_an_interrupted_run_goes_on_where_it_was(
    make_env: Any, models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard: bool
) -> None:
    config = tiny(steps=6 * ROLLOUT, hard=hard)
    with pytest.raises(KeyboardInterrupt):
        train(make_env(config), config, tmp_path, Interrupt(after=4))
    state = json.loads((tmp_path / "checkpoint.json").read_text())
    saved = load_file(tmp_path / "checkpoint.safetensors")
    assert state["steps_done"] == 4 * ROLLOUT and (state["miss_price"] > 0) == hard
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.json", "checkpoint.safetensors", "tensorboard"]

    resumed, real = [], training._resume

    def spy(model: Any, *rest: Any) -> int:
        done = real(model, *rest)
        policy = {k: v.clone().numpy() for k, v in model.policy.state_dict().items()}
        adam = model.policy.optimizer.state_dict()["state"]
        moments = {f"{i}.{k}": np.asarray(v.clone()) for i, s in adam.items() for k, v in s.items()}
        resumed.append((done, policy, moments, rest[0].miss_price))
        return done

    monkeypatch.setattr(training, "_resume", spy)
    watch = Interrupt()
    policy = train(make_env(config), config, tmp_path, watch)
    done, weights, moments, miss_price = resumed[0]
    assert done == 4 * ROLLOUT and miss_price == state["miss_price"]
    assert weights and all(np.array_equal(v, saved[f"policy.{k}"]) for k, v in weights.items())
    assert moments and all(np.array_equal(v.ravel(), saved[f"adam.{k}"].ravel()) for k, v in moments.items())
    assert watch.steps == [5 * ROLLOUT, 6 * ROLLOUT]
    assert json.loads((tmp_path / "checkpoint.json").read_text())["steps_done"] == 6 * ROLLOUT
    assert models[-1].num_timesteps == 6 * ROLLOUT
    assert models[-1]._current_progress_remaining == pytest.approx(0.0)  # the learning rate ends where it should

    again = train(make_env(config), config, tmp_path, Interrupt(after=1))  # done: not one step more
    assert all(np.array_equal(a, b) for a, b in zip(again.weights, policy.weights, strict=True))


def test_a_checkpoint_of_another_run_is_refused(make_env: Any, tmp_path: Path) -> None:
    config = tiny(steps=ROLLOUT)
    train(make_env(config), config, tmp_path)
    other = tiny(steps=ROLLOUT, seed=1)
    with pytest.raises(InputError, match="another configuration") as error:
        train(make_env(other), other, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["checkpoint.json", "checkpoint.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "noise", "missing"])
def test_a_damaged_checkpoint_is_one_clear_line(make_env: Any, tmp_path: Path, file: str, damage: str) -> None:
    config = tiny(steps=2 * ROLLOUT)
    train(make_env(config), config, tmp_path)
    path = tmp_path / file
    data = path.read_bytes()
    path.write_bytes({"truncated": data[: len(data) // 2], "noise": b"\xff" * 200}.get(damage, b""))
    if damage == "missing":
        path.unlink()
        if file == "checkpoint.json":
            return  # no checkpoint then: the run starts afresh
    with pytest.raises(InputError, match="checkpoint") as error:
        train(make_env(config), config, tmp_path)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_network_is_one_clear_line(make_env: Any, tmp_path: Path) -> None:
    config = tiny(steps=ROLLOUT)
    train(make_env(config), config, tmp_path)
    larger = TrainConfig(**{**vars(config), "layers": (32,)})
    train(make_env(larger), larger, tmp_path / "larger")
    (tmp_path / "checkpoint.safetensors").write_bytes((tmp_path / "larger" / "checkpoint.safetensors").read_bytes())
    with pytest.raises(InputError, match="is damaged") as error:
        train(make_env(config), config, tmp_path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_the_lagrangian_s_price_follows_the_overruns(make_env: Any, tmp_path: Path) -> None:
    config, watch = tiny(hard=True, miss_target=0.02), Interrupt()
    env = make_env(config)
    train(env, config, tmp_path, watch)
    prices = [f["miss_price"] for f in watch.figures] + [env.miss_price]
    for before, after, figures in zip(prices, prices[1:], watch.figures, strict=False):
        assert after == pytest.approx(np.clip(before + figures["misses"] - 0.02, 0.0, 10.0))
    assert prices[0] == 0.0 and prices[-1] > 0.0
    assert not env.statistics.any()  # each report is of its own rollout
    soft = tiny(hard=False)
    env = make_env(soft)
    train(env, soft, tmp_path / "soft")
    assert env.miss_price == 0.0


@pytest.mark.slow
def test_dqn_learns_resumes_and_exports(make_env: Any, models: Any, tmp_path: Path) -> None:
    import torch

    config = TrainConfig(steps=60_000, algorithm="dqn", layers=(16, 16))
    env = make_env(config, 128)
    policy = train(env, config, tmp_path)
    assert policy.name == "dqn" and models[-1]._n_updates > 0 and models[-1].num_timesteps >= 60_000
    # SB3 counts the target network's interval in steps of all environments together.
    assert models[-1].target_update_interval // 128 > 50
    with torch.no_grad():
        theirs = models[-1].q_net(torch.from_numpy(features())).numpy()
    assert policy.logits(features()) == pytest.approx(theirs, abs=1e-5)
    again = train(make_env(config, 128), config, tmp_path)
    assert np.array_equal(again.weights[0], policy.weights[0])


def test_a_tiny_dqn_run(make_env: Any, tmp_path: Path) -> None:
    config = TrainConfig(steps=2000, algorithm="dqn", layers=(8,))
    assert train(make_env(config), config, tmp_path).weights[0].shape == (8, N_FEATURES)
    assert json.loads((tmp_path / "checkpoint.json").read_text())["steps_done"] >= 2000


def test_training_on_the_shipped_profiles(tmp_path: Path, make_plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim_training, "N_ENVS", N_ENVS)
    plan = make_plan([(T.GotoLocation, 12), (T.PutObject, 1)])
    policy = sim_training.train_orchestrator(tiny(variant="no_history"), tmp_path, [plan])
    assert policy.name == "no_history" and policy.hidden.any()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"variant": "no_brain"}, "variant must be one of full, no_budget"),
        ({"algorithm": "sarsa"}, "algorithm must be ppo or dqn, got 'sarsa'"),
        ({"steps": 0}, "steps must be >= 1, got 0"),
    ],
)
def test_bad_configurations(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainConfig(**bad)


def test_without_sb3_the_pip_line_is_given(make_env: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_env(tiny())
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(DependencyMissingError, match=r"pip install 'rarrl\[train\]'"):
        train(env, tiny(), tmp_path)
