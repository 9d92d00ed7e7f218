"""`rarrl doctor`: what is installed, what is missing, and what therefore runs on this computer.

It imports only the standard library, because it must work if a dependency is missing or too old."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rarrl.resources.energy import EnergyProbe

Status = Literal["ok", "warn", "fail"]
"""ok; warn: something optional is missing; fail: rarrl does not work."""
Installed = Callable[[str], str | None]
"""Returns the version of an installed distribution, None if it is not installed."""

PACKAGE_DIR = Path(__file__).resolve().parent
"""Where the shipped files are."""
OLDEST_PYTHON = (3, 10)
"""The oldest Python that rarrl supports, as in setup.py."""
REQUIRED = {
    "numpy": "1.23",
    "pydantic": "2.4",
    "PyYAML": "6",
    "safetensors": "0.4",
    "gymnasium": "1",
    "matplotlib": "3",
}
"""The core's dependencies with the oldest version that works, as in setup.py."""
# What to type for each optional part.
ROS_PIP = 'pip install "rarrl[ros]"'
LLAMA_PIP = 'pip install "rarrl[llama]" (compiled here: needs a C++ compiler and cmake)'
SIM_PIP = 'pip install "rarrl[sim]"'
GL_APT = "apt install libegl1 (or libosmesa6); no GPU is needed"
TRAIN_PIP = (
    'pip install "rarrl[train]" (for torch\'s CPU build: --extra-index-url https://download.pytorch.org/whl/cpu)'
)


@dataclass(frozen=True)
class Check:
    """One finding. fix: what to do, empty if there is nothing to do."""

    name: str
    status: Status
    detail: str
    fix: str = ""


def diagnose(folder: Path) -> tuple[Check, ...]:
    """Makes all checks. folder: the working folder; reports go to its `runs/`."""
    checks = (
        check_python(sys.version_info[:3]),
        check_required(installed),
        check_rclpy(installed, os.environ, rclpy_origin()),
        check_training(installed),
        check_language_model(installed),
        check_simulation(installed, ctypes.util.find_library),
        check_shipped(PACKAGE_DIR),
        check_runs(folder / "runs"),
        check_machine(os.cpu_count() or 1, memory_gib(), EnergyProbe().available),
    )

    return (*checks, what_runs(checks))


def installed(distribution: str) -> str | None:
    """Returns the version of `distribution` in this environment, None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def rclpy_origin() -> str | None:
    """Returns the file that `import rclpy` would load, without loading it; None if there is none."""
    try:
        spec = importlib.util.find_spec("rclpy")
    except (ImportError, ValueError):
        return None
    return spec.origin if spec else None


def memory_gib() -> float | None:
    """Returns the RAM in GiB, None if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, OSError, ValueError):
        return None


def check_python(version: tuple[int, ...]) -> Check:
    """Checks the version of Python.

    >>> check_python((3, 9, 2)).status
    'fail'
    """
    text = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version < OLDEST_PYTHON:
        return Check("Python", "fail", text, "rarrl needs Python 3.10 or newer: make install PYTHON=python3.11")
    return Check("Python", "ok", text)


def check_required(installed: Installed) -> Check:
    """Checks the core's dependencies and that none of them is too old."""
    bad = []
    for name, oldest in REQUIRED.items():
        version = installed(name)
        if version is None:
            bad.append(f"{name} is missing")
        elif _numbers(version) < _numbers(oldest):  # such as Ubuntu's pydantic 1
            bad.append(f"{name} {version} is older than {oldest}")

    if bad:
        lines = " ".join(f'"{name}>={oldest}"' for name, oldest in REQUIRED.items())
        return Check("core packages", "fail", "; ".join(bad), f"pip install {lines}")

    return Check("core packages", "ok", ", ".join(f"{name} {installed(name)}" for name in REQUIRED))


def check_rclpy(installed: Installed, environment: Mapping[str, str], origin: str | None) -> Check:
    """Checks that ROS 2 comes from pip wheels or from /opt/ros, never both: their compiled parts do not fit
    together."""
    wheel = installed("ros-rclpy")
    prefixes = [p for p in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p.startswith("/opt/ros")]
    if wheel and prefixes:
        return Check(
            "rclpy",
            "fail",
            f"ros-rclpy {wheel} from pip and a ROS installation ({prefixes[0]}) are both active",
            "use a new shell without ROS's setup.bash, or an environment without the [ros] extra",
        )

    if wheel:
        return Check("rclpy", "ok", f"ros-rclpy {wheel} from pip")
    if origin:
        distribution = environment.get("ROS_DISTRO", "distribution unknown")
        return Check("rclpy", "ok", f"from a ROS installation ({distribution}): {origin}")

    return Check(
        "rclpy",
        "warn",
        "not installed: no ROS 2 nodes here",
        f"on x86-64 Linux {ROS_PIP}; on a robot install ROS 2 and `source /opt/ros/<distribution>/setup.bash`",
    )


