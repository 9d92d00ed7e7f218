"""The torch model and llama.cpp compute the same hidden states from the same file."""

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.llama.gguf import read_gguf, write_llama
from rarrl.llama.runtime import InterruptedDecodeError, LlamaRuntime
from rarrl.llama.shape import LlamaShape

torch = pytest.importorskip("torch")
pytest.importorskip("llama_cpp")
from rarrl_learning.torch_llama import Llama, block_mask  # noqa: E402

SHAPES = [
    LlamaShape(layers=2, width=256, heads=4, kv_heads=4, ffn=512, context=64),
    LlamaShape(layers=2, width=256, heads=8, kv_heads=2, ffn=768, context=64, rope_base=500.0, norm_eps=1e-3, vocab=5),
]


def save(path, shape, dtype=np.float32):
    """A model whose weights are large enough that every part of it matters; returns it."""
    torch.manual_seed(0)
    model = Llama(shape).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(
                1 + 0.3 * torch.randn_like(parameter) if parameter.ndim == 1 else 0.06 * torch.randn_like(parameter)
            )
            if "attn_" in name and parameter.ndim == 2:
                parameter *= 2
    write_llama(path, shape, {n: p.detach().numpy().astype(dtype) for n, p in model.named_parameters()})
    return model


def embeddings(tokens, width=256):
    return np.random.default_rng(1).normal(size=(tokens, width)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prefix", [0, 7, 20])
def test_hidden_states_agree_with_llama_cpp(tmp_path, shape, prefix):
    model = save(tmp_path / "m.gguf", shape)
    x = embeddings(20)
    with LlamaRuntime(tmp_path / "m.gguf", 20, exact=True) as runtime:
        parts = [
            runtime.decode(part, causal) for part, causal in ((x[:prefix], True), (x[prefix:], False)) if len(part)
        ]
    with torch.no_grad():
        blocks = [1] * prefix + [20 - prefix] * (prefix < 20)
        expected = model(torch.from_numpy(x)[None], block_mask(blocks))[0].numpy()
        everywhere = model(torch.from_numpy(x)[None])[0].numpy()
    assert np.abs(np.concatenate(parts) - expected).max() < 1e-4
    assert (np.abs(everywhere - expected).max() > 1e-2) == (prefix > 0)  # the mask matters in this model


def test_position_matters(tmp_path):
    save(tmp_path / "m.gguf", SHAPES[0])
    x = embeddings(4)
    with LlamaRuntime(tmp_path / "m.gguf", 8) as runtime:
        one = runtime.decode(x)[::-1]
        runtime.forget()
        assert np.abs(one - runtime.decode(x[::-1])).max() > 1e-2


def test_half_precision_stays_close(tmp_path):
    model = save(tmp_path / "m.gguf", SHAPES[0], np.float16)
    x = embeddings(20)
    with LlamaRuntime(tmp_path / "m.gguf", 20) as runtime, torch.no_grad():
        gap = np.abs(runtime.decode(x) - model(torch.from_numpy(x)[None])[0].numpy()).max()
    assert 0 < gap < 2e-2


def test_a_kept_prefix_gives_the_same_bits(tmp_path):
    save(tmp_path / "m.gguf", SHAPES[1])
    x = embeddings(20)
    with LlamaRuntime(tmp_path / "m.gguf", 20) as runtime:
        runtime.decode(x[:12], causal=True)
        first = runtime.decode(x[12:])
        runtime.forget(12)
        assert np.array_equal(runtime.decode(x[12:]), first)


def test_a_stopped_decode_leaves_the_cache_as_it_was(tmp_path):
    save(tmp_path / "m.gguf", SHAPES[0])
    x = embeddings(20)
    with LlamaRuntime(tmp_path / "m.gguf", 20) as runtime:
        runtime.decode(x[:12], causal=True)
        with pytest.raises(InterruptedDecodeError):
            runtime.decode(x[12:], stop=lambda: True)
        after = runtime.decode(x[12:])
        runtime.forget()
        runtime.decode(x[:12], causal=True)
        assert np.array_equal(runtime.decode(x[12:]), after)


def test_what_would_end_the_process_is_an_error(tmp_path):
    save(tmp_path / "m.gguf", SHAPES[0])
    with LlamaRuntime(tmp_path / "m.gguf", 8) as runtime:
        runtime.decode(embeddings(5))
        with pytest.raises(InputError, match="the context holds 8"):
            runtime.decode(embeddings(4))
        with pytest.raises(ValueError, match=r"\(tokens, 256\)"):
            runtime.decode(embeddings(2, 128))
        with pytest.raises(InputError, match="NaN"):
            runtime.decode(np.full((1, 256), np.nan, np.float32))
        runtime.forget()
        assert runtime.decode(embeddings(8)).shape == (8, 256)


@pytest.mark.parametrize("shape", SHAPES)
def test_torch_reads_back_what_it_wrote(tmp_path, shape):
    model = save(tmp_path / "m.gguf", shape)
    again = Llama.from_gguf(read_gguf(tmp_path / "m.gguf"))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert list(model.linears()) == list(shape.linears())
    assert {n: tuple(layer.weight.shape) for n, layer in model.linears().items()} == shape.linears()


def test_the_last_rows_of_a_block_are_those_of_the_whole(tmp_path):
    block, model = save(tmp_path / "m.gguf", SHAPES[1]).blk[0], Llama(SHAPES[1])
    x, mask = torch.from_numpy(embeddings(20))[None], block_mask([7, 13])
    with torch.no_grad():
        whole = block(x, model.rotation(20), mask)
        assert torch.allclose(block(x, model.rotation(20), mask, 12), whole[:, 12:], atol=1e-5)
