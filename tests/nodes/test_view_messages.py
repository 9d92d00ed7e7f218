"""The view of a graph, message by message: no ROS."""

import math
from types import SimpleNamespace as Of

import numpy as np
import pytest

from rarrl.clock import ManualClock
from rarrl.config import config_from_flat
from rarrl.decision_loop import EpisodeRunner
from rarrl.errors import InputError
from rarrl_nodes import conversions, key_values
from rarrl_nodes.bag_decisions import make_session
from rarrl_nodes.conversions import DecisionMessage
from rarrl_nodes.view_messages import MOST_POINTS, GraphPicture, points_of, robot_of
from rarrl_sim_envs.alfred.make import make_executive

SETTINGS = {"orchestrator.policy": "learned", "replay.seed": 3}
CONFIG = config_from_flat(SETTINGS, "test")


def array(values, name="test", message=""):
    texts = [Of(key=key, value=key_values.as_text(value)) for key, value in values.items()]
    return Of(status=[Of(name=name, message=message, values=texts)], header=header(0.0))


def header(at_s):
    return Of(stamp=Of(sec=int(at_s), nanosec=round(at_s % 1 * 1e9)), frame_id="base_link")


def text(values):
    return array({"schema": key_values.SCHEMA, **values})


def played(picture, episodes=(0,), decide_first=False):
    """Plays episodes to `picture`, as two nodes publish them; the labels decided, and the robot."""
    robot, session = EpisodeRunner(make_executive(CONFIG), ManualClock(), run="a"), make_session(CONFIG)
    labels, at = [], 10.0
    for episode in episodes:
        report = robot.begin(episode)
        while not robot.done:
            state = array(conversions.values_from_report(report))
            decision = session.answer(report)
            left = session.orchestrator.budget
            sent = DecisionMessage(report.run, report.number, report.episode, decision, left.time_s, left.tokens)
            said = array(conversions.values_from_decision(sent))
            order = [("decision", said), ("state", state)] if decide_first else [("state", state), ("decision", said)]
            for topic, msg in order:
                picture.take(topic, msg, at)
            labels.append(decision.action.label)
            at += robot.execute(decision)
            report = robot.complete()
        picture.take("state", array(conversions.values_from_report(report)), at)
    return labels, robot


@pytest.mark.parametrize("decide_first", [False, True])
def test_a_task_is_told_by_its_states_and_decisions(decide_first):
    picture = GraphPicture("a test")
    picture.know(robot_of({"orchestrator_node": SETTINGS}))
    labels, robot = played(picture, decide_first=decide_first)
    story = picture.look().story
    assert len(story.bars) == len(labels) and all(bar.t1_s is not None for bar in story.bars)
    assert ["ACT" if not bar.role else f"THINK({bar.role}, {bar.level})" for bar in story.bars] == labels
    assert story.policy == "learned" and story.model == f"calls of {CONFIG.orchestrator.profile}"
    assert story.time_left_s == pytest.approx(robot.report.budget.time_s)
    assert story.time_budget_s == CONFIG.orchestrator.time_budget_s
    assert [bar.t0_s for bar in story.bars] == sorted(bar.t0_s for bar in story.bars)
    assert story.reason.label == labels[-1] and any(option.chosen for option in story.reason.options)
    assert sum(option.probability for option in story.reason.options) == pytest.approx(1.0)


def test_another_episode_begins_afresh():
    picture = GraphPicture("a test")
    picture.know(robot_of({"orchestrator_node": SETTINGS}))
    played(picture, (0, 1))
    story = picture.look().story
    assert story.episode == 1 and story.began_s > 10.0 and all(bar.t0_s >= story.began_s for bar in story.bars)


def test_without_the_robots_settings_the_decision_still_says_why():
    picture = GraphPicture("a test")
    labels, _ = played(picture)
    reason = picture.look().story.reason
    assert reason.label == labels[-1] and reason.why and reason.options == ()


def test_a_policy_that_is_code_or_a_file_is_not_loaded():
    for name in ("os:getcwd", "/etc/passwd", "weights.safetensors"):
        robot = robot_of({"orchestrator_node": {"orchestrator.policy": name}})
        assert robot.session is None and robot.policy == name
    assert robot_of({"orchestrator_node": {"orchestrator.profile": "../../x"}}).session is None
    with pytest.raises(InputError, match="gate"):
        robot_of({"safety_gate_node": {"gate.max_speed_mps": -1.0}})


def odometry(x, y, heading, v):
    p = Of(x=x, y=y, z=0.0)
    q = Of(x=0.0, y=0.0, z=math.sin(heading / 2), w=math.cos(heading / 2))
    return Of(header=header(1.0), pose=Of(pose=Of(position=p, orientation=q)), twist=Of(twist=twist(v)))


def twist(v):
    return Of(linear=Of(x=v, y=0.0, z=0.0), angular=Of(x=0.0, y=0.0, z=0.3))


def test_where_the_robot_is_and_what_the_gate_does():
    picture = GraphPicture("a test")
    picture.know(robot_of({"safety_gate_node": {"gate.radius_m": 0.3, "gate.margin_m": 0.1}}))
    for step in range(5):
        picture.take("odom", odometry(0.2 * step, 1.0, 0.5, 0.4), step / 10)
    gate = Of(name="robot/safety_gate_node: commands", message="STOP blocked: free for 0.10 m", values=[])
    picture.take("/diagnostics", Of(status=[Of(name="other", message="OK", values=[]), gate]), 0.5)
    scan = Of(angle_min=-0.5, angle_max=0.5, angle_increment=0.1, ranges=[2.0] * 11, range_min=0.0, range_max=4.0)
    picture.take("scan", scan, 0.6)
    picture.take("mode", text({"mode": "act only"}), 0.7)
    moment = picture.look().moment
    assert moment.pose == pytest.approx((0.8, 1.0, 0.5)) and (moment.v_m_s, moment.omega_rad_s) == (0.4, 0.3)
    assert moment.path.shape == (5, 2) and moment.t_s == 0.7 and moment.mode == "act only"
    assert (moment.gate.action, moment.gate.reason) == ("STOP", "blocked: free for 0.10 m")
    assert moment.gate.radius_m == pytest.approx(0.4) and moment.gate.stop_m > 0
    assert moment.scan.ranges_m.tolist() == [2.0] * 11


