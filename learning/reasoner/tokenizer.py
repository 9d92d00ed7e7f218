"""The planner model's tokenizer: byte-level BPE with GPT-2's rules; JSON pieces and marks are single tokens.

Trained with `tokenizers` (extra [train]); a robot never imports it: the GGUF file carries the vocabulary and
llama.cpp tokenizes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rarrl.reasoner.prompt import MARKS, json_pieces

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCABULARY_SIZE = 3072  # tokens; the embedding is then about an eighth of the model's weights
PRE_TOKENIZER = "gpt-2"  # llama.cpp's name of the rules below


def train_tokenizer(sentences: Iterable[str], size: int = VOCABULARY_SIZE) -> Tokenizer:
    """Byte-level BPE on cleaned sentences. Ids: the merges' vocabulary, then JSON pieces, then marks."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    pieces = json_pieces()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(pieces) - len(MARKS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((" " + sentence for sentence in sentences), trainer)
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in pieces])
    tokenizer.add_special_tokens([AddedToken(mark, normalized=False) for mark in MARKS])

    return tokenizer
