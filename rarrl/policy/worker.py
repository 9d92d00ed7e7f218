"""The process that runs a policy: `python -m rarrl.policy.worker`, started by `process.py`.

First line in: {"policy" (as `rarrl.build.make_policy` takes it), "gguf" ("" for the policy's own), "threads", "preset"
("" for none), "max_gb" (0 for no limit)}; first line out: {"ready": {"kind", "spec"}} or {"error": why}.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
import time
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from rarrl.errors import RarrlError
from rarrl.llama.runtime import InterruptedDecodeError
from rarrl.policy.base import InterfaceSpec, LoadedPolicy, Observation, Policy, checked_words
from rarrl.policy.registry import PolicyOptions, load_policy
from rarrl.policy.spec import PolicySpec
from rarrl.worker_process import worker_streams

MAX_LINE = 1 << 20
"""Bytes of one request: Linux gives pipes of that size to anybody."""
_ROOM = 16_384  # bytes for all that is not pictures
FOLDER, OTHER = "folder", "other"
"""Whose spec it is: of a policy folder (`PolicySpec`), or of any other policy (`InterfaceSpec`)."""


def encoded_images(images: np.ndarray) -> str:
    """Pictures as the text of a request."""
    return base64.b64encode(np.ascontiguousarray(images).data).decode()


def load(first: dict[str, Any]) -> LoadedPolicy:
    """The policy, after a first inference: the first one takes longest, and shows whether the weights make numbers.

    Raises: RarrlError in one line."""
    if first["max_gb"]:
        limit = int(first["max_gb"] * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    policy = load_policy(first["policy"], PolicyOptions(first["gguf"], first["preset"], first["threads"]))

    spec = policy.spec
    shape = (len(spec.cameras), spec.image_size, spec.image_size, 3)
    line = int(np.prod(shape)) * 4 // 3 + _ROOM
    if line > MAX_LINE:
        raise RarrlError(f"an observation of {line} bytes (allowed: {MAX_LINE}); use fewer cameras or smaller pictures")
    word = spec.vocabulary[0] if spec.vocabulary else "go"
    policy.infer(Observation(np.zeros(shape, np.uint8), np.array(spec.proprio_mean, np.float32), word))
    return policy


def described(policy: Policy) -> dict[str, Any]:
    """What the parent must know of the policy. Raises: RarrlError where its spec lacks something."""
    spec = policy.spec
    if isinstance(spec, PolicySpec):
        return {"kind": FOLDER, "spec": spec.model_dump(mode="json")}
    try:
        return {"kind": OTHER, "spec": asdict(InterfaceSpec.of(spec))}
    except (AttributeError, TypeError, ValueError) as error:
        raise RarrlError(f"its spec is no rarrl.policy.base.Interface: {error}") from None


def answer(policy: Policy, request: dict[str, Any]) -> dict[str, Any]:
    """What a request comes to. Whatever a policy raises is an answer too: the next observation may suit it."""
    if request["op"] == "ping":
        return {}

    deadline = request["deadline"]
    try:
        spec = policy.spec
        shape = (len(spec.cameras), spec.image_size, spec.image_size, 3)
        images = np.frombuffer(base64.b64decode(request["images"]), np.uint8).reshape(shape)
        observation = Observation(images, np.array(request["proprio"], np.float32), request["instruction"])
        checked_words(spec, observation.instruction)
        chunk = policy.infer(observation, stop=lambda: time.monotonic() > deadline)
        return {"actions": np.asarray(chunk.actions, dtype=float).tolist(), "dt": float(chunk.dt)}
    except InterruptedDecodeError:
        return {"failed": "TIMEOUT", "why": "the deadline passed"}
    except (Exception, SystemExit) as error:
        return {"failed": "REFUSED", "why": one_line(error)[:500]}


def one_line(error: BaseException) -> str:
    """An error for people. What rarrl says needs no more; any other error comes with its type."""
    text = " ".join(str(error).split())
    if isinstance(error, RarrlError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _serve(requests: BinaryIO, answers: BinaryIO) -> int:
    def say(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value).encode() + b"\n")
        answers.flush()

    try:
        policy = load(json.loads(requests.readline(MAX_LINE)))
        ready = described(policy)
    except (Exception, SystemExit) as error:  # of a user's module, constructor or first inference
        say({"error": one_line(error).removeprefix("policy: ")[:2000]})
        return 1

    say({"ready": ready})
    while line := requests.readline(MAX_LINE):
        request = json.loads(line)
        say({"id": request["id"], **answer(policy, request)})
    return 0


def main() -> int:
    """Serves until stdin ends."""
    return _serve(*worker_streams())


if __name__ == "__main__":
    sys.exit(main())
