"""`rarrl run --skills F --world F "sentence"`: one task, with a robot's own skills."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rarrl.cli.common import new_run_folder
from rarrl.cli.playing import need_ros, told_where
from rarrl.errors import DependencyMissingError, InputError

if TYPE_CHECKING:
    from rarrl.config import Config
    from rarrl.decision_loop import DecisionSession
    from rarrl.executive.executive import TaskExecutive
    from rarrl.executive.play import SkillPlayer, TaskEnd
    from rarrl.reasoner.base import Answer, Reasoner, Request
    from rarrl.skills.domain import Domain
    from rarrl.skills.outcome import SkillResult
    from rarrl.skills.plan import Step

PYROBOSIM = "robot:pyrobosim"


class _Told:
    """A robot, or a language model, whose steps are printed as they end, with the seconds since the task began."""

    def __init__(self, player: SkillPlayer, reasoner: Reasoner | None = None) -> None:
        self._player, self._reasoner = player, reasoner
        self.seconds = 0.0
        self.name = reasoner.name if reasoner is not None else ""

    def run(self, step: Step, timeout_s: float) -> SkillResult:
        """Runs a skill."""
        began, result = self.seconds, self._player.run(step, timeout_s)
        self.seconds += result.seconds
        why = f": {result.why}" if result.why else ""
        typer.echo(f"{began:7.1f} s  {step!s:34} {result.outcome.value}{why}")
        return result

    def ask(self, request: Request) -> Answer:
        """Asks the language model."""
        assert self._reasoner is not None
        began, answer = self.seconds, self._reasoner.ask(request)
        self.seconds += answer.seconds
        said = answer.plan or answer.verdict or f"{answer.status.value}: {answer.why}"
        typer.echo(f"{began:7.1f} s  think, {request.role.value} {request.level}: {said} ({answer.seconds:.1f} s)")
        return answer

    def close(self) -> None:
        """Nothing: whoever made the language model closes it."""


def run_task(
    sentence: str, skills: str, world: str, operator_policy: Path | None, config: Config, seed: int, policy: str | None
) -> None:
    """Carries one task out and prints its steps. Exit status 1 where it does not succeed.

    config: sections orchestrator and language_model. policy: who decides when to think; None: the default.

    Raises: InputError, DependencyMissingError."""
    from rarrl.cli.skills import load

    domain = load(skills, world, operator_policy)
    _check_model(domain, config.orchestrator.reasoner)
    over_ros = [name for name, skill in domain.skills.skills.items() if not skill.run.python]
    if skills == PYROBOSIM and world in ("", PYROBOSIM):
        end = _in_process(sentence, domain, config, policy, _pyrobosim(domain, seed))
    elif over_ros:
        _over_ros(sentence, domain, skills, world, operator_policy, config, policy)
        return
    else:
        from rarrl.executive.python_skills import PythonSkills

        end = _in_process(sentence, domain, config, policy, PythonSkills(domain))
    _say_end(end)


def _check_model(domain: Domain, llm: str) -> None:
    """Raises: InputError for the shipped planner and another robot than ALFRED's."""
    from rarrl.alfred_plans import ALFRED_DOMAIN

    if llm == "llama" and not domain.is_robot_of(ALFRED_DOMAIN):
        raise InputError(
            f"--llm: llama plans for ALFRED's household alone, not for {domain.skills.robot[:60]}; name a chat model "
            "(llama:PATH.gguf or openai:URL#MODEL), or leave it away"
        )


def _over_ros(
    sentence: str,
    domain: Domain,
    skills: str,
    world: str,
    operator_policy: Path | None,
    config: Config,
    policy: str | None,
) -> None:
    """On nodes of its own, with the robot's servers that are there. Exit status 1 where the task does not succeed.

    Raises: InputError, DependencyMissingError, RarrlError."""
    need_ros("rarrl run with skills that are run over ROS")
    from rarrl_nodes.task_run import run_task as run_on_nodes

    orchestrator, model = config.orchestrator, dict(config.language_model)
    given = {
        "skills": _absolute(skills),
        "world": _absolute(world),
        "operator_policy": str(operator_policy.resolve()) if operator_policy is not None else "",
        "reasoner": orchestrator.reasoner,
        "policy": policy or orchestrator.policy,
        "profile": _absolute(orchestrator.profile) if "/" in orchestrator.profile else orchestrator.profile,
        "time_budget_s": str(orchestrator.time_budget_s),
        "token_budget": str(orchestrator.token_budget),
        "cost_weight": str(orchestrator.cost_weight),
        "costs": orchestrator.costs,
        **{f"llm_{name}": as_text(value) for name, value in model.items()},
    }
    folder = new_run_folder(None)
    with told_where(folder):
        done = run_on_nodes(
            sentence, {name: text for name, text in given.items() if text}, folder.resolve(), typer.echo
        )
    if not done:
        raise typer.Exit(1)


