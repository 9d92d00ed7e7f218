"""`rarrl doctor`, run as a process in set-ups that are really broken: what, where, the way out, and the exit status.

Each is an environment of its own, with links to the packages of this one but for what is broken in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest

from rarrl.doctor import trial

ROOT = Path(__file__).resolve().parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# These would meet what a test breaks, or what it holds to be whole.
FOREIGN = (
    "PYTHON*",
    "LD_LIBRARY_PATH",
    "_ROS_*",
    "ROS_*",
    "RMW_*",
    "AMENT_*",
    "FASTRTPS_*",
    "MUJOCO_GL",
    "VIRTUAL_ENV",
)
has_ros_wheels = pytest.mark.skipif(trial.installed("ros-rclpy") is None, reason="needs rclpy from pip: rarrl[ros]")
has_llama = pytest.mark.skipif(trial.installed("llama-cpp-python") is None, reason="needs rarrl[llama]")
has_mujoco = pytest.mark.skipif(trial.installed("mujoco") is None, reason="needs rarrl[sim]")


@dataclass
class Setup:
    """A Python environment, and the variables of a shell in which `rarrl doctor` runs."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """A command that runs the rest of its arguments."""

    def __post_init__(self) -> None:
        venv.create(self.folder / "env", symlinks=True)
        self.python = self.folder / "env/bin/python"
        self.site = self.folder / f"env/lib/python{PYTHON}/site-packages"
        self.work = self.folder / "work"
        self.work.mkdir()
        for name in dict.fromkeys(sysconfig.get_paths()[key] for key in ("purelib", "platlib")):
            for path in Path(name).iterdir():
                if not path.name.startswith("__editable__") and not (self.site / path.name).exists():
                    (self.site / path.name).symlink_to(path)
        for name in ("lib", "share"):  # libraries and the index of the ROS wheels
            (self.folder / "env" / name).mkdir(exist_ok=True)
            for path in Path(sys.prefix, name).glob("*"):
                if not path.name.startswith("python"):
                    (self.folder / "env" / name / path.name).symlink_to(path)
        (self.folder / "src").symlink_to(ROOT / "src")
        self.without("alfworld*", "textworld*", "libero*", "ray*", "rarrl-*", "rarrl.*")

    def without(self, *patterns: str) -> None:
        """Uninstalls what is called so."""
        for path in self.site.iterdir():
            if any(fnmatch(path.name.lower(), pattern) for pattern in patterns):
                path.unlink()

    def copied(self, name: str) -> Path:
        """A copy, to be broken, of what is only linked."""
        link = self.site / name
        source = link.resolve()
        link.unlink()
        return Path(shutil.copytree(source, link, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")))

    def distribution(self, name: str, version: str) -> None:
        """What pip knows of an installed distribution."""
        folder = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    def doctor(self, *arguments: str) -> Findings:
        """Runs it."""
        kept = {k: v for k, v in os.environ.items() if not any(fnmatch(k, pattern) for pattern in FOREIGN)}
        environment = {"PYTHONPATH": str(self.folder / "src"), "ROS_LOCALHOST_ONLY": "1", **kept}
        done = subprocess.run(
            [*self.prefix, self.python, "-m", "rarrl", "doctor", *arguments],
            cwd=self.work,
            env={**environment, **self.variables},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Findings(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Findings:
    """What it answered."""

    status: int
    text: str
    errors: str

    def of(self, name: str) -> tuple[str, str]:
        """The status of one finding, and its lines."""
        lines = self.text.splitlines()
        (at,) = [i for i, line in enumerate(lines) if line[6:].startswith(f"{name} ")]
        end = next((i for i in range(at + 1, len(lines)) if lines[i][:1] != " "), len(lines))
        return lines[at].split()[0], "\n".join(lines[at:end])


@pytest.fixture
def setup(tmp_path) -> Setup:
    return Setup(tmp_path)


def say(found: tuple[str, str], status: str, *words: str) -> None:
    assert found[0] == status, found
    for word in words:
        assert word in found[1], found
    assert " -> " in found[1]


def test_the_set_up_is_whole_before_it_is_broken(setup):
    found = setup.doctor()
    assert found.status == 0, found.text
    assert [line for line in found.text.splitlines() if line.startswith("fail")] == []


# --- the packages of the core


def test_a_package_of_the_command_line_is_missing(setup):
    setup.without("typer*")
    found = setup.doctor()
    assert found.status == 1 and "typer" in found.errors
    say(found.of("core packages"), "fail", "typer is missing", 'pip install "numpy>=', '"typer>=0.12"')
    other = subprocess.run(
        [setup.python, "-m", "rarrl", "demo"], cwd=setup.folder / "src", capture_output=True, text=True
    )
    assert other.returncode == 1 and "rarrl doctor" in other.stderr and "Traceback" not in other.stderr


def test_ubuntus_pydantic_is_too_old(setup):
    setup.without("pydantic", "pydantic-*")
    setup.distribution("pydantic", "1.10.14")
    (setup.site / "pydantic").mkdir()
    (setup.site / "pydantic/__init__.py").write_text("class BaseModel: ...\n")
    found = setup.doctor()
    assert found.status == 1
    say(found.of("core packages"), "fail", "pydantic 1.10.14 is older than 2.4", "pip install")


def test_opencv_was_compiled_for_numpy_1(setup):
    """As with Debian's python3-opencv beside numpy 2 from pip: it asks NumPy for its table of functions, where NumPy 1
    had it, and NumPy itself refuses."""
    if int((trial.installed("numpy") or "0").split(".")[0]) < 2:
        pytest.skip("needs numpy 2")
    setup.without("cv2", "opencv*")
    (setup.site / "cv2.py").write_text("import numpy.core._multiarray_umath as umath\numath._ARRAY_API\n")
    found = setup.doctor()
    assert found.status == 1
    say(found.of("OpenCV"), "fail", str(setup.site / "cv2.py"), 'pip install "numpy<2"')
    assert found.of("what runs here")[0] == "fail"


def test_a_compiled_file_is_cut_off(setup):
    (library,) = setup.copied("safetensors").glob("*.so")
    library.write_bytes(library.read_bytes()[:1000])
    found = setup.doctor()
    assert found.status == 1
    say(found.of("core packages"), "fail", str(setup.site / "safetensors"), "--force-reinstall --no-deps safetensors")


def test_two_opencvs_one_of_which_was_uninstalled_again(setup):
    """Both own the folder cv2; what is left of it imports as a namespace, and holds nothing."""
    setup.distribution("opencv-python", "4.10.0.84")
    say(setup.doctor().of("OpenCV"), "warn", "own the same files", "pip uninstall -y opencv-python")
    if trial.installed("opencv-python-headless") is None:
        pytest.skip("needs opencv-python-headless")
    (setup.site / "cv2").unlink()
    (setup.site / "cv2").mkdir()
    found = setup.doctor()
    assert found.status == 1
    say(found.of("OpenCV"), "fail", "has no attribute", str(setup.site / "cv2"), "pip uninstall -y opencv-python")


# --- the files of rarrl


@pytest.mark.parametrize("damage", ["cut off", "gone"])
def test_a_models_weights_are_not_whole(setup, damage):
    (setup.folder / "src").unlink()
    shutil.copytree(ROOT / "rarrl", setup.folder / "src/rarrl", ignore=shutil.ignore_patterns("__pycache__"))
    weights = next((setup.folder / "src/rarrl/models/policy_household").glob("*.safetensors"), None) or next(
        (setup.folder / "src/rarrl/models/policy_household").glob("*.gguf")
    )
    weights.write_bytes(weights.read_bytes()[:-1]) if damage == "cut off" else weights.unlink()
    found = setup.doctor()
    assert found.status == 1
    what = "is damaged" if damage == "cut off" else "is missing"
    say(found.of("shipped files"), "fail", f"policy_household/{weights.name} {what}", "install rarrl again")


def test_another_folder_of_that_name_hides_the_package(setup):
    (setup.work / "rarrl").mkdir()
    (setup.work / "rarrl/__init__.py").write_text("")
    setup.variables["PYTHONPATH"] = str(setup.folder / "src")
    done = subprocess.run(
        [
            setup.python,
            "-c",
            "import sys; sys.path.remove(''); sys.argv = ['rarrl', 'doctor']; import runpy; "
            "runpy.run_module('rarrl', run_name='__main__')",
        ],
        cwd=setup.work,
        env={"PYTHONPATH": str(setup.folder / "src"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    found = Findings(done.returncode, done.stdout, done.stderr)
    assert found.status == 1
    say(found.of("imports"), "fail", f"another rarrl: {setup.work / 'rarrl'}", "work in another folder")


def test_a_settings_file_with_an_unknown_key(setup):
    (setup.work / "robot.yaml").write_text("gate:\n  front_metres: 0.4\n")
    found = setup.doctor("--config", "robot.yaml")
    assert found.status == 1
    say(found.of("settings"), "fail", "robot.yaml", "gate.front_metres", "config/default.yaml")


# --- language model, training, drawing


@has_llama
@pytest.mark.parametrize("how", ["another processor's", "cut off"])
def test_llama_cpp_does_not_load(setup, how):
    folder = setup.copied("llama_cpp")
    library = folder / "lib/libllama.so"  # the one of its three copies that ctypes opens
    if how == "cut off":
        library.write_bytes(library.read_bytes()[:1000])
        words = ("--force-reinstall --no-deps llama-cpp-python",)
    else:
        compiler = shutil.which("cc") or pytest.skip("needs a C compiler")
        (setup.folder / "trap.c").write_text("__attribute__((constructor)) void unknown(void) { __builtin_trap(); }\n")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, setup.folder / "trap.c"], check=True)
        words = ("SIGILL", "another processor", "--no-binary llama-cpp-python")
    found = setup.doctor()
    assert found.status == 1
    say(found.of("llama.cpp"), "fail", str(folder), *words)
    assert "ask (needs llama.cpp)" in found.of("what runs here")[1]


def test_llama_cpp_and_torch_are_missing(setup):
    setup.without("llama_cpp*", "torch*")
    found = setup.doctor()
    assert found.status == 0, "a robot runs without"
    say(found.of("llama.cpp"), "warn", "not installed", "rarrl[llama]")
    say(found.of("training"), "warn", "torch", "rarrl[train]")
    assert "train orchestrator (needs training)" in found.of("what runs here")[1]


@has_mujoco
def test_there_is_nothing_to_draw_with(setup):
    setup.variables |= {"__EGL_VENDOR_LIBRARY_DIRS": str(setup.work), "DISPLAY": ""}
    found = setup.doctor()
    assert found.status == 0, "a robot draws nothing"
    say(found.of("MuJoCo"), "warn", "drawing through egl fails")


# --- ROS


@has_ros_wheels
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ROS_DOMAIN_ID": "300"}, ("'300'", "0 to 232", "unset ROS_DOMAIN_ID")),
        (
            {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
            ("rmw_cyclonedds_cpp does not start", "unset RMW_IMPLEMENTATION"),
        ),
        (
            {"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1", "LD_LIBRARY_PATH": "/opt/other/lib"},
            ("LD_LIBRARY_PATH=/opt/other/lib", "unset _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH"),
        ),
        (
            {"AMENT_PREFIX_PATH": "/opt/ros/jazzy", "ROS_DISTRO": "jazzy"},
            ("from pip and a ROS installation (/opt/ros/jazzy) are both active", "a new shell"),
        ),
    ],
)
def test_ros_does_not_start(setup, variables, words):
    setup.variables |= variables
    found = setup.doctor()
    assert found.status == 1
    say(found.of("rclpy"), "fail", *words)
    assert "the nodes and launch files (needs rclpy)" in found.of("what runs here")[1]


@pytest.mark.parametrize(
    ("python", "words"),
    [("3.9", ("is of Python 3.9", "--system-site-packages")), (None, ("finds no rclpy", "apt install"))],
)
def test_the_ros_installation_is_of_another_python(setup, python, words):
    setup.without("ros_*", "rclpy*")
    setup.variables |= {"AMENT_PREFIX_PATH": "/opt/ros/humble", "ROS_DISTRO": "humble"}
    if python:
        folder = setup.folder / f"opt/ros/humble/lib/python{python}/site-packages"
        (folder / "rclpy").mkdir(parents=True)
        (folder / "rclpy/__init__.py").write_text("from rclpy import _rclpy_pybind11\n")
        setup.variables["PYTHONPATH"] = f"{folder}{os.pathsep}{setup.folder / 'src'}"
    found = setup.doctor()
    assert found.status == 1
    say(found.of("rclpy"), "fail", *words)
    if (trial.installed("numpy") or "").startswith("2."):
        say(found.of("NumPy and ROS"), "warn", "ROS humble and Debian are of NumPy 1", "numpy<2")


def test_ros2_runs_in_debians_python_which_lacks_pydantic(setup):
    """Debian's `ros2` names /usr/bin/python3 in its first line, and does not see what the environment holds."""
    venv.create(setup.folder / "debian", symlinks=True)
    (setup.folder / "bin").mkdir()
    script = setup.folder / "bin/ros2"
    script.write_text(f"#!{setup.folder}/debian/bin/python\nimport ros2cli\n")
    script.chmod(0o755)
    setup.variables["PATH"] = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
    found = setup.doctor()
    assert found.status == 1
    say(found.of("ros2 launch"), "fail", str(script), "No module named", f"export PYTHONPATH={setup.site}:$PYTHONPATH")
    setup.variables["PYTHONPATH"] = f"{setup.site}{os.pathsep}{setup.folder / 'src'}"
    assert setup.doctor().of("ros2 launch")[0] == "ok"


# --- the computer


def small_filesystem(place: Path, size: str) -> tuple[str, ...]:
    """A command that runs the rest with another, small file system at `place`."""
    command = ("unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size={size} none {place} && cd . && exec "$@"', "-")
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no mounts in a namespace of one's own here")
    return command


@has_ros_wheels
def test_shared_memory_is_too_small(setup):
    setup.prefix = small_filesystem(Path("/dev/shm"), "64k")
    found = setup.doctor()
    assert found.status == 0, "messages go by UDP"
    say(found.of("shared memory"), "warn", "0.1 MiB free in /dev/shm", "--shm-size")


def test_the_disk_is_full(setup):
    (setup.work / "runs").mkdir()
    setup.prefix = small_filesystem(setup.work / "runs", "64k")
    found = setup.doctor()
    assert found.status == 1
    say(found.of("reports"), "fail", str(setup.work / "runs"), "No space left", "free some space")


def test_one_core_is_left_to_it(setup):
    if not hasattr(os, "sched_getaffinity") or not shutil.which("taskset"):
        pytest.skip("needs taskset")
    setup.prefix = ("taskset", "-c", str(min(os.sched_getaffinity(0))))
    say(setup.doctor().of("machine"), "warn", "1 cores", "2 cores")
