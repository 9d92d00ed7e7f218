"""Posts to one address under a hard deadline, on connections that are kept between requests.

Each request runs in a thread of its own. At the deadline its socket is shut down, whatever it waits for: a connection,
a half-open peer, or a body that arrives byte by byte. Only a name look-up cannot be interrupted; its thread ends by
itself, and no more than `MAX_THREADS` are ever left behind.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rarrl.reasoner.language_model import CallFailedError
from rarrl.types import CallStatus
from rarrl.worker_process import Withdrawal

MAX_THREADS = 4
"""Requests that may hang in the network at a time; each holds one thread and one socket. Chosen by hand."""
MAX_IDLE = 2
"""Connections that are kept: an orchestrator asks one thing at a time, and its planner may be asked twice at once."""
DRAIN_S = 0.05
"""Seconds that a server may take to end a stream after its last event; the connection is given up after that. Local
servers take less than a millisecond, and the answer waits for it."""

Read = Callable[[http.client.HTTPResponse], None]
"""Takes a response in, while it arrives. Raises: what `HttpClient.post` then raises."""


class HttpClient:
    """Keeps connections to one host."""

    def __init__(self, host: str, port: int | None, tls: bool) -> None:
        self._host = host
        self._port = port
        self._kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._running: set[threading.Thread] = set()
        self._closed = False

    def post(
        self,
        path: str,
        data: bytes,
        headers: dict[str, str],
        deadline: float,
        read: Read,
        withdrawal: Withdrawal | None = None,
    ) -> None:
        """Posts `data` and lets `read` take the response, until `deadline` (seconds, steady clock). withdrawal: closes
        the connection.

        Raises: CallFailedError(TIMEOUT, BACKEND_DOWN or WITHDRAWN); what `read` raises."""
        self._running = {thread for thread in self._running if thread.is_alive()}
        if self._closed or len(self._running) >= MAX_THREADS:
            why = "closed" if self._closed else f"{MAX_THREADS} earlier requests still hang in the network"
            raise CallFailedError(CallStatus.BACKEND_DOWN, why)

        exchange = _Exchange(deadline)
        thread = threading.Thread(
            target=self._work, args=(exchange, path, data, headers, read), name="rarrl-fetch", daemon=True
        )
        withdrawal = withdrawal or Withdrawal()
        with withdrawal.over(exchange.withdraw):
            self._running.add(thread)
            thread.start()
            ended = exchange.done.wait(max(deadline - time.monotonic(), 0.0))

        withdrawal.check()
        if not ended:
            exchange.end()
            raise CallFailedError(CallStatus.TIMEOUT, "the deadline passed")
        if exchange.error is not None:
            raise exchange.error

    def close(self) -> None:
        """Closes the connections that are kept; later requests fail."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _work(self, exchange: _Exchange, path: str, data: bytes, headers: dict[str, str], read: Read) -> None:
        """Does the work of the thread: leaves an error in `exchange` and sets `done`."""
        response = None
        try:
            response = self._send(exchange, path, data, headers)
            if response is not None:
                read(response)
        except Exception as error:  # whatever it is: the caller has to know, and the thread has nobody to tell
            exchange.error = error
        finally:
            if response is not None:
                self._keep(exchange, response)
            exchange.close()
            exchange.done.set()

    def _send(
        self, exchange: _Exchange, path: str, data: bytes, headers: dict[str, str]
    ) -> http.client.HTTPResponse | None:
        """Sends the request, anew where a connection that was kept turns out to be closed; None after the deadline."""
        while time.monotonic() < exchange.deadline:
            connection = self._kept()
            fresh = connection is None
            if connection is None:
                left = max(exchange.deadline - time.monotonic(), 0.001)
                connection = self._kind(self._host, self._port, timeout=left)

            exchange.connection = connection
            try:
                if fresh:
                    connection.connect()
                    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                exchange.sock = connection.sock
                if exchange.ended:
                    return None
                connection.sock.settimeout(max(exchange.deadline - time.monotonic(), 0.001))
                connection.request("POST", path, data, headers)
                return connection.getresponse()
            except (ConnectionError, http.client.BadStatusLine):
                connection.close()
                if fresh or exchange.ended:
                    raise
        return None

    def _kept(self) -> http.client.HTTPConnection | None:
        """A connection of an earlier request whose other end is still there."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()

            with contextlib.suppress(OSError, ValueError):
                if connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]:
                    return connection
            connection.close()  # closed by the server, or it sent what nobody asked for

    def _keep(self, exchange: _Exchange, response: http.client.HTTPResponse) -> None:
        """Keeps the connection if the response ends now and the server goes on listening."""
        connection = exchange.connection
        if connection is None or connection.sock is None or response.will_close:
            return

        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.sock.settimeout(DRAIN_S)
            if not response.isclosed() and exchange.error is None:
                response.read(1024)
            with self._lock:
                if response.isclosed() and not exchange.ended and not self._closed and len(self._idle) < MAX_IDLE:
                    self._idle.append(connection)
                    exchange.connection = exchange.sock = None


class _Exchange:
    """One request under way."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.done = threading.Event()
        self.ended = False
        self.error: Exception | None = None
        self.connection: http.client.HTTPConnection | None = None
        self.sock: socket.socket | None = None  # which `connection` lets go of where a response ends with it

    def end(self) -> None:
        """Shuts the socket down, so that whatever the thread waits for returns at once."""
        self.ended = True
        sock = self.sock or (self.connection.sock if self.connection is not None else None)  # it may be shaking hands
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def withdraw(self) -> None:
        """Nobody waits for the response any more."""
        self.end()
        self.done.set()

    def close(self) -> None:
        """Closes the connection, unless it is kept."""
        if self.connection is not None:
            self.connection.close()


