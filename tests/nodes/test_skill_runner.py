"""Skills over real actions, services and topics; servers that do what they should not."""

import sys
import threading
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")

from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import String, UInt8
from std_srvs.srv import Trigger

from rarrl.errors import InputError
from rarrl.skills.domain import Domain
from rarrl.skills.outcome import Outcome, OutcomeMap
from rarrl.skills.plan import Step
from rarrl.skills.skill_set import Skill, SkillSet
from rarrl.skills.world import World
from rarrl_nodes import ros_types
from rarrl_nodes.skill_events import (
    Accepted,
    CancelRefused,
    Feedback,
    Finished,
    Ignored,
    Lost,
    Rejected,
    Settled,
    SkillRun,
    Spot,
    Unavailable,
    outcome_of,
)
from rarrl_nodes.skill_runner import SkillRunner, judge

FIBONACCI = "test_msgs/action/Fibonacci"
ENDS = (Unavailable, Rejected, Finished, Lost)


def action(name="fib", order="{n}", **fields):
    pytest.importorskip("test_msgs", reason="test_msgs is missing: pip install ros-test-msgs==2.0.3")
    run = {"action": name, "type": FIBONACCI, "goal": {"order": order}}
    return Skill(does="counts", parameters={"n": "number"}, run=run, **{"cancel_s": 0.3, "accept_s": 2.0} | fields)


class Bench:
    """A runner, its events, and nodes for servers."""

    def __init__(self, ear, namespace):
        self.ear, self.namespace = ear, namespace
        self.events, self.nodes, self.threads = [], [], set()
        self.node = self.add_node("runner")
        self.robot = self.add_node("robot")
        self.runner = None

    def add_node(self, name):
        node = Node(name, namespace=self.namespace, start_parameter_services=False)
        self.ear.executor.add_node(node)
        self.nodes.append(node)
        return node

    def begin(self, *skills, **options):
        """Makes the runner and waits until it knows the servers of `skills`."""
        self.runner = SkillRunner(self.node, self._hear, skills, **options)
        assert self.ear.until(lambda: all(self.runner.servers().values()), 5)
        return self.runner

    def _hear(self, event):
        self.threads.add(threading.get_ident())
        self.events.append(event)

    def of(self, *kinds):
        return [event for event in self.events if isinstance(event, kinds)]

    def wait(self, kind, count=1, timeout_s=5.0):
        """The `count`-th event of this kind."""
        assert self.ear.until(lambda: len(self.of(kind)) >= count, timeout_s), self.events
        return self.of(kind)[count - 1]

    def close(self):
        if self.runner is not None:
            self.runner.close()
        for node in self.nodes:
            self.ear.executor.remove_node(node)
            node.destroy_node()


@pytest.fixture
def bench(ear, namespace):
    bench = Bench(ear, namespace)
    yield bench
    bench.close()


@pytest.fixture
def puppet(bench):
    pytest.importorskip("test_msgs", reason="test_msgs is missing: pip install ros-test-msgs==2.0.3")
    from fibonacci_server import Puppet

    made = []

    def make(name="fib", **options):
        made.append(Puppet(bench.robot, name, **options))
        return made[-1]

    yield make
    for each in made:
        each.destroy()


def test_a_goal_runs_from_another_thread_and_its_events_come_in_the_executors(bench, puppet):
    server = puppet()
    runner = bench.begin(action(outcome=OutcomeMap(success=("SUCCEEDED",))))
    run = SkillRun(action(), {"n": 7})
    thread = threading.Thread(target=runner.start, args=(run,))
    thread.start()
    thread.join()

    assert bench.wait(Accepted) == Accepted(run.uuid)
    assert (server.asked, bytes(server.goals[0].goal_id.uuid).hex()) == ([7], run.uuid)
    server.feedback([1, 2])
    bench.wait(Feedback)
    server.finish(sequence=[1, 1, 2])

    done = bench.wait(Finished)
    assert (done.outcome, done.status, done.fields) == (Outcome.SUCCESS, "SUCCEEDED", {"sequence": [1, 1, 2]})
    assert bench.threads == {threading.get_ident()}
    assert runner.busy(run.skill) == ""


def test_no_server_is_unavailable_and_says_what_is_there(bench, puppet):
    puppet("fibonacci")
    bench.begin(action("fibonacci"))
    bench.runner.start(SkillRun(action("fibonaci", accept_s=0.3), {"n": 1}))
    assert "did you mean" in (why := bench.wait(Unavailable).why) and "fibonacci" in why
    assert outcome_of(bench.events[-1]) is Outcome.UNAVAILABLE


