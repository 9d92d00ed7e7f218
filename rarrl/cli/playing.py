"""What `demo`, `run`, `replay` and `plot` share: episodes played by several policies, and the reports of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rarrl.cli.common import Update, console, progress, table
from rarrl.errors import DependencyMissingError

if TYPE_CHECKING:
    from rarrl.config import Config, LanguageModelConfig
    from rarrl.decision_loop import Executive
    from rarrl.reasoner.base import Reasoner
    from rarrl.report import Report
    from rarrl_learning.household.report.trace import Played
    from rarrl_learning.latency.calibrate import Calibration

HEAD = ("policy", "success", "95 % interval", "LLM s", "tokens", "calls", "misses")  # fits 80 columns
MISSION_HEAD = ("policy", "done", "met", "time", "LLM", "tokens", "calls", "collisions", "gate stops")
SHIPPED = "llama"
"""`--llm` of the model that comes with rarrl."""
COSTS = "costs.json"
"""File of a run's folder with what calls of its language model were measured to take."""
PLOT_HINT = "nothing was played yet"
"""What a command says that is interrupted before it plays; see `told_where` for later."""

LlmOption = Annotated[
    str | None,
    typer.Option(
        "--llm", help="Who thinks: profile (recorded or measured calls), llama, llama:FILE, openai:URL#MODEL."
    ),
]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder of the run; default runs/<time>.")]


def need_ros(command: str) -> None:
    """Raises: DependencyMissingError without rclpy."""
    if find_spec("rclpy") is None:
        raise DependencyMissingError(
            f"{command} needs rclpy: pip install 'rarrl[ros]' (x86-64 Linux), or source a ROS 2 installation; "
            "`rarrl replay` plays the same tasks without ROS"
        )


@contextmanager
def told_where(folder: Path) -> Iterator[None]:
    """While missions or tasks are played into `folder`: says after Ctrl-C where they are and what makes a report."""
    try:
        yield
    except KeyboardInterrupt:
        if any(folder.rglob("*.json*")):
            typer.echo(f"interrupted; `rarrl plot {folder}` makes the report of what was played", err=True)
        else:
            typer.echo(f"interrupted; nothing was finished, {folder} holds nothing to look at", err=True)
        raise typer.Exit(130) from None


def play(
    folder: Path, policies: Sequence[str], config: Config, one: Callable[[str, Path, Callable[[int], None]], None]
) -> None:
    """Plays every policy into a numbered folder of its own; `one` plays one and reports how many episodes are over."""
    episodes = config.replay.episodes
    with told_where(folder), progress("playing", len(policies) * episodes) as update:
        for index, name in enumerate(policies):
            update(index * episodes, name)
            safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:40]
            one(name, folder / f"{index + 1}_{safe}", _counted(update, index * episodes, name))


def measured_calls(
    spec: str, settings: LanguageModelConfig, reasoner: Reasoner | None = None, hint: str = ""
) -> Calibration:
    """What calls of the language model `spec` take, by a few calls to it; prints that line.

    reasoner: is asked; None: one is made and closed again. hint: is said on stderr once the model is there. Raises:
    RarrlError where the model cannot be asked, or no call was answered in time."""
    from rarrl.build import make_reasoner
    from rarrl_learning.latency.calibrate import ROUNDS, calibrate

    asked = reasoner or make_reasoner(spec, settings=settings)
    try:
        if hint:
            typer.echo(hint, err=True)
        with progress("measuring what calls take", 4 * ROUNDS) as update:
            measured = calibrate(asked, settings.call_timeout_s, progress=update)
    finally:
        if reasoner is None:
            asked.close()

    console().print(measured.line(), markup=False)
    return measured


def measured_costs(config: Config, folder: Path, reasoner: Reasoner | None = None, hint: str = "") -> Config:
    """`config` with a latency profile that says what calls of its language model take; see `measured_calls`.

    The profile is that of `config`, scaled; it is written to `folder`."""
    from rarrl.latency.profile import load_profile, save_profile
    from rarrl_learning.latency.calibrate import calibrated

    chosen = config.orchestrator
    measured = measured_calls(chosen.reasoner, config.language_model, reasoner, hint)
    file = folder.resolve() / COSTS
    save_profile(calibrated(load_profile(chosen.profile), measured), file)
    return config.model_copy(update={"orchestrator": chosen.model_copy(update={"profile": str(file)})})


def tell_costs(config: Config, measured: bool) -> None:
    """Says on stderr where the profile of `config` does not fit the language model, or the budget buys no call.

    measured: its costs were just measured."""
    from rarrl.latency.profile import load_profile
    from rarrl.latency.replay import ReplayTable

    chosen = config.orchestrator
    profile = load_profile(chosen.profile)
    mismatch = profile.mismatch(chosen.reasoner)
    if mismatch and not measured:
        typer.echo(f"warning: {mismatch}", err=True)
        return

    cheapest_s = float(ReplayTable.from_profile(profile).costs.mean_s.min())
    if cheapest_s > chosen.time_budget_s:
        typer.echo(
            f"warning: a call takes {cheapest_s:.3g} s or more in the mean, and a task may use "
            f"{chosen.time_budget_s:.3g} s: no call can be afforded; give a larger --time-budget",
            err=True,
        )


def call_notes(report: Report) -> list[str]:
    """A line for each run with a live language model that left calls without an answer: how its calls ended."""
    from rarrl.events import ThinkEvent

    notes = []
    for run in report.runs:
        events = [event for episode in run.episodes for event in episode.events]
        ends = Counter(event.status for event in events if isinstance(event, ThinkEvent))
        if run.header.reasoner is not None and set(ends) - {"OK"}:
            told = ", ".join(f"{n} {status}" for status, n in ends.most_common())
            notes.append(f"{run.policy}: {ends.total()} calls of {run.header.reasoner}: {told}")
    return notes


