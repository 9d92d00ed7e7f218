import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl_learning.policy.demonstrations import load_demonstrations

torch = pytest.importorskip("torch")

from rarrl_learning.policy import train  # noqa: E402
from rarrl_learning.policy.model import PolicyModel  # noqa: E402
from rarrl_learning.policy.train import (  # noqa: E402
    LEAST_SPREAD,
    Batches,
    TrainSettings,
    _action_range,
    fit_policy,
    load_average,
    make_spec,
)

SIZES = {"horizon": 4, "layers": 1, "ffn": 256}
QUICK = {"batch": 8, "warm_up": 5, "save_every": 4, "validation": 0.1}


@pytest.fixture
def data(recorded):
    torch.set_num_threads(1)
    return load_demonstrations([recorded])


def test_the_spec_comes_from_the_data(data):
    spec = make_spec(data, **SIZES)
    assert spec.vocabulary == ("go", "left", "move", "right", "up")
    assert (spec.max_words, spec.image_size, spec.control_hz) == (2 + train.SPARE_WORDS, 32, 20.0)
    assert spec.action_low[0] == -1
    assert spec.action_high[0] == 1
    with pytest.raises(InputError, match="horizon"):
        make_spec(data, horizon=9)


def test_it_learns_what_words_and_picture_mean(data, tmp_path):
    spec = make_spec(data, **SIZES)
    settings = TrainSettings(steps=60, **{**QUICK, "batch": 24}, hold_still=0.0, ema=0.9)
    _, figures = fit_policy(data, spec, tmp_path, settings)
    assert figures["loss"] < 0.45  # 0.64 for the best constant
    assert figures["validation_l1"] < 0.35


