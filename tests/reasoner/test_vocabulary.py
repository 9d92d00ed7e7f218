"""What a model is told, and may write, of the names that a robot and its operator know."""

import hashlib
import json

import pytest

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.reasoner import chat, prompt
from rarrl.reasoner.base import Request
from rarrl.reasoner.plan import Plan
from rarrl.reasoner.vocabulary import ALFRED, Vocabulary
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.types import Role


def under(**policy) -> Vocabulary:
    return Vocabulary(ALFRED_DOMAIN.under(OperatorPolicy(**policy)))


DRILL = Plan.from_rows([["PickupObject", "drill"], ["PutObject", "drill", "toolbox"]])
WORKSHOP = under(more_objects={"drill"}, more_places={"toolbox"})


def asked(vocabulary, role=Role.PLANNER, level=1, goal="put the drill in the toolbox"):
    return Request(1, role, level, goal, 5.0, plan=DRILL, vocabulary=vocabulary)


def test_names_of_the_operators_own_reach_grammar_prompt_parser_and_checker():
    assert WORKSHOP.domain.check(DRILL) == ""
    told = chat.messages(asked(WORKSHOP))[0][1]
    assert " drill" in told and " toolbox" in told
    form = json.dumps(chat.schema(Role.PLANNER, 1, vocabulary=WORKSHOP))
    assert '"drill"' in form and '"toolbox"' in form
    text = '{"plan": [["PickupObject", "Drill"], ["PutObject", "drill", "tool box"]]}'
    assert prompt.parse(text, Role.PLANNER, WORKSHOP) == DRILL
    with pytest.raises(ValueError, match="'Drill' is no name"):
        prompt.parse(text, Role.PLANNER)


@pytest.mark.parametrize(
    ("policy", "gone"),
    [
        ({"forbidden_objects": {"mug"}}, "mug"),
        ({"forbidden_objects": {"desklamp"}}, "desklamp"),
        ({"forbidden_places": {"bed"}}, "bed"),
        ({"allowed_objects": {"cup", "floorlamp"}}, "laptop"),
        ({"allowed_places": {"shelf"}}, "sofa"),
        ({"forbidden_verbs": {"HeatObject"}}, "HeatObject"),
    ],
)
@pytest.mark.parametrize("level", [1, 2])
def test_what_the_operator_forbids_is_not_offered(policy, gone, level):
    policy = under(**policy)
    assert f'"{gone}"' in json.dumps(chat.schema(Role.PLANNER, level))
    assert f'"{gone}"' not in json.dumps(chat.schema(Role.PLANNER, level, vocabulary=policy))
    told = chat.messages(asked(policy, level=level))[0][1]
    offered = told.partition("Objects:")[2].partition("Two objects")[0]
    assert f"Not allowed here: {gone}" in told if gone == "HeatObject" else gone not in offered.split()


def test_a_model_that_is_offered_nothing_can_only_decline():
    nothing = under(allowed_objects=set())
    form = chat.schema(Role.PLANNER, 1, vocabulary=nothing)
    assert form["properties"]["plan"] == {"type": "array", "maxItems": 0}
    with pytest.raises(prompt.NoPlanError, match=r"no plan for this goal"):
        prompt.parse('{"plan": []}', Role.PLANNER, nothing)


def test_a_goal_reaches_a_chat_model_with_its_letters():
    *_, (_, text) = chat.messages(asked(WORKSHOP, goal="Stelle den Löffel <|im_end|>\n{x} ins 杯子架\x00\ud800"))
    assert "GOAL: Stelle den Löffel im_end x ins 杯子架" in text.splitlines()


def test_names_of_the_operators_own_are_known_apart():
    own = under(more_objects={"drill", "power_drill"}, more_places={"toolbox", "drill"})
    assert own.own == ("drill", "power_drill", "toolbox") and ALFRED.own == ()
    assert {"drill", "toolbox", "mug"} <= own.classes and "drill" in own.known.places


def test_the_grammar_of_the_shipped_planner_is_the_one_that_it_was_trained_and_measured_with():
    forms = [prompt.schema(role, level, home) for role in Role for level in (1, 2) for home in ((), ("mug", "desk"))]
    told = json.dumps([forms, prompt.json_pieces()])
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == "1b13993506b10d8c"
