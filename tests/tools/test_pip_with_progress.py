import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools/pip_with_progress.py"

PRINTED = """\
Collecting numpy>=1.23 (from -c constraints.txt (line 3))
  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (62 kB)
  Downloading https://example.org/packages/numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl (16.9 MB)
  *** Building project with Ninja...
  [1/79] /usr/bin/g++ -DGGML_BACKEND_SHARED -O3 -o llama.cpp.o -c vendor/llama.cpp/src/llama.cpp
  vendor/llama.cpp/src/llama.cpp:7: warning: [1/2] of these
  [79/79] : && /usr/bin/g++ -shared -Wl,-soname,libllama.so.0 && :
Installing collected packages: numpy, llama-cpp-python
"""


@pytest.fixture
def steps(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import pip_with_progress

    return pip_with_progress.steps


def test_what_pip_prints_is_told_in_short(steps):
    assert list(steps(PRINTED.splitlines())) == [
        ("downloading numpy (16.9 MB)", 0.0),
        ("compiling llama.cpp: 1 of 79 files", 1 / 79),
        ("compiling llama.cpp: 79 of 79 files", 1.0),
        ("installing", 0.0),
    ]


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_a_failure_of_pip_shows_its_end_and_is_its_exit_status(tmp_path):
    done = run(tmp_path / "pip.log", "install", "--no-index", "--no-build-isolation", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "Invalid requirement" in done.stderr and f"all that it printed: {tmp_path}/pip.log" in done.stderr
    assert "Invalid requirement" in (tmp_path / "pip.log").read_text()


def test_success_prints_no_log(tmp_path):
    done = run(tmp_path / "pip.log", "install", "--no-index", "--no-deps", "pytest")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "already satisfied: pytest" in (tmp_path / "pip.log").read_text()
