"""docs/reference: made from the code, and in step with it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GENERATOR = ROOT / "docs" / "reference" / "generate.py"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate_reference", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and inspect look modules up by name
    spec.loader.exec_module(module)
    return module


def run_generator(*arguments):
    return subprocess.run(
        [sys.executable, str(GENERATOR), *arguments], capture_output=True, text=True, cwd=ROOT, timeout=300
    )


PAGES = ["commands", "parameters", "nodes", "environments", "rules", "features", "robot-files", "api", "map"]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_what_the_code_says(page):
    done = run_generator(page, "--check")
    if "is left as it is" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, f"{done.stderr.strip()[-3000:]}\nrun: make docs"


def test_every_page_is_checked(generate):
    assert set(generate.PAGES) == {path.stem for path in GENERATOR.parent.glob("*.md")}


def test_a_stale_page_is_named_with_the_command_that_renews_it(generate, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate, "HERE", tmp_path)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "PAGES", {"map": lambda: "fresh"})
    (tmp_path / "map.md").write_text("old\n")

    assert generate.write_pages(["map"], check=True) == 1
    assert "map.md is stale: python docs/reference/generate.py" in capsys.readouterr().err
    assert (tmp_path / "map.md").read_text() == "old\n"

    assert generate.write_pages(["map"], check=False) == 0
    assert (tmp_path / "map.md").read_text() == "fresh\n"
    assert generate.write_pages(["map"], check=True) == 0


def test_a_page_that_cannot_be_made_here_is_left_as_it_is(generate, tmp_path, monkeypatch, capsys):
    def unmade():
        raise generate.NotHereError("rclpy is not installed")

    monkeypatch.setattr(generate, "HERE", tmp_path)
    monkeypatch.setattr(generate, "PAGES", {"nodes": unmade})
    (tmp_path / "nodes.md").write_text("committed\n")

    assert generate.write_pages(["nodes"], check=True) == 0
    assert (tmp_path / "nodes.md").read_text() == "committed\n"
    assert "nodes.md is left as it is: rclpy is not installed" in capsys.readouterr().err


def test_topics_without_meaning_and_meanings_without_topic_are_named(generate):
    page = "\n".join(
        [
            "## gate_node",
            "| name |  | type | QoS | what it carries |",
            "|---|---|---|---|---|",
            "| `scan` | in | sensor_msgs/LaserScan | reliable | How far. |",
            "| `odom` | in | nav_msgs/Odometry | reliable |  |",
        ]
    )
    meanings = {"all": {}, "gate_node": {"scan": "How far.", "gone": "Nothing."}, "old_node": {"x": "y"}}
    assert generate.wrong_meanings(page, meanings) == [
        "gate_node odom: not explained",
        "gate_node gone: no such topic",
        "old_node: no such node",
    ]


def test_topics_that_a_docstring_explains_are_in_the_table_alone(generate):
    doc = """Sees things.

Subscribes:
    scan (sensor_msgs/LaserScan, latched): how far
        it is.
    ~/reset (std_srvs/Trigger): begins again.

Topics, parameters: another page."""
    text, topics = generate._topics_of(doc)
    assert text == "Sees things."
    assert topics == {"scan": "how far it is.", "~/reset": "begins again."}


def test_a_module_of_the_api_that_vanished_is_named(generate, monkeypatch):
    monkeypatch.setattr(generate, "API", ("rarrl.no_such_module",))
    with pytest.raises(SystemExit, match=r"rarrl\.no_such_module is not there any more"):
        generate.api()


def test_text_in_tables_is_neither_html_nor_a_new_column(generate):
    assert generate._cell("runs/<time> or `<x>` | both") == r"runs/\<time> or `<x>` \| both"


def test_a_feature_without_meaning_and_a_meaning_without_feature_are_named(generate):
    with pytest.raises(SystemExit, match=r"\['gone', 'tail'\]"):
        generate._features(("type.A", "type.B", "tail"), {"type": "Its kind.", "gone": "Nothing."})
    assert "| `type.A`, `type.B` | Its kind. |" in generate._features(("type.A", "type.B"), {"type": "Its kind."})
