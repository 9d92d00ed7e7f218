"""The orchestrator's part of a bag: decisions after what was recorded. No ROS."""

from pathlib import Path

import pytest

pytest.importorskip("mcap_ros2", reason="mcap is missing: pip install 'rarrl[record]'")
from bag_fixtures import ARRAY, header, write_bag

from rarrl.bag.reader import Bag
from rarrl.clock import ManualClock
from rarrl.config import Config, config_from_flat
from rarrl.decision_loop import DecisionSession, EpisodeRunner
from rarrl_nodes import conversions, key_values
from rarrl_nodes.bag_decisions import make_session, play_decisions
from rarrl_nodes.conversions import DecisionMessage
from rarrl_sim_envs.alfred.make import make_executive

ROBOT = Path(__file__).resolve().parents[1] / "data" / "robot.mcap"
TOPICS = {name: f"/{name}" for name in ("state", "decision")}
CONFIG = config_from_flat({"orchestrator.policy": "after_failure", "replay.seed": 3}, "test")


def message(values):
    texts = [{"key": key, "value": key_values.as_text(value)} for key, value in values.items()]
    status = {"level": 0, "name": "test", "message": "", "hardware_id": "", "values": texts}
    return {"header": header(0.0), "status": [status]}


def recorded(path, config=CONFIG, episodes=(0, 1)):
    """A replay of `config`, as its two nodes publish it; the decisions' labels."""
    robot, session = EpisodeRunner(make_executive(config), ManualClock(), run="a"), make_session(config)
    messages, labels, at = [], [], 10.0
    for episode in episodes:
        report = robot.begin(episode)
        while not robot.done:
            at += 1.0
            messages += [
                ("/state", ARRAY, message(conversions.values_from_report(report)), at + again) for again in (0, 0.2)
            ]
            decision = session.answer(report)
            left = session.orchestrator.budget
            sent = DecisionMessage(report.run, report.number, report.episode, decision, left.time_s, left.tokens)
            messages.append(("/decision", ARRAY, message(conversions.values_from_decision(sent)), at + 0.1))
            labels.append(decision.action.label)
            robot.execute(decision)
            report = robot.complete()
    return Bag(write_bag(path, messages)), labels


def test_what_was_decided_is_decided_again(tmp_path):
    bag, labels = recorded(tmp_path / "a.mcap")
    decided, refused = play_decisions(bag, CONFIG, TOPICS)
    assert [one.now.decision.action.label for one in decided] == labels and not refused
    assert all(one.now == one.was for one in decided)
    assert len(set(labels)) > 1


def test_another_rule_moves_its_own_decisions_alone(tmp_path):
    """What follows a decision that moved is judged after what was recorded."""
    bag, labels = recorded(tmp_path / "a.mcap")
    never = config_from_flat({"orchestrator.policy": "never"}, "test")
    decided, _ = play_decisions(bag, never, TOPICS)
    assert {one.now.decision.action.label for one in decided} == {"ACT"}
    moved = [one for one in decided if one.now.decision.action is not one.was.decision.action]
    assert len(moved) == len([label for label in labels if label != "ACT"]) > 0
    assert [one.now.time_left_s for one in decided] == [one.was.time_left_s for one in decided]


def test_a_task_whose_beginning_was_not_recorded_is_left_out(tmp_path):
    bag, _ = recorded(tmp_path / "a.mcap")
    firsts = list(bag.messages({"/state"}))
    episode = [conversions.report_from_values(key_values.values_of(m.value)).episode for m in firsts]
    late = Bag(write_bag(tmp_path / "b.mcap", [(m.topic, ARRAY, as_content(m.value), m.log_s) for m in firsts[4:]]))
    decided, _ = play_decisions(late, CONFIG, {"state": "/state"})
    assert {one.now.episode for one in decided} == {1} and len(decided) == episode.count(1) // 2
    assert all(one.was is None for one in decided)


def as_content(value):
    values = [{"key": each.key, "value": each.value} for each in value.status[0].values]
    status = {"level": 0, "name": "", "message": "", "hardware_id": "", "values": values}
    return {"header": header(0.0), "status": [status]}


def test_messages_that_are_none_are_counted(tmp_path):
    bad = [("/state", ARRAY, message({"schema": "1", "run": "x"}), 1.0), ("/decision", ARRAY, message({}), 2.0)]
    decided, refused = play_decisions(Bag(write_bag(tmp_path / "a.mcap", bad)), Config(), TOPICS)
    assert (decided, refused) == ([], 2)


def test_without_a_model_a_robots_own_skills_are_never_asked_about():
    config = config_from_flat({"executive.skills": "robot:pyrobosim", "orchestrator.policy": "always"}, "test")
    assert make_session(config).orchestrator.policy.name.startswith("never")


def test_the_learned_policy_says_by_how_much_it_is_ahead():
    topics = {name: f"/{name}" for name in ("state", "decision")}
    decided, _ = play_decisions(Bag(ROBOT), config_from_flat({"orchestrator.cost_weight": 0.001}, "test"), topics)
    assert len(decided) > 30 and all(one.lead > 0.0 for one in decided)
    assert isinstance(make_session(Config()), DecisionSession)
