import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_fixtures import tiny_spec

from rarrl.errors import InputError
from rarrl.policy.base import ActionChunk, Observation, check_policy
from rarrl.policy.serve import MODELS, LlamaPolicy
from rarrl.policy.server import (
    Limits,
    PolicyServer,
    find_token,
    metadata,
    observation_of,
    read_token,
    serving,
    unpack,
)
from rarrl.secrets import hide_secrets

msgpack = pytest.importorskip("msgpack")
websockets = pytest.importorskip("websockets.sync.client")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

TOKEN = "0123456789abcdef0123"
SPEC = tiny_spec()
PATIENCE = 20.0
MAIN = "from rarrl.cli import main; main()"


class Mirror:
    """Answers with the observation's own numbers; "go wait" is thought about until it is stopped, "go break" breaks."""

    spec = SPEC

    def __init__(self) -> None:
        self.busy = 0
        self.thinking, self.stopped = threading.Event(), threading.Event()

    def infer(self, observation: Observation, stop=None) -> ActionChunk:
        self.busy += 1
        assert self.busy == 1, "a policy is for one thread"
        try:
            if observation.instruction == "go break":
                raise ZeroDivisionError("/secret/path")
            if observation.instruction == "go wait":
                self.thinking.set()
                while stop is None or not stop():
                    time.sleep(0.001)
                self.stopped.set()
            row = np.clip([observation.images.mean() / 256, observation.proprio[0]], -1, 1)
            return ActionChunk(np.tile(row, (SPEC.horizon, 1)).astype(np.float32), 0.05, observation.observed_at)
        finally:
            self.busy -= 1

    def reset(self) -> None:
        pass


@contextmanager
def running(policy, **options) -> Iterator[PolicyServer]:
    """A server on a free port, in a thread."""
    started: list[PolicyServer] = []
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        async with serving(policy, port=0, **options) as server:
            started.append(server)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server does not end"
        loop.close()


def eventually(true) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def packed(value: object) -> bytes:
    """As openpi-client's msgpack_numpy packs."""

    def array(x):
        return {b"__ndarray__": True, b"data": x.tobytes(), b"dtype": x.dtype.str, b"shape": x.shape}

    return msgpack.packb(value, default=array)


def unpacked(data: bytes) -> dict:
    def array(found):
        if b"__ndarray__" in found:
            return np.ndarray(found[b"shape"], np.dtype(found[b"dtype"]), found[b"data"])
        return found

    return msgpack.unpackb(data, object_hook=array)


