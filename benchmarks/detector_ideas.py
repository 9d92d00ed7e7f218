"""Shows what each idea for the fast detector brings in time and IoU, and chooses among them one scene at a time.

    python benchmarks/detector_ideas.py --data DIR [--pairs 48] [--rounds 5] [--json FILE]

Each idea is fitted on rendered pairs of its own seed and judged on the real pairs in DIR against the rivals of
`rarrl eval detector` (gray SGBM-3WAY, and colour and BM, at their best count of each group). Times are CPU time on one
thread, in turn with padded colour SGBM-3WAY. Table `ideas`: iou_gain by group, speedup (geometric mean over the real
pairs), slowest (least of them), worst (scene and its gain), cd_ratio_worst (of a scene, against the rival at 5 points).

Left out one at a time (`loso_*`): for each real scene the idea is chosen that does best on the *other* scenes (by the
mean over groups of the gain in IoU, among those at least --speedup times as quick), and judged on the scene that was
left out. `quick_look_share`: part of the fast detector's time that the previous frame's disparities, used as the range
to search, could save at most."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.fast import FAST, ROWS, FastDetector
from rarrl.perception.matching import UNLOCK, Matching, Shrunk
from rarrl.perception.opencv_matchers import CountDetector, block_matcher, gray, match_padded
from rarrl.perception.quick_look import SearchRange, quick_look
from rarrl.perception.voxels import Truth, Voxelizer, truth_voxels
from rarrl.results import Figure, make_results, write_results
from rarrl_learning.perception.evaluate import (
    RIVAL_KINDS,
    SceneResult,
    Score,
    best_baseline,
    paired,
    rival_scores,
    score,
)
from rarrl_learning.perception.metrics import Reliability
from rarrl_learning.perception.scenes import FIT_STREAM, Scene, load_scenes, rendered_scenes
from rarrl_learning.perception.train import train

Make = Callable[..., ClassicalDetector]


class BlockMatching(FastDetector):
    """The fast detector with OpenCV's block matcher in place of SGBM; its window is that of `how`."""

    def disparity(self, left: np.ndarray, right: np.ndarray, search: SearchRange) -> np.ndarray:
        size = (left.shape[1], left.shape[0] // ROWS)
        pair = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (left, right)]
        matcher = block_matcher(search.start, search.count, self.how.window)
        matcher.setUniquenessRatio(self.how.uniqueness_percent)
        found = match_padded(matcher, *pair, max(search.start + search.count, 0))
        if search.start > search.least:
            found[found < search.start + 1] = np.nan
        return found


def _idea(window: int, smoothness: float, uniqueness: int, averaged: bool, wide: Shrunk = FAST.wide) -> Make:
    unlock = FAST.unlock if window == FAST.window else UNLOCK
    return partial(
        FastDetector, how=Matching(window, smoothness, uniqueness, 200, averaged, Shrunk(ROWS), wide, unlock)
    )


IDEAS: dict[str, Make] = {
    "accurate": ClassicalDetector,
    "pairs of rows, the quick look as second matcher": _idea(5, 0.7, 0, True),
    "+ window of 3": _idea(3, 0.7, 0, True),
    "+ no averaging, smoothness 0.5": _idea(3, 0.5, 0, False),
    "+ uniqueness check of 5 %": _idea(3, 0.5, 5, False),
    "+ uniqueness check of 10 %": _idea(3, 0.5, 10, False),
    "5 %, averaged": _idea(3, 0.7, 5, True),
    "block matching, window of 7": partial(BlockMatching, how=Matching(7, 0.0, 5, 100, False, FAST.usual, FAST.wide)),
    "block matching, window of 9": partial(BlockMatching, how=Matching(9, 0.0, 10, 100, False, FAST.usual, FAST.wide)),
}


def rivals_of(scenes: list[Scene], truths: dict[str, Truth]) -> dict[str, tuple[Score, Score]]:
    """By scene: the score of its group's rival, and of the same at 5 points."""
    results = []
    for scene in scenes:
        scores: dict[str, Score] = {}
        for kind in RIVAL_KINDS:
            scores |= rival_scores(scene, kind, truths[scene.name])
        nothing = Reliability.of(np.zeros(0), np.zeros(0, dtype=bool))
        results.append(SceneResult(scene.name, scene.group, scores, nothing, nothing, ""))

    best = {group: best_baseline(results, group) for group in {scene.group for scene in scenes}}
    return {r.name: (r.scores[best[r.group]], r.scores[f"{best[r.group].split('>=')[0]}>=5"]) for r in results}


def speedups(scenes: list[Scene], make: Make, rounds: int) -> list[float]:
    """How many times as quick as padded colour SGBM-3WAY, by scene: medians of CPU time, in turn."""
    ratios = []
    for scene in scenes:
        runs = (
            CountDetector("colour", scene.rig, scene.spec, 5, from_zero=True).occupied,
            make(scene.rig, scene.spec).detect,
        )
        spent: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds + 1):
            for run, times in zip(runs, spent, strict=True):
                started = time.thread_time()
                run(scene.pair)
                times.append(time.thread_time() - started)
        reference, ours = (float(np.median(times[1:])) for times in spent)
        ratios.append(reference / ours)
    return ratios


