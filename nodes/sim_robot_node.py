"""sim_robot_node: a home in simulation as a robot's driver. docs/SIM.md.

Three threads: the executor's hears, the world's steps and tells (`SimWorld`), the task's carries decisions out."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, String
from std_msgs.msg import Empty as EmptyMsg

from rarrl.clock import ManualClock
from rarrl.config import Config
from rarrl.decision_loop import EpisodeRunner, Executive, Phase
from rarrl.diagnostics import Heartbeat
from rarrl.errors import RarrlError
from rarrl.events import EventWriter, RunEvent
from rarrl.reasoner.base import Answer
from rarrl.types import Action, CallStatus, Decision, StereoPair
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.robot.proprioception import CAMERA, picture
from rarrl_sim_envs.household.robot.realtime import EndedError, Moment, RealtimeExecutive, SimWorld
from rarrl_sim_envs.household.tasks import conditions
from rarrl_sim_envs.household.world import DT

from . import conversions
from .conversions import AnswerMessage
from .lifecycle import LATCHED, RarrlNode, now, run_node
from .params import SIM_SPECS, SimNodeConfig, read_config
from .sim_messages import image_message, info_messages, odom_message, proprio_message

if TYPE_CHECKING:
    from rarrl_sim_envs.household.scene import HouseholdScene

SENSOR = QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)
HEARTBEAT_S = 1.0
GRACE_S = 1.0  # after its deadline an answer has so long to arrive; then the call counts as TIMEOUT
GOODBYE_S = 0.5
POLL_S = 0.2
NEXT = ("", "next")
GATE = "safety_gate_node"
MISSIONS = "missions.jsonl"


def make_executive(world: SimWorld, config: Config) -> Executive:
    """The robot's side of the missions."""
    chosen = config.orchestrator
    return RealtimeExecutive(
        world.env,
        world,
        known_goals(),
        chosen.time_budget_s,
        chosen.token_budget,
        first_seed=config.sim.seed,
    )


