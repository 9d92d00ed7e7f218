"""`rarrl run` and `rarrl replay`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarrl.cli.common import guarded, new_run_folder
from rarrl.cli.language_model import LlmSettings, language_model_settings, language_model_values
from rarrl.cli.playing import (
    PLOT_HINT,
    LlmOption,
    OutOption,
    finish,
    in_graph,
    in_process,
    measured_costs,
    need_ros,
    play,
    tell_costs,
    told_where,
)
from rarrl.cli.skills import OperatorOption
from rarrl.cli.view import ViewOption
from rarrl.errors import InputError

if TYPE_CHECKING:
    from rarrl.config import Config
    from rarrl.reasoner.base import Reasoner

COMPARED = ("never", "always", "after_failure", "learned")

PolicyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="TEXT",
        help="Who decides: learned, a rule, or a safetensors file. Repeat it to compare several.",
    ),
]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="Latency profile: a shipped name, or a file.")]
EpisodesOption = Annotated[
    int | None,
    typer.Option("--n", "--episodes", "--missions", help="How many tasks each policy plays; of --sim: missions."),
]
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
CostsOption = Annotated[
    str | None,
    typer.Option(
        "--costs", help="Of live or slower calls: online (follow what they take), or static (believe the profile)."
    ),
]
ScaleOption = Annotated[float | None, typer.Option("--latency-scale", help="Factor on every latency.")]
RecordOption = Annotated[
    bool, typer.Option("--record", help="Record the topics as a bag of rosbag2, in the folder of the run.")
]
RecordToOption = Annotated[
    Path | None, typer.Option("--record-to", metavar="FOLDER", help="As --record, into this new folder.")
]
RecordImagesOption = Annotated[
    bool, typer.Option("--record-images", help="As --record, with images, clouds and maps: megabytes a second.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file; the options above win over it.")]


@guarded(PLOT_HINT)
def run(
    task: Annotated[
        str | None, typer.Argument(help="With --skills: what the robot is to do, one sentence.", show_default=False)
    ] = None,
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
    llm_option: LlmSettings = None,
    shock: ShockOption = False,
    latency_scale: ScaleOption = None,
    costs: CostsOption = None,
    speed: Annotated[float | None, typer.Option(help="Simulated seconds per real second.")] = None,
    sim: Annotated[
        bool, typer.Option("--sim", help="The whole robot in a simulated home instead of the replay, in real time.")
    ] = False,
    skills: Annotated[
        str | None,
        typer.Option("--skills", metavar="FILE", help="A task with this robot's skills: skills.yaml, or robot:NAME."),
    ] = None,
    world: Annotated[
        str | None, typer.Option("--world", metavar="FILE", help="With --skills: its world.yaml, or robot:NAME.")
    ] = None,
    operator_policy: OperatorOption = None,
    record: RecordOption = False,
    record_to: RecordToOption = None,
    record_images: RecordImagesOption = False,
    view: ViewOption = False,
    config: ConfigOption = None,
    out: OutOption = None,
) -> None:
    """Run orchestrator_node and replay_node on ROS 2, without ros2 launch; with --sim the whole robot in a home; with
    --skills a task with a robot's own skills: rarrl run --skills robot:pyrobosim "bring a soda to the desk"."""
    bag = _Beside(record or record_images or record_to is not None, record_to, record_images, view)
    if skills is not None:
        unused: dict[str, object] = {
            "n": episodes,
            "category": category,
            "alfred": alfred,
            "split": split,
            "shock": shock or None,
        }
        unused |= {"latency-scale": latency_scale, "speed": speed, "sim": sim or None, "out": out}
        _refuse_with(
            "--skills, which carries one task out", [name for name, each in unused.items() if each is not None]
        )
        if not task:
            raise InputError('run: --skills needs a sentence, such as "bring a soda to the desk"')
        if policy and len(policy) > 1:
            raise InputError("--policy: with --skills give one")
        from rarrl.cli.task import run_task

        orchestrator = _orchestrator_values(
            profile or "gpt4o-mini-anchor", time_budget, token_budget, cost_weight, llm, costs
        )
        settings = _config(config, orchestrator, {}, language_model_values(llm_option, llm))
        with bag.of(None):
            run_task(task, skills, world or "", operator_policy, settings, seed or 0, policy[0] if policy else None)
        return
    given = {"world": world, "operator-policy": operator_policy, "a sentence": task}
    for name, value in given.items():
        if value is not None:
            raise InputError(f"run: {name} goes with --skills, which names the robot's skills.yaml, or robot:NAME")
    if sim:
        language_model_settings(llm_option, llm)  # says what is wrong before a node starts
        replayed = {"category": category, "alfred": alfred, "split": split, "speed": speed}
        replayed |= {"latency-scale": latency_scale, "shock": shock or None}
        names = [name for name, value in replayed.items() if value is not None]
        _refuse_with("--sim, which carries --n missions out in real time", names)
        values = {
            "missions": 1 if episodes is None else episodes,
            "seed": seed,
            "policy": policy[0] if policy and len(policy) == 1 else None,
            "profile": profile,
            "time_budget_s": time_budget,
            "token_budget": token_budget,
            "cost_weight": cost_weight,
            "costs": costs,
            "reasoner": llm,
            **{f"llm_{name}": value for name, value in language_model_values(llm_option).items()},
        }
        _run_sim(policy, values, config, out, bag)
        return
    settings = _config(
        config,
        _orchestrator_values(profile, time_budget, token_budget, cost_weight, llm, costs),
        _replay_values(episodes, seed, category, alfred, split, latency_scale) | {"speed": speed},
        language_model_values(llm_option, llm),
    )
    policies = _policies(policy or [settings.orchestrator.policy], settings.orchestrator.profile)
    need_ros("rarrl run")
    folder = new_run_folder(out)
    settings = _with_costs(settings, folder, measure=profile is None and config is None)
    with bag.of(folder):
        play(folder, policies, settings, lambda p, f, u: in_graph(p, f, settings, shock, u))
    finish(folder, policies)


