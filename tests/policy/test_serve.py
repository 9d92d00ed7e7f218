import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from policy_fixtures import tiny_spec

from rarrl.errors import InputError
from rarrl.policy.base import Observation, check_policy
from rarrl.policy.patches import PatchEncoder
from rarrl.policy.preset import Preset
from rarrl.policy.relevance import FILE as RELEVANCE
from rarrl.policy.relevance import load_relevance
from rarrl.policy.serve import CARD, GGUF, OUTER, LlamaPolicy

pytest.importorskip("llama_cpp")
torch = pytest.importorskip("torch")


def make_model(**changes):
    from rarrl_learning.policy.model import PolicyModel

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
    from rarrl_learning.policy.export import export_policy

    export_policy(model, tmp_path / "policy", {"command": "test"}, half=False)
    return tmp_path / "policy"


def observations(count: int) -> list[Observation]:
    rng = np.random.default_rng(1)
    return [
        Observation(rng.integers(0, 256, (1, 32, 32, 3), np.uint8), rng.normal(size=2).astype(np.float32), text)
        for text, _ in zip(["go left", "go right", "go up now"] * count, range(count), strict=False)
    ]


def test_llama_cpp_computes_what_torch_computes(model):
    from rarrl_learning.policy.parity import parity

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
    from rarrl_learning.policy.model import load_model
    from rarrl_learning.policy.parity import torch_scaled

    observation = observations(1)[0]
    assert np.array_equal(torch_scaled(load_model(folder), observation), torch_scaled(model, observation))


def test_the_short_way_through_the_last_block_is_exact(model):
    x = torch.randn(2, sum(model.spec.blocks), model.spec.width)
    with torch.no_grad():
        whole = model.llama(x, model.mask)[:, -model.spec.horizon :]
        assert torch.allclose(model.slots_after(x)[-1], whole, atol=1e-5)


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


@pytest.fixture
def fast_folder(model, tmp_path: Path) -> Path:
    from rarrl.policy.relevance import Relevance, relevance_shapes
    from rarrl_learning.policy.export import export_policy

    rng = np.random.default_rng(3)
    weights = {n: rng.normal(size=s).astype(np.float32) for n, s in relevance_shapes(model.spec).items()}
    export_policy(model, tmp_path / "fast", {}, half=False, relevance=Relevance(model.spec, weights))
    return tmp_path / "fast"


SETTINGS = [{"patches": 1}, {"patches": 3}, {"layers": 1}, {"patches": 2, "layers": 1}]


@pytest.mark.parametrize("setting", SETTINGS)
def test_contract_with_parts_left_out(fast_folder, setting):
    with LlamaPolicy(fast_folder, preset=Preset(**setting)) as policy:
        check_policy(policy)


@pytest.mark.parametrize("setting", SETTINGS)
def test_with_parts_left_out_llama_cpp_computes_what_torch_computes(fast_folder, model, setting):
    spec, preset = model.spec, Preset(**setting)
    relevance = load_relevance(fast_folder, spec)
    with LlamaPolicy(fast_folder, exact=True, preset=preset) as policy:
        for observation in observations(4):
            words, own = spec.words(observation.instruction), spec.scale_proprio(observation.proprio)
            kept = relevance.best(words, own, preset.patches or spec.image_tokens)
            assert kept.tolist() == sorted(set(kept.tolist()))
            images = torch.from_numpy(observation.images.astype(np.float32) / 255 - 0.5).permute(0, 3, 1, 2)
            with torch.no_grad():
                x = model.embed(
                    torch.from_numpy(words)[None],
                    images[None],
                    torch.from_numpy(own)[None],
                    torch.from_numpy(kept)[None],
                )
                expected = model.act(model.slots_after(x)[(preset.layers or spec.layers) - 1])[0].numpy()
            assert np.abs(policy.scaled(observation) - expected).max() < 1e-4


def test_a_transformer_of_fewer_blocks_serves_a_preset_alone(fast_folder, model):
    from rarrl_learning.policy.export import export_student
    from rarrl_learning.policy.student import student_of

    first = student_of(model, 1)
    export_student(first, fast_folder, "student.gguf", {"command": "test"})
    observation = observations(1)[0]
    with (
        LlamaPolicy(fast_folder, preset=Preset(gguf="student.gguf")) as student,
        LlamaPolicy(fast_folder, preset=Preset(layers=1)) as early,
    ):
        # It has not learned yet: it is the first block, as an early exit is, but for float16.
        assert np.abs(student.scaled(observation) - early.scaled(observation)).max() < 1e-2
    with pytest.raises(InputError, match=r"student\.gguf has 1, got 2; allowed: 1 to 1"):
        LlamaPolicy(fast_folder, preset=Preset(layers=2, gguf="student.gguf"))
    with pytest.raises(InputError, match="has layers 1, the card asks for 2"):
        LlamaPolicy(fast_folder, gguf=fast_folder / "student.gguf")
    with (fast_folder / "student.gguf").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match="does not match the hash"):
        LlamaPolicy(fast_folder, preset=Preset(gguf="student.gguf"))


