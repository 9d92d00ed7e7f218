"""executive_node in this process, with real servers: tasks, faults, and what others see of it."""

import json

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
pytest.importorskip("test_msgs", reason="test_msgs is missing: pip install ros-test-msgs==2.0.3")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from fibonacci_server import Puppet
from lifecycle_msgs.msg import Transition
from rclpy.action import ActionClient
from rclpy.node import Node
from sensor_msgs.msg import BatteryState
from std_msgs.msg import String
from test_msgs.action import Fibonacci

from rarrl.errors import InputError
from rarrl.executive.executive import TaskStatus
from rarrl.types import Action, Decision
from rarrl_nodes import conversions, executive_node, key_values, peers
from rarrl_nodes.executive_node import ExecutiveNode
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.orchestrator_node import OrchestratorNode

SKILLS = """
robot: a counter
skills:
  count:
    does: counts to a number
    parameters: {n: {number: [0, 100]}}
    run: {action: fib, type: test_msgs/action/Fibonacci, goal: {order: "{n}"}}
    accept_s: 2.0
    cancel_s: 0.3
    timeout_s: 20
    retry: 0
  wave:
    does: waves
    parameters: {times: {number: [0, 9]}}
    run: {python: "own_parts:wave"}
    outcome: {field: success, success: [true]}
examples:
  - {say: count to three, plan: [[count, "3"]]}
  - {say: count to four and five, plan: [[count, "4"], [count, "5"]]}
  - {say: wave twice, plan: [[wave, "2"]]}
"""
WORLD = """
battery: {field: battery}
places: {desk: {pose: [1, 2, 0]}, shelf: {pose: [5, 5, 0]}}
things: {cup: {aliases: [mug]}}
"""


@pytest.fixture
def add_robot(ear, namespace):
    """Makes the server of the skill `count`."""
    made = []

    def add(**options):
        node = Node(f"robot{len(made)}", namespace=namespace, start_parameter_services=False)
        ear.executor.add_node(node)
        made.append((node, Puppet(node, "fib", **options)))
        return made[-1][1]

    yield add
    for node, puppet in made:
        puppet.destroy()
        ear.executor.remove_node(node)
        node.destroy_node()


@pytest.fixture
def robot(add_robot):
    return add_robot()


class Bench:
    """An executive, a person who talks to it, and what it says on `task`."""

    def __init__(self, ear, local_node, files, **parameters):
        self.ear, self.said = ear, []
        self.node = local_node(ExecutiveNode, **{"orchestrator__decision_timeout_s": 0.1, **files, **parameters})
        self.executive = self.node._executive
        self.ear.node.create_subscription(DiagnosticArray, "task", self.said.append, LATCHED)
        self.talk = self.ear.node.create_publisher(String, "instruction", 10)
        assert ear.until(lambda: self.talk.get_subscription_count() and self.said)

    def say(self, sentence):
        self.talk.publish(String(data=sentence))

    def begin(self, robot, sentence="count to three"):
        """Says it and waits until the skill runs."""
        before = len(robot.goals)
        self.say(sentence)
        assert self.ear.until(lambda: len(robot.goals) > before and self.executive.running is not None)

    def ends(self, status, timeout_s=8.0):
        return self.ear.until(lambda: self.executive.status is status, timeout_s)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "skills.yaml").write_text(SKILLS)
    (tmp_path / "world.yaml").write_text(WORLD)
    return {f"executive__{each}": str(tmp_path / f"{each}.yaml") for each in ("skills", "world")}


@pytest.fixture
def bench(ear, local_node, files, monkeypatch):
    monkeypatch.setattr(peers, "HEAR_S", 0.0)
    return lambda **parameters: Bench(ear, local_node, files, **parameters)


def test_a_task_is_done_without_an_orchestrator(bench, ear, robot):
    found = bench()
    found.say("count to four and five")
    for number in (4, 5):
        assert ear.until(lambda n=number: robot.asked[-1:] == [n] and robot.running)
        assert ear.until(lambda n=number: ear.heard["subgoal"][-1:] and ear.heard["subgoal"][-1].data == f"count {n}")
        robot.finish()
    assert found.ends(TaskStatus.SUCCEEDED)
    assert (robot.asked, robot.most) == ([4, 5], 1)
    assert ear.until(lambda: found.said[-1].status[0].message == "succeeded")
    assert found.node.diagnose()[1].startswith("no orchestrator decides")


def test_where_the_supervisor_says_that_there_is_no_orchestrator_none_is_waited_for(bench, ear, robot):
    found = bench(orchestrator__decision_timeout_s=60.0)
    modes = ear.node.create_publisher(DiagnosticArray, "mode", LATCHED)
    values = {"schema": "1", "mode": "best rule", "without orchestrator": "was killed by SIGKILL"}
    modes.publish(key_values.array("supervisor_node: mode", values, Time()))
    found.say("count to four and five")
    assert ear.until(lambda: robot.asked == [4] and robot.running)
    assert found.node.diagnose()[1].startswith("no orchestrator decides")
    ear.node.destroy_publisher(modes)