def test_an_interrupted_run_goes_on_to_the_same_weights(data, tmp_path, monkeypatch):
    spec, settings = make_spec(data, **SIZES), TrainSettings(steps=10, **QUICK)
    whole, _ = fit_policy(data, spec, tmp_path / "whole", settings)

    draw = Batches.draw

    def interrupted(self, step):
        if step == 9:
            raise KeyboardInterrupt
        return draw(self, step)

    monkeypatch.setattr(Batches, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_policy(data, spec, tmp_path / "parts", settings)
    monkeypatch.setattr(Batches, "draw", draw)
    resumed, _ = fit_policy(data, spec, tmp_path / "parts", settings)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    kept = load_average(tmp_path / "parts" / train.STATE)
    assert torch.equal(kept.head_out.weight, resumed.head_out.weight)


def test_a_checkpoint_of_another_policy_is_refused(data, tmp_path):
    settings = TrainSettings(steps=1, **QUICK)
    fit_policy(data, make_spec(data, **SIZES), tmp_path, settings)
    with pytest.raises(InputError, match="another policy"):
        fit_policy(data, make_spec(data, **{**SIZES, "horizon": 2}), tmp_path, settings)
    (tmp_path / train.STATE).write_bytes(b"damaged")
    with pytest.raises(InputError, match="damaged"):
        fit_policy(data, make_spec(data, **SIZES), tmp_path, settings)


def test_foreign_words_mean_to_hold_still(data):
    spec = make_spec(data, **SIZES)
    batches = Batches(data, spec, TrainSettings(hold_still=1.0, drop_word=0.0, batch=64, validation=0.0), 0)
    words, _, _, actions, _ = batches.draw(0)
    up, still = spec.words("go up"), torch.from_numpy(spec.scale_actions(np.zeros((4, 2))))
    kept = [torch.allclose(chunk, still) for chunk in actions]
    told_up = [word.tolist() == up.tolist() for word in words]
    assert 0 < sum(kept) < 64
    # "go up" belongs to another scene than left and right: whoever was told so moves only in its own scene.
    moving_up = [t and not k for t, k in zip(told_up, kept, strict=True)]
    assert all(abs(float(chunk[0, 0])) < 1e-6 for chunk, moves in zip(actions, moving_up, strict=True) if moves)


def test_weights_of_tasks(data):
    spec = make_spec(data, **SIZES)
    only_up = TrainSettings(hold_still=0.0, drop_word=0.0, weights={"left": 0.0, "right": 0.0})
    words = Batches(data, spec, only_up, 0).draw(0)[0]
    assert {tuple(row.tolist()) for row in words} == {tuple(spec.words("go up").tolist())}
    with pytest.raises(InputError, match="no task"):
        Batches(data, spec, TrainSettings(weights={"down": 1.0}), 0)


def test_a_start_is_held_out_of_every_recording(data):
    batches = Batches(data, make_spec(data, **SIZES), TrainSettings(validation=0.2), 0)
    held = set(data.frames.episode[batches.validation].tolist())
    assert 0 < len(held) < 40
    for rows in batches._by_task:
        assert not held & set(data.frames.episode[rows].tolist())


@pytest.fixture
def wide(data):
    """A model of two blocks that looks at all four patches."""
    torch.manual_seed(0)
    return PolicyModel(make_spec(data, **{**SIZES, "layers": 2})).eval()


def test_the_scorer_of_patches_finds_what_changes_the_actions(data, wide, monkeypatch):
    def shares(model, words, images, proprio):  # as if only one patch mattered, another one for each word
        told = words[:, 1] == model.spec.words("go up")[1]
        return torch.nn.functional.one_hot(torch.where(told, 3, 1), 4).float()

    monkeypatch.setattr(train, "_patch_shares", shares)
    relevance = train.train_relevance(wide, data, frames=60)
    still = np.zeros(2, np.float32)
    assert relevance.best(wide.spec.words("go up"), still, 1).tolist() == [3]
    assert relevance.best(wide.spec.words("go left"), still, 1).tolist() == [1]
    assert relevance.best(wide.spec.words("go left"), still, 4).tolist() == [0, 1, 2, 3]


def test_the_patch_that_looks_different_each_time_weighs_most(wide):
    images = torch.full((6, 1, 3, 32, 32), -0.4)
    images[:, :, :, 17:, 17:] = torch.rand(6, 1, 3, 15, 15) - 0.5  # inside the last patch
    words = torch.from_numpy(np.stack([wide.spec.words("go up")] * 6))
    shares = train._patch_shares(wide, words, images, torch.zeros(6, 2))
    assert torch.allclose(shares.sum(dim=1), torch.ones(6))
    assert int(shares.mean(dim=0).argmax()) == 3


def test_patches_are_drawn_by_relevance_and_chance(data, wide):
    class Second:
        def scores(self, words, proprio):
            return np.tile([0.0, 9.0, 0.0, 0.0], (len(words), 1))

    settings = TrainSettings(**QUICK, patches=(2,))
    batches = Batches(data, wide.spec, settings, 0, Second())
    words, _, proprio, *_ = batches.draw(0)
    kept = batches.patches(0, words, proprio)
    assert kept.shape == (8, 2)
    assert (kept[:, 1] > kept[:, 0]).all()
    assert (kept == 1).any(dim=1).all()
    assert len({tuple(row) for row in kept.tolist()}) > 1
    assert torch.equal(kept, batches.patches(0, words, proprio))
    assert Batches(data, wide.spec, settings, 0).patches(0, words, proprio) is None


@pytest.mark.slow
def test_every_exit_learns_to_act(data, wide, tmp_path):
    settings = TrainSettings(steps=40, **{**QUICK, "batch": 24}, hold_still=0.0, ema=0.9, exits=0.5, patches=(3, 4))
    relevance = train.train_relevance(wide, data, frames=60)
    model, _ = fit_policy(data, wide.spec, tmp_path, settings, start=wide, relevance=relevance)
    words, images, proprio, actions, _ = Batches(data, wide.spec, settings, 0).draw(99)

    def error(policy, block):
        with torch.no_grad():
            return float(
                (policy.act(policy.slots_after(policy.embed(words, images, proprio))[block]) - actions).abs().mean()
            )

    for block in (0, 1):
        assert error(model, block) < 0.8 * error(wide, block)


def test_a_new_run_begins_with_the_weights_it_is_given(data, wide, tmp_path):
    settings = TrainSettings(steps=1, **QUICK, learning_rate=1e-9)
    model, _ = fit_policy(data, wide.spec, tmp_path, settings, start=wide)
    assert torch.allclose(model.head_in.weight, wide.head_in.weight, atol=1e-6)


def test_the_opposite_words_are_heard_often(data):
    spec = make_spec(data, **SIZES)
    batches = Batches(data, spec, TrainSettings(hold_still=1.0, drop_word=0.0, batch=400, validation=0.0), 0)
    words, _, _, actions, _ = batches.draw(0)
    still = torch.from_numpy(spec.scale_actions(np.zeros((4, 2))))
    held = torch.isclose(actions, still).all(dim=2).all(dim=1)
    told_up = (words == torch.from_numpy(spec.words("go up"))).all(dim=1)
    # Of the frames of left and right (two thirds), half hear the opposite, which is a third of all.
    assert 0.3 < float((held & ~told_up).float().mean()) < 0.75


def test_an_action_that_hardly_varies_is_not_blown_up():
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (2000, 3)) * (1.0, 0.5, 0.001) + (0, 0, 0.2)
    low, high = _action_range(actions)
    assert np.allclose(high - low, (2, 1, 2 * LEAST_SPREAD), rtol=0.05)
    assert np.allclose((low + high) / 2, (0, 0, 0.2), atol=0.05)
