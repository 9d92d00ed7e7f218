"""Serves an action policy over openpi's websocket protocol, and queries it as a client, in one program.

Needs: pip install 'rarrl[serve,llama]'. Run: python examples/policy_server_and_client.py
You see: what the server asks for, the shape of the actions that came back, and what the round trip took. Here the
client is ten plain lines; openpi's own (`openpi_client.websocket_client_policy`) speaks the same protocol.
"""

import asyncio
import time
from typing import Any

import msgpack
import numpy as np
from websockets.asyncio.client import connect

from rarrl import make_policy
from rarrl.policy.server import serving, unpack


def pack(message: dict) -> bytes:
    """msgpack with arrays as openpi packs them."""

    def array(value: np.ndarray) -> dict[bytes, object]:
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}

    return msgpack.packb(message, default=array)


async def ask(port: int) -> np.ndarray:
    """One question: the server's greeting says which pictures and numbers it wants."""
    rng = np.random.default_rng(0)
    async with connect(f"ws://127.0.0.1:{port}", compression=None) as socket:
        greeting: Any = unpack(await socket.recv())
        wanted = greeting["observation"]
        print(f"the policy wants: {', '.join(wanted)}")

        observation: dict[str, object] = {"prompt": "open the drawer"}
        for key, what in wanted.items():
            if what["dtype"] == "uint8":
                observation[key] = rng.integers(0, 256, what["shape"], dtype=np.uint8)
            elif what["dtype"] == "float32":
                observation[key] = np.zeros(what["shape"], np.float32)

        start = time.monotonic()
        await socket.send(pack(observation))
        answer: Any = unpack(await socket.recv())
        print(f"round trip: {1000 * (time.monotonic() - start):.1f} ms")
        print(f"of which computing: {answer['server_timing']['infer_ms']:.1f} ms")
        return answer["actions"]


async def main() -> None:
    with make_policy() as policy:  # the shipped one for Meta-World; a folder, or "own_policy:MyPolicy", does as well
        async with serving(policy, port=0) as server:  # port 0 takes a free one; loopback needs no token
            actions = await ask(server.port)
        low, high = np.array(policy.spec.action_low), np.array(policy.spec.action_high)

    print(f"actions: {actions.shape[0]} rows of {actions.shape[1]} numbers")
    print(f"within the policy's limits: {bool(((actions >= low - 1e-6) & (actions <= high + 1e-6)).all())}")


if __name__ == "__main__":
    asyncio.run(main())
