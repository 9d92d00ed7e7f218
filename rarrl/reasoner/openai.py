"""Any server that speaks OpenAI's chat completions: llama-server, vLLM, Ollama, LM Studio, OpenAI, Azure, OpenRouter.

Servers differ in what they accept. `OpenAiReasoner` asks for everything first, and once more without what the server
says it does not know; what worked is remembered. The server's own words go into `Answer.why`, with the URL asked and
what to do about it.
"""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import math
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from rarrl.config import LanguageModelConfig
from rarrl.errors import InputError
from rarrl.reasoner import chat
from rarrl.reasoner.answer_text import mean_log_probability, thoughts_end
from rarrl.reasoner.base import Answer, Request, capped
from rarrl.reasoner.call import BackendSession, Generation, answered
from rarrl.reasoner.http_client import HttpClient, TooLongError, blocks, events
from rarrl.reasoner.language_model import CallFailedError, Prompt
from rarrl.secrets import KEY_VARIABLES, fill_in, hide_secrets, is_secret_name, names_variable, read_key, secret_in_url
from rarrl.strict_json import short
from rarrl.types import CallStatus

MAX_RESPONSE_BYTES = 1 << 20
"""Bytes of a response, events of a stream included; a few hundred tokens need a tenth of it."""
BYTES_PER_TOKEN = 4096
"""Bytes that each token may have in addition: an event with the log-probabilities of five tokens has about 1,000."""
ERROR_BYTES = 4096
"""Bytes of a refusal that are read; servers say in the first line what is wrong."""
MAX_WORDS = 300
"""Characters of a server's words in `why`."""
TRIES = 10
"""Requests for one call at most: a server that refuses one field after the other is asked this often."""
BACKOFF_S = (0.5, 1.0, 2.0)
"""Seconds before a request is sent again that a busy server refused without saying when to come back."""
LOADING_S = 2.0
"""Seconds between two requests to a server that is loading its model, for as long as the call may take."""

FORMATS = ("json_schema", "json_object with schema", "json_object", "none")
"""How the form of the answer is asked for, the strictest first. The second is llama-cpp-python's."""
OPTIONAL = ("logprobs", "top_logprobs", "seed", "stream_options", "temperature", "stream")
"""Fields of a request that a server may do without."""

_FORMAT_WORDS = re.compile(r"response_?format|json_?schema|json_?object|json mode|schema|grammar|structured", re.I)
_UNKNOWN_WORDS = re.compile(
    r"unsupported|not supported|unknown|unrecognized|unexpected|not permitted|not allowed|forbidden|extra|instead", re.I
)
_OVERFLOW_WORDS = re.compile(
    r"context (length|size|window)|maximum context|exceeds? the (available|maximum|model)|n_ctx|prompt is too long|"
    r"too many tokens|too large|max_model_len|reduce the length",
    re.I,
)
_ANSWER_WORDS = re.compile(r"max_(completion_)?tokens|in the completion|completion tokens|output tokens|max_new", re.I)
_LOADING_WORDS = re.compile(r"loading|starting|warming", re.I)
_QUOTA_WORDS = re.compile(r"insufficient_quota|billing|credit", re.I)


