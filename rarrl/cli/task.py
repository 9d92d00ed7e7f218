"""`rarrl run --skills F --world F "sentence"`: one task, with a robot's own skills."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rarrl.errors import DependencyMissingError, InputError

if TYPE_CHECKING:
    from rarrl.config import Config
    from rarrl.decision_loop import DecisionSession
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
    over_ros = [name for name, skill in domain.skills.skills.items() if not skill.run.python]
    if skills == PYROBOSIM and world in ("", PYROBOSIM):
        end = _in_process(sentence, domain, config, policy, _pyrobosim(domain, seed))
    elif over_ros:
        raise InputError(_how_over_ros(over_ros, skills, world))
    else:
        from rarrl.executive.python_skills import PythonSkills

        end = _in_process(sentence, domain, config, policy, PythonSkills(domain))
    _say_end(end)


def _how_over_ros(names: list[str], skills: str, world: str) -> str:
    listed = ", ".join(names)[:80]
    launch = f"ros2 launch rarrl rarrl.launch.py skills:={Path(skills).resolve()} world:={Path(world).resolve()}"
    return (
        f"run: {listed} are run over ROS 2, where the task is carried out by a node: {launch}, and then "
        "ros2 topic pub --once /instruction std_msgs/msg/String"
    )


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
        return play_task(executive, sentence, _Told(player), ManualClock())

    session = _session(domain, config, policy)
    reasoner = make_reasoner(orchestrator.reasoner, settings=config.language_model)
    try:
        told = _Told(player, reasoner)
        return play_task(executive, sentence, told, ManualClock(), session, told)
    finally:
        reasoner.close()


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
    )
    return DecisionSession(made, domain=domain)


def _say_end(end: TaskEnd) -> None:
    from rarrl.executive.executive import TaskStatus

    thought = f", {end.calls} calls of {end.llm_s:.1f} s in all" if end.calls else ""
    typer.echo(f"{end.seconds:7.1f} s  {end.status.value}: {end.why} ({end.skills} skills{thought})")
    if end.status is not TaskStatus.SUCCEEDED:
        raise typer.Exit(1)
