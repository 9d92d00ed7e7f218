"""sim_robot_node: a simulated home in place of a robot's drivers. See docs/explanation/simulation-on-ros.md.

Three threads: the executor's receives messages, the world's steps the simulation and publishes what the robot senses
(`SimWorld`), and the task's carries decisions out."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rclpy.client import Client
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, String
from std_msgs.msg import Empty as EmptyMsg
from std_srvs.srv import Trigger

from rarrl.clock import ManualClock
from rarrl.config import Config
from rarrl.decision_loop import EpisodeRunner, Phase
from rarrl.diagnostics import Heartbeat
from rarrl.errors import RarrlError
from rarrl.events import EventWriter
from rarrl.files import write_json_atomic
from rarrl.poses import pose_matrix
from rarrl.reasoner.base import Answer
from rarrl.types import Action, Decision, StereoPair
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.robot.proprioception import CAMERA, picture
from rarrl_sim_envs.household.robot.realtime import EndedError, Moment, RealtimeExecutive, SimWorld
from rarrl_sim_envs.household.tasks import conditions
from rarrl_sim_envs.household.world import DT

from .conversions import Asked, DecisionMessage
from .decision_client import DecisionClient, no_answer, open_log, patience_s, state_message, state_period_s
from .lifecycle import LATCHED, RarrlNode, now, run_node
from .loopback import Shared
from .params import SIM_SPECS, SimNodeConfig, read_config
from .sim_messages import (
    BASE_FRAME,
    LEFT_FRAME,
    ODOM_FRAME,
    T_BASE_CAMERA,
    image_message,
    info_messages,
    odom_message,
    proprio_message,
)
from .transforms import TransformSender, transform_message

if TYPE_CHECKING:
    from rarrl_sim_envs.household.scene import HouseholdScene

SENSOR = QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)
"""As camera drivers publish. Four messages: a reader that is one stereo pair behind still finds both images."""

COMMAND_DEPTH = 1
"""Of commands, only the latest one matters."""

INSTRUCTION_DEPTH = 10
"""Of instructions, none may be lost: each one that is refused is reported."""

GOODBYE_S = 0.5
"""Time that the last messages get to leave before the process ends."""

POLL_S = 0.2
"""A waiting thread notices at the latest after this time that the node is being shut down."""

GATE_ANSWER_S = 2.0
"""A lifecycle transition of the gate takes milliseconds; after this time the gate is considered absent."""

GATE_SILENCE_S = 1.0
"""An active gate publishes several times a second, even when the robot stands still."""

NEXT = ("", "next")
"""Instructions that start the prepared mission, whatever its goal."""

GATE = "safety_gate_node"
MISSIONS = "missions.jsonl"

PROGRESS = "progress.json"
"""File of a run's folder that says where the mission under way stands."""

PROGRESS_S = 2.0
"""How often it is written: often enough to follow a mission of some minutes."""


class WaitsFor(Enum):
    """What has to happen before the mission starts, or goes on, in the words of the diagnostics."""

    INSTRUCTION = "an instruction"
    READERS = "the policy and the detector"
    GATE = "the gate"
    PERSON = "a person"


