"""The last thing that a command passes: whether it may, by its age and by what went before. Nothing else is judged.

Standard library alone, no clock of its own: seconds are those of the steady clock, given by the caller. The states and
what leads from one to another: docs/explanation/safety.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rarrl.config import DeadmanConfig

TINY = 1e-6
"""m/s and rad/s. Less than that asks for no motion."""
EARLY_S = 0.05
"""Seconds that a command may be ahead of now: clocks are read one after the other."""
FOREIGN_S = 1.0
"""Seconds for which a message of another publisher keeps the robot standing: longer than any publisher's period."""
PRESSED_S = 1.0
"""Seconds for which a pressed emergency stop counts as pressed, though another publisher says meanwhile that its own is
not: buttons that are watched are told more often."""
MOST_LOST = 100
"""Messages of one publisher that may be lost in a row: 5 s of a gate at 20 Hz, far more than a silence lasts."""


class DeadmanState(str, Enum):
    """What becomes of commands. The values are the texts in diagnostics and logs."""

    HELD = "HELD"  # zero, until a command of zero has come, or someone enables
    ARMED = "ARMED"  # the last command was zero; one that moves may pass
    MOVING = "MOVING"  # the last command moves the robot
    SILENT = "SILENT"  # zero, because nothing came; what comes soon goes on
    ESTOP = "ESTOP"  # zero, until someone resets

    def __str__(self) -> str:
        """The value: texts are the same on each Python version."""
        return self.value


PASSING = (DeadmanState.ARMED, DeadmanState.MOVING)


class OneWriter:
    """Whether messages of a topic come from one publisher, by the numbers that the middleware gives them.

    >>> writer = OneWriter()
    >>> [writer.follows(number) for number in (7, 8, 10, 3, 11, None)]
    [True, True, True, False, True, True]
    """

    def __init__(self) -> None:
        self._number: int | None = None

    def follows(self, number: int | None) -> bool:
        """Whether this message may come from the publisher of the one before. None: the middleware does not number."""
        last = self._number
        self._number = number
        return number is None or last is None or 0 < number - last <= MOST_LOST

    def forget(self) -> None:
        """The next message may come from anyone."""
        self._number = None


