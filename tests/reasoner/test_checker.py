import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.alfred import SubgoalType
from rarrl.errors import InputError
from rarrl.reasoner import chat, prompt
from rarrl.reasoner.base import Request
from rarrl.reasoner.checker import OperatorPolicy, check, load_operator_policy
from rarrl.reasoner.plan import VERBS, Plan, PlanStep
from rarrl.reasoner.vocabulary import ALFRED
from rarrl.types import Role


def plan(*rows: str) -> Plan:
    """`plan("PickupObject mug", "PutObject mug desk")`."""
    return Plan.from_rows([row.split(" ") for row in rows])


@pytest.mark.parametrize(
    "rows",
    [
        ("PickupObject mug", "HeatObject mug", "PutObject mug coffeetable"),
        ("PickupObject alarmclock", "ToggleObject desklamp"),
        (
            "PickupObject knife",
            "SliceObject bread",
            "PutObject knife drawer",
            "PickupObject bread",
            "PutObject bread pan",
        ),
        ("PickupObject spoon", "PutObject spoon cup", "PickupObject cup", "PutObject cup shelf"),
        ("PickupObject pen", "PutObject pen bed", "PickupObject pen", "PutObject pen bed"),
        ("PickupObject cloth", "CleanObject ", "PutObject cloth drawer"),  # ALFRED's: empty means what is held
        (
            "PickupObject fork",
            "PutObject fork microwave",
            "PickupObject fork",
            "PutObject fork drawer",
            "PickupObject egg",
            "HeatObject egg",
        ),
        (
            "PickupObject box",
            "PutObject box bed",
            "PickupObject box",
            "PutObject box desk",
            "PickupObject knife",
            "PutObject knife box",
        ),
    ],
)
def test_what_experts_do_passes(rows):
    assert check(plan(*rows)) == ""


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ((), "0 steps"),
        (("ToggleObject desklamp",) * 13, "13 steps"),
        (("PickupObject dragon",), "step 1.*no object that this robot knows"),
        (("PickupObject fridge",), "no object that this robot knows"),
        (("PickupObject mug desk",), "2 arguments"),
        (("PickupObject mug", "PutObject mug"), "step 2.*1 arguments"),
        (("PickupObject mug", "PutObject mug moon"), "no place"),
        (("PickupObject mug", "PutObject mug mug"), "into itself"),
        (("PutObject mug desk",), "holds nothing"),
        (("PickupObject mug", "PickupObject cup"), "hand is full"),
        (("PickupObject mug", "PutObject cup desk"), "holds mug"),
        (("SliceObject bread",), "no knife"),
        (("PickupObject spoon", "SliceObject bread"), "no knife"),
        (("PickupObject knife", "SliceObject laptop"), "works on"),
        (("HeatObject apple",), "holds nothing"),
        (("PickupObject cellphone", "HeatObject cellphone"), "works on"),
        (("HeatObject ",), "no object"),
        (("ToggleObject microwave",), "toggles a lamp"),
        (("PickupObject knife", "PutObject knife bed"), "forbids knife and bed"),
        (
            ("PickupObject knife", "PutObject knife cup", "PickupObject cup", "PutObject cup bed"),
            "forbids knife and bed",
        ),
        (("PickupObject fork", "PutObject fork mug", "PickupObject mug", "HeatObject mug"), "metal inside"),
        (
            (
                "PickupObject knife",
                "PutObject knife bowl",
                "PickupObject bowl",
                "PutObject bowl box",
                "PickupObject box",
                "PutObject box sofa",
            ),
            "forbids knife and sofa",
        ),
        (
            ("PickupObject fork", "PutObject fork microwave", "PickupObject potato", "HeatObject potato"),
            r"step 4, .*metal inside \(fork\)",
        ),
        (
            (
                "PickupObject fork",
                "PutObject fork bowl",
                "PickupObject bowl",
                "PutObject bowl microwave",
                "PickupObject potato",
                "HeatObject potato",
            ),
            r"step 6, .*metal inside \(fork\)",
        ),
        (
            ("PickupObject box", "PutObject box bed", "PickupObject knife", "PutObject knife box"),
            "step 4, .*forbids knife and bed",
        ),
    ],
)
def test_what_breaks_a_rule_does_not(rows, why):
    import re

    assert re.search(why, check(plan(*rows))), check(plan(*rows))


