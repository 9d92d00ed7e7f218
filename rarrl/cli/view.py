"""`rarrl view`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rarrl.cli.common import guarded
from rarrl.errors import InputError

if TYPE_CHECKING:
    from rarrl.view.recorded import Player
    from rarrl.view.server import Source
    from rarrl_learning.household.live import LiveRecorder

ViewOption = Annotated[
    bool,
    typer.Option("--view", help="Show it live in a browser on this computer, see `rarrl view`; the URL is printed."),
]


@guarded()
def view(
    recorded: Annotated[
        Path | None,
        typer.Argument(
            help="What was recorded: a run's folder or its events.jsonl, a mission's trace_*.npz, a bag; default: the "
            "ROS graph that runs (ROS_DOMAIN_ID).",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the page is served; 0: a free port.")] = 0,
    policy: Annotated[str | None, typer.Option(help="Of a run: whose, where its folder holds several.")] = None,
    episode: Annotated[int | None, typer.Option(help="Of a run: which episode; default: the first.")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.01, max=100.0, help="Of a recording: its seconds for a real one.")
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Of the robot's nodes in the graph; default: none.")] = None,
) -> None:
    """Show a robot in the browser: camera with voxels, map, plan and beliefs, thinking and its budget, and why.

    The page is served on this computer alone, to whoever has the URL with its token. Ctrl-C ends it; the robot goes
    on."""
    given = {"policy": policy, "episode": episode, "speed": speed}
    if recorded is None:
        unused = [name for name, value in given.items() if value is not None]
        if unused:
            raise InputError(f"--{unused[0]}: only with a recording; name it: rarrl view RUN --{unused[0]}")
        with _graph(namespace or "") as source:
            _serve(source, port)
        return
    if namespace is not None:
        raise InputError("--namespace: not with a recording; leave it away")
    _serve(_player(recorded, policy, episode, speed or 1.0), port)


def _player(recorded: Path, policy: str | None, episode: int | None, speed: float) -> Player:
    """Raises: InputError for what cannot be shown."""
    from rarrl.bag.reader import SUFFIXES

    kind = _kind(recorded)
    if kind != "run" and (policy is not None or episode is not None):
        raise InputError(f"--{'policy' if policy is not None else 'episode'}: only with a run's log; leave it away")
    if kind == "trace":
        from rarrl_learning.household.report.trace import load_trace
        from rarrl_learning.household.view_trace import trace_player

        return trace_player(load_trace(_trace_in(recorded)), speed)
    if kind == "bag":
        from rarrl.bag.reader import Bag
        from rarrl_nodes.view_bag import bag_player

        return bag_player(Bag(recorded), speed)

    from rarrl.cli.why import OLD_COST_WEIGHT, choose_run
    from rarrl.report.runs import read_runs
    from rarrl.view.recorded import episode_player

    if not recorded.exists():
        raise InputError(
            f"view: {recorded} does not exist (allowed: a run's folder, events.jsonl, trace_*.npz, or a bag: "
            f"*{', *'.join(SUFFIXES)} or its folder)"
        )
    run = choose_run(read_runs(recorded), policy)
    numbers = [each.number for each in run.episodes]
    if not numbers:
        raise InputError(f"view: {recorded} holds no finished episode")
    if episode is not None and episode not in numbers:
        raise InputError(f"--episode: {episode} is not in the run (it has: {numbers[0]} to {numbers[-1]})")
    price = run.header.cost_weight
    number = numbers[0] if episode is None else episode
    return episode_player(run, number, OLD_COST_WEIGHT if price is None else price, speed)


def _kind(recorded: Path) -> str:
    """run, trace or bag, by what is there."""
    from rarrl.bag.reader import SUFFIXES
    from rarrl.events import FILE_NAME

    if recorded.suffix == ".npz":
        return "trace"
    if recorded.suffix in SUFFIXES or (recorded / "metadata.yaml").exists():
        return "bag"
    logged = (recorded / FILE_NAME).exists() or any(recorded.glob(f"*/{FILE_NAME}"))
    return "trace" if recorded.is_dir() and not logged and _traces(recorded) else "run"


def _traces(folder: Path) -> list[Path]:
    return sorted(folder.glob("trace_*.npz"))


def _trace_in(path: Path) -> Path:
    """The trace itself; of a demo's folder the one with the most in it, which is the filmed one."""
    return max(_traces(path), key=lambda file: file.stat().st_size) if path.is_dir() else path


@contextmanager
def _graph(namespace: str) -> Iterator[Source]:
    from rarrl.cli.playing import need_ros

    need_ros("rarrl view of a running robot")
    from rarrl_nodes.view_listener import listening

    with listening(namespace) as source:
        yield source


def _serve(source: Source, port: int) -> None:
    """Until Ctrl-C."""
    from rarrl.view.server import viewing

    with viewing(source, port) as server:
        say_url(server.url)
        with suppress(KeyboardInterrupt):  # which is how it ends
            threading.Event().wait()


def say_url(url: str) -> None:
    """Where the page is: on stderr, with its token."""
    typer.echo(f"view: {url}", err=True)
    sys.stderr.flush()


def maybe_graph(wanted: bool) -> AbstractContextManager[None]:
    """A context in which the graph that this process starts is shown, where that is `wanted`."""
    if not wanted:
        return nullcontext()
    from rarrl_nodes.processes import environment_for
    from rarrl_nodes.view_run import viewing_graph

    return viewing_graph(environment_for(None)[0], lambda line: typer.echo(line, err=True))


@contextmanager
def live(wanted: bool, pictures: bool = False) -> Iterator[LiveRecorder | None]:
    """Shows the missions that the recorder takes in, where that is `wanted`; else there is none. pictures: the recorder
    keeps them, too."""
    if not wanted:
        yield None
        return
    from rarrl.view.server import viewing
    from rarrl_learning.household.live import LiveRecorder

    recorder = LiveRecorder(pictures=pictures)
    with viewing(recorder) as server:
        say_url(server.url)
        yield recorder
