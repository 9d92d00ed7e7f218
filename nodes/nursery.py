"""A process that has loaded what nodes need, and forks them: a node that is started again is back in a fifth of a
second of processor time, and what all nodes loaded is in memory once.

It loads the libraries of ROS and never calls `rclpy.init`: DDS with its threads begins in each node. What threads there
are belong to LTTng, which ROS is linked against; they sleep for as long as no session daemon runs. Where one does, ROS
is loaded after the fork, since LTTng traces no process that was forked later (https://lttng.org/man/3/lttng-ust).

Where this process fails, nodes are started as Python processes of their own."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .children import end_with_parent

NODES = (
    "rarrl_nodes.deadman_node",
    "rarrl_nodes.safety_gate_node",
    "rarrl_nodes.executive_node",
    "rarrl_nodes.orchestrator_node",
    "rarrl_nodes.stereo_voxel_node",
    "rarrl_nodes.vla_policy_node",
)
"""What is forked: each has a `main`. Anything else is started as a process of its own."""

SHARED = (
    "numpy",
    "pydantic",
    "yaml",
    "rarrl.config",
    "rarrl.diagnostics",
    "rarrl.supervision.supervisor",
    "builtin_interfaces.msg",
    "diagnostic_msgs.msg",
    "lifecycle_msgs.srv",
    "rcl_interfaces.msg",
    "rcl_interfaces.srv",
    "std_srvs.srv",
    "rarrl_nodes.graph",
    "rarrl_nodes.key_values",
    "geometry_msgs.msg",
    "sensor_msgs.msg",
    "nav_msgs.msg",
    "std_msgs.msg",
    "trajectory_msgs.msg",
    "rarrl.safety.deadman",
    "rarrl.safety.base_gate",
    "rarrl.safety.joint_states",
    "rarrl.build",
    "rarrl.decision_loop",
    "rarrl.executive.executive",
    "rarrl.executive.certainty",
    "rarrl.executive.journal",
    "rarrl.executive.paced",
    "rarrl.reasoner.breaker",
    "rarrl.reasoner.home",
    "rarrl_nodes.conversions",
    "cv2",
    "rarrl.perception.obstacle_sensor",
    "rarrl.perception.pairing",
    "rarrl.perception.stereo_health",
    "rarrl.policy.actor",
    "rarrl.policy.observation_builder",
    "rarrl.policy.process",
)
"""What all or some of them load. A robot that lacks one of these starts all the same: whoever needs it says so."""

ROS = ("rclpy.lifecycle", "rclpy.action", *NODES)
"""What is loaded last."""
TYPES = (
    "rcl_interfaces.msg:Log",
    "rcl_interfaces.msg:ParameterEvent",
    "lifecycle_msgs.msg:TransitionEvent",
    "diagnostic_msgs.msg:DiagnosticArray",
    "std_msgs.msg:String",
    "std_srvs.srv:Trigger",
    "geometry_msgs.msg:TwistStamped",
    "nav_msgs.msg:Odometry",
    "sensor_msgs.msg:Image",
    "trajectory_msgs.msg:JointTrajectory",
)
"""One type of each library that converts messages: the libraries are loaded with it."""
TRACES = ("/var/run/lttng", "~/.lttng")
"""Folders with a socket of LTTng's session daemon, while one runs."""

LOAD_S = 60.0
"""Seconds until it has loaded what nodes share: about one of processor time, but a busy machine takes many."""
ANSWER_S = 10.0
"""Seconds until a fork has to be reported, from then on."""
STATUS_S = 2.0
"""Seconds until the exit status of a node that has ended has to be reported."""
MAX_REQUEST = 1 << 16
"""Bytes of a request: a command line."""
_PR_SET_NAME = 15  # Linux's <sys/prctl.h>
_ARGUMENTS = slice(45, 47)  # of /proc/PID/stat behind the name: where the command line lies in memory


class NurseryLostError(Exception):
    """It has ended, or does not answer."""


