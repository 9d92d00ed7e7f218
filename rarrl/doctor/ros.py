"""rclpy and the middleware below it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from .finding import Check, Status
from .trial import Installed, Try, installed, place_of

ROS_PIP = 'pip install "rarrl[ros]"'
LARGEST_DOMAIN = 232
"""The largest ROS_DOMAIN_ID whose UDP ports exist."""
BOOTSTRAPPED = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
"""By this the ROS wheels know that LD_LIBRARY_PATH names their libraries already."""
NUMPY_1 = ("humble", "iron", "jazzy")
"""Distributions whose Ubuntu has NumPy 1."""
SHARED_MEMORY = Path("/dev/shm")
SHARED_MIB = 128
"""Four processes that send pictures take 32 MiB each (config/fastdds_shm.xml)."""
ROS_TRIAL = "import rclpy; rclpy.init(); rclpy.create_node('rarrl_doctor').destroy_node(); rclpy.shutdown()"
"""Starts the middleware, as each node does."""


def check_rclpy(
    installed: Installed,
    environment: Mapping[str, str],
    origin: str | None,
    python: tuple[int, ...] = sys.version_info[:2],
) -> Check:
    """Checks that ROS 2 comes from pip wheels or from /opt/ros, never both: their compiled parts do not fit
    together; and that it is of this Python. origin: the file of rclpy, None if there is none."""
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
    if origin and (other := re.search(r"/python(3\.\d+)/", origin)) and other[1] != ".".join(map(str, python)):
        return Check(
            "rclpy",
            Status.FAIL,
            f"{origin} is of Python {other[1]}, and this is {'.'.join(map(str, python))} ({sys.executable})",
            f"python{other[1]} -m venv --system-site-packages ENV, and install rarrl there; or a shell without ROS",
        )
    if origin:
        distribution = environment.get("ROS_DISTRO", "distribution unknown")
        return Check("rclpy", Status.OK, f"from a ROS installation ({distribution}): {origin}")

    if prefixes:
        return Check(
            "rclpy",
            Status.FAIL,
            f"ROS is sourced ({prefixes[0]}), and {sys.executable} finds no rclpy there",
            f"apt install ros-{environment.get('ROS_DISTRO') or Path(prefixes[0]).name}-rclpy; and do not run Python "
            "with -I, -E or another PYTHONPATH",
        )

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

    entries = [e for e in environment.get("LD_LIBRARY_PATH", "").split(os.pathsep) if e]
    prefixes = tuple(p for p in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p)
    ours = [e for e in entries if prefixes and e.startswith(prefixes)]
    if not try_(ROS_TRIAL, {"LD_LIBRARY_PATH": os.pathsep.join(ours), BOOTSTRAPPED: ""}):
        foreign = [e for e in entries if e not in ours and not e.startswith(sys.prefix)]
        what = f"LD_LIBRARY_PATH={os.pathsep.join(foreign)}" if foreign else f"{BOOTSTRAPPED} of another environment"
        return Check(
            "rclpy",
            Status.FAIL,
            f"with {what} a node does not start, and without it one does: {reason}",
            f"unset {BOOTSTRAPPED} LD_LIBRARY_PATH, and source ROS again where it comes from there",
        )

    return Check(
        "rclpy",
        Status.FAIL,
        f"{rclpy.detail}, but a node does not start: {reason}",
        "try it in a new shell; ROS's own check is `ros2 doctor`",
    )


def check_numpy(installed: Installed, environment: Mapping[str, str]) -> Check | None:
    """Checks that NumPy is of the kind that a ROS installation was compiled for. None where there is none, or all is
    well."""
    distribution, version = environment.get("ROS_DISTRO", ""), installed("numpy") or "0"
    sourced = "/opt/ros/" in environment.get("AMENT_PREFIX_PATH", "")
    if not sourced or distribution not in NUMPY_1 or int(version.split(".")[0]) < 2:
        return None
    detail = f"{version} ({place_of('numpy')}): compiled packages of ROS {distribution} and Debian are of NumPy 1"
    return Check("NumPy and ROS", Status.WARN, detail, 'pip install "numpy<2" opencv-python-headless')


def check_launching(ros2: str | None, site: str, try_: Callable[[str, Mapping[str, str], str], str]) -> Check | None:
    """Checks that launch files run: `ros2` runs them in Python of its own, Debian's, whatever environment is active.

    ros2: where the shell finds it, None if it does not. site: the folder of this environment's packages. try_: as
    `try_python`. None where there is nothing to check."""
    interpreter = _interpreter(ros2) if ros2 else ""
    if not interpreter:
        return None
    if reason := try_("import rarrl.config", {}, interpreter):
        detail = f"{ros2} runs in {interpreter}, which cannot load rarrl: {reason}"
        return Check("ros2 launch", Status.FAIL, detail, f"export PYTHONPATH={site}:$PYTHONPATH")
    return Check("ros2 launch", Status.OK, f"{ros2} runs in {interpreter}, which loads rarrl")


def _interpreter(script: str) -> str:
    """The program in a script's first line, "" where there is none."""
    try:
        with open(script, "rb") as file:
            line = file.readline(1000).decode("utf-8", "replace")
    except OSError:
        return ""
    words = line[2:].split() if line.startswith("#!") else []
    if words and Path(words[0]).name == "env":
        return shutil.which(words[-1]) or ""
    return words[0] if words else ""


def check_shared_memory(folder: Path) -> Check:
    """Checks the room for pictures between processes. folder: `/dev/shm`, or what stands for it."""
    fix = "docker run --shm-size=512m; else mount -o remount,size=512m /dev/shm, or remove what dead processes left"
    try:
        free = shutil.disk_usage(folder).free / 2**20
    except OSError as error:
        return Check("shared memory", Status.WARN, f"{folder}: {error.strerror}: pictures go by UDP and get lost", fix)
    if free < SHARED_MIB:
        detail = f"{free:.1f} MiB free in {folder}, fewer than {SHARED_MIB}: pictures go by UDP and get lost"
        return Check("shared memory", Status.WARN, detail, fix)
    return Check("shared memory", Status.OK, f"{free:.0f} MiB free in {folder}")


def _dashed(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
