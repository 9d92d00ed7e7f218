"""pyrobosim's robot as the executive plays it: `rarrl.executive.play.SkillPlayer` over `PyrobosimRobot`."""

from __future__ import annotations

from rarrl.executive.executive import TaskExecutive
from rarrl.skills.beliefs import Beliefs
from rarrl.skills.domain import Domain
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.plan import Step

from .robot import SUCCESS, PyrobosimRobot

NOTHING_SEEN = "Failed to detect"
"""How pyrobosim's words begin where it has looked and there was nothing: a look all the same, and no failed one."""


class PyrobosimPlayer:
    """Runs the skills of `rarrl/data/robots/pyrobosim/skills.yaml` on a robot in this process.

    Args:
        robot: in its world.
        domain: the two files.
    """

    def __init__(self, robot: PyrobosimRobot, domain: Domain) -> None:
        self.robot = robot
        self.domain = domain

    def tell(self, executive: TaskExecutive) -> None:
        """What the robot knows by itself before it moves: things that it has seen, what is open, and its battery."""
        executive.beliefs = self.beliefs()
        executive.charged(self.robot.battery)

    def beliefs(self, now_s: float = 0.0) -> Beliefs:
        """What world.yaml says, and over it what the robot has seen for itself."""
        world = self.domain.world
        beliefs = Beliefs.at_start(world, now_s)
        if self.robot.where in (*world.places, *world.doors):
            beliefs = beliefs.give(("at", self.robot.where), now_s)

        seen: dict[str, list[str]] = {}
        for thing, place in self.robot.detections():
            seen.setdefault(place, []).append(thing)
        for place, things in seen.items():
            beliefs = beliefs.observe(place, things, now_s)

        for name, is_open in self.robot.open_states().items():
            if name in world.named and beliefs.world.is_open(name, beliefs.state) != is_open:
                beliefs = beliefs.give(("open", name), now_s, negated=not is_open)
        return beliefs

    def run(self, step: Step, timeout_s: float) -> SkillResult:
        """Runs one skill to its end. No skill takes as long as its time limit here."""
        arguments = self.domain.arguments(step)
        place = arguments.get("to") or arguments.get("what") or ""
        told = {"place": place} if place else {"thing": arguments["thing"]} if step.skill == "pick" else {}
        result = self.robot.run(step.skill, told)

        outcome = self.domain.skill(step).outcome.read(result.status, result.message)
        fields: dict[str, object] = {"battery": self.robot.battery, "holding": self.robot.holding is not None}
        if step.skill == "detect" and (result.status == SUCCESS or NOTHING_SEEN in result.message):
            outcome = Outcome.SUCCESS
            fields["detected_objects"] = [
                {"category": thing, "parent": place}
                for thing, place in self.robot.detections()
                if place == self.robot.where
            ]
        return SkillResult(outcome, result.message, result.seconds, fields=fields)
