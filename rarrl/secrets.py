"""Secrets: the one place where they are read, checked, and taken out of texts that people will see.

A secret comes from an environment variable or a file of its own: settings, arguments and topics are visible to
everybody. Whatever a library or a server says after it has seen one passes through `hide_secrets` before it goes on to
an answer, a log, a topic or a file.
"""

from __future__ import annotations

import base64
import functools
import html.entities
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
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
_BEGUN = 8
"""Characters of a secret that are taken out at the end of a text, where it may have been cut; fewer are the same in all
keys of a vendor, such as `sk-proj-`."""
_MAX_ESCAPED = 500
"""Characters of a secret that are looked for in all ways to escape them, and of one that is found across line ends;
tokens have a few, and a longer expression takes long to compile."""
_LEAST_WRAPPED = 20
"""Characters below which no server wraps a secret; words of a text could look like such a one."""

_SECRET_NAME = re.compile(
    r"authorization|cookie|api[-_]?key|access[-_]?key|session[-_]?id|(^|[-_.])(key|auth|sig|signature|code|pwd|jwt)$"
    r"|(^|[-_.])x-access|token($|[-_.])|secret|passw|credential",
    re.IGNORECASE,
)
"""Names of header lines, environment variables and keys in a URL whose values are secrets."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name: a token of RFC 9110."""
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_WHOLE_VARIABLE = re.compile(r"\$(?:\{[A-Z_][A-Z0-9_]*\}|[A-Z_][A-Z0-9_]*)")
_USER = re.compile(r"(?<=://)[^/?#\s'\"]*@")
_QUERY = re.compile(r"([?&;])([^=&;#?\s]+)=([^&;#\s'\")]*)")
_TOKEN = re.compile(
    r"(?<![\w-])(?:(?:sk-|nvapi-|xox[abprs]-|hf_|gsk_|gh[pousr]_|github_pat_|AIza|AKIA)(?=[\w-]*\d)[\w-]{16,}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)?)",
    re.ASCII,
)
"""What is a key by its form: those of vendors with a mark of their own, and JSON web tokens."""
_NO_SECRETS = frozenset(("prompt_cache_key", "stop_token", "eos_token", "bos_token", "pad_token"))
"""Fields of requests that only sound like secrets."""
_OWN_HEADERS = frozenset(("host", "content-length", "transfer-encoding", "connection", "content-type", "accept"))
"""Header lines that the transport needs as it writes them."""

_seen: set[str] = set()
"""Every secret that was read so far, as it was found and as it is used."""
_variables: set[str] = set()
"""The environment variables that they were read from."""


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
    remember(value.strip())
    value = value.removeprefix("\ufeff").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip()

    value = re.sub(r"^bearer(\s+|$)", "", value, flags=re.IGNORECASE)
    remember(value)

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
    _variables.add(variable)
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


