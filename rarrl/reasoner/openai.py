"""Any server that speaks OpenAI's chat completions (llama-server, vLLM, Ollama, OpenAI), under a hard deadline.

The request runs in a thread of its own. At the deadline its socket is shut down, whatever it waits for: a connection, a
half-open peer, or a body that arrives byte by byte. Only a name look-up cannot be interrupted; its thread ends by
itself, and no more than `MAX_THREADS` are ever left behind.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from rarrl.config import LanguageModelConfig
from rarrl.errors import InputError
from rarrl.reasoner import chat
from rarrl.reasoner.base import Answer, Request, capped
from rarrl.reasoner.call import BackendSession, Generation, answered
from rarrl.reasoner.language_model import CallFailedError, Prompt
from rarrl.secrets import KEY_VARIABLES
from rarrl.strict_json import short
from rarrl.types import CallStatus

MAX_RESPONSE_BYTES = 1 << 20
"""Bytes of a response, events of a stream included; a few hundred tokens need a tenth of it."""
MAX_THREADS = 4
"""Requests that may hang in the network at a time; each holds one thread and one socket. Chosen by hand."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts that a key may be sent to without TLS."""


class OpenAiReasoner:
    """A chat model behind a URL.

    The key, from RARRL_LLM_KEY or OPENAI_API_KEY, is sent only over https or to this computer, and is never shown."""

    def __init__(self, url: str, model: str, settings: LanguageModelConfig | None = None) -> None:
        """Checks the address; nothing is sent yet.

        url: such as http://localhost:8080/v1, without a user name. model: the name that the server knows.

        Raises: InputError if the URL or the name is missing or malformed."""
        self._settings = settings or LanguageModelConfig()
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1

        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or port == -1:
            raise InputError(
                f"language model: {short(url)} is no URL of a server (allowed: http://HOST[:PORT]/v1 or https://...; "
                "a key goes into the environment variable RARRL_LLM_KEY)"
            )
        if not model:
            raise InputError(f"language model: {short(url)} needs the model's name; write openai:{url}#NAME")

        self.name = f"openai:{url}#{model}"
        self._host = parts.hostname
        self._port = port
        self._tls = parts.scheme == "https"
        self._path = parts.path.rstrip("/") + "/chat/completions"
        self._model = model

        self._key = ""
        if self._tls or self._host in _LOOPBACK:
            self._key = next((key for key in map(os.environ.get, KEY_VARIABLES) if key), "")

        self._schema_works = True
        self._running: set[threading.Thread] = set()
        self._closed = False

    def ask(self, request: Request) -> Answer:
        """See `Reasoner.ask`."""
        request = capped(request, self._settings)
        return answered(request, _Session(self, request), chat.carry_out, self.name)

    def close(self) -> None:
        """Ends the reasoner; later calls are answered with BACKEND_DOWN."""
        self._closed = True

    def exchange(self, body: dict[str, Any], schema: dict[str, Any] | None, deadline: float) -> _Reply:
        """Sends one request and waits for the reply, until `deadline` (seconds, steady clock).

        Raises: CallFailedError (TIMEOUT, BACKEND_DOWN, INVALID or REFUSED)."""
        if schema is not None and self._schema_works:
            wrapped = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
            try:
                return self._post({**body, "response_format": wrapped}, deadline)
            except _BadRequestError:
                self._schema_works = False  # for all later calls too; the answer is parsed as strictly without it

        try:
            return self._post(body, deadline)
        except _BadRequestError as error:
            raise CallFailedError(CallStatus.BACKEND_DOWN, str(error)) from None

    def _post(self, body: dict[str, Any], deadline: float) -> _Reply:
        self._running = {thread for thread in self._running if thread.is_alive()}
        if self._closed or len(self._running) >= MAX_THREADS:
            why = "closed" if self._closed else f"{MAX_THREADS} earlier requests still hang in the network"
            raise CallFailedError(CallStatus.BACKEND_DOWN, why)

        kind = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=max(deadline - time.monotonic(), 0.001))
        reply = _Reply(connection, deadline, body["max_tokens"])
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}

        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"

        data = json.dumps(body).encode()
        thread = threading.Thread(target=reply.fetch, args=(self._path, data, headers), name="rarrl-fetch", daemon=True)
        self._running.add(thread)
        thread.start()
        in_time = reply.done.wait(max(deadline - time.monotonic(), 0.0))
        reply.end()

        if not in_time:
            raise CallFailedError(CallStatus.TIMEOUT, "the deadline passed")
        if reply.error is not None:
            raise reply.error
        return reply


class _BadRequestError(Exception):
    """The server does not accept the request (HTTP 400 or 422)."""


