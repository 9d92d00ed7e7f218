"""The peer is the published one by count, and behaves like a detector."""

import itertools
import sys

import numpy as np
import pytest

from rarrl.errors import DependencyMissingError, InputError
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS, GridSpec
from rarrl.types import StereoPair
from rarrl_learning.perception.benchmark import load_peer


@pytest.fixture(scope="module")
def peer():
    pytest.importorskip("torch")
    return load_peer()


def test_parameters_and_multiply_adds_are_the_published_ones(peer):
    """arXiv 2209.08459: 5.41 M parameters, 14.24 G multiply-adds at 400 x 880; within half a percent."""
    assert peer.parameters() == pytest.approx(5.41e6, rel=0.005)
    before = peer.use_threads(1)
    work = peer.multiply_adds()
    peer.use_threads(before)
    assert sum(work.values()) == pytest.approx(14.24e9, rel=0.005)
    assert work["features"] == pytest.approx(2 * 4.82e9, rel=0.005)
    assert work["decoder"] == pytest.approx(0.558e9, rel=0.005)
    assert len(peer.network.planes) == 12
    # A whole plane costs .349 G or a little more; shifted ones lose the columns that only one eye sees.
    assert 0.95 < work["matching"] / (12 * 0.349e9) < 1.02
    assert work == peer.multiply_adds()  # the hooks are gone: nothing is counted twice


SMALL = CameraRig(100.0, 100.0, 64.0, 64.0, 0.2, 128, 128)


def test_it_answers_as_a_detector_does():
    pytest.importorskip("torch")
    from rarrl_learning.perception.stereovoxelnet import StereoVoxelNet

    pair = StereoPair(*np.random.default_rng(0).integers(0, 255, (2, 128, 128), dtype=np.uint8), stamp_s=3.5)
    nets = [StereoVoxelNet(SMALL, PRESETS["indoor"], seed) for seed in (0, 0, 1)]
    grids = [net.detect(pair) for net in nets]
    assert grids[0].state.shape == (64, 64, 64) and grids[0].stamp_s == 3.5 and grids[0].frame == SMALL.frame
    assert not grids[0].free.any()  # it cannot tell free from hidden
    weights = [net.network.features.squeeze[-1].weight.detach().numpy() for net in nets]
    assert (weights[0] == weights[1]).all() and (weights[0] != weights[2]).any()
    np.testing.assert_array_equal(grids[0].probability, grids[1].probability)
    with pytest.raises(ValueError, match="pixels"):
        nets[0].detect(StereoPair(*np.zeros((2, 64, 64), np.uint8)))


def test_only_children_of_occupied_parents_are_kept():
    torch = pytest.importorskip("torch")
    from rarrl_learning.perception.stereovoxelnet import Decoder

    torch.manual_seed(0)
    decoder = Decoder(12, 32, 32).eval()
    with torch.no_grad():
        for tell in decoder.tell:  # about half of the voxels at each level
            tell.weight.normal_()
        levels = decoder(torch.randn(1, 12, 32, 32))
    assert [level.shape[-1] for level in levels] == [8, 16, 32, 64]
    for coarse, fine in itertools.pairwise(levels):
        parents = (coarse >= 0.5)[0, 0].numpy().repeat(2, 0).repeat(2, 1).repeat(2, 2)
        assert not fine[0, 0].numpy()[~parents].any() and parents.any()


def test_a_nearer_scene_shifts_farther():
    pytest.importorskip("torch")
    from rarrl_learning.perception.stereovoxelnet import shifts

    far, near = shifts(SMALL, PRESETS["outdoor"]), shifts(SMALL, PRESETS["indoor"])
    assert far[0] == near[0] == 0 and near == sorted(set(near))
    assert max(near) == int(20 / 0.4 / 4)  # f b 20 px m; the first plane 0.4 m ahead; a quarter of the size
    assert max(far) <= max(near)


@pytest.mark.parametrize(
    ("rig", "spec", "named"),
    [
        (SMALL, GridSpec((0.0, 0.0, 0.0), 0.1, 32), "64"),
        (CameraRig(100.0, 100.0, 32.0, 32.0, 0.2, 64, 64), PRESETS["indoor"], "too small"),
    ],
)
def test_what_it_was_not_made_for_is_refused(rig, spec, named):
    pytest.importorskip("torch")
    from rarrl_learning.perception.stereovoxelnet import StereoVoxelNet

    with pytest.raises(InputError, match=named):
        StereoVoxelNet(rig, spec)


def test_without_torch_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "rarrl_learning.perception.stereovoxelnet", raising=False)
    with pytest.raises(DependencyMissingError, match=r"pip install 'rarrl\[train\]'"):
        load_peer()
