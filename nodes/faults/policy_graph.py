"""The action policy over ROS: vla_policy_node, its worker and the robot each a process; the shipped Meta-World policy.

The robot sends two pictures of noise and proprioception CONTROL_HZ times a second: it does not obey, and what the
policy makes of it does not matter here. hold: the first message without a row. Unsafe (and `stale_applied`) is a
command whose stamp, that of the oldest observation it rests on, was more than the limit ago when it was written, by
the time stamp of the middleware."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from rarrl.config import PolicyConfig
from rarrl.errors import RarrlError
from rarrl.policy.registry import SHIPPED

from .gate import STOP_S
from .row import Row, Trial
from .station import STAGE, Station, own_domain, start_node

CONTROL_HZ = 10.0
SUBGOALS = ("open the drawer", "push the button", "close the window")
EACH = 40
"""Frames until the sub-goal changes."""
LIMIT_S = PolicyConfig().max_observation_age_s
"""Seconds: images that are older must not become commands."""
TRIES = 5
"""A worker that answers while the rows at hand are fresh shows no hold: it is struck again, and each time counts."""
STATUS = "vla_policy_node: policy"


@dataclass(frozen=True, eq=False)
class Frame:
    """What the robot sees and feels at one step, and what it is told to do."""

    images: np.ndarray
    proprio: np.ndarray
    subgoal: str


@dataclass(frozen=True, eq=False)
class Heard:
    """A message: when it came (steady clock), how old its stamp was when it was written, its points."""

    at: float
    age_s: float
    stamp_ns: int
    points: np.ndarray  # (n, a)


class Robot(Station):
    """Sends observations, hears commands."""

    def __init__(self, names: tuple[str, ...], cameras: tuple[str, ...]) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from sensor_msgs.msg import Image, JointState
        from std_msgs.msg import String
        from trajectory_msgs.msg import JointTrajectory

        super().__init__("robot")
        self._names = names
        self._cameras = cameras
        self._kinds = {"image": Image, "joints": JointState, "text": String}
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.images = [self.node.create_publisher(Image, f"{camera}/image", 4) for camera in cameras]
        self.proprio = self.node.create_publisher(JointState, "proprio", 4)
        self.subgoal = self.node.create_publisher(String, "subgoal", latched)
        self._told = ""
        self.commands: list[Heard] = []
        self.chunks: list[Heard] = []
        self.statuses: list[Any] = []
        for topic, heard in (("joint_command", self.commands), ("action_chunk", self.chunks)):
            self.node.create_subscription(JointTrajectory, topic, self._hearer(heard), 100)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _hearer(self, heard: list[Heard]) -> Callable[[Any, Any], None]:
        def hear(msg: Any, info: Any) -> None:
            stamp_ns = msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec
            points = np.array([point.positions for point in msg.points])
            heard.append(Heard(time.monotonic(), (info["source_timestamp"] - stamp_ns) / 1e9, stamp_ns, points))

        return hear

    def _on_diagnostics(self, msg: Any) -> None:
        self.statuses += [s for s in msg.status if s.name == STATUS]

    def messages(self, frame: Frame) -> list[Any]:
        """The observation, stamped now."""
        stamp = self.now_stamp()
        joints = self._kinds["joints"](name=list(self._names), position=[float(v) for v in frame.proprio])
        joints.header.stamp = stamp

        result = []
        for picture in frame.images:
            msg = self._kinds["image"](height=picture.shape[0], width=picture.shape[1], encoding="rgb8")
            msg.step = 3 * picture.shape[1]
            msg.data.frombytes(np.ascontiguousarray(picture).data)
            msg.header.stamp = stamp
            result.append(msg)

        return [*result, joints]

    def send(self, messages: list[Any]) -> None:
        for publisher, msg in zip((*self.images, self.proprio), messages, strict=True):
            publisher.publish(msg)

    def tell(self, subgoal: str) -> None:
        if subgoal != self._told:
            self._told = subgoal
            self.subgoal.publish(self._kinds["text"](data=subgoal))

    def status(self) -> dict[str, str]:
        """The next values on /diagnostics, with `message`."""
        count = len(self.statuses)
        self.need(lambda: len(self.statuses) > count, "vla_policy_node's diagnostics fell silent", 20.0)
        return self.last_status()

    def last_status(self) -> dict[str, str]:
        status = self.statuses[-1]
        return {"message": status.message, **{v.key: v.value for v in status.values}}

    def configure(self) -> bool:
        """Asks the node to configure itself; whether it did."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        client = self.node.create_client(ChangeState, "vla_policy_node/change_state")
        self.need(client.service_is_ready, "vla_policy_node does not start")

        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_CONFIGURE
        future = client.call_async(request)
        self.need(future.done, "vla_policy_node does not answer")

        self.node.destroy_client(client)
        return bool(future.result().success)


