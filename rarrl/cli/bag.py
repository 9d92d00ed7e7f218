"""`rarrl record`, and `rarrl replay` of a bag."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import guarded
from rarrl.cli.playing import need_ros


@guarded("the bag is whole up to here")
def record(
    folder: Annotated[Path, typer.Argument(help="Folder of the new bag.", show_default=False)],
    images: Annotated[bool, typer.Option("--images", help="Also images, clouds and maps: megabytes a second.")] = False,
    topic: Annotated[
        list[str] | None, typer.Option("--topic", metavar="NAME", help="A further topic; repeat it for several.")
    ] = None,
) -> None:
    """Record a robot that runs already as a bag of rosbag2 (MCAP), until Ctrl-C: what its nodes say and hear."""
    need_ros("rarrl record")
    from rarrl_nodes.bag_recorder import record as record_topics

    record_topics(folder, images, topic or (), lambda line: typer.echo(line))
