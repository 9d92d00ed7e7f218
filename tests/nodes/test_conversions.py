"""Messages: value objects come back bit by bit, and nothing bad gets in."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.alfred import STEP_VIEWS, SubgoalType, step_views
from rarrl.alfred_plans import VERBS
from rarrl.decision_loop import DecisionOutcome, Phase, Report, TaskView
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.skills.outcome import Outcome
from rarrl.skills.plan import Step
from rarrl.types import Action, ActStatus, Budget, CallStatus, Decision, PlanStatus, Role, StateSummary, StepView

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from builtin_interfaces.msg import Time

from rarrl_nodes import conversions, key_values
from rarrl_nodes.conversions import AnswerMessage, Asked, DecisionMessage

NUMBERS = st.floats(0.0, 1e9)
COUNTS = st.integers(0, 2**53)
THINKS = st.sampled_from(list(Action)[1:])
CALLS = st.none() | st.builds(
    DecisionOutcome, COUNTS, THINKS, st.sampled_from(CallStatus), NUMBERS, NUMBERS, st.booleans()
)
OUTCOMES = CALLS | st.builds(
    DecisionOutcome, COUNTS, st.just(Action.ACT), st.sampled_from(ActStatus), NUMBERS, NUMBERS, st.booleans()
)
ASKED = st.none() | st.builds(Asked, st.text(min_size=1, max_size=100), COUNTS, COUNTS, THINKS, withdrawn=st.booleans())
WORDS = st.text(min_size=1, max_size=60)
STEPS = st.builds(Step, st.sampled_from([*VERBS, "fly"]), st.tuples() | st.tuples(WORDS) | st.tuples(WORDS, WORDS))
SOME_PLANS = st.lists(STEPS, min_size=1, max_size=12).map(lambda steps: Plan(tuple(steps)))
PLANS = st.none() | SOME_PLANS
SHARES, BITS = st.floats(0.0, 1.0), st.booleans()
STATUSES = st.builds(
    PlanStatus,
    source=st.integers(0, 2),
    confidence=SHARES,
    similarity=SHARES,
    verdict=st.integers(-1, 1),
    verdict_level=st.integers(0, 2),
    p_ok=SHARES,
    answered=st.tuples(BITS, BITS),
    agreeing=COUNTS,
    contradicted=BITS,
    words=COUNTS,
    unknown=COUNTS,
)
TASKS = st.none() | st.builds(
    TaskView,
    st.text(max_size=500),
    SOME_PLANS,
    STATUSES,
    st.lists(WORDS).map(tuple),
    beliefs=st.lists(st.text(min_size=1, max_size=80), max_size=5).map(tuple),
    failed=st.none() | st.just(0),
    outcome=st.sampled_from(["", *(outcome.value for outcome in Outcome)]),
    why=st.text(max_size=200),
)
MEASURES = st.floats(-1e9, 1e9) | st.just(math.nan)
VERDICTS = st.none() | st.builds(Verdict, st.booleans(), st.none() | st.sampled_from(Fault), MEASURES)
SHARES = st.floats(0, 1)
FOREIGN_STEPS = st.builds(
    StepView,
    st.text(st.characters(categories=("L", "N", "P"), exclude_characters=","), min_size=1, max_size=20),
    SHARES,
    st.floats(1e-3, 1e6),
    SHARES,
    NUMBERS,
    st.booleans(),
)
SUBGOALS = st.lists(st.sampled_from(list(STEP_VIEWS.values())) | FOREIGN_STEPS, min_size=1, max_size=20).map(tuple)


@st.composite
def reports(draw):
    subgoals = draw(SUBGOALS)
    index, horizon = draw(st.integers(0, len(subgoals))), draw(st.integers(1, 2**53))
    thinks = draw(st.booleans()), draw(st.booleans())
    summary = StateSummary(subgoals, index, draw(COUNTS), horizon, draw(COUNTS), draw(COUNTS), *thinks)
    return Report(
        run=draw(st.text(min_size=1, max_size=100)),
        number=draw(COUNTS),
        phase=draw(st.sampled_from(Phase)),
        episode=draw(COUNTS),
        summary=summary,
        budget=Budget(draw(NUMBERS), draw(NUMBERS), draw(NUMBERS), draw(NUMBERS)),
        outcome=draw(OUTCOMES),
        task=draw(TASKS),
        thought=draw(CALLS),
    )


@st.composite
def answers(draw):
    status = draw(st.sampled_from(CallStatus))
    ok = status is CallStatus.OK
    return Answer(
        decision=draw(COUNTS),
        role=draw(st.sampled_from(Role)),
        level=draw(st.sampled_from([1, 2])),
        status=status,
        seconds=draw(NUMBERS),
        backend=draw(st.text(max_size=100)),
        tokens_in=draw(COUNTS),
        tokens_out=draw(COUNTS),
        ttft_s=draw(MEASURES),
        plan=draw(PLANS) if ok else None,
        verdict=draw(VERDICTS) if ok else None,
        confidence=draw(MEASURES),
        text=draw(st.text(max_size=4000)),
        why=draw(st.text(max_size=200)),
        tokens_saved=draw(COUNTS),
    )


REPORT = Report(
    "run",
    3,
    Phase.WAITING,
    0,
    StateSummary(step_views((SubgoalType.GotoLocation, SubgoalType.PutObject)), 1, 4, 9),
    Budget(0.1 + 0.2, 100.0, 20.0, 4000.0),
    DecisionOutcome(2, Action.VERIFIER_2, CallStatus.TIMEOUT, 1.25, 300.0, False),
)
ANSWER = AnswerMessage(
    "run",
    3,
    Answer(
        7,
        Role.PLANNER,
        1,
        CallStatus.OK,
        0.25,
        "llama:test",
        40,
        12,
        0.1,
        Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]]),
        confidence=-0.2,
    ),
)
DECISION = DecisionMessage("run", 3, 0, Decision(7, Action.PLANNER_2, 4.5, "why: it failed"), 12.5, 800.0)


def through(values):
    """As a message, and back to texts."""
    return key_values.values_of(key_values.array("test: x", values, Time()))


def test_a_sender_that_tells_no_facts_is_read():
    values = {k: v for k, v in through(conversions.values_from_report(REPORT)).items() if not k.startswith("plan_")}
    del values["retries_left"], values["contradicted_beliefs"]
    assert conversions.report_from_values(values) == REPORT
    steps = conversions.report_from_values({**values, "plan": "dock,PutObject"}).summary.subgoals
    assert steps == (StepView("dock"), STEP_VIEWS["PutObject"])


@pytest.mark.parametrize(
    ("key", "text"),
    [("plan_failures", "0.5"), ("plan_failures", "0.5,2.0"), ("plan_attempts", "0.0,1.0"), ("plan_looks", "no,no")],
)
def test_bad_facts_are_refused(key, text):
    values = {**through(conversions.values_from_report(REPORT)), key: text}
    with pytest.raises(ValueError, match="key "):
        conversions.report_from_values(values)


@given(reports())
def test_reports_come_back(report):
    assert conversions.report_from_values(through(conversions.values_from_report(report))) == report


@given(reports(), ASKED)
def test_the_call_that_a_robot_has_open_travels_with_its_state(report, asked):
    asked = None if asked is None else replace(asked, run=report.run)
    assert conversions.asked_from_values(through(conversions.values_from_report(report, asked))) == asked


def test_a_sender_that_knows_nothing_of_thinking_beside_is_read():
    beside = ("thinking", "can_go_on", "thought_", "asked_")
    values = through(conversions.values_from_report(REPORT, Asked("run", 3, 7, Action.PLANNER_1)))
    before = {key: text for key, text in values.items() if not key.startswith(beside)}
    assert conversions.report_from_values(before) == REPORT
    assert conversions.asked_from_values(before) is None
    decision = through(conversions.values_from_decision(DECISION))
    before = {key: text for key, text in decision.items() if key not in ("beside", "asks_person")}
    assert conversions.decision_from_values(before) == DECISION
    answer = through(conversions.values_from_answer(ANSWER))
    before = {key: text for key, text in answer.items() if key != "tokens_saved"}
    assert repr(conversions.answer_from_values(before)) == repr(ANSWER)


def test_a_withdrawn_call_is_told_with_what_it_has_saved():
    spent = replace(ANSWER.answer, status=CallStatus.WITHDRAWN, plan=None, tokens_saved=31, why="withdrawn")
    values = through(conversions.values_from_answer(AnswerMessage("run", 3, spent)))
    assert repr(conversions.answer_from_values(values).answer) == repr(spent)
    for change in ({"tokens_saved": "-1"}, {"tokens_saved": "many"}, {"steps": '[["PickupObject", "mug"]]'}):
        with pytest.raises(ValueError, match=r"key (tokens_saved|status)"):
            conversions.answer_from_values({**values, **change})


def test_the_largest_message_is_read_by_a_robot_of_before():
    status = PlanStatus(1, 0.9, 0.4, 0, 0, 0.5, (True, False), 0, False, 8, 1)
    task = TaskView("put the mug away", Plan.from_rows([["PickupObject", "mug"]]), status)
    thought = DecisionOutcome(7, Action.PLANNER_1, CallStatus.OK, 1.0, 2.0, False)
    report = replace(REPORT, task=task, thought=thought)
    assert len(conversions.values_from_report(report, Asked("run", 3, 7, Action.PLANNER_1))) <= 64


@given(st.sampled_from(Action), NUMBERS, st.text(max_size=200), NUMBERS, NUMBERS, st.booleans())
def test_decisions_come_back(action, deadline_s, why, time_left_s, tokens_left, other):
    acts = action is Action.ACT
    decision = Decision(3, action, deadline_s, why, beside=other and not acts, asks_person=other and acts)
    message = DecisionMessage("r", 1, 2, decision, time_left_s, tokens_left)
    assert conversions.decision_from_values(through(conversions.values_from_decision(message))) == message


def test_the_topics_carry_what_the_documentation_says():
    decision = conversions.values_from_decision(DECISION)
    assert {"id", "action", "role", "level", "time_left_s", "tokens_left", "why"} <= set(decision)
    assert (decision["action"], decision["role"], decision["level"]) == ("THINK", "planner", 2)
    budget = conversions.values_from_budget(REPORT.budget, DECISION)
    assert {"id", "action", "role", "level", "time_left_s", "tokens_left", "why"} <= set(budget)
    plan = conversions.values_from_plan(REPORT)
    assert (plan["subgoals"], plan["0"], plan["1"]) == (2, "GotoLocation", "PutObject")


BAD_NUMBERS = ("nan", "inf", "-1", "-0.5", "1e400", "1e10", "", "x", "0x10", "1_0", " 1", "9" * 5000, "1,5", "٣")


@pytest.mark.parametrize("text", BAD_NUMBERS)
@pytest.mark.parametrize("key", ["time_left_s", "tokens_left", "time_budget_s", "token_budget", "outcome_seconds"])
def test_bad_numbers_are_refused(key, text):
    values = through(conversions.values_from_report(REPORT))
    with pytest.raises(ValueError, match=key) as error:
        conversions.report_from_values({**values, key: text})
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("plan", ""),
        ("plan", "GotoLocation,"),
        ("plan", ",".join(["GotoLocation"] * 1001)),
        ("subgoal_index", "-1"),
        ("subgoal_index", "3"),
        ("subgoal_index", "1.0"),
        ("step", "99999999999999999999"),
        ("horizon", "0"),
        ("phase", "dancing"),
        ("run", ""),
        ("run", "x" * 101),
        ("episode", "one"),
        ("outcome_action", "PANIC"),
        ("outcome_status", "SUCCESS"),  # of an attempt, but the action is a call
        ("outcome_subgoal_done", "yes"),
        ("thinking", "1"),
        ("can_go_on", ""),
        ("thought_action", "ACT"),
        ("thought_status", "SUCCESS"),
        ("thought_seconds", "-1"),
        ("asked_id", "x"),
        ("asked_action", "ACT"),
        ("asked_state", "-3"),
        ("asked_withdrawn", "maybe"),
    ],
)
def test_bad_states_are_refused(key, text):
    thought = DecisionOutcome(2, Action.VERIFIER_2, CallStatus.TIMEOUT, 1.25, 300.0, False)
    asked = Asked("run", 3, 7, Action.PLANNER_1)
    values = {**through(conversions.values_from_report(replace(REPORT, thought=thought), asked)), key: text}
    with pytest.raises(ValueError):
        conversions.report_from_values(values)
        conversions.asked_from_values(values)


@pytest.mark.parametrize("key", sorted(set(conversions.values_from_report(REPORT)) - {"schema"}))
def test_missing_keys_are_named(key):
    values = through(conversions.values_from_report(REPORT))
    del values[key]
    with pytest.raises(ValueError, match=f"key {key} is missing"):
        conversions.report_from_values(values)
        conversions.asked_from_values(values)


@pytest.mark.parametrize(
    "change",
    [
        {"action": "ACT"},
        {"role": "none"},
        {"level": "3"},
        {"level": "0"},
        {"deadline_s": "nan"},
        {"id": "-4"},
        {"beside": "perhaps"},
        {"asks_person": "true"},  # and thinks
        {"action": "ACT", "role": "none", "level": "0", "beside": "true"},
    ],
)
def test_bad_decisions_are_refused(change):
    values = through(conversions.values_from_decision(DECISION))
    with pytest.raises(ValueError, match="key"):
        conversions.decision_from_values({**values, **change})


@settings(max_examples=200)
@given(answers())
def test_answers_come_back(answer):
    message = AnswerMessage("run", 5, answer)
    back = conversions.answer_from_values(through(conversions.values_from_answer(message)))
    assert repr(back) == repr(message)  # nan is not nan


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("steps", "[]"),
        ("steps", "null"),
        ("steps", "[[]]"),
        ("steps", '[["Fly"' + ', "mug"' * 9 + "]]"),
        ("steps", '[["PickupObject", 3]]'),
        ("steps", '[["PickupObject", "' + "m" * 201 + '"]]'),
        ("steps", "[" * 9000),
        ("steps", '[["PickupObject", "mug"]' + ', ["PickupObject", "mug"]' * 100 + "]"),
        ("level", "3"),
        ("role", "oracle"),
        ("status", "FINE"),
        ("status", "TIMEOUT"),  # with a plan
        ("seconds", "-1.0"),
        ("seconds", "nan"),
        ("confidence", "inf"),
        ("p_ok", "1e99"),
        ("verdict", "maybe"),
        ("fault", "bad luck"),
        ("run", ""),
    ],
)
def test_bad_answers_are_refused(key, text):
    values = through(conversions.values_from_answer(ANSWER)) | {key: text}
    with pytest.raises(ValueError, match=f"key {key}"):
        conversions.answer_from_values(values)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("goal", "goal: " + "x" * 501),
        ("steps", "none"),
        ("source", "3"),
        ("plan_confidence", "1.5"),
        ("similarity", "-0.1"),
        ("plan_verdict", "perhaps"),
        ("verdict_level", "4"),
        ("plan_p_ok", "nan"),
        ("answered_1", "yes"),
        ("contradicted", "1"),
        ("agreeing", "-1"),
        ("scene", "mug"),
        ("scene", '{"mug": 1}'),
        ("scene", '["mug", 3]'),
        ("beliefs", '["", "it is shut"]'),
        ("failed", "1"),
        ("failed_outcome", "sad"),
    ],
)
def test_bad_tasks_are_refused(key, text):
    status = PlanStatus(1, 0.9, 0.4, 0, 0, 0.5, (True, False), 0, False, 8, 1)
    task = TaskView("put the mug away", Plan.from_rows([["PickupObject", "mug"]]), status)
    values = through(conversions.values_from_report(replace(REPORT, task=task))) | {key: text}
    with pytest.raises(ValueError, match=f"key {key}"):
        conversions.report_from_values(values)


def test_a_task_without_a_plan_and_one_of_a_sender_of_before_are_read():
    status = PlanStatus(0, 0.0, 0.0, 0, 0, 0.5, (False, False), 0, False, 8, 1)
    report = replace(REPORT, task=TaskView("dance", Plan(()), status))
    values = through(conversions.values_from_report(report))
    assert conversions.report_from_values(values) == report
    before = {key: text for key, text in values.items() if not key.startswith("failed") and key != "beliefs"}
    assert conversions.report_from_values(before) == report


def test_where_a_model_believes_things_to_be_travels_with_its_answer():
    answer = replace(ANSWER.answer, where={"mug": (("sink", 0.75), ("desk", 0.25))})
    values = through(conversions.values_from_answer(AnswerMessage("run", 3, answer)))
    assert conversions.answer_from_values(values).answer.where == answer.where
    assert conversions.answer_from_values({k: v for k, v in values.items() if k != "where"}).answer.where == {}
    with pytest.raises(ValueError, match="key where"):
        conversions.answer_from_values({**values, "where": "[1]"})
