"""What the first minutes cost a new user: from `git clone` to the picture of `make demo`, with an empty pip cache.

    python benchmarks/clone_to_picture.py HEAD --python python3.12
    python benchmarks/clone_to_picture.py c6d8b0e HEAD --python python3.11    # gives the ratios too

Each commit is cloned into a folder of its own and made there as a user would, with nothing of this checkout, of its
environment or of pip's configuration but certificates, proxies and find-links. A row is kept in --json; rows of other
commits and Pythons stay there, so that a long one can be measured by itself. Counted:

    cpu_s            processor seconds of git, make and all that they start: other work changes them little
    wall_s           seconds until `make demo` ends; picture_s: until report.png lies there
    downloaded_mb    what pip took, by its log, and wheels from find-links, as if they had come by network; no pages
    clone_mb         what git took

A ratio is to commit c6d8b0e, below 1 the other takes less. One run each, so without an interval: half
of it is downloads and a compiler, which vary little in processor seconds and bytes, and much in wall time."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rarrl.results import Figure, make_results, write_results

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "clone_to_picture.json"
KEPT = re.compile(
    r"PATH|HOME|LANG|LC_.*|TMPDIR|SSL_.*|(?i:https?|no|all)_(?i:proxy)|PIP_(CERT|PROXY|FIND_LINKS|DEFAULT_TIMEOUT)"
)
"""Environment variables that a new user may have as well."""
DOWNLOADED = re.compile(r"Downloading (\S+) \(([\d.]+) (bytes|kB|MB|GB)\)")
LOCAL_WHEEL = re.compile(r"\bProcessing (/\S+\.whl)")
UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
AGAINST = "c6d8b0e"
"""The commit that others are held against."""
POLL_S = 0.5
MB = 1e6


@dataclass(frozen=True)
class Minutes:
    """Of one commit under one Python. install_*: until `rarrl demo` could begin; the rest until it ended. None: not
    known of this run, such as wall times of one that waited for other work."""

    commit: str
    python: str
    clone_mb: float
    downloaded_mb: float | None
    install_wall_s: float | None
    install_cpu_s: float | None
    picture_s: float | None
    wall_s: float | None
    cpu_s: float | None


def size_mb(folder: Path) -> float:
    """Sum of the sizes of all files under `folder`, MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MB


def downloaded_mb(log: str) -> float:
    """Sum of what pip, by its log, took from the network, and from folders of this machine as if from there, MB."""
    files = {name: float(number) * UNITS[unit] for name, number, unit in DOWNLOADED.findall(log)}
    return (sum(files.values()) + sum(Path(name).stat().st_size for name in set(LOCAL_WHEEL.findall(log)))) / MB


def said(*command: str) -> str:
    """What a command printed, in this checkout."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


class Stopwatch:
    """Runs commands, and adds up the processor seconds of all that they start and wait for."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.cpu_s = 0.0
        self.picture_s: float | None = None
        self._environment, self._log, self._began = environment, log, time.monotonic()

    @property
    def wall_s(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._began

    def run(self, folder: Path, *command: str) -> None:
        """Runs `command` in `folder` and notes when a report.png is there. Raises: SystemExit where it fails."""
        with self._log.open("ab") as log:
            child = subprocess.Popen(
                command, cwd=folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            while (ended := os.wait4(child.pid, os.WNOHANG))[0] == 0:
                self._look(folder)
                time.sleep(POLL_S)
        self._look(folder)
        child.returncode = os.waitstatus_to_exitcode(ended[1])
        self.cpu_s += ended[2].ru_utime + ended[2].ru_stime
        if child.returncode:
            tail = self._log.read_text("utf-8", "replace")[-3000:]
            raise SystemExit(f"{' '.join(command)} in {folder} ended with {child.returncode}:\n{tail}")

    def _look(self, folder: Path) -> None:
        if self.picture_s is None and any(folder.glob("runs/**/report.png")):
            self.picture_s = self.wall_s


def measure(commit: str, python: str, folder: Path) -> Minutes:
    """Clones `commit` into `folder`/clone and runs `make demo` there. `folder` is empty."""
    clone, log = folder / "clone", folder / "pip.log"
    clone.mkdir()
    environment = {key: value for key, value in os.environ.items() if KEPT.fullmatch(key)}
    environment |= {"PIP_CACHE_DIR": str(folder / "cache"), "PIP_LOG": str(log), "PIP_CONFIG_FILE": os.devnull}
    watch = Stopwatch(environment, folder / "log.txt")

    watch.run(clone, "git", "init", "-q")
    watch.run(clone, "git", "fetch", "-q", "--no-tags", ROOT.as_uri(), said("git", "rev-parse", commit))
    watch.run(clone, "git", "checkout", "-q", "FETCH_HEAD")
    watch.run(clone, "make", "demo", f"PYTHON={python}", "ARGS=--help")  # installs, and plays nothing
    install_wall_s, install_cpu_s = watch.wall_s, watch.cpu_s
    watch.run(clone, "make", "demo", f"PYTHON={python}")
    if watch.picture_s is None:
        raise SystemExit(f"{commit}: `make demo` left no report.png")

    version = said(str(clone / ".venv/bin/python"), "-c", "import platform; print(platform.python_version())")
    return Minutes(
        commit,
        version,
        *(
            round(value, 1)
            for value in (
                size_mb(clone / ".git" / "objects"),
                downloaded_mb(log.read_text("utf-8", "replace")),
                install_wall_s,
                install_cpu_s,
                watch.picture_s,
                watch.wall_s,
                watch.cpu_s,
            )
        ),
    )


def ratios(ours: Minutes, theirs: Minutes) -> dict[str, Figure]:
    """What `ours` takes of what `theirs` takes."""
    pairs = {
        "clone_to_picture_ratio": (ours.cpu_s, theirs.cpu_s),
        "clone_to_picture_wall_ratio": (ours.picture_s, theirs.picture_s),
        "downloaded_ratio": (ours.downloaded_mb, theirs.downloaded_mb),
    }
    return {name: Figure(round(a / b, 3), "ratio", 1) for name, (a, b) in pairs.items() if a and b}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("commits", nargs="+", help="one, or two to compare")
    parser.add_argument("--python", default="python3.11")
    parser.add_argument("--folder", type=Path, help="where to clone; as delivered a temporary one")
    parser.add_argument("--json", type=Path, default=RESULTS)
    args = parser.parse_args()

    rows = []
    if args.json.exists():
        rows = [Minutes(**row) for row in json.loads(args.json.read_text("utf-8"))["tables"]["runs"]]
    for commit in args.commits:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            row = measure(said("git", "rev-parse", "--short=7", commit), args.python, Path(folder))
        print(row, f"load {os.getloadavg()[0]:.1f}", flush=True)
        rows = [other for other in rows if (other.commit, other.python) != (row.commit, row.python)] + [row]
        command = f"python benchmarks/clone_to_picture.py {commit} --python {args.python}"
        write_results(args.json, make_results(command, 0, figures(rows), {"runs": [asdict(each) for each in rows]}))


def figures(rows: list[Minutes]) -> dict[str, Figure]:
    """The ratios of the newest run to that of AGAINST under the same Python; {} where one of them is lacking."""
    for ours in reversed(rows):
        for theirs in rows:
            if theirs.commit == AGAINST != ours.commit and theirs.python == ours.python:
                return ratios(ours, theirs)
    return {}


if __name__ == "__main__":
    main()