def test_an_orchestrator_asks_a_model_whose_plan_is_carried_out(bench, ear, robot, local_node, files):
    rule = 'always:{"recipe": "P1"}'
    orchestrator = local_node(
        OrchestratorNode, orchestrator__policy=rule, orchestrator__reasoner="own_parts:CountsToFive", **files
    )
    found = bench(orchestrator__decision_timeout_s=20.0)
    assert ear.until(lambda: found.node._client.heartbeat.silent_s(0.0) is not None)
    found.say("count to three")
    assert ear.until(lambda: robot.asked == [5] and robot.running, 10)
    robot.finish()
    assert found.ends(TaskStatus.SUCCEEDED)
    assert orchestrator._calls >= 1 and found.executive.spent[0] == orchestrator._calls
    assert ear.values("state")[-1]["beliefs"].startswith("[")


def test_a_new_process_takes_the_running_goal_up(bench, ear, robot, tmp_path):
    journal = {"executive__journal": str(tmp_path / "journal.json")}
    first = bench(**journal)
    first.begin(robot)
    assert ear.until(lambda: json.loads((tmp_path / "journal.json").read_text())["executive"]["goals"][0]["accepted"])
    ear.executor.remove_node(first.node)
    first.node.destroy_node()  # as a crash: the goal goes on

    second = bench(**journal)
    assert ear.until(lambda: second.node._taken_up == 1)
    robot.finish()
    assert second.ends(TaskStatus.SUCCEEDED)
    assert robot.asked == [3]


def test_after_an_orderly_end_only_a_person_goes_on(bench, ear, robot, tmp_path):
    journal = {"executive__journal": str(tmp_path / "journal.json")}
    first = bench(**journal)
    first.begin(robot)
    first.node.end()
    ear.executor.remove_node(first.node)
    first.node.destroy_node()
    assert ear.until(lambda: robot.goals[0].is_cancel_requested)
    robot.finish(how="canceled")

    second = bench(**journal)
    assert second.executive.status is TaskStatus.PAUSED
    assert "resume" in second.node.diagnose()[1]
    assert ear.until(lambda: second.executive.running is None)
    assert ear.call("executive_node/resume").success
    assert ear.until(lambda: robot.asked == [3, 3] and robot.running)
    robot.finish()
    assert second.ends(TaskStatus.SUCCEEDED)


def test_one_journal_serves_one_process(bench, local_node, files, tmp_path):
    journal = {"executive__journal": str(tmp_path / "journal.json")}
    bench(**journal)
    with pytest.raises(InputError, match="is in use by another executive_node"):
        local_node(ExecutiveNode, **files, **journal)


def test_cancel_pause_and_resume(bench, ear, robot):
    found = bench()
    assert not ear.call("executive_node/cancel").success
    found.begin(robot)
    assert ear.call("executive_node/pause").success
    assert ear.until(lambda: robot.goals[0].is_cancel_requested)
    robot.finish(how="canceled")
    assert ear.until(lambda: found.executive.running is None) and robot.asked == [3]
    assert ear.call("executive_node/resume").success
    assert ear.until(lambda: robot.asked == [3, 3] and robot.running)
    assert ear.call("executive_node/cancel").success
    assert found.ends(TaskStatus.CANCELLED)
    assert ear.until(lambda: robot.goals[1].is_cancel_requested)


def test_a_decision_that_asks_a_person_holds_the_task_until_somebody_resumes(bench, ear, robot):
    found = bench(orchestrator__decision_timeout_s=20.0)
    orchestrator = ear.node.create_publisher(DiagnosticArray, "decision", LATCHED)
    assert ear.until(orchestrator.get_subscription_count)

    def decide(number, **fields):
        assert ear.until(lambda: ear.heard["state"] and ear.values("state")[-1]["phase"] == "waiting")
        state = ear.values("state")[-1]
        decision = Decision(number, Action.ACT, 0.0, "it fails with 0.93", **fields)
        told = conversions.DecisionMessage(
            state["run"], int(state["state"]), int(state["episode"]), decision, 20.0, 4000.0
        )
        orchestrator.publish(key_values.array("o: decision", conversions.values_from_decision(told), Time()))

    found.say("count to three")
    decide(1, asks_person=True)
    assert found.ends(TaskStatus.NEEDS_PERSON)
    told = [{each.key: each.value for each in msg.status[0].values} for msg in found.said]
    assert ear.until(lambda: found.said[-1].status[0].message == "needs_person"), told[-1]
    assert "it fails with 0.93" in found.node.diagnose()[1] and robot.asked == []
    assert ear.until(lambda: ear.values("state")[-1]["phase"] == "executing")  # nothing is due meanwhile
    assert ear.call("executive_node/resume").success
    decide(2)
    assert ear.until(lambda: robot.asked == [3] and robot.running)
    robot.finish()
    assert found.ends(TaskStatus.SUCCEEDED)


