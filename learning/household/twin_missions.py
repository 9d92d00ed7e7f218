"""Missions in the twin: without pictures, so that a hundred take seconds, and with thinking that costs what it costs.

The shipped model's answers to the goals of 300 missions are recorded (profile `household-heldout`); nothing was trained
or tuned on these missions. A call takes the seconds and tokens of a latency profile, so that the same answers can be
had as fast as the shipped model gives them or as slowly as a hosted one. The scripted expert drives: it sees the home
as it is, and needs neither camera, policy nor gate.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.clock import ManualClock
from rarrl.decision_loop import play_episode
from rarrl.latency.profile import load_profile
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.reasoner.breaker import judged
from rarrl.reasoner.plan import Plan
from rarrl.types import THINK_ACTIONS
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.drivers import Driver, ExpertDriver
from rarrl_sim_envs.household.robot.teleport_driver import TeleportDriver

from .evaluate import TIME_LIMIT_S, DelayedReasoner, Setting, executive_of, orchestrator_of, result_of
from .record_answers import MissionAnswers
from .report.trace import Played

HELD_OUT = "household-heldout"


class RecordedAnswers:
    """A reasoner that gives the answers of mission number `row` of a recording, as they were given then; the plan
    checker has its say, as of any reasoner."""

    name = "recorded"

    def __init__(self, answers: MissionAnswers, row: int) -> None:
        self._answers = answers
        self._row = row

    def ask(self, request: Request) -> Answer:
        """See `Reasoner`. Raises: KeyError for a plan to judge that nobody was asked about."""
        asked = (request.role, request.level)
        action = next(action for action in THINK_ACTIONS if (action.role, action.level) == asked)
        answer = self._answers.answer(self._row, action, request.plan or Plan(()))
        return judged(replace(answer, decision=request.decision), ALFRED_DOMAIN.check)

    def close(self) -> None:
        """See `Reasoner`."""


@lru_cache(maxsize=2)
def recorded(profile: str = HELD_OUT) -> MissionAnswers:
    """The shipped model's answers, by mission."""
    return MissionAnswers(load_profile(profile))


@lru_cache(maxsize=1)
def _teleports() -> TeleportDriver:
    return TeleportDriver()


def play_in_twin(
    setting: Setting, row: int, pictures: bool = False, recording: str = HELD_OUT, drives: bool = True
) -> Played:
    """Mission number `row` (from 0) of the recording. pictures: none are taken, whatever is asked. drives: False: the
    base is set down where it goes, and people are delays alone (`TeleportDriver`), in half the computing time.

    Of `setting`, what concerns eyes, policy and language model does not matter; without a `latency`, calls take the
    seconds that were recorded with the answers. Raises: InputError for names that are unknown."""
    answers = recorded(recording)
    seed = answers.seed(row)
    reasoner: Reasoner = RecordedAnswers(answers, row)
    if setting.latency:
        reasoner = DelayedReasoner(reasoner, setting.latency, seed)

    people = setting.people if drives else 0
    env = HouseholdEnv(stereo=False, people=people, disturbance=setting.disturbance, time_limit_s=TIME_LIMIT_S)
    driver: Driver = ExpertDriver() if drives else _teleports()
    orchestrator = orchestrator_of(setting)
    executive = executive_of(setting, orchestrator, env, driver)
    end = play_episode(executive, orchestrator, seed, ManualClock(), reasoner=reasoner)
    return Played(result_of(setting, seed, env, end, 0, "done" if end.success else "not done"), ())
