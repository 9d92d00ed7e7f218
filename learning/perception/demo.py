"""The picture of the detector on some stereo pairs: image, obstacles in it, from above, and in space."""

from __future__ import annotations

import io
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacles import Body, HeightSlice, height_slice, level_camera, summarize_slice
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import truth_voxels
from rarrl.types import ObstacleSummary, VoxelGrid, VoxelState

from .metrics import iou, within_one
from .scenes import Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REPEATS = 3  # timed runs of the detector; their median is shown
SECTORS = 9  # of the field of view, for the nearest distances
BAND = Body(low_m=-0.25, high_m=1.0)
"""Of the view from above, relative to the camera: its pose above the ground is not known for every pair."""
INK = "#222222"
FAINT = "#666666"
OCCUPIED = "#1d3557"
FREE = "#d8ecd4"
UNKNOWN = "#e9e9e9"
NEAREST = "#d55e00"
WIDTH_IN = 11.7  # inches: A4, landscape
ROW_IN = 3.3  # inches, one pair
DPI = 120
HEAD = ("pair", "CPU ms", "IoU", "precision", "recall", "occupied", "nearest, m")


@dataclass(frozen=True, eq=False)
class Look:
    """What the detector made of a scene. ms: processor time of one thread, median of REPEATS. iou, precision, recall
    (within one voxel): against the scene's truth, where truth was looked for. refusal: why the pair could not be used,
    "" if it could."""

    scene: Scene
    grid: VoxelGrid
    refusal: str
    ms: float
    iou: float
    precision: float
    recall: float
    places: HeightSlice
    summary: ObstacleSummary

    def row(self) -> tuple[str, ...]:
        """The cells of a table, in the order of HEAD."""
        nearest = float(self.summary.nearest_m.min())
        return (
            self.scene.name,
            f"{self.ms:.0f}",
            f"{self.iou:.2f}",
            f"{self.precision:.2f}",
            f"{self.recall:.2f}",
            str(int(self.grid.occupied.sum())),
            f"{nearest:.1f}" if math.isfinite(nearest) else "none",
        )


def look(scene: Scene) -> Look:
    """Runs the detector on `scene`, once to warm up and then REPEATS times."""
    detector = ClassicalDetector(scene.rig, scene.spec)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)

    try:
        grid = detector.detect(scene.pair)
        times = []
        for _ in range(REPEATS):
            start = time.process_time()  # not disturbed by what else the machine does
            grid = detector.detect(scene.pair)
            times.append(time.process_time() - start)
    finally:
        cv2.setNumThreads(threads)

    truth = truth_voxels(detector.voxelizer, scene.disparity)
    judged = grid.occupied & truth.observed
    precision, recall = within_one(judged, truth.occupied)
    places = height_slice(grid, level_camera(0.0), BAND)
    summary = summarize_slice(places, BAND, 0.0, 1.0, max(scene.rig.field_rad, 0.01), SECTORS)
    ms = 1e3 * statistics.median(times)

    return Look(scene, grid, grid.refusal, ms, iou(judged, truth.occupied), precision, recall, places, summary)


