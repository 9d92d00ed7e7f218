"""The packages that rarrl cannot do without."""

import subprocess
import sys
from pathlib import Path

import pytest

from rarrl.doctor import core

GOOD = {
    **dict.fromkeys(core.REQUIRED, "99.0"),
    **dict.fromkeys(("torch", "stable-baselines3", "sb3-contrib", "tensorboard"), "2.13.0+cpu"),
    "ros-rclpy": "7.1.6",
}


def test_old_and_missing_packages_are_named():
    check = core.check_required({**GOOD, "pydantic": "1.10.14", "numpy": None}.get)
    assert check.status == "fail"
    assert "pydantic 1.10.14 is older than 2.4" in check.detail and "numpy is missing" in check.detail
    assert "pip install" in check.fix
    assert core.check_required({**GOOD, "pydantic": "2.10.0"}.get).status == "ok"  # 2.10 is newer than 2.4


def test_opencv_counts_from_whichever_package():
    assert core.check_required(GOOD.get).status == "ok"
    missing = core.check_required(GOOD.get, cv2=False)
    assert "OpenCV is missing" in missing.detail and "opencv-python-headless" in missing.fix


def test_a_folder_that_hides_the_package_is_found(tmp_path):
    root = str(core.PACKAGE_DIR.parent)
    assert core.check_imports(tmp_path, [root]).status == "ok"
    (tmp_path / "rarrl").mkdir()  # a clone: a folder without modules of its own
    assert core.check_imports(tmp_path, [root]).status == "ok"  # what is on the path wins over it
    hidden = core.check_imports(tmp_path, [])
    assert hidden.status == "fail" and "which is no package" in hidden.detail
    (tmp_path / "rarrl" / "__init__.py").touch()
    other = core.check_imports(tmp_path, [root])
    assert other.status == "fail" and f"another rarrl: {tmp_path / 'rarrl'}" in other.detail


@pytest.mark.parametrize(
    ("on_path", "called", "says"),
    [
        ("/usr/bin/rarrl", "/usr/bin/rarrl", "/usr/bin/rarrl"),
        (None, "/ws/install/rarrl/lib/rarrl/rarrl", "`ros2 run rarrl rarrl`"),
        (None, "/clone/.venv/bin/rarrl", "`/clone/.venv/bin/rarrl`"),
        (None, "/clone/rarrl/__main__.py", "-m rarrl`"),
    ],
)
def test_how_to_call_it(on_path, called, says):
    assert says in core.check_command(on_path, Path(called)).detail


def test_it_works_without_any_dependency(tmp_path):
    code = """import sys
sys.path.insert(0, sys.argv[1])
from rarrl.doctor import core, trial
print(core.check_required(trial.installed))"""
    root = core.PACKAGE_DIR.parent
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code, str(root)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "numpy is missing" in done.stdout
