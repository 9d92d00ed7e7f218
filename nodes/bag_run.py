"""Records a graph that this process starts: `rarrl record` as a process of its own, before the first node and until
after the last."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from rarrl.bag.writer import need_mcap
from rarrl.errors import DependencyMissingError, InputError, RarrlError

from .children import beside

READY_S = 60.0
"""Seconds that the recorder may take to start; importing ROS takes long on a busy machine."""
LAST_S = 30.0
"""Seconds that it may take to write what waits."""
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

    began = threading.Event()

    def hear(line: str) -> None:
        if line.startswith("recording to"):  # its first word: it has begun
            began.set()
        say(line.removeprefix("error: "))

    def too_late() -> None:
        say(f"record: it did not end within {LAST_S:.0f} s, and was killed; {folder} reads up to its last second")

    arguments = ["record", str(folder), *(["--images"] if images else [])]
    with beside(arguments, environment, hear, LAST_S, too_late) as child:
        _wait(child, began, folder)
        yield


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
