"""The graph thinks beside acting: real nodes and servers, a language model that answers when the test lets it."""

import json
import os
import signal
import threading

import own_parts
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
pytest.importorskip("test_msgs", reason="test_msgs is missing: pip install ros-test-msgs==2.0.3")

from chat_servers import ChatServer, Says, stream
from diagnostic_msgs.msg import DiagnosticArray
from fibonacci_server import Puppet
from rclpy.node import Node
from reasoner_fixtures import _without_amx, make_model  # noqa: F401
from std_msgs.msg import String

from rarrl.executive.executive import TaskStatus
from rarrl.reasoner.base import Answer
from rarrl.reasoner.breaker import GuardedReasoner
from rarrl.reasoner.plan import Plan
from rarrl.types import CallStatus
from rarrl_nodes import orchestrator_node, peers
from rarrl_nodes.executive_node import ExecutiveNode
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.orchestrator_node import OrchestratorNode

SKILLS = """
robot: a cart with one hand
skills:
  go:
    does: drives to a place
    parameters: {to: place}
    run: {action: base, type: test_msgs/action/Fibonacci, goal: {order: "{to.x}"}}
    gives: ["at {to}"]
    timeout_s: 60
    cancel_s: 60
    expected_s: 0.2
  take:
    does: takes a thing that is where the cart stands
    parameters: {thing: thing}
    run: {action: hand, type: test_msgs/action/Fibonacci, goal: {order: 1}}
    needs: [hand_empty, "at {thing.place}"]
    gives: ["holding {thing}"]
    timeout_s: 60
    cancel_s: 60
    expected_s: 0.2
  put:
    does: puts the thing in the hand down
    parameters: {thing: thing, to: place}
    run: {action: hand, type: test_msgs/action/Fibonacci, goal: {order: 2}}
    needs: ["holding {thing}", "at {to}"]
    gives: ["{thing} at {to}"]
    timeout_s: 60
    cancel_s: 60
    expected_s: 0.2
examples:
  - {say: cup to the desk, plan: [[put, cup, desk]]}
"""
WORLD = """
start: door
places: {door: {pose: [9, 0, 0]}, shelf: {pose: [1, 0, 0]}, desk: {pose: [2, 0, 0]}, table: {pose: [3, 0, 0]}}
things: {cup: {at: [shelf]}}
"""
TO_TABLE = Plan.from_rows([["put", "cup", "table"]])
TAKE, PUT = 1, 2
SHELF, DESK, TABLE = 1, 2, 3


class Held:
    """A reasoner that answers when it is let, and stops when it is told to."""

    name = "held"

    def __init__(self, plan=TO_TABLE):
        self.plan, self.let, self.asked, self.cancelled = plan, threading.Event(), [], []

    def ask(self, request):
        self.asked.append(request)
        assert self.let.wait(30.0)
        stopped = request.decision in self.cancelled
        self.let.clear()
        return Answer(
            request.decision,
            request.role,
            request.level,
            CallStatus.WITHDRAWN if stopped else CallStatus.OK,
            0.2,
            self.name,
            tokens_in=20,
            tokens_out=5 if stopped else 30,
            plan=None if stopped else self.plan,
        )

    def cancel(self, decision):
        self.cancelled.append(decision)
        self.let.set()

    def close(self):
        self.let.set()


class Graph:
    """A robot, an executive, and an orchestrator that asks beside acting, once for each task."""

    def __init__(self, ear, namespace, local_node, folder, **orchestrator):
        (folder / "skills.yaml").write_text(SKILLS)
        (folder / "world.yaml").write_text(WORLD)
        self.ear, self.local_node = ear, local_node
        self.files = {f"executive__{each}": str(folder / f"{each}.yaml") for each in ("skills", "world")}
        self.robot = Node("robot", namespace=namespace, start_parameter_services=False)
        ear.executor.add_node(self.robot)
        self.base, self.hand = (Puppet(self.robot, name) for name in ("base", "hand"))
        self.said = []
        ear.node.create_subscription(DiagnosticArray, "task", self.said.append, LATCHED)
        self.settings = {
            "orchestrator__policy": "own_parts:AsksBeside",
            "orchestrator__reasoner": "own_parts:Tidy",
            "orchestrator__time_budget_s": 60.0,
            **orchestrator,
        }
        self.orchestrator = local_node(OrchestratorNode, **self.settings, **self.files)
        self.journal = {"executive__journal": str(folder / "journal.json")}
        self.node = self.start_executive()
        self.talk = ear.node.create_publisher(String, "instruction", 10)
        assert ear.until(lambda: self.talk.get_subscription_count() and self.said)
        assert ear.until(lambda: self.node._client.heartbeat.silent_s(0.0) is not None)

    def start_executive(self):
        settings = {"orchestrator__decision_timeout_s": 20.0, **self.files, **self.journal}
        return self.local_node(ExecutiveNode, **settings)

    @property
    def executive(self):
        return self.node._executive

    def crash(self, node):
        """As a crash would: nothing is told to anybody."""
        self.ear.executor.remove_node(node)
        node.destroy_node()

    def begin(self):
        """Gives the task; the robot drives to the shelf beside a question."""
        self.talk.publish(String(data="cup to the desk"))
        assert self.until(lambda: self.base.asked == [SHELF] and self.base.running and self.executive.thinks)
        assert self.executive.thinks.beside

    def until(self, condition, timeout_s=20.0):
        return self.ear.until(condition, timeout_s)

    def runs(self, server, order, count=1):
        return self.until(lambda: server.asked.count(order) == count and server.running)

    def ends_at(self, place):
        """The rest of the task, from the shelf on."""
        assert self.runs(self.hand, TAKE)
        self.hand.finish()
        assert self.runs(self.base, place)
        self.base.finish()
        assert self.runs(self.hand, PUT)
        self.hand.finish()
        assert self.until(lambda: self.executive.finished_rows == (True,))

    def close(self):
        for puppet in (self.base, self.hand):
            puppet.destroy()
        self.ear.executor.remove_node(self.robot)
        self.robot.destroy_node()


