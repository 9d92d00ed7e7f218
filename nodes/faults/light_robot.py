"""A robot for rows on whole graphs that two cores carry: our own nodes, all real, around a base that is a number.

Real are the gate, the stereo detector on a rendered pair, the policy's node with its worker process, the executive, the
orchestrator with a language model's worker process, and the supervisor. Little is computed: the policy drives ahead,
the skill is a pause, the model answers with the plan that the task names.

    with light_graph(folder) as (robot, graph): ...

Run as a program, this module is the language model's worker."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.config import Scalar
from rarrl.policy.base import ActionChunk, InterfaceSpec, Observation
from rarrl.reasoner.base import Answer, Request
from rarrl.types import Action
from rarrl.worker_process import CallFailedError, WorkerCommand, WorkerProcess

from ..bringup import DEADMAN, GATE, TO_DEADMAN
from ..graph import EXECUTIVE, ORCHESTRATOR, POLICY, STEREO, SUBGOAL_ASIDE, Start
from ..loopback import without_shared_memory
from ..supervised import Supervised

HERE = "rarrl_nodes.faults.light_robot"
SPEED_MPS = 0.15
PLACES = ("shelf", "desk")
STROLL_S = 1.0
"""Seconds that the skill takes."""
PAIR_S = 0.2
"""Seconds between two stereo pairs: 17 ms of one core each."""
OBSTACLES_S = 0.4
"""Largest age of a scan, seconds: two pairs, and a busy machine."""
BODY_S = 0.05
"""Seconds between two messages of odometry, pictures for the policy, and speeds."""
SCENE = 8
"""Seed of a rendered room with more than two metres of free floor ahead."""
WIDTH, HEIGHT = 240, 180
VARIANTS = 8
"""Pictures with noise of their own, in turn: a camera whose pictures are equal counts as frozen."""
LOAD_S = 60.0
HANG = "LIGHT_ROBOT_HANG"
"""Environment variable that names a file: see `Asks`."""

SKILLS = f"""
robot: a cart that strolls
skills:
  go:
    does: drives to a place
    parameters: {{to: place}}
    run: {{python: "{HERE}:stroll"}}
    gives: ["at {{to}}"]
    outcome: {{field: success, success: [true]}}
    expected_s: 1.0
    timeout_s: 20.0