def test_a_bad_goal_is_never_sent(bench, puppet):
    server = puppet()
    bench.begin(action())
    bench.runner.start(SkillRun(action(), {"n": 2**40}))
    rejected = bench.wait(Rejected)
    assert "out of range of int32" in rejected.why and not rejected.sent
    assert server.asked == []


def test_a_server_may_reject(bench, puppet):
    puppet(accept=False)
    bench.begin(action())
    bench.runner.start(SkillRun(action(), {"n": 1}))
    assert bench.wait(Rejected).sent
    assert bench.runner.busy(action()) == ""


def test_an_aborted_goal_is_no_success_whatever_its_fields_say():
    table = OutcomeMap(field="code", success=(0,), refused=(1,))
    assert judge(table, "ABORTED", (0,), "") is Outcome.FAILED
    assert judge(table, "CANCELED", (0,), "") is Outcome.CANCELLED
    assert judge(table, "ABORTED", (1,), "") is Outcome.REFUSED
    assert judge(OutcomeMap(field="code", refused=("TF_ERROR",)), "ABORTED", (3, "TF_ERROR"), "") is Outcome.REFUSED


def test_one_goal_at_a_time(bench, puppet):
    server = puppet()
    bench.begin(action())
    first, second = SkillRun(action(), {"n": 1}), SkillRun(action(), {"n": 2})
    bench.runner.start(first)
    bench.runner.start(second)
    rejected = bench.wait(Rejected)
    assert (rejected.uuid, rejected.sent, rejected.outcome) == (second.uuid, False, Outcome.UNAVAILABLE)
    bench.wait(Accepted)
    server.finish()
    bench.wait(Finished)
    bench.runner.start(second)
    bench.wait(Accepted, 2)
    assert (server.asked, server.most) == ([1, 2], 1)


def test_the_goal_of_another_client_is_left_alone(bench, puppet):
    server = puppet()
    other = SkillRunner(bench.add_node("other"), lambda _: None, [action()])
    bench.begin(action())
    other.start(SkillRun(action(), {"n": 1}))
    assert bench.ear.until(lambda: server.goals)
    bench.ear.until(lambda: False, 0.1)
    bench.runner.start(SkillRun(action(), {"n": 2}))
    assert "another client" in bench.wait(Rejected).why
    assert server.most == 1
    other.close()


def test_a_cancel_ends_with_the_result(bench, puppet):
    server = puppet()
    bench.begin(action())
    run = SkillRun(action(), {"n": 1})
    bench.runner.start(run)
    bench.wait(Accepted)
    bench.runner.cancel(run.uuid)
    assert bench.ear.until(lambda: server.goals[0].is_cancel_requested)
    server.finish(how="canceled")
    assert bench.wait(Finished).outcome is Outcome.CANCELLED


def test_a_cancel_before_the_answer_is_sent_after_it(bench, puppet):
    server = puppet()
    server.gate = Future()
    bench.begin(action())
    run = SkillRun(action(), {"n": 1})
    bench.runner.start(run)
    assert bench.ear.until(lambda: server.asked)
    bench.runner.cancel(run.uuid)
    bench.ear.until(lambda: False, 0.05)
    assert server.cancels == 0
    server.gate.set_result(None)
    assert bench.ear.until(lambda: server.cancels)


def test_a_refused_cancel_is_told_and_the_run_goes_on(bench, puppet):
    server = puppet(cancel=False)
    bench.begin(action())
    run = SkillRun(action(), {"n": 1})
    bench.runner.start(run)
    bench.wait(Accepted)
    bench.runner.cancel(run.uuid)
    bench.wait(CancelRefused)
    bench.ear.until(lambda: False, 0.4)
    assert bench.of(*ENDS) == []
    server.finish()
    assert bench.wait(Finished).outcome is Outcome.SUCCESS


def test_a_goal_that_takes_too_long_is_stopped(bench, puppet):
    server = puppet()
    bench.begin(action())
    bench.runner.start(SkillRun(action(timeout_s=0.1), {"n": 1}))
    assert bench.ear.until(lambda: server.goals and server.goals[0].is_cancel_requested)
    server.finish(how="canceled")
    done = bench.wait(Finished)
    assert (done.outcome, done.overdue, done.why) == (Outcome.FAILED, True, "no result within 0.1 s; stopped")


