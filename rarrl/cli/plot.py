"""`rarrl plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import check_output, guarded
from rarrl.cli.playing import finish, finish_missions
from rarrl.errors import InputError


@guarded()
def plot(
    source: Annotated[str, typer.Argument(help="Folder of a run, results file (JSON), or latency profile.")],
    out: Annotated[Path | None, typer.Option(help="Where the picture goes (results and profiles).")] = None,
) -> None:
    """Draw again: the report of a run, the Pareto picture of an evaluation, or a latency profile."""
    from rarrl.cli.results import is_results, plot_results
    from rarrl.latency.profile import shipped_profiles
    from rarrl_learning.household.report.page import MISSIONS
    from rarrl_learning.latency.jobs import show_profile

    path = Path(source)
    check_output(out, "--out")
    if source in shipped_profiles() or (path.suffix == ".json" and not is_results(path)):
        picture = out or Path(f"{path.stem}.png")
        show_profile(source, picture)
    elif path.suffix == ".json":
        picture = out or path.with_suffix(".png")
        plot_results(path, picture)
    else:
        if out is not None:
            raise InputError("--out: a run's report goes into its own folder; leave --out away")
        if (path / MISSIONS).exists():
            finish_missions(path)
        else:
            finish(path, [])
        return
    typer.echo(f"picture: {picture}")
