"""Work spread over processes: those of this machine, or of a Ray cluster.

    with crew(workers, ray) as pool:  # None where this process does all itself
        done_on_each(one, items, pool, ...)

Both are `concurrent.futures.Executor`s. What is spread depends on its arguments alone and writes nothing: a part that
was lost with its process is done again elsewhere and comes out the same, and this process keeps the results."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, TypeVar

from rarrl import __version__
from rarrl.errors import DependencyMissingError, InputError, RarrlError
from rarrl.resources.threads import cores, environment, threads_for

LOCAL = "local"
"""The address that stands for a cluster of this machine alone, which ends with the work."""
RETRIES = 3
"""How often a part is done again whose process died, before the work ends with an error."""
STARTS = 3
"""How often Ray is started here: on a busy machine its helpers miss a deadline of 15 s that cannot be set."""
STORE_BYTES = 256 * 2**20
"""Shared memory of a cluster of this machine. What is spread is small; Ray would take 30 % of the memory."""
PACKAGES = ("rarrl", "rarrl_sim_envs", "rarrl_learning", "rarrl_nodes")
CODE = (".py", ".json", ".jsonl", ".yaml", ".safetensors", ".gguf", ".gz")
"""Ends of the files that decide what comes out: `Code.digest` is over them."""
WHOLE_BYTES = 2**20
"""Larger files count with name and size alone, so that gigabytes of weights are not read."""

Found = TypeVar("Found")


@contextmanager
def crew(workers: int = 0, ray: str = "") -> Iterator[Executor | None]:
    """Processes that work, until the block ends; at once where something goes wrong.

    Args:
        workers: how many; 0: one per core that is ours, at most four. 1: None, this process works.
        ray: "": processes of this machine. "local": Ray on this machine, one worker a core where `workers` is 0 or 1.
            HOST:PORT or "auto": the cluster that this machine has joined, with as many as it has cores.

    Raises: RarrlError where a process died too often or Ray does not start, InputError for a bad address,
        DependencyMissingError without Ray."""
    if ray:
        with RayExecutor(ray, workers if workers > 1 else 0) as cluster:
            yield cluster
        return

    workers = workers or min(cores(), 4)
    if workers == 1:
        yield None
        return

    with (
        threads_for(workers),
        ProcessPoolExecutor(
            workers,
            mp_context=get_context("spawn"),  # neither OpenGL nor llama.cpp survives a fork
            initializer=_be_quiet,
        ) as pool,
    ):
        try:
            yield pool
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                child.terminate()
            if isinstance(error, BrokenProcessPool):
                raise RarrlError("a process that did a part of the work died (out of memory?); try again") from None
            raise


def _be_quiet() -> None:
    """Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True)
class Code:
    """Which rarrl a process has. digest: over its files, with those of the package that are not source."""

    version: str
    digest: str

    def differs(self, other: Code) -> str:
        """In what; "" where results are the same."""
        if self.version != other.version:
            return f"has rarrl {self.version}, this machine {other.version}"
        return "" if self.digest == other.digest else f"has other files of rarrl {self.version} than this machine"


@lru_cache(maxsize=1)
def code_here() -> Code:
    """This process's."""
    total = hashlib.sha256()
    for package in PACKAGES:
        spec = sys.modules.get(package) or __import__(package)
        root = Path(next(iter(spec.__path__)))
        for path in sorted(p for p in root.rglob("*") if p.name.endswith(CODE) and p.is_file()):
            size = path.stat().st_size
            total.update(f"{package}/{path.relative_to(root)} {size}\n".encode())
            if size <= WHOLE_BYTES:
                total.update(path.read_bytes())
    return Code(__version__, total.hexdigest())


