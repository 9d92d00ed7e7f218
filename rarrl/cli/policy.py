"""`rarrl train policy`, `eval policy`, `serve policy`, `data record`, `data export`, `data calibrate`, `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import check_output, command_line, guarded, progress
from rarrl.cli.orchestrator import JsonOption, SeedOption
from rarrl.errors import InputError

SuiteOption = Annotated[
    str,
    typer.Option(
        help="The benchmark: metaworld, tabletop, libero_object, libero_goal, libero_spatial; to record also household."
    ),
]
HOUSEHOLD = "household"
"""The suite of whole missions, which is recorded by code of its own."""
ShippedOption = Annotated[
    Path | None,
    typer.Option(
        help="A policy folder, or one of the package: metaworld, tabletop, libero_object, libero_goal, libero_spatial."
    ),
]
TaskOption = Annotated[
    list[str] | None, typer.Option("--task", metavar="TEXT", help="Only this task; repeat it. Default: all.")
]


@guarded("files that are whole stay; the same command goes on")
def record(
    out: Annotated[Path, typer.Option(help="Folder of the demonstrations.")],
    suite: SuiteOption = "metaworld",
    task: TaskOption = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of each task.")] = 80,
    first: Annotated[int, typer.Option(min=0, help="The first start of the training list.")] = 0,
    policy: Annotated[
        Path | None, typer.Option(help="A policy folder that acts in turn with the expert (DAgger).")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="A preset of that folder: where this goes.")] = None,
) -> None:
    """Record what the scripted experts would do, on the ways of a disturbed expert or of a policy.

    Of the suite `household` an episode is a mission, with single interactions beside it; `--task` is not for it."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file; give a folder")
    if preset is not None and policy is None:
        raise InputError(f"--preset: {preset} is a preset of which policy? give --policy too")
    if suite == HOUSEHOLD:
        _record_household(out, episodes, first, policy, preset)
        return
    from rarrl_learning.policy.record import record_demonstrations
    from rarrl_sim_envs.suites import SUITES, suite_named

    if suite not in SUITES:
        raise InputError(f"--suite: {suite!r} is unknown; allowed: {', '.join([*SUITES, HOUSEHOLD])}")
    chosen = suite_named(suite)
    tasks = task or list(chosen.scripted)
    with progress("recording", episodes * len(tasks)) as update:
        if policy is None:
            counts = record_demonstrations(out, chosen, tasks, episodes, first, progress=update)
        else:
            from rarrl.build import make_policy
            from rarrl_learning.policy.evaluate import as_observation

            with make_policy(policy, preset=preset or "") as actor:
                counts = record_demonstrations(
                    out,
                    chosen,
                    tasks,
                    episodes,
                    first,
                    infer=lambda seen: actor.infer(as_observation(seen)).actions,
                    progress=update,
                )
    for name, count in counts.items():
        typer.echo(f"{name}: {count['episodes']:.0f} new episodes, {count['frames']:.0f} frames")


def _record_household(out: Path, missions: int, first: int, policy: Path | None, preset: str | None) -> None:
    from contextlib import ExitStack

    from rarrl.build import make_policy
    from rarrl_learning.household.record import record_household

    with ExitStack() as stack:
        update = stack.enter_context(progress("recording", missions))
        actor = stack.enter_context(make_policy(policy, preset=preset or "")) if policy is not None else None
        counts = record_household(out, missions, first, policy=actor, progress=update)
    for verb, frames in counts.items():
        typer.echo(f"{verb}: {frames} new frames")


