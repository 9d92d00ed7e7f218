"""executive_node: carries tasks out with a robot's own skills. Thin over `rarrl.executive`.

instruction -> TaskExecutive -> Save, Send, Stop -> SkillRunner -> the robot's servers
                    ^ decision, answer (or ACT without)     |
                    +------------------ outcome ------------+
"""

from __future__ import annotations

import fcntl
import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import BatteryState
from std_msgs.msg import Empty, String
from std_srvs.srv import Trigger

from rarrl.decision_loop import Phase
from rarrl.errors import InputError
from rarrl.executive.certainty import Certainty
from rarrl.executive.commands import Adopt, Commands, Save, Send, Stop
from rarrl.executive.executive import STANDING, UNDER_WAY, ExecutiveSettings, TaskExecutive, TaskStatus, goal_of
from rarrl.executive.journal import Journal
from rarrl.executive.paced import Paced
from rarrl.orchestrator.skill_statistics import SkillStatistics, priors_of
from rarrl.reasoner.base import Answer
from rarrl.skills.domain import domain_of
from rarrl.skills.operator_policy import load_operator_policy
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.plan import Step
from rarrl.types import Action, CallStatus, Decision

from . import key_values, ros_types, sightings
from .conversions import Asked, DecisionMessage
from .decision_client import DecisionClient, no_answer, patience_s, state_message, state_period_s
from .lifecycle import LATCHED, LATEST, VOLATILE, RarrlNode, now, run_node
from .loopback import Shared
from .params import EXECUTIVE_SPECS, ExecutiveNodeConfig, read_config
from .peers import Peers
from .skill_events import (
    Accepted,
    CancelRefused,
    Event,
    Feedback,
    Finished,
    Ignored,
    Lost,
    Rejected,
    Sending,
    Settled,
    SkillRun,
    Unavailable,
)
from .skill_runner import SkillRunner
from .skill_threads import SkillThreads
from .task_action import TaskAction

TICK_S = 0.1
"""Seconds between two looks at deadlines; those of skills are seconds, and the runner keeps its own."""

INSTRUCTION_S = 0.2
"""Seconds between two tasks that are begun: each ends the one before, and stops its skill; people are slower."""
MAX_HEARD = 10_000
"""Characters of an instruction that are looked at, for its first word; a goal has at most 500."""
WITHOUT_ORCHESTRATOR = "without orchestrator"
"""Key of the supervisor's `mode` where that part is missing."""

NO_ORCHESTRATOR = Decision(0, Action.ACT, 0.0, "no orchestrator")
"""What is decided where nobody decides. An orchestrator counts its decisions from 1."""

OVER = (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED)


