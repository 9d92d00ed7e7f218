"""Measures the parts of a robot on this computer: a pair by the detector, a chunk by the policy, a step of the gate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import cv2
import numpy as np

from rarrl.config import GateConfig
from rarrl.errors import InputError
from rarrl.perception.detectors import DETECTORS
from rarrl.perception.voxels import grid_spec
from rarrl.policy.base import Interface, Observation
from rarrl.policy.preset import FOLDER as PRESETS
from rarrl.policy.registry import PolicyOptions, load_policy, policy_folder, runs_own_code
from rarrl.range_scan import RangeScan
from rarrl.safety.base_gate import BaseGate
from rarrl.types import RobotCommand

from ..perception.scenes import Scene
from ..perception.synthetic import SynthConfig, render_pair

SCENES = 4
"""Rendered scenes that the detector is timed on: near ones take twice as long as far ones."""
TRIED = 5
"""Scenes that are rendered at most for one that all detectors can use."""
WHOLE = ""
"""Name of the preset that leaves nothing out, as in the setting `policy.preset`."""
Setting = tuple[str, int]
"""A quality or preset, and a number of threads."""


@dataclass(frozen=True)
class Speed:
    """Of one call. cpu_ms: median processor time, of all threads; wall_ms, p95_ms: median and 95 % quantile of real
    time. n: calls."""

    cpu_ms: float
    wall_ms: float
    p95_ms: float
    n: int


def speeds(
    calls: Mapping[Setting, Sequence[Callable[[], object]]],
    use_threads: Callable[[int], object],
    rounds: int,
    progress: Callable[[str], None],
) -> dict[Setting, Speed]:
    """All of `calls` in turn within each round; the first round warms up and is not counted. A setting may have several
    calls, such as one for each scene. use_threads: called with the number of threads before each setting."""
    taken: dict[Setting, list[tuple[float, float]]] = {setting: [] for setting in calls}
    for number in range(rounds + 1):
        for setting, its_calls in calls.items():
            progress(f"{setting[0] or 'the whole'}, {setting[1]} threads")
            use_threads(setting[1])
            for call in its_calls:
                cpu = time.process_time()
                wall = time.perf_counter()
                call()
                wall = time.perf_counter() - wall
                if number:
                    taken[setting].append((time.process_time() - cpu, wall))

    found = {}
    for setting, pairs in taken.items():
        cpus, walls = 1e3 * np.array(pairs).T
        found[setting] = Speed(
            float(np.median(cpus)), float(np.median(walls)), float(np.quantile(walls, 0.95)), len(pairs)
        )
    return found


def rendered_rooms(width: int, height: int, count: int = SCENES, seed: int = 0, cube: str = "indoor") -> list[Scene]:
    """`count` rendered scenes for the preset `cube`: streets for outdoor, rooms for the others. Those that a detector
    refuses, which takes it next to no time, are left out.

    Raises: InputError where pictures of this size are refused throughout."""
    kind = "outdoor" if cube == "outdoor" else "indoor"
    spec = grid_spec(cube)
    rooms: list[Scene] = []
    for index in range(TRIED * count):
        drawn = render_pair(seed, index, SynthConfig(width=width, height=height, kinds=(kind,)))
        if any(make(drawn.rig, spec).detect(drawn.pair).refusal for make in DETECTORS.values()):
            continue
        name = f"{drawn.kind}_{index}_{width}x{height}"
        rooms.append(Scene(name, drawn.kind, drawn.rig, spec, drawn.pair, drawn.disparity))
        if len(rooms) == count:
            return rooms
    raise InputError(f"--size: pictures of {width}x{height} show too little to be matched; give a larger size")


def detector_speeds(
    scenes: Sequence[Scene], threads: Sequence[int], rounds: int, progress: Callable[[str], None]
) -> dict[Setting, Speed]:
    """Of a pair, by (quality, threads of OpenCV)."""
    before = cv2.getNumThreads()
    calls: dict[Setting, list[Callable[[], object]]] = {}
    for name, make in DETECTORS.items():
        ready = [(make(scene.rig, scene.spec), scene.pair) for scene in scenes]
        for count in threads:
            calls[name, count] = [lambda d=d, p=p: d.detect(p) for d, p in ready]  # type: ignore[misc]
    try:
        return speeds(calls, cv2.setNumThreads, rounds, progress)
    finally:
        cv2.setNumThreads(before)


def policy_presets(policy: str) -> list[str]:
    """Names of the presets of what `policy.folder` names, WHOLE first; a class of one's own has no other."""
    folder = None if runs_own_code(policy) else policy_folder(policy)
    return [WHOLE, *sorted(path.stem for path in (folder / PRESETS).glob("*.json"))] if folder else [WHOLE]


def observations(spec: Interface, count: int, seed: int = 0) -> list[Observation]:
    """Pictures of noise, each another one, so that nothing is kept from the one before: what they show changes nothing
    in the work that a policy does. Sentences are longer from one to the next, up to what the policy reads."""
    rng = np.random.default_rng(seed)
    shape = (len(spec.cameras), spec.image_size, spec.image_size, 3)
    known = spec.vocabulary or ("go",)
    found = []
    for number in range(1, count + 1):
        length = max(1, min(number * spec.max_words // count, len(known)))
        pictures = rng.integers(0, 256, shape, np.uint8)
        found.append(Observation(pictures, np.array(spec.proprio_mean, np.float32), " ".join(known[:length])))
    return found


def policy_speeds(
    policy: str, threads: Sequence[int], rounds: int, progress: Callable[[str], None]
) -> tuple[dict[Setting, Speed], Interface]:
    """Of a chunk, by (preset, threads of llama.cpp), and what the policy takes and gives. policy: as `policy.folder`.

    Raises: InputError where there is no such policy, DependencyMissingError without llama.cpp."""
    with ExitStack() as stack:
        calls: dict[Setting, list[Callable[[], object]]] = {}
        for preset in policy_presets(policy):
            for count in threads:
                loaded = stack.enter_context(load_policy(policy, PolicyOptions(preset=preset, threads=count)))
                seen = observations(loaded.spec, SCENES)
                calls[preset, count] = [lambda p=loaded, o=o: p.infer(o) for o in seen]  # type: ignore[misc]
        return speeds(calls, lambda _: None, rounds, progress), loaded.spec


def gate_speed(rounds: int) -> Speed:
    """Of a step of the gate with a new pose and, every second step, a new scan."""
    gate = BaseGate(GateConfig())
    scan = RangeScan(-0.6, 1.2 / 31, np.full(31, 3.0), 6.4)
    pose = np.eye(4)
    step = 0

    def one() -> None:
        nonlocal step
        step += 1
        now = 0.05 * step
        pose[0, 3] = 0.01 * step
        gate.on_odometry(pose, now, now)
        if step % 2:
            gate.on_scan(scan, now, now)
        gate.check(RobotCommand(0.2, 0.0, now, now), now)

    return speeds({("gate", 1): [one] * 20}, lambda _: None, rounds, lambda _: None)["gate", 1]


def halved(width: int, height: int) -> tuple[int, int]:
    """The size of pictures whose pixels the camera has binned by two; a multiple of 4, as the matchers like it."""
    return max(64, 4 * math.ceil(width / 8)), max(64, 4 * math.ceil(height / 8))