class OpenAiReasoner:
    """A chat model behind a URL.

    The key, from RARRL_LLM_KEY or OPENAI_API_KEY, is sent only over https or to this computer, and is never shown."""

    def __init__(self, url: str, model: str, settings: LanguageModelConfig | None = None) -> None:
        """Checks the address; nothing is sent yet.

        url: such as http://localhost:8080/v1, without a user name; $NAME in its query is read from the environment.
        model: the name that the server knows. settings: headers, token caps ...; None: the defaults.

        Raises: InputError if the URL or the name is missing or malformed, or a secret is."""
        self._settings = settings or LanguageModelConfig()
        url = url.strip()
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), -1

        well_formed = url.isascii() and url.isprintable() and " " not in url
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or "@" in parts.netloc
            or port == -1
            or not well_formed
        ):
            raise InputError(
                f"language model: {short(hide_secrets(url))} is no URL of a server (allowed: http://HOST[:PORT]/v1 or "
                "https://...; a key goes into the environment variable RARRL_LLM_KEY)"
            )
        if not model:
            shown = short(hide_secrets(url))
            raise InputError(f"language model: {shown} needs the model's name; write openai:{hide_secrets(url)}#NAME")
        if secret := secret_in_url(parts.query):
            raise InputError(
                f"language model: the URL holds the secret {secret}, and settings are visible to everybody; put it "
                f"into an environment variable and write {secret}=$VARIABLE"
            )

        path = parts.path.rstrip("/") or "/v1"
        self._path = path if path.endswith("/chat/completions") else f"{path}/chat/completions"
        self._query = f"?{parts.query}" if parts.query else ""
        self.url = f"{parts.scheme}://{parts.netloc}{self._path}"
        self.name = f"openai:{hide_secrets(url)}#{model}"
        self._model = model

        tls = parts.scheme == "https"
        self._trusted = tls or _is_this_computer(parts.hostname)
        self._http = HttpClient(parts.hostname, port, tls)
        self._headers = self._read_headers()
        self._target = self._path + fill_in(self._query, "language model: URL")

        self._dialect = Dialect()
        self._proven = False  # whether the server has answered a request in this dialect
        self._guesses: Counter[Dialect] = Counter()
        self._tokens_per_character = 0.25  # of prompts; as in English, until the server has said
        self._closing = threading.Event()

    def _read_headers(self) -> dict[str, str]:
        lines = self._settings.header_lines
        named = any(names_variable(value) for value in (*lines.values(), self._query))
        if named and not self._trusted:
            raise InputError(
                f"language model: {self.url}: headers or the URL hold a secret, which is sent only over https or to "
                "this computer; use https, or a tunnel to localhost"
            )

        headers = {name: fill_in(value, f"language_model.headers: {name}") for name, value in lines.items()}
        own = any(is_secret_name(name) for name in lines)  # such as Azure's api-key: it stands for our key
        self._key = read_key() if self._trusted and not own else ""
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
            "User-Agent": "rarrl",
            **headers,
        }

    def ask(self, request: Request) -> Answer:
        """See `Reasoner.ask`."""
        request = capped(request, self._settings)
        return answered(request, _Session(self, request), chat.carry_out, self.name)

    def close(self) -> None:
        """Ends the reasoner; later calls are answered with BACKEND_DOWN."""
        self._closing.set()
        self._http.close()

    def exchange(self, asked: Asked, reply: Reply, deadline: float) -> None:
        """Fills `reply` with what the server says, until `deadline` (seconds, steady clock).

        Raises: CallFailedError (TIMEOUT, BACKEND_DOWN, INVALID, BUDGET or REFUSED)."""
        dialect = self._dialect
        tried = {dialect}
        guessed = False
        for _ in range(TRIES):
            try:
                self._post_patiently(asked.body(dialect, self._model, self._settings.body), reply, deadline)
            except RefusedError as refused:
                simpler = dialect.without(refused, asked)
                if simpler is None and not self._proven and refused.names_nothing:
                    simpler = dialect.plainer()
                    guessed = True
                if simpler is None or simpler in tried:
                    raise self._failed(refused) from None
                dialect = simpler
                tried.add(dialect)
            else:
                self._remember(dialect, guessed)
                return

        raise CallFailedError(CallStatus.BACKEND_DOWN, f"{self.url} refuses every form of the request")

    def _remember(self, dialect: Dialect, guessed: bool) -> None:
        """Keeps what worked. What the server did not name was guessed, and has to help twice: the first refusal may
        have passed by itself."""
        self._guesses[dialect] += 1
        if dialect == self._dialect or not guessed or self._guesses[dialect] > 1:
            self._dialect = dialect
            self._proven = True

    def _post_patiently(self, body: dict[str, Any], reply: Reply, deadline: float) -> None:
        """Posts, again where the server is busy and there is time."""
        waits = iter(BACKOFF_S)
        while True:
            reply.begin()
            try:
                self._post(body, reply, deadline)
                return
            except RefusedError as refused:
                wait_s = refused.wait_s(waits)
                if wait_s is None or time.monotonic() + wait_s >= deadline:
                    raise

                if self._closing.wait(wait_s):
                    raise CallFailedError(CallStatus.BACKEND_DOWN, "closed") from None

    def _post(self, body: dict[str, Any], reply: Reply, deadline: float) -> None:
        try:
            self._http.post(self._target, json.dumps(body).encode(), self._headers, deadline, reply.read)
        except (CallFailedError, RefusedError):
            raise
        except TooLongError:
            raise CallFailedError(CallStatus.INVALID, f"{self.url}: the response is endless") from None
        except (OSError, http.client.HTTPException) as error:
            late = isinstance(error, TimeoutError) and time.monotonic() >= deadline - 0.01
            status = CallStatus.TIMEOUT if late else CallStatus.BACKEND_DOWN
            why = "the deadline passed" if late else f"{self.url}: {_network_words(error)}"
            raise CallFailedError(status, hide_secrets(why)) from None
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            # ValueError covers errors of JSON and UTF-8; the others come from JSON of another shape than OpenAI's.
            kind = f" ({reply.kind})" if reply.kind and "json" not in reply.kind else ""
            why = f"{self.url}: no chat completion{kind}: {type(error).__name__}: {error}; check the URL"
            raise CallFailedError(CallStatus.INVALID, hide_secrets(why)[:MAX_WORDS]) from None

    def _failed(self, refused: RefusedError) -> CallFailedError:
        """The end of a call that the server refused: its words, the URL, and what to do."""
        words = f": {hide_secrets(refused.words)[:MAX_WORDS]}" if refused.words else ""
        advice = self._advice(refused)
        why = f"{self.url}: HTTP {refused.status}{words}{'; ' if advice else ''}{advice}"
        status = CallStatus.REFUSED if refused.is_about_this_call else CallStatus.BACKEND_DOWN
        return CallFailedError(status, " ".join(why.split()))

    def _advice(self, refused: RefusedError) -> str:
        status = refused.status
        if status in (401, 403, 407):
            if not self._trusted:
                return "a key is sent only over https or to this computer; use https, or a tunnel to localhost"
            own = next((name for name in self._settings.header_lines if is_secret_name(name)), "")
            where = f"language_model.headers, {own}" if own else KEY_VARIABLES[0]
            return f"check the key in {where}" if self._key or own else f"set the key in {where}"
        if status in (404, 405):
            if re.search(r"model", refused.words, re.I) and not re.search(r"/v1/v1|not found: /", refused.words):
                return f"the model asked for is {short(self._model)}; write openai:URL#NAME with a name that it serves"
            return "check the path of the URL; most servers want http://HOST:PORT/v1"
        if status == 429:
            return "the server's limit is reached; wait, or raise it" if not refused.is_quota else "no credit is left"
        if status == 503 and _LOADING_WORDS.search(refused.words):
            return "the server is loading its model; wait"
        if refused.is_overflow:
            return "raise the context of the server, or lower thinking_tokens and max_new_tokens of language_model"
        if 300 <= status < 400:
            return "write the URL that it names"
        if named := next((key for key in self._settings.body if re.search(rf"\b{key}\b", refused.words)), ""):
            return f"take {named} out of language_model.extra_body"
        return ""


