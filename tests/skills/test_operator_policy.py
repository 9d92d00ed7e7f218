"""The operator's file: what is wrong with it is told, and nothing in it is without effect."""

import json
import re

import pytest

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.errors import InputError
from rarrl.skills.domain import load_robot
from rarrl.skills.operator_policy import OperatorPolicy, load_operator_policy
from rarrl.skills.plan import Plan
from rarrl.skills.world import World

PICK = Plan.from_rows([["PickupObject", "knife"]])


def test_a_misspelt_ban_is_refused_rather_than_ignored(tmp_path):
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"forbidden_objects": ["knive"]}))
    with pytest.raises(InputError, match=r"policy.json: forbidden_things: 'knive' is no name.*did you mean 'knife'\?"):
        ALFRED_DOMAIN.under(load_operator_policy(file))
    file.write_text(json.dumps({"forbiden_objects": []}))
    with pytest.raises(InputError, match="unknown; allowed keys"):
        load_operator_policy(file)
    file.write_text(json.dumps({"forbidden_objects": ["knife"], "forbidden_pairs": [["pen", "bed"]]}))
    assert "knife" in ALFRED_DOMAIN.under(load_operator_policy(file)).check(PICK)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"forbidden_objects": ["laptop"],}', r"is not whole JSON at line 1, column 34 .*; mend it there$"),
        (
            '{"forbidden_objects": "laptop"}',
            r"key forbidden_things: 'laptop' is not allowed .*; write a list of names$",
        ),
    ],
)
def test_a_slip_of_the_pen_in_a_policy_is_told_in_words_of_the_file(tmp_path, text, message):
    file = tmp_path / "policy.json"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        load_operator_policy(file)


@pytest.mark.parametrize("name", ["", "power drill", 'a"b', "x" * 41, "drill\n", "молоток", "-"])
def test_names_that_no_plan_could_hold_are_refused(name):
    with pytest.raises(ValueError, match=r"no name .allowed: 1 to 40 letters"):
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
        with pytest.raises(InputError, match=message):
            ALFRED_DOMAIN.under(OperatorPolicy.model_validate({key: names}))


def test_own_names_may_be_known_ones_or_parts_of_each_other():
    policy = OperatorPolicy(more_objects={"microwave", "drill", "power_drill"}, more_places={"knife", "drill"})
    assert ALFRED_DOMAIN.under(policy).own == ("drill", "power_drill")


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"forbidden_skills": ["HeatObjekt"]}, "forbidden_skills: 'HeatObjekt' is unknown .*did you mean 'HeatObject'"),
        ({"forbidden_places": ["laptop"]}, "forbidden_places: 'laptop' is no name .* can stand there"),
        ({"forbidden_pairs": [["bed", "knife"]]}, "forbidden_pairs: 'bed' is no name .* can stand there"),
        ({"forbidden_pairs": [["<knifes>", "bed"]]}, "'<knifes>' is no name .*did you mean '<knives>'"),
        ({"allowed_things": ["drill"]}, "allowed_things: 'drill' is no name .*add it to more_things"),
        ({"max_steps": 13}, "max_steps: 13 is not allowed .allowed: 1 to 12."),
    ],
)
def test_what_would_have_no_effect_is_refused(policy, message):
    with pytest.raises(InputError, match=message):
        ALFRED_DOMAIN.under(OperatorPolicy.model_validate(policy))


def test_the_place_where_the_robot_starts_cannot_become_a_thing():
    world = World.model_validate({"start": "desk", "places": {"desk": None, "shelf": None}})
    with pytest.raises(InputError, match="operator policy: start: 'desk' is unknown"):
        OperatorPolicy(more_things={"desk"}).world(world)


def test_a_key_and_its_former_name_are_not_both_given(tmp_path):
    file = tmp_path / "policy.json"
    file.write_text('{"forbidden_objects": [], "forbidden_things": []}')
    with pytest.raises(InputError, match="forbidden_objects is the former name of forbidden_things"):
        load_operator_policy(file)


def test_a_policy_in_yaml_holds_for_any_robot(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("forbidden_things: [soda]\nmore_things: [cola-bottle]\nmax_steps: 3\n")
    robot = load_robot("pyrobosim").under(load_operator_policy(file))
    assert re.search("forbids to touch soda", robot.check(Plan.from_rows([["pick", "soda"]])))
    assert robot.check(Plan.from_rows([["pick", "cola-bottle"]])) == "" and robot.own == ("cola-bottle",)
    assert "soda" not in robot.offered["pick"][0] and "cola-bottle" in robot.offered["pick"][0]
    file.write_text("forbidden_things: [sodaa]\n")
    with pytest.raises(InputError, match=r"policy.yaml: forbidden_things: 'sodaa' .*did you mean 'soda'\?"):
        load_robot("pyrobosim").under(load_operator_policy(file))
