"""Tells a task's story from the events of a run (`rarrl.events`): pure, a story and an event in, the next story out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rarrl.events import ActEvent, EndEvent, EpisodeEvent, Event, KnownPlan, RunEvent, ShockEvent, ThinkEvent
from rarrl.report.figure import SUBGOALS
from rarrl.types import Decision

from .state import Bar, Reason, Step, Story

MOST_BARS = 200
"""Attempts and calls that are kept: a mission has fewer than a hundred."""
SOURCES = {0: "the robot's own, by the nearest known goal", 1: "the planner, level 1", 2: "the planner, level 2"}
"""`rarrl.types.PlanStatus.source` in words."""


def spoken(step: str, name: Callable[[str], str] = str) -> str:
    """A step of a plan for people; ALFRED's verbs as the reports name them. name: a thing's or place's class in words.

    >>> spoken("PutObject mug shelf"), spoken("dock")
    ('Put mug → shelf', 'dock')
    """
    verb, *names = step.split(" ")
    return " ".join([SUBGOALS[verb][0] if verb in SUBGOALS else verb, " → ".join(map(name, names))]).strip()


def steps_of(
    names: Sequence[str], index: int, failed: bool = False, name: Callable[[str], str] = str
) -> tuple[Step, ...]:
    """A plan with the step `index` on; from it on nothing is done. failed: the last attempt failed. name: of `spoken`.

    >>> [step.state for step in steps_of(("PickupObject mug", "PutObject mug shelf"), 1)]
    ['done', 'now']
    """
    on = "failed" if failed else "now"
    states = (("done", on, "next")[(at >= index) + (at > index)] for at, _ in enumerate(names))
    return tuple(Step(spoken(step, name), state) for step, state in zip(names, states, strict=True))


def after(story: Story, event: Event) -> Story:
    """The story once `event` has come about."""
    if isinstance(event, RunEvent):
        return Story(policy=event.policy, model=event.reasoner or f"calls of {event.profile}")

    if isinstance(event, EpisodeEvent):
        return Story(
            goal=event.goal or event.task_type,
            policy=story.policy,
            model=story.model,
            episode=event.episode,
            status="under way",
            steps=steps_of(event.subgoals, 0),
            began_s=event.t,
            time_budget_s=event.time_budget_s,
            time_left_s=event.time_budget_s,
            token_budget=event.token_budget,
            tokens_left=event.token_budget,
        )

    if isinstance(event, ShockEvent):
        return replace(story, time_left_s=event.time_left_s, tokens_left=event.tokens_left)

    if isinstance(event, EndEvent):
        bars = tuple(bar for bar in story.bars if bar.t1_s is not None)
        status = "done" if event.success else "failed"
        return replace(story, status=status, steps=_ended(story, event.success), bars=bars)

    assert isinstance(event, ActEvent | ThinkEvent)
    story = _with_plan(story, event.plan)
    bar = _bar_of(event)
    known = next((each for each in story.bars if each.decision == bar.decision and each.t1_s is None), None)
    if known is not None and not bar.role:
        bar = replace(bar, label=known.label or bar.label)  # with what it was done to
    bars = (*(each for each in story.bars if each.decision != event.decision or each.t1_s is not None), bar)
    story = replace(story, bars=bars[-MOST_BARS:])
    if isinstance(event, ThinkEvent):
        return replace(story, status="under way", time_left_s=event.time_left_s, tokens_left=event.tokens_left)
    failed = event.status != "SUCCESS"
    return replace(story, status="under way", steps=_at(story, event.subgoal_index + event.subgoal_done, failed))


def decided(story: Story, decision: Decision, reason: Reason | None, t_s: float) -> Story:
    """The story once `decision` was taken at `t_s`: a bar that is not over, and the reason."""
    reason = reason or Reason(decision.id, decision.action.label, decision.why)
    if decision.action.role is None:
        now = next((step.name for step in story.steps if step.state in ("now", "failed")), "")
        return begun(story, Bar(decision.id, t_s, None, label=now), reason)
    role = decision.action.role.value
    return begun(story, Bar(decision.id, t_s, None, role, decision.action.level, beside=decision.beside), reason)


def begun(story: Story, bar: Bar, reason: Reason | None) -> Story:
    """The story once what `bar` shows has begun. reason: for it; None: not known."""
    story = replace(story, reason=reason or story.reason, bars=(*story.bars, bar))
    if bar.role:
        return replace(story, status="thinking")
    steps = tuple(replace(step, state="now") if step.state == "failed" else step for step in story.steps)
    return replace(story, status="acting", steps=steps)


def _bar_of(event: ActEvent | ThinkEvent) -> Bar:
    if isinstance(event, ActEvent):
        return Bar(event.decision, event.t0, event.t1, status=event.status, label=spoken(event.subgoal))
    return Bar(
        event.decision,
        event.t0,
        event.t1,
        event.role,
        event.level,
        event.status,
        event.answer,
        event.tokens,
        event.time_left_s,
        event.tokens_left,
        bool(event.beside),
    )


def _with_plan(story: Story, plan: KnownPlan | None) -> Story:
    """The plan that was in force when the decision was taken."""
    if plan is None:
        return story
    sure = plan.p_ok if plan.verdict_level else plan.confidence
    return replace(
        story, steps=steps_of(plan.subgoals, plan.subgoal_index), plan_sure=sure, plan_by=SOURCES[plan.source]
    )


def _at(story: Story, index: int, failed: bool = False) -> tuple[Step, ...]:
    states = steps_of([""] * len(story.steps), index, failed)
    return tuple(replace(step, state=state.state) for step, state in zip(story.steps, states, strict=True))


def _ended(story: Story, success: bool) -> tuple[Step, ...]:
    if success:
        return _at(story, len(story.steps))
    return tuple(replace(step, state="failed" if step.state == "now" else step.state) for step in story.steps)
