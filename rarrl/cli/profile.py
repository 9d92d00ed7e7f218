"""`rarrl profile show`, `profile import`, `profile record` and `alfred statistics`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rarrl.cli.common import check_output, command_line, console, guarded, progress, table
from rarrl.cli.language_model import LlmSettings, language_model_settings
from rarrl.errors import InputError

if TYPE_CHECKING:
    from rarrl.reasoner.base import Reasoner
    from rarrl.types import Role
    from rarrl_learning.latency.jobs import ProfileRow

SHOWN = 10  # rows that were left out


@guarded()
def profile_list() -> None:
    """List the shipped latency profiles: whose calls, how many, and whether answers were recorded with them."""
    from rarrl.latency.profile import load_profile, shipped_profiles
    from rarrl.latency.replay import ReplayTable

    rows = []
    for name in shipped_profiles():
        profile = load_profile(name)
        mean_s = ReplayTable.from_profile(profile).costs.mean_s[0]
        answers = f"{len(profile.tasks)} goals" if profile.tasks else "-"
        rows.append((name, profile.header.kind, profile.header.model, f"{mean_s:.3g}", answers))
    console().print(table("", ("profile", "kind", "model", "planner 1, mean s", "answers"), rows))
    typer.echo("`rarrl profile show NAME` shows one; --profile takes a name, or the path of a file")


@guarded()
def profile_show(
    profile: Annotated[
        str | None,
        typer.Argument(help="Name of a shipped profile, or path of a profile file; default: list the shipped ones."),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw it into this .png, .svg or .pdf.")] = None,
) -> None:
    """Show what a language model costs, and how often it is right: per role, level and task type."""
    from rarrl.latency.profile import load_profile, shipped_profiles

    if profile is None:
        if picture is not None:
            raise InputError(f"--picture: of which profile? name one of {', '.join(shipped_profiles())}")
        for name in shipped_profiles():
            typer.echo(name)
        return
    from rarrl_learning.latency.jobs import answer_tables, show_profile

    check_output(picture, "--picture")
    _print_profile(profile, show_profile(profile, picture))
    for answers in answer_tables(load_profile(profile)):
        console().print(table(answers.title, answers.head, answers.rows))
    if picture is not None:
        console().print(f"picture: {picture}", markup=False)


@guarded()
def profile_import(
    log: Annotated[
        Path,
        typer.Argument(
            help="A request log: CSV with llmperf's columns, llmperf's *_individual_responses.json, a result of "
            "`vllm bench serve --save-result --save-detailed`, or AIPerf's profile_export.jsonl."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where the profile goes (JSON).")],
    provider: Annotated[
        str | None, typer.Option(help="Which provider's requests to take, e.g. groq; needed where there are several.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Which model size's requests to take, e.g. 70b; needed where there are several.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.")] = 0,
    model: Annotated[str, typer.Option(help="For the header: the model's name.")] = "",
    hardware: Annotated[str, typer.Option(help="For the header: what it ran on.")] = "not known",
    date: Annotated[str, typer.Option(help="For the header: when it was measured.")] = "unknown",
    source: Annotated[str, typer.Option(help="For the header: where the log is from.")] = "",
    licence: Annotated[str, typer.Option(help="For the header: the log's licence.")] = "unknown",
) -> None:
    """Turn a log of requests to a language model into a latency profile."""
    from rarrl_learning.latency.import_logs import Origin
    from rarrl_learning.latency.jobs import import_profile, profile_rows

    check_output(out, "--out")
    origin = Origin(model, hardware, date, source, licence, command_line())
    result = import_profile(log, provider, size, out, seed, origin)
    _print_left_out("rows", result.skipped)
    for warning in result.warnings:
        typer.echo(f"warning: {warning}", err=True)
    _print_profile(str(out), profile_rows(result.profile))


SKILLS_SENTENCES = 40
"""Sentences about a robot's own skills that are recorded by default; a small home has about as many."""


