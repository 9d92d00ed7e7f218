"""pyrobosim's robot: its own answers, in seconds that repeat, and nothing left behind in the process."""

import logging
import time

import numpy as np
import pytest

pytest.importorskip("pyrobosim", reason='needs pip install "rarrl[pyrobosim]"')

from rarrl.errors import InputError
from rarrl_sim_envs.pyrobosim.road_map import GIVES_UP_S
from rarrl_sim_envs.pyrobosim.robot import (
    DOORS,
    EXECUTION_FAILURE,
    PLACES,
    PLANNING_FAILURE,
    PRECONDITION_FAILURE,
    SKILL_SECONDS,
    SUCCESS,
    PyrobosimRobot,
    Setup,
)

FETCH = (("navigate", "fridge"), ("pick", "soda"), ("navigate", "desk"), ("place", "desk"))


def run(robot, *skills):
    """The results of skills with their only argument."""
    key = {"pick": "thing", "detect": "thing"}
    return [robot.run(skill, {key.get(skill, "place"): name} if name else {}) for skill, name in skills]


def statuses(robot, *skills):
    return [result.status for result in run(robot, *skills)]


def test_a_thing_is_fetched_and_everyone_knows_it():
    robot = PyrobosimRobot()
    assert robot.where == "dining" and robot.holding is None and robot.battery == 100
    results = run(robot, *FETCH)

    assert [r.status for r in results] == [SUCCESS] * 4
    assert results[1].seconds == SKILL_SECONDS["pick"] and results[2].seconds > 5
    assert robot.seconds == pytest.approx(sum(r.seconds for r in results))
    assert ("soda", "desk") in robot.detections() and ("soda", "desk") in robot.truth().things
    assert robot.where == "desk" and robot.holding is None


def test_the_same_seed_gives_the_same_poses_and_times_and_another_does_not():
    def played(seed):
        robot = PyrobosimRobot(Setup(success={"navigate": 0.7, "pick": 0.5, "place": 0.5}), seed)
        np.random.rand()  # what the program draws does not matter
        return [(result, robot.pose, robot.seconds) for skill in (*FETCH, *FETCH) for result in run(robot, skill)]

    assert played(3) == played(3) != played(4)


def test_nothing_of_the_process_changes():
    import pyrobosim.core.robot

    np.random.seed(5)
    state = np.random.get_state()[1].tolist()
    run(PyrobosimRobot(), *FETCH)
    assert np.random.get_state()[1].tolist() == state
    assert pyrobosim.core.robot.time is time
    assert not logging.getLogger("pyrobosim").disabled


def test_two_robots_take_turns():
    one, other = PyrobosimRobot(seed=1), PyrobosimRobot(seed=1)
    for skill in FETCH:
        assert run(one, skill) == run(other, skill)
    assert one.pose == other.pose


def test_a_shut_door_leaves_no_way_until_it_is_open():
    shut = frozenset(door for door, rooms in DOORS.items() if "trash" in rooms)
    robot = PyrobosimRobot(Setup(shut=shut))
    (no_way,) = run(robot, ("navigate", "dumpster"))
    assert (no_way.status, no_way.seconds) == (PLANNING_FAILURE, GIVES_UP_S)

    assert statuses(robot, ("navigate", "hall_trash_dining"), ("open", ""), ("navigate", "dumpster")) == [SUCCESS] * 3
    assert robot.open_states()["hall_dining_trash"] and "hall_dining_trash" not in robot.truth().shut


def test_what_is_shut_gives_and_takes_nothing_and_a_full_hand_opens_nothing():
    robot = PyrobosimRobot(Setup(shut=frozenset({"fridge", "dumpster"})))
    assert statuses(robot, ("navigate", "fridge"), ("pick", "soda"), ("detect", "")) == [0, 1, 1]
    assert statuses(robot, ("open", "fridge"), ("pick", "soda"), ("close", "fridge")) == [0, 0, 1]
    assert statuses(robot, ("navigate", "dumpster"), ("open", ""), ("place", "")) == [0, 1, 1]
    assert robot.holding == "soda"


