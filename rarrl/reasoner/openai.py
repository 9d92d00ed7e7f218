"""Any server that speaks OpenAI's chat completions: llama-server, vLLM, Ollama, LM Studio, OpenAI, Azure, OpenRouter.

Servers differ in what they accept. `OpenAiReasoner` asks for everything first, and once more without what the server
says it does not know; what worked is remembered. The server's own words go into `Answer.why`, with the URL asked and
what to do about it.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from rarrl.config import LanguageModelConfig
from rarrl.errors import InputError
from rarrl.reasoner import chat
from rarrl.reasoner.answer_text import MAX_CHARACTERS, mean_log_probability
from rarrl.reasoner.base import Answer, Request, capped
from rarrl.reasoner.call import BackendSession, CallsUnderWay, Generation, answered
from rarrl.reasoner.chat_reply import Reply
from rarrl.reasoner.chat_request import Asked, Dialect
from rarrl.reasoner.http_client import HttpClient, TooLongError
from rarrl.reasoner.language_model import CallFailedError, Prompt
from rarrl.reasoner.refusal import LOADING_WORDS, RefusedError, network_words
from rarrl.secrets import (
    KEY_VARIABLES,
    body_names_variable,
    fill_in,
    fill_in_body,
    hide_secrets,
    is_secret_name,
    names_variable,
    read_key,
    remember,
    secret_in_url,
)
from rarrl.strict_json import short
from rarrl.types import CallStatus
from rarrl.worker_process import Withdrawal

MAX_WORDS = 300
"""Characters of a server's words in `why`."""
TRIES = 10
"""Requests for one call at most: a server that refuses one field after the other is asked this often."""
BACKOFF_S = (0.5, 1.0, 2.0)
"""Seconds before a request is sent again that a busy server refused without saying when to come back."""
LEAST_WAIT_S = 0.01
"""Seconds before the first such request, doubled each time, so that a server which says "now" is not flooded."""
LOOK_S = 0.05
"""Seconds after which a wait for a busy server looks whether the call was withdrawn."""
SHOWN_HEADER = 8
"""Characters below which a header's value is a word like any other, such as `robot`; longer ones may be secrets under a
name that does not say so, and are shown in no answer."""


