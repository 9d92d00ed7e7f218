"""GGUF files: what is written is read back, and whatever is wrong with a file is one line."""

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.llama.gguf import gguf_parts, llama_metadata, read_gguf, write_gguf, write_llama
from rarrl.llama.shape import LlamaShape

pytest.importorskip("gguf")
SHAPE = LlamaShape(layers=1, width=64, heads=2, kv_heads=1, ffn=96)


def weights(shape=SHAPE, dtype=np.float32):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=size).astype(dtype) for name, size in shape.tensors().items()}


def write(path, shape=SHAPE, metadata=None, **changed):
    """A file that bypasses the checks of `write_llama`; `changed`: metadata keys, None leaves one out."""
    arrays = weights() if metadata is None else metadata
    keys = {**llama_metadata(shape), **{k: v for k, v in changed.items() if v is not None}}
    keys = {k: v for k, v in keys.items() if changed.get(k, 1) is not None}
    layout = {n: ({"float32": "F32", "float16": "F16"}[str(a.dtype)], a.shape) for n, a in arrays.items()}
    write_gguf(path, keys, layout, arrays.__getitem__)
    return path


def test_round_trip_of_weights_and_metadata(tmp_path):
    path = tmp_path / "m.gguf"
    arrays = weights(dtype=np.float16)
    extra = {
        "rarrl.low": ([0.5, -1.25], "FLOAT32[]"),
        "rarrl.words": (["reach", "open"], "STRING[]"),
        "rarrl.chunk": (8, "UINT32"),
        "rarrl.note": ("", "STRING"),
    }
    write_llama(path, SHAPE, arrays, extra)
    gguf = read_gguf(path)
    assert gguf.shape.linears() == SHAPE.linears() and gguf.shape.context == SHAPE.context
    assert all(np.array_equal(gguf.values(name), array.astype(np.float32)) for name, array in arrays.items())
    assert gguf.tensors["blk.0.attn_norm.weight"].type == "F32"
    assert gguf.tensors["blk.0.attn_q.weight"].type == "F16"
    assert {k: gguf.metadata[k] for k in extra} == extra
    assert [p.name for p in tmp_path.iterdir()] == ["m.gguf"]


def test_raw_blocks_go_in_and_come_out(tmp_path):
    arrays = {name: np.zeros_like(a) for name, a in weights().items()}
    layout = {name: ("F32", a.shape) for name, a in arrays.items()}
    layout["blk.0.ffn_up.weight"] = ("Q8_0", (96, 64))
    blocks = np.zeros((96, 2, 34), np.uint8)
    blocks[..., :2] = np.frombuffer(np.float16(0.5).tobytes(), np.uint8)
    blocks[..., 2:] = np.arange(32)
    arrays["blk.0.ffn_up.weight"] = blocks.reshape(96, 68)
    write_gguf(tmp_path / "q.gguf", llama_metadata(SHAPE), layout, arrays.__getitem__)
    gguf = read_gguf(tmp_path / "q.gguf")
    assert np.array_equal(gguf.values("blk.0.ffn_up.weight")[3], np.tile(np.arange(32) / 2, 2))
    assert gguf.tensors["blk.0.ffn_up.weight"].bits == 96 * 64 * 8.5


