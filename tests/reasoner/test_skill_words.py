"""Plans of any robot in words: what a model may write, and how its words are read."""

import random
import re
import time
from itertools import permutations, product

import pytest

from rarrl.reasoner.base import BrokenRuleError
from rarrl.reasoner.skill_words import (
    _number,
    _steps,
    _without_pairs,
    grammar,
    in_words,
    pattern,
    read_plan,
    read_words,
)
from rarrl.skills.domain import Domain, load_robot
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.skills.plan import Plan
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World


@pytest.fixture(scope="module")
def robot():
    return load_robot("pyrobosim")


@pytest.fixture(scope="module")
def other():
    """A robot with numbers, fixed words and texts."""
    run = {"python": "somewhere:callable"}
    skills = SkillSet.model_validate(
        {
            "skills": {
                "turn": {"does": "turns", "parameters": {"degrees": {"number": [-90, 90]}}, "run": run},
                "dim": {
                    "does": "dims",
                    "parameters": {"level": {"number": [0, 1]}, "how": ["slowly", "at once"]},
                    "run": run,
                },
                "say": {"does": "says", "parameters": {"words": "text"}, "run": run},
                "stack": {"does": "stacks", "parameters": {"upper": "thing", "lower": "thing"}, "run": run},
            }
        }
    )
    return Domain(
        skills, World.model_validate({"things": {"box": None, "crate": None, "coffee_cup": {"aliases": ["mug"]}}})
    )


def matches(domain, step):
    return re.match(pattern(domain), step) is not None


def test_the_pattern_takes_all_steps_that_the_checker_allows_and_no_others(robot):
    offered = robot.offered
    for thing in offered["pick"][0]:
        assert matches(robot, f"pick {thing}") and not matches(robot, f"navigate {thing}")
    assert not matches(robot, "pick desk") and not matches(robot, "pick soda now") and not matches(robot, "fly soda")


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 10), (-5, 5), (0.5, 1234), (-120, -7), (0.1, 0.9), (3, 3), (17, 2345), (-1e9, 1e9), (10_000, 20_000)],
)
def test_numbers_stay_within_their_bounds(low, high):
    rule = re.compile("|".join("".join(t if c else re.escape(t) for c, t in pieces) for pieces in _number(low, high)))
    whole = [n for n in range(-3000, 3000, 1) if low <= n <= high]
    if whole:
        assert all(rule.fullmatch(str(n)) for n in whole)
    for value in [n / 100 for n in range(-30_000, 300_000, 131)]:
        assert low <= value <= high or not rule.fullmatch(f"{value:g}")
    assert rule.fullmatch(f"{high:.0f}") or whole or high < 1.0


def test_numbers_words_and_texts_read_back(other):
    plan = Plan.from_rows([["turn", "-12.5"], ["dim", "0.5", "at once"], ["say", "here you are, sir"]])
    assert read_words(in_words(plan), other) == plan
    assert all(matches(other, step) for step in in_words(plan).split(", ")[:2])
    assert not matches(other, "turn 91") and not matches(other, "dim 2 slowly")


def test_what_the_operator_forbids_cannot_be_written(robot):
    banned = robot.under(OperatorPolicy(forbidden_things=["soda"], forbidden_skills=["open"]))
    assert not matches(banned, "pick soda") and not matches(banned, "open fridge") and matches(banned, "pick bread")
    assert '"soda"' not in grammar(banned) and '"open"' not in grammar(banned)

    pairs = robot.under(OperatorPolicy(forbidden_pairs=[("waste", "fridge")]))
    assert not matches(pairs, "place waste fridge")
    assert matches(pairs, "place waste bin") and matches(pairs, "place soda fridge")


def test_a_thing_is_not_stacked_on_itself(other):
    assert matches(other, "stack box crate") and not matches(other, "stack box box")


@pytest.mark.parametrize(
    "step",
    [
        "place soda desk",
        "Place(Sodas, the Desk)",
        ["place", "coke", "office desk"],
        {"skill": "place", "thing": "soda", "to": "desk"},
        {"action": "place", "arguments": ["soda", "desk"]},
        {"place": {"thing": "soda", "to": "desk"}},
    ],
)
def test_steps_are_read_as_models_write_them(robot, step):
    assert str(read_plan([step], robot)) == "place(soda, desk)"


@pytest.mark.parametrize("step", [7, "", [], {"thing": "soda"}, [["place"]]])
def test_what_is_no_step_is_malformed(robot, step):
    with pytest.raises(ValueError, match="step 1") as refused:
        read_plan([step], robot)
    assert not isinstance(refused.value, BrokenRuleError)


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("grab soda", "no skill of this robot"),
        ("pick hammer", "no name that may stand there"),
        ("pick desk", "no name that may stand there"),
        ("place soda", "1 arguments"),
        ("open hall", "may mean|no name"),
    ],
)
def test_names_that_the_robot_does_not_know_break_a_rule(robot, step, why):
    with pytest.raises(BrokenRuleError, match=why) as refused:
        read_words(step, robot)
    assert "\n" not in str(refused.value)


def test_steps_are_divided_outside_of_brackets_and_quotes():
    """As a regular expression says it, which is quadratic in commas and in spaces."""
    between = re.compile(r"\s*[,;\n]\s*(?![^()]*\))(?=(?:[^']*'[^']*')*[^']*$)")
    assert _steps("say 'well, yes', place(cup, desk); go desk\nstop") == [
        "say 'well, yes'",
        "place(cup, desk)",
        "go desk",
        "stop",
    ]
    draw = random.Random(5)
    for _ in range(3000):
        text = "".join(draw.choices("ab ,;\n()'\t", k=draw.randint(0, 12)))
        assert _steps(text) == [step for step in between.split(text.strip()) if step], repr(text)


@pytest.mark.parametrize("sign", [",", " ", "\n ", "a, ", "'", "(", "),"])
def test_a_long_answer_is_read_in_linear_time(robot, sign):
    def seconds(length):
        text = "a" + sign * (length // len(sign)) + "a"
        began = time.thread_time()
        with pytest.raises(ValueError, match=r".*"):
            read_words(text, robot)
        return time.thread_time() - began

    short = min(seconds(20_000) for _ in range(3))
    assert min(seconds(160_000) for _ in range(3)) < 24 * short  # eight times the length; 64 times were quadratic


@pytest.mark.parametrize("seed", range(20))
def test_arguments_are_split_into_all_that_may_be_combined(seed):
    draw = random.Random(seed)
    values = tuple(tuple(draw.sample("abcde", draw.randint(1, 4))) for _ in range(draw.randint(1, 3)))
    pairs = [(draw.choice("abcde"), draw.choice("abcde")) for _ in range(draw.randint(0, 6))]
    meet = [row for row in product(*values) if not any((a, b) in pairs for a, b in permutations(row, 2))]
    assert sorted(row for each in _without_pairs(values, pairs) for row in product(*each)) == sorted(meet)


def test_a_thing_that_is_barred_from_a_place_keeps_its_others_beside_a_number():
    found = list(_without_pairs((("cup", "knife"), ("sink", "bed"), ()), [("knife", "bed")]))
    assert (("knife",), ("sink",), ()) in found


def test_many_pairs_are_split_in_no_time():
    things, places = tuple(f"t{n}" for n in range(100)), tuple(f"p{n}" for n in range(100))
    assert list(_without_pairs((things, places), product(things, places))) == []