class TooLongError(Exception):
    """A response has more bytes than were asked for."""


def blocks(response: http.client.HTTPResponse, most: int) -> Iterator[bytes]:
    """Yields a body as it arrives. Raises: TooLongError above `most` bytes."""
    total = 0
    while block := response.read1(65536):
        total += len(block)
        if total > most:
            raise TooLongError
        yield block


def events(pieces: Iterator[bytes]) -> Iterator[Any]:
    """Yields the JSON of server-sent events (WHATWG HTML, 9.2) until `[DONE]`, which it yields as None.

    It bears what servers make of the format: any line ends, comments, several data lines, and no blank line between two
    events. A field `error`, which older llama-servers send, counts as data."""
    data: list[bytes] = []
    for line in _lines(pieces):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"error":
            data.append(b'{"error":' + value + b"}")
        elif not line and data:
            yield from _parsed(data)
            data = []

    if data:
        yield from _parsed(data)


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yields lines that end in LF, CRLF or CR, as soon as they have ended, and the rest at the end."""
    rest = b""
    first = True
    for piece in pieces:
        rest += piece
        if first and len(rest) >= 3:
            rest = rest.removeprefix(b"\xef\xbb\xbf")
            first = False

        held = b"\r" if rest.endswith(b"\r") else b""  # its LF may come with the next piece
        whole = rest[: len(rest) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = whole.split(b"\n")
        rest += held
        yield from lines
    if rest:
        yield rest.rstrip(b"\r")


def _parsed(data: list[bytes]) -> Iterator[Any]:
    """Yields the JSON of one event's data lines; of each line where they are no JSON together."""
    whole = b"\n".join(data).strip()
    if whole == b"[DONE]":
        yield None
        return
    if not whole:
        return

    try:
        value = json.loads(whole.decode("utf-8"))
    except ValueError:
        if len(data) == 1:
            raise
        for line in data:
            yield from _parsed([line])
    else:
        if value is not None:  # some servers send it to keep the connection open
            yield value
