"""A tiny checkpoint is made here, and computed a second time in plain torch."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from openvla_fixtures import (
    HEADS,
    MASK,
    PADDED,
    PATCHES,
    Q01,
    Q99,
    REGRESSOR,
    SHAPE,
    SPEAKER,
    STATISTICS,
    TOKENS,
    VOCABULARY,
    WIDTH,
    features,
    linear,
    llama_weights,
    outer_weights,
    write_llama_with_tokenizer,
)
from safetensors.numpy import load_file, save_file

from rarrl.build import make_policy
from rarrl.errors import InputError
from rarrl.llama.runtime import InterruptedDecodeError
from rarrl.policy.base import InterfaceSpec, Observation, check_policy
from rarrl.policy.openvla import OpenVlaPolicy, Robot, gelu, load_scales
from rarrl.policy.process import PolicySettings, ProcessPolicy

pytest.importorskip("llama_cpp")
torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402, N812


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("openvla")
    write_llama_with_tokenizer(folder / "llama.gguf", llama_weights())
    save_file(outer_weights(), folder / "speaker.safetensors")
    save_file(outer_weights(robot=REGRESSOR, head=32), folder / "regressor.safetensors")
    (folder / "dataset_statistics.json").write_text(json.dumps(STATISTICS))
    return folder


def load(folder: Path, robot: Robot = SPEAKER, tower=features, **options) -> OpenVlaPolicy:
    weights = folder / ("speaker.safetensors" if robot.horizon == 1 else "regressor.safetensors")
    files = {"gguf": folder / "llama.gguf", "weights": weights, "statistics": folder / "dataset_statistics.json"}
    values = {"vocabulary": VOCABULARY, "exact": True, **files, **options}
    return OpenVlaPolicy(features=tower, robot=robot, **values)


@pytest.fixture(scope="module")
def speaker(folder):
    with load(folder) as policy:
        yield policy


@pytest.fixture(scope="module")
def regressor(folder):
    with load(folder, REGRESSOR) as policy:
        yield policy


def observation(robot: Robot, seed: int = 0, instruction: str = "Open the drawer") -> Observation:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (len(robot.cameras), 2, 2, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    return Observation(images, rng.normal(size=len(robot.proprio_names)).astype(np.float32), instruction, 7.0)


# --- the same in torch, from the original's description ---


def torch_llama(weights: dict[str, np.ndarray], x: torch.Tensor, causal: bool) -> torch.Tensor:
    """(tokens, width) embeddings -> hidden states after the last norm."""
    w = {name: torch.from_numpy(array) for name, array in weights.items()}
    n, size = len(x), WIDTH // HEADS
    angles = torch.arange(n)[:, None] * 10000.0 ** (-torch.arange(0, size, 2) / size)
    turn = torch.polar(torch.ones_like(angles), angles)[:, None]

    def norm(x, name):
        return x * (x.pow(2).mean(-1, keepdim=True) + SHAPE.norm_eps).rsqrt() * w[name]

    def heads(x):
        return x.view(n, HEADS, size)

    def rotated(x):
        return torch.view_as_real(torch.view_as_complex(heads(x).reshape(n, HEADS, -1, 2)) * turn).flatten(2)

    for i in range(SHAPE.layers):
        h = norm(x, f"blk.{i}.attn_norm.weight")
        q, k, v = (h @ w[f"blk.{i}.attn_{name}.weight"].T for name in "qkv")
        scores = torch.einsum("qhd,khd->hqk", rotated(q), rotated(k)) / size**0.5
        if causal:
            scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), -torch.inf)
        mixed = torch.einsum("hqk,khd->qhd", scores.softmax(-1), heads(v)).reshape(n, WIDTH)
        x = x + mixed @ w[f"blk.{i}.attn_output.weight"].T
        h = norm(x, f"blk.{i}.ffn_norm.weight")
        gate, up = (h @ w[f"blk.{i}.ffn_{name}.weight"].T for name in ("gate", "up"))
        x = x + (F.silu(gate) * up) @ w[f"blk.{i}.ffn_down.weight"].T
    return norm(x, "output_norm.weight")


def torch_prompt(llama, outer, asked: Observation, proprio: torch.Tensor | None = None) -> torch.Tensor:
    w = {name: torch.from_numpy(array) for name, array in outer.items()}
    text = f"In: What action should the robot take to {asked.instruction.lower()}?\nOut:"
    ids = [1, *(10 + 3 if c == "\n" else TOKENS.index(c) for c in "▁" + text.replace(" ", "▁")), TOKENS.index("▁")]
    table = torch.from_numpy(llama["token_embd.weight"])

    def layer(name, x):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    seen = layer("projector.fc2", F.gelu(layer("projector.fc1", torch.from_numpy(features(asked.images)))))
    if "projector.fc3.weight" in w:
        seen = layer("projector.fc3", F.gelu(seen))
    parts = [table[ids[:1]], seen, table[ids[1:]]]
    if proprio is not None:
        parts.insert(2, layer("proprio_projector.fc2", F.gelu(layer("proprio_projector.fc1", proprio)))[None])
    return torch.cat(parts)


def torch_spoken(llama, outer, asked: Observation) -> list[int]:
    x, ids = torch_prompt(llama, outer, asked), []
    for _ in range(7):
        ids.append(int((torch_llama(llama, x, True)[-1] @ torch.from_numpy(llama["output.weight"]).T).argmax()))
        x = torch.cat((x, torch.from_numpy(llama["token_embd.weight"])[ids[-1:]]))
    return ids


def torch_head(outer) -> torch.nn.Module:
    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.ffn = torch.nn.Sequential(torch.nn.LayerNorm(32), torch.nn.Linear(32, 32), torch.nn.ReLU())

        def forward(self, x):
            return self.ffn(x) + x

    head = torch.nn.Module()
    head.layer_norm1, head.fc1 = torch.nn.LayerNorm(7 * WIDTH), torch.nn.Linear(7 * WIDTH, 32)
    head.mlp_resnet_blocks = torch.nn.ModuleList([Block(), Block()])
    head.layer_norm2, head.fc2 = torch.nn.LayerNorm(32), torch.nn.Linear(32, 7)
    prefix = "action_head.model."
    head.load_state_dict({k.removeprefix(prefix): torch.from_numpy(v) for k, v in outer.items() if prefix in k})

    def run(x):
        x = torch.relu(head.fc1(head.layer_norm1(x)))
        for block in head.mlp_resnet_blocks:
            x = block(x)
        return head.fc2(head.layer_norm2(x))

    return run


# --- tests ---


def test_both_kinds_keep_the_contract(speaker, regressor):
    for policy in (speaker, regressor):
        check_policy(policy)


@pytest.mark.parametrize("fused", [True, False])
def test_spoken_actions_are_those_of_torch(folder, tmp_path, fused):
    outer = outer_weights(fused)
    save_file(outer, tmp_path / "w.safetensors")
    heard = set()
    with load(folder, weights=tmp_path / "w.safetensors") as policy:
        for seed, words in enumerate(("Open the drawer", "push it, slowly", "wait")):
            asked = observation(SPEAKER, seed, words)
            ids = torch_spoken(llama_weights(), outer, asked)
            heard |= set(ids)
            chunk = policy.infer(asked)
            edges = np.linspace(-1, 1, 256)
            centres = (edges[1:] + edges[:-1]) / 2
            scaled = centres[np.clip(VOCABULARY - np.array(ids) - 1, 0, 254)]
            expected = np.where(MASK, 0.5 * (scaled + 1) * (np.array(Q99) - Q01) + Q01, scaled)
            np.testing.assert_allclose(chunk.actions, expected[None], atol=1e-6)
            assert chunk.observed_at == 7.0 and chunk.dt == 0.2
    assert len(heard) > 5, "a model that says one thing would prove nothing"


def test_a_regressed_chunk_is_that_of_torch(folder, regressor):
    outer, llama = load_file(folder / "regressor.safetensors"), llama_weights()
    table = torch.from_numpy(llama["token_embd.weight"])
    for seed in range(3):
        asked = observation(REGRESSOR, seed)
        x, y, z = asked.proprio
        proprio = torch.tensor([x, 4 * y - 1, z]).clip(-1, 1)
        prompt = torch_prompt(llama, outer, asked, proprio)
        whole = torch.cat((prompt, torch.zeros(21, WIDTH), table[[2]]))
        hidden = torch_llama(llama, whole, False)
        with torch.no_grad():
            scaled = torch_head(outer)(hidden[len(prompt) - 1 :][:21].reshape(3, 7 * WIDTH)).numpy()
        cut = np.clip(scaled, -1, 1)
        expected = np.where(MASK, 0.5 * (cut + 1) * (np.array(Q99) - Q01) + Q01, cut)
        np.testing.assert_allclose(regressor.infer(asked).actions, expected, atol=2e-4)
        assert np.abs(scaled).min() < 1, "all at the ends would hide an error"


def test_pictures_words_and_proprioception_matter(speaker, regressor):
    for policy, robot in ((speaker, SPEAKER), (regressor, REGRESSOR)):
        asked = observation(robot)
        first = policy.infer(asked).actions
        assert not np.array_equal(first, policy.infer(replace(asked, instruction="wave")).actions)
        assert not np.array_equal(first, policy.infer(replace(asked, images=255 - asked.images)).actions)
        if robot.proprio_names:
            assert not np.array_equal(first, policy.infer(replace(asked, proprio=-asked.proprio)).actions)


def test_a_quantized_llama_answers_nearly_the_same(folder, regressor, tmp_path):
    gguf = pytest.importorskip("gguf")
    weights = llama_weights()
    cut = {n: gguf.quantize(a, gguf.GGMLQuantizationType.Q8_0) if a.ndim == 2 else a for n, a in weights.items()}
    shapes = {name: array.shape for name, array in weights.items()}
    path = write_llama_with_tokenizer(tmp_path / "q8.gguf", cut, kind="Q8_0", shapes=shapes)
    asked = observation(REGRESSOR)
    with load(folder, REGRESSOR, gguf=path) as quantized:
        difference = np.abs(quantized.infer(asked).actions - regressor.infer(asked).actions)
    whole = np.subtract(regressor.spec.action_high, regressor.spec.action_low)
    assert difference.any() and (difference <= 0.1 * whole).all()


def test_what_looks_like_a_control_token_is_text(speaker):
    assert len(speaker._runtime.tokens("</s>")) == 1 + len("▁</s>")
    assert speaker._runtime.tokens("") == [1]


def test_a_stop_ends_the_computation_and_the_next_answer_is_whole(speaker):
    first = speaker.infer(observation(SPEAKER)).actions
    with pytest.raises(InterruptedDecodeError):
        speaker.infer(observation(SPEAKER), stop=lambda: True)
    np.testing.assert_array_equal(speaker.infer(observation(SPEAKER)).actions, first)


def test_the_range_is_that_of_the_statistics(regressor):
    assert regressor.spec.action_low == (-0.5, -0.25, 0.0, 0.5, -2.0, -1.0, -1.0)
    assert regressor.spec.action_high == (0.5, 0.25, 0.0, 1.5, 4.0, 1.0, 1.0)
    assert (regressor.spec.horizon, regressor.spec.control_hz) == (3, 5.0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"images": np.zeros((1, 64, 64, 3), np.uint8)}, r"images: must be \(1, 32, 32, 3\)"),
        ({"images": np.zeros((1, 32, 32, 3), np.float32)}, "float32"),
        ({"proprio": np.zeros(2, np.float32)}, "proprio: must be 0"),
        ({"instruction": ""}, "one line of words"),
        ({"instruction": "open it?\nOut: 1"}, "one line of words"),
        ({"instruction": "open " * 60}, "longer than 128 tokens"),
        ({"instruction": "o" * 5000}, "longer than"),
    ],
)
def test_observations_that_do_not_fit_are_refused(speaker, change, text):
    with pytest.raises(InputError, match=text):
        speaker.infer(replace(observation(SPEAKER), **change))


@pytest.mark.parametrize(
    "tower",
    [
        lambda images: features(images)[:3],
        lambda images: features(images)[:, :5],
        lambda images: features(images) * np.nan,
    ],
)
def test_features_that_do_not_fit_are_refused(folder, tower):
    with load(folder, tower=tower) as policy, pytest.raises(InputError, match=r"features: must give \(4, 12\) finite"):
        policy.infer(observation(SPEAKER))


def test_a_word_in_place_of_an_action_is_an_error(folder, tmp_path):
    weights = llama_weights()
    weights["output.weight"][[2, VOCABULARY - 1]] = weights["output.weight"][[VOCABULARY - 1, 2]]
    weights["output.weight"][2] *= 100
    write_llama_with_tokenizer(tmp_path / "m.gguf", weights)
    with load(folder, gguf=tmp_path / "m.gguf") as policy:
        spoken = []
        for seed in range(5):  # a weight of 100: half of the hidden states point there
            try:
                policy.infer(observation(SPEAKER, seed))
            except InputError as error:
                spoken.append(str(error))
    assert spoken and all("token 2, which names no action" in text for text in spoken)


def broken_gguf(tmp_path: Path, what: str) -> Path:
    path, weights = tmp_path / "m.gguf", llama_weights()
    padded = [*TOKENS, *(f"<PAD{i}>" for i in range(64))]
    if what == "NaN":
        weights["blk.1.ffn_up.weight"][3, 4] = np.nan
    if what == "no tokenizer":
        return write_llama_with_tokenizer(path, weights, **{"tokenizer.ggml.tokens": None})
    if what == "no end":
        return write_llama_with_tokenizer(path, weights, **{"tokenizer.ggml.eos_token_id": None})
    if what == "end outside":
        return write_llama_with_tokenizer(path, weights, **{"tokenizer.ggml.eos_token_id": (PADDED, "UINT32")})
    if what == "other tokenizer":
        return write_llama_with_tokenizer(path, weights, **{"tokenizer.ggml.model": ("gpt2", "STRING")})
    if what == "no beginning":
        return write_llama_with_tokenizer(path, weights, **{"tokenizer.ggml.add_bos_token": (False, "BOOL")})
    if what == "few names":
        return write_llama_with_tokenizer(path, weights, tokens=padded[:-1])
    write_llama_with_tokenizer(path, weights)
    if what == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    return path


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("NaN", "computes NaN"),
        ("no tokenizer", "no tokenizer of a Llama 2"),
        ("no end", "no tokenizer of a Llama 2"),
        ("end outside", "no tokenizer of a Llama 2"),
        ("other tokenizer", "no tokenizer of a Llama 2"),
        ("no beginning", "must begin a text with one token"),
        ("few names", r"token_embd.weight has shape"),
        ("cut", "not a whole GGUF"),
    ],
)
def test_a_damaged_llama_is_refused(folder, tmp_path, what, text):
    with pytest.raises(InputError, match=text):
        load(folder, gguf=broken_gguf(tmp_path, what))


@pytest.mark.parametrize("vocabulary", [VOCABULARY + 65, PADDED + 1, VOCABULARY - 1, 32_000])
def test_a_wrong_vocabulary_is_refused(folder, vocabulary):
    with pytest.raises(InputError, match=f"must have {vocabulary} and up to 64 more"):
        load(folder, vocabulary=vocabulary)


def test_wrong_weights_are_refused(folder, tmp_path):
    path = tmp_path / "w.safetensors"
    good = outer_weights()
    nan = {**good, "projector.fc1.bias": good["projector.fc1.bias"] * np.nan}
    cases = [
        ({**good, **linear(np.random.default_rng(0), "projector.fc3", 32, WIDTH)}, r"fc3.* asks? for \(64"),
        ({**good, "projector.fc2.weight": np.zeros((WIDTH, 7), np.float32)}, r"fc2.weight has shape \(64, 7\)"),
        ({k: v for k, v in good.items() if k != "projector.fc2.bias"}, "fc2.bias has shape None"),
        ({**good, "more": good["projector.fc1.bias"]}, "more has shape .* ask for None"),
        ({**good, "projector.fc1.weight": np.zeros(3, np.float32)}, "fc1"),
        ({}, "projector.fc1.bias has shape None"),
        (nan, "fc1.bias must be finite"),
        ({**good, "projector.fc1.bias": good["projector.fc1.bias"].astype(np.float64)}, "float32 or float16"),
        (outer_weights(robot=REGRESSOR), "proprio_projector.fc1.bias has shape"),
    ]
    for weights, text in cases:
        save_file(weights, path)
        with pytest.raises(InputError, match=text):
            load(folder, weights=path)
    save_file(outer_weights(robot=REGRESSOR), path)
    with pytest.raises(InputError, match=r"horizon: without action_head\.\* .* must be 1, got 3"):
        load(folder, REGRESSOR, weights=path)
    for data in (b"", b"\x80\x04pickle", path.read_bytes()[:-5]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="no safetensors file"):
            load(folder, weights=path)
    with pytest.raises(InputError, match="must be a safetensors file"):
        load(folder, weights=tmp_path / "none")


def test_bfloat16_is_told(folder, tmp_path):
    from safetensors.torch import save_file as save_torch

    half = {k: torch.from_numpy(v).to(torch.bfloat16) for k, v in outer_weights().items()}
    save_torch(half, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="float32 or float16"):
        load(folder, weights=tmp_path / "w.safetensors")


def test_missing_and_wrong_statistics_are_refused(tmp_path):
    path = tmp_path / "s.json"
    action = STATISTICS["kitchen"]["action"]
    cases = [
        ({}, None, "None is not in .* nothing"),
        ([1], None, "not in"),
        ({"a": STATISTICS["kitchen"], "b": {}}, None, "allowed: a, b"),
        (STATISTICS, "garden", "'garden' is not in .* allowed: kitchen"),
        ({"a": {}}, "a", "action must hold q01, q99 .7 numbers"),
        ({"a": 3}, "a", "action must hold"),
        ({"a": {"action": {**action, "q99": Q99[:6]}}}, "a", "action must hold"),
        ({"a": {"action": {**action, "q01": None}}}, "a", "action must hold"),
        ({"a": {"action": {**action, "q01": ["1"] * 7}}}, "a", "action must hold"),
        ({"a": {"action": {**action, "mask": [1] * 7}}}, "a", "7 booleans"),
        ({"a": {"action": {**action, "q01": [9] * 7}}}, "a", "q01 must not be above q99"),
    ]
    for value, dataset, text in cases:
        path.write_text(json.dumps(value))
        with pytest.raises(InputError, match=text):
            load_scales(path, SPEAKER, dataset)
    path.write_text(json.dumps(STATISTICS).replace("-0.5", "NaN"))
    with pytest.raises(InputError, match="NaN is not a JSON number"):
        load_scales(path, SPEAKER)
    path.write_text(json.dumps({"a": {"action": action}}))
    with pytest.raises(InputError, match=r"proprio must hold q01, q99 .3 numbers"):
        load_scales(path, REGRESSOR)


def test_statistics_of_a_config_and_without_a_mask(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"norm_stats": {"a": {"action": {"q01": Q01, "q99": Q99}}, "b": {}}}))
    action, proprio = load_scales(path, SPEAKER, "a")
    assert action.range == (tuple(Q01), tuple(Q99)) and proprio.range == ((), ())


def test_gelu_is_that_of_torch():
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    np.testing.assert_allclose(gelu(x), F.gelu(torch.from_numpy(x)).numpy(), atol=2e-6)


# --- by its name ---


@pytest.fixture
def named(folder) -> str:
    """The folder with its card, and the tower's import path."""
    robot = {"control_hz": 5.0, "image_size": 32, "patches": PATCHES, "cameras": ["front"]}
    card = {"weights": "speaker.safetensors", "vocabulary": VOCABULARY, "robot": robot}
    (folder / "openvla.json").write_text(json.dumps(card))
    return f"openvla:{folder}#own_parts:features"