def as_text(value: object) -> str:
    """A setting as a launch argument writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _absolute(path: str) -> str:
    return path if path.startswith("robot:") or not path else str(Path(path).resolve())


def _pyrobosim(domain: Domain, seed: int) -> SkillPlayer:
    """The simulated robot, in this process. Raises: DependencyMissingError."""
    if find_spec("pyrobosim") is None:
        raise DependencyMissingError(
            f"run: {PYROBOSIM} needs pyrobosim: pip install 'rarrl[pyrobosim]' (Python 3.10 to 3.12); "
            f"`rarrl skills plan --skills {PYROBOSIM}` shows without it what the robot would do"
        )
    from rarrl_sim_envs.pyrobosim.player import PyrobosimPlayer
    from rarrl_sim_envs.pyrobosim.robot import PyrobosimRobot, Setup

    # All is as in the workshop's first problem, but the robot does not know where things lie.
    return PyrobosimPlayer(PyrobosimRobot(Setup(hidden=True), seed), domain)


def _in_process(sentence: str, domain: Domain, config: Config, policy: str | None, player: SkillPlayer) -> TaskEnd:
    from rarrl.build import REPLAYED, make_reasoner
    from rarrl.clock import ManualClock
    from rarrl.executive.executive import ExecutiveSettings, TaskExecutive
    from rarrl.executive.play import play_task

    orchestrator = config.orchestrator
    settings = ExecutiveSettings(
        time_budget_s=orchestrator.time_budget_s,
        token_budget=orchestrator.token_budget,
        call_timeout_s=config.language_model.call_timeout_s,
    )
    executive = TaskExecutive(domain, settings)
    tell = getattr(player, "tell", None)  # a simulated robot knows more than its world file at the start
    if tell is not None:
        tell(executive)
    if orchestrator.reasoner == REPLAYED:
        return play_task(executive, sentence, _Told(player), ManualClock(), person=_person())

    session = _session(domain, config, policy)
    reasoner = make_reasoner(orchestrator.reasoner, settings=config.language_model)
    try:
        told = _Told(player, reasoner)
        return play_task(executive, sentence, told, ManualClock(), session, told, _person())
    finally:
        reasoner.close()


def _person() -> Callable[[TaskExecutive], bool] | None:
    """Who is asked before a step without leave: whoever sits at the terminal; None where nobody does."""
    if not sys.stdin.isatty():
        return None
    return lambda executive: typer.confirm(f"{executive.why}. Carry it out?")


def _session(domain: Domain, config: Config, policy: str | None) -> DecisionSession:
    """Who decides when to think."""
    from rarrl.build import make_orchestrator
    from rarrl.decision_loop import DecisionSession
    from rarrl.latency.profile import World

    orchestrator = config.orchestrator
    made = make_orchestrator(
        policy or orchestrator.policy,
        orchestrator.profile,
        orchestrator.cost_weight,
        world=World.SKILLS,
        call_timeout_s=config.language_model.call_timeout_s,
        live=True,
        costs=orchestrator.costs,
        reasoner=orchestrator.reasoner,
    )
    return DecisionSession(made, domain=domain)


def _say_end(end: TaskEnd) -> None:
    from rarrl.executive.executive import TaskStatus

    thought = f", {end.calls} calls of {end.llm_s:.1f} s in all" if end.calls else ""
    typer.echo(f"{end.seconds:7.1f} s  {end.status.value}: {end.why} ({end.skills} skills{thought})")
    if end.status is not TaskStatus.SUCCEEDED:
        raise typer.Exit(1)
