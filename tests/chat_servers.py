"""A chat server on this computer that behaves as a row of a table says: what it accepts, and how it answers."""

import http.server
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

PLAN = '{"plan":[["PickupObject","mug"],["PutObject","mug","desk"]]}'


@dataclass
class Says:
    """One response. body: sent as it is; chunks: each sent as a chunk of its own, and no Content-Length."""

    status: int = 200
    kind: str = "application/json"
    body: bytes = b""
    chunks: Iterable[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False


def whole(content: Any, finish: str = "stop", message: dict[str, Any] | None = None, **usage: int) -> Says:
    """A response that is no stream."""
    choice = {"message": {"content": content, **(message or {})}, "finish_reason": finish}
    return Says(body=json.dumps({"choices": [choice], "usage": usage}).encode())


def delta(content: str | None = None, finish: str | None = None, logprobs: Any = None, **more: Any) -> dict[str, Any]:
    """One event of a stream."""
    choice = {"index": 0, "delta": {"content": content, **more}, "finish_reason": finish}
    return {"choices": [choice if logprobs is None else {**choice, "logprobs": logprobs}]}


def stream(*pieces: Any, finish: str = "stop", usage: dict[str, Any] | None = None, done: bool = True) -> Says:
    """A stream of texts, or of events as `delta` makes them."""
    events = [piece if isinstance(piece, dict) else delta(piece) for piece in pieces]
    events += [delta(finish=finish)] if finish else []
    events += [{"choices": [], "usage": usage}] if usage is not None else []
    lines = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    return raw(lines + b"data: [DONE]\n\n" * done)


def raw(events: bytes, **headers: str) -> Says:
    """A stream, byte by byte as given."""
    return Says(kind="text/event-stream", body=events, headers=headers)


def refuses(status: int, error: Any, **headers: str) -> Says:
    """An error in OpenAI's form, or any other value as the whole body."""
    value = {"error": {"message": error}} if isinstance(error, str) else error
    return Says(status, body=json.dumps(value).encode(), headers=headers)


Behaviour = Callable[[dict[str, Any]], Says]
"""What a server makes of the body of a request."""


class ChatServer:
    """Answers with `behaviour`, or with the given responses in turn; a context manager.

    Attributes:
        seen: (path, headers, body) of each request.
        connections: how many were opened.
        hung_up: how many were closed by the client before the response was over.
    """

    def __init__(self, behaviour: Behaviour | list[Says]) -> None:
        script = iter(behaviour) if isinstance(behaviour, list) else None
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.connections = self.hung_up = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                said = next(script) if script is not None else behaviour(body)  # type: ignore[operator]
                self._send(said)

            def _send(self, said: Says) -> None:
                self.send_response(said.status)
                self.send_header("Content-Type", said.kind)
                for name, value in said.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                if said.chunks is None:
                    self.send_header("Content-Length", str(len(said.body)))
                    self.end_headers()
                    self.wfile.write(said.body)
                else:
                    self.end_headers()  # of unknown length: it ends with the connection
                    for chunk in said.chunks:
                        self.wfile.write(chunk)
                        self.wfile.flush()
                self.close_connection = said.hang_up or said.chunks is not None

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = self._on_hung_up  # type: ignore[method-assign]
        self.root = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.root}/v1"

    def __enter__(self) -> "ChatServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _on_hung_up(self, *_: object) -> None:
        """At their deadline, or when nobody needs the answer."""
        self.hung_up += 1

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was asked, request by request."""
        return [body for _, _, body in self.seen]
