"""Real nodes for tests: in this process or as processes of their own, each test in its own namespace."""

import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

NUMBERS = count()
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Marks the tests of this folder, which pytest hands to every conftest along with all others."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.ros)


class Ear:
    """Hears topics of one namespace, and /diagnostics of all; talks to it."""

    def __init__(self, namespace):
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from rclpy.qos import QoSProfile
        from std_msgs.msg import String

        from rarrl_nodes.lifecycle import LATCHED

        self.node = Node("ear", namespace=namespace)
        self.heard = {name: [] for name in ("state", "decision", "budget", "plan", "subgoal", "/diagnostics")}
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        # Reliable and latched with depth: the nodes keep one message, the test wants them all.
        qos = QoSProfile(depth=1000, reliability=LATCHED.reliability, durability=LATCHED.durability)
        for name, heard in self.heard.items():
            kind = String if name == "subgoal" else DiagnosticArray
            self.node.create_subscription(kind, name, heard.append, 100 if name == "/diagnostics" else qos)
        self.state = self.node.create_publisher(DiagnosticArray, "state", LATCHED)

    def values(self, topic):
        """The key-value texts of all messages heard on `topic`."""
        return [{v.key: v.value for v in msg.status[0].values} for msg in self.heard[topic]]

    def statuses(self, name):
        """All statuses of /diagnostics with this name."""
        return [s for msg in self.heard["/diagnostics"] for s in msg.status if s.name == name]

    def until(self, condition, timeout_s=15.0):
        """Listens until `condition()` holds; whether it did."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if condition():
                return True
            self.executor.spin_once(timeout_sec=0.05)
        return bool(condition())

    def change_state(self, node, transition):
        """Takes a lifecycle node through the transition with this number; whether it succeeded."""
        from lifecycle_msgs.srv import ChangeState

        request = ChangeState.Request()
        request.transition.id = transition
        return self.call(f"{node}/change_state", ChangeState, request).success

    def call(self, service, kind=None, request=None, timeout_s=10.0):
        """Calls a service, a Trigger unless said; its response."""
        from std_srvs.srv import Trigger

        client = self.node.create_client(kind or Trigger, service)
        assert self.until(client.service_is_ready, timeout_s), f"no service {service}"
        future = client.call_async(request or Trigger.Request())
        assert self.until(future.done, timeout_s), f"no answer from {service}"
        return future.result()


@pytest.fixture(scope="session")
def ros():
    """rclpy, initialised in this process."""
    rclpy = pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
    rclpy.init()
    yield rclpy
    rclpy.try_shutdown()


@pytest.fixture
def namespace():
    return f"/test{next(NUMBERS)}"


@pytest.fixture
def ear(ros, namespace):
    ear = Ear(namespace)
    yield ear
    ear.executor.shutdown()
    ear.node.destroy_node()


@pytest.fixture
def local_node(ros, ear, namespace):
    """Makes a node in this process, spun together with the ear; `local_node(OrchestratorNode, **parameters)`."""
    from rclpy.parameter import Parameter

    made = []

    def make(kind, start=True, **parameters):
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in parameters.items()]
        node = kind(namespace=namespace, parameter_overrides=overrides)
        made.append(node)
        if start:
            node.autostart()
        ear.executor.add_node(node)
        return node

    yield make
    for node in made:
        ear.executor.remove_node(node)
        node.destroy_node()


@pytest.fixture
def process(ros, namespace, tmp_path):
    """Starts a node as a process: `process("replay_node", {"replay.episodes": 2})`. Killed at the end of the test."""
    from rarrl_nodes.graph import to_params_file

    children = []

    def start(name, parameters):
        number = len(children)
        params = tmp_path / f"{name}{number}.yaml"
        params.write_text(to_params_file(parameters))
        log = (tmp_path / f"{name}{number}.log").open("wb")
        command = [sys.executable, "-m", f"rarrl_nodes.{name}", "--ros-args", "-r", f"__ns:={namespace}"]
        with log:
            child = subprocess.Popen(
                [*command, "--params-file", str(params)], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        child.log = tmp_path / f"{name}{number}.log"
        children.append(child)
        return child

    yield start
    for child in children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
