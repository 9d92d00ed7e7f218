"""vla_policy_node: pictures, joints and a subgoal in, one command per tick out. Thin over `rarrl.policy`.

Callbacks check and keep the latest; one thread asks the policy, which runs in a process of its own; a timer hands out
the rows."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from rclpy.exceptions import InvalidTopicNameException
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from rarrl.diagnostics import Heartbeat, Latencies
from rarrl.errors import InputError
from rarrl.policy.actor import BUSY, INTERACT, INTERACT_FROM, SPEED, Actor, ActorCommand
from rarrl.policy.base import ActionChunk
from rarrl.policy.observation_builder import DROPS, Moment, ObservationBuilder
from rarrl.policy.process import PolicySettings, ProcessPolicy, check_control_hz, check_dt, check_served
from rarrl.types import CallStatus
from rarrl.worker_process import CallFailedError

from .lifecycle import VOLATILE, RarrlNode, now, run_node
from .params import POLICY_SPECS, PolicyNodeConfig, read_config
from .readings import nanoseconds
from .stereo_messages import image_of

SENSOR = QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)
PARTS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Of joint states that several nodes publish: with a small depth the one's messages would displace the other's."""
WRITE_S = 0.002
"""Seconds that the middleware may take to write a command, within the limit of age: ten times what it takes idle."""
HEARTBEAT_S = 0.5
"""Seconds between two questions to an idle worker whether it is there: a dead one is found before it is needed."""


