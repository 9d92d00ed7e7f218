"""Measures how fast stereo_voxel_node is, in a process of its own, over real topics.

    python benchmarks/stereo_node.py [--pairs 200] [--rate 15] [--quality accurate] [--one-core] [--json FILE]

What bad input makes of it: `rarrl faults run --only C1,C2,C3,C4,C5,C6,C7`. Rendered pairs of 640 x 480, other noise in
each. Easy and hard scenes: those of hard ones reach nearer, so more disparities must be searched. Needs the extra
`ros`; shared memory as in config/fastdds_shm.xml. Two minutes on an idle machine.

Table `rate`, figures of the easy scene. node_p50_ms, node_p95_ms: from the moment before a pair is published until its
cloud is heard here. dropped: pairs without a cloud. stamps_equal: share of the clouds, scans and maps heard whose stamp
is that of a left image (those of the right ones are 1 ms later), and of the clouds whose frame is the left image's.
node_cpu_ms: processor time of the node's process per pair sent; unlike the others it tells little of what else the
machine did (`load`: its load average at the start).

    python benchmarks/stereo_node.py --quality fast --rate 30 --pairs 900 --one-core

keeps the node on one core, with one thread, which it shares with whatever else runs there; `node_dropped` is then the
figure. What one core could do if it had nothing else to do: `pairs_per_core_s`, 1000 / node_cpu_ms."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.resources.cpu import cpu_seconds
from rarrl.results import Figure, make_results, write_results
from rarrl_nodes.faults.camera import SCENES, running

SIZE = (640, 480)
SETTLE_S = 2.0  # seconds before the first measurement, and after the last pair


def measure_rate(
    name: str, pairs: int, rate: float, quality: str = "accurate", one_core: bool = False
) -> dict[str, Any]:
    """One row of `rate`. one_core: the node has one core, and one thread."""
    print(f"{name}: {pairs} pairs at {rate:g} Hz, {quality}", file=sys.stderr)
    sent: dict[int, float] = {}
    parameters = [f"detector.quality:={quality}", *(["detector.threads:=1"] if one_core else [])]
    with running((name,), SIZE, gate=False, parameters=parameters) as cameras:
        camera = cameras[name]
        if one_core:
            core = {max(os.sched_getaffinity(0))}
            for thread in Path(f"/proc/{camera.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), core)
        start = time.monotonic() + SETTLE_S
        warm_up = round(SETTLE_S * rate)  # the first pairs, not counted, warm the node's caches
        everything = set()
        load = os.getloadavg()[0]
        for k in range(-warm_up, pairs):
            camera.listen(start + k / rate - time.monotonic())
            if k == 0:
                before = cpu_seconds(camera.pid)
            shot = camera.good()
            at = time.monotonic()
            stamp, _ = camera.send(shot)
            everything.add(stamp)
            if k >= 0:
                sent[stamp] = at

        camera.listen(SETTLE_S)
        cpu_ms = 1e3 * (cpu_seconds(camera.pid) - before) / pairs
        exceptions = camera.counted()["exceptions"]
        status = Path(f"/proc/{camera.pid}/status").read_text("utf-8")
        peak_mb = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024

    heard = camera.heard
    latencies = 1e3 * np.array(
        [heard["voxels"][stamp][0] - at for stamp, at in sent.items() if stamp in heard["voxels"]]
    )
    if not len(latencies):
        raise SystemExit("stereo_node: no cloud came")

    right = [stamp in everything for of in heard.values() for stamp in of]
    right += [msg.header.frame_id == "left_eye" for _, msg in heard["voxels"].values()]
    p50, p95 = np.quantile(latencies, (0.5, 0.95))

    return {
        "scene": name,
        "quality": quality,
        "rate_hz": rate,
        "n": pairs,
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "cpu_ms": cpu_ms,
        "load": load,
        "dropped": pairs - len(latencies),
        "clouds_per_s": len(latencies) / ((pairs - 1) / rate),
        "stamps_equal": float(np.mean(right)),
        "stamps_n": len(right),
        "exceptions": exceptions,
        "peak_rss_mb": peak_mb,
    }


def figures_of(rates: list[dict[str, Any]]) -> dict[str, Figure]:
    easy = rates[0]
    n = easy["n"]
    stamps = sum(row["stamps_n"] for row in rates)
    return {
        "node_p50_ms": Figure(easy["p50_ms"], "ms", n),
        "node_p95_ms": Figure(easy["p95_ms"], "ms", n),
        "node_cpu_ms": Figure(easy["cpu_ms"], "ms", n),
        "node_dropped": Figure(max(row["dropped"] for row in rates), "pairs, the worse scene", n),
        "pairs_per_core_s": Figure(1e3 / max(row["cpu_ms"] for row in rates), "1/s, the worse scene", n),
        "clouds_per_s": Figure(easy["clouds_per_s"], "1/s", n),
        "stamps_equal": Figure(sum(r["stamps_equal"] * r["stamps_n"] for r in rates) / stamps, "share", stamps),
        "exceptions": Figure(sum(r["exceptions"] for r in rates), "", sum(r["n"] for r in rates)),
        "peak_rss_mb": Figure(max(r["peak_rss_mb"] for r in rates), "MB"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="pairs to measure the speed with")
    parser.add_argument("--rate", type=float, default=15.0, help="pairs per second")
    parser.add_argument(
        "--quality", default="accurate", choices=("accurate", "fast", "quick"), help="the setting detector.quality"
    )
    parser.add_argument("--one-core", action="store_true", help="keep the node on one core, with one thread")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()
    rates = [measure_rate(name, args.pairs, args.rate, args.quality, args.one_core) for name in SCENES]
    figures = figures_of(rates)
    for row in rates:
        print("; ".join(f"{key} {value}" for key, value in row.items() if value is not None))
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        command = " ".join(["python", "benchmarks/stereo_node.py", *sys.argv[1:]])
        write_results(args.json, make_results(command, 0, figures, {"rate": rates}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
