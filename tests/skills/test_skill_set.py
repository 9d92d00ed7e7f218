"""`skills.yaml`: what is wrong with one, what skills take over from `defaults`, and the files that are shipped."""

import pytest

from rarrl.errors import InputError
from rarrl.skills.domain import ROBOTS, load_robot
from rarrl.skills.outcome import OutcomeMap
from rarrl.skills.skill_set import MAX_SKILLS, Parameter, SkillSet, load_skills

RUN = "run: {python: 'my.robot:go'}"
GO = f"skills: {{go: {{does: drives, {RUN}"


def skills(text, tmp_path):
    (tmp_path / "skills.yaml").write_text(text)
    return load_skills(tmp_path / "skills.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key skills is missing"),
        ("skills: {}", "skills"),
        ("skils: {}", "key 'skils' is unknown.*did you mean 'skills'"),
        (
            GO + ", expectd_s: 3}}",
            "key 'skills.go.expectd_s' is unknown; allowed keys: does,.*did you mean 'expected_s'",
        ),
        (GO + ", prior: {succes: 0.5}}}", "allowed keys: success, weight; did you mean 'success'"),
        (GO + ", outcome: {sucess: [0]}}}", "allowed keys: like,.*did you mean 'success'"),
        (GO + ", observes: {list: a, thing: b, plce: c}}}", "allowed keys: list,.*did you mean 'place'"),
        (GO + ", expected_s: fast}}", "'fast' is not allowed.*seconds that it usually takes"),
        (GO + ", expected_s: 0}}", "expected_s"),
        (GO + ", prior: {success: 1.0}}}", "success"),
        (GO + ", irreversible: maybe}}", "irreversible"),
        (GO + ", needs: ['at {place}']}}", "{place} is no parameter"),
        (GO + ", parameters: {to: place}, gives: ['at {too}']}}", "did you mean 'to'"),
        (GO + ", parameters: {to: {kind: place}}}}", "skills.go.parameters.to.kind' is unknown; allowed keys: kinds"),
        (GO + ", parameters: {to: {number: [1]}}}}", "allowed: .smallest, largest"),
        (GO + ", parameters: {to: {number: [2, 1]}}}}", "2, 1. is not allowed"),
        (GO + ", parameters: {to: {number: [.nan, 1]}}}}", "nan, 1. is not allowed"),
        (GO + ", parameters: {to: {number: [.inf, .inf]}}}}", "inf, inf. is not allowed"),
        (GO + ", parameters: {to: place or text}}}", "text stands alone"),
        (GO + ", gives: [holding]}}", "'holding' is no fact"),
        ("skills: {go: {does: drives, run: {python: 'a:b', goal: {x: '{To}'}}}}", "{To} is no parameter"),
        (GO + ", parameters: {to: [on, off]}}}", "True is no word; put on, off, yes and no in quotes"),
        (GO + ", parameters: {2x: place}}}", "'2x' is no name"),
        (GO + ", signals: {holdin: stalled}}}", "did you mean 'holding'"),
        ("skills: {go: {does: drives, run: {python: go}}}", "allowed: package.module:function"),
        ("skills: {go: {does: drives, run: {}}}", "got none"),
        ("skills: {go: {does: drives, run: {action: a, topic: b, type: c/msg/D}}}", "got action and topic"),
        ("skills: {go: {does: drives, run: {action: a, type: c/srv/D}}}", "allowed: such as some_msgs/action/Name"),
        ("skills: {go: {does: drives, run: {topic: a, type: c/msg/D, goal: {x: '{to}'}}}}", "run.goal: {to} is no"),
        ("skills: {'a b': {does: drives, run: {python: 'a:b'}}}", "'a b' is no name"),
        (GO + "}}\nexamples: [{say: drive, plan: [[goo]]}]", "'goo' is no skill; did you mean 'go'"),
        (GO + "}}\nexamples: [{say: drive, plan: [[go, desk]]}]", "go has 1 arguments .allowed: 0"),
        ("defaults: {retyr: 3}\n" + GO + "}}", "defaults: key 'retyr' is unknown.*did you mean 'retry'"),
        ("defaults: [1]\n" + GO + "}}", "defaults"),
        ("skills: {go: [1]}", "skills.go"),
        ("skills: {go: }", "skills.go"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        skills(text, tmp_path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"skills: {tmp_path / 'skills.yaml'}: ")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("place or door", {"kinds": ("place", "door")}),
        (["low", "high", 3], {"one_of": ("low", "high", "3")}),
        ({"number": [0, 1.5]}, {"kinds": ("number",), "minimum": 0, "maximum": 1.5}),
        ("number", {"kinds": ("number",)}),
    ],
)
def test_short_forms_of_parameters(written, meant):
    assert Parameter.model_validate(written) == Parameter(**meant)


