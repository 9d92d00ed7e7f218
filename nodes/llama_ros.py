"""A model served by llama_ros (github.com/mgonzs13/llama_ros) as a reasoner, where its package llama_msgs is installed.

Its action `generate_chat_completions` knows neither a deadline nor a cap on tokens, and a cancel may stay without an
answer: deadline, cap and quarantine are kept here.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from rarrl.errors import DependencyMissingError, InputError
from rarrl.reasoner import chat
from rarrl.reasoner.answer_text import thoughts_end
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.call import BackendSession, CallsUnderWay, Generation, answered
from rarrl.reasoner.language_model import CallFailedError, Message, Prompt
from rarrl.reasoner.registry import REASONERS, ReasonerOptions, register_reasoner
from rarrl.types import CallStatus
from rarrl.worker_process import Withdrawal

ACTION = "/llama/generate_chat_completions"
"""The action's name where llama_ros is launched as its pages say."""
FORM = "llama_ros, llama_ros:ACTION (in orchestrator_node)"


def register() -> None:
    """Makes `reasoner:=llama_ros:ACTION` known in this process."""
    if "llama_ros" not in REASONERS:
        register_reasoner("llama_ros", _make, form=FORM, text=None)


def _make(action: str, options: ReasonerOptions) -> LlamaRosReasoner:
    """Raises: InputError outside a node; DependencyMissingError where llama_msgs is not installed."""
    if options.node is None:
        raise InputError("language model: llama_ros is asked over ROS; set it as reasoner of orchestrator_node")
    return LlamaRosReasoner.on(options.node, action or ACTION)


def goal_fields(
    messages: Sequence[Message], schema: dict[str, Any] | None, temperature: float, seed: int
) -> dict[str, Any]:
    """The goal as nested fields of llama_msgs/action/GenerateChatCompletions."""
    return {
        "messages": [{"role": role, "content": content} for role, content in messages],
        "add_generation_prompt": True,
        "use_jinja": True,
        "stream": True,
        "sampling_config": {
            "temp": float(temperature),
            "seed": seed,
            "penalty_repeat": 1.0,  # a plan repeats its words
            "grammar_schema": json.dumps(schema) if schema is not None else "",
        },
    }


def fill(message: Any, fields: dict[str, Any], make_chat_message: Callable[[], Any]) -> Any:
    """Sets `fields` in `message`, those that this release of llama_msgs has (their names have changed over time)."""
    for name, value in fields.items():
        if name == "messages":
            message.messages = [fill(make_chat_message(), each, make_chat_message) for each in value]
        elif isinstance(value, dict):
            fill(getattr(message, name), value, make_chat_message)
        elif hasattr(message, name):
            setattr(message, name, value)
    return message


class LlamaRosReasoner:
    """Asks through an action client, whose node an executor must spin in another thread meanwhile."""

    def __init__(
        self,
        client: Any,
        make_goal: Callable[[], Any],
        make_chat_message: Callable[[], Any],
        action: str = ACTION,
    ) -> None:
        self.name = f"llama_ros:{action}"
        self._client = client
        self._make_goal = make_goal
        self._make_chat_message = make_chat_message
        self._running = threading.Event()  # a goal that was given up and has not ended yet
        self._calls = CallsUnderWay()
        self._closed = False

    @classmethod
    def on(cls, node: Any, action: str = ACTION) -> LlamaRosReasoner:
        """The reasoner on `node`'s behalf. Raises: DependencyMissingError where llama_msgs is not installed."""
        try:
            from llama_msgs.action import GenerateChatCompletions  # type: ignore[import-not-found,unused-ignore]
            from llama_msgs.msg import ChatMessage  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise DependencyMissingError(
                "llama_ros: the ROS package llama_msgs is not there; build llama_ros in your workspace and source it"
            ) from None
        from rclpy.action import ActionClient

        client = ActionClient(node, GenerateChatCompletions, action)
        return cls(client, GenerateChatCompletions.Goal, ChatMessage, action)

    def ask(self, request: Request) -> Answer:
        """See `rarrl.reasoner.base.Reasoner.ask`."""
        session = _Session(self, request)
        with self._calls.add(request, session):
            return answered(request, session, chat.carry_out, self.name)

    def cancel(self, decision: int) -> bool:
        """See `rarrl.reasoner.base.Withdrawable.cancel`: the goal is cancelled."""
        return self._calls.withdraw(decision)

    def close(self) -> None:
        """Later calls answer BACKEND_DOWN."""
        if not self._closed:
            self._closed = True
            self._client.destroy()

    def exchange(
        self, fields: dict[str, Any], deadline: float, max_tokens: int, withdrawal: Withdrawal
    ) -> tuple[Any, int, float]:
        """The action's result, tokens counted by its feedback, steady time of the first. Raises: CallFailedError."""
        if self._closed or self._running.is_set():
            why = "closed" if self._closed else "llama_ros has not ended a goal that was cancelled: quarantined"
            raise CallFailedError(CallStatus.BACKEND_DOWN, why)
        if not self._client.wait_for_server(timeout_sec=max(deadline - time.monotonic(), 0.0)):
            raise CallFailedError(CallStatus.BACKEND_DOWN, "no llama_ros action server")
        goal = fill(self._make_goal(), fields, self._make_chat_message)
        withdrawal.check()
        sent = _Goal(self._client, goal, max_tokens, self._running)
        with withdrawal.over(sent.withdraw):
            return sent.result(deadline)


