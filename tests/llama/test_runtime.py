import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.llama.gguf import llama_metadata, read_gguf, write_gguf
from rarrl.llama.runtime import InterruptedDecodeError, LlamaRuntime
from rarrl.llama.shape import LlamaShape

pytest.importorskip("llama_cpp")
gguf = pytest.importorskip("gguf")
SHAPE = LlamaShape(layers=2, width=64, heads=4, kv_heads=2, ffn=96, vocab=50, context=64)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A Llama whose token table, which is its output layer too, has 8 bits."""
    rng = np.random.default_rng(0)
    data = {n: (rng.normal(size=shape) / 4).astype(np.float32) for n, shape in SHAPE.tensors().items()}
    layout = {name: ("F32", shape) for name, shape in SHAPE.tensors().items()}
    layout["token_embd.weight"] = ("Q8_0", (50, 64))
    data["token_embd.weight"] = gguf.quantize(data["token_embd.weight"], gguf.GGMLQuantizationType.Q8_0)
    path = tmp_path_factory.mktemp("llama") / "model.gguf"
    write_gguf(path, llama_metadata(SHAPE), layout, data.__getitem__)
    return path


def test_rows_are_those_of_the_whole_tensor(path):
    model = read_gguf(path)
    whole = model.values("token_embd.weight")
    np.testing.assert_array_equal(model.rows("token_embd.weight", [49, 0, 7, 7]), whole[[49, 0, 7, 7]])
    norm = model.rows("output_norm.weight", [3])
    np.testing.assert_array_equal(norm, model.values("output_norm.weight")[[3]])


def test_logits_are_the_output_layer_of_the_last_hidden_state(path):
    table = read_gguf(path).values("token_embd.weight")
    x = np.random.default_rng(1).normal(size=(9, 64)).astype(np.float32)
    with LlamaRuntime(path, max_tokens=20, exact=True) as runtime:
        hidden = runtime.decode(x, causal=True)[-1]
        runtime.forget()
        logits = runtime.logits(x)
        assert logits.shape == (50,)
        np.testing.assert_allclose(logits, table @ hidden, atol=0.1)  # 8 bits on both sides of the product
        assert np.corrcoef(logits, table @ hidden)[0, 1] > 0.9999
        runtime.forget()
        runtime.logits(x[:5])
        np.testing.assert_allclose(runtime.logits(x[5:]), logits, atol=1e-4)  # in two pieces
        runtime.forget()
        np.testing.assert_array_equal(runtime.decode(x, causal=True)[-1], hidden)  # and back to hidden states


def test_logits_refuse_what_decode_refuses(path):
    x = np.zeros((3, 64), np.float32)
    with LlamaRuntime(path, max_tokens=4) as runtime:
        with pytest.raises(InputError, match="NaN"):
            runtime.logits(x * np.nan)
        with pytest.raises(InterruptedDecodeError):
            runtime.logits(x, stop=lambda: True)
        runtime.logits(x)
        with pytest.raises(InputError, match=r"3 \+ 3 tokens, the context holds 4"):
            runtime.logits(x)


def test_a_file_without_a_tokenizer_is_told(path):
    with LlamaRuntime(path, max_tokens=4) as runtime, pytest.raises(InputError, match="no tokenizer"):
        runtime.tokens("open")


def test_blocks_are_decoded_one_after_another(path):
    rng = np.random.default_rng(2)
    blocks = [rng.normal(size=(n, 64)).astype(np.float32) for n in (3, 4, 5)]
    with LlamaRuntime(path, max_tokens=12) as runtime:
        expected = [runtime.decode(block) for block in blocks][-1][-2:]
        runtime.forget(3)
        np.testing.assert_array_equal(runtime.decode_blocks(blocks[1:], 2), expected)
        runtime.forget(3)
        left = iter([False] * 30)
        with pytest.raises(InterruptedDecodeError):
            runtime.decode_blocks(blocks[1:], 2, stop=lambda: next(left, True))
        np.testing.assert_array_equal(runtime.decode_blocks(blocks[1:], 2), expected)
