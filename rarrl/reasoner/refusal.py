"""What a server says where it does not answer: its words, what they are about, and whether to ask again."""

from __future__ import annotations

import email.utils
import http.client
import json
import math
import re
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

from rarrl.secrets import hide_secrets

LOADING_S = 2.0
"""Seconds between two requests to a server that is loading its model, for as long as the call may take."""

FORMAT_WORDS = re.compile(r"response_?format|json_?schema|json_?object|json mode|schema|grammar|structured", re.I)
UNKNOWN_WORDS = re.compile(
    r"unsupported|not supported|unknown|unrecognized|unexpected|not permitted|not allowed|forbidden|extra|instead", re.I
)
_OVERFLOW_WORDS = re.compile(
    r"context (length|size|window)|maximum context|exceeds? the (available|maximum|model)|n_ctx|prompt is too long|"
    r"too many tokens|too large|max_model_len|reduce the length",
    re.I,
)
ANSWER_WORDS = re.compile(r"max_(completion_)?tokens|in the completion|completion tokens|output tokens|max_new", re.I)
LOADING_WORDS = re.compile(r"loading|starting|warming", re.I)
_QUOTA_WORDS = re.compile(r"insufficient_quota|billing|credit", re.I)


class RefusedError(Exception):
    """The server answered with an error. words: its own, on one line. code: its own, such as insufficient_quota."""

    def __init__(self, status: int, words: str, code: str = "", retry_after: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.words = hide_secrets(" ".join(words.split()))  # in whole, before anybody cuts them
        self.code = code
        self._retry_after = retry_after

    @property
    def is_overflow(self) -> bool:
        """Whether prompt and answer are too long for the model."""
        return "context_length" in self.code or _OVERFLOW_WORDS.search(self.words) is not None

    @property
    def is_quota(self) -> bool:
        """Whether waiting would not help."""
        return _QUOTA_WORDS.search(f"{self.code} {self.words}") is not None

    @property
    def is_about_the_request(self) -> bool:
        """Whether another form of the request might be accepted. llama-cpp-python says 500 to a format that it does not
        know."""
        return self.status in (400, 415, 422, 500, 501) and not self.is_overflow and not self.is_about_this_call

    @property
    def names_nothing(self) -> bool:
        """Whether the server minds something about the request and does not say what."""
        return self.is_about_the_request and not FORMAT_WORDS.search(self.words)

    @property
    def is_about_this_call(self) -> bool:
        """Whether the server works, and declines what this call asks."""
        return "content_filter" in self.code or (self.status in (400, 413, 422, 500) and self.is_overflow)

    def wait_s(self, waits: Iterable[float]) -> float | None:
        """Seconds after which the same request may succeed; None: do not wait."""
        if self.status not in (429, 503, 529) or self.is_quota:
            return None

        told = _retry_after_s(self._retry_after)
        if told is not None:
            return told
        return LOADING_S if self.status == 503 and LOADING_WORDS.search(self.words) else next(iter(waits), None)


def _retry_after_s(text: str) -> float | None:
    """The seconds of a header Retry-After (RFC 9110, 10.2.3): a number or a date; None if it is neither.

    >>> _retry_after_s("1.5"), _retry_after_s("soon"), _retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT")
    (1.5, None, 0.0)
    """
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def refusal(status: int, body: bytes, retry_after: str = "") -> RefusedError:
    """The refusal that a response says: OpenAI's {"error": {"message"}}, FastAPI's {"detail"}, plain text or HTML."""
    text = hide_secrets(body.decode("utf-8", "replace"), short=False)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return RefusedError(status, _without_markup(text), "", retry_after)
    return refusal_of(value, status, retry_after)


def _without_markup(text: str) -> str:
    """What an HTML page says. In one pass: a page of tags that never end costs no more than another.

    >>> _without_markup("<style>a</style><p>Bad <b>gateway</b><script>x()").split()
    ['Bad', 'gateway']
    """
    said, at = [], 0
    while begin := _SCRIPT.search(text, at):
        said.append(text[at : begin.start()])
        end = _SCRIPT_END[begin[1].lower()].search(text, begin.end())
        at = end.end() if end else len(text)
    return _TAG.sub(" ", " ".join([*said, text[at:]]))


_TAG = re.compile(r"<[^<>]*>")
_SCRIPT = re.compile(r"<(script|style)\b", re.IGNORECASE)
_SCRIPT_END = {name: re.compile(rf"</{name}>", re.IGNORECASE) for name in ("script", "style")}


def refusal_of(value: Any, status: int, retry_after: str = "") -> RefusedError:
    if isinstance(value, list) and len(value) == 1:  # Gemini
        value = value[0]
    error = value
    if isinstance(value, dict):
        error = next((value[key] for key in ("error", "errors", "detail", "message") if value.get(key)), value)

    code = ""
    if isinstance(error, dict):
        code = " ".join(str(error.get(key) or "") for key in ("code", "type"))
        inner = error.get("metadata") if isinstance(error.get("metadata"), dict) else None  # OpenRouter
        said = [error.get("message") or json.dumps(error), inner and inner.get("raw"), error.get("param")]
        error = " ".join(str(each) for each in said if each)
        number = re.search(r"\b[45]\d\d\b", code)
        status = int(number.group()) if status == 200 and number else status
    return RefusedError(status, error if isinstance(error, str) else json.dumps(error), code, retry_after)


def network_words(error: Exception) -> str:
    """What happened on the network, and what to do."""
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; start the server, or check host and port"
    if isinstance(error, socket.gaierror):
        return f"the host is not known ({error.strerror}); check its name"
    if isinstance(error, ssl.SSLError):
        wrong = "WRONG_VERSION" in str(error) or "HTTP_REQUEST" in str(error)
        return f"TLS failed ({error.reason or error}); " + (
            "write http://" if wrong else "check the certificate (SSL_CERT_FILE names your own authority)"
        )
    if isinstance(error, http.client.IncompleteRead | ConnectionResetError | http.client.RemoteDisconnected):
        asks = "" if isinstance(error, http.client.IncompleteRead) else "; if it wants TLS, write https://"
        return f"the server ended the connection within its answer ({type(error).__name__}{asks})"
    return f"{type(error).__name__}: {hide_secrets(str(error))[:200]}"