@dataclass(frozen=True)
class Dialect:
    """What a server accepts. format: an index of FORMATS. limit: the field that holds the token cap. left_out: fields
    of OPTIONAL that it does not know. short: whether the cap leaves out thoughts, because it would not fit."""

    format: int = 0
    limit: str = "max_tokens"
    left_out: frozenset[str] = frozenset()
    short: bool = False

    def without(self, refused: RefusedError, asked: Asked) -> Dialect | None:
        """The dialect without what the server names as the reason of its refusal; None if it names nothing of ours."""
        words = refused.words
        if refused.is_overflow:
            fits = asked.thinking > 0 and not self.short and _ANSWER_WORDS.search(words)
            return replace(self, short=True) if fits else None

        if not refused.is_about_the_request:
            return None
        other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}[self.limit]
        if _names(words, self.limit) and (_names(words, other) or _UNKNOWN_WORDS.search(words)):
            return replace(self, limit=other)

        named = {key for key in OPTIONAL if key not in self.left_out and _names(words, key)}
        if named:
            named |= {"top_logprobs"} & {"top_logprobs" if "logprobs" in named else ""}
            return replace(self, left_out=self.left_out | named)
        if asked.schema is not None and self.format < len(FORMATS) - 1 and _FORMAT_WORDS.search(words):
            return replace(self, format=self.format + 1)
        return None

    def plainer(self) -> Dialect | None:
        """The dialect to try where the server does not say what it minds: without a format, then without all else."""
        if self.format < len(FORMATS) - 1:
            return replace(self, format=len(FORMATS) - 1)
        if self.left_out < set(OPTIONAL):
            return replace(self, left_out=frozenset(OPTIONAL))
        return None


