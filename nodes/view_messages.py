"""What a robot's topics say, for the view (`rarrl.view`): of a running graph or of a bag. Needs no ROS.

Messages are taken in as they come and kept; what costs time, such as a picture, is made of them when somebody looks."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from rarrl.build import REPLAYED
from rarrl.config import Config, GateConfig, Scalar, config_from_flat
from rarrl.decision_loop import DecisionOutcome, DecisionSession, Phase, Report
from rarrl.errors import InputError
from rarrl.orchestrator.features import Situation
from rarrl.perception.camera_input import camera_pose, image_from_bytes
from rarrl.perception.rig import CameraRig
from rarrl.types import Action, ActStatus
from rarrl.view.state import (
    Bar,
    Belief,
    Camera,
    Controls,
    Moment,
    Path,
    Scan,
    Snapshot,
    Story,
    gate_state,
    squares_over,
)
from rarrl.view.story import MOST_BARS, SOURCES, decided, steps_of
from rarrl.view.weighing import reason_for, situation_of

from . import conversions, key_values
from .bag_decisions import make_session
from .bag_replay import PLAIN
from .conversions import DecisionMessage
from .readings import pose_of, range_scan_of, seconds

logger = logging.getLogger(__name__)

TOPICS: dict[str, str] = {
    "state": "diagnostic_msgs/msg/DiagnosticArray",
    "decision": "diagnostic_msgs/msg/DiagnosticArray",
    "answer": "diagnostic_msgs/msg/DiagnosticArray",
    "task": "diagnostic_msgs/msg/DiagnosticArray",
    "beliefs": "diagnostic_msgs/msg/DiagnosticArray",
    "mode": "diagnostic_msgs/msg/DiagnosticArray",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    "odom": "nav_msgs/msg/Odometry",
    "scan": "sensor_msgs/msg/LaserScan",
    "left/image_rect": "sensor_msgs/msg/Image",
    "left/camera_info": "sensor_msgs/msg/CameraInfo",
    "voxels": "sensor_msgs/msg/PointCloud2",
}
"""Topic -> its type; all that is shown comes from these."""
LARGE = ("left/image_rect", "voxels", "scan", "odom")
"""Those that come often: they are heard while somebody watches."""
MOST_POINTS = 200_000
"""Points of a cloud that are looked at: a detector's cube holds no more voxels."""
MOST_TEXT, MOST_LINES = 300, 40
"""Characters and lines of what others say, as far as it is shown."""
OLD_S = 1.0
"""Seconds after which voxels are of another picture."""


@dataclass(frozen=True)
class Robot:
    """What is known of the robot from its nodes' settings.

    gate: for its zones. session: an orchestrator like the robot's, which weighs its decisions; None: not known.
    policy, model: of the orchestrator, in words. T_base_camera, low_m: where the camera is, and from which height on
    something is an obstacle; None, 0.0: not known."""

    gate: GateConfig = field(default_factory=GateConfig)
    session: DecisionSession | None = None
    policy: str = ""
    model: str = ""
    T_base_camera: np.ndarray | None = None
    low_m: float = 0.0


def robot_of(settings: Mapping[str, Mapping[str, Scalar]]) -> Robot:
    """What is known of a robot by the settings of its nodes: node -> parameter -> value. Those of a node that is not
    there are today's defaults. Only policies that are shipped are made again: a name of a file or of code that came
    over the wire is not loaded.

    Raises: InputError for settings that are not allowed."""
    gate = _section(settings.get("safety_gate_node", {}), ("gate.",)).gate
    stereo = settings.get("stereo_voxel_node")
    T_base_camera, low_m = None, 0.0
    if stereo is not None:
        detector = _section(stereo, ("detector.",)).detector
        angles = math.radians(detector.camera_pitch_deg), math.radians(detector.camera_roll_deg)
        T_base_camera, low_m = camera_pose(detector.camera_height_m, *angles), detector.body_low_m

    own = settings.get("orchestrator_node")
    if own is None:
        return Robot(gate, T_base_camera=T_base_camera, low_m=low_m)
    config = _section(own, ("orchestrator.", "executive.skills", "language_model.call_timeout_s"))
    chosen = config.orchestrator
    model = f"calls of {chosen.profile}" if chosen.reasoner == REPLAYED else chosen.reasoner
    shipped = all(PLAIN[name].fullmatch(str(own.get(name, ""))) for name in PLAIN if own.get(name))
    session = make_session(config) if shipped else None
    return Robot(gate, session, chosen.policy, model, T_base_camera, low_m)


