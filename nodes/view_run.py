"""The view of a graph that this process starts: `rarrl view` as a process of its own, so that the robot shares nothing
with it. Needs no ROS."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from .bag_run import end_with_parent

LAST_S = 10.0
"""Seconds that it may take to end."""


@contextmanager
def viewing_graph(environment: Mapping[str, str], say: Callable[[str], None], port: int = 0) -> Iterator[None]:
    """Shows what happens in the block. Whatever becomes of the view, the block goes on.

    Args:
        environment: of the graph: its ROS_DOMAIN_ID.
        say: called with what the view says, its URL first; from another thread.
        port: where it is served; 0: a free one."""
    command = [sys.executable, "-m", "rarrl", "view", "--port", str(port)]
    child = subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=end_with_parent if sys.platform == "linux" else None,
    )

    def listen() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            say(line.rstrip())

    listener = threading.Thread(target=listen, name="view", daemon=True)
    listener.start()
    try:
        yield
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        try:
            child.wait(LAST_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        listener.join(LAST_S)
