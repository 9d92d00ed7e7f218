"""orchestrator_node: takes the robot's state, answers with ACT or THINK. Thin over `rarrl.decision_loop`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty as NothingQueued
from queue import SimpleQueue
from time import perf_counter
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import Empty, Float32, String
from std_srvs.srv import Trigger

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.build import REPLAYED, make_orchestrator, make_reasoner
from rarrl.decision_loop import DecisionSession, Phase, Report
from rarrl.diagnostics import Heartbeat, Latencies
from rarrl.errors import InputError, RarrlError
from rarrl.latency.profile import load_profile
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.breaker import GuardedReasoner
from rarrl.reasoner.home import read_home
from rarrl.secrets import hide_secrets
from rarrl.skills.domain import domain_of
from rarrl.skills.operator_policy import OperatorPolicy, load_operator_policy
from rarrl.thinking import unanswered
from rarrl.types import CallStatus, Decision

from . import conversions, key_values, llama_ros
from .conversions import AnswerMessage, Asked, DecisionMessage
from .lifecycle import LATCHED, RarrlNode, now, run_node
from .loopback import Shared
from .params import ORCHESTRATOR_SPECS, OrchestratorNodeConfig, read_config
from .spinning import later

ALIVE_S = 0.05
"""Seconds between two messages on `alive`: the robot's driver can tell a slow answer from a dead node."""

GRACE_S = 0.75
"""Seconds of real time by which a backend may miss its deadline before the node answers TIMEOUT in its place: below the
GRACE_S of decision_client, so that the robot hears it before it gives up waiting."""

RESTARTED = "orchestrator_node was started again, and knows nothing of the question"
"""Why there is no answer to what an earlier process was asked."""

SHIPPED_PLANNER = "llama"
"""Value of `orchestrator.reasoner` that names the planner which comes with the package."""

llama_ros.register()


@dataclass(eq=False)
class _Call:
    """One call to the reasoner. decision: what asked for it. asked, due: when, and by when it must be answered, seconds
    of `now`. withdrawn: its backend was told to stop."""

    decision: DecisionMessage
    request: Request
    asked: float
    due: float
    withdrawn: bool = False

    def is_left(self, report: Report, asked: Asked | None) -> bool:
        """Whether the robot knows nothing of it any more: it has gone on without it, or was restarted."""
        if asked is not None and asked.is_of(self.decision):
            return False
        return report.run != self.decision.run or report.number > self.decision.state


