"""Compares the detector with the best of OpenCV's matchers: per group of scenes, paired, with intervals."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.fast import FastDetector
from rarrl.perception.opencv_matchers import RIVALS, CountDetector
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import GridSpec, Truth, Voxelizer, pool, truth_voxels
from rarrl.results import Figure
from rarrl.types import VoxelGrid

from .metrics import Reliability, chamfer, iou, within_one
from .scenes import Scene

COUNTS = (1, 2, 3, 5, 8, 12)
"""Minimum point counts that each rival is tried with; the best is kept, per group."""
FILTERED = 5
"""Recall and CD are compared with the rival at this count: at 1 it has more ghosts than a user would bear."""
OUTDOOR_BY_OBS = ("outdoor",)
"""Groups with sparse truth, where a rival is chosen by obs IoU instead of IoU."""
BOOTSTRAPS = 10_000  # draws of scenes for an interval
OURS = "classical"
"""The detector that the figures are about."""
QUICK = "fast"
"""The detector that figures with the prefix `fast_` are about."""
ENTRIES: dict[str, Callable[[CameraRig, GridSpec], Any]] = {OURS: ClassicalDetector, QUICK: FastDetector}
"""Our detectors, all judged; each has `voxelizer` and `detect(pair)`."""
RIVAL_KINDS = ("colour", "gray", "bm")
"""Of these the best is the rival; the half-size matcher is shown beside them."""


@dataclass(frozen=True)
class Score:
    """One detector on one scene. IoU is (I + 1) / (U + 1); obs_iou counts predictions only where truth was looked
    for; iou_2x at twice the voxel size; cd in m^2; precision and recall within one voxel."""

    iou: float
    obs_iou: float
    iou_2x: float
    cd: float
    precision: float
    recall: float


def score(occupied: np.ndarray, truth: Truth, voxel_size: float) -> Score:
    """The measures of predicted `occupied` voxels."""
    precision, recall = within_one(occupied, truth.occupied)
    return Score(
        iou(occupied, truth.occupied),
        iou(occupied & truth.observed, truth.occupied),
        iou(pool(occupied, 2), pool(truth.occupied, 2)),
        chamfer(occupied, truth.occupied, voxel_size),
        precision,
        recall,
    )


@dataclass(frozen=True, eq=False)
class SceneResult:
    """scores: by detector, rivals as `kind>=count`. reliability: ours, over the observed voxels that it says anything
    of; hit_reliability: over those that pixels fell into, without the many that are free. grid: what ours said."""

    name: str
    group: str
    scores: dict[str, Score]
    reliability: Reliability
    hit_reliability: Reliability
    refusal: str
    grid: VoxelGrid | None = None


def judge(scene: Scene) -> SceneResult:
    """All detectors on one scene. Minimum counts of the rivals are tried on the same disparities.

    Where a rival may begin its search at disparity 0 or farther away, the better of the two counts."""
    scores: dict[str, Score] = {}
    truth = truth_voxels(Voxelizer(scene.rig, scene.spec), scene.disparity)
    for kind in RIVALS:
        scores |= rival_scores(scene, kind, truth)

    said: dict[str, VoxelGrid] = {}
    for name, make in ENTRIES.items():
        entry = make(scene.rig, scene.spec)
        said[name] = entry.detect(scene.pair)
        scores[name] = score(said[name].occupied, truth, scene.spec.voxel_size)

    grid = said[OURS]
    judged = truth.observed & (grid.probability != 0.5)

    return SceneResult(
        scene.name,
        scene.group,
        scores,
        _reliability(grid, truth, judged),
        _reliability(grid, truth, judged & ~grid.free),
        grid.refusal,
        grid,
    )


def rival_scores(scene: Scene, kind: str, truth: Truth) -> dict[str, Score]:
    """Scores of the matcher `kind` by `kind>=count`, from the begin of the search that is better there."""
    rivals = [CountDetector(kind, scene.rig, scene.spec, from_zero=from_zero) for from_zero in (False, True)]
    hits = [
        rival.voxelizer.hits(rival.matcher.disparity(scene.pair))
        for rival in rivals[: len({rival.matcher for rival in rivals})]
    ]
    return {
        f"{kind}>={count}": max(
            (score(h >= count, truth, scene.spec.voxel_size) for h in hits), key=lambda made: made.iou
        )
        for count in COUNTS
    }


def _reliability(grid: VoxelGrid, truth: Truth, judged: np.ndarray) -> Reliability:
    return Reliability.of(grid.probability[judged], truth.occupied[judged])


def best_baseline(results: Iterable[SceneResult], group: str, kinds: tuple[str, ...] = RIVAL_KINDS) -> str:
    """The rival of a group: best mean IoU (obs IoU where truth is sparse) over all kinds and counts, e.g. `gray>=5`.

    It is chosen on the scenes that it is then judged by, to its advantage."""
    measure = "obs_iou" if group in OUTDOOR_BY_OBS else "iou"
    rows = [r for r in results if r.group == group]
    names = [f"{kind}>={count}" for kind in kinds for count in COUNTS]
    return max(names, key=lambda name: np.mean([getattr(r.scores[name], measure) for r in rows]))


def paired(ours: Iterable[float], theirs: Iterable[float], seed: int, unit: str) -> Figure:
    """Mean difference over scenes with its 95 % bootstrap interval (none for a single scene)."""
    gains = np.asarray(list(ours)) - np.asarray(list(theirs))
    if len(gains) < 2:
        return Figure(float(gains.mean()), unit, len(gains))

    rng = np.random.default_rng(seed)
    means = gains[rng.integers(0, len(gains), (BOOTSTRAPS, len(gains)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Figure(float(gains.mean()), unit, len(gains), float(low), float(high))


def evaluate_detectors(
    scenes: Iterable[Scene],
    seed: int,
    progress: Callable[[str], None] | None = None,
    show: Callable[[Scene, SceneResult], object] | None = None,
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures and tables over `scenes`; see `compare`. show: called with each scene and its result."""
    results = []
    for scene in scenes:
        if progress:
            progress(scene.name)
        result = judge(scene)
        if show:
            show(scene, result)
        results.append(replace(result, grid=None))

    return compare(results, seed)


