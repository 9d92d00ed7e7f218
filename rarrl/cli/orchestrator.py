"""`rarrl train orchestrator`, `tune rules`, `eval orchestrator` and `bench orchestrator`."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import RayOption, Update, check_output, command_line, console, guarded, progress
from rarrl.errors import InputError

AlfredOption = Annotated[
    Path | None,
    typer.Option("--alfred", help="Folder of the ALFRED data set; default: plans drawn from its statistics."),
]
SplitOption = Annotated[
    str | None, typer.Option("--split", help="With --alfred: which split; train where there is one.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="The same seed gives the same result.")]
AnswersOption = Annotated[
    str | None, typer.Option("--profile", help="`recorded`, or a profile with recorded answers: play on these.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write figures, tables, machine and versions here.")]


@guarded("the same command goes on from the last checkpoint")
def train_orchestrator(
    steps: Annotated[int, typer.Option(min=1, help="Decisions to learn from.")] = 20_000_000,
    seed: SeedOption = 0,
    variant: Annotated[
        str, typer.Option(help="full, no_budget, no_history, planner_only, verifier_only or when2ask.")
    ] = "full",
    algorithm: Annotated[str, typer.Option(help="ppo or dqn.")] = "ppo",
    hard: Annotated[bool, typer.Option("--hard", help="A call beyond the budget ends the task (Lagrangian).")] = False,
    alfred: AlfredOption = None,
    split: SplitOption = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Latency profiles to train on; repeat it. `recorded`, or one with answers: train on these.",
        ),
    ] = None,
    features: Annotated[
        str,
        typer.Option(help="names (ALFRED's actions), or nameless (any robot's skills: random skill sets, and ALFRED)."),
    ] = "names",
    out: Annotated[Path | None, typer.Option(help="Folder of checkpoints and result.")] = None,
    world: Annotated[
        str, typer.Option(help="replay (ALFRED's plans), or alfworld: ALFWorld's games, with recorded answers.")
    ] = "replay",
    alfworld: Annotated[
        Path | None, typer.Option("--alfworld", help="With --world alfworld: folder of its games.")
    ] = None,
    games: Annotated[int | None, typer.Option(min=1, help="With --world alfworld: games to learn from.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="With --world alfworld: processes.")] = 1,
    ray: RayOption = "",
) -> None:
    """Train the orchestrator's policy in simulation (PPO). Interrupt it at will: the same command goes on."""
    if world not in ("replay", "alfworld"):
        raise InputError(f"--world: {world[:40]!r} is none (allowed: replay, alfworld)")
    if world == "alfworld":
        _train_alfworld(alfworld, alfred, games, workers, ray, seed, out)
        return
    from rarrl.orchestrator.learned import save_policy
    from rarrl.results import machine, versions
    from rarrl_learning.orchestrator.train import TrainConfig
    from rarrl_learning.orchestrator.train_alfred import train_on_recordings
    from rarrl_learning.orchestrator.train_alfred import train_orchestrator as train
    from rarrl_learning.orchestrator.train_nameless import NAMELESS_LAYERS, train_nameless
    from rarrl_sim_envs.alfred.datasets import (
        RECORDED_TRAINING,
        TRAINING_PROFILES,
        load_plans,
        load_tables,
        recordings_hash,
    )

    nameless = features == "nameless"
    layers = NAMELESS_LAYERS if nameless else TrainConfig().layers
    config = TrainConfig(
        steps=steps, seed=seed, variant=variant, algorithm=algorithm, hard=hard, features=features, layers=layers
    )
    kind = f"{variant}_{algorithm}{'_hard' if hard else ''}{'_nameless' if nameless else ''}"
    folder = out or Path("runs") / f"orchestrator_{kind}_seed{seed}"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out: {folder} is a file; give a folder")
    check_output(folder / "card.json", "--out")
    recorded = _recorded_profile(profile, RECORDED_TRAINING)
    _no_alfred_with(recorded, alfred)
    if nameless and recorded:
        raise InputError(
            f"--features: nameless cannot learn from {recorded}, which holds answers to ALFRED's goals; give a profile "
            "of your robot (`rarrl profile record --skills FILE --world FILE`), one of latencies, or none"
        )
    profiles = [recorded] if recorded else profile or TRAINING_PROFILES
    load_tables(profiles)  # a bad one is refused before the data set is read
    plans, data = ([], recordings_hash(recorded)) if recorded else load_plans(alfred, split)
    with progress("training", steps) as update:
        policy, figures = None, {}
        rate = _Rate()

        def on_rollout(done: int, now: dict[str, float]) -> None:
            figures.update(now)
            update(
                done,
                f"{rate(done):,.0f} steps/s, success {now['success']:.3f}, LLM {now['llm_seconds']:.1f} s a task",
            )

        if recorded:
            policy = train_on_recordings(config, folder / "training", recorded, on_rollout)
        elif nameless:
            policy = train_nameless(config, folder / "training", plans, profiles, on_rollout)
        else:
            policy = train(config, folder / "training", plans, profiles, on_rollout)
    card = {
        "command": command_line(),
        "seed": seed,
        "variant": variant,
        "algorithm": algorithm,
        "hard": hard,
        "features": features,
        "steps": steps,
        "data": data,
        "profiles": list(profiles),
        "metrics": {f"last_rollout_{name}": round(value, 4) for name, value in figures.items()},
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
    }
    save_policy(policy, folder, card)
    typer.echo(f"policy: {folder / 'policy.safetensors'}")
    typer.echo(f"try it: {_try_it(folder, recorded, nameless, profile)}")


