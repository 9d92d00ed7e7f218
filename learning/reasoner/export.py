"""Writes the planner model as GGUF, tokenizer included: llama.cpp needs nothing else. Needs gguf (extra [train])."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rarrl.reasoner.deliberate import TRAINED
from rarrl.reasoner.prompt import END, MARKS, json_pieces

from .tokenizer import PRE_TOKENIZER

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from .train import Shape


def export_gguf(path: Path, shape: Shape, tokenizer: Tokenizer, weights: Mapping[str, np.ndarray]) -> None:
    """Matrices as Q8_0 (8.5 bits a weight), vectors as float32. Whole or not at all.

    weights: by GGUF names, as `Trained.weights`; the output layer is the embedding."""
    import gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(fd)

    try:
        writer = gguf.GGUFWriter(temporary, "llama")
        writer.add_name(TRAINED)
        writer.add_block_count(shape.layers)
        writer.add_context_length(shape.context)
        writer.add_embedding_length(shape.width)
        writer.add_feed_forward_length(shape.ffn)
        writer.add_vocab_size(shape.vocabulary)
        writer.add_head_count(shape.heads)
        writer.add_head_count_kv(shape.heads)
        writer.add_layer_norm_rms_eps(shape.norm_eps)
        writer.add_rope_dimension_count(shape.width // shape.heads)
        writer.add_rope_freq_base(shape.rope_base)
        _add_tokenizer(writer, tokenizer)
        for name, weight in weights.items():
            if weight.ndim == 1:
                writer.add_tensor(name, np.ascontiguousarray(weight, np.float32))
            else:
                kind = gguf.GGMLQuantizationType.Q8_0
                writer.add_tensor(
                    name, gguf.quants.quantize(np.ascontiguousarray(weight, np.float32), kind), raw_dtype=kind
                )

        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _add_tokenizer(writer, tokenizer: Tokenizer) -> None:  # type: ignore[no-untyped-def]
    import gguf

    settings = json.loads(tokenizer.to_str())
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = dict.fromkeys(json_pieces(), gguf.TokenType.USER_DEFINED) | dict.fromkeys(MARKS, gguf.TokenType.CONTROL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in tokens])
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in settings["model"]["merges"]])
    writer.add_eos_token_id(vocabulary[END])
    writer.add_bos_token_id(vocabulary[END])  # llama.cpp wants one; it is never added
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
