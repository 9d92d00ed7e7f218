"""The recipe of models in this process for a robot's own skills: orders weighed by what is said, and verdicts."""

import re

import pytest

from rarrl.reasoner.base import Request
from rarrl.reasoner.deliberate import carry_out
from rarrl.reasoner.language_model import CallFailedError, Completion
from rarrl.reasoner.skills_fewshot import KEPT, NO_ORDER, SkillsFewShot
from rarrl.skills.domain import load_robot
from rarrl.skills.plan import Plan
from rarrl.types import CallStatus, Role


@pytest.fixture(scope="module")
def robot():
    return load_robot("pyrobosim")


class Scripted:
    """Says the given texts in turn. What a person says scores by the words of the order before it: `liked`, word ->
    nats; a thing's place by `kept`."""

    def __init__(self, *texts, liked=None, kept=None):
        self.texts, self.liked, self.kept, self.asked = list(texts), liked or {}, kept or {}, []

    def complete(self, prompt, **fields):
        self.asked.append((prompt, fields))
        return Completion(self.texts.pop(0), 100, 10, 0.1, 0.2, -0.25)

    def score(self, prompt, texts):
        if prompt.startswith(KEPT.partition("{}")[0]):
            return [-10.0 + self.kept.get(text.strip(), 0.0) * ("\nthing:" not in prompt) for text in texts]
        if "In other words" in prompt:
            order = re.findall("Order: (.*)", prompt)[-1]
            self.asked.append((order, texts))
            return [-10.0 * len(texts) + sum(nats for word, nats in self.liked.items() if word in order)]
        return [-10.0 * (text.count(",") + 1) for text in texts]


def request(robot, goal, role=Role.PLANNER, level=1, **fields):
    return Request(1, role, level, goal, 60.0, domain=robot, rules=robot.check, **fields)


def test_level_1_writes_under_the_grammar_after_the_nearest_examples(robot):
    model = Scripted(" place soda desk\n")
    outcome = SkillsFewShot()(request(robot, "bring a coke to the desk"), model)
    assert str(outcome.result) == "place(soda, desk)" and outcome.where == {}
    prompt, fields = model.asked[0]
    assert prompt.endswith("Goal: bring a soda to the desk\nPlan:"), "aliases are told by their first name"
    assert '"place"' in fields["grammar"]


def test_level_2_takes_the_order_after_which_the_sentence_is_likeliest(robot):
    model = Scripted(liked={"soda": 5.0, "desk": 1.0}, kept={"fridge": 4.0, "refrigerator": 4.0})
    outcome = SkillsFewShot()(request(robot, "bring something fizzy to the desk", level=2), model)
    assert str(outcome.result) == "place(soda, desk)"
    assert {texts[0] for _, texts in model.asked} == {" bring something fizzy to the desk\n"}
    assert outcome.where["soda"][0][0] == "fridge"
    assert sum(share for _, share in outcome.where["soda"]) == pytest.approx(1)
    assert -3.0 < outcome.confidence < 0.0, "the logarithm of its share among the orders"


def test_level_2_puts_two_orders_together_where_the_sentence_names_the_things_of_both(robot):
    model = Scripted(liked={"soda": 5.0, "snacks": 5.0})
    outcome = SkillsFewShot()(request(robot, "soda and snacks to the desk", level=2), model)
    assert {str(step) for step in outcome.result.steps} >= {"place(soda, desk)", "place(snacks, desk)"}


def test_level_2_asks_for_the_thing_first_where_the_world_leaves_too_much_open(robot, monkeypatch):
    monkeypatch.setattr("rarrl.reasoner.skills_fewshot.MOST_ORDERS", 20)
    model = Scripted(liked={"waste": 3.0, "on the bin": 4.0})
    outcome = SkillsFewShot()(request(robot, "away with it", level=2), model)
    assert str(outcome.result) == "place(waste, bin)"
    orders = [order for order, _ in model.asked]
    assert "put the soda on the bin" not in orders and "put the soda on the table" in orders


def test_level_2_refuses_what_no_order_explains(robot):
    model = Scripted(liked={NO_ORDER: 1.0})
    with pytest.raises(CallFailedError, match="no order that this robot knows explains it") as refused:
        SkillsFewShot()(request(robot, "bring the hammer to the desk", level=2), model)
    assert refused.value.status is CallStatus.REFUSED


def test_a_plan_that_failed_is_not_given_again(robot):
    failed = Plan.from_rows([["place", "soda", "desk"]])
    said = request(robot, "bring the soda to the desk", level=2, plan=failed, failed=0)
    outcome = SkillsFewShot()(said, Scripted(liked={"soda": 9.0}))
    assert outcome.result != failed


@pytest.mark.parametrize("level", [1, 2])
def test_a_verdict_compares_with_the_models_own_plan(robot, level):
    right, wrong = Plan.from_rows([["place", "soda", "desk"]]), Plan.from_rows([["place", "bread", "desk"]])
    for plan, ok in ((right, True), (wrong, False)):
        said = request(robot, "bring the soda to the desk", Role.VERIFIER, level, plan=plan)
        verdict = SkillsFewShot()(said, Scripted(" place soda desk\n", liked={"soda": 5.0})).result
        assert verdict.ok is ok
        assert ok or verdict.fault.value == "wrong object"


def test_the_shipped_planner_refuses_another_robot(robot):
    with pytest.raises(CallFailedError, match="ALFRED's household alone") as refused:
        carry_out(request(robot, "bring a coke to the desk"), Scripted())
    assert refused.value.status is CallStatus.REFUSED
