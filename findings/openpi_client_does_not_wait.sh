#!/usr/bin/env bash
# openpi-client 0.1.2 (PyPI): the client logs "Waiting for server" and does not wait; a server that is late is an error.
#
# Guess:    `WebsocketClientPolicy(host, port)` tries again until the policy server is up (`_wait_for_server`), as a server
#           takes minutes to load a checkpoint and both are started together.
# Seen:     one attempt: ConnectionRefusedError within a second where the server is not up yet, also when it comes up two
#           seconds later. The same call succeeds once it is.
# So what:  a launch file that starts server and client together fails by chance; start the client when the port answers.
#
# Exits with 0 while this holds, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "websockets==15.0.1" "msgpack==1.1.2" "numpy>=1.26,<3" "typing-extensions>=4.12"
"$folder/venv/bin/pip" install --quiet --no-deps "openpi-client==0.1.2"
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import socket
import sys
import threading
import time

from openpi_client import msgpack_numpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from websockets.sync.server import serve

logging.basicConfig(level=logging.INFO, format="%(message)s")
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]


def greet(connection):
    connection.send(msgpack_numpy.packb({"name": "policy"}))
    for _ in connection:
        pass


def come_up_late():
    time.sleep(2.0)
    with serve(greet, "127.0.0.1", port) as server:
        up.set()
        server.serve_forever()


up = threading.Event()
threading.Thread(target=come_up_late, daemon=True).start()
start = time.monotonic()
try:
    WebsocketClientPolicy("127.0.0.1", port)
    first = "connected"
except OSError as error:
    first = type(error).__name__
waited_s = time.monotonic() - start
up.wait(30)
time.sleep(0.5)
then = WebsocketClientPolicy("127.0.0.1", port).get_server_metadata()
print(f"before the server is up: {first} after {waited_s:.1f} s; once it is: {then}")
holds = first == "ConnectionRefusedError" and waited_s < 2.0 and then == {"name": "policy"}
print("as found" if holds else "this has changed")
sys.exit(not holds)
PYTHON
