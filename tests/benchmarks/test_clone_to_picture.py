"""What the first minutes of a new user cost, by pip's log and the processor seconds of all that is started."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import clone_to_picture as benchmark

LOG = """
2026-12-01T04:00:00,000   Downloading https://files.pythonhosted.org/a/numpy-2.4.6-cp312-manylinux.whl.metadata (6.5 kB)
2026-12-01T04:00:01,000   Downloading https://files.pythonhosted.org/a/numpy-2.4.6-cp312-manylinux.whl (16.5 MB)
2026-12-01T04:00:01,000   Downloading link https://files.pythonhosted.org/a/x.whl to /tmp/x
2026-12-01T04:00:02,000   Processing {wheel}
2026-12-01T04:00:02,000   Processing {wheel}
"""
HERE = benchmark.Minutes("1234567", "3.11.7", 70.0, 200.0, 60.0, 300.0, 100.0, 110.0, 400.0)
THERE = replace(HERE, commit=benchmark.AGAINST, downloaded_mb=800.0, picture_s=400.0, cpu_s=1000.0)


def test_the_log_says_what_was_downloaded(tmp_path):
    wheel = tmp_path / "torch-2.13.0-cp311.whl"
    wheel.write_bytes(bytes(2_000_000))
    assert benchmark.downloaded_mb(LOG.format(wheel=wheel)) == pytest.approx(0.0065 + 16.5 + 2.0)


def test_a_ratio_is_of_alike_runs():
    figures = benchmark.figures([THERE, HERE])
    assert {name: figure.value for name, figure in figures.items()} == {
        "clone_to_picture_ratio": 0.4,
        "clone_to_picture_wall_ratio": 0.25,
        "downloaded_ratio": 0.25,
    }
    assert benchmark.figures([THERE, replace(HERE, python="3.12.1")]) == {}
    assert benchmark.figures([THERE]) == benchmark.figures([HERE]) == {}


def test_seconds_of_all_that_is_started_count(tmp_path):
    watch = benchmark.Stopwatch({"PATH": "/usr/bin:/bin"}, tmp_path / "log.txt")
    work = "t = __import__('time'); e = t.process_time() + 0.3\nwhile t.process_time() < e: pass"
    watch.run(tmp_path, "sh", "-c", f'{sys.executable} -c "{work}"; mkdir -p runs/a; touch runs/a/report.png')
    assert watch.cpu_s >= 0.3 and watch.picture_s is not None and watch.picture_s <= watch.wall_s
    with pytest.raises(SystemExit, match="ended with 3"):
        watch.run(tmp_path, "sh", "-c", "exit 3")


def test_what_the_user_has_is_passed_on_and_nothing_of_this_checkout():
    passed = {"PATH", "HOME", "LC_ALL", "https_proxy", "HTTPS_PROXY", "PIP_CERT", "SSL_CERT_FILE"}
    kept_out = {"PYTHONPATH", "OMP_NUM_THREADS", "VIRTUAL_ENV", "PIP_CACHE_DIR", "LD_LIBRARY_PATH", "ROS_DOMAIN_ID"}
    assert {name for name in passed | kept_out if benchmark.KEPT.fullmatch(name)} == passed
