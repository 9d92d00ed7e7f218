"""benchmarks/ros_environment.py: what it sets, and that it leaves alone what a user has set."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import ros_environment

NAMES = ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "ROS_DOMAIN_ID", "FASTRTPS_DEFAULT_PROFILES_FILE")


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in (*NAMES, "ROS_DISTRO"):
        monkeypatch.setenv(name, "")  # so that what a test sets is undone
        monkeypatch.delenv(name)


def test_a_benchmark_has_a_domain_of_its_own_on_this_machine():
    ros_environment.isolate()
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST" and os.environ["ROS_LOCALHOST_ONLY"] == "1"
    assert 1 <= int(os.environ["ROS_DOMAIN_ID"]) <= 100
    assert Path(os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()


def test_without_shared_memory_there_is_no_profile_of_it(monkeypatch):
    ros_environment.isolate(shared_memory=False)
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in os.environ and "ROS_LOCALHOST_ONLY" not in os.environ
    monkeypatch.setenv("ROS_DISTRO", "humble")
    ros_environment.isolate(shared_memory=False)
    assert os.environ["ROS_LOCALHOST_ONLY"] == "1"


def test_what_a_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    ros_environment.isolate()
    assert os.environ["ROS_DOMAIN_ID"] == "7"
