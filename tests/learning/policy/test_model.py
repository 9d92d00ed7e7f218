"""The torch policy: what its parts see, and that the fast forms are the slow ones."""

import pytest
from policy_fixtures import tiny_spec

torch = pytest.importorskip("torch")

from rarrl_learning.policy.model import PRIVILEGED, PolicyModel  # noqa: E402


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
