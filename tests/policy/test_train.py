import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.policy.demonstrations import load_demonstrations

torch = pytest.importorskip("torch")

from rarrl.policy import train  # noqa: E402
from rarrl.policy.train import Batches, TrainSettings, load_average, make_spec, train_policy  # noqa: E402

SIZES = {"horizon": 4, "layers": 1, "ffn": 256}
QUICK = {"batch": 8, "warm_up": 5, "save_every": 4, "validation": 0.1}


@pytest.fixture
def data(recorded):
    torch.set_num_threads(1)
    return load_demonstrations([recorded])


def test_the_spec_comes_from_the_data(data):
    spec = make_spec(data, **SIZES)
    assert spec.vocabulary == ("go", "left", "move", "right", "up")
    assert (spec.max_words, spec.image_size, spec.control_hz) == (2, 32, 20.0)
    assert spec.action_low[0] == -1
    assert spec.action_high[0] == 1
    with pytest.raises(InputError, match="horizon"):
        make_spec(data, horizon=9)


def test_it_learns_what_words_and_picture_mean(data, tmp_path):
    spec = make_spec(data, **SIZES)
    settings = TrainSettings(steps=60, **{**QUICK, "batch": 24}, hold_still=0.0, ema=0.9)
    _, figures = train_policy(data, spec, tmp_path, settings)
    assert figures["loss"] < 0.45  # 0.64 for the best constant
    assert figures["validation_l1"] < 0.35


def test_an_interrupted_run_goes_on_to_the_same_weights(data, tmp_path, monkeypatch):
    spec, settings = make_spec(data, **SIZES), TrainSettings(steps=10, **QUICK)
    whole, _ = train_policy(data, spec, tmp_path / "whole", settings)

    draw = Batches.draw

    def interrupted(self, step):
        if step == 9:
            raise KeyboardInterrupt
        return draw(self, step)

    monkeypatch.setattr(Batches, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_policy(data, spec, tmp_path / "parts", settings)
    monkeypatch.setattr(Batches, "draw", draw)
    resumed, _ = train_policy(data, spec, tmp_path / "parts", settings)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    kept = load_average(tmp_path / "parts" / train.STATE)
    assert torch.equal(kept.head_out.weight, resumed.head_out.weight)


def test_a_checkpoint_of_another_policy_is_refused(data, tmp_path):
    settings = TrainSettings(steps=1, **QUICK)
    train_policy(data, make_spec(data, **SIZES), tmp_path, settings)
    with pytest.raises(InputError, match="another policy"):
        train_policy(data, make_spec(data, **{**SIZES, "horizon": 2}), tmp_path, settings)
    (tmp_path / train.STATE).write_bytes(b"damaged")
    with pytest.raises(InputError, match="damaged"):
        train_policy(data, make_spec(data, **SIZES), tmp_path, settings)


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
