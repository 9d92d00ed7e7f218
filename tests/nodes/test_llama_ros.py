"""The client of llama_ros against a stand-in of its action client: llama_msgs is in no package index."""

import importlib.util
import json
from types import SimpleNamespace

import pytest

from rarrl.errors import DependencyMissingError
from rarrl.reasoner.base import Request
from rarrl.reasoner.plan import Plan
from rarrl.types import CallStatus, Role
from rarrl_nodes.llama_ros import LlamaRosReasoner, fill, goal_fields

MUG = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]])


class Future:
    """Done from the start, unless it never is."""

    def __init__(self, value=None, never=False):
        self.value, self.never = value, never

    def add_done_callback(self, callback):
        if not self.never:
            callback(self)

    def result(self):
        return self.value


class Client:
    """Accepts, sends `tokens` pieces of feedback, then the result; `hang`: no result, and cancels are ignored."""

    def __init__(self, text="", tokens=20, hang=False, accepted=True, there=True):
        self.text, self.tokens, self.hang, self.accepted, self.there = text, tokens, hang, accepted, there
        self.goals, self.cancels = [], 0

    def wait_for_server(self, timeout_sec):
        return self.there

    def send_goal_async(self, goal, feedback_callback):
        self.goals.append(goal)
        for _ in range(self.tokens):
            feedback_callback(None)
        message = SimpleNamespace(content=self.text)
        usage = SimpleNamespace(prompt_tokens=70, completion_tokens=self.tokens)
        result = SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="stop")], usage=usage)
        self.results = Future(SimpleNamespace(result=result), never=self.hang)
        handle = SimpleNamespace(
            accepted=self.accepted, get_result_async=lambda: self.results, cancel_goal_async=self._cancel
        )
        return Future(handle)

    def _cancel(self):
        self.cancels += 1


def new_goal():
    """With the fields of one release: no `seed`, no `stream`."""
    sampling = SimpleNamespace(temp=0.8, penalty_repeat=1.1, grammar_schema="")
    return SimpleNamespace(messages=[], add_generation_prompt=False, use_jinja=False, sampling_config=sampling)


def new_message():
    return SimpleNamespace(role="", content="")


def ask(client, deadline_s=1.0, reasoner=None):
    reasoner = reasoner or LlamaRosReasoner(client, new_goal, new_message)
    return reasoner.ask(Request(5, Role.PLANNER, 1, "put a mug on the desk", deadline_s)), reasoner


def test_a_plan():
    client = Client('{"plan": [["PickupObject", "mug"], ["PutObject", "mug", "desk"]]}')
    answer, _ = ask(client)
    assert (answer.status, answer.plan, answer.decision) == (CallStatus.OK, MUG, 5)
    assert (answer.tokens_in, answer.tokens_out) == (70, 20)
    goal = client.goals[0]
    assert goal.messages[0].role == "system" and "put a mug on the desk" in goal.messages[-1].content
    assert json.loads(goal.sampling_config.grammar_schema)["required"] == ["plan"]
    assert goal.sampling_config.temp == 0.0 and not hasattr(goal.sampling_config, "seed")


def test_a_field_that_is_there_is_set():
    goal = new_goal()
    goal.sampling_config.seed = -1
    fill(goal, goal_fields([("user", "x")], None, 0.5, 7), new_message)
    assert (goal.sampling_config.seed, goal.sampling_config.temp, goal.sampling_config.grammar_schema) == (7, 0.5, "")


def test_a_goal_that_hangs_is_cancelled_and_the_backend_quarantined_until_it_ends():
    client = Client('{"plan": [["PickupObject", "mug"]]}', tokens=1, hang=True)
    answer, reasoner = ask(client, deadline_s=0.02)
    assert (answer.status, client.cancels) == (CallStatus.TIMEOUT, 1)
    answer, _ = ask(client, reasoner=reasoner)
    assert answer.status is CallStatus.BACKEND_DOWN and "quarantined" in answer.why and len(client.goals) == 1


def test_tokens_beyond_the_cap_are_cut():
    client = Client("x", tokens=300, hang=True)
    answer, _ = ask(client)
    assert answer.status is CallStatus.BUDGET and client.cancels >= 1


@pytest.mark.parametrize("client", [Client(accepted=False), Client(there=False)])
def test_no_server_and_a_refused_goal(client):
    assert ask(client)[0].status is CallStatus.BACKEND_DOWN


def test_text_that_is_no_plan():
    assert ask(Client("I would rather not"))[0].status is CallStatus.INVALID


@pytest.mark.skipif(importlib.util.find_spec("llama_msgs") is not None, reason="llama_msgs is installed")
def test_without_llama_msgs_the_message_says_what_to_do():
    with pytest.raises(DependencyMissingError, match="build llama_ros"):
        LlamaRosReasoner.on(None)