class _Goal:
    """One goal; its callbacks come on the executor's thread."""

    def __init__(self, client: Any, goal: Any, max_tokens: int, running: threading.Event) -> None:
        self._max_tokens, self._running = max_tokens, running
        self._done = threading.Event()
        self._handle: Any = None
        self._given_up = self._refused = self._withdrawn = False
        self._result: Any = None
        self._tokens, self._first_s = 0, math.nan
        running.set()
        client.send_goal_async(goal, feedback_callback=self._on_feedback).add_done_callback(self._on_accepted)

    def result(self, deadline: float) -> tuple[Any, int, float]:
        """Waits for the end, at most until `deadline`. Raises: CallFailedError."""
        in_time = self._done.wait(max(deadline - time.monotonic(), 0.0))
        if self._withdrawn:
            raise CallFailedError(CallStatus.WITHDRAWN, "withdrawn", self._used)
        if not in_time:
            self._cancel()
            raise CallFailedError(CallStatus.TIMEOUT, "the deadline passed", self._used)
        if self._refused:
            raise CallFailedError(CallStatus.BACKEND_DOWN, "llama_ros refused the goal")
        if self._tokens > self._max_tokens:
            raise CallFailedError(CallStatus.BUDGET, f"cut off after {self._tokens} tokens", self._used)
        return self._result, self._tokens, self._first_s

    def withdraw(self) -> None:
        """Nobody needs the result any more; called from another thread."""
        self._withdrawn = True
        self._cancel()
        self._done.set()

    @property
    def _used(self) -> dict[str, Any]:
        return {"tokens_out": self._tokens, "first_s": self._first_s}

    def _cancel(self) -> None:
        self._given_up = True
        if self._handle is not None:
            self._handle.cancel_goal_async()

    def _on_accepted(self, future: Any) -> None:
        self._handle = future.result()
        if not self._handle.accepted:
            self._refused = True
            self._end()
            return
        self._handle.get_result_async().add_done_callback(self._on_result)
        if self._given_up:
            self._cancel()

    def _on_feedback(self, _: Any) -> None:
        self._tokens += 1
        if self._tokens == 1:
            self._first_s = time.monotonic()
        if self._tokens > self._max_tokens:
            self._cancel()
            self._done.set()

    def _on_result(self, future: Any) -> None:
        self._result = future.result().result
        self._end()

    def _end(self) -> None:
        self._running.clear()
        self._done.set()


class _Session(BackendSession):
    """One call on the action server."""

    def __init__(self, server: LlamaRosReasoner, request: Request) -> None:
        super().__init__(request)
        self._server = server

    def generate(
        self,
        prompt: Prompt,
        *,
        schema: dict[str, Any] | None,
        grammar: str,
        max_tokens: int,
        temperature: float,
        seed: int,
        alternatives: int,
    ) -> Generation:
        """See `BackendSession.generate`."""
        messages = [("user", prompt)] if isinstance(prompt, str) else prompt
        fields = goal_fields(messages, schema, temperature, seed)
        asked = time.monotonic()
        cap = max_tokens + self.thinking_left
        try:
            result, seen, first_s = self._server.exchange(fields, self.deadline, cap, self.withdrawal)
        except CallFailedError as error:
            used = error.used
            seconds = time.monotonic() - asked
            ttft_s = used.get("first_s", math.nan) - asked
            self.count(Generation("", 0, used.get("tokens_out", 0), ttft_s, seconds, cut_off=True), asked)
            raise

        if not result.choices:
            raise CallFailedError(CallStatus.INVALID, "llama_ros gave no choice")

        choice = result.choices[0]
        text = choice.message.content
        tokens_out = int(result.usage.completion_tokens) or seen
        return Generation(
            text=text,
            tokens_in=int(result.usage.prompt_tokens),
            tokens_out=tokens_out,
            ttft_s=first_s - asked,
            seconds=time.monotonic() - asked,
            cut_off=choice.finish_reason == "length",
            tokens_thought=round(tokens_out * thoughts_end(text) / max(len(text), 1)),
        )
