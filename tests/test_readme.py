"""README and docs: figures in step with the results, links and commands that exist."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rarrl.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "benchmarks" / "readme_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["README.md", "docs/FIGURES.md"])
def test_figures_are_those_of_the_result_files(tables, page):
    text, chosen = (ROOT / page).read_text("utf-8"), tables.PAGES[page]
    fresh = tables.rewritten(text, ROOT / "benchmarks" / "results", chosen)
    assert fresh == text, "python benchmarks/readme_tables.py"


def test_the_headlines_are_among_the_figures(tables):
    for name, figures in tables.HEADLINES.items():
        document = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))
        assert set(figures) <= set(document["figures"]), name


def test_a_readme_without_markers_is_refused(tables, tmp_path):
    with pytest.raises(ValueError, match="lacks"):
        tables.rewritten("no markers", tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#][^)]*)\)", page.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page):
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for line in re.findall(r"^rarrl ([a-z][^\n#]*)", "\n".join(blocks), re.MULTILINE):
        verbs = re.match(r"(?:(?:train|eval|bench|tune|profile|alfred|data|serve) )?[a-z-]+", line).group().split()
        shown = CliRunner().invoke(app, [*verbs, "--help"], env={"COLUMNS": "200"}, color=False)
        assert shown.exit_code == 0, line
        for option in re.findall(r"(?<=\s)--[a-z-]+", line):
            assert option in shown.output, f"{line}: {option}"


def test_picture_is_small_enough_for_a_clone():
    assert (ROOT / "docs" / "images" / "mission.png").stat().st_size < 400_000
