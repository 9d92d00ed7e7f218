"""The card beside a model file, which says what the model is, how it was made, and what its hash is."""

from __future__ import annotations

from pathlib import Path

from rarrl.errors import InputError
from rarrl.files import read_file, sha256
from rarrl.llama.gguf import gguf_parts
from rarrl.strict_json import read_json


def checked_model(path: Path) -> Path:
    """Returns `path` if the `card.json` beside it holds the file's hash; a file without a card is not checked.

    Raises: InputError if the file, or a part of a model in several files, is missing, or is not the one that the card
        describes."""
    if path.is_file():
        gguf_parts(path)
    card = path.with_name("card.json")
    if not card.is_file():
        return path

    content = read_json(card, "model card")
    files = content.get("files") if isinstance(content, dict) else None
    expected = files.get(path.name) if isinstance(files, dict) else None
    if expected is not None and sha256(read_file(path, "language model")) != expected:
        raise InputError(
            f"language model: {path} is not the file that {card.name} describes (sha256 {str(expected)[:12]}...); "
            "install rarrl again, or remove the card"
        )

    return path
