"""`rarrl data calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import check_output, guarded, progress
from rarrl.cli.orchestrator import SeedOption


@guarded("nothing was written; start again")
def calibrate(
    data: Annotated[list[Path], typer.Option(help="A folder of `rarrl data record`; repeat it.")],
    out: Annotated[Path, typer.Option(help="Folder for model.gguf and calibration.safetensors.")],
    policy: Annotated[Path | None, typer.Option(help="A policy folder; default: the one of the package.")] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames, as many of each task.")] = 2000,
    seed: SeedOption = 0,
) -> None:
    """Write what `rarrl quantize` needs of a policy: its transformer, and frames as they enter it."""
    from rarrl.files import read_file, write_bytes_atomic
    from rarrl.policy.serve import GGUF, MODELS
    from rarrl_learning.policy.calibration import policy_frames
    from rarrl_learning.policy.demonstrations import load_demonstrations
    from rarrl_learning.quantize.calibration import Calibration, Head, save_calibration

    check_output(out / GGUF, "--out")
    folder = policy or MODELS / "policy_metaworld"
    with progress("embedding", frames) as update:
        found = policy_frames(folder, load_demonstrations(data), frames, seed, update)
    first = sum(found.blocks) - found.targets.shape[1]
    head = Head(found.head, "relu")
    save_calibration(out, Calibration(found.inputs, found.targets, head, found.blocks, first, found.episode))
    write_bytes_atomic(out / GGUF, read_file(folder / GGUF, "policy"))
    typer.echo(f"calibration: {out} ({frames} frames of {len(set(found.episode.tolist()))} episodes)")
