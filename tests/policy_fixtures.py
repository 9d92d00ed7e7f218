from pathlib import Path

import numpy as np
import pytest

from rarrl.policy.spec import PolicySpec, RobotInfo, TaskInfo
from rarrl_learning.policy.demonstrations import Frames, write_shard

ROBOT = RobotInfo(("top",), ("x", "y"), ("vx", "vy"), 20.0)
TASKS = (
    TaskInfo("left", ("go left", "move left"), "table", "right"),
    TaskInfo("right", ("go right", "move right"), "table", "left"),
    TaskInfo("up", ("go up",), "wall", ""),
)


def tiny_spec(**changes) -> PolicySpec:
    values = dict(  # noqa: C408 (reads like the call)
        vocabulary=("go", "left", "right"),
        max_words=3,
        cameras=("top",),
        image_size=32,
        proprio_names=("x", "y"),
        proprio_mean=(0.5, 0.0),
        proprio_scale=(2.0, 1.0),
        action_names=("vx", "vy"),
        action_low=(-1.0, -2.0),
        action_high=(1.0, 3.0),
        horizon=4,
        control_hz=20.0,
        layers=2,
        ffn=256,
    )
    return PolicySpec(**{**values, **changes})


def frames_of(task: TaskInfo, n: int, seed: int = 0) -> Frames:
    """A bright square somewhere; the expert's velocity depends on the task and on where the square is."""
    rng = np.random.default_rng(seed)
    images = np.full((n, 1, 32, 32, 3), 30, np.uint8)
    chunks = np.empty((n, 8, 2), np.float32)
    places = rng.integers(2, 28, (n, 2))
    for i, (y, x) in enumerate(places):
        images[i, 0, y : y + 3, x : x + 3] = 250
        chunks[i] = ({"left": -1.0, "right": 1.0, "up": 0.0}[task.name], (y - 15) / 15)
    privileged = np.concatenate((places, np.zeros((n, 4))), axis=1).astype(np.float32)
    proprio = rng.normal(size=(n, 2)).astype(np.float32)
    counts = np.arange(n, dtype=np.int32)
    return Frames(images, proprio, chunks, privileged, counts, np.zeros(n, np.int32))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for seed, task in enumerate(TASKS):
        write_shard(folder / f"{task.name}.safetensors", ROBOT, task, frames_of(task, 40, seed), {"made": "in a test"})
    return folder
