"""The tokenizer before it becomes part of a GGUF file; see test_train.py for llama.cpp's side."""

import pytest

from rarrl.reasoner.prompt import MARKS, json_pieces

pytest.importorskip("tokenizers")

from rarrl_learning.reasoner.tokenizer import train_tokenizer

SENTENCES = [f"put the {thing} on the {place}" for thing in ("mug", "plate", "egg") for place in ("desk", "shelf")]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(SENTENCES)


def test_pieces_and_marks_are_single_tokens_after_the_merges(tokenizer):
    ids = [tokenizer.encode(piece, add_special_tokens=False).ids for piece in (*json_pieces(), *MARKS)]
    assert all(len(found) == 1 for found in ids)
    numbers = [found[0] for found in ids]
    assert len(set(numbers)) == len(numbers) and min(numbers) >= 256  # the bytes come first


@pytest.mark.parametrize("text", [" put the mug on the desk", " ünknown 日本 😀"])
def test_every_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_the_same_sentences_give_the_same_tokenizer(tokenizer):
    assert train_tokenizer(SENTENCES).to_str() == tokenizer.to_str()
