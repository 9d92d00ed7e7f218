"""README and docs: figures in step with the results, links that resolve, commands that parse, quick ones that run."""

import ast
import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alfworld_fixtures import a_game, write_folder
from typer.main import get_command

from rarrl.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN = [page for page in PAGES if page.parent.name != "reference"]
FIGURES = ROOT / "docs" / "FIGURES.md"

# A fenced command that holds one of these is parsed and not run; why.
PARSED_ONLY = {
    "DIR": "needs a data set that its licence forbids shipping",
    "openai:": "needs a server",
    "any-instruct-model": "needs somebody's model file",
    "rarrl train ": "takes minutes to hours; tests/learning trains small ones",
    "rarrl sweep ": "trains for minutes; tests/learning/orchestrator/test_sweep.py trains small ones",
    "rarrl convert ": "needs a checkpoint; tests/policy/test_openvla_convert.py has one",
    "rarrl tune ": "takes minutes to hours; tests/learning tunes small ones",
    "rarrl bench ": "measures for minutes on a quiet machine; tests/learning runs small ones",
    "rarrl data ": "records for minutes in Meta-World; tests/learning records small ones",
    "rarrl quantize ": "needs recorded demonstrations; tests/cli/test_quantize.py runs it",
    "rarrl eval policy": "needs a trained policy, or plays for minutes; tests/learning runs small ones",
    "rarrl eval orchestrator --profile": "plays for an hour; tests/learning plays a few episodes",
    "rarrl eval mission": "plays missions for minutes; tests/learning/household plays a few",
    "rarrl view ": "runs until Ctrl-C; tests/cli/test_view.py opens it",
    "rarrl serve policy": "runs until Ctrl-C; tests/policy/test_server.py talks to it",
    "rarrl faults run": "injects faults for minutes; tests/cli/test_faults.py plays some",
    "rarrl faults inject": "kills a node of a robot that runs; tests/nodes/faults/test_injection.py does",
    "rarrl run ": "starts ROS nodes; tests/nodes/test_processes.py does",
    "rarrl demo --quick": "starts ROS nodes; tests/nodes/test_processes.py does",
    "my_robot/": "needs a robot's own files and code; tests/cli/test_skills.py has some",
    "runs/mine": "needs a policy that was trained before",
}
# The options that make what runs small: appended, for the last one given counts.
SMALL = {
    "demo": ["--table-missions", "2", "--missions", "1", "--out", "runs/demo"],
    "replay": ["--episodes", "2"],
    "ask": ["--deadline", "20"],
    "eval detector": ["--rendered", "2"],
}
SLOW = {"rarrl demo", "rarrl eval"}
NEEDS = {
    "rarrl ask": "llama_cpp",
    "rarrl demo": "mujoco",
    "rarrl eval mission": "mujoco",
    "rarrl eval detector": "skimage",
    "rarrl eval alfworld --engine textworld": "alfworld",
}
# Python blocks that stand alone, and run. The others show fragments of a robot's program: only their names are checked.
RUN_BLOCKS = {
    "README.md": "llama_cpp",
    "ask-your-own-language-model.md": "llama_cpp",
    "record-a-latency-profile.md": "numpy",
    "train-in-gymnasium.md": "sb3_contrib",
    "use-the-detector.md": "cv2",
    "train-the-orchestrator.md": "gymnasium",
}


