"""Plays the gate's part of a recording: what came to safety_gate_node goes through `rarrl.safety.base_gate` once more,
on a clock that the recording drives. Needs no ROS.

The gate is asked at the moments at which it published, and knows what had been sent by then. What it hears of other
publishers on its own topics, of arms and of TF is not played."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rarrl.bag.reader import Bag, Message
from rarrl.config import Scalar, config_from_flat
from rarrl.errors import InputError
from rarrl.frames import Mount, base_frames, foreign, frames_of, plain
from rarrl.safety.base_gate import BaseGate, mount_of
from rarrl.safety.timeline import Timeline
from rarrl.supervision.modes import Mode
from rarrl.types import GateReason, GateResult, RobotCommand

from .key_values import values_of
from .readings import pose_of, range_scan_of, seconds, speeds_of

TWISTS = ("geometry_msgs/msg/TwistStamped", "geometry_msgs/msg/Twist")
INPUTS = {
    "command": "geometry_msgs/msg/TwistStamped",
    "scan": "sensor_msgs/msg/LaserScan",
    "odom": "nav_msgs/msg/Odometry",
}
SENT = "cmd_vel"
"""Our name of what the gate publishes. Before a deadman_node its topic is another, cmd_vel_gated."""
SILENT_S = 1.0
"""Seconds without a word at the beginning, which an active gate is never silent for: it was activated after that."""
WRONG_FRAME_S = 1.0
"""As of safety_gate_node."""


@dataclass(frozen=True)
class Tick:
    """What the gate judged. at_s: since the recording began. sent, was: (v, omega) to the base, m/s and rad/s, now and
    as recorded."""

    at_s: float
    result: GateResult
    sent: tuple[float, float]
    was: tuple[float, float]


class GatePlayer:
    """The gate with the settings of a recording. All times are seconds since 1970: the recording's own are the only
    clock."""

    def __init__(self, settings: Mapping[str, Scalar]) -> None:
        own = {name: value for name, value in settings.items() if name.startswith("gate.")}
        self._config = config_from_flat(own, "the bag").gate
        if self._config.sensor_from_tf:
            raise InputError("gate.sensor_from_tf is set: where the sensor was stands in TF, which is not played")
        self.dry_run = bool(settings.get("dry_run", False))
        self._frame = str(settings.get("base_frame", "base_link"))
        self._base_frames = base_frames(self._frame)
        self._scan_frames = frames_of(self._config.scan_frames)
        self.refused: Counter[str] = Counter()
        self.active = True
        self._supervisor_stop = ""
        self.forget()

    def forget(self) -> None:
        """As safety_gate_node does when it is activated."""
        self._base = BaseGate(self._config, self.dry_run)
        self._timeline = Timeline()
        self._command: RobotCommand | None = None
        self._last: dict[Any, float] = {}
        self._wrong_frames: dict[str, tuple[float, str]] = {}
        self._odom_frame = ""

    def hear(self, stream: str, value: Any, now_s: float) -> None:
        """Takes in a message of INPUTS that reached the gate at `now_s`."""
        if self.active:
            {"command": self._on_command, "scan": self._on_scan, "odom": self._on_odom}[stream](value, now_s)

    def tick(self, now_s: float) -> GateResult:
        """What may be sent to the base; in a dry run, what might be."""
        self._timeline.look(now_s, now_s)
        why = next((what for at, what in self._wrong_frames.values() if now_s - at < WRONG_FRAME_S), "")
        veto = GateReason.WRONG_FRAME if why else None
        if self._supervisor_stop:
            veto = GateReason.SUPERVISOR
        return self._base.check(self._command, now_s, veto, why or self._supervisor_stop)

    def heed(self, mode: Any) -> None:
        """The supervisor's mode, as of the topic `mode`. Raises: ValueError."""
        stops = values_of(mode).get("mode") == Mode.STOP.label
        self._supervisor_stop = (mode.status[0].message or "no reason")[:200] if stops else ""

    def _taken(self, stream: str, source: Any, stamp: Any, now_s: float) -> float | None:
        self._timeline.look(now_s, now_s)
        taken = self._timeline.taken(seconds(stamp), now_s, self._last.get(source, -math.inf))
        if math.isinf(taken) or taken < self._last.get(source, -math.inf):
            self.refused[f"{stream}: {'future' if math.isinf(taken) else 'out of order'}"] += 1
            return None
        self._last[source] = taken
        return taken

    def _on_command(self, msg: Any, now_s: float) -> None:
        taken = self._taken("command", "command", msg.header.stamp, now_s)
        if taken is None:
            return
        v, omega, fault = speeds_of(msg)
        if foreign(msg.header.frame_id, self._base_frames):
            fault = f"it is in frame {msg.header.frame_id[:60]!r}"
        self._command = RobotCommand(v, omega, taken, now_s, fault)

    def _on_scan(self, msg: Any, now_s: float) -> None:
        frame = msg.header.frame_id
        source = (frame, round(msg.angle_min, 1), round(msg.angle_max, 1))
        taken = self._taken("scan", source, msg.header.stamp, now_s)
        if taken is None or self._is_old("scan", taken, now_s):
            return
        try:
            scan = range_scan_of(msg)
        except ValueError as error:
            self.refused[f"scan: {error}"[:80]] += 1
            return
        at_axis = plain(frame) in self._base_frames and mount_of(self._config) != Mount()
        if not frame or at_axis or plain(frame) not in self._scan_frames:
            self._refuse_frame("scan", frame, now_s)
            return
        try:
            if not self._base.on_scan(scan, seconds(msg.header.stamp), taken, None, plain(frame)):
                self.refused["scan: no pose"] += 1
        except InputError:
            self._refuse_frame("scan", frame, now_s)

    def _on_odom(self, msg: Any, now_s: float) -> None:
        taken = self._taken("odom", "odom", msg.header.stamp, now_s)
        if taken is None or self._is_old("odom", taken, now_s):
            return
        try:
            pose = pose_of(msg)
        except ValueError:
            self.refused["odom: bad"] += 1
            return
        self._odom_frame = self._odom_frame or msg.header.frame_id
        if foreign(msg.child_frame_id, self._base_frames) or foreign(msg.header.frame_id, (plain(self._odom_frame),)):
            self._refuse_frame("odom", msg.child_frame_id, now_s)
            return
        self._base.on_odometry(pose, seconds(msg.header.stamp), taken)

    def _is_old(self, stream: str, taken: float, now_s: float) -> bool:
        old = now_s - taken > self._config.max_obstacle_age_s
        if old:
            self.refused[f"{stream}: old"] += 1
        return old

    def _refuse_frame(self, stream: str, frame: str, now_s: float) -> None:
        self._wrong_frames[stream] = (now_s, f"{stream} in frame {frame[:60]!r}")
        self.refused[f"{stream}: frame"] += 1


