"""`quantize` as a notebook calls it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.llama.gguf import read_gguf
from rarrl_learning.quantize.jobs import quantize


def test_a_model_is_quantized_without_calibration(gguf, tmp_path):
    out = tmp_path / "small.gguf"
    done = []
    results = quantize(
        gguf, None, 4.7, "rtn", out=out, json=tmp_path / "r.json", progress=lambda n, name: done.append(n)
    )
    small = read_gguf(out)
    assert {small.tensors[name].type for name in gguf.shape.linears()} <= {"Q4_0", "Q5_0", "Q8_0"}
    assert results["figures"]["bytes"]["value"] == out.stat().st_size < gguf.path.stat().st_size
    assert results["figures"]["bpw_linears"]["value"] <= 4.7
    assert "action_error" not in results["figures"]  # nothing to judge by
    assert json.loads((tmp_path / "r.json").read_text())["tables"]["settings"]["method"] == "rtn"
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert np.isfinite(small.values("blk.0.attn_q.weight")).all()


def test_a_method_that_calibrates_asks_for_frames(gguf, tmp_path):
    with pytest.raises(InputError, match="needs calibration frames"):
        quantize(gguf, None, 4.0, "flat", out=tmp_path / "small.gguf")
    assert not (tmp_path / "small.gguf").exists()


def test_what_llama_cpp_cannot_load_is_left_nowhere(gguf, tmp_path, monkeypatch):
    """A file that is broken only once it is written: the place of the result stays empty."""

    def refuse(path):
        if path != gguf.path:
            raise InputError(f"{path}: llama.cpp ends the process (SIGABRT)")

    monkeypatch.setattr("rarrl_learning.quantize.quantize.check_in_child", refuse)
    with pytest.raises(InputError, match="SIGABRT"):
        quantize(gguf, None, 4.7, "rtn", out=tmp_path / "out" / "small.gguf")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_that_llama_cpp_does_not_load_is_refused_before_anything_is_done(gguf, tmp_path, monkeypatch):
    def refuse(path):
        raise InputError(f"{path}: llama.cpp cannot compute with it")

    monkeypatch.setattr("rarrl_learning.quantize.quantize.check_in_child", refuse)
    with pytest.raises(InputError, match="cannot compute"):
        quantize(gguf, None, 4.7, "rtn", out=tmp_path / "out" / "small.gguf")
    assert not (tmp_path / "out").exists()


def test_the_layout_of_a_model_is_kept(gguf, tmp_path, monkeypatch):
    monkeypatch.setattr("rarrl_learning.quantize.quantize.check_in_child", lambda path: None)
    metadata = {**gguf.metadata, "general.alignment": (128, "UINT32")}
    quantize(replace(gguf, metadata=metadata), None, 4.7, "rtn", out=tmp_path / "small.gguf")
    small = read_gguf(tmp_path / "small.gguf")
    assert small.metadata["general.alignment"] == (128, "UINT32")
    off = [np.abs(gguf.values(name) - small.values(name)).max() for name in gguf.tensors]
    assert max(off) < 0.5 * max(np.abs(gguf.values(name)).max() for name in gguf.tensors)
