"""`rarrl ask`."""

from __future__ import annotations

import json as json_module
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rarrl.cli.common import guarded
from rarrl.cli.language_model import LlmSettings, language_model_settings
from rarrl.cli.orchestrator import SeedOption
from rarrl.cli.planner import ThreadsOption
from rarrl.errors import InputError

if TYPE_CHECKING:
    from rarrl.reasoner.base import Answer, Reasoner
    from rarrl.skills.domain import Domain
    from rarrl.skills.operator_policy import OperatorPolicy

LlmOption = Annotated[
    str, typer.Option("--llm", help="llama (the shipped model), llama:PATH.gguf, openai:URL#MODEL, profile:NAME.")
]

LOADING = "is loading its model"
"""In what a call says that its deadline ended while a server was loading."""


@guarded()
def ask(
    goal: Annotated[str, typer.Argument(help='What to do, e.g. "put a hot mug on the table".')],
    llm: LlmOption = "llama",
    level: Annotated[int, typer.Option(min=1, max=2, help="1: a short answer; 2: a longer one with reasoning.")] = 1,
    deadline: Annotated[
        float | None,
        typer.Option(min=0.05, max=3600.0, help="Seconds that the call may take; default: call_timeout_s."),
    ] = None,
    seen: Annotated[
        str,
        typer.Option(help="What the robot has seen, e.g. mug,desk,fridge. The shipped model uses it at level 2 alone."),
    ] = "",
    policy: Annotated[
        Path | None,
        typer.Option("--operator-policy", "--policy", help="What this robot may touch and do, a JSON or YAML file."),
    ] = None,
    skills: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="What the robot can do, a skills.yaml or robot:NAME. Default: ALFRED's household."
        ),
    ] = None,
    world: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where it does it, a world.yaml or robot:NAME; with --skills.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Have the plan judged by the verifier, too.")] = False,
    threads: ThreadsOption = None,
    llm_option: LlmSettings = None,
    seed: SeedOption = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask a language model for a plan.

    Exit status: 0 for a plan (with --verify: one that the verifier calls ok), 1 where there is none (the model or the
    rules refuse, or no answer came in time), 2 for input that makes no sense.
    """
    from rarrl.alfred_plans import ALFRED_DOMAIN
    from rarrl.build import make_reasoner
    from rarrl.reasoner.base import MAX_GOAL_CHARS, Request
    from rarrl.skills.operator_policy import OperatorPolicy, load_operator_policy
    from rarrl.types import Role

    if not any(c.isalnum() for c in goal):
        raise InputError('ask: the goal holds no word; say what to do, such as "put a hot mug on the table"')
    if len(goal) > MAX_GOAL_CHARS:
        raise InputError(f"ask: the goal has {len(goal)} characters (allowed: {MAX_GOAL_CHARS}); say it in fewer words")
    operator = load_operator_policy(policy) if policy is not None else OperatorPolicy()
    domain = _domain(skills, world, operator)
    if domain is not None and seen:
        raise InputError("ask: --seen goes with ALFRED's household; world.yaml says what is where on your robot")
    scene = _scene(seen, ALFRED_DOMAIN.under(operator)) if domain is None else ()
    beliefs = _beliefs(goal, domain)
    settings = language_model_settings(llm_option, llm, threads=threads, call_timeout_s=deadline)
    reasoner = make_reasoner(llm, policy=operator if domain is None else None, settings=settings, seed=seed)
    try:
        if scene and level == 1 and _looks_up_at_level_2(reasoner.backend):
            typer.echo("note: this model uses --seen at level 2 alone; add --level 2", err=True)
        request = Request(
            1,
            Role.PLANNER,
            level,
            goal,
            settings.call_timeout_s,
            scene,
            seed=seed,
            domain=domain,
            beliefs=beliefs,
        )
        answers = [reasoner.ask(request)]
        if verify and answers[0].plan is not None:
            judged = replace(request, decision=2, role=Role.VERIFIER, plan=answers[0].plan, seed=0)
            answers.append(reasoner.ask(judged))
    finally:
        reasoner.close()
    if json:
        typer.echo(json_module.dumps([_as_json(answer) for answer in answers], indent=1))
    else:
        for answer in answers:
            _print(answer)
    if LOADING in answers[0].why:
        typer.echo(
            f"note: with a longer --deadline (now {settings.call_timeout_s:.3g} s) the call waits for it", err=True
        )
    if answers[0].plan is None or not all(answer.verdict.ok if answer.verdict else False for answer in answers[1:]):
        raise typer.Exit(1)


def _domain(skills: str | None, world: str | None, operator: OperatorPolicy) -> Domain | None:
    """The robot that two files describe; None where none are given. Raises: InputError."""
    from rarrl.skills.domain import domain_of

    if world is not None and skills is None:
        raise InputError("ask: --skills is missing; --skills and --world describe one robot together")
    return None if skills is None else domain_of(skills, world or "", operator)


def _beliefs(goal: str, domain: Domain | None) -> tuple[str, ...]:
    """What world.yaml says of the names in the goal."""
    from rarrl.skills.beliefs import Beliefs

    if domain is None:
        return ()
    return Beliefs.at_start(domain.world).about(domain.lexicon.named(goal))


def _scene(text: str, domain: Domain) -> tuple[str, ...]:
    """Returns the classes in a list like "mug, coffee machine" or "mug desk". Raises: InputError."""
    from rarrl.plugins import did_you_mean

    parts = [part.strip() for part in text.split(",") if part.strip()]
    names = parts if "," in text else text.split()
    found = []
    for name in names:
        try:
            found.append(domain.lexicon.read(name, domain.world.named))
        except ValueError as error:
            hint = "; name one of them" if "may mean" in str(error) else did_you_mean(name, domain.world.named)
            raise InputError(f"ask: --seen: {error}{hint}") from None
    return tuple(found)


def _looks_up_at_level_2(backend: Reasoner) -> bool:
    """Whether it is a model with the recipe of the shipped planner, which reads the goal alone at level 1."""
    from rarrl.reasoner.llama import LlamaReasoner

    return isinstance(backend, LlamaReasoner) and not backend.worker.model.get("chat")


def _print(answer: Answer) -> None:
    if answer.plan is not None:
        for number, step in enumerate(answer.plan.steps, start=1):
            typer.echo(f"{number}. {step}")
    elif answer.verdict is not None:
        p_ok = "" if math.isnan(answer.verdict.p_ok) else f" (probability of ok {answer.verdict.p_ok:.2f})"
        fault = answer.verdict.fault
        typer.echo(("verdict: ok" if answer.verdict.ok else f"verdict: {fault.value if fault else 'wrong'}") + p_ok)
    else:
        typer.echo(f"no {'plan' if answer.role.value == 'planner' else 'verdict'}: {answer.status.value}: {answer.why}")
    for thing, shares in answer.where.items():
        likely = ", ".join(f"{place} {share:.2f}" for place, share in shares[:3])
        typer.echo(f"where {thing} usually is: {likely}")
    first = "" if math.isnan(answer.ttft_s) else f", first token after {answer.ttft_s:.2f} s"
    sure = "" if math.isnan(answer.confidence) else f", mean log-probability {answer.confidence:.2f}"
    if not math.isnan(answer.p_right):
        sure = f", right with probability {answer.p_right:.2f}"
    typer.echo(
        f"   {answer.backend}: {answer.seconds:.2f} s{first}, {answer.tokens_in} + {answer.tokens_out} tokens{sure}",
        err=True,
    )


def _as_json(answer: Answer) -> dict[str, object]:
    """NaN, which JSON lacks, becomes null."""
    values = asdict(answer) | {"plan": answer.plan.to_rows() if answer.plan else None}
    if answer.verdict is not None:
        values["verdict"] = {key: _known(value) for key, value in asdict(answer.verdict).items()}
    return {key: _known(value) for key, value in values.items()}


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