def test_after_a_lost_cancel_nothing_is_sent_until_the_late_result(bench, puppet):
    server = puppet()
    server.cancel_gate = Future()  # the answer to a cancel never comes
    bench.begin(action())
    run = SkillRun(action(timeout_s=0.1, cancel_s=0.1), {"n": 1})
    bench.runner.start(run)
    lost = bench.wait(Lost)
    assert not lost.settled and "never acknowledged" in lost.why
    assert outcome_of(lost) is Outcome.TIMEOUT

    bench.runner.start(SkillRun(action(), {"n": 2}))
    assert "may still be at work" in bench.wait(Rejected).why
    server.finish(sequence=[5])
    done = bench.wait(Finished)
    assert (done.uuid, done.late, done.fields) == (run.uuid, True, {"sequence": [5]})

    bench.runner.start(SkillRun(action(), {"n": 3}))
    bench.wait(Accepted, 2)
    assert (server.asked, server.most) == ([1, 3], 1)
    assert len(bench.of(*ENDS)) == 3  # Lost, Rejected, and the late Finished


def test_a_goal_that_is_accepted_late_is_stopped(bench, puppet):
    server = puppet()
    server.gate = Future()
    bench.begin(action())
    run = SkillRun(action(accept_s=0.3), {"n": 1})
    bench.runner.start(run)
    lost = bench.wait(Lost)
    assert not lost.settled and "did not say within 0.3 s" in lost.why
    bench.runner.start(SkillRun(action(), {"n": 2}))
    bench.wait(Rejected)

    server.gate.set_result(None)
    assert bench.ear.until(lambda: server.goals and server.goals[0].is_cancel_requested)
    server.finish(how="canceled")
    assert bench.wait(Finished).late
    assert bench.of(Accepted) == []


def test_nothing_is_sent_to_a_server_that_thinks_and_says_that_it_knows_no_such_goal(bench, puppet):
    server = puppet()
    server.gate = Future()
    bench.begin(action())
    run = SkillRun(action(accept_s=0.3), {"n": 1})
    bench.runner.start(run)
    bench.wait(Lost)
    bench.ear.until(lambda: False, 1.3)  # longer than until the second cancel
    assert bench.of(Settled) == []
    bench.runner.start(SkillRun(action(), {"n": 2}))
    assert "may still be at work" in bench.wait(Rejected).why

    server.gate.set_result(None)
    assert bench.ear.until(lambda: server.goals and server.goals[0].is_cancel_requested)
    server.finish(how="canceled")
    assert bench.wait(Finished).late
    assert (server.asked, server.most) == ([1], 1)


def test_a_goal_of_an_earlier_process_that_the_server_thinks_about_is_waited_for(bench, puppet):
    server = puppet()
    server.gate = Future()
    first = SkillRunner(bench.add_node("first"), lambda _: None, [action()])
    run = SkillRun(action(), {"n": 1})
    first.start(run)
    assert bench.ear.until(lambda: server.asked)
    first.close()
    bench.begin(action())
    bench.runner.adopt(SkillRun(action(), {"n": 1}, run.uuid, accepted=False))
    bench.ear.until(lambda: False, 0.5)
    assert bench.events == []
    server.gate.set_result(None)
    assert bench.wait(Accepted).adopted
    server.finish(sequence=[3])
    assert bench.wait(Finished).fields == {"sequence": [3]}


def test_a_goal_of_an_earlier_process_is_asked_for_when_its_server_is_found(bench, puppet):
    pytest.importorskip("test_msgs")
    bench.begin()
    run = SkillRun(action(accept_s=0.1), {"n": 1})
    bench.runner.adopt(run)
    bench.ear.until(lambda: False, 0.3)
    assert bench.events == []
    puppet()
    assert bench.wait(Lost).settled


def test_a_goal_that_was_believed_gone_and_turns_up_blocks_its_server_again(bench, puppet):
    server = puppet()
    server.gate = Future()
    first = SkillRunner(bench.add_node("first"), lambda _: None, [action()])
    run = SkillRun(action(), {"n": 1})
    first.start(run)
    assert bench.ear.until(lambda: server.asked)
    first.close()
    bench.begin(action())
    bench.runner.adopt(SkillRun(action(accept_s=60.0), {"n": 1}, run.uuid, accepted=False, sent_ago_s=60.0))
    assert bench.wait(Lost).settled

    server.gate.set_result(None)
    assert "accepted after all" in bench.wait(Ignored).why
    assert "may still be at work" in bench.runner.busy(action())
    assert bench.ear.until(lambda: server.goals[0].is_cancel_requested)
    server.finish(how="canceled")
    assert bench.wait(Finished).late


