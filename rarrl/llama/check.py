"""Whether llama.cpp can compute with a file: it is tried in a process of its own, which llama.cpp may end.

On a file that it does not expect, llama.cpp sometimes aborts instead of returning an error, and with it whoever loaded
the file. `python -m rarrl.llama.check FILE` loads a file and computes two tokens.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from rarrl.errors import InputError, RarrlError
from rarrl.llama.gguf import gguf_parts

TIMEOUT_S = 600.0
"""Seconds for loading a model and two of its tokens: a file of 30 GB from a slow disk."""
TIMES_FILE = 3
"""Memory of the child in sizes of the file: its pages, and copies in another layout."""
SPARE_BYTES = 2 << 30
"""Bytes besides: Python, llama.cpp's buffers."""
LOOK_S = 0.05
"""Seconds between two looks at the child's memory."""
MAX_SAID = 1 << 20
"""Bytes of what llama.cpp prints that are read; it prints a line per tensor."""
TOKENS = 2
"""With two, the positions matter."""


def check_in_child(path: Path) -> None:
    """Loads `path` in llama.cpp and computes two tokens, in a child process.

    Raises: InputError, one line, where llama.cpp refuses the file or ends the process."""
    command = [sys.executable, "-m", "rarrl.llama.check", str(path)]
    most = TIMES_FILE * sum(part.stat().st_size for part in gguf_parts(path)) + SPARE_BYTES
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            _wait(child, path, most)
        finally:
            child.kill()
            child.wait()
        errors.seek(0)
        said = errors.read(MAX_SAID).decode("utf-8", "replace")

    if child.returncode:
        lines = [line for line in said.splitlines() if line.strip()]
        said = next((line for line in lines if "ASSERT" in line or "error" in line.lower()), (lines or ["nothing"])[-1])
        code = child.returncode
        how = f"ends the process ({signal.Signals(-code).name})" if code < 0 else "cannot compute with it"
        reason = " ".join(said.removeprefix("error: ").split())
        reason = re.sub(r"^/\S*/", "", reason)  # the folder that llama.cpp was built in
        raise InputError(f"{path}: llama.cpp {how}: {reason[:200]}; export the model again")


def _wait(child: subprocess.Popen[bytes], path: Path, most: int) -> None:
    """Until the child has ended. Raises: InputError where it takes too long, or more than `most` bytes of memory."""
    end = time.monotonic() + TIMEOUT_S
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(LOOK_S)
            return
        if time.monotonic() >= end:
            raise InputError(f"{path}: llama.cpp did not load it within {TIMEOUT_S:.0f} s")
        taken = _resident_bytes(child.pid)
        if taken > most:
            raise InputError(f"{path}: llama.cpp takes {taken} bytes of memory to load it (allowed: {most})")


def _resident_bytes(pid: int) -> int:
    """Memory of a process; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Computes two tokens with the file that is named; its exit status says whether that worked."""
    from rarrl.llama.runtime import LlamaRuntime

    try:
        with LlamaRuntime(Path(sys.argv[1]), TOKENS) as runtime:
            found = runtime.decode(np.zeros((TOKENS, runtime.width), np.float32), causal=True)
    except RarrlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if np.isfinite(found).all() else _not_finite()


def _not_finite() -> int:
    print("error: its hidden states are not finite", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