class ExecutiveNode(RarrlNode):
    """Carries tasks out with a robot's own skills; topics, parameters and services: docs/explanation/nodes.md."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("executive_node", "task", EXECUTIVE_SPECS, ExecutiveNodeConfig, **kwargs)

    # Lifecycle

    def load(self) -> None:
        config = read_config(self)
        settings, orchestrator = config.executive, config.orchestrator
        if not settings.skills:
            raise InputError("config: executive.skills: none is given; name a skills.yaml, or robot:NAME")
        policy = load_operator_policy(Path(orchestrator.operator_policy)) if orchestrator.operator_policy else None
        self._domain = domain_of(settings.skills, settings.world, policy)
        file = Path(settings.statistics) if settings.statistics else None
        self._statistics = SkillStatistics(priors_of(self._domain.skills), file)
        self._executive = TaskExecutive(
            self._domain,
            ExecutiveSettings(
                time_budget_s=orchestrator.time_budget_s,
                token_budget=orchestrator.token_budget,
                horizon=settings.horizon,
                call_timeout_s=config.language_model.call_timeout_s,
            ),
            self._statistics,
            Certainty(),
        )
        self._lock: IO[str] | None = None
        self._runner: SkillRunner | None = None
        self._task_action: TaskAction | None = None
        self._journal = Journal(Path(settings.journal)) if settings.journal else None
        self._journal_fault = ""
        self._adopted: Commands = ()
        if self._journal is not None:
            self._lock = _locked(self._journal.path)
            self._adopted = self._journal.restore(self._executive, now())

        self._reset()
        self._threads = SkillThreads(self, self._domain, self._on_result)
        over_ros = [skill for skill in self._domain.skills.skills.values() if not skill.run.python]
        self._runner = SkillRunner(self, self._on_event, over_ros, self._domain.world.frame)
        self._make_topics(settings.task_action)

    def _reset(self) -> None:
        """What the node remembers between two callbacks."""
        self._client = DecisionClient(lambda reason: self.get_logger().warning(f"ignored: {reason}"), self._domain)
        self._decision: DecisionMessage | None = None  # the one that came last
        self._think: DecisionMessage | None = None  # the THINK that was taken up last
        self._waiting: tuple[int, float] = (-1, 0.0)  # number of the state that waits for a decision, since when
        self._deserted = False  # no decision came in time; until the orchestrator is heard again
        self._without = ""  # why the supervisor says that there is no orchestrator
        self._thinks_s: tuple[float, float] = (0.0, math.inf)  # when it was, and by when its answer is due
        self._feedback: dict[str, dict[str, object]] = {}  # uuid -> what it said last
        self._sent: dict[str, float] = {}  # uuid -> when
        self._paused_for = ""  # why the node itself has paused the task
        self._heard = Paced[str](INSTRUCTION_S)
        self._served = False  # the task came over `task_action`
        self._told: dict[str, object] = {}  # topic -> what was published last
        self._counted = False  # a result came since the statistics were written
        self._taken_up = 0  # goals of an earlier process that were found at work
        self._ignored = 0
        self._unplaced = 0
        self._last_ignored = ""

    def _make_topics(self, task_action: str) -> None:
        self._state_pub = self.create_lifecycle_publisher(DiagnosticArray, "state", LATCHED)
        self._subgoal_pub = self.create_lifecycle_publisher(String, "subgoal", LATCHED)
        self._beliefs_pub = self.create_lifecycle_publisher(DiagnosticArray, "beliefs", LATCHED)
        self._peers = Peers(self)
        self.create_subscription(String, "instruction", self._on_instruction, VOLATILE)
        self.create_subscription(DiagnosticArray, "decision", self._on_decision, LATCHED)
        self.create_subscription(DiagnosticArray, "answer", self._on_answer, LATCHED)
        self.create_subscription(Empty, "alive", self._on_alive, LATEST)
        self.create_subscription(DiagnosticArray, "mode", self._on_mode, LATCHED)
        self.create_subscription(BatteryState, "battery_state", self._on_battery, LATEST)
        kind = sightings.message_type()
        if kind is not None:
            self.create_subscription(kind, "detections", self._on_detections, LATEST)
        self.create_service(Trigger, "~/cancel", self._on_cancel)
        self.create_service(Trigger, "~/pause", self._on_pause)
        self.create_service(Trigger, "~/resume", self._on_resume)
        if task_action:
            self._task_action = TaskAction(
                self,
                task_action,
                self.setting("executive.task_type", str),
                self.setting("executive.task_instruction", str),
                self.setting("executive.task_result", str),
                lambda sentence: self._instruct(sentence, served=True),
                lambda: self._do(self._executive.cancel(now())),
            )
        self.create_timer(TICK_S, self._on_tick, clock=self.steady)
        period_s = state_period_s(self.setting("orchestrator.decision_timeout_s", float))
        self.create_timer(period_s, self._publish, clock=self.steady)

    def start(self) -> None:
        self._peers.begin()
        self._deserted = False
        self._waiting = (-1, 0.0)
        commands, self._adopted = self._adopted, ()
        if self._executive.status is TaskStatus.RUNNING:
            self.get_logger().info("going on with the task of the journal")
        if self._paused_for == "deactivated":
            self._paused_for = ""
            commands += self._executive.resume(now())
        self._do(commands)
        self._publish()

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._pause("deactivated")
        self._publish()
        return super().on_deactivate(state)

    def unload(self) -> None:
        # Lifecycle clean-up, or an orderly end: the skill is stopped, and only a person goes on with the task.
        if self._runner is not None:
            if self.ended.done() or not self.active:
                self._pause("stopped in order; call ~/resume to go on")
            self._threads.close()
            self._runner.close()
        if self._task_action is not None:
            self._task_action.destroy()
        if self._lock is not None:
            self._lock.close()

    def _pause(self, why: str) -> None:
        """Stops what runs; carried out at once, as the executor may not get to it any more."""
        commands = self._executive.pause(now())
        if not commands:
            return
        self._paused_for = why
        self._executive.why = why
        for command in commands:
            if isinstance(command, Stop) and self._runner is not None:
                self._runner.cancel_now(command.uuid)
                self._threads.cancel(command.uuid)
        self._save()
        self._publish_state()  # a call that was withdrawn is stopped at once

    # What the executive wants done

    def _do(self, commands: Commands) -> None:
        """Carries commands out, makes the decisions that are due, and tells what is new."""
        self._carry_out(commands)
        while self._executive.waits:
            decision = self._next_decision()
            if decision is None:
                break
            if decision.action is not Action.ACT:
                self._think, self._thinks_s = self._decision, (now(), now() + patience_s(decision))
            self._carry_out(self._executive.decide(decision, now()))
        self._tell()

    def _carry_out(self, commands: Commands) -> None:
        assert self._runner is not None
        for command in commands:
            self.get_logger().debug(str(command))
            if isinstance(command, Save):
                self._save()
            elif isinstance(command, Stop):
                self._runner.cancel(command.uuid)
                self._threads.cancel(command.uuid)
            elif isinstance(command, (Send, Adopt)):
                self._run(command)

    def _run(self, command: Send | Adopt) -> None:
        assert self._runner is not None
        skill = self._domain.skill(command.step)
        is_new = isinstance(command, Send)
        ran_s = 0.0 if is_new else max(skill.timeout_s - command.timeout_s, 0.0)
        known, ago_s = (command.accepted, command.sent_ago_s) if isinstance(command, Adopt) else (True, 0.0)
        run = SkillRun.of(self._domain, command.step, command.uuid, ran_s, known, ago_s)
        self._sent[command.uuid] = now() - ran_s
        if not skill.run.python:
            (self._runner.start if is_new else self._runner.adopt)(run)
        elif is_new:
            self._carry_out(self._executive.sending(command.uuid, now()))
            self._threads.start(command.uuid, command.step)
        else:  # it ended with the process that had begun it
            self._runner.post(lambda: self._end(run.uuid, Outcome.UNAVAILABLE, "it ended with the last process"))

    def _save(self) -> None:
        """Writes journal and statistics. The robot goes on where the disk is full, and says so."""
        try:
            if self._journal is not None:
                self._journal.save(self._executive)
            if self._counted:
                self._statistics.save()
                self._counted = False
            self._journal_fault = ""
        except OSError as error:
            self._journal_fault = f"the journal or the statistics cannot be written ({error.strerror})"

    def _next_decision(self) -> Decision | None:
        """The decision for the present state; None while it is waited for."""
        report = self._executive.report
        assert report is not None
        if not self.active or self._peers.must_wait():
            return None
        if self._waiting[0] != report.number:
            self._waiting = (report.number, now())
        if self._decision is not None and self._decision.state == report.number:
            return self._decision.decision
        waited_s = now() - self._waiting[1]
        if self._without or waited_s >= float(self.setting("orchestrator.decision_timeout_s")):
            self._deserted = True
        return NO_ORCHESTRATOR if self._deserted else None

    # What comes from skills

    def _on_event(self, event: Event) -> None:
        executive, uuid = self._executive, event.uuid
        self.get_logger().debug(str(event))
        if isinstance(event, Sending):
            self._carry_out(executive.sending(uuid, now()))
        elif isinstance(event, Accepted):
            self._taken_up += event.adopted
            self._do(executive.accepted(uuid, now()))
        elif isinstance(event, Feedback):
            self._on_feedback(event)
        elif isinstance(event, Finished):
            fields = {**self._feedback.pop(uuid, {}), **dict(ros_types.flat(event.fields))}
            result = SkillResult(event.outcome, event.why or _status_words(event), self._seconds(uuid), fields=fields)
            self._on_result(uuid, result)
        elif isinstance(event, (Rejected, Unavailable)):
            outcome = event.outcome if isinstance(event, Rejected) else Outcome.UNAVAILABLE
            self._end(uuid, outcome, event.why)
        elif isinstance(event, Lost) and not event.settled:
            self._do(executive.unknown(uuid, event.why, now()))
        elif isinstance(event, (Lost, Settled)):
            self._end(uuid, Outcome.UNAVAILABLE, event.why)
        elif isinstance(event, CancelRefused):
            self.get_logger().warning(event.why)
        elif isinstance(event, Ignored):
            self._ignore(event.why)

    def _on_feedback(self, event: Feedback) -> None:
        fields = dict(ros_types.flat(event.fields))
        fields |= {"distance_left_m": event.distance_left} if event.distance_left is not None else {}
        fields |= {"recoveries": event.recoveries} if event.recoveries is not None else {}
        self._feedback[event.uuid] = fields
        level = fields.get(self._domain.world.battery.field)
        if isinstance(level, (int, float)) and math.isfinite(level):
            self._executive.charged(float(level))

    def _end(self, uuid: str, outcome: Outcome, why: str) -> None:
        self._on_result(uuid, SkillResult(outcome, why, self._seconds(uuid), fields=self._feedback.pop(uuid, None)))

    def _on_result(self, uuid: str, result: SkillResult) -> None:
        self._sent.pop(uuid, None)
        self._counted = True
        self._do(self._executive.finished(uuid, result, now()))

    def _seconds(self, uuid: str) -> float:
        return now() - self._sent.get(uuid, now())

    # What comes from people and from the orchestrator

    def _on_instruction(self, msg: String) -> None:
        self._heard.offer(msg.data[:MAX_HEARD])
        self._begin_heard()

    def _begin_heard(self) -> None:
        """Of a flood of instructions the newest, and no more than a few a second: each ends the task before."""
        heard = self._heard.due(now())
        if heard is None:
            return
        sentence = heard.strip()
        report = self._executive.report
        same = report is not None and report.task is not None and report.task.goal == goal_of(sentence)
        if same and self._executive.status is TaskStatus.RUNNING:
            return  # `ros2 topic pub` repeats itself every second
        if fault := self._instruct(sentence):
            self._ignore(f"instruction: {fault}")

    def _instruct(self, sentence: str, served: bool = False) -> str:
        """Begins a task; why not, "" where it does."""
        if not self.active:
            return "the node is not active"
        if not any(c.isalnum() for c in sentence):
            return "it holds no word"
        if self._peers.senior:
            return self._peers.complaint
        if not served:
            self._end_served(TaskStatus.CANCELLED, "another task came")
        self._served = served
        self._paused_for = ""
        self._do(self._executive.instruct(sentence, now()))
        return ""

    def _on_decision(self, msg: DiagnosticArray) -> None:
        report = self._executive.report
        if not self.active or report is None:
            return
        message = self._client.decision(msg, report)
        if message is None:
            return
        self._deserted = False
        if message.state == report.number:
            self._decision = message
            self._do(())

    @property
    def _question(self) -> Asked | None:
        """The call that is open: its answer is awaited, or it was withdrawn and has not said what was spent."""
        executive, message = self._executive, self._think
        decision = executive.thinks or executive.withdrawn
        if decision is None or message is None or message.decision.id != decision.id:
            return None
        return Asked.of(message, withdrawn=executive.withdrawn is not None)

    def _on_answer(self, msg: DiagnosticArray) -> None:
        if not self.active or self._executive.report is None:
            return
        answer = self._client.answer(msg, self._question)
        if answer is not None:
            self._do(self._executive.answer(answer, now()))

    def _on_alive(self, _: Empty) -> None:
        self._client.heartbeat.hear(now())
        self._deserted = False

    def _on_mode(self, msg: DiagnosticArray) -> None:
        """The supervisor sees sooner than a time-out that there is no orchestrator."""
        with suppress(ValueError):
            why = key_values.values_of(msg).get(WITHOUT_ORCHESTRATOR, "")
            self._without = f"no orchestrator ({why})" if why else ""
            if why and self.active:
                self._do(())

    def _on_tick(self) -> None:
        self._begin_heard()
        if self._task_action is not None:
            self._task_action.look()
        if self.active and self._peers.senior and self._executive.status is TaskStatus.RUNNING:
            self._pause(self._peers.complaint)
        decision = self._executive.thinks or self._executive.withdrawn
        if decision is not None:
            answer = self._overdue_answer(decision)
            if answer is not None:
                self._carry_out(self._executive.answer(answer, now()))
        self._do(self._executive.tick(now()))

    def _overdue_answer(self, decision: Decision) -> Answer | None:
        """What stands for an answer that does not come any more."""
        began, due = self._thinks_s
        if now() > due:
            return no_answer(decision)
        timeout_s = float(self.setting("orchestrator.decision_timeout_s"))
        silent = self._without or self._client.heartbeat.complaint(now(), timeout_s)
        role = decision.action.role
        if not silent or role is None:
            return None
        return Answer(
            decision.id,
            role,
            decision.action.level,
            CallStatus.BACKEND_DOWN,
            seconds=min(now() - began, decision.deadline_s),
            backend="none",
            why=silent,
        )

    def _on_battery(self, msg: BatteryState) -> None:
        if math.isfinite(msg.percentage) and 0.0 <= msg.percentage <= 1.0:
            self._executive.charged(msg.percentage * self._domain.world.battery.full)

    def _on_detections(self, msg: Any) -> None:
        world = self._domain.world
        seen = list(sightings.sightings(msg))
        here = sightings.in_frame(seen, world.frame)
        self._unplaced += len(seen) - len(here)
        placed: dict[str, list[sightings.Sighting]] = {}
        for each in here:
            place = sightings.place_of(each, world, self.setting("executive.detection_radius_m", float))
            self._unplaced += not place
            if place:
                placed.setdefault(place, []).append(each)
        for place, some in placed.items():
            labels = [each.label for each in some]
            for each in some:
                self._executive.sighted(each.label, place, each.confidence, now(), each.others, beside=labels)

    def _on_cancel(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._asked(response, self._executive.cancel(now()), "cancelled", "no task is under way")

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._asked(response, self._executive.pause(now()), "paused", "no task is running")

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self.active or self._peers.senior:
            response.success, response.message = False, self._peers.complaint or "the node is not active"
            return response
        self._paused_for = ""
        return self._asked(response, self._executive.resume(now()), "going on", "no task is paused")

    def _asked(self, response: Trigger.Response, commands: Commands, done: str, nothing: str) -> Trigger.Response:
        response.success, response.message = bool(commands), done if commands else nothing
        self._do(commands)
        return response

    def _ignore(self, reason: str) -> None:
        self._ignored += 1
        if reason != self._last_ignored:
            self.get_logger().warning(reason)
            self._last_ignored = reason

    # What is told

    def _tell(self) -> None:
        """Publishes what has changed."""
        executive = self._executive
        running = executive.running
        if self._is_new("subgoal", running) and running is not None:
            self._subgoal_pub.publish(String(data=_row(running)))
        number = executive.report.number if executive.report is not None else -1
        if self._is_new("state", (number, executive.waits, executive.status, self._question)):
            self._publish_state()
        task = self._task_values()
        if self._is_new("task", task):
            self._peers.publish(task, executive.status is TaskStatus.RUNNING)
        if self._is_new("beliefs", executive.beliefs.state):
            self._publish_beliefs()
        if executive.status in OVER:
            self._end_served(executive.status, executive.why)

    def _is_new(self, topic: str, value: object) -> bool:
        known = topic in self._told and self._told[topic] == value
        self._told[topic] = value
        return not known

    def _publish(self) -> None:
        """Repeats what others wait for: the orchestrator a state, other executives a sign of life."""
        self._publish_state()
        self._peers.publish(self._task_values(), self._executive.status is TaskStatus.RUNNING)

    def _publish_state(self) -> None:
        report = self._executive.report
        if not self.active or report is None or self._peers.senior:
            return
        if self._executive.status in UNDER_WAY and not self._executive.waits:
            report = replace(report, phase=Phase.EXECUTING)
        self._state_pub.publish(state_message("executive_node", report, self.stamp(), self._question))

    def _task_values(self) -> dict[str, object]:
        executive = self._executive
        report, task = executive.report, executive.report.task if executive.report is not None else None
        calls, llm_s, tokens, skills = executive.spent
        finished = executive.finished_rows
        return {
            "status": executive.status.value,
            "why": executive.why,
            "goal": task.goal if task is not None else "",
            **{
                f"step {number}": f"{_row(step)}{' (done)' if done else ''}"
                for number, (step, done) in enumerate(zip(executive.steps, finished, strict=True), start=1)
            },
            "now": _row(executive.running) if executive.running is not None else "",
            "skills": skills,
            "calls": calls,
            "thought_s": round(llm_s, 3),
            "tokens": tokens,
            "episode": report.episode if report is not None else -1,
            "taken_up": self._taken_up,
            **self._thinking_values(),
        }

    def _thinking_values(self) -> dict[str, object]:
        """What is asked, and what became of questions since this process began."""
        executive, tally = self._executive, self._executive.tally
        decision = executive.thinks or executive.withdrawn
        how = "withdrawn" if executive.withdrawn else "beside acting" if decision and decision.beside else "stands"
        return {
            "asks": f"{decision.action.label.removeprefix('THINK')} {decision.id}, {how}" if decision else "none",
            "questions": tally.asked,
            "questions_beside": tally.beside,
            "answers_applied": tally.applied,
            "answers_dropped": tally.dropped,
            "calls_withdrawn": tally.withdrawn,
            "tokens_saved": round(tally.tokens_saved),
        }

    def _publish_beliefs(self) -> None:
        beliefs = self._executive.beliefs
        values = {str(n): line for n, line in enumerate(beliefs.about(self._domain.world.named))}
        self._beliefs_pub.publish(key_values.array("executive_node: beliefs", values, self.stamp()))

    def _end_served(self, status: TaskStatus, why: str) -> None:
        """Ends the goal of `task_action` that the task came from."""
        if not self._served or self._task_action is None:
            return
        self._served = False
        report = self._executive.report
        self._task_action.ended(
            {
                "success": status is TaskStatus.SUCCEEDED,
                "why": why,
                "status": status.value,
                "skills": self._executive.spent[3],
                "goal": report.task.goal if report is not None and report.task is not None else "",
            }
        )

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        executive = self._executive
        level, message = DiagnosticStatus.OK, executive.status.value
        if executive.status in (*STANDING, TaskStatus.FAILED, TaskStatus.CANCELLED) and executive.why:
            level = DiagnosticStatus.WARN if executive.status is not TaskStatus.CANCELLED else level
            message = f"{executive.status.value}: {executive.why}"
        if executive.held:
            level, message = DiagnosticStatus.WARN, executive.held
        if self._deserted:
            level, message = DiagnosticStatus.WARN, "no orchestrator decides: every step is carried out without asking"
        if self._journal_fault:
            level, message = DiagnosticStatus.ERROR, self._journal_fault
        if self._peers.senior:
            level, message = DiagnosticStatus.ERROR, self._peers.complaint
        assert self._runner is not None
        missing = [name for name, there in self._runner.servers().items() if not there]
        return (
            level,
            message[:300],
            {
                "task": executive.status.value,
                "running": str(executive.running or ""),
                **self._thinking_values(),
                "servers_missing": ", ".join(missing)[:300],
                "results_ignored": executive.ignored,
                "messages_ignored": self._client.ignored + self._ignored + self._heard.dropped,
                "last_ignored": (self._last_ignored or self._client.last_ignored)[:200],
                "sightings_at_no_place": self._unplaced,
                "battery": "unknown" if not math.isfinite(executive.battery) else round(executive.battery, 1),
            },
        )


def _row(step: Step) -> str:
    """A step as an action policy reads it: skill and arguments with spaces between them."""
    return " ".join((step.skill, *step.arguments))


def _status_words(event: Finished) -> str:
    return (
        ""
        if event.outcome is Outcome.SUCCESS
        else f"{event.status}" + (f", code {event.code}" if event.code not in (None, event.status) else "")
    )


def _locked(path: Path) -> IO[str]:
    """The lock of a journal, which the operating system releases even where the process is killed.

    Raises: InputError where another process has it, or it cannot be written."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("a")
    except OSError as error:
        raise InputError(f"journal: {lock}: cannot be written ({error.strerror}); choose another path") from None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise InputError(
            f"journal: {path} is in use by another executive_node; stop that one, or choose another path"
        ) from None
    return stream


def main() -> int:
    """Entry point of the executable `executive_node`."""
    return run_node(ExecutiveNode, Shared.NOTHING, by_events=False)


if __name__ == "__main__":
    sys.exit(main())
