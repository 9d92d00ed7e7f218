"""What a robot would do, without one."""

import pytest
from toy_robot import plan, toy

from rarrl.skills.domain import load_robot
from rarrl.skills.dry_run import dry_run
from rarrl.skills.plan import Plan


def rows(run):
    return [" ".join([each.step.skill, *each.step.arguments]) for each in run.steps]


def test_each_row_with_what_prepares_it():
    run = dry_run(toy(), plan("put cup table", "shut door"))
    assert rows(run) == ["go shelf", "pick cup", "go table", "put cup table", "go door", "shut door"]
    assert [each.row for each in run.steps] == [0, 0, 0, 0, 1, 1]
    assert (run.fault, run.places) == ("", {})
    assert run.steps[0].seconds == pytest.approx((2.0 + 6.0) / 0.8)


def test_what_has_to_be_looked_for():
    run = dry_run(toy(), plan("put plate shelf"))
    assert rows(run) == ["go cupboard", "open cupboard", "look cupboard", "pick plate", "go shelf", "put plate shelf"]
    assert [each.looks_for for each in run.steps] == ["", "", "plate", "", "", ""]
    assert run.places["plate"][0] == ("cupboard", pytest.approx(0.8))


def test_where_there_is_no_way():
    run = dry_run(toy(doors={}), plan("put cup table"))
    assert run.steps == ()
    assert run.fault == "no way to holding cup is known"


def test_the_whole_of_pyrobosims_longest_example():
    robot = load_robot("pyrobosim")
    longest = max(robot.skills.examples, key=lambda example: len(example.plan))
    run = dry_run(robot, Plan.from_rows(longest.plan))
    assert run.fault == ""
    assert {each.row for each in run.steps} == set(range(len(longest.plan)))
