"""The torch policy: what its parts see, and that the fast forms are the slow ones."""

import numpy as np
import pytest
from policy_fixtures import tiny_spec

from rarrl.errors import InputError

torch = pytest.importorskip("torch")

from rarrl_learning.policy.model import PRIVILEGED, PolicyModel, adopted  # noqa: E402


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PolicyModel(tiny_spec()).eval()


@pytest.fixture
def inputs(model):
    spec = model.spec
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(0, 5, (2, spec.max_words), generator=generator)
    images = torch.rand((2, 1, 3, spec.image_size, spec.image_size), generator=generator) - 0.5
    proprio = torch.randn((2, len(spec.proprio_names)), generator=generator)
    return words, images, proprio


def test_shapes(model, inputs):
    actions, places = model(*inputs)
    assert actions.shape == (2, model.spec.horizon, 2) and places.shape == (2, PRIVILEGED)
    assert model.embed(*inputs).shape == (2, sum(model.spec.blocks), model.spec.width)


def test_there_is_an_exit_after_every_block_and_the_last_is_the_policy(model, inputs):
    exits = model.slots_after(model.embed(*inputs))
    assert len(exits) == model.spec.layers
    torch.testing.assert_close(model.act(exits[-1]), model(*inputs)[0])


def test_keeping_all_patches_changes_nothing(model, inputs):
    every = torch.arange(model.spec.image_tokens).expand(2, -1)
    torch.testing.assert_close(model.embed(*inputs, patches=every), model.embed(*inputs))


def test_words_and_pictures_do_not_see_the_proprioception(model, inputs):
    """Blocks look back only: so llama.cpp can keep what did not change."""
    words, images, proprio = inputs
    first = sum(model.spec.blocks[:2])
    rotation = model.llama.rotation(sum(model.spec.blocks))
    states = [
        model.llama.blk[0](model.embed(words, images, state), rotation, model.mask) for state in (proprio, proprio + 1)
    ]
    torch.testing.assert_close(states[0][:, :first], states[1][:, :first])
    assert not torch.allclose(states[0][:, first:], states[1][:, first:])


def test_a_policy_for_other_words_and_scales_begins_with_what_another_one_knows(model, inputs):
    _, images, _ = inputs
    proprio = np.array([[0.3, -1.0], [2.0, 0.5]])
    spec = tiny_spec(
        vocabulary=("up", "right", "go"),
        proprio_mean=(-1.0, 0.2),
        proprio_scale=(0.5, 3.0),
        action_low=(-2.0, -2.5),
        action_high=(1.5, 4.0),
    )

    def acted(policy, text):
        of = policy.spec
        words = torch.from_numpy(np.stack(2 * [of.words(text)]))
        with torch.no_grad():
            scaled = policy(words, images, torch.from_numpy(of.scale_proprio(proprio)))[0].numpy()
        low, high = np.array(of.action_low), np.array(of.action_high)
        return low + (scaled + 1) / 2 * (high - low)

    new = adopted(model, spec)
    np.testing.assert_allclose(acted(new, "go right"), acted(model, "go right"), atol=1e-5)
    # A word that is new begins as the unknown one.
    np.testing.assert_allclose(acted(new, "go up"), acted(model, "go up"), atol=1e-5)
    assert np.abs(acted(new, "go up") - acted(new, "go right")).max() > 1e-3

    adopted(model, tiny_spec(max_words=7))
    with pytest.raises(InputError, match="start: that policy has image_size 32, the new one needs 48"):
        adopted(model, tiny_spec(image_size=48))
