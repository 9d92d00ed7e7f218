import numpy as np
import pytest
from policy_fixtures import tiny_spec

from rarrl.policy.base import ActionChunk, Observation, check_policy


class Right:
    """Answers by the mean of the picture."""

    spec = tiny_spec()

    def infer(self, observation, stop=None):
        value = np.clip(observation.images.mean() / 255, 0, 1)
        return ActionChunk(np.full((4, 2), value, np.float32), 0.05, observation.observed_at)

    def reset(self):
        pass


class Counting(Right):
    """Remembers how often it was asked."""

    asked = 0

    def infer(self, observation, stop=None):
        self.asked += 1
        return ActionChunk(np.full((4, 2), self.asked / 100, np.float32), 0.05, observation.observed_at)


def wrong(**changes):
    class Wrong(Right):
        def infer(self, observation, stop=None):
            chunk = super().infer(observation)
            return ActionChunk(**{**vars(chunk), **changes})

    return Wrong()


def test_a_right_policy_passes():
    check_policy(Right())


@pytest.mark.parametrize(
    ("policy", "breach"),
    [
        (Counting(), "order of questions"),
        (wrong(actions=np.zeros((3, 2), np.float32)), "shape"),
        (wrong(actions=np.zeros((4, 2))), "float32"),
        (wrong(actions=np.full((4, 2), np.nan, np.float32)), "finite"),
        (wrong(actions=np.full((4, 2), 2.0, np.float32)), "range"),
        (wrong(observed_at=0.0), "time"),
        (wrong(dt=1.0), "dt"),
    ],
)
def test_breaches_are_named(policy, breach):
    with pytest.raises(AssertionError, match=breach):
        check_policy(policy)


def test_observations_are_copied_and_locked():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    observation = Observation(image, np.zeros(2, np.float32), "go left")
    image[:] = 9
    assert observation.images.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        observation.images[0] = 1
