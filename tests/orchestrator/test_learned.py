"""The learned policy: round trip, the same numbers as torch, and files that must be refused in one line."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from rarrl.alfred import SubgoalType as T
from rarrl.alfred import step_views
from rarrl.errors import InputError
from rarrl.files import sha256
from rarrl.orchestrator.features import FEATURE_NAMES, N_FEATURES, History, Situation
from rarrl.orchestrator.learned import MAX_BYTES, MODELS, LearnedPolicy, load_learned, save_policy
from rarrl.types import Budget, StateSummary


def make_policy(seed: int = 0, layers: tuple[int, ...] = (16, 8), **more: Any) -> LearnedPolicy:
    rng, sizes = np.random.default_rng(seed), (N_FEATURES, *layers, 5)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    fields: dict[str, Any] = {
        "name": "learned",
        "weights": tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes),
        "biases": tuple(rng.normal(size=shape[0]).astype(np.float32) for shape in shapes),
        "hidden": np.zeros(N_FEATURES, bool),
        "allowed": np.ones(5, bool),
    }
    return LearnedPolicy(**{**fields, **more})


def features(n: int = 50) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, N_FEATURES)).astype(np.float32)


def test_round_trip(tmp_path: Path) -> None:
    policy = make_policy(hidden=np.arange(N_FEATURES) % 7 == 0, allowed=np.array([1, 1, 0, 1, 0], bool))
    save_policy(policy, tmp_path, {"data": "abc"})
    for path in (tmp_path, tmp_path / "policy.safetensors"):
        loaded = load_learned(path)
        assert loaded.name == policy.name
        assert np.array_equal(loaded.logits(features()), policy.logits(features()))
        assert np.array_equal(loaded.hidden, policy.hidden) and np.array_equal(loaded.allowed, policy.allowed)


def test_one_card_holds_the_hashes_of_all_files(tmp_path: Path) -> None:
    save_policy(make_policy(0), tmp_path, {"data": "old"})
    save_policy(make_policy(1), tmp_path, {"data": "new"}, "seed1.safetensors")
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["data"] == "new"
    assert card["files"] == {
        f: sha256((tmp_path / f).read_bytes()) for f in ("policy.safetensors", "seed1.safetensors")
    }
    load_learned(tmp_path)
    load_learned(tmp_path / "seed1.safetensors")


def test_logits_by_hand() -> None:
    weights = (np.zeros((2, N_FEATURES), np.float32), np.arange(10, dtype=np.float32).reshape(5, 2))
    weights[0][0, 3], weights[0][1, 4] = 2.0, 1.0
    policy = make_policy(weights=weights, biases=(np.array([0.0, 0.5], np.float32), np.ones(5, np.float32)))
    x = np.zeros((1, N_FEATURES), np.float32)
    x[0, 3], x[0, 4] = 0.25, -1.0
    a, b = np.tanh(0.5), np.tanh(-0.5)
    assert policy.logits(x)[0] == pytest.approx([2 * i * a + (2 * i + 1) * b + 1 for i in range(5)], abs=1e-6)


def test_hidden_inputs_do_not_matter_and_forbidden_actions_are_not_taken(make_table: Any) -> None:
    hidden = np.arange(N_FEATURES) < 30
    policy = make_policy(hidden=hidden)
    x, y = features(), features()
    y[:, hidden] = np.nan
    assert np.array_equal(policy.logits(x), policy.logits(y))
    assert not np.array_equal(make_policy().logits(x), policy.logits(x))
    brain = {"weights": (np.zeros((5, N_FEATURES), np.float32),), "biases": (np.arange(5, dtype=np.float32),)}
    summary = StateSummary(step_views((T.PutObject,)), 0, 0, 3)
    s = Situation.single(summary, Budget.full(99.0, 1e6), History(), make_table().costs, 0.01)
    assert make_policy(**brain).act(s, s.action_mask()) == [4]
    assert make_policy(**brain, allowed=np.array([1, 1, 1, 0, 0], bool)).act(s, s.action_mask()) == [2]
    assert make_policy(**brain).act(s, s.action_mask() & np.array([[1], [1], [0], [0], [0]], bool)) == [1]


def test_same_logits_as_torch() -> None:
    torch = pytest.importorskip("torch")
    policy = make_policy(layers=(64, 64))
    modules: list[Any] = []
    for weight, bias in zip(policy.weights, policy.biases, strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data, linear.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
        modules += [linear, torch.nn.Tanh()]
    with torch.no_grad():
        theirs = torch.nn.Sequential(*modules[:-1])(torch.from_numpy(features())).numpy()
    assert policy.logits(features()) == pytest.approx(theirs, abs=1e-5, rel=1e-5)


def test_shipped_policies_load() -> None:
    files = sorted((MODELS / "orchestrator").glob("*.safetensors"))
    if not files:
        pytest.skip("no policy is shipped in this tree: rarrl/models/orchestrator/policy.safetensors")
    for file in files:
        policy = load_learned(file)
        x = np.pad(features(), ((0, 0), (0, len(policy.hidden) - N_FEATURES)))
        assert np.isfinite(policy.logits(x)).all()


# --- files that must be refused ---

Change = Callable[[dict[str, np.ndarray], dict[str, str]], None]


def rewritten(folder: Path, change: Change) -> Path:
    """A file saved by us, with its tensors or metadata changed (and no card that would betray it)."""
    save_policy(make_policy(), folder, {})
    (folder / "card.json").unlink()
    file = folder / "policy.safetensors"
    tensors, metadata = load(file.read_bytes()), {"features": json.dumps(FEATURE_NAMES), "name": "learned"}
    change(tensors, metadata)
    file.write_bytes(save(tensors, metadata=metadata or None))
    return file


def put(name: str, array: np.ndarray) -> Change:
    return lambda tensors, metadata: tensors.__setitem__(name, array)


def nan_weight(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    tensors["layer1.weight"] = tensors["layer1.weight"].copy()
    tensors["layer1.weight"][0, 0] = np.nan


def say(key: str, value: str) -> Change:
    return lambda tensors, metadata: metadata.__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (nan_weight, "not finite float32"),
        (put("layer0.bias", np.full(16, np.inf, np.float32)), "not finite float32"),
        (put("layer0.bias", np.zeros(16)), "not finite float32"),  # float64
        (put("layer0.bias", np.zeros(15, np.float32)), "fitting the next"),
        (put("layer0.weight", np.zeros((16, 5), np.float32)), "fitting the next"),
        (put("layer0.weight", np.zeros(16, np.float32)), "fitting the next"),
        (put("layer2.weight", np.zeros((4, 8), np.float32)), "fitting the next"),
        (put("hidden", np.zeros(3, np.uint8)), "fitting the next"),
        (put("allowed", np.zeros((5, 5), np.uint8)), "fitting the next"),
        (put("layer7.weight", np.zeros((5, 5), np.float32)), "has the tensors"),
        (put("extra", np.zeros(1, np.float32)), "has the tensors"),
        (lambda tensors, metadata: tensors.pop("hidden"), "has the tensors"),
        (lambda tensors, metadata: [tensors.pop(k) for k in list(tensors) if "layer" in k], "has the tensors"),
        (say("features", json.dumps(FEATURE_NAMES[::-1])), "other features"),
        (say("features", json.dumps(FEATURE_NAMES[:-1])), "other features"),
        (say("features", "5"), "not a policy saved by rarrl"),
        (say("features", "{"), "not a policy saved by rarrl"),
        (lambda tensors, metadata: metadata.clear(), "not a policy saved by rarrl"),
        (lambda tensors, metadata: metadata.pop("features"), "not a policy saved by rarrl"),
    ],
)
def test_changed_contents_are_refused(tmp_path: Path, change: Change, message: str) -> None:
    refused(rewritten(tmp_path, change), message)


def refused(path: Path, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_learned(path)
    assert message in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 1000


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 2000, -1])
def test_truncated_files_are_refused(tmp_path: Path, keep: int) -> None:
    file = rewritten(tmp_path, lambda tensors, metadata: None)
    file.write_bytes(file.read_bytes()[:keep])
    refused(file, "not a policy saved by rarrl")


def test_noise_and_a_huge_header_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.safetensors"
    for data in (b"\xff" * 500, b"\x00" * 500, (2**62).to_bytes(8, "little") + b"{}", b"[]", np.arange(99).tobytes()):
        file.write_bytes(data)
        refused(file, "not a policy saved by rarrl")


def test_a_wrong_hash_is_refused_even_where_the_file_is_valid(tmp_path: Path) -> None:
    save_policy(make_policy(0), tmp_path, {})
    other = tmp_path / "other"
    save_policy(make_policy(1), other, {})
    (tmp_path / "policy.safetensors").write_bytes((other / "policy.safetensors").read_bytes())
    refused(tmp_path, "does not match the hash in")


@pytest.mark.parametrize("card", ["", "{", "[]", "3", "{}", '{"files": 3}', '{"files": null}', "\xff"])
def test_a_broken_card_is_named(tmp_path: Path, card: str) -> None:
    save_policy(make_policy(), tmp_path, {})
    (tmp_path / "card.json").write_bytes(card.encode("latin-1"))
    refused(tmp_path, "card.json")


def test_a_card_that_is_a_folder_is_named(tmp_path: Path) -> None:
    save_policy(make_policy(), tmp_path, {})
    (tmp_path / "card.json").unlink()
    (tmp_path / "card.json").mkdir()
    refused(tmp_path, "card.json is a folder")


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "exploded").touch, ())

    for suffix in (".zip", ".pkl", ".pickle", ".pt", ".pth"):
        file = tmp_path / f"model{suffix}"
        file.write_bytes(pickle.dumps(Bomb()))
        refused(file, "may hold a pickle")
    disguised = tmp_path / "model.safetensors"
    disguised.write_bytes(pickle.dumps(Bomb()))
    refused(disguised, "not a policy saved by rarrl")
    with zipfile.ZipFile(disguised, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb()))
    refused(disguised, "not a policy saved by rarrl")
    assert not (tmp_path / "exploded").exists()


def test_missing_files_folders_and_devices(tmp_path: Path) -> None:
    refused(tmp_path / "missing.safetensors", "does not exist")
    refused(tmp_path, "does not exist")  # a folder without a policy
    (tmp_path / "policy.safetensors").mkdir()
    refused(tmp_path, "is a folder")
    refused(tmp_path / ("x" * 300), "cannot be read")
    if Path("/dev/zero").exists():
        refused(Path("/dev/zero"), "not a regular file")


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "policy.safetensors"
    with file.open("wb") as stream:
        stream.truncate(50 * 2**30)  # sparse: takes no room
    refused(file, f"at most {MAX_BYTES} are read")
