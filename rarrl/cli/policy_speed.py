"""`rarrl train policy-speed`, `rarrl train policy-student`, `rarrl tune policy` and `rarrl bench policy`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rarrl.cli.common import check_output, command_line, guarded, progress
from rarrl.cli.orchestrator import JsonOption, SeedOption
from rarrl.cli.policy import SuiteOption, _weight
from rarrl.errors import InputError

if TYPE_CHECKING:
    from rarrl.policy.preset import Preset
    from rarrl_sim_envs.suites import Suite

PolicyOption = Annotated[Path | None, typer.Option(help="A policy folder; default: the suite's, of the package.")]


@guarded("the same command goes on from the last checkpoint")
def train_policy_speed(
    policy: Annotated[Path, typer.Option(help="The policy folder to begin with.")],
    data: Annotated[list[Path], typer.Option(metavar="PATH", help="A folder of `rarrl data record`; repeat it.")],
    out: Annotated[Path, typer.Option(help="Folder of checkpoints, and of the policy in the end.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps; more than before: goes on.")] = 6000,
    weight: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="TASK=W: how often a task is drawn; default 1.")
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Go on training a policy, so that it can do with fewer patches of the pictures and fewer blocks."""
    from rarrl_learning.policy.jobs import train_policy_speed as train

    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file; give a folder")
    check_output(out / "card.json", "--out")
    weights = dict(_weight(text) for text in weight or [])
    with progress("training", steps) as update:
        card = train(policy, data, out, steps, weights, seed, command_line(), update)
    typer.echo(f"policy: {out} (validation L1 {card['metrics']['validation_l1']:.4f})")


