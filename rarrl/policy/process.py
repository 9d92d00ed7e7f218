"""A policy in a process of its own (`worker.py`), asked with a deadline. A bad file, a crash or a hang stays there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.policy.base import ActionChunk, Observation
from rarrl.policy.spec import PolicySpec
from rarrl.policy.worker import MAX_LINE, encoded_images
from rarrl.types import CallStatus
from rarrl.worker_process import CallFailedError, WorkerCommand, WorkerProcess


@dataclass(frozen=True)
class PolicySettings:
    """folder, gguf, threads, preset: as `LlamaPolicy` takes them; "" for no preset. load_s: how long loading may take.

    max_gb: memory that the process may use for data. module: what it runs."""

    folder: Path
    gguf: Path | None = None
    threads: int = 1
    preset: str = ""
    load_s: float = 60.0
    max_gb: float = 4.0
    module: tuple[str, ...] = ("rarrl.policy.worker",)

    @property
    def command(self) -> WorkerCommand:
        """How the worker is started."""
        first = {
            "folder": str(self.folder.resolve()),
            "gguf": str(self.gguf.resolve()) if self.gguf else "",
            "threads": self.threads,
            "preset": self.preset,
            "max_gb": self.max_gb,
        }
        advice = f" (in the policy folder {self.folder})"
        return WorkerCommand("policy", self.module, first, self.load_s, MAX_LINE, advice)


class ProcessPolicy:
    """A policy folder, loaded in a worker process that is started again whenever it ends or hangs. Close it after use,
    or use it with `with`."""

    def __init__(self, settings: PolicySettings) -> None:
        """Raises: InputError in one line for a folder that cannot be served; DependencyMissingError."""
        self._worker = WorkerProcess(settings.command)
        try:
            self._told = self._worker.told
            self._spec = PolicySpec.model_validate(self._told.get("spec"))
        except ValueError:
            self._worker.close()
            raise InputError(
                f"policy: {settings.folder}: the worker told no spec; restore the file card.json"
            ) from None

    @property
    def spec(self) -> PolicySpec:
        """What it takes and gives."""
        return self._spec

    @property
    def pid(self) -> int | None:
        """Of the running worker process."""
        return self._worker.pid

    @property
    def restarts(self) -> int:
        """How often the worker was ready again after it had ended."""
        return max(self._worker.starts - 1, 0)

    def infer(self, observation: Observation, deadline: float) -> ActionChunk:
        """The chunk for `observation`. deadline: on the steady clock (`time.monotonic`); nobody waits beyond it.

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
        except (KeyError, TypeError, ValueError):
            raise CallFailedError(CallStatus.INVALID, "the worker's answer holds no actions") from None
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
        if self._worker.told not in (self._told, {}):
            raise CallFailedError(CallStatus.INVALID, "the folder holds another policy now; configure the node anew")
        if time.monotonic() > deadline:
            raise CallFailedError(CallStatus.TIMEOUT, "the deadline passed")
        return answer
