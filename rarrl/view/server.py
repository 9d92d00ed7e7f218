"""Serves the view to browsers on this computer: one page, a stream of server-sent events, and two buttons.

The robot is looked at from here, never the other way round: while nobody watches, nothing is looked at, encoded or
sent. While somebody does, one thread looks RATE_HZ times a second and encodes what has changed; each browser has a
thread of its own, which sends the newest as soon as the last one is gone. A browser that falls behind misses what it
had no time for, and nobody waits for it.

Every request must come from this computer, name it in its Host header (a web page that rebinds its own name to
127.0.0.1 cannot), and hold the token of the URL. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from rarrl.errors import InputError
from rarrl.secrets import remember

from .state import Snapshot, encode

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
"""Where it listens: on loopback alone. From another computer: `ssh -L PORT:127.0.0.1:PORT robot`."""
RATE_HZ = 10.0
"""The most: a person sees no more, and the robot's own loop has 10 Hz."""
MAX_VIEWERS = 8
"""At once; each one more costs the robot what it takes to send, not what it takes to encode."""
MAX_CONNECTIONS = 32
"""At once, those without a token included."""
REQUEST_S = 5.0
"""Seconds in which each piece of a request must come."""
SEND_S = 20.0
"""Seconds in which a browser must take what it is sent; one that does not is cut off, and comes again by itself."""
ALIVE_S = 5.0
"""Seconds after which something is sent although nothing has changed: so it shows that a browser has gone."""
SEND_BUFFER = 64 * 1024
"""Bytes that the kernel keeps for a browser that does not read: about two pictures. With its default it would keep
seconds of them, and show the past once it reads again."""
_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)


class Source(Protocol):
    """What is shown: a mission in this process, a ROS graph, a recording. Called from the server's threads."""

    def look(self) -> Snapshot:
        """What is to be seen now. Parts that have not changed are the same objects as before."""
        ...

    def watch(self, somebody: bool) -> None:
        """Somebody watches from now on, or nobody does any more."""
        ...

    def pause(self, wanted: bool) -> str:
        """Pauses, or goes on. Returns "" if it does, else why not."""
        ...

    def think_now(self) -> str:
        """Makes the next decision a THINK. Returns "" if it will be, else why not."""
        ...


@dataclass(frozen=True)
class _Frame:
    """What was seen at one look: name of a part -> the part, and how it is sent."""

    number: int
    parts: Mapping[str, tuple[Any, bytes]]


