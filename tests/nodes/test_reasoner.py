"""A reasoner asked by orchestrator_node, its answers carried out by replay_node: in one process, over real topics."""

import threading
import time

import pytest
from hand_made import TASKS, Expert, profile

from rarrl.events import EndEvent, ThinkEvent, read_events
from rarrl.latency.profile import save_profile
from rarrl.reasoner.breaker import GuardedReasoner

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray

from rarrl_nodes import conversions, decision_client, key_values, orchestrator_node, replay_node
from rarrl_nodes.lifecycle import LATCHED


class Slow(Expert):
    """Knows every plan, and answers when it is let."""

    def __init__(self):
        self.let, self.closed = threading.Event(), False

    def ask(self, request):
        assert self.let.wait(30.0)
        return super().ask(request)

    def close(self):
        self.closed = True
        self.let.set()


@pytest.fixture
def graph(ear, local_node, tmp_path, monkeypatch):
    """Starts both nodes with a reasoner of the test's."""
    save_profile(profile(), tmp_path / "household.json")

    def start(reasoner, episodes=3, time_budget_s=20.0, policy="always", **more):
        monkeypatch.setattr(orchestrator_node, "make_reasoner", lambda spec, **_: GuardedReasoner(reasoner))
        shared = {
            "orchestrator__profile": str(tmp_path / "household.json"),
            "orchestrator__reasoner": "llama",
            "orchestrator__policy": policy,
            "orchestrator__time_budget_s": time_budget_s,
        }
        robot = local_node(
            replay_node.ReplayNode,
            replay__episodes=episodes,
            replay__speed=1000.0,
            exit_when_done=False,
            run_dir=str(tmp_path / "run"),
            **shared,
        )
        return robot, local_node(orchestrator_node.OrchestratorNode, **shared, **more)

    return start


def finished(ear):
    return bool(ear.heard["state"]) and ear.values("state")[-1]["phase"] == "finished"


def test_plans_are_written_told_and_carried_out(ear, graph, tmp_path):
    graph(Expert())
    assert ear.until(lambda: finished(ear), 60.0)
    log = read_events(tmp_path / "run")
    thinks = [event for event in log.events if isinstance(event, ThinkEvent)]
    ends = [event for event in log.events if isinstance(event, EndEvent)]
    assert len(ends) == 3 and any(end.success for end in ends)
    assert thinks and all(think.status == "OK" and think.answer for think in thinks)
    assert {round(think.t1 - think.t0, 6) for think in thinks} == {0.2}  # what the reasoner says that it took


def test_what_was_met_in_the_home_is_asked_with(ear, graph, tmp_path):
    scenes = {}

    class Noting(Expert):
        def ask(self, request):
            scenes[request.goal] = request.scene
            return super().ask(request)

    recorded = profile()
    tasks = (recorded.tasks[0].model_copy(update={"home": 0}), *recorded.tasks[1:])
    told = recorded.model_copy(update={"tasks": tasks, "homes": (("desk", "mug"),)})
    save_profile(told, tmp_path / "household.json")
    (tmp_path / "home.json").write_text('{"shelf": ["box"]}')
    graph(Noting(), episodes=12, orchestrator__home=str(tmp_path / "home.json"))
    assert ear.until(lambda: len(scenes) == len(TASKS), 60.0)
    first, *others = (task.annotations[0].goal for task in TASKS)
    assert scenes == {first: ("desk", "mug")} | dict.fromkeys(others, ("box", "shelf"))


def test_an_answer_that_never_comes_is_a_timeout_and_late_ones_are_dropped(ear, graph, tmp_path, monkeypatch):
    monkeypatch.setattr(decision_client, "GRACE_S", 0.2)
    slow = Slow()
    _, thinker = graph(slow, episodes=1, time_budget_s=1.2)
    assert ear.until(lambda: finished(ear), 30.0)
    log = read_events(tmp_path / "run")
    thinks = [event for event in log.events if isinstance(event, ThinkEvent)]
    assert [think.status for think in thinks] == ["TIMEOUT"] and thinks[0].t1 - thinks[0].t0 == pytest.approx(1.2)
    slow.let.set()
    assert ear.until(lambda: thinker.diagnose()[2]["stale_answers_dropped"] == 1)
    assert thinker.diagnose()[2]["reasoner_calls"] == 1


def test_answers_to_something_else_are_ignored_and_counted(ear, graph):
    robot, _ = graph(Slow())
    assert ear.until(lambda: robot._awaiting is not None)
    state = ear.values("state")[-1]
    publisher = ear.node.create_publisher(DiagnosticArray, "answer", LATCHED)
    assert ear.until(lambda: publisher.get_subscription_count() > 0)
    decision = robot._awaiting.decision
    request = thinker_request(decision)
    answer = Expert().ask(request)
    good = conversions.values_from_answer(conversions.AnswerMessage(state["run"], int(state["state"]), answer))
    for change in (
        {"run": "another"},
        {"state": 999},
        {"id": decision.id + 5},
        {"level": 3 - answer.level},
        {"steps": "[[]]"},
    ):
        before = robot._client.ignored
        publisher.publish(key_values.array("orchestrator_node: answer", good | change, Time()))
        assert ear.until(lambda before=before: robot._client.ignored > before), change
    assert robot._awaiting is not None and robot._awaiting.decision.id == decision.id


