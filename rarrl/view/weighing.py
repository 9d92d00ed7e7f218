"""What a decision was weighed against: the choices there were, how likely the policy took each, and what each costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rarrl.decision_loop import DecisionSession, Report
from rarrl.orchestrator.beside import action_of, thinks_beside
from rarrl.orchestrator.features import Situation, encode
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.types import Decision
from rarrl.why import expected_costs
from rarrl.why import label as choice_label

from .state import Option, Reason

Weighed = Callable[[Decision, Reason], None]


def situation_of(orchestrator: Orchestrator, report: Report) -> Situation:
    """What the policy sees of `report`, before it decides."""
    return orchestrator.situation(report.summary, report.task.status if report.task else None)


def reason_for(orchestrator: Orchestrator, situation: Situation, decision: Decision) -> Reason:
    """Why `decision` was taken in `situation`, and what the other choices would have cost. It costs one forward pass of
    the policy, a fraction of a millisecond."""
    policy = orchestrator.policy
    mask = situation.choice_mask() if thinks_beside(policy) else situation.action_mask()
    probabilities, value = None, None
    if isinstance(policy, LearnedPolicy):
        own = policy.nameless or policy.thinks_beside
        features = policy.encode(situation) if own else encode(situation)
        probabilities, value = policy.probabilities(features, mask)[0], policy.value(features)

    options = tuple(
        Option(
            choice_label(choice),
            bool(mask[choice, 0]),
            action_of(choice) == (decision.action, decision.beside),
            None if probabilities is None else float(probabilities[choice]),
            seconds,
            tokens,
            orchestrator.cost_weight * seconds,
        )
        for choice, (seconds, tokens) in enumerate(expected_costs(orchestrator, len(mask)))
    )
    label = f"{decision.action.label}{' beside' * decision.beside}{' (asks a person)' * decision.asks_person}"
    return Reason(
        decision.id,
        label,
        decision.why,
        options,
        None if value is None else float(np.asarray(value).ravel()[0]),
        policy.name,
    )


class WatchedSession(DecisionSession):
    """A `DecisionSession` that tells of each new decision why it was taken.

    Args:
        orchestrator: see `DecisionSession`.
        weighed: called with each decision and its reason, in the thread of `answer`."""

    def __init__(self, orchestrator: Orchestrator, weighed: Weighed) -> None:
        super().__init__(orchestrator)
        self._weighed = weighed

    def answer(self, report: Report) -> Decision | None:
        """See `DecisionSession`."""
        before = self.decision
        decision = super().answer(report)
        if decision is not None and decision is not before:
            self._weighed(decision, reason_for(self.orchestrator, situation_of(self.orchestrator, report), decision))
        return decision