@contextmanager
def running_node(**parameters: object) -> Iterator[subprocess.Popen[bytes]]:
    """The node as a process; ended with SIGINT."""
    arguments = [a for name, value in parameters.items() for a in ("-p", f"{name.replace('__', '.')}:={value}")]
    child = start_node("vla_policy_node", "--ros-args", *arguments)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(timeout=20)


class Player:
    """Sends frames at a rate for as long as one listens."""

    def __init__(self, robot: Robot, frames: list[Frame], rate: float) -> None:
        self._robot = robot
        self._frames = frames
        self._period = 1 / rate
        self._sent = 0
        self._next = time.monotonic()

    def play(self, until: Callable[[], bool], seconds: float, delay: Callable[[], float] = lambda: 0.0) -> bool:
        """Until `until()` holds or `seconds` have passed; whether it holds. delay: seconds from the stamp of an
        observation to when it is sent."""
        end = time.monotonic() + seconds
        waiting: list[tuple[float, list[Any]]] = []
        self._next = max(self._next, time.monotonic() - self._period)
        while not until() and time.monotonic() < end:
            if time.monotonic() >= self._next:
                frame = self._frames[self._sent % len(self._frames)]
                self._robot.tell(frame.subgoal)
                waiting.append((self._next + delay(), self._robot.messages(frame)))
                self._sent += 1
                self._next += self._period

            for item in [w for w in waiting if w[0] <= time.monotonic()]:
                self._robot.send(item[1])
                waiting.remove(item)
            soonest = min([self._next, *(at for at, _ in waiting)])
            self._robot.wait(until, min(max(soonest - time.monotonic(), 0.0), 0.02))

        return until()

    def status(self) -> dict[str, str]:
        """As the robot's, without a pause."""
        count = len(self._robot.statuses)
        self.play(lambda: len(self._robot.statuses) > count, 10.0)
        return self._robot.last_status()


@dataclass(frozen=True)
class Acting:
    """A node that acts, and the robot that it acts for."""

    robot: Robot
    player: Player


def noise(spec: dict[str, Any], seed: int) -> list[Frame]:
    """Pictures of noise, the state in the middle of what the policy knows, and sub-goals in its words."""
    rng = np.random.default_rng(seed)
    shape = (len(spec["cameras"]), spec["image_size"], spec["image_size"], 3)
    state = np.float32(spec["proprio_mean"])
    return [
        Frame(rng.integers(0, 256, shape, dtype=np.uint8), state, subgoal) for subgoal in SUBGOALS for _ in range(EACH)
    ]


@contextmanager
def robot_of_the_policy() -> Iterator[Robot]:
    """The robot that the shipped policy fits, in a domain of its own."""
    spec = json.loads((SHIPPED / "card.json").read_text("utf-8"))["spec"]
    with own_domain(shared_memory=True):
        robot = Robot(tuple(spec["proprio_names"]), tuple(spec["cameras"]))
        try:
            yield robot
        finally:
            robot.close()


@contextmanager
def acting() -> Iterator[Acting]:
    """The node, once it acts."""
    spec = json.loads((SHIPPED / "card.json").read_text("utf-8"))["spec"]
    with robot_of_the_policy() as robot, running_node(policy__control_hz=CONTROL_HZ, policy__preset="fast"):
        player = Player(robot, noise(spec, 0), CONTROL_HZ)
        found = Acting(robot, player)
        _until_acting(found)
        yield found


