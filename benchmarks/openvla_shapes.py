"""What a checkpoint of 7 B parameters would take here: a synthetic one of OpenVLA-OFT's shapes, with fewer blocks.

    python benchmarks/openvla_shapes.py [--blocks 1 2] [--bpw 4.5] [--json benchmarks/results/openvla_shapes.json]

Random weights in the names and shapes of the original (Llama 2 of 4096 x 11008 with 32,064 tokens, a projector of three
layers from 2,176 numbers, OFT's head), but with so few blocks of 32, go through `rarrl convert`, `rarrl quantize` and
the policy server into LIBERO, with openpi's keys. The vision tower is a stand-in. CPU seconds and peak memory of each
stage are measured in a process of its own; those of 32 blocks are the straight line through the numbers of blocks that
were tried: extrapolated, not measured. The weights are noise, so nothing is learned of success.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.llama import ggml
from rarrl.results import Figure, make_results, write_results

WIDTH, FFN, VOCABULARY, PADDED, VISION = 4096, 11008, 32_000, 32_064, 2176
BLOCKS = 32  # of the original
LINEARS = 4 * WIDTH * WIDTH + 3 * WIDTH * FFN  # weights of a block
PATCHES, SIDE = 256, 16
CHUNKS = 2  # of the episode in LIBERO
TASK = "pick_up_the_milk_and_place_it_in_the_basket"
KINDS = ("Q4_K", "IQ3_XXS", "Q2_K", "IQ2_XS")


def features(images: np.ndarray) -> np.ndarray:
    """A stand-in for the vision tower: brightness of each of 16 x 16 patches, in all 2,176 numbers."""
    cells = images.astype(np.float32).mean(-1).reshape(len(images), SIDE, 14, SIDE, 14).mean((2, 4)) / 255
    return np.repeat(cells.reshape(-1, 1), VISION, axis=1)


def write_checkpoint(folder: Path, blocks: int) -> None:
    """As transformers keeps it, bfloat16 in one shard a block; OFT's parts among the safetensors."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).normal(0, 0.02, 1 << 20).astype(np.float32)
    noise = (noise.view(np.uint32) >> 16).astype(np.uint16)  # bfloat16

    def tensor(*shape: int) -> np.ndarray:
        return np.resize(noise, shape) if len(shape) == 2 else np.full(shape, 0x3F80, np.uint16)  # 1.0

    def shard(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
        header, end = {}, 0
        for key, shape in shapes.items():
            size = 2 * int(np.prod(shape))
            header[key] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
            end += size
        text = json.dumps(header).encode()
        with (folder / name).open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for shape in shapes.values():
                file.write(tensor(*shape).tobytes())

    inner = "language_model.model.layers"
    sizes = {"self_attn.k_proj": (WIDTH, WIDTH), "mlp.gate_proj": (FFN, WIDTH), "mlp.down_proj": (WIDTH, FFN)}
    sizes |= {f"self_attn.{x}_proj": (WIDTH, WIDTH) for x in "qvo"} | {"mlp.up_proj": (FFN, WIDTH)}
    for i in range(blocks):
        norms = {f"{inner}.{i}.{n}.weight": (WIDTH,) for n in ("input_layernorm", "post_attention_layernorm")}
        shard(f"block-{i:02}.safetensors", norms | {f"{inner}.{i}.{n}.weight": s for n, s in sizes.items()})
    tables = {"language_model.model.embed_tokens": (PADDED, WIDTH), "language_model.lm_head": (PADDED, WIDTH)}
    tables |= {"language_model.model.norm": (WIDTH,)}
    shard("tables.safetensors", {f"{name}.weight": shape for name, shape in tables.items()})
    linears = {"projector.fc1": (4 * VISION, VISION), "projector.fc2": (WIDTH, 4 * VISION)}
    linears |= {"projector.fc3": (WIDTH, WIDTH), "proprio_projector.fc1": (WIDTH, 8)}
    linears |= {"proprio_projector.fc2": (WIDTH, WIDTH), "action_head.model.fc1": (WIDTH, 7 * WIDTH)}
    linears |= {f"action_head.model.mlp_resnet_blocks.{i}.ffn.1": (WIDTH, WIDTH) for i in (0, 1)}
    linears |= {"action_head.model.fc2": (7, WIDTH)}
    outer: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in linears.items()}
    outer |= {f"{name}.bias": shape[:1] for name, shape in linears.items()}
    norms = {"layer_norm1": 7 * WIDTH, "layer_norm2": WIDTH}
    norms |= {f"mlp_resnet_blocks.{i}.ffn.0": WIDTH for i in (0, 1)}
    outer |= {f"action_head.model.{n}.{part}": (size,) for n, size in norms.items() for part in ("weight", "bias")}
    shard("outer.safetensors", outer)

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *"▁abcdefghijklmnopqrstuvwxyzIOW?:.,"]
    pieces += [f"piece{i}" for i in range(VOCABULARY - len(pieces))]
    tokens = {"model": {"vocab": {text: i for i, text in enumerate(pieces)}}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokens))
    scale = {"q01": [-1.0] * 7, "q99": [1.0] * 7, "mask": [True] * 6 + [False]}
    own = {"q01": [-1.0] * 8, "q99": [1.0] * 8}
    statistics = {"libero_object_no_noops": {"action": scale, "proprio": own}}
    (folder / "config.json").write_text(json.dumps({"text_config": {}, "norm_stats": statistics}))


