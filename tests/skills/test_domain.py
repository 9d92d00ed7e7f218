"""Both files together."""

import pytest
from toy_robot import SKILLS, WORLD, plan, step, toy

from rarrl.errors import InputError
from rarrl.skills.domain import ROBOTS, Domain, load_domain, load_robot, names_in
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.skills.skill_set import Parameter, SkillSet
from rarrl.skills.world import World

TOY = toy()


@pytest.mark.parametrize("name", sorted(path.name for path in ROBOTS.iterdir()))
def test_the_shipped_robots_can_be_read(name):
    robot = load_robot(name)
    assert all(
        example.plan == () or not robot.check(plan(*map(" ".join, example.plan))) for example in robot.skills.examples
    )
    assert robot.is_robot_of(load_domain(ROBOTS / name / "skills.yaml", ROBOTS / name / "world.yaml"))
    assert not robot.is_robot_of(TOY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {"to": "plce"}}, "skill go, parameter to: 'plce' is no kind.*did you mean 'place'"),
        ({"needs": ["holding <cups>"]}, "`holding <cups>` speaks of the group cups"),
        ({"parameters": {"to": "door"}}, "is not among|is unknown"),
    ],
)
def test_files_that_do_not_fit_together(change, message):
    skill = {**SKILLS["skills"]["go"], **change}
    with pytest.raises(InputError, match=message):
        Domain(
            SkillSet(
                defaults=SKILLS["defaults"], skills={"go": skill}, examples=[{"say": "a", "plan": [["go", "shelf"]]}]
            ),
            World(**WORLD),
        )


@pytest.mark.parametrize(
    ("parameter", "names"),
    [
        ("place", ("table", "shelf", "cupboard")),
        ("door or room", ("door", "hall", "kitchen")),
        ("portable", ("cup", "plate")),
        (["a", "b"], ("a", "b")),
        ({"number": [0, 1]}, ()),
        ("text", ()),
    ],
)
def test_what_an_argument_may_be(parameter, names):
    assert TOY.values(Parameter.model_validate(parameter)) == names


def test_steps_and_names():
    assert TOY.arguments(step("put cup table")) == {"thing": "cup", "to": "table"}
    assert TOY.roles(step("put cup table")) == (["cup"], ["table"])
    assert names_in(plan("pick cup", "put cup table").steps) == {"cup", "table"}
    assert TOY.plans_by_itself
    assert TOY.aliases["shelf"] == ("shelf", "rack")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("put cup table", ""),
        ("dance", "is no skill"),
        ("put cup", "1 arguments"),
        ("put lamp table", "lamp is not among portable"),
        ("put cup tabel", "did you mean 'table'"),
    ],
)
def test_which_steps_may_run(row, fault):
    assert fault in TOY.check_step(step(row)) if fault else TOY.check_step(step(row)) == ""


def test_what_the_operator_forbids_is_not_offered():
    under = TOY.under(OperatorPolicy(forbidden_things={"cup"}, forbidden_skills={"shut"}))
    assert under.offered["pick"] == (("plate",),)
    assert "shut" not in under.offered
    assert "forbids" in under.check_step(step("pick cup"))
    assert under.is_robot_of(TOY)
    assert under.under(OperatorPolicy()).check_step(step("pick cup")) == ""
