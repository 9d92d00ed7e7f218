"""Skills and world together: what does not fit is told, and what a model is offered is what it may use."""

import pytest

from rarrl.errors import InputError
from rarrl.skills.domain import Domain, load_domain, load_robot
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.skills.plan import Plan, Step
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World

RUN = {"python": "robot:run"}
WORLD = {
    "places": {"shelf": {"groups": ["high"]}, "bench": None, "charger": {"holds": False}},
    "things": {
        "tray": {"holds": True},
        "glass": {"groups": ["fragile"]},
        "vice": {"portable": False},
    },
    "forbidden_pairs": [["<fragile>", "<high>"]],
}
SKILLS = {
    "strict": True,
    "max_steps": 5,
    "skills": {
        "drive": {"does": "drives", "parameters": {"to": "place"}, "run": RUN, "gives": ["at {to}"], "in_plans": False},
        "take": {
            "does": "takes",
            "parameters": {"thing": "portable"},
            "run": RUN,
            "needs": ["hand_empty", "at {thing.place}"],
            "gives": ["holding {thing}"],
        },
        "put": {
            "does": "puts",
            "parameters": {"thing": "portable", "to": "receptacle"},
            "run": RUN,
            "needs": ["holding {thing}", "at {to}"],
            "gives": ["{thing} at {to}"],
        },
        "wash": {
            "does": "washes",
            "parameters": {"thing": "portable"},
            "run": RUN,
            "needs": ["at bench", "not <fragile> at {thing}"],
        },
    },
}


def workshop(**policy) -> Domain:
    return Domain(SkillSet.model_validate(SKILLS), World.model_validate(WORLD), OperatorPolicy(**policy))


def check(*rows: str, **policy) -> str:
    return workshop(**policy).check(Plan.from_rows([row.split() for row in rows]))


def test_receptacles_are_what_holds_and_what_is_fixed_is_not_portable():
    robot = workshop()
    assert robot.offered["take"] == (("tray", "glass"),)
    assert robot.offered["put"] == (("tray", "glass"), ("shelf", "bench", "tray"))
    assert "drive" not in robot.offered


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (("take glass", "put glass bench"), ""),
        (("drive shelf",), "step 1, drive(shelf): a plan leaves out drive; the robot adds it by itself"),
        (("put glass bench",), "step 1, put(glass, bench): the hand holds nothing, not glass"),
        (("take glass", "take tray"), "step 2, take(tray): the hand is full (glass)"),
        (("take vice",), "step 1, take(vice): thing: vice is not among portable (allowed: tray, glass)"),
        (("take tray", "put tray tray"), "step 2, put(tray, tray): tray into itself"),
        (("take glass", "put glass shelf"), "step 2, put(glass, shelf): the operator forbids glass and shelf together"),
        (
            ("take glass", "put glass tray", "take tray", "put tray shelf"),
            "step 4, put(tray, shelf): the operator forbids glass and shelf together",
        ),
        (
            ("take tray", "put tray shelf", "take glass", "put glass tray"),
            "step 4, put(glass, tray): the operator forbids glass and shelf together",
        ),
        (("take glass", "put glass tray", "wash tray"), "step 3, wash(tray): fragile inside tray (glass)"),
        (("take glass", "put glass tray", "take glass", "wash tray"), ""),
        (("wash tray",) * 6, "6 steps (allowed: 1 to 5)"),
    ],
)
def test_a_strict_robots_plan_meets_its_needs_itself(rows, why):
    assert check(*rows) == why


def test_what_a_skill_always_needs_counts_as_a_place_of_its_steps():
    assert "forbids the place bench" in check("wash tray", forbidden_places={"bench"})
    assert "does not allow the place bench" in check("wash tray", allowed_places={"shelf"})


def test_a_thing_may_become_a_place_and_a_place_a_thing():
    robot = workshop(more_things={"bench"}, more_places={"glass", "cart"})
    assert robot.own == ("cart",)
    assert {"bench", "glass", "cart"} <= set(robot.offered["put"][1]) and "bench" in robot.offered["take"][0]
    assert robot.under(OperatorPolicy()).world == World.model_validate(WORLD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {"thing": "portabel"}}, "'portabel' is no kind .*did you mean 'portable'"),
        ({"needs": ["not <fragil> at {thing}"]}, "group fragil, which world.yaml does not have.*'fragile'"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(change, message):
    skills = {**SKILLS["skills"], "wash": {**SKILLS["skills"]["wash"], **change}}
    with pytest.raises(InputError, match=message):
        Domain(SkillSet.model_validate(SKILLS | {"skills": skills}), World.model_validate(WORLD))


def test_an_example_must_keep_the_rules_unless_an_operator_has_narrowed_them():
    examples = [{"say": "put the glass up", "plan": [["take", "glass"], ["put", "glass", "shelf"]]}]
    skills = SkillSet.model_validate(SKILLS | {"examples": examples})
    with pytest.raises(InputError, match="example 'put the glass up': step 2"):
        Domain(skills, World.model_validate(WORLD))


@pytest.mark.parametrize("name", ["alfred", "pyrobosim"])
def test_shipped_robots_are_read_and_know_themselves(name):
    robot = load_robot(name)
    assert robot.is_robot_of(load_robot(name)) and not robot.is_robot_of(workshop())
    assert robot.under(OperatorPolicy(max_steps=2)).is_robot_of(robot)
    assert robot.plans_by_itself and robot.lexicon.named(robot.skills.examples[0].say)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match="skills"):
        load_domain(tmp_path / "skills.yaml", tmp_path / "world.yaml")


def test_a_step_is_of_this_robot_whatever_the_rules_say():
    robot = workshop()
    assert robot.misfit(Plan((Step("put", ("glass", "shelf")),))) == ""
    assert "is no skill" in robot.misfit(Plan((Step("fly"),)))
    assert "1 arguments (allowed: 2: thing, to)" in robot.misfit(Plan((Step("put", ("glass",)),)))
