"""Plays the orchestrator's part of a recording: every recorded `state` is answered once more. Needs no ROS.

Each decision is made after what the recording says was decided and came of it before, so that one that moves does not
drag the others along. Those of a task whose beginning was not recorded are left out: what it had seen is not known.
What a call is expected to cost follows the recorded calls; how busy the computer was is not recorded, and counts as not
at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rarrl.bag.reader import Bag
from rarrl.build import REPLAYED, make_orchestrator
from rarrl.config import Config
from rarrl.decision_loop import DecisionSession, Report
from rarrl.errors import RarrlError
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl.orchestrator.orchestrator import Orchestrator

from . import conversions, key_values
from .conversions import DecisionMessage

KIND = "diagnostic_msgs/msg/DiagnosticArray"


@dataclass(frozen=True)
class Decided:
    """A decision as it is made now, and as it was made. at_s: of the state, since the recording began. lead: by which
    the learned policy's first choice is ahead of its second, a difference of logits; 0 of a rule. was: None where the
    recording holds no answer to this state."""

    at_s: float
    now: DecisionMessage
    lead: float
    was: DecisionMessage | None


def make_session(config: Config) -> DecisionSession:
    """As orchestrator_node makes it, but for what depends on the computer that it runs on. Raises: InputError."""
    chosen = config.orchestrator
    only_acts = bool(config.executive.skills) and chosen.reasoner == REPLAYED
    orchestrator = make_orchestrator(
        "never" if only_acts else chosen.policy,
        chosen.profile,
        chosen.cost_weight,
        call_timeout_s=config.language_model.call_timeout_s,
        live=chosen.reasoner != REPLAYED,
        costs=chosen.costs,
        abstain=chosen.abstain,
    )
    orchestrator.on_policy_error = _ignore
    return DecisionSession(orchestrator, (chosen.time_budget_s, chosen.token_budget))


def play_decisions(bag: Bag, config: Config, topics: Mapping[str, str]) -> tuple[list[Decided], int]:
    """Every decision of the recording, and how many messages were refused. topics: our name -> the bag's: state, and
    where they were recorded decision, answer, orchestrator_node/transition_event."""
    ours = {name: topic for topic, name in topics.items()}
    messages = sorted(bag.messages(set(topics.values())), key=lambda message: message.log_s)
    recorded: dict[tuple[str, int], DecisionMessage] = {}
    refused = 0
    for message in messages:
        if ours[message.topic] == "decision":
            try:
                decision = conversions.decision_from_values(key_values.values_of(message.value))
            except ValueError:
                refused += 1
                continue
            recorded.setdefault((decision.run, decision.state), decision)

    session = make_session(config)
    unknown: tuple[str, int] | None = None  # a task whose beginning was not recorded
    decided: list[Decided] = []
    for message in messages:
        name = ours[message.topic]
        try:
            if name == "state":
                report = conversions.report_from_values(key_values.values_of(message.value))
                task = (report.run, report.episode)
                if session.report is None and (report.summary.step > 0 or report.outcome or report.thought):
                    unknown = task
                one = _answer(session, report, recorded)
                if one is not None and task != unknown:
                    decided.append(Decided(message.log_s - bag.start_s, *one))
            elif name == "answer":
                session.heard(conversions.answer_from_values(key_values.values_of(message.value)).answer)
            elif name == "orchestrator_node/transition_event" and message.value.goal_state.label == "configuring":
                session = make_session(config)
        except ValueError:
            refused += 1
    return decided, refused


def _answer(
    session: DecisionSession, report: Report, recorded: Mapping[tuple[str, int], DecisionMessage]
) -> tuple[DecisionMessage, float, DecisionMessage | None] | None:
    """The decision for a state that had none yet, its lead, and the recorded one, which then holds; None where it needs
    none."""
    before = session.report
    is_new = before is None or (before.run, before.episode, before.number) != (
        report.run,
        report.episode,
        report.number,
    )
    decision = session.answer(report)
    if decision is None or not is_new:
        return None
    left = session.orchestrator.budget
    was = recorded.get((report.run, report.number))
    if was is not None:
        session.decision = was.decision
    now = DecisionMessage(report.run, report.number, report.episode, decision, left.time_s, left.tokens)
    return now, _lead(session.orchestrator, report), was


def _lead(orchestrator: Orchestrator, report: Report) -> float:
    policy = orchestrator.policy
    if not isinstance(policy, LearnedPolicy):
        return 0.0
    situation = orchestrator.situation(report.summary, report.task.status if report.task else None)
    first, second = np.sort(policy.logits(policy.encode(situation))[0])[:-3:-1]
    return float(first - second)


def _ignore(error: RarrlError) -> None:
    """A policy that fails decides ACT, as on the robot; that shows in the decision."""
