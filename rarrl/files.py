"""Writes files whole or not at all, and reads them with one-line errors."""

import hashlib
import json
import os
import stat
import tempfile
import zipfile
from io import BytesIO
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


MAX_FILE_BYTES = 64 * 1024 * 1024
"""Bytes: larger files are refused before they are read, because a robot's computer has little memory to spare."""
MAX_WEIGHTS_BYTES = 1 << 30
"""Bytes of a file of weights that is read whole; language models are not, they are mapped."""


def check_regular_file(path: Path, what: str, max_bytes: int = MAX_FILE_BYTES) -> None:
    """Refuses what should not be read.

    Raises: InputError if nothing is there, or it is a folder, a device, a pipe, or larger than `max_bytes`."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise InputError(f"{what}: {path} does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise InputError(f"{what}: {str(path)[:200]!r} cannot be read ({error})") from None

    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{what}: {path} is a folder; give the path of a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{what}: {path} is not a regular file; copy it to one first")
    if status.st_size > max_bytes:
        raise InputError(f"{what}: {path} has {status.st_size} bytes, at most {max_bytes} are read; split the file")


def read_file(path: Path, what: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Returns the bytes of `path`.

    Raises: InputError that begins with `what` as `check_regular_file`, or if the path is unreadable."""
    check_regular_file(path, what, max_bytes)
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise InputError(f"{what}: {path} is a folder; give the path of a file") from None
    except FileNotFoundError:
        raise InputError(f"{what}: {path} does not exist") from None
    except OSError as error:
        raise InputError(f"{what}: {path} cannot be read ({error.strerror})") from None


def read_npz(path: Path, what: str, max_bytes: int = MAX_WEIGHTS_BYTES) -> dict[str, Any]:
    """Returns the arrays of numpy's .npz by name; pickles are refused.

    Raises: InputError that begins with `what`; also for one that would unpack to more than `max_bytes`."""
    import numpy as np

    data = read_file(path, what)
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > max_bytes:
            raise InputError(f"{what}: {path} unpacks to {unpacked} bytes, at most {max_bytes} are read")
        with np.load(BytesIO(data), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and numpy each raise their own for one thing: it is no such file
        raise InputError(f"{what}: {path} is not a whole .npz file ({type(error).__name__}: {error})") from None


def sha256(data: bytes) -> str:
    """Returns the SHA-256 of `data` as hex digits."""
    return hashlib.sha256(data).hexdigest()
