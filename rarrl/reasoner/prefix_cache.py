"""What a model made of the fixed beginning of its prompts, kept between runs in the user's cache folder.

A large part of each prompt is always the same. Reading it costs seconds on a robot's processor; its result, the model's
state, is read from a file within milliseconds. Files are written whole, are checked by their hash, and are few."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from rarrl.files import write_bytes_atomic

MAX_STATE = 256 << 20
"""Bytes of one state: 2,000 tokens of a model with 8 billion parameters. Larger ones are not kept."""
MAX_FOLDER = 512 << 20
"""Bytes of the whole folder; the files that were used longest ago go first."""
_MAGIC = b"rarrl prefix 1\n"
_HASH_BYTES = hashlib.sha256().digest_size
_SAMPLES = 64
"""Places of a model file that its fingerprint looks at, besides its beginning."""
_SAMPLE_BYTES = 16 << 10
_HEAD_BYTES = 1 << 20
"""Bytes at the beginning, where a GGUF file says what it is."""


def folder() -> Path:
    """The cache folder: `$XDG_CACHE_HOME/rarrl/prefixes`, or in `~/.cache`."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given if os.path.isabs(given) else Path.home() / ".cache") / "rarrl" / "prefixes"


def fingerprint(model: Path) -> str:
    """Tells model files apart without reading all of their gigabytes: by size, time, beginning, and samples."""
    about = model.stat()
    found = hashlib.sha256(f"{about.st_size} {about.st_mtime_ns}".encode())
    with model.open("rb") as stream:
        found.update(stream.read(_HEAD_BYTES))
        for i in range(_SAMPLES):
            stream.seek(about.st_size * i // _SAMPLES)
            found.update(stream.read(_SAMPLE_BYTES))

    return found.hexdigest()


class PrefixCache:
    """The states of one model's prefixes. Nothing here raises: without a cache a model only takes longer."""

    def __init__(self, model: Path, version: str, where: Path | None = None) -> None:
        """version: of whatever makes the states; another version's states are never read."""
        self._model = model
        self._version = version
        self._where = where

    def load(self, tokens: Sequence[int]) -> bytes | None:
        """Returns the state after `tokens`, None if there is none or the file is damaged."""
        with contextlib.suppress(OSError, RuntimeError):  # no home folder is a RuntimeError
            path = self._path(tokens)
            if path.stat().st_size > MAX_STATE + len(_MAGIC) + _HASH_BYTES:
                return None

            data = path.read_bytes()
            start = len(_MAGIC) + _HASH_BYTES
            state = data[start:]
            if data[:start] == _MAGIC + hashlib.sha256(state).digest():
                with contextlib.suppress(OSError):
                    os.utime(path)
                return state

            path.unlink(missing_ok=True)
        return None

    def save(self, tokens: Sequence[int], state: bytes) -> None:
        """Keeps the state after `tokens` if it is not too large."""
        if not 0 < len(state) <= MAX_STATE:
            return

        with contextlib.suppress(OSError, RuntimeError):
            path = self._path(tokens)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_bytes_atomic(path, _MAGIC + hashlib.sha256(state).digest() + state)
            _prune(path.parent)

    def forget(self, tokens: Sequence[int]) -> None:
        """Removes the state after `tokens`: the model did not take it."""
        with contextlib.suppress(OSError, RuntimeError):
            self._path(tokens).unlink(missing_ok=True)

    def _path(self, tokens: Sequence[int]) -> Path:
        key = json.dumps([fingerprint(self._model), self._version, list(tokens)])
        return (self._where or folder()) / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.state"


def _prune(where: Path) -> None:
    """Removes the files that were used longest ago until the rest fits into `MAX_FOLDER`.

    Half-written files of processes that were killed count, too."""
    files = []
    for path in (*where.glob("*.state"), *where.glob(".*.state.*")):
        with contextlib.suppress(OSError):  # another process has just removed it
            about = path.stat()
            files.append((about.st_mtime, about.st_size, path))

    total = 0
    for _, size, path in sorted(files, reverse=True):
        total += size
        if total > MAX_FOLDER:
            with contextlib.suppress(OSError):
                path.unlink()
