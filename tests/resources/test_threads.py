"""The plan of threads: what libraries are told before they load, and what a user has set stays."""

import os
import subprocess
import sys

import pytest

from rarrl.resources import threads
from rarrl.resources.threads import OURS, plan_if_nobody_has, plan_threads, planned, threads_for


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 8)
    for name in (OURS, *planned(1, {})):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("processes", "share"), [(0, "8"), (1, "8"), (3, "2"), (8, "1"), (50, "1")])
def test_a_process_takes_its_share_of_the_cores(processes, share):
    plan = planned(processes, {"HOME": "/root"})
    assert plan["OPENCV_FOR_THREADS_NUM"] == plan["NUMBA_NUM_THREADS"] == share
    assert plan["OMP_NUM_THREADS"] == plan["OPENBLAS_NUM_THREADS"] == "1"
    assert plan["LP_NUM_THREADS"] == "0"
    assert plan["HOME"] == "/root"


def test_what_the_user_has_set_stays():
    user = {"OMP_NUM_THREADS": "3", "OPENCV_FOR_THREADS_NUM": "5"}
    plan = planned(2, user)
    assert user.items() <= plan.items() and plan["MKL_NUM_THREADS"] == "1"
    assert user.items() <= planned(8, plan).items()


def test_what_was_planned_is_planned_anew_for_more_processes():
    assert planned(8, planned(1, {}))["OPENCV_FOR_THREADS_NUM"] == "1"


def test_processes_that_are_started_meanwhile_get_their_plan_and_this_one_its_own_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    before = dict(os.environ)
    with threads_for(4):
        assert (os.environ["OPENCV_FOR_THREADS_NUM"], os.environ["OMP_NUM_THREADS"]) == ("2", "4")
    assert dict(os.environ) == before


def test_a_plan_that_there_is_stays(monkeypatch):
    for name in planned(1, {}):
        monkeypatch.setenv(name, "")  # so that they are taken away again
        monkeypatch.delenv(name)
    plan_threads(8)
    plan_if_nobody_has()
    assert os.environ["OPENCV_FOR_THREADS_NUM"] == "1"


def test_the_libraries_heed_it():
    code = "import os, numpy, cv2; numpy.ones((400, 400)) @ numpy.ones((400, 400)); print(cv2.getNumThreads(), "
    code += "len(os.listdir('/proc/self/task')))" if sys.platform == "linux" else "1)"
    environment = {**planned(4, {}), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["2", "1"], done.stderr


def test_the_cores_of_this_process_are_counted(monkeypatch):
    monkeypatch.undo()
    assert 1 <= threads.cores() <= (os.cpu_count() or 1)