def test_hidden_things_must_be_detected():
    robot = PyrobosimRobot(Setup(hidden=True, known_states=False))
    assert robot.detections() == [] and robot.open_states() == {}
    assert statuses(robot, ("navigate", "fridge"), ("pick", "soda"), ("detect", "bread")) == [0, 1, EXECUTION_FAILURE]
    assert robot.detections() == [("butter", "fridge"), ("soda", "fridge")] and robot.open_states() == {"fridge": True}
    assert statuses(robot, ("pick", "soda")) == [SUCCESS]


@pytest.mark.parametrize(
    ("skill", "name", "status"),
    [
        ("pick", "", PRECONDITION_FAILURE),  # to pyrobosim: anything
        ("pick", "soda0", PRECONDITION_FAILURE),  # to pyrobosim: that thing, detected or not
        ("pick", "unicorn", PRECONDITION_FAILURE),
        ("navigate", "", PLANNING_FAILURE),  # to pyrobosim: the nearest place
        ("navigate", "moon", PLANNING_FAILURE),
        ("navigate", "soda", PLANNING_FAILURE),
        ("open", "pantry", PRECONDITION_FAILURE),  # to pyrobosim: the fridge, where it stands
        ("place", "fridge", PRECONDITION_FAILURE),
        ("dance", "", 5),
    ],
)
def test_a_wrong_word_is_refused_and_changes_nothing(at_fridge, skill, name, status):
    before = at_fridge.truth(), at_fridge.seconds
    (result,) = run(at_fridge, (skill, name))
    assert (result.status, result.message == "") == (status, False)
    assert (at_fridge.truth(), at_fridge.seconds) == before


@pytest.fixture(scope="module")
def at_fridge():
    robot = PyrobosimRobot()
    run(robot, ("navigate", "fridge"))
    return robot


def test_driving_empties_the_battery_for_good_and_the_charger_fills_it():
    use = {"navigate": 5.0}
    robot = PyrobosimRobot(Setup(battery=50, battery_use=use))
    assert statuses(robot, ("navigate", "charger")) == [SUCCESS] and robot.battery == 100

    empty = PyrobosimRobot(Setup(battery=10, battery_use=use))
    assert statuses(empty, ("navigate", "charger"), ("navigate", "table"), ("detect", "")) == [3, 1, 1]
    assert empty.battery == 0


def test_a_lie_is_success_without_effect():
    robot = PyrobosimRobot(Setup(lie_rate=1.0, shut=frozenset({"fridge"})))
    run(robot, ("navigate", "fridge"))
    assert statuses(robot, ("pick", "soda"), ("open", "")) == [PRECONDITION_FAILURE, SUCCESS]  # refusals are true
    assert "fridge" in robot.truth().shut and robot.open_states()["fridge"]

    run(robot, ("navigate", "pantry"))
    (lie,) = run(robot, ("pick", "bread"))
    assert (lie.status, lie.message, lie.seconds) == (SUCCESS, "", SKILL_SECONDS["pick"])
    assert robot.holding == "bread" and robot.truth().holding is None
    assert statuses(robot, ("navigate", "table"), ("place", "")) == [SUCCESS, PRECONDITION_FAILURE]
    assert robot.holding is None


def test_a_thing_that_slips_stays_where_it_was():
    robot = PyrobosimRobot(Setup(slip_rate=1.0))
    before = robot.truth().things
    assert statuses(robot, *FETCH) == [0, 0, 0, PRECONDITION_FAILURE]
    assert robot.truth().things == before and robot.holding is None
    assert statuses(robot, ("navigate", "fridge"), ("pick", "soda")) == [0, 0]


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (Setup(things=(("soda", "moon"),)), "'moon'"),
        (Setup(shut=frozenset({"window"})), "'window'"),
        (Setup(success={"dance": 1.0}), "'dance'"),
        (Setup(lie_rate=2.0), "lie_rate is 2.0"),
        (Setup(things=(("waste", "bin"),) * 6), "too many things"),
    ],
)
def test_an_impossible_setup_is_an_error_of_one_line(setup, words):
    with pytest.raises(InputError, match=words) as error:
        PyrobosimRobot(setup)
    assert "\n" not in str(error.value)


def test_names_are_those_of_the_world():
    world = PyrobosimRobot()._world
    assert [(h.name, h.room_start.name, h.room_end.name) for h in world.hallways] == [(d, *r) for d, r in DOORS.items()]
    assert {place.name: place.parent.name for place in world.locations} == PLACES
