"""What comes over wires and in files: damaged models and settings, pickles, a flood of instructions, strangers at the
policy server's port, a disk that takes nothing. Each is played in this process, with the readers that the nodes use."""

from __future__ import annotations

import contextlib
import resource
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .row import Row, Trial
from .strangers import strangers
from .wire_files import device, gguf, outside, pickled, profile, refused, settings, skills, weights

FLOOD_HZ, FLOOD_S = 1000, 3
"""Instructions a second, and simulated seconds of them."""
MAX_TASK_S = 1.0
"""Seconds of processor time in which the executive must take an instruction in, whatever it holds."""
DISK_BYTES = 200
"""Bytes that a file may have in the row of a full disk: less than a task's journal, or the counts of skills."""


def flood(trials: int, seed: int) -> list[Trial]:
    """FLOOD_HZ instructions a second, through the pace of the executive's node, on a simulated clock."""
    from rarrl.executive.executive import TaskExecutive
    from rarrl.executive.paced import Paced
    from rarrl.skills.domain import domain_of

    from ..executive_node import INSTRUCTION_S, MAX_HEARD

    domain = domain_of("robot:alfred")
    found = []
    for number in range(trials):
        executive = TaskExecutive(domain)
        paced = Paced[str](INSTRUCTION_S)
        begun, worst_s, exceptions = 0, 0.0, 0
        last = ""
        for tick in range(FLOOD_HZ * FLOOD_S + FLOOD_HZ):
            now_s = tick / FLOOD_HZ
            if tick < FLOOD_HZ * FLOOD_S:
                last = f"put mug {seed} {number} {tick} on the desk"
                paced.offer(last[:MAX_HEARD])
            heard = paced.due(now_s)
            if heard is None:
                continue
            start = time.thread_time()
            try:
                executive.instruct(heard, now_s)
            except Exception:
                exceptions += 1
            begun += 1
            worst_s = max(worst_s, time.thread_time() - start)
        report = executive.report
        newest = report is not None and report.task is not None and report.task.goal == last
        many = begun > (FLOOD_S + 1) / INSTRUCTION_S + 1
        counts = {"exceptions": exceptions, "begun": begun, "dropped": paced.dropped}
        found.append(
            Trial(
                detect_s=worst_s,
                outputs=begun,
                unsafe=int(not newest or many),
                counts=counts,
                note=f"{begun} tasks begun, {paced.dropped} dropped" + ("" if newest else ", not the newest"),
            )
        )
    return found


TEXTS = (
    "x" * 10_000_000,
    "put " * 2_500_000,
    "\x1b[2J\x07\x00 put a mug\r\n on the desk" * 100,
    "\u202eput\u2028a mug\u200b",
    "𝄞" * 1_000_000,
    "{}[]%s$HOME../../" * 1000,
)
"""Instructions that nobody would say: 10 MB, control characters, writing that runs backwards, other signs."""


def texts(trials: int, seed: int) -> list[Trial]:
    """What becomes of them: a goal of one printable line, in time, in memory that does not grow with the text."""
    from rarrl.executive.executive import TaskExecutive
    from rarrl.skills.domain import domain_of

    from ..executive_node import MAX_HEARD

    executive = TaskExecutive(domain_of("robot:alfred"))
    found = []
    for number in range(trials):
        text = TEXTS[number % len(TEXTS)]
        start = time.thread_time()
        exceptions = 0
        try:
            executive.instruct(text[:MAX_HEARD].strip(), float(number))
        except Exception:
            exceptions = 1
        took_s = time.thread_time() - start
        report = executive.report
        goal = report.task.goal if report is not None and report.task is not None else ""
        bad = not goal.isprintable() or len(goal) > 500
        found.append(Trial(detect_s=took_s, unsafe=int(bad), counts={"exceptions": exceptions}, note=repr(goal[:60])))
    return found


