"""`quantize` as a notebook calls it."""

import json

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