def test_a_server_that_is_gone_takes_its_goal_along(bench, puppet):
    pytest.importorskip("test_msgs")
    from fibonacci_server import Puppet

    robot = bench.add_node("fragile")
    server = Puppet(robot, "fib")
    bench.begin(action())
    bench.runner.start(SkillRun(action(), {"n": 1}))
    bench.wait(Accepted)
    server.destroy()
    lost = bench.wait(Lost)
    assert lost.settled and lost.why.endswith("is gone")


def test_a_server_that_was_started_again_does_not_know_the_goal(bench):
    pytest.importorskip("test_msgs")
    from fibonacci_server import Puppet

    old = Puppet(bench.robot, "fib")
    bench.begin(action())
    bench.runner.start(SkillRun(action(), {"n": 1}))
    bench.wait(Accepted)
    new = Puppet(bench.add_node("again"), "fib")
    old.destroy()
    assert bench.wait(Lost).settled
    bench.runner.start(SkillRun(action(), {"n": 2}))
    bench.wait(Accepted, 2)
    assert (old.most, new.most) == (1, 1)
    new.destroy()


def test_two_servers_of_one_name_raise_nothing(bench, puppet):
    puppet(), puppet()
    bench.begin(action())
    bench.ear.until(lambda: bench.node.count_services(f"{bench.namespace}/fib/_action/send_goal") == 2)
    bench.runner.start(SkillRun(action(), {"n": 1}))
    bench.wait(Accepted)
    assert "a second answer" in bench.wait(Ignored).why


def test_a_running_goal_is_taken_up_by_its_uuid(bench, puppet):
    server = puppet()
    first = SkillRunner(bench.add_node("dies"), lambda _: None, [action()])
    run = SkillRun(action(), {"n": 1})
    first.start(run)
    assert bench.ear.until(lambda: server.goals)
    first.close()

    bench.runner = SkillRunner(bench.node, bench._hear)
    bench.runner.adopt(run)
    assert bench.wait(Accepted) == Accepted(run.uuid, adopted=True)
    server.feedback([1])
    bench.wait(Feedback)
    server.finish(sequence=[9])
    assert bench.wait(Finished).fields == {"sequence": [9]}


def test_an_unknown_goal_is_lost_at_once(bench, puppet):
    puppet()
    bench.begin(action())
    started = time.monotonic()
    bench.runner.adopt(SkillRun(action(), {"n": 1}))
    lost = bench.wait(Lost)
    assert lost.settled and "does not know the goal" in lost.why
    assert time.monotonic() - started < 1.5
    assert bench.of(Accepted) == []


def test_a_goal_that_ended_meanwhile_has_its_result(bench, puppet):
    server = puppet()
    first = SkillRunner(bench.add_node("dies"), lambda _: None, [action()])
    run = SkillRun(action(), {"n": 1})
    first.start(run)
    assert bench.ear.until(lambda: server.goals)
    server.finish(sequence=[4])
    bench.ear.until(lambda: False, 0.05)
    first.close()
    bench.begin(action())
    bench.runner.adopt(run)
    assert bench.wait(Finished).fields == {"sequence": [4]}


def service(**fields):
    run = {"service": "open", "type": "std_srvs/srv/Trigger"}
    return Skill(does="opens", run=run, outcome=OutcomeMap(like="trigger"), **fields)


def test_a_service_answers(bench):
    def answer(_, response):
        response.success, response.message = False, "stuck"
        return response

    bench.robot.create_service(Trigger, "open", answer)
    bench.begin(service())
    bench.runner.start(SkillRun(service()))
    done = bench.wait(Finished)
    assert (done.outcome, done.code, done.why) == (Outcome.FAILED, False, "stuck")


def test_a_code_that_no_list_holds_says_so(bench):
    bench.robot.create_service(Trigger, "open", lambda _, response: response)
    skill = service().model_copy(update={"outcome": OutcomeMap(field="message", success=("ok",))})
    bench.begin(skill)
    bench.runner.start(SkillRun(skill))
    done = bench.wait(Finished)
    assert (done.outcome, done.why) == (Outcome.FAILED, "message is '', which no list of `outcome` holds")


