"""The picture of one evaluated scene: the pair, true and predicted voxels, and where they differ."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from rarrl.errors import InputError
from rarrl.files import write_bytes_atomic
from rarrl.perception.opencv_matchers import colour
from rarrl.perception.voxels import Truth, Voxelizer, truth_voxels

from .evaluate import OURS, SceneResult
from .metrics import dilate
from .scenes import Scene

if TYPE_CHECKING:
    from mpl_toolkits.mplot3d.axes3d import Axes3D

INK = "#222222"
FAINT = "#777777"
# Distinct in grey and for colour-blind readers: light, middle, dark.
HIT = "#b9c4cb"
GHOST = "#e6550d"
MISSED = "#08519c"
UNJUDGED = "#ececec"
# Elevation and azimuth of the two views, degrees.
OBLIQUE = (24.0, -112.0)
ABOVE = (90.0, -90.0)
# The faces of a voxel that can be seen from there: which way they look, and how bright they are.
_FACES = (((0, -1, 0), 0.84), ((0, 0, 1), 1.0), ((-1, 0, 0), 0.66), ((1, 0, 0), 0.66))


def draw_scene(scene: Scene, result: SceneResult, folder: Path) -> Path:
    """Writes `<folder>/<scene's name>.png`. Raises: InputError where it cannot be written."""
    path = folder / f"{scene.name}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes_atomic(path, render_scene(scene, result))
    except OSError as error:
        raise InputError(f"--pictures: cannot write {path} ({error.strerror}); choose another folder") from None
    return path


def render_scene(scene: Scene, result: SceneResult) -> bytes:
    """The picture as bytes of a PNG. `result` must hold its grid (as `judge` leaves it)."""
    # Imported here (it takes half a second), and as objects: pyplot would keep figures and pick a window system.
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import Normalize, to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if result.grid is None:
        raise ValueError("render_scene: the result holds no grid; give it as `judge` returns it")

    truth = truth_voxels(Voxelizer(scene.rig, scene.spec), scene.disparity)
    predicted = result.grid.occupied
    size = scene.spec.voxel_size
    kinds = differences(predicted, truth)
    low, high = _bounds(scene, predicted | truth.occupied)
    depth = Normalize(low[2], high[2])

    figure = Figure(figsize=(15, 14.4), dpi=90, facecolor="white")
    FigureCanvasAgg(figure)
    s = result.scores[OURS]
    figure.text(0.03, 0.977, scene.name, fontsize=17, weight="bold", color=INK)
    about = (
        f"{result.group.replace('_', ', ')}; voxels of {size:g} m. IoU {s.iou:.2f}, where truth was looked for "
        f"{s.obs_iou:.2f}; within one voxel: precision {s.precision:.2f}, recall {s.recall:.2f}."
    )
    figure.text(0.03, 0.959, f"{about} {result.refusal}", fontsize=12, color=FAINT)
    legend = "Colour is distance ahead; the red triangle is the camera; metres, all axes and panels of one scale."
    figure.text(0.03, 0.943, legend, fontsize=12, color=FAINT)
    grid = figure.add_gridspec(
        3, 3, height_ratios=(0.72, 1.1, 1.1), left=0.03, right=0.98, top=0.915, bottom=0.05, hspace=0.08, wspace=0.05
    )

    metres = np.where(np.isnan(scene.disparity), np.nan, scene.rig.depth(scene.disparity))
    cmap = colormaps["plasma_r"].with_extremes(bad="white")  # near is warm and bright, far is dark
    for column, (title, image) in enumerate(
        (
            ("left image", cv2.cvtColor(colour(scene.pair.left), cv2.COLOR_BGR2RGB)),
            ("right image", cv2.cvtColor(colour(scene.pair.right), cv2.COLOR_BGR2RGB)),
            ("true distance (white: not known)", np.ma.masked_invalid(metres)),
        )
    ):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(image, cmap=cmap, norm=depth if image.ndim == 2 else None, interpolation="nearest")
        axes.set_title(title, fontsize=13, color=INK)
        axes.set_xticks([])
        axes.set_yticks([])

    panels = (
        ("truth: voxels with a visible surface", truth.occupied, None),
        ("prediction: occupied voxels", predicted, None),
        ("prediction against truth", np.any(list(kinds.values()), axis=0), kinds),
    )

    for column, (title, mask, split) in enumerate(panels):
        paint = np.zeros((*mask.shape, 3))
        if split is None:
            z = scene.spec.origin[2] + size * (np.arange(mask.shape[2]) + 0.5)
            paint[:] = cmap(depth(z))[:, :3]
        else:
            for name, where in split.items():
                paint[where] = to_rgb(name)

        for row, view in ((1, OBLIQUE), (2, ABOVE)):
            axes = figure.add_subplot(grid[row, column], projection="3d", proj_type="ortho", computed_zorder=True)
            _draw_voxels(axes, mask, paint, scene, view, low, high)
            if row == 1:
                axes.set_title(f"{title} ({np.count_nonzero(mask):,})", fontsize=13, color=INK, pad=0)
            else:
                axes.set_title("the same from above", fontsize=11, color=FAINT, pad=0)

    words = (
        "within a voxel of truth",
        "ghost: farther from truth",
        "missed: nothing within a voxel",
        "where truth is not known",
    )
    names = [f"{word} ({np.count_nonzero(kinds[c]):,})" for word, c in zip(words, kinds, strict=True)]
    figure.legend(
        handles=[Patch(facecolor=c, edgecolor="#999999", label=name) for c, name in zip(kinds, names, strict=True)],
        loc="lower center",
        ncols=4,
        frameon=False,
        fontsize=11,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")

    return buffer.getvalue()


def differences(predicted: np.ndarray, truth: Truth) -> dict[str, np.ndarray]:
    """Voxels by what became of them, each bool: by colour HIT (predicted within one voxel of truth), GHOST (predicted
    farther away, where truth was looked for), MISSED (true, nothing predicted within one voxel), UNJUDGED."""
    near = dilate(truth.occupied)
    hit = predicted & near

    return {
        HIT: hit,
        GHOST: predicted & ~near & truth.observed,
        MISSED: truth.occupied & ~dilate(predicted),
        UNJUDGED: predicted & ~near & ~truth.observed,
    }


def _bounds(scene: Scene, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners, metres (x, y, z), of what is drawn: the voxels of `mask`, two around, and the camera."""
    origin = np.asarray(scene.spec.origin)
    size = scene.spec.voxel_size
    cells = np.argwhere(mask)
    if not len(cells):
        return origin, origin + size * scene.spec.size

    low = np.minimum(origin + size * (cells.min(axis=0) - 2), -2 * size)
    return low, np.maximum(origin + size * (cells.max(axis=0) + 3), 2 * size)


