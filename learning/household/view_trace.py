"""A mission's trace as the view shows it: what `rarrl demo` kept of the missions that it rendered."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace

import numpy as np

from rarrl.view.recorded import Player
from rarrl.view.state import Bar, Camera, Moment, Reason, Scan, Snapshot, Story, gate_state
from rarrl.view.story import begun, spoken
from rarrl_sim_envs.household.robot.drivers import GATE

from .live import home_of, in_words
from .report.trace import Trace, TracedDecision

NOT_KEPT = "a mission's trace does not keep why; `rarrl view` of a run's log explains each decision"
PATH_M = 0.08
"""Metres between two points of the path that are shown."""


def trace_player(trace: Trace, speed: float = 1.0) -> Player:
    """Plays `trace` to the view."""
    home, told = home_of(trace.home), stories(trace)
    begins = [t_s for t_s, _ in told]
    times = trace.t_s
    cameras: dict[int, Camera] = {}
    path_rows = _path_rows(trace.pose[:, :2])

    def camera(row: int) -> Camera | None:
        index = int(np.searchsorted(trace.picture_steps, row, side="right")) - 1
        if index < 0:
            return None
        if index not in cameras:
            cameras.clear()
            height, width = trace.picture(index).shape[:2]
            cameras[index] = Camera(
                trace.pictures[index], width, height, None, float(times[trace.picture_steps[index]])
            )
        return cameras[index]

    def at(t_s: float) -> Snapshot:
        row = max(int(np.searchsorted(times, t_s, side="right")) - 1, 0)
        story = told[max(bisect_right(begins, t_s) - 1, 0)][1]
        if not len(times):
            return Snapshot(Moment(t_s), story, home=home)
        path = trace.pose[path_rows[: int(np.searchsorted(path_rows, row, side="right"))], :2]
        return Snapshot(_moment(trace, row, path, t_s), story, camera=camera(row), home=home)

    return Player(lambda: at, trace.duration_s, f"a recorded mission of {trace.policy}", speed)


def stories(trace: Trace) -> list[tuple[float, Story]]:
    """How the story went on, by time."""
    story = Story(
        goal=trace.goal,
        policy=trace.policy,
        status="under way",
        time_budget_s=trace.time_budget_s,
        time_left_s=trace.time_budget_s,
        token_budget=trace.token_budget,
        tokens_left=trace.token_budget,
    )
    told = [(0.0, story)]
    moments = [(d.t0, 1, n, d) for n, d in enumerate(trace.decisions, start=1) if d.action != "cut" and d.t1 > d.t0]
    moments += [(d.t1, 0, n, d) for n, d in enumerate(trace.decisions, start=1)]
    for t_s, begins, number, decision in sorted(moments, key=lambda moment: moment[:3]):
        story = _begun(story, number, decision) if begins else _ended(story, number, decision)
        told.append((t_s, story))
    return told


def _begun(story: Story, number: int, decision: TracedDecision) -> Story:
    label = f"THINK({decision.role}, {decision.level})" if decision.role else "ACT"
    name = "" if decision.role else spoken(decision.subgoal)
    bar = Bar(number, decision.t0, None, decision.role, decision.level, label=name)
    return begun(story, bar, Reason(number, label, NOT_KEPT))


def _ended(story: Story, number: int, decision: TracedDecision) -> Story:
    bars = tuple(bar for bar in story.bars if bar.decision != number)
    if decision.role or decision.action == "cut":
        story = replace(story, time_left_s=decision.time_left_s, tokens_left=decision.tokens_left)
    if decision.action != "cut":
        bar = Bar(
            number,
            decision.t0,
            decision.t1,
            decision.role,
            decision.level,
            decision.status,
            decision.answer if decision.role else spoken(decision.subgoal),
            decision.tokens,
            decision.time_left_s,
            decision.tokens_left,
        )
        bars = (*bars, bar)
    return replace(story, bars=bars, status="under way")


def _moment(trace: Trace, row: int, path: np.ndarray, t_s: float) -> Moment:
    x, y, heading = trace.pose[row].tolist()
    v, omega = trace.speed[row].tolist()
    clear, scan = trace.clear_m[row], None
    if len(clear) > 1 and np.isfinite(clear).all():
        width = float(trace.bearings[1] - trace.bearings[0])
        scan = Scan(clear, float(trace.bearings[0]), width, trace.range_m, GATE.sensor_x_m, GATE.sensor_y_m)
    gate = gate_state(GATE, trace.gate[row], trace.gate_reason[row], "", v) if trace.gate[row] else None
    target = trace.target[row]
    return Moment(
        t_s=t_s,
        pose=(x, y, heading),
        v_m_s=v,
        omega_rad_s=omega,
        path=path,
        people=trace.people[row],
        scan=scan,
        gate=gate,
        target=(float(target[0]), float(target[1])) if np.isfinite(target).all() else None,
        held=in_words(trace.held[row]),
    )


def _path_rows(points: np.ndarray) -> np.ndarray:
    """The rows of a path's points that are far enough from the one before."""
    rows: list[int] = []
    for row, point in enumerate(points):
        if not rows or np.hypot(*(point - points[rows[-1]])) >= PATH_M:
            rows.append(row)
    return np.array(rows, dtype=np.int64)
