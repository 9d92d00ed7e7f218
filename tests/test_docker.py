"""docker/Dockerfile: it names files that exist and that reach it, and installs all that rarrl needs. Building it needs
Docker; this holds without."""

import re
import shlex
import subprocess
import xml.etree.ElementTree as ET
from fnmatch import fnmatch
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text("utf-8")


def instructions() -> list[tuple[str, str]]:
    """(keyword, the rest) of each instruction, without comments and line breaks."""
    lines = [line for line in DOCKERFILE.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


def copied() -> list[str]:
    """What is copied from this folder into the image."""
    sources = []
    for keyword, rest in instructions():
        words = shlex.split(rest) if keyword == "COPY" else []
        if words and not words[0].startswith("--from"):
            sources += words[:-1]
    return sources


def reaches(path: str) -> bool:
    """Whether .dockerignore lets a file through: the last pattern that fits it, or a folder that it is in, decides."""
    through = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").split("\n"):
        pattern = line.removeprefix("!")
        if line.startswith("#") or not line:
            continue
        parts = Path(path).parts
        tops = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if any(fnmatch(top, pattern) or fnmatch("/" + top, pattern.replace("**", "*")) for top in tops):
            through = line.startswith("!")
    return through


def test_what_is_copied_exists_and_reaches_the_image():
    assert len(copied()) > 10
    for name in copied():
        assert (ROOT / name).exists(), name
        assert reaches(name), f"{name}: .dockerignore keeps it out"


def test_what_the_build_reads_is_copied():
    needed = {
        "setup.py",
        "setup.cfg",
        "pyproject.toml",
        "package.xml",
        "resource",
        "launch",
        "config",
        "LICENSE",
        "src",
    }
    needed |= {link.resolve().name for link in (ROOT / "src").iterdir() if link.is_symlink()}
    assert needed <= set(copied())


@pytest.mark.parametrize("path", [".git/config", ".venv/bin/python", "runs/a/events.jsonl", "nodes/__pycache__/a.pyc"])
def test_nothing_else_reaches_the_image(path):
    assert not reaches(path)


def test_every_python_package_is_installed_and_none_is_taken_from_debian():
    needed = {
        re.match(r"[\w.-]+", requirement).group().lower()
        for requirement in requires("rarrl")
        if "extra ==" not in requirement or 'extra == "llama"' in requirement
    }
    (install,) = [rest for keyword, rest in instructions() if keyword == "RUN" and "pip install" in rest]
    assert needed <= set(install.split())

    keys = {each.text for each in ET.parse(ROOT / "package.xml").getroot().iter("exec_depend")}
    skipped = re.search(r'--skip-keys "([^"]*)"', DOCKERFILE)[1].split()
    assert set(skipped) == {key for key in keys if key.startswith("python3-")}


def test_numpy_and_opencv_are_of_the_same_numpy_as_ros():
    """sed replaces the pins of constraints.txt; it would leave names that are written otherwise."""
    pins = dict(re.findall(r"^ARG (NUMPY|OPENCV)=(\S+)$", DOCKERFILE, re.MULTILINE))
    assert pins["NUMPY"].startswith("1.") and tuple(map(int, pins["OPENCV"].split(".")[:2])) < (4, 12)
    constraints = (ROOT / "constraints.txt").read_text("utf-8")
    for name in ("numpy", "opencv-python-headless"):
        assert re.search(rf"^{name}==", constraints, re.MULTILINE) and f"^{name}==" in DOCKERFILE


def test_it_holds_no_secret_and_runs_as_nobody_in_particular():
    found = instructions()
    assert not re.search(r"(?i)(token|password|secret|api_?key)\s*=", DOCKERFILE)
    users = [rest for keyword, rest in found if keyword == "USER"]
    assert users == ["${ROBOT_UID}"] and re.search(r"^ARG ROBOT_UID=[1-9]\d+$", DOCKERFILE, re.MULTILINE)
    last = max(i for i, (keyword, _) in enumerate(found) if keyword == "FROM")
    assert [keyword for keyword, _ in found[last:]].index("USER") > 0
    bases = [rest for keyword, rest in found if keyword == "FROM"]
    assert bases == ["${ROS_IMAGE} AS base", "base AS build", "base"]


def test_the_entry_point_is_a_script_that_bash_can_read():
    (line,) = [rest for keyword, rest in instructions() if keyword == "ENTRYPOINT"]
    assert "/opt/rarrl/entrypoint.sh" in line
    script = ROOT / "docker/entrypoint.sh"
    assert script.stat().st_mode & 0o111 and subprocess.run(["bash", "-n", script]).returncode == 0
    assert script.read_text("utf-8").rstrip().endswith('exec "$@"')
