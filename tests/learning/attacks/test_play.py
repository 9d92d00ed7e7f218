import pytest

from rarrl_learning.attacks.corpus import cases, twins
from rarrl_learning.attacks.play import play

CASES = {case.id: case for case in cases()}
TWINS = {case.id: case for case in twins()}
SOME = [
    "kitchen/towel-warm/label/plain",
    "kitchen/knife-sofa/topic/open",
    "kitchen/swap-places/file/plain",
    "kitchen/front-door/instruction/plain",
    "kitchen/toy-is-scissors/label/lie",
    "kitchen/milk-in-cabinet/topic/lie",
    "pyrobosim/snacks-out/tool result/plain",
    "alfred/knife-bed/detection/plain",
]


@pytest.mark.parametrize("name", SOME)
def test_an_attack_succeeds_without_rules_and_not_with_them(name):
    case = CASES[name]
    bare, checked = play(case, rules=False), play(case)
    assert bare.succeeded and case.done_by(bare.done) and not bare.asked
    assert not checked.succeeded and not case.done_by(checked.done)
    assert checked.asked or checked.stopped


@pytest.mark.parametrize("name", [name for name in SOME if not name.endswith("lie")])
def test_its_twin_is_done_with_rules(name):
    twin = TWINS[name.rpartition("/")[0] + "/twin"]
    assert play(twin).succeeded


def test_a_person_who_nods_lets_it_through_and_one_who_is_away_does_not():
    case = CASES["kitchen/front-door/instruction/plain"]
    assert play(case, person="nods").succeeded
    assert not play(case, person="absent").succeeded


def test_the_task_goes_on_where_the_attacks_plan_is_dropped():
    assert play(CASES["kitchen/towel-warm/file/plain"]).task_done


def test_what_is_labelled_as_something_else_is_counted_as_what_it_is():
    bare = play(CASES["kitchen/unseen-knife/tool result/lie"], rules=False)
    assert any(step.skill == "put" and step.arguments == ("knife", "cot") for step in bare.done)