class OpenAiReasoner:
    """A chat model behind a URL.

    The key, from RARRL_LLM_KEY or OPENAI_API_KEY, is sent only over https or to this computer, and is never shown.

    on_busy: hears after how many seconds a busy server wants to be asked again. Where it is set the call ends there,
    for the asker to make it again; None: the call waits, within its deadline."""

    on_busy: Callable[[float], None] | None = None

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
                f"language model: {short(hide_secrets(url))} is no URL of a server{_fault(url, parts.netloc, port)} "
                "(allowed: http://HOST[:PORT]/v1 or https://...; a key goes into the environment variable "
                "RARRL_LLM_KEY)"
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
        self.name = f"openai:{hide_secrets(url)}#{hide_secrets(model)}"
        self._model = model

        tls = parts.scheme == "https"
        self._trusted = tls or _is_this_computer(parts.hostname)
        self._http = HttpClient(parts.hostname, port, tls)
        self._headers = self._read_headers()
        self._body = fill_in_body(self._settings.body)
        self._target = self._path + fill_in(self._query, "language model: URL")

        self._dialect = Dialect()
        self._proven = False  # whether the server has answered a request in this dialect
        self._guesses: Counter[Dialect] = Counter()
        self._tokens_per_character = 0.25  # of prompts; as in English, until the server has said
        self._closing = threading.Event()
        self._calls = CallsUnderWay()

    def _read_headers(self) -> dict[str, str]:
        lines = self._settings.header_lines
        named = any(names_variable(value) for value in (*lines.values(), self._query))
        named = named or body_names_variable(self._settings.body)
        if named and not self._trusted:
            raise InputError(
                f"language model: {self.url}: headers, extra_body or the URL hold a secret, which is sent only over "
                "https or to this computer; use https, or a tunnel to localhost"
            )

        headers = {name: fill_in(value, f"language_model.headers: {name}") for name, value in lines.items()}
        for value in headers.values():
            if len(value) >= SHOWN_HEADER:
                remember(value)

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
        session = _Session(self, request)
        with self._calls.add(request, session):
            return answered(request, session, chat.carry_out, self.name)

    def cancel(self, decision: int) -> bool:
        """See `Withdrawable.cancel`: the connection is closed, at which servers stop generating."""
        return self._calls.withdraw(decision)

    def close(self) -> None:
        """Ends the reasoner; later calls are answered with BACKEND_DOWN."""
        self._closing.set()
        self._http.close()

    def exchange(self, asked: Asked, reply: Reply, deadline: float, withdrawal: Withdrawal) -> None:
        """Fills `reply` with what the server says, until `deadline` (seconds, steady clock).

        Raises: CallFailedError (TIMEOUT, BACKEND_DOWN, INVALID, BUDGET, REFUSED or WITHDRAWN)."""
        dialect = self._dialect
        tried = {dialect}
        guessed = False
        for _ in range(TRIES):
            try:
                self._post_patiently(asked.body(dialect, self._model, self._body), reply, deadline, withdrawal)
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

    def _post_patiently(self, body: dict[str, Any], reply: Reply, deadline: float, withdrawal: Withdrawal) -> None:
        """Posts, again where the server is busy and there is time."""
        waits = iter(BACKOFF_S)
        least_s = LEAST_WAIT_S
        while True:
            reply.begin()
            try:
                self._post(body, reply, deadline, withdrawal)
                return
            except RefusedError as refused:
                wait_s = refused.wait_s(waits)
                if wait_s is not None and self.on_busy is not None:
                    self.on_busy(wait_s)
                    raise
                if wait_s is None or time.monotonic() + max(wait_s, least_s) >= deadline:
                    raise

                until = time.monotonic() + max(wait_s, least_s)
                while (left_s := until - time.monotonic()) > 0.0 and not self._closing.wait(min(left_s, LOOK_S)):
                    withdrawal.check()
                if self._closing.is_set():
                    raise CallFailedError(CallStatus.BACKEND_DOWN, "closed") from None
                least_s *= 2.0

    def _post(self, body: dict[str, Any], reply: Reply, deadline: float, withdrawal: Withdrawal) -> None:
        data = json.dumps(body).encode()
        try:
            self._http.post(self._target, data, self._headers, deadline, reply.read, withdrawal)
        except (CallFailedError, RefusedError):
            raise
        except TooLongError:
            raise CallFailedError(CallStatus.INVALID, f"{self.url}: the response is endless") from None
        except (OSError, http.client.HTTPException) as error:
            late = isinstance(error, TimeoutError) and time.monotonic() >= deadline - 0.01
            status = CallStatus.TIMEOUT if late else CallStatus.BACKEND_DOWN
            why = "the deadline passed" if late else f"{self.url}: {network_words(error)}"
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
        how = f"HTTP {refused.status}" if refused.status != 200 else "an error in place of an answer"
        why = f"{self.url}: {how}{words}{'; ' if advice else ''}{advice}"
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
                model = short(hide_secrets(self._model))
                return f"the model asked for is {model}; write openai:URL#NAME with a name that it serves"
            return "check the path of the URL; most servers want http://HOST:PORT/v1"
        if status == 429:
            return "the server's limit is reached; wait, or raise it" if not refused.is_quota else "no credit is left"
        if status == 503 and LOADING_WORDS.search(refused.words):
            return "the server is loading its model; wait"
        if refused.is_overflow:
            return "raise the context of the server, or lower thinking_tokens and max_new_tokens of language_model"
        if 300 <= status < 400:
            return "write the URL that it names"
        if named := next((key for key in self._settings.body if re.search(rf"\b{key}\b", refused.words)), ""):
            return f"take {named} out of language_model.extra_body"
        return ""


def _fault(url: str, netloc: str, port: int | None) -> str:
    """What is wrong with a URL that is refused, where that can be told."""
    if "@" in netloc:
        return ": it holds a user name or a password, which everybody could read"
    if port == -1:
        return ": its host or port cannot be read (ports end at 65535)"
    return ": put http:// or https:// in front" if url and "://" not in url else ""


def _is_this_computer(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


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
            self._server.exchange(asked, reply, self.deadline, self.withdrawal)
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
        thought = _count(reply.usage.get("completion_tokens_details"), "reasoning_tokens", 0)
        if not thought:
            thought = round(written * reply.thought_share)

        return Generation(
            text=_shown(reply.text),
            tokens_in=_count(reply.usage, "prompt_tokens", read),
            tokens_out=written,
            ttft_s=reply.first_s - started,
            seconds=time.monotonic() - started,
            cut_off=reply.finish == "length",
            confidence=mean_log_probability(reply.tokens),
            alternatives=tuple(reply.alternatives),
            tokens_thought=min(thought, written),
        )


def _shown(text: str) -> str:
    """A model's text without secrets: before it is read, because errors quote parts of it."""
    if len(text) > MAX_CHARACTERS:  # the first word may be the rest of a secret
        text = "".join(text[-MAX_CHARACTERS:].split(maxsplit=1)[1:])
    return hide_secrets(text, short=False)


def _characters(asked: Asked) -> int:
    return sum(len(message["content"]) for message in asked.messages)


def _count(usage: Any, key: str, otherwise: int) -> int:
    """Returns a token count that the server reported, or `otherwise` if it is missing, negative or absurdly large."""
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value <= 10_000_000 else otherwise
