"""Feeds every parser of outside files and messages with damaged input, and counts what it does not bear.

    python benchmarks/fuzz.py [--only NAME ...] [--runs N] [--seed N] [--json benchmarks/results/fuzz.json]

What may come out of a parser is a value, or the one error that it documents, with a message of one line, of printable
characters, of at most 2,000. Anything else is a crash: another exception, a longer or broken message, more than 10 s of
one input, or the end of the process. Each parser runs in a process of its own, so that the count goes on after a native
fault. `peak_mb`: by how much that process grew at most. `slowest_ms`: processor time of the worst input.

Inputs are damaged copies of valid ones (fuzz_mutators.py): the tree of a document, its bytes, lengths and offsets of
binary files. They are drawn from a seed and made anew each time; none is kept.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fuzz_targets import TARGETS, Target

from rarrl.results import Figure, make_results, write_results

HANG_S = 10.0
"""Seconds of one input; a parser that takes as long blocks whoever called it."""
MAX_MESSAGE = 2000
"""Characters of an error message."""
MAX_GROWTH = 3 << 30
"""Bytes by which a process may grow; more ends in MemoryError, which is a crash."""
RAM = Path("/dev/shm")
"""Where files are written, so that a disk is not what is measured."""


class HungError(BaseException):
    """An input took longer than HANG_S."""


@dataclass
class Found:
    """What one parser did. outcomes: distinct ones, digits and quoted values taken out. crashes: kind -> how often."""

    executions: int = 0
    accepted: int = 0
    refused: int = 0
    outcomes: int = 0
    crashes: dict[str, int] = field(default_factory=dict)
    peak_mb: float = 0.0
    slowest_ms: float = 0.0
    slowest_bytes: int = 0
    seconds: float = 0.0
    example: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 where anything crashed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="names of parsers")
    parser.add_argument("--runs", type=int, default=0, help="executions of each; 0: as many as each is given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--children", type=int, default=60, help="GGUF files that llama.cpp loads in a child process")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)

    rows, children = _known(given.json) if given.only and given.json else ({}, {})
    if given.children:
        children = llama_children(given.children, given.seed)
    for target in TARGETS:
        if given.only and target.name not in given.only:
            continue
        if why := target.missing():
            print(f"{target.name:28} left out: {why}")
            continue
        rows[target.name] = fuzz(target, given.runs or target.runs, given.seed)
        print(line(target.name, rows[target.name]), flush=True)
        if given.json:  # after each, so that a run that is stopped has told what it found
            _write(given.json, rows, children, given.seed)

    crashes = sum(sum(found.crashes.values()) for found in rows.values()) + children.get("parent_crashes", 0)
    executions = sum(found.executions for found in rows.values())
    print(f"{executions} executions of {len(rows)} parsers, {crashes} crashes")
    return 1 if crashes else 0


def _known(path: Path) -> tuple[dict[str, Found], dict[str, int]]:
    """Rows of an earlier run, of which some parsers are run again, and its count of llama.cpp's children."""
    if not path.is_file():
        return {}, {}
    tables = json.loads(path.read_text("utf-8"))["tables"]
    children = next(iter(tables["llama.cpp in a child process"]), {})
    table = tables["parsers"]
    return {
        row["parser"]: Found(**{key: value for key, value in row.items() if key != "parser"}) for row in table
    }, children


def _write(path: Path, rows: dict[str, Found], children: dict[str, int], seed: int) -> None:
    crashes = sum(sum(found.crashes.values()) for found in rows.values()) + children.get("parent_crashes", 0)
    executions = sum(found.executions for found in rows.values())
    figures = {
        "executions": Figure(executions, "count"),
        "parsers": Figure(len(rows), "count"),
        "least_executions": Figure(min(found.executions for found in rows.values()), "count"),
        "crashes": Figure(crashes, "count", executions, 0.0, 3.0 if not crashes else None),
        "peak_mb": Figure(max(found.peak_mb for found in rows.values()), "MB"),
        "slowest_ms": Figure(max(found.slowest_ms for found in rows.values()), "ms"),
    }
    table = [{"parser": name, **asdict(found)} for name, found in rows.items()]
    tables = {"parsers": table, "llama.cpp in a child process": [children] if children else []}
    write_results(path, make_results("python benchmarks/fuzz.py", seed, figures, tables))


def line(name: str, found: Found) -> str:
    """One row for people."""
    text = (
        f"{name:28} {found.executions:7} runs, {found.accepted:6} accepted, {found.outcomes:5} outcomes, "
        f"{found.peak_mb:6.0f} MB, slowest {found.slowest_ms:7.1f} ms, {found.seconds:5.0f} s"
    )
    return text + "".join(f"\n    CRASH {count} x {kind}" for kind, count in sorted(found.crashes.items()))


