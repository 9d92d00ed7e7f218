from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from policy_fixtures import tiny_spec

from rarrl.errors import InputError
from rarrl.policy.base import ActionChunk, InterfaceSpec, Observation, check_policy, checked_words


class Right:
    """Answers by the mean of the picture."""

    spec = tiny_spec()

    def infer(self, observation, stop=None):
        value = np.clip(observation.images.mean() / 255, 0, 1)
        return ActionChunk(np.full((4, 2), value, np.float32), 0.05, observation.observed_at)

    def reset(self):
        pass


@pytest.mark.parametrize(
    ("vocabulary", "said", "known"),
    [
        (("go", "left", "to", "the"), "go xyzzy", True),
        (("go", "left", "to", "the"), "Left!", True),
        (("go", "left", "to", "the"), "xyzzy qwerty", False),
        (("go", "left", "to", "the"), "fly to the moon", False),
        (("to", "the"), "to the moon", True),  # a policy of small words alone
        ((), "xyzzy qwerty", True),  # any word is known
    ],
)
def test_an_instruction_needs_a_word_that_the_policy_knows(vocabulary, said, known):
    spec = replace(InterfaceSpec.of(tiny_spec()), vocabulary=vocabulary, max_words=5)
    if known:
        checked_words(spec, said)
        return
    with pytest.raises(InputError, match=r"knows no word of .*; use words that it knows: go, left$"):
        checked_words(spec, said)


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


BROKEN = [
    ({"horizon": 0}, "horizon must be a whole number of at least 1, got 0"),
    ({"horizon": 2.5}, "horizon must be a whole number of at least 1, got 2.5"),
    ({"image_size": -3}, "image_size must be a whole number of at least 1, got -3"),
    ({"control_hz": -1}, "control_hz must be a finite number above 0, got -1"),
    ({"control_hz": float("nan")}, "control_hz must be a finite number above 0, got nan"),
    ({"proprio_scale": (0.0, 1.0)}, "proprio_scale must be above 0, got 0.0 for x"),
    ({"proprio_mean": (0.0,)}, "proprio_mean must hold 2 numbers, one for each of proprio_names, got 1"),
    ({"proprio_scale": ()}, "proprio_scale must hold 2 numbers, one for each of proprio_names, got 0"),
    ({"proprio_names": "xy"}, "proprio_names must be a tuple of names, got 'xy'"),
    ({"action_low": (0.0,) * 3}, "action_low must hold 2 numbers, one for each of action_names, got 3"),
    ({"action_high": (1.0,)}, "action_high must hold 2 numbers, one for each of action_names, got 1"),
    ({"action_low": (2.0, 0.0)}, "action_low must not be above action_high, got 2.0 and 1.0 for vx"),
    ({"action_names": (), "action_low": (), "action_high": ()}, "action_names must hold at least one name, got none"),
]


@pytest.mark.parametrize(("changes", "message"), BROKEN)
def test_a_spec_that_no_policy_can_keep_is_refused(changes, message):
    right = vars(InterfaceSpec.of(tiny_spec()))
    with pytest.raises(ValueError, match=r"^spec: ") as error:
        InterfaceSpec(**{**right, **changes})
    assert str(error.value) == f"spec: {message}"

    policy = Right()
    policy.spec = SimpleNamespace(**{**right, **changes})  # of a class of its own
    with pytest.raises(AssertionError) as breach:
        check_policy(policy)
    assert str(breach.value) == f"policy: Right: spec: {message}"


def test_a_policy_without_its_methods_or_fields_is_named():
    with pytest.raises(AssertionError, match="policy: SimpleNamespace has no infer, reset; a policy has"):
        check_policy(SimpleNamespace(spec=tiny_spec()))
    with pytest.raises(AssertionError, match="policy: a class; give an object of it"):
        check_policy(Right)

    policy = Right()
    policy.spec = SimpleNamespace(cameras=("top",), image_size=32)
    with pytest.raises(AssertionError, match="spec: a SimpleNamespace has no proprio_names, proprio_mean"):
        check_policy(policy)
