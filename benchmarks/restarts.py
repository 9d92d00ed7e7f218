"""How soon a killed stereo_voxel_node is back, with the port in shared memory that we choose and as Fast DDS does.

    python benchmarks/restarts.py --rounds 12 --json benchmarks/results/restarts.json

A camera sends pairs of 640 x 480 at 10 Hz over shared memory. Each round kills the node (SIGKILL) and starts it anew as
a Python process, once for each variant, in turn. back_*_s: from the new process's start until its first cloud is heard
here, a Python and ROS that load included. `fast_dds`: the profile of config/fastdds_shm.xml as a user's own, which is
left as it is: Fast DDS takes the lowest participant number that is free, that of the killed process, and with it its
port. `ours`: see nodes/loopback.py."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ros_environment import FASTDDS_PROFILE

from rarrl.results import Figure, make_results, write_results
from rarrl_nodes.faults.camera import KIND, Camera
from rarrl_nodes.faults.station import own_domain, start_node
from rarrl_nodes.loopback import PROFILES

SIZE = (640, 480)
SCENE = "easy"
PERIOD_S = 0.1
LIMIT_S = 60.0
SETTLE_S = 1.5
"""Seconds for which it runs before it is killed."""


@contextmanager
def environment(profile: Path) -> Iterator[None]:
    """What processes that are started meanwhile find as their profile."""
    before = os.environ.get(PROFILES)
    os.environ[PROFILES] = str(profile)
    try:
        yield
    finally:
        os.environ.pop(PROFILES) if before is None else os.environ.update({PROFILES: before})


def until_cloud(camera: Camera) -> float:
    """Seconds until a cloud is heard while pairs are sent; LIMIT_S if none is."""
    began, heard = time.monotonic(), len(camera.heard["voxels"])
    while time.monotonic() - began < LIMIT_S:
        camera.send(camera.good())
        camera.listen(PERIOD_S)
        if len(camera.heard["voxels"]) > heard:
            return time.monotonic() - began
    return LIMIT_S


def kills(profile: Path, rounds: int) -> Iterator[float]:
    """Seconds until each killed node is back."""
    with own_domain(shared_memory=True), environment(profile):
        camera = Camera(SCENE, SIZE)
        arguments = ["--ros-args", "-r", f"__ns:=/{SCENE}", "-r", f"/diagnostics:=/{SCENE}/diagnostics"]
        arguments += ["-p", f"detector.preset:={KIND}", "-p", "detector.quality:=quick"]
        child = start_node("stereo_voxel_node", *arguments)
        try:
            until_cloud(camera)
            for _ in range(rounds):
                end = time.monotonic() + SETTLE_S
                while time.monotonic() < end:
                    camera.send(camera.good())
                    camera.listen(PERIOD_S)
                child.kill()
                child.wait()
                child = start_node("stereo_voxel_node", *arguments)
                yield until_cloud(camera)
        finally:
            child.kill()
            child.wait()
            camera.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="kills of each variant")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()

    back: dict[str, list[float]] = {"fast_dds": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder, "own.xml")
        shutil.copy(FASTDDS_PROFILE, own)
        for _ in range(-(-args.rounds // 4)):  # four kills in a graph, since the first differ: in turns
            for name, profile in (("fast_dds", own), ("ours", FASTDDS_PROFILE)):
                for seconds in kills(profile, 4):
                    back[name].append(seconds)
                    print(f"{name}: {seconds:.2f} s", file=sys.stderr)

    figures = {
        f"back_{which}_{name}_s": Figure(float(of(seconds)), "s", len(seconds))
        for name, seconds in back.items()
        for which, of in (("p50", np.median), ("max", np.max))
    }
    ratios = np.array(back["ours"]) / np.array(back["fast_dds"])
    figures["back_ratio"] = Figure(float(np.exp(np.log(ratios).mean())), "geometric mean over kills", len(ratios))
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        command = " ".join(["python", "benchmarks/restarts.py", *sys.argv[1:]])
        write_results(args.json, make_results(command, 0, figures, {"back": back}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
