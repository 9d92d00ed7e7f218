"""Counts where a server's key can be seen that should not be: `keys_seen`.

Keys of ten shapes are put into RARRL_LLM_KEY, and a server on this computer repeats what it was sent in its refusal, in
its stream and in its answer. Looked through, for whole keys and for their parts: stdout and stderr of `rarrl ask`, what
`rarrl replay` prints and writes (events, report, picture), the command lines of all processes meanwhile, the
environment of the worker of a local model, and, where ROS 2 is installed, the values of the topic `answer`. A key of
150 characters is repeated where texts are cut, and in other writings (`ask --json`); no part of it may be left."""

from __future__ import annotations

import base64
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from rarrl.build import make_reasoner
from rarrl.errors import InputError
from rarrl.reasoner.base import Request
from rarrl.types import Role

from .row import Row, Trial

CORE = "sk-" + "0123456789abcdef" * 2
SHAPES = {
    "trailing CR": CORE + "\r",
    "trailing LF": CORE + "\n",
    "CRLF": CORE + "\r\n",
    "inner newline": CORE + "\nX-Other: " + CORE[::-1],
    "not ASCII": CORE + "ü",
    "quotes": f'"{CORE}"',
    "spaces": f" {CORE} {CORE[::-1]} ",
    "very long": CORE * 300,
    "Bearer": f"Bearer {CORE}",
    "white space only": " \r\n\t",
}
"""Ten keys as they come out of `.env` files, `$(cat file)` and documentation. Each holds CORE, but the last."""
PARTS = (CORE, CORE[::-1], CORE[:16], CORE[-16:])
"""What must not be seen: the key, what follows its line end, its two halves."""
LONG = "sk-proj-" + "Ab3+/x9Q" * 18
LONG_PARTS = tuple(LONG[start : start + 12] for start in range(8, 16))
"""What must not be seen of LONG: it repeats itself, so these are all of its parts of 12 characters."""
GOAL = "put a mug on the desk"
PROFILE = "household"
"""Named, so that episodes are played although the server cannot be measured."""
POLL_S = 0.02
"""Seconds between two looks at the processes; a command takes about a second."""


class EchoServer(http.server.ThreadingHTTPServer):
    """Repeats the Authorization header, by turns as a refusal, in a stream, and as an answer."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked = 0
        self.heard = 0
        self.way = ""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                key = self.headers.get("Authorization", "nothing")
                outer.asked += 1
                outer.heard += key in (f"Bearer {CORE}", f"Bearer {LONG}")
                status, kind, body = _ways(key)[outer.way] if outer.way else _echo(outer.asked % 3, key)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def spec(self) -> str:
        """How the server is named to rarrl."""
        return f"openai:http://127.0.0.1:{self.server_port}/v1#m"


def _echo(turn: int, key: str) -> tuple[int, str, bytes]:
    if turn == 0:
        return 401, "application/json", json.dumps({"error": {"message": f"Incorrect API key: {key}"}}).encode()
    if turn == 1:
        events = [{"choices": [{"delta": {"content": f"You sent {key}"}}]}, {"error": {"message": f"bad {key}"}}]
        return 200, "text/event-stream", b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    choice = {"message": {"content": f"Your key is {key}."}, "finish_reason": "stop"}
    return 200, "application/json", json.dumps({"choices": [choice]}).encode()


def _ways(key: str) -> dict[str, tuple[int, str, bytes]]:
    """Responses that repeat a key where texts are cut, by name."""
    key = key.removeprefix("Bearer ")
    messages: dict[str, dict[str, str]] = {
        "content": {"content": f"Invalid API key: {key}"},
        "thoughts": {"content": f"<think>Invalid API key: {key}"},
        "argument of a step": {"content": json.dumps({"plan": [["PickupObject", key]]})},
        "verb of a step": {"content": json.dumps({"plan": [[key, "mug"]]})},
        "row of a plan": {"content": json.dumps({"plan": [key]})},
        "refusal": {"refusal": "x" * 150 + key},
    }
    said = {
        name: (200, "application/json", json.dumps({"choices": [{"message": each}]}).encode())
        for name, each in messages.items()
    }
    errors = {
        "error": f"Incorrect API key: {key}",
        "error in base64": base64.b64encode(f":{key}".encode()).decode(),
        "error in hex": key.encode().hex(),
        "error in JSON": json.dumps({"key": key}).replace("/", "\\/"),
    }
    return {
        **said,
        **{name: (401, "application/json", json.dumps({"error": each}).encode()) for name, each in errors.items()},
        "cut error": (401, "text/html", (" " * 4030 + key).encode()),
    }


def seen_in(data: bytes, parts: Sequence[str] = PARTS) -> int:
    """How many of `parts` occur in `data`."""
    return sum(part.encode() in data for part in parts)


def command_lines() -> bytes:
    """Those of all processes, as `ps` shows them to every user."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return b"\n".join(found)


