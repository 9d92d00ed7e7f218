"""`rarrl faults run`, `faults list` and `faults inject`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rarrl.cli.common import check_output, command_line, console, guarded, table
from rarrl.cli.orchestrator import JsonOption, SeedOption
from rarrl.errors import InputError

OnlyOption = Annotated[
    str | None, typer.Option("--only", help="Rows, by commas; a name's beginning takes all: C1 is C1-left, C1-right.")
]
GraphOption = Annotated[
    bool | None, typer.Option("--graph/--in-process", help="Only rows over a ROS graph, or only those without.")
]
QuickOption = Annotated[bool, typer.Option("--quick", help="Few trials of the quick rows: minutes, as in CI.")]


@guarded("the same command with --resume goes on with the next row")
def run(
    only: OnlyOption = None,
    graph: GraphOption = None,
    quick: QuickOption = False,
    seed: SeedOption = 0,
    json: JsonOption = None,
    html: Annotated[Path | None, typer.Option(help="Report for people, one static file.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Injections of a row, at most; default: its own.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the rows that the --json file holds.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="With --resume: rows of --only are played anew, and the others kept.")
    ] = False,
) -> None:
    """Inject every fault and say what became of the robot. Exit status 1 where a row does not hold.

    Nothing that runs is touched: every graph is started for it, on this machine, in a ROS domain of its own."""
    from rarrl.files import write_text_atomic
    from rarrl.results import write_results
    from rarrl_nodes.faults import campaign
    from rarrl_nodes.faults.page import page

    check_output(json, "--json")
    check_output(html, "--html")
    if resume and json is None:
        raise InputError("--resume: needs --json FILE, which holds the rows played so far")
    if again and not (resume and only):
        raise InputError("--again: needs --resume, and with --only the rows to play anew")
    chosen = _chosen(only, graph, quick)
    played = campaign.read_played(json, seed, quick) if resume and json is not None else {}

    kept = dict(played)
    held = {} if again else played
    for number, outcome in enumerate(campaign.play(chosen, seed, quick, trials, held), start=1):
        kept[outcome["name"]] = outcome
        console().print(f"{number:3} of {len(chosen)}  {_line(outcome)}")
        if json is not None:
            write_results(json, campaign.results(command_line(), seed, quick, kept.values()))

    outcomes = list(kept.values())
    document = campaign.results(command_line(), seed, quick, outcomes)
    if html is not None:
        write_text_atomic(html, page(document))
    from rarrl.cli.results import print_results

    print_results(document)
    for path, what in ((json, "figures"), (html, "report")):
        if path is not None:
            typer.echo(f"{what}: {path}")
    if failed := [outcome["name"] for outcome in outcomes if outcome["failed"]]:
        typer.echo(f"{len(failed)} of {len(outcomes)} rows do not hold: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


@guarded()
def list_rows(only: OnlyOption = None, graph: GraphOption = None, quick: QuickOption = False) -> None:
    """Show the rows that `rarrl faults run` would play with the same options."""
    rows = _chosen(only, graph, quick)
    cells = [
        (row.name, row.fault, row.way, str(row.quick_trials if quick else row.trials), "yes" if row.quick else "")
        for row in rows
    ]
    console().print(table(f"{len(rows)} rows", ("row", "fault", "played", "trials", "quick"), cells))


@guarded()
def inject(
    node: Annotated[str, typer.Argument(help="Full name of one of our nodes, such as /robot/safety_gate_node.")],
    back: Annotated[float, typer.Option(min=0.0, max=600.0, help="Seconds to wait until the node is back.")] = 30.0,
) -> None:
    """Kill a node of a robot that runs, in this shell's ROS domain, and say when it is back.

    Refused unless the node was started with the parameter allow_fault_injection."""
    from rarrl.cli.playing import need_ros

    need_ros("rarrl faults inject")
    from rarrl_nodes.faults.injection import inject as kill

    seconds = kill(node, back)
    if seconds is None:
        typer.echo(f"{node} was killed, and was not back within {back:g} s", err=True)
        raise typer.Exit(1)
    typer.echo(f"{node} was killed, and was back after {seconds:.1f} s")


def _chosen(only: str | None, graph: bool | None, quick: bool) -> Any:
    from importlib.util import find_spec

    from rarrl_nodes.faults import campaign

    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    way = {None: None, True: "graph", False: "in-process"}[graph]
    rows = campaign.select(campaign.rows(), names, way, quick)  # type: ignore[arg-type]
    if find_spec("rclpy") is None and any(row.way == "graph" for row in rows):
        if graph or names:
            from rarrl.cli.playing import need_ros

            need_ros("rarrl faults run")
        typer.echo("rclpy is missing: the rows over a ROS graph are left out", err=True)
        rows = campaign.select(rows, way="in-process")
    return rows


def _line(outcome: dict[str, Any]) -> str:
    parts = [f"{outcome['name']:28} {outcome['trials']:5} trials, unsafe {outcome['unsafe']}"]
    for key, name in (("stop_s", "stop"), ("detect_s", "detect"), ("active_s", "active"), ("recover_s", "recover")):
        if outcome[key]:
            parts.append(f"{name} p99 {outcome[key]['p99']:.2g} s")
    parts.append("FAILED: " + "; ".join(outcome["failed"]) if outcome["failed"] else "ok")
    return ", ".join(parts)
