"""`rarrl demo`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rarrl.cli.common import command_line, console, guarded, new_run_folder, progress, table
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
from rarrl.cli.view import ViewOption, live, maybe_graph
from rarrl.errors import DependencyMissingError, InputError
from rarrl.secrets import hide_secrets

if TYPE_CHECKING:
    from rarrl.config import LanguageModelConfig
    from rarrl_learning.household.evaluate import Setting
    from rarrl_learning.household.report.trace import MissionResult, Played

TABLE = 100
"""Missions of the table for each policy, where nothing is said: a minute or two."""
MISSIONS = 1
"""Missions rendered beside a table, where nothing is said: the one that tells most."""
LIVE_MISSIONS = 7
"""Missions of each policy without a table, where nothing is said: one of each type of task."""
MAX_MISSIONS = 100
"""More would be an evaluation: `rarrl eval mission`."""
EPISODES = 20
"""Tasks of each policy with --quick, where nothing is said: seconds."""

GAMES = 6
"""Games of ALFWorld, where nothing is said: one of each type of task."""


@guarded(PLOT_HINT)
def demo(
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            "--missions",
            "--episodes",
            min=1,
            help="How many missions are rendered, default 1, without table 7; with --quick how many tasks, default 20.",
        ),
    ] = None,
    table_missions: Annotated[
        int | None,
        typer.Option(
            min=0, help="Missions of each policy in the table, played without pictures, default 100; 0: no table."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the decision loop, on ROS 2 nodes with a replayed robot: seconds.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same missions and luck.")] = 0,
    perception: Annotated[
        bool, typer.Option("--perception", help="Only show what the stereo detector sees in several pairs; no ROS.")
    ] = False,
    alfworld: Annotated[
        bool,
        typer.Option(
            "--alfworld",
            help="Only ALFWorld's text games, as they are played, to be read; --n games (default 6). Needs the games "
            "(`alfworld-download`).",
        ),
    ] = False,
    llm: LlmOption = None,
    llm_option: LlmSettings = None,
    view: ViewOption = False,
    out: OutOption = None,
) -> None:
    """A robot carries out missions in a simulated home, under four policies of when to think: table, report, film.

    Many missions are played without pictures, with calls as fast as the shipped language model's and as slow as a
    hosted one's. The one that tells most is played again with everything: two eyes, a low-bit policy behind a safety
    gate, and plans that the small language model of rarrl writes and judges."""
    settings = language_model_settings(llm_option, llm)
    if perception:
        given = {"--n": n, "--quick": quick or None, "--llm": llm, "--llm-option": llm_option, "--view": view or None}
        _refuse_with_perception(given | {"--table-missions": table_missions})
        picture = _look(new_run_folder(out), seed)
        typer.echo(f"picture: {picture}")
    elif alfworld:
        if quick or view:
            raise InputError(f"--{'quick' if quick else 'view'}: not with --alfworld, which is text; leave one away")
        _alfworld_demo(n or GAMES, seed, llm or "llama", out)
    elif quick or llm == "profile":
        if table_missions:
            raise InputError("--table-missions: not with --quick, whose tasks --n counts; leave one of them away")
        _quick_demo(n or EPISODES, seed, llm, settings, out, view)
    else:
        _household_demo(n, table_missions, seed, llm or SHIPPED, settings, out, view)


def _refuse_with_perception(given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value is not None:
            raise InputError(f"{option}: not with --perception, which plays nothing; leave one of them away")


def _household_demo(
    n: int | None,
    table_missions: int | None,
    seed: int,
    llm: str,
    model: LanguageModelConfig,
    out: Path | None,
    view: bool = False,
) -> None:
    many = _missions_of_the_table(table_missions, llm)
    if n is not None and n > MAX_MISSIONS:
        raise InputError(f"--n: {n} is not allowed (allowed: 1 to {MAX_MISSIONS} missions)")
    for package, extra in (("mujoco", "sim"), ("llama_cpp", "llama")):
        if find_spec(package) is None:
            raise DependencyMissingError(
                f"rarrl demo needs {package}: pip install 'rarrl[{extra}]'; `rarrl demo --quick` plays without"
            )
    from rarrl.results import make_results, write_results
    from rarrl_learning.household import demo as household
    from rarrl_learning.household.report.mission_table import figures_of, tables_of
    from rarrl_learning.household.report.page import RESULTS, save_missions
    from rarrl_learning.spread import crew

    started = time.monotonic()
    folder = new_run_folder(out)
    shipped = llm == SHIPPED
    if not shipped:
        with told_where(folder):
            measured_calls(llm, model, hint="measuring what calls take")

    thinker = household.SHIPPED if shipped else None
    settings = household.rendered_settings(llm, model) if many else household.demo_settings(llm, model, thinker)
    order = [household.label(setting) for setting in settings]
    outcomes: dict[Setting, list[MissionResult]] = {}
    played: list[Played] = []
    with told_where(folder):
        try:
            with crew() as pool:
                if many:
                    _say(_TABLE_TEXT.format(n=many, policies=len(household.SHIPPED.policies)))
                    with progress("playing the table", many * len(household.table_settings())) as update:
                        rows = household.table_rows(many, seed)
                        household.play_table(
                            rows, pool, update, lambda s, one: outcomes.setdefault(s, []).append(one.result)
                        )
                seeds = household.seeds_to_render(
                    household.blocks(outcomes), n or (MISSIONS if many else LIVE_MISSIONS), seed
                )
                _say(_rendered_text(len(seeds), settings, hide_secrets(llm)))
                with progress("playing", len(settings) * len(seeds)) as update, live(view, pictures=True) as recorder:
                    household.play_all(
                        settings, seeds, pool, update, keep=lambda _, one: played.append(one), live=recorder
                    )
        finally:  # whatever ends it, what was played is kept
            played.sort(key=lambda one: (order.index(one.result.policy), one.result.seed))
            table = household.blocks(outcomes)
            if played or table:
                save_missions(folder, played, hide_secrets(llm), table)
            if table:
                document = make_results(command_line(), seed, figures_of(table), tables_of(table))
                write_results(folder / RESULTS, document)
    finish_missions(folder)
    typer.echo(f"{time.monotonic() - started:.0f} s in all")


_TABLE_TEXT = (
    "{n} missions in simulated homes for each of {policies} policies, without pictures: the shipped model's answers "
    "are recorded;\na call costs the seconds and tokens of recorded calls, its own or those of a hosted model."
)


def _missions_of_the_table(asked: int | None, llm: str) -> int:
    """How many; 0 for a language model without recorded answers. Raises: InputError."""
    from rarrl_learning.household.demo import RECORDED_MISSIONS

    if llm == SHIPPED:
        if asked is not None and asked > RECORDED_MISSIONS:
            raise InputError(
                f"--table-missions: {asked} is not allowed (allowed: 0 to {RECORDED_MISSIONS}; so many have recorded "
                "answers)"
            )
        return TABLE if asked is None else asked
    if asked:
        raise InputError(
            f"--table-missions: only with the shipped model, whose answers are recorded, not with {hide_secrets(llm)}; "
            "leave it away, and set --missions"
        )
    _say("No table of many missions: only the shipped model's answers are recorded, and this one is asked for real.")
    return 0


def _rendered_text(missions: int, settings: Sequence[Setting], llm: str) -> str:
    """What is about to be rendered."""
    budget = settings[0]
    writes = "llama.cpp" if llm == SHIPPED else llm
    return (
        f"{missions} mission{'s' * (missions != 1)} with everything, {len(settings)} times each: stereo eyes, "
        f"detector, policy in 3 bits, safety gate;\n{writes} writes the plans. Each may use "
        f"{budget.time_budget_s:.3g} s and {budget.token_budget:.0f} tokens of thinking, and what is thought takes "
        "the robot's time" + (": that of recorded calls, whatever else this machine does." if llm == SHIPPED else ".")
    )


def _say(text: str) -> None:
    console().print(text, markup=False)


def _alfworld_demo(games: int, seed: int, llm: str, out: Path | None) -> None:
    from rarrl_learning.alfworld.demo import play_games
    from rarrl_sim_envs.alfworld.games import games_folder
    from rarrl_sim_envs.alfworld.transcript import as_text

    games_folder()  # says how to get them, before a folder is made
    folder = new_run_folder(out)
    with progress("playing", 1.0) as update:
        shown = play_games(folder, games, seed, llm=llm, progress=lambda share, goal: update(share, goal[:40]))
    typer.echo(as_text(shown.transcripts[:2]))
    for each in shown.transcripts:
        typer.echo(each.title)
    typer.echo(f"report: {shown.page} and {shown.text}")


def _quick_demo(
    episodes: int, seed: int, llm: str | None, model: LanguageModelConfig, out: Path | None, view: bool = False
) -> None:
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
    with maybe_graph(view):
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