class VlaPolicyNode(RarrlNode):
    """Topics, parameters, and what it does with bad input: docs/explanation/nodes.md."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("vla_policy_node", "policy", POLICY_SPECS, PolicyNodeConfig, **kwargs)
        self._lock = threading.Condition()  # guards the feed, the broker, the subgoal, _running and what is counted
        self._running = False
        self._thread: threading.Thread | None = None
        self._policy: ProcessPolicy | None = None
        self._timer: Any = None  # while active

    def load(self) -> None:
        self._config = config = read_config(self).policy
        if config.deadline_s > config.max_observation_age_s:
            raise InputError(
                f"config: policy.deadline_s: {config.deadline_s:g} is not allowed (allowed: at most "
                f"policy.max_observation_age_s, {config.max_observation_age_s:g}); a later answer would never be used"
            )
        self._policy = ProcessPolicy(PolicySettings.of(config))
        self._spec = spec = self._policy.spec
        check_served(spec)
        if config.control_hz:
            check_control_hz(config.control_hz, "config: policy.control_hz")
        self._base_frame = self.setting("base_frame", str)
        self._dt = 1 / (config.control_hz or spec.control_hz)
        self._subgoal = ""
        self._last_subgoal: str | None = None
        self._subgoal_refusal = ""
        self._forget()

        try:
            for camera in spec.cameras:
                self.create_subscription(Image, f"{camera}/image", partial(self._on_image, camera), SENSOR)
        except InvalidTopicNameException as error:
            why = str(error).splitlines()[0].rstrip(":")  # below it stand the name and a mark
            raise InputError(
                f"policy: its cameras {', '.join(map(repr, spec.cameras))} make no topics: {why}"
            ) from None
        self.create_subscription(JointState, "proprio", self._on_proprio, PARTS)
        self.hear_latched(String, "subgoal", self._on_subgoal, VOLATILE)
        self._chunk_pub = self.create_lifecycle_publisher(JointTrajectory, "action_chunk", 2)
        self._command_pub = (
            self.create_lifecycle_publisher(TwistStamped, "command", 2)
            if self._actor.drives
            else self.create_lifecycle_publisher(JointTrajectory, "joint_command", 2)
        )
        self._interact_pub = None
        if self._actor.drives and INTERACT in spec.action_names:
            self._interact_pub = self.create_lifecycle_publisher(Bool, INTERACT, 2)

    def _forget(self) -> None:
        config = self._config
        age_s = config.max_observation_age_s
        self._feed = ObservationBuilder(self._spec, age_s, config.slop_s)
        self._camera_frames: dict[str, str] = {}  # camera -> frame id of its first picture
        self._actor = Actor(self._spec, self._dt, age_s, config.blend_rows, config.replan_share)
        self._actor.follow(self._subgoal)
        self._stamps: dict[float, int] = {}  # of observations: steady time -> stamp, nanoseconds
        self._asked_ns = 0
        self._acting = False  # the last tick had a row
        self._speed_mps = 0.0
        self._busy = False
        self._heartbeat = Heartbeat("a whole observation")
        self._latencies = Latencies()
        self._counts: Counter[str] = Counter()
        self._trouble = ""

    def start(self) -> None:
        self._forget()
        self._running = True
        self._thread = threading.Thread(target=self._think, name="policy", daemon=True)
        self._thread.start()
        self._timer = self.create_timer(self._dt, self._tick, clock=self.steady)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        return super().on_deactivate(state)

    def _stop(self) -> None:
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        with self._lock:
            self._running = False
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def unload(self) -> None:
        self._stop()
        if self._policy is not None:
            self._policy.close()
            self._policy = None

    # The executor's thread: check, keep, hand out.

    def _on_image(self, camera: str, msg: Image) -> None:
        if not self.active:
            return
        came = now()  # before the other clock: nothing may look younger than it is
        clock_ns = self.get_clock().now().nanoseconds
        try:
            image = image_of(msg)
            if image.ndim == 2:
                raise ValueError("gray, but the policy needs colours")
        except ValueError as error:
            with self._lock:
                self._feed.drop("corrupt", f"{camera}: {error}")
            return
        frame = self._camera_frames.setdefault(camera, msg.header.frame_id)
        if frame != msg.header.frame_id:
            with self._lock:
                other = f"in frame {msg.header.frame_id[:60]!r} after {frame[:60]!r}: another camera on its topic?"
                self._feed.drop("frame", f"{camera}: {other}")
            return
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        with self._lock:
            if self._feed.add_image(camera, rgb, nanoseconds(msg.header.stamp), clock_ns, came):
                self._lock.notify_all()

    def _on_proprio(self, msg: JointState) -> None:
        if not self.active:
            return
        came = now()
        clock_ns = self.get_clock().now().nanoseconds
        stamp_ns = nanoseconds(msg.header.stamp)
        with self._lock:
            if self._feed.add_proprio(msg.name, msg.position, stamp_ns, clock_ns, came):
                measured = dict(zip(msg.name, msg.position, strict=True))
                self._speed_mps = measured.get(SPEED, self._speed_mps)
                self._busy = measured.get(BUSY, float(self._busy)) > INTERACT_FROM
                self._lock.notify_all()

    def _on_subgoal(self, msg: String) -> None:
        """Heard while inactive too: the latest one counts. One that is empty or cannot be understood means hold."""
        refusal = ""
        try:
            if msg.data:
                self._spec.words(msg.data)
        except InputError as error:
            refusal = str(error)
        with self._lock:
            if msg.data == self._last_subgoal:  # a latched one may come twice
                return
            self._last_subgoal = msg.data
            self._subgoal = "" if refusal else msg.data
            self._actor.follow(self._subgoal)
            self._subgoal_refusal = refusal
            self._counts["subgoals_refused"] += bool(refusal)
            self._lock.notify_all()

    def _tick(self) -> None:
        with self._lock:
            time = now()
            act = self._actor.tick(time, self._speed_mps, self._busy)
            stamp_ns = self._stamps[act.observed_at] if act.row else 0
            self._lock.notify_all()  # fewer rows are left
        held_ns = self.get_clock().now().nanoseconds
        make = self._twist if self._actor.drives else self._joints
        command = make(act, stamp_ns)
        hold = make(self._actor.hold(time), held_ns)

        # Once more, as late as can be: a busy machine may have stopped this thread since.
        self._acting = act.row is not None and now() - act.observed_at <= self._config.max_observation_age_s - WRITE_S
        self._command_pub.publish(command if self._acting else hold)
        if self._interact_pub is not None:
            self._interact_pub.publish(Bool(data=self._acting and act.interact))

    def _twist(self, act: ActorCommand, stamp_ns: int) -> TwistStamped:
        msg = TwistStamped()
        msg.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        msg.header.frame_id = self._base_frame
        msg.twist.linear.x = act.motion.linear_x
        msg.twist.linear.y = act.motion.linear_y
        msg.twist.angular.z = act.motion.angular_z
        return msg

    def _joints(self, act: ActorCommand, stamp_ns: int) -> JointTrajectory:
        """Hold has no point."""
        return self._message(stamp_ns, [] if act.row is None else [_point(act.row.action, self._dt)])

    def _message(self, stamp_ns: int, points: list[JointTrajectoryPoint]) -> JointTrajectory:
        msg = JointTrajectory(joint_names=list(self._spec.action_names), points=points)
        msg.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        return msg

    # The policy's thread: ask, publish the chunk.

    def _think(self) -> None:
        while True:
            moment = None
            try:
                with self._lock:
                    self._lock.wait_for(lambda: not self._running or self._wanted() is not None, timeout=HEARTBEAT_S)
                    if not self._running or self._policy is None:
                        return
                    moment = self._wanted()
                    policy = self._policy
                    if moment is not None:
                        self._asked_ns = moment.stamp_ns
                        self._actor.asked()

                if moment is None:
                    policy.ping(now() + self._config.deadline_s)
                else:
                    self._infer(policy, moment)
            except CallFailedError as error:
                with self._lock:
                    self._trouble = f"{error.status.value}: {error}"[:300]
                    late = error.status is CallStatus.TIMEOUT and moment is not None
                    self._counts["late" if late else "worker_failures"] += 1
            except Exception as error:  # nothing may end the thread
                if not self.context.ok():  # the process is about to end
                    return
                with self._lock:
                    self._trouble = f"{type(error).__name__}: {error}"[:300]
                    self._counts["exceptions"] += 1
                    if moment is None:  # it may fail at once again, and must not keep a core busy
                        self._lock.wait_for(lambda: not self._running, timeout=HEARTBEAT_S)
                self.get_logger().error(f"inference: {self._trouble}", throttle_duration_sec=10.0)

    def _wanted(self) -> Moment | None:
        """The observation to ask the policy about now, None to wait."""
        if not self._actor.wants_chunk(now()):
            return None
        moment = self._feed.latest(self._subgoal)
        if moment is None or moment.stamp_ns == self._asked_ns:
            return None
        return moment if self._actor.is_fresh(moment.observation, now()) else None

    def _infer(self, policy: ProcessPolicy, moment: Moment) -> None:
        observation = moment.observation
        started = now()
        too_old = observation.observed_at + self._config.max_observation_age_s
        chunk = policy.infer(observation, min(started + self._config.deadline_s, too_old))
        check_dt(chunk.dt)  # the actor puts the node's own in its place

        with self._lock:
            time = now()
            self._latencies.add(time, time - started)
            if not self._actor.take(chunk, observation.instruction, time):
                return
            self._heartbeat.hear(time)
            self._trouble = ""
            self._stamps[chunk.observed_at] = moment.stamp_ns
            oldest = time - 2 * self._config.max_observation_age_s
            self._stamps = {at: stamp for at, stamp in self._stamps.items() if at > oldest}
        self._chunk_pub.publish(self._chunk(chunk, moment.stamp_ns))

    def _chunk(self, chunk: ActionChunk, stamp_ns: int) -> JointTrajectory:
        return self._message(stamp_ns, [_point(row, i * self._dt) for i, row in enumerate(chunk.actions)])

    def _silent_part(self) -> str:
        """Of the first part that was never heard: why, as far as the graph tells."""
        missing = self._feed.missing()
        if not missing:
            return ""
        topic = (f"{missing[0]}/image", Image) if missing[0] in self._spec.cameras else ("proprio", JointState)
        return f" ({self.why_silent(*topic)})"

    def troubles(self) -> Mapping[str, str]:
        return {"policy": self._policy.down} if self._policy is not None else {}

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        time = now()
        with self._lock:
            broker = self._actor.broker
            silent = self._heartbeat.silent_s(time)
            level, message = DiagnosticStatus.OK, "acting"
            if self._subgoal_refusal:
                level, message = DiagnosticStatus.WARN, f"holding: {self._subgoal_refusal}"
            elif not self._subgoal:
                why = "the last one is empty" if self._last_subgoal == "" else self.why_silent("subgoal", String)
                level, message = DiagnosticStatus.WARN, f"holding: no subgoal ({why})"
            elif not self._acting:
                level = DiagnosticStatus.WARN if silent is None else DiagnosticStatus.STALE
                waiting = self._feed.waiting() and f"{self._feed.waiting()}{self._silent_part()}"
                why = "; ".join(filter(None, (self._trouble, waiting, self._feed.last_drop)))
                message = "holding: no fresh chunk" + (f" ({why})" if why else "")
            jump = {f"seam_jump_{n}": float(v) for n, v in zip(self._spec.action_names, broker.seam_jump, strict=True)}
            names = ("late", "worker_failures", "exceptions", "subgoals_refused")
            return (
                level,
                message,
                {
                    "subgoal": self._subgoal,
                    "chunks": broker.chunks,
                    "rows": broker.rows,
                    "holds": broker.holds,
                    "chunk_age_s": "none" if silent is None else round(silent, 3),
                    "inference_p50_ms": round(self._latencies.quantile_ms(0.5), 2),
                    "inference_p95_ms": round(self._latencies.quantile_ms(0.95), 2),
                    "worker_pid": (self._policy.pid if self._policy else None) or "none",
                    "worker_restarts": self._policy.restarts if self._policy else 0,
                    "trouble": self._trouble,
                    **{name: self._counts[name] for name in names},
                    "other_subgoal": self._actor.refused_answers,
                    "recoveries": self._actor.recovery.count,
                    "seam_jump": float(broker.seam_jump.max()),
                    **jump,
                    **{f"refused_{reason}": count for reason, count in broker.refused.items()},
                    **{f"dropped_{reason}": self._feed.drops[reason] for reason in DROPS},
                    "waits": self._feed.waits,
                    "waiting": self._feed.waiting(),
                    "last_drop": self._feed.last_drop,
                },
            )


def _point(action: np.ndarray, after_s: float) -> JointTrajectoryPoint:
    """A row as a point, `after_s` seconds after the stamp."""
    whole = int(after_s)
    after = Duration(sec=whole, nanosec=int((after_s - whole) * 1e9))
    return JointTrajectoryPoint(positions=[float(value) for value in action], time_from_start=after)


def main() -> int:
    """Entry point of the executable `vla_policy_node`."""
    return run_node(VlaPolicyNode)


if __name__ == "__main__":
    sys.exit(main())