def llama_children(n: int, seed: int) -> dict[str, int]:
    """What became of `n` damaged GGUF files, of which llama.cpp sees those that our own reader takes.

    child_crashes: it ended its process. parent_crashes: anything else than the documented error came out of ours."""
    from fuzz_mutators import gguf_of
    from fuzz_targets import small_gguf

    from rarrl.errors import InputError
    from rarrl.llama.check import check_in_child
    from rarrl.llama.gguf import read_gguf

    counts = Counter(offered=0, loaded=0, refused=0, child_crashes=0, parent_crashes=0)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "m.gguf"
        mutate = gguf_of([small_gguf(Path(place) / "seed.gguf")])
        for number in range(200 * n):
            path.write_bytes(mutate(random.Random(f"llama {seed} {number}")))
            try:
                read_gguf(path)
            except InputError:
                continue
            counts["offered"] += 1
            try:
                check_in_child(path)
                counts["loaded"] += 1
            except InputError as error:
                counts["child_crashes" if "ends the process" in str(error) else "refused"] += 1
                counts["parent_crashes"] += bool(fault_of(str(error)))
            except Exception:
                counts["parent_crashes"] += 1
            if counts["offered"] == n:
                break
    print(f"llama.cpp in a child process: {dict(counts)}")
    return dict(counts)


def fuzz(target: Target, runs: int, seed: int) -> Found:
    """Runs a parser in a process of its own, again after each native fault."""
    total = Found()
    first = 0
    context = multiprocessing.get_context("fork")
    while first < runs:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(target, first, runs, seed, theirs))
        process.start()
        theirs.close()
        found, done = None, -1
        while True:
            try:
                message = ours.recv()
            except EOFError:
                break
            if isinstance(message, Found):
                found = message
            else:
                done = message
        process.join()
        if found is not None:
            return _joined(total, found)
        if done < 0 and process.exitcode == 1:
            raise RuntimeError(f"{target.name}: it could not begin; its traceback is above")
        done = max(done, first)
        kind = f"native fault ({signal.Signals(-process.exitcode).name})" if (process.exitcode or 0) < 0 else "exit"
        total.crashes[kind] = total.crashes.get(kind, 0) + 1
        total.executions += done + 1 - first
        first = done + 1
    return total


def _joined(a: Found, b: Found) -> Found:
    b.executions += a.executions
    b.crashes = dict(Counter(a.crashes) + Counter(b.crashes))
    return b


def _work(target: Target, first: int, runs: int, seed: int, pipe: Any) -> None:
    signal.signal(signal.SIGALRM, _hang)
    with tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None) as place:
        parse, mutate = target.start(Path(place))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _limit_memory()
        found, seen, begun = Found(), set(), time.perf_counter()
        for number in range(first, runs):
            data = mutate(random.Random(f"{target.name} {seed} {number}"))
            if target.native:  # only these can end the process
                pipe.send(number)
            run_once(target, parse, data, found, seen, place)
        found.outcomes = len(seen)
        found.peak_mb = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown) / 1024, 1)
        found.seconds = round(time.perf_counter() - begun, 1)
        pipe.send(found)


def run_once(target: Target, parse: Any, data: bytes, found: Found, seen: set[str], place: str = "") -> None:
    """One input: counts what came out."""
    found.executions += 1
    start = time.thread_time()
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    crash = ""
    try:
        parse(data)
        found.accepted += 1
        seen.add("accepted")
    except target.errors as error:
        found.refused += 1
        text = str(error)
        crash = fault_of(text)
        seen.add(outcome(text.replace(place, "DIR") if place else text))
    except HungError:
        crash = f"more than {HANG_S:.0f} s"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever it is, it is what is looked for
        where = [f for f in traceback.extract_tb(error.__traceback__) if "/fuzz" not in f.filename]
        last = next((f for f in reversed(where) if "rarrl" in f.filename), where[-1] if where else None)
        at = f" at {Path(last.filename).name}:{last.lineno} ({last.name})" if last else ""
        crash = f"{type(error).__name__}{at}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    took_ms = 1e3 * (time.thread_time() - start)
    if took_ms > found.slowest_ms:
        found.slowest_ms, found.slowest_bytes = round(took_ms, 1), len(data)
    if crash:
        found.crashes[crash] = found.crashes.get(crash, 0) + 1
        if DEBUG and found.crashes[crash] == 1:
            sys.stderr.write(f"{target.name}: {crash}: {data[:600]!r}\n")


DEBUG = False


def fault_of(message: str) -> str:
    """What is wrong with an error message; "" where it is as it should be.

    >>> fault_of("config: a.yaml: key x is unknown"), fault_of("two\\nlines"), fault_of("")
    ('', 'message of several lines', 'empty message')
    """
    if not message:
        return "empty message"
    if len(message.splitlines()) > 1:
        return "message of several lines"
    if not message.isprintable():
        return "message with control characters"
    return f"message of more than {MAX_MESSAGE} characters" if len(message) > MAX_MESSAGE else ""


def outcome(message: str) -> str:
    """A message without what differs from input to input."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "#", message)[:100]


def _hang(*_: object) -> None:
    raise HungError


def _limit_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as stream:
        now = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MAX_GROWTH, resource.RLIM_INFINITY))


if __name__ == "__main__":
    DEBUG = "--debug" in sys.argv
    sys.exit(main([word for word in sys.argv[1:] if word != "--debug"]))
