import numpy as np
import pytest

from rarrl.orchestrator.features import N_ACTIONS, NAMELESS_FEATURE_NAMES
from rarrl_learning.skills.train import Sample, chosen, fit, left_out, tasks
from rarrl_sim_envs.pyrobosim.missions import TEST_SEEDS, VAGUE_TEST

pytest.importorskip("torch")
UNKNOWN = NAMELESS_FEATURE_NAMES.index("unknown_words")


def sample(name: str, unknown: float, gain: float) -> Sample:
    """A mission in which asking level 1 gains something, or loses it."""
    start = np.zeros(len(NAMELESS_FEATURE_NAMES), np.float32)
    start[UNKNOWN] = unknown
    worth = np.full(N_ACTIONS, -np.inf)
    worth[:3] = 0.0, gain, gain - 0.1
    return Sample(name, start, start[None] * 0.0, worth)


SAMPLES = [sample(f"clear {i}", 0.1 * i, -0.5) for i in range(4)] + [sample(f"vague {i}", 2 + i, 0.5) for i in range(4)]


def test_it_learns_when_to_ask_and_never_asks_the_verifier() -> None:
    policy = fit(SAMPLES)
    assert chosen(policy, SAMPLES).tolist() == [0] * 4 + [1] * 4
    assert policy.nameless and policy.allowed.tolist() == [True, True, True, False, False]


def test_what_was_left_out_is_judged_by_others() -> None:
    found = left_out(SAMPLES)
    assert found["best"] == 0.25 and found["ACT"] == 0.0
    assert found["learned"] > max(found["ACT"], found["PLANNER_1"])


def test_no_training_mission_is_a_test_mission() -> None:
    test = {sentence for goals in VAGUE_TEST.values() for said in goals.values() for sentence in said}
    assert all(task.seed not in TEST_SEEDS and task.instruction not in test for task in tasks(1))
