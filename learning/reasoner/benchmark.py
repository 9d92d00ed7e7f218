"""`rarrl bench planner`: speed, deadlines under load, restart after a kill, and the plan checker."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.alfred import read_alfred
from rarrl.alfred_plans import expert_plan
from rarrl.config import LanguageModelConfig
from rarrl.errors import InputError
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.language_model import CallOutcome, LanguageModel
from rarrl.reasoner.llama import LlamaReasoner
from rarrl.reasoner.process import WorkerSettings
from rarrl.results import Figure
from rarrl.types import CallStatus, Role

from .injection import false_refusals, injection_figures

# Deadlines of calls that never end, seconds: from shorter than one answer to longer than most.
DEADLINES_S = (0.2, 0.5, 1.0, 2.0)
# One goal of each kind of task, for timing whole answers.
_GOALS = (
    "put a clean mug on the coffee machine",
    "examine the pen by the light of the desk lamp",
    "place a heated slice of tomato in the fridge",
    "move two newspapers to the sofa",
    "put a chilled apple into the bin",
    "put a spoon in a cup and the cup on the table",
)
Progress = Callable[[str], None]


def bench_planner(
    model: Path | None, threads: int, trials: int, seed: int, progress: Progress | None = None
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """All figures of a GGUF model; None: of the injection corpus alone. `trials`: of each measurement.

    Raises: InputError where the model cannot be loaded; ValueError where `trials` < 1."""
    if trials < 1:
        raise ValueError(f"trials must be >= 1, got {trials}")

    say = progress or (lambda _: None)
    figures: dict[str, Figure] = {}
    tables: dict[str, Any] = {"model": model.name if model else None, "threads": threads, "trials": trials}
    if model is not None:
        settings = WorkerSettings(model, threads=threads)
        for step, measure in (("speed", speed), ("restart", restarts), ("deadlines", deadlines), ("files", malformed)):
            say(step)
            more, table = measure(settings, trials, seed)
            figures |= more
            tables |= table

    say("injection")

    backend = LlamaReasoner(model, settings=LanguageModelConfig(threads=threads)) if model is not None else None
    try:
        more, table = injection_figures(backend)
    finally:
        if backend is not None:
            backend.close()

    return figures | more, tables | table


def speed(settings: WorkerSettings, trials: int, seed: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Whole answers on an idle computer: tokens a second, time to the first token, per role and level."""
    reasoner = LlamaReasoner(settings)

    rows: dict[str, Any] = {}
    answers: dict[tuple[Role, int], list[Answer]] = {}
    try:
        plan = reasoner.ask(_request(0, _GOALS[0], 30.0)).plan
        for number, (goal, level, role) in enumerate(itertools.product(_GOALS * trials, (1, 2), Role), start=1):
            if role is Role.VERIFIER and plan is None:
                continue
            request = Request(number, role, level, goal, 30.0, plan=plan if role is Role.VERIFIER else None, seed=seed)
            answers.setdefault((role, level), []).append(reasoner.ask(request))
    finally:
        reasoner.close()

    for (role, level), some in answers.items():
        rows[f"{role.value} {level}"] = {
            "n": len(some),
            "status": _statuses(some),
            "seconds": _quantiles([answer.seconds for answer in some]),
            "ttft_s": _quantiles([answer.ttft_s for answer in some]),
            "tokens_out": _quantiles([float(answer.tokens_out) for answer in some]),
        }

    whole = answers[Role.PLANNER, 1]
    rates = [a.tokens_out / (a.seconds - a.ttft_s) for a in whole if a.seconds > a.ttft_s and a.tokens_out > 1]
    ttft = [answer.ttft_s for answer in whole]
    seconds = [answer.seconds for answer in whole]
    figures = {
        "tokens_per_s": _spread(rates, "tokens/s, planner level 1, median and 95 % of the calls"),
        "ttft_ms": _spread([1e3 * value for value in ttft], "ms, planner level 1, median and 95 % of the calls"),
        "plan_s": _spread(seconds, "s, planner level 1, median and 95 % of the calls"),
    }

    return figures, {"speed": rows}


