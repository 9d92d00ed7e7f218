"""Secrets: the one place where they are read, checked, and taken out of texts that people will see.

A secret comes from an environment variable or a file of its own: settings, arguments and topics are visible to
everybody. Whatever a library or a server says after it has seen one passes through `hide_secrets` before it goes on to
an answer, a log, a topic or a file.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

from rarrl.errors import InputError

KEY_VARIABLES = ("RARRL_LLM_KEY", "OPENAI_API_KEY")
"""Environment variables that may hold the key of a language model's server, in this order."""
HIDDEN = "***"
"""Stands where a secret was."""
MAX_SECRET = 8000
"""Characters of a secret: servers refuse header lines of more than 8 KiB, and the longest tokens have about 4,000."""
_WHOLE_WORD = 6
"""Characters below which a secret, such as the `x` that a local server is given, is only taken out as a whole word."""

_SECRET_NAME = re.compile(
    r"authorization|cookie|api[-_]?key|(^|[-_.])(key|auth|sig|signature|code)$|token($|[-_.])|secret|passw|credential",
    re.IGNORECASE,
)
"""Names of header lines, environment variables and keys in a URL whose values are secrets."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name: a token of RFC 9110."""
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_USER = re.compile(r"(?<=://)[^/@\s'\"]*@")
_QUERY = re.compile(r"([?&;])([^=&;#?\s]+)=([^&;#\s'\")]*)")
_OWN_HEADERS = frozenset(("host", "content-length", "transfer-encoding", "connection", "content-type", "accept"))
"""Header lines that the transport needs as it writes them."""

_seen: set[str] = set()
"""Every secret that was read so far, as it was found and as it is used."""


def is_secret_name(name: str) -> bool:
    """Whether the value behind `name` is a secret: of a header line, an environment variable or a key in a URL.

    >>> [is_secret_name(name) for name in ("Authorization", "api-key", "HF_TOKEN", "HTTP-Referer", "api-version")]
    [True, True, True, False, False]
    """
    return _SECRET_NAME.search(name) is not None


def clean_secret(value: str, where: str) -> str:
    """Returns a secret as it can be sent in a header: without white space and quotes around it.

    A line end is what `export KEY="$(cat file)"` or a `.env` file with CRLF leaves, quotes what a `.env` file does, and
    `Bearer ` is what documentation shows in front of it.

    where: names its source in the message of an error, which never shows the value. Raises: InputError."""
    _seen.add(value.strip())
    value = value.removeprefix("\ufeff").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip()

    value = re.sub(r"^bearer(\s+|$)", "", value, flags=re.IGNORECASE)
    _seen.add(value)

    fault = ""
    if not value.isascii():
        fault = "a character that is not ASCII"
    elif not value.isprintable():
        fault = "a line end or another control character inside"
    elif " " in value:
        fault = "a space inside"
    elif len(value) > MAX_SECRET:
        fault = f"more than {MAX_SECRET} characters"
    if fault:
        raise InputError(f"{where}: the secret in it has {fault}; set it again without")
    return value


def read_secret(variable: str) -> str:
    """Returns the secret in an environment variable, see `clean_secret`; "" if there is none. Raises: InputError."""
    return clean_secret(os.environ.get(variable, ""), f"environment variable {variable}")


def read_key() -> str:
    """Returns the key of the language model's server, "" if no variable holds one. Raises: InputError."""
    return next((key for key in map(read_secret, KEY_VARIABLES) if key), "")


def check_headers(headers: Mapping[str, object]) -> None:
    """Checks header lines as a user writes them in the settings.

    Raises: ValueError, one line that shows no value."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name[:40]!r} cannot be the name of a header line")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name} is what rarrl itself sends; leave it out")
        if not isinstance(value, str):
            raise ValueError(f"{name}: the value is not a text; put it into quotes")

        if is_secret_name(name) and not _VARIABLE.search(value):
            raise ValueError(
                f"{name} is a secret and settings are visible to everybody; put it into an environment variable and "
                f'write {{"{name}": "$VARIABLE"}}'
            )
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"{name}: the value has characters that no header line can have")


def fill_in(text: str, what: str) -> str:
    """Returns `text` with the values of the environment variables, `$NAME` or `${NAME}`, in it.

    Raises: InputError, beginning with `what`, where a variable is not set, or holds what no header can."""

    def look_up(match: re.Match[str]) -> str:
        variable = match.group(1) or match.group(2)
        value = read_secret(variable)
        if not value:
            raise InputError(f"{what}: the environment variable {variable} is not set; export it")
        return value

    return _VARIABLE.sub(look_up, text)


def names_variable(text: str) -> bool:
    """Whether `fill_in` would read an environment variable for `text`."""
    return _VARIABLE.search(text) is not None


def hide_secrets(text: str) -> str:
    """Returns `text` without any secret that was read so far, however it is written there, and without those in URLs.

    >>> hide_secrets("openai:https://me:pw@host/v1?api-version=1&sig=a1b2#m is not known")
    'openai:https://***@host/v1?api-version=1&sig=***#m is not known'
    """
    present = _seen.union(os.environ.get(variable, "").strip() for variable in KEY_VARIABLES)
    pattern = _pattern(frozenset(present))
    if pattern is not None:
        text = pattern.sub(HIDDEN, text)
    return _QUERY.sub(_hidden_value, _USER.sub(f"{HIDDEN}@", text))


def _hidden_value(match: re.Match[str]) -> str:
    start, name, value = match.groups()
    return f"{start}{name}={HIDDEN if is_secret_name(name) and not _VARIABLE.fullmatch(value) else value}"


@functools.lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """An expression for all ways in which texts may write `secrets`; None where there are none."""
    forms: set[str] = set()
    for secret in filter(None, secrets):
        # A library may show the parts between the line ends of one that was never sent.
        for each in {secret, *(part for part in secret.split() if len(part) >= _WHOLE_WORD)}:
            forms |= {each, repr(each)[1:-1], json.dumps(each)[1:-1]}
            forms |= {quote(each), quote(each, safe=""), quote_plus(each)}

    longest_first = sorted((form for form in forms if form.lower() != "bearer"), key=len, reverse=True)
    patterns = [
        re.escape(form) if len(form) >= _WHOLE_WORD else rf"(?<!\w){re.escape(form)}(?!\w)" for form in longest_first
    ]
    return re.compile("|".join(patterns)) if patterns else None


def secret_in_url(query: str) -> str:
    """Returns the name of a key in a URL's query whose value is a secret in clear, "" if there is none."""
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if value and is_secret_name(name) and not _VARIABLE.search(value):
            return name
    return ""


def without_secrets(environment: Mapping[str, str], keep: Iterable[str] = ()) -> dict[str, str]:
    """Returns the environment of a child process that needs no secrets."""
    kept = frozenset(keep)
    return {name: value for name, value in environment.items() if name in kept or not is_secret_name(name)}
