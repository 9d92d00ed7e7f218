"""The command line: `rarrl --help`. Each command imports what it needs when it runs, so that help is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from rarrl import __version__
from rarrl.cli import (
    alfworld,
    ask,
    attacks,
    bag,
    demo,
    detector,
    doctor,
    faults,
    mission,
    orchestrator,
    planner,
    plot,
    policy,
    policy_speed,
    profile,
    quantize,
    run,
    skill_missions,
    skills,
    sweep,
    timing,
    tune_robot,
    view,
    why,
)
from rarrl.resources.threads import plan_threads

app = typer.Typer(
    name="rarrl",
    help="Lets a robot see, act and decide when to think, on the computer that it carries.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _group(name: str, text: str) -> typer.Typer:
    group = typer.Typer(help=text, no_args_is_help=True)
    app.add_typer(group, name=name)
    return group


app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("run")(run.run)
app.command("replay")(run.replay)
app.command("record")(bag.record)
app.command("ask")(ask.ask)
app.command("plot")(plot.plot)
app.command("why")(why.why)
app.command("view")(view.view)
app.command("quantize")(quantize.quantize)
app.command("convert")(policy.convert)
_train = _group("train", "Train the parts that learn.")
_train.command("orchestrator")(orchestrator.train_orchestrator)
_train.command("detector")(detector.train_detector)
_train.command("planner")(planner.train_planner)
_train.command("policy")(policy.train_policy)
_train.command("policy-speed")(policy_speed.train_policy_speed)
_train.command("policy-student")(policy_speed.train_policy_student)
_train.command("skills")(skill_missions.train_skills)
_tune = _group("tune", "Search settings: of the rules, of a policy's speed, of a robot for this computer.")
_tune.command("rules")(orchestrator.tune_rules)
_tune.command("policy")(policy_speed.tune_policy)
_tune.command("robot")(tune_robot.tune_robot)
_group("sweep", "Train over a grid of settings.").command("orchestrator")(sweep.sweep_orchestrator)
_eval = _group("eval", "Measure how good the parts are.")
_eval.command("orchestrator")(orchestrator.eval_orchestrator)
_eval.command("skillsets")(orchestrator.eval_skillsets)
_eval.command("skills")(skill_missions.eval_skills)
_eval.command("alfworld")(alfworld.eval_alfworld)
_eval.command("detector")(detector.eval_detector)
_eval.command("fusion")(detector.eval_fusion)
_eval.command("planner")(planner.eval_planner)
_eval.command("policy")(policy.eval_policy)
_eval.command("mission")(mission.eval_mission)
_bench = _group("bench", "Measure how fast the parts are.")
_bench.command("orchestrator")(orchestrator.bench_orchestrator)
_bench.command("costs")(orchestrator.bench_costs)
_bench.command("attacks")(attacks.bench_attacks)
_bench.command("detector")(detector.bench_detector)
_bench.command("planner")(planner.bench_planner)
_bench.command("policy")(policy_speed.bench_policy)
_bench.command("quantize")(quantize.bench_quantize)
_bench.command("timing")(timing.bench_timing)
_bench.command("quantized-policy")(quantize.bench_quantized_policy)
_group("serve", "Offer the parts to other programs.").command("policy")(policy.serve_policy)
_faults = _group("faults", "Faults injected on purpose, and what becomes of the robot.")
_faults.command("run")(faults.run)
_faults.command("list")(faults.list_rows)
_faults.command("inject")(faults.inject)
_profile = _group("profile", "Latency profiles: what a language model costs.")
_profile.command("list")(profile.profile_list)
_profile.command("show")(profile.profile_show)
_profile.command("import")(profile.profile_import)
_profile.command("record")(profile.profile_record)
_profile.command("record-skills")(skill_missions.record_skills)
_group("rule", "Rules that decide when to think.").command("list")(orchestrator.rule_list)
_data = _group("data", "Demonstrations to learn from.")
_data.command("record")(policy.record)
_data.command("calibrate")(policy.calibrate)
_data.command("export")(policy.export)
_skills = _group("skills", "A robot's own skills and world: the two files.")
_skills.command("new")(skills.new)
_skills.command("check")(skills.check)
_skills.command("plan")(skills.plan)
_group("alfred", "The ALFRED data set.").command("statistics")(profile.alfred_statistics)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rarrl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The entry point of the `rarrl` command."""
    plan_threads()
    app()
