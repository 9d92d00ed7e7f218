"""`rarrl eval alfworld`: the executive in a third party's text world, and what thinking adds there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import RayOption, WorkersOption, check_output, command_line, console, guarded, progress, table
from rarrl.cli.orchestrator import JsonOption, SeedOption

AlfworldOption = Annotated[
    Path | None,
    typer.Option("--alfworld", help="Folder of ALFWorld's games; default: ALFWORLD_DATA, else ~/.cache/alfworld."),
]
AnnotationsOption = Annotated[
    Path | None, typer.Option("--alfred", help="Folder of the ALFRED data set: what people said of the same games.")
]


@guarded("nothing was written; start again")
def eval_alfworld(
    split: Annotated[str, typer.Option(help="valid_seen, valid_unseen, train, or the path of games.")] = "valid_seen",
    goals: Annotated[
        str, typer.Option(help="template (ALFWorld's own sentences), human (needs --alfred), or both.")
    ] = "template",
    model: Annotated[
        str, typer.Option(help="Who is asked: shipped, smollm2 (recorded answers), or live (see --llm).")
    ] = "shipped",
    llm: Annotated[str, typer.Option(help="With --model live: the model, such as llama:FILE.gguf.")] = "llama",
    engine: Annotated[
        str | None, typer.Option(help="textworld, or our fast twin; default: textworld where it is installed.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="NAME", help="Only these, such as never or learned; repeat it."),
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="At most so many games.")] = None,
    alfworld: AlfworldOption = None,
    alfred: AnnotationsOption = None,
    workers: WorkersOption = 1,
    ray: RayOption = "",
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Play ALFWorld's games: success, LLM seconds and tokens of every policy, beside the executive without a model."""
    from rarrl.cli.results import print_results
    from rarrl_learning.alfworld.evaluate import engine_of
    from rarrl_learning.alfworld.evaluate import eval_alfworld as evaluate
    from rarrl_learning.spread import crew

    check_output(json, "--json")
    typer.echo(f"engine: {engine_of(engine)}")
    with crew(workers, ray) as pool, progress("playing games", 1.0) as update:
        results = evaluate(
            split,
            goals=goals,
            model=model,
            llm=llm,
            engine=engine,
            policies=policy,
            n=n,
            alfworld=alfworld,
            alfred=alfred,
            pool=pool,
            seed=seed,
            json_path=json,
            command=command_line(),
            progress=lambda what, share: update(share, what),
        )
    for kind in ("template", "human"):
        if kind in results["tables"]:
            head = ("policy", "success", "LLM seconds", "tokens", "calls", "skills")
            rows = [
                (name, *(f"{row[column][0]:.3g}" for column in ("success", "llm_s", "tokens", "calls", "skills")))
                for name, row in results["tables"][kind].items()
            ]
            console().print(table(f"{kind} goals, a game", head, rows))
    print_results(results)
    if json is not None:
        typer.echo(f"figures: {json}")
