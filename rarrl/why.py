"""Why a run's decisions came out as they did: the log is played to the policy again, decision by decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rarrl.build import ONLINE, make_orchestrator
from rarrl.events import ActEvent, ShockEvent, ThinkEvent
from rarrl.latency.profile import load_profile
from rarrl.orchestrator.beside import FIRST_BESIDE, action_of, thinks_beside
from rarrl.orchestrator.features import ALL_FEATURE_NAMES, encode
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import OrchestratorPolicy
from rarrl.orchestrator.running_costs import RunningCosts
from rarrl.report.runs import Episode, Run
from rarrl.types import Action, ActStatus, Budget, CallStatus, LlmCall, StateSummary


@dataclass(frozen=True, eq=False)
class Explained:
    """One decision of a run.

    features: (n,) float32, by the first of `names`: those that the policy reads. allowed: (5,) bool, by `Action`, or
    (9,) by choice where the policy thinks beside acting (`rarrl.orchestrator.beside`). choice: what was decided.
    probabilities: as `allowed`, of the learned policy, None for a rule. value: chance of success less the price of
    thinking still to come, as the policy sees it; None where its file holds no value head. recomputed: the choice that
    the policy makes now; another one means that the log was made with another price or policy. seconds: of robot time
    that the decision took, or of the call; tokens: of the call. always: what always-think would do here, and what that
    call costs in the mean. expected: by choice, (seconds, tokens) that it was expected to cost."""

    episode: int
    decision: int
    subgoal: str
    choice: int
    outcome: str
    seconds: float
    tokens: float
    why: str
    features: NDArray[np.float32]
    names: tuple[str, ...]
    allowed: NDArray[np.bool_]
    probabilities: NDArray[np.float64] | None
    value: float | None
    recomputed: int
    always: Action
    always_seconds: float
    always_tokens: float
    expected: tuple[tuple[float, float], ...] = ()

    @property
    def action(self) -> Action:
        """What was decided."""
        return action_of(self.choice)[0]

    @property
    def beside(self) -> bool:
        """Whether the robot went on meanwhile."""
        return action_of(self.choice)[1]


def label(choice: int) -> str:
    """A choice for people, such as `THINK(planner, 1) beside`."""
    action, beside = action_of(choice)
    return f"{action.label}{' beside' * beside}"


def explain(run: Run, cost_weight: float) -> list[Explained]:
    """All decisions of the finished episodes of `run`, in order.

    `cost_weight`: the price of thinking of that run.
    Raises: InputError where the run's policy or latency profile is not there any more."""
    profile = load_profile(run.header.profile)
    header = run.header
    live = header.reasoner is not None or header.costs is not None
    orchestrator = make_orchestrator(run.policy, profile, cost_weight, live=live, costs=header.costs or ONLINE)
    always = make_orchestrator("always", profile, cost_weight).policy
    return [explained for episode in run.episodes for explained in _episode(episode, orchestrator, always)]


def _episode(episode: Episode, orchestrator: Orchestrator, always: OrchestratorPolicy) -> list[Explained]:
    start, found = episode.start, []
    orchestrator.start(Budget.full(start.time_budget_s, start.token_budget))
    subgoals, index, acts = start.steps, 0, 0
    open_: ThinkEvent | None = None
    for event, ends in episode.moments:
        if isinstance(event, ShockEvent):
            orchestrator.cut_budget(event.time_left_s, event.tokens_left)
        elif isinstance(event, ActEvent | ThinkEvent):
            if event.plan is not None:
                subgoals = event.plan.steps
                index = event.plan.subgoal_index
            elif isinstance(event, ActEvent):
                index = event.subgoal_index
            summary = StateSummary(
                subgoals,
                index,
                acts,
                start.horizon,
                event.retries_left or 0,
                event.contradicted or 0,
                thinking=open_ is not None,
                can_go_on=bool(event.can_go_on),
            )
            if event is not open_:
                found.append(_decision(event, summary, orchestrator, always))
            if not ends:
                assert isinstance(event, ThinkEvent)
                open_ = event
                continue
            open_ = None if event is open_ else open_
            if isinstance(event, ActEvent):
                orchestrator.record_act(ActStatus(event.status), event.subgoal_done, pending=open_ is not None)
                index, acts = index + event.subgoal_done, acts + 1
            else:
                call = LlmCall(_action(event), CallStatus(event.status), event.t1 - event.t0, event.tokens)
                if isinstance(orchestrator.costs, RunningCosts):
                    orchestrator.costs.now = partial(float, event.t1)
                orchestrator.record_call(call)
                orchestrator.cut_budget(event.time_left_s, event.tokens_left)
    return found


