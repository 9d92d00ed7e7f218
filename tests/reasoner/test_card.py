"""The shipped model and its card."""

import json
from pathlib import Path

import pytest

from rarrl.errors import InputError
from rarrl.files import sha256
from rarrl.reasoner.card import checked_model

SHIPPED = Path(__file__).parents[2] / "rarrl" / "models" / "planner" / "planner.gguf"


def test_a_changed_model_is_refused(tmp_path):
    model = tmp_path / "planner.gguf"
    model.write_bytes(b"GGUF1")
    assert checked_model(model) == model  # no card, no promise
    (tmp_path / "card.json").write_text(json.dumps({"files": {"planner.gguf": sha256(b"GGUF1")}}))
    assert checked_model(model) == model
    model.write_bytes(b"GGUF2")
    with pytest.raises(InputError, match="not the file"):
        checked_model(model)
    (tmp_path / "card.json").write_text("[]")
    assert checked_model(model) == model


def test_what_is_no_gguf_file_is_named_before_llama_cpp_is_asked(tmp_path):
    (tmp_path / "text.gguf").write_text("hello")
    (tmp_path / "empty.gguf").write_bytes(b"")
    for name, says in (
        ("nofile.gguf", "nofile.gguf does not exist; write llama:PATH of a GGUF file"),
        ("", "is a folder"),
        ("text.gguf", "is no GGUF file"),
        ("empty.gguf", "is no GGUF file"),
    ):
        with pytest.raises(InputError, match=says):
            checked_model(tmp_path / name)


def test_the_shipped_model_is_small_and_is_the_one_described():
    assert checked_model(SHIPPED).stat().st_size < 16e6
    card = json.loads(SHIPPED.with_name("card.json").read_text("utf-8"))
    assert card["files"][SHIPPED.name] == sha256(SHIPPED.read_bytes())
    assert {"command", "seed", "data", "data_sha256", "metrics", "date"} <= set(card)


def test_the_shipped_model_plans(tmp_path):
    llama_cpp = pytest.importorskip("llama_cpp")
    from rarrl.reasoner import prompt as p
    from rarrl.types import Role

    model = llama_cpp.Llama(str(SHIPPED), n_ctx=256, n_threads=1, verbose=False)
    text = p.prompt(p.PLAN, "Put a clean mug on the shelf.")
    tokens = model.tokenize(text.encode(), add_bos=False, special=True)
    out = model.create_completion(tokens, max_tokens=64, temperature=0.0)["choices"][0]
    assert str(p.parse(out["text"], Role.PLANNER)) == "PickupObject(mug); CleanObject(mug); PutObject(mug, shelf)"
    assert out["finish_reason"] == "stop"
