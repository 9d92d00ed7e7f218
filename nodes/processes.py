"""Nodes as processes: started, found again, watched, and ended in order. Needs no ROS."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from rarrl.config import Scalar
from rarrl.errors import InputError, RarrlError
from rarrl.files import write_json_atomic
from rarrl.resources.threads import cores, planned

from .children import end_with_parent
from .graph import to_params_file
from .nursery import NODES, Nursery, NurseryLostError

logger = logging.getLogger(__name__)

GRACE_S = 5.0
"""Time between SIGINT and SIGKILL: for the last messages, the log and the worker processes."""

LOG_LINES = 5
"""Last lines of a node's output that an error message quotes."""

MAX_HOW = 500
"""Characters of how a process ended."""

SAFE_DOMAINS = 100
"""ROS_DOMAIN_ID 1 to 100: up to 101, the ports are outside the ephemeral range on every platform; 0 is the default."""

MAX_DOMAIN = 232
"""Largest ROS_DOMAIN_ID whose ports exist."""

RECORD = "processes.json"
"""File in the folder that says which processes were started, for a supervisor that comes after one that was killed."""

FAILED, REFUSED = 1, 2
"""Exit status of a node after a failure, and after bad input; it has said why in a line that begins with `rarrl: `."""

_STARTED_FIELD = 19  # of /proc/PID/stat behind the name: when the process began, in clock ticks since the boot