class SimRobotNode(RarrlNode):
    """Topics, parameters and services: docs/SIM.md."""

    def __init__(self, **kwargs) -> None:
        super().__init__("sim_robot_node", "world", SIM_SPECS, SimNodeConfig, **kwargs)
        self._world: SimWorld | None = None
        self._log: EventWriter | None = None
        self._task_thread: threading.Thread | None = None
        self._entities: list = []
        self._publishers: list = []

    def load(self) -> None:
        self._config = config = read_config(self)
        sim = config.sim
        env = HouseholdEnv(people=sim.people, disturbance=sim.disturbance, stereo=False, time_limit_s=sim.time_limit_s)
        self._world = SimWorld(env, self._publish_feelings, self._publish_sights)
        executive = make_executive(self._world, config)
        self._run_dir = Path(str(self.setting("run_dir"))) if self.setting("run_dir") else None
        self._log = self._open_log(self._run_dir) if self._run_dir else None
        self._simulated, self._mission_s = ManualClock(), 0.0  # the world's time, all missions together; of this one
        self._robot = EpisodeRunner(executive, self._simulated, self._log, run=os.urandom(8).hex())
        self._stopping = threading.Event()
        self._busy, self._waits_for = False, ""
        self._finished = self._succeeded = self._ignored = 0
        self._last_ignored = ""
        self._subgoal: str | None = None
        self._heartbeat = Heartbeat("orchestrator_node")
        self._decisions: SimpleQueue[Decision] = SimpleQueue()
        self._answers: SimpleQueue[AnswerMessage] = SimpleQueue()
        self._instructed = threading.Event()
        self._make_topics()

    def _open_log(self, folder: Path) -> EventWriter:
        orchestrator = self._config.orchestrator
        run = RunEvent(
            policy=orchestrator.policy,
            profile=orchestrator.profile,
            seed=self._config.sim.seed,
            speed=1.0,
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            source="graph",
            cost_weight=orchestrator.cost_weight,
        )
        return EventWriter(folder, run)

    def _make_topics(self) -> None:
        out = self.create_lifecycle_publisher
        self._image_pubs = [out(Image, f"{side}/image_rect", SENSOR) for side in ("left", "right")]
        self._info_pubs = [out(CameraInfo, f"{side}/camera_info", SENSOR) for side in ("left", "right")]
        self._head_pub = out(Image, f"{CAMERA}/image", SENSOR)
        self._proprio_pub = out(JointState, "proprio", SENSOR)
        self._odom_pub = out(Odometry, "odom", SENSOR)
        self._subgoal_pub = out(String, "subgoal", LATCHED)
        self._goal_pub = out(String, "goal", LATCHED)
        self._state_pub = out(DiagnosticArray, "state", LATCHED)
        self._publishers = [
            *self._image_pubs, *self._info_pubs, self._head_pub, self._proprio_pub, self._odom_pub,
            self._subgoal_pub, self._goal_pub, self._state_pub,
        ]  # fmt: skip
        self._entities = [
            self.create_subscription(TwistStamped, "cmd_vel", self._on_twist, 1),
            self.create_subscription(Bool, "interact", self._on_interact, 1),
            self.create_subscription(EmptyMsg, "alive", self._on_alive, 1),
            self.create_subscription(DiagnosticArray, "decision", self._on_decision, LATCHED),
            self.create_subscription(DiagnosticArray, "answer", self._on_answer, LATCHED),
            self.create_subscription(String, "instruction", self._on_instruction, 10),
        ]
        self._gate = self.create_client(ChangeState, f"{GATE}/change_state")
        self._commanded = Heartbeat(GATE)
        period_s = min(HEARTBEAT_S, self._config.orchestrator.decision_timeout_s / 3.0)
        self._heartbeat = self.create_timer(period_s, self._publish_state, clock=self.steady)

    def start(self) -> None:
        self._heartbeat.hear(now())
        if self._task_thread is None:
            self._task_thread = threading.Thread(target=self._work, name="task", daemon=True)
            self._task_thread.start()

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._close()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        self._close()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        self._close()
        super().destroy_node()

    def _close(self) -> None:
        if self._world is None:
            return
        self._stopping.set()
        self._world.stop()
        if self._task_thread is not None:
            self._task_thread.join()
            self._task_thread = None
        for subscription in self._entities:
            self.destroy_subscription(subscription)
        for publisher in self._publishers:
            self.destroy_lifecycle_publisher(publisher)
        self.destroy_client(self._gate)
        self.destroy_timer(self._heartbeat)
        if self._log is not None:
            self._log.close()
        self._world, self._log, self._entities, self._publishers = None, None, [], []

    # The executor's thread: hear.

    def _on_twist(self, msg: TwistStamped) -> None:
        if self.active and self._world is not None:
            self._commanded.hear(now())
            self._world.command(msg.twist.linear.x, msg.twist.angular.z)

    def _on_interact(self, msg: Bool) -> None:
        if self.active and self._world is not None:
            self._world.interact(msg.data)

    def _on_alive(self, _: EmptyMsg) -> None:
        if self.active and self._world is not None:
            self._world.hear()

    def _on_decision(self, msg: DiagnosticArray) -> None:
        report = self._robot.report
        if not self.active or report is None:
            return
        try:
            message = conversions.decision_from_values(conversions.values_of(msg))
        except ValueError as error:
            self._ignore(str(error))
            return
        if message.run != report.run:
            self._ignore(f"a decision for the run {message.run}, this is {report.run}")
            return
        self._heartbeat.hear(now())
        if message.state == report.number and not self._busy and self._decisions.empty():
            self._decisions.put(message.decision)

    def _on_answer(self, msg: DiagnosticArray) -> None:
        report = self._robot.report
        if not self.active or report is None:
            return
        try:
            message = conversions.answer_from_values(conversions.values_of(msg))
        except ValueError as error:
            self._ignore(f"answer: {error}")
            return
        self._heartbeat.hear(now())
        if (message.run, message.state) != (report.run, report.number):
            self._ignore(f"an answer to decision {message.answer.decision}, which is not waited for")
            return
        self._answers.put(message)

    def _on_instruction(self, msg: String) -> None:
        """Starts the mission that stands ready: by its own sentence, or `next`."""
        report = self._robot.report
        goal = report.task.goal if report is not None and report.task is not None else None
        text = msg.data.strip()
        if self._waits_for != "an instruction":
            self._ignore(f"instruction {text[:60]!r}: no mission stands ready")
        elif text not in NEXT and text != goal:
            self._ignore(f"instruction {text[:60]!r}: this home is set up for {goal!r}; say that, or next")
        else:
            self._instructed.set()

    def _ignore(self, reason: str) -> None:
        self._ignored += 1
        if reason != self._last_ignored:
            self.get_logger().warning(f"ignored: {reason}")
            self._last_ignored = reason

    # The world's thread: tell.

    def _publish_feelings(self, moment: Moment) -> None:
        self._stamp = self.stamp()
        self._odom_pub.publish(odom_message(moment.pose, moment.speed, self._stamp))
        if moment.subgoal != self._subgoal and self.active:
            self._subgoal = moment.subgoal
            self._subgoal_pub.publish(String(data=moment.subgoal))

    def _publish_sights(self, moment: Moment, pair: StereoPair, scene: HouseholdScene) -> None:
        self._proprio_pub.publish(proprio_message(moment.proprio, self._stamp))
        self._head_pub.publish(image_message(picture(pair.left), "rgb8", self._stamp))
        for publisher, info in zip(self._info_pubs, info_messages(scene.rig, self._stamp), strict=True):
            publisher.publish(info)
        for publisher, image in zip(self._image_pubs, (pair.left, pair.right), strict=True):
            publisher.publish(image_message(image, "bgr8", self._stamp))

    # The task's thread: carry out.

    def _work(self) -> None:
        try:
            for number in self._numbers():
                self._carry_out(number)
            self._robot.finish()
            self._publish_state()
            self.get_logger().info(f"{self._finished} missions carried out, {self._succeeded} succeeded")
            if self.setting("exit_when_done") and not self._stopping.wait(GOODBYE_S):
                self._end()
        except EndedError:
            error = self._world.error if self._world is not None else None
            if error is not None:
                self._end(f"the world has stopped: {type(error).__name__}: {error}")
        except RarrlError as error:  # the log cannot be written any more
            self._end(str(error))
        except Exception as error:  # nobody else would tell
            self._end(f"{type(error).__name__}: {error}")

    def _numbers(self) -> Iterator[int]:
        sim = self._config.sim
        return iter(range(sim.first, sim.first + sim.missions)) if sim.missions else count(sim.first)

    def _carry_out(self, number: int) -> None:
        world = self._world
        if world is None:
            raise EndedError
        with world.monitor:
            self._mission_s = 0.0
            report = self._robot.begin(number)
        world.start()
        self._goal_pub.publish(String(data=report.task.goal if report.task is not None else ""))
        world.wait_shown()
        if not self._config.sim.missions:
            self._await("an instruction", self._instructed.is_set)
            self._instructed.clear()
        self._await_robot()
        with world.monitor:
            world.going = True
        self._publish_state()
        while not self._robot.done:
            decision = self._next_decision()
            self._keep_time(world)
            answer = None if decision.action is Action.ACT else self._answer_to(decision)
            with world.monitor:
                self._robot.execute(decision, answer)  # an attempt lets go of the monitor until it is over
                self._keep_time(world)
                self._robot.complete()
                world.going = not self._robot.done
            self._busy = False
            self._publish_state()
        self._close_mission(number)

    def _keep_time(self, world: SimWorld) -> None:
        seconds = world.env.world.steps * DT
        self._simulated.advance(seconds - self._mission_s)
        self._mission_s = seconds

    def _next_decision(self) -> Decision:
        while True:
            self._check()
            try:
                decision = self._decisions.get(timeout=POLL_S)
            except Empty:
                continue
            self._busy = True
            self._publish_state()
            return decision

    def _check(self) -> None:
        """Raises: EndedError when the node or the world ends."""
        if self._stopping.is_set() or self._world is None:
            raise EndedError
        self._world.check()

    def _answer_to(self, decision: Decision) -> Answer:
        """The orchestrator's reasoner's; a TIMEOUT where none comes."""
        assert decision.action.role is not None
        started, patience_s = now(), decision.deadline_s + GRACE_S
        while now() - started < patience_s:
            self._check()
            try:
                answer = self._answers.get(timeout=POLL_S).answer
            except Empty:
                continue
            if (answer.decision, answer.role, answer.level) == (
                decision.id, decision.action.role, decision.action.level
            ):  # fmt: skip
                return answer
            self._ignore(f"an answer to decision {answer.decision}, not to {decision.id}")
        return Answer(
            decision.id, decision.action.role, decision.action.level, CallStatus.TIMEOUT,
            seconds=decision.deadline_s, backend="none", why=f"no answer within {patience_s:.1f} s",
        )  # fmt: skip

    def _await(self, what: str, condition, timeout_s: float | None = None) -> bool:
        """Waits for `condition()`; whether it holds. Raises: EndedError when the node ends."""
        started, self._waits_for = now(), what
        try:
            while not condition():
                if timeout_s is not None and now() - started > timeout_s:
                    return False
                self._stopping.wait(POLL_S)
                self._check()
            return True
        finally:
            self._waits_for = ""

    def _await_robot(self) -> None:
        """Another home: the gate has to forget the last one, so it is activated anew, while the base stands."""
        wait_s = self._config.sim.wait_s
        if not wait_s:
            return
        seen = self._await(
            "the policy and the detector",
            lambda: all(p.get_subscription_count() for p in (self._subgoal_pub, self._head_pub, self._image_pubs[0])),
            wait_s,
        )
        gated = self._await("the gate", lambda: self._activate_gate() and self._heard_gate(), wait_s)
        if not (seen and gated):
            self.get_logger().warning("the mission begins without " + ("the gate" if seen else "policy or detector"))

    def _activate_gate(self) -> bool:
        if not self._gate.service_is_ready():
            return False
        self._change_gate(Transition.TRANSITION_DEACTIVATE)  # fails where it was not active yet
        return self._change_gate(Transition.TRANSITION_ACTIVATE)

    def _change_gate(self, transition: int) -> bool:
        request = ChangeState.Request()
        request.transition.id = transition
        done = threading.Event()
        future = self._gate.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(2.0):
            self._gate.remove_pending_request(future)
            return False
        response = future.result()
        return response is not None and bool(response.success)

    def _heard_gate(self) -> bool:
        silent = self._commanded.silent_s(now())
        return silent is not None and silent < 1.0

    def _close_mission(self, number: int) -> None:
        assert self._robot.end is not None and self._world is not None
        env, end = self._world.env, self._robot.end
        met, total = conditions(env.world, env.mission.task)
        self._finished += 1
        self._succeeded += end.success
        line = {
            "mission": number,
            "goal": env.mission.task.goal,
            "success": end.success,
            "met": met,
            "conditions": total,
            "seconds": round(env.world.steps * DT, 1),
            "attempts": end.acts,
            "calls": end.calls,
            "llm_s": round(end.llm_seconds, 2),
            "tokens": round(end.tokens),
            "collisions": env.world.collisions,
            "loop_miss_rate": round(self._world.miss_rate, 5),
        }
        self.get_logger().info(f"mission {line}")
        if self._run_dir is not None:
            try:
                with (self._run_dir / MISSIONS).open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(line) + "\n")
            except OSError as error:
                raise RarrlError(f"sim: cannot write {self._run_dir / MISSIONS} ({error.strerror})") from None

    def _end(self, failure: str = "") -> None:
        if failure:
            self.get_logger().error(failure)
        self.failure = failure
        if not self.ended.done():
            self.ended.set_result(None)

    def _publish_state(self) -> None:
        report = self._robot.report
        world = self._world
        if not self.active or report is None or world is None:
            return
        if report.phase is Phase.WAITING and not world.going:  # between missions there is nothing to decide
            return
        if self._busy and report.phase is Phase.WAITING:
            report = replace(report, phase=Phase.EXECUTING)
        self._state_pub.publish(
            conversions.array(
                "sim_robot_node: state",
                conversions.values_from_report(report),
                self.stamp(),
                message=report.phase.value,
            )
        )

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        world, report = self._world, self._robot.report
        assert world is not None
        level, message = DiagnosticStatus.OK, "on a mission" if world.going else "standing"
        if self._waits_for:
            level, message = DiagnosticStatus.WARN, f"waiting for {self._waits_for}"
        elif world.going and not self._busy:
            complaint = self._heartbeat.complaint(now(), self._config.orchestrator.decision_timeout_s)
            level, message = (DiagnosticStatus.STALE, complaint) if complaint else (level, message)
        env = world.env
        return (
            level,
            message,
            {
                "mission": report.episode if report is not None else "none",
                "missions_finished": self._finished,
                "missions_succeeded": self._succeeded,
                "subgoal": self._subgoal or "",
                "ticks": world.ticks,
                "late_ticks": world.late_ticks,
                "loop_miss_rate": round(world.miss_rate, 5),
                "tick_p50_ms": round(world.latencies.quantile_ms(0.5), 2),
                "tick_p95_ms": round(world.latencies.quantile_ms(0.95), 2),
                "deadman_stops": world.deadman,
                "collisions": env.world.collisions if report is not None else 0,
                "ignored": self._ignored,
                "last_ignored": self._last_ignored[:200],
            },
        )


def main() -> int:
    """Entry point of the executable `sim_robot_node`."""
    return run_node(SimRobotNode)


if __name__ == "__main__":
    sys.exit(main())