@contextlib.contextmanager
def _small_disk() -> Iterator[None]:
    """Files of this process end at DISK_BYTES, with an error as that of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heard)


def full_disk(trials: int, seed: int) -> list[Trial]:
    """The journal and the counts of skills on a full disk, and a damaged file where nothing can be set aside: an error
    that the node tells (executive_node: ERROR in /diagnostics), the file of before as it was, no half-written one."""
    return [_written(number % 3) for number in range(trials)]


def _written(way: int) -> Trial:
    from rarrl.executive.executive import TaskExecutive
    from rarrl.executive.journal import Journal
    from rarrl.orchestrator.skill_statistics import SkillStatistics, Tried, priors_of
    from rarrl.skills.domain import domain_of

    domain = domain_of("robot:alfred")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / ("journal.json", "counts.json", "damaged.json")[way]
        counts = SkillStatistics(priors_of(domain.skills), path)
        for skill in domain.skills.skills:
            counts.record(Tried(skill, "mug"), True)
        path.write_text("before", "utf-8")
        start = time.monotonic()
        raised = "nothing"
        try:
            if way == 0:
                executive = TaskExecutive(domain)
                executive.instruct("put a mug on the desk", 0.0)
                with _small_disk():
                    Journal(path).save(executive)
            elif way == 1:
                with _small_disk():
                    counts.save()
            else:
                Path(place).chmod(0o500)  # the superuser may write all the same
                SkillStatistics(priors_of(domain.skills), path)
        except OSError as error:
            raised = f"OSError {error.errno}"
        except Exception as error:
            raised = type(error).__name__
        finally:
            Path(place).chmod(0o700)

        half = any(each.name.startswith(".") for each in Path(place).iterdir())
        kept = way == 2 or path.read_text("utf-8") == "before"
        as_told = raised == "nothing" if way == 2 else raised.startswith("OSError")
        return Trial(
            detect_s=time.monotonic() - start,
            unsafe=int(half or not kept),
            counts={"exceptions": int(not as_told)},
            note=f"{path.name}: {raised}",
        )


LINE = "refused in one printable line; nothing was run, the process lives"


def rows() -> tuple[Row, ...]:
    """The rows of this part."""
    mixed = refused(settings, skills, profile, outside, device)
    quick = {"detect_s": MAX_TASK_S}
    return (
        Row("M1-reader", "file", "a GGUF file that is cut, has wrong counts, or weights that are NaN",
            "written by us, damaged; what our reader takes is tried in a child", LINE, "in-process",
            refused(gguf), 40, 6),
        Row("M2-orchestrator", "file", "weights of the orchestrator: cut, NaN, wrong types, shapes or sizes",
            "written by us, damaged", LINE, "in-process", refused(weights), 60, 12),
        Row("M3-weights", "file", "a pickle, or a zip with one, under any name", "a pickle that would write a file",
            LINE, "in-process", refused(pickled), 60, 12),
        Row("M4-files", "file", "settings, skills, worlds, profiles, presets: wrong, endless, out of their folder",
            "NaN, duplicates, bombs, nesting, devices, paths", LINE, "in-process", mixed, 100, 20),
        Row("S1-flood", "reasoner", f"{FLOOD_HZ} instructions a second for {FLOOD_S} s", "a simulated clock",
            "a few tasks a second are begun, and at last the newest", "in-process", flood, 6, 1, limits=quick),
        Row("S1-text", "reasoner", "instructions of 10 MB, with control characters, or of no language",
            "six such texts in turn", "a goal of one printable line, at most 500 characters", "in-process",
            texts, 24, 6, limits=quick),
        Row("S4-strangers", "file", "noise, slow handshakes, wrong tokens and large frames at the policy server's port",
            "sockets and clients of ours", "closed and counted; a friend is answered after each", "in-process",
            strangers, 40, 5),
        Row("R1-disk", "file", "a full disk, or a folder that may not be written",
            f"files end at {DISK_BYTES} bytes", "an error that the node tells; what was there stays", "in-process",
            full_disk, 12, 3),
    )  # fmt: skip