def _train_alfworld(
    alfworld: Path | None,
    alfred: Path | None,
    games: int | None,
    workers: int,
    ray: str,
    seed: int,
    out: Path | None,
) -> None:
    from rarrl_learning.alfworld.evaluate import FOLDER
    from rarrl_learning.alfworld.train import train_alfworld
    from rarrl_learning.spread import crew

    if alfred is None:
        raise InputError("--alfred: --world alfworld needs what people said of its games; name ALFRED's folder")
    folder = out or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    check_output(folder / "card.json", "--out")
    with crew(workers, ray) as pool, progress("training", 1.0) as update:
        card = train_alfworld(
            alfworld,
            alfred,
            n=games,
            pool=pool,
            seed=seed,
            folder=folder,
            command=command_line(),
            progress=_said(update),
        )
    for name, value in card["metrics"].items():
        typer.echo(f"{name}: {value:.4f}")
    typer.echo(f"policy: {folder / 'policy.safetensors'}")


@guarded()
def rule_list() -> None:
    """List the rules that decide when to think, as --policy of run, replay and demo takes them."""
    from rarrl.orchestrator.rules import RULES

    for name in RULES:
        family = RULES[name]
        only = " (recorded answers only)" if family.needs_plan else " (latencies only)" if family.needs_guard else ""
        says = " ".join((family.make.__doc__ or "").split())
        typer.echo(f"{name}{only}: {says}")
        if family.axes:
            typer.echo(f"    parameters: {', '.join(family.axes)}")
    typer.echo(
        '\nNAME has the parameters tuned for the profile; NAME:{"key": value} has these. With "beside": true any rule '
        "thinks while the robot goes on with what the answer cannot spoil. Besides: learned, recorded, "
        "household (trained weights), the path of a weights file, package.module:Class (your own)."
    )


def _try_it(folder: Path, recorded: str | None, nameless: bool, profiles: list[str] | None) -> str:
    """A command that plays the new policy beside rules, on a profile of the kind that it was trained on.

    The goals of ALFRED's tasks do not come with rarrl. A policy for recorded answers is played on its own profile only
    where the goals are at hand, else on the shipped profile `household`."""
    from rarrl.alfred import HOUSEHOLD_TASKS, read_alfred
    from rarrl.latency.profile import load_profile

    if nameless:
        command = ["rarrl", "eval", "skillsets", "--part", "answers", "--robots", "400", "--models", str(folder)]
        return shlex.join([*command, *(["--profile", profiles[0]] if profiles else [])])
    command = ["rarrl", "replay", "--policy", "never", "--policy", "always", "--policy", str(folder)]
    if recorded:
        trials = {plan.trial for plan in read_alfred(HOUSEHOLD_TASKS).plans}
        at_hand = any(task.trial in trials for task in load_profile(recorded).tasks or ())
        command += ["--profile", recorded if at_hand else "household"]
    return shlex.join(command)


