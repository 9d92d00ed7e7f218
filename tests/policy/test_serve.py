import json
from pathlib import Path

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.policy.base import Observation, check_policy
from rarrl.policy.serve import CARD, GGUF, OUTER, LlamaPolicy

from .conftest import tiny_spec

pytest.importorskip("llama_cpp")
torch = pytest.importorskip("torch")


def make_model(**changes):
    from rarrl.policy.model import PolicyModel

    torch.manual_seed(0)
    model = PolicyModel(tiny_spec(**changes)).eval()
    with torch.no_grad():  # a fresh transformer hardly writes into the residual: make it matter
        for linear in model.llama.linears().values():
            linear.weight.mul_(4)
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture
def folder(model, tmp_path: Path) -> Path:
    from rarrl.policy.export import export_policy

    export_policy(model, tmp_path / "policy", {"command": "test"}, half=False)
    return tmp_path / "policy"


def observations(count: int) -> list[Observation]:
    rng = np.random.default_rng(1)
    return [
        Observation(rng.integers(0, 256, (1, 32, 32, 3), np.uint8), rng.normal(size=2).astype(np.float32), text)
        for text, _ in zip(["go left", "go right", "go up now"] * count, range(count), strict=False)
    ]


def test_llama_cpp_computes_what_torch_computes(model):
    from rarrl.policy.parity import parity

    figures = parity(model, observations(8))
    assert figures["parity_f32"].value < 1e-4
    assert figures["parity_f16"].value < 1e-2
    assert figures["parity_f16"].value > 0  # it is not torch that answers


def test_the_actions_depend_on_words_pictures_and_proprioception(folder):
    rng = np.random.default_rng(2)
    image, proprio = rng.integers(0, 256, (1, 32, 32, 3), np.uint8), np.zeros(2, np.float32)
    with LlamaPolicy(folder) as policy:
        base = policy.scaled(Observation(image, proprio, "go left"))
        for other in (
            Observation(image, proprio, "go right"),
            Observation(255 - image, proprio, "go left"),
            Observation(image, proprio + 1, "go left"),
        ):
            assert np.abs(policy.scaled(other) - base).max() > 1e-4


def test_contract(folder):
    with LlamaPolicy(folder) as policy:
        check_policy(policy)


def test_a_kept_prefix_changes_no_bit(folder):
    asked = observations(3)
    same_picture = [Observation(asked[0].images, o.proprio, "go left") for o in asked]
    with LlamaPolicy(folder) as policy:
        kept = [policy.infer(o).actions for o in same_picture]
        for observation, actions in zip(same_picture, kept, strict=True):
            policy.reset()
            assert np.array_equal(policy.infer(observation).actions, actions)


def test_an_interrupted_call_leaves_the_next_one_right(folder):
    from rarrl.llama.runtime import InterruptedDecodeError

    first, second = observations(2)
    with LlamaPolicy(folder) as policy:
        expected = policy.infer(second).actions
        policy.reset()
        with pytest.raises(InterruptedDecodeError):
            policy.infer(first, stop=lambda: True)
        assert np.array_equal(policy.infer(second).actions, expected)


def test_torch_form_of_a_folder(folder, model):
    from rarrl.policy.model import load_model
    from rarrl.policy.parity import torch_scaled

    observation = observations(1)[0]
    assert np.array_equal(torch_scaled(load_model(folder), observation), torch_scaled(model, observation))


def test_the_short_way_through_the_last_block_is_exact(model):
    x = torch.randn(2, sum(model.spec.blocks), model.spec.width)
    with torch.no_grad():
        whole = model.llama(x, model.mask)[:, -model.spec.horizon :]
        assert torch.allclose(model._of_slots(x), whole, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "proprio", "words"),
    [
        (np.zeros((1, 32, 32, 3), np.float32), np.zeros(2), "images"),
        (np.zeros((2, 32, 32, 3), np.uint8), np.zeros(2), "images"),
        (np.zeros((1, 32, 32, 3), np.uint8), np.zeros(3), "proprio"),
        (np.zeros((1, 32, 32, 3), np.uint8), np.array([np.nan, 0]), "proprio"),
    ],
)
def test_observations_that_do_not_fit_are_refused(folder, images, proprio, words):
    with LlamaPolicy(folder) as policy, pytest.raises(InputError, match=words):
        policy.infer(Observation(images, proprio, "go left"))


def _edit_card(folder: Path, **changes) -> None:
    card = json.loads((folder / CARD).read_text())
    card["spec"] |= changes
    (folder / CARD).write_text(json.dumps(card))


def _forget_hashes(folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, "files": {}}))


def _poison(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / OUTER)
    weights["head_out.bias"][0] = np.nan
    save_file(weights, folder / OUTER)
    _forget_hashes(folder)


def _poison_gguf(folder: Path) -> None:
    from rarrl.llama.gguf import read_gguf, write_llama

    gguf = read_gguf(folder / GGUF)
    weights = {name: gguf.values(name) for name in gguf.tensors}
    weights["blk.0.attn_q.weight"][3, 3] = np.inf
    write_llama(folder / GGUF, gguf.shape, weights)
    _forget_hashes(folder)


def _cut(folder: Path, name: str, keep_hash: bool = False) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    if not keep_hash:
        _forget_hashes(folder)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / CARD).unlink(), "does not exist"),
        (lambda f: (f / CARD).write_text("[1]"), "no card"),
        (lambda f: _edit_card(f, width=512), "width|shape"),
        (lambda f: _edit_card(f, layers=3), "layers"),
        (lambda f: _edit_card(f, vocabulary=["go"]), "word.weight"),
        (lambda f: _edit_card(f, proprio_scale=[0, 1]), "proprio_scale"),
        (lambda f: _cut(f, GGUF, keep_hash=True), "hash"),
        (lambda f: _cut(f, OUTER, keep_hash=True), "hash"),
        (lambda f: _cut(f, GGUF), "not a whole GGUF"),
        (lambda f: _cut(f, OUTER), "not a safetensors"),
        (_poison, "head_out.bias must be finite"),
        (_poison_gguf, "attn_q.weight holds NaN or infinity"),
        (lambda f: (f / GGUF).unlink(), "does not exist"),
    ],
)
def test_damaged_folders_are_refused_in_one_line(folder, spoil, words):
    spoil(folder)
    with pytest.raises(InputError, match=words) as caught:
        LlamaPolicy(folder)
    assert "\n" not in str(caught.value)


def test_pickles_are_refused(tmp_path):
    with pytest.raises(InputError, match="pickle"):
        LlamaPolicy(tmp_path / "model.pt")
