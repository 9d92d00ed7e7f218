"""What may go on beside a question, and every edge of what can happen to one."""

import itertools
import re
from collections import deque
from pathlib import Path

import pytest

from rarrl.reasoner.base import Answer
from rarrl.thinking import (
    ENDS_TASK,
    GOES_ON,
    OPEN,
    SETTLED_BY,
    TRANSITIONS,
    CallBeside,
    Do,
    Happened,
    Kind,
    Present,
    Question,
    Stage,
    Tally,
    Thinking,
    diagram,
    kind_of,
    may_go_on,
    settled,
    tokens_at,
    unanswered,
    withdrawn,
)
from rarrl.types import Action, CallStatus, Decision, Role

PAGE = (Path(__file__).resolve().parents[1] / "docs/explanation/thinking-beside-acting.md").read_text("utf-8")
QUESTION = Question(7, Role.PLANNER, True, plan="a", failed="go", told=frozenset({"cup at shelf"}))
NOW = Present(True, "a")


# The diagram


def documented():
    """(stage, what happened) -> (stage, what to do), as the page draws it."""
    block = PAGE.split("```mermaid\n")[1].split("\n```")[0]
    found = {}
    for line in block.splitlines()[2:]:
        before, after, texts = re.fullmatch(r" +(\w+) --> (\w+): (.*)", line).groups()
        for text in texts.split("<br>"):
            happened, do = text.split(" / ")
            found[Stage(before), Happened(happened)] = Stage(after), Do(do)
    return found


def test_the_page_draws_the_table():
    assert diagram() in PAGE
    assert documented() == TRANSITIONS


def path_to(stage):
    """What has to happen from the start until `stage`: the shortest way."""
    ways = {Stage.NONE: ()}
    queue = deque(ways)
    while queue:
        at = queue.popleft()
        for (before, happened), (after, _) in TRANSITIONS.items():
            if before is at and after not in ways:
                ways[after] = (*ways[at], happened)
                queue.append(after)
    return ways[stage]


def led(path):
    """A `Thinking` to which all of `path` has happened."""
    thinking = Thinking()
    for happened in path:
        if happened in (Happened.ASKED, Happened.ASKED_BESIDE):
            thinking = thinking.ask(Question(7, Role.PLANNER, happened is Happened.ASKED_BESIDE))
        else:
            thinking, _ = thinking.after(happened)
    return thinking


@pytest.mark.parametrize(("stage", "happened"), itertools.product(Stage, Happened))
def test_every_edge_leads_where_the_page_says_and_there_are_no_others(stage, happened):
    thinking = led(path_to(stage))
    assert thinking.stage is stage
    assert (thinking.open is not None) == (stage in OPEN)
    edge = documented().get((stage, happened))
    if edge is None:
        with pytest.raises(ValueError, match="cannot happen while"):
            thinking.after(happened)
        return
    after, do = thinking.after(happened)
    assert (after.stage, do) == edge
    assert (after.question is None) == (after.stage is Stage.NONE or stage is Stage.NONE)  # `ask` sets it


def test_no_stage_is_left_for_good():
    for stage in OPEN:
        for end in (Happened.ANSWERED, Happened.TIMED_OUT, Happened.BACKEND_LOST, Happened.SETTLED):
            assert TRANSITIONS[stage, end][0] in (Stage.NONE, Stage.WITHDRAWN)
    assert TRANSITIONS[Stage.WITHDRAWN, Happened.TIMED_OUT][0] is Stage.NONE


def test_only_an_answer_that_is_awaited_is_applied():
    applied = {edge for edge, (_, do) in TRANSITIONS.items() if do is Do.APPLY}
    assert applied == {(stage, Happened.ANSWERED) for stage in OPEN}


def test_a_second_question_cannot_be_asked():
    for stage in OPEN:
        with pytest.raises(ValueError, match="cannot happen"):
            led(path_to(stage)).ask(QUESTION)


@pytest.mark.parametrize(
    ("decision", "status", "happened"),
    [
        (7, CallStatus.OK, Happened.ANSWERED),
        (7, CallStatus.REFUSED, Happened.ANSWERED),
        (7, CallStatus.WITHDRAWN, Happened.ANSWERED),
        (7, CallStatus.TIMEOUT, Happened.TIMED_OUT),
        (7, CallStatus.BACKEND_DOWN, Happened.BACKEND_LOST),
        (6, CallStatus.OK, Happened.STALE),
        (6, CallStatus.TIMEOUT, Happened.STALE),
    ],
)
def test_what_an_answer_is(decision, status, happened):
    assert led(path_to(Stage.BESIDE)).heard(decision, status) is happened
    assert Thinking().heard(decision, status) is Happened.STALE


# The rules


def test_the_page_shows_what_may_go_on():
    rows = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if cells[0] in {kind.value for kind in Kind}:
            rows[Kind(cells[0])] = cells[2:]
    assert rows == {
        kind: ["goes on" if kind in GOES_ON[role] else "held" for role in (Role.PLANNER, Role.VERIFIER)]
        for kind in Kind
    }
    assert all(f"| {why} |" in PAGE for why in SETTLED_BY)


