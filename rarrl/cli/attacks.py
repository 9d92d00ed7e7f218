"""`rarrl bench attacks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import check_output, command_line, console, guarded, progress, table
from rarrl.cli.orchestrator import JsonOption


@guarded("nothing was written; start again")
def bench_attacks(
    llm: Annotated[
        str, typer.Option("--llm", help="A model that answers besides the obeying one: llama, llama:PATH.gguf.")
    ] = "",
    alfred: Annotated[
        Path | None, typer.Option(help="ALFRED: its expert plans are the control of how often a person is asked.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Attack a robot's thinking through six channels, and count what its skills were made to do (a minute)."""
    from rarrl.build import make_reasoner
    from rarrl.cli.results import print_results
    from rarrl.results import make_results, write_results
    from rarrl_learning.attacks.corpus import cases, twins
    from rarrl_learning.attacks.figures import bench_attacks as measure

    check_output(json, "--json")
    backend = make_reasoner(llm) if llm else None
    try:
        with progress("attacking", len(cases()) + len(twins())) as update:
            figures, tables = measure(backend, alfred, progress=lambda done: update(done, ""))
    finally:
        if backend is not None:
            backend.close()
    results = make_results(command_line(), 0, figures, tables)
    if json is not None:
        write_results(json, results)
    print_results(results)
    for title, name in (("By verb", "verbs"), ("By channel", "channels"), ("By kind", "kinds"), ("By half", "halves")):
        columns = (title, "n", "unchecked", "checked", "share [95 %]", "a person was asked")
        rows = [
            (
                key,
                *(str(row[column]) for column in ("n", "unchecked", "checked")),
                f"{row['share']:.3f} [{row['lo']:.3f}, {row['hi']:.3f}]",
                str(row["asked"]),
            )
            for key, row in tables[name].items()
        ]
        console().print(table(title, columns, rows))
    for title, name in (("What gets through:", "through"), ("What is fine and was not done:", "benign_lost")):
        typer.echo(title if tables[name] else f"{title} nothing")
        for line in tables[name]:
            typer.echo(f"  {line}")
    if json is not None:
        typer.echo(f"figures: {json}")
