"""A robot for the view, without a robot: it drives a circle at 10 Hz, sees, plans, and has thought."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from rarrl.config import GateConfig
from rarrl.view.state import (
    Bar,
    Belief,
    Camera,
    Controls,
    Home,
    Moment,
    Option,
    Path,
    Reason,
    Scan,
    Snapshot,
    Step,
    Story,
    gate_state,
)

STORY = Story(
    goal="Put a clean mug on the shelf",
    policy="learned",
    model="llama",
    episode=3,
    status="acting",
    steps=(Step("Go to sink", "done"), Step("Clean mug", "now"), Step("Put mug → shelf", "next")),
    beliefs=(Belief("mug: sink", 0.87), Belief("shelf: by the door")),
    plan_sure=0.93,
    plan_by="the planner, level 1",
    bars=(
        Bar(1, 0.0, 2.0, "planner", 1, "OK", "CleanObject(mug); PutObject(mug, shelf)", 120.0, 18.0, 5880.0),
        Bar(2, 2.0, 6.5, status="FAILURE", label="Go to sink"),
        Bar(3, 6.5, 7.5, "verifier", 2, "OK", "ok", 80.0, 17.0, 5800.0),
        Bar(4, 7.5, None, label="Clean mug"),
    ),
    time_budget_s=20.0,
    time_left_s=17.0,
    token_budget=6000.0,
    tokens_left=5800.0,
    reason=Reason(
        4,
        "ACT",
        "learned: CleanObject (2/3); 1 failure here",
        (
            Option("ACT", True, True, 0.81, 0.0, 0.0, 0.0),
            Option("THINK(planner, 1)", True, False, 0.15, 2.1, 121.0, 0.126),
            Option("THINK(planner, 2)", False, False, 0.0, 4.2, 240.0, 0.252),
        ),
        0.74,
        "learned",
    ),
)
HOME = Home(
    (6.0, 4.0),
    np.array([[0.0, 0.0, 6.0, 0.1], [0.0, 3.9, 6.0, 4.0]]),
    np.array([[0.2, 0.2, 1.4, 0.8], [4.5, 3.2, 5.8, 3.8]]),
    ("sink", "shelf"),
)


class Circle:
    """A `rarrl.view.server.Source`. Each step, and with it each look, takes no time of its own.

    Args:
        pictures: a new one with every look, of 320 x 240 noisy pixels; else none.
        clock: seconds."""

    def __init__(self, pictures: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._pictures = clock, pictures
        self._began = clock()
        self._path = Path()
        self._random = np.random.default_rng(0)
        self.looks = 0
        self.paused = False
        self.thinks = 0
        self.watched: list[bool] = []
        self.story = STORY
        self.controls = Controls("a robot in a test")

    def look(self) -> Snapshot:
        """See `Source`."""
        self.looks += 1
        t_s = self._clock() - self._began
        x, y, heading = 3.0 + math.cos(t_s), 2.0 + math.sin(t_s), t_s + math.pi / 2
        moment = Moment(
            t_s=t_s,
            pose=(x, y, heading),
            v_m_s=0.5,
            omega_rad_s=1.0,
            path=self._path.add(x, y),
            people=np.array([[1.0, 3.0], [5.0, 1.0]]),
            scan=Scan(1.0 + self._random.random(31), -0.7, 1.4 / 31, 3.0),
            gate=gate_state(GateConfig(), "LIMITED", "obstacle ahead", "free for 0.40 m", 0.5),
            target=(0.8, 0.5),
            held="mug",
        )
        return Snapshot(moment, self.story, self.controls, self._camera(t_s), HOME)

    def _camera(self, t_s: float) -> Camera | None:
        if not self._pictures:
            return None
        image = np.full((240, 320, 3), (40, 90, 160), np.uint8)
        image[:, int(40 * t_s) % 300 :][:, :20] = self._random.integers(0, 255, (240, 1, 3), dtype=np.uint8)
        squares = [[20 + 3 * i, 120 + (i % 40), 12, 3.0 - 0.025 * i] for i in range(100)]
        return Camera(image, 320, 240, np.array(squares, np.float32), t_s)

    def watch(self, somebody: bool) -> None:
        """See `Source`."""
        self.watched.append(somebody)

    def pause(self, wanted: bool) -> str:
        """See `Source`."""
        self.paused = wanted
        self.controls = Controls("a robot in a test", paused=wanted)
        return ""

    def think_now(self) -> str:
        """See `Source`: the budget allows one."""
        self.thinks += 1
        return "" if self.thinks == 1 else "the budget does not allow a call"
