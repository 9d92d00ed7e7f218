"""The settings of the language model, as every command takes them that names one: `--llm-option NAME=VALUE`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarrl.errors import InputError

if TYPE_CHECKING:
    from rarrl.config import LanguageModelConfig

LlmSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--llm-option",
        metavar="NAME=VALUE",
        help="A setting of section language_model, such as threads=4 or thinking_tokens=4000; repeat it.",
    ),
]


def language_model_values(options: Sequence[str] | None, **given: Any) -> dict[str, Any]:
    """The settings in `options`, and those of `given` that are not None, which win.

    Raises: InputError for what is no NAME=VALUE, or an unknown name, with those that there are."""
    from rarrl.config import LanguageModelConfig, iter_fields
    from rarrl.plugins import did_you_mean

    kinds = {spec.name: spec.type for spec in iter_fields(LanguageModelConfig)}
    values: dict[str, Any] = {}
    for option in options or ():
        name, equals, text = option.partition("=")
        name = name.strip()
        if not equals or name not in kinds:
            raise InputError(
                f"--llm-option: {name[:40]!r} is not allowed (allowed: NAME=VALUE with {', '.join(kinds)})"
                f"{did_you_mean(name, kinds)}"
            )

        try:
            values[name] = kinds[name](text.strip())
        except ValueError:  # a text for a number: what reads the values says what is allowed
            values[name] = text
    return values | {name: value for name, value in given.items() if value is not None}


def language_model_settings(options: Sequence[str] | None, **given: Any) -> LanguageModelConfig:
    """The settings of `language_model_values`, checked. Raises: InputError."""
    from rarrl.config import config_from_values

    return config_from_values(
        {"language_model": language_model_values(options, **given)}, "command line"
    ).language_model