def test_a_service_that_answers_late(bench):
    gate = Future()

    async def answer(_, response):
        await gate
        return response

    bench.robot.create_service(Trigger, "open", answer)
    bench.begin(service())
    run = SkillRun(service(timeout_s=0.2))
    bench.runner.start(run)
    assert not bench.wait(Lost).settled
    bench.runner.cancel(run.uuid)
    bench.runner.start(SkillRun(service()))
    assert "may still be at work" in bench.wait(Rejected).why
    gate.set_result(None)
    assert bench.wait(Finished).late


def test_a_service_that_was_started_again_has_lost_the_call(bench):
    asked, gate = [], Future()

    async def never(_, response):
        asked.append(1)
        await gate
        return response

    old = bench.robot.create_service(Trigger, "open", never)
    bench.begin(service())
    bench.runner.start(SkillRun(service()))
    assert bench.ear.until(lambda: asked)
    bench.robot.create_service(Trigger, "open", lambda _, response: response)
    bench.robot.destroy_service(old)
    lost = bench.wait(Lost)
    assert lost.settled and lost.why.endswith("was started again")
    gate.set_result(None)


def topic(**fields):
    run = {"topic": "say", "type": "std_msgs/msg/String", "goal": {"data": "{text}"}}
    return Skill(does="says", parameters={"text": "text"}, run=run, **fields)


def test_a_command_on_a_topic_is_done_after_a_while(bench):
    heard = []
    bench.robot.create_subscription(String, "say", lambda msg: heard.append(msg.data), 1)
    bench.begin(topic())
    bench.runner.start(SkillRun(topic(expected_s=0.1), {"text": "hello"}))
    assert bench.wait(Finished).outcome is Outcome.SUCCESS
    assert heard == ["hello"]


def test_a_command_that_nobody_hears_is_unavailable(bench):
    bench.runner = SkillRunner(bench.node, bench._hear)
    bench.runner.start(SkillRun(topic(accept_s=0.1), {"text": "hello"}))
    assert "nobody" in bench.wait(Unavailable).why


def test_a_type_that_is_missing_is_refused_at_once(bench):
    skill = Skill(does="x", run={"action": "a", "type": "nav9_msgs/action/Go"})
    with pytest.raises(InputError, match="nav9_msgs is not installed"):
        SkillRunner(bench.node, bench._hear, [skill])


def test_steps_of_a_plan_get_numbers_and_poses():
    world = World(frame="odom", rooms={"office": {}}, places={"desk": {"pose": [1, 2, 0.5], "room": "office"}})
    parameters = {"place": "place", "times": "number", "share": "number", "text": "text"}
    skills = SkillSet(
        skills={"go": Skill(does="goes", parameters=parameters, run=action().run.model_copy(update={"goal": {}}))}
    )
    run = SkillRun.of(Domain(skills, world), Step("go", ("desk", "3", "0.5", "3")), uuid="ab" * 16)
    assert run.arguments == {
        "place": Spot("desk", "office", "odom", (1.0, 2.0, 0.5)),
        "times": 3,
        "share": 0.5,
        "text": "3",
    }
    assert (run.arguments["place"].yaw, run.uuid) == (0.5, "ab" * 16)


def test_a_goal_takes_the_robots_own_numbers_of_a_place_and_of_a_thing():
    places, things = {"fridge": {"values": {"stop": 7}}}, {"serum": {"values": {"cap": "red"}}}
    skill = Skill(does="x", run={"action": "a", "type": FIBONACCI}, parameters={"tube": "thing", "to": "place"})
    run = SkillRun.of(
        Domain(SkillSet(skills={"bring": skill}), World(places=places, things=things)),
        Step("bring", ("serum", "fridge")),
    )
    number = ros_types.fill(UInt8(), {"data": "{to.stop}"}, run.arguments)
    text = ros_types.fill(String(), {"data": "{tube} {tube.cap}"}, run.arguments)
    assert (number.data, text.data) == (7, "serum red")


@pytest.mark.parametrize(
    "run, says",
    [
        ({"action": "bad name", "type": FIBONACCI}, "is no name in ROS"),
        ({"python": "os:getcwd"}, "not run over ROS"),
    ],
)
def test_what_cannot_be_run_over_ros_is_rejected(bench, run, says):
    bench.runner = SkillRunner(bench.node, bench._hear)
    bench.runner.start(SkillRun(Skill(does="x", run=run)))
    assert says in bench.wait(Rejected).why


def test_one_server_has_one_type(bench):
    bench.runner = SkillRunner(bench.node, bench._hear, [service()])
    bench.runner.start(SkillRun(Skill(does="x", run={"service": "open", "type": "std_srvs/srv/SetBool"})))
    assert "keep one" in bench.wait(Rejected).why


