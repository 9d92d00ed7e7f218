"""Reads plain YAML that people write and reports whatever is wrong with it in one line: what, where, the fix."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from rarrl.errors import InputError
from rarrl.files import check_regular_file, read_file
from rarrl.strict_json import short

MAX_YAML_BYTES = 100_000
"""Bytes: ten times what a long settings file has; larger ones are something else."""


def read_yaml(path: Path, what: str, max_bytes: int = MAX_YAML_BYTES) -> Any:
    """Reads the file `path` as plain YAML: no anchors, aliases, merges, tags or duplicate keys. None for an empty one.

    what: what kind of file it should be; it begins the messages.

    Raises: InputError, one line."""
    if "\0" in str(path):
        raise InputError(f"{what}: {short(str(path))} cannot be the path of a file (it holds a NUL character)")
    check_regular_file(path, what)
    if os.path.getsize(path) > max_bytes:
        raise InputError(f"{what}: {path} has more than {max_bytes} bytes: not a {what} file")
    return parse_yaml(read_file(path, what), what, str(path))


def parse_yaml(data: bytes | str, what: str, where: str) -> Any:
    """Parses plain YAML. Raises: InputError, one line that begins with `what: where`."""
    try:
        return yaml.load(data, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = _one_line(error.problem or error.context or "not YAML")
        problem += "; write a text with {} in it in quotes" if problem.endswith("got '{'") else ""
        raise InputError(f"{what}: {where}: not plain YAML{at}: {problem}") from None
    except RecursionError:
        raise InputError(f"{what}: {where}: nested too deeply to be a {what} file") from None
    except (yaml.YAMLError, ValueError) as error:  # bad bytes; numbers of thousands of digits; impossible dates
        raise InputError(f"{what}: {where}: not plain YAML: {_one_line(str(error))}") from None


class _PlainLoader(yaml.SafeLoader):
    """A YAML loader that refuses what no settings need: anchors, aliases (bombs), merges, tags, duplicate keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:  # an alias has one too
            raise yaml.composer.ComposerError(
                None, None, "anchors (&) and aliases (*) are refused; write the value out", event.start_mark
            )
        if getattr(event, "tag", None) is not None:  # !!set of a number breaks the constructor in many ways
            raise yaml.composer.ComposerError(
                None, None, f"tags ({short(event.tag)[1:-1]}) are refused; write the value alone", event.start_mark
            )

        return super().compose_node(parent, index)

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            problem = "half of a surrogate pair (\\ud800 to \\udfff), which no topic or terminal takes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag != "tag:yaml.org,2002:str":
                problem = (
                    f"a key must be text, got {short(key)}; put it in quotes"
                    if key is not None
                    else "a key must be text"
                )
            elif key in seen:
                problem = f"key {short(key)} is given twice; keep one"
            else:
                seen.add(key)
                continue

            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)

        return super().construct_mapping(node, deep)


def _one_line(text: str, limit: int = 200) -> str:
    return " ".join(text.split())[:limit]
