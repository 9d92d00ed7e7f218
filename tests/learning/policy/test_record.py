"""Who acts while demonstrations are recorded, in an environment made by hand."""

import numpy as np

from rarrl_learning.policy.record import STRIDE, NoisyExpert, PolicyAndExpert

HZ = 80.0


class StillEnv:
    """Its expert always does the same."""

    def expert_action(self):
        return np.ones(4, np.float32)

    def distraction(self, number):
        return np.full(4, -float(number), np.float32)


def actions(actor, steps=200):
    return np.array([actor.act(StillEnv(), {"step": i} if i % STRIDE == 0 else None) for i in range(steps)])


def test_the_noisy_expert_is_the_same_for_the_same_seed():
    once, again, other = (actions(NoisyExpert(np.random.default_rng(seed), HZ)) for seed in (3, 3, 4))
    assert np.array_equal(once, again) and not np.array_equal(once, other)


def test_bursts_and_noise_are_around_the_expert():
    every = np.concatenate([actions(NoisyExpert(np.random.default_rng(seed), HZ)) for seed in range(20)])
    near = (np.abs(every - 1.0) < 0.5).all(axis=1)
    assert 0.5 < near.mean() < 0.95  # most of the time as the expert does, sometimes far from it


def test_an_action_that_is_not_to_be_disturbed_is_the_experts_own():
    weights = np.array([1.0, 0.2, 1.0, 0.0])
    every = np.concatenate(
        [actions(NoisyExpert(np.random.default_rng(seed), HZ, disturbed=weights)) for seed in range(10)]
    )
    assert (every[:, 3] == 1).all()
    away = np.abs(every - 1)
    assert away[:, 0].max() > 1.5
    assert 0 < np.percentile(away[:, 1], 60) < np.percentile(away[:, 0], 60)


def test_a_distracted_expert_goes_elsewhere_first():
    found = [actions(NoisyExpert(np.random.default_rng(seed), HZ, distracted=True)) for seed in range(5)]
    assert any((one[0] <= 0).all() and (one[0] == one[0][0]).all() for one in found)
    assert all(np.abs(one[-40:]).max() < 4 for one in found)  # 0.8 s later, the expert acts


def test_policy_and_expert_take_turns():
    asked = []

    def infer(observation):
        asked.append(observation["step"])
        return np.zeros((8, 4), np.float32)

    done = actions(PolicyAndExpert(np.random.default_rng(0), HZ, infer), steps=400)
    by_policy = (done == 0).all(axis=1)
    assert 0.4 < by_policy.mean() < 0.95 and set(np.unique(done)) == {0.0, 1.0}
    assert all(step % STRIDE == 0 for step in asked)  # asked only where an observation was drawn
    assert by_policy.sum() <= STRIDE * len(asked)  # never more rows of a chunk than to the next frame
