"""Secrets: the one place where they are read, checked, and taken out of texts that people will see.

A secret comes from an environment variable: settings, arguments and topics are visible to everybody. Whatever a
library or a server says after it has seen one passes through `Redactor` before it goes on to an answer, a log, a topic
or a file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

from rarrl.errors import InputError

KEY_VARIABLES = ("RARRL_LLM_KEY", "OPENAI_API_KEY")
"""Environment variables that may hold a language model server's key, in this order."""
HIDDEN = "***"
"""Stands where a secret was."""
_SECRET_NAME = re.compile(
    r"authorization|cookie|api[-_]?key|apikey|(^|[-_.])(key|auth|sig|signature|code)$"
    r"|token($|[-_.])|secret|passw|credential",
    re.I,
)
"""Names of header lines and of keys in a URL whose values are secrets."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name: a token of RFC 9110."""
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_OWN_HEADERS = frozenset(("host", "content-length", "transfer-encoding", "connection", "content-type", "accept"))
"""Header lines that the transport needs as it writes them."""


def is_secret_name(name: str) -> bool:
    """Whether the value behind `name`, a header line or a key in a URL, is a secret.

    >>> [is_secret_name(name) for name in ("Authorization", "api-key", "x-token", "HTTP-Referer", "api-version")]
    [True, True, True, False, False]
    """
    return _SECRET_NAME.search(name) is not None


def read_secret(variable: str) -> str:
    """Returns the secret in an environment variable, without white space around it; "" if there is none.

    A line end is what `export KEY="$(cat file)"` or a `.env` file with CRLF leaves, quotes what a `.env` file does, and
    `Bearer ` is what documentation shows in front of it.

    Raises: InputError, which names the variable and never the value, where it cannot be sent in a header."""
    value = os.environ.get(variable, "").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip()

    value = re.sub(r"^bearer\s+", "", value, flags=re.I)
    if value.lower() == "bearer":
        value = ""

    fault = ""
    if not value.isascii():
        fault = "a character that is not ASCII"
    elif not value.isprintable():
        fault = "a line end, or another control character, inside"
    elif " " in value:
        fault = "a space inside"
    elif len(value) > MAX_SECRET:
        fault = f"more than {MAX_SECRET} characters"
    if fault:
        raise InputError(f"environment variable {variable}: the key in it has {fault}; set it again, without")
    return value


MAX_SECRET = 8000
"""Characters of a secret: servers refuse header lines of more than 8 KiB, and the longest tokens have about 4,000."""


_WHOLE_WORD = 4
"""Characters below which a secret, such as the `x` that a local server is given, is only taken out as a whole word."""
_USER = re.compile(r"(?<=://)[^/@\s'\"]*@")
_QUERY = re.compile(r"([?&;])([^=&;#\s]+)=([^&;#\s'\")]*)")


def read_key(variables: Iterable[str] = KEY_VARIABLES) -> str:
    """Returns the first key that one of `variables` holds, "" if none does. Raises: InputError, see `read_secret`."""
    return next((key for key in map(read_secret, variables) if key), "")


def check_headers(headers: Mapping[str, object]) -> None:
    """Checks header lines as a user writes them in the settings.

    Raises: ValueError, one line that shows no value."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is no name of a header line (allowed: letters, digits and -)")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name} is what rarrl itself sends; leave it out")
        if not isinstance(value, str):
            raise ValueError(f"{name}: the value is not a text; put it into quotes")

        variable = _VARIABLE.search(value)
        if is_secret_name(name) and not variable:
            raise ValueError(
                f"{name} is a secret and settings are visible to everybody; put it into an environment variable, and "
                f'write {{"{name}": "$VARIABLE"}}'
            )
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"{name}: the value has characters that are not allowed in a header line")


def filled_in(headers: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Returns header lines with the values of the environment variables that they name, and those values.

    Raises: InputError where a variable is not set, or holds what no header can."""
    found: list[str] = []

    def look_up(match: re.Match[str]) -> str:
        variable = match.group(1) or match.group(2)
        value = read_secret(variable)
        if not value:
            raise InputError(f"language_model.headers: the environment variable {variable} is not set; export it")
        found.append(value)
        return value

    return {name: _VARIABLE.sub(look_up, value) for name, value in headers.items()}, found


def hide_in_urls(text: str) -> str:
    """Returns `text` with user names, passwords and the values of secret keys taken out of the URLs in it.

    >>> hide_in_urls("openai:https://me:pw@host/v1?api-version=1&sig=a1b2#m is no URL")
    'openai:https://***@host/v1?api-version=1&sig=***#m is no URL'
    """

    def hide(match: re.Match[str]) -> str:
        start, name, value = match.groups()
        named = _VARIABLE.fullmatch(value)
        return f"{start}{name}={HIDDEN if is_secret_name(name) and not named else value}"

    return _QUERY.sub(hide, _USER.sub(f"{HIDDEN}@", text))


class Redactor:
    """Takes secrets out of texts, in any way in which they may be written there."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in filter(None, secrets):
            forms |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}

        longest_first = sorted(forms, key=len, reverse=True)
        patterns = [
            re.escape(form) if len(form) >= _WHOLE_WORD else rf"(?<!\w){re.escape(form)}(?!\w)"
            for form in longest_first
        ]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        """Returns `text` without the secrets, and without those in the URLs in it."""
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, text)
        return hide_in_urls(text)