class _Reply:
    """One request and its reply: fetched in a thread of its own, and ended from another one."""

    def __init__(self, connection: http.client.HTTPConnection, deadline: float, max_tokens: int) -> None:
        self._connection = connection
        self._max_tokens = max_tokens
        self._deadline = deadline
        self.done = threading.Event()
        self.error: Exception | None = None
        self.first_s = math.nan  # when the first piece of text arrived, on the steady clock
        self.text = ""
        self.finish = ""
        self.usage: dict[str, Any] = {}
        self.pieces = 0

    def end(self) -> None:
        """Shuts the socket down, so that whatever the thread waits for returns at once."""
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def fetch(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        """Does the work of the thread: leaves the result in this object and sets `done`."""
        try:
            self._connection.connect()
            if time.monotonic() > self._deadline:
                return

            self._connection.request("POST", path, body, headers)
            response = self._connection.getresponse()
            self._check(response)
            streamed = "event-stream" in response.headers.get("Content-Type", "")

            for event in _events(response) if streamed else [_read(response)]:
                self._take(event)
        except (CallFailedError, _BadRequestError) as error:
            self.error = error
        except (OSError, http.client.HTTPException) as error:
            why = f"{type(error).__name__}: {str(error)[:200]}"
            self.error = CallFailedError(CallStatus.BACKEND_DOWN, why)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            # ValueError covers errors of JSON and UTF-8; the others come from JSON of another shape than OpenAI's.
            self.error = CallFailedError(
                CallStatus.INVALID, f"no chat completion: {type(error).__name__}: {error}"[:300]
            )
        finally:
            self._connection.close()
            self.done.set()

    def _check(self, response: http.client.HTTPResponse) -> None:
        status = response.status
        if status == 200:
            return
        if status in (400, 422):
            raise _BadRequestError(f"HTTP {status}: {response.read(300).decode('utf-8', 'replace')}")
        if status in (401, 403):
            why = f"HTTP {status}: set the key in {KEY_VARIABLES[0]} (it goes over https or to this computer)"
            raise CallFailedError(CallStatus.BACKEND_DOWN, why)

        raise CallFailedError(CallStatus.BACKEND_DOWN, f"HTTP {status} {response.reason[:80]}")  # redirects too

    def _take(self, event: Any) -> None:
        """Takes one event of a stream, or a whole response."""
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices", [])[:1]:
            part = choice.get("delta") or choice.get("message") or {}
            if part.get("refusal") or choice.get("finish_reason") == "content_filter":
                raise CallFailedError(CallStatus.REFUSED, f"the model declined: {str(part.get('refusal'))[:200]}")

            text = part.get("content") or ""
            if text:
                self.pieces += 1
                if self.pieces > self._max_tokens:
                    raise CallFailedError(CallStatus.BUDGET, "the server writes on beyond the cap")

                if math.isnan(self.first_s):
                    self.first_s = time.monotonic()

                self.text += text

            self.finish = choice.get("finish_reason") or self.finish


def _read(response: http.client.HTTPResponse) -> Any:
    data = b"".join(_blocks(response))
    return json.loads(data.decode("utf-8"))


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    total = 0
    while block := response.read1(65536):
        total += len(block)
        if total > MAX_RESPONSE_BYTES:
            raise CallFailedError(CallStatus.INVALID, f"a response of over {MAX_RESPONSE_BYTES} bytes")
        yield block


def _events(response: http.client.HTTPResponse) -> Iterator[Any]:
    """Yields the JSON of server-sent events (WHATWG HTML, 9.2), as far as chat completions use them."""
    rest = b""
    for block in _blocks(response):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            data = line.strip().removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            if data and line.startswith(b"data:"):
                yield json.loads(data.decode("utf-8"))


class _Session(BackendSession):
    """One call on a server. `grammar` and `alternatives` are ignored, and the confidence is not known."""

    def __init__(self, server: OpenAiReasoner, request: Request) -> None:
        super().__init__(request)
        self._server = server
        self._name = server._model

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
        body = {
            "model": self._name,
            "messages": [{"role": role, "content": content} for role, content in messages],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

        asked = time.monotonic()
        reply = self._server.exchange(body, schema, self.deadline)
        return Generation(
            text=reply.text,
            tokens_in=_count(reply.usage, "prompt_tokens", 0),
            tokens_out=_count(reply.usage, "completion_tokens", reply.pieces),
            ttft_s=reply.first_s - asked,
            seconds=time.monotonic() - asked,
            cut_off=reply.finish == "length",
        )


def _count(usage: dict[str, Any], key: str, otherwise: int) -> int:
    """Returns a token count that the server reported, or `otherwise` if it is missing, negative or absurdly large."""
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value <= 10_000_000 else otherwise