@pytest.mark.parametrize("role", Role)
def test_what_cannot_be_undone_never_starts_and_what_changes_a_thing_never_beside_a_planner(role):
    beside = Question(1, role, True)
    assert not may_go_on(beside, Kind.FINAL)
    assert may_go_on(beside, Kind.CHANGES) == (role is Role.VERIFIER)
    assert all(may_go_on(beside, kind) for kind in (Kind.MOVES, Kind.LOOKS, Kind.WAITS))
    assert not any(may_go_on(Question(1, role, False), kind) for kind in Kind)  # it stands


def test_a_step_that_may_not_start_does_not():
    asked = Thinking().ask(QUESTION)
    assert asked.start(Kind.MOVES).stage is Stage.BESIDE
    for kind in (Kind.CHANGES, Kind.FINAL):
        assert not asked.allows(kind)
        with pytest.raises(ValueError, match="may not start while beside"):
            asked.start(kind)
    waiting, _ = asked.after(Happened.NOTHING_LEFT)
    with pytest.raises(ValueError, match="cannot happen while waiting"):
        waiting.start(Kind.MOVES)
    assert Thinking().start(Kind.FINAL) == Thinking()


def test_kinds():
    assert kind_of(0.5, looks=True) is Kind.FINAL
    assert kind_of(0.0, waits=True) is Kind.WAITS
    assert kind_of(0.0, looks=True) is Kind.LOOKS
    assert kind_of(0.0) is Kind.CHANGES


SETTLING = {
    "the task is paused or over": Present(False, "a"),
    "another plan is in force": Present(True, "b"),
    "the step that failed has succeeded": Present(True, "a", succeeded=frozenset({"look", "go"})),
    "the plan is done": Present(True, "a", done=True),
    "the world contradicts what it was told": Present(True, "a", contradicted=frozenset({"cup at shelf"})),
}


@pytest.mark.parametrize("why", SETTLED_BY)
@pytest.mark.parametrize("role", Role)
def test_what_settles_a_question(why, role):
    question = Question(7, role, True, "a", "go", frozenset({"cup at shelf"}))
    assert settled(question, NOW) == ""
    assert settled(question, SETTLING[why]) == (why if role in SETTLED_BY[why][0] else "")


def test_what_does_not_settle_one():
    assert settled(QUESTION, Present(True, "a", succeeded=frozenset({"look"}))) == ""
    assert settled(Question(7, Role.PLANNER, True, "a"), Present(True, "a", succeeded=frozenset({"go"}))) == ""
    assert settled(QUESTION, Present(True, "a", contradicted=frozenset({"plate at table"}))) == ""
    assert Role.PLANNER not in ENDS_TASK


# What calls cost


ANSWER = Answer(7, Role.PLANNER, 1, CallStatus.OK, 5.0, "test", tokens_in=100, tokens_out=40, ttft_s=1.0)


@pytest.mark.parametrize(("seconds", "tokens"), [(0.0, 100), (1.0, 100), (3.0, 120), (5.0, 140), (9.0, 140)])
def test_tokens_of_a_call_under_way(seconds, tokens):
    assert tokens_at(seconds, ANSWER) == tokens


def test_a_call_beside_acting_is_answered_when_its_seconds_are_over():
    call = CallBeside(ANSWER, 10.0, 60.0)
    assert (call.left_s(12.0), call.left_s(15.0), call.left_s(20.0)) == (3.0, 0.0, 0.0)
    assert call.at(15.0) is ANSWER
    stopped = call.at(13.0)
    assert (stopped.status, stopped.seconds, stopped.tokens, stopped.tokens_saved) == (
        CallStatus.WITHDRAWN,
        3.0,
        120,
        20,
    )


def test_a_call_beside_acting_that_takes_too_long_times_out():
    call = CallBeside(ANSWER, 0.0, 2.0)
    assert call.left_s(0.5) == 1.5
    assert call.at(2.0).status is CallStatus.TIMEOUT


def test_a_call_whose_first_word_was_not_timed():
    assert tokens_at(2.5, Answer(7, Role.PLANNER, 1, CallStatus.OK, 5.0, "test", 10, 10)) == 15
    assert withdrawn(Answer(7, Role.PLANNER, 1, CallStatus.OK, 0.0, "test", 10, 10), 0.0).tokens == 20


def test_what_stands_for_an_answer_that_does_not_come():
    answer = unanswered(Decision(7, Action.VERIFIER_2, 20.0, ""), 3.0)
    assert (answer.decision, answer.role, answer.level) == (7, Role.VERIFIER, 2)
    assert (answer.status, answer.seconds, answer.tokens) == (CallStatus.WITHDRAWN, 3.0, 0)


def test_the_tally():
    tally = Tally().plus(asked=2, beside=1).of_dropped(withdrawn(ANSWER, 1.0)).of_dropped(ANSWER)
    assert tally == Tally(asked=2, beside=1, dropped=1, withdrawn=1, tokens_saved=40)
