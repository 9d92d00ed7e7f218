"""Runs pip, and says how far it is: `python tools/pip_with_progress.py LOG install ...`.

pip shows a wheel that is compiled as a line that turns; llama.cpp takes minutes. Standard library alone. All that pip
prints goes to LOG, and its end to the terminal where pip fails. Exits as pip does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

COMPILED = re.compile(r"^\s*\[(\d+)/(\d+)\] \S")
"""What ninja prints as it begins a file."""
DOWNLOADED = re.compile(r"Downloading \S*?([^/\s]+?)(?:\.metadata)?(?: \(([^)]*)\))?$")
TOLD_AT_THE_END = 40
"""Lines of pip's that a failure shows."""
TOLD_AT_LEAST = 0.1
"""Share of the compile after which a terminal that cannot overwrite its line is told again."""


def steps(lines: Iterable[str]) -> Iterator[tuple[str, float]]:
    """What pip is at, and how much of that is done (0 to 1, 0 where unknown), from the lines that it prints."""
    for line in lines:
        if compiled := COMPILED.search(line):
            done, of = map(int, compiled.groups())
            yield f"compiling llama.cpp: {done} of {of} files", done / of
        elif (downloaded := DOWNLOADED.search(line.strip())) and downloaded[2] and not line.strip().endswith("kB)"):
            yield f"downloading {downloaded[1].split('-')[0]} ({downloaded[2]})", 0.0
        elif "Installing collected packages" in line:
            yield "installing", 0.0


def main(log: Path, arguments: list[str]) -> int:
    """Runs pip with these arguments and returns its exit status."""
    last: deque[str] = deque(maxlen=TOLD_AT_THE_END)
    command = [sys.executable, "-m", "pip", *arguments, "-v", "--progress-bar", "off"]
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as pip,
    ):

        def printed() -> Iterator[str]:
            for line in pip.stdout or ():
                file.write(line)
                last.append(line)
                yield line

        told = 0.0
        for text, done in steps(printed()):
            if sys.stdout.isatty():
                print(f"\r\033[K   {text}", end="", flush=True)
            elif not done or done >= told + TOLD_AT_LEAST or done == 1:
                told = done
                print(f"   {text}", flush=True)

    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)
    if pip.returncode:
        print("".join(last), f"\npip failed; all that it printed: {log}", sep="", file=sys.stderr)
    return pip.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