def _recorded_profile(profiles: list[str] | None, shipped: str) -> str | None:
    """The one profile whose recorded answers are meant, `recorded` standing for `shipped`; None where none is.

    Raises: InputError where it is not alone, or a profile is bad."""
    from rarrl_sim_envs.alfred.datasets import RECORDED, holds_answers

    names = [shipped if name == RECORDED else name for name in profiles or []]
    found = [name for name in names if holds_answers(name)]
    if found and len(names) > 1:
        raise InputError(f"--profile: {found[0]} has recorded answers and goes alone; give no other")
    return found[0] if found else None


def _no_alfred_with(recorded: str | None, alfred: Path | None) -> None:
    if recorded and alfred is not None:
        raise InputError(f"--alfred: {recorded} holds its tasks itself; leave --alfred away")


class _Rate:
    """Steps a second since the first call."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def __call__(self, done: int) -> float:
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        return (done - self._first[1]) / max(now - self._first[0], 1e-9)


@guarded("nothing was written; start again")
def tune_rules(
    steps: Annotated[
        int, typer.Option(min=1, help="Environment steps for each rule under each condition.")
    ] = 20_000_000,
    seed: SeedOption = 0,
    alfred: AlfredOption = None,
    split: SplitOption = None,
    profile: AnswersOption = None,
    skillsets: Annotated[
        bool, typer.Option("--skillsets", help="On random skill sets, as `train orchestrator --features nameless`.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the parameters go (JSON).")] = Path("rules.json"),
) -> None:
    """Find the best parameters of every rule, with as much data as the learned policy gets."""
    from rarrl.cli.common import table
    from rarrl_learning.orchestrator.tune import tune_on_recordings, tune_on_skillsets
    from rarrl_learning.orchestrator.tune import tune_rules as tune
    from rarrl_sim_envs.alfred.datasets import RECORDED_TRAINING, load_plans

    check_output(out, "--out")
    recorded = _answers_of(profile, RECORDED_TRAINING)
    _no_alfred_with(recorded, alfred)
    if skillsets and (alfred is not None or recorded):
        raise InputError("--skillsets: skill sets are drawn; leave --alfred and --profile away")
    with progress("tuning", 1.0) as update:
        if skillsets:
            document = tune_on_skillsets(steps, seed, out, command_line(), _said(update))
        elif recorded:
            document = tune_on_recordings(recorded, steps, seed, out, command_line(), _said(update))
        else:
            plans, data = load_plans(alfred, split)
            document = tune(plans, data, steps, seed, out, command=command_line(), progress=_said(update))
    for condition, families in document["conditions"].items():
        rows = [
            (name, f"{100 * entry['success']:.1f} %", f"{entry['llm_seconds']:.1f}", _parameters(entry["params"]))
            for name, entry in families.items()
        ]
        console().print(table(condition, ("rule", "success", "LLM seconds", "parameters"), rows))
    typer.echo(f"rules: {out}")


@guarded("nothing was written; start again")
def eval_orchestrator(
    seed: SeedOption = 0,
    alfred: AlfredOption = None,
    split: SplitOption = None,
    profile: AnswersOption = None,
    replicas: Annotated[int, typer.Option(min=1, max=1000, help="How often each plan is played.")] = 4,
    json: JsonOption = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the Pareto picture here (PNG).")] = None,
) -> None:
    """Hold the learned policy against every rule: success, LLM seconds, tokens, shocks, jitter, ablations."""
    from rarrl.cli.results import print_results
    from rarrl_learning.orchestrator.evaluate import eval_orchestrator as evaluate
    from rarrl_learning.orchestrator.evaluate_recorded import eval_recorded
    from rarrl_sim_envs.alfred.datasets import RECORDED_EVALUATION, load_plans

    check_output(json, "--json")
    check_output(picture, "--picture")
    recorded = _answers_of(profile, RECORDED_EVALUATION)
    _no_alfred_with(recorded, alfred)
    if recorded:
        with progress("evaluating", 1.0) as update:
            results = eval_recorded(
                recorded,
                seed=seed,
                replicas=replicas,
                json_path=json,
                command=command_line(),
                progress=_said(update),
            )
        print_results(results)
        _tell_files(json, None)
        return
    plans, data = load_plans(alfred, split)
    with progress("evaluating", 1.0) as update:
        results = evaluate(
            plans,
            data,
            seed=seed,
            replicas=replicas,
            json_path=json,
            picture=picture,
            command=command_line(),
            split=split,
            progress=_said(update),
        )
    print_results(results)
    _tell_files(json, picture)


@guarded("nothing was written; start again")
def eval_skillsets(
    seed: SeedOption = 0,
    alfred: AlfredOption = None,
    split: SplitOption = None,
    robots: Annotated[int, typer.Option(min=10, max=100_000, help="Random robots in each comparison.")] = 4000,
    replicas: Annotated[int, typer.Option(min=1, max=1000, help="How often each of ALFRED's plans is played.")] = 4,
    part: Annotated[str, typer.Option(help="all, binding or answers (random skill sets), or alfred.")] = "all",
    models: Annotated[Path | None, typer.Option(help="Folder of the weights; default: the shipped ones.")] = None,
    rules: Annotated[Path | None, typer.Option(help="Tuned rules; default: the shipped ones.")] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="Whose calls the random robots make; default: two profiles that nothing was fitted to."),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Hold the nameless policy against every rule on skills that it never saw, and against `learned` on ALFRED."""
    from rarrl.cli.results import print_results
    from rarrl.orchestrator.registry import SKILLSET_RULES_FILE
    from rarrl_learning.orchestrator.evaluate_skillsets import eval_skillsets as evaluate
    from rarrl_sim_envs.alfred.datasets import load_plans

    check_output(json, "--json")
    if profile is not None and part == "alfred":
        raise InputError("--profile: goes with random skill sets; ALFRED's tasks are played on those of training")
    plans, data = load_plans(alfred, split)
    with progress("evaluating", 1.0) as update:
        results = evaluate(
            plans,
            data,
            seed=seed,
            robots=robots,
            replicas=replicas,
            part=part,
            json_path=json,
            command=command_line(),
            split=split,
            models=models,
            rules_file=rules or SKILLSET_RULES_FILE,
            profile=profile,
            progress=_said(update),
        )
    print_results(results)
    _tell_files(json, None)


