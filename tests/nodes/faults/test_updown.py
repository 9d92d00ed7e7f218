"""Nodes up and down: cycles of a real node, and a transition that fails is told."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rarrl_nodes.faults import updown


def test_a_transition_that_fails_is_counted(ros):
    from rclpy.lifecycle import TransitionCallbackReturn as Result

    good = SimpleNamespace(**{f"trigger_{name}": lambda: Result.SUCCESS for name in updown.TRANSITIONS})
    bad = SimpleNamespace(**{**vars(good), "trigger_activate": lambda: Result.FAILURE})
    assert (updown.cycle(good), updown.cycle(bad)) == (0, 1)


@pytest.mark.slow
def test_a_node_goes_up_and_down(ros):
    command = [sys.executable, "-m", "rarrl_nodes.faults.updown", "gate", "5"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120).stdout.splitlines()[-1])
    assert told["failures"] == [0] * 5 and told["left"] == 0


def test_growth_is_told_with_its_interval():
    rng = np.random.default_rng(1)
    noise = 50.0 * rng.standard_normal(1000)
    for truth in (0.0, 0.4):
        grown, error = updown.slope(truth * np.arange(1000) + noise)
        assert abs(grown - truth) <= error < 0.1
    assert updown.slope(noise[:5]) == (0.0, np.inf)


def test_usage_is_that_of_this_process():
    threads, files, size_mb = updown.usage()
    assert threads >= 1 and files >= 3 and 1.0 < size_mb < 1e5