def quick_look_share(scenes: list[Scene], make: Make, rounds: int) -> float:
    """Mean share of the quick look in the detector's CPU time."""
    shares = []
    for scene in scenes:
        detector = make(scene.rig, scene.spec)
        images = gray(scene.pair.left), gray(scene.pair.right)
        spent: list[list[float]] = [[], []]
        for _ in range(rounds + 1):
            for run, times in zip(
                (lambda: quick_look(*images, scene.rig), lambda: detector.detect(scene.pair)),  # noqa: B023
                spent,
                strict=True,
            ):
                started = time.thread_time()
                run()
                times.append(time.thread_time() - started)
        part, whole = (float(np.median(times[1:])) for times in spent)
        shares.append(part / whole)
    return float(np.mean(shares))


def by_group(scenes: list[Scene], values: dict[str, float]) -> dict[str, float]:
    """Mean of `values` (by scene) in each group of `scenes`."""
    groups = dict.fromkeys(scene.group for scene in scenes)
    return {group: float(np.mean([values[s.name] for s in scenes if s.group == group])) for group in groups}


def leave_one_out(scenes: list[Scene], rows: list[dict[str, Any]], least: float) -> list[dict[str, Any]]:
    """For each scene, the idea that is best on the others and at least `least` times as quick, and its gain here."""
    quick = [row for row in rows if row["speedup"] >= least]
    chosen = []
    for scene in scenes if quick else []:
        others = [s for s in scenes if s is not scene]
        best = max(quick, key=lambda row: np.mean(list(by_group(others, row["gains"]).values())))
        chosen.append({"scene": scene.name, "idea": best["idea"], "iou_gain": best["gains"][scene.name]})
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real pairs, as for rarrl eval detector")
    parser.add_argument("--pairs", type=int, default=48, help="rendered pairs that each idea is fitted on")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each idea on each real pair")
    parser.add_argument("--speedup", type=float, default=3.0, help="least speed of an idea that may be chosen")
    parser.add_argument("--seed", type=int, default=1, help="of the rendered pairs")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()
    cv2.setNumThreads(1)

    scenes = load_scenes(args.data)
    truths = {s.name: truth_voxels(Voxelizer(s.rig, s.spec), s.disparity) for s in scenes}
    rivals = rivals_of(scenes, truths)
    fit_on = list(rendered_scenes(args.pairs, FIT_STREAM + args.seed))

    rows: list[dict[str, Any]] = []
    for name, make in IDEAS.items():
        fitted = train(lambda: fit_on, args.seed, make=make, iou_for_recall=FastDetector.iou_for_recall)
        ready = partial(make, calibration=fitted.calibration, trust=fitted.trust)
        scores = {
            s.name: score(ready(s.rig, s.spec).detect(s.pair).occupied, truths[s.name], s.spec.voxel_size)
            for s in scenes
        }
        gains = {s.name: scores[s.name].iou - rivals[s.name][0].iou for s in scenes}
        ratios = {s.name: scores[s.name].cd / max(rivals[s.name][1].cd, 1e-9) for s in scenes}
        quicker = speedups(scenes, ready, args.rounds)
        worst, most = min(gains, key=gains.__getitem__), max(ratios, key=ratios.__getitem__)
        row = {
            "idea": name,
            "iou_gain": {g: round(v, 4) for g, v in by_group(scenes, gains).items()},
            "gains": {n: round(v, 4) for n, v in gains.items()},
            "worst": [worst, round(gains[worst], 4)],
            "cd_ratio_worst": [most, round(ratios[most], 3)],
            "speedup": round(float(np.exp(np.mean(np.log(quicker)))), 3),
            "slowest": round(min(quicker), 3),
        }
        rows.append(row)
        print(row, file=sys.stderr, flush=True)

    chosen = leave_one_out(scenes, rows, args.speedup)
    figures = {
        "quick_look_share": Figure(quick_look_share(scenes, FastDetector, args.rounds), "of its time", len(scenes))
    }
    if chosen:
        gains = {row["scene"]: row["iou_gain"] for row in chosen}
        worst = min(gains, key=gains.__getitem__)
        figures["loso_iou_gain"] = paired(gains.values(), [0.0] * len(gains), args.seed, "IoU, scenes left out")
        figures["loso_iou_gain_worst"] = Figure(gains[worst], f"IoU, {worst}, the worst scene left out", len(gains))

    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        command = " ".join(["python", "benchmarks/detector_ideas.py", *sys.argv[1:]])
        write_results(args.json, make_results(command, args.seed, figures, {"ideas": rows, "left_out": chosen}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
