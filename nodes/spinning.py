"""How nodes run their callbacks: one executor for all, and what it needs of callbacks and threads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.timer import Timer

SPIN_S = 0.5
"""Longest wait of one `spin_once`, seconds. Without an end rclpy's events executor does not return from it."""


def make_executor(context: rclpy.Context | None = None, by_events: bool = True) -> Executor:
    """A single-threaded executor, rclpy's events executor where it has one (ROS 2 Jazzy and later).

    That one hears of each message and timer from the middleware. The others build a wait set of everything that a node
    has, some fifty entities, before each callback: .9 ms of processor time instead of .1 ms
    (`benchmarks/executors.py`).

    by_events: False for nodes whose callbacks may raise within a coroutine or a future: it does not survive these."""
    if by_events:
        try:
            from rclpy.experimental.events_executor import EventsExecutor
        except ImportError:  # ROS 2 Humble
            pass
        else:
            return EventsExecutor(context=context)
    return SingleThreadedExecutor(context=context)


def informed(callback: Callable[[Any, Any], None]) -> Callable[..., None]:
    """A subscription's callback of (message, info) for either executor: the one by events passes both as one tuple."""

    @functools.wraps(callback)
    def taken(*message_and_info: Any) -> None:
        callback(*(message_and_info if len(message_and_info) == 2 else message_and_info[0]))

    return taken


def later(node: Node, callback: Callable[[], None], group: CallbackGroup | None = None) -> Timer:
    """A timer whose `reset()`, in whatever thread, runs `callback` in the executor's as soon as it is free, once for
    all calls until then. As a guard condition, which executors by events do not take."""

    def run() -> None:
        timer.cancel()
        callback()

    timer = node.create_timer(0.0, run, callback_group=group, clock=Clock(clock_type=ClockType.STEADY_TIME))
    timer.cancel()
    return timer


def forget_destroyed(node: Node) -> None:
    """Takes what was destroyed out of the node's callback group. rclpy keeps a weak reference to each entity that ever
    was in it: 36 of them, 2.6 kB, for each time that an executive is configured and cleaned up."""
    entities = node.default_callback_group.entities
    entities -= {each for each in entities if each() is None}