@guarded(PLOT_HINT)
def replay(
    bag: Annotated[
        Path | None,
        typer.Argument(help="A bag of rosbag2 instead of tasks: *.mcap, *.db3, or its folder.", show_default=False),
    ] = None,
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
    llm_option: LlmSettings = None,
    shock: ShockOption = False,
    latency_scale: ScaleOption = None,
    costs: CostsOption = None,
    config: ConfigOption = None,
    out: OutOption = None,
    update: Annotated[bool, typer.Option("--update", help="Of a bag: it is to expect what the parts say now.")] = False,
    extract: Annotated[
        Path | None,
        typer.Option("--extract", metavar="FILE", help="Of a bag: what a replay needs of it, as a new file."),
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="Of a bag: by which numbers may differ (m/s, rad/s, s, tokens).")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Of a bag: what came of it.")] = None,
) -> None:
    """Replay ALFRED tasks against a latency profile, in this process and as fast as it can; no ROS.

    Without --policy and --config, four policies are compared. With BAG, a recording of a robot goes through today's
    gate and orchestrator instead: exit status 1 where they come to something else."""
    of_bag = {"update": update or None, "extract": extract, "tolerance": tolerance, "json": json_file}
    if bag is None:
        given = [name for name, value in of_bag.items() if value is not None]
        if given:
            raise InputError(f"--{given[0]}: only with a bag; name it: rarrl replay BAG --{given[0]}")
    else:
        unused: dict[str, object] = {
            "n": episodes,
            "seed": seed,
            "category": category,
            "alfred": alfred,
            "split": split,
        }
        unused |= {"llm": llm, "llm-option": llm_option, "shock": shock or None, "latency-scale": latency_scale}
        unused |= {"config": config, "out": out}
        _refuse_with("a bag, which says itself what is played", [name for name, each in unused.items() if each])
        if policy and len(policy) > 1:
            raise InputError("--policy: with a bag give one")
        from rarrl.cli.bag import replay_bag

        own = _orchestrator_values(profile, time_budget, token_budget, cost_weight, None, costs)
        own["policy"] = policy[0] if policy else None
        overrides = {f"orchestrator.{name}": value for name, value in own.items() if value is not None}
        replay_bag(bag, overrides, 1e-3 if tolerance is None else tolerance, update, extract, json_file)
        return
    settings = _config(
        config,
        _orchestrator_values(profile, time_budget, token_budget, cost_weight, llm, costs),
        _replay_values(episodes, seed, category, alfred, split, latency_scale),
        language_model_values(llm_option, llm),
    )
    compared = [settings.orchestrator.policy] if config else list(COMPARED)
    policies = _policies(policy or compared, settings.orchestrator.profile)
    from rarrl_sim_envs.alfred.make import make_executive

    executive = make_executive(settings, shock)  # says what is wrong with the settings before a folder is made
    with _reasoner(settings) as reasoner:
        folder = new_run_folder(out)
        settings = _with_costs(settings, folder, measure=profile is None and config is None, reasoner=reasoner)
        play(folder, policies, settings, lambda p, f, u: in_process(p, f, settings, executive, reasoner, u))
    finish(folder, policies)