class RayExecutor(Executor):
    """Parts of the work as tasks of a Ray cluster, each of which takes one of its cores."""

    def __init__(self, address: str, workers: int = 0) -> None:
        """Starts a cluster on this machine, or joins one; see `crew`.

        workers: of a cluster of this machine; 0: one a core."""
        self._ray = _started(address, workers)
        # Processes of this machine alone have this process's files, also those that the work writes on its way.
        self._code = None if address == LOCAL else code_here()

        @self._ray.remote(max_retries=RETRIES)
        def carry_out(work: list[Any], wanted: Any) -> tuple[str, Any]:
            # Travels by value, since it is no name of a module: it runs where rarrl is missing, and says so.
            try:
                import ray

                from .spread import work_off
            except ImportError as error:
                return "misfit", f"{platform.node()} lacks rarrl ({error})"
            return work_off(lambda: ray.get(work[0]), wanted)

        self._carry_out = carry_out

    def submit(self, fn: Callable[..., Found], /, *args: Any, **kwargs: Any) -> Future[Found]:
        """See `Executor`. `fn` has to be importable on all machines, or a function of the script that runs."""
        future: Future[Found] = Future()
        wanted = None if self._code is None else (self._code.version, self._code.digest)
        work = self._ray.put((fn, args, kwargs))
        reference = self._carry_out.remote([work], wanted)  # in a list: it is unpacked after the code was compared
        reference.future().add_done_callback(lambda found: self._settle(future, found))
        return future

    def _settle(self, future: Future[Any], found: Future[tuple[str, Any]]) -> None:
        """Hands on what came of a task, in our words where we know better ones."""
        if not future.set_running_or_notify_cancel():
            return
        error = found.exception()
        if error is None:
            kind, value = found.result()
            if kind == "done":
                future.set_result(value)
            elif kind == "refused":
                future.set_exception(value)
            else:
                advice = "install the same commit there (`pip install` of one wheel), or leave --ray away"
                future.set_exception(RarrlError(f"ray: {value}; {advice}"))
            return

        errors = self._ray.exceptions
        if isinstance(error, errors.WorkerCrashedError | errors.NodeDiedError | errors.OutOfMemoryError):
            text = f"ray: a process that did a part of the work died {RETRIES + 1} times (out of memory?): {error}"
            error = RarrlError(" ".join(text.split())[:400])
        elif isinstance(error, errors.RayTaskError):
            error = error.cause
        future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leaves the cluster, which ends what is still under way. Results that are awaited have been taken by then."""
        self._ray.shutdown()


def work_off(work: Callable[[], tuple[Any, Any, Any]], wanted: tuple[str, str] | None) -> tuple[str, Any]:
    """Does a part of the work in a process of the cluster: ("done", result), ("refused", error) or ("misfit", why).

    work: fetches function and arguments. wanted: the fields of the `Code` that it is for; None: any."""
    if wanted is not None and (misfit := code_here().differs(Code(*wanted))):
        return "misfit", f"{platform.node()} {misfit}"
    fn, args, kwargs = work()
    try:
        return "done", fn(*args, **kwargs)
    except RarrlError as error:
        return "refused", error


def _started(address: str, workers: int) -> Any:
    """Ray, connected. Raises: see `crew`."""
    if "://" in address or address != address.strip():
        raise InputError(
            f"--ray: {address[:80]!r} is no address (allowed: local, auto, HOST:PORT of a cluster that this machine "
            "has joined by `ray start --address=HOST:PORT`)"
        )
    if address != LOCAL and workers:
        raise InputError("--workers: a cluster has as many as it has cores; leave it away with --ray ADDRESS")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to its makers otherwise
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # said of a warning that is not ours
    if address == LOCAL:
        # Ray listens on the network, too: nobody else may send it work.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError:
        raise DependencyMissingError("--ray needs Ray: pip install 'rarrl[ray]'") from None

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if address == LOCAL:
        _start_here(ray, workers or cores(), quiet)
        return ray
    try:
        ray.init(address=address, **quiet)
    except Exception as error:  # ConnectionError, RuntimeError (another version), ValueError: it says which
        why = " ".join(str(error).split())[:300]
        raise RarrlError(
            f"--ray: no cluster was joined at {address} ({type(error).__name__}: {why}); is it up, of the "
            "same versions of Ray and Python, and does RAY_AUTH_MODE=token find its token (~/.ray/auth_token or "
            "RAY_AUTH_TOKEN)?"
        ) from None
    return ray


def _start_here(ray: Any, workers: int, quiet: Mapping[str, Any]) -> None:
    """A cluster of this machine alone, whose processes import what this one does."""
    why = ""
    with threads_for(workers), environment({"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}):
        for _ in range(STARTS):
            try:
                ray.init(
                    address=LOCAL,
                    num_cpus=workers,
                    num_gpus=0,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    **quiet,
                )
                return
            except Exception as error:  # Ray raises this very class where a helper of its is late
                why = " ".join(str(error).split())[:200]
                ray.shutdown()
    raise RarrlError(
        f"--ray: Ray did not start here in {STARTS} tries ({why}); where the machine is busy, start a cluster once by "
        "`ray start --head` and give --ray auto, or leave --ray away for processes"
    )
