"""`rarrl eval mission`: whole missions in the household."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rarrl.cli.common import RayOption, WorkersOption, check_output, command_line, guarded, progress
from rarrl.cli.language_model import LlmSettings, language_model_settings
from rarrl.cli.orchestrator import JsonOption, SeedOption
from rarrl.cli.view import ViewOption, live
from rarrl.errors import InputError

ABLATIONS = ("no_gate", "sgbm", "fp16")


@guarded("missions that are over stay in the journal; the same command goes on")
def eval_mission(
    policies: Annotated[
        str, typer.Option(help="Who decides when to think; commas between. learned: the shipped one for households.")
    ] = "never,always,after_failure,learned",
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="Missions, the same for all; default: 100, with --beside 300.")
    ] = None,
    ablations: Annotated[
        str, typer.Option(help="Of the first `--n-ablations` missions: no_gate, sgbm, fp16; commas between.")
    ] = "no_gate,sgbm,fp16",
    n_ablations: Annotated[int, typer.Option(min=1, help="Missions of each ablation.")] = 50,
    subgoals: Annotated[int, typer.Option(min=0, help="Single sub-goals of each of the eight kinds.")] = 25,
    llm: Annotated[str, typer.Option(help="The reasoner: llama, openai:URL#MODEL.")] = "llama",
    llm_option: LlmSettings = None,
    latency: Annotated[
        str,
        typer.Option(
            help="A latency profile whose seconds and tokens calls take, e.g. groq-70b; default: measured. With "
            "--beside commas between several; default: two hosted models."
        ),
    ] = "",
    beside: Annotated[
        bool,
        typer.Option(
            "--beside",
            help="Thinking beside acting against standing still, at hosted latencies: every kind of policy both ways, "
            "in the twin, with recorded answers. Takes --n, --driven, --latency, --seed and --json alone.",
        ),
    ] = False,
    driven: Annotated[
        int, typer.Option(min=0, help="With --beside: missions that are driven among people too, `learned` alone.")
    ] = 150,
    people: Annotated[int, typer.Option(min=0, max=6, help="How many walk about.")] = 2,
    workers: WorkersOption = 1,
    ray: RayOption = "",
    journal: Annotated[
        Path | None, typer.Option(help="File of the missions done; default: runs/missions.jsonl.")
    ] = None,
    view: ViewOption = False,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Play missions with eyes, policy, gate and language model: success, time, thinking, collisions; and ablations."""
    from rarrl.results import make_results, write_results
    from rarrl_learning.household.evaluate import (
        FIRST_SEED,
        FOLDER,
        Setting,
        count_kept,
        orchestrator_of,
        run_missions,
    )
    from rarrl_learning.household.mission_figures import mission_figures
    from rarrl_learning.spread import crew

    check_output(json, "--json")
    if view and (beside or workers > 1 or ray):
        raise InputError("--view: not with --beside, --ray or several --workers: one mission at a time is shown")
    if beside:
        _eval_beside(n or 300, driven, latency, seed, json)
        return
    n = n or 100
    names = [name.strip() for name in re.split(r",(?![^{]*\})", policies) if name.strip()]  # a rule may have parameters
    wanted = [name.strip() for name in ablations.split(",") if name.strip()]
    if unknown := set(wanted) - set(ABLATIONS):
        raise InputError(f"--ablations: {min(unknown)!r} is unknown; allowed: {', '.join(ABLATIONS)}")
    base = Setting(llm=llm, latency=latency, people=people, language_model=language_model_settings(llm_option, llm))
    first = FIRST_SEED + 10_000 * seed
    settings = [replace(base, policy=name) for name in names]
    for setting in settings:
        orchestrator_of(setting)  # a bad name is refused before the first mission
    changes: dict[str, dict[str, Any]] = {
        "no_gate": {"eyes": "none"},
        "sgbm": {"eyes": "sgbm"},
        "fp16": {"gguf": "model.gguf"},
    }
    apart = [replace(base, **changes[name]) for name in wanted]
    seeds, few = range(first, first + n), range(first, first + min(n, n_ablations))
    kept = journal or Path("runs") / "missions.jsonl"
    total = len(settings) * n + len(apart) * len(few)
    if taken := count_kept(settings, seeds, kept) + count_kept(apart, few, kept):
        typer.echo(f"{taken} of {total} missions from {kept}; give --journal another file to play them again", err=True)
    with crew(workers, ray) as pool, progress("missions", total) as update, live(view) as recorder:
        played = run_missions(settings, seeds, kept, pool, update, recorder)
        done = len(played)
        played += run_missions(apart, few, kept, pool, lambda count, text: update(done + count, text), recorder)
    figures, rows = mission_figures(played, base)
    tables = {"settings": rows}
    if subgoals:
        from rarrl.build import make_policy
        from rarrl_learning.household.subgoals import run_subgoals, subgoal_figures

        with progress("sub-goals", 8 * subgoals) as update, make_policy(FOLDER, gguf=FOLDER / base.gguf) as policy:
            found = run_subgoals(policy, range(first, first + subgoals), progress=update)
        more, tables["sub-goals"] = subgoal_figures(found)
        figures |= more
    results = make_results(command_line(), seed, figures, tables)
    if json is not None:
        write_results(json, results)
    from rarrl.cli.results import print_results

    print_results(results)


def _eval_beside(n: int, driven: int, latency: str, seed: int, json: Path | None) -> None:
    """`eval mission --beside`."""
    from rarrl.cli.results import print_results
    from rarrl.latency.profile import load_profile
    from rarrl.results import make_results, write_results
    from rarrl_learning.household.evaluate_beside import HOSTED, beside_figures, beside_rows, compared, play_beside

    hosted = [name.strip() for name in latency.split(",") if name.strip()] or list(HOSTED)
    for name in hosted:
        load_profile(name)  # a bad name is refused before the first mission
    rounds = 2 * len(hosted) * (len(compared()) + (driven > 0))
    with progress("thinking beside acting", rounds) as update:
        done = 0

        def say(text: str) -> None:
            nonlocal done
            done += 1
            update(done, text)

        skipped = play_beside(hosted, n, seed, progress=say)
        drives = play_beside(hosted, driven, seed, driven=True, kinds=("learned",), progress=say) if driven else {}
    figures = beside_figures(skipped)
    if driven:
        figures |= {f"{name}_driven": figure for name, figure in beside_figures(drives).items()}
    results = make_results(
        command_line(), seed, figures, {"policies": beside_rows(skipped) + beside_rows(drives, driven=True)}
    )
    if json is not None:
        write_results(json, results)
    print_results(results)
