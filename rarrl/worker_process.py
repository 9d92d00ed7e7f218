"""Keeps a worker process alive and calls it with a deadline that holds whatever the process does.

C++ code parses files from outside, and its computations cannot be stopped, so both run in a process of their own, where
a crash or a hang costs only that process. Each line in both directions is one JSON object: the worker first sends
{"ready": ...} or {"error": why}, then {"id", ...} for each {"op", "id", "deadline", ...}. The id of a call that is
withdrawn is written to memory that both processes share; a worker that does not look there is killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from rarrl.errors import DependencyMissingError, InputError
from rarrl.resources.threads import cores, planned
from rarrl.secrets import without_secrets
from rarrl.types import CallStatus

logger = logging.getLogger(__name__)

MARGIN_S = 0.005
"""Seconds before the deadline at which the worker is asked to end, so that its answer still arrives in time. The caller
never waits beyond the deadline; an answer that comes later is dropped."""
MARGIN_SHARE = 0.02
MAX_MARGIN_S = 0.05
"""Long calls end earlier by this share of their time, at most by so many seconds: on a busy computer the worker waits
for its turn, and its answer says how far it came."""
WEDGED_S = 0.5
"""Seconds after a deadline, or after its call was withdrawn, at which a worker that is still silent is killed and
started again. Chosen by hand: one step of llama.cpp between two looks at the deadline takes milliseconds."""
END_S = 0.5
"""Seconds that a worker which has closed its output may take to end by itself, so that its own exit status is known and
not that of the kill. Chosen by hand: an interpreter ends within a tenth of that."""
_TAIL_BYTES = 4096
"""Bytes at the end of stderr that are looked at: about thirty lines."""
_TAIL_CHARACTERS = 200
"""Characters of stderr in a message; the nodes' diagnostics keep 300 of a whole message."""
_MAX_ANSWER = 4 << 20
"""Bytes of an answer; one with alternatives for 512 tokens stays far below."""
_BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Seconds until the next start, by how many processes in a row ended without a useful answer. Chosen by hand."""
_SHARED = "RARRL_WORKER_SHARED_FD"
"""Environment variable with the number of the file that holds the id of the last call that was withdrawn."""
_ID_BYTES = 8
"""Bytes of an id in it."""
_ROOT = Path(__file__).resolve().parents[1]
"""Folder that holds the package; the worker must import the same code."""


class CallFailedError(Exception):
    """A call ended without a usable answer; `status` says how. used: what the worker said of how far it came."""

    def __init__(self, status: CallStatus, why: str, used: dict[str, Any] | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.used = used or {}


class Withdrawal:
    """Ends calls from another thread: those under way that were given it, and further ones before they begin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self.is_set = False

    def withdraw(self) -> None:
        """Nobody needs the answers any more."""
        with self._lock:
            self.is_set = True
            ends = list(self._ends)
        for end in ends:
            end()

    def check(self) -> None:
        """Raises: CallFailedError (WITHDRAWN) where it is set."""
        if self.is_set:
            raise CallFailedError(CallStatus.WITHDRAWN, "withdrawn")

    @contextlib.contextmanager
    def over(self, end: Callable[[], None]) -> Iterator[None]:
        """While a call is under way that `end` ends. Raises: CallFailedError (WITHDRAWN) where it is set already."""
        with self._lock:
            self.check()
            self._ends.append(end)
        try:
            yield
        finally:
            with self._lock:
                self._ends.remove(end)


@dataclass(frozen=True)
class WorkerCommand:
    """How a worker is started.

    what: begins all messages about it. module: what the process runs, with its arguments. first: the first line that it
    reads. load_s: how long loading may take, seconds. max_line: bytes of a request; the pipe is made that large, so
    that writing a request never waits for a process that hangs. advice: ends the message if loading fails."""

    what: str
    module: tuple[str, ...]
    first: dict[str, Any]
    load_s: float
    max_line: int
    advice: str


