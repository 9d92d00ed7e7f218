"""Evaluates fusion over time on rendered sequences with exact truth: standing still, a passing box, driving.

All lengths are in units of the scene's voxel, so that indoor (0.1 m) and outdoor (0.5 m) films are alike."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.fusion import FusionConfig, VoxelFusion
from rarrl.perception.voxels import PRESETS, truth_voxels
from rarrl.results import Figure, make_results, write_results
from rarrl.types import VoxelGrid

from ..progress import Progress
from .evaluate import paired
from .metrics import iou, within_one
from .scenes import FIT_STREAM
from .synthetic import Quad, RenderedPair, Scene, SynthConfig, build_scene, render_frame

RATE_HZ = 15.0  # frames per second of a film
WIDTH = 463  # pixels: the smallest of `scenes.SIZES`, for speed
HEIGHT = 370
WARM_UP = 5  # frames of a film that are not counted: the map begins empty
LEAD = 8  # frames before the box comes
CROSSING = 30  # frames while it passes: two seconds
AFTER = 18  # frames after it has left the view: more than the second in which its voxels must clear
SPEED_VOXELS = 5.0  # of the camera, per second: 0.5 m/s indoors
TURN_DEG = 6.0  # of the camera, per second


@dataclass(frozen=True, eq=False)
class StillResult:
    """Shares of voxels that change per frame, of those ever occupied, and mean IoU; raw: of the frames alone.

    ever: (nx, ny, nz) bool, voxels that any frame of the film marked, fused or raw."""

    flicker: float
    flicker_raw: float
    iou: float
    iou_raw: float
    ever: np.ndarray


@dataclass(frozen=True, eq=False)
class PassingResult:
    """clear_s, clear_raw_s: (n,) seconds until each voxel that the box has left was first not occupied; last_s,
    last_raw_s: (n,) until it was so for good (a later mark counts). Voxels are those
    that were marked while it was there and neither before it came nor in the film without it. ghosts: how many of them
    were still occupied at the end, a second or more later. recall: within one voxel, of the box's voxels while it was
    seen, mean over frames; NaN where it was never seen."""

    clear_s: np.ndarray
    clear_raw_s: np.ndarray
    last_s: np.ndarray
    last_raw_s: np.ndarray
    ghosts: int
    ghosts_raw: int
    recall: float
    recall_raw: float


@dataclass(frozen=True)
class DrivingResult:
    """Mean IoU over frames with what the left camera sees in each, predictions elsewhere left out."""

    iou: float
    iou_raw: float


class _SceneSequences:
    """The sequences of one scene: renders, detects, fuses."""

    def __init__(self, seed: int, index: int, config: FusionConfig | None) -> None:
        self.synth = SynthConfig(WIDTH, HEIGHT)
        self.scene = build_scene(seed, index, self.synth)
        self.spec = PRESETS[self.scene.kind]
        self.seed = [seed, index]
        self.config = config
        self.detector = ClassicalDetector(self.scene.rig, self.spec)
        everywhere = np.ones((HEIGHT, WIDTH), dtype=bool)
        self.in_view = self.detector.voxelizer.footprints(everywhere)
        self.refused = 0

    def frame(self, scene: Scene, number: int) -> tuple[RenderedPair, VoxelGrid]:
        """Frame `number` of a sequence and the detector's grid of it."""
        drawn = render_frame(scene, self.seed[0] * 1000 + self.seed[1], number, number / RATE_HZ, self.synth)
        grid = self.detector.detect(drawn.pair)
        self.refused += bool(grid.refusal)
        return drawn, grid

    def still(self, frames: int) -> StillResult:
        fusion = VoxelFusion(self.config, self.in_view)

        fused = []
        raw = []
        scores = []
        marked = np.zeros(self.spec.shape, dtype=bool)
        for number in range(frames):
            drawn, grid = self.frame(self.scene, number)
            map_ = fusion.update(grid)
            marked |= map_.occupied | grid.occupied
            if number < WARM_UP:
                continue
            truth = truth_voxels(self.detector.voxelizer, drawn.disparity)
            raw.append(grid.occupied)
            fused.append(map_.occupied)
            scores.append([iou(g & truth.observed, truth.occupied) for g in (map_.occupied, grid.occupied)])

        ever = np.any(raw, axis=0) | np.any(fused, axis=0)
        ours, theirs = np.mean(scores, axis=0)
        return StillResult(flicker(fused, ever), flicker(raw, ever), float(ours), float(theirs), marked)

    def passing(self, background: np.ndarray) -> PassingResult:
        """background: voxels that the detector marks without the box: what is wrong there is no ghost of the box."""
        fusion = VoxelFusion(self.config, self.in_view)
        unit = self.spec.voxel_size
        scene = self.scene
        z = unit * float(np.random.default_rng([*self.seed, 2]).uniform(14, 24))
        width = 4 * unit
        height = 5 * unit
        length = 3 * unit
        left, right = ((u - scene.rig.cx) / scene.rig.fx * z for u in (0, scene.rig.width))

        # Out of view at both ends; the far side of the box needs the wider view.
        x_from, x_to = left * (1 + length / z) - width, right * (1 + length / z) + width
        bare = render_frame(scene, 0, 0, 0.0, self.synth).disparity

        marked = []
        raw = []
        boxes = []
        recalls = []
        truth_last = np.zeros(self.spec.shape, dtype=int) - 1
        for number in range(LEAD + CROSSING + AFTER):
            share = min(max((number - LEAD) / CROSSING, 0.0), 1.0)
            x = x_from + share * (x_to - x_from)
            with_box = replace(scene, quads=[*scene.quads, *_box(np.array([x, 0.0, z]), (width, height, length))])
            drawn, grid = self.frame(with_box, number)
            map_ = fusion.update(grid)
            voxelizer = self.detector.voxelizer
            box = voxelizer.hits(np.where(_differs(drawn.disparity, bare), drawn.disparity, np.float32(np.nan))) > 0
            truth_last[voxelizer.hits(drawn.disparity) > 0] = number
            boxes.append(box)
            marked.append(map_.occupied)
            raw.append(grid.occupied)
            if np.count_nonzero(box) >= 10:
                recalls.append([within_one(g.occupied, box)[1] for g in (map_, grid)])

        held = np.any(boxes, axis=0) & ~background
        clear, last, ghosts = clearing(np.array(marked), held, truth_last)
        clear_raw, last_raw, ghosts_raw = clearing(np.array(raw), held, truth_last)
        recall = np.mean(recalls, axis=0) if recalls else (math.nan, math.nan)

        return PassingResult(
            clear_s=clear / RATE_HZ,
            clear_raw_s=clear_raw / RATE_HZ,
            last_s=last / RATE_HZ,
            last_raw_s=last_raw / RATE_HZ,
            ghosts=ghosts,
            ghosts_raw=ghosts_raw,
            recall=float(recall[0]),
            recall_raw=float(recall[1]),
        )

    def driving(self, frames: int) -> DrivingResult:
        fusion = VoxelFusion(self.config, self.in_view)
        scores = []
        turn = math.radians(TURN_DEG) / RATE_HZ
        step = np.eye(4)
        c, s = math.cos(turn), math.sin(turn)
        step[:3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])

        step[2, 3] = SPEED_VOXELS * self.spec.voxel_size / RATE_HZ
        pose = np.eye(4)
        for number in range(frames):
            drawn, grid = self.frame(seen_from(self.scene, pose), number)
            map_ = fusion.update(grid, step if number else None)
            pose = pose @ step
            if number >= WARM_UP:
                truth = truth_voxels(self.detector.voxelizer, drawn.disparity)
                scores.append([iou(g.occupied & truth.observed, truth.occupied) for g in (map_, grid)])

        ours, theirs = np.mean(scores, axis=0)
        return DrivingResult(float(ours), float(theirs))


