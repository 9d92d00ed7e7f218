"""The client of llama_ros against a stand-in of its action client: llama_msgs is in no package index."""

import importlib.util
import json
import sys
import threading
from types import SimpleNamespace

import pytest

from rarrl.alfred import SubgoalType, step_views
from rarrl.build import make_reasoner
from rarrl.decision_loop import Phase, Report, TaskView
from rarrl.errors import DependencyMissingError, InputError
from rarrl.reasoner.base import Request
from rarrl.reasoner.plan import Plan
from rarrl.types import Budget, CallStatus, PlanStatus, Role, StateSummary
from rarrl_nodes import llama_ros
from rarrl_nodes.llama_ros import LlamaRosReasoner, fill, goal_fields

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray

from rarrl_nodes import conversions, key_values
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.orchestrator_node import OrchestratorNode

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


def test_a_goal_whose_result_nobody_needs_is_cancelled_at_once():
    client = Client(tokens=3, hang=True)
    reasoner = LlamaRosReasoner(client, new_goal, new_message)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask(client, 30.0, reasoner)[0]))
    thread.start()
    while not reasoner.cancel(5):  # until the call is under way
        pass
    thread.join(10.0)
    assert answers[0].status is CallStatus.WITHDRAWN and client.cancels == len(client.goals)
    assert not reasoner.cancel(5)


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


# --- as the reasoner of orchestrator_node ---


def test_outside_a_node_the_message_says_where_it_works():
    llama_ros.register()
    llama_ros.register()  # a second node in one process
    with pytest.raises(InputError, match="orchestrator_node"):
        make_reasoner("llama_ros:/brain/chat")


@pytest.fixture
def served(monkeypatch):
    """llama_msgs and its action server, as far as the node sees them; the names that were asked for."""
    asked = []

    def make_client(node, kind, action):
        asked.append((node.get_name(), kind.__name__, action))
        client = Client('{"plan": [["PickupObject", "mug"], ["PutObject", "mug", "desk"]]}')
        client.destroy = lambda: asked.append("destroyed")
        return client

    def chat_completions():
        return type("GenerateChatCompletions", (), {"Goal": staticmethod(new_goal)})

    action = SimpleNamespace(GenerateChatCompletions=chat_completions())
    monkeypatch.setitem(sys.modules, "llama_msgs", SimpleNamespace(action=action))
    monkeypatch.setitem(sys.modules, "llama_msgs.action", action)
    monkeypatch.setitem(sys.modules, "llama_msgs.msg", SimpleNamespace(ChatMessage=new_message))
    monkeypatch.setattr("rclpy.action.ActionClient", make_client)
    return asked


def test_the_parameter_reasoner_asks_the_action(ear, local_node, served):
    node = local_node(
        OrchestratorNode, orchestrator__policy='always:{"recipe": "P1"}', orchestrator__reasoner="llama_ros:/brain/chat"
    )
    assert served == [("orchestrator_node", "GenerateChatCompletions", "/brain/chat")]
    status = PlanStatus(0, 0.4, 0.4, 0, 0, 0.5, (False, False), 0, False, 6, 0)
    task = TaskView("put a mug on the desk", Plan.from_rows([["PickupObject", "cup"]]), status)
    summary = StateSummary(step_views((SubgoalType.GotoLocation, SubgoalType.PutObject)), 0, 0, 9)
    report = Report("run", 1, Phase.WAITING, 0, summary, Budget.full(20.0, 4000.0), None, task)
    heard = []
    ear.node.create_subscription(DiagnosticArray, "answer", heard.append, LATCHED)
    assert ear.until(lambda: ear.state.get_subscription_count() > 1)
    ear.state.publish(key_values.array("replay_node: state", conversions.values_from_report(report), Time()))
    assert ear.until(lambda: heard), "no answer"
    answer = conversions.answer_from_values(key_values.values_of(heard[-1])).answer
    assert (answer.status, answer.plan, answer.backend) == (CallStatus.OK, MUG, "llama_ros:/brain/chat")
    node.unload()
    assert served[-1] == "destroyed"
