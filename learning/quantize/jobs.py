"""Behind `rarrl quantize`: one model, one size, one method; the file, its picture and its figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rarrl.llama.gguf import Gguf
from rarrl.results import Figure, make_results, write_results

from .calibration import load_calibration
from .figures import draw_types
from .quantize import quantize_model, report, write_quantized


def quantize(
    gguf: Gguf,
    calibration: Path | None,
    bpw: float,
    method: str,
    frames: int,
    seed: int,
    out: Path,
    json: Path | None,
    command: str,
    update: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Writes `out` and a picture of its types beside it; returns the results document.

    Raises: InputError, DependencyMissingError."""
    used, held_out = load_calibration(calibration).split(frames, seed) if calibration is not None else (None, None)
    quantized = quantize_model(gguf, used, bpw, method, update)
    write_quantized(out, gguf, quantized)
    found = report(gguf, out, quantized, held_out)
    draw_types(out.with_suffix(".png"), quantized.types, f"{out.name}: {found['bpw_linears']:.3f} bits per weight")
    units = {"bytes": "bytes", **dict.fromkeys(("bpw_linears", "bpw_blocks", "bpw_file"), "bits per weight")}
    units |= dict.fromkeys(("action_error", "action_error_llama_cpp"), "the head's units")
    figures = {name: Figure(found[name], unit) for name, unit in units.items() if name in found}
    tables: dict[str, Any] = {name: found[name] for name in ("tensors", "action_error_of_layer") if name in found}
    facts = {"method": method, "bpw": bpw, "held_out_frames": 0 if held_out is None else len(held_out)}
    results = make_results(command, seed, figures, {"settings": facts, **tables})
    if json is not None:
        write_results(json, results)
    return results
