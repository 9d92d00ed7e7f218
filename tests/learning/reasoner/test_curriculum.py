"""Examples made of expert plans."""

import json
from collections import Counter

import pytest

from rarrl.alfred import AlfredPlan, GoalParameters
from rarrl.alfred import SubgoalType as S
from rarrl.alfred_plans import expert_plan, normal_form
from rarrl.reasoner import prompt as p
from rarrl.reasoner.plan import Plan
from rarrl.types import Role
from rarrl_learning.reasoner.curriculum import MIX, ExampleSampler, achieved, annotated_plans, renamed

SLICED = [["PickupObject", "knife"], ["SliceObject", "egg"], ["PutObject", "knife", "desk"], ["PickupObject", "egg"]]


def test_expert_plan_names_what_the_data_set_leaves_empty():
    subgoals = (S.GotoLocation, S.PickupObject, S.CoolObject, S.PutObject)
    source = AlfredPlan("", "", "", subgoals, (("desk",), ("mug",), ("",), ("mug", "shelf")), (1,) * 4)
    assert str(expert_plan(source)) == "PickupObject(mug); CoolObject(mug); PutObject(mug, shelf)"


def test_normal_form_forgives_the_knife_and_nothing_else():
    plan = Plan.from_rows([*SLICED, ["PutObject", "egg", "shelf"]])
    assert normal_form(renamed(plan, "knife", "butterknife")) == normal_form(plan)
    assert normal_form(renamed(plan, "desk", "sofa")) == normal_form(plan)
    assert normal_form(renamed(plan, "shelf", "sofa")) != normal_form(plan)
    assert normal_form(renamed(plan, "egg", "apple")) != normal_form(plan)
    carried = Plan.from_rows([["PickupObject", "knife"], ["PutObject", "knife", "desk"]])
    assert normal_form(carried) == carried


@pytest.mark.parametrize(
    ("rows", "task", "parameters"),
    [
        ([["PickupObject", "cd"], ["ToggleObject", "desklamp"]], "look_at_obj_in_light", ("cd", "", "", "desklamp", 0)),
        (
            [*SLICED, ["HeatObject", "egg"], ["PutObject", "egg", "shelf"]],
            "pick_heat_then_place_in_recep",
            ("egg", "shelf", "", "", 1),
        ),
        (
            [
                ["PickupObject", "cup"],
                ["PutObject", "cup", "bed"],
                ["PickupObject", "pen"],
                ["PutObject", "pen", "cup"],
            ],
            "pick_and_place_with_movable_recep",
            ("pen", "bed", "cup", "", 0),
        ),
        (
            [["PickupObject", "pen"], ["PutObject", "pen", "bed"]] * 2,
            "pick_two_obj_and_place",
            ("pen", "bed", "", "", 0),
        ),
        ([["PickupObject", "pen"], ["PutObject", "pen", "bed"]], "pick_and_place_simple", ("pen", "bed", "", "", 0)),
    ],
)
def test_what_a_plan_amounts_to(rows, task, parameters):
    assert achieved(Plan.from_rows(rows)) == (task, GoalParameters(*parameters[:4], bool(parameters[4])))


def test_exercises_answer_what_they_ask(made_up_plans):
    sampler = ExampleSampler(annotated_plans(made_up_plans), seed=1)
    for kind in MIX:
        for _ in range(60):
            example = sampler.draw(kind)
            if kind == "describe":
                assert example.answer == " " + p.clean(example.answer)
                continue
            role = Role.VERIFIER if example.prompt.startswith((p.VERIFY, p.JUDGE)) else Role.PLANNER
            question, _, answer = (example.prompt + example.answer).rpartition(p.ANSWER)
            p.parse(answer, role)
            assert question.startswith(p.MARKS)


def test_verdicts_are_true_and_half_of_them_ok(made_up_plans):
    training_set = annotated_plans(made_up_plans)
    experts = {p.clean(annotated.goal): annotated.plan for annotated in training_set}
    sampler, oks = ExampleSampler(training_set, seed=2), Counter()
    for _ in range(400):
        example = sampler.draw("verify", noisy=False)
        question, _, answer = (example.prompt + example.answer).rpartition(p.ANSWER)
        goal, given = question.removeprefix(p.VERIFY).split(p.GIVEN)
        plan = Plan.from_rows(json.loads(given)["plan"])
        ok = json.loads(answer)["ok"]
        assert ok == (normal_form(plan) == normal_form(experts[p.clean(goal)]))
        oks[ok] += 1
    assert 140 < oks[True] < 260


def test_exchanged_objects_are_exchanged_in_goal_and_plan(made_up_plans):
    sampler = ExampleSampler(annotated_plans(made_up_plans), seed=3)
    for _ in range(200):
        example = sampler.draw("plan")
        thing = json.loads(example.answer)["plan"][0][1]
        others = {"mug", "apple", "plate", "egg"} - {thing}
        assert not any(f" {other} " in example.prompt for other in others)


def test_same_seed_same_exercises(made_up_plans):
    training_set = annotated_plans(made_up_plans)
    one, two = ExampleSampler(training_set, 5), ExampleSampler(training_set, 5)
    first = [one.draw() for _ in range(50)]
    assert first == [two.draw() for _ in range(50)]
    one.restart((1, 2))
    after = [one.draw() for _ in range(5)]
    one.restart((1, 2))
    assert [one.draw() for _ in range(5)] == after
    assert [one.draw() for _ in range(50)] != first
