"""sim_robot_node in this process, with a stand-in for policy and gate: topics, decisions, instruction, logs."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from rarrl.events import ActEvent, ThinkEvent, read_events
from rarrl.types import Action, Decision

if find_spec("mujoco") is None:
    pytest.skip("mujoco is missing: pip install 'rarrl[sim]'", allow_module_level=True)
pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image, JointState
from sim_follower import SENSOR, Follower
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Plan
from rarrl.types import CallStatus, Role
from rarrl_nodes import conversions, key_values
from rarrl_nodes.conversions import AnswerMessage, DecisionMessage
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.sim_robot_node import MISSIONS, SimRobotNode
from rarrl_nodes.stereo_messages import rig_of
from rarrl_sim_envs.household.robot import realtime
from rarrl_sim_envs.household.robot.proprioception import PROPRIO_NAMES

BOOK = "Put the book on the bed."
QUIET = {"sim__seed": 1, "sim__people": 0, "sim__disturbance": 0.0, "sim__wait_s": 0.0}


class Side:
    """The rest of the robot: decides by hand, and hears the node."""

    def __init__(self, ear, node):
        self.ear, self.node, self.heard = ear, node, {}
        kinds = {"left/image_rect": Image, "right/image_rect": Image, "head/image": Image, "proprio": JointState}
        kinds |= {"left/camera_info": CameraInfo, "right/camera_info": CameraInfo, "odom": Odometry}
        for topic, kind in kinds.items():
            self.heard[topic] = []
            ear.node.create_subscription(kind, topic, self.heard[topic].append, SENSOR)
        self.goals = []
        ear.node.create_subscription(String, "goal", self.goals.append, LATCHED)
        self.decision = ear.node.create_publisher(DiagnosticArray, "decision", LATCHED)
        self.answer = ear.node.create_publisher(DiagnosticArray, "answer", LATCHED)
        self.instruction = ear.node.create_publisher(String, "instruction", 10)
        self.cmd_vel = ear.node.create_publisher(TwistStamped, "cmd_vel", 1)
        self.interact = ear.node.create_publisher(Bool, "interact", 1)
        ends = (self.decision, self.answer, self.instruction, self.cmd_vel)
        assert ear.until(lambda: all(p.get_subscription_count() for p in ends))

    def state(self):
        values = self.ear.values("state")
        return values[-1] if values else {}

    def decide(self, action=Action.ACT, deadline_s=5.0, beside=False, asks_person=False):
        values = self.state()
        number = int(values["state"])
        decision = Decision(number, action, deadline_s, "test", beside, asks_person)
        message = DecisionMessage(values["run"], number, int(values["episode"]), decision, 20.0, 4000.0)
        msg = key_values.array("orchestrator_node: decision", conversions.values_from_decision(message), Time())
        self.decision.publish(msg)
        return number

    def reply(self, number, **fields):
        answer = Answer(number, Role.PLANNER, 1, CallStatus.OK, seconds=0.2, tokens_out=9, backend="test", **fields)
        values = conversions.values_from_answer(AnswerMessage(self.state()["run"], number, answer))
        self.answer.publish(key_values.array("orchestrator_node: answer", values, Time()))

    def waiting(self, after=0):
        return self.ear.until(
            lambda: self.state().get("phase") == "waiting" and int(self.state()["state"]) > after, timeout_s=60.0
        )


@pytest.fixture
def robot(ear, local_node, tmp_path):
    def make(**parameters):
        node = local_node(SimRobotNode, **{**QUIET, "run_dir": str(tmp_path / "run"), **parameters})
        return Side(ear, node)

    return make


@pytest.fixture
def follower(ear, namespace):
    node = Follower(namespace=namespace, cli_args=["--ros-args", "-r", "command:=cmd_vel"])
    ear.executor.add_node(node)
    yield node
    ear.executor.remove_node(node)
    node.destroy_node()


def test_it_tells_what_the_robot_senses_all_with_one_stamp(robot):
    side = robot(sim__missions=1)
    assert side.ear.until(lambda: all(len(heard) > 3 for heard in side.heard.values()))
    left, odom = side.heard["left/image_rect"][-1], side.heard["odom"]
    assert (left.width, left.height, left.encoding) == (320, 240, "bgr8")
    assert len({len(np.unique(np.frombuffer(m.data, np.uint8))) > 20 for m in side.heard["left/image_rect"]}) == 1
    head, proprio = side.heard["head/image"][-1], side.heard["proprio"][-1]
    assert (head.width, head.height, head.encoding) == (64, 64, "rgb8")
    assert proprio.name == list(PROPRIO_NAMES) and np.isfinite(proprio.position).all()
    stamps = {(m.header.stamp.sec, m.header.stamp.nanosec) for m in odom}
    for topic in ("left/image_rect", "right/image_rect", "head/image", "proprio", "left/camera_info"):
        stamp = side.heard[topic][-2].header.stamp
        assert (stamp.sec, stamp.nanosec) in stamps
    rig = rig_of(side.heard["left/camera_info"][-1], side.heard["right/camera_info"][-1])
    assert (rig.width, rig.height) == (320, 240) and rig.baseline == pytest.approx(0.12)
    assert (odom[-1].header.frame_id, odom[-1].child_frame_id) == ("odom", "base_link")
    world = side.node._world.env.world
    assert odom[-1].pose.pose.position.x == pytest.approx(world.x)


@pytest.mark.slow
def test_a_mission_from_decision_to_decision(robot, follower, ear, tmp_path):
    side = robot(sim__missions=1)
    assert side.waiting() and side.state()["goal"].endswith(BOOK)
    assert ear.until(lambda: follower._last is not None)
    number = side.decide(Action.PLANNER_1)
    assert ear.until(lambda: side.state()["phase"] == "executing")
    side.reply(number, plan=Plan.from_rows([["PickupObject", "book"], ["PutObject", "book", "bed"]]))
    assert side.waiting(number)
    assert side.state()["outcome_action"] == "PLANNER_1" and side.state()["outcome_status"] == "OK"
    while side.state()["phase"] == "waiting":
        number = side.decide()
        assert ear.until(lambda n=number: int(side.state()["state"]) > n, timeout_s=60.0)
        assert side.state()["outcome_status"] == "SUCCESS"
    assert side.state()["phase"] == "finished" and ear.until(side.node.ended.done)
    line = json.loads((tmp_path / "run" / MISSIONS).read_text())
    assert line["success"] and (line["met"], line["conditions"], line["collisions"]) == (1, 1, 0)
    assert (line["attempts"], line["calls"]) == (4, 1)
    events = read_events(tmp_path / "run").events
    acts = [e for e in events if isinstance(e, ActEvent)]
    assert [e.subgoal for e in acts] == ["GotoLocation", "PickupObject", "GotoLocation", "PutObject"]
    assert all(a.t1 - a.t0 > 0.5 for a in acts) and acts[-1].t1 == pytest.approx(line["seconds"])
    assert next(e for e in events if isinstance(e, ThinkEvent)).answer
    heard = [m.data for m in ear.heard["subgoal"]]
    assert heard[0] == "" and "PickupObject book" in heard and heard[-1] == ""


def test_an_answer_that_does_not_come_is_a_timeout(robot, monkeypatch):
    monkeypatch.setattr("rarrl_nodes.decision_client.GRACE_S", 0.2)
    side = robot(sim__missions=1)
    assert side.waiting()
    number = side.decide(Action.PLANNER_1, deadline_s=0.3)
    assert side.waiting(number)
    assert side.state()["outcome_status"] == "TIMEOUT"


def test_beside_a_question_only_act_is_due_and_the_answer_is_merged(robot, ear):
    side = robot(sim__missions=1)
    assert side.waiting()
    asked = side.decide(Action.PLANNER_1, beside=True)
    assert ear.until(lambda: side.state()["thinking"] == "true")
    assert side.waiting() and (side.state()["asked_id"], side.state()["can_go_on"]) == (str(asked), "true")
    assert side.node.diagnose()[2]["asks"].endswith(f" {asked}")
    before = side.node._client.ignored
    second = side.decide(Action.PLANNER_2, beside=True)
    assert ear.until(lambda: side.node._client.ignored == before + 1)
    side.reply(asked, plan=Plan.from_rows([["PickupObject", "book"], ["PutObject", "book", "desk"]]))
    assert side.waiting(second)
    state = side.state()
    assert (state["thinking"], state["asked_id"], state["outcome_id"]) == ("false", "none", "none")
    assert (state["thought_id"], state["thought_status"]) == (str(asked), "OK")
    assert state["steps"] == '[["PickupObject", "book"], ["PutObject", "book", "desk"]]'
    assert (side.node._robot.tally.applied, side.node._robot.tally.beside) == (1, 1)


def test_a_question_beside_acting_that_is_not_answered_is_a_timeout(robot, monkeypatch):
    monkeypatch.setattr("rarrl_nodes.decision_client.GRACE_S", 0.2)
    side = robot(sim__missions=1)
    assert side.waiting()
    number = side.decide(Action.PLANNER_1, deadline_s=0.3, beside=True)
    assert side.ear.until(lambda: side.state()["thought_id"] == str(number))
    assert (side.state()["thought_status"], side.state()["asked_id"]) == ("TIMEOUT", "none")


@pytest.mark.slow
def test_it_drives_beside_a_question(robot, follower, ear):
    side = robot(sim__missions=1)
    assert side.waiting() and ear.until(lambda: follower._last is not None)
    asked = side.decide(Action.PLANNER_1, beside=True, deadline_s=60.0)
    assert ear.until(lambda: side.state()["thinking"] == "true") and side.waiting()
    act = side.decide()
    assert ear.until(lambda: side.state()["phase"] == "executing" and side.state()["asked_id"] == str(asked))
    side.reply(asked, plan=Plan.from_rows([["PickupObject", "book"], ["PutObject", "book", "bed"]]))
    assert ear.until(lambda: side.state()["thought_id"] == str(asked), timeout_s=60.0)
    assert side.node._world.env.world.steps > 5 and side.node._robot.tally.applied == 1
    assert side.state()["outcome_id"] == str(act) and side.state()["outcome_status"] == "SUCCESS"


def test_where_a_decision_asks_a_person_it_stands_until_one_says_yes(robot, ear):
    side = robot(sim__missions=1)
    resume = ear.node.create_client(Trigger, f"{side.node.get_name()}/resume")
    assert side.waiting() and resume.wait_for_service(20.0)
    refused = resume.call_async(Trigger.Request())
    assert ear.until(refused.done) and not refused.result().success

    number = side.decide(asks_person=True)
    assert ear.until(lambda: "waiting for a person: test" in side.node.diagnose()[1])
    assert ear.until(lambda: side.state()["phase"] == "executing")
    before = side.node._world.ticks
    assert ear.until(lambda: side.node._world.ticks > before + 3)  # the home goes on
    assert side.node._world._attempt is None and int(side.state()["state"]) == number

    yes = resume.call_async(Trigger.Request())
    assert ear.until(yes.done) and yes.result().success
    assert ear.until(lambda: side.node._world._attempt is not None or int(side.state()["state"]) > number)


@pytest.mark.slow
def test_a_person_who_never_answers_costs_the_mission_and_no_more(robot, ear, tmp_path):
    side = robot(sim__missions=1, sim__time_limit_s=3.0)
    assert side.waiting()
    side.decide(asks_person=True)
    assert ear.until(side.node.ended.done, timeout_s=60.0)
    line = json.loads((tmp_path / "run" / MISSIONS).read_text())
    assert (line["success"], line["asked_person"]) == (False, 1)


def test_decisions_for_others_are_not_carried_out(robot, ear):
    side = robot(sim__missions=1)
    assert side.waiting()
    values = side.state()
    message = DecisionMessage("another", 1, 0, Decision(1, Action.ACT, 5.0, "test"), 20.0, 4000.0)
    side.decision.publish(key_values.array("o", conversions.values_from_decision(message), Time()))
    assert ear.until(lambda: side.node.diagnose()[2]["ignored"] == 1)
    assert side.state()["state"] == values["state"] and side.state()["phase"] == "waiting"


def test_without_a_number_of_missions_each_waits_for_its_instruction(robot, ear):
    side = robot()
    assert ear.until(lambda: side.goals and side.node.diagnose()[1] == "waiting for an instruction")
    assert side.goals[-1].data == BOOK and not ear.heard["state"]
    side.instruction.publish(String(data="Fly to the moon."))
    assert ear.until(lambda: side.node.diagnose()[2]["ignored"] == 1)
    assert "this home is set up for" in side.node.diagnose()[2]["last_ignored"]
    assert side.node._world.env.world.steps == 0
    side.instruction.publish(String(data=BOOK))
    assert side.waiting() and ear.until(lambda: side.node._world.env.world.steps > 3)


def test_it_tells_when_nobody_decides(robot, ear):
    side = robot(sim__missions=1, orchestrator__decision_timeout_s=0.5)
    assert side.waiting()
    assert ear.until(lambda: side.node.diagnose()[0] == DiagnosticStatus.STALE)
    assert "orchestrator_node silent" in side.node.diagnose()[1]


def test_the_gate_is_activated_anew_before_a_mission(robot, ear):
    asked = []

    def answer(request, response):
        asked.append(request.transition.id)
        response.success = True
        return response

    ear.node.create_service(ChangeState, "safety_gate_node/change_state", answer)
    for topic, kind in (("subgoal", String), ("head/image", Image)):
        ear.node.create_subscription(kind, topic, lambda _: None, SENSOR)
    side = robot(sim__missions=1, sim__wait_s=20.0)
    ear.node.create_timer(0.1, lambda: side.cmd_vel.publish(TwistStamped()))
    assert side.waiting()
    assert asked[:2] == [4, 3]  # deactivate, activate


def test_a_mission_begins_without_a_gate_when_none_comes(robot):
    side = robot(sim__missions=1, sim__wait_s=0.5)
    assert side.waiting()


def test_a_world_that_fails_ends_the_node(robot, ear, monkeypatch):
    monkeypatch.setattr(realtime.HouseholdScene, "pair", lambda self, world: 1 / 0)
    side = robot(sim__missions=1)
    assert ear.until(side.node.ended.done)
    assert "the world has stopped: ZeroDivisionError" in side.node.failure