def restarts(settings: WorkerSettings, trials: int, seed: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    """From `kill -9` of the worker to the next whole answer."""
    reasoner = LlamaReasoner(settings)
    seconds = []
    try:
        for number in range(trials):
            reasoner.ask(_request(number, _GOALS[0], 30.0))
            pid = reasoner.worker.pid
            if pid is None:
                continue
            os.kill(pid, signal.SIGKILL)
            started = time.monotonic()
            while reasoner.ask(_request(number, _GOALS[0], 30.0)).status in (
                CallStatus.BACKEND_DOWN,
                CallStatus.TIMEOUT,
            ):
                time.sleep(0.001)
            seconds.append(time.monotonic() - started)
    finally:
        reasoner.close()

    unit = "s from kill -9 to an answer, median and 95 % of the kills"
    return {"restart_s": _spread(seconds, unit)}, {"restart_s": [round(value, 3) for value in seconds]}


def deadlines(settings: WorkerSettings, trials: int, seed: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    """How late answers are when the model never ends and every core is busy with something else."""
    reasoner = LlamaReasoner(settings, recipe=_endless)
    busy = [multiprocessing.get_context("spawn").Process(target=_burn, daemon=True) for _ in range(os.cpu_count() or 1)]

    table: dict[str, Any] = {}
    late: list[float] = []
    try:
        for each in busy:
            each.start()
        time.sleep(1.0)
        for deadline_s in DEADLINES_S:
            overruns = []
            for number in range(5 * trials):
                started = time.monotonic()
                answer = reasoner.ask(_request(number, "x" * 400, deadline_s))
                overruns.append(time.monotonic() - started - deadline_s)
                if answer.status is not CallStatus.TIMEOUT:
                    raise RuntimeError(f"an endless request ended with {answer.status.value}: {answer.why}")

            late += overruns
            table[f"{deadline_s:g} s"] = {
                "n": len(overruns),
                "overrun_ms": {k: round(1e3 * v, 2) for k, v in _quantiles(overruns).items()},
            }

        load = round(os.getloadavg()[0], 1)
    finally:
        for each in busy:
            each.kill()
        reasoner.close()

    unit = f"ms after the deadline, p99 of calls that never end, {len(busy)} busy processes"
    figures = {
        "deadline_overrun_p99_ms": Figure(1e3 * float(np.quantile(late, 0.99)), unit, len(late)),
        "deadline_overrun_max_ms": Figure(1e3 * max(late), "ms", len(late)),
    }

    return figures, {
        "deadlines": table,
        "deadline_restarts": reasoner.worker.starts - 1,
        "load_average": load,
        "nice": os.nice(0),
    }


def malformed(settings: WorkerSettings, trials: int, seed: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Model files that are cut short or have bytes of their header changed: what becomes of the worker that reads them.

    This process must survive to count; a file that still loads must answer, or fail by its status."""
    good = settings.model.read_bytes()
    rng = np.random.default_rng(seed)
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        bad = Path(folder) / "bad.gguf"
        for number in range(6 * trials):
            data = bytearray(good)
            if number % 2:
                del data[int(rng.integers(0, len(data)) if number % 4 == 1 else rng.integers(0, 4096)) :]
            else:
                for at in rng.integers(4, min(len(data), 65536), size=int(rng.integers(1, 32))):
                    data[at] ^= int(rng.integers(1, 256))
            bad.write_bytes(data)
            try:
                reasoner = LlamaReasoner(replace(settings, model=bad, load_s=30.0))
            except InputError as error:
                seen["worker crashed" if "signal" in str(error) else "refused"] += 1
                continue
            seen[f"loaded, then {reasoner.ask(_request(number, _GOALS[0], 5.0)).status.value}"] += 1
            reasoner.close()

    crashed = seen["worker crashed"]
    figure = Figure(
        crashed, "worker processes ended by a signal while loading; the caller got an InputError", sum(seen.values())
    )

    return {"malformed_worker_crashes": figure}, {"malformed": dict(sorted(seen.items()))}


def _endless(request: Request, model: LanguageModel) -> CallOutcome:
    """Reads long prompts, one after the other: each a batch that must be stopped in its middle."""
    for number in itertools.count():
        model.score(f"{number} {request.goal}", ["a"])
    raise AssertionError


def _burn() -> None:
    while True:
        pass


def false_refusal_figures(alfred: Path, split: str | None = None) -> tuple[dict[str, Figure], dict[str, Any]]:
    """How many of ALFRED's expert plans the rules refuse under the default policy. Raises: InputError."""
    data = read_alfred(alfred, split)
    figures, refused = false_refusals(map(expert_plan, data.plans))
    return figures, {"split": data.split, "refused": refused}


def _request(number: int, goal: str, deadline_s: float) -> Request:
    return Request(number, Role.PLANNER, 1, goal, deadline_s)


def _statuses(answers: Sequence[Answer]) -> dict[str, int]:
    return dict(sorted(Counter(answer.status.value for answer in answers).items()))


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return {}
    points = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(float(np.quantile(known, q)), 5) for name, q in points.items()}


def _spread(values: Sequence[float], unit: str) -> Figure:
    known = [value for value in values if math.isfinite(value)]
    low, middle, high = (float(value) for value in np.quantile(known, (0.025, 0.5, 0.975)))
    return Figure(middle, unit, len(known), low, high)
