"""pyrobosim's missions as tasks that any policy can be tried on."""

from __future__ import annotations

from functools import lru_cache

from rarrl.executive.executive import TaskExecutive
from rarrl.skills.domain import Domain, load_robot
from rarrl.skills.search import Search
from rarrl.types import Action
from rarrl_sim_envs.pyrobosim.missions import Mission
from rarrl_sim_envs.pyrobosim.player import PyrobosimPlayer

from ..trials import CallCosts, Task
from .recorded_answers import Recorded

PLANNERS = (Action.PLANNER_1, Action.PLANNER_2)


@lru_cache(maxsize=2)
def domain(told: bool = False) -> Domain:
    """pyrobosim's two files; without `told` they do not say where things usually are, as a maker seldom knows it."""
    shipped = load_robot("pyrobosim")
    if told:
        return shipped
    things = {name: thing.model_copy(update={"usual": {}}) for name, thing in shipped.made.things.items()}
    return Domain(shipped.skills, shipped.made.model_copy(update={"things": things}), shipped.policy)


@lru_cache(maxsize=2)
def _search(told: bool) -> Search:
    """One for all missions: what it has solved in one, it need not solve again."""
    return Search(domain(told))


def task_of(mission: Mission, told: bool = False) -> Task:
    """A mission of `rarrl_sim_envs.pyrobosim.missions`. told: whether world.yaml says where things usually are."""

    def begin(executive: TaskExecutive) -> PyrobosimPlayer:
        player = PyrobosimPlayer(mission.robot(), domain(told))
        player.tell(executive)
        return player

    def succeeded(player: PyrobosimPlayer) -> bool:
        return mission.goal.met(player.robot.truth())

    return Task(mission.instruction, domain(told), _search(told), begin, succeeded, mission.horizon_s)


def costs_of(answers: list[Recorded]) -> CallCosts:
    """What calls are expected to cost, by recorded answers of the planner; the verifier's are out of reach."""
    of = {action: [each for each in answers if each.level == action.level] for action in PLANNERS}
    return CallCosts.of(
        {action: [each.seconds for each in calls] for action, calls in of.items()},
        {action: [each.tokens_in + each.tokens_out for each in calls] for action, calls in of.items()},
    )
