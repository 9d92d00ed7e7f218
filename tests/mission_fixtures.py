"""Missions made by hand, for tests of the report: a result, a trace, and both together."""

import cv2
import numpy as np

from rarrl_learning.household.report.trace import HomePlan, MissionResult, Played, Trace, TracedDecision

PLAN = "PickupObject(mug); PutObject(mug, shelf)"


def result(policy="learned", seed=3, success=True, **values):
    chosen = {"goal": "Put the mug on the shelf.", "share": 1.0 if success else 0.5, "mission_s": 40.0, "llm_s": 2.0}
    chosen |= {
        "tokens": 300.0,
        "calls": 1,
        "collisions": 0,
        "gate_stops": 2,
        "end_reason": "done" if success else "late",
    }
    return MissionResult(policy, seed, success=success, **(chosen | values))


def trace(policy="learned", seed=3, n=60, pictures=True, goal="Put the mug on the shelf."):
    """A drive of n steps along y = 2, with a call from 1 to 3 s and two stops of the gate, in a home with a shelf."""
    t = 0.1 * np.arange(1, n + 1)
    x = np.linspace(1.0, 4.0, n)
    picture = cv2.imencode(".jpg", np.full((240, 320, 3), (200, 30, 30), np.uint8))[1].tobytes()
    rows = tuple(range(0, n, 4)) if pictures else ()
    gate = tuple("STOP" if i in (10, 11, 12, 40) else "PASS" for i in range(n))
    home = HomePlan(
        (8.0, 4.0),
        np.array([[-0.1, -0.1, 8.1, 0.0], [-0.1, 4.0, 8.1, 4.1]]),
        np.array([[6.0, 1.5, 7.0, 2.5], [1.0, 3.0, 2.0, 4.0]]),
        ("shelf", "sinkbasin"),
        np.array([3.9, 1.0, 4.1, 2.0]),
        {"sinkbasin": "sink"},
    )
    return Trace(
        policy=policy,
        seed=seed,
        goal=goal,
        home=home,
        time_budget_s=10.0,
        token_budget=1000.0,
        range_m=4.0,
        bearings=np.array([-0.3, 0.0, 0.3]),
        t_s=t,
        pose=np.stack([x, np.full(n, 2.0), np.zeros(n)], axis=1),
        speed=np.full((n, 2), 0.3),
        people=np.full((n, 1, 2), 3.0),
        door_open=np.ones(n, bool),
        gate=gate,
        gate_reason=tuple("blocked" if g == "STOP" else "" for g in gate),
        clear_m=np.stack([np.full(n, 1.0), 6.0 - x, np.full(n, 4.0)], axis=1).clip(max=4.0),
        subgoal=("GotoLocation shelf",) * (n // 2) + ("PutObject mug shelf",) * (n - n // 2),
        target=np.full((n, 2), (6.5, 2.0)),
        held=("mug",) * n,
        decisions=(
            TracedDecision(0.0, 1.0, "act", "FAILURE", "GotoLocation", seconds=1.0, time_left_s=10, tokens_left=1000),
            TracedDecision(
                1.0, 3.0, "think", "OK", "", "planner", 1, 300.0, 2.0, time_left_s=8.0, tokens_left=700.0, answer=PLAN
            ),
            TracedDecision(3.0, 6.0, "act", "SUCCESS", "PutObject", seconds=3.0, time_left_s=8, tokens_left=700),
        ),
        pictures=(picture,) * len(rows),
        picture_steps=np.array(rows, dtype=np.int64),
    )


def played(policy, seed=3, success=True, pictures=False, **values):
    own = trace(policy, seed, pictures=pictures)
    return Played(result(policy, seed, success, **values), tuple(d for d in own.decisions if d.action == "think"), own)
