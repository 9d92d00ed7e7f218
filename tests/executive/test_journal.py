"""A file from which a process goes on."""

import json

import pytest
from toy_robot import counting_ids, toy

from rarrl.errors import InputError
from rarrl.executive.commands import Adopt
from rarrl.executive.executive import TaskExecutive, TaskStatus
from rarrl.executive.journal import MAX_AGE_S, Journal
from rarrl.types import Action, Decision

TOY = toy()


def running():
    made = TaskExecutive(TOY, new_id=counting_ids())
    made.instruct("put the cup on the table", 0.0)
    _, goal = made.decide(Decision(1, Action.ACT, 0.0, ""), 0.0)
    made.sending(goal.uuid, 0.0)
    return made


@pytest.fixture
def path(tmp_path):
    Journal(tmp_path / "journal.json", lambda: 1000.0).save(running())
    return tmp_path / "journal.json"


def test_what_was_running_is_taken_up(path):
    made = TaskExecutive(TOY)
    (adopted,) = Journal(path, lambda: 1004.0).restore(made, 50.0)
    assert isinstance(adopted, Adopt)
    assert adopted.timeout_s == pytest.approx(6.0)  # ten, and the process was down for four
    assert (made.status, str(made.running)) == (TaskStatus.RUNNING, "go(shelf)")


@pytest.mark.parametrize("now", [1000.0 + MAX_AGE_S + 1, 900.0])
def test_an_old_one_or_one_of_the_future_is_left_alone(path, now):
    made = TaskExecutive(TOY)
    before = path.read_bytes()
    assert Journal(path, lambda: now).restore(made, 0.0) == ()
    assert (made.status, path.read_bytes()) == (TaskStatus.NONE, before)


def test_none_is_no_fault(tmp_path):
    assert Journal(tmp_path / "none.json").restore(TaskExecutive(TOY), 0.0) == ()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: json.dumps(json.loads(text) | {"version": 99}),
        lambda text: json.dumps(json.loads(text) | {"executive": {}}),
        lambda text: json.dumps(json.loads(text) | {"executive": 3}),
        lambda text: text.replace('"go"', '"fly"'),
        lambda text: json.dumps(json.loads(text) | {"written_at": "now"}),
    ],
)
def test_a_damaged_one_is_said_in_one_line_and_left_as_it_is(path, damage):
    path.write_text(damage(path.read_text()))
    before, made = path.read_bytes(), TaskExecutive(TOY)
    with pytest.raises(InputError, match=r"journal.*remove it to begin without it") as error:
        Journal(path, lambda: 1001.0).restore(made, 0.0)
    assert "\n" not in str(error.value)
    assert (made.status, path.read_bytes()) == (TaskStatus.NONE, before)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task", None, "says running, and no task"),
        ("pending", [[0, "fly", "x"]], "does not fit the skills"),
        ("number", 1e999, "must be finite"),
        ("goals", [[]], "removed?|indices"),
    ],
)
def test_what_no_executive_wrote_is_refused_in_one_line(path, key, value, message):
    written = json.loads(path.read_text())
    written["executive"][key] = value
    path.write_text(json.dumps(written).replace("Infinity", "1e999"))
    with pytest.raises(InputError, match=message) as caught:
        Journal(path, lambda: 1004.0).restore(TaskExecutive(TOY), 50.0)
    assert "\n" not in str(caught.value)


def test_a_goal_gets_no_more_time_than_its_skill(path):
    written = json.loads(path.read_text())
    written["executive"]["goals"][0]["deadline_s"] = 1e300
    path.write_text(json.dumps(written))
    (adopted,) = Journal(path, lambda: 1004.0).restore(TaskExecutive(TOY), 50.0)
    assert adopted.timeout_s == TOY.skill(adopted.step).timeout_s
