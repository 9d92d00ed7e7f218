"""What `rarrl skills check --ros` finds, file by file and on a running robot."""

import re

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")

from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from rarrl.skills.domain import Domain
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World
from rarrl_nodes.skill_check import check_running, check_types

WORLD = World(
    places={"desk": {"pose": [1.0, 2.0, 0.0]}, "shelf": {}},
    things={"soda": {}},
)


def domain(**fields):
    run = {"service": "open", "type": "std_srvs/srv/Trigger"}
    return Domain(SkillSet(skills={"x": {"does": "does it", "run": run} | fields}), WORLD)


def says(findings):
    return [str(finding) for finding in findings]


def topic(goal, parameters=None, kind="geometry_msgs/msg/PoseStamped"):
    return {"run": {"topic": "go", "type": kind, "goal": goal}, "parameters": parameters or {}}


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({}, []),
        ({"outcome": {"like": "trigger"}}, []),
        ({"outcome": {"field": "succes"}}, ["outcome.field: .*did you mean 'success'"]),
        ({"outcome": {"field": "success", "success": [1]}}, ["outcome.success: 1 cannot be .* true or false"]),
        ({"outcome": {"field": "message", "success": [1]}}, ["outcome.success: 1 is no text"]),
        ({"outcome": {"why": "success"}}, ["outcome.why: success is no text"]),
        ({"outcome": {"success": [0]}}, ["outcome.success: 0 is a code, but no `field` says where"]),
        ({"outcome": {"success": ["SUCCEEDD"]}}, ["no status of a goal; did you mean 'SUCCEEDED'"]),
        ({"observes": {"list": "message", "thing": "x"}}, ["observes.list: message is no list of messages"]),
        ({"run": {"service": "a", "type": "std_srvs/srv/Triger"}}, ["did you mean 'Trigger'"]),
        (
            topic({"pose": "{p.pose}"}, {"p": "place"}),
            [r"run.goal.pose: p has no 'pose'; give it one in the world file"],
        ),
        (topic({"pose": {"position": {"x": "{n}"}}}, {"n": {"number": [0, 1]}}), []),
        (topic({"data": "{n}"}, {"n": {"number": [0, 300]}}, "std_msgs/msg/UInt8"), ["300 is out of range of uint8"]),
        (topic({"header": {"frame": "map"}}), ["has no field 'frame'; did you mean 'frame_id'"]),
        ({"run": {"python": "os:getcwd"}}, []),
    ],
)
def test_types_and_fields(fields, expected):
    found = says(check_types(domain(**fields)))
    assert len(found) == len(expected), found
    for line, pattern in zip(found, expected, strict=True):
        assert re.search(pattern, line)


def test_lists_of_messages_are_observed():
    found = check_types(
        domain(
            run={"service": "scan", "type": "rcl_interfaces/srv/DescribeParameters"},
            observes={"list": "descriptors", "thing": "name", "place": "type"},
        )
    )
    assert says(found) == ["skill x: observes.place: type is no text"]


def test_servers_of_the_running_robot(ear, namespace):
    robot = Node("robot", namespace=namespace, start_parameter_services=False)
    robot.create_service(Trigger, "open_door", lambda _, response: response)
    robot.create_service(SetBool, "lamp", lambda _, response: response)
    robot.create_subscription(String, "say", print, 1)
    for _ in range(2):
        robot.create_service(Trigger, "twice", lambda _, response: response)
    ways = {
        "good": ("open_door", "Trigger"),
        "near": ("open_dor", "Trigger"),
        "other": ("lamp", "Trigger"),
        "twice": ("twice", "Trigger"),
        "topic": ("say", "Trigger"),
    }
    skills = {
        name: {"does": "x", "run": {"service": server, "type": f"std_srvs/srv/{kind}"}}
        for name, (server, kind) in ways.items()
    }
    both = Domain(SkillSet(skills=skills), WORLD)
    ear.until(lambda: ear.node.count_subscribers(f"{namespace}/say") == 1)

    found = says(check_running(both, wait_s=0.0, node=ear.node))
    assert found == [
        f"skill near: service {namespace}/open_dor: no server; start the robot's node, or mend the name and its "
        f"namespace; did you mean '{namespace}/open_door'?",
        f"skill other: service {namespace}/lamp: is of type std_srvs/srv/SetBool, the file says std_srvs/srv/Trigger",
        f"skill twice: service {namespace}/twice: 2 servers of this name; each goal would run on all of them: stop all "
        "but one",
        f"skill topic: service {namespace}/say: no server; start the robot's node, or mend the name and its namespace; "
        "it is there as topic",
    ]
    robot.destroy_node()


def test_a_node_of_its_own_looks_until_all_are_there(ear, namespace):
    robot = Node("robot", namespace=namespace, start_parameter_services=False)
    robot.create_service(Trigger, "open_door", lambda _, response: response)
    run = {"service": f"{namespace}/open_door", "type": "std_srvs/srv/Trigger"}
    assert check_running(domain(run=run), wait_s=5.0) == []
    robot.destroy_node()