def test_write_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match=r"missing .*output_norm"):
        write_llama(tmp_path / "m.gguf", SHAPE, {n: a for n, a in weights().items() if n != "output_norm.weight"})
    with pytest.raises(ValueError, match=r"rows of a multiple of 32, got \(2, 40\)"):
        write_gguf(tmp_path / "m.gguf", {}, {"x": ("Q8_0", (2, 40))}, lambda _: np.zeros(1))
    with pytest.raises(ValueError, match="takes 16 bytes, got 4"):
        write_gguf(tmp_path / "m.gguf", {}, {"x": ("F32", (2, 2))}, lambda _: np.zeros(1, np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"llama.block_count": None}, "llama.block_count must be one number"),
        ({"llama.block_count": (2, "UINT32")}, "blk.1.attn_q.weight is missing"),
        ({"llama.feed_forward_length": (128, "UINT32")}, "the metadata asks for"),
        ({"llama.block_count": (1 << 31, "UINT32")}, "with 11 tensors"),
        ({"llama.attention.head_count": (3, "UINT32")}, "must be a multiple of 2 \\* heads"),
        ({"llama.attention.head_count": (0, "UINT32")}, "heads: must be 1 or more"),
        ({"llama.attention.layer_norm_rms_epsilon": (float("nan"), "FLOAT32")}, "must be one number"),
        ({"llama.rope.dimension_count": (16, "UINT32")}, "only width / heads"),
        ({"llama.expert_count": (8, "UINT32")}, "experts"),
        ({"llama.feed_forward_length": ("96", "STRING")}, "must be one number"),
        ({"llama.feed_forward_length": (96.5, "FLOAT32")}, "must be a whole number"),
        ({"llama.rope.scaling.factor": (4.0, "FLOAT32")}, "llama.rope.scaling.factor is 4.0: a Llama with scaled"),
        ({"llama.rope.scaling.type": ("yarn", "STRING")}, "llama.rope.scaling.type is yarn"),
        ({"llama.rope.scale_linear": (2.0, "FLOAT32")}, "llama.rope.scale_linear is 2.0"),
        ({"llama.rope.scaling.attn_factor": (2.0, "FLOAT32")}, "llama.rope.scaling.attn_factor is 2.0"),
        ({"llama.attention.causal": (False, "BOOL")}, "llama.attention.causal is False"),
        ({"llama.attention.sliding_window": (4, "UINT32")}, "llama.attention.sliding_window is 4"),
        ({"llama.logit_scale": (0.5, "FLOAT32")}, "llama.logit_scale is 0.5"),
        ({"llama.vocab_size": None}, "neither llama.vocab_size nor tokenizer.ggml.tokens"),
        ({"tokenizer.ggml.model": None}, "tokenizer.ggml.model is missing"),
        ({"split.count": (3, "UINT16"), "split.no": (1, "UINT16")}, "part 2 of 3, under another name"),
        ({"rarrl.parts": ([[1]], "ARRAY[]")}, "rarrl.parts holds lists in a list"),
    ],
)
def test_wrong_metadata_is_one_line(tmp_path, change, message):
    with pytest.raises(InputError, match=message) as error:
        read_gguf(write(tmp_path / "m.gguf", **change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"llama.rope.scaling.type": ("linear", "STRING"), "llama.rope.scaling.factor": (1.0, "FLOAT32")},
        {"llama.rope.scaling.type": ("none", "STRING"), "llama.attention.causal": (True, "BOOL")},
        {"llama.expert_count": (0, "UINT32"), "llama.logit_scale": (1.0, "FLOAT32")},
        {"tokenizer.ggml.tokens": (["a"], "STRING[]"), "llama.vocab_size": None},
        {"general.alignment": (64, "UINT32")},
        {"general.alignment": (4096, "UINT32")},
    ],
)
def test_what_changes_nothing_is_read(tmp_path, change):
    arrays = weights()
    gguf = read_gguf(write(tmp_path / "m.gguf", metadata=arrays, **change))
    assert (gguf.shape.tensors(), gguf.shape.context) == (SHAPE.tensors(), SHAPE.context)
    assert all(np.array_equal(gguf.values(name), array) for name, array in arrays.items())


@pytest.mark.parametrize("alignment", [0, 48])
def test_an_alignment_that_llama_cpp_does_not_have_is_refused(tmp_path, alignment):
    path = write(tmp_path / "m.gguf", **{"general.alignment": (64, "UINT32")})
    data = bytearray(path.read_bytes())
    at = data.index(b"general.alignment") + len(b"general.alignment") + 4
    data[at : at + 4] = alignment.to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"general\.alignment is|not a whole GGUF file"):
        read_gguf(path)


