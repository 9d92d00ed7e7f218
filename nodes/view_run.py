"""The view of a graph that this process starts: `rarrl view` as a process of its own, so that the robot shares nothing
with it. Needs no ROS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from .children import beside

LAST_S = 10.0
"""Seconds that it may take to end."""


def viewing_graph(
    environment: Mapping[str, str], say: Callable[[str], None], port: int = 0
) -> AbstractContextManager[Any]:
    """Shows what happens in the block. Whatever becomes of the view, the block goes on.

    Args:
        environment: of the graph: its ROS_DOMAIN_ID.
        say: called with what the view says, its URL first; from another thread.
        port: where it is served; 0: a free one."""
    return beside(["view", "--port", str(port)], environment, say, LAST_S)