class Client:
    """The moves of openpi's WebsocketClientPolicy."""

    def __init__(self, port: int, token: str | None = None) -> None:
        headers = {"Authorization": f"Api-Key {token}"} if token else None
        connect = websockets.connect(
            f"ws://127.0.0.1:{port}", compression=None, max_size=None, additional_headers=headers, proxy=None
        )
        self.socket = connect.__enter__()
        self.metadata = unpacked(self.socket.recv(PATIENCE))

    def ask(self, message: bytes | str | dict) -> dict:
        self.socket.send(packed(message) if isinstance(message, dict) else message)
        answer = self.socket.recv(PATIENCE)
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return unpacked(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def message(prompt: object = "go left", level: int = 64, state: object = (0.25, 1.0), spec=SPEC) -> dict:
    size = spec.image_size
    pictures = {f"observation/image/{name}": np.full((size, size, 3), level, np.uint8) for name in spec.cameras}
    return {**pictures, "observation/state": np.array(state), "prompt": prompt}


@pytest.fixture
def server() -> Iterator[PolicyServer]:
    with running(Mirror()) as running_server:
        yield running_server


def test_the_mirror_is_a_policy():
    check_policy(Mirror())


def test_a_client_is_greeted_and_answered(server):
    with Client(server.port) as client:
        assert client.metadata["observation"]["observation/image/top"] == {"dtype": "uint8", "shape": [32, 32, 3]}
        assert client.metadata["observation"]["observation/state"]["names"] == ["x", "y"]
        assert client.metadata["actions"] == {
            "shape": [4, 2],
            "names": ["vx", "vy"],
            "low": [-1.0, -2.0],
            "high": [1.0, 3.0],
        }
        assert client.metadata["control_hz"] == 20.0
        first = client.ask(message(level=64))
        np.testing.assert_array_equal(first["actions"], np.tile(np.float32([0.25, 0.25]), (4, 1)))
        assert first["actions"].dtype == np.float32
        assert set(first["server_timing"]) == {"queue_ms", "infer_ms"}
        second = client.ask(message(level=128))
        assert second["actions"][0, 0] == 0.5
        assert second["server_timing"]["prev_total_ms"] >= first["server_timing"]["infer_ms"]


def test_the_policy_of_the_package_answers_as_without_a_server():
    pytest.importorskip("llama_cpp")
    with LlamaPolicy(MODELS / "policy_metaworld") as policy:
        spec = policy.spec
        asked = message("open the drawer", 90, spec.proprio_mean, spec)
        alone = policy.infer(observation_of(unpack(packed(asked)), spec, 0.0)).actions
        with running(policy) as server, Client(server.port) as client:
            np.testing.assert_array_equal(client.ask(asked)["actions"], alone)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"observation/image/top": np.zeros((64, 64, 3), np.uint8)}, r"image/top.*\(32, 32, 3\) uint8.*\(64, 64, 3\)"),
        ({"observation/image/top": np.zeros((32, 32, 3), np.float32)}, "uint8 RGB, got .* float32"),
        ({"observation/image/top": b"png"}, "got bytes"),
        ({"observation/state": np.array([0.0, np.nan])}, "state: must be finite"),
        ({"observation/state": np.array([0.0, np.inf])}, "state: must be finite"),
        ({"observation/state": np.array([0.0, 1e300])}, "state: must be finite"),
        ({"observation/state": np.zeros(3)}, r"state: must be an array \(2,\)"),
        ({"observation/state": [0.0, 1.0]}, "got list"),
        ({"observation/state": np.array([0, 1])}, "dtype '<i8'"),
        ({"prompt": 3}, "prompt: must be text"),
        ({"prompt": b"go"}, "prompt: must be text"),
        ({"prompt": "x" * 20_000}, "exceeds max_str_len"),
        ({"more": 1}, "must be a map of observation/image/top, observation/state, prompt; got .*more"),
        ({b"prompt": "go"}, "must be a map of"),
    ],
)
def test_an_observation_that_does_not_fit_is_refused_and_the_next_one_answered(server, change, text):
    with Client(server.port) as client:
        with pytest.raises(RuntimeError, match=text):
            client.ask({**message(), **change})
        assert client.ask(message())["actions"].shape == (4, 2)
    assert server.counts["refused"] == 1


def array(**changes: object) -> bytes:
    values = {"__ndarray__": True, "data": b"\0" * 8, "dtype": "<f8", "shape": [1], **changes}
    return msgpack.packb({"x": {k.encode(): v for k, v in values.items() if v is not None}})


GARBAGE = {
    "empty": b"",
    "noise": bytes(range(200, 256)),
    "cut": packed(message())[:500],
    "more behind": packed(message()) + b"\0",
    "a list": msgpack.packb([1, 2]),
    "text frame": "hello",
    "objects": array(dtype="|O"),
    "structures": array(dtype="<f4,<f4"),
    "complex": array(dtype="<c8"),
    "dtype bytes": array(dtype=b"<f8"),
    "dtype list": array(dtype=["<f8"]),
    "no dtype": array(dtype=None),
    "one key too many": array(more=1),
    "data text": array(data="aaaaaaaa"),
    "wrong length": array(shape=[2]),
    "negative": array(shape=[-1]),
    "both negative": array(shape=[-1, -1]),
    "huge": array(shape=[2**62, 4]),
    "true": array(shape=[True]),
    "real": array(shape=[1.0]),
    "no list": array(shape=1),
    "many sizes": array(shape=[1] * 60),
    "a scalar": msgpack.packb({b"__npgeneric__": True, b"data": 1, b"dtype": "<f8"}),
    "nested maps": b"\x81\xa1a" * 100_000 + b"\0",
    "nested lists": b"\x91" * 100_000 + b"\0",
    "promised list": b"\xdd\xff\xff\xff\xff",
    "promised lists, nested": b"\xdd\x00\x3f\xff\xff" * 1000,
    "promised map": b"\xdf\xff\xff\xff\xff",
    "promised bytes": b"\xc6\xff\xff\xff\xff",
    "number as key": msgpack.packb({1: 2}),
    "extension": msgpack.packb(msgpack.ExtType(5, b"abc")),
    "time stamp": msgpack.packb({"prompt": msgpack.Timestamp(1, 2)}),
    "not UTF-8": b"\x81\xa1\xff\0",
}


