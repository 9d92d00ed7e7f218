"""The card beside a model file: what it is, how it was made, and its hash."""

from __future__ import annotations

from pathlib import Path

from rarrl.errors import InputError
from rarrl.files import read_file, sha256
from rarrl.strict_json import read_json


def checked_model(path: Path) -> Path:
    """`path`, where the `card.json` beside it holds its hash; a file without a card is its owner's affair.

    Raises: InputError where the file is missing or is not the one that the card describes."""
    card = path.with_name("card.json")
    if not card.is_file():
        return path

    told = read_json(card, "model card")
    files = told.get("files") if isinstance(told, dict) else None
    expected = files.get(path.name) if isinstance(files, dict) else None
    if expected is not None and sha256(read_file(path, "language model")) != expected:
        raise InputError(
            f"language model: {path} is not the file that {card.name} describes (sha256 {str(expected)[:12]}...); "
            "install rarrl again, or remove the card"
        )

    return path
