"""Loopback and an own domain for every test that talks ROS 2, set before anything imports rclpy; shared fixtures."""

from __future__ import annotations

import os
from collections.abc import Callable

import hypothesis
import numpy as np
import pytest

from rarrl import secrets
from rarrl.alfred import AlfredPlan, Annotation, GoalParameters
from rarrl.alfred import SubgoalType as T
from rarrl.latency.replay import ReplayTable, ThinkCosts

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # Jazzy and later
os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")  # Humble
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes, which inherit the domain of their parent
    os.environ.pop("ROS_DOMAIN_ID", None)
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))  # 0..101 is safe on every platform
os.environ.setdefault("MPLBACKEND", "Agg")
hypothesis.settings.register_profile("rarrl", deadline=None)  # a busy computer is slow; nothing is tested about time
hypothesis.settings.load_profile("rarrl")


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch):
    """What a test gave as a secret is hidden in its own texts, not in those of the tests after it."""
    monkeypatch.setattr(secrets, "_seen", set())
    monkeypatch.setattr(secrets, "_variables", set())


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., AlfredPlan]:
    """make_plan([(SubgoalType, low-level steps), ...]) -> a plan."""

    def make(subgoals: list[tuple[T, int]], task_type: str = "pick_and_place_simple") -> AlfredPlan:
        types, steps = tuple(t for t, _ in subgoals), tuple(n for _, n in subgoals)
        return AlfredPlan(task_type, "FloorPlan1", "trial", types, ((),) * len(types), steps)

    return make


@pytest.fixture(scope="session")
def make_table() -> Callable[..., ReplayTable]:
    """make_table(seconds (4,) or (4, N), tokens=..., ok=...) -> a table; by default calls are constant and answer."""

    def make(seconds: object = (1.0, 2.0, 1.0, 2.0), tokens: object = 100.0, ok: object = True) -> ReplayTable:
        s = np.array(seconds, dtype=np.float64)
        s = np.repeat(s[:, None], 8, axis=1) if s.ndim == 1 else s
        t, good = np.broadcast_to(np.array(tokens, dtype=np.float64), s.shape), np.broadcast_to(np.array(ok), s.shape)
        costs = ThinkCosts(s.mean(1), np.median(s, 1), np.quantile(s, 0.95, axis=1), t.mean(1), t.max(1), good.mean(1))
        return ReplayTable("small", s, t, good, np.full(s.shape, -1, np.int8), costs)

    return make


@pytest.fixture(scope="session")
def made_up_plans() -> list[AlfredPlan]:
    """Expert plans like ALFRED's: two task types, 4 objects, 4 places, two annotators each."""
    plans = []
    for thing in ("mug", "apple", "plate", "egg"):
        for place in ("desk", "shelf", "fridge", "sofa"):
            for heated in (False, True):
                subgoals = [T.GotoLocation, T.PickupObject, *([T.HeatObject] if heated else []), T.PutObject]
                arguments = [("table",), (thing,), *([(thing,)] if heated else []), (thing, place)]
                words = ["walk", f"take the {thing}", *([f"warm up the {thing}"] if heated else []), f"to the {place}"]
                hot = "hot " if heated else ""
                goals = (f"put a {hot}{thing} on the {place}.", f"the {place} needs a {hot}{thing}")
                plans.append(
                    AlfredPlan(
                        "pick_heat_then_place_in_recep" if heated else "pick_and_place_simple",
                        "FloorPlan1",
                        f"trial_{thing}_{place}_{heated}",
                        tuple(subgoals),
                        tuple(arguments),
                        (1,) * len(subgoals),
                        tuple(Annotation(goal, tuple(words)) for goal in goals),
                        GoalParameters(thing, place, "", "", False),
                    )
                )
    return plans