class ViewServer:
    """A server that runs; made by `viewing`.

    Args:
        source: what is shown.
        port: 0: a free one.

    Attributes:
        url: of the page, with the token: whoever has it may watch, and press the buttons.
        counts: what happened so far: looked, encoded (parts), sent (to browsers), skipped (what a browser was too slow
            for), cut off, refused, pressed.

    Raises: InputError where the port cannot be had."""

    def __init__(self, source: Source, port: int = 0) -> None:
        self.source = source
        self.counts: Counter[str] = Counter()
        self.token = secrets.token_urlsafe(24)
        remember(self.token)
        self.page, self.policy = _page()
        self._frame = _Frame(0, {})
        self._unshown: set[str] = set()
        self._changed = threading.Condition()
        self._viewers = 0
        self._closed = False
        try:
            self._http = _Http((HOST, port), _Handler, self)
        except (OSError, OverflowError) as error:
            raise InputError(f"view: port {port} cannot be had ({error}); choose another with --port") from None
        self.port = int(self._http.server_address[1])
        self.url = f"http://{HOST}:{self.port}/?token={self.token}"
        self._threads = [
            threading.Thread(target=self._accept, name="view-http", daemon=True),
            threading.Thread(target=self._look_on, name="view-look", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def viewers(self) -> int:
        """Browsers that watch."""
        return self._viewers

    def close(self) -> None:
        """Ends all threads and connections."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with suppress(OSError):
            socket.create_connection((HOST, self.port), timeout=1.0).close()  # wakes the thread that accepts
        for thread in self._threads:
            thread.join(timeout=5.0)
        self._http.server_close()

    def _accept(self) -> None:
        """Takes connections. Unlike `serve_forever`, it sleeps until one comes."""
        while True:
            try:
                request, address = self._http.get_request()
            except OSError:  # too many open files, or one that has gone already
                if self._closed:
                    return
                time.sleep(1 / RATE_HZ)
                continue
            if self._closed:
                request.close()
                return
            self._http.process_request(request, address)

    def _look_on(self) -> None:
        """Looks at the source while somebody watches."""
        watched = False
        while True:
            with self._changed:
                if watched and not self._viewers:
                    watched = False
                    self._told_watch(False)
                self._changed.wait_for(lambda: self._viewers or self._closed)
                if self._closed:
                    break
            if not watched:
                watched = True
                self._told_watch(True)

            began = time.monotonic()
            self._look()
            with self._changed:
                self._changed.wait_for(lambda: self._closed, max(1 / RATE_HZ - (time.monotonic() - began), 0.01))
        if watched:
            self._told_watch(False)

    def _told_watch(self, somebody: bool) -> None:
        try:
            self.source.watch(somebody)
        except Exception:
            logger.exception("view: the source failed")

    def _look(self) -> None:
        try:
            snapshot = self.source.look()
            self.counts["looked"] += 1
            before, parts = self._frame.parts, {}
            for name, part in snapshot.parts().items():
                if name in before and before[name][0] is part:
                    parts[name] = before[name]
                elif part is not None:
                    parts[name] = (part, self._encoded(name, part))
        except Exception:  # whatever it is, the robot goes on, and the view with the next look
            logger.exception("view: a look failed")
            return
        if any(before.get(name) is not part for name, part in parts.items()):
            with self._changed:
                self._frame = _Frame(self._frame.number + 1, parts)
                self._changed.notify_all()

    def _encoded(self, name: str, part: Any) -> bytes:
        """How a part is sent; b"" of one that cannot be shown: the others are shown on."""
        try:
            data = f"event: {name}\ndata: {encode(part)}\n\n".encode()
        except Exception:
            if name not in self._unshown:  # once: the next ones are often like it
                self._unshown.add(name)
                logger.exception("view: %s cannot be shown", name)
            return b""
        self._unshown.discard(name)
        self.counts["encoded"] += 1
        return data

    def stream(self, connection: socket.socket) -> None:
        """Sends what changes, until the browser goes."""
        with self._changed:
            if self._viewers >= MAX_VIEWERS:
                raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_VIEWERS} browsers watch already")
            self._viewers += 1
            self._changed.notify_all()
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            connection.settimeout(SEND_S)
            connection.sendall(_head(HTTPStatus.OK, "text/event-stream", self.policy) + b"retry: 1000\n\n")
            self._send_on(connection)
        except TimeoutError:
            self.counts["cut off"] += 1
        except OSError:
            pass  # it has gone
        finally:
            with self._changed:
                self._viewers -= 1
                self._changed.notify_all()

    def _send_on(self, connection: socket.socket) -> None:
        sent: dict[str, Any] = {}
        number = 0  # of the frame that was sent last; 0: none was, and there is none of this number
        while True:
            frame = self._newer(number)
            if frame is None:
                return
            if frame.number == number:
                connection.sendall(b": alive\n\n")
                continue
            self.counts["skipped"] += frame.number - number - 1 if number else 0
            number = frame.number
            fresh = [data for name, (part, data) in frame.parts.items() if sent.get(name) is not part]
            sent = {name: part for name, (part, _) in frame.parts.items()}
            connection.sendall(b"".join(fresh))
            self.counts["sent"] += 1

    def _newer(self, number: int) -> _Frame | None:
        """The newest frame: another one than `number`, or after ALIVE_S that one; None where the server ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._frame.number != number, ALIVE_S)
            return None if self._closed else self._frame

    def press(self, path: str, query: Mapping[str, list[str]]) -> str:
        """What a button does. Returns "", or why it does nothing."""
        self.counts["pressed"] += 1
        if path == "/think":
            return self.source.think_now()
        return self.source.pause(query.get("on") == ["1"])


@contextmanager
def viewing(source: Source, port: int = 0) -> Iterator[ViewServer]:
    """Serves `source` within the block. Raises: InputError where the port cannot be had."""
    server = ViewServer(source, port)
    try:
        yield server
    finally:
        server.close()


class _RefusedError(Exception):
    """A request that gets nothing. Args: status, why."""


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2 * MAX_CONNECTIONS  # those that are refused must come so far
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], view: ViewServer) -> None:
        self.view = view
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, if there is room for it."""
        if not self._room.acquire(blocking=False):
            self.view.counts["refused"] += 1
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke off is no news; the rest is logged, without what was asked for: it holds a token."""
        logger.debug("view: a request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    timeout = REQUEST_S

    def do_GET(self) -> None:
        """The page, or the stream."""
        self._answer("GET")

    def do_POST(self) -> None:
        """A button."""
        self._answer("POST")

    def _answer(self, method: str) -> None:
        view = self.server.view
        self.close_connection = True
        try:
            path, query = self._checked()
            if (method, path) == ("GET", "/"):
                self._send(HTTPStatus.OK, "text/html; charset=utf-8", view.page)
            elif (method, path) == ("GET", "/events"):
                view.stream(self.connection)
            elif method == "POST" and path in ("/pause", "/think"):
                why_not = view.press(path, query)
                status = HTTPStatus.CONFLICT if why_not else HTTPStatus.OK
                self._send(status, "text/plain; charset=utf-8", why_not.encode())
            else:
                raise _RefusedError(HTTPStatus.NOT_FOUND, "there is nothing here")
        except _RefusedError as refused:
            view.counts["refused"] += 1
            status, why = refused.args
            self._send(status, "text/plain; charset=utf-8", f"{why}\n".encode())

    def _checked(self) -> tuple[str, dict[str, list[str]]]:
        """Path and query of a request that may be answered. Raises: _RefusedError."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "ask for it as 127.0.0.1 or localhost")

        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if origin not in (None, f"http://{hosts[0]}") or site not in ("none", "same-origin"):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "not for other web pages")

        try:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query, max_num_fields=8)
        except ValueError:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "this is no address") from None
        given = query.get("token", [""])[0]
        if not hmac.compare_digest(given.encode(), self.server.view.token.encode()):
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, "take the whole URL, with its token, as the robot printed it")
        return parts.path, query

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        with suppress(OSError):
            self.wfile.write(_head(status, kind, self.server.view.policy, len(body)) + body)

    def version_string(self) -> str:
        """For error pages of the base class."""
        return "rarrl"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests hold the token."""


def _head(status: HTTPStatus, kind: str, policy: str, length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.0 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Security-Policy: {policy}",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
        "Cross-Origin-Resource-Policy: same-origin",
        "Cross-Origin-Opener-Policy: same-origin",
        "Connection: close",
        *([] if length is None else [f"Content-Length: {length}"]),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _page() -> tuple[bytes, str]:
    """The page, and the policy that lets a browser run its own style and script, and load nothing else."""
    text = files("rarrl.view").joinpath("page.html").read_text("utf-8")
    hashes = {}
    for tag in ("style", "script"):
        own = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert own is not None
        digest = base64.b64encode(hashlib.sha256(own.group(1).encode()).digest()).decode()
        hashes[tag] = f"{tag}-src 'sha256-{digest}'"
    rest = "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return text.encode(), f"default-src 'none'; {hashes['style']}; {hashes['script']}; {rest}"
