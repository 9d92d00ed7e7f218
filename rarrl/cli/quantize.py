"""`rarrl quantize`, `bench quantize` and `bench quantized-policy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rarrl.cli.common import check_output, command_line, guarded, progress
from rarrl.cli.orchestrator import JsonOption, SeedOption
from rarrl.errors import DependencyMissingError, InputError

FRAMES = 256


@guarded("nothing was written; start again")
def quantize(
    model: Annotated[Path, typer.Argument(help="A Llama-architecture GGUF file, F16 or F32; or a policy folder.")],
    bpw: Annotated[
        float, typer.Option(help="Bits per weight, at most: of a GGUF's linear layers, of all that is in a folder.")
    ] = 3.0,
    method: Annotated[
        str, typer.Option(help="tuned, compensated, fisher, actquant, flat, imatrix, plain or rtn.")
    ] = "tuned",
    calibration: Annotated[
        Path | None, typer.Option(help="A folder with calibration.safetensors; plain and rtn work without.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="For a policy folder: demonstrations of `rarrl data record`; repeat it."),
    ] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames to calibrate with; others judge.")] = FRAMES,
    seed: SeedOption = 0,
    out: Annotated[Path | None, typer.Option(help="The new file or folder; else MODEL-METHOD-BPW.")] = None,
    json: JsonOption = None,
) -> None:
    """Write a policy's transformer, or the whole policy, in fewer bits, spent where the actions need them."""
    from rarrl.llama.gguf import read_gguf
    from rarrl_learning.quantize import jobs

    out = out or model.with_name(f"{model.stem}-{method}-{bpw:g}{model.suffix}")
    if model.is_dir():
        _quantize_policy(model, data, bpw, method, frames, seed, out, json)
        return
    if out.resolve() == model.resolve():
        raise InputError(f"out: {out} is the model itself; name another path")
    check_output(out, "--out")
    check_output(json, "--json")
    gguf = read_gguf(model)
    with progress("tensors", len(gguf.shape.linears())) as update:
        results = jobs.quantize(gguf, calibration, bpw, method, frames, seed, out, json, command_line(), update)
    _print(results, json)
    typer.echo(f"model: {out}\npicture: {out.with_suffix('.png')}")


def _quantize_policy(
    model: Path, data: list[Path] | None, bpw: float, method: str, frames: int, seed: int, out: Path, json: Path | None
) -> None:
    from rarrl.policy.serve import load_card

    try:
        from rarrl_learning.quantize.policy_folder import quantize_policy
    except ImportError:
        raise DependencyMissingError("calibrating needs torch: pip install 'rarrl[train]'") from None

    spec, _ = load_card(model)
    if not data:
        raise InputError(f"--data: {model} is a policy folder; give demonstrations to calibrate with")
    check_output(out / "card.json", "--out")
    check_output(json, "--json")
    with progress("tensors", 7 * spec.layers + 9) as update:
        results = quantize_policy(model, data, bpw, method, frames, seed, out, json, command_line(), update)
    _print(results, json)
    typer.echo(f"policy: {out}; play it: rarrl eval policy --policy {out}")


@guarded("the draws measured so far are in the file given with --json")
def bench_quantize(
    folders: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Folders with model.gguf and calibration.safetensors.")
    ],
    draws: Annotated[int, typer.Option(min=1, help="Draws of the calibration frames for each model.")] = 3,
    frames: Annotated[int, typer.Option(min=2, help="Frames to calibrate with.")] = FRAMES,
    held_out: Annotated[int, typer.Option(min=1, help="Frames to judge by.")] = 128,
    seed: SeedOption = 0,
    json: JsonOption = None,
    picture: Annotated[Path | None, typer.Option(help="Write the curves as a PNG.")] = None,
) -> None:
    """Hold all quantization methods against one another, from 8 to 1.6 bits per weight."""
    from rarrl_learning.quantize.benchmark import bench_quantize as bench

    check_output(json, "--json")
    check_output(picture, "--picture")
    with progress("measuring", len(folders) * draws) as update:
        results = bench(folders, draws, frames, held_out, seed, json, command_line(), update)
    if picture is not None:
        from rarrl_learning.quantize.figures import draw_curves

        draw_curves(picture, results["tables"])
    _print(results, json)


@guarded("the cells played so far are in the file given with --json; the same command goes on")
def bench_quantized_policy(
    data: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Folders of `rarrl data record`, to calibrate with.")
    ],
    policy: Annotated[Path | None, typer.Option(help="A policy folder; default: the suite's, of the package.")] = None,
    suite: Annotated[str, typer.Option(help="The benchmark, as in `rarrl eval policy`.")] = "metaworld",
    task: Annotated[
        list[str] | None, typer.Option("--task", metavar="TEXT", help="Only this task; repeat it; else all.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="Only this one of tuned, aware, actquant, flat, imatrix, plain, rtn; repeat it."
        ),
    ] = None,
    bpw: Annotated[list[float] | None, typer.Option(metavar="FLOAT", help="Only this size; repeat it.")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Unseen starts of each task.")] = 20,
    frames: Annotated[int, typer.Option(min=2, help="Frames to calibrate with.")] = FRAMES,
    keep: Annotated[Path | None, typer.Option(help="Keep the quantized policies in this folder.")] = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Play a policy in closed loop, unquantized and in ever fewer bits, on the same starts.

    Where the file of `--json` is there, what it holds is not played again."""
    from rarrl.policy.serve import MODELS
    from rarrl.results import Figure, make_results, write_results
    from rarrl.strict_json import read_json
    from rarrl_learning.quantize.closed_loop import METHODS, SIZES, closed_loop
    from rarrl_learning.quantize.methods import METHODS as KNOWN
    from rarrl_sim_envs.suites import suite_named

    check_output(json, "--json")
    chosen = suite_named(suite)
    tasks, folder = task or list(chosen.tasks), policy or MODELS / f"policy_{suite}"
    methods, sizes = method or METHODS, bpw or SIZES
    if unknown := sorted(set(methods) - set(KNOWN)):
        raise InputError(f"--method: {unknown[0]!r} is unknown; allowed: {', '.join(KNOWN)}")
    earlier = read_json(json, "--json").get("tables") if json is not None and json.exists() else None

    def save(figures: dict[str, Figure], tables: dict[str, Any]) -> None:
        if json is not None:
            write_results(json, make_results(command_line(), seed, figures, tables))

    with progress("playing", 2 * len(tasks)) as update:
        figures, tables = closed_loop(
            folder, data, chosen, tasks, episodes, frames, seed, save, methods, sizes, earlier, keep, update
        )
    save(figures, tables)
    _print(make_results(command_line(), seed, figures, tables), json)


def _print(results: dict[str, Any], json: Path | None) -> None:
    from rarrl.cli.results import print_results

    print_results(results)
    if json is not None:
        typer.echo(f"figures: {json}")