def check_training(installed: Installed) -> Check:
    """Checks what only `rarrl train` needs; the trained policies run with numpy alone."""
    names = ("torch", "stable-baselines3", "sb3-contrib", "tensorboard")
    missing = [name for name in names if installed(name) is None]
    if missing:
        return Check("training", "warn", f"missing: {', '.join(missing)}", TRAIN_PIP)
    return Check("training", "ok", ", ".join(f"{name} {installed(name)}" for name in names))


def check_language_model(installed: Installed) -> Check:
    """Checks for llama.cpp, which runs the planner that comes with rarrl."""
    version = installed("llama-cpp-python")
    if version is None:
        return Check("llama.cpp", "warn", "not installed: no planner here, calls are replayed from profiles", LLAMA_PIP)
    return Check("llama.cpp", "ok", f"llama-cpp-python {version}")


def check_simulation(installed: Installed, library: Callable[[str], str | None]) -> Check:
    """Checks for MuJoCo and for a library that renders without a window.

    library: returns the file of a system library, None if there is none."""
    version = installed("mujoco")
    drawing = next((name for name in ("EGL", "OSMesa") if library(name)), None)
    if version is None:
        return Check("MuJoCo", "warn", "not installed: no stereo scene here", SIM_PIP)
    if drawing is None:
        return Check("MuJoCo", "warn", f"mujoco {version}, but neither EGL nor OSMesa to draw with", GL_APT)

    return Check("MuJoCo", "ok", f"mujoco {version}, draws through {drawing}")


def check_shipped(package_dir: Path) -> Check:
    """Checks the files that come with rarrl: latency profiles, ALFRED's statistics, trained models."""
    profiles = sorted((package_dir / "data" / "profiles").glob("*.json"))
    models = sorted(card.parent for card in (package_dir / "models").glob("*/card.json"))
    missing = [] if profiles else ["latency profiles"]

    if not (package_dir / "data" / "alfred_statistics.json").is_file():
        missing.append("ALFRED's statistics")

    if not models:
        missing.append("trained models")

    missing += [f"weights of {model.name}" for model in models if not _has_weights(model)]
    if missing:
        return Check(
            "shipped files", "fail", f"missing: {', '.join(missing)}", "install rarrl again, from a full clone"
        )

    return Check("shipped files", "ok", f"{len(profiles)} latency profiles, {len(models)} models, ALFRED's statistics")


def _has_weights(model: Path) -> bool:
    """Returns whether weights lie beside the card of `model` or in the card itself."""
    beside = any(next(model.glob(f"*.{end}"), None) for end in ("safetensors", "gguf"))
    return beside or '"weights"' in (model / "card.json").read_text("utf-8")


def check_runs(folder: Path) -> Check:
    """Checks whether a report can be written to `folder`, or the folder be made. It leaves nothing behind."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent

    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return Check(
            "reports", "fail", f"{folder} cannot be written ({error.strerror})", "work in a folder of your own"
        )

    return Check("reports", "ok", f"go to {folder}")


def check_machine(cores: int, ram_gib: float | None, joules: bool = False) -> Check:
    """Checks cores and memory: training needs 2 cores and 2 GiB, everything else runs on less."""
    detail = f"{cores} cores" + (f", {ram_gib:.1f} GiB RAM" if ram_gib is not None else "")
    detail += ", tells the joules that it uses" if joules else ""
    if cores < 2 or (ram_gib is not None and ram_gib < 2.0):
        return Check("machine", "warn", detail, "train elsewhere: 2 cores and 2 GiB are the least for it")
    return Check("machine", "ok", detail)


def what_runs(checks: tuple[Check, ...]) -> Check:
    """Lists the commands that run here, given the other checks."""
    status = {check.name: check.status for check in checks}
    core = all(status.get(name) == "ok" for name in ("Python", "core packages", "shipped files"))
    if not core:
        return Check("what runs here", "fail", "nothing yet: mend what failed above")

    commands = ["rarrl eval orchestrator", "rarrl profile", "rarrl replay"]
    if status.get("MuJoCo") == "ok" and status.get("llama.cpp") == "ok":
        commands.append("rarrl demo")

    if status.get("rclpy") == "ok":
        commands += ["rarrl demo --quick", "rarrl run"]

    if status.get("training") == "ok":
        commands.append("rarrl train orchestrator")

    return Check("what runs here", "ok", ", ".join(commands))


def _numbers(version: str) -> tuple[int, ...]:
    """Returns the first three numbers of a version.

    >>> _numbers("2.13.0+cpu") >= _numbers("2.4")
    True
    """
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
