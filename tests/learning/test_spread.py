"""Spread work comes out as done here, on processes and on Ray; what is lost with a process is done again."""

import os
import signal
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import pytest
from spread_players import dies, refuses, squared, waits_once, where

from rarrl.errors import InputError, RarrlError
from rarrl_learning.progress import done_on_each
from rarrl_learning.spread import Code, code_here, crew, work_off

NUMBERS = list(range(9))
SQUARES = [number * number for number in NUMBERS]
ADDRESS = os.environ.get("RARRL_TEST_RAY", "local")
"""The cluster to test on; one that runs already spares the seconds that Ray takes to start."""

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'rarrl[ray]'")


@pytest.fixture
def on_ray():
    """Two workers, or more of a cluster that runs already."""
    with ExitStack() as stack:
        try:
            pool = stack.enter_context(crew(2 if ADDRESS == "local" else 1, ADDRESS))
        except RarrlError as error:
            if "did not start here" not in str(error):
                raise
            pytest.skip(f"this machine is too busy for Ray, whose deadlines cannot be set: {error}")
        yield pool


def silent(text, share):
    pass


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_all_is_done_in_order_and_told(workers):
    told = []
    with crew(workers) as pool:
        assert (pool is None) == (workers == 1)
        found = done_on_each(squared, NUMBERS, pool, lambda text, share: told.append((text, share)), "numbers")
    assert found == SQUARES
    assert told[-1] == ("9 of 9 numbers", 1.0) and len(told) == 9


@pytest.mark.slow
def test_a_process_that_dies_is_told():
    with pytest.raises(RarrlError, match="died"), crew(2) as pool:
        done_on_each(dies, NUMBERS, pool, silent, "numbers")


@pytest.mark.parametrize(
    ("address", "workers", "told"),
    [("ray://there:10001", 1, "no address"), (" local", 1, "no address"), ("there:6379", 2, "--workers")],
)
def test_a_bad_address_is_refused_before_ray_is_imported(address, workers, told):
    with pytest.raises(InputError, match=told), crew(workers, address):
        raise AssertionError("never entered")


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_it_is_said_what_to_install():
    with pytest.raises(RarrlError, match=r"pip install 'rarrl\[ray\]'"), crew(1, "local"):
        raise AssertionError("never entered")


def test_code_differs_by_version_or_files():
    here = code_here()
    assert here.differs(Code(here.version, here.digest)) == ""
    assert "has rarrl 0.0.1" in replace(here, version="0.0.1").differs(here)
    assert "other files" in replace(here, digest="0" * 64).differs(here)


def test_a_part_of_the_work_is_not_done_with_other_code():
    here = code_here()

    def work():
        return squared, (3,), {}

    assert work_off(work, (here.version, here.digest)) == work_off(work, None) == ("done", 9)
    kind, why = work_off(work, ("0.0.1", here.digest))
    assert kind == "misfit" and f"has rarrl {here.version}, this machine 0.0.1" in why
    kind, error = work_off(lambda: (refuses, (3,), {}), None)
    assert kind == "refused" and isinstance(error, InputError)


@needs_ray
@pytest.mark.slow
def test_two_workers_of_ray_do_what_one_process_does_and_a_killed_one_loses_nothing(tmp_path, on_ray):
    """One cluster for all of it: to start Ray takes longer than the work."""
    pool = on_ray
    assert done_on_each(squared, NUMBERS, pool, silent, "numbers") == SQUARES
    by = done_on_each(where, list(range(40)), pool, silent, "numbers")
    assert [number for number, _ in by] == list(range(40)) and len({pid for _, pid in by}) >= 2
    assert os.getpid() not in {pid for _, pid in by}

    with pytest.raises(InputError, match=r"^3 is odd$"):
        pool.submit(refuses, 3).result(timeout=120)

    futures = [pool.submit(partial(waits_once, str(tmp_path)), number) for number in (5, 7)]
    marks = [tmp_path / "5.pid", tmp_path / "7.pid"]
    until = time.monotonic() + 120
    while not all(mark.exists() and mark.read_text() for mark in marks):
        assert time.monotonic() < until, "the parts have not begun"
        time.sleep(0.05)
    for mark in marks:
        os.kill(int(mark.read_text()), signal.SIGKILL)
    assert [future.result(timeout=240) for future in futures] == [25, 49]

    with pytest.raises(RarrlError, match="died 4 times"):
        pool.submit(dies, 1).result(timeout=240)
