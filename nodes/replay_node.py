"""replay_node: a robot that is not there. It plays ALFRED episodes, carries decisions out in scaled time, and answers
THINK with the calls of a latency profile. Thin over `rarrl.decision_loop.EpisodeRunner`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from rarrl.build import REPLAYED
from rarrl.clock import ManualClock
from rarrl.decision_loop import EpisodeRunner, Phase
from rarrl.errors import RarrlError
from rarrl.events import EventWriter
from rarrl.reasoner.base import Answer
from rarrl.thinking import unanswered
from rarrl.types import Action, CallStatus
from rarrl_sim_envs.alfred.make import make_executive

from .conversions import Asked, DecisionMessage
from .decision_client import DecisionClient, no_answer, open_log, patience_s, state_message, state_period_s
from .lifecycle import LATCHED, RarrlNode, now, run_node
from .params import REPLAY_SPECS, ReplayNodeConfig, read_config

GOODBYE_S = 0.5  # for the last message to leave before the process ends
SHORTEST_S = 1e-4  # a timer needs a period


class ReplayNode(RarrlNode):
    """Topics, parameters and services: docs/explanation/nodes.md."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("replay_node", "episodes", REPLAY_SPECS, ReplayNodeConfig, **kwargs)
        self._log: EventWriter | None = None
        self._client = DecisionClient(lambda reason: self.get_logger().warning(f"decision ignored: {reason}"))

    def load(self) -> None:
        config = read_config(self)
        self._executive = make_executive(config, shock=bool(self.setting("shock")))
        # Simulated time: moved by what each attempt and call takes, not by ROS's delays.
        self._simulated = ManualClock()
        run_dir = self.setting("run_dir", str)
        if run_dir:
            self._log = open_log(Path(run_dir), config.orchestrator, config.replay.seed, config.replay.speed)
        self._robot = EpisodeRunner(self._executive, self._simulated, self._log, run=os.urandom(8).hex())
        self._episodes, self._finished, self._succeeded = config.replay.episodes, 0, 0
        self._busy_s = 0.0  # what the decision under way takes, simulated
        self._executes = False  # a decision is carried out
        self._asked_s = 0.0  # when the question beside acting was asked, simulated
        self._answer: Answer | None = None  # to it, until it may be taken
        self._state_pub = self.create_lifecycle_publisher(DiagnosticArray, "state", LATCHED)
        self._asks = config.orchestrator.reasoner != REPLAYED
        self._awaiting: DecisionMessage | None = None  # the THINK whose answer is to come
        self._patience = self.create_timer(1.0, self._on_no_answer, clock=self.steady)
        self._patience.cancel()
        self.create_subscription(DiagnosticArray, "decision", self._on_decision, LATCHED)
        self.create_subscription(DiagnosticArray, "answer", self._on_answer, LATCHED)
        self._work = self.create_timer(1.0, self._on_executed, clock=self.steady)
        self._work.cancel()
        period_s = state_period_s(config.orchestrator.decision_timeout_s)
        self.create_timer(period_s, self._publish_state, clock=self.steady)

    def start(self) -> None:
        self._client.heartbeat.hear(now())  # its silence counts from here
        if self._robot.report is None:
            self._robot.begin(0)
        elif self._executes:  # deactivated while one was carried out: do it now
            self._start_work()
        self._publish_state()

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._work.cancel()
        asks = self._robot.asks if self._robot.report is not None else None
        if asks is not None:
            self._take(unanswered(asks, self._simulated.now() - self._asked_s, CallStatus.BACKEND_DOWN))
        self._patience.cancel()
        self._awaiting = None  # the decision is latched: activated again, it is asked for again
        return super().on_deactivate(state)

    def unload(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _on_decision(self, msg: DiagnosticArray) -> None:
        report = self._robot.report
        if not self.active or report is None:
            return
        message = self._client.decision(msg, report)
        if message is None:
            return
        if message.state != report.number or report.phase is not Phase.WAITING or self._executive.done:
            return
        if not self._asks or message.decision.action is Action.ACT:
            self._busy_s = self._robot.execute(message.decision)
            self._executes = True
            self._start_work()
        elif self._awaiting is None or self._awaiting.decision.id != message.decision.id:
            self._awaiting = message
            self._patience.timer_period_ns = int(patience_s(message.decision) * 1e9)
            self._patience.reset()
            if message.decision.beside and self._robot.can_think_beside:
                self._asked_s, self._answer = self._simulated.now(), None
                self._robot.ask(message.decision)
                self._publish_state()

    @property
    def _asked(self) -> Asked | None:
        """The THINK whose answer is to come, as others see it."""
        if self._awaiting is None:
            return None
        return Asked.of(self._awaiting, withdrawn=self._robot.asks is not None and self._robot.withdraws)

    def _on_answer(self, msg: DiagnosticArray) -> None:
        if not self.active or self._robot.report is None:
            return
        answer = self._client.answer(msg, self._asked)
        if answer is not None:
            self._take(answer)

    def _on_no_answer(self) -> None:
        if self._awaiting is not None:
            self._take(no_answer(self._awaiting.decision))

    def _take(self, answer: Answer) -> None:
        """The seconds of the answer have passed already: simulated time moves by them without waiting again."""
        self._patience.cancel()
        if self._robot.asks is not None:
            self._answer = answer
            self._hear()
            return
        assert self._awaiting is not None
        decision, self._awaiting = self._awaiting.decision, None
        self._busy_s = self._robot.execute(decision, answer)
        self._on_executed()

    def _hear(self) -> None:
        """Takes the answer that was asked for beside acting: between two attempts, and when its seconds have passed in
        simulated time, too, or the robot does nothing but wait for it."""
        answer = self._answer
        if answer is None or self._executes:
            return
        left_s = self._asked_s + answer.seconds - self._simulated.now()
        if self._robot.stands:
            self._simulated.advance(max(left_s, 0.0))
        elif left_s > 0.0 and not self._robot.withdraws:
            return
        self._awaiting = self._answer = None
        self._robot.answered(answer)
        self._go_on()

    def _start_work(self) -> None:
        seconds = max(self._busy_s / float(self.setting("replay.speed")), SHORTEST_S)
        self._work.timer_period_ns = int(seconds * 1e9)
        self._work.reset()

    def _on_executed(self) -> None:
        self._work.cancel()  # once per decision
        self._simulated.advance(self._busy_s)
        self._executes = False
        self._go_on(self._robot.complete)
        self._hear()

    def _go_on(self, end: Callable[[], object] = lambda: None) -> None:
        """After an attempt or a call, which `end` closes."""
        try:
            end()
            if self._robot.done:
                self._next_episode()
        except RarrlError as error:  # the log cannot be written any more
            self.end(str(error))
            return
        self._publish_state()

    def _next_episode(self) -> None:
        assert self._robot.end is not None
        self._finished += 1
        self._succeeded += self._robot.end.success
        if self._finished < self._episodes:
            self._robot.begin(self._finished)
            return
        self._robot.finish()
        self.get_logger().info(
            f"{self._finished} episode{'s' * (self._finished != 1)} played, {self._succeeded} succeeded"
        )
        if self.setting("exit_when_done"):
            self.create_timer(GOODBYE_S, self.end, clock=self.steady)

    def _publish_state(self) -> None:
        report = self._robot.report
        if not self.active or report is None:
            return
        if self._executive.done and not self._robot.done:  # a call is to be paid for, and nothing to be decided
            report = replace(report, phase=Phase.EXECUTING)
        self._state_pub.publish(state_message("replay_node", report, self.stamp(), self._asked))

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        report = self._robot.report
        assert report is not None
        level, message = DiagnosticStatus.OK, report.phase.value
        if report.phase is Phase.WAITING:
            complaint = self._client.heartbeat.complaint(now(), float(self.setting("orchestrator.decision_timeout_s")))
            level, message = (DiagnosticStatus.STALE, complaint) if complaint else (level, message)
        return (
            level,
            message,
            {
                "episode": report.episode,
                "episodes": self._episodes,
                "episodes_finished": self._finished,
                "episodes_succeeded": self._succeeded,
                "asks": "none" if self._awaiting is None else f"{self._awaiting.decision.action.label}",
                "questions_beside": self._robot.tally.beside,
                "calls_withdrawn": self._robot.tally.withdrawn,
                "tokens_saved": round(self._robot.tally.tokens_saved),
                "decisions_ignored": self._client.ignored,
                "last_ignored": self._client.last_ignored[:200],
                "simulated_s": round(self._simulated.now(), 3),
                "speed": self.setting("replay.speed"),
                "profile": self.setting("orchestrator.profile"),
            },
        )


def main() -> int:
    """Entry point of the executable `replay_node`."""
    return run_node(ReplayNode)


if __name__ == "__main__":
    sys.exit(main())
