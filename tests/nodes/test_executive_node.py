"""executive_node in this process, with real servers: tasks, faults, and what others see of it."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
pytest.importorskip("test_msgs", reason="test_msgs is missing: pip install ros-test-msgs==2.0.3")

from diagnostic_msgs.msg import DiagnosticArray
from fibonacci_server import Puppet
from rclpy.node import Node
from std_msgs.msg import String

from rarrl.executive.executive import TaskStatus
from rarrl_nodes.executive_node import ExecutiveNode
from rarrl_nodes.lifecycle import LATCHED

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
examples:
  - {say: count to three, plan: [[count, "3"]]}
  - {say: count to four and five, plan: [[count, "4"], [count, "5"]]}
"""


@pytest.fixture
def robot(ear, namespace):
    node = Node("robot", namespace=namespace, start_parameter_services=False)
    ear.executor.add_node(node)
    puppet = Puppet(node, "fib")
    yield puppet
    puppet.destroy()
    ear.executor.remove_node(node)
    node.destroy_node()


class Bench:
    """An executive, a person who talks to it, and what it says on `task`."""

    def __init__(self, ear, local_node, folder, **parameters):
        self.ear, self.said = ear, []
        (folder / "skills.yaml").write_text(parameters.pop("skills", SKILLS))
        (folder / "world.yaml").write_text("{}")
        files = {f"executive__{each}": str(folder / f"{each}.yaml") for each in ("skills", "world")}
        settings = {"orchestrator__decision_timeout_s": 0.1, **files, **parameters}
        self.node = local_node(ExecutiveNode, **settings)
        self.executive = self.node._executive
        self.ear.node.create_subscription(DiagnosticArray, "task", self.said.append, LATCHED)
        self.talk = self.ear.node.create_publisher(String, "instruction", 10)
        assert ear.until(lambda: self.talk.get_subscription_count() and self.said)

    def say(self, sentence):
        self.talk.publish(String(data=sentence))

    def is_(self, status, timeout_s=8.0):
        return self.ear.until(lambda: self.executive.status is status, timeout_s)


@pytest.fixture
def bench(ear, local_node, tmp_path):
    return lambda **parameters: Bench(ear, local_node, tmp_path, **parameters)


def test_a_task_is_done_without_an_orchestrator(bench, ear, robot):
    found = bench()
    found.say("count to four and five")
    for number in (4, 5):
        assert ear.until(lambda n=number: robot.asked[-1:] == [n] and robot.running)
        assert ear.until(lambda n=number: ear.heard["subgoal"][-1].data == f"count {n}")
        robot.finish()
    assert found.is_(TaskStatus.SUCCEEDED)
    assert (robot.asked, robot.most) == ([4, 5], 1)
    assert ear.until(lambda: found.said[-1].status[0].message == "succeeded")
