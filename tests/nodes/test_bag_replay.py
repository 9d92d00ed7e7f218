"""`rarrl replay BAG`: a small bag is a regression test, which catches one constant and one weight that change."""

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("mcap_ros2", reason="mcap is missing: pip install 'rarrl[record]'")
from bag_fixtures import TWIST, twist, write_bag

from rarrl import build
from rarrl.bag.reader import Bag
from rarrl.bag.rewrite import rewrite
from rarrl.cli import app
from rarrl.errors import InputError
from rarrl.safety import gate
from rarrl_nodes.bag_replay import EXPECTED, replay_bag, update

ROBOT = Path(__file__).resolve().parents[1] / "data" / "robot.mcap"
"""Made by `python tests/bag_robot.py BAG 22`, and `rarrl replay BAG --extract tests/data/robot.mcap`."""
GATE_SETTINGS = "rarrl/settings/safety_gate_node.json"
ORCHESTRATOR_SETTINGS = "rarrl/settings/orchestrator_node.json"


def rarrl(*arguments):
    return CliRunner().invoke(app, ["replay", *(str(argument) for argument in arguments)])


def expected(replay):
    """part -> its comparison with what the bag expects."""
    return {each.part: each for each in replay.comparisons if each.against == "expected"}


def test_todays_parts_come_to_what_the_bag_expects():
    replay = replay_bag(Bag(ROBOT))
    assert not replay.moved and set(expected(replay)) == {"gate", "decisions"}, [c.line for c in replay.comparisons]
    said = {tuple(row[1:3]) for row in replay.rows["gate"]}
    assert {("PASS", ""), ("LIMITED", "limits"), ("LIMITED", "obstacle near"), ("STOP", "blocked")} <= said
    decided = {row[1] for row in replay.rows["decisions"]}
    assert {"ACT", "THINK(planner, 1)", "THINK(verifier, 1)"} <= decided
    assert ROBOT.stat().st_size < 300_000


def test_one_constant_of_the_gate_is_noticed(monkeypatch):
    monkeypatch.setattr(gate, "EARLY_S", -0.05)
    compared = expected(replay_bag(Bag(ROBOT)))
    assert compared["gate"].different > 0 == compared["decisions"].different
    assert compared["gate"].first is not None and sum(compared["gate"].moved.values()) == compared["gate"].different


@pytest.mark.parametrize(("name", "value"), [("gate.decel_mps2", 0.45), ("gate.latency_s", 0.2)])
def test_one_default_of_the_gate_is_noticed(name, value):
    """What was at its default when it was recorded is not in the bag."""
    assert name not in json.loads(Bag(ROBOT).attachments[GATE_SETTINGS])
    assert expected(replay_bag(Bag(ROBOT), {name: value}))["gate"].different > 0


def test_one_weight_of_the_orchestrator_is_noticed(monkeypatch):
    load = build.load_policy

    def changed(*arguments):
        policy = load(*arguments)
        last = np.array(policy.weights[-1])
        last[0, 0] += 0.05
        return replace(policy, weights=(*policy.weights[:-1], last))

    monkeypatch.setattr(build, "load_policy", changed)
    compared = expected(replay_bag(Bag(ROBOT)))
    assert compared["decisions"].different > 0 == compared["gate"].different


def test_the_recording_itself_is_followed():
    """Of two computers' clocks nothing is known to a millisecond; decisions wait for their outcomes."""
    compared = {each.part: each for each in replay_bag(Bag(ROBOT)).comparisons if each.against == "recording"}
    assert compared["decisions"].different == 0 < compared["decisions"].compared
    assert compared["gate"].different < 0.1 * compared["gate"].compared


def test_update_tells_what_moved_and_accepts_it(tmp_path):
    path = shutil.copy(ROBOT, tmp_path / "mine.mcap")
    moved = rarrl(path, "--cost-weight", 0.5)
    assert moved.exit_code == 1 and "decisions, against the expected:" in moved.output
    assert "first at" in moved.output and "THINK" in moved.output

    assert rarrl(path, "--cost-weight", 0.5, "--update").exit_code == 0
    assert rarrl(path, "--cost-weight", 0.5).exit_code == 0
    assert rarrl(path).exit_code == 1
    assert rarrl(path, "--update").exit_code == 0
    assert Bag(path).attachments == Bag(ROBOT).attachments
    assert list(Bag(path)._raw()) == list(Bag(ROBOT)._raw())