@dataclass(frozen=True)
class Asked:
    """What one request asks for; the arguments are those of `LanguageModel.complete`. thinking: tokens of thoughts."""

    messages: list[dict[str, str]]
    schema: dict[str, Any] | None
    max_tokens: int
    thinking: int
    temperature: float
    seed: int
    alternatives: int

    def body(self, dialect: Dialect, model: str, extra: dict[str, Any]) -> dict[str, Any]:
        """The request. What `extra` holds wins; a field that is null there is left out."""
        fields = {
            "temperature": self.temperature,
            "seed": self.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            "logprobs": True,
            "top_logprobs": max(self.alternatives, 1),
        }
        body: dict[str, Any] = {
            "model": model,
            "messages": self.messages,
            **{name: value for name, value in fields.items() if name not in dialect.left_out},
        }
        if not {"max_tokens", "max_completion_tokens"} & set(extra):
            body[dialect.limit] = self.max_tokens + (0 if dialect.short else self.thinking)

        if self.schema is not None:
            body |= _response_format(dialect.format, self.schema)
        if not body.get("stream"):
            body.pop("stream_options", None)
        return {name: value for name, value in {**body, **extra}.items() if value is not None}


def _response_format(number: int, schema: dict[str, Any]) -> dict[str, Any]:
    kind = FORMATS[number]
    if kind == "none":
        return {}
    if kind == "json_schema":
        return {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": schema},
            }
        }
    return {"response_format": {"type": "json_object", **({"schema": schema} if "schema" in kind else {})}}


class RefusedError(Exception):
    """The server answered with an error. words: its own, on one line. code: its own, such as insufficient_quota."""

    def __init__(self, status: int, words: str, code: str = "", retry_after: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.words = " ".join(words.split())
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
        return self.is_about_the_request and not _FORMAT_WORDS.search(self.words)

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
        return LOADING_S if self.status == 503 and _LOADING_WORDS.search(self.words) else next(iter(waits), None)


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
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        plain = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.I)
        return RefusedError(status, plain, "", retry_after)
    return _refusal_of(value, status, retry_after)


def _refusal_of(value: Any, status: int, retry_after: str = "") -> RefusedError:
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


