"""Writes files whole or not at all, and reads them with one-line errors."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from rarrl.errors import InputError


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Writes `data` to a temporary file beside `path`, then renames it to `path`. Raises: OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())

        os.chmod(temporary, 0o644)  # mkstemp makes 0600; results are meant to be read by others
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text_atomic(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all. Raises: OSError."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all. Raises: OSError; ValueError for NaN and infinity."""
    write_text_atomic(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_file(path: Path, what: str) -> bytes:
    """Returns the bytes of `path`.

    Raises: InputError that begins with `what` if the path is missing, a folder, or unreadable."""
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise InputError(f"{what}: {path} is a folder; give the path of a file") from None
    except FileNotFoundError:
        raise InputError(f"{what}: {path} does not exist") from None
    except OSError as error:
        raise InputError(f"{what}: {path} cannot be read ({error.strerror})") from None


def sha256(data: bytes) -> str:
    """Returns the SHA-256 of `data` as hex digits."""
    return hashlib.sha256(data).hexdigest()
