"""The view's server: who gets in, what a browser that falls behind costs, and that nobody watching costs nothing."""

import http.client
import json
import socket
import threading
import time
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import pytest
from view_fixtures import Circle

from rarrl import secrets
from rarrl.errors import InputError
from rarrl.view import server as view_server
from rarrl.view.server import MAX_CONNECTIONS, MAX_VIEWERS, RATE_HZ, viewing
from rarrl.view.state import Controls


@pytest.fixture
def robot():
    return Circle(pictures=False)


@pytest.fixture
def served(robot):
    with viewing(robot) as server:
        yield server


def ask(server, method, path, host=None, **headers):
    """(status, headers, body) of one request, to the letter."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with closing(connection):
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for value in [f"127.0.0.1:{server.port}"] if host is None else host:
            connection.putheader("Host", value)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


class Stream:
    """A browser that has asked for the stream, and reads when it is told to; a context.

    Args:
        receive_buffer: bytes that the kernel keeps for it."""

    def __init__(self, server, receive_buffer=None):
        self._socket = socket.socket()
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.connect(("127.0.0.1", server.port))
        self._socket.settimeout(20)
        head = f"GET /events?token={server.token} HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n"
        self._socket.sendall(head.encode())
        self._lines = self._socket.makefile("rb")

    def events(self, count):
        """The next whole events: (name, value)."""
        found, name = [], ""
        while len(found) < count:
            line = self._lines.readline()
            assert line, "the stream has ended"
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                found.append((name, json.loads(line[6:])))
        return found

    def close(self):
        self._lines.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def until(what, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.01)


# -- who gets in


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/events"), ("POST", "/pause"), ("POST", "/think")])
def test_nothing_without_the_token(served, robot, method, path):
    for given in ("", "?token=", "?token=guess", f"?token={served.token[:-1]}", f"?Token={served.token}"):
        status, _, body = ask(served, method, path + given)
        assert status == 401 and served.token.encode() not in body
    assert not robot.paused and robot.thinks == 0 and robot.looks == 0 and served.viewers == 0


@pytest.mark.parametrize(
    "host",
    [
        ["robot.example"],
        ["127.0.0.1.robot.example:80"],
        ["10.0.0.1"],
        [],
        ["localhost", "localhost"],
        ["localhost:1:2"],
    ],
)
def test_a_name_that_was_bound_to_this_computer_from_outside_is_refused(served, robot, host):
    for method, path in (("GET", "/"), ("GET", "/events"), ("POST", "/pause")):
        assert ask(served, method, f"{path}?token={served.token}&on=1", host)[0] == 403
    assert not robot.paused


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://robot.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_pages_may_not_press_the_buttons(served, robot, headers):
    assert ask(served, "POST", f"/pause?on=1&token={served.token}", **headers)[0] == 403
    assert not robot.paused


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_this_computer_under_its_names_and_through_a_tunnel(served, name):
    for host in (f"{name}:{served.port}", f"{name}:8080", name):
        status, headers, body = ask(served, "GET", f"/?token={served.token}", [host], Origin=f"http://{host}")
        assert status == 200 and b"<title>rarrl view</title>" in body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer"


def test_the_page_loads_nothing_from_elsewhere(served):
    text = served.page.decode()
    assert "http://" not in text and "https://" not in text and "src=" not in text and " style=" not in text


def test_it_listens_on_loopback_alone(served):
    assert served._http.server_address[0] == "127.0.0.1"


def test_buttons(served, robot):
    assert ask(served, "POST", f"/pause?on=1&token={served.token}")[0] == 200 and robot.paused
    assert ask(served, "POST", f"/pause?on=0&token={served.token}")[0] == 200 and not robot.paused
    assert ask(served, "POST", f"/think?token={served.token}")[0] == 200
    status, _, why = ask(served, "POST", f"/think?token={served.token}")
    assert (status, why) == (409, b"the budget does not allow a call")
    for method, path in (("GET", "/pause"), ("POST", "/"), ("GET", "/../state.py"), ("POST", "/events")):
        assert ask(served, method, f"{path}?on=1&token={served.token}")[0] == 404
    assert ask(served, "DELETE", f"/?token={served.token}")[0] == 501
    assert not robot.paused


def test_requests_that_are_none_are_answered_or_dropped(served):
    for text in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x00" * 100 + b"\r\n",
        b"GET /?" + b"a&" * 500 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            assert b"200" not in connection.recv(1000).split(b"\r\n")[0]
    assert ask(served, "GET", f"/?token={served.token}")[0] == 200


def test_secrets_are_not_shown(served, robot, monkeypatch):
    monkeypatch.setenv("RARRL_LLM_KEY", "sk-very-secret-key-of-a-server-0123")
    secrets.read_key()
    robot.controls = Controls(f"asks with sk-very-secret-key-of-a-server-0123, see {served.token}")
    with Stream(served) as connection:
        told = dict(connection.events(3))["controls"]["source"]
    assert told == "asks with ***, see ***"


def test_a_port_that_is_taken(served, robot):
    with pytest.raises(InputError, match=f"port {served.port} cannot be had"), viewing(robot, served.port):
        pass


# -- what it costs


def test_nobody_watching_costs_nothing(served, robot):
    time.sleep(0.5)
    assert robot.looks == 0 and served.counts["encoded"] == 0 and robot.watched == []


def test_the_source_is_told_when_somebody_watches(served, robot):
    with Stream(served) as connection:
        assert [name for name, _ in connection.events(4)] == ["home", "story", "controls", "moment"]
        until(lambda: robot.watched == [True])
    until(lambda: robot.watched == [True, False])
    looks = robot.looks
    time.sleep(0.4)
    assert robot.looks <= looks + 1 and served.viewers == 0


def test_what_has_not_changed_is_neither_encoded_nor_sent_again(served, robot):
    with Stream(served) as connection:
        found = connection.events(10)
    assert [name for name, _ in found[:4]] == ["home", "story", "controls", "moment"]
    assert {name for name, _ in found[4:]} == {"moment"}
    times = [value["t_s"] for name, value in found if name == "moment"]
    assert times == sorted(times)
    assert min(b - a for a, b in pairwise(times)) > 0.5 / RATE_HZ
    assert served.counts["encoded"] <= served.counts["looked"] + 3


def test_several_browsers_share_the_encoding(served, robot):
    connections = [Stream(served) for _ in range(4)]
    try:
        for connection in connections:
            assert len(connection.events(8)) == 8
        assert served.counts["encoded"] <= served.counts["looked"] + 3
    finally:
        for connection in connections:
            connection.close()


def test_a_browser_that_falls_behind_misses_and_hinders_nobody():
    robot = Circle(pictures=True)
    with viewing(robot) as server, Stream(server, receive_buffer=4096) as behind, Stream(server) as quick:
        first = robot.look().moment.t_s  # about when both began
        shown = [value["t_s"] for name, value in quick.events(120) if name == "moment"]
        assert len(shown) > 30 and server.viewers == 2
        until(lambda: server.counts["sent"] > 40)

        # What the slow one now gets is what its buffers held, then the newest; not all that it missed.
        latest = shown[-1]
        seen, deadline = [], time.monotonic() + 20
        while not seen or seen[-1] < latest:
            assert time.monotonic() < deadline
            seen += [value["t_s"] for name, value in behind.events(1) if name == "moment"]
        missed = [b - a for a, b in pairwise(seen)]
        assert len(seen) < len([t for t in shown if t > first]) and max(missed) > 1.0
    assert server.counts["skipped"] > 10


def test_a_browser_that_never_reads_is_cut_off(monkeypatch):
    monkeypatch.setattr(view_server, "SEND_S", 0.3)
    robot = Circle(pictures=True)
    with viewing(robot) as server, Stream(server, receive_buffer=4096):
        until(lambda: server.counts["cut off"] == 1)
        until(lambda: server.viewers == 0 and robot.watched[-1] is False)


def test_more_browsers_than_there_is_room_for(served):
    connections = [Stream(served) for _ in range(MAX_VIEWERS)]
    try:
        until(lambda: served.viewers == MAX_VIEWERS)
        assert ask(served, "GET", f"/events?token={served.token}")[0] == 503
        assert ask(served, "GET", f"/?token={served.token}")[0] == 200
    finally:
        for connection in connections:
            connection.close()


def test_connections_that_say_nothing_take_no_more_than_their_room(served):
    idle = [socket.create_connection(("127.0.0.1", served.port), timeout=20) for _ in range(MAX_CONNECTIONS + 5)]
    try:
        until(lambda: served.counts["refused"] >= 5)
    finally:
        for connection in idle:
            connection.close()
    until(lambda: _answers(served))


def _answers(server):
    try:
        return ask(server, "GET", f"/?token={server.token}")[0] == 200
    except OSError:
        return False


def test_a_source_that_fails_stops_neither_the_server_nor_itself(served, robot, caplog):
    good = robot.look

    def bad():
        raise RuntimeError("no picture")

    robot.look = bad
    with Stream(served) as connection:
        until(lambda: "a look failed" in caplog.text)
        robot.look = good
        assert len(connection.events(4)) == 4


def test_a_part_that_cannot_be_shown_takes_no_other_with_it(served, robot, caplog):
    good = robot.look
    robot.look = lambda: replace(good(), controls=replace(good().controls, source=object()))
    with Stream(served) as connection:
        until(lambda: "controls cannot be shown" in caplog.text)
        shown = {name for name, _ in connection.events(6)}
    assert "moment" in shown and "controls" not in shown
    assert caplog.text.count("controls cannot be shown") == 1


def test_closing_ends_all(robot):
    before = set(threading.enumerate())
    with viewing(robot) as server, Stream(server) as connection:
        connection.events(4)
    until(
        lambda: (
            not {t for t in threading.enumerate() if t.name.startswith("view") or "process_request" in t.name} - before
        )
    )
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=2)