def test_a_part_of_a_bag_is_taken_out(tmp_path):
    bag = Bag(ROBOT)
    update(bag, replay_bag(bag), tmp_path / "part.mcap")
    assert set(Bag(tmp_path / "part.mcap").topics) <= set(bag.topics)
    assert not replay_bag(Bag(tmp_path / "part.mcap")).moved
    with pytest.raises(InputError, match="exists"):
        update(bag, replay_bag(bag), tmp_path / "part.mcap")


def test_json_holds_the_same(tmp_path):
    result = rarrl(ROBOT, "--json", tmp_path / "r.json", "--tolerance", 0)
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["moved"] == (result.exit_code == 1)
    assert {(each["part"], each["against"]) for each in told["comparisons"]} == {
        (part, against) for part in ("gate", "decisions") for against in ("recording", "expected")
    }


def test_without_what_it_expects_the_recording_judges(tmp_path):
    path = tmp_path / "plain.mcap"
    rewrite(Bag(ROBOT), path, {}, ["/state", "/decision"])
    bag = Bag(path)
    del bag.attachments[EXPECTED]
    replay = replay_bag(bag)
    assert not replay.moved and "no topic command was recorded" in " ".join(replay.notes)
    assert replay_bag(bag, {"orchestrator.policy": "never"}).moved


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (ORCHESTRATOR_SETTINGS, {"orchestrator.policy": "os:system"}, "which file or code"),
        (ORCHESTRATOR_SETTINGS, {"orchestrator.policy": "/tmp/policy.safetensors"}, "which file or code"),
        (ORCHESTRATOR_SETTINGS, {"orchestrator.profile": "../x.json"}, "which file or code"),
        (ORCHESTRATOR_SETTINGS, {"orchestrator.abstain": "x.json"}, "which file or code"),
        (ORCHESTRATOR_SETTINGS, {"orchestrator.cost_weight": -1.0}, "cost_weight"),
        (ORCHESTRATOR_SETTINGS, [1], "no settings"),
        (GATE_SETTINGS, {"gate.rate_hz": 1e9}, "rate_hz"),
        (GATE_SETTINGS, {"gate.no_such": 1}, "no_such"),
        (GATE_SETTINGS, {"gate.cell_m": {"a": 1}}, "no settings"),
        (EXPECTED, {"gate": [["x"]]}, "cannot be read"),
        (EXPECTED, {"other": []}, "cannot be read"),
    ],
)
def test_what_a_bag_says_of_itself_is_checked(tmp_path, name, content, told):
    path = tmp_path / "bad.mcap"
    data = json.dumps(content).encode()
    rewrite(Bag(ROBOT), path, {name: gzip.compress(data) if name == EXPECTED else data})
    result = rarrl(path)
    assert result.exit_code == 2 and told in result.stderr and len(result.stderr.splitlines()) == 1
    if name == EXPECTED:
        assert rarrl(path, "--update").exit_code == 0 and rarrl(path).exit_code == 0


def test_a_bag_without_anything_to_play_is_refused(tmp_path):
    write_bag(tmp_path / "other.mcap", [("/cmd_vel", TWIST, twist(1.0), 1.0)])
    result = rarrl(tmp_path / "other.mcap")
    assert result.exit_code == 2 and "nothing that can be played" in result.stderr
    write_bag(tmp_path / "two.mcap", [(f"/{robot}/state", TWIST, twist(1.0), 1.0) for robot in "ab"])
    assert "several topics" in rarrl(tmp_path / "two.mcap").stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("missing.mcap",), "does not exist"),
        ((ROBOT, "--n", 3), "--n: not with a bag"),
        ((ROBOT, "--tolerance", -1), "--tolerance"),
        ((ROBOT, "--policy", "never", "--policy", "always"), "with a bag give one"),
        (("--update",), "only with a bag"),
    ],
)
def test_options_that_do_not_go_together(arguments, told):
    result = rarrl(*arguments)
    assert result.exit_code == 2 and told in result.stderr
