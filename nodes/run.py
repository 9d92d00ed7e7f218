"""Runs the replay graph without ros2 launch: two supervised processes, ended in order."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from rarrl.build import ONLINE, REPLAYED
from rarrl.config import LanguageModelConfig, Scalar, config_from_flat
from rarrl.errors import DependencyMissingError, InputError, RarrlError
from rarrl.events import FILE_NAME

from .graph import NODES, to_params_file

logger = logging.getLogger(__name__)

GRACE_S = 5.0
"""Time between SIGINT and SIGKILL: for the last messages, the log and the worker processes."""

POLL_S = 0.05
"""How often processes and logs are looked at: short against an episode, and no load on the processor."""

SIMULATED_S_PER_DECISION = 600.0
"""Simulated time after which a decision is considered to hang; far more than any attempt takes."""

START_S = 60.0
"""Time to start the processes, and to load a language model; importing ROS takes long on a busy machine."""

LOG_LINES = 5
"""Last lines of a node's output that an error message quotes."""

SAFE_DOMAINS = 100
"""ROS_DOMAIN_ID 1 to 100: up to 101, the ports are outside the ephemeral range on every platform; 0 is the default."""

MAX_DOMAIN = 232
"""Largest ROS_DOMAIN_ID whose ports exist."""

_PR_SET_PDEATHSIG = 1  # Linux's <sys/prctl.h>


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
    with Processes(run_dir, environment) as processes:
        for node in NODES:
            own = {n: v for n, v in settings.items() if n.partition(".")[0] in node.sections}
            processes.start(node.name, node.module, {**own, **extra.get(node.name, {})})

        tail = Tail(run_dir / FILE_NAME)
        while processes.running("replay_node"):
            processes.check_alive("orchestrator_node")
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
        processes.check_ended_well("replay_node")
        codes = processes.stop()

    if codes["orchestrator_node"] != 0:
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


class Processes:
    """Nodes as child processes; leaving the `with` block ends them all, even after an error.

    Args:
        folder: receives each node's parameter file and output.
        environment: of the processes; see `environment_for`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        name: str,
        module: str,
        parameters: Mapping[str, Scalar],
        remappings: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Starts `module` as node `name`; a node that has ended may be started again.

        Raises: InputError where the folder cannot be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            params_file = self._folder / f"{name}.params.yaml"
            params_file.touch(0o600)  # headers and fields of requests are nobody else's business
            params_file.chmod(0o600)
            params_file.write_text(to_params_file(parameters), "utf-8")
            log = self._log_path(name).open("ab")
        except OSError as error:
            raise InputError(f"run: cannot write to {self._folder} ({error.strerror}); choose another folder") from None

        command = [sys.executable, "-m", module, "--ros-args", "--params-file", str(params_file)]
        command += [part for old, new in remappings for part in ("-r", f"{old}:={new}")]

        with log:
            self._children[name] = subprocess.Popen(
                command,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only this process, which then stops the nodes in order
                preexec_fn=_before_exec if sys.platform == "linux" else None,
            )

    def kill(self, name: str) -> None:
        """Kills the node, as a crash would end it."""
        self._children[name].kill()
        self._children[name].wait()

    def running(self, name: str) -> bool:
        """Whether the node is still running."""
        return self._children[name].poll() is None

    def check_alive(self, name: str) -> None:
        """Raises: InputError or RarrlError where `name` has ended."""
        if not self.running(name):
            self._report_end(name)

    def check_ended_well(self, name: str) -> None:
        """Waits for `name` to end. Raises: InputError or RarrlError where its exit status is not 0."""
        if self._children[name].wait() != 0:
            self._report_end(name)

    def stop(self) -> dict[str, int]:
        """Ends every running node with SIGINT, and with SIGKILL after GRACE_S. Returns the exit codes by node."""
        for child in self._children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGINT)

        deadline = time.monotonic() + GRACE_S
        for name, child in self._children.items():
            try:
                child.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                logger.warning("%s does not react to SIGINT: killed", name)
                child.kill()
                child.wait()

        return {name: child.returncode for name, child in self._children.items()}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _log_path(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _report_end(self, name: str) -> None:
        """Raises the error that `name` ended with: its own message where it printed one, else its last lines."""
        code = self._children[name].returncode
        lines = self._log_path(name).read_text("utf-8", "replace").strip().splitlines()[-LOG_LINES:]
        ours = [line.removeprefix("rarrl: ") for line in lines if line.startswith("rarrl: ")]
        if code == 2 and ours:  # bad input, which the node has reported in one line
            raise InputError(ours[-1])

        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        last = " | ".join(lines) or "it printed nothing"
        raise RarrlError(f"run: {name} {how}; its last lines (all: {self._log_path(name)}): {last}")


def environment_for(domain_id: int | None) -> tuple[dict[str, str], int]:
    """Environment variables of a graph's processes, and its ROS_DOMAIN_ID; see `run_graph`.

    Raises: InputError for a domain that does not exist."""
    environment = dict(os.environ)
    if "ROS_AUTOMATIC_DISCOVERY_RANGE" not in environment and "ROS_LOCALHOST_ONLY" not in environment:
        if environment.get("ROS_DISTRO") == "humble":  # later distributions warn about this variable
            environment["ROS_LOCALHOST_ONLY"] = "1"
        else:
            environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

    text = environment.get("ROS_DOMAIN_ID", "") if domain_id is None else str(domain_id)
    if not text:
        text = str(1 + os.getpid() % SAFE_DOMAINS)
    if not text.isdecimal() or int(text) > MAX_DOMAIN:
        raise InputError(f"run: ROS_DOMAIN_ID {text!r} is not allowed (allowed: 0 to 101, on most machines to 232)")

    environment["ROS_DOMAIN_ID"] = text
    environment.setdefault("PYTHONUNBUFFERED", "1")
    return environment, int(text)


def _before_exec() -> None:
    """In the child: end with the parent, and react to SIGINT even where a script's background job ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
