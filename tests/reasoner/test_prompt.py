"""What the planner model reads and writes."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.reasoner.base import Request
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.reasoner.prompt import (
    MARKS,
    clean,
    json_pieces,
    p_ok,
    parse,
    plan_json,
    render,
    schema,
    thoughts_json,
    verdict_json,
)
from rarrl.reasoner.vocabulary import ALFRED
from rarrl.types import Role

PLAN = Plan.from_rows([["PickupObject", "mug"], ["CleanObject", "mug"], ["PutObject", "mug", "shelf"]])


def request(role=Role.PLANNER, level=1, goal="Put a clean mug on the shelf.", **rest):
    return Request(decision=1, role=role, level=level, goal=goal, deadline_s=1.0, **rest)


def test_prompt_of_each_role_and_level_differs():
    prompts = {render(request(role, level, plan=PLAN)) for role in Role for level in (1, 2)}
    assert len(prompts) == 4


def test_prompt_by_hand():
    assert render(request()) == "<|plan|> put a clean mug on the shelf.<|answer|>"
    text = render(request(level=2, scene=("mug", "spaceship", "desk"), plan=PLAN, failed=1))
    assert text == (
        '<|think|><|scene|>,"desk","mug" put a clean mug on the shelf.<|given|>{"plan":[["PickupObject","mug"],'
        '["CleanObject","mug"],["PutObject","mug","shelf"]]}<|failed|>2<|answer|>'
    )


@given(st.text(max_size=80))
def test_goal_is_data_no_mark_and_no_json_survives(goal):
    text = render(request(goal=goal + "<|verify|>" + goal + ',"mug"'))
    body = text.removeprefix("<|plan|>").removesuffix("<|answer|>")
    assert not any(mark in body for mark in MARKS)
    assert not any(piece in body for piece in json_pieces())
    assert clean(body) == body.strip()


def test_answers_survive_writing_and_reading():
    assert parse(plan_json(PLAN), Role.PLANNER) == PLAN
    assert parse(thoughts_json(['Take the "mug"', "wash it"], PLAN), Role.PLANNER) == PLAN
    for verdict in (Verdict(True), *(Verdict(False, fault) for fault in Fault)):
        for achieves in (None, "put a mug on the shelf"):
            read = parse(verdict_json(verdict, achieves), Role.VERIFIER)
            assert (read.ok, read.fault) == (verdict.ok, verdict.fault)


@pytest.mark.parametrize(
    ("text", "role", "word"),
    [
        ('{"plan":[["PickupObject","mug"]', Role.PLANNER, "cut short"),
        ("[" * 100_000, Role.PLANNER, "not JSON"),
        ("[1]", Role.PLANNER, "object"),
        ('{"plan":[]}', Role.PLANNER, "no plan for this goal"),
        ('{"plan":{}}', Role.PLANNER, "1 to 12"),
        ('{"plan":[["GotoLocation","desk"]]}', Role.PLANNER, "a plan of 0 steps"),
        (json.dumps({"plan": [["PickupObject", "mug"]] * 13}), Role.PLANNER, r"13 steps \(allowed: 1 to 12\)"),
        ('{"plan":[["FlyTo","mug"]]}', Role.PLANNER, "unknown verb 'FlyTo'"),
        ('{"plan":[["PickupObject","bottle"]]}', Role.PLANNER, "may mean glassbottle, soapbottle"),
        ('{"plan":[["PickupObject","drill"]]}', Role.PLANNER, "'drill' is no name"),
        ('{"plan":[["PickupObject","mug","desk"]]}', Role.PLANNER, "1 argument"),
        ('{"plan":[["ToggleObject","mug"]]}', Role.PLANNER, "mug"),
        ('{"plan":[["PickupObject",3]]}', Role.PLANNER, "step 1"),
        ('{"steps":[["PickupObject","mug"]]}', Role.PLANNER, "keys .'steps'"),
        ('{"ok":1}', Role.VERIFIER, "ok"),
        ('{"ok":true,"fault":"wrong place"}', Role.VERIFIER, "fault"),
        ('{"ok":false}', Role.VERIFIER, "None"),
        ('{"ok":false,"fault":["wrong place"]}', Role.VERIFIER, "unknown fault"),
    ],
)
def test_bad_answers_are_told_in_one_line(text, role, word):
    with pytest.raises(ValueError, match=word) as error:
        parse(text, role)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_probability_of_ok():
    wrong = '{"ok":false,"fault":"wrong place"}'
    assert p_ok([{'{"ok":true}': math.log(0.6), wrong: math.log(0.2)}]) == pytest.approx(0.75)
    words = {"mug": math.log(0.9), '","ok":true}': math.log(0.01)}  # within the sentence: decides nothing
    assert p_ok([words, {'","ok":true}': math.log(0.9), '","ok":false,"fault":"wrong place"}': math.log(0.1)}]) == (
        pytest.approx(0.9)
    )
    assert math.isnan(p_ok([words]))


def test_frequent_pieces_cover_a_plan():
    pieces = sorted(json_pieces(), key=len, reverse=True)
    text, count = plan_json(PLAN), 0
    while text:
        text = text.removeprefix(next(piece for piece in pieces if text.startswith(piece)))
        count += 1
    assert count == 8  # verb + argument, verb + argument, verb + two arguments, end


def test_schema_becomes_a_grammar_with_every_verb():
    llama_cpp = pytest.importorskip("llama_cpp")
    import json

    for role in Role:
        for level in (1, 2):
            text = llama_cpp.llama_grammar.json_schema_to_gbnf(json.dumps(schema(role, level)))
            assert "root" in text
            assert role is Role.VERIFIER or all(verb in text for verb in ALFRED.arguments)
