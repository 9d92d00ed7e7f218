"""The language model's worker process: it runs `worker.py` and is kept alive by `rarrl.worker_process`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rarrl.reasoner.worker import MAX_LINE
from rarrl.worker_process import WorkerCommand
from rarrl.worker_process import WorkerProcess as _WorkerProcess


@dataclass(frozen=True)
class WorkerSettings:
    """How the model is loaded.

    model: a GGUF file. n_ctx: tokens of prompt and answer. threads: of llama.cpp. load_s: how long loading may take,
    seconds. max_gb: address space, GiB, that the process may use if llama.cpp has no GPU; 0 means four times the file
    plus 4 GiB. module: what the process runs."""

    model: Path
    n_ctx: int = 2048
    threads: int = 1
    load_s: float = 120.0
    max_gb: float = 0.0
    module: tuple[str, ...] = ("rarrl.reasoner.worker",)

    @property
    def command(self) -> WorkerCommand:
        """The command that starts the worker."""
        size = self.model.stat().st_size / 2**30 if self.model.is_file() else 0.0
        first = {
            "model": str(self.model),
            "n_ctx": self.n_ctx,
            "threads": self.threads,
            "max_gb": self.max_gb or 4.0 * size + 4.0,
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
        """What the worker reported about its model: name, n_ctx, n_vocab, parameters, chat."""
        return self.told