def mission_call_notes(played: Sequence[Played]) -> list[str]:
    """A line that says how the calls of each policy's missions ended; [] where none was made."""
    ends: dict[str, Counter[str]] = {}
    for one in played:
        ends.setdefault(one.result.policy, Counter()).update(thought.status for thought in one.thoughts)

    told = [
        f"{policy} " + ", ".join(f"{n} {status}" for status, n in counts.most_common())
        for policy, counts in ends.items()
        if counts
    ]
    return ["How calls ended: " + "; ".join(told) + "."] if told else []


def _counted(update: Update, before: int, name: str) -> Callable[[int], None]:
    return lambda done: update(before + done, name)


def in_process(
    name: str,
    folder: Path,
    config: Config,
    executive: Executive,
    reasoner: Reasoner | None,
    on_episode: Callable[[int], None],
) -> None:
    """Plays with the policy `name` in this process; the log goes into `folder`."""
    from rarrl.build import make_orchestrator
    from rarrl.decision_loop import replay
    from rarrl.events import EventWriter, RunEvent
    from rarrl.reasoner.home import read_home
    from rarrl.secrets import hide_secrets

    chosen = config.orchestrator
    live = reasoner is not None or config.replay.latency_scale != 1.0
    orchestrator = make_orchestrator(
        name,
        chosen.profile,
        chosen.cost_weight,
        call_timeout_s=config.language_model.call_timeout_s,
        live=live,
        costs=chosen.costs,
        reasoner=chosen.reasoner,
    )
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    header = RunEvent(
        policy=name,
        profile=chosen.profile,
        seed=config.replay.seed,
        speed=1.0,
        date=date,
        source="in_process",
        cost_weight=chosen.cost_weight,
        reasoner=None if reasoner is None else hide_secrets(chosen.reasoner),
        costs=chosen.costs if live else None,
    )
    with EventWriter(folder, header) as log:
        home = read_home(Path(chosen.home)) if chosen.home else ()
        replay(executive, orchestrator, config.replay.episodes, log, on_episode, reasoner=reasoner, home=home)


def in_graph(name: str, folder: Path, config: Config, shock: bool, on_episode: Callable[[int], None]) -> None:
    """Plays with the policy `name` on orchestrator_node and replay_node; the logs go into `folder`."""
    from rarrl_nodes.run import run_graph

    chosen = config.orchestrator
    tasks = config.replay
    run_graph(
        policy=name,
        profile=chosen.profile,
        episodes=tasks.episodes,
        seed=tasks.seed,
        speed=tasks.speed,
        run_dir=folder,
        time_budget_s=chosen.time_budget_s,
        token_budget=chosen.token_budget,
        cost_weight=chosen.cost_weight,
        costs=chosen.costs,
        category=tasks.category,
        alfred=tasks.alfred or None,
        split=tasks.split if tasks.alfred else None,
        latency_scale=tasks.latency_scale,
        shock=shock,
        reasoner=chosen.reasoner,
        home=chosen.home,
        language_model=config.language_model,
        on_episode=on_episode,
    )


def finish(folder: Path, order: Sequence[str], notes: Sequence[str] = ()) -> Report:
    """Writes the report; prints its table and where it is."""
    from rarrl.report import write_report
    from rarrl.report.figure import table_row
    from rarrl.report.runs import figures_of

    report = write_report(folder, order, notes)
    console().print(table("", HEAD, [table_row(figures_of(run)) for run in report.runs]))
    typer.echo("LLM s, tokens, calls: means a task; misses: calls that ran out of the budget, in all tasks.")
    for note in (*notes, *call_notes(report), *(f"{run.policy}: {run.note}" for run in report.runs if run.note)):
        typer.echo(note)
    typer.echo(f"report:  {report.html}\npicture: {report.png}")
    return report


def finish_missions(folder: Path) -> None:
    """Writes the report of missions; prints its table and where it is."""
    from rarrl.cli.results import mission_reminder
    from rarrl_learning.household.report.figure import figures_of
    from rarrl_learning.household.report.mission_table import HEAD, NOTE
    from rarrl_learning.household.report.page import read_missions, read_model, read_table, write_mission_report
    from rarrl_learning.household.report.recording import HINT

    played = read_missions(folder)
    blocks = read_table(folder)
    notes = mission_call_notes(played)
    if read_model(folder) == SHIPPED:  # the evaluation is of this model
        names = list(blocks[0].results) if blocks else [row.policy for row in figures_of([p.result for p in played])]
        notes += mission_reminder(names, many=bool(blocks))
    report = write_mission_report(folder, notes)
    for block in blocks:
        console().print(table(block.title, HEAD, [row.cells() for row in block.rows()]))
        console().print(block.meaning(), markup=False)
    if blocks:
        typer.echo(NOTE)
    if report.results:
        rows = [figures.row() for figures in figures_of(report.results)]
        title = "With cameras, policy and gate" if blocks else ""
        console().print(table(title, MISSION_HEAD, [(*row[:2], *row[3:]) for row in rows]))
        typer.echo(
            "met: share of the goal's conditions; met, time, LLM, tokens, calls: means a mission; the rest: counted."
        )
    for note in notes:
        typer.echo(note)
    typer.echo(f"report:  {report.html}\npicture: {report.png}")
    if report.gif:
        typer.echo(f"film:    {report.gif}")
    if report.recording:
        typer.echo(f"to scroll through: rerun {report.recording}")
    else:
        typer.echo(HINT)
