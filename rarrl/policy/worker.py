"""The process that runs a policy: `python -m rarrl.policy.worker`, started by `process.py`.

First line in: {"folder", "gguf" ("" for the folder's own), "threads", "preset" ("" for none), "max_gb"}; first line
out: {"ready": {"spec": ...}} or {"error": why}.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rarrl.errors import RarrlError
from rarrl.llama.runtime import InterruptedDecodeError
from rarrl.policy.base import Observation, Policy
from rarrl.policy.serve import LlamaPolicy
from rarrl.worker_process import worker_streams

MAX_LINE = 1 << 20
"""Bytes of one request: Linux gives pipes of that size to anybody."""
_ROOM = 16_384  # for all that is not pictures


def encoded_images(images: np.ndarray) -> str:
    """Pictures as the text of a request."""
    return base64.b64encode(np.ascontiguousarray(images).data).decode()


def load(first: dict[str, Any]) -> LlamaPolicy:
    """The policy, after a first inference: the first one takes longest, and shows whether the weights make numbers.

    Raises: RarrlError in one line."""
    limit = int(first["max_gb"] * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    options = {"preset": first["preset"]} if first["preset"] else {}
    gguf = Path(first["gguf"]) if first["gguf"] else None
    policy = LlamaPolicy(Path(first["folder"]), gguf, first["threads"], **options)
    spec = policy.spec
    shape = (len(spec.cameras), spec.image_size, spec.image_size, 3)
    line = int(np.prod(shape)) * 4 // 3 + _ROOM
    if line > MAX_LINE:
        raise RarrlError(f"an observation of {line} bytes (allowed: {MAX_LINE}); use fewer cameras or smaller pictures")
    policy.infer(Observation(np.zeros(shape, np.uint8), np.array(spec.proprio_mean, np.float32), "go"))
    return policy


def answer(policy: Policy, request: dict[str, Any]) -> dict[str, Any]:
    """What a request comes to."""
    if request["op"] == "ping":
        return {}
    spec, deadline = policy.spec, request["deadline"]
    shape = (len(spec.cameras), spec.image_size, spec.image_size, 3)
    try:
        images = np.frombuffer(base64.b64decode(request["images"]), np.uint8).reshape(shape)
        observation = Observation(images, np.array(request["proprio"], np.float32), request["instruction"])
        chunk = policy.infer(observation, stop=lambda: time.monotonic() > deadline)
    except InterruptedDecodeError:
        return {"failed": "TIMEOUT", "why": "the deadline passed"}
    except (RarrlError, ValueError) as error:
        return {"failed": "REFUSED", "why": str(error)[:500]}
    return {"actions": chunk.actions.tolist()}


def _serve(requests: BinaryIO, answers: BinaryIO) -> int:
    def say(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value).encode() + b"\n")
        answers.flush()

    try:
        policy = load(json.loads(requests.readline(MAX_LINE)))
    except (RarrlError, MemoryError, OSError, ValueError) as error:
        say({"error": " ".join(str(error).removeprefix("policy: ").split())[:2000] or type(error).__name__})
        return 1
    say({"ready": {"spec": policy.spec.model_dump(mode="json")}})
    while line := requests.readline(MAX_LINE):
        request = json.loads(line)
        say({"id": request["id"], **answer(policy, request)})
    return 0


def main() -> int:
    """Serves until stdin ends."""
    return _serve(*worker_streams())


if __name__ == "__main__":
    sys.exit(main())