def draw(looks: Sequence[Look]) -> bytes:
    """The picture as a PNG: a row for each look."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    top = 0.85
    bottom = 0.0
    height = top + ROW_IN * len(looks) + bottom
    figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)

    def line(text: str, inches: float, **style: Any) -> None:
        figure.text(0.25 / WIDTH_IN, 1 - inches / height, text, va="baseline", **style)

    line("What does the robot see with two eyes?", 0.38, fontsize=16, weight="bold", color=INK)
    line(
        "Stereo pair to voxels without GPU and without training. Colour: distance. From above: "
        f"{-BAND.low_m:g} m below to {BAND.high_m:g} m above the camera.",
        0.66, fontsize=10, color=FAINT,
    )  # fmt: skip

    for index, seen in enumerate(looks):
        y = top + ROW_IN * index
        line(_title(seen), y + 0.2, fontsize=10.5, color=INK)
        panels = (0.25, 2.75), (3.1, 2.75), (6.25, 2.2), (8.75, 2.75)
        tall = ROW_IN - 1.0
        axes = [
            figure.add_axes((left / WIDTH_IN, 1 - (y + 0.3 + tall) / height, wide / WIDTH_IN, tall / height))
            for left, wide in panels
        ]
        image = seen.scene.pair.left
        image = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        far = _far(seen.grid)
        for place, picture in (
            (0, image),
            (1, overlay(image, seen.grid, seen.scene.rig, far)),
            (3, space(seen.grid, far)),
        ):
            axes[place].imshow(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            axes[place].axis("off")

        _draw_from_above(axes[2], seen, far)

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _title(seen: Look) -> str:
    rig = seen.scene.rig
    text = f"{seen.scene.name}: {rig.width} x {rig.height}, {seen.ms:.0f} ms of one core a pair"
    if seen.refusal:
        return f"{text}; refused: {seen.refusal}"
    return f"{text}; IoU {seen.iou:.2f}, within one voxel precision {seen.precision:.2f}, recall {seen.recall:.2f}"


def _far(grid: VoxelGrid) -> float:
    """Where the scale of distances ends, metres."""
    z = grid.centres(grid.occupied)[:, 2]
    return float(np.quantile(z, 0.98)) if len(z) else 1.0


def colours(z: np.ndarray, far: float) -> np.ndarray:
    """(n, 3) uint8 BGR of distances (n,), metres: red is near, blue far."""
    level = np.clip(255 * (1 - z / far), 0, 255).astype(np.uint8)
    scale: np.ndarray = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0]
    return scale[level]


def overlay(image: np.ndarray, grid: VoxelGrid, rig: CameraRig, far: float) -> np.ndarray:
    """`image` ((height, width, 3) BGR) in the colours of its occupied voxels, each as large as it is seen."""
    centres = grid.centres(grid.occupied)
    centres = centres[centres[:, 2] > grid.voxel_size]
    centres = centres[np.argsort(-centres[:, 2], kind="stable")]
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    painted = np.full_like(image, 128)
    u, v, _ = rig.project(centres).T
    half = np.stack([rig.fx, rig.fy], axis=0)[:, None] * grid.voxel_size / 2 / centres[:, 2]
    low = np.round(np.stack([u, v]) - half).astype(int)
    high = np.round(np.stack([u, v]) + half).astype(int)
    for (x0, y0), (x1, y1), colour in zip(low.T, high.T, colours(centres[:, 2], far).tolist(), strict=True):
        cv2.rectangle(painted, (int(x0), int(y0)), (int(x1), int(y1)), colour, -1)
    light = cv2.GaussianBlur(cv2.createCLAHE(2.0).apply(gray), (0, 0), 0.7)[..., None] / 255
    return (painted * (0.35 + 0.65 * light)).astype(np.uint8)


def space(grid: VoxelGrid, far: float, side: int = 720) -> np.ndarray:
    """(side, side, 3) BGR: the occupied voxels up to BAND.high_m above the camera (ceilings hide rooms) as cubes, seen
    from above and behind the camera's left shoulder."""
    canvas = np.full((side, side, 3), 255, dtype=np.uint8)
    corners = grid.centres(grid.occupied) - grid.voxel_size / 2
    corners = corners[corners[:, 1] > -BAND.high_m]
    if not len(corners):
        return canvas

    yaw = math.radians(-25)
    pitch = math.radians(35)
    c, s = math.cos(yaw), math.sin(yaw)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = math.cos(pitch), math.sin(pitch)
    view = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ turn
    hue = colours(corners[:, 2], far)
    corners = corners @ view.T
    edges = grid.voxel_size * view.T  # rows: the voxel's edges along x, y, z
    low, high = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
    scale = 0.94 * side / max(high - low)
    shift = side / 2 - scale * (low + high) / 2

    # What faces the viewer: the top (y least), the near side (z least), and the side towards the viewer.
    x, y, z = np.eye(3)
    aside = x * (edges[0, 2] < 0)

    faces = (((0 * x, x, z), 1.0), ((0 * x, x, y), 0.78), ((aside, y, z), 0.6))
    order = np.argsort(-corners[:, 2], kind="stable")
    for index in order:
        for (start, a, b), shade in faces:
            quad = np.array([start, start + a, start + a + b, start + b]) @ edges
            points = np.round(scale * (corners[index, :2] + quad[:, :2]) + shift).astype(np.int32)
            cv2.fillConvexPoly(canvas, points, (shade * hue[index]).tolist(), cv2.LINE_AA)

    return canvas


def _draw_from_above(axes: Axes, seen: Look, far: float) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Wedge

    places = seen.places
    summary = seen.summary
    nx, ny = places.state.shape
    x0, y0 = places.origin
    shades = {VoxelState.UNKNOWN: UNKNOWN, VoxelState.FREE: FREE, VoxelState.OCCUPIED: OCCUPIED}
    axes.imshow(
        places.state, cmap=ListedColormap([shades[state] for state in VoxelState]), vmin=0, vmax=2, origin="lower",
        extent=(y0, y0 + ny * places.cell, x0, x0 + nx * places.cell),
    )  # fmt: skip

    half = math.degrees(seen.scene.rig.field_rad / 2 / SECTORS)
    for bearing, nearest in zip(summary.bearings, summary.nearest_m, strict=True):
        if not math.isfinite(nearest):
            continue
        middle = 90 - math.degrees(bearing)
        axes.add_patch(Wedge((0, 0), nearest, middle - half, middle + half, width=0.0, color=NEAREST, linewidth=2.5))

    axes.plot(0, 0, "^", color=INK, markersize=7)
    reach = min(x0 + nx * places.cell, 1.15 * far + 0.5)
    axes.set_ylim(-0.2, reach)
    wide = min(ny * places.cell / 2, 0.6 * reach)
    axes.set_xlim(wide, -wide)  # y grows to the left
    axes.set_aspect("equal")
    nearest = "  ".join(f"{n:.1f}" if math.isfinite(n) else "–" for n in summary.nearest_m[::-1])
    axes.set_xlabel(f"nearest, m, left to right:\n{nearest}", fontsize=7.5, color=NEAREST, labelpad=2)
    axes.tick_params(colors=FAINT, labelsize=7, length=2)
    axes.spines[["top", "right", "left", "bottom"]].set_color("#bbbbbb")
