"""A small random model in real GGUF, with its tokenizer: real kernels of llama.cpp, words without sense."""

from pathlib import Path

import numpy as np
import pytest

from rarrl.reasoner import prompt


def byte_tokens() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in the order of the bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(others)) for b in range(256)]


def write_model(
    path: Path,
    d: int = 32,
    layers: int = 2,
    n_ctx: int = 1024,
    nan: bool = False,
    general: bool = False,
    template: str = "",
    bos: bool = False,
) -> Path:
    """A random Llama of width `d` that knows bytes, the marks of `prompt.py` and its pieces of JSON.

    general: it knows `<|im_start|>`, `<|im_end|>`, `<think>` and `</think>` instead of the marks, as other models do.
    template: its chat template. bos: its texts begin with `<|im_start|>`."""
    import gguf

    rng = np.random.default_rng(0)
    marks, pieces = list(prompt.MARKS), list(prompt.json_pieces())
    if general:
        marks, pieces = ["<|im_end|>", "<|im_start|>"], ["<think>", "</think>"]
    tokens = [*byte_tokens(), *marks, *pieces]
    kinds = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * len(marks)
    kinds += [gguf.TokenType.USER_DEFINED] * len(pieces)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random")
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(d)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * d)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(d // 2)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(256)  # the first of the marks
    writer.add_bos_token_id(257 if general else 256)
    writer.add_add_bos_token(bos)
    if template:
        writer.add_chat_template(template)

    def tensor(name: str, *shape: int) -> None:
        values = rng.normal(0, 0.3, shape).astype(np.float32) if len(shape) > 1 else np.ones(shape, np.float32)
        if nan and name == "output.weight":
            values[0, 0] = np.nan
        writer.add_tensor(name, values)

    tensor("token_embd.weight", len(tokens), d)
    tensor("output_norm.weight", d)
    tensor("output.weight", len(tokens), d)
    for i in range(layers):
        for name, *shape in (
            ("attn_norm", d),
            ("ffn_norm", d),
            ("attn_q", d, d),
            ("attn_k", d, d),
            ("attn_v", d, d),
            ("attn_output", d, d),
            ("ffn_gate", 2 * d, d),
            ("ffn_up", 2 * d, d),
            ("ffn_down", d, 2 * d),
        ):
            tensor(f"blk.{i}.{name}.weight", *shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(autouse=True, scope="session")
def _without_amx():
    """What tests load by llama-cpp-python's own class, as the worker loads it: its AMX kernels crash."""
    try:
        from llama_cpp import llama_cpp as lib
    except ImportError:
        yield
        return
    defaults = lib.llama_model_default_params

    def without():
        parameters = defaults()
        parameters.use_extra_bufts = False
        return parameters

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lib, "llama_model_default_params", without)
        yield


@pytest.fixture(scope="session")
def make_model():
    """`write_model`; skips where the packages are not there."""
    pytest.importorskip("gguf")
    pytest.importorskip("llama_cpp")
    return write_model


@pytest.fixture(scope="session")
def model_file(make_model, tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("gguf") / "random.gguf")