def _until_acting(of: Acting) -> None:
    robot = of.robot
    first = len(robot.commands)
    enough = lambda: len(robot.commands) > first + 10 and bool(len(robot.commands[-1].points))  # noqa: E731
    if not of.player.play(enough, 90.0):
        raise RarrlError("faults: vla_policy_node does not act: its inferences miss their deadline on this machine?")


def signalled(number: signal.Signals) -> Callable[[int, int], list[Trial]]:
    """The policy's worker gets a signal amid its work."""

    def play(trials: int, seed: int) -> list[Trial]:
        rng = np.random.default_rng(seed)
        graph = STAGE.keep("policy", acting)
        found = []
        for _ in range(trials):
            for _ in range(TRIES):
                found.append(_signal(graph, number, float(rng.uniform(0, 0.2))))
                if found[-1].stop_s is not None:
                    break
        return found

    return play


def _signal(graph: Acting, number: signal.Signals, wait_s: float) -> Trial:
    """hold_s and recovery are None where a new worker answered while the rows at hand were fresh: it acted on."""
    robot, player = graph.robot, graph.player
    _until_acting(graph)
    pid = int(player.status()["worker_pid"])
    player.play(lambda: False, wait_s)
    first = len(robot.commands)
    at = time.monotonic()
    os.kill(pid, number)

    def held() -> int | None:
        return next((i for i in range(first, len(robot.commands)) if not len(robot.commands[i].points)), None)

    player.play(lambda: held() is not None, 3.0)
    index = held()
    if index is None:
        if int(player.status()["worker_pid"]) == pid:
            raise RarrlError("faults: neither a hold nor another worker after a signal")
        return Trial(
            recover_s=0.0,
            outputs=len(robot.commands) - first,
            note="a new worker answered in time",
            **_stale(robot, first),
        )
    back = player.play(lambda: bool(len(robot.commands[-1].points)), 60.0)
    hold = robot.commands[index].at - at
    last = max((c.at - at for c in robot.commands[first:index]), default=0.0)
    recover_s = robot.commands[-1].at - at if back else None
    return Trial(hold, last, recover_s, len(robot.commands) - first, **_stale(robot, first))


def delayed(trials: int, seed: int) -> list[Trial]:
    """Observations reach the node up to a second late."""
    rng = np.random.default_rng(seed)
    graph = STAGE.keep("policy", acting)
    found = []
    for _ in range(trials):
        _until_acting(graph)
        first = len(graph.robot.commands)
        graph.player.play(lambda: False, 2.0, delay=lambda: float(rng.uniform(0, 1)))
        again = time.monotonic()
        _until_acting(graph)
        outputs = len(graph.robot.commands) - first
        found.append(Trial(recover_s=time.monotonic() - again, outputs=outputs, **_stale(graph.robot, first)))
    return found


def _stale(robot: Robot, first: int) -> dict[str, Any]:
    """Commands from number `first` on that rest on something too old or are no numbers."""
    acted = [c for c in robot.commands[first:] if len(c.points)]
    old = sum(c.age_s > LIMIT_S for c in acted)
    nan = sum(not np.isfinite(c.points).all() for c in acted)
    return {"unsafe": old + nan, "counts": {"stale_applied": old, "nan_published": nan}}


def rows() -> tuple[Row, ...]:
    """The worker killed and frozen, and observations that come late."""
    expected = "hold within 0.5 s; a new worker acts again"
    limits = {"stop_s": STOP_S, "detect_s": 1.0}

    def row(name: str, fault: str, number: signal.Signals, quick: int) -> Row:
        play = signalled(number)
        return Row(name, "policy", fault, number.name, expected, "graph", play, 8, quick, True, True, limits)

    return (
        row("N1-policy-worker-killed", "the policy's worker is killed", signal.SIGKILL, 1),
        row("N1-policy-worker-frozen", "the policy's worker is frozen", signal.SIGSTOP, 0),
        Row("C3-policy", "policy", "observations come late", "0 to 1 s", "nothing old becomes a command", "graph",
            delayed, 8, 1, recovers=True),
    )  # fmt: skip
