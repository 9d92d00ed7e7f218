"""All checks, and what runs here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from rarrl.resources.energy import EnergyProbe
from rarrl.resources.threads import cores

from . import core, machine, parts, ros, shipped
from .finding import Check, Status
from .trial import installed, place_of, try_python


def diagnose(folder: Path) -> tuple[Check, ...]:
    """Makes all checks. folder: the working folder; reports go to its `runs/`."""
    packages = core.check_required(installed, importlib.util.find_spec("cv2") is not None)
    opencv: tuple[Check, ...] = ()
    if packages.status is Status.OK:
        packages = core.check_loading(packages, installed, try_python)
    if packages.status is Status.OK:
        opencv = (core.check_opencv(installed, try_python),)

    rclpy = ros.check_rclpy(installed, os.environ, place_of("rclpy"))
    memory: tuple[Check, ...] = ()
    numpy = ros.check_numpy(installed, os.environ)
    launching = ros.check_launching(shutil.which("ros2"), sysconfig.get_path("purelib"), try_python)
    if rclpy.status is Status.OK:
        rclpy = ros.check_middleware(rclpy, os.environ, try_python)
        memory = (ros.check_shared_memory(ros.SHARED_MEMORY),)

    checks = (
        core.check_python(sys.version_info[:3]),
        packages,
        *opencv,
        core.check_imports(folder, sys.path),
        core.check_command(shutil.which("rarrl"), Path(sys.argv[0])),
        rclpy,
        *(check for check in (numpy, launching) if check),
        *memory,
        parts.check_training(installed),
        parts.check_language_model(installed, try_python),
        parts.check_simulation(installed, os.environ, try_python),
        parts.check_serving(installed),
        parts.check_recording(installed),
        parts.check_alfworld(installed, os.environ),
        parts.check_libero(installed),
        shipped.check_shipped(core.PACKAGE_DIR),
        machine.check_runs(folder / "runs"),
        machine.check_machine(cores(), machine.memory_gib(), EnergyProbe().available),
    )

    return (*checks, what_runs(checks))


def as_text(checks: tuple[Check, ...]) -> str:
    """The findings as lines without colours."""
    rows = []
    for check in checks:
        rows += [f"{check.status.value:5} {check.name:14} {check.detail}"] + [f"{'':20} -> {check.fix}"] * bool(
            check.fix
        )
    return "\n".join(rows)


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
    whole = all(status.get(name) == Status.OK for name in ("Python", "core packages", "shipped files"))
    if not whole or Status.FAIL in (status.get("imports"), status.get("OpenCV")):
        return Check("what runs here", Status.FAIL, "nothing yet: fix what failed above")

    lacking = {
        command: [name for name in needs if status.get(name, Status.OK) != Status.OK] for command, needs in COMMANDS
    }
    detail = "rarrl " + ", ".join(command for command, missing in lacking.items() if not missing)
    out = [f"{command} (needs {', '.join(missing)})" for command, missing in lacking.items() if missing]
    return Check("what runs here", Status.OK, detail + (f". Not: {', '.join(out)}" if out else ""))