def flicker(occupied: list[np.ndarray], ever: np.ndarray) -> float:
    """Share of the voxels `ever` that change between occupied and not from one frame to the next; mean over frames.

    >>> on, off = np.array([True, True]), np.array([True, False])
    >>> flicker([on, off, off], on)
    0.25
    """
    changes = [np.count_nonzero((a != b) & ever) for a, b in itertools.pairwise(occupied)]
    return float(np.mean(changes) / max(np.count_nonzero(ever), 1))


def clearing(occupied: np.ndarray, held: np.ndarray, truth_last: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Frames until voxels that the box has left were first not occupied, and for good; how many were so to the end.

    occupied: (frames, ...) bool. held: the box was there at some time. truth_last: last frame in which anything was
    there, -1: none. Judged are voxels `held`, occupied at some time until `truth_last`, not occupied during the
    LEAD frames, and free of everything for a second at the end."""
    frames = len(occupied)
    times = np.arange(frames).reshape(-1, *[1] * held.ndim)
    marked = (occupied & (times <= truth_last)).any(axis=0)
    judged = held & marked & ~occupied[:LEAD].any(axis=0) & (truth_last < frames - RATE_HZ)
    last = np.where(occupied, times, -1).max(axis=0)
    empty = (times > truth_last) & ~occupied
    first = np.where(empty.any(axis=0), empty.argmax(axis=0), frames) - truth_last - 1

    return first[judged], np.maximum(last - truth_last, 0)[judged], int(np.count_nonzero(occupied[-1][judged]))


def _box(centre: np.ndarray, size: tuple[float, float, float]) -> list[Quad]:
    """The six faces of an upright box, with the scene's first texture. centre: of the box, metres, camera's frame."""
    edges = np.diag(size)
    low = centre - np.asarray(size) / 2
    faces = []
    for axis in range(3):
        a, b = (edges[k] for k in range(3) if k != axis)
        faces += [
            Quad(corner, a, b, 0, (2.0, 2.0), np.full(3, 0.7 + 0.15 * axis)) for corner in (low, low + edges[axis])
        ]

    return faces


def _differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.nan_to_num(a, nan=-1.0) != np.nan_to_num(b, nan=-1.0))


def seen_from(scene: Scene, pose: np.ndarray) -> Scene:
    """`scene` from a camera at `pose` ((4, 4), in the first camera's frame)."""
    R, t = pose[:3, :3], pose[:3, 3]
    quads = [replace(q, corner=R.T @ (q.corner - t), along=R.T @ q.along, across=R.T @ q.across) for q in scene.quads]
    return replace(scene, quads=quads)


def eval_fusion(
    seed: int = 0,
    frames: int = 30,
    scenes: int = 8,
    json_path: Path | None = None,
    command: str = "rarrl eval fusion",
    progress: Progress | None = None,
    config: FusionConfig | None = None,
) -> dict[str, Any]:
    """`rarrl eval fusion`: sequences of `frames` frames, at 15 Hz, of `scenes` rendered scenes, indoor and outdoor.

    progress: called with the number of scenes done, and text. Returns: the results document, also written to
    `json_path`. Raises: InputError."""
    if not 0 <= seed < FIT_STREAM:
        raise InputError(f"--seed: must be 0 to {FIT_STREAM - 1}, got {seed}")
    if frames < WARM_UP + 2:
        raise InputError(f"--frames: must be >= {WARM_UP + 2}, got {frames}")
    if scenes < 1:
        raise InputError(f"--scenes: must be >= 1, got {scenes}")

    rows = []
    for index in range(scenes):
        sequences = _SceneSequences(seed, index, config)
        if progress:
            progress(index, f"{sequences.scene.kind} {index}")
        still = sequences.still(frames)
        rows.append((sequences, still, sequences.passing(still.ever), sequences.driving(frames)))

    return _report(rows, seed, frames, json_path, command)


def _report(
    rows: list[tuple[_SceneSequences, StillResult, PassingResult, DrivingResult]],
    seed: int,
    frames: int,
    json_path: Path | None,
    command: str,
) -> dict[str, Any]:
    stills = [row[1] for row in rows]
    passes = [row[2] for row in rows]
    drives = [row[3] for row in rows]

    figures: dict[str, Figure] = {}

    # Names end in _raw for the detector's frames alone.
    for suffix in ("", "_raw"):
        name = f"flicker{suffix}"
        figures[f"flicker_rate{suffix}"] = _mean([getattr(s, name) for s in stills], seed, "share of voxels per frame")
        times = [getattr(p, f"clear{suffix}_s") for p in passes]
        everything = np.concatenate(times)
        n = len(everything)
        figures[f"clear_s{suffix}"] = Figure(float(everything.max(initial=0.0)), "s, the slowest voxel", n)
        figures[f"clear_s_mean{suffix}"] = _mean([float(t.mean()) for t in times if len(t)], seed, "s")
        latest = np.concatenate([getattr(p, f"last{suffix}_s") for p in passes])
        figures[f"clear_last_s{suffix}"] = Figure(float(latest.max(initial=0.0)), "s, the slowest voxel, for good", n)
        if n:
            for_good = float(np.mean(latest <= 1.0))
            figures[f"clear_for_good_within_1s{suffix}"] = Figure(for_good, "share of voxels", n)
            within = float(np.mean(everything <= 1.0))
            figures[f"clear_within_1s{suffix}"] = Figure(within, "share of voxels", n)
        ghosts = sum(getattr(p, f"ghosts{suffix}") for p in passes)
        figures[f"ghost_voxels{suffix}"] = Figure(float(ghosts), "voxels", n)
        recalls = [getattr(p, f"recall{suffix}") for p in passes]
        figures[f"moving_recall{suffix}"] = _mean([r for r in recalls if not math.isnan(r)], seed, "recall")

    figures["iou_gain_fused"] = paired((d.iou for d in drives), (d.iou_raw for d in drives), seed, "obs IoU, driving")
    figures["iou_gain_still"] = paired((s.iou for s in stills), (s.iou_raw for s in stills), seed, "obs IoU, still")
    table = [
        {
            "scene": index,
            "kind": sequences.scene.kind,
            "refused_frames": sequences.refused,
            "flicker_rate": round(still.flicker, 5),
            "flicker_rate_raw": round(still.flicker_raw, 5),
            "left_voxels": len(passing.clear_s),
            "clear_s": round(float(passing.clear_s.max(initial=0.0)), 3),
            "ghost_voxels": passing.ghosts,
            "obs_iou_driving": round(driving.iou, 4),
            "obs_iou_driving_raw": round(driving.iou_raw, 4),
        }
        for index, (sequences, still, passing, driving) in enumerate(rows)
    ]
    results = make_results(command, seed, figures, {"frames": frames, "rate_hz": RATE_HZ, "scenes": table})
    if json_path is not None:
        write_results(json_path, results)
    return results


def _mean(values: list[float], seed: int, unit: str) -> Figure:
    """Mean over scenes with its bootstrap interval; 0 of none."""
    return paired(values, [0.0] * len(values), seed, unit) if values else Figure(0.0, unit, 0)
