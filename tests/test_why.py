"""`rarrl why`: the log, played again, gives the decisions that were made, and what they cost."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from rarrl.build import make_orchestrator
from rarrl.cli import app
from rarrl.config import Config
from rarrl.decision_loop import replay
from rarrl.errors import InputError
from rarrl.events import EventWriter, RunEvent
from rarrl.latency.profile import load_profile
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.learned import LearnedPolicy, load_learned, save_policy
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.registry import load_policy
from rarrl.reasoner.base import Answer, Request
from rarrl.report.runs import read_run
from rarrl.types import Action, CallStatus
from rarrl.why import explain, named, pulls
from rarrl_sim_envs.alfred.make import make_executive
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.beside import BesideExecutive
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.robot.teleport_driver import TeleportDriver

EPISODES = 4


def play(folder: Path, policy: str, shock: bool = False) -> Path:
    settings = Config()
    costs = ReplayTable.from_profile(load_profile(settings.orchestrator.profile)).costs
    orchestrator = Orchestrator(load_policy(policy), costs, settings.orchestrator.cost_weight)
    header = RunEvent(
        policy=policy,
        profile=settings.orchestrator.profile,
        seed=settings.replay.seed,
        speed=1.0,
        date="2026",
        source="in_process",
    )
    with EventWriter(folder, header) as log:
        replay(make_executive(settings, shock=shock), orchestrator, EPISODES, log)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    play(folder / "1", "learned", shock=True)
    play(folder / "2", "after_failure")
    return folder


@pytest.mark.parametrize("folder", ["1", "2"])
def test_every_decision_comes_out_again(runs: Path, folder: str) -> None:
    run = read_run(runs / folder)
    found = explain(run, Config().orchestrator.cost_weight)
    assert [one.recomputed for one in found] == [one.action for one in found]
    assert len(found) == sum(e.end.acts + e.end.calls for e in run.episodes)
    thinks = [one for one in found if one.action]
    assert thinks, "the run must show a call"
    assert sum(one.seconds for one in thinks) == pytest.approx(sum(e.end.llm_seconds for e in run.episodes))
    assert sum(one.tokens for one in thinks) == pytest.approx(sum(e.end.tokens for e in run.episodes))


class Slow:
    """A model whose calls take 3 s and come to nothing."""

    name = "slow"

    def ask(self, request: Request) -> Answer:
        return Answer(request.decision, request.role, request.level, CallStatus.INVALID, 3.0, "slow", 10, 10)

    def close(self) -> None:
        pass


def test_a_run_that_thinks_beside_acting_is_explained(tmp_path: Path) -> None:
    spec = 'interval:{"every": 2, "recipe": "P1", "beside": true}'
    env = HouseholdEnv(stereo=False, people=0)
    executive = BesideExecutive(env, TeleportDriver(), known_goals(8), 60.0, 6000.0)
    header = RunEvent(policy=spec, profile="groq-70b", seed=0, speed=1.0, date="2026", source="in_process")
    with EventWriter(tmp_path, header) as log:
        replay(executive, make_orchestrator(spec, "groq-70b"), range(20, 28), log, reasoner=Slow())
    found = explain(read_run(tmp_path), 0.004)
    beside = [one for one in found if one.beside]
    assert beside and all(one.choice == int(one.action) + 4 and len(one.allowed) == 9 for one in beside)
    assert all(one.seconds == pytest.approx(3.0) for one in beside)
    acts = [one for one in found if one.action is Action.ACT]
    waiting = [one for one in acts if not one.allowed[1:].any()]
    assert waiting and all(one.recomputed == Action.ACT for one in waiting)
    assert [one.recomputed for one in found] == [one.choice for one in found]
    shown = CliRunner().invoke(app, ["why", str(tmp_path), "--episode", str(beside[0].episode)], env={"COLUMNS": "250"})
    assert shown.exit_code == 0 and re.search(r"THINK\(planner, 1\)\s.*\s+beside\s", shown.output)  # it may be wrapped


def test_another_price_comes_out_otherwise(runs: Path) -> None:
    found = explain(read_run(runs / "1"), 1.0)
    assert any(one.recomputed != one.action for one in found)
    thinks = [sum(bool(getattr(one, name)) for one in found) for name in ("recomputed", "action")]
    assert thinks[0] < thinks[1], "a dearer thought is had less often"


def test_probabilities_costs_and_what_always_would_do(runs: Path) -> None:
    found = explain(read_run(runs / "1"), Config().orchestrator.cost_weight)
    costs = ReplayTable.from_profile(load_profile(Config().orchestrator.profile)).costs
    for one in found:
        assert one.probabilities is not None and one.probabilities.sum() == pytest.approx(1.0)
        assert one.probabilities.argmax() == one.action and not one.probabilities[~one.allowed].any()
        assert one.always_seconds == (costs.mean_s[one.always - 1] if one.always else 0.0)
    first = found[0]
    assert first.always is not Action.ACT and named(first)["time_fraction"] == 1.0
    rule = explain(read_run(runs / "2"), 0.004)[0]
    assert rule.probabilities is None and rule.value is None


def test_pulls_by_hand() -> None:
    """A policy of one layer: what a feature pulls is its weight times its distance from the mean."""
    weights = np.zeros((5, 54), np.float32)
    weights[1, 3], weights[2, 5] = 2.0, 1.0
    policy = LearnedPolicy("flat", (weights,), (np.zeros(5, np.float32),), np.zeros(54, bool), np.ones(5, bool))
    features = np.zeros((2, 54), np.float32)
    features[0, 3], features[1, 5] = 1.0, 4.0
    allowed = np.array([1, 1, 0, 0, 0], bool)

    def one(row: int) -> Any:
        return type("One", (), {"features": features[row], "allowed": allowed, "choice": 1})()

    pull = pulls(policy, one(0), [one(0), one(1)])
    assert pull[3] == pytest.approx(2.0 * (1.0 - 0.5)) and not pull[np.arange(54) != 3].any()


def test_a_value_head_is_kept_in_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = [(8, 54), (5, 8)], [(7, 54), (1, 7)]
    stacks = [[rng.normal(size=shape).astype(np.float32) for shape in stack] for stack in shapes]
    biases = [[np.zeros(len(w), np.float32) for w in stack] for stack in stacks]
    parts = (
        tuple(stacks[0]),
        tuple(biases[0]),
        np.zeros(54, bool),
        np.ones(5, bool),
        tuple(stacks[1]),
        tuple(biases[1]),
    )
    policy = LearnedPolicy("valued", *parts)
    save_policy(policy, tmp_path, {})
    x = rng.normal(size=(3, 54)).astype(np.float32)
    expected = np.tanh(x @ stacks[1][0].T) @ stacks[1][1].T
    assert load_learned(tmp_path).value(x) == pytest.approx(expected[:, 0], abs=1e-6)
    assert LearnedPolicy("bare", *parts[:4]).value(x) is None
    broken = LearnedPolicy("valued", *parts[:4], (stacks[1][0], stacks[0][1]), parts[5])
    save_policy(broken, tmp_path / "broken", {})
    with pytest.raises(InputError, match="each fitting the next"):
        load_learned(tmp_path / "broken")


def test_the_command(runs: Path) -> None:
    run = CliRunner().invoke
    listed = run(app, ["why", str(runs), "--policy", "learned"], env={"COLUMNS": "160"})
    assert listed.exit_code == 0 and "always-think would" in listed.output and "come out otherwise" not in listed.output
    assert f"episode 0 of {EPISODES}; --episode N shows another" in listed.output
    (hint,) = [line for line in listed.output.splitlines() if line.startswith("one in detail: rarrl ")]
    assert hint.endswith(" --policy learned")
    printed = run(app, shlex.split(hint.removeprefix("one in detail: rarrl ")), env={"COLUMNS": "160"})
    assert printed.exit_code == 0 and "What spoke for it" in printed.output
    detail = run(app, ["why", str(runs / "1"), "1"], env={"COLUMNS": "160"})
    assert detail.exit_code == 0 and "What spoke for it" in detail.output and "never-think would" in detail.output
    rule = run(app, ["why", str(runs / "2"), "1"])
    assert rule.exit_code == 0 and "What it saw" in rule.output
    for arguments, message in (
        ([str(runs)], "the folder holds the runs of learned, after_failure"),
        ([str(runs / "1"), "99999"], "there is no decision 99999"),
        ([str(runs / "1"), "--episode", "77"], "77 is not in the run"),
        ([str(runs / "3")], "does not exist"),
    ):
        refused = run(app, ["why", *arguments])
        assert refused.exit_code == 2 and message in " ".join(refused.output.split()), refused.output
    otherwise = run(app, ["why", str(runs / "1"), "--cost-weight", "1"])
    assert "decisions come out otherwise now" in otherwise.output