def thinker_request(decision):
    """What the orchestrator asked for `decision`, with a goal that the expert knows."""
    from rarrl.reasoner.base import Request

    return Request(decision.id, decision.action.role, decision.action.level, TASKS[0].annotations[0].goal, 5.0)


def test_the_reasoner_is_closed_with_the_node(ear, graph):
    slow = Slow()
    _, thinker = graph(slow)
    assert ear.until(lambda: thinker.diagnose()[2]["reasoner_calls"] == 1)
    started = time.monotonic()
    thinker.unload()
    assert slow.closed and time.monotonic() - started < 5.0


def test_a_reasoner_that_hangs_is_a_timeout_and_keeps_nothing_from_going_on(ear, graph, tmp_path):
    slow = Slow()
    _, thinker = graph(slow, episodes=1, time_budget_s=0.5)
    assert ear.until(lambda: finished(ear), 30.0)
    thinks = [event for event in read_events(tmp_path / "run").events if isinstance(event, ThinkEvent)]
    assert [think.status for think in thinks] == ["TIMEOUT"] and "did not answer within" in thinks[0].answer
    assert thinker.diagnose()[2]["reasoner_timeouts"] == 1
    threads = [thread for thread in threading.enumerate() if thread.name == "reasoner"]
    assert threads and all(thread.daemon for thread in threads)  # they do not keep the process from ending
    slow.let.set()
    assert ear.until(lambda: thinker.diagnose()[2]["stale_answers_dropped"] == 1)


@pytest.mark.parametrize("answer", [None, 1 / 3])
def test_a_reasoner_without_an_answer_does_not_end_the_node(ear, graph, tmp_path, answer):
    class Wrong(Expert):
        def ask(self, request):
            if answer is None:
                raise RuntimeError("no model")
            return answer

    graph(Wrong(), episodes=1)
    assert ear.until(lambda: finished(ear), 30.0)
    thinks = [event for event in read_events(tmp_path / "run").events if isinstance(event, ThinkEvent)]
    assert thinks and {think.status for think in thinks} <= {"BACKEND_DOWN", "INVALID"}


def test_a_call_waits_for_the_one_before_it(ear, graph, tmp_path, monkeypatch):
    monkeypatch.setattr(decision_client, "GRACE_S", 0.2)
    monkeypatch.setattr(orchestrator_node, "GRACE_S", 30.0)  # the node does not give up: the robot goes on first
    slow = Slow()
    _, thinker = graph(slow, episodes=2, time_budget_s=2.0, orchestrator__costs="static")
    assert ear.until(lambda: thinker._awaited is not None and thinker._awaited is not thinker._running)
    assert thinker.diagnose()[2]["reasoner_calls"] == 1  # backends take one call at a time
    slow.let.set()
    assert ear.until(lambda: finished(ear), 30.0)
    statuses = [event.status for event in read_events(tmp_path / "run").events if isinstance(event, ThinkEvent)]
    assert statuses[:2] == ["TIMEOUT", "OK"] and thinker.diagnose()[2]["stale_answers_dropped"] == 1


def test_a_replayed_robot_goes_on_beside_a_question(ear, graph, tmp_path):
    robot, thinker = graph(Expert(), episodes=6, policy='always:{"recipe": "P1", "beside": true}')
    assert ear.until(lambda: finished(ear), 60.0)
    log = read_events(tmp_path / "run")
    thinks = [event for event in log.events if isinstance(event, ThinkEvent)]
    ends = [event for event in log.events if isinstance(event, EndEvent)]
    assert len(ends) == 6 and sum(end.calls for end in ends) == len(thinks)
    assert any(think.beside and think.status == "OK" for think in thinks)
    tally = robot._robot.tally
    assert tally.beside == sum(bool(think.beside) for think in thinks)
    assert tally.applied + tally.dropped + tally.withdrawn == tally.beside
    assert thinker.diagnose()[2]["asks"] == "none"


def test_a_replayed_robot_stands_where_nothing_is_left_beside_a_question(ear, graph, tmp_path):
    slow = Slow()
    robot, thinker = graph(slow, episodes=1, policy="own_parts:AsksBeside")
    assert ear.until(lambda: thinker.diagnose()[2]["reasoner_calls"] == 1)
    assert ear.until(lambda: robot._robot.stands or robot._robot.withdraws or finished(ear), 30.0)
    slow.let.set()
    assert ear.until(lambda: finished(ear), 30.0)
    thinks = [event for event in read_events(tmp_path / "run").events if isinstance(event, ThinkEvent)]
    assert len(thinks) == 1 and thinks[0].beside
