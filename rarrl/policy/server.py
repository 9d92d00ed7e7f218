"""Serves a policy over a websocket, to openpi's clients among others. docs/how-to/serve-a-policy.md tells the protocol.

The protocol is that of https://github.com/Physical-Intelligence/openpi (packages/openpi-client): the server greets with
its metadata, then answers each observation. All is msgpack; an error is a text frame. Unlike openpi's server, this one
listens on loopback alone unless there is a token, checks the token, bounds all that comes in, and computes beside the
event loop, so that a slow policy does not cost other clients their connection.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import math
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rarrl.errors import DependencyMissingError, InputError, RarrlError
from rarrl.files import read_file
from rarrl.policy.base import ActionChunk, Interface, Observation, Policy, checked_words
from rarrl.policy.openpi_keys import OpenpiKeys, openpi_keys
from rarrl.secrets import remember

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

logger = logging.getLogger(__name__)

DTYPES = {np.dtype(name).str: np.dtype(name) for name in ("uint8", "float32", "float64")}
ARRAY_KEYS = {b"__ndarray__", b"data", b"dtype", b"shape"}
MAX_ITEMS = 64  # of a msgpack map or list: room is made for as many as a message claims, at each of 1000 nested levels
MAX_TEXT = 10_000  # bytes
MIN_TOKEN, MAX_TOKEN = 16, 1000  # characters
POLICY_VIOLATION, INTERNAL_ERROR, TRY_AGAIN_LATER, TOO_BIG = 1008, 1011, 1013, 1009  # close codes, RFC 6455


@dataclass(frozen=True)
class Limits:
    """What a client may take.

    connections: at once. message_bytes: of one observation. idle_s: seconds without a question until it is closed.
    strangers: connections that have not shaken hands yet. shake_s: seconds for that. send_s: seconds in which a client
    must take an answer."""

    connections: int = 4
    message_bytes: int = 4_000_000
    idle_s: float = 600.0
    strangers: int = 32
    shake_s: float = 5.0
    send_s: float = 10.0


class PolicyServer:
    """A server that runs; made by `serving`.

    Args: as of `serving`.

    Attributes:
        port: where it listens
        counts: what happened so far: connections, answered, refused, unauthorised, turned away, idle, too big, garbled
            (no handshake of a websocket), slow (in shaking hands, or in taking an answer), failed
    """

    def __init__(self, policy: Policy, token: str | None, limits: Limits, openpi_pictures: str = "") -> None:
        self.port = 0
        self.counts: Counter[str] = Counter()
        self._openpi = openpi_keys(policy.spec, openpi_pictures)
        self._policy, self._token, self._limits = policy, token, limits
        self._open = self._strangers = 0
        self._worker = ThreadPoolExecutor(1, "policy")  # a policy is for one thread: questions queue here

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answers `/healthz`; refuses strangers before there is a websocket."""
        if request.path == "/healthz":
            return connection.respond(200, "OK\n")
        if "Origin" in request.headers:  # a page in somebody's browser, which reaches loopback too
            self.counts["unauthorised"] += 1
            return connection.respond(403, "no browsers\n")
        if self._token is not None:
            sent = " ".join(request.headers.get_all("Authorization")).encode("utf-8", "replace")
            if not hmac.compare_digest(sent, f"Api-Key {self._token}".encode()):
                self.counts["unauthorised"] += 1
                return connection.respond(401, "wrong or missing token; send Authorization: Api-Key TOKEN\n")
        return None

    async def shake(self, hands: Callable[[], Awaitable[None]], connection: ServerConnection) -> None:
        """Counts what becomes of a handshake; a flood of connections that never shake hands is turned away."""
        if self._strangers >= self._limits.strangers:
            self.counts["turned away"] += 1
            connection.transport.abort()
            raise ConnectionAbortedError
        self._strangers += 1
        try:
            await hands()
        except asyncio.CancelledError:
            self.counts["slow"] += 1
            raise
        finally:
            self._strangers -= 1
        if connection.request is None or connection.protocol.handshake_exc is not None:
            self.counts["garbled"] += 1

    async def handle(self, socket: ServerConnection) -> None:
        """One client, from greeting to goodbye."""
        from websockets.exceptions import ConnectionClosed

        if self._open >= self._limits.connections:
            self.counts["turned away"] += 1
            await socket.close(TRY_AGAIN_LATER, f"all {self._limits.connections} places are taken")
            return
        self._open += 1
        self.counts["connections"] += 1
        try:
            await self._say(socket, _pack(metadata(self._policy.spec, self._openpi)))
            await self._converse(socket)
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == TOO_BIG:
                self.counts["too big"] += 1
        except asyncio.TimeoutError:  # of _say: it takes nothing, and would not take a goodbye
            self.counts["slow"] += 1
            socket.transport.abort()
        finally:
            self._open -= 1

    async def _say(self, socket: ServerConnection, message: str | bytes) -> None:
        """Raises: asyncio.TimeoutError where the client does not take it in time."""
        await asyncio.wait_for(socket.send(message), self._limits.send_s)

    async def close(self) -> None:
        """Waits for the policy's thread; the handlers, which told it to stop, have ended."""
        await asyncio.get_running_loop().run_in_executor(None, self._worker.shutdown)

    async def _converse(self, socket: ServerConnection) -> None:
        before: float | None = None
        while True:
            try:
                message = await asyncio.wait_for(socket.recv(), self._limits.idle_s)
            except asyncio.TimeoutError:
                self.counts["idle"] += 1
                await socket.close(POLICY_VIOLATION, f"no question for {self._limits.idle_s:g} s")
                return
            asked = time.monotonic()
            try:
                answer = await self._answer(socket, message, asked)
            except RarrlError as error:
                self.counts["refused"] += 1
                await self._say(socket, str(error))
                continue
            except Exception:  # a fault of the policy: its words may hold paths of this machine, they stay in the log
                self.counts["failed"] += 1
                logger.exception("the policy failed")
                await self._say(socket, "internal error of the policy; the server's log tells more")
                await socket.close(INTERNAL_ERROR, "internal error of the policy")
                return
            if answer is None:
                return
            if before is not None:
                answer["server_timing"]["prev_total_ms"] = before
            self.counts["answered"] += 1
            await self._say(socket, _pack(answer))
            before = 1e3 * (time.monotonic() - asked)

    async def _answer(self, socket: ServerConnection, message: str | bytes, asked: float) -> dict[str, Any] | None:
        """None: the client has gone, and the computation was stopped."""
        observation = observation_of(unpack(message), self._policy.spec, asked, self._openpi)
        gone = threading.Event()
        job = asyncio.get_running_loop().run_in_executor(self._worker, self._infer, observation, gone)
        closed = asyncio.ensure_future(socket.wait_closed())
        try:
            await asyncio.wait((job, closed), return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                return None
            chunk, queue_s, infer_s = job.result()
        finally:
            gone.set()
            job.cancel()
            closed.cancel()
        return {"actions": chunk.actions, "server_timing": {"queue_ms": 1e3 * queue_s, "infer_ms": 1e3 * infer_s}}

    def _infer(self, observation: Observation, gone: threading.Event) -> tuple[ActionChunk, float, float]:
        """In the policy's thread: the chunk, seconds in the queue, seconds of computing."""
        start = time.monotonic()
        chunk = self._policy.infer(observation, gone.is_set)
        return chunk, start - observation.observed_at, time.monotonic() - start


@asynccontextmanager
async def serving(
    policy: Policy,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Limits | None = None,
    openpi_pictures: str = "",
) -> AsyncIterator[PolicyServer]:
    """Serves `policy` while the block runs; then says goodbye to the clients and stops what is being computed.

    Args:
        policy: used in one thread of the server's own
        host: an address of this machine; another than loopback asks for a token
        port: 0 takes a free one
        token: what clients must send as `Authorization: Api-Key TOKEN`; None: whoever reaches the port may ask
        openpi_pictures: "upright" or "turned", takes the keys of openpi's LIBERO client too, for a policy trained on
            such pictures; "": for policies of LIBERO's suites (see `openpi_keys`)

    Raises: InputError for an open door or a port that is taken, DependencyMissingError."""
    try:
        import msgpack  # noqa: F401
        from websockets.asyncio.server import ServerConnection, serve
    except ImportError:
        raise DependencyMissingError(
            "a policy server needs websockets and msgpack: pip install 'rarrl[serve]'"
        ) from None
    if token is None and not _is_loopback(host):
        raise InputError(
            f"host: {host} can be reached from other machines, and nobody would have to show a token; give one with "
            "--token-file, or take 127.0.0.1"
        )
    limits = limits or Limits()
    # A port scan is no error of ours: websockets would log a traceback for each.
    silent = logging.getLogger(f"{__name__}.websockets")
    silent.setLevel(logging.CRITICAL)
    server = PolicyServer(policy, token, limits, openpi_pictures)

    class Counted(ServerConnection):
        async def handshake(self, *options: Any, **more: Any) -> None:
            await server.shake(lambda: super(Counted, self).handshake(*options, **more), self)

    try:
        listener = await serve(
            server.handle,
            host,
            port,
            process_request=server.admit,
            compression=None,
            max_size=limits.message_bytes,
            max_queue=2,
            open_timeout=limits.shake_s,
            create_connection=Counted,
            close_timeout=2,
            server_header=None,
            logger=silent,
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"host, port: {host}:{port} cannot be opened ({reason}); name others") from None
    server.port = next(iter(listener.sockets)).getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()
        await server.close()


def run(
    policy: Policy,
    host: str,
    port: int,
    token: str | None,
    ready: Callable[[int], None],
    openpi_pictures: str = "",
) -> Counter[str]:
    """Serves until SIGINT or SIGTERM; returns the counts.

    Args: as of `serving`; `ready` is called with the port once clients may come.
    Raises: as `serving`."""

    async def main() -> Counter[str]:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with serving(policy, host, port, token, openpi_pictures=openpi_pictures) as server:
            ready(server.port)
            await stop.wait()
        return server.counts

    return asyncio.run(main())


TOKEN_VARIABLE = "RARRL_POLICY_TOKEN"
"""The environment variable that may hold the token."""


def find_token(file: Path | None) -> str | None:
    """The token in a file, else in the environment; None where there is neither. From then on it is a secret that no
    message or log shows. Raises: InputError, which does not hold it."""
    if file is not None:
        return read_token(file)
    return _checked_token(os.environ[TOKEN_VARIABLE], TOKEN_VARIABLE) if os.environ.get(TOKEN_VARIABLE) else None


def read_token(path: Path) -> str:
    """The token of a file: its text without white space at the ends.

    Raises: InputError; its message does not hold the token."""
    return _checked_token(read_file(path, "--token-file").decode("utf-8", "replace"), f"--token-file: {path}")


def _checked_token(text: str, where: str) -> str:
    token = text.strip()
    remember(token)
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"{where} must hold one word of {MIN_TOKEN} to {MAX_TOKEN} ASCII characters; make one: openssl rand -hex 32"
        )
    return token