@pytest.mark.parametrize("setting", [{"layers": 1}, {"layers": 1, "patches": 2}])
def test_one_block_by_numpy_is_the_same_as_by_llama_cpp(fast_folder, setting):
    preset = Preset(**setting)
    with (
        LlamaPolicy(fast_folder, preset=preset) as ours,
        LlamaPolicy(fast_folder, preset=preset, exact=True, numpy_block=False) as theirs,
    ):
        assert type(ours._runtime) is not type(theirs._runtime)
        for observation in observations(5):
            expected = theirs.scaled(observation)
            assert np.allclose(ours.scaled(observation), expected, atol=1e-4)
            assert np.abs(expected).max() > 1e-2


def test_all_patches_named_one_by_one_are_the_whole(fast_folder):
    whole = Preset(patches=4, layers=2)
    with LlamaPolicy(fast_folder) as policy, LlamaPolicy(fast_folder, preset=whole) as same:
        for observation in observations(3):
            assert np.array_equal(policy.infer(observation).actions, same.infer(observation).actions)


@pytest.mark.parametrize("setting", [{}, {"patches": 2}])
def test_pictures_that_did_not_change_are_not_computed_again(fast_folder, setting, monkeypatch):
    encode, counted = PatchEncoder.encode, []
    monkeypatch.setattr(PatchEncoder, "encode", lambda *args: counted.append(1) or encode(*args))
    first = observations(1)[0]
    with LlamaPolicy(fast_folder, preset=Preset(**setting)) as policy:
        before = policy.scaled(first)
        assert np.array_equal(policy.scaled(first), before)
        assert len(counted) == 1
        policy.reset()
        assert np.array_equal(policy.scaled(first), before)
        assert len(counted) == 2
        changed = Observation(255 - first.images, first.proprio, first.instruction)
        assert not np.array_equal(policy.scaled(changed), before)
        assert np.array_equal(policy.scaled(first), before)


def test_a_pixel_counts_where_a_kept_patch_sees_it(fast_folder):
    first = observations(1)[0]
    with LlamaPolicy(fast_folder, preset=Preset(patches=1)) as policy:
        before = policy.scaled(first)
        seen = policy._encoder.pixels(policy._seen)
        for inside in (False, True):
            camera, y, x = np.argwhere(seen == inside)[0]
            images = first.images.copy()
            images[camera, y, x] = 255 - images[camera, y, x]
            after = policy.scaled(Observation(images, first.proprio, first.instruction))
            assert np.array_equal(after, before) != inside


def test_an_interrupted_call_forgets_no_pictures(fast_folder):
    from rarrl.llama.runtime import InterruptedDecodeError

    first = observations(1)[0]
    for calls in range(1, 60, 7):
        left = iter([False] * calls)
        with LlamaPolicy(fast_folder) as policy:
            expected = policy.infer(first).actions
            policy.reset()
            with suppress(InterruptedDecodeError):
                policy.infer(first, stop=lambda left=left: next(left, True))
            assert np.array_equal(policy.infer(first).actions, expected)


def _rewrite_relevance(folder: Path, change) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / RELEVANCE)
    change(weights)
    save_file(weights, folder / RELEVANCE)
    _forget_hashes(folder)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / RELEVANCE).unlink(), "does not exist"),
        (lambda f: _cut(f, RELEVANCE, keep_hash=True), "hash"),
        (lambda f: _cut(f, RELEVANCE), "not a safetensors"),
        (lambda f: _rewrite_relevance(f, lambda w: w.pop("out.bias")), "another policy"),
        (lambda f: _rewrite_relevance(f, lambda w: w["out.bias"].fill(np.nan)), "out.bias must be finite"),
    ],
)
def test_a_damaged_scorer_is_refused_in_one_line(fast_folder, spoil, words):
    spoil(fast_folder)
    LlamaPolicy(fast_folder).close()  # the whole does not need it
    with pytest.raises(InputError, match=words) as caught:
        LlamaPolicy(fast_folder, preset=Preset(patches=2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", [{"patches": 5}, {"layers": 3}, {"gguf": "none.gguf"}])
def test_a_preset_that_does_not_fit_is_refused(fast_folder, setting):
    with pytest.raises(InputError, match="does not exist" if "gguf" in setting else next(iter(setting))):
        LlamaPolicy(fast_folder, preset=Preset(**setting))