@dataclass
class Reply:
    """One reply while it arrives: filled by the thread that reads it.

    max_answer, max_all: pieces of answer, and of thoughts and answer. first_s: when the first piece arrived, on the
    steady clock. kind: its content type. answers: whether what comes now is the answer for sure, and no thought.
    tokens: (text, log-probability) of the answer's tokens, as far as the server tells."""

    max_answer: int
    max_all: int
    first_s: float = math.nan
    kind: str = ""
    text: str = ""
    thoughts: str = ""
    finish: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    pieces: int = 0
    answer_pieces: int = 0
    answers: bool = False
    tokens: list[tuple[str, float]] = field(default_factory=list)
    alternatives: list[dict[str, float]] = field(default_factory=list)

    def begin(self) -> None:
        """Forgets an earlier reply, before the request is sent again."""
        self.__dict__.update(Reply(self.max_answer, self.max_all).__dict__)

    def read(self, response: http.client.HTTPResponse) -> None:
        """Takes a response in. Raises: RefusedError, CallFailedError; what JSON of another shape leads to."""
        self.kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not 200 <= response.status < 300:
            said = response.read(ERROR_BYTES)
            location = response.headers.get("Location", "")
            if 300 <= response.status < 400:
                said = f"moved to {location}".encode()
            raise refusal(response.status, said, response.headers.get("Retry-After", ""))

        pieces = blocks(response, MAX_RESPONSE_BYTES + BYTES_PER_TOKEN * self.max_all)
        first = next(pieces, b"")
        streamed = "event-stream" in self.kind or first.lstrip().startswith((b"data:", b"event:", b":"))
        if not streamed:
            whole = first + b"".join(pieces)
            self._take(json.loads(whole.decode("utf-8")))
            return

        ended = False
        for event in events(_chained(first, pieces)):
            if event is None:
                ended = True
                break
            self._take(event)
        if not ended and not self.finish:
            raise http.client.IncompleteRead(b"")

    def _take(self, event: Any) -> None:
        """Takes one event of a stream, or a whole response."""
        if event.get("error") or (event.get("object") == "error"):
            raise _refusal_of(event, 200)

        usage = event.get("usage")
        self.usage = usage if isinstance(usage, dict) and usage else self.usage
        for choice in event.get("choices", [])[:1]:
            part = choice.get("delta") or choice.get("message") or {}
            if part.get("refusal") or choice.get("finish_reason") == "content_filter":
                why = str(part.get("refusal") or "content filter")[:MAX_WORDS]
                raise CallFailedError(CallStatus.REFUSED, f"the model declined: {why}")

            thoughts, text = _texts(part)
            if thoughts or text:
                self._add(thoughts, text)
            if text:
                self._take_log_probabilities(choice.get("logprobs"))
            self.finish = choice.get("finish_reason") or self.finish

    def _add(self, thoughts: str, text: str) -> None:
        if math.isnan(self.first_s):
            self.first_s = time.monotonic()

        self.thoughts += thoughts
        self.text += text
        self.pieces += 1
        if text:
            self.answer_pieces += 1
            if re.search(r"[>\]▷]|assistantfinal", text) and 0 < thoughts_end(self.text) < len(self.text):
                self.answer_pieces = 1  # what came before were thoughts
                self.answers = True
            self.answers = self.answers or bool(self.thoughts) or self.text.lstrip().startswith(("{", "```"))

        if self.pieces > self.max_all or (self.answers and self.answer_pieces > self.max_answer):
            raise CallFailedError(CallStatus.BUDGET, "the server writes on beyond the cap")

    def _take_log_probabilities(self, told: Any) -> None:
        content = told.get("content") if isinstance(told, dict) else None
        for token in content if isinstance(content, list) else ():
            log_p = _log_probability(token)
            if log_p is not None:
                self.tokens.append((token["token"], log_p))
                likeliest = token.get("top_logprobs")
                known = [each for each in likeliest or () if _log_probability(each) is not None]
                others = {each["token"]: float(each["logprob"]) for each in known}
                self.alternatives.append({token["token"]: log_p} | others)


def _chained(first: bytes, rest: Iterable[bytes]) -> Any:
    yield first
    yield from rest


def _texts(part: dict[str, Any]) -> tuple[str, str]:
    """Thoughts and text of a message or of a piece of one."""
    thoughts = part.get("reasoning_content") or part.get("reasoning") or ""
    text = part.get("content") or ""
    if isinstance(text, list):  # parts, as Mistral's thinking models write them
        said = [each for each in text if isinstance(each, dict)]
        thoughts += "".join(_text_of(each.get("thinking")) for each in said)
        text = "".join(_text_of(each.get("text")) for each in said)
    return thoughts if isinstance(thoughts, str) else "", text


def _text_of(value: Any) -> str:
    if isinstance(value, list):
        return "".join(_text_of(each.get("text")) for each in value if isinstance(each, dict))
    return value if isinstance(value, str) else ""


def _log_probability(token: Any) -> float | None:
    if not isinstance(token, dict) or not isinstance(token.get("token"), str):
        return None
    value = token.get("logprob")
    if not isinstance(value, int | float) or isinstance(value, bool) or not value <= 0.0:
        return None
    return float(value)


