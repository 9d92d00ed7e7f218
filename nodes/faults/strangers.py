"""Strangers at the policy server's port: noise, slow handshakes, wrong tokens, large frames."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from rarrl.errors import RarrlError

from .row import Trial

PATIENCE_S = 20.0
"""Seconds until what must happen has happened."""


TOKEN = "0123456789abcdef" * 2
"""What friends know."""


class _Still:
    """A policy that stands."""

    def __init__(self) -> None:
        from rarrl.policy.base import InterfaceSpec

        self.spec = InterfaceSpec(("front",), 32, ("x_m",), (0.0,), (1.0,), ("linear_x_m_s",), (-1.0,), (1.0,), 4, 10.0)

    def infer(self, observation: Any, stop: Any = None) -> Any:
        from rarrl.policy.base import ActionChunk

        return ActionChunk(np.zeros((4, 1), np.float32), 0.1, observation.observed_at)

    def reset(self) -> None:
        """Nothing to forget."""


@contextlib.contextmanager
def _serving(token: str) -> Iterator[Any]:
    from rarrl.policy.server import Limits, serving

    loop, ready, started = asyncio.new_event_loop(), threading.Event(), []
    stop = asyncio.Event()

    async def main() -> None:
        limits = Limits(message_bytes=20_000, shake_s=0.3, idle_s=5.0, send_s=1.0)
        async with serving(_Still(), port=0, token=token, limits=limits) as server:
            started.append(server)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        if not ready.wait(PATIENCE_S):
            raise RarrlError("the policy server did not begin")
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)
        loop.close()


NOISE = (b"\0" * 200, b"\x16\x03\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"A" * 70_000, b"GET / HTTP/9.9\r\n\r\n")
"""What port scanners and other protocols send."""


WAYS = ("noise", "slow", "token", "frame", "question")
"""What strangers do, in turn."""


def strangers(trials: int, seed: int) -> list[Trial]:
    """One stranger a trial; then a friend asks and must be answered. `uncounted`: the server did not count him."""
    found = []
    with _serving(TOKEN) as server:
        for number in range(trials):
            way = WAYS[number % len(WAYS)]
            before = sum(server.counts.values())
            start = time.monotonic()
            let_in = _try(way, server.port, random.Random(f"{seed} {number}"))
            took_s = time.monotonic() - start
            until = time.monotonic() + PATIENCE_S
            while sum(server.counts.values()) == before and time.monotonic() < until:
                time.sleep(0.01)

            uncounted = sum(server.counts.values()) == before
            said = _ask(server.port, TOKEN, _question())
            lost = said != "answered"
            counts = {"accepted": int(let_in), "exceptions": int(lost), "uncounted": int(uncounted)}
            note = f"{way}: {said}" if lost else way
            found.append(Trial(detect_s=took_s, unsafe=int(let_in or lost or uncounted), counts=counts, note=note))
    return found


def _try(way: str, port: int, rng: random.Random) -> bool:
    """What a stranger does; whether he got an answer."""
    if way in ("noise", "slow"):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5.0) as stranger:
            stranger.sendall(rng.choice(NOISE) if way == "noise" else b"GET / HTTP/1.1\r\n")
            if way == "noise":
                stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(1000):
                pass
        return False
    if way == "token":
        return (
            _ask(port, rng.choice(("", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), "x" * 500)), _question()) == "answered"
        )
    return _ask(port, TOKEN, bytes(50_000 if way == "frame" else 10)) == "answered"


def _ask(port: int, token: str, question: bytes) -> str:
    """`answered`, or what happened instead."""
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    headers = {"Authorization": f"Api-Key {token}"}
    try:
        with connect(f"ws://127.0.0.1:{port}", compression=None, additional_headers=headers, proxy=None) as client:
            client.recv(PATIENCE_S)
            client.send(question)
            answer = client.recv(PATIENCE_S)
            return answer if isinstance(answer, str) else "answered"
    except (WebSocketException, OSError, TimeoutError) as error:
        return type(error).__name__


def _question() -> bytes:
    import msgpack

    def array(value: np.ndarray) -> dict[bytes, object]:
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}

    picture = np.zeros((32, 32, 3), np.uint8)
    asked = {"observation/image/front": picture, "observation/state": np.zeros(1, np.float32), "prompt": "go on"}
    return bytes(msgpack.packb(asked, default=array))
