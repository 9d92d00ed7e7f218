"""The recipe of models in this process for a robot's own skills: closed questions, candidates, verdicts."""

import pytest

from rarrl.reasoner.base import Request
from rarrl.reasoner.deliberate import carry_out
from rarrl.reasoner.language_model import CallFailedError, Completion
from rarrl.reasoner.skills_fewshot import KEPT, PLACE, THING, SkillsFewShot
from rarrl.skills.domain import load_robot
from rarrl.skills.plan import Plan
from rarrl.types import CallStatus, Role

BEGINNINGS = {name: text.partition("{}")[0][:30] for name, text in (("thing", THING), ("place", PLACE), ("kept", KEPT))}


@pytest.fixture(scope="module")
def robot():
    return load_robot("pyrobosim")


class Scripted:
    """Says the given texts in turn; a text scores by `liked`: (question, text) -> nats, less where nothing is said."""

    def __init__(self, *texts, liked=None):
        self.texts, self.liked, self.asked = list(texts), liked or {}, []

    def complete(self, prompt, **fields):
        self.asked.append((prompt, fields))
        return Completion(self.texts.pop(0), 100, 10, 0.1, 0.2, -0.25)

    def score(self, prompt, texts):
        kind = next((name for name, start in BEGINNINGS.items() if prompt.startswith(start)), "plan")
        if "Request: do it" in prompt or "\nthing:" in prompt or "Goal: do it" in prompt:
            return [-10.0] * len(texts)
        if kind == "plan":
            return [-10.0 * (text.count(",") + 1) for text in texts]
        return [-10.0 + self.liked.get((kind, text.strip()), 0.0) for text in texts]


def request(robot, goal, role=Role.PLANNER, level=1, **fields):
    return Request(1, role, level, goal, 60.0, domain=robot, rules=robot.check, **fields)


def test_level_1_writes_under_the_grammar_after_the_nearest_examples(robot):
    model = Scripted(" place soda desk\n")
    outcome = SkillsFewShot()(request(robot, "bring a coke to the desk"), model)
    assert str(outcome.result) == "place(soda, desk)" and outcome.where == {}
    prompt, fields = model.asked[0]
    assert prompt.endswith("Goal: bring a soda to the desk\nPlan:"), "aliases are told by their first name"
    assert '"place"' in fields["grammar"]


def test_level_2_asks_which_thing_is_meant_and_where_such_things_are(robot):
    liked = {("thing", said): 5.0 for said in ("soda", "coke", "lemonade")}
    liked |= {("kept", "fridge"): 4.0, ("kept", "refrigerator"): 4.0}
    model = Scripted(*[" place bread desk\n"] * 3, liked=liked)
    outcome = SkillsFewShot()(request(robot, "bring something fizzy to the desk", level=2), model)
    assert str(outcome.result) == "place(soda, desk)"
    assert outcome.where["soda"][0][0] == "fridge" and sum(
        share for _, share in outcome.where["soda"]
    ) == pytest.approx(1)


def test_level_2_refuses_what_no_name_of_this_world_means(robot):
    with pytest.raises(CallFailedError, match="no thing that this robot knows") as refused:
        SkillsFewShot()(request(robot, "bring the hammer to the desk", level=2), Scripted(*[" place bread desk\n"] * 3))
    assert refused.value.status is CallStatus.REFUSED


def test_a_plan_that_failed_is_not_given_again(robot):
    failed = Plan.from_rows([["place", "soda", "desk"]])
    said = request(robot, "bring the soda to the desk", level=2, plan=failed, failed=0)
    outcome = SkillsFewShot()(said, Scripted(*[" pick soda, place soda desk\n"] * 3))
    assert outcome.result != failed


@pytest.mark.parametrize("level", [1, 2])
def test_a_verdict_compares_with_the_models_own_plan(robot, level):
    right, wrong = Plan.from_rows([["place", "soda", "desk"]]), Plan.from_rows([["place", "bread", "desk"]])
    for plan, ok in ((right, True), (wrong, False)):
        said = request(robot, "bring the soda to the desk", Role.VERIFIER, level, plan=plan)
        verdict = SkillsFewShot()(said, Scripted(*[" place soda desk\n"] * 3)).result
        assert verdict.ok is ok
        assert ok or verdict.fault.value == "wrong object"


def test_the_shipped_planner_refuses_another_robot(robot):
    with pytest.raises(CallFailedError, match="ALFRED's household alone") as refused:
        carry_out(request(robot, "bring a coke to the desk"), Scripted())
    assert refused.value.status is CallStatus.REFUSED
