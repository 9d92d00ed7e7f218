"""The table of action policies: from a folder, `hf:ORG/NAME@COMMIT`, `NAME:TEXT` or `package.module:Class` to a policy.

`rarrl.build.make_policy` is the way in; the worker process (`worker.py`) loads its policy here, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rarrl.errors import InputError
from rarrl.plugins import Table, did_you_mean, import_object, is_import_path, make_by_path
from rarrl.policy import hub
from rarrl.policy.base import LoadedPolicy, Policy, closable
from rarrl.strict_json import short

WHAT = "policy"
"""Begins the messages about action policies."""
_MODELS = Path(__file__).resolve().parents[1] / "models"
_PREFIX = "policy_"
"""Begins the name of a shipped policy's folder."""
SHIPPED = _MODELS / f"{_PREFIX}metaworld"
"""The policy folder that is meant where none is named: Meta-World's."""


@dataclass(frozen=True)
class PolicyOptions:
    """What may be set besides the policy itself; see `rarrl.build.make_policy`. "": as the policy comes."""

    gguf: str = ""
    preset: str = ""
    threads: int = 1


MakePolicy = Callable[[str, PolicyOptions], Policy]
"""Takes the text behind the colon ("" where there is none), and the options. Raises: InputError."""


@dataclass(frozen=True)
class PolicyForm:
    """One entry of the table. form: how it is written, for help and messages."""

    make: MakePolicy
    form: str


POLICIES: Table[PolicyForm] = Table(WHAT)
"""Every kind of policy that is named NAME or NAME:TEXT; `register_policy` adds to it."""


def register_policy(name: str, make: MakePolicy, *, form: str = "") -> None:
    """Adds a kind of action policy to the table, for `make_policy("NAME:TEXT")` in this process.

    A worker process does not know what was registered elsewhere: name the policy by its import path there.

    Args:
        name: stands before the colon.
        make: makes the policy.
        form: how it is written, for messages; default: NAME:TEXT.

    Raises: ValueError where the name is taken or is no name."""
    POLICIES.register(name, PolicyForm(make, form or f"{name}:TEXT"))


def shipped_policies() -> dict[str, Path]:
    """The policy folders of this installation, by the names of their worlds."""
    return {path.name.removeprefix(_PREFIX): path for path in sorted(_MODELS.glob(f"{_PREFIX}*"))}


def policy_folder(spec: str) -> Path:
    """The folder that `spec` names: a path, the name of a shipped policy where no such path exists, or "": SHIPPED.

    That of `hf:ORG/NAME@COMMIT` is downloaded where it is not here yet. Raises: InputError where that fails."""
    if not spec:
        return SHIPPED
    if spec.startswith(hub.PREFIX):
        return hub.hub_folder(spec)
    return Path(spec) if os.path.exists(spec) else shipped_policies().get(spec, Path(spec))


def load_policy(spec: str, options: PolicyOptions | None = None) -> LoadedPolicy:
    """The policy that `spec` names; see `rarrl.build.make_policy`.

    Raises: InputError with the forms that there are; what the policy raises."""
    options = options or PolicyOptions()
    folder = policy_folder(spec)
    if os.path.exists(folder):  # pathlib's exists() raises for names that no file system allows
        return _folder(folder, options)

    name, colon, text = spec.partition(":")
    if name in POLICIES:
        return closable(POLICIES[name].make(text, options))
    if is_import_path(spec):
        _refuse(options, gguf=False, what="a class of your own")
        return closable(make_by_path(spec, WHAT, ("spec", "infer", "reset"), POLICIES))
    forms = ", ".join(["FOLDER", hub.FORM, *(entry.form for entry in POLICIES.values()), "package.module:Class"])
    if colon and "/" not in name:
        raise InputError(f"{WHAT}: {short(spec)} is not known (allowed: {forms}){did_you_mean(name, POLICIES)}")

    shipped = shipped_policies()
    raise InputError(
        f"{WHAT}: no policy folder {short(spec)} (card.json does not exist there); allowed: {forms}; "
        f"shipped: {', '.join(shipped)}{did_you_mean(folder.name, shipped)}"
    )


def runs_own_code(spec: str) -> bool:
    """Whether `spec` names code of the user's, not only files that are read."""
    return bool(spec) and not os.path.exists(spec) and ":" in spec and not spec.startswith(hub.PREFIX)


def _folder(folder: Path, options: PolicyOptions) -> LoadedPolicy:
    from rarrl.policy.serve import LlamaPolicy

    gguf = Path(options.gguf) if options.gguf else None
    return LlamaPolicy(folder, gguf, options.threads, preset=options.preset or None)


def _openvla(text: str, options: PolicyOptions) -> LoadedPolicy:
    """`openvla:FOLDER#package.module:features`. The code is named here, not in the folder, which may be downloaded."""
    from rarrl.policy.openvla import load_openvla

    folder, _, features = text.partition("#")
    if not folder or not is_import_path(features):
        raise InputError(f"{WHAT}: {short(text)} is not allowed (allowed: {OPENVLA_FORM})")
    _refuse(options, gguf=True, what="an OpenVLA checkpoint")
    tower = import_object(features, WHAT)
    return load_openvla(Path(folder), tower, Path(options.gguf) if options.gguf else None, options.threads)


def _refuse(options: PolicyOptions, gguf: bool, what: str) -> None:
    """Raises InputError for an option that would be ignored. gguf: it takes another transformer."""
    for name, value in (("gguf", "" if gguf else options.gguf), ("preset", options.preset)):
        if value:
            raise InputError(f"{WHAT}: {name} {short(value)}: {what} has none; leave {name} away")


OPENVLA_FORM = "openvla:FOLDER#package.module:features"
register_policy("openvla", _openvla, form=OPENVLA_FORM)