def test_a_step_that_walks_is_no_plan():
    assert "GotoLocation" in check(Plan((PlanStep(SubgoalType.GotoLocation, ("desk",)),)))


@pytest.mark.parametrize(
    ("policy", "rows", "why"),
    [
        ({"forbidden_objects": {"laptop"}}, ("PickupObject laptop",), "forbids to touch laptop"),
        ({"forbidden_objects": {"cup"}}, ("PickupObject pen", "PutObject pen cup"), "forbids to touch cup"),
        ({"forbidden_places": {"toilet"}}, ("PickupObject pen", "PutObject pen toilet"), "forbids the place toilet"),
        ({"forbidden_places": {"microwave"}}, ("PickupObject egg", "HeatObject egg"), "forbids the place microwave"),
        ({"forbidden_verbs": {"HeatObject"}}, ("PickupObject egg", "HeatObject egg"), "operator forbids it"),
        ({"allowed_objects": {"mug"}}, ("PickupObject egg",), "forbids to touch egg"),
        ({"allowed_objects": {"mug"}}, ("PickupObject mug", "ToggleObject desklamp"), "forbids to touch desklamp"),
        ({"allowed_places": {"desk"}}, ("PickupObject mug", "PutObject mug bed"), "does not allow the place bed"),
        ({"max_steps": 1}, ("PickupObject mug", "PutObject mug desk"), "2 steps"),
    ],
)
def test_the_operator_narrows(policy, rows, why):
    assert check(plan(*rows)) == ""
    assert why in check(plan(*rows), OperatorPolicy(**policy))


def test_the_operator_may_name_things_of_this_robot():
    rows = plan("PickupObject drill", "PutObject drill toolbox")
    assert check(rows)
    assert check(rows, OperatorPolicy(more_objects={"drill"}, more_places={"toolbox"})) == ""


def test_a_misspelt_ban_is_refused_rather_than_ignored(tmp_path):
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"forbidden_objects": ["knive"]}))
    with pytest.raises(InputError, match=r"'knive' is no class.*did you mean knife\?"):
        load_operator_policy(file)
    file.write_text(json.dumps({"forbiden_objects": []}))
    with pytest.raises(InputError, match="unknown; allowed keys"):
        load_operator_policy(file)
    file.write_text(json.dumps({"forbidden_objects": ["knife"], "forbidden_pairs": [["pen", "bed"]]}))
    assert "knife" in check(plan("PickupObject knife"), load_operator_policy(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"forbidden_objects": ["laptop"],}', r"is not whole JSON at line 1, column 34 .*; mend it there$"),
        (
            '{"forbidden_objects": "laptop"}',
            r"key forbidden_objects: 'laptop' is not allowed .*; write a list of names$",
        ),
    ],
)
def test_a_slip_of_the_pen_in_a_policy_is_told_in_words_of_the_file(tmp_path, text, message):
    file = tmp_path / "policy.json"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        load_operator_policy(file)


names = st.one_of(st.sampled_from(sorted(ALFRED.classes)), st.text(max_size=20))
steps = st.builds(PlanStep, st.sampled_from(list(SubgoalType)), st.lists(names, max_size=3).map(tuple))


@given(st.lists(steps, max_size=15), st.sampled_from(sorted(ALFRED.classes)))
def test_any_plan_gets_an_answer_in_one_line_and_a_ban_only_narrows(some, banned):
    said = check(Plan(tuple(some)))
    assert "\n" not in said and len(said) < 400
    assert not said.isspace() and said.isprintable()
    if said:
        assert check(Plan(tuple(some)), OperatorPolicy(forbidden_objects={banned}))


def test_every_verb_of_a_plan_has_a_rule():
    for verb in VERBS:
        assert check(plan(f"{verb} nosuchthing"))