@pytest.fixture
def held(monkeypatch):
    reasoner = Held()
    monkeypatch.setattr(orchestrator_node, "make_reasoner", lambda spec, **_: GuardedReasoner(reasoner))
    yield reasoner
    reasoner.let.set()


@pytest.fixture
def make_graph(ear, namespace, local_node, tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "HEAR_S", 0.0)
    made = []

    def make(**orchestrator):
        made.append(Graph(ear, namespace, local_node, tmp_path, **orchestrator))
        return made[-1]

    yield make
    for graph in made:
        graph.close()


def test_a_robot_drives_on_beside_a_question_and_its_answer_is_merged(make_graph, held):
    graph = make_graph()
    graph.begin()
    assert graph.until(lambda: "beside acting" in graph.orchestrator.diagnose()[1])
    assert "beside acting" in graph.node.diagnose()[2]["asks"]
    graph.base.finish()
    assert graph.until(lambda: graph.ear.values("state")[-1]["can_go_on"] == "false")  # the hand would change things
    assert graph.hand.asked == [] and graph.executive.thinks is not None
    held.let.set()
    graph.ends_at(TABLE)
    assert graph.base.asked == [SHELF, TABLE] and len(held.asked) == 1
    tally = graph.executive.tally
    assert (tally.asked, tally.beside, tally.applied, tally.withdrawn) == (1, 1, 1, 0)
    assert graph.orchestrator._session.late_outcomes == 0 and graph.orchestrator.diagnose()[2]["asks"] == "none"


def test_a_step_that_the_answer_has_made_needless_is_stopped(make_graph, held):
    held.plan = Plan.from_rows([["go", "table"]])
    graph = make_graph()
    graph.begin()
    held.let.set()
    assert graph.until(lambda: graph.base.goals[0].is_cancel_requested)
    graph.base.finish(how="canceled")
    assert graph.runs(graph.base, TABLE)
    graph.base.finish()
    assert graph.until(lambda: graph.executive.finished_rows == (True,))
    assert graph.executive.tally.applied == 1 and graph.hand.asked == []


def test_what_is_withdrawn_is_stopped_paid_for_and_counted(make_graph, held, monkeypatch):
    monkeypatch.setattr(own_parts.AsksBeside, "questions", 2)
    graph = make_graph()
    graph.begin()
    held.let.set()
    assert graph.until(lambda: graph.executive.tally.applied == 1)  # it is known from here on what a call takes
    graph.base.finish()
    assert graph.runs(graph.hand, TAKE)
    graph.hand.finish()
    assert graph.runs(graph.base, TABLE) and graph.until(lambda: len(held.asked) == 2)
    decision = graph.executive.thinks
    assert graph.ear.call("executive_node/pause").success
    assert graph.until(lambda: held.cancelled == [decision.id])
    assert graph.until(lambda: graph.executive.tally.withdrawn == 1)
    assert graph.executive.spent[2] == 50 + 25, "what was read and written until then"
    assert (graph.executive.tally.tokens_saved, graph.executive.tally.dropped) == (25, 0)
    values = graph.orchestrator.diagnose()[2]
    assert (values["calls_withdrawn"], values["tokens_saved"], values["asks"]) == (1, 25, "none")
    graph.base.finish(how="canceled")
    assert graph.until(lambda: graph.executive.running is None)
    assert graph.ear.call("executive_node/resume").success
    assert graph.runs(graph.base, TABLE, 2)
    told = {each.key: each.value for each in graph.said[-1].status[0].values}
    assert (told["calls_withdrawn"], told["answers_applied"], told["asks"]) == ("1", "1", "none")


def test_an_executive_that_was_started_again_forgets_its_question(make_graph, held, tmp_path):
    graph = make_graph()
    graph.begin()
    asked = graph.executive.thinks
    journal = tmp_path / "journal.json"
    assert graph.until(lambda: json.loads(journal.read_text())["executive"]["goals"][0]["accepted"])
    graph.crash(graph.node)
    graph.node = graph.start_executive()
    assert graph.until(lambda: graph.node._taken_up == 1) and graph.executive.thinks is None
    assert graph.until(lambda: held.cancelled == [asked.id]), "nobody waits for it: it is stopped"
    graph.base.finish()
    graph.ends_at(DESK)
    assert graph.executive.tally.applied == 0 and graph.base.asked == [SHELF, DESK]