examples:
""" + "".join(f"  - {{say: go to the {place}, plan: [[go, {place}]]}}\n" for place in PLACES)
WORLD = """
start: shelf
places: {shelf: {pose: [1, 0, 0]}, desk: {pose: [2, 0, 0]}}
"""


class Ahead:
    """The policy: straight on, whatever it sees."""

    spec = InterfaceSpec(
        cameras=("front",),
        image_size=64,
        proprio_names=("speed_m_s",),
        proprio_mean=(0.0,),
        proprio_scale=(1.0,),
        action_names=("linear_x_m_s", "angular_z_rad_s"),
        action_low=(0.0, -1.0),
        action_high=(0.5, 1.0),
        horizon=4,
        control_hz=10.0,
    )

    def infer(self, observation: Observation, stop: object = None) -> ActionChunk:
        """See `rarrl.policy.base`."""
        row = np.array([SPEED_MPS, 0.0], np.float32)
        return ActionChunk(np.tile(row, (self.spec.horizon, 1)), 1 / self.spec.control_hz, observation.observed_at)

    def reset(self) -> None:
        """Nothing is remembered."""


class Asks:
    """The orchestrator's policy: it asks once before each step. It runs in the executor of the node, and hangs for ever
    once somebody has made the file that `HANG` names."""

    name = "asks"

    def act(self, situation: Any, mask: np.ndarray) -> np.ndarray:
        """See `rarrl.orchestrator.registry`."""
        hang = Path(os.environ[HANG])
        if hang.exists():
            hang.unlink()
            time.sleep(1e6)
        return np.where(mask[Action.PLANNER_1], int(Action.PLANNER_1), int(Action.ACT))


def stroll(to: str) -> dict[str, object]:
    """The skill `go`: the policy drives meanwhile."""
    time.sleep(STROLL_S)
    return {"success": True}


class Thinker:
    """The reasoner, with a process of its own: it answers with the row that the task names."""

    name = "thinker"

    def __init__(self) -> None:
        self._worker = WorkerProcess(WorkerCommand("thinker", (HERE,), {}, LOAD_S, 60_000, ""))

    @property
    def down(self) -> str:
        """Why nobody would answer now."""
        return self._worker.down

    def ask(self, request: Request) -> Answer:
        """See `rarrl.reasoner.base.Reasoner`."""
        from rarrl.reasoner.plan import Plan
        from rarrl.types import CallStatus

        began = time.monotonic()
        plan, status, why = None, CallStatus.OK, ""
        try:
            got = self._worker.call("plan", began + request.deadline_s, goal=request.goal)
            plan = Plan.from_rows(got["rows"])
        except CallFailedError as error:
            status, why = error.status, str(error)
        seconds = time.monotonic() - began
        return Answer(request.decision, request.role, request.level, status, seconds, self.name, plan=plan, why=why)

    def close(self) -> None:
        """Ends the process."""
        self._worker.close()


def starts(folder: Path) -> list[Start]:
    """The graph, in the order in which it is activated. folder: gets the skills, the world and the journal."""
    skills, world = folder / "skills.yaml", folder / "world.yaml"
    skills.write_text(SKILLS, "utf-8")
    world.write_text(WORLD, "utf-8")
    robot: dict[str, Scalar] = {
        "executive.skills": str(skills),
        "executive.world": str(world),
        "orchestrator.reasoner": f"{HERE}:Thinker",
        "orchestrator.policy": f"{HERE}:Asks",
        "orchestrator.decision_timeout_s": 1.0,
        "orchestrator.time_budget_s": 600.0,
        "orchestrator.token_budget": 1e6,
    }
    parameters: dict[str, dict[str, Scalar]] = {
        GATE.name: {"gate.assumed_clear_m": 1.0, "gate.max_obstacle_age_s": OBSTACLES_S, "gate.memory_m": 20.0},
        STEREO.name: {"detector.preset": "near", "detector.threads": 1},
        POLICY.name: {"policy.folder": f"{HERE}:Ahead"},
        EXECUTIVE.name: {**robot, "executive.journal": str(folder / "journal.json")},
        ORCHESTRATOR.name: robot,
    }
    nodes = (DEADMAN, GATE, STEREO, POLICY, EXECUTIVE, ORCHESTRATOR)
    aside = {GATE.name: TO_DEADMAN, ORCHESTRATOR.name: SUBGOAL_ASIDE}
    return [Start(node, parameters.get(node.name, {}), aside.get(node.name, [])) for node in nodes]


class LightRobot:
    """Cameras and base, tasks one after the other, and what the graph says and sends.

    Args:
        station: a `nodes.faults.station.Station`, which hears and talks.

    Attributes:
        moves: when each command that moves arrived, seconds of the steady clock; `commands`: when each did.
        modes: (when, mode, parts that are missing) of each message on `mode`; `texts`: what each said.
    """

    def __init__(self, station: Any) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from geometry_msgs.msg import TwistStamped
        from nav_msgs.msg import Odometry
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import CameraInfo, Image, JointState
        from std_msgs.msg import String

        from ..lifecycle import LATCHED, VOLATILE

        self.station = station
        self.commands: list[float] = []
        self.moves: list[float] = []
        self.modes: list[tuple[float, str, frozenset[str]]] = []
        self.texts: list[str] = []
        self._x = self._v = 0.0
        self._task = ""
        self._place = 0
        self._shot = 0
        self._images, self._infos = _pair()

        node = station.node
        sensor = QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._image_pubs = [node.create_publisher(Image, f"{side}/image_rect", sensor) for side in ("left", "right")]
        self._info_pubs = [
            node.create_publisher(CameraInfo, f"{side}/camera_info", sensor) for side in ("left", "right")
        ]
        self._front_pub = node.create_publisher(Image, "front/image", sensor)
        self._proprio_pub = node.create_publisher(JointState, "proprio", sensor)
        self._odom_pub = node.create_publisher(Odometry, "odom", sensor)
        self._instruction_pub = node.create_publisher(String, "instruction", VOLATILE)
        node.create_subscription(TwistStamped, "cmd_vel", self._on_twist, 100)
        node.create_subscription(
            DiagnosticArray, "mode", self._on_mode, QoSProfile(depth=100, durability=LATCHED.durability)
        )
        node.create_subscription(DiagnosticArray, "task", self._on_task, LATCHED)
        node.create_timer(PAIR_S, self._send_pair)
        node.create_timer(BODY_S, self._send_body)
        node.create_timer(0.5, self._instruct)

    @property
    def mode(self) -> str:
        """The robot's mode, as it was told last."""
        return self.modes[-1][1] if self.modes else ""

    def moving(self, within_s: float = 0.3) -> bool:
        """Whether a command that moves has come lately."""
        return bool(self.moves) and time.monotonic() - self.moves[-1] < within_s

    def _on_twist(self, msg: Any) -> None:
        self._v = msg.twist.linear.x
        self.commands.append(time.monotonic())
        if abs(self._v) > 0.0 or abs(msg.twist.angular.z) > 0.0:
            self.moves.append(self.commands[-1])

    def _on_mode(self, msg: Any) -> None:
        values = {each.key: each.value for each in msg.status[0].values}
        missing = frozenset(key.removeprefix("without ") for key in values if key.startswith("without "))
        self.modes.append((time.monotonic(), values["mode"], missing))
        self.texts.append(msg.status[0].message)

    def _on_task(self, msg: Any) -> None:
        self._task = next((each.value for each in msg.status[0].values if each.key == "status"), "")

    def _instruct(self) -> None:
        from std_msgs.msg import String

        if self._task not in ("running", "paused"):
            self._place = 1 - self._place
            self._instruction_pub.publish(String(data=f"go to the {PLACES[self._place]}"))

    def _send_pair(self) -> None:
        stamp = self.station.now_stamp()
        for publisher, msg in zip((*self._info_pubs, *self._image_pubs), (*self._infos, *self._next()), strict=True):
            msg.header.stamp = stamp
            publisher.publish(msg)

    def _next(self) -> Any:
        self._shot = (self._shot + 1) % VARIANTS
        return self._images[self._shot]

    def _send_body(self) -> None:
        from nav_msgs.msg import Odometry
        from sensor_msgs.msg import Image, JointState

        if self.commands and time.monotonic() - self.commands[-1] > 0.5:
            self._v = 0.0  # as bases do
        self._x += self._v * BODY_S
        stamp = self.station.now_stamp()
        odom = Odometry(child_frame_id="base_link")
        odom.header.stamp, odom.header.frame_id = stamp, "odom"
        odom.pose.pose.position.x, odom.pose.pose.orientation.w = self._x, 1.0
        self._odom_pub.publish(odom)

        side = Ahead.spec.image_size
        front = Image(width=side, height=side, encoding="bgr8", step=3 * side, data=bytes(3 * side * side))
        front.header.stamp = stamp
        self._front_pub.publish(front)
        proprio = JointState(name=list(Ahead.spec.proprio_names), position=[self._v])
        proprio.header.stamp = stamp
        self._proprio_pub.publish(proprio)


