"""How our detector stands against the best that OpenCV offers: per group of scenes, paired, with intervals."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rarrl.perception.baselines import RIVALS, CountDetector
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.metrics import Reliability, chamfer, iou, within_one
from rarrl.perception.scenes import Scene
from rarrl.perception.voxels import Truth, pool, truth_voxels
from rarrl.results import Figure
from rarrl.types import VoxelGrid

COUNTS = (1, 2, 3, 5, 8, 12)
"""Minimum point counts that each rival is tried with; the best is kept, per group."""
FILTERED = 5
"""Recall and CD are compared with the rival at this count: at 1 it has more ghosts than a user would bear."""
OUTDOOR_BY_OBS = ("outdoor",)
"""Groups with sparse truth, where a rival is chosen by obs IoU instead of IoU."""
BOOTSTRAPS = 10_000
OURS = "classical"


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
    of; hit_reliability: over those that pixels fell into, without the many that are free."""

    name: str
    group: str
    scores: dict[str, Score]
    reliability: Reliability
    hit_reliability: Reliability
    refusal: str


def judge(scene: Scene) -> SceneResult:
    """All detectors on one scene. Matchers run once; their minimum counts are tried on the same disparities."""
    scores: dict[str, Score] = {}
    ours = ClassicalDetector(scene.rig, scene.spec)
    truth = truth_voxels(ours.voxelizer, scene.disparity)
    for kind in RIVALS:
        rival = CountDetector(kind, scene.rig, scene.spec)
        hits = rival.voxelizer.hits(rival.matcher.disparity(scene.pair))
        for count in COUNTS:
            scores[f"{kind}>={count}"] = score(hits >= count, truth, scene.spec.voxel_size)
    grid = ours.detect(scene.pair)
    scores[OURS] = score(grid.occupied, truth, scene.spec.voxel_size)
    judged = truth.observed & (grid.probability != 0.5)
    return SceneResult(
        scene.name,
        scene.group,
        scores,
        _reliability(grid, truth, judged),
        _reliability(grid, truth, judged & ~grid.free),
        ours.refusal,
    )


def _reliability(grid: VoxelGrid, truth: Truth, judged: np.ndarray) -> Reliability:
    return Reliability.of(grid.probability[judged], truth.occupied[judged])


def best_rival(results: Iterable[SceneResult], group: str, kinds: tuple[str, ...] = ("colour", "gray", "bm")) -> str:
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
    scenes: Iterable[Scene], seed: int, progress: Callable[[str], None] | None = None
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures and tables over `scenes`; see `compare`."""
    results = []
    for scene in scenes:
        if progress:
            progress(scene.name)
        results.append(judge(scene))
    return compare(results, seed)


def compare(results: list[SceneResult], seed: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Ours against the best rival of each group: gains (`iou_gain_<group>`, `obs_iou_gain_<group>`), `recall1_change`
    and `cd_ratio` against the same rival at >= 5 points (of the real groups where there are any), `ece`, `ece_hit`."""
    figures: dict[str, Figure] = {}
    groups = list(dict.fromkeys(r.group for r in results))
    rivals = {group: best_rival(results, group) for group in groups}
    filtered = {group: f"{name.split('>=')[0]}>={FILTERED}" for group, name in rivals.items()}
    for group in groups:
        rows = [r for r in results if r.group == group]
        for name, unit in (("iou", "IoU"), ("obs_iou", "obs IoU")):
            figures[f"{name}_gain_{group}"] = paired(
                (getattr(r.scores[OURS], name) for r in rows),
                (getattr(r.scores[rivals[group]], name) for r in rows),
                seed,
                unit,
            )
            figures[f"{name}_{group}"] = Figure(
                float(np.mean([getattr(r.scores[OURS], name) for r in rows])), unit, len(rows)
            )
    rendered = [r for r in results if r.group.startswith("rendered")]
    real = [r for r in results if not r.group.startswith("rendered")]
    if rendered:
        figures["iou_gain_rendered"] = paired(
            (r.scores[OURS].iou for r in rendered), (r.scores[rivals[r.group]].iou for r in rendered), seed, "IoU"
        )
    for suffix, rows in (("", rendered), ("_real", real)):
        if rows:
            figures[f"ece{suffix}"] = Figure(_sum([r.reliability for r in rows]).ece, "", len(rows))
            figures[f"ece_hit{suffix}"] = Figure(_sum([r.hit_reliability for r in rows]).ece, "", len(rows))
    rows = real or rendered
    figures["recall1_change"] = paired(
        (r.scores[OURS].recall for r in rows), (r.scores[filtered[r.group]].recall for r in rows), seed, "recall"
    )
    for group in groups:
        of_group = [r for r in results if r.group == group]
        theirs = np.mean([r.scores[filtered[group]].cd for r in of_group])
        ours = np.mean([r.scores[OURS].cd for r in of_group])
        figures[f"cd_ratio_{group}"] = Figure(float(ours / max(theirs, 1e-9)), "times", len(of_group))
    worst = [figures[f"cd_ratio_{g}"].value for g in groups if g in ("indoor", "nominal")]
    if worst:
        figures["cd_ratio"] = Figure(max(worst), "times, the worse of indoor and nominal", len(worst))
    return figures, _tables(results, groups, rivals)


def _tables(results: list[SceneResult], groups: list[str], rivals: dict[str, str]) -> dict[str, Any]:
    by_group = []
    for group in groups:
        rows = [r for r in results if r.group == group]
        for name in rows[0].scores:
            by_group.append({"group": group, "n": len(rows), "detector": name, **_mean([r.scores[name] for r in rows])})
    total = _sum([r.reliability for r in results])
    return {
        "rivals": rivals,
        "groups": by_group,
        "scenes": [
            {
                "scene": r.name,
                "group": r.group,
                "refusal": r.refusal,
                "ours": _mean([r.scores[OURS]]),
                "rival": _mean([r.scores[rivals[r.group]]]),
            }
            for r in results
        ],
        "reliability": {
            "stated": [round(float(v), 4) for v in total.stated],
            "observed": [round(float(v), 4) for v in total.observed],
            "voxels": [int(v) for v in total.count],
        },
    }


def _sum(parts: list[Reliability]) -> Reliability:
    return functools.reduce(operator.add, parts)


def _mean(scores: list[Score]) -> dict[str, float]:
    return {name: round(float(np.mean([getattr(s, name) for s in scores])), 4) for name in Score.__dataclass_fields__}
