"""The settings of the language model, as every command takes them that names one: `--llm-option NAME=VALUE`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarrl.errors import InputError
from rarrl.secrets import hide_secrets

if TYPE_CHECKING:
    from rarrl.config import FieldSpec, LanguageModelConfig

LlmSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--llm-option",
        metavar="NAME=VALUE",
        help="A setting of section language_model, such as threads=4 or thinking_tokens=4000; repeat it.",
    ),
]


_OF_COMPUTER = ("threads", "context_tokens", "gpu_layers", "examples")
_OF_SERVERS = ("extra_body", "headers")
_SAME = {"threads": "--threads", "call_timeout_s": "--deadline"}
"""Settings that some commands have an option of their own for."""
_WORDS = {"gpu_layers": {"all": -1}}
"""Words that stand for a number."""


def language_model_values(options: Sequence[str] | None, llm: str | None = None, **given: Any) -> dict[str, Any]:
    """The settings in `options`, and those of `given` that are not None. llm: as in `--llm`, for a note on stderr where
    a setting has no effect.

    Raises: InputError for what is no NAME=VALUE, an unknown name, with those that there are, a text for a number, and
    what is given twice."""
    from rarrl.config import LanguageModelConfig, iter_fields
    from rarrl.plugins import did_you_mean

    specs = {spec.name: spec for spec in iter_fields(LanguageModelConfig)}
    values: dict[str, Any] = {}
    for option in options or ():
        name, equals, text = option.partition("=")
        name, text = name.strip(), text.strip()
        if name not in specs:
            raise InputError(
                f"--llm-option: {name[:40]!r} is not allowed (allowed: NAME=VALUE with {', '.join(specs)})"
                f"{did_you_mean(name, specs)}"
            )
        if not equals:
            raise InputError(f"--llm-option: {name} has no value; write {name}={_example(specs[name])}")
        if given.get(name) is not None:
            raise InputError(f"--llm-option {name}: not together with {_SAME[name]}, which says the same")

        try:
            values[name] = _WORDS.get(name, {}).get(text, None) or specs[name].type(text)
        except ValueError:
            kind, _, limits = specs[name].allowed.partition(" ")
            article = "an" if kind[0] in "aeiou" else "a"
            raise InputError(f"--llm-option {name}: {text[:40]!r} is not {article} {kind} ({limits})") from None

    for name in _without_effect(llm or "", values):
        typer.echo(f"note: --llm-option {name} has no effect with {hide_secrets(llm or '')[:80]}", err=True)
    return values | {name: value for name, value in given.items() if value is not None}


def _example(spec: FieldSpec) -> str:
    """A value that a setting may have."""
    return "4" if spec.name == "threads" else str(spec.default) or "VALUE"


def _without_effect(llm: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that change nothing for the language model `llm`; of one that is not ours nobody knows."""
    kind = llm.partition(":")[0]
    if kind == "profile":
        return [name for name in names if name != "call_timeout_s"]
    idle = {"llama": _OF_SERVERS, "openai": _OF_COMPUTER}.get(kind, ())
    return [name for name in names if name in idle]


def language_model_settings(options: Sequence[str] | None, llm: str | None = None, **given: Any) -> LanguageModelConfig:
    """The settings of `language_model_values`, checked. Raises: InputError."""
    from rarrl.config import config_from_values

    return config_from_values(
        {"language_model": language_model_values(options, llm, **given)}, "command line"
    ).language_model
