"""A policy in a process of its own (`worker.py`), asked with a deadline. A bad file, a crash or a hang stays there."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.config import PolicyConfig
from rarrl.errors import InputError
from rarrl.policy.base import ActionChunk, Interface, InterfaceSpec, Observation, WordedInterface, check_interface
from rarrl.policy.registry import SHIPPED, policy_folder, runs_own_code
from rarrl.policy.spec import PolicySpec
from rarrl.policy.worker import FOLDER, MAX_LINE, encoded_images
from rarrl.types import CallStatus
from rarrl.worker_process import CallFailedError, WorkerCommand, WorkerProcess

FILES_MAX_GB = 4.0
"""Memory that the worker may use for data where it only reads files, GB: far more than a shipped policy takes; a file
from outside must not take the robot's memory."""
MIN_CONTROL_HZ = 0.1
"""Hz. A row every ten seconds: a slower robot is not controlled, and one chunk outlives every observation."""
MAX_CONTROL_HZ = 1000.0
"""Hz. What servo drives take at most; a timer beyond that keeps a core busy and never comes in time."""


@dataclass(frozen=True)
class PolicySettings:
    """What the worker loads, and how it is started.

    policy, gguf, preset, threads: as `rarrl.build.make_policy` takes them. load_s: seconds that loading may take.
    max_gb: memory that the process may use for data, GB; 0: no limit; None: FILES_MAX_GB, and no limit where the policy
    brings its own code, which knows what it needs. module: what the process runs."""

    policy: str | Path
    gguf: str | Path | None = None
    threads: int = 1
    preset: str = ""
    load_s: float = 60.0
    max_gb: float | None = None
    module: tuple[str, ...] = ("rarrl.policy.worker",)

    @classmethod
    def of(cls, config: PolicyConfig) -> PolicySettings:
        """Those of the section `policy` of a configuration."""
        return cls(config.folder, config.gguf, config.threads, config.preset)

    @property
    def name(self) -> str:
        """The policy's name for people."""
        return str(self.policy or SHIPPED)

    @property
    def command(self) -> WorkerCommand:
        """How the worker is started."""
        policy, own_code = self.name, runs_own_code(str(self.policy))
        max_gb = self.max_gb
        if max_gb is None:
            max_gb = 0.0 if own_code else FILES_MAX_GB
        first = {
            "policy": policy if own_code else str(policy_folder(policy).resolve()),
            "gguf": str(Path(self.gguf).resolve()) if self.gguf else "",
            "threads": self.threads,
            "preset": self.preset,
            "max_gb": max_gb,
        }
        advice = f" (in the policy {policy})" if own_code else f" (in the policy folder {policy})"
        return WorkerCommand("policy", self.module, first, self.load_s, MAX_LINE, advice)


class ProcessPolicy:
    """A policy, loaded in a worker process that is started again whenever it ends or hangs. Close it after use, or use
    it with `with`."""

    def __init__(self, settings: PolicySettings) -> None:
        """Raises: InputError in one line for a policy that cannot be served; DependencyMissingError."""
        self._worker = WorkerProcess(settings.command)
        try:
            self._described = self._worker.told
            self._spec = _spec_of(self._described)
            check_served(self._spec)
        except InputError as error:
            self._worker.close()
            raise InputError(f"{error} (in the policy {settings.name})") from None
        except (ValueError, TypeError, KeyError):
            self._worker.close()
            raise InputError(f"policy: {settings.name}: the worker sent no spec; restore the file card.json") from None

    @property
    def spec(self) -> WordedInterface:
        """What it takes and gives."""
        return self._spec

    @property
    def pid(self) -> int | None:
        """Of the running worker process."""
        return self._worker.pid

    @property
    def down(self) -> str:
        """Why an inference would not be answered now; "" while the worker is there."""
        return self._worker.down

    @property
    def restarts(self) -> int:
        """How often the worker was ready again after it had ended."""
        return max(self._worker.starts - 1, 0)

    def infer(self, observation: Observation, deadline: float) -> ActionChunk:
        """The chunk for `observation`. deadline: on the steady clock (`time.monotonic`); the call returns by then.

        Raises: CallFailedError: TIMEOUT; REFUSED for an observation that does not fit; INVALID for an answer that
        does not; BACKEND_DOWN while the worker starts again."""
        answer = self._call(
            "infer",
            deadline,
            images=encoded_images(observation.images),
            proprio=observation.proprio.tolist(),
            instruction=observation.instruction,
        )
        try:
            actions = np.array(answer["actions"], np.float32)
            dt = float(answer["dt"])
        except (KeyError, TypeError, ValueError):
            raise CallFailedError(CallStatus.INVALID, "the worker's answer holds no actions") from None

        check_dt(dt)
        return ActionChunk(actions, 1 / self._spec.control_hz, observation.observed_at)

    def ping(self, deadline: float) -> None:
        """Lets a worker that hangs be noticed, and started again, while there is nothing to infer.

        Raises: CallFailedError."""
        self._call("ping", deadline)

    def close(self) -> None:
        """Ends the worker process."""
        self._worker.close()

    def __enter__(self) -> ProcessPolicy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, op: str, deadline: float, **fields: Any) -> dict[str, Any]:
        answer = self._worker.call(op, deadline, **fields)
        if self._worker.told not in (self._described, {}):
            raise CallFailedError(CallStatus.INVALID, "the folder holds another policy now; configure the node again")
        if time.monotonic() > deadline:
            raise CallFailedError(CallStatus.TIMEOUT, "the deadline passed")
        return answer


def check_served(spec: Interface) -> None:
    """Raises: InputError in one line for a spec that no robot can be controlled by, whatever process it came from."""
    check_control_hz(spec.control_hz, "policy: control_hz")
    try:
        check_interface(spec)
    except ValueError as error:
        raise InputError(f"policy: {str(error).removeprefix('spec: ')}") from None

    for what in ("cameras", "proprio_names", "action_names"):
        names = getattr(spec, what)
        twice = [name for number, name in enumerate(names) if name in names[:number]]
        if twice or not all(names):
            fault = f"{twice[0]!r} is there twice" if twice else "one is empty"
            raise InputError(f"policy: {what}: {fault}; give each a name of its own")


def check_control_hz(control_hz: float, what: str) -> None:
    """Raises: InputError for a rate that no robot is controlled at, NaN too. what: begins the message."""
    if not MIN_CONTROL_HZ <= control_hz <= MAX_CONTROL_HZ:
        raise InputError(
            f"{what}: {control_hz:g} is not allowed (allowed: {MIN_CONTROL_HZ:g} to {MAX_CONTROL_HZ:g} Hz)"
        )


def check_dt(dt: float) -> None:
    """Raises: CallFailedError (INVALID) for seconds per row that make no time."""
    if not (math.isfinite(dt) and dt > 0):
        raise CallFailedError(
            CallStatus.INVALID, f"the policy's chunk has dt = {dt:g} (allowed: seconds per row, above 0)"
        )


def _spec_of(described: dict[str, Any]) -> WordedInterface:
    """Raises: ValueError, TypeError, KeyError."""
    if described.get("kind", FOLDER) == FOLDER:
        return PolicySpec.model_validate(described.get("spec"))
    return InterfaceSpec.from_values(described["spec"])