def big_endian(path):
    module = pytest.importorskip("gguf")
    writer = module.GGUFWriter(path, "llama", endianess=module.GGUFEndian.BIG)
    writer.add_tensor("token_embd.weight", np.ones((1, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_big_endian_file_is_named_as_one(tmp_path):
    with pytest.raises(InputError, match="a big-endian file; convert it"):
        read_gguf(big_endian(tmp_path / "m.gguf"))


def split(tmp_path, parts=2):
    """A model in several files, the tensors spread over them."""
    arrays = weights()
    paths = [tmp_path / f"m-{n:05d}-of-{parts:05d}.gguf" for n in range(1, parts + 1)]
    for number, path in enumerate(paths):
        keys = llama_metadata(SHAPE) if number == 0 else {}
        keys |= {"split.no": (number, "UINT16"), "split.count": (parts, "UINT16")}
        keys |= {"split.tensors.count": (len(arrays), "INT32")}
        names = list(arrays)[number::parts]
        write_gguf(path, keys, {name: ("F32", arrays[name].shape) for name in names}, arrays.__getitem__)
    return paths, arrays


def test_a_model_in_parts_is_read_whole(tmp_path):
    paths, arrays = split(tmp_path, 3)
    gguf = read_gguf(paths[0])
    assert gguf_parts(paths[0]) == paths
    assert all(np.array_equal(gguf.values(name), array) for name, array in arrays.items())
    assert not [key for key in gguf.metadata if key.startswith("split.")]


def test_a_missing_part_is_named(tmp_path):
    paths, _ = split(tmp_path, 3)
    paths[1].unlink()
    with pytest.raises(InputError, match=r"part 2 of 3 is missing: m-00002-of-00003\.gguf"):
        read_gguf(paths[0])
    with pytest.raises(InputError, match=r"part 2 of 3 is missing"):
        read_gguf(paths[2])


def test_another_part_than_the_first_is_refused(tmp_path):
    paths, _ = split(tmp_path)
    with pytest.raises(InputError, match=r"part 2 of 2; give the first one, m-00001-of-00002\.gguf"):
        read_gguf(paths[1])


def test_parts_of_two_models_are_refused(tmp_path):
    paths, arrays = split(tmp_path)
    name = list(arrays)[1]
    write_gguf(paths[1], {}, {name: ("F32", arrays[name].shape)}, arrays.__getitem__)
    with pytest.raises(InputError, match=r"split\.tensors\.count says 11"):
        read_gguf(paths[0])


@pytest.mark.parametrize(
    ("keys", "names", "message"),
    [
        ({}, ("output_norm.weight", "token_embd.weight"), "token_embd.weight is in an earlier part already"),
        ({"split.no": (7, "UINT16")}, ("output_norm.weight",), r"split\.no is '7', '1' was expected of part 2 of 2"),
        ({"split.count": (9, "UINT16")}, ("output_norm.weight",), r"split\.count is '9', '2' was expected"),
    ],
)
def test_a_part_of_another_model_is_refused_by_name(tmp_path, keys, names, message):
    paths, arrays = split(tmp_path)
    first = [name for name in arrays if name not in names[:1]]
    write_gguf(paths[0], llama_metadata(SHAPE), {n: ("F32", arrays[n].shape) for n in first}, arrays.__getitem__)
    write_gguf(paths[1], keys, {n: ("F32", arrays[n].shape) for n in names}, arrays.__getitem__)
    with pytest.raises(InputError, match=rf"m-00002-of-00002\.gguf: .*{message}"):
        read_gguf(paths[0])


def test_a_part_of_another_architecture_is_refused_by_name(tmp_path):
    import gguf

    paths, _ = split(tmp_path)
    writer = gguf.GGUFWriter(paths[1], "qwen2")
    writer.add_tensor("output_norm.weight", np.ones(64, np.float32))
    for write_next in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write_next()
    writer.close()
    with pytest.raises(InputError, match="architecture is 'qwen2', 'llama' was expected of part 2 of 2"):
        read_gguf(paths[0])


def test_types_that_are_no_weights_are_named(tmp_path):
    for name, kind, dtype, message in (
        ("blk.0.attn_q.weight", "F64", np.float64, "blk.0.attn_q.weight is F64"),
        ("blk.0.attn_q.weight", "I8", np.int8, "blk.0.attn_q.weight is I8"),
        ("blk.0.attn_norm.weight", "F16", np.float16, "norms must be F32"),
    ):
        arrays = weights()
        arrays[name] = arrays[name].astype(dtype)
        layout = {n: (kind if n == name else "F32", a.shape) for n, a in arrays.items()}
        write_gguf(tmp_path / "m.gguf", llama_metadata(SHAPE), layout, arrays.__getitem__)
        with pytest.raises(InputError, match=message):
            read_gguf(tmp_path / "m.gguf")


def test_optional_tensors_must_fit(tmp_path):
    arrays = {**weights(), "rope_freqs.weight": np.ones(7, np.float32)}
    with pytest.raises(InputError, match=r"rope_freqs.weight has shape \(7,\), must be \(16,\)"):
        read_gguf(write(tmp_path / "m.gguf", metadata=arrays))


def test_missing_wrong_and_unknown_tensors_are_named(tmp_path):
    arrays = weights()
    for change, message in (
        ({"blk.0.ffn_up.weight": np.zeros((96, 32), np.float32)}, r"blk.0.ffn_up.weight has shape \(96, 32\)"),
        ({"blk.0.attn_q.bias": np.zeros(64, np.float32)}, "blk.0.attn_q.bias is not part of a plain Llama"),
        ({"vision.weight": np.zeros(64, np.float32)}, "vision.weight is not part"),
    ):
        with pytest.raises(InputError, match=message):
            read_gguf(write(tmp_path / "m.gguf", metadata={**arrays, **change}))


def test_nan_weights_are_refused_when_used(tmp_path):
    arrays = weights()
    arrays["blk.0.attn_v.weight"][3, 5] = np.nan
    gguf = read_gguf(write(tmp_path / "m.gguf", metadata=arrays))
    gguf.values("blk.0.attn_q.weight")
    with pytest.raises(InputError, match=r"blk.0.attn_v.weight holds NaN"):
        gguf.values("blk.0.attn_v.weight")


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_are_an_error_or_a_model_never_anything_else(tmp_path, seed):
    path = write(tmp_path / "m.gguf")
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    if seed % 2:
        data = data[: rng.integers(0, len(data) - 1)]
    else:
        for _ in range(3):
            data[rng.integers(0, 1500)] = rng.integers(0, 256)  # the head
    path.write_bytes(bytes(data))
    try:
        read_gguf(path)
    except InputError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:
        assert seed % 2 == 0


def test_what_is_no_file_is_an_error(tmp_path):
    for path in (tmp_path, tmp_path / "absent.gguf"):
        with pytest.raises(InputError, match="no such file"):
            read_gguf(path)
    (tmp_path / "empty.gguf").write_bytes(b"")
    with pytest.raises(InputError, match="not a whole GGUF"):
        read_gguf(tmp_path / "empty.gguf")