def check_body(value: Any, name: str = "") -> None:
    """Checks fields of a request as a user writes them in the settings. name: of the field that holds `value`.

    Raises: ValueError, one line that shows no value."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            check_body(each, str(key))
    elif isinstance(value, list | tuple):
        for each in value:
            check_body(each, name)
    elif isinstance(value, str) and value and not _VARIABLE.search(value):
        secret = is_secret_name(name) and name not in _NO_SECRETS
        if secret or _TOKEN.search(value):
            raise ValueError(
                f"{name[:40]} is a secret and settings are visible to everybody; put it into an environment variable "
                f'and write {{"{name[:40]}": "$VARIABLE"}}'
            )


def body_names_variable(value: Any) -> bool:
    """Whether `fill_in_body` would read an environment variable for `value`."""
    return _in_body(value, "", lambda text, where: text + "$") != value


def fill_in_body(value: Any) -> Any:
    """Returns fields of a request with the values of environment variables in them: where the field's name is that of a
    secret, or the whole value is `$NAME` in capitals. Other texts, such as a schema's `#/$defs/a`, may hold a `$`.

    Raises: InputError where a variable is not set."""
    return _in_body(value, "", lambda text, where: fill_in(text, f"language_model.extra_body: {where}"))


def _in_body(value: Any, name: str, change: Callable[[str, str], str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _in_body(each, str(key), change) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_in_body(each, name, change) for each in value]

    is_secret = is_secret_name(name) and name not in _NO_SECRETS
    if isinstance(value, str) and _VARIABLE.search(value) and (is_secret or _WHOLE_VARIABLE.fullmatch(value)):
        return change(value, name)
    return value


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


def remember(value: str) -> None:
    """Treats `value` as a secret from now on: `hide_secrets` takes it out."""
    _seen.add(value)


def names_variable(text: str) -> bool:
    """Whether `fill_in` would read an environment variable for `text`."""
    return _VARIABLE.search(text) is not None


def hide_secrets(text: str, short: bool = True) -> str:
    """Returns `text` without any secret that was read so far, however it is written there, and without those in URLs.

    Call it before a text is cut: parts of a secret are not found, but for the beginning of one at the end of a text.
    short: also takes out words that are secrets of less than 6 characters, which an answer may hold by chance.

    >>> hide_secrets("openai:https://me:pw@host/v1?api-version=1&sig=a1b2#m is not known")
    'openai:https://***@host/v1?api-version=1&sig=***#m is not known'
    """
    present = _seen.union(os.environ.get(variable, "").strip() for variable in KEY_VARIABLES)
    low = text.lower()
    for writing in _writings(frozenset(filter(None, present))):
        if (short or not writing.is_short) and writing.mark in low:
            text = writing.pattern.sub(HIDDEN, text)
            text = _without_begun(text, writing.forms)
    text = _TOKEN.sub(HIDDEN, text)
    return _QUERY.sub(_hidden_value, _USER.sub(f"{HIDDEN}@", text))


def _without_begun(text: str, forms: Iterable[str]) -> str:
    """Returns `text` without the beginning of one of `forms` at its end."""
    low = text.lower()
    for form in forms if len(low) == len(text) else ():
        at = low.find(form[:_BEGUN], max(len(low) - len(form), 0))
        while at >= 0:
            if form.startswith(low[at:]):
                return text[:at] + HIDDEN
            at = low.find(form[:_BEGUN], at + 1)
    return text


def _hidden_value(match: re.Match[str]) -> str:
    start, name, value = match.groups()
    return f"{start}{name}={HIDDEN if is_secret_name(name) and not _VARIABLE.fullmatch(value) else value}"


@dataclass(frozen=True)
class _Writing:
    """Ways to write a secret. mark: what a text in small letters holds where one of them is in it. forms: the ways in
    small letters, as far as they can be listed. is_short: whether only whole words count."""

    mark: str
    pattern: re.Pattern[str]
    forms: tuple[str, ...] = ()
    is_short: bool = False


@functools.lru_cache(maxsize=8)
def _writings(secrets: frozenset[str]) -> tuple[_Writing, ...]:
    """All ways in which texts may write `secrets`, the longest secrets first."""
    # A library may show the parts between the line ends of one that was never sent.
    parts = {part for secret in secrets for part in secret.split() if len(part) >= _WHOLE_WORD}
    found = []
    for each in sorted((secrets | parts) - {"Bearer", "bearer"}, key=len, reverse=True):
        escaped = {each, repr(each)[1:-1], json.dumps(each)[1:-1], quote(each), quote(each, safe=""), quote_plus(each)}
        if len(each) < _WHOLE_WORD:
            words = "|".join(map(re.escape, sorted(escaped, key=len, reverse=True)))
            found.append(_Writing("", re.compile(rf"(?<!\w)(?:{words})(?!\w)"), is_short=True))
            continue

        encoded = {each.encode("utf-8", "replace").hex(), *_base64(each.encode("utf-8", "replace"))}
        for form in encoded:
            found.append(_Writing(form[:_WHOLE_WORD].lower(), re.compile(re.escape(form), re.I), (form.lower(),)))

        start = re.match("[a-z0-9]*", each.lower())
        forms = tuple(sorted({form.lower() for form in escaped}))
        found.append(_Writing(start.group() if start else "", re.compile(_escaped(each), re.I), forms))
    return tuple(found)


def _base64(secret: bytes) -> Iterator[str]:
    """What all texts in base64 have in common in which `secret` stands after any others, such as `user:`."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + secret).decode().rstrip("=")
        whole = (before + len(secret)) % 3 == 0
        text = text[(0, 2, 3)[before] : None if whole else -1]
        yield text
        yield text.replace("+", "-").replace("/", "_")


def _escaped(secret: str) -> str:
    """An expression for `secret` with any of its characters escaped: in JSON within JSON, in a URL, in HTML."""
    special = sum(not _is_plain(character) for character in secret)
    if special > _MAX_ESCAPED:
        return re.escape(secret)
    wrap = r"\s{0,2}" if _LEAST_WRAPPED <= len(secret) <= _MAX_ESCAPED else ""
    return wrap.join(character if _is_plain(character) else _ways(character) for character in secret)


def _is_plain(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _ways(character: str) -> str:
    code = ord(character)
    percent = "".join(f"%(?:25)?{byte:02x}" for byte in character.encode("utf-8", "replace"))
    control = json.dumps(character)[1:-1].lstrip("\\")
    name = {"+": "plus", "/": "sol", "=": "equals"}.get(character) or html.entities.codepoint2name.get(code, "")
    ways = [
        rf"\\{{0,4}}{re.escape(character)}",
        rf"\\{{1,4}}(?:u{code:04x}|x{code:02x}|{re.escape(control)})",
        percent,
        rf"&(?:amp;)?#(?:0*{code}|x0*{code:x});",
        *([f"&{name};"] if name else []),
        *([r"\+"] if character == " " else []),
    ]
    return f"(?:{'|'.join(ways)})"


def secret_in_url(query: str) -> str:
    """Returns the name of a key in a URL's query whose value is a secret in clear, "" if there is none."""
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if value and is_secret_name(name) and not _VARIABLE.search(value):
            return name
    return ""


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns `environment` without the language model's secrets, for a child process that has no use for them."""
    return {name: value for name, value in environment.items() if name not in _variables.union(KEY_VARIABLES)}
