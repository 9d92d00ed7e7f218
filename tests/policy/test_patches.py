import numpy as np
import pytest
from policy_fixtures import tiny_spec

from rarrl.policy.patches import PatchEncoder

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module", params=[("a",), ("a", "b")])
def parts(request):
    from rarrl_learning.policy.model import PolicyModel

    torch.manual_seed(0)
    model = PolicyModel(tiny_spec(cameras=request.param, image_size=48)).eval()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    images = np.random.default_rng(0).integers(0, 256, (len(request.param), 48, 48, 3), np.uint8)
    with torch.no_grad():
        scaled = torch.from_numpy(images.astype(np.float32) / 255 - 0.5).permute(0, 3, 1, 2)
        expected = (model.pictures(scaled[None]) - model.place)[0].numpy()
    return PatchEncoder(model.spec, weights), images, expected


def test_the_embeddings_are_those_of_the_torch_model(parts):
    encoder, images, expected = parts
    assert np.allclose(encoder.encode(images, encoder.all_patches), expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_part_of_the_patches_is_a_part_of_the_embeddings(parts, seed):
    encoder, images, expected = parts
    rng = np.random.default_rng(seed)
    patches = np.sort(rng.choice(len(expected), size=rng.integers(1, len(expected)), replace=False))
    assert np.allclose(encoder.encode(images, patches), expected[patches], atol=1e-5)


def test_all_pixels_that_matter_are_named(parts):
    encoder, images, expected = parts
    for patch in range(len(expected)):
        pixels = encoder.pixels(np.array([patch]))[..., None]
        other = np.where(pixels, images, 255 - images)
        assert np.allclose(encoder.encode(other, np.array([patch])), expected[[patch]], atol=1e-5)
        inside = np.where(pixels, 255 - images, images)
        assert not np.allclose(encoder.encode(inside, np.array([patch])), expected[[patch]], atol=1e-3)
        assert 0 < pixels.sum() < pixels.size
