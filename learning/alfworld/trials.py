"""ALFWorld's games as tasks that any policy can be tried on, and a planner of ALFRED's steps as one of its robot."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.errors import InputError
from rarrl.executive.executive import ExecutiveSettings, TaskExecutive
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.skills.domain import Domain
from rarrl.skills.nearest import Recalled
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.plan import Plan, Step
from rarrl.skills.search import Search
from rarrl.types import CallStatus
from rarrl_sim_envs.alfworld.games import MAX_COMMANDS, Game, TextGame
from rarrl_sim_envs.alfworld.plans import TREATMENTS, plan_for
from rarrl_sim_envs.alfworld.robot import AlfworldPlayer, domain_of, name_of
from rarrl_sim_envs.alfworld.text import class_of

from ..trials import Task
from .answers import classes, furniture

SETTINGS = ExecutiveSettings(time_budget_s=3600.0, token_budget=1e6, horizon=MAX_COMMANDS, confirm=False)
"""What a task may spend is said by whoever plays it; see `Terms.cap`."""
_WIN_NOTHING = ("go", "look", "open", "close")
"""Skills after which no game can be won: to judge takes longer than to play."""
_TREATED = {skill: action for action, (skill, _) in TREATMENTS.items()}


class JudgedPlayer(AlfworldPlayer):
    """Notes when the game was won: ALFWorld ends it there, whatever comes after."""

    def __init__(self, game: TextGame, domain: Domain) -> None:
        super().__init__(game, domain)
        self._judge = game
        self.won = False

    def run(self, step: Step, timeout_s: float) -> SkillResult:
        """See `AlfworldPlayer.run`."""
        result = super().run(step, timeout_s)
        if not self.won and result.outcome is Outcome.SUCCESS and step.skill not in _WIN_NOTHING:
            self.won = self._judge.won
        return result


class Home:
    """One game's home, for all sentences that are said of it.

    Args:
        game: of ALFWorld.
        make: the engine. Of twins several can be under way; TextWorld has one state, and one task at a time."""

    def __init__(self, game: Game, make: Callable[[Game], TextGame]) -> None:
        self.game = game
        self._engine = make(game)
        self.domain = domain_of(self._engine.reset())
        self._search = Search(self.domain)

    def task(self, sentence: str, recall: Callable[[str], Recalled] | None = None) -> Task:
        """The game with a sentence. recall: see `TaskExecutive`."""
        return Task(
            sentence,
            self.domain,
            self._search,
            self._begin,
            lambda player: player.won,
            settings=SETTINGS,
            recall=recall,
        )

    def _begin(self, executive: TaskExecutive) -> JudgedPlayer:
        engine = copy.copy(self._engine)  # what a twin shares after a reset does not change
        engine.reset()
        return JudgedPlayer(engine, self.domain)


class AtHome:
    """A `Reasoner` that plans for ALFWorld's robot by asking one that knows ALFRED's steps.

    What is known of the home at level 2 is the furniture that the game's opening text names. A plan that this home has
    nothing for is refused.

    Args:
        inner: plans for ALFRED."""

    def __init__(self, inner: Reasoner) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """That of the model."""
        return self._inner.name

    def ask(self, request: Request) -> Answer:
        """The answer, with the plan in this robot's words."""
        domain = request.domain
        if domain is None:
            raise InputError("ALFWorld: a request without the robot's domain; set Request.domain")
        home = furniture(classes(map(name_of, domain.world.places)))
        plan = None if request.plan is None else alfred_plan(request.plan)
        failed = None if plan is None else 0
        asked = replace(request, domain=None, scene=home, plan=plan, failed=failed, beliefs=(), outcome="", why="")
        answer = self._inner.ask(asked)
        if answer.plan is None:
            return answer
        try:
            return replace(answer, plan=plan_for(answer.plan, domain))
        except ValueError as error:
            return replace(answer, plan=None, status=CallStatus.REFUSED, why=str(error), confidence=math.nan)

    def close(self) -> None:
        """Closes the model."""
        self._inner.close()


def alfred_plan(plan: Plan) -> Plan | None:
    """A plan of ALFWorld's robot in ALFRED's steps, as `plan_for` reads it; None where ALFRED has no words for it."""
    rows: list[list[str]] = []
    held = ""
    for step in plan.steps:
        thing, *place = step.arguments
        if step.skill == "use":
            rows.append(["ToggleObject", thing])
            continue
        if step.skill not in ("take", "put", *_TREATED):
            return None
        if thing != held:
            rows.append(["PickupObject", thing])
            held = thing
        if step.skill in _TREATED:
            rows.append([_TREATED[step.skill], thing])
        elif step.skill == "put":
            rows.append(["PutObject", thing, class_of(name_of(place[0]))])
            held = ""
    found = Plan.from_rows(rows)
    return None if ALFRED_DOMAIN.check(found) else found
