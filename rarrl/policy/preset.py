"""What a policy leaves out to run faster. `rarrl tune policy` chooses it and keeps it in the policy's folder."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rarrl.errors import InputError
from rarrl.policy.spec import PolicySpec
from rarrl.strict_json import read_json

FOLDER = "presets"
"""Folder, inside a policy's folder, that holds one JSON file per preset."""


class Preset(BaseModel):
    """What is left out; a part that is None leaves out nothing.

    patches: how many image patches are encoded, the most relevant ones. layers: how many blocks of the transformer are
    run. gguf: the name of another transformer in the policy's folder: a quantized one, or one with fewer blocks from
    `rarrl train policy-student`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patches: int | None = Field(None, ge=1)
    layers: int | None = Field(None, ge=1)
    gguf: str | None = Field(None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\.gguf$")

    def check(self, spec: PolicySpec) -> None:
        """Raises: InputError if it asks for more than the policy has."""
        for name, most in (("patches", spec.image_tokens), ("layers", spec.layers)):
            value = getattr(self, name)
            if value is not None and value > most:
                raise InputError(f"preset.{name}: this policy has {most}, got {value}; allowed: 1 to {most}")

    def __str__(self) -> str:
        parts = [f"{name}={value}" for name, value in self.model_dump().items() if value is not None]
        return ", ".join(parts) or "the whole"


def load_preset(folder: Path, name: str) -> Preset:
    """Reads `presets/<name>.json` of a policy folder.

    Raises: InputError if there is no such preset or the file is not one."""
    path = folder / FOLDER / f"{name}.json"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or not path.is_file():
        known = sorted(p.stem for p in (folder / FOLDER).glob("*.json"))
        advice = f"allowed: {', '.join(known)}" if known else "make one with `rarrl tune policy`"
        raise InputError(f"preset: {folder} has no preset {name!r}; {advice}")

    try:
        return Preset.model_validate(read_json(path, "preset")["preset"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"preset: {path}: {where}: {first['msg']}; tune again with `rarrl tune policy`") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"preset: {path} is no preset ({type(error).__name__}); tune again") from None