def load_tables():
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "benchmarks" / "readme_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables():
    return load_tables()


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks_of(page, language=None):
    """The fenced blocks of a page, those of one language (`""`: none given)."""
    found = re.findall(r"^```([a-z]*)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [text for name, text in found if language is None or name == language]


def command_lines(page, program):
    """Lines of fenced blocks that begin with `program`, continued lines joined, comments cut off."""
    text = "\n".join(blocks_of(page)).replace("\\\n", " ")
    lines = re.findall(rf"^(?:\$ )?({program} [^\n]*)", text, re.MULTILINE)
    return [re.sub(r"\s+#\s.*$", "", line).removesuffix("...").strip() for line in lines]


def inline_code(page, start):
    """Code spans outside of fenced blocks that begin with `start`; a span may go on over a line break."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(rf"`({re.escape(start)}[^`]*)`", text)]


FENCED = sorted({line for page in WRITTEN for line in command_lines(page, "rarrl")})
INLINE = sorted({span for page in WRITTEN for span in inline_code(page, "rarrl ")})


def resolved(words):
    """The command that `words` name, how many of them name it, and its options."""
    command, used = get_command(app), 0
    for word in words:
        if word not in getattr(command, "commands", {}):
            break
        command, used = command.commands[word], used + 1
    return command, used, {each for option in command.params for each in (*option.opts, *option.secondary_opts)}


# Figures


@pytest.mark.parametrize("page", ["README.md", "docs/FIGURES.md"])
def test_figures_are_those_of_the_result_files(tables, page):
    text = (ROOT / page).read_text("utf-8")
    assert tables.rewritten(text, tables.PAGES[page](tables.RESULTS)) == text, "python benchmarks/readme_tables.py"


def test_readme_has_five_figures_each_with_its_loss(tables):
    assert len(tables.HEADLINES) == 5
    for what, figure, loss in tables.HEADLINES:
        assert re.search(r"\{\w+\.\w+", figure), what
        assert len(loss.split()) > 3, what


def test_a_headline_whose_figure_is_gone_is_named(tables, tmp_path, monkeypatch):
    (tmp_path / "mission.json").write_text(json.dumps({"figures": {}}))
    monkeypatch.setattr(tables, "HEADLINES", (("a", "{mission.gone}", "b"),))
    with pytest.raises(KeyError, match=r"mission\.json has no figure gone"):
        tables.headlines(tmp_path)


def test_a_readme_without_markers_is_refused(tables):
    with pytest.raises(ValueError, match="lacks"):
        tables.rewritten("no markers", "")


# Links


def anchors_of(page):
    """The anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    anchors, seen = set(), {}
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).strip().replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        anchors.add(slug if count == 0 else f"{slug}-{count}")
    return anchors