@guarded("the same command goes on from the last call")
def profile_record(
    out: Annotated[
        Path, typer.Option(help="Where the profile goes (JSON); every call is kept beside it, in NAME.calls.jsonl.")
    ],
    llm: Annotated[str, typer.Option(help="Which language model: see `rarrl ask --help`.")] = "llama",
    alfred: Annotated[
        Path | None, typer.Option(help="Folder of the ALFRED data set; default: the 103 goals that come with rarrl.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="With --alfred: whose goals; default train, of which only those that were not taught."),
    ] = None,
    skills: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="A robot's skills.yaml, or robot:NAME: sentences like its examples are asked for."
        ),
    ] = None,
    world: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its world.yaml, or robot:NAME; with --skills.")
    ] = None,
    roles: Annotated[str, typer.Option(help="planner, verifier or both, with a comma.")] = "planner,verifier",
    levels: Annotated[str, typer.Option(help="1, 2 or both, with a comma.")] = "1,2",
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            min=1,
            max=50_000,
            help="How many goals; default 500, or all that come with rarrl. It may grow later.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=64, help="Threads of the language model.")] = None,
    deadline: Annotated[
        float | None, typer.Option(min=0.05, max=3600.0, help="Seconds that a call may take; default: call_timeout_s.")
    ] = None,
    llm_option: LlmSettings = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The same seed asks for the same goals.")] = 0,
    memory: Annotated[
        Path | None,
        typer.Option(help="With --alfred: data set whose train split the default plans are from; default: --alfred."),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(min=1, max=256, help="Goals asked about side by side: a server alone, which may say it is busy."),
    ] = 1,
) -> None:
    """Ask a language model for real: what calls take, and which answers are right. Interrupt it at will.

    The profile names the model, not the address of its server, so that it may be passed on; NAME.calls.jsonl, with what
    the model wrote and why an answer was none, is for yourself. The same command with a greater --n asks for more."""
    from rarrl.alfred import HOUSEHOLD_TASKS
    from rarrl.build import make_reasoner
    from rarrl.latency.profile import save_profile
    from rarrl.skills.domain import domain_of
    from rarrl_learning.latency.jobs import answer_tables, profile_rows
    from rarrl_learning.reasoner.record import (
        RecordConfig,
        choose_tasks,
        common_reasons,
        few_answered,
        journal_of,
        make_header,
        record_profile,
        server_reasoner,
        shipped_tasks,
    )
    from rarrl_learning.reasoner.record_skills import drawn_missions, record_skills, skills_header

    check_output(out, "--out")
    journal = journal_of(out)
    if out.exists() and not journal.exists():
        raise InputError(f"--out: {out} exists already, without its calls ({journal.name}); name another file")
    for option, value in (("split", split), ("memory", memory)):
        if alfred is None and value is not None:
            raise InputError(f"--{option}: goes with --alfred, the folder of the data set; give it, or leave it away")

    if (skills is None and world is not None) or (skills is not None and alfred is not None):
        raise InputError("--skills, --world: give both, and no --alfred: they describe another robot")

    if concurrency > 1 and (skills is not None or not llm.startswith("openai:")):
        raise InputError(
            "--concurrency: only with --llm openai:URL#MODEL and without --skills; a model of this computer would take "
            "longer for each call the more there are"
        )

    settings = language_model_settings(llm_option, llm, threads=threads, call_timeout_s=deadline)
    where = HOUSEHOLD_TASKS.stem if alfred is None else split or "train"
    config = RecordConfig(
        llm,
        where,
        n or 500,
        _roles(roles),
        _levels(levels),
        settings.threads,
        settings.call_timeout_s,
        seed,
        concurrency,
    )
    if skills is not None:
        domain = domain_of(skills, world or "")
        config = replace(config, split="skills", n=n or SKILLS_SENTENCES)
        missions = drawn_missions(domain, config.n, seed)
        reasoner: Reasoner = make_reasoner(llm, settings=settings)
        try:
            header = skills_header(out.stem, reasoner.name, domain.skills.robot, config)
            with progress("recording", len(missions)) as update:
                profile = record_skills(reasoner, missions, config, header, journal, update)
        finally:
            reasoner.close()
    else:
        tasks, data = shipped_tasks(config) if alfred is None else choose_tasks(alfred, config, memory)
        config = replace(config, n=len(tasks))
        reasoner = server_reasoner(lambda: make_reasoner(llm, settings=settings), config)
        try:
            header = make_header(out.stem, reasoner.name, config)
            with progress("recording", len(tasks)) as update:
                profile = record_profile(reasoner, tasks, config, header, journal, data, update)
        finally:
            reasoner.close()
    save_profile(profile, out)

    _print_profile(str(out), profile_rows(profile))
    for answers in answer_tables(profile):
        console().print(table(answers.title, answers.head, answers.rows))
    warning = few_answered(profile)
    if warning:
        typer.echo(f"warning: {warning}", err=True)
    reasons = common_reasons(journal)
    if reasons:
        typer.echo("Why calls had no plan or verdict:")
        for line in reasons:
            typer.echo(f"  {line}")
    typer.echo(f"profile: {out}\ncalls:   {journal} (what the model wrote, and why; not for passing on)")


