"""A small robot for tests of the executive: two rooms, a door, a cupboard; its skills do what their needs and gives say
to a truth of its own, which may differ from what the robot believes."""

from __future__ import annotations

import itertools
from dataclasses import replace

from rarrl.skills.domain import Domain
from rarrl.skills.facts import State
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.plan import Plan, Step
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World

SKILLS = {
    "defaults": {"run": {"python": "toy:run"}, "expected_s": 2.0, "timeout_s": 10.0, "cancel_s": 3.0},
    "skills": {
        "go": {
            "does": "drives",
            "parameters": {"to": "place or door"},
            "needs": ["reachable {to}"],
            "gives": ["at {to}"],
            "speed_mps": 1.0,
            "run": {"python": "toy:drive"},
        },
        "look": {
            "does": "looks",
            "parameters": {"at": "place"},
            "needs": ["at {at}", "open {at}"],
            "observes": {"list": "found", "thing": "class"},
        },
        "pick": {
            "does": "takes",
            "parameters": {"thing": "portable"},
            "needs": ["hand_empty", "at {thing.place}", "open {thing.place}"],
            "gives": ["holding {thing}"],
        },
        "put": {
            "does": "puts",
            "parameters": {"thing": "portable", "to": "place"},
            "needs": ["holding {thing}", "at {to}", "open {to}"],
            "gives": ["{thing} at {to}"],
        },
        "open": {
            "does": "opens",
            "parameters": {"what": "place or door"},
            "needs": ["hand_empty", "at {what}"],
            "gives": ["open {what}"],
        },
        "shut": {
            "does": "shuts",
            "parameters": {"what": "place or door"},
            "needs": ["hand_empty", "at {what}", "open {what}"],
            "gives": ["not open {what}"],
        },
    },
    "examples": [
        {"say": "put the cup on the table", "plan": [["put", "cup", "table"]]},
        {"say": "shut the cupboard", "plan": [["shut", "cupboard"]]},
    ],
}
WORLD = {
    "start": "table",
    "rooms": {"hall": {}, "kitchen": {}},
    "places": {
        "table": {"room": "hall", "pose": [0, 0, 0]},
        "shelf": {"room": "kitchen", "pose": [6, 0, 0], "aliases": ["rack"]},
        "cupboard": {"room": "kitchen", "pose": [9, 0, 0], "opens": True, "open": False},
    },
    "doors": {"door": {"between": ["hall", "kitchen"], "pose": [3, 0, 0]}},
    "things": {
        "cup": {"at": ["shelf"], "aliases": ["mug"]},
        "plate": {"usual": {"cupboard": 0.8}},
        "lamp": {"portable": False},
    },
}


def toy(**world: object) -> Domain:
    """The robot's domain; `world` changes top-level keys of WORLD."""
    return Domain(SkillSet(**SKILLS), World(**{**WORLD, **world}))


def plan(*rows: str) -> Plan:
    """`plan("pick cup", "put cup table")`."""
    return Plan.from_rows([row.split() for row in rows])


def step(row: str) -> Step:
    """`step("put cup table")`."""
    return plan(row).steps[0]


def counting_ids():
    """Ids of goals and tasks that are the same in each run."""
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):032x}"


class ToyRobot:
    """Runs skills on the truth. failing: (skill, outcome) -> how often it ends so, whatever is true."""

    def __init__(self, domain: Domain, truth: State | None = None, failing: dict | None = None) -> None:
        self.domain, self.failing = domain, dict(failing or {})
        self.truth = domain.world.start_state() if truth is None else truth
        self.log: list[str] = []

    def run(self, step: Step, timeout_s: float = 10.0) -> SkillResult:
        self.log.append(" ".join([step.skill, *step.arguments]))
        for (skill, outcome), times in self.failing.items():
            if skill == step.skill and times > 0:
                self.failing[skill, outcome] = times - 1
                return SkillResult(outcome, "as the test wants", 1.0)

        skill, arguments = self.domain.skill(step), self.domain.arguments(step)
        needs = [need.filled(arguments) for need in skill.conditions]
        if not all(self.domain.world.holds(need, self.truth) for need in needs):
            drives = any(need.words[0] == "reachable" for need in needs)
            return SkillResult(Outcome.UNPLANNABLE if drives else Outcome.REFUSED, "it cannot", 1.0)
        for effect in skill.effects:
            filled = effect.filled(arguments)
            self.truth = self.truth.with_fact(filled.words, filled.negated)
            if filled.words[0] == "at" and self.truth.at in self.domain.world.places:
                self.truth = replace(self.truth, room=self.domain.world.room_of(self.truth.at))
        fields = None
        if step.skill == "look":
            things = [t for t, place, n in sorted(self.truth.located) if place == self.truth.at for _ in range(n)]
            fields = {"found": [{"class": thing} for thing in things]}
        return SkillResult(Outcome.SUCCESS, "", 2.0, fields=fields)