def test_an_orchestrator_that_was_started_again_says_that_the_question_is_lost(make_graph, held):
    graph = make_graph()
    graph.begin()
    graph.base.finish()
    assert graph.until(lambda: graph.ear.values("state")[-1]["can_go_on"] == "false")
    graph.crash(graph.orchestrator)
    held.let.set()  # its answer reaches nobody
    policy = {**graph.settings, "orchestrator__policy": "never"}
    graph.orchestrator = graph.local_node(OrchestratorNode, **policy, **graph.files)
    assert graph.until(lambda: graph.orchestrator.diagnose()[2]["questions_lost"] == 1)
    graph.ends_at(DESK)
    assert graph.executive.tally.applied == 0 and graph.executive.spent[0] == 1


def test_an_answer_to_an_earlier_question_changes_nothing(make_graph, held):
    graph = make_graph()
    graph.begin()
    message = graph.node._think
    graph.base.finish()
    held.let.set()
    assert graph.runs(graph.hand, TAKE)
    before, plan = graph.node._client.ignored, graph.executive.plan
    stale = Answer(message.decision.id, message.decision.action.role, 1, CallStatus.OK, 9.0, "late", plan=plan)
    graph.orchestrator._publish_answer(orchestrator_node.AnswerMessage(message.run, message.state, stale))
    assert graph.until(lambda: graph.node._client.ignored == before + 1)
    assert graph.executive.plan == TO_TABLE and graph.executive.tally.applied == 1


class Slow:
    """What a slow server says: it thinks until it is let, then writes its plan."""

    def __init__(self):
        self.let, self.asked = threading.Event(), threading.Event()

    def __call__(self, body):
        return Says(kind="text/event-stream", chunks=self._chunks())

    def _chunks(self):
        self.asked.set()
        while not self.let.wait(0.02):
            yield b": thinking\n\n"
        yield stream('{"plan":[["put","cup","table"]]}', usage={"prompt_tokens": 90, "completion_tokens": 12}).body


def test_a_slow_server_is_asked_beside_a_skill(make_graph):
    slow = Slow()
    with ChatServer(slow) as server:
        graph = make_graph(orchestrator__reasoner=f"openai:{server.url}#slow")
        graph.begin()
        assert graph.until(slow.asked.is_set)
        graph.base.finish()
        assert graph.until(lambda: graph.executive.running is None)
        slow.let.set()
        graph.ends_at(TABLE)
    assert graph.executive.tally.applied == 1 and graph.executive.spent[2] == 102


def test_a_server_whose_answer_nobody_needs_sees_the_connection_close(make_graph):
    slow = Slow()
    with ChatServer(slow) as server:
        graph = make_graph(orchestrator__reasoner=f"openai:{server.url}#slow")
        graph.begin()
        assert graph.until(slow.asked.is_set)
        assert graph.ear.call("executive_node/cancel").success
        assert graph.until(lambda: server.hung_up == 1)
        assert graph.until(lambda: graph.executive.tally.withdrawn == 1)
    assert graph.executive.tally.applied == 0 and graph.executive.status is TaskStatus.CANCELLED


@pytest.fixture
def chat_model(make_model, tmp_path):  # noqa: F811
    return make_model(tmp_path / "chat.gguf", n_ctx=4096, general=True)


def test_a_worker_that_is_killed_while_it_thinks_loses_no_step(make_graph, chat_model):
    graph = make_graph(orchestrator__reasoner=f"llama:{chat_model}")
    worker = graph.orchestrator._reasoner.backend.worker
    killed = worker.pid
    os.kill(killed, signal.SIGSTOP)  # it thinks for as long as the test wants
    graph.begin()
    assert graph.until(lambda: "beside acting" in graph.orchestrator.diagnose()[1])
    os.kill(killed, signal.SIGKILL)
    assert graph.until(lambda: graph.executive.thinks is None)
    assert graph.base.running and not graph.base.goals[0].is_cancel_requested, "it drives on"
    graph.base.finish()
    graph.ends_at(DESK)
    assert (graph.base.asked, graph.hand.asked) == ([SHELF, DESK], [TAKE, PUT])
    assert graph.executive.tally.applied == 0
    assert graph.until(lambda: worker.pid not in (None, killed)), "the next question finds another worker"


def test_a_model_is_stopped_when_nobody_needs_its_answer(make_graph, chat_model):
    graph = make_graph(orchestrator__reasoner=f"llama:{chat_model}")
    worker = graph.orchestrator._reasoner.backend.worker
    os.kill(worker.pid, signal.SIGSTOP)
    graph.begin()
    assert graph.until(lambda: "beside acting" in graph.orchestrator.diagnose()[1])
    assert graph.ear.call("executive_node/cancel").success
    assert graph.until(lambda: graph.orchestrator.diagnose()[2]["calls_withdrawn"] == 1)
    assert graph.until(lambda: graph.orchestrator.diagnose()[2]["asks"] == "none")
    assert graph.executive.tally.applied == 0