class Nursery:
    """The process, as whoever starts nodes sees it.

    Where `usable` is False, nothing of it may be called but `close`."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.usable = True
        self._loaded = False
        self._connection = connection
        self._statuses: dict[int, int] = {}

    @classmethod
    def spawn(cls, environment: Mapping[str, str], outlive: bool = False) -> Nursery:
        """Starts the process anew. outlive: nodes go on when it ends. Raises: OSError."""
        ours, theirs = _pair()
        command = [sys.executable, "-m", __name__, str(theirs.fileno()), "outlive" if outlive else "end", " " * 100]
        with theirs:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        return cls(process.pid, ours)

    @classmethod
    def fork(cls, outlive: bool = False) -> Nursery | None:
        """Forks the process off this one, which may have one thread only, and shares with it all that nodes need. None:
        this system cannot. Does not return in the process itself, which ends by `SystemExit`."""
        if not supported():
            return None
        _load_all()
        ours, theirs = _pair()
        pid = os.fork()
        if not pid:
            ours.close()
            os.setsid()  # Ctrl-C reaches the supervisor, which ends the nodes in order
            sys.exit(serve(theirs, outlive))
        theirs.close()
        return cls(pid, ours)

    def start(self, module: str, arguments: Sequence[str], log: int | None = None) -> tuple[int, int]:
        """Forks a node. log: descriptor that its output goes to; None: where this process prints.

        Returns: process number, and a descriptor that holds the process (`pidfd_open(2)`).

        Raises: NurseryLostError, after which it is not usable any more."""
        request = json.dumps({"module": module, "arguments": list(arguments)}).encode()
        try:
            socket.send_fds(self._connection, [request], [] if log is None else [log])
            while True:
                answer, descriptors = self._read(ANSWER_S if self._loaded else LOAD_S)
                if "pid" in answer:
                    return answer["pid"], descriptors[0]
        except (OSError, NurseryLostError) as error:
            self.close()
            raise NurseryLostError(str(error)) from None

    def status(self, pid: int) -> int:
        """The exit status of a node that has ended, negative for a signal; -9 where nobody can tell any more."""
        with contextlib.suppress(OSError, ValueError, NurseryLostError):  # ValueError: it was closed
            while pid not in self._statuses:
                self._read(STATUS_S)
        return self._statuses.pop(pid, -int(signal.SIGKILL))

    def close(self) -> None:
        """Ends the process. Its nodes go on where they are to outlive it."""
        self.usable = False
        self._connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _read(self, wait_s: float) -> tuple[dict[str, int], list[int]]:
        if not select.select([self._connection], [], [], wait_s)[0]:
            raise NurseryLostError(f"no answer within {wait_s:g} s")
        data, descriptors, _, _ = socket.recv_fds(self._connection, MAX_REQUEST, 1)
        if not data:
            raise NurseryLostError("it has ended")
        answer: dict[str, int] = json.loads(data)
        self._loaded = True
        if "ended" in answer:
            self._statuses[answer["ended"]] = answer["status"]
        return answer, descriptors


def supported() -> bool:
    """Whether nodes can be forked here: on Linux, from a process with a single thread."""
    return hasattr(os, "pidfd_open") and len(os.listdir("/proc/self/task")) == 1


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _load(names: Sequence[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _load_ros() -> None:
    _load(ROS)
    with contextlib.suppress(ImportError):
        from rclpy.type_support import check_for_type_support
        from rclpy.utilities import get_rmw_implementation_identifier

        get_rmw_implementation_identifier()  # loads the middleware
        for name in TYPES:
            module, _, kind = name.partition(":")
            check_for_type_support(getattr(importlib.import_module(module), kind))


def _load_all() -> None:
    _load(SHARED)
    if not is_traced():
        _load_ros()
    gc.collect()
    gc.freeze()  # a collection in a node leaves these objects alone, and their memory shared


def is_traced() -> bool:
    """Whether LTTng traces programs on this computer."""
    return any(path.is_socket() for folder in TRACES for path in Path(folder).expanduser().glob("lttng-ust-sock-*"))


def serve(connection: socket.socket, outlive: bool) -> int:
    """In the process, which has loaded what nodes share: forks a node for each request, until nobody is left to ask.

    Returns: its exit status; in the process of a node, that of the node."""
    connection.send(b"{}")

    ended, tell = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(tell, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)

    while True:
        watched: list[socket.socket | int] = [connection, ended]
        ready, _, _ = select.select(watched, [], [])
        if ended in ready:
            os.read(ended, 1024)
            _report_ended(connection)
        if connection in ready:
            data, descriptors, _, _ = socket.recv_fds(connection, MAX_REQUEST, 1)
            if not data:
                return 0
            pid = os.fork()
            if not pid:
                for descriptor in (ended, tell):
                    os.close(descriptor)
                connection.close()
                return _be_node(json.loads(data), descriptors, outlive)
            held = os.pidfd_open(pid)  # it is not waited for before: the number is the node's for sure
            socket.send_fds(connection, [json.dumps({"pid": pid}).encode()], [held])
            for descriptor in (held, *descriptors):
                os.close(descriptor)


def _report_ended(connection: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        connection.send(json.dumps({"ended": pid, "status": os.waitstatus_to_exitcode(status)}).encode())


def _be_node(request: Mapping[str, object], log: Sequence[int], outlive: bool) -> int:
    """In the forked process: what `python -m module` would be."""
    nursery = os.getppid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM):  # as in this package's __init__: nothing is there to end in order
        signal.signal(number, lambda *_: os._exit(0))
    os.setsid()
    if not outlive:
        end_with_parent()
        if os.getppid() != nursery:
            return 0
    for descriptor in log:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)

    module, arguments = str(request["module"]), [str(each) for each in request["arguments"]]  # type: ignore[attr-defined]
    call_yourself([sys.executable, "-m", module, *arguments])
    sys.argv = [str(Path(__file__).with_name(f"{module.rpartition('.')[2]}.py")), *arguments]
    gc.enable()
    return int(importlib.import_module(module).main())


def call_yourself(command: Sequence[str]) -> None:
    """Makes `ps` show `command` for this process: it is written over the own command line, cut to its length."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        begin, end = (int(field) for field in fields[_ARGUMENTS])
        text = b"\0".join(os.fsencode(each) for each in command)[: end - begin - 1]
        ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)
        ctypes.CDLL(None).prctl(_PR_SET_NAME, os.fsencode(command[2].rpartition(".")[2][:15]), 0, 0, 0)


def main() -> int:
    """`python -m rarrl_nodes.nursery DESCRIPTOR outlive|end`, as `Nursery.spawn` starts it."""
    _load_all()
    return serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2] == "outlive")


if __name__ == "__main__":
    sys.exit(main())
