"""Measures how a stereo pair's drift is noticed: rarrl.perception.stereo_health on real and rendered pairs.

    python benchmarks/stereo_health.py [--data DIR] [--films 12] [--seed 500] [--json FILE]

A film is a row of looks, LOOK_S apart, with frames between them that are looked at only where the watch wants more
(they show the look's picture). Rendered films drive: each look is another picture of the scene, by cameras whose rows
are aligned; seeds other than those that the limits were picked on. Real films (`--data`, as in `rarrl eval detector`)
are one pair, with fresh sensor noise in each look; the limits were picked with them in view. The drift is that of
`rarrl_learning.perception.drift`: the right image as a camera sees it that has turned, or whose rows are shifted.

Steps (table `steps`): after CLEAN looks the drift is there at once, by every axis and in both directions, and stays. A
row is one axis and size: share of films that warn and alarm within AFTER looks, and seconds until they do, from the
step on (median, and 90th percentile of those that do). For yaw, share_seen: films in which the drift's own standard
deviation lets an error of a tenth be told.

False alarms (figures `false_alarms`, `false_warnings`): over all looks at films without drift.

Ramps (table `ramps`): the drift grows by RAMP a look, until the alarm. error: by how much the obstacle distances
(median over nine strips of the picture, the detector's matches, against those of the same look without drift) are
wrong then. A ramp is `late` where that is a tenth or more, or where the drift ends without an alarm; `refused`: the
detector itself has refused the pair before, and the robot stands.

CPU (figures `cpu_ms_*`): processor time of one look on one thread, and as a share of a core at one look a second.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.rig import CameraRig
from rarrl.perception.stereo_health import MIN_PAIRS, SURE, Drift, HealthWatch
from rarrl.perception.voxels import PRESETS, GridSpec
from rarrl.report.runs import wilson
from rarrl.results import Figure, make_results, write_results
from rarrl.types import StereoPair
from rarrl_learning.perception.drift import Turn, distance_error, drifted, obstacle_distances
from rarrl_learning.perception.scenes import SIZES, load_scenes, motorcycle_scene
from rarrl_learning.perception.synthetic import SynthConfig, build_scene, render_frame

LOOK_S = 1.0  # the default of detector.health_period_s
FRAME_S = 0.1
CLEAN = 4  # looks before a step
AFTER = 5  # looks after it
STEP_M = {"indoor": (0.03, 0.0, 0.03), "outdoor": (0.1, 0.0, 0.5)}  # travel between looks: x right, y down, z ahead
ANGLES_DEG = (0.05, 0.1, 0.2, 0.5)
ROWS_PX = (0.5, 1.0, 2.0)
AXES = ("pitch_deg", "yaw_deg", "roll_deg", "rows_px")
RAMP = {"pitch_deg": 0.02, "yaw_deg": 0.04, "roll_deg": 0.04, "rows_px": 0.1}  # a look
RAMP_LOOKS = 30
TENTH = 0.1


@dataclass(frozen=True, eq=False)
class Film:
    """looks: pairs without drift, in turn; beyond the last one they begin again."""

    name: str
    group: str
    rig: CameraRig
    spec: GridSpec
    looks: list[StereoPair]

    def look(self, number: int, turn: Turn | None = None) -> StereoPair:
        pair = self.looks[number % len(self.looks)]
        return pair if turn is None else drifted(pair, self.rig, turn)


def rendered_film(seed: int, index: int) -> Film:
    width, height = SIZES[index // 2 % len(SIZES)]
    config = SynthConfig(width, height, misrectification_px=0.0)
    scene = build_scene(seed, index, config)
    step = np.array(STEP_M[scene.kind])
    looks = []
    for number in range(CLEAN + AFTER):
        moved = replace(scene, quads=[replace(quad, corner=quad.corner - number * step) for quad in scene.quads])
        looks.append(render_frame(moved, 1000 * seed + index, number, number * LOOK_S, config).pair)
    return Film(f"{scene.kind}_{index}", "rendered", scene.rig, PRESETS[scene.kind], looks)


def real_films(data: Path | None, seed: int) -> list[Film]:
    rng = np.random.default_rng(seed)
    films = []
    for scene in load_scenes(data) if data else [motorcycle_scene()]:
        looks = [
            StereoPair(*(_noisy(image, rng) for image in (scene.pair.left, scene.pair.right)), stamp_s=k * LOOK_S)
            for k in range(CLEAN + AFTER)
        ]
        films.append(Film(scene.name, "real", scene.rig, scene.spec, looks))
    return films


def _noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image + rng.standard_normal(image.shape, dtype=np.float32), 0, 255).astype(np.uint8)


def begin(film: Film) -> HealthWatch:
    return HealthWatch(film.rig, film.spec.z_far, LOOK_S, stops=True)


def watch_second(watch: HealthWatch, pair: StereoPair, number: int) -> float | None:
    """Shows a look's frames; seconds after its begin at which the watch first alarms, None where it does not."""
    for frame in range(round(LOOK_S / FRAME_S)):
        looked = watch.look(pair, number * LOOK_S + frame * FRAME_S)
        if watch.verdict.alarms:
            return frame * FRAME_S
        if not looked:  # the frames that follow are not looked at either
            break
    return None


