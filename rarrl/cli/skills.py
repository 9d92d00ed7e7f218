"""`rarrl skills`: a robot's two files, without the robot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rarrl.cli.common import console, guarded, table
from rarrl.cli.language_model import LlmSettings, language_model_settings
from rarrl.errors import InputError

if TYPE_CHECKING:
    from rarrl.skills.domain import Domain
    from rarrl.skills.dry_run import DryRun
    from rarrl.skills.plan import Plan
    from rarrl.skills.skill_set import Skill

SkillsOption = Annotated[
    str, typer.Option("--skills", metavar="FILE", help="skills.yaml, or robot:NAME for one that is shipped.")
]
WorldOption = Annotated[
    str, typer.Option("--world", metavar="FILE", help="world.yaml; of robot:NAME its own, unless it is given.")
]
OperatorOption = Annotated[
    Path | None,
    typer.Option("--operator-policy", help="What this robot may touch and do, a JSON or YAML file."),
]


@guarded()
def check(
    skills: SkillsOption,
    world: WorldOption = "",
    operator_policy: OperatorOption = None,
    ros: Annotated[
        bool, typer.Option("--ros", help="Also the robot that runs: missing servers, types, fields, names.")
    ] = False,
) -> None:
    """Say what is wrong with a robot's files, and what the robot will do with them.

    Exit status: 0 where nothing is wrong, 2 with a line for each fault."""
    from rarrl.skills.domain import file_faults

    faults = file_faults(skills, world)
    if faults:
        _say_faults(faults)
    domain = load(skills, world, operator_policy)
    faults = _python_faults(domain)
    if ros:
        faults += _ros_faults(domain)

    _show(domain)
    for note in _notes(domain):
        typer.echo(f"note: {note}")
    if faults:
        _say_faults(faults)
    typer.echo("nothing is wrong" + ("" if ros or not _over_ros(domain) else "; --ros compares with the running robot"))


@guarded()
def plan(
    sentence: Annotated[str, typer.Argument(help='What to do, e.g. "bring a soda to the desk".')],
    skills: SkillsOption,
    world: WorldOption = "",
    operator_policy: OperatorOption = None,
    llm: Annotated[
        str | None, typer.Option("--llm", help="Ask this language model for the plan, as `rarrl ask` does.")
    ] = None,
    llm_option: LlmSettings = None,
) -> None:
    """Show what the robot would do for a sentence, from what its files say. No robot is needed.

    Exit status: 0 for a plan that can be carried out, 1 where there is none, 2 for input that makes no sense."""
    from rarrl.skills.dry_run import dry_run

    domain = load(skills, world, operator_policy)
    found = _nearest(sentence, domain) if llm is None else _asked(sentence, domain, llm, llm_option)
    if found is None:
        raise typer.Exit(1)
    run = dry_run(domain, found)
    _show_run(found, run)
    if run.fault:
        raise typer.Exit(1)


@guarded()
def new(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for skills.yaml and world.yaml.")]) -> None:
    """Write a pair of files to begin with, with comments. Files that are there are left alone."""
    from rarrl.files import write_bytes_atomic
    from rarrl.skills.domain import STARTER

    names = ("skills.yaml", "world.yaml")
    for name in names:
        if (folder / name).exists():
            raise InputError(f"new: {folder / name} exists; name another folder, or move it away")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            write_bytes_atomic(folder / name, (STARTER / name).read_bytes())
            typer.echo(str(folder / name))
    except OSError as error:
        raise InputError(f"new: {folder} cannot be written ({error.strerror}); name another folder") from None
    typer.echo(f"next: rarrl skills check --skills {folder / names[0]} --world {folder / names[1]}", err=True)


def load(skills: str, world: str, operator_policy: Path | None = None) -> Domain:
    """The robot that the options name. Raises: InputError."""
    from rarrl.skills.domain import domain_of
    from rarrl.skills.operator_policy import load_operator_policy

    policy = load_operator_policy(operator_policy) if operator_policy is not None else None
    return domain_of(skills, world, policy)


def _say_faults(faults: list[str]) -> None:
    for fault in faults:
        typer.echo(f"error: {fault}", err=True)
    raise typer.Exit(2)


def _over_ros(domain: Domain) -> list[str]:
    """Names of the skills that are run over ROS."""
    return [name for name, skill in domain.skills.skills.items() if not skill.run.python]


def _python_faults(domain: Domain) -> list[str]:
    """Callables that are not to be had."""
    from rarrl.executive.python_skills import callable_of

    found = []
    for name, skill in domain.skills.skills.items():
        if skill.run.python:
            try:
                callable_of(name, skill)
            except InputError as error:
                found.append(str(error))
    return found


def _ros_faults(domain: Domain) -> list[str]:
    """Raises: DependencyMissingError without rclpy."""
    from rarrl.cli.playing import need_ros

    need_ros("rarrl skills check --ros")
    from rarrl_nodes.skill_check import check_running

    return [str(finding) for finding in check_running(domain)]


_SEEN_TO = frozenset({"at", "_ at", "hand_empty", "open", "reachable"})
"""Sorts of facts that may hold though no skill gives them."""


def _notes(domain: Domain) -> list[str]:
    """What is allowed, and what the robot cannot do because of it."""
    from rarrl.skills.check import sort_of
    from rarrl.skills.facts import Condition

    skills, world = domain.skills.skills, domain.world
    notes = []
    if not domain.skills.examples:
        notes.append("no examples: without a language model the robot knows no plan for any sentence")
    if not domain.plans_by_itself:
        notes.append("no skill gives anything: a plan must hold each step, as nothing prepares one")
    if domain.plans_by_itself and not any(skill.observes for skill in skills.values()):
        unknown = [name for name, thing in world.things.items() if not thing.at and thing.portable]
        if unknown:
            notes.append(f"no skill observes: {', '.join(unknown)[:100]} cannot be found, as no place (at) is given")
    given = {sort_of(fact) for skill in skills.values() for fact in skill.effects}
    given |= {sort_of(Condition.parse(fact)) for fact in world.facts} | _SEEN_TO
    for name, skill in skills.items() if domain.plans_by_itself else ():
        for need in skill.conditions:
            sort = sort_of(need)
            if not need.negated and sort not in given:
                from rarrl.plugins import did_you_mean

                meant = did_you_mean(sort, given)
                notes.append(f"{name} needs `{need}`, which no skill gives and the world file does not hold{meant}")
    unposed = [name for name, place in world.places.items() if place.pose is None]
    if unposed and any(skill.speed_mps for skill in skills.values()):
        notes.append(f"no pose: the way to {', '.join(unposed)[:100]} counts as 0 m")
    return notes


def _show(domain: Domain) -> None:
    """The tables."""
    from rarrl.skills.skill_set import WAYS

    skills, world = domain.skills, domain.world
    rows, facts = [], []
    for name, skill in skills.skills.items():
        way = next(way for way in WAYS if getattr(skill.run, way))
        takes = f"{skill.expected_s:g} s" + (f" + way at {skill.speed_mps:g} m/s" if skill.speed_mps else "")
        undo = {"never": "yes", "possible": "not always", "always": "no"}[skill.irreversible]
        rows.append((_signature(name, skill), f"{way} {skill.run.server}", takes, f"{skill.prior.success:.0%}", undo))
        said = [f"needs {', '.join(skill.needs)}"] * bool(skill.needs)
        said += [f"gives {', '.join(skill.gives)}"] * bool(skill.gives)
        said += [f"observes {skill.observes.list}"] if skill.observes is not None else []
        facts += [f"{name}: {'; '.join(said)}"] if said else []
    head = ("skill", "run by", "takes", "succeeds", "can be undone")
    console().print(table(skills.robot, head, rows))
    for line in facts:
        typer.echo(line)
    typer.echo("")

    names = [(kind, ", ".join(getattr(world, kind)) or "none") for kind in ("rooms", "places", "doors", "things")]
    names += [(f"group {group}", ", ".join(members)) for group, members in world.groups.items()]
    for kind, listed in names:
        if listed != "none":
            typer.echo(f"{kind}: {listed}")
    typer.echo(f"starts at: {world.start or 'unknown'}; hands: {world.hands}; examples: {len(skills.examples)}")


def _signature(name: str, skill: Skill) -> str:
    """Such as navigate(to: place or door)."""
    arguments = (f"{each}: {' or '.join(spec.kinds or spec.one_of)}" for each, spec in skill.parameters.items())
    return f"{name}({', '.join(arguments)})"


def _nearest(sentence: str, domain: Domain) -> Plan | None:
    """The plan of the nearest example; says how near it is."""
    from rarrl.skills.nearest import NearestExample

    recalled = NearestExample(domain).recall(sentence)
    if recalled.plan is None:
        typer.echo(
            "no plan: no example is near to this sentence; add one to `examples`, or ask a language model with --llm"
        )
        return None
    unknown = f", {recalled.unknown} of {recalled.words} words unknown" if recalled.unknown else ""
    typer.echo(f"plan of the nearest example (similarity {recalled.similarity:.2f}{unknown}): {recalled.plan}")
    return recalled.plan


def _asked(sentence: str, domain: Domain, llm: str, options: list[str] | None) -> Plan | None:
    """The plan of a language model; says what it cost, and why there is none."""
    from rarrl.build import make_reasoner
    from rarrl.reasoner.base import Request
    from rarrl.skills.beliefs import Beliefs
    from rarrl.types import Role

    settings = language_model_settings(options, llm)
    beliefs = Beliefs.at_start(domain.world).about(domain.lexicon.named(sentence))
    reasoner = make_reasoner(llm, settings=settings)
    try:
        answer = reasoner.ask(
            Request(1, Role.PLANNER, 1, sentence, settings.call_timeout_s, domain=domain, beliefs=beliefs)
        )
    finally:
        reasoner.close()
    cost = f"{answer.backend}: {answer.seconds:.2f} s, {answer.tokens_in} + {answer.tokens_out} tokens"
    if answer.plan is None:
        typer.echo(f"no plan: {answer.status.value}: {answer.why} ({cost})")
        return None
    typer.echo(f"plan ({cost}): {answer.plan}")
    return answer.plan


def _show_run(plan: Plan, run: DryRun) -> None:
    rows = []
    for number, each in enumerate(run.steps, start=1):
        note = ""
        if each.looks_for:
            likely = ", ".join(f"{place} {share:.0%}" for place, share in run.places[each.looks_for][:3])
            note = f"looks for {each.looks_for} ({likely})"
        elif each.step == plan.steps[each.row]:
            note = f"row {each.row + 1} of the plan"
        rows.append((f"{number}. {each.step}", f"{each.seconds:.1f} s", note))
    total = sum(each.seconds for each in run.steps)
    for step, seconds, note in rows:
        typer.echo(f"{step:34} {seconds:>8}   {note}".rstrip())
    if run.fault:
        typer.echo(f"then: {run.fault}")
    else:
        typer.echo(f"{total:.0f} s expected, if things are where it looks first")
