"""Running the simulated robot's graph: what is followed, printed and refused, without starting it."""

import json
from pathlib import Path

import pytest

from rarrl.errors import InputError
from rarrl_nodes.sim_run import REPORT_S, STALLED_S, Missions, Pace, graph_environment, mission_line, run_sim


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


def progress(path, mission_s, mission=0, waits_for="", late=0):
    values = {"mission": mission, "mission_s": mission_s, "going": not waits_for, "waits_for": waits_for}
    path.write_text(json.dumps({**values, "ticks": 100, "late_ticks": late}))


def test_a_run_says_how_fast_it_goes(tmp_path):
    path = tmp_path / "progress.json"
    pace = Pace(path, 180.0, started=0.0)
    assert pace.line(1.0) == ""
    assert pace.line(REPORT_S) == "the nodes are starting"

    progress(path, 0.0, waits_for="the policy and the detector")
    assert pace.line(2 * REPORT_S) == "mission 0 waits for the policy and the detector"
    progress(path, 3.0)
    assert pace.line(3 * REPORT_S) == "mission 0: 3 of 180 s, 0 % late steps"
    progress(path, 3.0 + 0.96 * REPORT_S, late=2)
    assert pace.line(4 * REPORT_S) == "mission 0: 17 of 180 s, 2 % late steps, 0.96 times real time"


def test_a_machine_that_is_too_slow_is_told_so_once(tmp_path):
    path = tmp_path / "progress.json"
    pace = Pace(path, 180.0, started=0.0)
    lines = []
    for step in range(1, 5):
        progress(path, 0.25 * step * REPORT_S, late=60)
        lines.append(pace.line(step * REPORT_S))
    assert "0.25 times real time; this machine is too slow for real time" in lines[1]
    assert [("too slow" in line) for line in lines] == [False, True, False, False]


def test_only_a_world_that_stands_is_given_up(tmp_path):
    path = tmp_path / "progress.json"
    pace = Pace(path, 180.0, started=0.0)
    for step in range(1, 30):  # a quarter of real time is slow, and goes on
        progress(path, 0.25 * step * REPORT_S)
        pace.line(step * REPORT_S)
        assert pace.stalled_s(step * REPORT_S) == 0.0
    pace.line(29 * REPORT_S + STALLED_S + 1.0)
    assert pace.stalled_s(29 * REPORT_S + STALLED_S + 1.0) > STALLED_S
    progress(path, 0.0, mission=1)
    pace.line(29 * REPORT_S + STALLED_S + 2.0)
    assert pace.stalled_s(29 * REPORT_S + STALLED_S + 2.0) == 0.0


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