@pytest.mark.parametrize("page", [*PAGES, ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_links_and_anchors_resolve(page):
    text = re.sub(r"`[^`\n]*`", "", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors_of(path), f"{target}: {path.name} has no such heading"


def test_every_page_is_reachable_from_the_readme():
    todo, seen = [ROOT / "README.md"], set()
    while todo:
        page = todo.pop()
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text("utf-8")):
            path = (page.parent / target).resolve()
            if path not in seen and path.exists() and not target.startswith("http"):
                todo.append(path)
    assert {name_of(page) for page in WRITTEN} - {name_of(page) for page in seen} <= {"CHANGELOG.md"}


def test_pages_that_the_code_names_exist():
    sources = [path for folder in ("rarrl", "sim_envs", "learning", "nodes") for path in (ROOT / folder).rglob("*.py")]
    sources += [
        path for folder in ("benchmarks", "launch", "tests", "examples") for path in (ROOT / folder).rglob("*.py")
    ]
    for source in sources:
        for target in re.findall(r"\bdocs/[\w/-]+\.md\b", source.read_text("utf-8")):
            assert (ROOT / target).is_file(), f"{name_of(source)} names {target}"


# Commands


@pytest.mark.parametrize("line", FENCED)
def test_fenced_commands_parse(line):
    words = shlex.split(line)[1:]
    command, used, _ = resolved(words)
    assert not getattr(command, "commands", None), f"{line}: no such command"
    command.make_context(
        " ".join(words[:used]), words[used:]
    )  # raises for unknown options, wrong types, what is missing


@pytest.mark.parametrize("span", INLINE)
def test_inline_commands_name_commands_and_options_that_exist(span):
    words = re.sub(r"'[^']*'|\"[^\"]*\"", "X", span).split()[1:]
    command, used, options = resolved(words)
    assert used or words[0].isupper() or words[0].startswith("-"), f"{span}: no such command"
    if not words[0].isupper():
        for word in words[used:]:
            if word.startswith("--") and word != "--help":
                assert word in options, f"{span}: {word}"
    assert command is not None


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_programs_of_this_repository_exist_with_their_options(page):
    spans = [*inline_code(page, "python "), *command_lines(page, "python")]
    for span in spans:
        words = span.split()
        if words[1:3] == ["-m", "colcon"]:  # comes with ROS
            continue
        if words[1] == "-m":
            assert importlib.util.find_spec(words[2]) is not None, span
            continue
        source = ROOT / words[1]
        assert source.is_file(), span
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in source.read_text("utf-8"), f"{span}: {option}"


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_launch_files_exist_with_their_arguments(page):
    spans = [*inline_code(page, "ros2 launch rarrl "), *command_lines(page, "ros2 launch rarrl")]
    for span in spans:
        file, *given = span.split()[3:]
        source = ROOT / "launch" / file
        assert source.is_file(), span
        known = launch_arguments(source.read_text("utf-8"))
        for word in given:
            assert word.partition(":=")[0] in known, f"{span}: {word}"


def launch_arguments(source):
    """The arguments of the tables that a launch file names, such as `graph.ARGUMENTS`."""
    named = re.findall(r"\b(\w+)\.(\w*ARGUMENTS)\b", source)
    assert named, "the launch file names no table of arguments"
    return {
        argument.name
        for module, table in named
        for argument in getattr(importlib.import_module(f"rarrl_nodes.{module}"), table)
    }


def test_each_reason_not_to_run_a_command_is_needed():
    for part in PARSED_ONLY:
        assert any(part in f"{line} " for line in FENCED), f"{part!r} is in no command: strike it from PARSED_ONLY"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with what the commands of the pages expect: a run, a configuration, a request log, a policy of rules."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copy(ROOT / "config" / "default.yaml", folder / "my.yaml")
    rows = "".join(f"groq,70b,0.{200 + i},1.{100 + i},550,{100 + i},\n" for i in range(60))
    head = "provider,size,ttft_s,e2e_s,in_tokens,out_tokens,error_code\n"
    (folder / "requests.csv").write_text(head + rows)
    shutil.copy(ROOT / "rarrl" / "data" / "profiles" / "groq-70b.json", folder / "mine.json")
    write_folder(folder / "alfworld", [a_game(), a_game("look_at_obj_in_light", "Book", "DeskLamp")])
    policies = [word for name in ("never", "learned") for word in ("--policy", name)]
    run_command(["replay", *policies, "--episodes", "2", "--out", "runs/TIME"], folder)
    return folder


def run_command(words, folder):
    code = "import sys; sys.argv[0] = 'rarrl'; from rarrl.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env=os.environ | {"ALFWORLD_DATA": str(folder / "alfworld")},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, f"rarrl {shlex.join(words)}: {done.stderr[-2000:]}{done.stdout[-1000:]}"
    return done.stdout


def run_lines():
    for line in FENCED:
        if not any(part in f"{line} " for part in PARSED_ONLY):
            slow = any(line.startswith(start) for start in SLOW)
            yield pytest.param(line, marks=[pytest.mark.slow] if slow else [], id=line)


@pytest.mark.parametrize("line", run_lines())
def test_commands_run(line, workspace):
    for start, package in NEEDS.items():
        if line.startswith(start):
            pytest.importorskip(package)
    words = shlex.split(line)[1:]
    _, used, _ = resolved(words)
    small = SMALL.get(" ".join(words[:used]), [])
    if "--perception" in words:
        small = ["--out", "runs/perception"]
    if "--out" in small:
        shutil.rmtree(workspace / small[-1], ignore_errors=True)
    for name in (words[words.index("--out") + 1] for _ in range("--out" in words)):
        (workspace / name).unlink(missing_ok=True)
    assert run_command([*words, *small], workspace)


def test_doctor_runs(workspace):
    code = "import sys; sys.argv[0] = 'rarrl'; from rarrl.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor"], cwd=workspace, capture_output=True, text=True, timeout=200
    )
    assert done.returncode in (0, 1) and "Python" in done.stdout  # 1: something is missing here, and it says so


# Python


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_python_blocks_name_what_exists(page):
    for block in blocks_of(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0].startswith("rarrl"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize("name", sorted(RUN_BLOCKS))
def test_python_blocks_that_stand_alone_run(name, tmp_path):
    pytest.importorskip(RUN_BLOCKS[name])
    page = next(page for page in WRITTEN if page.name == name)
    blocks = blocks_of(page, "python")
    assert blocks
    code = "\n".join(blocks)  # pasted one after the other
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{code}\n{done.stderr[-2000:]}"


# Sizes


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 131


def test_picture_is_small_enough_for_a_clone():
    assert (ROOT / "docs" / "images" / "mission.png").stat().st_size < 400_000
