"""Speed of a policy: torch, llama.cpp, each part of a preset alone, and the preset, in turn in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import DependencyMissingError
from rarrl.llama.gguf import read_gguf
from rarrl.policy.base import Observation
from rarrl.policy.preset import Preset
from rarrl.policy.serve import GGUF, OUTER, LlamaPolicy, load_card
from rarrl.results import Figure

from ..progress import Progress
from .tune import cpu_ms

TORCH = "torch float32"
IN_LLAMA = "tuned, in llama.cpp"
"""The preset where its one block is not computed with numpy."""
BITS = (3.0, 2.5)  # bits per weight whose memory is stated; those of `rarrl bench quantized-policy`


def switches(preset: Preset, blocks: int) -> dict[str, Preset]:
    """The whole, each part of the preset alone, exits after fewer of the policy's `blocks`, and all of the preset."""
    alone = [Preset(**{name: value}) for name, value in preset.model_dump(exclude_none=True).items()]
    exits = [Preset(layers=n) for n in range(1, blocks)]
    parts = {f"only {part}": part for part in (*alone, *exits) if part != preset}
    return {"whole": Preset(), **parts, "tuned": preset}


def bench_speed(
    folder: Path,
    preset: Preset,
    clips: Sequence[Sequence[Observation]],
    rounds: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures and tables: CPU time of a chunk by one thread. torch computes in float32, whole, without gradients,
    frozen (a sixth less time than as it was trained).

    `speedup_tuned` is the smaller one of those over torch and over llama.cpp with the whole float16 model, which keeps
    the words' part of its cache too. Raises: InputError, DependencyMissingError without torch."""
    spec, _ = load_card(folder)
    settings = switches(preset, spec.layers)
    with ExitStack() as stack:
        policies: dict[str, Callable[[Observation], Any]] = {**_torch_policies(folder, clips[0][0])}
        for name, setting in settings.items():
            policies[name] = stack.enter_context(LlamaPolicy(folder, preset=setting)).infer
        if read_gguf(folder / (preset.gguf or GGUF)).shape.layers == 1 or preset.layers == 1:
            in_llama = stack.enter_context(LlamaPolicy(folder, preset=preset, numpy_block=False))
            policies[IN_LLAMA] = in_llama.infer
        ms = cpu_ms(policies, clips, rounds, seed, progress)

    table = [
        {
            "setting": name,
            "computes": str(preset if name == IN_LLAMA else settings.get(name, Preset())),
            "CPU ms a chunk": _text(values),
            "chunks/s": round(1000 / float(np.median(values))),
            "CPU ms a control step": round(float(np.median(values)) / spec.horizon, 3),
            "times as fast as whole": _text(ms["whole"] / values),
            "times as fast as torch": _text(ms[TORCH] / values),
        }
        for name, values in ms.items()
    ]
    over = {name: ms[name] / ms["tuned"] for name in ("whole", TORCH)}
    figures = {
        "speedup_over_llama_f16": _figure(over["whole"], "times"),
        "speedup_over_torch_f32": _figure(over[TORCH], "times"),
        "speedup_tuned": _figure(min(over.values(), key=np.median), "times, over the faster of both"),
        "chunks_per_second_tuned": _figure(1000 / ms["tuned"], "1/s of CPU"),
        "chunks_per_second_llama_f16": _figure(1000 / ms["whole"], "1/s of CPU"),
        "chunks_per_second_torch_f32": _figure(1000 / ms[TORCH], "1/s of CPU"),
        **memory(folder),
    }

    return figures, {"speed": table, "films": {"films": len(clips), "frames": sum(map(len, clips)), "rounds": rounds}}


def memory(folder: Path) -> dict[str, Figure]:
    """Megabytes (1e6 bytes) of weights: the files as they are, and the transformer's linear layers in fewer bits, which
    is computed: `rarrl quantize` writes such files."""
    gguf = read_gguf(folder / GGUF)
    outer = (folder / OUTER).stat().st_size
    linears = [gguf.tensors[name] for name in gguf.shape.linears()]
    rest = sum(tensor.bits for tensor in gguf.tensors.values()) - sum(tensor.bits for tensor in linears)
    count = sum(int(np.prod(tensor.shape)) for tensor in linears)
    figures = {
        "weights_f16": Figure((outer + (folder / GGUF).stat().st_size) / 1e6, "MB, whole policy"),
        "transformer_f16": Figure((rest + 16 * count) / 8e6, "MB"),
    }
    for bits in BITS:
        figures[f"transformer_{bits:g}_bpw"] = Figure((rest + bits * count) / 8e6, "MB, computed")
    return figures


def paired(outcomes: Mapping[str, Mapping[str, Sequence[bool]]], words: str = "trained") -> dict[str, Figure]:
    """Success of the whole and of the preset, of {setting: {task: solved or not, by start}}; tasks weigh the same. With
    trained words, `kept_tuned` too.

    Intervals: the starts of each task drawn again, the same for both settings."""
    rng = np.random.default_rng(0)
    arrays = {
        name: [np.array(solved, float) for solved in tasks.values()]
        for name, tasks in outcomes.items()
        if name in ("whole", "tuned")
    }

    drawn: dict[str, list[float]] = {name: [] for name in arrays}
    for _ in range(5000):
        picks = [rng.integers(len(task), size=len(task)) for task in arrays["whole"]]
        for name, tasks in arrays.items():
            drawn[name].append(float(np.mean([task[pick].mean() for task, pick in zip(tasks, picks, strict=True)])))

    n = sum(map(len, arrays["whole"]))
    mean = {name: float(np.mean([task.mean() for task in tasks])) for name, tasks in arrays.items()}
    figures = {}
    for name, values in drawn.items():
        lo, hi = np.quantile(values, [0.025, 0.975])
        key = f"success_{name}" if words == "trained" else f"success_{words}_{name}"
        figures[key] = Figure(mean[name], "share of episodes", n, float(lo), float(hi))

    if words != "trained":
        return figures

    ratio = np.array(drawn["tuned"]) / np.maximum(drawn["whole"], 1e-9)
    lo, hi = np.quantile(ratio, [0.025, 0.975])
    kept = mean["tuned"] / max(mean["whole"], 1e-9)
    return {**figures, "kept_tuned": Figure(kept, "of the whole's success", n, float(lo), float(hi))}


def _torch_policies(folder: Path, example: Observation) -> dict[str, Callable[[Observation], np.ndarray]]:
    """The policy in torch: frozen, and as it was trained."""
    try:
        from .model import load_model
        from .parity import frozen, one_thread, torch_scaled
    except ImportError:
        raise DependencyMissingError("the comparison needs torch: pip install 'rarrl[train]'") from None
    one_thread()
    model = load_model(folder)
    unscaled = model.spec.unscale_actions
    network = frozen(model, example)
    return {
        TORCH: lambda observation: unscaled(torch_scaled(model, observation, network)),
        "torch float32, not frozen": lambda observation: unscaled(torch_scaled(model, observation)),
    }


def _figure(values: np.ndarray, unit: str) -> Figure:
    lo, hi = np.quantile(values, [0.025, 0.975])
    return Figure(float(np.median(values)), unit, len(values), float(lo), float(hi))


def _text(values: np.ndarray) -> str:
    lo, hi = np.quantile(values, [0.025, 0.975])
    return f"{np.median(values):.2f} [{lo:.2f}, {hi:.2f}]"
