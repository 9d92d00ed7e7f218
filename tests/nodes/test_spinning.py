"""One way to run callbacks for both of rclpy's executors."""

import threading
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from rarrl_nodes.spinning import informed, later, make_executor


@pytest.fixture(params=[True, False], ids=["by events", "by wait sets"])
def spun(request, ros, namespace):
    """A node, and what spins it until a condition holds."""
    node = Node("spun", namespace=namespace)
    executor = make_executor(by_events=request.param)
    if request.param and isinstance(executor, SingleThreadedExecutor):
        pytest.skip("this rclpy has no events executor")
    executor.add_node(node)

    def until(condition, timeout_s=15.0):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end and not condition():
            executor.spin_once(timeout_sec=0.05)
        return condition()

    yield node, until
    executor.remove_node(node)
    executor.shutdown()
    node.destroy_node()


def test_a_callback_that_looks_at_the_sender_is_called(spun):
    node, until = spun
    heard = []
    node.create_subscription(String, "words", informed(lambda message, info: heard.append((message, info))), 10)
    publisher = node.create_publisher(String, "words", 10)
    node.create_timer(0.1, lambda: publisher.publish(String(data="a word")))

    assert until(lambda: heard)
    message, info = heard[0]
    assert message.data == "a word" and info["source_timestamp"] > 0


def test_what_other_threads_ask_for_runs_in_the_executor_s(spun):
    node, until = spun
    ran = []
    soon = later(node, lambda: ran.append(threading.current_thread()))
    for number in (1, 2, 3):
        asking = threading.Thread(target=soon.reset)
        asking.start()
        assert until(lambda number=number: len(ran) == number)
        asking.join()
    assert set(ran) == {threading.current_thread()}


def test_what_is_asked_for_twice_before_it_runs_runs_once(spun):
    node, until = spun
    ran, ticks = [], []
    soon = later(node, lambda: ran.append(1))
    soon.reset()
    soon.reset()
    node.create_timer(0.05, lambda: ticks.append(1))
    assert until(lambda: len(ticks) == 3)
    assert ran == [1]


def test_what_is_asked_for_while_it_runs_runs_again(spun):
    node, until = spun
    ran = []

    def run():
        ran.append(1)
        if len(ran) == 1:
            soon.reset()

    soon = later(node, run)
    soon.reset()
    assert until(lambda: len(ran) == 2)


def test_an_exception_of_a_callback_comes_out(spun):
    node, until = spun

    def bad():
        raise ValueError("the reason")

    node.create_timer(0.01, bad)
    with pytest.raises(ValueError, match="the reason"):
        until(lambda: False)
