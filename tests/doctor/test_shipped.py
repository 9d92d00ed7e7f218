"""Files that come with rarrl, whole and not."""

import hashlib
import json

import pytest

from rarrl.doctor import core, shipped


@pytest.fixture
def package(tmp_path):
    """A package's data with one model of two files, each named by a card."""
    for name in ("data/profiles/p.json", "data/alfred_statistics.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    model = tmp_path / "models" / "m"
    model.mkdir(parents=True)
    (model / "a.safetensors").write_bytes(b"weights")
    (model / "b.gguf").write_bytes(b"fewer bits")
    digest = {name: hashlib.sha256((model / name).read_bytes()).hexdigest() for name in ("a.safetensors", "b.gguf")}
    (model / "card.json").write_text(json.dumps({"files": {"a.safetensors": digest["a.safetensors"]}}))
    (model / "quantized.json").write_text(json.dumps({"files": {"b.gguf": {"sha256": digest["b.gguf"]}}}))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("models/m/a.safetensors", None, "m/a.safetensors is missing"),
        ("models/m/b.gguf", None, "m/b.gguf is missing"),
        ("models/m/b.gguf", b"fewer", "m/b.gguf is damaged (5 bytes"),
        ("models/m/b.gguf", b"", "m/b.gguf is damaged (0 bytes"),
        ("models/m/card.json", None, "the card of m is missing"),
        ("models/m/card.json", b"{", "the card of m is damaged"),
        ("data/profiles/p.json", b"[", "p.json is damaged"),
        ("data/profiles/p.json", None, "latency profiles are missing"),
        ("data/alfred_statistics.json", None, "ALFRED's statistics are missing"),
        ("data/alfred_statistics.json", b"\xff", "ALFRED's statistics are damaged"),
    ],
)
def test_a_shipped_file_that_is_not_whole_is_named(package, file, content, says):
    assert shipped.check_shipped(package, ["m"]).status == "ok"
    (package / file).unlink() if content is None else (package / file).write_bytes(content)
    check = shipped.check_shipped(package, ["m"])
    assert check.status == "fail" and says in check.detail


def test_weights_in_the_card_count(package):
    (package / "models" / "m" / "quantized.json").unlink()
    (package / "models" / "m" / "card.json").write_text('{"weights": {"bias": 1.0}}')
    assert shipped.check_shipped(package, ["m"]).status == "ok"
    (package / "models" / "m" / "card.json").write_text("{}")
    assert shipped.check_shipped(package, ["m"]).status == "fail"


def test_every_shipped_model_is_checked():
    assert set(shipped.MODELS) == {card.parent.name for card in (core.PACKAGE_DIR / "models").glob("*/card.json")}


def test_what_is_shipped_here_is_whole():
    assert shipped.check_shipped(core.PACKAGE_DIR).status == "ok"
