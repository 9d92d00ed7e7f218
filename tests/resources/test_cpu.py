"""Processor time of a process."""

import os
import resource

import pytest

from rarrl.resources.cpu import cpu_seconds


def test_our_own_time_is_that_of_the_system():
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert cpu_seconds(os.getpid()) == pytest.approx(used.ru_utime + used.ru_stime, abs=0.5)


def test_a_process_that_is_not_there():
    with pytest.raises(OSError):
        cpu_seconds(2**22 + 1)  # above the largest number that Linux gives
