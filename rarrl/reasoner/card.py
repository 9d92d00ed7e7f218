"""The card beside a model file, which says what the model is, how it was made, and what its hash is."""

from __future__ import annotations

import os
from pathlib import Path

from rarrl.errors import InputError
from rarrl.files import read_file, sha256
from rarrl.llama.gguf import gguf_parts
from rarrl.strict_json import read_json

_MAGIC = b"GGUF"
"""What every GGUF file begins with."""


def checked_model(path: Path) -> Path:
    """Returns `path` if it is a GGUF file and the `card.json` beside it, where there is one, holds its hash.

    Raises: InputError if the file, or a part of a model in several files, is missing, is of another kind, or is not the
        one that the card describes."""
    _check_kind(path)
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


def _check_kind(path: Path) -> None:
    """Raises: InputError for what llama.cpp would refuse in a page of its own words."""
    advice = "write llama:PATH of a GGUF file"
    if os.path.isdir(path):
        raise InputError(f"language model: {path} is a folder; {advice}")
    if not os.path.exists(path):  # False, too, for a name that the system cannot hold
        raise InputError(f"language model: {path} does not exist; {advice}")
    if not os.path.isfile(path):
        raise InputError(f"language model: {path} is no regular file; {advice}")

    try:
        with path.open("rb") as stream:
            begin = stream.read(len(_MAGIC))
    except OSError as error:
        raise InputError(f"language model: {path} cannot be read ({error.strerror}); {advice}") from None
    if begin != _MAGIC:
        raise InputError(f"language model: {path} is no GGUF file (it begins with {begin!r}); {advice}")
