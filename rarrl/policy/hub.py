"""Policies from the Hugging Face hub: `hf:ORG/NAME@COMMIT` is a folder, downloaded once.

A branch or a tag may be moved to other weights overnight, so only a commit's hash names a policy. Files that can hold
code (pickle) are never fetched. Needs huggingface_hub (extra `hub`); its own settings hold (HF_HOME, HF_ENDPOINT,
HF_HUB_OFFLINE, HF_TOKEN), https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables."""

from __future__ import annotations

import functools
import re
from contextlib import suppress
from pathlib import Path

from rarrl.errors import InputError
from rarrl.plugins import one_line
from rarrl.strict_json import short

PREFIX = "hf:"
FORM = f"{PREFIX}ORG/NAME@COMMIT"
FILES = ("*.json", "*.safetensors", "*.gguf", "*.txt", "*.md", "LICENSE*")
"""What a policy folder holds, and nothing that can hold code."""
_SPEC = re.compile(r"hf:([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})@([^\s@]{1,200})", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_folder(spec: str) -> Path:
    """The local folder of `hf:ORG/NAME@COMMIT`: from the cache where it is whole there, else downloaded.

    Raises: InputError where the form is wrong, the commit is not a hash, huggingface_hub is not installed, or there is
    neither a copy here nor a hub that gives one."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise InputError(f"policy: {short(spec)} is not allowed (allowed: {FORM})")
    try:
        from huggingface_hub import constants, snapshot_download
    except ImportError as error:
        raise InputError(
            f'policy: {short(spec)} needs huggingface_hub: pip install "rarrl[hub]"; or download the folder yourself '
            "and give its path"
        ) from error

    repo, revision = match.groups()
    if not _COMMIT.fullmatch(revision):
        raise InputError(
            f"policy: {short(spec)}: {short(revision)} may be moved to other weights; name a commit by its 40 digits"
            f"{_commit_of(repo, revision)}"
        )

    fetch = functools.partial(snapshot_download, repo, revision=revision, allow_patterns=list(FILES))
    with suppress(Exception):  # not here, or only in part
        found = Path(str(fetch(local_files_only=True)))
        if (found / "card.json").is_file():
            return found

    try:
        return Path(str(fetch()))
    except Exception as error:  # no network, no such repository or commit, no space
        raise InputError(
            f"policy: {short(spec)} is neither in the cache ({constants.HF_HUB_CACHE}) nor does the hub give it "
            f"({one_line(error)}); check the name and the network, or give the path of a folder"
        ) from error


def _commit_of(repo: str, revision: str) -> str:
    """What to write instead, where the hub can be asked."""
    from huggingface_hub import HfApi

    try:
        sha = HfApi().model_info(repo, revision=revision, timeout=10.0).sha
    except Exception:  # it is only a help
        return ""
    return f": today it is {PREFIX}{repo}@{sha}" if sha else ""
