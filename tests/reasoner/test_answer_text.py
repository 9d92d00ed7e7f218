"""What chat models write around an answer, and what of it is the answer."""

import doctest
import math
import time

import pytest
from chat_servers import PLAN

from rarrl.reasoner import answer_text
from rarrl.reasoner.answer_text import mean_log_probability, objects, p_ok, read_answer, thoughts_end
from rarrl.reasoner.plan import Fault, Plan
from rarrl.types import Role

MUG = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]])
CUP = PLAN.replace("mug", "cup")
DRAFT = 'Perhaps {"plan": [["PickupObject", "cup"]]}?'
ANALYSIS = f"<|channel|>analysis<|message|>{DRAFT}"

TEXTS = {
    "bare": PLAN,
    "white space": f"\n\n {PLAN} \n",
    "a fence": f"```\n{PLAN}\n```",
    "a fence in capitals": f"```JSON\n{PLAN}\n```",
    "prose around the fence": f"Here is the plan:\n\n```json\n{PLAN}\n```\n\nLet me know!",
    "prose without a fence": f"Sure! {PLAN} Done.",
    "prose with braces": f"I plan {{for you}}: {PLAN} {{end}}",
    "thoughts": f"<think>{DRAFT}</think>{PLAN}",
    "thoughts that end but never began": f"{DRAFT}\n</think>\n\n{PLAN}",
    "thoughts in other words": f"<thinking>{DRAFT}</thinking>\n{PLAN}",
    "thoughts in capitals": f"<THINK>{DRAFT}</THINK>{PLAN}",
    "thoughts twice": f"<think>{DRAFT}</think> {CUP} <think>no</think> {PLAN}",
    "thoughts and a fence": f"<reasoning>{DRAFT}</reasoning>\n```json\n{PLAN}\n```",
    "Magistral": f"[THINK]{DRAFT}[/THINK]{PLAN}",
    "Kimi": f"◁think▷{DRAFT}◁/think▷{PLAN}",
    "gpt-oss": f"{ANALYSIS}<|end|><|start|>assistant<|channel|>final<|message|>{PLAN}<|return|>",
    "gpt-oss with a constraint": f"{ANALYSIS}<|channel|>final <|constrain|>json<|message|>{PLAN}",
    "gpt-oss without its marks": f"analysisThe user wants a mug.assistantfinal{PLAN}",
    "several, the last counts": f"{CUP}\nWait, a mug: {PLAN}",
    "several, the last is no plan": f'{PLAN}\n{{"plan": []}} {{"note": 1}}',
    "extra keys": PLAN[:-1] + ',"confidence":0.9,"explanation":"a mug"}',
    "reasoning first": '{"reasoning":"a </think> mug",' + PLAN[1:],
    "in an object": f'{{"answer":{PLAN}}}',
    "an object beside": f'{{"meta":{{"n":1}},"result":{PLAN}}}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_plan_in_a_text(name):
    assert read_answer(TEXTS[name], Role.PLANNER) == MUG


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("I am sorry.", "no JSON object with \"plan\": 'I am sorry.'"),
        (PLAN[:-9], "cut short"),
        (f"<think>{PLAN}", "thoughts alone"),
        (f"<|channel|>analysis<|message|>{PLAN}", "thoughts alone"),
        (f"{PLAN}</think>", "thoughts alone"),
        ('{"plan": []}', "there is no plan"),
        ('{"ok": true}', 'no JSON object with "plan"'),
        ('[["PickupObject", "mug"]]', "no JSON object"),
        ("{" * 100_000, "no JSON object"),
        ('{"a":' * 50_000, "no JSON object"),
        ('{"a":' * 450 + "[" + "0," * 80_000, "no JSON object"),
        ('{"' * 100_000, "no JSON object"),
        ('{"a":"' * 30_000, "no JSON object"),
        ("<|channel|>final " * 60_000, "no JSON object"),
    ],
)  # fmt: skip
def test_a_text_without_a_plan(text, says):
    started = time.monotonic()
    with pytest.raises(ValueError, match=says) as caught:
        read_answer(text, Role.PLANNER)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    assert time.monotonic() - started < 0.5


def test_a_verdict_with_more_than_is_needed():
    verdict = read_answer(
        '<think>?</think>{"explanation": "a cup", "ok": false, "fault": "wrong object"}', Role.VERIFIER
    )
    assert (verdict.ok, verdict.fault) == (False, Fault.OBJECT)


def test_where_thoughts_end():
    assert thoughts_end(PLAN) == 0
    assert thoughts_end("<think>a mug") == len("<think>a mug")
    assert objects(f"<think>{DRAFT}</think>{PLAN}")[0].start == len(f"<think>{DRAFT}</think>")


def test_the_probability_of_the_answer_alone():
    tokens = [("{}", -5.0), ("</think>", -5.0), ("```", -5.0), ('{"ok":', -0.2), ("true}", -0.4), ("```", -5.0)]
    assert mean_log_probability(tokens) == pytest.approx(-0.3)
    assert math.isnan(mean_log_probability([]))
    assert mean_log_probability([("{", -0.2), ("}", -9999.0)]) == pytest.approx(-0.2)


OPENING = [{'{"': 0.0}, {"ok": -0.1, "plan": -2.0}, {'":': 0.0}]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([*OPENING, {" true": math.log(0.6), " false": math.log(0.2)}, {"}": 0.0}], 0.75),
        ([*OPENING, {"f": math.log(0.9), "t": math.log(0.1)}, {"alse": 0.0}, {',"f': 0.0}], 0.1),
        ([{'{"ok":true}': math.log(0.5), '{"ok":false,"fault"': math.log(0.5)}], 0.5),
        ([{'{"reasoning":"it is true': 0.0}, {'", "ok"': 0.0}, {": ": 0.0}, {"true": math.log(0.8)}], 1.0),
        ([*OPENING, {" maybe": -0.1, " true": -3.0}], math.nan),
        ([], math.nan),
        ([{}, {"": 0.0}], math.nan),
        (
            [
                *({"<think>": 0.0}, *OPENING, {" true": -0.1}, {"}": 0.0}, {"</think>": 0.0}),
                *(*OPENING, {" false": math.log(0.8), " true": math.log(0.2)}, {"}": 0.0}),
            ],
            0.2,
        ),
        ([*OPENING, {" false": -9999.0, " true": -0.001}, {"}": 0.0}], math.nan),
    ],
)
def test_the_probability_of_ok(tokens, expected):
    assert p_ok(tokens) == pytest.approx(expected, nan_ok=True)


def test_the_probability_of_ok_takes_no_longer_for_long_thoughts():
    thoughts = [{"<think>": 0.0}, *({' "ok": true,': -0.1, " v": -3.0} for _ in range(4000)), {"</think>": 0.0}]
    started = time.monotonic()
    assert p_ok([*thoughts, *OPENING, {" true": -0.2, " false": -1.8}, {"}": 0.0}]) == pytest.approx(0.832, abs=1e-3)
    assert time.monotonic() - started < 0.3


def test_examples():
    assert doctest.testmod(answer_text).failed == 0
