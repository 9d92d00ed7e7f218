"""What the executive wants done, in order. The node and the in-process player carry it out."""

from __future__ import annotations

from dataclasses import dataclass

from rarrl.skills.plan import Step


@dataclass(frozen=True)
class Save:
    """Write the journal, before anything that follows."""


@dataclass(frozen=True)
class Send:
    """Run a skill. uuid: 32 hex digits, of the goal. timeout_s: after this the executive cancels it by itself."""

    uuid: str
    step: Step
    timeout_s: float


@dataclass(frozen=True)
class Adopt:
    """Take a goal up again that an earlier process has sent. accepted: its server had said that it has it; else the
    process may have been killed before it sent it. sent_ago_s: seconds since it was sent, or was about to be."""

    uuid: str
    step: Step
    timeout_s: float
    accepted: bool = False
    sent_ago_s: float = 0.0


@dataclass(frozen=True)
class Stop:
    """Cancel a goal. Its result is still awaited."""

    uuid: str


@dataclass(frozen=True)
class Withdraw:
    """Stop the call of the THINK with the id `decision`: nobody needs its answer. What was spent until then is
    answered, with the status WITHDRAWN."""

    decision: int


Command = Save | Send | Adopt | Stop | Withdraw
Commands = tuple[Command, ...]
