"""Layouts for Foxglove and rviz: they can be read, and show topics that there are, as the types that they carry."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config"
TOPICS = yaml.safe_load((ROOT / "docs/reference/topics.yaml").read_text("utf-8"))
CARRY = {
    "Image": {"left/image_rect", "right/image_rect", "head/image"},
    "PointCloud2": {"voxels"},
    "LaserScan": {"scan"},
    "Map": {"occupancy"},
    "Odometry": {"odom"},
}
"""rviz's display -> our topics that carry its type."""


def names():
    """Whole names of all topics and services of docs/reference/topics.yaml, as they are without a namespace."""
    for node, topics in TOPICS.items():
        for name in topics:
            yield name if name.startswith("/") else f"/{node}/{name[2:]}" if name.startswith("~/") else f"/{name}"


def texts(value):
    """All texts in nested values, with their keys."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from ((k or key, text) for k, text in texts(each))
            yield key, key
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield "", value


def shown_in_foxglove():
    layout = json.loads((CONFIG / "foxglove_layout.json").read_text("utf-8"))
    found = {text for _, text in texts(layout["configById"]) if text.startswith("/")}
    return layout, {re.split(r"[.\[{]", text)[0] for text in found}


def test_foxglove_shows_topics_and_calls_services_that_there_are():
    _, shown = shown_in_foxglove()
    assert shown - {"/left/camera_info"} <= set(names()) and {"/voxels", "/decision", "/beliefs", "/plan"} <= shown
    assert {"/orchestrator_node/think_now", "/orchestrator_node/pause", "/orchestrator_node/resume"} <= shown
    assert {"/budget/time_left_s", "/budget/tokens_left", "/cmd_vel", "/mode", "/diagnostics"} <= shown


def test_foxglove_places_each_panel_once():
    layout, _ = shown_in_foxglove()

    def panels(node):
        return [node] if isinstance(node, str) else panels(node["first"]) + panels(node["second"])

    placed = panels(layout["layout"])
    assert sorted(placed) == sorted(layout["configById"])


@pytest.mark.parametrize("file", sorted(path.name for path in CONFIG.glob("*.rviz")))
def test_rviz_shows_topics_that_there_are_as_what_they_are(file):
    layout = yaml.safe_load((CONFIG / file).read_text("utf-8"))
    manager = layout["Visualization Manager"]
    with_topics = [display for display in manager["Displays"] if "Topic" in display]
    assert len(with_topics) >= 4
    for display in with_topics:
        topic = display["Topic"]["Value"]
        assert topic in set(names()), topic
        assert topic[1:] in CARRY[display["Class"].partition("/")[2]], display["Name"]
    assert manager["Global Options"]["Fixed Frame"] in ("base_link", "odom")


def test_the_check_can_say_no():
    assert "/voxel" not in set(names()) and "voxels" not in CARRY["LaserScan"]