class WorkerProcess:
    """One worker process. Several threads may use `call`; one at a time gets through, and each deadline holds.

    One thread reads the answers, restarts the process when it ends (with growing delays if it answers nothing in
    between), and drops answers that come too late. Another thread kills the process if it hangs, or does not end a call
    that was withdrawn."""

    def __init__(self, command: WorkerCommand) -> None:
        """Starts the process and waits until it is ready.

        Raises: InputError if it cannot load (this process is unharmed); DependencyMissingError."""
        self._command = command
        self._state = threading.Condition()
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: dict[str, Any] | None = None
        self._error = ""
        self._closed = False
        self._waiting: int | None = None  # id of the call that a thread waits for
        self._open: int | None = None  # id of the call that the worker has not answered yet
        self._overdue: int | None = None  # id of a call whose deadline has passed, for the watchdog
        self._answer: dict[str, Any] | None = None
        self._ids = 0
        self._useful = False  # whether the process has answered a call since it was started
        self.starts = 0
        self.late = 0
        self._shared_file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as there are processes)
        self._shared_file.truncate(_ID_BYTES)
        self._shared = mmap.mmap(self._shared_file.fileno(), _ID_BYTES)
        self._keeper = threading.Thread(target=self._keep, name="rarrl-worker", daemon=True)
        self._keeper.start()
        threading.Thread(target=self._watch, name="rarrl-watchdog", daemon=True).start()

        with self._state:
            self._state.wait_for(lambda: self._ready or self._error, timeout=command.load_s)
            error = self._error or ("" if self._ready else f"not loaded within {command.load_s:g} s")

        if error:
            self.close()
            if "pip install" in error:
                raise DependencyMissingError(f"{command.what}: {error}")
            raise InputError(f"{command.what}: {error}{command.advice}")

    @property
    def told(self) -> dict[str, Any]:
        """What the worker reported about itself when it was ready."""
        ready = (self._ready or {}).get("ready")
        return dict(ready) if isinstance(ready, dict) else {}

    @property
    def pid(self) -> int | None:
        """The process id of the running worker, None between two processes."""
        return self._process.pid if self._process else None

    @property
    def down(self) -> str:
        """Why a call would not be answered now; "" while the worker is there."""
        return "" if self._ready else f"{self._error or 'not ready'}; it is being restarted"

    def call(self, op: str, deadline: float, withdrawal: Withdrawal | None = None, **fields: Any) -> dict[str, Any]:
        """Sends a request and returns the worker's answer.

        deadline: seconds on the steady clock (`time.monotonic`), which both processes share. withdrawal: ends the call.

        Raises: CallFailedError (TIMEOUT, REFUSED, INVALID, BACKEND_DOWN or WITHDRAWN)."""
        if not self._turn.acquire(timeout=max(deadline - time.monotonic(), 0.0)):
            raise CallFailedError(CallStatus.TIMEOUT, "other calls took the time")

        try:
            withdrawal = withdrawal or Withdrawal()
            number = self._ids = self._ids + 1
            with withdrawal.over(lambda: self._withdraw(number)):
                answer = self._exchange(op, number, deadline, withdrawal, fields)
        finally:
            self._turn.release()

        if "failed" in answer:
            known = {s.value: s for s in (CallStatus.TIMEOUT, CallStatus.REFUSED, CallStatus.WITHDRAWN)}
            status = known.get(str(answer["failed"]), CallStatus.INVALID)
            raise CallFailedError(status, str(answer.get("why"))[:500], answer)

        return answer

    def _withdraw(self, number: int) -> None:
        """Tells the worker to end the call `number`; runs in the thread that withdraws it."""
        with self._state:
            if self._open == number:
                self._shared[:] = number.to_bytes(_ID_BYTES, "little")
                self._overdue = number  # the watchdog kills a worker that does not look
            self._state.notify_all()

    def _exchange(
        self, op: str, number: int, deadline: float, withdrawal: Withdrawal, fields: dict[str, Any]
    ) -> dict[str, Any]:
        with self._state:
            # A worker may still be at an earlier call that timed out, or just be starting.
            free = self._state.wait_for(
                lambda: self._closed or withdrawal.is_set or (self._ready and self._open is None),
                timeout=max(deadline - time.monotonic(), 0),
            )

            withdrawal.check()
            if self._closed:
                raise CallFailedError(CallStatus.BACKEND_DOWN, "closed")
            if not free and self._ready:
                raise CallFailedError(CallStatus.TIMEOUT, "the worker is still at an earlier call")
            if not free:
                raise CallFailedError(CallStatus.BACKEND_DOWN, self.down)

            assert self._process is not None and self._process.stdin is not None
            margin = max(MARGIN_S, min(MARGIN_SHARE * (deadline - time.monotonic()), MAX_MARGIN_S))
            line = json.dumps({"op": op, "id": number, "deadline": deadline - margin, **fields}).encode() + b"\n"

            allowed = self._command.max_line
            if len(line) > allowed:
                raise CallFailedError(CallStatus.REFUSED, f"a request of {len(line)} bytes (allowed: {allowed})")

            self._waiting = number
            self._open = number
            self._answer = None

            with contextlib.suppress(OSError):  # it has just died; the keeper sees that too and ends the wait below
                self._process.stdin.write(line)
                self._process.stdin.flush()

            self._state.wait_for(
                lambda: self._answer is not None or self._open != number,
                timeout=max(deadline - time.monotonic(), 0.0),
            )
            answer = self._collect()
            if answer is None and self._open == number:
                self._overdue = number
                self._state.notify_all()
                raise CallFailedError(CallStatus.TIMEOUT, "the deadline passed")

        if answer is None:
            withdrawal.check()
            raise CallFailedError(
                CallStatus.BACKEND_DOWN, f"{self._error or 'the worker ended'}; it is being restarted"
            )

        return answer

    def _collect(self) -> dict[str, Any] | None:
        answer = self._answer
        self._waiting = None
        self._answer = None
        return answer

    def _watch(self) -> None:
        """Runs in the watchdog's thread, which exists from the start: starting one takes long if every core is busy."""
        with self._state:
            while not self._closed:
                self._state.wait_for(lambda: self._closed or self._overdue is not None)
                number = self._overdue
                self._overdue = None

                ended = self._state.wait_for(lambda: self._closed or self._open != number, timeout=WEDGED_S)  # noqa: B023
                if not ended and self._process is not None:
                    logger.warning("%s: the worker does not end its call: killed, starting again", self._command.what)
                    self._error = self._error or "the worker did not answer and was killed"
                    self._process.kill()

    def _keep(self) -> None:
        """Runs in the keeper's thread: starts the process, reads until it ends, and starts again."""
        useless = 0
        while not self._closed:
            self._useful = False
            try:
                self._live()
            except OSError as error:  # no memory or no process left to start one
                self._ended(f"no worker process can be started ({error})")

            useless = 0 if self._useful else useless + 1
            with self._state:
                if self._ready is None and self.starts == 0:
                    return  # the very first start failed; the constructor raises
                self._state.wait_for(lambda: self._closed, timeout=_BACKOFF_S[min(useless, len(_BACKOFF_S) - 1)])

    def _live(self) -> None:
        """Runs one process from its start to its end."""
        with tempfile.TemporaryFile() as errors:
            process = self._start(errors)
            loading = threading.Timer(self._command.load_s, self._give_up, (process,))
            loading.daemon = True
            loading.start()

            try:
                if self._read(process, loading):
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(END_S)
            finally:
                loading.cancel()
                process.kill()
                code = process.wait()

                for stream in (process.stdin, process.stdout):
                    with contextlib.suppress(OSError):  # unsent bytes for a process that is gone
                        stream.close()  # type: ignore[union-attr]

            how = f"signal {-code}" if code < 0 else f"status {code}"
            self._ended(f"the worker process ended with {how} {_tail(errors)}".rstrip())

    def _give_up(self, process: subprocess.Popen[bytes]) -> None:
        """Runs in the timer's thread: loading has taken too long."""
        with self._state:
            self._error = self._error or f"not loaded within {self._command.load_s:g} s"
        process.kill()

    def _start(self, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(
            [sys.executable, "-m", *self._command.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={
                **planned(cores(), without_secrets(os.environ)),
                "PYTHONPATH": os.pathsep.join(paths),
                _SHARED: str(self._shared_file.fileno()),
            },
            pass_fds=(self._shared_file.fileno(),),
            pipesize=self._command.max_line,
        )

        with self._state:
            self._process = process
            if self._closed:
                process.kill()

        assert process.stdin is not None
        with contextlib.suppress(OSError):  # died at once; `_read` finds the end
            process.stdin.write(json.dumps(self._command.first).encode() + b"\n")
            process.stdin.flush()

        return process

    def _read(self, process: subprocess.Popen[bytes], loading: threading.Timer) -> bool:
        """Reads answers until the process ends its output (True) or breaks the protocol (False)."""
        assert process.stdout is not None
        while (line := process.stdout.readline(_MAX_ANSWER)).endswith(b"\n"):
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                return self._break()

            if not isinstance(message, dict) or not {"ready", "error", "id"} & set(message):
                return self._break()

            with self._state:
                if "ready" in message:
                    loading.cancel()
                    self._ready = dict(message)
                    self._error = ""
                    self.starts = self.starts + 1
                elif "error" in message:
                    self._error = str(message["error"])
                else:
                    self._take(message)

                self._state.notify_all()

        return self._break() if line else True

    def _break(self) -> bool:
        with self._state:
            self._error = self._error or "the worker sent what is no answer and was killed"
        return False

    def _take(self, message: dict[str, Any]) -> None:
        if message["id"] == self._open:
            self._open = None

        if message["id"] == self._waiting:
            self._answer = message
            self._useful = True
        else:
            self.late += 1

    def _ended(self, how: str) -> None:
        with self._state:
            self._error = self._error or how
            self._ready = self._open = self._process = None
            self._state.notify_all()

    def close(self) -> None:
        """Ends the process; calls then fail with BACKEND_DOWN."""
        with self._state:
            self._closed = True
            if self._process is not None:
                self._process.kill()
            self._state.notify_all()

        if self._keeper is not threading.current_thread():
            self._keeper.join(timeout=5.0)
        if not self._keeper.is_alive():
            self._shared_file.close()


def _tail(errors: IO[bytes]) -> str:
    """Returns the last lines of stderr in brackets, such as an exception or a failed assertion of ggml."""
    errors.seek(0, os.SEEK_END)
    errors.seek(max(errors.tell() - _TAIL_BYTES, 0))
    lines = [" ".join(line.split()) for line in errors.read().decode("utf-8", "replace").splitlines()]

    words = ""
    for line in reversed(lines):
        longer = f"{line} {words}".strip()
        if len(longer) > _TAIL_CHARACTERS:
            words = words or line[:_TAIL_CHARACTERS]
            break
        words = longer
    return f"({words})" if words else ""


def worker_streams() -> tuple[BinaryIO, BinaryIO]:
    """Returns, in the worker process, the stream of requests and the stream for answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent; stdin ends when the parent does
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    return sys.stdin.buffer, answers


def withdrawn_call() -> Callable[[], int]:
    """Returns, in the worker process, what tells the id of the last call that was withdrawn, 0 before the first; it
    takes less than a microsecond."""
    file = os.environ.get(_SHARED)
    if file is None:  # started by hand
        return lambda: 0
    shared = mmap.mmap(int(file), _ID_BYTES, prot=mmap.PROT_READ)
    return lambda: int.from_bytes(shared[:], "little")
