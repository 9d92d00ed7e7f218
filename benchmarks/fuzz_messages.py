"""Parsers of messages, and of what language models answer."""

from __future__ import annotations

import http.client
import io
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_mutators import Mutator, bytes_of, damaged, json_of
from fuzz_target import COSTLY, Parse, target

from rarrl.errors import InputError


@target("policy server's observation", native=True, needs=("msgpack",))
def _observation(place: Path) -> tuple[Parse, Mutator]:
    import msgpack
    from policy_fixtures import tiny_spec

    from rarrl.policy.server import _pack, observation_of, unpack

    spec = tiny_spec(image_size=32)
    seed = {"observation/image/top": np.zeros((32, 32, 3), np.uint8), "observation/state": np.zeros(2, np.float32)}
    whole = _pack(seed | {"prompt": "go left"})
    text = json_of([{"prompt": "go", "observation/state": [1, 2], "a": {"b": {"__ndarray__": True, "shape": [1]}}}])

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return damaged(whole, rng)
        try:
            return msgpack.packb(json.loads(text(rng)))
        except (ValueError, RecursionError, OverflowError):
            return damaged(whole[:200], rng)

    return lambda data: observation_of(unpack(data), spec, 0.0), mutate


def _values_of(seed: dict[str, object]) -> Mutator:
    """Damages key-value texts as they stand in a message."""
    texts = {key: _text_of(value) for key, value in seed.items()}
    odd = ("", "none", "nan", "-1", "1e9", "1" * 50, "true", "{", "[]", '[["a"]]', "a\nb", "\x00", "1e999", "é" * 9000)
    inner = ('{"a": {"b": NaN}}', '{"a": {"b": ' + "9" * 400 + "}}", '{"a": {"b": 1e999}}', '{"a": [1]}', "[" * 3000)

    def mutate(rng: random.Random) -> bytes:
        out = dict(texts)
        for _ in range(rng.choice((1, 1, 2))):
            key = rng.choice(list(out))
            way = rng.randrange(5)
            if way == 0:
                out.pop(key, None)
            elif way == 1:
                out[key] = rng.choice(odd)
            elif way == 2:
                out[key] = rng.choice(inner)
            elif way == 3:
                out[key] = out[rng.choice(list(out))]
            else:
                out[key] = damaged(out[key].encode(), rng, most=1).decode("utf-8", "replace")
        return json.dumps(out).encode()

    return mutate