@pytest.mark.parametrize("prompt", ["xyzzy qwerty", "", "!!!", "to the", "fly to the moon", "Geh nach links", "去左边"])
def test_a_prompt_without_a_known_word_is_refused_and_nothing_is_computed(server, prompt):
    with Client(server.port) as client:
        with pytest.raises(RuntimeError, match=r"^instruction: (the policy knows no word|must hold 1 to)"):
            client.ask(message(prompt))
        assert client.ask(message("please go xyzzy"))["actions"].shape == (4, 2)


def test_garbage_is_refused_in_a_line_and_harms_nobody(server):
    with Client(server.port) as neighbour, Client(server.port) as client:
        for name, data in GARBAGE.items():
            with pytest.raises(RuntimeError, match=r"^observation: ") as refused:
                client.ask(data)
            assert "\n" not in str(refused.value) and len(str(refused.value)) < 500, name
        assert client.ask(message())["actions"].shape == (4, 2)
        assert neighbour.ask(message())["actions"].shape == (4, 2)
    assert server.counts["refused"] == len(GARBAGE)


def test_a_promise_of_many_items_takes_no_memory():
    promises = b"\xdd\x00\x00\xff\xff" * 900 + b"\xc0" * 100_000  # 65535 items at each of 900 levels: 470 MB
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            unpack(promises)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 3000), st.binary(min_size=1, max_size=8))
def test_whatever_comes_ends_in_an_observation_or_an_input_error(noise, place, patch):
    whole = packed(message())
    for data in (noise, whole[:place] + patch + whole[place + len(patch) :], whole[: -1 - place]):
        try:
            observation = observation_of(unpack(data), SPEC, 0.0)
        except InputError:
            continue
        assert observation.images.shape == (1, 32, 32, 3) and np.isfinite(observation.proprio).all()


def test_a_message_above_the_limit_closes_that_connection_alone():
    with (
        running(Mirror(), limits=Limits(message_bytes=5000)) as server,
        Client(server.port) as neighbour,
        Client(server.port) as client,
    ):
        with pytest.raises(ConnectionClosed) as closed:
            client.ask(b"x" * 5001)
        assert closed.value.rcvd.code == 1009
        assert neighbour.ask(message())["actions"].shape == (4, 2)
        eventually(lambda: server.counts["too big"] == 1)


def test_without_the_token_there_is_no_websocket():
    with running(Mirror(), token=TOKEN) as server:
        for wrong in (None, "x" * 20, TOKEN + "0", TOKEN[:-1], TOKEN.upper()):
            with pytest.raises(InvalidStatus) as refused:
                Client(server.port, wrong)
            assert refused.value.response.status_code == 401
            assert TOKEN.encode() not in refused.value.response.body
        assert server.counts["unauthorised"] == 5
        with Client(server.port, TOKEN) as client:
            assert client.ask(message())["actions"].shape == (4, 2)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=PATIENCE) as health:
            assert (health.status, health.read()) == (200, b"OK\n")
        assert server.counts["connections"] == 1


def test_a_page_in_a_browser_is_kept_out(server):
    with pytest.raises(InvalidStatus) as refused:
        websockets.connect(f"ws://127.0.0.1:{server.port}", origin="https://example.com", proxy=None).__enter__()
    assert refused.value.response.status_code == 403


