"""What the robot still does where a part is missing: the one table of degraded modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Mode(IntEnum):
    """What the robot still does; the larger one is the more severe."""

    NORMAL = 0
    ACT_ONLY = 1
    BEST_RULE = 2
    HOLD = 3
    STOP = 4

    @property
    def label(self) -> str:
        """For people and on topics: `act only`."""
        return self.name.lower().replace("_", " ")


WITHOUT: Mapping[str, tuple[Mode, str]] = {
    "deadman": (Mode.STOP, "nothing would stop the base if the gate fell silent"),
    "gate": (Mode.STOP, "the deadman sends zero"),
    "robot": (Mode.STOP, "no odometry and no pictures"),
    "detector": (Mode.STOP, "the gate sees no free space"),
    "executive": (Mode.STOP, "nobody knows what is to be done"),
    "policy": (Mode.HOLD, "nobody gives commands"),
    "orchestrator": (Mode.BEST_RULE, "steps go on without asking, the rule that needs no other process"),
    "reasoner": (Mode.ACT_ONLY, "there is nobody to ask"),
}
"""Part -> what the robot does without it, and why. The one table of degraded modes; the most severe applies."""


@dataclass(frozen=True)
class Status:
    """How the robot stands.

    missing: (part, why), those that do not work. back: (part, seconds that it was missing), since the last status.
    starting: nothing has failed; not everything is up yet. given_up: parts that are not tried again by themselves."""

    mode: Mode
    missing: tuple[tuple[str, str], ...] = ()
    back: tuple[tuple[str, float], ...] = ()
    starting: bool = False
    given_up: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for people.

        >>> str(Status(Mode.HOLD, (("policy", "killed by SIGKILL"),)))
        'hold: no policy (killed by SIGKILL): nobody gives commands'
        >>> str(Status(Mode.NORMAL, back=(("policy", 1.52),)))
        'normal: policy is back after 1.5 s'
        """
        back = ", ".join(f"{part} is back after {seconds:.1f} s" for part, seconds in self.back)
        if self.starting:
            return f"{self.mode.label}: starting, waits for {', '.join(part for part, _ in self.missing)}"
        worst = sorted(self.missing, key=lambda each: -mode_without(each[0]))
        lines = [f"no {part} ({why})" + _reason(part) for part, why in worst]
        return f"{self.mode.label}: {'; '.join(filter(None, [*lines, back])) or 'everything is up'}"


def mode_without(part: str) -> Mode:
    """What the robot still does without `part`; all, where it is not in the table."""
    return WITHOUT[part][0] if part in WITHOUT else Mode.NORMAL


def _reason(part: str) -> str:
    return f": {WITHOUT[part][1]}" if part in WITHOUT else ""
