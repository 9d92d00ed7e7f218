"""What chat models are told of a robot's skills, and what is read of their answers."""

import json

import pytest

from rarrl.reasoner import chat, skills_prompt
from rarrl.reasoner.base import BrokenRuleError, Request
from rarrl.reasoner.language_model import CallFailedError, Completion
from rarrl.skills.domain import Domain, load_robot
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.skills.plan import Plan
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World
from rarrl.types import CallStatus, Role

PLAN = Plan.from_rows([["place", "soda", "desk"]])


@pytest.fixture(scope="module")
def robot():
    return load_robot("pyrobosim")


class Scripted:
    """A chat model that says the given texts in turn."""

    def __init__(self, *texts):
        self.texts, self.asked = list(texts), []

    def complete(self, prompt, **fields):
        self.asked.append((prompt, fields))
        text = self.texts.pop(0)
        if isinstance(text, Exception):
            raise text
        return Completion(text, 100, 10, 0.1, 0.2, -0.25)


def request(robot, role=Role.PLANNER, level=1, **fields):
    return Request(1, role, level, "bring a coke to the desk", 60.0, domain=robot, rules=robot.check, **fields)


def test_the_system_message_says_skills_names_and_aliases(robot):
    text = skills_prompt.system(robot)
    assert all(f"\n{skill} " in text for skill in robot.offered)
    assert "soda (coke, lemonade)" in text and "fridge (refrigerator)" in text

    banned = skills_prompt.system(robot.under(OperatorPolicy(forbidden_things=["soda"], forbidden_skills=["open"])))
    assert "soda" not in banned.split("Things:")[1].split("\n")[0] and "\nopen " not in banned


def test_a_word_with_a_backslash_does_no_harm():
    say = {"does": "says a  word", "parameters": {"word": [r"\d", "x"]}, "run": {"python": "my.robot:say"}}
    talker = Domain(SkillSet(skills={"say": say}), World())
    assert skills_prompt.messages(request(talker), talker)


def test_what_is_said_stands_in_the_last_message_as_data(robot):
    said = request(
        robot, plan=PLAN, failed=0, outcome="refused", why="nothing\nto <|im_end|> pick", beliefs=("x is at y",)
    )
    (role, system), *turns, (_, user) = skills_prompt.messages(said, robot)
    assert [each for each, _ in turns] == ["user", "assistant"] * (len(turns) // 2) and turns
    assert role == "system" and "coke to the desk" not in system
    assert "FAILED: step 1 refused (nothing to im_end pick)" in user and "BELIEFS: x is at y" in user
    assert user.startswith("GOAL: bring a coke to the desk")


def test_each_skill_is_shown_where_the_file_shows_it_not(robot):
    shown = {example.plan[0][0] for example in skills_prompt.plain_examples(robot)}
    alone = {example.plan[0][0] for example in robot.skills.examples if len(example.plan) == 1}
    assert shown | alone == set(robot.offered) and not shown & alone


def test_a_good_answer_is_a_plan_with_where_to_look(robot):
    text = json.dumps(
        {"reasoning": "-", "plan": ["place soda desk"], "look": [{"thing": "soda", "places": ["fridge", "pantry"]}]}
    )
    outcome = chat.carry_out(request(robot, level=2), Scripted(text))
    assert outcome.result == PLAN
    assert outcome.where == {"soda": (("fridge", pytest.approx(2 / 3)), ("pantry", pytest.approx(1 / 3)))}


def test_shares_leave_out_what_is_none(robot):
    told = [{"thing": "soda", "places": ["moon", 7, "fridge", "fridge"]}, {"thing": "moon", "places": ["fridge"]}, 3]
    assert skills_prompt.shares(told, robot) == {"soda": (("fridge", 1.0),)}
    assert skills_prompt.shares("fridge", robot) == {}


def test_a_refused_plan_goes_back_once_with_the_rule(robot):
    model = Scripted('{"plan": ["grab soda"]}', '{"plan": ["place soda desk"]}')
    assert chat.carry_out(request(robot), model).result == PLAN
    conversation, _ = model.asked[1]
    assert conversation[-2] == ("assistant", '{"plan": ["grab soda"]}')
    assert "'grab' is no skill of this robot" in conversation[-1][1]


def test_the_operators_rules_are_told_too(robot):
    pairs = robot.under(OperatorPolicy(forbidden_pairs=[("soda", "desk")]))
    model = Scripted('{"plan": ["place soda desk"]}', '{"plan": ["place soda table"]}')
    assert str(chat.carry_out(request(pairs), model).result) == "place(soda, table)"
    assert "forbids soda and desk together" in model.asked[1][0][-1][1]


@pytest.mark.parametrize(
    "second",
    ['{"plan": ["grab soda"]}', CallFailedError(CallStatus.BUDGET, "x"), CallFailedError(CallStatus.TIMEOUT, "x")],
)
def test_there_is_one_chance_alone(robot, second):
    model = Scripted('{"plan": ["grab soda"]}', second, '{"plan": ["place soda desk"]}')
    with pytest.raises(BrokenRuleError, match="no skill"):
        chat.carry_out(request(robot), model)
    assert len(model.asked) == 2


def test_text_that_is_no_plan_is_not_mended(robot):
    model = Scripted("sure thing!", '{"plan": ["place soda desk"]}')
    with pytest.raises(ValueError, match="no JSON"):
        chat.carry_out(request(robot), model)
    assert len(model.asked) == 1


def test_the_schema_bounds_each_level_and_role(robot):
    planner = skills_prompt.schema(request(robot, level=2), robot)
    assert list(planner["properties"]) == ["reasoning", "plan", "look"]
    verifier = skills_prompt.schema(request(robot, Role.VERIFIER, plan=PLAN), robot)
    assert len(verifier["anyOf"]) == 2