def metadata(spec: Interface, openpi: OpenpiKeys | None = None) -> dict[str, Any]:
    """What a client is greeted with: the observation that it must send, and what the actions mean.

    openpi: the keys of openpi's LIBERO client, where they are understood too."""
    pictures = {_picture_key(name): {"dtype": "uint8", "shape": [spec.image_size] * 2 + [3]} for name in spec.cameras}
    own = {"dtype": "float32", "shape": [len(spec.proprio_names)], "names": list(spec.proprio_names)}
    return {
        "observation": {**pictures, **({STATE: own} if spec.proprio_names else {}), PROMPT: {"dtype": "str"}},
        "actions": {
            "shape": [spec.horizon, len(spec.action_names)],
            "names": list(spec.action_names),
            "low": list(spec.action_low),
            "high": list(spec.action_high),
        },
        "control_hz": spec.control_hz,
        **({"observation_openpi_libero": openpi.metadata()} if openpi is not None else {}),
    }


STATE, PROMPT = "observation/state", "prompt"


def _picture_key(camera: str) -> str:
    return f"observation/image/{camera}"


def unpack(message: str | bytes) -> object:
    """A msgpack message with arrays as openpi packs them.

    Raises: InputError for whatever is not that: text, a cut or endless message, arrays of other types than `DTYPES`."""
    import msgpack

    if isinstance(message, str):
        raise InputError("observation: a text frame; send msgpack in a binary frame")
    try:
        return msgpack.unpackb(
            message,
            object_hook=_array,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_str_len=MAX_TEXT,
        )
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        # msgpack's readers (C and Python) stumble in many ways; all of them mean the same.
        raise InputError(f"observation: not msgpack within the limits ({type(error).__name__}: {error})") from None


