"""Measures what each quality of the detector calls free though there is a surface, and how far off its surfaces are.

    python benchmarks/detector_qualities.py [--data DIR] [--rendered 12] [--json FILE]

For `detector.target_hz`, which changes the quality while the robot drives: the gate goes by what is seen to be free.
missed_free_*: share of the voxels with a surface that are called free, summed over all pairs; within 3 m, where a robot
stops, within 8 m, and in the whole cube. iou_*: mean over pairs. --data: real pairs (docs/how-to/use-the-detector.md);
without, those figures are left out. --rendered: pairs of each of two seeds. No time is measured."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.perception.detectors import DETECTORS
from rarrl.perception.voxels import Voxelizer, truth_voxels
from rarrl.results import Figure, make_results, write_results
from rarrl_learning.perception.evaluate import score
from rarrl_learning.perception.scenes import Scene, load_scenes, rendered_scenes

SEEDS = (0, 7)  # of rendered pairs; detectors are fitted on seeds from 2^31 on
REACHES_M = {"3m": 3.0, "8m": 8.0, "all": float("inf")}


def judged(scene: Scene) -> dict[str, Any]:
    """IoU of each quality, and [called free, all] of the voxels with a surface within each reach."""
    truth = truth_voxels(Voxelizer(scene.rig, scene.spec), scene.disparity)
    row: dict[str, Any] = {"scene": scene.name, "group": scene.group}
    for name, make in DETECTORS.items():
        grid = make(scene.rig, scene.spec).detect(scene.pair)
        row[f"iou_{name}"] = round(score(grid.occupied, truth, scene.spec.voxel_size).iou, 4)
        for reach, far_m in REACHES_M.items():
            slabs = int(min(far_m / scene.spec.voxel_size, scene.spec.size))
            surfaces = truth.occupied[:, :, :slabs]
            row[f"{reach}_{name}"] = [int((grid.free[:, :, :slabs] & surfaces).sum()), int(surfaces.sum())]
    return row


def figures_of(rows: list[dict[str, Any]]) -> dict[str, Figure]:
    figures = {}
    kinds = {"": rows, "_real": [row for row in rows if not row["group"].startswith("rendered")]}
    for kind, chosen in kinds.items():
        for name in DETECTORS:
            if chosen:
                ious = [row[f"iou_{name}"] for row in chosen]
                figures[f"iou{kind}_{name}"] = Figure(float(np.mean(ious)), "IoU, mean over pairs", len(chosen))
    for reach in REACHES_M:
        for name in DETECTORS:
            missed, surfaces = np.sum([row[f"{reach}_{name}"] for row in rows], axis=0)
            share = float(missed / max(surfaces, 1))
            figures[f"missed_free_{reach}_{name}"] = Figure(share, "of the voxels with a surface", int(surfaces))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real pairs")
    parser.add_argument("--rendered", type=int, default=12, help="rendered pairs of each seed")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()

    scenes = load_scenes(args.data) if args.data is not None else []
    rows = [judged(scene) for scene in scenes]
    for seed in SEEDS:
        rows += [judged(scene) for scene in rendered_scenes(args.rendered, seed)]

    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["group"]].append(row)
    figures = figures_of(rows)
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        words = ["--data", "DIR"] if args.data is not None else []
        command = " ".join(["python", "benchmarks/detector_qualities.py", *words, "--rendered", str(args.rendered)])
        by_group = {group: {n: f.value for n, f in figures_of(of).items()} for group, of in groups.items()}
        document = make_results(command, SEEDS[0], figures, {"pairs": rows, "groups": by_group})
        write_results(args.json, document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