def run(arguments: list[str], key: str, folder: Path) -> tuple[bytes, bytes, int]:
    """stdout, stderr, and parts seen in command lines, of `rarrl` with `arguments`."""
    environment = {**os.environ, "RARRL_LLM_KEY": key, "PYTHONUNBUFFERED": "1"}
    environment.pop("OPENAI_API_KEY", None)
    command = [sys.executable, "-c", "from rarrl.cli import main; main()", *arguments]
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment, cwd=folder)
        lines = 0
        while process.poll() is None:
            lines = max(lines, seen_in(command_lines()))
            time.sleep(POLL_S)
    return (folder / "stdout").read_bytes(), (folder / "stderr").read_bytes(), lines


def look(key: str, server: EchoServer) -> Counter[str]:
    """Where a key of one shape is seen."""
    seen: Counter[str] = Counter()
    commands = {
        "ask": ["ask", GOAL, "--llm", server.spec],
        "replay": ["replay", "--llm", server.spec, "--policy", "always", "--episodes", "1", "--out", "out"],
    }
    commands["replay"] += ["--profile", PROFILE]
    if find_spec("rclpy") is not None:
        seen["topic answer"] = sum(topic_answer(key, server) for _ in range(3))

    for name, arguments in commands.items():
        with tempfile.TemporaryDirectory() as folder:
            out, err, lines = run(arguments, key, Path(folder))
            seen[f"{name}: stdout"] += seen_in(out)
            seen[f"{name}: stderr"] += seen_in(err)
            seen["command lines"] += lines
            for path in Path(folder, "out").rglob("*"):
                if path.is_file():
                    seen[f"{name}: files"] += seen_in(path.read_bytes())
    return seen


@contextmanager
def in_environment(key: str) -> Iterator[None]:
    """The key as the only one of this process."""
    before = os.environ.get("RARRL_LLM_KEY")
    os.environ["RARRL_LLM_KEY"] = key
    try:
        yield
    finally:
        del os.environ["RARRL_LLM_KEY"]
        if before is not None:
            os.environ["RARRL_LLM_KEY"] = before


def topic_answer(key: str, server: EchoServer) -> int:
    """Parts of the key in what `orchestrator_node` publishes of a call, or in the error for which it does not start."""
    from ..conversions import AnswerMessage, values_from_answer

    with in_environment(key):
        try:
            reasoner = make_reasoner(server.spec)
            answer = reasoner.ask(Request(1, Role.PLANNER, 1, GOAL, 5.0))
            reasoner.close()
        except InputError as error:
            return seen_in(str(error).encode())
        return seen_in(repr(values_from_answer(AnswerMessage("run", 1, answer))).encode())


def worker_environment(key: str) -> int:
    """Parts of the key in the environment of a local model's worker."""
    with in_environment(key):
        reasoner = make_reasoner("llama")
        try:
            worker = getattr(reasoner.backend, "worker")  # noqa: B009
            return seen_in(Path(f"/proc/{worker.pid}/environ").read_bytes())
        finally:
            reasoner.close()


def _trial(seen: Counter[str]) -> Trial:
    where = ", ".join(name for name, count in seen.items() if count)
    total = sum(seen.values())
    note = f"seen in: {where}" if where else ""
    return Trial(outputs=max(len(seen), 1), unsafe=int(total > 0), counts={"keys_seen": total}, note=note)


def shapes(trials: int, seed: int) -> list[Trial]:
    """A key of each shape, through the commands."""
    server = EchoServer()
    names = list(SHAPES)
    return [_trial(look(SHAPES[names[(seed + k) % len(names)]], server)) for k in range(trials)]


def long_key(trials: int, seed: int) -> list[Trial]:
    """A long key, by the way in which the server repeats it; in hex and base64, too."""
    written = [LONG.encode().hex(), *(base64.b64encode(b"u:"[:n] + LONG.encode()).decode()[4:] for n in range(3))]
    parts = (*LONG_PARTS, *(text[start : start + 16] for text in written for start in range(0, len(text) - 16, 8)))
    server = EchoServer()
    ways = list(_ways(""))
    found = []
    for k in range(trials):
        server.way = ways[(seed + k) % len(ways)]
        with tempfile.TemporaryDirectory() as folder:
            out, err, _ = run(["ask", GOAL, "--llm", server.spec, "--json"], LONG, Path(folder))
        found.append(_trial(Counter({f"{server.way}: output": seen_in(out + err, parts)})))
    return found


def environment(trials: int, seed: int) -> list[Trial]:
    """The environment of a model's process."""
    return [_trial(Counter({"environment of the worker": worker_environment(SHAPES["CRLF"])})) for _ in range(trials)]


def rows() -> tuple[Row, ...]:
    """Keys of all shapes, a long one where texts are cut, and the environment of a model's process."""
    expected = "no part of the key in any output, file, topic or command line"
    repeated = "a server repeats what it was sent"
    found = [
        Row("S4-keys", "file", "keys as people paste them", repeated, expected, "in-process", shapes, len(SHAPES), 1),
        Row("S4-keys-long", "file", "a long key where texts are cut", repeated, expected, "in-process", long_key,
            len(_ways("")), 2),
    ]  # fmt: skip
    if find_spec("llama_cpp") is not None:
        inherited = "a model on this computer is started"
        found.append(
            Row(
                "S4-keys-worker",
                "file",
                "the key in the environment",
                inherited,
                expected,
                "in-process",
                environment,
                1,
            )
        )
    return tuple(found)
