"""Quantize a GGUF model and report on it: the function behind `rarrl quantize MODEL.gguf`.

Nothing here prints, so that a notebook can call it. Whole policy folders: `policy_folder.quantize_policy`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rarrl.llama.gguf import Gguf
from rarrl.results import Figure, make_results, write_results

from ..progress import Progress
from .calibration import load_calibration
from .figures import draw_types
from .quantize import quantize_model, report, write_quantized

ERROR_UNIT = "the head's units"


def quantize(
    gguf: Gguf,
    calibration: Path | None,
    bpw: float,
    method: str = "tuned",
    frames: int = 256,
    seed: int = 0,
    out: Path = Path("quantized.gguf"),
    json: Path | None = None,
    command: str = "rarrl quantize",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Quantizes a model, writes the file and a picture of its types, and measures what it costs.

    Args:
        gguf: The model, F16 or F32; see `read_gguf`.
        calibration: Folder with `calibration.safetensors`; None only for the methods "plain" and "rtn".
        bpw: Bits per weight over the linear layers of the blocks, at most.
        method: A name in `methods.METHODS`.
        frames: Frames to calibrate with; the frames of all other episodes judge.
        seed: Of which frames these are.
        out: The new file; its picture gets the same name with .png.
        json: File of the results document; None: it is not written.
        command: What the document names as its origin.
        progress: Called with the number of tensors that are done, and the name of the last.

    Returns: The results document: sizes, the type of every tensor, and with calibration the change of the actions.

    Raises:
        InputError: For an unknown method, a model that is quantized already, frames that do not fit, or too few bits.
        DependencyMissingError: Without torch where a method calibrates, or without llama.cpp.
    """
    used, held_out = load_calibration(calibration).split(frames, seed) if calibration is not None else (None, None)

    quantized = quantize_model(gguf, used, bpw, method, progress)
    write_quantized(out, gguf, quantized)

    found = report(gguf, out, quantized, held_out)
    draw_types(out.with_suffix(".png"), quantized.types, f"{out.name}: {found['bpw_linears']:.3f} bits per weight")

    units = {"bytes": "bytes", **dict.fromkeys(("bpw_linears", "bpw_blocks", "bpw_file"), "bits per weight")}
    units |= dict.fromkeys(("action_error", "action_error_llama_cpp"), ERROR_UNIT)
    figures = {name: Figure(found[name], unit) for name, unit in units.items() if name in found}
    tables: dict[str, Any] = {name: found[name] for name in ("tensors", "action_error_of_layer") if name in found}
    facts = {"method": method, "bpw": bpw, "held_out_frames": 0 if held_out is None else len(held_out)}

    results = make_results(command, seed, figures, {"settings": facts, **tables})
    if json is not None:
        write_results(json, results)
    return results
