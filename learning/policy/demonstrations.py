"""Demonstrations on disk: one safetensors file per task and batch of episodes.

Why not parquet and video (LeRobotDataset) or MCAP: both would add a large dependency, video is lossy, and the frames of
a demonstration here are no film: a label is the expert's *whole chunk* from a frame, whoever acted before it.
(`lerobot.py` writes and reads LeRobot's data sets all the same.) A file holds (f frames, c cameras, h rows of a chunk):

| tensor | shape and type | what |
|---|---|---|
| `png` | (bytes,) uint8 | the pictures, RGB, each a PNG, camera by camera, frame by frame |
| `png_ends` | (f * c,) int64 | where each picture ends in `png` |
| `proprio` | (f, p) float32 | the robot's own state |
| `chunks` | (f, h, a) float32 | what the expert would do from this frame on |
| `privileged` | (f, s) float32 | places of things that the simulator knows: an auxiliary target, never an input |
| `episode`, `step` | (f,) int32 | which start of the list, which control step |
| `told` | (f,) int32 | which of the task's instructions the frame belongs to; -1 (also where missing): any of them |

and as metadata one JSON text `rarrl`: `RobotInfo`, `TaskInfo`, and `record`, which says how the file was made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from rarrl.errors import InputError
from rarrl.files import MAX_WEIGHTS_BYTES, read_file, sha256, write_bytes_atomic
from rarrl.policy.spec import RobotInfo, TaskInfo

# In the order of the table above; from the third on, each is a field of `Frames`.
TENSORS = ("png", "png_ends", "proprio", "chunks", "privileged", "episode", "step", "told")


@dataclass(frozen=True)
class Frames:
    """Frames of one task, as in the table above; images (f, c, height, width, 3) uint8 RGB."""

    images: np.ndarray
    proprio: np.ndarray
    chunks: np.ndarray
    privileged: np.ndarray
    episode: np.ndarray
    step: np.ndarray
    told: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))

    def __post_init__(self) -> None:
        if not len(self.told):
            object.__setattr__(self, "told", np.full(len(self.step), -1, np.int32))


@dataclass(frozen=True)
class Demonstrations:
    """All frames of some folders. task: (f,) index into `tasks`. digest: SHA-256 over the files."""

    frames: Frames
    task: np.ndarray
    tasks: tuple[TaskInfo, ...]
    robot: RobotInfo
    digest: str


def write_shard(path: Path, robot: RobotInfo, task: TaskInfo, frames: Frames, record: dict[str, Any]) -> None:
    """Writes one file, whole or not at all. record: how it was made, for people."""
    import cv2

    pictures = []
    for image in frames.images.reshape(-1, *frames.images.shape[2:]):
        done, png = cv2.imencode(".png", image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if not done:
            raise ValueError(f"a picture of shape {image.shape} cannot be written as PNG")
        pictures.append(png.ravel())

    tensors: dict[str, np.ndarray] = {
        "png": np.concatenate(pictures),
        "png_ends": np.cumsum([len(png) for png in pictures]).astype(np.int64),
        **{name: np.ascontiguousarray(getattr(frames, name)) for name in TENSORS[2:]},
    }
    about = {"robot": asdict(robot), "task": asdict(task), "record": record}
    write_bytes_atomic(path, save_safetensors(tensors, {"rarrl": json.dumps(about)}))


def load_demonstrations(folders: Sequence[Path]) -> Demonstrations:
    """Reads every shard below `folders`; or one folder with a LeRobotDataset.

    Raises: InputError where there are none, or one is damaged or of another kind than the first."""
    from .lerobot import is_lerobot, load_lerobot

    others = [folder for folder in folders if is_lerobot(folder)]
    if others and len(folders) > 1:
        raise InputError(f"demonstrations: {others[0]} is a LeRobotDataset; give it alone")
    if others:
        return load_lerobot(Path(others[0]))
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.safetensors"))
    if not paths:
        raise InputError(
            f"demonstrations: no .safetensors file below {', '.join(map(str, folders))}; make them with "
            "`rarrl data record`"
        )

    infos: dict[str, TaskInfo] = {}
    parts: list[Frames] = []
    index: list[np.ndarray] = []
    robots: list[RobotInfo] = []
    hashes = []
    for path in paths:
        data = read_file(path, "demonstrations", MAX_WEIGHTS_BYTES)
        robot, task, frames = _parse(path, data)
        robots.append(robot)
        if infos.setdefault(task.name, task) != task:
            raise InputError(f"demonstrations: {path} gives other instructions for {task.name} than an earlier file")
        shapes = [[a.shape[1:] for a in _arrays(part)] for part in (frames, *parts[:1])]
        if robot != robots[0] or shapes[0] != shapes[-1]:
            raise InputError(f"demonstrations: {path} is of another robot than {paths[0]}; train on one at a time")
        hashes.append(sha256(data))
        parts.append(frames)
        index.append(np.full(len(frames.step), list(infos).index(task.name)))

    joined = Frames(*(np.concatenate(arrays) for arrays in zip(*map(_arrays, parts), strict=True)))
    return Demonstrations(
        joined, np.concatenate(index), tuple(infos.values()), robots[0], sha256("".join(hashes).encode())
    )


def _arrays(frames: Frames) -> tuple[np.ndarray, ...]:
    return tuple(vars(frames).values())


MAX_SIDE_PX = 4096
"""Of a picture in a shard: a hundred bytes can claim to be one of gigabytes."""


def _small(png: np.ndarray) -> np.ndarray:
    """`png`, whose head says what size it unpacks to. Raises: ValueError for other formats and larger ones."""
    head = png[:24].tobytes()
    sides = [int.from_bytes(head[at : at + 4], "big") for at in (16, 20)]
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or not all(1 <= side <= MAX_SIDE_PX for side in sides):
        raise ValueError(f"a picture that is no PNG of at most {MAX_SIDE_PX} pixels a side")
    return png


def _parse(path: Path, data: bytes) -> tuple[RobotInfo, TaskInfo, Frames]:
    import cv2

    try:
        tensors = load_safetensors(data)
        about = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["rarrl"])
        robot_info = about["robot"]
        cameras, proprio, actions = (tuple(robot_info[key]) for key in ("cameras", "proprio_names", "action_names"))
        robot = RobotInfo(cameras, proprio, actions, float(robot_info["control_hz"]))
        task_info = about["task"]
        task = TaskInfo(task_info["name"], tuple(task_info["instructions"]), task_info["scene"], task_info["opposite"])
        ends = tensors["png_ends"]
        pictures = [
            np.asarray(cv2.imdecode(_small(tensors["png"][first:last]), cv2.IMREAD_COLOR))[:, :, ::-1]
            for first, last in zip([0, *ends[:-1]], ends, strict=True)
        ]
        images = np.stack(pictures).reshape(-1, len(robot.cameras), *pictures[0].shape)
        frames = Frames(images, *(tensors[name] for name in TENSORS[2:] if name in tensors))
    except Exception as error:  # safetensors, JSON and OpenCV each raise their own: it is not our file
        raise InputError(f"demonstrations: {path} is not a shard of rarrl ({type(error).__name__}: {error})") from None

    if len({len(array) for array in _arrays(frames)}) != 1 or not all(
        np.isfinite(array).all() for array in (frames.proprio, frames.chunks, frames.privileged)
    ):
        raise InputError(f"demonstrations: {path} is damaged (lengths differ, or a number is not finite)")

    return robot, task, frames
