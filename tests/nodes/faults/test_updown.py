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


@pytest.mark.slow
@pytest.mark.parametrize("part", ["gate", "deadman"])
def test_the_control_has_the_same_entities_and_none_of_our_code(ros, part, monkeypatch):
    from rclpy.parameter import Parameter

    where, settings, _ = updown.NODES[part]
    made, kinds = [], []

    def make():
        from importlib import import_module

        module, _, kind = where.partition(":")
        overrides = [Parameter(name, value=value) for name, value in {"autostart": False, **settings}.items()]
        made.append(getattr(import_module(f"rarrl_nodes.{module}"), kind)(parameter_overrides=overrides))
        return made[-1]

    monkeypatch.setattr(updown, "entities_of", lambda node, of=updown.entities_of: kinds.extend(of(node)) or of(node))
    once = updown.bare_cycles(part, make)
    assert len(made) == 1 and once() == 0 and once() == 0 and len(made) == 1
    assert {"publisher", "subscription", "timer"} <= {kind.removeprefix("lifecycle_") for _, kind, *_ in kinds}


@pytest.mark.parametrize(("kb", "leaks"), [(3.0, 0), (6.0, 1)])
def test_what_a_node_leaves_beyond_rclpy_is_a_leak(monkeypatch, kb, leaks):
    def told(part, cycles, *words):
        return {"failures": [0] * cycles, "left": 0, "kb_per_cycle": 3.0 if words else kb, "kb_error": 0.5}

    monkeypatch.setattr(updown, "_told", told)
    trials = updown.played("gate")(2, 0)
    assert trials[-1].counts["leaks"] == leaks and f"ours {kb - 3:+.2f} ± 0.71" in trials[-1].note


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
