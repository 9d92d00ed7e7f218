"""What the executive expects of steps: counted on the robot, per skill and first argument, and kept in a file."""

from __future__ import annotations

from pathlib import Path

from rarrl.orchestrator.skill_statistics import SkillStatistics, Tried, priors_of
from rarrl.skills.domain import Domain
from rarrl.skills.outcome import Outcome
from rarrl.skills.plan import Step
from rarrl.types import StepView


class CountedStatistics:
    """Counts attempts that were made and have ended; see `rarrl.executive.executive.Statistics`.

    path: of the file; None: nothing is kept."""

    def __init__(self, domain: Domain, path: Path | None = None) -> None:
        self._counts = SkillStatistics(priors_of(domain.skills), path)
        self._changed = False

    def view(self, step: Step) -> StepView:
        """What is to be expected of a step."""
        return self._counts.view(_tried(step))

    def record(self, step: Step, outcome: Outcome, seconds: float) -> None:
        """Counts an attempt; one that was not made, or has not ended, tells of the world or the server."""
        if outcome.tells_of_skill:
            self._counts.record(_tried(step), outcome is Outcome.SUCCESS, outcome is Outcome.LOST, seconds)
            self._changed = True

    def save(self) -> None:
        """Writes the file where something was counted since. Raises: OSError."""
        if self._changed:
            self._counts.save()
            self._changed = False


def _tried(step: Step) -> Tried:
    return Tried(step.skill, step.arguments[0] if step.arguments else "")