def _roles(text: str) -> tuple[Role, ...]:
    from rarrl.types import Role

    names = [role.value for role in Role]
    wanted = text.split(",")
    if not set(wanted) <= set(names) or len(set(wanted)) != len(wanted):
        raise InputError(f"--roles: {text!r} is not allowed (allowed: {', '.join(names)}, each once, with a comma)")
    return tuple(role for role in Role if role.value in wanted)


def _levels(text: str) -> tuple[int, ...]:
    if text not in ("1", "2", "1,2"):
        raise InputError(f"--levels: {text!r} is not allowed (allowed: 1, 2 or 1,2)")
    return tuple(int(level) for level in text.split(","))


@guarded()
def alfred_statistics(
    folder: Annotated[Path, typer.Argument(help="ALFRED's json_2.1.0 folder, or one with alfred_<split>.jsonl.gz.")],
    out: Annotated[Path, typer.Option(help="Where the statistics go.")] = Path("alfred_statistics.json"),
    split: Annotated[str | None, typer.Option(help="Which split to count; train where there is one.")] = None,
) -> None:
    """Count ALFRED's plans: sub-goals per task type, steps per sub-goal."""
    from rarrl_learning.latency.jobs import count_alfred

    check_output(out, "--out")
    data, statistics = count_alfred(folder, out, split)
    _print_left_out("entries", data.skipped)
    rows = [(name, f"{count}") for name, count in sorted(statistics.task_counts().items())]
    console().print(table(f"{len(data.plans)} plans of split {data.split}", ("task type", "plans"), rows))
    console().print(f"statistics: {out}", markup=False)


def _print_profile(name: str, rows: Sequence[ProfileRow]) -> None:
    head = ("call", "n", "answered", "right", "mean s", "50 % s", "95 % s", "99 % s", "tokens")
    console().print(
        table(
            f"Latency profile {name}",
            head,
            [
                (
                    f"{row.role}, level {row.level}",
                    f"{row.n}",
                    f"{100 * row.ok_rate:.1f} %",
                    "-" if row.right is None else f"{100 * row.right:.1f} %",
                    *(f"{value:.3g}" for value in (row.mean_s, row.p50_s, row.p95_s, row.p99_s)),
                    f"{row.mean_tokens:.0f}",
                )
                for row in rows
            ],
        )
    )


def _print_left_out(what: str, skipped: Sequence[str]) -> None:
    if skipped:
        typer.echo(f"{len(skipped)} {what} left out:", err=True)
        for line in skipped[:SHOWN]:
            typer.echo(f"  {line}", err=True)
        if len(skipped) > SHOWN:
            typer.echo(f"  and {len(skipped) - SHOWN} more", err=True)
