"""`rarrl demo`, `doctor`, `run`, `replay` and `plot`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rarrl.cli.common import Update, check_output, console, guarded, new_run_folder, progress, table
from rarrl.errors import DependencyMissingError, InputError

if TYPE_CHECKING:
    from rarrl.config import Config
    from rarrl.report import Report

HEAD = ("policy", "success", "95 % interval", "LLM s", "tokens", "calls", "misses")  # fits 80 columns
MISSION_HEAD = ("policy", "done", "met", "time", "LLM", "tokens", "calls", "collisions", "gate stops")
COMPARED = ("never", "always", "after_failure", "learned")
PLOT_HINT = "`rarrl plot FOLDER` makes the report of what was played"

PolicyOption = Annotated[
    list[str] | None,
    typer.Option("--policy", help="Who decides: learned, a rule, or a safetensors file. Repeat it to compare several."),
]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="Latency profile: a shipped name, or a file.")]
LlmOption = Annotated[
    str | None,
    typer.Option(
        "--llm", help="Who thinks: profile (recorded or measured calls), llama, llama:FILE, openai:URL#MODEL."
    ),
]
EpisodesOption = Annotated[int | None, typer.Option("--episodes", help="How many tasks each policy plays.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="The same seed gives the same tasks and luck.")]
CategoryOption = Annotated[str | None, typer.Option("--category", help="all, Navigation, Inspection or Delivery.")]
AlfredOption = Annotated[
    Path | None,
    typer.Option("--alfred", help="Folder of the ALFRED data set; default: tasks drawn from its statistics."),
]
SplitOption = Annotated[str | None, typer.Option("--split", help="With --alfred: train, valid_seen or valid_unseen.")]
TimeBudgetOption = Annotated[float | None, typer.Option("--time-budget", help="Seconds of thinking a task may use.")]
TokenBudgetOption = Annotated[float | None, typer.Option("--token-budget", help="Tokens a task may use.")]
CostWeightOption = Annotated[
    float | None, typer.Option("--cost-weight", help="Success given up to save a second of thinking (lambda).")
]
ShockOption = Annotated[bool, typer.Option("--shock", help="Cut the budget to 40 % amid each task.")]
ScaleOption = Annotated[float | None, typer.Option("--latency-scale", help="Factor on every latency.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file; the options above win over it.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder of the run; default runs/<time>.")]


@guarded()
def doctor() -> None:
    """Say what is there, what is missing, and what therefore runs here."""
    from rarrl.doctor import diagnose

    marks = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}
    grid = Table.grid(padding=(0, 2))
    checks = diagnose(Path.cwd())
    for check in checks:
        grid.add_row(marks[check.status], _plain(check.name), _plain(check.detail))
        if check.fix:
            grid.add_row("", "", _plain(f"-> {check.fix}"))
    console().print(grid)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


@guarded(PLOT_HINT)
def demo(
    missions: Annotated[int, typer.Option(min=1, max=100, help="How many missions each policy plays.")] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the decision loop, on ROS 2 nodes with a replayed robot: seconds.")
    ] = False,
    episodes: Annotated[int, typer.Option(help="With --quick: how many tasks each policy plays.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed gives the same missions and luck.")] = 0,
    perception: Annotated[
        bool, typer.Option("--perception", help="Only show what the stereo detector sees in several pairs; no ROS.")
    ] = False,
    llm: LlmOption = None,
    out: OutOption = None,
) -> None:
    """A robot carries out missions in a simulated home, under four policies of when to think: table, report, film.

    It sees with two eyes, drives by a low-bit policy behind a safety gate, and its plans are written and judged by the
    small language model that comes with rarrl."""
    if perception:
        picture = _look(new_run_folder(out), seed)
        typer.echo(f"picture: {picture}")
    elif quick or llm == "profile":
        _quick_demo(episodes, seed, llm, out)
    else:
        _household_demo(missions, seed, llm or "llama", out)


def _household_demo(missions: int, seed: int, llm: str, out: Path | None) -> None:
    for package, extra in (("mujoco", "sim"), ("llama_cpp", "llama")):
        if find_spec(package) is None:
            raise DependencyMissingError(
                f"rarrl demo needs {package}: pip install 'rarrl[{extra}]'; `rarrl demo --quick` plays without"
            )
    from rarrl_learning.household.demo import demo_seeds, demo_settings, play_all
    from rarrl_learning.household.report.page import save_missions

    started = time.monotonic()
    settings, seeds = demo_settings(llm), demo_seeds(missions, seed)
    thinks = "llama.cpp" if llm == "llama" else llm
    console().print(
        f"{missions} missions in simulated homes for each of {len(settings)} policies: stereo eyes, detector, policy "
        f"in 3 bits, safety gate;\n{thinks} writes the plans. Each mission may use "
        f"{settings[0].time_budget_s:.3g} s and {settings[0].token_budget:.0f} tokens of thinking, and what is "
        "thought takes the robot's time.",
        markup=False,
    )
    folder = new_run_folder(out)
    with progress("playing", len(settings) * len(seeds)) as update:
        played = play_all(settings, seeds, progress=update)
    save_missions(folder, played)
    _finish_missions(folder)
    typer.echo(f"{time.monotonic() - started:.0f} s in all")


def _finish_missions(folder: Path) -> None:
    """Writes the report of missions; prints its table and where it is."""
    from rarrl_learning.household.report.figure import figures_of
    from rarrl_learning.household.report.page import write_mission_report
    from rarrl_learning.household.report.recording import HINT

    report = write_mission_report(folder)
    rows = [figures.row() for figures in figures_of(report.results)]
    console().print(table("", MISSION_HEAD, [(*row[:2], *row[3:]) for row in rows]))
    typer.echo(
        "met: share of the goal's conditions; met, time, LLM, tokens, calls: means a mission; the rest: counted."
    )
    typer.echo(f"report:  {report.html}\npicture: {report.png}")
    if report.gif:
        typer.echo(f"film:    {report.gif}")
    if report.recording:
        typer.echo(f"to scroll through: rerun {report.recording}")
    else:
        typer.echo(HINT)


def _quick_demo(episodes: int, seed: int, llm: str | None, out: Path | None) -> None:
    """The decision loop on real ROS 2 nodes for four policies."""
    _need_ros("rarrl demo --quick")
    from rarrl.cli.results import reminder
    from rarrl_nodes.demo import demo_config, demo_policies

    started = time.monotonic()
    llm = llm or ("llama" if find_spec("llama_cpp") else "profile")
    config, policies = demo_config(episodes, seed, llm), demo_policies(llm)
    thinks = "llama.cpp" if llm == "llama" else f"the latencies of {config.orchestrator.profile}"
    console().print(
        f"{episodes} household tasks for each of {len(policies)} policies, on orchestrator_node and replay_node "
        f"(ROS 2), with {thinks if llm in ('llama', 'profile') else llm}.\nEach task may use "
        f"{config.orchestrator.time_budget_s:.3g} s and {config.orchestrator.token_budget:.0f} tokens of thinking.",
        markup=False,
    )
    folder = new_run_folder(out)
    _play(folder, policies, config, lambda p, f, u: _in_graph(p, f, config, False, u))
    _look(folder, seed, most=1)
    _finish(folder, policies, reminder(episodes, recorded=llm != "profile"))
    typer.echo(f"{time.monotonic() - started:.0f} s in all")


@guarded(PLOT_HINT)
def run(
    policy: PolicyOption = None,
    profile: ProfileOption = None,
    episodes: EpisodesOption = None,
    seed: SeedOption = None,
    category: CategoryOption = None,
    alfred: AlfredOption = None,
    split: SplitOption = None,
    time_budget: TimeBudgetOption = None,
    token_budget: TokenBudgetOption = None,
    cost_weight: CostWeightOption = None,
    llm: LlmOption = None,
    shock: ShockOption = False,
    latency_scale: ScaleOption = None,
    speed: Annotated[float | None, typer.Option(help="Simulated seconds per real second.")] = None,
    sim: Annotated[
        bool, typer.Option("--sim", help="The whole robot in a simulated home instead of the replay, in real time.")
    ] = False,
    missions: Annotated[int, typer.Option(help="With --sim: how many missions.")] = 1,
    config: ConfigOption = None,
    out: OutOption = None,
) -> None:
    """Run orchestrator_node and replay_node on ROS 2, without ros2 launch; with --sim the whole robot in a home."""
    if sim:
        replayed = {"episodes": episodes, "category": category, "alfred": alfred, "split": split, "speed": speed}
        replayed |= {"latency-scale": latency_scale, "shock": shock or None, "config": config}
        _refuse_with_sim([name for name, value in replayed.items() if value is not None])
        given = {
            "missions": missions,
            "seed": seed,
            "policy": policy[0] if policy and len(policy) == 1 else None,
            "profile": profile,
            "time_budget_s": time_budget,
            "token_budget": token_budget,
            "cost_weight": cost_weight,
            "reasoner": llm,
        }
        _run_sim(policy, given, out)
        return
    settings = _config(
        config,
        _orchestrator_values(profile, time_budget, token_budget, cost_weight, llm),
        _replay_values(episodes, seed, category, alfred, split, latency_scale) | {"speed": speed},
    )
    policies = _policies(policy or [settings.orchestrator.policy])
    _need_ros("rarrl run")
    folder = new_run_folder(out)
    _play(folder, policies, settings, lambda p, f, u: _in_graph(p, f, settings, shock, u))
    _finish(folder, policies)


@guarded(PLOT_HINT)
def replay(
    policy: PolicyOption = None,
    profile: ProfileOption = None,
    episodes: EpisodesOption = None,
    seed: SeedOption = None,
    category: CategoryOption = None,
    alfred: AlfredOption = None,
    split: SplitOption = None,
    time_budget: TimeBudgetOption = None,
    token_budget: TokenBudgetOption = None,
    cost_weight: CostWeightOption = None,
    llm: LlmOption = None,
    shock: ShockOption = False,
    latency_scale: ScaleOption = None,
    config: ConfigOption = None,
    out: OutOption = None,
) -> None:
    """Replay ALFRED tasks against a latency profile, in this process and as fast as it can; no ROS.

    Without --policy and --config, four policies are compared."""
    settings = _config(
        config,
        _orchestrator_values(profile, time_budget, token_budget, cost_weight, llm),
        _replay_values(episodes, seed, category, alfred, split, latency_scale),
    )
    policies = _policies(policy or ([settings.orchestrator.policy] if config else list(COMPARED)))
    from rarrl_sim_envs.alfred.make import make_executive

    executive = make_executive(settings, shock)  # says what is wrong with the settings before a folder is made
    with _reasoner(settings) as reasoner:
        folder = new_run_folder(out)
        _play(folder, policies, settings, lambda p, f, u: _in_process(p, f, settings, executive, reasoner, u))
    _finish(folder, policies)


@guarded()
def plot(
    source: Annotated[str, typer.Argument(help="Folder of a run, results file (JSON), or latency profile.")],
    out: Annotated[Path | None, typer.Option(help="Where the picture goes (results and profiles).")] = None,
) -> None:
    """Draw again: the report of a run, the Pareto picture of an evaluation, or a latency profile."""
    from rarrl.cli.results import is_results, plot_results
    from rarrl.latency.profile import shipped_profiles
    from rarrl_learning.household.report.page import MISSIONS
    from rarrl_learning.latency.jobs import show_profile

    path = Path(source)
    check_output(out, "--out")
    if source in shipped_profiles() or (path.suffix == ".json" and not is_results(path)):
        picture = out or Path(f"{path.stem}.png")
        show_profile(source, picture)
    elif path.suffix == ".json":
        picture = out or path.with_suffix(".png")
        plot_results(path, picture)
    else:
        if out is not None:
            raise InputError("--out: a run's report goes into its own folder; leave --out away")
        if (path / MISSIONS).exists():
            _finish_missions(path)
        else:
            _finish(path, [])
        return
    typer.echo(f"picture: {picture}")


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _refuse_with_sim(names: Sequence[str]) -> None:
    if names:
        raise InputError(f"--{names[0]}: not with --sim, which carries --missions out in real time; leave it away")


def _run_sim(policies: Sequence[str] | None, given: dict[str, Any], out: Path | None) -> None:
    """Carries missions out over the graph; a line for each."""
    if policies and len(policies) > 1:
        raise InputError("--policy: with --sim give one; `rarrl eval mission` compares several")
    _need_ros("rarrl run --sim")
    from rarrl_nodes.sim_run import mission_line, run_sim

    texts = {name: str(value) for name, value in given.items() if value is not None}
    folder = new_run_folder(out)
    done = run_sim(texts, folder, lambda mission: typer.echo(mission_line(mission)))
    typer.echo(f"{sum(bool(mission['success']) for mission in done)} of {len(done)} succeeded; logs: {folder}")


@contextmanager
def _reasoner(config: Config) -> Iterator[Any]:
    """The reasoner of `config`, open; None where calls are replayed. Raises: InputError."""
    from rarrl.build import make_reasoner

    spec = config.orchestrator.reasoner
    reasoner = None if spec == "profile" else make_reasoner(spec)
    try:
        yield reasoner
    finally:
        if reasoner is not None:
            reasoner.close()


def _orchestrator_values(
    profile: str | None,
    time_budget: float | None,
    token_budget: float | None,
    cost_weight: float | None,
    llm: str | None,
) -> dict[str, Any]:
    if profile is None and llm not in (None, "profile"):
        profile = "household"  # tasks with goals and plans
    return {
        "profile": profile,
        "reasoner": llm,
        "time_budget_s": time_budget,
        "token_budget": token_budget,
        "cost_weight": cost_weight,
    }


def _replay_values(
    episodes: int | None,
    seed: int | None,
    category: str | None,
    alfred: Path | None,
    split: str | None,
    scale: float | None,
) -> dict[str, Any]:
    return {
        "episodes": episodes,
        "seed": seed,
        "category": category,
        "alfred": None if alfred is None else str(alfred),
        "split": split,
        "latency_scale": scale,
    }


def _config(file: Path | None, orchestrator: dict[str, Any], replay: dict[str, Any]) -> Config:
    """The configuration in `file` with the options that were given (not None) over it. Raises: InputError."""
    from rarrl.config import config_from_values, load_config

    values = load_config(file).model_dump()
    for section, given in (("orchestrator", orchestrator), ("replay", replay)):
        values[section] |= {key: value for key, value in given.items() if value is not None}
    return config_from_values(values, "command line")


def _policies(names: Sequence[str]) -> list[str]:
    """`names`, once it is sure that each can be loaded. Raises: InputError."""
    from rarrl.orchestrator.registry import load_policy
    from rarrl.report.figure import MAX_POLICIES

    if len(names) > MAX_POLICIES:
        raise InputError(f"--policy: {len(names)} given; a report compares at most {MAX_POLICIES}")
    if len(set(names)) < len(names):
        raise InputError("--policy: the same policy is given twice; leave one away")
    for name in names:
        load_policy(name)
    return list(names)


def _need_ros(command: str) -> None:
    if find_spec("rclpy") is None:
        raise DependencyMissingError(
            f"{command} needs rclpy: pip install 'rarrl[ros]' (x86-64 Linux), or source a ROS 2 installation; "
            "`rarrl replay` plays the same tasks without ROS"
        )


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


def _play(
    folder: Path, policies: Sequence[str], config: Config, one: Callable[[str, Path, Callable[[int], None]], None]
) -> None:
    """Plays every policy into a numbered folder of its own; `one` plays one and tells how many episodes are over."""
    episodes = config.replay.episodes
    with progress("playing", len(policies) * episodes) as update:
        for index, name in enumerate(policies):
            update(index * episodes, name)
            safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:40]
            one(name, folder / f"{index + 1}_{safe}", _counted(update, index * episodes, name))


def _counted(update: Update, before: int, name: str) -> Callable[[int], None]:
    return lambda done: update(before + done, name)


def _in_process(
    name: str, folder: Path, config: Config, executive: Any, reasoner: Any, on_episode: Callable[[int], None]
) -> None:
    from rarrl.decision_loop import replay
    from rarrl.events import EventWriter, RunEvent
    from rarrl.latency.profile import load_profile
    from rarrl.latency.replay import ReplayTable
    from rarrl.orchestrator.orchestrator import Orchestrator
    from rarrl.orchestrator.registry import load_policy
    from rarrl.reasoner.home import read_home

    chosen = config.orchestrator
    profile = load_profile(chosen.profile)
    policy, costs = load_policy(name, profile.tasks is not None), ReplayTable.from_profile(profile).costs
    orchestrator = Orchestrator(policy, costs, chosen.cost_weight)
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    header = RunEvent(
        policy=name,
        profile=chosen.profile,
        seed=config.replay.seed,
        speed=1.0,
        date=date,
        source="in_process",
        cost_weight=chosen.cost_weight,
    )
    with EventWriter(folder, header) as log:
        home = read_home(Path(chosen.home)) if chosen.home else ()
        replay(executive, orchestrator, config.replay.episodes, log, on_episode, reasoner=reasoner, home=home)


def _in_graph(name: str, folder: Path, config: Config, shock: bool, on_episode: Callable[[int], None]) -> None:
    from rarrl_nodes.run import run_graph

    chosen, tasks = config.orchestrator, config.replay
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
        category=tasks.category,
        alfred=tasks.alfred or None,
        split=tasks.split if tasks.alfred else None,
        latency_scale=tasks.latency_scale,
        shock=shock,
        reasoner=chosen.reasoner,
        home=chosen.home,
        on_episode=on_episode,
    )


def _finish(folder: Path, order: Sequence[str], notes: Sequence[str] = ()) -> Report:
    """Writes the report; prints its table and where it is."""
    from rarrl.report import write_report
    from rarrl.report.figure import table_row
    from rarrl.report.runs import figures_of

    report = write_report(folder, order, notes)
    console().print(table("", HEAD, [table_row(figures_of(run)) for run in report.runs]))
    typer.echo("LLM s, tokens, calls: means a task; misses: calls that ran out of the budget, in all tasks.")
    for note in (*notes, *(f"{run.policy}: {run.note}" for run in report.runs if run.note)):
        typer.echo(note)
    typer.echo(f"report:  {report.html}\npicture: {report.png}")
    return report
