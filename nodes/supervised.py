"""A graph under its supervisor: the file that says what supervisor_node looks after, and its process. Needs no ROS."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from rarrl.config import Scalar
from rarrl.errors import InputError
from rarrl.files import read_file
from rarrl.supervision.events import Rule

from .graph import NodeSpec, Start
from .processes import GRACE_S, RECORD, Processes, recorded, still_running

logger = logging.getLogger(__name__)

SUPERVISOR = NodeSpec("supervisor_node", "supervisor_node", "rarrl_nodes.supervisor_node", (), part="")

GRAPH_FILE = "graph.json"
"""In the folder of a run: what its supervisor looks after."""

REVIVALS = 5
"""How often a supervisor that was killed is started again: something is wrong with the computer then."""

STOP_S = 3 * GRACE_S
"""Seconds that the supervisor may take to end its nodes: those that stop the robot after all others."""

GUARDS = ("deadman",)
"""Parts without which nothing behind them is activated; they are stopped after all others."""

AUTOSTART = "autostart"
"""Parameter of all our lifecycle nodes: whether they activate themselves."""


@dataclass(frozen=True)
class SupervisedNode:
    """One node: how it is looked after, and how it is started."""

    name: str
    module: str
    part: str
    essential: bool
    by_person: bool
    silent_s: float
    parameters: Mapping[str, Scalar]
    remappings: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, start: Start) -> SupervisedNode:
        """As `start` says, but for activating itself: the supervisor does that, when it is its turn."""
        node = start.node
        own = {} if node.part in GUARDS else {AUTOSTART: False}  # a guard has no lifecycle: it is there for good
        parameters = {**start.parameters, **own}
        how = (start.essential, start.by_person, node.silent_s)
        return cls(node.name, node.module, node.part, *how, parameters, tuple(start.remappings))

    @property
    def rule(self) -> Rule:
        """How it is looked after."""
        return Rule(self.name, self.part, self.essential, self.part in GUARDS, self.by_person, self.silent_s)


@dataclass(frozen=True)
class SupervisedGraph:
    """What a supervisor looks after.

    nodes: in the order in which they are activated. logs: each node's output goes to a file of its own beside this one;
    else where the supervisor prints. namespace, params_file: of all nodes; "" for none."""

    nodes: tuple[SupervisedNode, ...]
    logs: bool = True
    namespace: str = ""
    params_file: str = ""

    def write(self, path: Path) -> None:
        """Raises: InputError where it cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)  # headers and fields of requests are nobody else's business
            path.chmod(0o600)
            path.write_text(json.dumps(asdict(self), indent=1), "utf-8")
        except OSError as error:
            raise InputError(f"run: cannot write to {path.parent} ({error.strerror}); choose another folder") from None

    @classmethod
    def read(cls, path: Path) -> SupervisedGraph:
        """Raises: InputError, one line, for a file that `write` has not written."""
        try:
            values: dict[str, Any] = json.loads(read_file(path, "graph of a supervisor"))
            nodes = tuple(SupervisedNode(**node) for node in values.pop("nodes"))
            pairs = [tuple((str(old), str(new)) for old, new in node.remappings) for node in nodes]
            graph = cls(tuple(replace(n, remappings=p) for n, p in zip(nodes, pairs, strict=True)), **values)
            if not nodes or not all(isinstance(node.name, str) and isinstance(node.module, str) for node in nodes):
                raise ValueError("no nodes")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            what = f"{type(error).__name__}: {error}"[:100]
            raise InputError(f"graph {path}: it is no graph of a supervisor ({what}); rarrl run writes one") from None
        return graph


class Supervised:
    """A graph with its supervisor, which is started again if it is killed; leaving the `with` block ends them all.

    Args:
        folder: receives the graph's file, parameters, and the output of each node.
        environment: of all processes.
        starts: the nodes, in the order in which they are activated.
        parameters: of supervisor_node, beyond those of a run.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        starts: Sequence[Start],
        parameters: Mapping[str, Scalar] | None = None,
    ) -> None:
        self._folder = folder
        self._processes = Processes(folder, environment, grace_s=STOP_S)
        self._parameters: dict[str, Scalar] = {
            "graph": str(folder / GRAPH_FILE),
            "end_if_given_up": True,
            **(parameters or {}),
        }
        self._revivals = 0
        SupervisedGraph(tuple(map(SupervisedNode.of, starts))).write(folder / GRAPH_FILE)
        (folder / RECORD).unlink(missing_ok=True)

    def running(self) -> bool:
        """Whether the graph runs. Raises: InputError or RarrlError where it has ended for a reason of its own."""
        if self._processes.running(SUPERVISOR.name):
            return True
        killed = self._processes.status(SUPERVISOR.name) == -signal.SIGKILL
        if killed and self._revivals < REVIVALS:
            self._revivals += 1
            logger.warning("supervisor_node was killed: started again, it takes the running nodes over")
            self._start()
            return True
        self._processes.check_ended_well(SUPERVISOR.name)
        return False

    def kill_supervisor(self) -> None:
        """Kills the supervisor alone, as a crash would end it: `running` starts the next one."""
        self._processes.kill(SUPERVISOR.name)

    @property
    def codes(self) -> dict[str, int]:
        """Exit status by node, of those that have ended."""
        return {name: e["status"] for name, e in recorded(self._folder).items() if e["status"] is not None}

    def __enter__(self) -> Supervised:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._processes.stop()
        for pid in still_running(self._folder).values():  # their supervisor was killed, and not started again
            os.kill(pid, signal.SIGKILL)

    def _start(self) -> None:
        self._processes.start(SUPERVISOR.name, SUPERVISOR.module, self._parameters)