COMMON = {
    "run": {"action": "do", "type": "a_msgs/action/Do", "goal": {"what": "{skill}", "more": {"x": 1}, "said": "{row}"}},
    "outcome": {"like": "nav2"},
    "retry": 3,
}


def test_skills_take_over_what_they_do_not_give():
    made = SkillSet(
        defaults=COMMON,
        skills={
            "pick": {"does": "p", "parameters": {"thing": "thing"}, "run": {"goal": {"more": {"y": "{thing}"}}}},
            "dock": {"does": "d", "retry": 0, "outcome": {"success": [7]}},
            "wait": {"does": "w", "run": {"python": "a.b:wait"}},
        },
    ).skills
    assert made["pick"].run.goal == {"what": "pick", "more": {"x": 1, "y": "{thing}"}, "said": "pick {thing}"}
    assert (made["pick"].run.action, made["pick"].retry) == ("do", 3)
    assert made["dock"].run.goal == {"what": "dock", "more": {"x": 1}, "said": "dock"}
    assert (made["dock"].retry, made["dock"].outcome.like, made["dock"].outcome.success) == (0, "nav2", (7,))
    assert (made["wait"].run.action, made["wait"].run.goal, made["wait"].retry) == ("", {}, 3)  # it names its own way


@pytest.mark.parametrize("own", [{}, {"field": "status", "success": [1]}, {"like": "goal_status"}])
def test_an_outcome_of_its_own_takes_nothing_of_the_common_one(own):
    common = {"outcome": {"like": "trigger", "failed": ["slipped"]}}
    made = SkillSet(defaults=common, skills={"read": {"does": "r", "run": {"python": "a:b"}, "outcome": own}})
    assert made.skills["read"].outcome == OutcomeMap(**own)


def test_numbers_of_an_example_need_no_quotes():
    skill = {"does": "s", "run": {"python": "a:b"}, "parameters": {"seconds": "number", "share": "number"}}
    made = SkillSet(skills={"spin": skill}, examples=[{"say": "spin", "plan": [["spin", 4, 0.5]]}])
    assert made.examples[0].plan == (("spin", "4", "0.5"),)


def test_a_parameter_called_skill_is_a_parameter():
    made = SkillSet(defaults=COMMON, skills={"learn": {"does": "l", "parameters": {"skill": ["a", "b"]}}}).skills[
        "learn"
    ]
    assert made.run.goal["what"] == "{skill}"
    assert made.run.goal["said"] == "learn {skill}"


def test_the_file_is_left_as_it_was():
    value = {"defaults": COMMON, "skills": {"dock": {"does": "d"}}}
    SkillSet(**value)
    assert value == {"defaults": COMMON, "skills": {"dock": {"does": "d"}}}


def test_too_many_skills():
    with pytest.raises(ValueError, match="at most 64"):
        SkillSet(skills={f"s{n}": {"does": "x", "run": {"python": "a:b"}} for n in range(MAX_SKILLS + 1)})


def test_looks_and_what_cannot_be_undone():
    pyrobosim, alfred = load_robot("pyrobosim").skills.skills, load_robot("alfred").skills.skills
    assert [name for name, skill in pyrobosim.items() if skill.looks] == ["detect"]
    assert [alfred[name].irreversible_share for name in ("PickupObject", "PutObject", "SliceObject")] == [0.0, 0.5, 1.0]


def test_a_user_brings_pyrobosim_up_with_81_lines_that_can_be_read():
    """All that a user writes: no line of Python."""
    files = [ROBOTS / "pyrobosim" / name for name in ("skills.yaml", "world.yaml")]
    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) <= 81
    assert {path.suffix for path in ROBOTS.rglob("*") if path.is_file()} == {".yaml"}


def test_no_shipped_line_is_absurdly_long():
    lines = [
        (path.parent.name, line) for path in ROBOTS.rglob("*.yaml") for line in path.read_text("utf-8").splitlines()
    ]
    assert [pair for pair in lines if len(pair[1]) > 120] == []
