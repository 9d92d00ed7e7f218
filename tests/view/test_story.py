"""The story of a task, event by event."""

import pytest

from rarrl.events import ActEvent, EndEvent, EpisodeEvent, KnownPlan, RunEvent, ShockEvent, ThinkEvent
from rarrl.types import Action, Decision
from rarrl.view.state import Reason, Story
from rarrl.view.story import MOST_BARS, after, decided

RUN = RunEvent(policy="learned", profile="household", seed=1, speed=1.0, date="2026", source="in_process")
EPISODE = EpisodeEvent(
    episode=4,
    category="Delivery",
    task_type="pick_and_place_simple",
    goal="Put the mug on the shelf",
    subgoals=("GotoLocation", "PickupObject", "PutObject"),
    time_budget_s=20.0,
    token_budget=600.0,
    horizon=40,
    t=5.0,
)
PLAN = KnownPlan(
    subgoals=("PickupObject", "PutObject"),
    subgoal_index=0,
    source=1,
    confidence=0.9,
    similarity=0.5,
    verdict=0,
    verdict_level=0,
    p_ok=0.5,
    answered=(True, False),
    agreeing=0,
    contradicted=False,
    words=5,
    unknown=0,
)
BEGUN = after(after(Story(), RUN), EPISODE)


def act(number, t0, t1, index, status="SUCCESS", **values):
    return ActEvent(
        episode=4,
        decision=number,
        t0=t0,
        t1=t1,
        subgoal=EPISODE.subgoals[index],
        subgoal_index=index,
        status=status,
        subgoal_done=status == "SUCCESS",
        why="",
        **values,
    )


def think(number, t0, t1, **values):
    given = {"role": "planner", "level": 1, "status": "OK", "tokens": 100.0, "time_left_s": 18.0, "tokens_left": 500.0}
    return ThinkEvent(episode=4, decision=number, t0=t0, t1=t1, why="", answer="a plan", **(given | values))


def states(story):
    return [step.state for step in story.steps]


def test_a_task_begins():
    assert (BEGUN.goal, BEGUN.policy, BEGUN.model) == ("Put the mug on the shelf", "learned", "calls of household")
    assert [step.name for step in BEGUN.steps] == ["Go to", "Pick", "Put"] and states(BEGUN) == ["now", "next", "next"]
    assert (BEGUN.time_left_s, BEGUN.time_budget_s, BEGUN.began_s, BEGUN.bars) == (20.0, 20.0, 5.0, ())


def test_what_is_done_is_ticked_off_and_what_failed_is_marked():
    story = after(BEGUN, act(1, 5.0, 7.0, 0))
    assert states(story) == ["done", "now", "next"]
    story = after(story, act(2, 7.0, 8.0, 1, "FAILURE"))
    assert states(story) == ["done", "failed", "next"]
    assert [(bar.label, bar.status) for bar in story.bars] == [("Go to", "SUCCESS"), ("Pick", "FAILURE")]
    story = decided(story, Decision(3, Action.ACT, 0.0, "again"), None, 8.0)
    assert states(story) == ["done", "now", "next"] and story.status == "acting"


def test_a_call_drains_the_budget_and_brings_a_plan():
    story = decided(BEGUN, Decision(1, Action.PLANNER_1, 20.0, "new"), Reason(1, "THINK(planner, 1)", "new"), 5.0)
    assert (story.status, story.reason.why) == ("thinking", "new")
    assert [(bar.role, bar.level, bar.t1_s) for bar in story.bars] == [("planner", 1, None)]
    story = after(story, think(1, 5.0, 7.0, plan=PLAN))
    (bar,) = story.bars
    assert (bar.t0_s, bar.t1_s, bar.label, bar.tokens) == (5.0, 7.0, "a plan", 100.0)
    assert (story.time_left_s, story.tokens_left) == (18.0, 500.0)
    assert [step.name for step in story.steps] == ["Pick", "Put"]
    assert (story.plan_sure, story.plan_by) == (0.9, "the planner, level 1")


def test_a_verifier_is_believed_rather_than_the_planner_itself():
    judged = PLAN.model_copy(update={"verdict_level": 2, "verdict": -1, "p_ok": 0.1})
    assert after(BEGUN, think(1, 5.0, 6.0, role="verifier", plan=judged)).plan_sure == 0.1


def test_an_attempt_keeps_what_it_is_done_to():
    """The log names the skill alone; who began it knew more."""
    story = decided(BEGUN, Decision(1, Action.ACT, 0.0, "go"), None, 5.0)
    known = story.bars[0].label
    story = after(story, act(1, 5.0, 7.0, 0))
    assert len(story.bars) == 1 and story.bars[0].label == known == "Go to" and story.bars[0].t1_s == 7.0


def test_thinking_beside_acting_leaves_both_open():
    story = decided(BEGUN, Decision(1, Action.PLANNER_2, 20.0, "", beside=True), None, 5.0)
    story = decided(story, Decision(2, Action.ACT, 0.0, ""), None, 5.0)
    assert [(bar.decision, bar.t1_s) for bar in story.bars] == [(1, None), (2, None)]
    story = after(story, act(2, 5.0, 6.0, 0))
    assert [(bar.decision, bar.t1_s) for bar in story.bars] == [(1, None), (2, 6.0)]


def test_a_cut_of_the_budget():
    story = after(BEGUN, ShockEvent(episode=4, t=6.0, time_left_s=8.0, tokens_left=240.0))
    assert (story.time_left_s, story.tokens_left, story.time_budget_s) == (8.0, 240.0, 20.0)


@pytest.mark.parametrize(
    ("success", "status", "steps"),
    [(True, "done", ["done", "done", "done"]), (False, "failed", ["failed", "next", "next"])],
)
def test_the_end(success, status, steps):
    end = EndEvent(
        episode=4, t=9.0, success=success, lost=False, llm_seconds=0.0, tokens=0.0, calls=0, acts=1, deadline_misses=0
    )
    story = after(decided(BEGUN, Decision(1, Action.ACT, 0.0, ""), None, 5.0), end)
    assert (story.status, states(story), story.bars) == (status, steps, ())


def test_a_long_task_keeps_its_last_bars():
    story = BEGUN
    for number in range(MOST_BARS + 50):
        story = after(story, act(number, 5.0 + number, 6.0 + number, 0, "FAILURE"))
    assert len(story.bars) == MOST_BARS and story.bars[-1].decision == MOST_BARS + 49


def test_another_task_begins_afresh():
    story = after(after(BEGUN, act(1, 5.0, 7.0, 0)), EPISODE.model_copy(update={"episode": 5, "t": 30.0}))
    assert (story.episode, story.bars, story.began_s, story.policy) == (5, (), 30.0, "learned")
