"""The shipped policies decide on ALFRED as they did before steps were described by what they do.

`data/decisions_by_name.json` was written by `record` at a7edb22, the last commit that knew ALFRED's names alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from rarrl.alfred import load_statistics, sample_plans
from rarrl.build import make_orchestrator
from rarrl.config import Config
from rarrl.orchestrator.registry import Fitted, load_policy
from rarrl.types import Action, Budget
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.datasets import TRAINING_PROFILES, load_recordings, load_tables
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeSampler, seeds
from rarrl_sim_envs.alfred.executive import AlfredExecutive
from rarrl_sim_envs.alfred.make import make_executive
from rarrl_sim_envs.alfred.recorded_core import RecordedCore

RECORDED = Path(__file__).parents[1] / "data" / "decisions_by_name.json"
MANY, ROUNDS = 32, 20
SPECS = ("learned", "risk_table", "paced", "threshold")


def _many(spec: str, recorded: bool) -> str:
    """All actions of 48 episodes side by side, as digits."""
    if recorded:
        recordings = load_recordings("household")
        core: AlfredReplayCore = RecordedCore(recordings, MANY)
        sampler = EpisodeSampler(recordings.bank, [recordings.table], TRAINING)
    else:
        plans, tables = list(sample_plans(load_statistics(), 40, 3)), load_tables(TRAINING_PROFILES)
        bank = EpisodeBank.from_plans(plans)
        core, sampler = AlfredReplayCore(bank, tables, MANY), EpisodeSampler(bank, tables, TRAINING)

    policy = load_policy(spec, Fitted.ANSWERS if recorded else Fitted.LATENCIES)
    core.begin(np.arange(MANY), sampler.draw(seeds(5, MANY)))
    digits = []
    for _ in range(ROUNDS):
        situation = core.situation()
        mask = situation.action_mask()
        actions = np.where(core.alive, policy.act(situation, mask), 0)
        digits.append("".join(map(str, actions)))
        core.step(actions, mask)
    return " ".join(digits)


def _alone(profile: str, spec: str) -> str:
    """The actions of one robot at a time, by `Orchestrator.decide`; a blank after each episode."""
    if profile == "household":
        config = Config()
        config = config.model_copy(update={"orchestrator": config.orchestrator.model_copy(update={"profile": profile})})
        executive: AlfredExecutive = make_executive(config)
    else:
        bank = EpisodeBank.from_plans(list(sample_plans(load_statistics(), 40, 3)))
        executive = AlfredExecutive(bank, load_tables([profile])[0], TRAINING)
    brain, episodes = make_orchestrator(spec, profile, 0.004), []
    for number in range(8):
        info = executive.begin(number)
        brain.start(Budget.full(info.time_budget_s, info.token_budget))
        digits = ""
        while not executive.done:
            task = executive.task
            decision = brain.decide(executive.summary, plan=None if task is None else task.status)
            digits += str(int(decision.action))
            if decision.action is Action.ACT:
                attempt = executive.act()
                brain.record_act(attempt.status, attempt.subgoal_done)
            else:
                brain.record_call(executive.think(decision.action))
        episodes.append(digits)
    return " ".join(episodes)


def record() -> dict[str, str]:
    """Everything that is compared."""
    many = {f"{spec} on latencies": _many(spec, False) for spec in SPECS}
    answers = {f"{spec} on answers": _many(spec, True) for spec in ("learned", "household", "confidence")}
    alone = {
        f"{spec} alone, {profile}": _alone(profile, spec)
        for profile, spec in (("groq-70b", "learned"), ("groq-70b", "risk_table"), ("household", "learned"))
    }
    return {**many, **answers, **alone}


def test_decisions_are_those_of_before() -> None:
    expected = json.loads(RECORDED.read_text())
    found = record()
    assert found.keys() == expected.keys()
    assert all(set(digits) - set("0 ") for digits in expected.values())  # somebody thinks in each
    for name, digits in expected.items():
        assert found[name] == digits, name


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(record(), indent=1) + "\n")
