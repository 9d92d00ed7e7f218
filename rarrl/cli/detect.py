"""`rarrl train detector`, `eval detector`, `eval fusion` and `bench detector`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rarrl.cli.common import check_output, command_line, guarded, progress
from rarrl.cli.learn import JsonOption, SeedOption

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="A folder of scenes: left.png, right.png, disp_gt.npz, calib.json in each."),
]


@guarded("nothing was written; start again")
def train_detector(
    pairs: Annotated[int, typer.Option(min=8, help="Rendered pairs to fit on.")] = 96,
    seed: SeedOption = 0,
    out: Annotated[Path, typer.Option(help="Where the card of fitted numbers goes.")] = Path("runs/detector/card.json"),
) -> None:
    """Fit the detector's probability per voxel on rendered pairs (half a minute)."""
    from rarrl.perception import commands

    check_output(out, "--out")
    with progress("rendering", pairs) as update:
        card = commands.train_detector(pairs, seed, out, command_line(), update)
    typer.echo(f"card: {out} ({card['used']} of {card['pairs']} pairs used)")


@guarded("nothing was written; start again")
def eval_detector(
    data: DataOption = None,
    rendered: Annotated[int, typer.Option(min=0, help="Rendered pairs to judge on.")] = 24,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Hold the voxel detector against OpenCV's matchers, on real and rendered pairs."""
    from rarrl.perception import commands

    check_output(json, "--json")
    scenes = rendered + (len(list(data.glob("*/calib.json"))) if data is not None and data.is_dir() else 0)
    with progress("scenes", scenes) as update:
        results = commands.eval_detector(data, rendered, seed, json, command_line(), update)
    _print(results, json)


@guarded("nothing was written; start again")
def eval_fusion(
    seed: SeedOption = 0,
    frames: Annotated[int, typer.Option(min=7, help="Frames of the still and the driving film.")] = 30,
    scenes: Annotated[int, typer.Option(min=1, help="Rendered scenes, indoor and outdoor in turn.")] = 8,
    json: JsonOption = None,
) -> None:
    """Judge the fusion of voxels over time on rendered films: flicker, clearing of a moving box, driving."""
    from rarrl.perception.fusion_eval import eval_fusion as evaluate

    check_output(json, "--json")
    with progress("scenes", scenes) as update:
        results = evaluate(seed, frames, scenes, json, command_line(), update)
    _print(results, json)


@guarded("nothing was written; start again")
def bench_detector(
    data: DataOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="Repetitions of each detector on each frame.")] = 15,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Measure the time of the voxel detector beside OpenCV's matchers, in one interleaved run."""
    from rarrl.perception import commands

    check_output(json, "--json")
    with progress("measuring", rounds) as update:
        results = commands.bench_detector(data, rounds, seed, json, command_line(), update)
    _print(results, json)


def _print(results: dict[str, Any], json: Path | None) -> None:
    from rarrl.cli.show import print_results

    print_results(results)
    if json is not None:
        typer.echo(f"figures: {json}")
