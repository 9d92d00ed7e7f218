"""The process of a language model that is none: it thinks for a while, then answers with the text that it was told.

Started by `rarrl.worker_process`, as the shipped models are: a kill meets what it would meet there."""

import json
import os
import sys
import time

from rarrl.worker_process import withdrawn_call

LOOK_S = 0.02
"""Seconds between two looks whether the call is still wanted."""


def main() -> None:
    """Reads a request a line: `id`, `deadline`, `thinks_s`, `text`. The first line says where to note each call."""
    log = json.loads(sys.stdin.readline())["log"]
    withdrawn = withdrawn_call()
    print(json.dumps({"ready": {"pid": os.getpid()}}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        _note(log, {"t": time.time(), "pid": os.getpid(), "id": request["id"]})
        end = time.monotonic() + request["thinks_s"]
        while time.monotonic() < end and withdrawn() != request["id"]:
            time.sleep(LOOK_S)
        stopped = {"failed": "WITHDRAWN", "why": "withdrawn"} if withdrawn() == request["id"] else {}
        print(json.dumps({"id": request["id"], "text": request["text"], **stopped}), flush=True)
        _note(log, {"t": time.time(), "pid": os.getpid(), "id": request["id"], "over": True})


def _note(path: str, values: dict[str, object]) -> None:
    with open(path, "a") as stream:
        stream.write(json.dumps(values) + "\n")


if __name__ == "__main__":
    main()