def play_gate(bag: Bag, settings: Mapping[str, Scalar], topics: Mapping[str, str]) -> tuple[list[Tick], Counter[str]]:
    """Every tick of the recording, and what was refused. topics: our name -> the bag's: SENT, INPUTS, and
    mode and safety_gate_node/transition_event where they were recorded."""
    player = GatePlayer(settings)
    ours = {name: topic for topic, name in topics.items()}
    ticks: list[Tick] = []
    topic = topics[SENT]
    messages = sorted(
        ((_when(message, topic), message) for message in bag.messages(set(topics.values()))), key=lambda pair: pair[0]
    )
    said = next((at_s for at_s, message in messages if message.topic == topic), 0.0)
    player.active = not messages or said - messages[0][0] < SILENT_S
    for at_s, message in messages:
        name = ours[message.topic]
        if name == SENT:
            if not ticks and not player.active:
                player.forget()
                player.active = True
            if player.active:
                twist = getattr(message.value, "twist", message.value)
                result = player.tick(at_s)
                sent = (0.0, 0.0) if player.dry_run else (result.v, result.omega)
                ticks.append(Tick(at_s - bag.start_s, result, sent, (twist.linear.x, twist.angular.z)))
        elif name in INPUTS:
            player.hear(name, message.value, at_s)
        elif name == "mode":
            with suppress(ValueError):  # the gate takes it for one that did not come
                player.heed(message.value)
        else:
            goal = message.value.goal_state.label
            if goal == "activating":
                player.forget()
            player.active = goal in ("activating", "active")
    return ticks, player.refused


def _when(message: Message, sent: str) -> float:
    """When the gate heard, or said, it. It stamps what it says right after it has judged; what it heard, the recorder
    heard at about the same time."""
    header = getattr(message.value, "header", None)
    if header is not None and message.topic == sent:
        return seconds(header.stamp)
    return message.log_s
