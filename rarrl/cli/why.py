"""`rarrl why`: the decisions of a run, and one of them in detail."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rarrl.cli.common import console, guarded, table
from rarrl.errors import InputError

if TYPE_CHECKING:
    from rarrl.report.runs import Run
    from rarrl.why import Explained

SHOWN_FEATURES = 12
"""Rows of the table of features: more do not fit on a screen beside the other tables."""
OLD_COST_WEIGHT = 0.004
"""1/s: the default of `orchestrator.cost_weight`; logs from before the header held it were made with it."""


@guarded()
def why(
    run: Annotated[Path, typer.Argument(help="A run's folder or its events.jsonl.")],
    decision: Annotated[int | None, typer.Argument(help="Number of a decision: explain it in detail.")] = None,
    policy: Annotated[str | None, typer.Option(help="Which policy's run, where the folder holds several.")] = None,
    episode: Annotated[int | None, typer.Option(help="Which episode's decisions to list; default: the first.")] = None,
    cost_weight: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="The price of thinking, 1/s; default: that of the run, 0.004 in old logs."),
    ] = None,
) -> None:
    """Explain a run's decisions: what was seen, how sure the policy was, what it cost, what always-think would do."""
    from rarrl.report.runs import read_runs
    from rarrl.why import explain

    chosen = choose_run(read_runs(run), policy)
    asked_price = cost_weight
    if cost_weight is None:
        logged = chosen.header.cost_weight
        cost_weight = OLD_COST_WEIGHT if logged is None else logged
    explained = explain(chosen, cost_weight)
    if not explained:
        raise InputError(f"why: {run} holds no finished episode")
    if decision is not None:
        _detail(chosen, explained, decision)
        return
    number = explained[0].episode if episode is None else episode
    listed = [one for one in explained if one.episode == number]
    if not listed:
        known = sorted({one.episode for one in explained})
        raise InputError(f"--episode: {number} is not in the run (it has: {known[0]} to {known[-1]})")
    _list(chosen, number, listed)
    command = ["rarrl", "why", str(run), str(listed[0].decision), *(["--policy", policy] if policy else [])]
    if asked_price is not None:
        command += ["--cost-weight", f"{asked_price:g}"]
    console().print(f"one in detail: {shlex.join(command)}", markup=False)
    episodes = len({one.episode for one in explained})
    console().print(f"episode {number} of {episodes}; --episode N shows another", markup=False)
    differing = sum(one.recomputed != one.choice for one in explained)
    if differing:
        typer.echo(
            f"{differing} of {len(explained)} decisions come out otherwise now: the run had another --cost-weight, or "
            "the policy was changed",
            err=True,
        )


def choose_run(runs: list[Run], policy: str | None) -> Run:
    names = [run.policy for run in runs]
    if policy is None and len(runs) == 1:
        return runs[0]
    if policy not in names:
        raise InputError(f"--policy: the folder holds the runs of {', '.join(names)}; name one of them")
    return runs[names.index(policy)]


def _list(run: Run, episode: int, listed: list[Explained]) -> None:
    from rarrl.why import label

    rows = [
        (
            f"{one.decision}",
            one.subgoal,
            label(one.choice),
            _percent(one.probabilities[one.choice]) if one.probabilities is not None else "-",
            "-" if one.value is None else f"{one.value:.2f}",
            one.outcome,
            f"{one.seconds:.2f} s" + (f", {one.tokens:.0f} tokens" if one.tokens else ""),
            _always(one),
        )
        for one in listed
    ]
    goal = run.episode(episode).start.goal or run.episode(episode).start.task_type
    head = ("decision", "sub-goal", "choice", "sure", "value", "outcome", "took", "always-think would")
    console().print(table(f"{run.policy}, episode {episode}: {goal}", head, rows))
    calls = [one for one in listed if one.tokens]
    always = sum(one.always_seconds for one in listed)
    console().print(
        f"thinking: {sum(one.seconds for one in calls):.2f} s, {sum(one.tokens for one in calls):.0f} tokens in "
        f"{len(calls)} calls; always-think at these points: {always:.2f} s in the mean; never: 0 s",
        markup=False,
    )


def _always(one: Explained) -> str:
    if not one.always:
        return "ACT"
    return f"{one.always.label}, {one.always_seconds:.2f} s, {one.always_tokens:.0f} tokens"


def _detail(run: Run, explained: list[Explained], number: int) -> None:
    import numpy as np

    from rarrl.build import make_orchestrator
    from rarrl.orchestrator.learned import LearnedPolicy
    from rarrl.why import label, named, pulls

    one = next((one for one in explained if one.decision == number), None)
    if one is None:
        known = [each.decision for each in explained]
        raise InputError(f"why: there is no decision {number} (there are {min(known)} to {max(known)})")
    out = console()
    took = f"{one.seconds:.2f} s, {one.tokens:.0f} tokens" if one.tokens else f"{one.seconds:.2f} s of robot time"
    rows = [("choice", label(one.choice)), ("outcome", one.outcome), ("took", took), ("said then", one.why)]
    if one.recomputed != one.choice:
        rows.append(("the policy now", f"{label(one.recomputed)} (another --cost-weight, or another policy)"))
    if one.value is not None:
        rows.append(("value", f"{one.value:.3f}: success expected, less the price of thinking"))
    rows += [("always-think would", _always(one)), ("never-think would", "ACT, no call")]
    out.print(table(f"{run.policy}, episode {one.episode}, decision {one.decision}: {one.subgoal}", ("", ""), rows))
    if one.probabilities is not None:
        cells = [
            (
                label(a),
                _percent(share),
                "yes" if one.allowed[a] else "no: budget, enough calls, or nothing to go on with",
            )
            for a, share in enumerate(one.probabilities)
        ]
        out.print(table("Actions", ("action", "probability", "allowed"), cells))
    policy = make_orchestrator(run.policy, run.header.profile).policy
    values = named(one)
    if isinstance(policy, LearnedPolicy):
        pull = pulls(policy, one, explained)
        order = np.argsort(-np.abs(pull), kind="stable")[:SHOWN_FEATURES]
        names = list(values)
        lines = [(names[i], f"{values[names[i]]:.3f}", f"{pull[i]:+.2f}") for i in order]
        out.print(
            table(
                "What spoke for it (+) and against it (-), against this run's mean",
                ("feature", "value", "log-odds"),
                lines,
            )
        )
    else:
        lines2 = [(name, f"{value:.3f}") for name, value in values.items() if value]
        out.print(table("What it saw; all else is 0", ("feature", "value"), lines2))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
