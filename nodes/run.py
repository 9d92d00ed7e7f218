"""Runs the replay graph without ros2 launch, under its supervisor."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rarrl.build import ONLINE, REPLAYED
from rarrl.config import LanguageModelConfig, Scalar, config_from_flat
from rarrl.errors import DependencyMissingError, InputError, RarrlError
from rarrl.events import FILE_NAME

from .graph import NODES, Start
from .processes import environment_for
from .supervised import Supervised

logger = logging.getLogger(__name__)

POLL_S = 0.05
"""How often processes and logs are looked at: short against an episode, and no load on the processor."""

SIMULATED_S_PER_DECISION = 600.0
"""Simulated time after which a decision is considered to hang; far more than any attempt takes."""

START_S = 60.0
"""Time to start the processes, and to load a language model; importing ROS takes long on a busy machine."""


@dataclass(frozen=True)
class GraphRun:
    """A finished run.

    Attributes:
        run_dir: holds events.jsonl and a log per node.
        exit_codes: by node.
        seconds: real time from start to end.
        domain_id: the ROS_DOMAIN_ID that the graph ran in.
    """

    policy: str
    run_dir: Path
    exit_codes: dict[str, int]
    seconds: float
    domain_id: int


def run_graph(
    *,
    policy: str,
    profile: str,
    episodes: int,
    seed: int,
    speed: float,
    run_dir: Path,
    time_budget_s: float,
    token_budget: float,
    cost_weight: float,
    category: str = "all",
    alfred: str | Path | None = None,
    split: str | None = None,
    latency_scale: float = 1.0,
    shock: bool = False,
    reasoner: str = "profile",
    costs: str = ONLINE,
    home: str = "",
    language_model: LanguageModelConfig | None = None,
    on_episode: Callable[[int], None] | None = None,
    domain_id: int | None = None,
    timeout_s: float | None = None,
) -> GraphRun:
    """Plays `episodes` with `policy` on orchestrator_node and replay_node, each in its own process.

    The graph stays on this machine unless ROS_AUTOMATIC_DISCOVERY_RANGE or ROS_LOCALHOST_ONLY is set.

    Args:
        run_dir: created; receives events.jsonl, the parameter files and the output of each node.
        on_episode: called with the number of finished episodes, whenever it changes.
        domain_id: ROS_DOMAIN_ID of the graph; None: the one in the environment, or else one of its own, to keep other
            graphs on this machine apart.
        language_model: how the reasoner is run and asked; None: the defaults.
        timeout_s: real seconds after which the run is aborted; None: it may take as long as decisions are carried
            out, see `quiet_s`.
        policy, profile, seed, speed, ...: as in the configuration.

    Raises: InputError for a bad setting; DependencyMissingError without rclpy; RarrlError where a node died (with its
        exit status and last lines) or the time ran out."""
    model = language_model or LanguageModelConfig()
    settings: dict[str, Scalar] = {
        "orchestrator.policy": policy,
        "orchestrator.profile": profile,
        "orchestrator.reasoner": reasoner,
        "orchestrator.costs": costs,
        "orchestrator.home": str(Path(home).resolve()) if home else "",
        "orchestrator.cost_weight": float(cost_weight),
        "orchestrator.time_budget_s": float(time_budget_s),
        "orchestrator.token_budget": float(token_budget),
        "replay.episodes": episodes,
        "replay.seed": seed,
        "replay.category": category,
        "replay.alfred": "" if alfred is None else str(Path(alfred).resolve()),
        "replay.speed": float(speed),
        "replay.latency_scale": float(latency_scale),
        **({"replay.split": split} if split is not None else {}),
        **{f"language_model.{name}": value for name, value in model},
    }
    if find_spec("rclpy") is None:
        raise DependencyMissingError("run: rclpy is missing; pip install 'rarrl[ros]', or source a ROS 2 installation")
    config_from_flat(settings, "rarrl run")  # a bad value is reported before two processes start
    run_dir = Path(run_dir).resolve()
    if (run_dir / FILE_NAME).exists():
        raise InputError(f"run: {run_dir} holds a run already; choose another folder")
    live_s = 0.0 if reasoner == REPLAYED else min(time_budget_s, model.call_timeout_s)
    patience_s = quiet_s(speed, time_budget_s, live_s)

    started = time.monotonic()
    environment, domain = environment_for(domain_id)
    extra: dict[str, dict[str, Scalar]] = {"replay_node": {"run_dir": str(run_dir), "shock": shock}}
    starts = []
    for node in NODES:
        own = {n: v for n, v in settings.items() if n.partition(".")[0] in node.sections}
        starts.append(Start(node, {**own, **extra.get(node.name, {})}, [], essential=node.name == "replay_node"))

    with Supervised(run_dir, environment, starts) as graph:
        tail = Tail(run_dir / FILE_NAME)
        while graph.running():
            played = f"{tail.episodes} of {episodes} episodes played"
            now = time.monotonic()
            if timeout_s is not None and now - started > timeout_s:
                raise RarrlError(f"run: not finished after {timeout_s:.0f} s; {played}")
            if now - tail.heard > patience_s:
                raise RarrlError(
                    f"run: no decision was carried out for {patience_s:.0f} s; {played}; what the nodes said: "
                    f"{run_dir}/*.log"
                )
            if tail.advanced() and on_episode is not None:
                on_episode(tail.episodes)
            time.sleep(POLL_S)

        if tail.advanced() and on_episode is not None:
            on_episode(tail.episodes)
        codes = graph.codes

    if codes.get("orchestrator_node"):
        logger.warning("orchestrator_node ended with exit status %d after the run", codes["orchestrator_node"])
    return GraphRun(policy, run_dir, codes, time.monotonic() - started, domain)


def quiet_s(speed: float, time_budget_s: float, live_s: float) -> float:
    """Real seconds without a new line in the log after which a run is considered to hang.

    Args:
        speed: simulated seconds per real second.
        time_budget_s: simulated seconds that a replayed call may take.
        live_s: real seconds that a call of a live language model may take; 0 where calls are replayed."""
    return START_S + (SIMULATED_S_PER_DECISION + time_budget_s) / speed + live_s


class LineTail:
    """Follows a text file while another process appends to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0  # bytes of whole lines that have been read

    def new_lines(self) -> list[bytes]:
        """The lines that have been completed since the last call; none while the file does not exist."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                new = stream.read()
        except FileNotFoundError:
            return []

        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()


class Tail:
    """Counts the finished episodes in a growing events.jsonl.

    Attributes:
        episodes: how many are finished.
        heard: when a line was added last, seconds of the steady clock; at first, when this was made.
    """

    def __init__(self, path: Path) -> None:
        self._lines = LineTail(path)
        self.episodes = 0
        self.heard = time.monotonic()

    def advanced(self) -> bool:
        """Reads what is new; returns whether more episodes are finished than before."""
        lines = self._lines.new_lines()
        if lines:
            self.heard = time.monotonic()
        ended = sum(line.startswith(b'{"type": "end"') for line in lines)
        self.episodes += ended
        return ended > 0
