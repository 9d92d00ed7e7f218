"""Whether llama.cpp can compute with a file: it is tried in a process of its own, which llama.cpp may end.

On a file that it does not expect, llama.cpp sometimes aborts instead of returning an error, and with it whoever loaded
the file. `python -m rarrl.llama.check FILE` loads a file and computes two tokens.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from rarrl.errors import InputError, RarrlError

TIMEOUT_S = 600.0
"""Seconds for loading a model and two of its tokens: a file of 30 GB from a slow disk."""
TOKENS = 2
"""With two, the positions matter."""


def check_in_child(path: Path) -> None:
    """Loads `path` in llama.cpp and computes two tokens, in a child process.

    Raises: InputError, one line, where llama.cpp refuses the file or ends the process."""
    command = [sys.executable, "-m", "rarrl.llama.check", str(path)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: llama.cpp did not load it within {TIMEOUT_S:.0f} s") from None

    if done.returncode:
        lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        said = next((line for line in lines if "ASSERT" in line or "error" in line.lower()), (lines or ["nothing"])[-1])
        code = done.returncode
        how = f"ends the process ({signal.Signals(-code).name})" if code < 0 else "cannot compute with it"
        reason = " ".join(said.removeprefix("error: ").split())
        reason = re.sub(r"^/\S*/", "", reason)  # the folder that llama.cpp was built in
        raise InputError(f"{path}: llama.cpp {how}: {reason[:200]}; export the model again")


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