def test_strangers_who_speak_no_websocket_harm_nobody_and_leave_no_trace(server, caplog):
    for noise in (b"", b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", b"A" * 100_000, b"\x16\x03\x01\x02"):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as stranger:
            stranger.sendall(noise)
            if noise:
                stranger.shutdown(socket.SHUT_WR)
    with Client(server.port) as client:
        assert client.ask(message())["actions"].shape == (4, 2)
    assert caplog.text == ""


def test_handshakes_that_are_none_are_counted(server):
    for noise in (b"\0" * 100, b"A" * 100_000, b"\x16\x03\x01\x02\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as stranger:
            stranger.sendall(noise)
            stranger.shutdown(socket.SHUT_WR)
    eventually(lambda: server.counts["garbled"] == 3)
    with Client(server.port) as client:
        assert client.ask(message())["actions"].shape == (4, 2)


def test_who_is_slow_to_shake_hands_is_closed_and_counted():
    with running(Mirror(), limits=Limits(shake_s=0.05)) as server:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\n")  # and no more
            slow.settimeout(PATIENCE)
            assert slow.recv(100) == b""
        eventually(lambda: server.counts["slow"] == 1)


def test_a_flood_of_strangers_is_turned_away_and_clients_come_in_again():
    with running(Mirror(), limits=Limits(strangers=3)) as server:
        strangers = [socket.create_connection(("127.0.0.1", server.port), PATIENCE) for _ in range(8)]
        eventually(lambda: server.counts["turned away"] == 5)
        for stranger in strangers:
            stranger.close()
        eventually(lambda: not server._strangers)
        with Client(server.port) as client:
            assert client.ask(message())["actions"].shape == (4, 2)


class Wide(Mirror):
    """Answers are large, so that a client who takes none fills what the system holds for it."""

    spec = tiny_spec(
        action_names=tuple(f"joint_{n}" for n in range(64)),
        action_low=(-1.0,) * 64,
        action_high=(1.0,) * 64,
        horizon=64,
    )

    def infer(self, observation: Observation, stop=None) -> ActionChunk:
        return ActionChunk(np.zeros((64, 64), np.float32), 0.05, observation.observed_at)


def test_who_takes_no_answers_is_closed_and_counted():
    with running(Wide(), limits=Limits(send_s=0.2)) as server, Client(server.port) as neighbour:
        slow = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        slow.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        asked = packed(message())
        question = b"\x82\xfe" + len(asked).to_bytes(2, "big") + bytes(4) + asked  # a binary frame, masked with zeros
        with contextlib.suppress(OSError):  # the server has had enough
            for _ in range(5000):
                slow.sendall(question)
        eventually(lambda: server.counts["slow"] == 1)
        slow.close()
        assert neighbour.ask(message())["actions"].shape == (64, 64)


def test_the_token_comes_from_a_file_or_the_environment_and_is_never_shown(tmp_path, monkeypatch):
    monkeypatch.delenv("RARRL_POLICY_TOKEN", raising=False)
    assert find_token(None) is None
    monkeypatch.setenv("RARRL_POLICY_TOKEN", f" {TOKEN}\n")
    assert find_token(None) == TOKEN
    assert TOKEN not in hide_secrets(f"the token is {TOKEN}")
    monkeypatch.setenv("RARRL_POLICY_TOKEN", "too short")
    with pytest.raises(InputError, match="RARRL_POLICY_TOKEN must hold one word of 16") as refused:
        find_token(None)
    assert "too short" not in str(refused.value)
    (tmp_path / "token").write_text("x" * 2000)
    with pytest.raises(InputError, match="16 to 1000 ASCII characters"):
        find_token(tmp_path / "token")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "robot.local", ""])
def test_other_machines_are_let_in_with_a_token_only(host):
    with pytest.raises(InputError, match="--token-file"):
        asyncio.run(serving(Mirror(), host, 0).__aenter__())


def test_a_port_that_is_taken_is_told(server):
    with pytest.raises(InputError, match=f"127.0.0.1:{server.port} cannot be opened"):
        asyncio.run(serving(Mirror(), port=server.port).__aenter__())


def test_more_clients_than_places_are_turned_away():
    with running(Mirror(), limits=Limits(connections=2)) as server:
        with Client(server.port) as one, Client(server.port):
            with pytest.raises(ConnectionClosed) as closed:
                Client(server.port)
            assert closed.value.rcvd.code == 1013 and "2 places" in closed.value.rcvd.reason
            assert one.ask(message())["actions"].shape == (4, 2)
        eventually(lambda: not server._open)  # the goodbyes arrive
        with Client(server.port) as late:
            assert late.ask(message())["actions"].shape == (4, 2)


