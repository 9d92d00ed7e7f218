"""Records a graph that this process starts: `rarrl record` as a process of its own, before the first node and until
after the last."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from rarrl.bag.writer import need_mcap
from rarrl.errors import DependencyMissingError, InputError, RarrlError

READY_S = 60.0
"""Seconds that the recorder may take to start; importing ROS takes long on a busy machine."""
LAST_S = 30.0
"""Seconds that it may take to write what waits."""
PR_SET_PDEATHSIG = 1
"""Of Linux's <sys/prctl.h>."""
POLL_S = 0.05
"""Seconds between two looks whether it has started."""


@contextmanager
def recording(folder: Path, images: bool, environment: Mapping[str, str], say: Callable[[str], None]) -> Iterator[None]:
    """Records what happens in the block. What becomes of the recording changes nothing in the block: a recorder that
    ends early is told of, by `say`, and a graph that fails fails as it does without.

    Args:
        folder: of the new bag.
        images: whether what is large is recorded, too.
        environment: of the graph: its ROS_DOMAIN_ID.
        say: called with lines for people, also from another thread.

    Raises: InputError, RarrlError where it cannot start; DependencyMissingError without mcap or rclpy."""
    need_mcap("record")
    if find_spec("rclpy") is None:
        raise DependencyMissingError(
            "record: rclpy is missing; pip install 'rarrl[ros]', or source a ROS 2 installation"
        )

    command = [sys.executable, "-m", "rarrl", "record", str(folder), *(["--images"] if images else [])]
    child = subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C ends the graph first, and its last messages are recorded
        preexec_fn=end_with_parent if sys.platform == "linux" else None,
    )
    began = threading.Event()
    listener = threading.Thread(target=_listen, args=(child, say, began), name="recorder", daemon=True)
    listener.start()
    try:
        _wait(child, began, folder)
        yield
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        try:
            child.wait(LAST_S)
        except subprocess.TimeoutExpired:
            child.kill()
            say(f"record: it did not end within {LAST_S:.0f} s, and was killed; {folder} reads up to its last second")
        listener.join(LAST_S)


def _wait(child: subprocess.Popen[str], began: threading.Event, folder: Path) -> None:
    """Until it records. Raises: InputError, RarrlError."""
    deadline = time.monotonic() + READY_S
    while not began.wait(POLL_S):
        code = child.poll()
        if code is not None:
            kind = InputError if code == 2 else RarrlError
            raise kind(f"record: the recorder ended with exit status {code} before it began; {folder} must be new")
        if time.monotonic() > deadline:
            raise RarrlError(f"record: the recorder did not start within {READY_S:.0f} s")


def _listen(child: subprocess.Popen[str], say: Callable[[str], None], began: threading.Event) -> None:
    """Passes on what the recorder says; its first word is that it has begun."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("recording to"):
            began.set()
        say(line.rstrip().removeprefix("error: "))


def end_with_parent() -> None:
    """In the child: SIGTERM where this process is killed, after which the bag is closed in order."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