def _decision(
    event: ActEvent | ThinkEvent, summary: StateSummary, orchestrator: Orchestrator, always: OrchestratorPolicy
) -> Explained:
    policy, costs = orchestrator.policy, orchestrator.costs
    situation = orchestrator.situation(summary, None if event.plan is None else event.plan.status)
    mask = situation.choice_mask() if thinks_beside(policy) else situation.action_mask()
    features, names = encode(situation), ALL_FEATURE_NAMES
    if isinstance(policy, LearnedPolicy) and (policy.nameless or policy.thinks_beside):
        features, names = policy.encode(situation), policy.feature_names
    rival = Action(int(always.act(situation, situation.action_mask())[0]))
    probabilities, value = None, None
    if isinstance(policy, LearnedPolicy):
        probabilities, value = policy.probabilities(features, mask)[0], policy.value(features)
    return Explained(
        episode=event.episode,
        decision=event.decision,
        subgoal=summary.subgoals[min(summary.subgoal_index, len(summary.subgoals) - 1)].name,
        choice=_choice(event),
        outcome=event.status,
        seconds=event.t1 - event.t0,
        tokens=event.tokens if isinstance(event, ThinkEvent) else 0.0,
        why=event.why,
        features=features[0],
        names=names,
        allowed=mask[:, 0],
        probabilities=probabilities,
        value=None if value is None else float(value[0]),
        recomputed=0 if summary.thinking else int(policy.act(situation, mask)[0]),
        always=rival,
        always_seconds=0.0 if rival is Action.ACT else float(costs.mean_s[rival - 1]),
        always_tokens=0.0 if rival is Action.ACT else float(costs.mean_tokens[rival - 1]),
        expected=expected_costs(orchestrator, len(mask)),
    )


def expected_costs(orchestrator: Orchestrator, choices: int) -> tuple[tuple[float, float], ...]:
    """(seconds, tokens) that each of so many choices is expected to cost now; nothing for ACT."""
    costs = orchestrator.costs
    calls = [int(action_of(choice)[0]) - 1 for choice in range(choices)]  # -1: ACT
    return tuple((0.0, 0.0) if i < 0 else (float(costs.mean_s[i]), float(costs.mean_tokens[i])) for i in calls)


def _action(event: ThinkEvent) -> Action:
    return next(a for a in Action if a.role is not None and (a.role.value, a.level) == (event.role, event.level))


def _choice(event: ActEvent | ThinkEvent) -> int:
    if isinstance(event, ActEvent):
        return 0
    action = int(_action(event))
    return action + FIRST_BESIDE - 1 if event.beside else action


def pulls(policy: LearnedPolicy, decision: Explained, run: Sequence[Explained]) -> NDArray[np.float64]:
    """(features,) by how much each feature favours the choice: what its log-odds against the best other allowed action
    would lose if this feature alone had its mean over the run's decisions (occlusion). Zeros where nothing else was
    allowed."""
    others = decision.allowed & policy.allowed & (np.arange(len(policy.allowed)) != decision.choice)
    if not others.any():
        return np.zeros(len(decision.features))
    mean = np.mean([one.features for one in run], axis=0)
    changed = np.tile(decision.features, (len(mean) + 1, 1))
    changed[np.arange(len(mean)), np.arange(len(mean))] = mean
    logits = policy.logits(changed).astype(np.float64)
    odds = logits[:, decision.choice] - np.where(others, logits, -np.inf).max(axis=1)
    return np.asarray(odds[-1] - odds[:-1])


def named(decision: Explained) -> dict[str, float]:
    """Feature values by name."""
    return dict(zip(decision.names, decision.features.tolist(), strict=False))  # the last ones where plans are known