def _with_costs(config: Config, folder: Path, measure: bool, reasoner: Reasoner | None = None) -> Config:
    """`config` with a profile that fits its language model as far as is known, once the user is told what is not.

    measure: nobody named a profile, so that a few calls may be made to find out; the shipped model's is known."""
    from rarrl.build import REPLAYED

    live = config.orchestrator.reasoner
    if live == REPLAYED:
        return config
    measure = measure and live != "llama"
    if measure:
        hint = "measuring what calls take; --profile names a profile instead"
        config = measured_costs(config, folder, reasoner, hint)
    tell_costs(config, measure)
    return config


def _refuse_with(other: str, names: Sequence[str]) -> None:
    if names:
        raise InputError(f"--{names[0]}: not with {other}; leave it away")


@dataclass(frozen=True)
class _Beside:
    """What the options say of recording and watching. folder: of the bag; None: in the folder of the run."""

    wanted: bool
    folder: Path | None
    images: bool
    view: bool

    @contextmanager
    def of(self, run: Path | None) -> Iterator[None]:
        """Records and shows the graph that is started in the block. run: the folder of its run; None: it has none that
        is known before."""
        if not (self.wanted or self.view):
            yield
            return
        need_ros("rarrl run --record" if self.wanted else "rarrl run --view")
        from rarrl_nodes.bag_run import recording
        from rarrl_nodes.processes import environment_for
        from rarrl_nodes.view_run import viewing_graph

        new = Path("runs", datetime.now().strftime("%Y-%m-%d_%H-%M-%S_bag"))
        folder = self.folder or (new if run is None else run / "bag")
        environment = dict(os.environ) if run is None else environment_for(None)[0]
        with ExitStack() as beside:
            if self.wanted:
                beside.enter_context(recording(folder, self.images, environment, _say))
            if self.view:
                beside.enter_context(viewing_graph(environment, _say))
            yield


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _run_sim(
    policies: Sequence[str] | None, given: dict[str, Any], config: Path | None, out: Path | None, bag: _Beside
) -> None:
    """Carries missions out over the graph; a line for each."""
    from rarrl.config import given_settings

    if policies and len(policies) > 1:
        raise InputError("--policy: with --sim give one; `rarrl eval mission` compares several")
    need_ros("rarrl run --sim")
    from rarrl_nodes.sim_run import mission_line, run_sim

    texts = {name: str(value) for name, value in given.items() if value is not None}
    settings = given_settings(config)
    folder = new_run_folder(out)
    with bag.of(folder), told_where(folder):
        done = run_sim(
            texts,
            folder,
            lambda mission: typer.echo(mission_line(mission)),
            on_progress=lambda line: typer.echo(line, err=True),
            settings=settings,
        )
    typer.echo(f"{sum(bool(mission['success']) for mission in done)} of {len(done)} succeeded; logs: {folder}")


@contextmanager
def _reasoner(config: Config) -> Iterator[Reasoner | None]:
    """The reasoner of `config`, open; None where calls are replayed. Raises: InputError."""
    from rarrl.build import REPLAYED, make_reasoner

    spec = config.orchestrator.reasoner
    reasoner = None if spec == REPLAYED else make_reasoner(spec, settings=config.language_model)
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
    costs: str | None = None,
) -> dict[str, Any]:
    from rarrl.build import REPLAYED

    if profile is None and llm not in (None, REPLAYED):
        profile = "household"  # tasks with goals and plans
    return {
        "profile": profile,
        "reasoner": llm,
        "time_budget_s": time_budget,
        "token_budget": token_budget,
        "cost_weight": cost_weight,
        "costs": costs,
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


def _config(
    file: Path | None, orchestrator: dict[str, Any], replay: dict[str, Any], language_model: dict[str, Any]
) -> Config:
    """The configuration in `file` with the options that were given (not None) over it. Raises: InputError."""
    from rarrl.config import config_from_values, load_config

    values = load_config(file).model_dump()
    for section, given in (("orchestrator", orchestrator), ("replay", replay), ("language_model", language_model)):
        values[section] |= {key: value for key, value in given.items() if value is not None}
    return config_from_values(values, "command line")


def _policies(names: Sequence[str], profile: str) -> list[str]:
    """`names`, once it is sure that each can be loaded for `profile`. Raises: InputError."""
    from rarrl.build import make_orchestrator
    from rarrl.report.figure import MAX_POLICIES

    if len(names) > MAX_POLICIES:
        raise InputError(f"--policy: {len(names)} given; a report compares at most {MAX_POLICIES}")
    if len(set(names)) < len(names):
        raise InputError("--policy: the same policy is given twice; leave one away")
    for name in names:
        make_orchestrator(name, profile)
    return list(names)