def _text_of(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _message(read: Callable[[dict[str, str]], object]) -> Parse:
    return lambda data: read(json.loads(data))


_TOLD = {"errors": (ValueError,), "needs": ("rclpy",)}


@target("topic state", **_TOLD)
def _state(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import counting_ids, toy

    from rarrl.executive.executive import TaskExecutive
    from rarrl_nodes.conversions import asked_from_values, report_from_values, values_from_report

    made = TaskExecutive(toy(), new_id=counting_ids())
    made.instruct("put the cup on the table", 0.0)
    seed = values_from_report(made.report)
    return _message(lambda values: (report_from_values(values), asked_from_values(values))), _values_of(seed)


@target("topic decision", **_TOLD)
def _decision(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.types import Action, Decision
    from rarrl_nodes.conversions import DecisionMessage, decision_from_values, values_from_decision

    made = DecisionMessage("run", 1, 0, Decision(1, Action.PLANNER_1, 5.0, "why"), 10.0, 100.0)
    return _message(decision_from_values), _values_of(values_from_decision(made))


@target("topic answer", **_TOLD)
def _answer(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.reasoner.base import Answer
    from rarrl.reasoner.plan import Plan
    from rarrl.types import CallStatus, Role
    from rarrl_nodes.conversions import AnswerMessage, answer_from_values, values_from_answer

    plan = Plan.from_rows([["pick", "cup"]])
    answer = Answer(1, Role.PLANNER, 1, CallStatus.OK, 1.0, "x", 5, 5, plan=plan, where={"cup": (("shelf", 0.5),)})

    def read(values: dict[str, str]) -> object:
        found = answer_from_values(values)
        numbers = [n for shares in found.answer.where.values() for _, n in shares]
        assert all(0.0 <= n <= 1.0 for n in numbers), "a share that is none"
        return found

    return _message(read), _values_of(values_from_answer(AnswerMessage("run", 1, answer)))


@target("camera image (bytes)", errors=(ValueError, InputError), native=True)
def _image(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.perception.camera_input import ENCODINGS, image_from_bytes

    names = [*ENCODINGS, "rgb8", "", "jpeg", "32FC1", "a\nb"]

    def parse(data: bytes) -> object:
        which, width, height, step, big = struct.unpack("<HIIIB", data[:15])
        return image_from_bytes(memoryview(data[15:]), names[which % len(names)], width, height, step, bool(big & 1))

    def mutate(rng: random.Random) -> bytes:
        which = rng.randrange(len(names))
        layout = ENCODINGS.get(names[which])
        row = 64 * (layout.pixel if layout else 1)
        width, height, step = (rng.choice((n, n, n, n, n + 1, 0, 2**16, 2**31)) for n in (64, 64, row))
        data = struct.pack("<HIIIB", which, width, height, step, rng.randrange(2)) + bytes(row * 64)
        return damaged(data, rng).ljust(15, b"\0") if rng.random() < 0.5 else data

    return parse, mutate


@target("laser scan (numbers)", errors=(ValueError, InputError))
def _scan(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.range_scan import RangeScan

    def parse(data: bytes) -> object:
        head = np.frombuffer(data[:40], np.float64)
        ranges = np.frombuffer(data[40 : 40 + (len(data) - 40) // 4 * 4], np.float32)
        scan = RangeScan.from_readings(
            float(head[0]), float(head[1]), float(head[2]), ranges, float(head[3]), float(head[4])
        )
        assert not np.isnan(scan.ranges).any(), "a range that is no number"
        return scan

    seed = np.array([-1.0, 1.0, 0.1, 0.05, 6.0]).tobytes() + np.full(21, 2.0, np.float32).tobytes()
    return parse, lambda rng: damaged(seed, rng).ljust(40, b"\0")


@target("chat server's response", runs=COSTLY)
def _reply(place: Path) -> tuple[Parse, Mutator]:
    from chat_servers import PLAN, delta, stream, whole

    from rarrl.config import LanguageModelConfig
    from rarrl.reasoner.base import Answer, Request
    from rarrl.reasoner.openai import OpenAiReasoner
    from rarrl.types import Role

    class Socket:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def makefile(self, *_: object) -> io.BytesIO:
            return io.BytesIO(self.data)

    settings = LanguageModelConfig(max_new_tokens_1=16, thinking_tokens=16)
    reasoner = OpenAiReasoner("http://127.0.0.1:9/v1", "m", settings)

    class Once:
        data = b""

        def post(
            self, path: str, body: bytes, headers: Any, deadline: float, read: Any, withdrawal: Any = None
        ) -> None:
            response = http.client.HTTPResponse(Socket(self.data))  # type: ignore[arg-type]
            response.begin()
            read(response)

        def close(self) -> None:
            pass

    once = reasoner._http = Once()  # type: ignore[assignment]

    def parse(data: bytes) -> object:
        once.data = data
        reasoner._dialect = type(reasoner._dialect)()
        answer = reasoner.ask(Request(3, Role.PLANNER, 1, "put a mug on the desk", 0.2))
        assert isinstance(answer, Answer)
        assert answer.why.isprintable(), f"why: {answer.why!r}"
        return answer

    logprobs = {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "b", "logprob": -1.0}]}]}
    bodies = [whole(PLAN, **{"prompt_tokens": 5}).body, stream(PLAN[:20], delta(PLAN[20:], logprobs=logprobs)).body]
    bodies.append(json.dumps({"error": {"message": "no", "code": 400, "param": "seed"}}).encode())
    values = [json.loads(bodies[0]), json.loads(bodies[2]), {"detail": [{"loc": ["body", "seed"], "msg": "extra"}]}]
    tree = json_of(values)
    words = (
        b"data: ",
        b"\n\n",
        b"\r",
        b"[DONE]",
        b"event: x\n",
        b"</think>",
        b"<think>",
        b"{",
        b"\xff",
        b"null",
        b">" * 50,
    )

    def mutate(rng: random.Random) -> bytes:
        body = tree(rng) if rng.random() < 0.5 else damaged(rng.choice(bodies), rng, words)
        if rng.random() < 0.3:
            body = b"data: " + body + b"\n\ndata: [DONE]\n\n"
        status = rng.choice((200, 200, 200, 400, 404, 422, 301, 999))
        kind = rng.choice((b"application/json", b"text/event-stream", b"text/html", b""))
        head = b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
        return damaged(head, rng) + body if rng.random() < 0.2 else head + body

    return parse, mutate


@target("model's text", errors=(ValueError,))
def _text(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import toy

    from rarrl.reasoner.answer_text import read_answer
    from rarrl.types import Role

    domain = toy()
    seeds = [
        '{"plan":[["PickupObject","mug"],["PutObject","mug","desk"]]}',
        '<think>hm {"plan": []} </think> Sure:\n```json\n{"plan": [["put", "cup", "table"]]}\n```',
        '{"ok": false, "fault": "wrong_object"}',
    ]
    words = (
        "{",
        "}",
        '{"plan":',
        "[" * 400,
        "<think>",
        "</think>",
        "NaN",
        '"',
        "\\",
        "\x00",
        "1" * 5000,
        '{"ok": true}',
    )

    def parse(data: bytes) -> object:
        text = data.decode("utf-8", "replace")
        role = Role.VERIFIER if len(data) % 3 == 0 else Role.PLANNER
        return read_answer(text, role, domain=domain if len(data) % 2 else None)

    return parse, bytes_of([seed.encode() for seed in seeds], [word.encode() for word in words])
