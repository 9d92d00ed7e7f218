"""A mission as a recording for rerun's viewer (extra `view`): path, people, scan, images, decisions over time."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import DependencyMissingError
from rarrl.report.figure import ROLE_COLOURS

from .trace import Trace

HINT = "pip install 'rarrl[view]' adds a recording to scroll through (rerun)"
# Heights as drawn, metres: low, so that one can look into the rooms.
_HEIGHT_M = 0.8  # furniture
_WALL_M = 1.6
# The gate's curve: 0 where it passes the command.
_GATE = {"STOP": 2.0, "LIMITED": 1.0}


def available() -> bool:
    """Whether rerun is installed."""
    return find_spec("rerun") is not None


def write_recording(path: Path, trace: Trace) -> None:
    """Writes `trace` to `path` (.rrd); `rerun PATH` shows it. Raises: DependencyMissingError without rerun."""
    if not available():
        raise DependencyMissingError(f"no recording: {HINT}")

    import rerun as rr

    stream = rr.RecordingStream("rarrl mission")
    stream.save(path)
    _home(stream, trace)

    pictures = {int(row): index for index, row in enumerate(trace.picture_steps)}
    shown = ""
    for row, t in enumerate(trace.t_s.tolist()):
        stream.set_time("mission", duration=t)
        _moment(stream, trace, row)
        if row in pictures:
            stream.log("left_eye", rr.EncodedImage(contents=trace.pictures[pictures[row]], media_type="image/jpeg"))
        if trace.subgoal[row] != shown:
            shown = trace.subgoal[row]
            stream.log("log", rr.TextLog(shown or "no sub-goal", level="INFO"))

    _decisions(stream, trace)
    stream.flush()
    stream.disconnect()


def _home(stream: Any, trace: Trace) -> None:
    import rerun as rr

    home = trace.home

    def boxes(rows: np.ndarray, height: float, colour: str, labels: list[str] | None = None) -> rr.Boxes3D:
        low, high = rows[:, :2], rows[:, 2:]
        tall = np.full((len(rows), 1), height / 2)
        return rr.Boxes3D(
            centers=np.hstack([(low + high) / 2, tall]),
            half_sizes=np.hstack([(high - low) / 2, tall]),
            colors=[_rgb(colour)] * len(rows),
            labels=labels,
        )

    stream.log("home", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    stream.log("home/walls", boxes(home.walls, _WALL_M, "#4d4d4d"), static=True)
    names = [home.words.get(name, name) for name in home.names]
    stream.log("home/furniture", boxes(home.boxes, _HEIGHT_M, "#d8c9ae", names), static=True)
    path = np.column_stack([trace.pose[:, :2], np.full(len(trace.pose), 0.02)])
    stream.log("home/way", rr.LineStrips3D([path], colors=[_rgb("#08306b")]), static=True)


def _moment(stream: Any, trace: Trace, row: int) -> None:
    import rerun as rr

    x, y, heading = trace.pose[row].tolist()
    gate = trace.gate[row]
    colour = _rgb("#b3261e" if gate == "STOP" else "#08306b")
    ahead = [[0.5 * np.cos(heading), 0.5 * np.sin(heading), 0.0]]
    stream.log("home/robot", rr.Arrows3D(origins=[[x, y, 0.3]], vectors=ahead, colors=colour))
    stream.log("home/robot/body", rr.Points3D([[x, y, 0.25]], radii=0.25, colors=colour))
    people = np.column_stack([trace.people[row], np.full(len(trace.people[row]), 0.8)])
    stream.log("home/people", rr.Points3D(people, radii=0.25, colors=_rgb("#d95f02")))
    clear = trace.clear_m[row]
    if len(clear) and np.isfinite(clear).all():
        angles = heading + trace.bearings
        ends = np.column_stack([x + clear * np.cos(angles), y + clear * np.sin(angles), np.full(len(clear), 0.5)])
        hit = clear < trace.range_m - 0.05
        colours = np.where(hit[:, None], _rgb("#2b4c7e"), _rgb("#cfe3f5")).astype(np.uint8)
        stream.log("home/scan", rr.Points3D(ends, radii=0.04, colors=colours))

    if np.isfinite(trace.target[row]).all():
        place = [[*trace.target[row].tolist(), 1.0]]
        goal = rr.Points3D(place, radii=0.12, colors=_rgb("#f0a202"), labels=[trace.subgoal[row]])
        stream.log("home/subgoal", goal)

    stream.log("speed/v_m_s", rr.Scalars(trace.speed[row, 0]))
    stream.log("speed/omega_rad_s", rr.Scalars(trace.speed[row, 1]))
    stream.log("gate", rr.Scalars(_GATE.get(gate, 0.0)))
    if gate == "STOP" and (row == 0 or trace.gate[row - 1] != "STOP"):
        stream.log("log", rr.TextLog(f"gate: stop, {trace.gate_reason[row]}", level="WARN"))


def _decisions(stream: Any, trace: Trace) -> None:
    import rerun as rr

    left = trace.time_budget_s
    for decision in trace.decisions:
        stream.set_time("mission", duration=decision.t0)
        stream.log("budget_s", rr.Scalars(left))
        if decision.action == "think":
            what = f"THINK({decision.role}, {decision.level})"
            colour = _rgb(ROLE_COLOURS[(decision.role, max(decision.level, 1))])
            stream.log("log", rr.TextLog(what, level="INFO", color=colour))
        stream.set_time("mission", duration=decision.t1)
        if decision.action in ("think", "cut"):
            left = decision.time_left_s
            stream.log("budget_s", rr.Scalars(left))
        text = f"{decision.subgoal or decision.role}: {decision.status}"
        if decision.answer:
            text += f": {decision.answer}"
        bad = decision.status not in ("SUCCESS", "OK", "")
        stream.log("log", rr.TextLog(text, level="ERROR" if bad else "INFO"))


def _rgb(colour: str) -> list[int]:
    """
    >>> _rgb("#08306b")
    [8, 48, 107]
    """
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
