"""`rarrl record`, and `rarrl replay` of a bag."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from rarrl.cli.common import check_output, guarded
from rarrl.cli.playing import need_ros
from rarrl.errors import InputError
from rarrl.files import write_json_atomic


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


def replay_bag(
    path: Path, overrides: dict[str, Any], tolerance: float, update: bool, extract: Path | None, json_file: Path | None
) -> None:
    """Plays a bag; a line for each part. Exit status 1 where something moved and is not accepted by `update`.

    overrides: settings that win over the recorded ones.

    Raises: InputError, DependencyMissingError."""
    check_output(json_file, "--json")
    if not 0.0 <= tolerance < math.inf:
        raise InputError(f"--tolerance: {tolerance} (allowed: a finite number of at least 0)")
    from rarrl.bag.reader import Bag
    from rarrl_nodes import bag_replay

    bag = Bag(path)
    replay = bag_replay.replay_bag(bag, overrides, tolerance, repair=update or extract is not None)
    typer.echo(f"{path}: {replay.seconds:.1f} s, {sum(bag.counts.values())} messages of {len(bag.topics)} topics")
    for line in (*(each.line for each in replay.comparisons), *replay.notes):
        typer.echo(line)
    if json_file is not None:
        write_json_atomic(json_file, replay.to_json())
    if update or extract is not None:
        bag_replay.update(bag, replay, extract)
        typer.echo(f"{extract or path} expects this from now on")
    elif replay.moved:
        raise typer.Exit(1)