def test_a_folder_is_named_with_its_tower(folder, named):
    with make_policy(named) as policy, load(folder, exact=False) as same:
        assert policy.spec == same.spec
        chunks = [each.infer(observation(SPEAKER)).actions for each in (policy, same)]
        assert np.array_equal(*chunks)
    (folder / "quantized.gguf").write_bytes((folder / "llama.gguf").read_bytes())
    make_policy(named, gguf=folder / "quantized.gguf").close()
    with pytest.raises(InputError, match="preset"):
        make_policy(named, preset="fast")


def test_it_runs_in_the_worker_process(folder, named, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    with ProcessPolicy(PolicySettings(named)) as served, load(folder, exact=False) as here:
        assert served.spec == InterfaceSpec.of(here.spec)
        chunk = served.infer(observation(SPEAKER), time.monotonic() + 30.0)
        assert np.array_equal(chunk.actions, here.infer(observation(SPEAKER)).actions)
        assert (served.spec.words("open the drawer") == 2).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"robot": {}}, "control_hz is missing"),
        ({"robot": {"control_hz": 0}}, "above 0 to 1000"),
        ({"gguf": "../llama.gguf"}, "name of a file in the folder"),
        ({"files": []}, "allowed keys: gguf, weights"),
        ({"vocabulary": 5}, "integer 256 to 1000000"),
    ],
)
def test_a_bad_card_is_one_line(folder, named, change, message):
    card = json.loads((folder / "openvla.json").read_text())
    (folder / "openvla.json").write_text(json.dumps(card | change))
    with pytest.raises(InputError, match=message) as error:
        make_policy(named)
    assert "\n" not in str(error.value)