def compare(results: list[SceneResult], seed: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Ours against the best rival of each group, paired: `<measure>_gain_<group>` for iou, obs_iou and iou_2x,
    `recall1_change` and `cd_ratio`. The last two are against the same rival at >= 5 points, and with `_at_best` against
    the rival as it is; over the real groups where there are any. `worst_iou_gain`, `worst_cd_ratio`: of the scene that
    is worst off, at best. `ece`, `ece_hit`: calibration on rendered pairs, with `_real` on real ones. The gains and
    ratios of the fast detector have the prefix `fast_`."""
    figures: dict[str, Figure] = {}
    groups = list(dict.fromkeys(r.group for r in results))
    rivals = {group: best_baseline(results, group) for group in groups}
    filtered = {group: f"{name.split('>=')[0]}>={FILTERED}" for group, name in rivals.items()}

    for entry, prefix in ((OURS, ""), (QUICK, f"{QUICK}_")):
        if all(entry in r.scores for r in results):
            made = _against(results, rivals, filtered, entry, seed)
            figures |= {prefix + name: figure for name, figure in made.items()}

    rendered = [r for r in results if r.group.startswith("rendered")]
    real = [r for r in results if not r.group.startswith("rendered")]
    for suffix, rows in (("", rendered), ("_real", real)):
        if rows:
            figures[f"ece{suffix}"] = Figure(_sum([r.reliability for r in rows]).ece, "", len(rows))
            figures[f"ece_hit{suffix}"] = Figure(_sum([r.hit_reliability for r in rows]).ece, "", len(rows))

    return figures, _tables(results, groups, rivals, seed)


def _against(
    results: list[SceneResult], rivals: dict[str, str], filtered: dict[str, str], entry: str, seed: int
) -> dict[str, Figure]:
    """The detector `entry` against each group's rival, and against the rival at FILTERED points; see `compare`."""
    figures: dict[str, Figure] = {}
    for group in rivals:
        rows = [r for r in results if r.group == group]
        for name, unit in (("iou", "IoU"), ("obs_iou", "obs IoU"), ("iou_2x", "IoU at twice the voxel size")):
            ours = [getattr(r.scores[entry], name) for r in rows]
            theirs = [getattr(r.scores[rivals[group]], name) for r in rows]
            figures[f"{name}_gain_{group}"] = paired(ours, theirs, seed, unit)
            figures[f"{name}_{group}"] = paired(ours, [0.0] * len(rows), seed, unit)

    rendered = [r for r in results if r.group.startswith("rendered")]
    real = [r for r in results if not r.group.startswith("rendered")]
    if rendered:
        figures["iou_gain_rendered"] = paired(
            (r.scores[entry].iou for r in rendered), (r.scores[rivals[r.group]].iou for r in rendered), seed, "IoU"
        )

    rows = real or rendered
    gains = {r.name: r.scores[entry].iou - r.scores[rivals[r.group]].iou for r in rows}
    ratios = {r.name: r.scores[entry].cd / max(r.scores[filtered[r.group]].cd, 1e-9) for r in rows}
    worst = min(gains, key=gains.__getitem__)
    figures["worst_iou_gain"] = Figure(gains[worst], f"IoU, {worst}, the worst scene", len(rows))
    worst = max(ratios, key=ratios.__getitem__)
    figures["worst_cd_ratio"] = Figure(ratios[worst], f"times, {worst}, the worst scene", len(rows))

    for suffix, against in (("", filtered), ("_at_best", rivals)):
        figures[f"recall1_change{suffix}"] = paired(
            (r.scores[entry].recall for r in rows), (r.scores[against[r.group]].recall for r in rows), seed, "recall"
        )
        for group in rivals:
            of_group = [r for r in results if r.group == group]
            theirs_cd = np.mean([r.scores[against[group]].cd for r in of_group])
            ours_cd = np.mean([r.scores[entry].cd for r in of_group])
            figures[f"cd_ratio{suffix}_{group}"] = Figure(float(ours_cd / max(theirs_cd, 1e-9)), "times", len(of_group))
        of_groups = [figures[f"cd_ratio{suffix}_{g}"].value for g in rivals if g in ("indoor", "nominal")]
        if of_groups:
            figures[f"cd_ratio{suffix}"] = Figure(
                max(of_groups), "times, the worst of indoor and nominal", len(of_groups)
            )

    return figures


def _tables(results: list[SceneResult], groups: list[str], rivals: dict[str, str], seed: int) -> dict[str, Any]:
    counts = []
    best = []
    scenes = []
    for group in groups:
        rows = [r for r in results if r.group == group]
        for name in rows[0].scores:
            counts.append({"group": group, "n": len(rows), "detector": name, **_mean([r.scores[name] for r in rows])})
        shown = {name: name for name in rows[0].scores if ">=" not in name}
        shown |= {kind: best_baseline(results, group, (kind,)) for kind in RIVALS}
        for name, chosen in shown.items():
            spread = {
                measure: _interval([getattr(r.scores[chosen], measure) for r in rows], seed)
                for measure in Score.__dataclass_fields__
            }
            best.append({"group": group, "n": len(rows), "detector": name, "chosen": chosen, **spread})

        for r in rows:
            of_scene = {name: _mean([r.scores[chosen]]) for name, chosen in shown.items()}
            scenes.append({"scene": r.name, "group": group, "refusal": r.refusal, "detectors": of_scene})

    total = _sum([r.reliability for r in results])
    return {
        "rivals": rivals,
        "detectors": best,
        "counts": counts,
        "scenes": scenes,
        "reliability": {
            "stated": [round(float(v), 4) for v in total.stated],
            "observed": [round(float(v), 4) for v in total.observed],
            "voxels": [int(v) for v in total.count],
        },
    }


def _interval(values: list[float], seed: int) -> list[float | None]:
    """Mean, and its 95 % bootstrap interval over scenes."""
    figure = paired(values, [0.0] * len(values), seed, "")
    return [None if v is None else round(v, 4) for v in (figure.value, figure.lo, figure.hi)]


def _sum(parts: list[Reliability]) -> Reliability:
    return functools.reduce(operator.add, parts)


def _mean(scores: list[Score]) -> dict[str, float]:
    return {name: round(float(np.mean([getattr(s, name) for s in scores])), 4) for name in Score.__dataclass_fields__}
