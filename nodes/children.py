"""Processes beside a graph: that end with the one that started them, and commands of ours that accompany it. Needs no
ROS."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

_PR_SET_PDEATHSIG = 1  # Linux's <sys/prctl.h>


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """In a child: it gets this signal where its parent ends, whatever ends that. Linux has this; elsewhere nothing is
    done."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


@contextmanager
def beside(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    hear: Callable[[str], None],
    last_s: float,
    too_late: Callable[[], None] = lambda: None,
) -> Iterator[subprocess.Popen[str]]:
    """`rarrl ARGUMENTS` as a process of its own, for as long as the block.

    Args:
        environment: its own, with the ROS_DOMAIN_ID of the graph.
        hear: called with each line that it says, from another thread.
        last_s: seconds that it may take to end after the block, before it is killed.
        too_late: called where it was."""
    child = subprocess.Popen(
        [sys.executable, "-m", "rarrl", *arguments],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C ends the graph first, and its last messages are heard
        preexec_fn=end_with_parent,
    )

    def listen() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            hear(line.rstrip())

    listener = threading.Thread(target=listen, name=arguments[0], daemon=True)
    listener.start()
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        try:
            child.wait(last_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            too_late()
        listener.join(last_s)