@guarded("nothing was written; start again")
def train_policy_student(
    policy: Annotated[Path, typer.Option(help="The policy folder; a scorer of patches is added where it has none.")],
    data: Annotated[list[Path], typer.Option(metavar="PATH", help="A folder of `rarrl data record`; repeat it.")],
    name: Annotated[str, typer.Option(help="NAME.gguf in the policy's folder is written.")] = "student",
    blocks: Annotated[int, typer.Option(min=1, help="Of the transformer; fewer than the policy has.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = 10_000,
    samples: Annotated[int, typer.Option(min=1, help="Moments to learn from; 16 kB of memory each.")] = 80_000,
    weight: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="TASK=W: how often a task is drawn; default 1.")
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Teach fewer blocks to act as the whole policy does, for presets (`rarrl tune policy --gguf NAME.gguf`)."""
    from rarrl_learning.policy.jobs import train_policy_student as train

    weights = dict(_weight(text) for text in weight or [])
    with progress("training", 1) as update:
        facts = train(policy, data, name, blocks, steps, samples, weights, seed, command_line(), update)
    typer.echo(f"student: {policy / name}.gguf (L1 from the policy {facts['metrics']['validation_l1']:.4f})")


@guarded("nothing was written; start again")
def tune_policy(
    policy: PolicyOption = None,
    suite: SuiteOption = "metaworld",
    name: Annotated[str, typer.Option(help="The preset's name: presets/NAME.json in the policy's folder.")] = "fast",
    target_ms: Annotated[
        float | None, typer.Option(help="CPU ms of a chunk, at most. Default: as few as keep the success.")
    ] = None,
    keep: Annotated[float, typer.Option(min=0.5, max=1, help="Share of the whole policy's success to keep.")] = 0.97,
    starts: Annotated[int, typer.Option(min=1, help="Tuning starts of each task; never those of the test.")] = 10,
    gguf: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Another transformer in the policy's folder to try too; repeat it."),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Search the quickest setting of a policy that keeps its success, and write it as a preset."""
    from rarrl.policy.preset import Preset
    from rarrl.policy.serve import MODELS, LlamaPolicy, load_card
    from rarrl_learning.policy.evaluate_speed import TUNING_STARTS, TrialRunner, observation_clips, speed_tasks
    from rarrl_learning.policy.tune import Trial, candidates, cpu_ms, tune, write_preset
    from rarrl_sim_envs.suites import suite_named

    where = suite_named(suite)
    folder = policy or MODELS / f"policy_{suite}"
    check_output(folder / "presets" / f"{name}.json", "--name")
    spec, _ = load_card(folder)
    presets = [Preset(), *candidates(folder, spec, gguf or ())]
    first = TUNING_STARTS + 1000 * seed
    with ExitStack() as stack:
        arena = stack.enter_context(TrialRunner(where))
        policies = {str(p): stack.enter_context(LlamaPolicy(folder, preset=p)) for p in presets}
        with progress("timing", 6) as update:
            clips = observation_clips(suite=where)
            timed = cpu_ms({n: policy.infer for n, policy in policies.items()}, clips, 5, seed, update)
        ms = [float(values.mean()) for values in timed.values()]

        def play(preset: Preset, game: Trial) -> bool:
            return arena.play(policies[str(preset)], game.task, game.start, words=game.words)

        games = [
            Trial(t, first + i, w) for i in range(starts) for w in ("trained", "swapped") for t in speed_tasks(where)
        ]
        with progress("playing", len(presets)) as update:
            tried = tune(presets, ms, games, play, keep, target_ms=target_ms, progress=update)
    path = write_preset(folder, name, tried, command_line())
    whole, chosen = tried[0], tried[-1]
    typer.echo(
        f"preset: {path}: {chosen.preset} ({chosen.ms:.2f} ms of CPU a chunk, the whole {whole.ms:.2f}; solved "
        f"{chosen.solved} of {len(games) // 2}, the whole {whole.solved}; against its words {chosen.misread}, the "
        f"whole {whole.misread})"
    )


@guarded("nothing was written; start again")
def bench_policy(
    policy: PolicyOption = None,
    suite: SuiteOption = "metaworld",
    preset: Annotated[str, typer.Option(help="A preset of the policy's folder.")] = "fast",
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of timing; all settings in turn in each.")] = 20,
    episodes: Annotated[
        int, typer.Option(min=0, help="Unseen starts of each task that the settings play; 0: none.")
    ] = 0,
    words: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="trained, held_out or swapped instructions; repeat it. Default: trained."),
    ] = None,
    parts: Annotated[
        bool, typer.Option("--parts/--no-parts", help="Also play each part of the preset alone, and half chunks.")
    ] = True,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Hold a preset against the whole policy in llama.cpp and in torch: CPU time, and success on the same starts."""
    from rarrl.policy.preset import load_preset
    from rarrl.policy.serve import MODELS, load_card
    from rarrl.results import make_results, write_results
    from rarrl_learning.policy.benchmark import bench_speed, paired, switches
    from rarrl_learning.policy.evaluate_speed import observation_clips
    from rarrl_sim_envs.suites import suite_named

    check_output(json, "--json")
    where = suite_named(suite)
    if unknown := set(words or ()) - set(where.kinds):
        raise InputError(f"--words: {min(unknown)!r} is unknown; allowed: {', '.join(where.kinds)}")
    folder = policy or MODELS / f"policy_{suite}"
    (spec, _), chosen = load_card(folder), load_preset(folder, preset)
    with progress("timing", rounds + 1) as update:
        figures, tables = bench_speed(folder, chosen, observation_clips(suite=where), rounds, seed, update)
    if episodes:
        starts = range(1000 * seed, 1000 * seed + episodes)
        for kind in words or ["trained"]:
            settings = switches(chosen, spec.layers)
            in_parts = parts and kind == "trained"
            if not in_parts:
                settings = {name: settings[name] for name in ("whole", "tuned")}
            solved = _games(where, folder, settings, kind, starts, halves=in_parts)
            figures |= paired(solved, kind)
            tables[f"success, {kind} words"] = [
                {"setting": name, **{task: f"{sum(games)}/{episodes}" for task, games in tasks.items()}}
                for name, tasks in solved.items()
            ]
    results = make_results(command_line(), seed, figures, tables)
    if json is not None:
        write_results(json, results)
    from rarrl.cli.results import print_results

    print_results(results)


def _games(
    suite: Suite, folder: Path, settings: dict[str, Preset], words: str, starts: Sequence[int], halves: bool
) -> dict[str, dict[str, list[bool]]]:
    """{setting: {task: solved or not, by start}}. halves: also of half chunks, where the whole is asked twice as
    often."""
    from rarrl.policy.serve import LlamaPolicy
    from rarrl_learning.policy.evaluate_speed import TrialRunner, speed_tasks

    tasks = speed_tasks(suite)
    with ExitStack() as stack:
        policies = [stack.enter_context(LlamaPolicy(folder, preset=preset)) for preset in settings.values()]
        seats = [(name, policy, policy.spec.horizon) for name, policy in zip(settings, policies, strict=True)]
        if halves:
            seats.append(("half chunks", policies[0], policies[0].spec.horizon // 2))
        outcomes: dict[str, dict[str, list[bool]]] = {name: {task: [] for task in tasks} for name, *_ in seats}
        update = stack.enter_context(progress(f"playing, {words}", len(tasks)))
        for number, task in enumerate(tasks):
            update(number, task)
            with TrialRunner(suite) as arena:
                for start in starts:
                    for name, policy, rows in seats:
                        outcomes[name][task].append(arena.play(policy, task, start, rows, "test", words))
    return outcomes