@pytest.mark.slow
def test_killed_servers(bench, tmp_path):
    """A process that is killed is in the graph for up to 20 s; one that is started again is known at once."""
    import os
    import signal
    import subprocess
    from pathlib import Path

    script = Path(__file__).parents[1] / "fibonacci_server.py"

    def spawn(number):
        log = (tmp_path / f"{number}.log").open("wb")
        return subprocess.Popen(
            [sys.executable, str(script), f"{bench.namespace}/fib"], stdout=log, start_new_session=True
        )

    first = spawn(1)
    try:
        assert bench.begin(action())
        bench.runner.start(SkillRun(action(), {"n": 100}))
        bench.wait(Accepted)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        second = spawn(2)
        killed = time.monotonic()
        assert bench.wait(Lost, timeout_s=25).settled
        assert time.monotonic() - killed < 10  # and not the 20 s
        bench.runner.start(SkillRun(action(), {"n": 3}))
        assert bench.wait(Finished).outcome is Outcome.SUCCESS

        os.killpg(second.pid, signal.SIGKILL)
        second.wait()
        bench.runner.start(SkillRun(action(accept_s=1.0), {"n": 3}))
        assert not bench.wait(Lost, 2).settled
        assert "is gone" in bench.wait(Settled, timeout_s=30).why
        assert "TWO GOALS" not in (tmp_path / "1.log").read_text() + (tmp_path / "2.log").read_text()
    finally:
        for process in (first, second):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["single", "multi"])
def test_no_two_goals_run_at_one_server_whatever_it_does(bench, executor):
    """Servers that accept late, refuse, hang, lose cancels and answer late, in random order.

    Each run has one end, and every goal that a server has is known to the runner before the next one is sent."""
    pytest.importorskip("test_msgs")
    import random

    from fibonacci_server import Puppet
    from rclpy.executors import MultiThreadedExecutor

    servers = [Puppet(bench.robot, name) for name in ("a", "b")]
    random_ = random.Random(executor)
    ends = {}

    def hear(event):
        bench.events.append(event)
        if isinstance(event, ENDS) and not getattr(event, "late", False):
            ends[event.uuid] = ends.get(event.uuid, 0) + 1

    ear = bench.ear
    if executor == "multi":
        client = Node("client", namespace=bench.namespace)
        several = MultiThreadedExecutor(3)
        several.add_node(client)
        thread = threading.Thread(target=several.spin, daemon=True)
        thread.start()
    else:
        client = bench.node
    runner = bench.runner = SkillRunner(client, hear, [action("a"), action("b")])
    ear.until(lambda: False, 0.3)
    started = []
    try:
        for _ in range(400):
            for each in servers:  # a server that thinks about a goal for longer is believed not to have it
                if each.gate and time.monotonic() - each.gated > 0.3:
                    each.gate.set_result(None)
                    each.gate = None
            name, server = random_.choice([("a", servers[0]), ("b", servers[1])])
            skill = action(name, accept_s=0.05, timeout_s=random_.choice([0.02, 0.1, 1.0]), cancel_s=0.02)
            run = SkillRun(skill, {"n": 1})
            move = random_.random()
            if move < 0.4:
                started.append(run.uuid)
                runner.start(run)
            elif move < 0.5 and started:
                runner.cancel(started[-1])
            elif move < 0.8:
                for at in server.running:
                    server.finish(at, random_.choice(["succeed", "abort", "canceled"]))
            elif move < 0.85:
                server.accept, server.cancel = random_.random() < 0.8, random_.random() < 0.8
            elif move < 0.9:
                if server.gate is None:
                    server.gate, server.gated = Future(), time.monotonic()
            elif server.gate:
                server.gate.set_result(None)
                server.gate = None
            ear.until(lambda: False, random_.choice([0.0, 0.01, 0.06]))

        for server in servers:
            server.accept = server.cancel = True
            if server.gate:
                server.gate.set_result(None)
                server.gate = None

        def ended():
            for server in servers:
                for at in server.running:
                    server.finish(at, "canceled")
            return set(ends) == set(started) and not runner.busy(action("a")) and not runner.busy(action("b"))

        assert ear.until(ended, 20)
        assert set(ends.values()) == {1}
        assert [server.most for server in servers] == [1, 1], bench.of(Ignored)
        assert sum(len(server.goals) for server in servers) > 10
    finally:
        for server in servers:
            server.destroy()
        if executor == "multi":
            runner.close()
            several.shutdown()
            thread.join()
            client.destroy_node()
