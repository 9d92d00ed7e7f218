"""A checkpoint as transformers keeps it becomes the folder that runs: the same actions as from files made by hand."""

import json

import numpy as np
import pytest
from openvla_fixtures import (
    LETTERS,
    PADDED,
    REGRESSOR,
    SHAPE,
    SPEAKER,
    STATISTICS,
    VOCABULARY,
    features,
    llama_weights,
    outer_weights,
    write_llama_with_tokenizer,
)
from safetensors.numpy import save_file

from rarrl.errors import InputError
from rarrl.llama.gguf import read_gguf
from rarrl.policy.base import Observation
from rarrl.policy.openvla import OpenVlaPolicy, load_openvla
from rarrl.policy.openvla_convert import BLOCK_NAMES, OTHER_NAMES, convert_openvla, interleaved

pytest.importorskip("llama_cpp")
torch = pytest.importorskip("torch")


def halves(weights: np.ndarray, heads: int) -> np.ndarray:
    """The other way round than `interleaved`."""
    rows, columns = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def checkpoint(folder, robot=SPEAKER, head=0, kind=torch.float32, **config):
    """In two shards, with the tokenizer as JSON; OFT's parts in pickles of torch, as they are published."""
    from safetensors.torch import save_file as save_torch

    found = llama_weights()
    theirs = {OTHER_NAMES[name]: found[name] for name in OTHER_NAMES}
    for i in range(SHAPE.layers):
        for ours, name in BLOCK_NAMES.items():
            values = found[f"blk.{i}.{ours}.weight"]
            values = halves(values, SHAPE.heads) if ours in ("attn_q", "attn_k") else values
            theirs[f"language_model.model.layers.{i}.{name}.weight"] = values
    outer = outer_weights(robot=robot, head=head)
    theirs |= {name: values for name, values in outer.items() if name.startswith("projector.")}
    folder.mkdir()
    tensors = {name: torch.from_numpy(values.copy()).to(kind) for name, values in theirs.items()}
    names = sorted(tensors)
    tower = {"vision_backbone.blocks.0.weight": torch.zeros(3, dtype=torch.int64)}
    save_torch({n: tensors[n] for n in names[::2]}, folder / "model-00001-of-00002.safetensors")
    save_torch({n: tensors[n] for n in names[1::2]} | tower, folder / "model-00002-of-00002.safetensors")
    for part in ("proprio_projector", "action_head"):
        mine = {f"module.{n.removeprefix(part + '.')}": torch.from_numpy(v) for n, v in outer.items() if part in n}
        if mine:
            torch.save(mine, folder / f"{part}--150000_checkpoint.pt")

    letters = [*LETTERS, *(f"act{i}" for i in range(256))]
    vocab = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *letters]
    added = [{"id": VOCABULARY, "content": "<PAD>"}]
    tokens = {"model": {"vocab": {text: i for i, text in enumerate(vocab)}}, "added_tokens": added}
    (folder / "tokenizer.json").write_text(json.dumps(tokens))
    text = {"num_attention_heads": SHAPE.heads, "rms_norm_eps": SHAPE.norm_eps, "max_position_embeddings": 512}
    (folder / "config.json").write_text(json.dumps({"text_config": text, "norm_stats": STATISTICS, **config}))
    return folder


@pytest.mark.parametrize(("robot", "head"), [(SPEAKER, 0), (REGRESSOR, 32)])
def test_the_converted_folder_acts_as_the_files_made_by_hand(tmp_path, robot, head):
    convert_openvla(checkpoint(tmp_path / "theirs", robot, head), tmp_path / "ours", robot)
    weights = {n: v.astype(np.float16 if v.ndim == 2 else np.float32) for n, v in llama_weights().items()}
    llama = write_llama_with_tokenizer(tmp_path / "llama.gguf", weights, kind="F16")
    save_file(outer_weights(robot=robot, head=head), tmp_path / "outer.safetensors")
    (tmp_path / "statistics.json").write_text(json.dumps(STATISTICS))

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(robot.cameras), 32, 32, 3), np.uint8)
    seen = Observation(images, np.zeros(len(robot.proprio_names), np.float32), "open it")
    by_hand = OpenVlaPolicy(
        llama, tmp_path / "outer.safetensors", tmp_path / "statistics.json", features, robot, vocabulary=VOCABULARY
    )
    with load_openvla(tmp_path / "ours", features) as converted, by_hand:
        assert np.allclose(converted.infer(seen).actions, by_hand.infer(seen).actions, atol=1e-3)


def test_halves_of_a_float32_are_read(tmp_path):
    convert_openvla(checkpoint(tmp_path / "theirs", kind=torch.bfloat16), tmp_path / "ours", SPEAKER)
    found = read_gguf(tmp_path / "ours/llama.gguf")
    weights = llama_weights()
    for name in ("output.weight", "blk.1.attn_q.weight", "blk.0.ffn_down.weight"):
        assert np.allclose(found.values(name), weights[name], rtol=0.01, atol=1e-3), name
    assert found.shape.vocab == PADDED


def test_rows_change_places_within_their_head_alone():
    rows = np.arange(16)[:, None]
    assert interleaved(rows, 2)[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]
    assert np.array_equal(interleaved(halves(rows, 4), 4), rows)


def test_what_is_missing_or_damaged_is_refused_in_one_line(tmp_path):
    folder = checkpoint(tmp_path / "theirs")
    out = tmp_path / "ours"

    def refused(text):
        with pytest.raises(InputError, match=text):
            convert_openvla(folder, out, SPEAKER)
        assert not (out / "openvla.json").exists()

    (folder / "tokenizer.json").rename(tmp_path / "kept.json")
    refused(r"tokenizer\.json")
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0, "b": 7}}}')
    refused("must name tokens 0 to at most")
    (tmp_path / "kept.json").rename(folder / "tokenizer.json")

    shard = folder / "model-00002-of-00002.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    refused("cut off")
    shard.write_bytes(b"\x10\0\0\0\0\0\0\0{not json at all")
    refused("is not whole JSON")
    shard.unlink()
    refused("missing, must be|lacks")
    shard.write_bytes(whole)
    (folder / "config.json").write_text("{}")
    refused("neither dataset_statistics.json nor norm_stats")
    with pytest.raises(InputError, match="the checkpoint itself"):
        convert_openvla(folder, folder, SPEAKER)
    with pytest.raises(InputError, match=r"holds no \.safetensors"):
        convert_openvla(tmp_path, out, SPEAKER)