class Found:
    """A running process that is not our child, with the part of `subprocess.Popen` that is used here.

    It is held by a descriptor: a number alone may belong to another process by the time that a signal is sent.

    Args:
        descriptor: of the process (`pidfd_open(2)`), which this object closes; None: it is opened here.
        status: process number -> exit status, as its parent tells; None: -9 stands for all.

    Raises: OSError where there is no such process."""

    def __init__(self, pid: int, descriptor: int | None = None, status: Callable[[int], int] | None = None) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        self._descriptor = os.pidfd_open(pid) if descriptor is None else descriptor

    def poll(self) -> int | None:
        """None while it runs."""
        if self.returncode is None and select.select([self._descriptor], [], [], 0.0)[0]:
            self.returncode = self._status(self.pid) if self._status is not None else -int(signal.SIGKILL)
            os.close(self._descriptor)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """See `subprocess.Popen.wait`."""
        if self.poll() is None and not select.select([self._descriptor], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return self.poll() or 0

    def send_signal(self, number: int) -> None:
        """See `subprocess.Popen.send_signal`."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        """See `subprocess.Popen.kill`."""
        self.send_signal(signal.SIGKILL)


class Processes:
    """Nodes as processes; leaving the `with` block ends them all, even after an error.

    Args:
        folder: receives each node's parameter file and output, and the record of what runs.
        environment: of the processes; see `environment_for`.
        outlive: they go on when this process is killed. Else they end with it.
        logs: False: what they print appears where this process prints.
        namespace, params_file: of all nodes; "" for none.
        grace_s: seconds between SIGINT and SIGKILL; None: GRACE_S.
        nursery: what forks the nodes that it knows; None: each is a Python process of its own.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        outlive: bool = False,
        logs: bool = True,
        namespace: str = "",
        params_file: str = "",
        grace_s: float | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        self._grace_s = grace_s
        self._nursery = nursery
        self._folder = folder
        self._environment = environment
        self._outlive = outlive
        self._logs = logs
        self._own = ["--params-file", params_file] if params_file else []
        self._space = ["-r", f"__ns:=/{namespace.strip('/')}"] if namespace.strip("/") else []
        self._children: dict[str, subprocess.Popen[bytes] | Found] = {}
        self._codes: dict[str, int] = {}  # of those that `take_ended` has told

    def start(
        self,
        name: str,
        module: str,
        parameters: Mapping[str, Scalar],
        remappings: Sequence[tuple[str, str]] = (),
    ) -> int:
        """Starts `module` as node `name`; a node that has ended may be started again. Returns its process number.

        Raises: InputError where the folder cannot be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            params_file = self._folder / f"{name}.params.yaml"
            params_file.touch(0o600)  # headers and fields of requests are nobody else's business
            params_file.chmod(0o600)
            params_file.write_text(to_params_file(parameters), "utf-8")
            log = self._log_path(name).open("ab") if self._logs else None
        except OSError as error:
            raise InputError(f"run: cannot write to {self._folder} ({error.strerror}); choose another folder") from None

        arguments = ["--ros-args", *self._own]
        arguments += ["--params-file", str(params_file)] if parameters else []  # ROS refuses a file without any
        arguments += [*self._space, *(part for old, new in remappings for part in ("-r", f"{old}:={new}"))]
        child = self._fork(module, arguments, log) or self._spawn(module, arguments, log)
        if log is not None:
            log.close()
        self._children[name] = child
        self._write_record()
        return child.pid

    def _fork(self, module: str, arguments: Sequence[str], log: IO[bytes] | None) -> Found | None:
        nursery = self._nursery
        if nursery is None or not nursery.usable or module not in NODES:
            return None
        try:
            pid, descriptor = nursery.start(module, arguments, None if log is None else log.fileno())
        except NurseryLostError as error:
            logger.warning("the process that forks nodes is lost (%s): they are started anew from now on", error)
            return None
        return Found(pid, descriptor, nursery.status)

    def _spawn(self, module: str, arguments: Sequence[str], log: IO[bytes] | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=None if log is None else subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only this process, which then stops the nodes in order
            preexec_fn=_heed_sigint if self._outlive else _end_with_parent,
        )

    def adopt(self, name: str, pid: int) -> bool:
        """Takes over a process that somebody else has started; whether it is there, on this computer."""
        try:
            self._children[name] = Found(pid)
        except (OSError, AttributeError):  # it is not there, or this is no Linux
            return False
        self._write_record()
        return True

    def kill(self, name: str) -> None:
        """Kills the node, as a crash would end it."""
        self._children[name].kill()
        self._children[name].wait()

    def kill_at_once(self, name: str) -> None:
        """The same without waiting for its end; nothing where it has ended, which another may have been told first."""
        if (child := self._children.get(name)) is not None:
            child.kill()

    def running(self, name: str) -> bool:
        """Whether the node is still running."""
        return self._children[name].poll() is None

    def status(self, name: str) -> int | None:
        """The exit status of the node, negative for a signal; None while it runs."""
        return self._children[name].poll()

    def take_ended(self) -> list[tuple[str, int, int, str]]:
        """(node, process number, exit status, how in words) of those that have ended since the last call."""
        ended = []
        for name, child in list(self._children.items()):
            status = child.poll()
            if status is not None:
                how, last = self._how(name, status)
                ended.append((name, child.pid, status, f"{how}: {last}"[:MAX_HOW] if last and status > 0 else how))
                self._codes[name] = status
                del self._children[name]
        return ended

    def check_alive(self, name: str) -> None:
        """Raises: InputError or RarrlError where `name` has ended."""
        if not self.running(name):
            self._report_end(name)

    def check_ended_well(self, name: str) -> None:
        """Waits for `name` to end. Raises: InputError or RarrlError where its exit status is not 0."""
        if self._children[name].wait() != 0:
            self._report_end(name)

    def stop(self, last: Collection[str] = ()) -> dict[str, int]:
        """Ends every running node with SIGINT, and with SIGKILL after GRACE_S; those named in `last` after all others.

        Returns the exit codes by node."""
        for wave in ([name for name in self._children if name not in last], [*last]):
            self._stop({name: self._children[name] for name in wave if name in self._children})
        self._codes |= {name: child.returncode or 0 for name, child in self._children.items()}
        self._write_record()
        return dict(self._codes)

    def _stop(self, children: Mapping[str, subprocess.Popen[bytes] | Found]) -> None:
        for child in children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGINT)

        deadline = time.monotonic() + (GRACE_S if self._grace_s is None else self._grace_s)
        for name, child in children.items():
            try:
                child.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                logger.warning("%s does not react to SIGINT: killed", name)
                child.kill()
                child.wait()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _log_path(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _how(self, name: str, code: int) -> tuple[str, str]:
        """How `name` ended, in words: its own message where it printed one; and its last lines."""
        lines: list[str] = []
        if self._logs and self._log_path(name).exists():
            lines = self._log_path(name).read_text("utf-8", "replace").strip().splitlines()[-LOG_LINES:]
        ours = [line.removeprefix("rarrl: ") for line in lines if line.startswith("rarrl: ")]
        if code in (FAILED, REFUSED) and ours:
            return ours[-1], ""
        how = f"was killed by {_signal(-code)}" if code < 0 else f"ended with exit status {code}"
        return how, " | ".join(lines)

    def _report_end(self, name: str) -> None:
        """Raises the error that `name` ended with: its own message where it printed one, else its last lines."""
        code = self._children[name].returncode
        assert code is not None, "only of a process that has ended"
        how, last = self._how(name, code)
        if code == REFUSED and not last:
            raise InputError(how)
        if code == FAILED and not last:
            raise RarrlError(f"run: {how}; all that was said: {self._folder}/*.log")
        last = last or "it printed nothing"
        raise RarrlError(f"run: {name} {how}; its last lines (all: {self._log_path(name)}): {last}")

    def _write_record(self) -> None:
        """For a supervisor that comes after this process; a disk that is full only costs that."""
        if not self._outlive or not (self._children or self._codes):
            return
        entries: dict[str, dict[str, int | None]] = {
            name: {"pid": None, "began": None, "status": code} for name, code in self._codes.items()
        }
        for name, child in self._children.items():
            entries[name] = {"pid": child.pid, "began": began(child.pid), "status": child.returncode}
        with contextlib.suppress(OSError, RarrlError):
            write_json_atomic(self._folder / RECORD, entries)


def recorded(folder: Path) -> dict[str, dict[str, int | None]]:
    """What the record in `folder` says: node -> pid, began, status. {} where there is none."""
    try:
        entries = json.loads((folder / RECORD).read_text("utf-8"))
        return {str(name): {key: entry[key] for key in ("pid", "began", "status")} for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def still_running(folder: Path) -> dict[str, int]:
    """Node -> process number, of the recorded processes that still run."""
    entries = recorded(folder).items()
    return {name: e["pid"] for name, e in entries if e["pid"] and e["began"] and began(e["pid"]) == e["began"]}


def began(pid: int) -> int | None:
    """When the process began, in clock ticks since the boot: with its number it is a process for sure. None: it is not
    there, has ended, or this is no Linux."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[_STARTED_FIELD])


def is_halted(pid: int) -> bool:
    """Whether a signal such as SIGSTOP has stopped the process; False where Linux does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


def waited_s(pid: int) -> float:
    """Seconds for which the main thread of a process has been ready to run and had no processor; 0 where Linux does not
    tell (https://docs.kernel.org/scheduler/sched-stats.html, /proc/PID/schedstat)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def environment_for(domain_id: int | None) -> tuple[dict[str, str], int]:
    """Environment variables of a graph's processes, and its ROS_DOMAIN_ID; see `run_graph`.

    Raises: InputError for a domain that does not exist."""
    environment = dict(os.environ)
    if "ROS_AUTOMATIC_DISCOVERY_RANGE" not in environment and "ROS_LOCALHOST_ONLY" not in environment:
        if environment.get("ROS_DISTRO") == "humble":  # later distributions warn about this variable
            environment["ROS_LOCALHOST_ONLY"] = "1"
        else:
            environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

    text = environment.get("ROS_DOMAIN_ID", "") if domain_id is None else str(domain_id)
    if not text:
        text = str(1 + os.getpid() % SAFE_DOMAINS)
    if not text.isdecimal() or int(text) > MAX_DOMAIN:
        raise InputError(f"run: ROS_DOMAIN_ID {text!r} is not allowed (allowed: 0 to 101, on most machines to 232)")

    environment["ROS_DOMAIN_ID"] = text
    environment.setdefault("PYTHONUNBUFFERED", "1")
    return planned(cores(), environment), int(text)  # a graph has more processes than most robots have cores


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _heed_sigint() -> None:
    """In the child: react to SIGINT even where a script's background job ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _end_with_parent() -> None:
    """In the child: the same, and end with the parent."""
    _heed_sigint()
    end_with_parent()