class OrchestratorNode(RarrlNode):
    """Topics, parameters and services: docs/explanation/nodes.md."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("orchestrator_node", "decisions", ORCHESTRATOR_SPECS, OrchestratorNodeConfig, **kwargs)
        self._heartbeat = Heartbeat("the task executive (topic state)")
        self._latencies = Latencies()
        self._decisions = 0
        self._refused = 0  # states that were no good, or another robot's
        self._last_refusal = ""

    def load(self) -> None:
        settings = read_config(self)
        config = settings.orchestrator
        policy = load_operator_policy(Path(config.operator_policy)) if config.operator_policy else OperatorPolicy()
        domain = ALFRED_DOMAIN.under(policy)
        if settings.executive.skills:
            domain = domain_of(settings.executive.skills, settings.executive.world, policy)
        own_robot = domain if not domain.is_robot_of(ALFRED_DOMAIN) else None
        self._has_executive = bool(settings.executive.skills)
        self._only_acts = ""
        if self._has_executive and config.reasoner == REPLAYED:
            # A robot's calls are not replayed: each would take its whole deadline and bring nothing.
            config = config.model_copy(update={"policy": "never"})
            self._only_acts = f"no language model (orchestrator.reasoner is {REPLAYED}): every decision is ACT"
            self.get_logger().info(self._only_acts)
        elif own_robot is not None and config.reasoner == SHIPPED_PLANNER:
            raise InputError(
                f"config: orchestrator.reasoner: {SHIPPED_PLANNER} plans for ALFRED's household alone, not for "
                f"{own_robot.skills.robot[:60]}; name a chat model (llama:PATH.gguf or openai:URL#MODEL), or "
                f"{REPLAYED} to do without"
            )
        orchestrator = make_orchestrator(config, call_timeout_s=settings.language_model.call_timeout_s)
        orchestrator.on_policy_error = self._on_policy_error
        home = read_home(Path(config.home), domain) if config.home else ()
        self._session = DecisionSession(orchestrator, (config.time_budget_s, config.token_budget), home, own_robot)
        self._sent: DecisionMessage | None = None
        self._reasoner: GuardedReasoner | None = None
        if config.reasoner != REPLAYED:
            self._reasoner = make_reasoner(
                config.reasoner,
                policy=policy if own_robot is None else None,  # its requests bring it along
                settings=settings.language_model,
                node=self,
            )
            mismatch = load_profile(config.profile).mismatch(config.reasoner)
            if mismatch:
                self.get_logger().warning(mismatch)
        self._policy_errors = 0  # decisions that became ACT because the policy failed
        self._last_policy_error = ""
        self._calls = 0
        self._timeouts = 0  # calls that the node gave up
        self._stale_answers = 0
        self._withdrawn = 0
        self._tokens_saved = 0  # by withdrawing
        self._lost = 0  # questions to an earlier process
        self._awaited: _Call | None = None  # the call whose answer the robot waits for
        self._running: _Call | None = None  # the call that the reasoner works on; backends take one at a time
        self._latest: DecisionMessage | None = None  # the last THINK that a reasoner was asked for
        self._foreign: Asked | None = None  # the last question that an earlier process was asked
        self._answers: SimpleQueue[tuple[_Call, Answer]] = SimpleQueue()
        self._subgoal: tuple[str, int] | None = None  # name and index of the one that was published last
        self._decision_pub = self.create_lifecycle_publisher(DiagnosticArray, "decision", LATCHED)
        self._budget_pub = self.create_lifecycle_publisher(DiagnosticArray, "budget", LATCHED)
        # The same as plain numbers, which rqt_plot, PlotJuggler and Foxglove draw.
        self._time_pub = self.create_lifecycle_publisher(Float32, "budget/time_left_s", LATCHED)
        self._tokens_pub = self.create_lifecycle_publisher(Float32, "budget/tokens_left", LATCHED)
        self._plan_pub = self.create_lifecycle_publisher(DiagnosticArray, "plan", LATCHED)
        self._subgoal_pub = self.create_lifecycle_publisher(String, "subgoal", LATCHED)
        self._answer_pub = self.create_lifecycle_publisher(DiagnosticArray, "answer", LATCHED)
        self._alive_pub = self.create_lifecycle_publisher(Empty, "alive", 1)
        self.create_timer(ALIVE_S, self._on_alive, clock=self.steady)
        self._answered = later(self, self._on_answered)
        self.create_subscription(DiagnosticArray, "state", self._on_state, LATCHED)
        self.create_service(Trigger, "~/think_now", self._on_think_now)
        self.create_service(Trigger, "~/cancel", self._on_cancel)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(Trigger, "~/pause", self._on_pause)
        self.create_service(Trigger, "~/resume", self._on_resume)

    def unload(self) -> None:
        reasoner = getattr(self, "_reasoner", None)
        if reasoner is not None:
            self._reasoner = None
            self._awaited = None
            self._running = None
            reasoner.close()

    def _on_state(self, msg: DiagnosticArray) -> None:
        if not self.active:
            return
        try:
            values = key_values.values_of(msg)
            report, asked = conversions.report_from_values(values), conversions.asked_from_values(values)
            self._check_run(report)
        except ValueError as error:
            self._refuse(str(error))
            return
        self._heartbeat.hear(now())

        started = perf_counter()
        last = self._session.report
        if last is None or report.run != last.run or report.number >= last.number:
            self._follow(report, asked)
        self._session.orchestrator.cost_weight = self.setting("orchestrator.cost_weight", float)
        self._session.nobody_to_ask = self._reasoner is not None and bool(self._reasoner.down)
        before = self._session.decision
        decision = self._session.answer(report)
        if decision is not None and decision is not before:
            self._latencies.add(now(), perf_counter() - started)
            self._decisions += 1
        self._publish(report, decision, last is None or (last.run, last.episode) != (report.run, report.episode))
        if decision is not None and decision is not before and self._sent is not None:
            self._think(self._sent)

    def _publish(self, report: Report, decision: Decision | None, new_episode: bool) -> None:
        summary, budget = report.summary, self._session.orchestrator.budget
        if new_episode:
            self._plan_pub.publish(
                key_values.array("orchestrator_node: plan", conversions.values_from_plan(report), self.stamp())
            )
            self._subgoal = None
        subgoal = summary.subgoals[min(summary.subgoal_index, len(summary.subgoals) - 1)].name
        if (subgoal, summary.subgoal_index) != self._subgoal:
            self._subgoal = (subgoal, summary.subgoal_index)
            if not self._has_executive:  # which publishes the whole row on this topic
                self._subgoal_pub.publish(String(data=subgoal))
        if decision is None:
            return
        message = DecisionMessage(
            report.run, report.number, report.episode, decision, time_left_s=budget.time_s, tokens_left=budget.tokens
        )
        self._decision_pub.publish(
            key_values.array(
                "orchestrator_node: decision",
                conversions.values_from_decision(message),
                self.stamp(),
                message=decision.action.label,
            )
        )
        self._sent = message
        self._publish_budget()

    def _think(self, message: DecisionMessage) -> None:
        """Asks the reasoner in a thread of its own, so that the node goes on serving its topics.

        While it still works on an earlier call, this one waits, until that one ends or is given up."""
        request = self._session.request(message.decision) if self._reasoner is not None else None
        if request is None:
            return
        self._latest = message
        self._awaited = _Call(message, request, now(), now() + request.deadline_s + GRACE_S)
        self._ask_next()

    def _ask_next(self) -> None:
        """Starts the awaited call, unless the reasoner works on one."""
        if self._running is not None or self._awaited is None or self._reasoner is None:
            return
        self._running = self._awaited
        self._calls += 1
        # A daemon: a backend that hangs must not keep the process from ending.
        arguments = (self._reasoner, self._running, self._answers)
        threading.Thread(target=self._ask, args=arguments, name="reasoner", daemon=True).start()

    def _ask(self, reasoner: GuardedReasoner, call: _Call, answers: SimpleQueue[tuple[_Call, Answer]]) -> None:
        """In a thread of its own. Once the node is being unloaded, the guard condition may be gone."""
        answers.put((call, reasoner.ask(call.request)))
        if self._reasoner is reasoner:
            self._answered.reset()

    def _follow(self, report: Report, asked: Asked | None) -> None:
        """Stops a call that the robot has withdrawn, or knows nothing of any more. asked: the one that it has open; one
        that an earlier process was asked is answered with BACKEND_DOWN."""
        for call in self._calls_open:
            if call.is_left(report, asked):
                self._awaited = None if call is self._awaited else self._awaited
                self._withdraw(call)
            elif asked is not None and asked.withdrawn and asked.is_of(call.decision):
                self._withdraw(call)

        own = asked is None or (self._latest is not None and asked.is_of(self._latest))
        if asked is None or own or replace(asked, withdrawn=False) == self._foreign:
            return
        self._foreign = replace(asked, withdrawn=False)
        self._lost += 1
        assert asked.action.role is not None
        lost = Answer(
            asked.decision, asked.action.role, asked.action.level, CallStatus.BACKEND_DOWN, 0.0, "none", why=RESTARTED
        )
        self._publish_answer(AnswerMessage(asked.run, asked.state, lost))

    @property
    def _calls_open(self) -> list[_Call]:
        """The call that the reasoner works on, and the one that waits for its turn."""
        return [call for call in dict.fromkeys((self._running, self._awaited)) if call is not None]

    def _withdraw(self, call: _Call) -> None:
        """Nobody needs the answer to `call`: its backend is told to stop, in a thread of its own, as that may take a
        while. What the call has come to then is answered as ever."""
        if call.withdrawn:
            return
        call.withdrawn = True
        self._withdrawn += 1
        if call is self._running:
            assert self._reasoner is not None
            arguments = (call.request.decision,)
            threading.Thread(target=self._reasoner.cancel, args=arguments, name="withdraw", daemon=True).start()
        elif call is self._awaited:  # it waits for its turn
            self._deliver(call, unanswered(call.decision.decision, 0.0))

    def _on_answered(self) -> None:
        """Takes the answers that have come; one to a call that is no longer awaited is dropped."""
        while True:
            try:
                call, answer = self._answers.get_nowait()
            except NothingQueued:
                break
            if call is self._running:
                self._running = None
            self._tokens_saved += answer.tokens_saved
            if not self._deliver(call, answer):
                self._stale_answers += 1
        self._ask_next()

    def _deliver(self, call: _Call, answer: Answer) -> bool:
        """Sends an answer to the robot, whose next report says what came of it; False where nobody waits for it."""
        if call is not self._awaited or not self.active:
            return False
        self._awaited = None
        self._publish_answer(AnswerMessage(call.decision.run, call.decision.state, answer))
        self._session.heard(answer)
        return True

    def _publish_answer(self, message: AnswerMessage) -> None:
        values = conversions.values_from_answer(message)
        summary = message.answer.summary[:1000]
        self._answer_pub.publish(key_values.array("orchestrator_node: answer", values, self.stamp(), message=summary))

    def _on_alive(self) -> None:
        self._alive_pub.publish(Empty())
        for call in self._calls_open:
            if now() > call.due:
                self._give_up(call)
        self._ask_next()

    def _give_up(self, call: _Call) -> None:
        """Answers TIMEOUT in the reasoner's place; its own answer, should it still come, is dropped."""
        if self._reasoner is None:
            return
        self._timeouts += 1
        if call is self._running:
            self._running = None
        self._deliver(call, self._reasoner.give_up(call.request))

    def _on_policy_error(self, error: RarrlError) -> None:
        """Counts a decision that became ACT because the policy failed. The first is logged, all are in diagnostics."""
        self._policy_errors += 1
        self._last_policy_error = str(error)
        if self._policy_errors == 1:
            self.get_logger().error(f"{error}; the robot acts without asking whenever this happens")

    def _publish_budget(self) -> None:
        budget = self._session.orchestrator.budget
        spent = budget.time_s <= 0.0 or budget.tokens <= 0.0
        self._budget_pub.publish(
            key_values.array(
                "orchestrator_node: budget",
                conversions.values_from_budget(budget, self._sent),
                self.stamp(),
                DiagnosticStatus.WARN if spent else DiagnosticStatus.OK,
                f"{budget.time_s:.1f} s and {budget.tokens:.0f} tokens left",
            )
        )
        self._time_pub.publish(Float32(data=float(budget.time_s)))
        self._tokens_pub.publish(Float32(data=float(budget.tokens)))

    def _check_run(self, report: Report) -> None:
        """Refuses a second robot on the topic while the first is alive: mixing two tasks would spoil both."""
        last = self._session.report
        if last is None or report.run == last.run or last.phase is Phase.FINISHED:
            return
        if not self._heartbeat.complaint(now(), self._timeout_s()):
            raise ValueError(
                "a second task executive is on this topic; give it a namespace or ROS_DOMAIN_ID of its own"
            )

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        if reason != self._last_refusal:
            self.get_logger().warning(f"state refused: {reason}")
            self._last_refusal = reason

    def _on_think_now(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        reason = self._session.think_now() if self.active else "the node is not active"
        response.success, response.message = not reason, reason or "the next decision is THINK(planner, 1)"
        return response

    def _on_cancel(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._session.cancel()
        for call in self._calls_open:
            self._withdraw(call)
        response.success, response.message = True, "no further decision until reset or the next episode"
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._session.reset()
        response.success, response.message = True, "history and budget are fresh"
        return response

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._session.paused = True
        response.success, response.message = True, "no further decision until resume; the last one is carried out"
        return response

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._session.paused
        response.message = "deciding again, with the robot's next state" if response.success else "it is not paused"
        self._session.paused = False
        return response

    def _timeout_s(self) -> float:
        return float(self.setting("orchestrator.decision_timeout_s"))

    def troubles(self) -> Mapping[str, str]:
        return {"reasoner": self._reasoner.down} if self._reasoner is not None else {}

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        time = now()
        asks = ", ".join(_told(call, time) for call in self._calls_open)
        level, message = DiagnosticStatus.OK, self._only_acts or (f"asks {asks}" if asks else "deciding")
        silent = self._heartbeat.silent_s(time)
        last, complaint = self._session.report, self._heartbeat.complaint(time, self._timeout_s())
        if last is not None and last.phase is Phase.FINISHED:
            message = "replay finished"
        elif complaint:
            level = DiagnosticStatus.WARN if last is None else DiagnosticStatus.STALE
            message = complaint
            if silent is None:
                message = f"no state of a task executive yet: {self.why_silent('state', DiagnosticArray)}"
        elif self._session.idle:
            level, message = DiagnosticStatus.WARN, "cancelled: idle until reset or the next episode"
        elif self._session.paused:
            level, message = DiagnosticStatus.WARN, "paused: no further decision until resume"
        elif self._policy_errors:
            level, message = DiagnosticStatus.WARN, f"the policy failed {self._policy_errors} times: ACT instead"
        budget = self._session.orchestrator.budget
        return (
            level,
            message,
            {
                "decisions": self._decisions,
                "decisions_per_s": round(self._latencies.rate(time), 3),
                "decide_p50_ms": round(self._latencies.quantile_ms(0.5), 4),
                "decide_p99_ms": round(self._latencies.quantile_ms(0.99), 4),
                "late_outcomes_dropped": self._session.late_outcomes,
                "states_refused": self._refused,
                "last_refusal": self._last_refusal[:200],
                "state_age_s": "none" if silent is None else round(silent, 3),
                "reasoner": hide_secrets(str(self.setting("orchestrator.reasoner"))),
                "policy_errors": self._policy_errors,
                "last_policy_error": self._last_policy_error[:200],
                "reasoner_calls": self._calls,
                "reasoner_timeouts": self._timeouts,
                "stale_answers_dropped": self._stale_answers,
                "asks": asks or "none",
                "calls_withdrawn": self._withdrawn,
                "tokens_saved": self._tokens_saved,
                "questions_lost": self._lost,
                "policy": "never" if self._only_acts else self.setting("orchestrator.policy"),
                "profile": self.setting("orchestrator.profile"),
                "time_left_s": budget.time_s,
                "tokens_left": budget.tokens,
            },
        )


def _told(call: _Call, time: float) -> str:
    """A call for people, at `time`, seconds of `now`."""
    decision = call.decision.decision
    how = "withdrawn" if call.withdrawn else "beside acting" if decision.beside else "stands"
    return f"{decision.action.label.removeprefix('THINK')} {decision.id} for {time - call.asked:.1f} s, {how}"


def main() -> int:
    """Entry point of the executable `orchestrator_node`."""
    return run_node(OrchestratorNode, Shared.NOTHING)


if __name__ == "__main__":
    sys.exit(main())
