"""`rarrl demo`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rarrl.cli.common import console, guarded, new_run_folder, progress, table
from rarrl.cli.language_model import LlmSettings, language_model_settings
from rarrl.cli.playing import (
    PLOT_HINT,
    SHIPPED,
    LlmOption,
    OutOption,
    finish,
    finish_missions,
    in_graph,
    measured_calls,
    measured_costs,
    need_ros,
    play,
    told_where,
)
from rarrl.errors import DependencyMissingError, InputError
from rarrl.secrets import hide_secrets

if TYPE_CHECKING:
    from rarrl.config import LanguageModelConfig
    from rarrl_learning.household.report.trace import Played

MISSIONS = 7
"""Missions of each policy, where nothing is said: one of each type of task, four minutes."""
MAX_MISSIONS = 100
"""More would be an evaluation: `rarrl eval mission`."""
EPISODES = 20
"""Tasks of each policy with --quick, where nothing is said: seconds."""


@guarded(PLOT_HINT)
def demo(
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            "--missions",
            "--episodes",
            min=1,
            help="How many missions each policy plays, default 7; with --quick how many tasks, default 20.",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the decision loop, on ROS 2 nodes with a replayed robot: seconds.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same missions and luck.")] = 0,
    perception: Annotated[
        bool, typer.Option("--perception", help="Only show what the stereo detector sees in several pairs; no ROS.")
    ] = False,
    llm: LlmOption = None,
    llm_option: LlmSettings = None,
    out: OutOption = None,
) -> None:
    """A robot carries out missions in a simulated home, under four policies of when to think: table, report, film.

    It sees with two eyes, drives by a low-bit policy behind a safety gate, and its plans are written and judged by the
    small language model that comes with rarrl."""
    settings = language_model_settings(llm_option, llm)
    if perception:
        _refuse_with_perception({"--n": n, "--quick": quick or None, "--llm": llm, "--llm-option": llm_option})
        picture = _look(new_run_folder(out), seed)
        typer.echo(f"picture: {picture}")
    elif quick or llm == "profile":
        _quick_demo(n or EPISODES, seed, llm, settings, out)
    else:
        if n is not None and n > MAX_MISSIONS:
            raise InputError(f"--n: {n} is not allowed (allowed: 1 to {MAX_MISSIONS} missions)")
        _household_demo(n or MISSIONS, seed, llm or "llama", settings, out)


def _refuse_with_perception(given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value is not None:
            raise InputError(f"{option}: not with --perception, which plays nothing; leave one of them away")


def _household_demo(missions: int, seed: int, llm: str, model: LanguageModelConfig, out: Path | None) -> None:
    for package, extra in (("mujoco", "sim"), ("llama_cpp", "llama")):
        if find_spec(package) is None:
            raise DependencyMissingError(
                f"rarrl demo needs {package}: pip install 'rarrl[{extra}]'; `rarrl demo --quick` plays without"
            )
    from rarrl_learning.household.demo import demo_seeds, demo_settings, play_all
    from rarrl_learning.household.report.page import save_missions

    started = time.monotonic()
    folder = new_run_folder(out)
    if llm != SHIPPED:
        with told_where(folder):
            measured_calls(llm, model, hint="measuring what calls take")

    settings, seeds = demo_settings(llm, model), demo_seeds(missions, seed)
    thinks = "llama.cpp" if llm == "llama" else hide_secrets(llm)
    console().print(
        f"{missions} mission{'s' * (missions != 1)} in simulated homes for each of {len(settings)} policies: stereo "
        f"eyes, detector, policy in 3 bits, safety gate;\n{thinks} writes the plans. Each mission may use "
        f"{settings[0].time_budget_s:.3g} s and {settings[0].token_budget:.0f} tokens of thinking, and what is "
        "thought takes the robot's time"
        + (": the recorded times of this model, whatever else this machine does." if llm == "llama" else "."),
        markup=False,
    )
    played: list[Played] = []
    order = [setting.policy for setting in settings]
    with told_where(folder):
        try:
            with progress("playing", len(settings) * len(seeds)) as update:
                play_all(settings, seeds, progress=update, keep=played.append)
        finally:  # whatever ends it, what was played is kept
            played.sort(key=lambda one: (order.index(one.result.policy), one.result.seed))
            if played:
                save_missions(folder, played, hide_secrets(llm))
    finish_missions(folder)
    typer.echo(f"{time.monotonic() - started:.0f} s in all")


def _quick_demo(episodes: int, seed: int, llm: str | None, model: LanguageModelConfig, out: Path | None) -> None:
    """The decision loop on real ROS 2 nodes for four policies."""
    need_ros("rarrl demo --quick")
    from rarrl.cli.results import reminder
    from rarrl_nodes.demo import demo_config, demo_policies

    started = time.monotonic()
    llm = llm or ("llama" if find_spec("llama_cpp") else "profile")
    policies = demo_policies(llm)
    config = demo_config(episodes, seed, llm).model_copy(update={"language_model": model})
    folder = new_run_folder(out)
    if llm not in ("llama", "profile"):
        config = measured_costs(config, folder)
        measured = demo_config(episodes, seed, llm, config.orchestrator.profile)
        config = measured.model_copy(update={"language_model": model})

    tasks = f"{episodes} household task{'s' * (episodes != 1)}"
    thinks = "llama.cpp" if llm == "llama" else f"the latencies of {config.orchestrator.profile}"
    console().print(
        f"{tasks} for each of {len(policies)} policies, on orchestrator_node and replay_node "
        f"(ROS 2), with {thinks if llm in ('llama', 'profile') else hide_secrets(llm)}.\nEach task may use "
        f"{config.orchestrator.time_budget_s:.3g} s and {config.orchestrator.token_budget:.0f} tokens of thinking.",
        markup=False,
    )
    play(folder, policies, config, lambda p, f, u: in_graph(p, f, config, False, u))
    _look(folder, seed, most=1)
    known = llm in (SHIPPED, "profile")  # of another model there is no evaluation
    finish(folder, policies, reminder(episodes, recorded=llm != "profile")[: None if known else 1])
    typer.echo(f"{time.monotonic() - started:.0f} s in all")


def _look(folder: Path, seed: int, most: int = 3) -> Path:
    """Draws what the stereo detector makes of up to `most` pairs; prints its table and what was left out."""
    from rarrl.files import write_bytes_atomic
    from rarrl.report import PERCEPTION
    from rarrl_learning.perception.demo import HEAD as SEEN
    from rarrl_learning.perception.demo import draw, look
    from rarrl_nodes.demo import perception_scenes

    scenes, notes = perception_scenes(seed, most)
    looks = [look(scene) for scene in scenes]
    write_bytes_atomic(folder / PERCEPTION, draw(looks))
    console().print(table("Obstacles from stereo pairs", SEEN, [seen.row() for seen in looks]))
    for note in notes:
        typer.echo(note)
    return folder / PERCEPTION
