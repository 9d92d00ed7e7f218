"""What the supervisor is told, what it wants done, and how it is set up: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from rarrl.supervision.modes import Status

HEARTBEAT_S = 0.2
"""Seconds between two heartbeats of a node."""

SILENT_S = 0.75
"""Seconds of silence after which a node counts as dead: detection then takes 0.55 to 0.85 s. The longest gap of a node
that was well, with both cores at full load, was half of it (docs/how-to/supervise-a-robot.md)."""


class Life(str, Enum):
    """The state of a node, as its heartbeats tell it. CHANGING: a transition is under way. FINALIZED: also of a process
    that is about to end in order."""

    UNCONFIGURED = "unconfigured"
    INACTIVE = "inactive"
    ACTIVE = "active"
    FINALIZED = "finalized"
    CHANGING = "changing"


class Change(str, Enum):
    """A transition that the supervisor asks for."""

    CONFIGURE = "configure"
    ACTIVATE = "activate"

    @property
    def goal(self) -> Life:
        """The state that it leads to."""
        return Life.INACTIVE if self is Change.CONFIGURE else Life.ACTIVE


# What comes in


@dataclass(frozen=True)
class Beat:
    """A heartbeat. pid: of the process. failure: why its last transition failed. refused: it was bad input.

    troubles: part -> why it does not work, for parts inside the node that it looks after itself."""

    node: str
    pid: int
    life: Life
    failure: str = ""
    refused: bool = False
    troubles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """A process has ended. status: its exit status, negative for a signal. how: in words."""

    node: str
    pid: int
    status: int
    how: str


Event = Beat | Ended

# What goes out


@dataclass(frozen=True)
class Start:
    """Start a process for the node; tell its number with `started`."""

    node: str


@dataclass(frozen=True)
class Adopt:
    """A process that somebody else has started is the node's: watch for its end."""

    node: str
    pid: int


@dataclass(frozen=True)
class Kill:
    """Kill the process; its end is to be told as `Ended`."""

    node: str
    pid: int
    why: str


@dataclass(frozen=True)
class Ask:
    """Ask the node for a transition; its heartbeats tell what comes of it."""

    node: str
    change: Change


@dataclass(frozen=True)
class Announce:
    """Tell everybody how the robot stands."""

    status: Status


@dataclass(frozen=True)
class End:
    """Stop the whole graph. why: "" after the regular end of an essential node. refused: it was bad input."""

    why: str = ""
    refused: bool = False


Command = Start | Adopt | Kill | Ask | Announce | End


@dataclass(frozen=True)
class Rule:
    """How one node is looked after.

    part: what the robot lacks without it, a key of `WITHOUT`.
    essential: when its process ends, the whole graph is stopped.
    guard: no node behind it is activated while it is not active.
    by_person: once it was active, only a person activates it again: whoever does so vouches for the room around the
        robot.
    silent_s: seconds of silence after which it counts as dead."""

    name: str
    part: str
    essential: bool = False
    guard: bool = False
    by_person: bool = False
    silent_s: float = SILENT_S


@dataclass(frozen=True)
class Settings:
    """manage: False: others start, configure and restart the nodes; the supervisor only watches, and tells the mode.

    listen_s: seconds at first in which nothing is started: nodes that run already are heard.
    attempts: failures in a row, without having been active in between, after which a node is given up.
    restarts: failures within `window_s` after which it is given up however well it had been in between.
    end_if_given_up: a node that is given up ends the whole graph."""

    manage: bool = True
    listen_s: float = 0.0
    attempts: int = 3
    restarts: int = 5
    window_s: float = 60.0
    end_if_given_up: bool = False
