"""Skills that are Python callables."""

import sys
from types import ModuleType

import pytest
from toy_robot import step

from rarrl.clock import ManualClock
from rarrl.errors import InputError
from rarrl.executive.executive import TaskExecutive, TaskStatus
from rarrl.executive.play import play_task
from rarrl.executive.python_skills import PythonSkills, call_arguments
from rarrl.skills.domain import Domain
from rarrl.skills.outcome import Outcome
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World

WORLD = World(places={"desk": {"pose": [1, 2, 0.5]}, "shelf": {}}, things={"cup": {"at": ["shelf"]}}, start="desk")


def domain(**skills):
    return Domain(SkillSet(defaults={"does": "x"}, skills=skills), WORLD)


@pytest.fixture
def robot(monkeypatch):
    """The module of a robot; its functions are what a test puts there."""
    module = ModuleType("my_toy_robot")
    monkeypatch.setitem(sys.modules, "my_toy_robot", module)
    return module


@pytest.mark.parametrize(
    ("goal", "arguments"),
    [
        (None, {"to": "desk", "speed": 0.5}),
        ({}, {}),
        ({"target": "{to}", "fast": True}, {"target": "desk", "fast": True}),
        ({"pose": "{to.pose}", "v": ["{speed}"]}, {"pose": [1.0, 2.0, 0.5], "v": [0.5]}),
        ({"y": "{to.y}", "yaw": "{to.yaw}"}, {"y": 2.0, "yaw": 0.5}),
        ({"text": "go to {to} at {speed} m/s"}, {"text": "go to desk at 0.5 m/s"}),
    ],
)
def test_what_a_callable_gets(goal, arguments):
    run = {"python": "my_toy_robot:go"} | ({} if goal is None else {"goal": goal})
    made = domain(go={"parameters": {"to": "place", "speed": {"number": [0, 1]}}, "run": run})
    assert call_arguments(step("go desk 0.5"), made) == arguments


def test_a_callable_gets_the_robots_own_numbers():
    world = World(places={"desk": {"values": {"stop": 7}}})
    skills = {"go": {"parameters": {"to": "place"}, "run": {"python": "my_toy_robot:go", "goal": {"n": "{to.stop}"}}}}
    made = Domain(SkillSet(defaults={"does": "x"}, skills=skills), world)
    assert call_arguments(step("go desk"), made) == {"n": 7}


def test_a_place_without_a_pose_is_refused(robot):
    robot.go = lambda pose: None
    run = {"python": "my_toy_robot:go", "goal": {"pose": "{to.pose}"}}
    made = domain(go={"parameters": {"to": "place"}, "run": run})
    result = PythonSkills(made).run(step("go shelf"), 1.0)
    assert (result.outcome, result.why) == (Outcome.REFUSED, "shelf has no pose in world.yaml")


def test_what_it_returns_or_raises_is_an_outcome_with_its_seconds(robot):
    ticks = iter(range(100))
    made = domain(dock={"run": {"python": "my_toy_robot:dock"}})
    robot.dock = lambda: (False, "no dock")
    result = PythonSkills(made, lambda: float(next(ticks))).run(step("dock"), 1.0)
    assert (result.outcome, result.why, result.seconds) == (Outcome.FAILED, "no dock", 1.0)

    def fails():
        raise RuntimeError("broken")

    robot.dock = fails
    assert PythonSkills(made).run(step("dock"), 1.0).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"python": "my_toy_robot:nothing"}, "skill dock.*has no nothing"),
        ({"python": "no_such_module_here:dock"}, "skill dock.*cannot be imported"),
        ({"python": "my_toy_robot:number"}, "skill dock.*is a int; name a function"),
        ({"python": "my_toy_robot:fast"}, r"cannot be called with nothing \(missing a required argument: 'speed'\)"),
        ({"python": "my_toy_robot:fast", "goal": {"sped": 1}}, "cannot be called with sped"),
        ({"service": "dock", "type": "std_srvs/srv/Trigger"}, "skill dock: dock is run over ROS"),
    ],
)
def test_what_cannot_run_is_said_at_once(robot, run, message):
    robot.number, robot.fast = 3, lambda speed: None
    with pytest.raises(InputError, match=message):
        PythonSkills(domain(dock={"run": run}))


def test_a_task_of_a_robot_in_python(robot):
    log = []
    robot.go = lambda to: log.append(f"go {to}")
    robot.take = lambda thing: log.append(f"take {thing}")
    robot.put = lambda thing, to: log.append(f"put {thing} {to}")
    made = Domain(
        SkillSet(
            defaults={"does": "x"},
            skills={
                "go": {"parameters": {"to": "place"}, "gives": ["at {to}"], "run": {"python": "my_toy_robot:go"}},
                "take": {
                    "parameters": {"thing": "thing"},
                    "needs": ["hand_empty", "at {thing.place}"],
                    "gives": ["holding {thing}"],
                    "run": {"python": "my_toy_robot:take"},
                },
                "put": {
                    "parameters": {"thing": "thing", "to": "place"},
                    "needs": ["holding {thing}", "at {to}"],
                    "gives": ["{thing} at {to}"],
                    "run": {"python": "my_toy_robot:put"},
                },
            },
            examples=[{"say": "bring a cup to the desk", "plan": [["put", "cup", "desk"]]}],
        ),
        WORLD,
    )
    end = play_task(TaskExecutive(made), "bring a cup to the desk", PythonSkills(made), ManualClock())
    assert end.status is TaskStatus.SUCCEEDED
    assert log == ["go shelf", "take cup", "go desk", "put cup desk"]
