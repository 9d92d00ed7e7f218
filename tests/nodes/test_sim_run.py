"""Running the simulated robot's graph: what is followed, printed and refused, without starting it."""

import json
from pathlib import Path

import pytest

from rarrl.errors import InputError
from rarrl_nodes.sim_run import Missions, graph_environment, mission_line, run_sim


def test_missions_are_reported_when_their_line_is_complete(tmp_path):
    path, reported = tmp_path / "missions.jsonl", []
    missions = Missions(path, reported.append)
    missions.read()
    line = json.dumps({"mission": 0, "success": True})
    path.write_text(line + "\n" + line[:9])
    missions.read()
    assert reported == missions.lines == [{"mission": 0, "success": True}]
    path.write_text(line + "\n" + line + "\n")
    missions.read()
    assert len(reported) == 2


def test_a_mission_in_one_line():
    mission = {"mission": 2, "goal": "Put the book on the bed.", "success": False, "met": 1, "conditions": 3}
    mission |= {"seconds": 81.3, "attempts": 9, "calls": 2, "llm_s": 0.52, "collisions": 0}
    assert mission_line(mission) == (
        "mission 2: 1 of 3 conditions, 81 s, 9 attempts, 2 calls (0.5 s), 0 collisions: Put the book on the bed."
    )


def test_a_run_needs_missions_and_a_fresh_folder(tmp_path):
    pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
    with pytest.raises(InputError, match="at least 1"):
        run_sim({"missions": "0"}, tmp_path)
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(InputError, match="holds a run already"):
        run_sim({"missions": "1"}, tmp_path)


def test_images_go_through_shared_memory_unless_the_environment_names_a_profile(monkeypatch):
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    environment, domain = graph_environment(7)
    assert (environment["ROS_DOMAIN_ID"], domain) == ("7", 7)
    assert "segment_size" in Path(environment["FASTRTPS_DEFAULT_PROFILES_FILE"]).read_text("utf-8")

    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/own.xml")
    assert graph_environment(7)[0]["FASTRTPS_DEFAULT_PROFILES_FILE"] == "/own.xml"
