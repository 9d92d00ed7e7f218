"""Measures what a floor like a mirror, and rows that have drifted, do to obstacles: ghosts below and above the floor.

    python benchmarks/mirror_floor.py [--rooms 6] [--json benchmarks/results/mirror_floor.json]

A room of a wall, a floor and two boards, seen by a level camera. The floor shows its own texture, and by the share
`mirror` the room upside down: what a mirror shows lies as deep below the floor as the thing stands above it. Rows are
those by which the right image is shifted. A row of the table `rooms` is one room and case, against the same room with a
dull floor and aligned rows:

- below: occupied voxels DEEP_M or more below the floor, and free_below, free ones;
- new_places: places of the map (a column between the two heights of an obstacle) that have become occupied, with no
  occupied one beside them before; freed: occupied places that have become free."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rarrl.config import DetectorConfig
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacle_sensor import ObstacleReading, ObstacleSensor
from rarrl.perception.obstacles import Body
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS
from rarrl.results import Figure, make_results, write_results
from rarrl.types import StereoPair, VoxelState
from rarrl_learning.perception.drift import Turn, drifted
from rarrl_learning.perception.synthetic import Quad, Scene, draw

RIG = CameraRig(420.0, 420.0, 320.0, 240.0, 0.12, 640, 480)
HEIGHT_M = 0.5  # of the camera
DEEP_M = 0.1  # a voxel
CASES = ((0.0, 0.0), (0.3, 0.0), (0.5, 0.0), (0.8, 0.0), (1.0, 0.0), (0.0, 0.5), (0.0, 1.0), (0.5, 1.0))  # mirror, rows


def room_of(seed: int) -> tuple[list[Quad], Quad, list[np.ndarray]]:
    """What stands on the floor, the floor, and the textures."""
    rng = np.random.default_rng(seed)
    textures = [
        cv2.GaussianBlur(rng.integers(30, 220, (256, 256, 3)).astype(np.uint8), (0, 0), rng.uniform(1, 2))
        for _ in range(4)
    ]

    def quad(corner: tuple[float, ...], along: tuple[float, ...], across: tuple[float, ...], texture: int) -> Quad:
        repeat = (0.5 * float(np.linalg.norm(along)), 0.5 * float(np.linalg.norm(across)))
        return Quad(np.array(corner), np.array(along), np.array(across), texture, repeat, np.ones(3))

    things = [quad((-6, -3, rng.uniform(3.5, 5.5)), (12, 0, 0), (0, 3 + HEIGHT_M, 0), 1)]
    for texture, side in ((2, -1), (3, 1)):
        high = rng.uniform(0.4, 1.2)
        at = (side * rng.uniform(0.2, 0.8) - 0.3, HEIGHT_M - high, rng.uniform(1.4, 3.0))
        things.append(quad(at, (0.6, 0, 0), (0, high, 0), texture))
    return things, quad((-6, HEIGHT_M, 0.2), (12, 0, 0), (0, 0, 6), 0), textures


def upside_down(thing: Quad) -> Quad:
    down = np.array([1.0, -1.0, 1.0])
    corner = thing.corner * down + (0.0, 2 * HEIGHT_M, 0.0)
    return replace(thing, corner=corner, along=thing.along * down, across=thing.across * down)


def picture(seed: int, mirror: float, baseline: float) -> np.ndarray:
    things, floor, textures = room_of(seed)

    def drawn(quads: list[Quad]) -> tuple[np.ndarray, np.ndarray]:
        return draw(Scene("indoor", RIG, quads, textures, np.full(3, 200.0)), baseline)

    image, inverse = drawn([*things, floor])
    there = inverse > drawn(things)[1] + 1e-6
    shown = image.astype(np.float64)
    shown[there] = (1 - mirror) * shown[there] + mirror * drawn([upside_down(thing) for thing in things])[0][there]
    grain = np.random.default_rng([seed, int(100 * baseline)]).standard_normal(image.shape)
    return np.clip(shown + grain, 0, 255).astype(np.uint8)


def reading_of(sensor: ObstacleSensor, seed: int, mirror: float, rows: float) -> ObstacleReading:
    pair = StereoPair(picture(seed, mirror, 0.0), picture(seed, mirror, RIG.baseline))
    return sensor.read(drifted(pair, RIG, Turn(rows_px=rows)) if rows else pair)


def row_of(seed: int, mirror: float, rows: float, dull: ObstacleReading, now: ObstacleReading) -> dict[str, Any]:
    def below(which: np.ndarray) -> int:
        return int((now.grid.centres(which)[:, 1] > HEIGHT_M + DEEP_M).sum())

    was = (dull.places.state == VoxelState.OCCUPIED).astype(np.uint8)
    beside = cv2.dilate(was, np.ones((3, 3), np.uint8)) > 0
    return {
        "room": seed,
        "mirror": mirror,
        "rows": rows,
        "refusal": now.refusal,
        "below": below(now.grid.occupied),
        "free_below": below(now.grid.free),
        "places": int(was.sum()),
        "new_places": int(((now.places.state == VoxelState.OCCUPIED) & ~beside).sum()),
        "freed": int(((now.places.state == VoxelState.FREE) & (was > 0)).sum()),
        "scan_m": float(np.median(now.scan.ranges)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=6)
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()
    config = DetectorConfig()
    body = Body(low_m=config.body_low_m, high_m=config.body_high_m)
    sensor = ObstacleSensor(
        ClassicalDetector(RIG, PRESETS["indoor"]), camera_pose(HEIGHT_M, 0.0), body, config.scan_sectors
    )

    table = []
    for seed in range(args.rooms):
        dull = reading_of(sensor, seed, 0.0, 0.0)
        table += [row_of(seed, *case, dull, reading_of(sensor, seed, *case)) for case in CASES]
    for row in table:
        print("; ".join(f"{key} {value}" for key, value in row.items()))

    figures = {}
    groups = {
        "mirror": [row for row in table if row["mirror"] and not row["rows"]],
        "half_row": [row for row in table if row["rows"] == 0.5],
        "one_row": [row for row in table if row["rows"] == 1.0],
    }
    for name, of in groups.items():
        places = sum(row["places"] for row in of)
        for key in ("new_places", "freed"):
            figures[f"{name}_{key}"] = Figure(sum(row[key] for row in of) / places, "share of occupied places", places)
        figures[f"{name}_below"] = Figure(float(np.mean([row["below"] for row in of])), "voxels", len(of))
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        command = " ".join(["python", "benchmarks/mirror_floor.py", *sys.argv[1:]])
        write_results(args.json, make_results(command, 0, figures, {"rooms": table}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