def seen(drift: Drift | None) -> bool:
    """Whether yaw is known well enough to tell an error of a tenth."""
    return drift is not None and SURE * drift.distance_error_sd < TENTH


# Steps


def clean_film(film: Film) -> dict[str, Any]:
    """All looks of a film without drift; a row of the table `clean`."""
    watch = begin(film)
    warned = alarmed = 0
    for number in range(len(film.looks)):
        alarmed += watch_second(watch, film.look(number), number) is not None
        warned += watch.verdict.warns
    drift = watch.drift

    cpu = time.process_time()
    for number in range(len(film.looks)):
        watch.look(film.look(number), (CLEAN + AFTER + number) * LOOK_S)
    cpu = time.process_time() - cpu
    row: dict[str, Any] = {
        "film": film.name,
        "group": film.group,
        "looks": len(film.looks),
        "warned": warned,
        "alarmed": alarmed,
        "cpu_ms": 1e3 * cpu / len(film.looks),
    }
    if drift is not None:
        row |= {
            key: getattr(drift, key)
            for key in ("pitch_deg", "yaw_deg", "yaw_sd_deg", "roll_deg", "rows_rms_px", "distance_error_sd")
        }
    return row


def step(film: Film, before: HealthWatch, turn: Turn) -> dict[str, Any]:
    """Seconds until a warning and an alarm, None: not within AFTER looks."""
    watch = copy.deepcopy(before)
    warn_s = alarm_s = None
    for number in range(AFTER):
        after_s = watch_second(watch, film.look(CLEAN + number, turn), CLEAN + number)
        if warn_s is None and watch.verdict.warns:
            warn_s = number * LOOK_S + (MIN_PAIRS - 1) * FRAME_S if after_s is None else number * LOOK_S + after_s
        if after_s is not None:
            alarm_s = number * LOOK_S + after_s
            break
    # The drift comes between two looks: half a period before the first one, on average.
    late = LOOK_S / 2
    return {
        "warn_s": None if warn_s is None else warn_s + late,
        "alarm_s": None if alarm_s is None else alarm_s + late,
        "seen": seen(watch.drift),
    }


def steps_of(film: Film) -> list[dict[str, Any]]:
    before = begin(film)
    for number in range(CLEAN):
        watch_second(before, film.look(number), number)

    rows = []
    for axis in AXES:
        for size in ROWS_PX if axis == "rows_px" else ANGLES_DEG:
            for sign in (1, -1):
                found = step(film, before, Turn(**{axis: sign * size}))
                rows.append({"film": film.name, "group": film.group, "axis": axis, "size": size, "sign": sign} | found)
    return rows