@guarded("nothing was written; start again")
def bench_orchestrator(seed: SeedOption = 0, json: JsonOption = None) -> None:
    """Measure speed: environment, learning, one decision, the import of the core."""
    from rarrl.cli.results import print_results
    from rarrl_learning.orchestrator.benchmark import bench_orchestrator as bench

    check_output(json, "--json")
    with progress("measuring", 1.0) as update:
        results = bench(seed=seed, json_path=json, command=command_line(), progress=_said(update))
    print_results(results)
    _tell_files(json, None)


@guarded("nothing was written; start again")
def bench_costs(
    seed: SeedOption = 0,
    alfred: AlfredOption = None,
    split: SplitOption = None,
    robots: Annotated[int, typer.Option(min=10, max=100_000, help="Runs of 12 tasks in each comparison.")] = 400,
    json: JsonOption = None,
) -> None:
    """Make calls slower than recorded (x 4, busy cores, cold starts): what deciding by today's costs is worth."""
    from rarrl.cli.results import print_results
    from rarrl_learning.orchestrator.busy_cores import measure_busy_cores
    from rarrl_learning.orchestrator.cost_shift import bench_costs as bench
    from rarrl_sim_envs.alfred.datasets import load_plans

    check_output(json, "--json")
    plans, _ = load_plans(alfred, split)
    with progress("measuring", 1.0) as update:
        busy = measure_busy_cores(seed=seed, progress=_said(update))
    with progress("playing", 1.0) as update:
        results = bench(
            plans,
            busy=busy.factors.tolist(),
            robots=robots,
            seed=seed,
            json_path=json,
            command=command_line(),
            busy_table=busy.table(),
            progress=_said(update),
        )
    print_results(results)
    _tell_files(json, None)


def _answers_of(profile: str | None, shipped: str) -> str | None:
    recorded = _recorded_profile(None if profile is None else [profile], shipped)
    if profile is not None and recorded is None:
        raise InputError(f"--profile: {profile} has no recorded answers; `rarrl profile record` makes such a one")
    return recorded


def _said(update: Update):  # type: ignore[no-untyped-def]
    """The library's progress(what, share) as ours."""
    return lambda what, share: update(share, what)


def _parameters(params: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in params.items())


def _tell_files(json: Path | None, picture: Path | None) -> None:
    for name, path in (("figures", json), ("picture", picture)):
        if path is not None:
            typer.echo(f"{name}: {path}")