def _draw_voxels(
    axes: Axes3D,
    mask: np.ndarray,
    paint: np.ndarray,
    scene: Scene,
    view: tuple[float, float],
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    """The faces of `mask` that can be seen, in the colours `paint` ((n, n, n, 3)); the camera; axes of one scale.

    Drawn with x to the right, z ahead and -y up: a picture as the camera's owner sees it."""
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    size = scene.spec.voxel_size
    origin = np.asarray(scene.spec.origin)

    quads = []
    colours = []
    padded = np.pad(mask, 1)
    for (x, ahead, up), light in _FACES:
        # Of the drawn axes (x, ahead, up) to the grid's (x, y, z): y = -up, z = ahead.
        step = (x, -up, ahead)
        beside = padded[tuple(slice(1 + d, 1 + d + n) for d, n in zip(step, mask.shape, strict=True))]
        cells = np.argwhere(mask & ~beside)
        axis = int(np.argmax(np.abs(step)))
        far = sum(step) > 0
        u, v = (k for k in range(3) if k != axis)
        corners = np.repeat(cells[:, None, :].astype(float), 4, axis=1)
        corners[:, :, axis] += far
        corners[:, [1, 2], u] += 1
        corners[:, [2, 3], v] += 1
        quads.append(origin + size * corners)
        colours.append(paint[tuple(cells.T)] * light)

    points, tints = np.concatenate(quads), np.concatenate(colours)
    drawn = points[..., [0, 2, 1]] * (1, 1, -1)
    axes.add_collection3d(Poly3DCollection(drawn, facecolors=tints, edgecolors=tints * 0.75, linewidths=0.25))
    reach = 0.045 * float((high - low).max())
    camera = np.array([[0, 0, 0], [-reach, 2 * reach, 0], [reach, 2 * reach, 0]])
    axes.add_collection3d(Poly3DCollection([camera], facecolors="#d62728", edgecolors="#d62728"))
    spans = ((low[0], high[0]), (low[2], high[2]), (-high[1], -low[1]))
    axes.set(xlim=spans[0], ylim=spans[1], zlim=spans[2])
    axes.set_box_aspect([b - a for a, b in spans], zoom=1.1)
    axes.view_init(*view)
    axes.set_xlabel("right", color=FAINT, labelpad=-4)
    axes.set_ylabel("ahead", color=FAINT, labelpad=-4)
    if view == ABOVE:
        axes.set_zticks([])
    else:
        axes.set_zlabel("up", color=FAINT, labelpad=-6)
        axes.locator_params(axis="z", nbins=5)

    axes.tick_params(labelsize=8, colors=FAINT, pad=-2)
    for pane in (axes.xaxis, axes.yaxis, axes.zaxis):
        pane.set_pane_color((0.97, 0.97, 0.97, 1.0))