def stage(*command: str) -> dict[str, float]:
    """CPU seconds, and the peak of a command's memory with that of its largest child, in MB."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    child = subprocess.Popen([sys.executable, *command], env=environment, stdout=subprocess.PIPE, text=True)
    said = child.stdout.read() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with {status}")
    own = json.loads(said.splitlines()[-1]) if said.strip().endswith("}") else {}
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1e3, **own}


def play(folder: Path, gguf: Path) -> dict[str, float]:
    """The first chunks of an episode in LIBERO, asked with openpi's keys; CPU seconds to load and of a chunk."""
    import cv2
    import msgpack
    from websockets.sync.client import connect

    from rarrl.policy.openvla import load_openvla
    from rarrl.policy.server import serving
    from rarrl_sim_envs.suites import suite_named

    begin = time.process_time()
    policy = load_openvla(folder, features, gguf)
    loaded = time.process_time() - begin
    env = suite_named("libero_object").make(TASK, 280)
    seen, _ = env.reset(options={"split": "test", "start": 0})

    ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    ports: list[int] = []

    async def serve() -> None:
        async with serving(policy, port=0, openpi_pictures="turned") as server:
            ports.append(server.port)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(60)

    def array(value: np.ndarray) -> dict[bytes, object]:
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}

    spent, steps = [], 0
    with connect(f"ws://127.0.0.1:{ports[0]}", compression=None, max_size=None, ping_timeout=None) as socket:
        socket.recv()
        for _ in range(CHUNKS):
            turned = [np.ascontiguousarray(cv2.resize(image, (224, 224))[:, ::-1]) for image in seen["images"]]
            asked = dict(zip(("observation/image", "observation/wrist_image"), turned, strict=True))
            asked |= {"observation/state": seen["proprio"], "prompt": seen["instruction"]}
            begin = time.process_time()
            socket.send(msgpack.packb(asked, default=array))
            answer = msgpack.unpackb(socket.recv(), strict_map_key=False)
            spent.append(time.process_time() - begin)
            rows = answer["actions"]
            for row in np.frombuffer(rows[b"data"], rows[b"dtype"]).reshape(rows[b"shape"]):
                env.advance(row)
                steps += 1
            seen = env.observation()
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    policy.close()
    env.close()
    return {"load_s": loaded, "chunk_s": min(spent), "steps": steps}


def rounding_speed() -> Iterator[tuple[str, float]]:
    """Type -> CPU seconds for a million weights, without an importance."""
    weights = np.random.default_rng(0).normal(0, 0.02, (128, WIDTH)).astype(np.float32)
    for kind in KINDS:
        ggml.quantize(kind, weights[:8])
        begin = time.process_time()
        ggml.quantize(kind, weights)
        yield kind, (time.process_time() - begin) / (weights.size / 1e6)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--bpw", type=float, default=4.5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--play", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play:
        print(json.dumps(play(*options.play)))
        return

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="openvla_shapes") as scratch:
        for blocks in options.blocks:
            theirs, ours = Path(scratch) / f"theirs{blocks}", Path(scratch) / f"ours{blocks}"
            write_checkpoint(theirs, blocks)
            whole, small = ours / "llama.gguf", ours / "small.gguf"
            quantize = ("--bpw", str(options.bpw), "--method", "plain", "--out", str(small))
            found = {
                "convert": stage("-m", "rarrl", "convert", str(theirs), "--out", str(ours), "--libero"),
                "quantize": stage("-m", "rarrl", "quantize", str(whole), *quantize),
                "serve": stage(__file__, "--play", str(ours), str(small)),
            }
            sizes = {"llama_f16_mb": whole.stat().st_size / 1e6, "llama_mb": small.stat().st_size / 1e6}
            rows.append({"blocks": blocks, **sizes, **{f"{s}_{k}": v for s, d in found.items() for k, v in d.items()}})
            print({name: round(value, 1) for name, value in rows[-1].items()}, flush=True)

    count = np.array([row["blocks"] for row in rows])
    figures = {}
    for name in [name for name in rows[0] if name not in ("blocks", "serve_steps")]:
        unit = "MB" if name.endswith("mb") else "s of CPU"
        values = np.array([row[name] for row in rows])
        figures[name] = Figure(float(values[-1]), f"{unit}, {count[-1]} blocks")
        if len(rows) > 1:
            slope, base = np.polyfit(count, values, 1)
            figures[f"{name}_7b"] = Figure(float(base + slope * BLOCKS), f"{unit}, extrapolated to {BLOCKS} blocks")
    speeds = dict(rounding_speed())
    for kind, seconds in speeds.items():
        hours = seconds * BLOCKS * LINEARS / 1e6 / 3600
        figures[f"quantize_7b_{kind}"] = Figure(hours, "h of CPU, extrapolated")
    tables = {"stages": rows, "rounding": [{"type": k, "CPU s a million weights": s} for k, s in speeds.items()]}
    results = make_results("python " + " ".join(sys.argv), 0, figures, tables)
    for name, figure in figures.items():
        print(f"{name}: {figure.value:.3g} {figure.unit}")
    if options.json is not None:
        write_results(options.json, results)


if __name__ == "__main__":
    main()