def _pair() -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Stereo pairs of a room, with noise of their own, and the cameras' calibration."""
    from sensor_msgs.msg import CameraInfo, Image

    from rarrl_learning.perception.synthetic import SynthConfig, render_pair

    scene = render_pair(SCENE, 0, SynthConfig(width=WIDTH, height=HEIGHT, kinds=("indoor",)))
    rng = np.random.default_rng(SCENE)

    def image(pixels: np.ndarray) -> Any:
        grain = rng.standard_normal(pixels.shape, dtype=np.float32)
        noisy = np.clip(pixels + grain, 0, 255).astype(np.uint8)
        msg = Image(width=WIDTH, height=HEIGHT, encoding="bgr8", step=3 * WIDTH)
        msg.header.frame_id = "left_eye"
        msg.data.frombytes(np.ascontiguousarray(noisy).data)
        return msg

    images = [(image(scene.pair.left), image(scene.pair.right)) for _ in range(VARIANTS)]
    infos = []
    for shift, cx in ((0.0, scene.rig.cx), (-scene.rig.fx * scene.rig.baseline, scene.rig.cx + scene.rig.doffs)):
        info = CameraInfo(width=WIDTH, height=HEIGHT)
        info.header.frame_id = "left_eye"
        info.p = [scene.rig.fx, 0.0, cx, shift, 0.0, scene.rig.fy, scene.rig.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        infos.append(info)
    return images, infos


@contextmanager
def light_graph(
    folder: Path, drives: bool = True, spoil: Mapping[str, Mapping[str, Scalar]] | None = None
) -> Iterator[tuple[LightRobot, Supervised]]:
    """The graph under its supervisor. folder: of the run.

    drives: it is waited for until it does. spoil: node -> parameters that are put in place of its own.

    Raises: RarrlError where it does not come to drive."""
    from .station import Station, own_domain

    folder.mkdir(parents=True, exist_ok=True)
    patient: dict[str, Scalar] = {"end_if_given_up": False, "restarts": 1000}  # trials follow one another
    nodes = starts(folder)
    for start in nodes:
        start.parameters.update((spoil or {}).get(start.node.name, {}))
    with own_domain():
        # A reader that is killed leaves what it has not read in Fast DDS's shared memory: images of the writer may
        # reach nobody any more. That is a fault of its own, and not this row's.
        without_shared_memory(os.environ)
        station = Station("light_robot")
        try:
            robot = LightRobot(station)
            environment = {**os.environ, "OMP_NUM_THREADS": "1", HANG: str(folder / "hang")}
            with Supervised(folder, environment, nodes, patient) as graph:
                if drives:
                    station.need(lambda: robot.mode == "normal" and robot.moving(), "the light robot does not drive")
                yield robot, graph
        finally:
            station.close()


def main() -> None:
    """The language model's worker: answers each request with the row that its goal names."""
    sys.stdin.readline()
    print(json.dumps({"ready": {"pid": os.getpid()}}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        goal = str(request.get("goal", ""))
        rows = [["go", place] for place in PLACES if goal.endswith(place)]
        print(json.dumps({"id": request["id"], "rows": rows}), flush=True)


if __name__ == "__main__":
    main()