def _section(values: Mapping[str, Scalar], starts: tuple[str, ...]) -> Config:
    return config_from_flat({name: value for name, value in values.items() if name.startswith(starts)}, "the robot")


class GraphPicture:
    """What is shown of a graph. `take` each message, in any thread; `look` whenever somebody watches.

    Args:
        source: where the messages come from, in words."""

    def __init__(self, source: str) -> None:
        self._lock = threading.Lock()
        self._robot = Robot()
        self._story, self._moment = Story(), Moment()
        self._controls = Controls(source)
        self._report: Report | None = None
        self._situation: Situation | None = None
        self._message: DecisionMessage | None = None  # of the state to come
        self._camera: Camera | None = None
        self._images: deque[Any] = deque(maxlen=4)
        self._drawn: tuple[object, object] = None, None
        self._info: Any = None
        self._voxels: Any = None
        self._path = Path()
        self._v_m_s = 0.0
        self._gate = ("", "", "")
        self._t_s = 0.0

    def know(self, robot: Robot) -> None:
        """What is known of the robot from now on."""
        with self._lock:
            self._robot = robot
            self._story = replace(self._story, policy=robot.policy, model=robot.model)

    def set_controls(self, controls: Controls) -> None:
        """What the buttons do."""
        with self._lock:
            controls = replace(controls, source=self._controls.source)
            self._controls = controls if controls != self._controls else self._controls

    def take(self, topic: str, msg: Any, t_s: float) -> None:
        """A message of one of TOPICS that came at `t_s`. One that makes no sense changes nothing."""
        with self._lock:
            self._t_s = t_s
            try:
                self._TAKERS[topic](self, msg, t_s)
            except (ValueError, InputError, AttributeError, TypeError, OverflowError) as error:
                logger.debug("view: %s: %s", topic, error)

    def pass_time(self, t_s: float) -> None:
        """It is `t_s`, whether or not a message has come."""
        with self._lock:
            self._t_s = max(self._t_s, t_s)

    def look(self) -> Snapshot:
        """See `rarrl.view.server.Source`."""
        with self._lock:
            try:
                self._draw()
            except (ValueError, InputError, TypeError, OverflowError) as error:
                logger.debug("view: picture: %s", error)
            if self._t_s > self._moment.t_s:
                self._moment = replace(self._moment, t_s=self._t_s)
            return Snapshot(self._moment, self._story, self._controls, self._camera)

    # -- decisions

    def _on_state(self, msg: Any, t_s: float) -> None:
        report = conversions.report_from_values(key_values.values_of(msg))
        last = self._report
        is_new = last is None or (last.run, last.episode) != (report.run, report.episode)
        if not is_new and last is not None and report.number < last.number:
            return
        self._report = report
        story = self._begun(report, t_s) if is_new else self._story
        if not is_new and last is not None:
            for outcome, before in ((report.outcome, last.outcome), (report.thought, last.thought)):
                if outcome is not None and outcome != before:
                    story = _ended(story, outcome, report, t_s)
        self._story = replace(
            story,
            steps=steps_of(_names(report), report.summary.subgoal_index),
            status="finished" if report.phase is Phase.FINISHED else story.status,
            time_left_s=report.budget.time_s,
            tokens_left=report.budget.tokens,
            **_plan_known(report),
        )
        self._weigh(report)

    def _begun(self, report: Report, t_s: float) -> Story:
        known = self._story
        self._path.clear()
        self._moment = replace(self._moment, path=np.zeros((0, 2)))
        return Story(
            goal=(report.task.goal if report.task else "")[:MOST_TEXT],
            policy=known.policy,
            model=known.model,
            episode=report.episode,
            status="under way",
            beliefs=known.beliefs,
            began_s=t_s,
            time_budget_s=report.budget.initial_time_s,
            token_budget=report.budget.initial_tokens,
        )

    def _weigh(self, report: Report) -> None:
        """Takes the state to the orchestrator that is like the robot's, so that it can say what there was to choose."""
        session = self._robot.session
        self._situation = None
        if session is not None:
            session.answer(report)
            self._situation = situation_of(session.orchestrator, report)
        if self._message is not None and self._message.state <= report.number:
            message, self._message = self._message, None
            self._decide(message)

    def _on_decision(self, msg: Any, t_s: float) -> None:
        message = conversions.decision_from_values(key_values.values_of(msg))
        if self._report is None or message.state > self._report.number or message.run != self._report.run:
            self._message = message  # its state is still to come
            return
        self._decide(message)

    def _decide(self, message: DecisionMessage) -> None:
        decision, report, session = message.decision, self._report, self._robot.session
        known = any(bar.decision == decision.id for bar in self._story.bars)
        if report is None or message.run != report.run or known:
            return
        reason = None
        if session is not None and self._situation is not None and message.state == report.number:
            reason = reason_for(session.orchestrator, self._situation, decision)
            session.decision = decision
        self._story = decided(self._story, decision, reason, self._t_s)

    def _on_answer(self, msg: Any, t_s: float) -> None:
        answer = conversions.answer_from_values(key_values.values_of(msg)).answer
        if self._robot.session is not None:
            self._robot.session.heard(answer)
        bars = tuple(
            replace(bar, label=answer.summary[:MOST_TEXT]) if bar.decision == answer.decision and bar.role else bar
            for bar in self._story.bars
        )
        self._story = replace(self._story, bars=bars)

    def _on_task(self, msg: Any, t_s: float) -> None:
        values = key_values.values_of(msg)
        status, why = values.get("status", ""), values.get("why", "")
        text = f"{status}: {why}" if why and status not in ("running", "") else status
        goal = values.get("goal", "")[:MOST_TEXT] or self._story.goal
        self._story = replace(self._story, status=text[:MOST_TEXT] or self._story.status, goal=goal)

    def _on_beliefs(self, msg: Any, t_s: float) -> None:
        lines = [text for key, text in key_values.values_of(msg).items() if key.isdecimal()][:MOST_LINES]
        self._story = replace(self._story, beliefs=tuple(Belief(line[:MOST_TEXT]) for line in lines))

    # -- what moves

    def _on_mode(self, msg: Any, t_s: float) -> None:
        self._moment = replace(self._moment, mode=key_values.values_of(msg).get("mode", "")[:MOST_TEXT])

    def _on_diagnostics(self, msg: Any, t_s: float) -> None:
        for status in msg.status:
            if status.name.endswith("safety_gate_node: commands"):
                action, _, rest = str(status.message).partition(" ")
                self._gate = action.strip(":,")[:20], rest[:MOST_TEXT], ""
                self._show_gate()

    def _on_odom(self, msg: Any, t_s: float) -> None:
        pose = pose_of(msg)
        x, y, heading = float(pose[0, 3]), float(pose[1, 3]), math.atan2(pose[1, 0], pose[0, 0])
        self._v_m_s = float(msg.twist.twist.linear.x)
        self._moment = replace(
            self._moment,
            t_s=t_s,
            pose=(x, y, heading),
            v_m_s=self._v_m_s,
            omega_rad_s=float(msg.twist.twist.angular.z),
            path=self._path.add(x, y),
        )
        self._show_gate()

    def _show_gate(self) -> None:
        if self._gate[0]:
            self._moment = replace(self._moment, gate=gate_state(self._robot.gate, *self._gate, self._v_m_s))

    def _on_scan(self, msg: Any, t_s: float) -> None:
        scan, gate = range_scan_of(msg), self._robot.gate
        every = max(1, len(scan.ranges) // 180)  # a lidar has a thousand beams; the page shows the nearest of each few
        ranges = scan.ranges[: len(scan.ranges) // every * every].reshape(-1, every).min(axis=1)
        angle = scan.angle_min + (every - 1) / 2 * scan.increment
        shown = Scan(ranges, angle, scan.increment * every, scan.range_max, gate.sensor_x_m, gate.sensor_y_m)
        self._moment = replace(self._moment, scan=shown)

    # -- the picture

    def _on_image(self, msg: Any, t_s: float) -> None:
        self._images.append(msg)

    def _on_info(self, msg: Any, t_s: float) -> None:
        self._info = msg

    def _on_voxels(self, msg: Any, t_s: float) -> None:
        self._voxels = msg

    def _draw(self) -> None:
        """The picture that the newest voxels are of, with them; the newest picture alone where they are old."""
        if not self._images:
            return
        newest, cloud = self._images[-1], self._voxels
        image = newest
        if cloud is not None:
            taken = seconds(cloud.header.stamp)
            same = [each for each in self._images if seconds(each.header.stamp) == taken]
            image = same[0] if same else newest
            if not same and abs(seconds(newest.header.stamp) - taken) > OLD_S:
                cloud = None
        if self._drawn == (id(image), id(cloud)):
            return
        self._drawn = id(image), id(cloud)
        pixels = image_from_bytes(
            memoryview(image.data), image.encoding, image.width, image.height, image.step, bool(image.is_bigendian)
        )
        rgb = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., ::-1]
        over = None
        if cloud is not None and self._info is not None:
            with suppress(ValueError, InputError, IndexError):
                rig = _rig(self._info, image.width, image.height)
                points = points_of(cloud)
                over = squares_over(points, _side_m(points), rig, self._robot.T_base_camera, self._robot.low_m)
        self._camera = Camera(rgb, image.width, image.height, over, self._t_s)

    _TAKERS: ClassVar[dict[str, Callable[[GraphPicture, Any, float], None]]] = {
        "state": _on_state,
        "decision": _on_decision,
        "answer": _on_answer,
        "task": _on_task,
        "beliefs": _on_beliefs,
        "mode": _on_mode,
        "/diagnostics": _on_diagnostics,
        "odom": _on_odom,
        "scan": _on_scan,
        "left/image_rect": _on_image,
        "left/camera_info": _on_info,
        "voxels": _on_voxels,
    }


def _names(report: Report) -> list[str]:
    """The steps of the plan, with what they are done to where the robot says it."""
    names = [step.name[:MOST_TEXT] for step in report.summary.subgoals]
    rows = report.task.plan.to_rows() if report.task is not None else []
    return [" ".join(row)[:MOST_TEXT] for row in rows] if len(rows) == len(names) else names


def _plan_known(report: Report) -> Mapping[str, Any]:
    if report.task is None:
        return {}
    status = report.task.status
    sure = status.p_ok if status.verdict_level else status.confidence
    return {"plan_sure": sure, "plan_by": SOURCES.get(status.source, "")}


def _ended(story: Story, outcome: DecisionOutcome, report: Report, t_s: float) -> Story:
    """The story once a decision has come out."""
    begun = next((bar for bar in story.bars if bar.decision == outcome.decision), None)
    t0_s = t_s - outcome.seconds if begun is None else min(begun.t0_s, t_s)
    thinks = not isinstance(outcome.status, ActStatus) and outcome.action is not Action.ACT
    bar = Bar(
        outcome.decision,
        max(t0_s, story.began_s),
        t_s,
        outcome.action.role.value if outcome.action.role is not None else "",
        outcome.action.level,
        outcome.status.value,
        begun.label if begun is not None else "",
        outcome.tokens,
        report.budget.time_s,
        report.budget.tokens,
        begun.beside if begun is not None else False,
    )
    bars = (*(each for each in story.bars if each.decision != outcome.decision), bar)
    status = "under way" if thinks or story.status == "acting" else story.status
    return replace(story, bars=bars[-MOST_BARS:], status=status)


def points_of(cloud: Any) -> np.ndarray:
    """(n, 3) float64: x, y, z of a PointCloud2, at most MOST_POINTS, those that are finite. Raises: ValueError."""
    offsets = {field.name: field.offset for field in cloud.fields if field.datatype == 7 and field.count == 1}
    step, count = int(cloud.point_step), int(cloud.width) * int(cloud.height)
    if cloud.is_bigendian or not {"x", "y", "z"} <= set(offsets):
        raise ValueError("a cloud without x, y, z as float32")
    data = np.frombuffer(memoryview(cloud.data), np.uint8)
    if not 12 <= step <= 256 or count * step > len(data) or max(offsets[name] for name in "xyz") + 4 > step:
        raise ValueError("a cloud whose sizes do not fit")
    rows = data[: min(count, MOST_POINTS) * step].reshape(-1, step)
    columns = [rows[:, offsets[name] : offsets[name] + 4].copy().view("<f4")[:, 0] for name in "xyz"]
    points = np.column_stack(columns).astype(np.float64)
    return points[np.isfinite(points).all(axis=1)]


def _side_m(points: np.ndarray) -> float:
    """The edge of the voxels whose centres these are: the least distance of two along an axis."""
    across = np.diff(np.unique(np.round(points[:, 0], 4))) if len(points) else np.zeros(0)
    return float(across.min()) if len(across) else 0.05


def _rig(info: Any, width: int, height: int) -> CameraRig:
    """The left camera alone. Raises: InputError for what no camera has."""
    p = [float(value) for value in info.p]
    return CameraRig(p[0], p[5], p[2], p[6], 1.0, width, height)  # the baseline is of no use here