def test_silence_ends_a_connection():
    with running(Mirror(), limits=Limits(idle_s=0.05)) as server, Client(server.port) as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.socket.recv(PATIENCE)
        assert closed.value.rcvd.code == 1008
        eventually(lambda: server.counts["idle"] == 1)


def test_many_clients_at_once_get_each_their_own_answers(server):
    wrong: list[object] = []

    def play(number: int) -> None:
        try:
            with Client(server.port) as client:
                for step in range(20):
                    level = 16 * number + step % 16
                    actions = client.ask(message(level=level))["actions"]
                    if not (actions[:, 0] == level / 256).all():
                        wrong.append((number, step))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=play, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert wrong == []
    assert server.counts["answered"] == 80


def test_while_the_policy_thinks_the_server_lives_and_a_client_that_leaves_stops_it():
    policy = Mirror()
    with running(policy) as server, Client(server.port) as neighbour:
        client = Client(server.port)
        client.socket.send(packed(message("go wait")))
        assert policy.thinking.wait(PATIENCE)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=PATIENCE) as health:
            assert health.status == 200
        assert neighbour.socket.ping().wait(PATIENCE)
        client.socket.close()
        assert policy.stopped.wait(PATIENCE)
        assert neighbour.ask(message())["actions"].shape == (4, 2)


def test_a_broken_policy_closes_one_connection_and_tells_no_secrets(server, caplog):
    with Client(server.port) as neighbour, Client(server.port) as client:
        with pytest.raises(RuntimeError, match="internal error") as failed:
            client.ask(message("go break"))
        assert "secret" not in str(failed.value)
        with pytest.raises(ConnectionClosed) as closed:
            client.socket.recv(PATIENCE)
        assert closed.value.rcvd.code == 1011
        assert neighbour.ask(message())["actions"].shape == (4, 2)
    assert "/secret/path" in caplog.text


def test_the_end_of_the_server_stops_the_policy_and_says_goodbye():
    policy = Mirror()
    with running(policy) as server:
        client = Client(server.port)
        client.socket.send(packed(message("go wait")))
        assert policy.thinking.wait(PATIENCE)
    assert policy.stopped.is_set()
    with pytest.raises(ConnectionClosed) as closed:
        client.socket.recv(PATIENCE)
    assert closed.value.rcvd.code == 1001


def test_metadata_of_a_robot_without_proprioception():
    from types import SimpleNamespace

    blind = SimpleNamespace(**{**SPEC.model_dump(), "proprio_names": ()})
    assert set(metadata(blind)["observation"]) == {"observation/image/top", "prompt"}
    told = message()
    del told["observation/state"]
    assert observation_of(unpack(packed(told)), blind, 3.0).proprio.shape == (0,)


def test_tokens_are_read_and_weak_ones_refused(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    assert read_token(path) == TOKEN
    for weak in ("", "short", "two words of enough letters", "ümläut" * 5):
        path.write_text(weak)
        with pytest.raises(InputError, match="one word of 16"):
            read_token(path)
    with pytest.raises(InputError, match="does not exist"):
        read_token(tmp_path / "none")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_and_ends_at_a_signal(number, tmp_path):
    pytest.importorskip("llama_cpp")
    path = tmp_path / "token"
    path.write_text(TOKEN)
    command = [sys.executable, "-c", MAIN, "serve", "policy", "--port", "0", "--token-file", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        port = int(first.split("ws://127.0.0.1:")[1].split()[0])
        with Client(port, TOKEN) as client, LlamaPolicy(MODELS / "policy_metaworld") as policy:
            asked = message("open the drawer", 90, policy.spec.proprio_mean, policy.spec)
            assert np.isfinite(client.ask(asked)["actions"]).all()
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert out == "served: 1 answered, 1 connections\n"
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--host", "0.0.0.0"], "--token-file"),
        (["--token-file", "/nowhere"], "does not exist"),
        (["--policy", "/nowhere"], "does not exist"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, text):
    from typer.testing import CliRunner

    from rarrl.cli import app

    result = CliRunner().invoke(app, ["serve", "policy", *arguments])
    assert result.exit_code == 2 and text in result.output and result.output.count("\n") == 1