def table_of(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each group, axis and size."""
    rows = []
    for group in ("real", "rendered"):
        for axis in AXES:
            for size in ROWS_PX if axis == "rows_px" else ANGLES_DEG:
                of = [s for s in steps if (s["group"], s["axis"], s["size"]) == (group, axis, size)]
                if not of:
                    continue
                row: dict[str, Any] = {"group": group, "axis": axis, "size": size, "n": len(of)}
                for kind in ("warn", "alarm"):
                    times = [s[f"{kind}_s"] for s in of if s[f"{kind}_s"] is not None]
                    row[f"{kind}_rate"] = len(times) / len(of)
                    row[f"{kind}_s_p50"] = float(np.median(times)) if times else None
                    row[f"{kind}_s_p90"] = float(np.quantile(times, 0.9)) if times else None
                if axis == "yaw_deg":
                    row["share_seen"] = sum(s["seen"] for s in of) / len(of)
                rows.append(row)
    return rows


# Ramps


def ramp(film: Film, axis: str, sign: int) -> dict[str, Any]:
    """One row of `ramps`."""
    watch = begin(film)
    detector = ClassicalDetector(film.rig, film.spec)
    row: dict[str, Any] = {"film": film.name, "group": film.group, "axis": axis, "sign": sign}
    for number in range(RAMP_LOOKS):
        size = number * RAMP[axis]
        pair = film.look(number, Turn(**{axis: sign * size}))
        if watch_second(watch, pair, number) is not None:
            break

    row |= {"at": size, "seen": seen(watch.drift), "error": None}
    now = obstacle_distances(detector, pair)
    clean = obstacle_distances(detector, film.look(number))
    if now is None or clean is None:
        return row | {"end": "refused"}
    return row | {"end": "alarm" if watch.verdict.alarms else "none", "error": distance_error(clean, now)}


def ramp_table(ramps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for axis in AXES:
        for seen in (True, False) if axis == "yaw_deg" else (None,):
            of = [r for r in ramps if r["axis"] == axis and (seen is None or r["seen"] == seen)]
            if not of:
                continue
            errors = [r["error"] for r in of if r["end"] == "alarm" and r["error"] == r["error"]]
            row: dict[str, Any] = {
                "axis": axis,
                "seen": seen,
                "n": len(of),
                "alarmed": sum(r["end"] == "alarm" for r in of),
                "refused": sum(r["end"] == "refused" for r in of),
                "late": sum(_late(r) for r in of),
            }
            if errors:
                row |= {"error_p50": float(np.median(errors)), "error_max": max(errors)}
                row["at_p50"] = float(np.median([r["at"] for r in of if r["end"] == "alarm"]))
            rows.append(row)
    return rows


def _late(row: dict[str, Any]) -> bool:
    return row["end"] == "none" or (row["end"] == "alarm" and not row["error"] < TENTH)


def share(count: int, of: int) -> Figure:
    low, high = wilson(count, of)
    return Figure(count / of, "share", of, low, high)


def figures_of(
    clean: list[dict[str, Any]], steps: list[dict[str, Any]], ramps: list[dict[str, Any]]
) -> dict[str, Figure]:
    looks = sum(row["looks"] for row in clean)
    cpu = [row["cpu_ms"] for row in clean]
    figures = {
        "false_alarms": Figure(sum(row["alarmed"] for row in clean), "looks", looks),
        "false_warnings": Figure(sum(row["warned"] for row in clean), "looks", looks),
        "films_with_false_alarm": share(sum(row["alarmed"] > 0 for row in clean), len(clean)),
        "cpu_ms_p50": Figure(float(np.median(cpu)), "ms", len(cpu)),
        "cpu_ms_max": Figure(max(cpu), "ms", len(cpu)),
        "core_share": Figure(float(np.mean(cpu)) / 1e3 / LOOK_S, "share of a core", len(cpu)),
    }
    for axis in AXES:
        late = [_late(r) for r in ramps if r["axis"] == axis]
        figures[f"late_{axis.partition('_')[0]}"] = share(sum(late), len(late))
    seen = [_late(r) for r in ramps if r["axis"] == "yaw_deg" and r["seen"]]
    if seen:
        figures["late_yaw_where_seen"] = share(sum(seen), len(seen))
    rows = [s["alarm_s"] for s in steps if s["alarm_s"] is not None]
    figures["alarm_s_p50"] = Figure(float(np.median(rows)), "s", len(rows))
    figures["alarm_s_p90"] = Figure(float(np.quantile(rows, 0.9)), "s", len(rows))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real pairs; without it, scikit-image's Motorcycle alone")
    parser.add_argument("--films", type=int, default=12, help="rendered films")
    parser.add_argument("--seed", type=int, default=500, help="of the rendered films and of the noise")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()
    cv2.setNumThreads(1)

    clean, steps, ramps = [], [], []
    films = real_films(args.data, args.seed)
    for number in range(len(films) + args.films):
        film = films[number] if number < len(films) else rendered_film(args.seed, number - len(films))
        print(f"{film.name} ({film.group})", file=sys.stderr)
        clean.append(clean_film(film))
        steps += steps_of(film)
        ramps += [ramp(film, axis, sign) for axis in AXES for sign in (1, -1)]

    figures = figures_of(clean, steps, ramps)
    tables = {"steps": table_of(steps), "ramps": ramp_table(ramps), "clean": clean, "each_ramp": ramps}
    for name in ("steps", "ramps"):
        for row in tables[name]:
            print(
                "; ".join(
                    f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
                )
            )
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        data = str(args.data)
        words = ["DIR" if word == data else word for word in sys.argv[1:]]
        command = " ".join(["python", "benchmarks/stereo_health.py", *words])
        write_results(args.json, make_results(command, args.seed, figures, tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