def test_a_lidars_beams_are_thinned_out_to_the_nearest():
    picture = GraphPicture("a test")
    ranges = [3.0] * 720
    ranges[101] = 0.5
    scan = Of(angle_min=-3.1, angle_max=3.1, angle_increment=6.2 / 719, ranges=ranges, range_min=0.0, range_max=4.0)
    picture.take("scan", scan, 0.0)
    shown = picture.look().moment.scan
    assert len(shown.ranges_m) == 180 and shown.ranges_m.min() == 0.5 and int(shown.ranges_m.argmin()) == 25
    assert shown.angle_min_rad + 25 * shown.increment_rad == pytest.approx(-3.1 + 101 * 6.2 / 719, abs=0.02)


def test_what_is_believed_and_what_the_executive_says():
    picture = GraphPicture("a test")
    picture.take("beliefs", text({"0": "the soda is on the table (0.9)", "1": "x" * 1000}), 0.0)
    picture.take("task", text({"status": "needs_person", "why": "the door is locked", "goal": "bring a soda"}), 0.0)
    story = picture.look().story
    assert story.beliefs[0].text == "the soda is on the table (0.9)" and len(story.beliefs[1].text) == 300
    assert (story.status, story.goal) == ("needs_person: the door is locked", "bring a soda")


def image(at_s, value=10, encoding="bgr8"):
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[..., 0] = value
    return Of(
        header=header(at_s), data=pixels.tobytes(), encoding=encoding, width=96, height=64, step=288, is_bigendian=0
    )


def cloud(at_s, points, **changed):
    rows = np.hstack([points, np.ones((len(points), 1))]).astype("<f4")
    fields = [Of(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate(("x", "y", "z", "probability"))]
    given = {"header": header(at_s), "height": 1, "width": len(rows), "fields": fields, "is_bigendian": False}
    return Of(**(given | {"point_step": 16, "row_step": 16 * len(rows), "data": rows.tobytes()} | changed))


P = [100.0, 0, 48, 0, 0, 100.0, 32, 0, 0, 0, 1, 0]
POINTS = np.array([[0.0, 0.0, 1.0], [0.1, 0.0, 2.0]])


def test_voxels_stand_over_the_picture_that_they_are_of():
    picture = GraphPicture("a test")
    picture.take("left/camera_info", Of(p=P), 0.0)
    picture.take("left/image_rect", image(1.0, 50), 1.0)
    assert picture.look().camera.voxels is None
    picture.take("left/image_rect", image(1.2, 200), 1.2)
    picture.take("voxels", cloud(1.0, POINTS), 1.3)
    camera = picture.look().camera
    assert camera.image[0, 0].tolist() == [0, 0, 50], "RGB of the older picture"
    assert np.allclose(camera.voxels, [[48 + 5, 32, 5, 2.0], [48, 32, 10, 1.0]])
    assert picture.look().camera is camera, "drawn once"


def test_voxels_that_are_old_are_left_out():
    picture = GraphPicture("a test")
    picture.take("left/camera_info", Of(p=P), 0.0)
    picture.take("voxels", cloud(1.0, POINTS), 1.0)
    picture.take("left/image_rect", image(9.0), 9.0)
    assert picture.look().camera.voxels is None


@pytest.mark.parametrize(
    "changed",
    [
        {"point_step": 4},
        {"point_step": 100_000},
        {"width": 3},
        {"is_bigendian": True},
        {"fields": []},
        {"fields": [Of(name=name, offset=14, datatype=7, count=1) for name in "xyz"]},
        {"data": b""},
    ],
)
def test_clouds_that_are_none(changed):
    with pytest.raises(ValueError, match="a cloud"):
        points_of(cloud(1.0, POINTS, **changed))


def test_a_cloud_is_read_up_to_a_limit_and_without_what_is_not_finite():
    points = np.ones((MOST_POINTS + 10, 3))
    points[0, 1] = np.nan
    assert len(points_of(cloud(1.0, points))) == MOST_POINTS - 1


@pytest.mark.parametrize(
    ("topic", "msg"),
    [
        ("state", Of(status=[])),
        ("state", array({"schema": "x"})),
        ("decision", text({"id": "1"})),
        ("answer", text({})),
        ("odom", odometry(math.nan, 0.0, 0.0, 0.0)),
        ("scan", Of(angle_min=0.0, angle_max=0.0, angle_increment=0.0, ranges=[], range_min=0.0, range_max=1.0)),
        ("left/image_rect", image(1.0, encoding="jpeg")),
        ("voxels", cloud(0.5, POINTS, point_step=4)),
        ("left/camera_info", Of(p=[])),
    ],
)
def test_messages_that_make_no_sense_change_nothing(topic, msg):
    picture = GraphPicture("a test")
    picture.take("left/image_rect", image(0.5), 0.5)
    picture.take(topic, msg, 1.0)
    shown = picture.look()
    assert shown.camera is not None or topic == "left/image_rect"
    assert shown.moment.pose is None and shown.moment.scan is None and shown.story.bars == ()
