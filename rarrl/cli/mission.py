"""`rarrl eval mission`: whole missions in the household."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rarrl.cli.common import check_output, command_line, guarded, progress
from rarrl.cli.language_model import LlmSettings, language_model_settings
from rarrl.cli.orchestrator import JsonOption, SeedOption
from rarrl.errors import InputError

ABLATIONS = ("no_gate", "sgbm", "fp16")


@guarded("missions that are over stay in the journal; the same command goes on")
def eval_mission(
    policies: Annotated[
        str, typer.Option(help="Who decides when to think; commas between. learned: the shipped one for households.")
    ] = "never,always,after_failure,learned",
    n: Annotated[int, typer.Option("--n", min=1, help="Missions, the same for all.")] = 100,
    ablations: Annotated[
        str, typer.Option(help="Of the first `--n-ablations` missions: no_gate, sgbm, fp16; commas between.")
    ] = "no_gate,sgbm,fp16",
    n_ablations: Annotated[int, typer.Option(min=1, help="Missions of each ablation.")] = 50,
    subgoals: Annotated[int, typer.Option(min=0, help="Single sub-goals of each of the eight kinds.")] = 25,
    llm: Annotated[str, typer.Option(help="The reasoner: llama, openai:URL#MODEL.")] = "llama",
    llm_option: LlmSettings = None,
    latency: Annotated[
        str,
        typer.Option(help="A latency profile whose seconds and tokens calls take, e.g. groq-70b; default: measured."),
    ] = "",
    people: Annotated[int, typer.Option(min=0, max=6, help="How many walk about.")] = 2,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    journal: Annotated[
        Path | None, typer.Option(help="File of the missions done; default: runs/missions.jsonl.")
    ] = None,
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

    check_output(json, "--json")
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
    with progress("missions", total) as update:
        played = run_missions(settings, seeds, kept, workers, update)
        done = len(played)
        played += run_missions(apart, few, kept, workers, lambda count, text: update(done + count, text))
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
