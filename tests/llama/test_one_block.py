import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.llama.gguf import llama_metadata, read_gguf, write_gguf
from rarrl.llama.one_block import OneBlock
from rarrl.llama.runtime import InterruptedDecodeError, LlamaRuntime
from rarrl.llama.shape import LlamaShape

SHAPE = LlamaShape(layers=1, width=64, heads=4, kv_heads=4, ffn=512, context=64)
WORDS, PICTURES, REST, READ = 5, 4, 6, 5


def write(folder, shape, kind="F32"):
    rng = np.random.default_rng(0)
    data = {n: (rng.normal(size=s) / 4).astype(np.float32) for n, s in shape.tensors().items()}
    if kind == "F16":
        data |= {n: data[n].astype(np.float16) for n in shape.linears()}
    layout = {n: (kind if n in shape.linears() else "F32", s) for n, s in shape.tensors().items()}
    path = folder / f"{kind}.gguf"
    write_gguf(path, llama_metadata(shape), layout, data.__getitem__)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("llama"), SHAPE)


def blocks(seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, SHAPE.width)).astype(np.float32) for n in (WORDS, PICTURES, REST)]


def test_it_computes_what_torch_computes(path):
    torch = pytest.importorskip("torch")
    from rarrl_learning.torch_llama import Llama, block_mask

    model = Llama.from_gguf(read_gguf(path))
    with torch.no_grad():
        x = torch.from_numpy(np.concatenate(blocks()))[None]
        expected = model(x, block_mask((WORDS, PICTURES, REST)))[0, -READ:].numpy()
    found = OneBlock(read_gguf(path), 20).decode_blocks(blocks(), READ)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "exact", "most"), [("F32", True, 1e-4), ("F16", False, 2e-2)])
def test_it_computes_what_llama_cpp_computes(tmp_path, kind, exact, most):
    pytest.importorskip("llama_cpp")
    path = write(tmp_path, SHAPE, kind)
    ours = OneBlock(read_gguf(path), 20)
    with LlamaRuntime(path, 20, exact=exact) as runtime:
        for seed in range(3):
            runtime.forget()
            ours.forget()
            expected = runtime.decode_blocks(blocks(seed), READ)
            np.testing.assert_allclose(ours.decode_blocks(blocks(seed), READ), expected, atol=most)


def test_what_is_kept_changes_no_bit(path):
    words, pictures, rest = blocks()
    others, asked = blocks(2)[1:]
    ours = OneBlock(read_gguf(path), 20)
    rows = {
        (i, j): OneBlock(read_gguf(path), 20).decode_blocks([words, p, r], READ)
        for i, p in enumerate((pictures, others))
        for j, r in enumerate((rest, asked))
    }
    assert not np.allclose(rows[0, 0], rows[1, 0], atol=1e-3)
    assert not np.allclose(rows[0, 0], rows[0, 1], atol=1e-3)

    ours.decode_blocks([words, pictures, rest], READ)
    for (i, j), expected in [*rows.items(), *reversed(rows.items())]:
        ours.forget(WORDS)
        p, r = (pictures, others)[i], (rest, asked)[j]
        np.testing.assert_array_equal(ours.decode_blocks([p, r], READ), expected)
        ours.forget(WORDS + PICTURES)
        np.testing.assert_array_equal(ours.decode_blocks([r], READ), expected)
    for count in (3, PICTURES, 2):  # the rows that are read stand elsewhere then
        ours.forget(WORDS)
        expected = OneBlock(read_gguf(path), 20).decode_blocks([words, pictures[:count], rest], READ)
        np.testing.assert_array_equal(ours.decode_blocks([pictures[:count], rest], READ), expected)


def test_quantized_weights_are_unpacked(tmp_path):
    gguf = pytest.importorskip("gguf")
    shape = LlamaShape(layers=1, width=64, heads=2, kv_heads=2, ffn=96)
    rng = np.random.default_rng(0)
    data = {n: (rng.normal(size=s) / 4).astype(np.float32) for n, s in shape.tensors().items()}
    data |= {n: gguf.quantize(data[n], gguf.GGMLQuantizationType.Q8_0) for n in shape.linears()}
    layout = {n: ("Q8_0" if n in shape.linears() else "F32", s) for n, s in shape.tensors().items()}
    path = tmp_path / "small.gguf"
    write_gguf(path, llama_metadata(shape), layout, data.__getitem__)
    assert np.isfinite(OneBlock(read_gguf(path), 20).decode_blocks(blocks(), READ)).all()


def test_large_values_do_not_overflow(path):
    with np.errstate(all="raise", under="ignore"):
        found = OneBlock(read_gguf(path), 20).decode_blocks([1e4 * block for block in blocks()], READ)
    assert np.isfinite(found).all()


def test_refusals(path, tmp_path):
    ours = OneBlock(read_gguf(path), 8)
    with pytest.raises(InputError, match=r"0 \+ 15 tokens, the context holds 8"):
        ours.decode_blocks(blocks(), READ)
    x = blocks()[2]
    with pytest.raises(InputError, match="NaN"):
        ours.decode_blocks([x * np.nan], READ)
    with pytest.raises(InterruptedDecodeError):
        ours.decode_blocks([x], READ, stop=lambda: True)
    for wrong, read in ((x[:, :9], READ), (x, 7), (x, 0)):
        with pytest.raises(ValueError, match=r"must be \(tokens, 64\)"):
            ours.decode_blocks([wrong], read)
    expected = OneBlock(read_gguf(path), 8).decode_blocks([x], READ)
    np.testing.assert_array_equal(ours.decode_blocks([x], READ), expected)  # none of these has left anything

    deep = read_gguf(write(tmp_path, LlamaShape(layers=2, width=64, heads=4, kv_heads=4, ffn=96)))
    grouped = read_gguf(write(tmp_path, LlamaShape(layers=1, width=64, heads=4, kv_heads=2, ffn=96)))
    for other in (deep, grouped):
        assert not OneBlock.allows(other)
        with pytest.raises(ValueError, match="one block"):
            OneBlock(other, 8)