def test_deactivation_stops_the_skill_and_activation_goes_on(bench, ear, robot):
    found = bench()
    found.begin(robot)
    assert ear.change_state("executive_node", Transition.TRANSITION_DEACTIVATE)
    assert ear.until(lambda: robot.goals[0].is_cancel_requested)
    robot.finish(how="canceled")
    assert ear.until(lambda: found.executive.running is None)
    found.say("count to four and five")
    ear.until(lambda: False, 0.1)
    assert robot.asked == [3]

    assert ear.change_state("executive_node", Transition.TRANSITION_ACTIVATE)
    assert ear.until(lambda: robot.asked == [3, 3] and robot.running)


def test_the_same_sentence_again_is_the_same_task(bench, ear, robot):
    found = bench()
    found.begin(robot)
    found.say("count to three")
    found.say("...")
    assert ear.until(lambda: "no word" in found.node._last_ignored)
    assert robot.asked == [3] and not robot.goals[0].is_cancel_requested


def test_a_result_of_the_last_task_is_none_of_the_next(bench, ear, robot):
    found = bench()
    found.begin(robot)
    found.say("count to four and five")
    assert ear.until(lambda: robot.goals[0].is_cancel_requested)
    robot.finish()  # it was done all the same
    assert ear.until(lambda: robot.asked == [3, 4] and robot.running)
    assert found.executive.finished_rows == (False, False) and robot.most == 1


def test_a_server_that_is_not_there_is_waited_for(bench, ear, add_robot):
    found = bench()
    found.node._domain.skills.skills["count"].__dict__["accept_s"] = 0.3
    found.say("count to three")
    assert ear.until(lambda: "not available" in found.executive.held)
    assert found.executive.spent[3] == 0, "no attempt was made"
    robot = add_robot()
    assert ear.until(lambda: robot.running)
    robot.finish()
    assert found.ends(TaskStatus.SUCCEEDED)


def test_the_younger_of_two_executives_stands_by(bench, ear, robot, local_node, files):
    first = bench()
    second = local_node(ExecutiveNode, **files)
    assert ear.until(lambda: second._peers.senior and first.node._peers._others)
    first.begin(robot)
    ear.until(lambda: False, 0.3)
    assert robot.asked == [3] and not first.node._peers.senior
    assert second.diagnose()[1].startswith("another executive_node")
    assert second._executive.status is TaskStatus.NONE


def test_a_skill_in_python_and_what_sensors_tell(bench, ear):
    found = bench()
    found.say("wave twice")
    assert found.ends(TaskStatus.SUCCEEDED)
    assert found.executive.battery == 40.0
    found.node._on_battery(BatteryState(percentage=0.5))
    assert found.executive.battery == 50.0
    found.node._on_battery(BatteryState(percentage=float("nan")))
    assert found.executive.battery == 50.0


def test_things_that_a_detector_sees_are_believed_at_the_nearest_place(bench, ear):
    markers = pytest.importorskip("visualization_msgs.msg")
    found = bench()
    marker = markers.Marker(text="mug")
    marker.header.frame_id = "map"
    marker.pose.position.x, marker.pose.position.y = 1.2, 2.1
    lost = markers.Marker(text="mug")  # near no place
    talk = ear.node.create_publisher(markers.MarkerArray, "detections", 10)
    assert ear.until(talk.get_subscription_count)
    talk.publish(markers.MarkerArray(markers=[marker, lost]))
    assert ear.until(lambda: found.executive.beliefs.state.count("cup", "desk"))
    assert found.node._unplaced == 1


def test_tasks_over_an_action_of_any_type(bench, ear, robot):
    found = bench(
        executive__task_action="task_of_the_robot",
        executive__task_type="test_msgs/action/Fibonacci",
        executive__task_instruction="count to three, {order} is nothing",
        executive__task_result='{"sequence": ["{skills}"]}',
    )
    client = ActionClient(ear.node, Fibonacci, "task_of_the_robot")
    assert ear.until(client.server_is_ready)
    sent = client.send_goal_async(Fibonacci.Goal(order=7))
    assert ear.until(lambda: robot.running)
    robot.finish()
    assert ear.until(lambda: sent.done() and found.executive.status is TaskStatus.SUCCEEDED)
    result = sent.result().get_result_async()
    assert ear.until(result.done)
    assert list(result.result().result.sequence) == [1]
    client.destroy()


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"executive__skills": ""}, "none is given"),
        ({"executive__skills": "robot:alfret"}, "did you mean 'alfred'"),
        ({"executive__task_action": "task", "executive__task_type": "no_msgs/action/Task"}, "no_msgs"),
        (
            {
                "executive__task_action": "task",
                "executive__task_type": "test_msgs/action/Fibonacci",
                "executive__task_instruction": "{task}",
            },
            "is no parameter",
        ),
        ({"executive__journal": "/proc/nothing/journal.json"}, "cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_at_configure(ros, local_node, files, parameters, says):
    with pytest.raises(InputError, match=says):
        local_node(ExecutiveNode, **{**files, **parameters})


def test_a_disk_that_is_full_is_told_and_the_robot_goes_on(bench, ear, robot, monkeypatch, tmp_path):
    found = bench(executive__journal=str(tmp_path / "journal.json"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(executive_node.Journal, "save", full)
    found.begin(robot)
    assert "No space left" in found.node.diagnose()[1]
    robot.finish()
    assert found.ends(TaskStatus.SUCCEEDED)
