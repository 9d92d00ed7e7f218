"""The language model's worker process: it runs `worker.py` and is kept alive by `rarrl.worker_process`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rarrl.reasoner.memory import file_bytes
from rarrl.reasoner.worker import MAX_LINE
from rarrl.worker_process import WorkerCommand
from rarrl.worker_process import WorkerProcess as _WorkerProcess


@dataclass(frozen=True)
class WorkerSettings:
    """How the model is loaded.

    model: a GGUF file; of a split one, its first part. n_ctx: tokens of prompt and answer. threads: of llama.cpp.
    load_s: how long loading may take, seconds. max_gb: address space, GiB, that the process may use if llama.cpp has no
    GPU; 0 means four times the file plus 4 GiB. module: what the process runs. gpu_layers: on the GPU; -1 means all.
    warm: see `rarrl.reasoner.worker.Model`."""

    model: Path
    n_ctx: int = 2048
    threads: int = 1
    load_s: float = 120.0
    max_gb: float = 0.0
    module: tuple[str, ...] = ("rarrl.reasoner.worker",)
    gpu_layers: int = -1
    warm: dict[str, Any] | None = None

    @property
    def command(self) -> WorkerCommand:
        """The command that starts the worker."""
        size = file_bytes(self.model) / 2**30
        first = {
            "path": str(self.model),
            "n_ctx": self.n_ctx,
            "threads": self.threads,
            "max_gb": self.max_gb or 4.0 * size + 4.0,
            "gpu_layers": self.gpu_layers,
            "warm": self.warm,
        }
        advice = "; give a GGUF file that llama.cpp can load"

        return WorkerCommand(f"language model: {self.model}", self.module, first, self.load_s, MAX_LINE, advice)


class WorkerProcess(_WorkerProcess):
    """The language model's worker; see `rarrl.worker_process.WorkerProcess`."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Starts the worker. Raises: InputError if the model cannot be loaded; DependencyMissingError."""
        super().__init__(settings.command)

    @property
    def model(self) -> dict[str, Any]:
        """What the worker reported about its model; see `rarrl.reasoner.worker.Model.describe`."""
        return self.told