class Deadman:
    """Lets commands of the gate through while they are fresh, and nothing by itself after it had to stop.

    state: what becomes of commands; reason: why, in words, "" where they pass. taken_s: when the newest was stamped.
    refused: how many commands were not let through, by reason."""

    def __init__(self, config: DeadmanConfig, now_s: float) -> None:
        self.config = config
        self.state = DeadmanState.HELD
        self.reason = "not started: a command of zero first"
        self.refused: dict[str, int] = {}

        self._writer = OneWriter()
        self.taken_s = -math.inf
        self._asks = False  # whether the newest command asks for motion
        self._silent_s = -math.inf  # since when it is SILENT
        self._foreign_s = -math.inf
        self._pressed = False
        self._pressed_s = -math.inf
        self._button_s = now_s  # when the emergency stop was told of last, either way
        if config.start_latched:
            self.stop("started as latched")

    # What comes in

    def command(self, speeds: Sequence[float], taken_s: float, now_s: float, number: int | None = None) -> bool:
        """Whether this command may pass to the base as it is; if not, it is dropped: `zero` says what the base gets.

        speeds: m/s and rad/s on all axes. taken_s: when it was stamped. number: see `OneWriter`."""
        self.look(now_s)
        if not all(map(math.isfinite, speeds)):
            self._hold("a command was not finite")
            return self._refuse("not finite")

        age = now_s - taken_s
        if not -EARLY_S <= age <= self.config.max_silence_s:  # NaN too
            return self._refuse("old" if age > 0 else "future")
        if taken_s < self.taken_s:
            return self._refuse("out of order")

        known = self._writer.follows(number)
        heard = self.state in PASSING or now_s - self.taken_s <= self.config.max_silence_s
        self.taken_s = taken_s
        self._asks = any(abs(speed) > TINY for speed in speeds)
        if not known and heard:
            self.foreign("the topic of the gate's commands", now_s)
        if not known and self.state is DeadmanState.SILENT:
            self._hold("the gate was started again: a command of zero first")
        return self._passes(now_s) or self._refuse(str(self.state))

    def _passes(self, now_s: float) -> bool:
        if self.state is DeadmanState.ESTOP or now_s - self._foreign_s < FOREIGN_S:
            return False
        if self.state is DeadmanState.HELD and (self._asks or self.config.restart == "enable"):
            return False
        self._pass()
        return True

    def foreign(self, where: str, now_s: float) -> None:
        """A message of another publisher was heard. where: on which topic, in words."""
        self._foreign_s = now_s
        self._hold(f"another publisher on {where}")

    def button(self, pressed: bool, now_s: float) -> None:
        """What the topic of the emergency stop says. That it is not pressed resets nothing."""
        self._button_s = now_s
        self._pressed = pressed
        if pressed:
            self._pressed_s = now_s
            self.stop("pressed")

    def stop(self, why: str) -> None:
        """Emergency stop: nothing passes until `reset`."""
        self.state = DeadmanState.ESTOP
        self.reason = f"emergency stop: {why}"

    # What a person says

    def reset(self, now_s: float) -> str:
        """Ends an emergency stop; the robot stands until a command of zero has come. Why it cannot be, "" if it is."""
        self.look(now_s)
        if self.state is not DeadmanState.ESTOP:
            return ""
        if cause := self._cause(now_s):
            return f"the emergency stop is still {cause}"
        if self._asks and self._fresh(now_s):
            return "commands still ask for motion: end them first"
        self._hold("the emergency stop was reset: a command of zero first", even_so=True)
        return ""

    def enable(self, now_s: float) -> str:
        """Lets commands pass, though none of them was zero. Why it cannot be, "" if they do."""
        self.look(now_s)
        if self.state is DeadmanState.ESTOP:
            return f"{self.reason}: reset it first"
        if now_s - self._foreign_s < FOREIGN_S:
            return self.reason
        if not self._fresh(now_s):
            return "no commands are heard: start what commands first"
        self._pass()
        return ""

    # What time does

    def look(self, now_s: float) -> None:
        """Looks at the clock: silence stops."""
        limit_s = self.config.estop_silence_s
        if limit_s and now_s - self._button_s > limit_s and self.state is not DeadmanState.ESTOP:
            self.stop("silent")

        if self.state in PASSING and not self._fresh(now_s):
            self.state = DeadmanState.SILENT
            self.reason = "no commands"
            self._silent_s = self.taken_s + self.config.max_silence_s  # not now: this process may have slept too
        if self.state is DeadmanState.SILENT and now_s - self._silent_s >= self.config.resume_s:
            self._hold("no commands for long: a command of zero first")

    @property
    def zero(self) -> bool:
        """Whether the base has to be told zero now."""
        return self.state not in PASSING

    @property
    def latched(self) -> bool:
        """Whether only `reset` lets the robot move again."""
        return self.state is DeadmanState.ESTOP

    def _fresh(self, now_s: float) -> bool:
        return now_s - self.taken_s <= self.config.max_silence_s

    def _cause(self, now_s: float) -> str:
        """What the emergency stop still is, "" where its cause is gone."""
        if self._pressed or now_s - self._pressed_s < PRESSED_S:
            return "pressed"
        limit_s = self.config.estop_silence_s
        return "silent" if limit_s and now_s - self._button_s > limit_s else ""

    def _pass(self) -> None:
        self.state = DeadmanState.MOVING if self._asks else DeadmanState.ARMED
        self.reason = ""

    def _hold(self, why: str, even_so: bool = False) -> None:
        """Zero until a command of zero. even_so: also out of an emergency stop, which outranks all else."""
        if self.state is not DeadmanState.ESTOP or even_so:
            self.state = DeadmanState.HELD
            self.reason = why

    def _refuse(self, why: str) -> bool:
        self.refused[why] = self.refused.get(why, 0) + 1
        return False
