"""The robot's side of the exchange with orchestrator_node, for the nodes that stand for a robot.

A robot publishes its `state`, receives a `decision` for it and, where the decision is to think, an `answer`. What
arrives is checked here: both `replay_node` and `sim_robot_node` accept and refuse the same messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.build import REPLAYED
from rarrl.config import OrchestratorConfig
from rarrl.decision_loop import Report
from rarrl.diagnostics import Heartbeat
from rarrl.events import EventWriter, RunEvent
from rarrl.reasoner.base import Answer
from rarrl.secrets import hide_secrets
from rarrl.skills.domain import Domain
from rarrl.types import Action, CallStatus, Decision

from . import conversions, key_values
from .conversions import Asked, DecisionMessage
from .lifecycle import now

GRACE_S = 1.0
"""Real time by which an answer may miss its deadline: it also travels through two queues. After that, the call counts
as TIMEOUT."""

STATE_PERIOD_S = 1.0
"""The state is repeated at least this often, so that a restarted orchestrator continues within a second."""

STATES_PER_TIMEOUT = 3.0
"""The orchestrator may miss two of three states before it considers the robot gone."""


class DecisionClient:
    """Checks decisions and answers, counts those that are ignored, and notices when the orchestrator falls silent.

    Args:
        warn: called with the reason why a message is ignored; once for each run of equal reasons.
        domain: the robot; a plan of other skills is ignored.

    Attributes:
        heartbeat: when the orchestrator was last heard.
        ignored: number of messages that were ignored.
        last_ignored: why the last of them was.
    """

    def __init__(self, warn: Callable[[str], object], domain: Domain = ALFRED_DOMAIN) -> None:
        self.heartbeat = Heartbeat("orchestrator_node")
        self.ignored = 0
        self.last_ignored = ""
        self._warn = warn
        self._domain = domain

    def decision(self, msg: DiagnosticArray, report: Report) -> DecisionMessage | None:
        """The decision in `msg`, for the run of `report`; None, and counted, where it is malformed, for another run, or
        asks a second question.

        It may be for an earlier state of this run: the topic is latched, and the caller compares `state`."""
        try:
            message = conversions.decision_from_values(key_values.values_of(msg))
        except ValueError as error:
            self.ignore(str(error))
            return None

        if message.run != report.run:
            self.ignore(f"a decision for the run {message.run}, this is {report.run}")
            return None

        self.heartbeat.hear(now())
        if message.state == report.number and report.summary.thinking and message.decision.action is not Action.ACT:
            self.ignore(f"{message.decision.action.label} while a question is open: only ACT is due")
            return None
        return message

    def answer(self, msg: DiagnosticArray, asked: Asked | None) -> Answer | None:
        """The reasoner's answer in `msg`; None, and counted, where it is malformed or not to what was `asked`.

        Args:
            asked: the THINK whose call the robot has open; None: it has none.
        """
        try:
            message = conversions.answer_from_values(key_values.values_of(msg))
        except ValueError as error:
            self.ignore(f"answer: {error}")
            return None

        answer = message.answer
        fault = self._domain.misfit(answer.plan) if answer.plan is not None else ""
        if fault:
            self.ignore(f"answer: a plan of another robot: {fault}")
            return None

        self.heartbeat.hear(now())
        if asked is None:
            self.ignore(f"an answer to decision {answer.decision}, which is not awaited")
            return None
        wanted = (asked.run, asked.state, asked.decision, asked.action.role, asked.action.level)
        if (message.run, message.state, answer.decision, answer.role, answer.level) != wanted:
            self.ignore(f"an answer to decision {answer.decision}, not to {asked.decision}")
            return None
        return answer

    def ignore(self, reason: str) -> None:
        """Counts a message that is not used, and warns unless the last one was ignored for the same reason."""
        self.ignored += 1
        if reason != self.last_ignored:
            self._warn(reason)
            self.last_ignored = reason


def patience_s(decision: Decision) -> float:
    """How long the robot waits for the answer to `decision`, real seconds."""
    return decision.deadline_s + GRACE_S


def no_answer(decision: Decision) -> Answer:
    """What stands for an answer that has not come in time; `decision` is one to think."""
    role = decision.action.role
    assert role is not None, "only a decision to think is answered"
    return Answer(
        decision.id,
        role,
        decision.action.level,
        CallStatus.TIMEOUT,
        seconds=decision.deadline_s,
        backend="none",
        why=f"no answer within {patience_s(decision):.1f} s",
    )


def state_period_s(decision_timeout_s: float) -> float:
    """How often the state is published while nothing changes, seconds."""
    return min(STATE_PERIOD_S, decision_timeout_s / STATES_PER_TIMEOUT)


def state_message(node: str, report: Report, stamp: Time, asked: Asked | None = None) -> DiagnosticArray:
    """`report` for the topic `state`. asked: the THINK whose call the robot has open."""
    values = conversions.values_from_report(report, asked)
    return key_values.array(f"{node}: state", values, stamp, message=report.phase.value)


def open_log(folder: Path, orchestrator: OrchestratorConfig, seed: int, speed: float) -> EventWriter:
    """Begins events.jsonl in `folder`. Raises: RarrlError where it cannot be written."""
    run = RunEvent(
        policy=orchestrator.policy,
        profile=orchestrator.profile,
        seed=seed,
        speed=speed,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        source="graph",
        cost_weight=orchestrator.cost_weight,
        reasoner=None if orchestrator.reasoner == REPLAYED else hide_secrets(orchestrator.reasoner),
        costs=None if orchestrator.reasoner == REPLAYED else orchestrator.costs,
    )
    return EventWriter(folder, run)