def _array(found: dict) -> object:
    """An array where msgpack found the map of one."""
    if b"__ndarray__" not in found:
        return found
    kind, shape, data = found.get(b"dtype"), found.get(b"shape"), found.get(b"data")
    if found.keys() != ARRAY_KEYS or not isinstance(kind, str) or kind not in DTYPES or not isinstance(data, bytes):
        raise InputError(f"observation: an array has dtype {str(kind)[:20]!r}; allowed: {', '.join(DTYPES)}")
    sizes = shape if isinstance(shape, list) else [-1]
    if len(sizes) > 4 or not all(type(size) is int and size >= 0 for size in sizes):
        raise InputError(f"observation: an array has shape {str(shape)[:40]}; allowed: up to 4 sizes")
    if math.prod(sizes) * DTYPES[kind].itemsize != len(data):
        raise InputError(f"observation: an array of shape {tuple(sizes)} and type {kind} came with {len(data)} bytes")
    return np.frombuffer(data, DTYPES[kind]).reshape(sizes)


def observation_of(message: object, spec: Interface, now: float, openpi: OpenpiKeys | None = None) -> Observation:
    """The policy's observation; `now` becomes its time stamp. openpi: keys that are understood too.

    Raises: InputError naming the key that does not fit `metadata`."""
    if openpi is not None and isinstance(message, dict) and openpi.fits(message):
        own = dict(zip(map(_picture_key, spec.cameras), openpi.pictures(message), strict=True))
        message = {**own, STATE: message[STATE], PROMPT: message[PROMPT]}
    expected = metadata(spec)["observation"]
    if not isinstance(message, dict) or message.keys() != expected.keys():
        keys = sorted(map(str, message)) if isinstance(message, dict) else type(message).__name__
        raise InputError(f"observation: must be a map of {', '.join(expected)}; got {str(keys)[:200]}")
    pictures = [message[_picture_key(name)] for name in spec.cameras]
    size = spec.image_size
    for name, picture in zip(spec.cameras, pictures, strict=True):
        _check_array(_picture_key(name), picture, (size, size, 3), "u", "uint8 RGB")
    state = np.zeros(0, np.float32)
    if spec.proprio_names:
        _check_array(STATE, message[STATE], (len(spec.proprio_names),), "f", "float32 or float64")
        with np.errstate(over="ignore"):
            state = message[STATE].astype(np.float32)
        if not np.isfinite(state).all():
            raise InputError(f"{STATE}: must be finite ({', '.join(spec.proprio_names)}), got {state.tolist()}")
    if not isinstance(message[PROMPT], str):
        raise InputError(f"{PROMPT}: must be text, got {type(message[PROMPT]).__name__}")
    checked_words(spec, message[PROMPT])
    return Observation(np.stack(pictures), state, message[PROMPT], observed_at=now)


def _check_array(key: str, array: object, shape: tuple[int, ...], kind: str, words: str) -> None:
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.kind != kind:
        got = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{key}: must be an array {shape} {words}, got {got}")


def _pack(message: dict[str, Any]) -> bytes:
    """msgpack, with arrays as openpi's client reads them."""
    import msgpack

    def array(value: np.ndarray) -> dict[bytes, object]:
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}

    return msgpack.packb(message, default=array)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
