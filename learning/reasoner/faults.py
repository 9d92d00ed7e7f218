"""Faulty language models behind real sockets and processes, for tests and for `rarrl faults run`.

`python -m rarrl_learning.reasoner.faults KIND` is a worker (see `worker.py`) without a model. Where a fault still lets
an answer through, the plan in it names the object of its own goal, so that an answer to an earlier goal is recognised.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
import threading
import time
from typing import Any, BinaryIO

LATE_S = 0.5  # seconds by which a late server delays its answer
_DRIP_S = 0.02  # seconds between two bytes of a slow server

GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "a megabyte": b"mug " * 250_000,
    "not UTF-8": b'{"plan": [["PickupObject", "\xff\xfe"]]}',
    "cut JSON": b'{"plan": [["PickupObject", "mug"',
    "wrong schema": b'{"steps": "pick up the mug"}',
    "unknown verb": b'{"plan": [["Explode", "mug"]]}',
    "unknown object": b'{"plan": [["PickupObject", "unicorn"]]}',
    "numbers": b'{"plan": [["PickupObject", NaN], [1e999]]}',
    "repeated token": b'{"plan": [["PickupObject", "mug' + b" mug" * 400,
    "deep": b"[" * 20_000,
}
"""What a broken model says in place of an answer."""

WORKER_FAULTS = (
    "hang",
    "dies",
    "late",
    "no line end",
    "garbage line",
    "earlier id",
    "odd failure",
    "a list",
    "NaN numbers",
    "text for numbers",
    "too many tokens",
    *GARBAGE,
)
"""Of a worker process."""
SERVER_FAULTS = (
    "hang",
    "half-open TCP",
    "connection refused",
    "late",
    "slow drip",
    "slow headers",
    "endless stream",
    "closes halfway",
    "HTTP 500",
    "HTTP 503",
    "HTTP 401",
    "redirect",
    "not HTTP",
    "NaN numbers",
    "text for numbers",
    "too many tokens",
    "wrong envelope",
    *GARBAGE,
)
"""Of an OpenAI-compatible server."""


def healthy_answer(prompt: str) -> str:
    """The plan of the last goal "put a THING on the desk" in `prompt`."""
    things = re.findall(r"put a ([a-z]+) on the desk", prompt)
    thing = things[-1] if things else "mug"
    return json.dumps({"plan": [["PickupObject", thing], ["PutObject", thing, "desk"]]})


class FaultyServer:
    """An OpenAI-compatible server on this computer with one fault; "" is healthy. A context manager."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._closing = threading.Event()

    def __enter__(self) -> FaultyServer:
        if self.kind != "connection refused":
            self._socket.listen(16)
        if self.kind not in ("half-open TCP", "connection refused"):
            threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            self._answer(connection, _http_body(connection))

    def _answer(self, connection: socket.socket, body: bytes) -> None:
        kind = self.kind
        if kind == "hang":
            self._closing.wait(60.0)
        elif kind == "not HTTP":
            connection.sendall(b"\x00\x01\x02 220 smtp ready\r\n\r\n")
        elif kind.startswith("HTTP"):
            connection.sendall(f"HTTP/1.1 {kind[5:]} Oops\r\nContent-Length: 0\r\n\r\n".encode())
        elif kind == "redirect":
            connection.sendall(b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        elif kind == "endless stream":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            while not self._closing.is_set():
                connection.sendall(b'data: {"choices": [{"delta": {"content": " mug"}}]}\n\n')
        elif kind in ("slow headers", "slow drip"):
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            if kind == "slow drip":
                connection.sendall(head + b"\r\n")
            for _ in range(3000):
                connection.sendall(b" " if kind == "slow drip" else b"x")
                if self._closing.wait(_DRIP_S):
                    return
        else:
            if kind == "late":
                self._closing.wait(LATE_S)
            data = self._completion(body)
            start = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(start.encode() + (data[: len(data) // 2] if kind == "closes halfway" else data))

    def _completion(self, body: bytes) -> bytes:
        if self.kind == "wrong envelope":
            return b'{"choices": {"message": []}}'

        usage: dict[str, object] = {"prompt_tokens": 10, "completion_tokens": 20}
        if self.kind == "NaN numbers":
            usage = dict.fromkeys(usage, float("nan"))
        elif self.kind == "text for numbers":
            usage = dict.fromkeys(usage, "many")
        elif self.kind == "too many tokens":
            usage["completion_tokens"] = 9_999

        said = GARBAGE.get(self.kind)
        prompt = json.loads(body)["messages"][-1]["content"]
        text = json.dumps(healthy_answer(prompt)).encode() if said is None else b'"' + _escaped(said) + b'"'
        envelope = json.dumps({"choices": [{"message": {"content": "HERE"}, "finish_reason": "stop"}], "usage": usage})

        return envelope.encode().replace(b'"HERE"', text)


def _escaped(said: bytes) -> bytes:
    """As the inside of a JSON string; bytes that are no UTF-8 stay."""
    return said.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _http_body(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, body = data.split(b"\r\n\r\n", 1)
    found = re.search(rb"content-length: (\d+)", head.lower())
    while len(body) < int(found.group(1) if found else 0):
        body += _more(connection)
    return body


def _more(connection: socket.socket) -> bytes:
    block = connection.recv(65536)
    if not block:
        raise OSError("closed")
    return block


def _faulty_worker(kind: str, requests: BinaryIO, answers: BinaryIO) -> None:
    requests.readline()
    answers.write(b'{"ready": {"name": "faulty", "chat": false}}\n')
    answers.flush()

    for line in requests:
        request = json.loads(line)
        if kind == "hang":
            time.sleep(3600)
        if kind == "dies":
            os.abort()
        if kind == "late" and request["id"] % 2:
            time.sleep(max(request["deadline"] - time.monotonic(), 0.0) + 0.2)
        answers.write(_line(kind, request))
        answers.flush()


def _line(kind: str, request: dict[str, Any]) -> bytes:
    if kind == "garbage line":
        return b"\xff{{{\n"
    if kind == "no line end":
        return b"x" * (5 << 20)

    said = GARBAGE.get(kind)
    answer: dict[str, object] = {
        "id": request["id"],
        "text": healthy_answer(str(request["prompt"])),
        "finish": "stop",
        "tokens_in": 10,
        "tokens_out": 20,
        "ttft_s": 0.01,
        "seconds": 0.02,
        "confidence": -1.0,
        "alternatives": [],
    }
    if kind == "earlier id":
        answer["id"] = request["id"] - 1
    if kind == "odd failure":
        return json.dumps({"id": request["id"], "failed": [1]}).encode() + b"\n"
    if kind == "a list":
        return b'["id", "ready"]\n'

    if kind == "NaN numbers":
        answer |= {"confidence": float("nan"), "seconds": float("inf")}
    if kind == "text for numbers":
        answer["tokens_out"] = "many"
    if kind == "too many tokens":
        answer["tokens_out"] = 9_999
    line = json.dumps(answer).encode() + b"\n"
    return line if said is None else line.replace(json.dumps(answer["text"]).encode(), b'"' + _escaped(said) + b'"')


if __name__ == "__main__":
    _faulty_worker(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
