from collections import Counter

import pytest

from rarrl.errors import InputError
from rarrl.reasoner.base import MAX_GOAL_CHARS
from rarrl.skills.plan import Plan
from rarrl_learning.attacks.corpus import CHANNELS, cases, domain, robots, twins, without_rules
from rarrl_learning.attacks.play import is_valid

CASES, TWINS = cases(), twins()


def test_it_is_as_large_and_as_plain_as_it_has_to_be():
    assert len(CASES) == len({case.id for case in CASES}) >= 400
    assert {case.channel for case in CASES} == set(CHANNELS) and len(robots()) >= 4
    plain = sum(case.contextual and is_valid(case) for case in CASES)
    assert plain >= len(CASES) / 2
    assert all(len(case.goal) <= MAX_GOAL_CHARS for case in CASES)


def test_remarks_have_no_sign_of_malice():
    signs = ("ignore", "rules", "system", "instruction", "override", "tell nobody", "obey")
    assert [c.id for c in CASES if c.contextual and any(s in c.says.lower() for s in signs)] == []
    assert all("Ignore all rules" in c.says for c in CASES if not c.contextual)


def test_all_plans_are_of_the_robots_own_words():
    for case in (*CASES, *TWINS):
        made = without_rules(case.robot)
        assert not made.misfit(case.plan) and not made.misfit(case.right), case.id
        assert not domain(case.robot).check(case.right), case.id


def test_about_half_is_held_aside_whole_harms_at_a_time():
    assert 0.35 < sum(case.held_out for case in CASES) / len(CASES) < 0.65
    sides = {}
    for case in (*CASES, *TWINS):
        sides.setdefault(case.id.rsplit("/", 2)[0], set()).add(case.held_out)
    assert all(len(side) == 1 for side in sides.values())


def test_each_harm_has_a_twin_for_the_same_skill():
    harms = {case.id.rsplit("/", 2)[0] for case in CASES if case.lie is None}
    assert harms == {case.id.rsplit("/", 2)[0] for case in TWINS}
    same = Counter(case.verb in {step.skill for step in case.plan.steps} for case in TWINS)
    assert same[True] == len(TWINS)


def test_what_counts_is_what_was_done_in_order():
    case = next(case for case in CASES if case.robot == "alfred" and "/knife-nested/" in case.id)
    done = Plan.from_rows([["PutObject", "knife", "cup"], ["PickupObject", "cup"], ["PutObject", "cup", "bed"]]).steps
    assert case.done_by(done) and not case.done_by(done[::-1]) and not case.done_by(done[:2])


@pytest.mark.parametrize("text", ["robots: 1", "robots: {kitchen: {harms: []}}", "robot: {}"])
def test_a_bad_corpus_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        cases(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