def _names(words: str, key: str) -> bool:
    return re.search(rf"(?<![A-Za-z_]){key}(?![A-Za-z_])", words) is not None


def _is_this_computer(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _network_words(error: Exception) -> str:
    """What happened on the network, and what to do."""
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; start the server, or check host and port"
    if isinstance(error, socket.gaierror):
        return f"the host is not known ({error.strerror}); check its name"
    if isinstance(error, ssl.SSLError):
        wrong = "WRONG_VERSION" in str(error) or "HTTP_REQUEST" in str(error)
        return f"TLS failed ({error.reason or error}); " + ("write http://" if wrong else "check the certificate")
    if isinstance(error, http.client.IncompleteRead | ConnectionResetError | http.client.RemoteDisconnected):
        return f"the server ended the connection within its answer ({type(error).__name__})"
    return f"{type(error).__name__}: {str(error)[:200]}"


class _Session(BackendSession):
    """One call on a server. `grammar` is ignored; it is not OpenAI's."""

    def __init__(self, server: OpenAiReasoner, request: Request) -> None:
        super().__init__(request)
        self._server = server

    def generate(
        self,
        prompt: Prompt,
        *,
        schema: dict[str, Any] | None,
        grammar: str,
        max_tokens: int,
        temperature: float,
        seed: int,
        alternatives: int,
    ) -> Generation:
        """See `BackendSession.generate`."""
        messages = [("user", prompt)] if isinstance(prompt, str) else prompt
        asked = Asked(
            messages=[{"role": role, "content": content} for role, content in messages],
            schema=schema,
            max_tokens=max_tokens,
            thinking=self.thinking_left,
            temperature=temperature,
            seed=seed,
            alternatives=alternatives,
        )

        started = time.monotonic()
        reply = Reply(max_tokens, max_tokens + self.thinking_left)
        try:
            self._server.exchange(asked, reply, self.deadline)
        except CallFailedError as error:
            thinking = self.thinking_left
            got = self._generation(asked, reply, started)
            self.count(got, started)
            if error.status is CallStatus.TIMEOUT:
                raise CallFailedError(error.status, self._late(reply)) from None
            if error.status is CallStatus.BUDGET:
                raise CallFailedError(error.status, self.cut_off(got, thinking)) from None
            raise

        generation = self._generation(asked, reply, started)
        if reply.usage:
            self._server._tokens_per_character = generation.tokens_in / max(_characters(asked), 1)
        return generation

    def _late(self, reply: Reply) -> str:
        """How far the server came until the deadline."""
        if not reply.pieces:
            return f"the deadline passed before {self._server.url} had written a token"
        thoughts = ", thoughts alone" if reply.thoughts and not reply.text else ""
        return f"the deadline passed after {reply.pieces} tokens{thoughts}"

    def _generation(self, asked: Asked, reply: Reply, started: float) -> Generation:
        """What `reply` holds. Tokens that the server did not count, because it was cut off, are estimated."""
        read = 0
        if not math.isnan(reply.first_s):
            read = round(_characters(asked) * self._server._tokens_per_character)

        written = _count(reply.usage, "completion_tokens", reply.pieces)
        details = reply.usage.get("completion_tokens_details")
        thought_characters = len(reply.thoughts) + thoughts_end(reply.text)
        share = thought_characters / max(len(reply.thoughts) + len(reply.text), 1)
        thought = _count(details, "reasoning_tokens", 0) or round(written * share)

        return Generation(
            text=reply.text,
            tokens_in=_count(reply.usage, "prompt_tokens", read),
            tokens_out=written,
            ttft_s=reply.first_s - started,
            seconds=time.monotonic() - started,
            cut_off=reply.finish == "length",
            confidence=mean_log_probability(reply.tokens),
            alternatives=tuple(reply.alternatives),
            tokens_thought=min(thought, written),
        )


def _characters(asked: Asked) -> int:
    return sum(len(message["content"]) for message in asked.messages)


def _count(usage: Any, key: str, otherwise: int) -> int:
    """Returns a token count that the server reported, or `otherwise` if it is missing, negative or absurdly large."""
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value <= 10_000_000 else otherwise
