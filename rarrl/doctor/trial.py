"""What is installed, and what happens where it is tried in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

Installed = Callable[[str], str | None]
"""Returns the version of an installed distribution, None if it is not installed."""
Try = Callable[[str, Mapping[str, str]], str]
"""Runs Python code in a process of its own, with these environment variables; returns "" or why it failed."""
TRY_S = 30.0
"""Seconds that a trial may take. Each takes about one; a slow machine that is busy needs ten times as much."""
MAX_REASON = 160
"""Characters of another program's last line in a finding: what fits on two lines of a terminal."""


def installed(distribution: str) -> str | None:
    """Returns the version of `distribution` in this environment, None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def try_python(code: str, environment: Mapping[str, str], python: str = sys.executable) -> str:
    """Runs `code` in a process of its own; returns "" or, where it fails, the last line that it wrote."""
    try:
        done = subprocess.run(
            [python, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRY_S,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TRY_S:g} s"
    except OSError as error:
        return f"{python}: {error.strerror}"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"it was ended by {signal.Signals(-done.returncode).name}"

    written = done.stderr.partition("Exception ignored in")[0] or done.stderr  # what fails after the failure says less
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if re.match(r"[\w.]*(Error|Exception)\b", line)] or [len(lines) - 1]
    last = lines[errors[-1] :]
    if not last:
        return f"exit status {done.returncode}"
    return (" ".join(last) if last[0].endswith(":") else last[0])[:MAX_REASON]  # some begin on the line below


def place_of(module: str) -> str | None:
    """Returns the file that `import module` would load, without loading it; None if there is none."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()), None) if spec else None


def way_out(reason: str, distribution: str) -> str:
    """What to do about a compiled package that is there and does not load. reason: as `try_python` returns it.

    >>> way_out("ImportError: libGL.so.1: cannot open shared object file", "opencv-python")
    'apt install libgl1 (opencv-python-headless needs none)'
    """
    if re.search(r"multiarray failed to import|_ARRAY_API|compiled using NumPy|dtype size changed", reason):
        return (
            f'it was compiled for another NumPy: pip install "numpy<2" where it comes from Debian or ROS, else '
            f"pip install --force-reinstall --no-deps {distribution}"
        )
    if "SIGILL" in reason:
        return (
            "it was compiled for another processor; compile it here: "
            f"pip install --force-reinstall --no-deps --no-cache-dir --no-binary {distribution} {distribution}"
        )
    if "libGL.so" in reason:
        return "apt install libgl1 (opencv-python-headless needs none)"
    if "cannot open shared object file" in reason:
        return "install that library, or take what hides it out of LD_LIBRARY_PATH"
    return f"its files are not whole: pip install --force-reinstall --no-deps {distribution}"