@guarded("the same command goes on from the last checkpoint")
def train_policy(
    data: Annotated[list[Path], typer.Option(metavar="PATH", help="A folder of `rarrl data record`; repeat it.")],
    out: Annotated[Path, typer.Option(help="Folder of checkpoints, and of the policy in the end.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps; more than before: goes on.")] = 8000,
    batch: Annotated[int, typer.Option(min=1, help="Frames in a step.")] = 32,
    layers: Annotated[int, typer.Option(min=1, max=32, help="Blocks of the transformer.")] = 3,
    weight: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="TASK=W: how often a task is drawn; default 1.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of torch; two on busy cores are slower than one.")] = 1,
    start: Annotated[
        Path | None,
        typer.Option(
            help="A policy folder, or one of the package, with whose weights a new run begins; words by name."
        ),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Train a policy on demonstrations (behaviour cloning). Interrupt it at will: the same command goes on."""
    from rarrl.policy.registry import policy_folder
    from rarrl_learning.policy import jobs

    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file; give a folder")
    check_output(out / "card.json", "--out")
    begun = policy_folder(str(start)) if start is not None else None
    weights = dict(_weight(text) for text in weight or [])
    with progress("training", steps) as update:
        card = jobs.train_policy(data, out, steps, batch, layers, weights, threads, seed, command_line(), update, begun)
    typer.echo(f"policy: {out} (validation L1 {card['metrics']['validation_l1']:.4f})")


@guarded("nothing was written; start again")
def eval_policy(
    policy: ShippedOption = None,
    suite: SuiteOption = "metaworld",
    task: TaskOption = None,
    words: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="trained, held_out, swapped (tabletop: wrong) instructions; repeat it. Default: all."
        ),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Unseen starts of each task.")] = 20,
    rows: Annotated[int, typer.Option(min=1, help="Rows of a chunk that are done before the next is asked.")] = 8,
    gguf: Annotated[Path | None, typer.Option(help="Another transformer for the policy (a quantized one).")] = None,
    preset: Annotated[str | None, typer.Option(help="A preset of the policy's folder: `rarrl tune policy`.")] = None,
    expert: Annotated[bool, typer.Option("--expert", help="Play the suite's scripted expert, and no policy.")] = False,
    parity: Annotated[
        bool, typer.Option("--parity", help="Also hold llama.cpp's actions against torch's on 64 observations.")
    ] = False,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Play a policy in closed loop on unseen starts, with its own, unheard and another task's instructions."""
    from contextlib import nullcontext

    from rarrl.build import make_policy
    from rarrl.policy.registry import policy_folder
    from rarrl.policy.serve import MODELS
    from rarrl.results import make_results, write_results
    from rarrl_learning.policy.evaluate import evaluate_policy, observations
    from rarrl_sim_envs.suites import suite_named

    chosen = suite_named(suite)
    check_output(json, "--json")
    if expert and (policy, gguf, preset, words, parity) != (None, None, None, None, False):
        raise InputError("--expert: plays no policy, and does not read; leave out --policy, --gguf, --preset, --words")
    tasks = task or list(chosen.scripted if expert else chosen.tasks)
    kinds = words or list(chosen.kinds[:1] if expert else chosen.kinds)
    if unknown := set(kinds) - set(chosen.kinds):
        raise InputError(f"--words: {min(unknown)!r} is unknown; allowed: {', '.join(chosen.kinds)}")
    folder = policy_folder(str(policy)) if policy else MODELS / f"policy_{suite}"
    with (
        nullcontext(None) if expert else make_policy(folder, gguf=gguf, preset=preset or "") as actor,
        progress("playing", episodes * len(tasks) * len(kinds)) as update,
    ):
        figures, tables = evaluate_policy(actor, chosen, tasks, kinds, episodes, rows, seed, update)
    if parity:
        from rarrl_learning.policy.jobs import parity_of

        figures |= parity_of(folder, observations(chosen, 64, seed))
    results = make_results(command_line(), seed, figures, tables)
    if json is not None:
        write_results(json, results)
    from rarrl.cli.results import print_results

    print_results(results)


@guarded("nothing was written; start again")
def calibrate(
    data: Annotated[list[Path], typer.Option(metavar="PATH", help="A folder of `rarrl data record`; repeat it.")],
    out: Annotated[Path, typer.Option(help="Folder for model.gguf and calibration.safetensors.")],
    policy: Annotated[Path | None, typer.Option(help="A policy folder; default: the one of the package.")] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames, as many of each task.")] = 2000,
    seed: SeedOption = 0,
) -> None:
    """Write what `rarrl quantize` needs of a policy: its transformer, and frames as they enter it."""
    from rarrl.files import read_file, write_bytes_atomic
    from rarrl.policy.serve import GGUF, MODELS
    from rarrl_learning.policy.calibration import policy_frames
    from rarrl_learning.policy.demonstrations import load_demonstrations
    from rarrl_learning.quantize.calibration import Calibration, Head, save_calibration

    check_output(out / GGUF, "--out")
    folder = policy or MODELS / "policy_metaworld"
    with progress("embedding", frames) as update:
        found = policy_frames(folder, load_demonstrations(data), frames, seed, update)
    first = sum(found.blocks) - found.targets.shape[1]
    head = Head(found.head, "relu")
    save_calibration(out, Calibration(found.inputs, found.targets, head, found.blocks, first, found.episode))
    write_bytes_atomic(out / GGUF, read_file(folder / GGUF, "policy"))
    typer.echo(f"calibration: {out} ({frames} frames of {len(set(found.episode.tolist()))} episodes)")


@guarded("the folder lacks meta/info.json; remove it and start again")
def export(
    data: Annotated[list[Path], typer.Option(metavar="PATH", help="A folder of `rarrl data record`; repeat it.")],
    lerobot: Annotated[Path, typer.Option(help="A new folder for the LeRobotDataset.")],
) -> None:
    """Write demonstrations as a LeRobotDataset v3, for lerobot's loader. `--data` of other commands reads it, too."""
    from rarrl_learning.policy.demonstrations import load_demonstrations
    from rarrl_learning.policy.lerobot import export_lerobot

    check_output(lerobot / "meta/info.json", "--lerobot")
    demonstrations = load_demonstrations(data)
    with progress("writing", len(demonstrations.tasks)) as update:
        counts = export_lerobot(demonstrations, lerobot, update)
    typer.echo(f"LeRobotDataset: {lerobot} ({counts['episodes']} episodes, {counts['frames']} frames)")


@guarded("nothing that is read was written; start again")
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A folder of OpenVLA or OpenVLA-OFT as downloaded.")],
    out: Annotated[Path, typer.Option(help="A new folder for `openvla:FOLDER#package.module:features`.")],
    dataset: Annotated[str | None, typer.Option(help="Whose statistics; needed where there are several.")] = None,
    libero: Annotated[
        bool, typer.Option("--libero", help="OFT's LIBERO robot: two cameras, 8 numbers of state, 8 actions at once.")
    ] = False,
    control_hz: Annotated[float, typer.Option(help="Actions a second in the training data.")] = 5.0,
) -> None:
    """Convert a checkpoint of the OpenVLA kind for llama.cpp, tensor by tensor; all but its vision tower."""
    from rarrl.policy.openvla import Robot
    from rarrl.policy.openvla_convert import LIBERO, convert_openvla

    check_output(out / "openvla.json", "--out")
    sizes = convert_openvla(checkpoint, out, LIBERO if libero else Robot(control_hz), dataset)
    typer.echo(f"{out}: " + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items()))


@guarded()
def serve_policy(
    policy: ShippedOption = None,
    host: Annotated[str, typer.Option(help="The address to listen on; another than loopback needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the token that clients send (`Authorization: Api-Key TOKEN`); without it the environment "
            "variable RARRL_POLICY_TOKEN counts."
        ),
    ] = None,
    openpi_pictures: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="Take the keys of openpi's LIBERO client too, for a policy trained on pictures that are `upright`, or "
            "`turned` as that client sends them. Policies of LIBERO's suites do so by themselves.",
        ),
    ] = "",
) -> None:
    """Serve a policy to openpi's clients (websocket, msgpack) until Ctrl-C."""
    from rarrl.build import make_policy
    from rarrl.policy import server
    from rarrl.policy.serve import MODELS

    token = server.find_token(token_file)
    folder = policy or MODELS / "policy_metaworld"
    with make_policy(folder) as served:
        counts = server.run(
            served,
            host,
            port,
            token,
            lambda chosen: typer.echo(f"{folder.name}: ws://{host}:{chosen} (Ctrl-C ends)"),
            openpi_pictures,
        )
    typer.echo("served: " + (", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "nobody"))


def _weight(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InputError(f"--weight: must be TASK=NUMBER, got {text!r}") from None
