"""Python, the packages that rarrl cannot do without, and which copies of them processes get."""

from __future__ import annotations

import importlib.machinery
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .finding import Check, Status
from .trial import Installed, Try, place_of, way_out

OLDEST_PYTHON = (3, 10)
"""The oldest Python that rarrl supports, as in setup.py."""
REQUIRED = {
    "numpy": "1.23",
    "pydantic": "2.4",
    "PyYAML": "6",
    "safetensors": "0.4",
    "gymnasium": "1",
    "matplotlib": "3.7",
    "typer": "0.12",
    "rich": "13",
}
"""The core's dependencies with the oldest version that works, as in setup.py."""
LOADED = {
    "numpy": "numpy",
    "pydantic": "pydantic",
    "yaml": "PyYAML",
    "safetensors.numpy": "safetensors",
    "gymnasium": "gymnasium",
    "matplotlib.figure": "matplotlib",
    "typer": "typer",
    "rich": "rich",
}
"""Module -> the distribution that it comes from."""
OPENCVS = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
"""Distributions that all install into the folder `cv2`."""
OPENCV_TRIAL = "import cv2; cv2.StereoSGBM_create, cv2.imdecode"
PACKAGE_DIR = Path(__file__).resolve().parents[1]
"""Where the shipped files are."""


def check_python(version: tuple[int, ...]) -> Check:
    """Checks the version of Python.

    >>> check_python((3, 9, 2)).status.value
    'fail'
    """
    text = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version < OLDEST_PYTHON:
        return Check("Python", Status.FAIL, text, "rarrl needs Python 3.10 or newer: make install PYTHON=python3.11")
    return Check("Python", Status.OK, text)


def check_required(installed: Installed, cv2: bool = True) -> Check:
    """Checks the core's dependencies and that none of them is too old. cv2: whether OpenCV is there, from whichever of
    its packages."""
    bad = []
    for name, oldest in REQUIRED.items():
        version = installed(name)
        if version is None:
            bad.append(f"{name} is missing")
        elif _numbers(version) < _numbers(oldest):  # such as Ubuntu's pydantic 1
            bad.append(f"{name} {version} is older than {oldest}")

    if not cv2:
        bad.append("OpenCV is missing")

    if bad:
        lines = " ".join(f'"{name}>={oldest}"' for name, oldest in REQUIRED.items())
        lines += "" if cv2 else " opencv-python-headless"
        return Check("core packages", Status.FAIL, "; ".join(bad), f"pip install {lines}")

    return Check("core packages", Status.OK, ", ".join(f"{name} {installed(name)}" for name in REQUIRED))


def check_loading(core: Check, installed: Installed, try_: Try) -> Check:
    """Checks by loading them that the core's dependencies are whole, and compiled for this Python, NumPy and processor.

    core: the finding that they are there, which is returned where all is well. try_: as `try_python`."""
    if not try_(f"import {', '.join(LOADED)}", {}):
        return core

    broken = {module: reason for module in LOADED if (reason := try_(f"import {module}", {}))}
    if not broken:
        return core
    module, reason = next(iter(broken.items()))  # the others often fail because of it
    name = LOADED[module]
    where = f"{name} {installed(name)} ({place_of(module.partition('.')[0])})"
    return Check(core.name, Status.FAIL, f"{where} does not load: {reason}", way_out(reason, name))


def check_opencv(installed: Installed, try_: Try) -> Check:
    """Checks that OpenCV loads, and that no second distribution has written over its files. try_: as `try_python`."""
    there = [name for name in OPENCVS if installed(name)]
    reason = try_(OPENCV_TRIAL, {})
    both = f"{' and '.join(there)} are installed, which own the same files"
    again = f"pip uninstall -y {' '.join(there)} && pip install opencv-python-headless"
    if reason:
        detail = f"cv2 ({place_of('cv2')}) does not load: {reason}"
        if len(there) > 1:
            return Check("OpenCV", Status.FAIL, f"{detail}; {both}", again)
        return Check("OpenCV", Status.FAIL, detail, way_out(reason, (*there, OPENCVS[0])[0]))

    if len(there) > 1:
        return Check("OpenCV", Status.WARN, f"{both}: when one goes, the other is broken", again)
    found = f"{there[0]} {installed(there[0])}" if there else str(place_of("cv2"))
    return Check("OpenCV", Status.OK, found)


def check_imports(folder: Path, path: Sequence[str]) -> Check:
    """Checks which `rarrl` a process imports that is started in `folder` by `python -m`, as nodes and workers are: the
    folder comes first then, and another copy there, or a folder of that name, would hide the installed one."""
    spec = importlib.machinery.PathFinder.find_spec("rarrl", [str(folder), *path])
    found = Path(spec.origin).resolve().parent if spec and spec.origin else None
    if spec is None or found == PACKAGE_DIR:
        return Check("imports", Status.OK, f"rarrl is {PACKAGE_DIR}")

    return Check(
        "imports",
        Status.FAIL,
        f"processes that start in {folder} import "
        + (f"another rarrl: {found}" if found else f"the folder {folder / 'rarrl'}, which is no package"),
        "work in another folder, or install that copy: pip install -e FOLDER_OF_THE_CLONE",
    )


def check_command(on_path: str | None, called: Path) -> Check:
    """Says how to call the command line. on_path: where the shell finds `rarrl`, None if it does not. called: the
    script that runs now."""
    if on_path:
        return Check("command", Status.OK, on_path)

    as_now = f"{sys.executable} -m rarrl"
    if called.name == "rarrl":
        in_workspace = called.parent.name == "rarrl" and called.parent.parent.name == "lib"
        as_now = "ros2 run rarrl rarrl" if in_workspace else str(called)
    return Check("command", Status.OK, f"`rarrl` is not on PATH; call it as `{as_now}`")


def _numbers(version: str) -> tuple[int, ...]:
    """Returns the first three numbers of a version.

    >>> _numbers("2.13.0+cpu") >= _numbers("2.4")
    True
    """
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
