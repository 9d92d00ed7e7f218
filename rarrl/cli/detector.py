"""`rarrl train detector`, `eval detector`, `eval fusion` and `bench detector`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from rarrl.cli.common import check_output, command_line, console, guarded, progress, table
from rarrl.cli.orchestrator import JsonOption, SeedOption

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="A folder of scenes, each with left.png, right.png, disp_gt.npz, calib.json; else scikit-image's pair.",
    ),
]


@guarded("nothing was written; start again")
def train_detector(
    pairs: Annotated[int, typer.Option(min=8, help="Rendered pairs to fit on.")] = 192,
    seed: SeedOption = 0,
    out: Annotated[Path, typer.Option(help="Where the card of fitted numbers goes.")] = Path("runs/detector/card.json"),
    quality: Annotated[str, typer.Option(help="Detector to fit: accurate or fast.")] = "accurate",
) -> None:
    """Fit the detector's probability per voxel on rendered pairs (some minutes)."""
    from rarrl_learning.perception import jobs

    check_output(out, "--out")
    with progress("rendering", pairs) as update:
        card = jobs.train_detector(pairs, seed, out, command_line(), update, quality)
    typer.echo(f"card: {out} ({card['used']} of {card['pairs']} pairs used)")


@guarded("nothing was written; start again")
def eval_detector(
    data: DataOption = None,
    rendered: Annotated[int, typer.Option(min=0, help="Rendered pairs to judge on.")] = 24,
    seed: SeedOption = 0,
    json: JsonOption = None,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="A folder for a picture of each scene: pair, truth, prediction.")
    ] = None,
) -> None:
    """Hold the voxel detector against OpenCV's matchers, on real and rendered pairs."""
    from rarrl_learning.perception import jobs

    check_output(json, "--json")
    if pictures is not None:
        check_output(pictures / "scene.png", "--pictures")
    scenes = rendered + (len(list(data.glob("*/calib.json"))) if data is not None and data.is_dir() else 1)
    with progress("scenes", scenes) as update:
        results = jobs.eval_detector(data, rendered, seed, json, command_line(), update, pictures)
    console().print(_quality(results["tables"]))
    _print(results, json)
    if pictures is not None:
        typer.echo(f"pictures: {pictures}")


def _quality(tables: dict[str, Any]) -> Table:
    """Every detector's means, and intervals of IoU, by group; the rival is marked."""
    rows = [
        (
            f"{row['group']} ({row['n']})",
            row["chosen"] + " *" * (row["chosen"] == tables["rivals"][row["group"]]),
            *(_spread(*row[name]) for name in ("iou", "obs_iou", "iou_2x")),
            *(f"{row[name][0]:.3f}" for name in ("cd", "precision", "recall")),
        )
        for row in tables["detectors"]
    ]
    head = ("group (pairs)", "detector", "IoU", "obs IoU", "IoU at 2x", "CD, m2", "precision", "recall")
    return table("Means over scenes [95 % intervals]; * the rival: best of its group", head, rows)


def _spread(value: float, low: float | None, high: float | None) -> str:
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.2f}, {high:.2f}]"


@guarded("nothing was written; start again")
def eval_fusion(
    seed: SeedOption = 0,
    frames: Annotated[int, typer.Option(min=7, help="Frames of the still and the driving film.")] = 30,
    scenes: Annotated[int, typer.Option(min=1, help="Rendered scenes, indoor and outdoor in turn.")] = 8,
    json: JsonOption = None,
) -> None:
    """Judge the fusion of voxels over time on rendered films: flicker, clearing of a moving box, driving."""
    from rarrl_learning.perception.evaluate_fusion import eval_fusion as evaluate

    check_output(json, "--json")
    with progress("scenes", scenes) as update:
        results = evaluate(seed, frames, scenes, json, command_line(), update)
    _print(results, json)


@guarded("nothing was written; start again")
def bench_detector(
    data: DataOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="Repetitions of each detector on each frame.")] = 9,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Measure time and memory of the voxel detector beside OpenCV's matchers and StereoVoxelNet, in turn."""
    from rarrl_learning.perception import jobs

    check_output(json, "--json")
    frames = 6 + (len(list(data.glob("*/calib.json"))) if data is not None and data.is_dir() else 1)
    with progress("frames", frames) as update:
        results = jobs.bench_detector(data, rounds, seed, json, command_line(), update)
    console().print(_times(results["tables"]))
    for line in results["tables"]["left_out"]:
        typer.echo(f"left out: {line}")
    _print(results, json)


def _times(tables: dict[str, Any]) -> Table:
    """Milliseconds of every detector on every frame."""
    names = list(dict.fromkeys(name for frame in tables["frames"] for name in frame["ms"]["1"]))
    rows = []
    for frame in tables["frames"]:
        for threads, ms in frame["ms"].items():
            cells = [f"{ms[n]['median']:.0f} ({ms[n]['p95']:.0f})" if n in ms else "" for n in names]
            rows.append((frame["scene"], f"{frame['width']}x{frame['height']}", threads, *cells))
    return table("Milliseconds of wall time, median (95th percentile)", ("frame", "size", "threads", *names), rows)


def _print(results: dict[str, Any], json: Path | None) -> None:
    from rarrl.cli.results import print_results

    print_results(results)
    if json is not None:
        typer.echo(f"figures: {json}")