class SimRobotNode(RarrlNode):
    """Simulates a home and a robot in it, and carries out household missions by the orchestrator's decisions.

    Where tf2_msgs is installed, TF holds odom -> base_link -> left_eye too.

    Subscribes:

    - `cmd_vel` (geometry_msgs/TwistStamped): velocity command of the base, m/s and rad/s.
    - `interact` (std_msgs/Bool): whether the hand is to act on the object of the subgoal.
    - `alive` (std_msgs/Empty): sign of life of the orchestrator; the base stops when it ends.
    - `decision` (diagnostic_msgs/DiagnosticArray, latched): what to do in the current state.
    - `answer` (diagnostic_msgs/DiagnosticArray, latched): the reasoner's answer to a decision to think.
    - `instruction` (std_msgs/String): starts the prepared mission; its own sentence, or `next`.

    Publishes:

    - `left/image_rect` (sensor_msgs/Image, best effort): left camera, bgr8, rectified.
    - `right/image_rect` (sensor_msgs/Image, best effort): right camera, bgr8, rectified.
    - `left/camera_info` (sensor_msgs/CameraInfo, best effort): calibration of the left camera.
    - `right/camera_info` (sensor_msgs/CameraInfo, best effort): calibration of the right camera.
    - `head/image` (sensor_msgs/Image, best effort): the policy's camera, rgb8.
    - `proprio` (sensor_msgs/JointState, best effort): the policy's proprioception, by name.
    - `odom` (nav_msgs/Odometry, best effort): pose and velocity of the base.
    - `subgoal` (std_msgs/String, latched): what the policy has to do; empty: hold.
    - `goal` (std_msgs/String, latched): goal of the mission, one sentence.
    - `state` (diagnostic_msgs/DiagnosticArray, latched): where the mission stands.

    Services:

    - `~/resume` (std_srvs/Trigger): goes on where a decision asks a person.

    Calls:

    - `safety_gate_node/change_state` (lifecycle_msgs/ChangeState): reactivates the gate before each mission.
    """

    # Set by load()
    _config: Config
    _client: DecisionClient
    _robot: EpisodeRunner
    _run_dir: Path | None
    _simulated: ManualClock  # the world's time, over all missions
    _executive: RealtimeExecutive
    _open: DecisionMessage | None  # the THINK whose call is open
    _due: float  # by when it is answered, seconds of `now`
    _inbox: SimpleQueue[DecisionMessage | Answer]
    _image_pubs: list[Publisher]  # left, right
    _info_pubs: list[Publisher]  # left, right
    _head_pub: Publisher
    _proprio_pub: Publisher
    _odom_pub: Publisher
    _transforms: TransformSender
    _subgoal_pub: Publisher
    _goal_pub: Publisher
    _state_pub: Publisher
    _gate: Client
    _gate_commands: Heartbeat

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("sim_robot_node", "world", SIM_SPECS, SimNodeConfig, **kwargs)
        self._world: SimWorld | None = None
        self._log: EventWriter | None = None
        self._task_thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._instructed = threading.Event()
        self._resumed = threading.Event()
        self._forget()

    def _forget(self) -> None:
        self._busy = False  # a decision is being carried out
        self._waits_for: WaitsFor | None = None
        self._why_asked = ""  # why a person is asked
        self._asked_person = 0  # how often one was, in this mission
        self._mission_s = 0.0  # time that has passed in this mission's world
        self._finished = 0
        self._succeeded = 0
        self._subgoal: str | None = None  # as last published
        self._stamp = self.stamp()  # of the world's current step

    def load(self) -> None:
        self._config = config = read_config(self)
        self._forget()
        self._stopping.clear()
        self._instructed.clear()
        self._client = DecisionClient(lambda reason: self.get_logger().warning(f"ignored: {reason}"))
        self._inbox = SimpleQueue()
        self._open, self._due = None, 0.0

        sim = config.sim
        env = HouseholdEnv(people=sim.people, disturbance=sim.disturbance, stereo=False, time_limit_s=sim.time_limit_s)
        self._world = SimWorld(env, self._publish_odometry, self._publish_sensors)
        self._executive = RealtimeExecutive(
            env,
            self._world,
            known_goals(),
            config.orchestrator.time_budget_s,
            config.orchestrator.token_budget,
            first_seed=sim.seed,
            call_timeout_s=config.language_model.call_timeout_s,
        )

        run_dir = self.setting("run_dir", str)
        self._run_dir = Path(run_dir) if run_dir else None
        if self._run_dir is not None:
            self._log = open_log(self._run_dir, config.orchestrator, sim.seed, speed=1.0)
        self._simulated = ManualClock()
        self._robot = EpisodeRunner(self._executive, self._simulated, self._log, run=os.urandom(8).hex())

        self._create_entities()
        if self._run_dir is not None:
            self.create_timer(PROGRESS_S, self._write_progress, clock=self.steady)

    def _create_entities(self) -> None:
        out = self.create_lifecycle_publisher
        self._image_pubs = [out(Image, f"{side}/image_rect", SENSOR) for side in ("left", "right")]
        self._info_pubs = [out(CameraInfo, f"{side}/camera_info", SENSOR) for side in ("left", "right")]
        self._head_pub = out(Image, f"{CAMERA}/image", SENSOR)
        self._proprio_pub = out(JointState, "proprio", SENSOR)
        self._odom_pub = out(Odometry, "odom", SENSOR)
        self._transforms = TransformSender(self)
        self._transforms.send(transform_message(BASE_FRAME, LEFT_FRAME, T_BASE_CAMERA, self._stamp), fixed=True)
        self._subgoal_pub = out(String, "subgoal", LATCHED)
        self._goal_pub = out(String, "goal", LATCHED)
        self._state_pub = out(DiagnosticArray, "state", LATCHED)

        self.create_subscription(TwistStamped, "cmd_vel", self._on_twist, COMMAND_DEPTH)
        self.create_subscription(Bool, "interact", self._on_interact, COMMAND_DEPTH)
        self.create_subscription(EmptyMsg, "alive", self._on_alive, COMMAND_DEPTH)
        self.create_subscription(DiagnosticArray, "decision", self._on_decision, LATCHED)
        self.create_subscription(DiagnosticArray, "answer", self._on_answer, LATCHED)
        self.create_subscription(String, "instruction", self._on_instruction, INSTRUCTION_DEPTH)
        self.create_service(Trigger, "~/resume", self._on_resume)

        self._gate = self.create_client(ChangeState, f"{GATE}/change_state")
        self._gate_commands = Heartbeat(GATE)

        period_s = state_period_s(self._config.orchestrator.decision_timeout_s)
        self.create_timer(period_s, self._publish_state, clock=self.steady)

    def start(self) -> None:
        self._client.heartbeat.hear(now())  # the orchestrator's silence counts from here
        if self._task_thread is None:
            self._task_thread = threading.Thread(target=self._work, name="task", daemon=True)
            self._task_thread.start()

    def unload(self) -> None:
        self._stopping.set()
        if self._world is not None:
            self._world.stop()
        if self._task_thread is not None:
            self._task_thread.join()
            self._task_thread = None
        if self._log is not None:
            self._log.close()

        self._world = None
        self._log = None

    # The executor's thread: receive

    def _on_twist(self, msg: TwistStamped) -> None:
        if self.active and self._world is not None:
            self._gate_commands.hear(now())
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

        message = self._client.decision(msg, report)
        if message is None:
            return
        if message.state == report.number and not self._busy and self._inbox.empty():
            if message.decision.action is not Action.ACT:
                self._open = message  # before its answer can come
            self._inbox.put(message)

    def _on_answer(self, msg: DiagnosticArray) -> None:
        if not self.active or self._robot.report is None:
            return

        answer = self._client.answer(msg, self._asked)
        if answer is not None:
            self._inbox.put(answer)

    def _on_instruction(self, msg: String) -> None:
        """Starts the prepared mission, by its own sentence or by `next`."""
        report = self._robot.report
        goal = report.task.goal if report is not None and report.task is not None else None
        text = msg.data.strip()

        if self._waits_for is not WaitsFor.INSTRUCTION:
            self._client.ignore(f"instruction {text[:60]!r}: no mission is ready to start")
        elif text not in NEXT and text != goal:
            self._client.ignore(f"instruction {text[:60]!r}: this home is set up for {goal!r}; send that, or next")
        else:
            self._instructed.set()

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """A person's yes to the step that the robot asks about."""
        response.success = self._waits_for is WaitsFor.PERSON
        response.message = "going on" if response.success else "nobody is asked"
        if response.success:
            self._resumed.set()
        return response

    # The world's thread: publish what the robot senses

    def _publish_odometry(self, moment: Moment) -> None:
        self._stamp = self.stamp()
        self._odom_pub.publish(odom_message(moment.pose, moment.speed, self._stamp))
        self._transforms.send(transform_message(ODOM_FRAME, BASE_FRAME, pose_matrix(*moment.pose), self._stamp))
        if moment.subgoal != self._subgoal and self.active:
            self._subgoal = moment.subgoal
            self._subgoal_pub.publish(String(data=moment.subgoal))
            if moment.subgoal:
                self.get_logger().info(f"sub-goal: {moment.subgoal}")

    def _publish_sensors(self, moment: Moment, pair: StereoPair, scene: HouseholdScene) -> None:
        self._proprio_pub.publish(proprio_message(moment.proprio, self._stamp))
        self._head_pub.publish(image_message(picture(pair.left), "rgb8", self._stamp))
        for publisher, info in zip(self._info_pubs, info_messages(scene.rig, self._stamp), strict=True):
            publisher.publish(info)
        for publisher, image in zip(self._image_pubs, (pair.left, pair.right), strict=True):
            publisher.publish(image_message(image, "bgr8", self._stamp))

    # The task's thread: carry missions out

    def _work(self) -> None:
        try:
            for number in self._numbers():
                self._carry_out(number)

            self._robot.finish()
            self._publish_state()
            self.get_logger().info(
                f"{self._finished} mission{'s' * (self._finished != 1)} carried out, {self._succeeded} succeeded"
            )
            if self.setting("exit_when_done", bool) and not self._stopping.wait(GOODBYE_S):
                self.end()
        except EndedError:
            error = self._world.error if self._world is not None else None
            if error is not None:
                self.end(f"the world has stopped: {type(error).__name__}: {error}")
        except RarrlError as error:  # the log can no longer be written
            self.end(str(error))
        except Exception as error:  # the thread's own failure would otherwise go unnoticed
            self.end(f"{type(error).__name__}: {error}")

    def _numbers(self) -> Iterator[int]:
        sim = self._config.sim
        return iter(range(sim.first, sim.first + sim.missions)) if sim.missions else count(sim.first)

    def _carry_out(self, number: int) -> None:
        world = self._world
        if world is None:
            raise EndedError

        self._prepare(world, number)
        goal = world.env.mission.task.goal
        if not self._config.sim.missions:
            self.get_logger().info(
                f"mission {number} is ready: {goal!r}. Waiting for an instruction: ros2 topic pub --once "
                f"{self.resolve_topic_name('instruction')} std_msgs/String '{{data: next}}'"
            )
            self._await(WaitsFor.INSTRUCTION, self._instructed.is_set)
            self._instructed.clear()
        self._await_robot()

        with world.monitor:
            world.going = True
        self._publish_state()
        self.get_logger().info(f"mission {number} begins: {goal!r}")
        while not self._robot.done:
            self._decide_and_act(world)

        self._close_mission(world, number)

    def _prepare(self, world: SimWorld, number: int) -> None:
        """Sets up the mission's home and publishes its goal; the world stands still."""
        self._asked_person = 0
        with world.monitor:
            self._mission_s = 0.0
            report = self._robot.begin(number)
        world.start()

        self._goal_pub.publish(String(data=report.task.goal if report.task is not None else ""))
        world.wait_shown()

    def _decide_and_act(self, world: SimWorld) -> None:
        """One decision of the orchestrator, carried out; or the answer to the question that is open, taken."""
        came = self._next()
        self._advance_clock(world)
        if isinstance(came, Answer):
            with world.monitor:
                self._robot.answered(came)
            if self._open is not None and self._open.decision.id == came.decision:
                self._open = None
        elif came.decision.beside and self._robot.can_think_beside:
            self.get_logger().info(f"thinking beside acting: {came.decision.why}")
            with world.monitor:
                self._robot.ask(came.decision)
            self._due = now() + patience_s(came.decision)
        else:
            self._carry_out_decision(world, came)

        self._busy = self._executive.done and not self._robot.done  # nothing to decide: a call is to be paid for
        self._publish_state()

    def _carry_out_decision(self, world: SimWorld, message: DecisionMessage) -> None:
        decision = message.decision
        if decision.asks_person:
            self._ask_person(world, decision)
        answer = None if decision.action is Action.ACT else self._think(decision)
        with world.monitor:
            if self._robot.look().number != message.state:  # nothing may go on any more beside the open question
                return
            self._robot.execute(decision, answer)  # an attempt releases the monitor until it is over
            self._advance_clock(world)
            self._robot.complete()
            world.going = not self._executive.done
        if self._executive.done:
            self._due = min(self._due, now() + GOODBYE_S)

    def _ask_person(self, world: SimWorld, decision: Decision) -> None:
        """Stands until a person says yes on `~/resume`, or the mission's time is over, in which the attempt ends it."""
        self._asked_person += 1
        self._why_asked = decision.why
        self._resumed.clear()
        self.get_logger().warning(f"asks a person: {decision.why}; {self.get_name()}/resume goes on")
        self._await(WaitsFor.PERSON, lambda: self._resumed.is_set() or world.env.is_late)

    def _think(self, decision: Decision) -> Answer:
        """As `_answer_to`, with a line on the console before and after."""
        asked = decision.action.label.removeprefix("THINK")
        self.get_logger().info(f"thinking {asked}, at most {decision.deadline_s:.3g} s: {decision.why}")
        answer = self._answer_to(decision)
        steps = f", {len(answer.plan.steps)} steps" if answer.plan is not None else ""
        self.get_logger().info(f"thought {answer.seconds:.3g} s: {answer.status.value}{steps}")
        return answer

    def _advance_clock(self, world: SimWorld) -> None:
        seconds = world.env.world.steps * DT
        self._simulated.advance(seconds - self._mission_s)
        self._mission_s = seconds

    def _next(self) -> DecisionMessage | Answer:
        """The decision for the present state, or what came of the question that is open, whichever is first."""
        while True:
            self._check()
            asks = self._robot.asks
            with suppress(Empty):
                came = self._inbox.get(timeout=POLL_S)
                if isinstance(came, Answer):
                    if asks is not None and came.decision == asks.id:
                        return came
                elif self._robot.report is not None and came.state == self._robot.report.number:
                    self._busy = True
                    self._publish_state()
                    return came
                elif came is self._open:  # for a state that an answer has changed meanwhile
                    self._open = None
            self._look(asks)
            if asks is not None and now() > self._due:
                return no_answer(asks)

    def _look(self, asks: Decision | None) -> None:
        """What the world, which goes on by itself, means for the question that is open."""
        if asks is None or self._world is None or self._executive.done or self._robot.report is None:
            return
        with self._world.monitor:
            changed = self._robot.report is not self._robot.look()
        if changed:
            self._publish_state()

    def _check(self) -> None:
        """Raises: EndedError when the node or the world ends."""
        if self._stopping.is_set() or self._world is None:
            raise EndedError
        self._world.check()

    def _answer_to(self, decision: Decision) -> Answer:
        """The reasoner's answer to `decision`; TIMEOUT where none comes."""
        started = now()
        while now() - started < patience_s(decision):
            self._check()
            try:
                answer = self._inbox.get(timeout=POLL_S)
            except Empty:
                continue
            if isinstance(answer, Answer) and answer.decision == decision.id:  # else to one that was given up meanwhile
                self._open = None
                return answer

        self._open = None
        return no_answer(decision)

    @property
    def _asked(self) -> Asked | None:
        """The THINK whose call is open, as others see it."""
        message, asks = self._open, self._robot.asks
        if message is None:
            return None
        is_beside = asks is not None and asks.id == message.decision.id
        return Asked.of(message, withdrawn=is_beside and self._robot.withdraws)

    def _await(self, what: WaitsFor, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Waits until `condition()` holds; returns whether it does. Raises: EndedError when the node ends."""
        started = now()
        self._waits_for = what
        try:
            while not condition():
                if timeout_s is not None and now() - started > timeout_s:
                    return False
                self._stopping.wait(POLL_S)
                self._check()
            return True
        finally:
            self._waits_for = None

    def _await_robot(self) -> None:
        """Waits for the other nodes, and reactivates the gate: it has to forget the obstacles of the last home.

        Activating the gate confirms that the area around the base is free; the simulated base stands in free space."""
        wait_s = self._config.sim.wait_s
        if not wait_s:
            return

        read = (self._subgoal_pub, self._head_pub, self._image_pubs[0])
        seen = self._await(WaitsFor.READERS, lambda: all(p.get_subscription_count() for p in read), wait_s)
        gated = self._await(WaitsFor.GATE, lambda: self._activate_gate() and self._hears_gate(), wait_s)
        if not (seen and gated):
            missing = "the gate" if seen else "the policy or the detector"
            self.get_logger().warning(f"the mission starts without {missing}")

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
        if not done.wait(GATE_ANSWER_S):
            self._gate.remove_pending_request(future)
            return False

        response = future.result()
        return response is not None and bool(response.success)

    def _hears_gate(self) -> bool:
        silent = self._gate_commands.silent_s(now())
        return silent is not None and silent < GATE_SILENCE_S

    def _close_mission(self, world: SimWorld, number: int) -> None:
        env = world.env
        end = self._robot.end
        assert end is not None
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
            "asked_person": self._asked_person,
            "calls": end.calls,
            "llm_s": round(end.llm_seconds, 2),
            "tokens": round(end.tokens),
            "collisions": env.world.collisions,
            "loop_miss_rate": round(world.miss_rate, 5),
        }
        self.get_logger().info(f"mission {line}")

        if self._run_dir is not None:
            path = self._run_dir / MISSIONS
            try:
                with path.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(line) + "\n")
            except OSError as error:
                raise RarrlError(f"sim: cannot write {path} ({error.strerror})") from None

    # From several threads

    def _publish_state(self) -> None:
        report = self._robot.report
        world = self._world
        if not self.active or report is None or world is None:
            return
        asked = self._asked
        if report.phase is Phase.WAITING and not world.going and asked is None:  # between missions: nothing to decide
            return

        if self._busy and report.phase is Phase.WAITING:
            report = replace(report, phase=Phase.EXECUTING)
        self._state_pub.publish(state_message("sim_robot_node", report, self.stamp(), asked))

    def _write_progress(self) -> None:
        """For `rarrl run --sim`, which does not read topics. A file that cannot be written is no reason to stop."""
        world = self._world
        report = self._robot.report
        if world is None or report is None or self._run_dir is None:
            return

        values = {
            "mission": report.episode,
            "mission_s": round(world.env.world.steps * DT, 2),
            "going": world.going,
            "waits_for": self._waits_for.value if self._waits_for is not None else "",
            "ticks": world.ticks,
            "late_ticks": world.late_ticks,
        }
        with suppress(OSError):
            write_json_atomic(self._run_dir / PROGRESS, values)

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        world = self._world
        report = self._robot.report
        assert world is not None, "diagnostics are asked for while the node is active"

        level, message = DiagnosticStatus.OK, "on a mission" if world.going else "standing"
        waits_for = self._waits_for
        if waits_for is not None:
            why = f": {self._why_asked}" if waits_for is WaitsFor.PERSON else ""
            level, message = DiagnosticStatus.WARN, f"waiting for {waits_for.value}{why}"[:300]
        elif world.going and not self._busy:
            complaint = self._client.heartbeat.complaint(now(), self._config.orchestrator.decision_timeout_s)
            if complaint:
                level, message = DiagnosticStatus.STALE, complaint

        values: dict[str, object] = {
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
            "collisions": world.env.world.collisions if report is not None else 0,
            "asks": "none" if self._open is None else f"{self._open.decision.action.label} {self._open.decision.id}",
            "questions_beside": self._robot.tally.beside,
            "calls_withdrawn": self._robot.tally.withdrawn,
            "tokens_saved": round(self._robot.tally.tokens_saved),
            "ignored": self._client.ignored,
            "last_ignored": self._client.last_ignored[:200],
        }
        return level, message, values


def main() -> int:
    """Entry point of the executable `sim_robot_node`."""
    return run_node(SimRobotNode, Shared.PICTURES, by_events=False)


if __name__ == "__main__":
    sys.exit(main())