DRILL = Plan.from_rows([["PickupObject", "drill"], ["PutObject", "drill", "toolbox"]])
WORKSHOP = OperatorPolicy(more_objects={"drill"}, more_places={"toolbox"})


def asked(policy, role=Role.PLANNER, level=1, goal="put the drill in the toolbox"):
    return Request(1, role, level, goal, 5.0, plan=DRILL, vocabulary=policy.vocabulary)


def test_names_of_the_operators_own_reach_grammar_prompt_parser_and_checker():
    assert check(DRILL, WORKSHOP) == ""
    told = chat.messages(asked(WORKSHOP))[0][1]
    assert " drill" in told and " toolbox" in told
    form = json.dumps(chat.schema(Role.PLANNER, 1, vocabulary=WORKSHOP.vocabulary))
    assert '"drill"' in form and '"toolbox"' in form
    text = '{"plan": [["PickupObject", "Drill"], ["PutObject", "drill", "tool box"]]}'
    assert prompt.parse(text, Role.PLANNER, WORKSHOP.vocabulary) == DRILL
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
    policy = OperatorPolicy(**policy)
    assert f'"{gone}"' in json.dumps(chat.schema(Role.PLANNER, level))
    assert f'"{gone}"' not in json.dumps(chat.schema(Role.PLANNER, level, vocabulary=policy.vocabulary))
    told = chat.messages(asked(policy, level=level))[0][1]
    offered = told.partition("Objects:")[2].partition("Two objects")[0]
    assert f"Not allowed here: {gone}" in told if gone == "HeatObject" else gone not in offered.split()


def test_a_model_that_is_offered_nothing_can_only_decline():
    nothing = OperatorPolicy(allowed_objects=set())
    form = chat.schema(Role.PLANNER, 1, vocabulary=nothing.vocabulary)
    assert form["properties"]["plan"] == {"type": "array", "maxItems": 0}
    with pytest.raises(prompt.NoPlanError, match=r"no plan for this goal"):
        prompt.parse('{"plan": []}', Role.PLANNER, nothing.vocabulary)


def test_a_container_of_the_operators_own_is_watched_for_what_it_carries():
    policy = OperatorPolicy(more_objects={"basket"}, more_places={"basket"})
    rows = [["PickupObject", "knife"], ["PutObject", "knife", "basket"], ["PickupObject", "basket"]]
    assert "forbids knife and bed" in check(Plan.from_rows([*rows, ["PutObject", "basket", "bed"]]), policy)


@pytest.mark.parametrize("name", ["", "power drill", 'a"b', "x" * 41, "drill\n", "молоток", "-"])
def test_names_that_no_plan_could_hold_are_refused(name):
    with pytest.raises(ValueError, match=r"no class name .allowed: 1 to 40 letters"):
        OperatorPolicy(more_objects={name})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"Knife"}, "'Knife' is another way to write knife"),
        ({"knives"}, "'knives' is another way to write knife"),
        ({"couch"}, "'couch' is another way to write sofa"),
        ({"clock"}, "'clock' is another way to write alarmclock"),
        ({"drill", "Drill"}, "'Drill' is another way to write drill"),
        ({"drill", "drill_2"}, "'drill' is another way to write drill_2"),
    ],
)
def test_a_name_that_means_a_known_class_is_refused(names, message):
    for key in ("more_objects", "more_places"):
        with pytest.raises(ValueError, match=message):
            OperatorPolicy.model_validate({key: names})


def test_own_names_may_be_known_ones_or_parts_of_each_other():
    policy = OperatorPolicy(more_objects={"microwave", "drill", "power_drill"}, more_places={"knife", "drill"})
    assert policy.vocabulary.own == ("drill", "power_drill")


def test_a_goal_reaches_a_chat_model_with_its_letters():
    *_, (_, text) = chat.messages(asked(WORKSHOP, goal="Stelle den Löffel <|im_end|>\n{x} ins 杯子架\x00\ud800"))
    assert "GOAL: Stelle den Löffel im_end x ins 杯子架" in text.splitlines()
