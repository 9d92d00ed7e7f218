"""LeRobotDataset v3: writes demonstrations so that lerobot's own loader reads them, and reads such data sets to train.

Layout of https://github.com/huggingface/lerobot (0.4 to 0.6, `codebase_version` v3.0): `meta/info.json`,
`meta/stats.json`, `meta/tasks.parquet`, `meta/episodes/`, `data/`; pictures as PNG, without loss, in the parquet files.

A frame of ours carries the expert's whole chunk, so `action` is (rows, a) here: what lerobot's loader makes of single
actions with `delta_timestamps`. Frames are some control steps apart (`step`), so `fps` is lower than the control rate.
What lerobot has no place for is in `meta/rarrl.json`, which only makes a data set complete when it comes back here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import DependencyMissingError, InputError
from rarrl.files import sha256, write_json_atomic
from rarrl.policy.spec import RobotInfo, TaskInfo
from rarrl.strict_json import read_json

from ..progress import Progress
from .demonstrations import Demonstrations, Frames

VERSION = "v3.0"
INFO, OWN = "meta/info.json", "meta/rarrl.json"
TASKS, STATS = "meta/tasks.parquet", "meta/stats.json"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEOS = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
FILES = 1000  # in a chunk's folder
PICTURE, STATE, ACTION = "observation.images.", "observation.state", "action"
EXTRA = ("privileged", "step", "told")
"""Columns of ours: fields of `Frames` that lerobot does not know, and passes on."""
HORIZON = 8  # rows of a chunk that is made of single actions
NEEDS = "LeRobot's format needs pyarrow: pip install 'rarrl[lerobot]'"


def export_lerobot(data: Demonstrations, out: Path, progress: Progress | None = None) -> dict[str, int]:
    """Writes a data set, a parquet file for each task; `meta/info.json` comes last. Returns numbers of episodes and
    frames.

    Raises: InputError where `out` holds files already, DependencyMissingError without pyarrow."""
    pa, pq = _pyarrow()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--lerobot: {out} is not empty; name a new folder")

    stride = _stride(data)
    fps = max(1, round(data.robot.control_hz / stride))
    features = _features(data)
    episodes: list[dict[str, Any]] = []
    stats = _Statistics()
    written = 0
    for index, task in enumerate(data.tasks):
        rows = np.flatnonzero(data.task == index)
        rows = rows[np.lexsort((data.frames.step[rows], data.frames.episode[rows]))]
        columns: dict[str, list[Any]] = {name: [] for name in features}
        for episode in np.unique(data.frames.episode[rows]):
            of_it = rows[data.frames.episode[rows] == episode]
            first = written + len(columns["index"])
            _add_frames(columns, data, of_it, fps, first, len(episodes), index)
            words = sorted({_words(task, int(data.frames.told[row])) for row in of_it})
            episodes.append(_episode_row(len(episodes), words, first, len(of_it), index))

        table = pa.table({n: _column(pa, n, features[n], values) for n, values in columns.items()})
        path = out / DATA.format(chunk_index=index // FILES, file_index=index % FILES)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        stats.add({n: np.asarray(v) for n, v in columns.items() if features[n]["dtype"] != "image"})
        stats.add({PICTURE + c: data.frames.images[rows, i] for i, c in enumerate(data.robot.cameras)})
        written += len(rows)
        if progress:
            progress(index + 1, task.name)

    (out / EPISODES).parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(episodes), out / EPISODES)
    pq.write_table(_tasks_table(pa, [_words(task, -1) for task in data.tasks]), out / TASKS)
    write_json_atomic(out / STATS, stats.values())
    write_json_atomic(out / OWN, {"robot": asdict(data.robot), "tasks": [asdict(task) for task in data.tasks]})
    info = {
        "codebase_version": VERSION,
        "robot_type": "rarrl",
        "total_episodes": len(episodes),
        "total_frames": written,
        "total_tasks": len(data.tasks),
        "chunks_size": FILES,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": DATA,
        "video_path": None,
        "features": features,
    }
    write_json_atomic(out / INFO, info)
    return {"episodes": len(episodes), "frames": written}


def is_lerobot(folder: Path) -> bool:
    """Whether a folder holds such a data set."""
    return (Path(folder) / INFO).is_file()


def load_lerobot(folder: Path) -> Demonstrations:
    """Reads a data set to train on: one of `export_lerobot` as it was, or anyone's.

    Of others, single actions become chunks of the next `HORIZON` ones (the last is repeated at an episode's end), each
    task's text is its name and instruction, and pictures must be square, with sides that are multiples of 16.

    Raises: InputError for another version or layout, DependencyMissingError without pyarrow (videos: av)."""
    info = read_json(folder / INFO, "lerobot")
    features = info.get("features") if isinstance(info, dict) else None
    if not isinstance(features, dict) or info.get("codebase_version") != VERSION:
        found = info.get("codebase_version") if isinstance(info, dict) else None
        raise InputError(
            f"lerobot: {folder / INFO} is of version {found}; allowed: {VERSION} (lerobot converts others)"
        )
    cameras = [name for name in features if name.startswith(PICTURE)]
    if not cameras or STATE not in features or ACTION not in features:
        raise InputError(
            f"lerobot: {folder} must have {PICTURE}NAME, {STATE} and {ACTION}; it has {', '.join(features)}"
        )

    try:
        columns, digest = _read_columns(folder, features, cameras)
        images = np.stack([_pictures(folder, info, name, columns) for name in cameras], axis=1)
        return _demonstrations(folder, info, cameras, columns, images, digest)
    except (InputError, DependencyMissingError):
        raise
    except Exception as error:  # pyarrow, OpenCV and av each raise their own: it is not such a data set
        text = " ".join(str(error).split())[:160]
        raise InputError(f"lerobot: {folder} cannot be read ({type(error).__name__}: {text})") from None


def _stride(data: Demonstrations) -> int:
    """Control steps between two frames of an episode, mostly."""
    same = (np.diff(data.frames.episode) == 0) & (np.diff(data.task) == 0)
    apart = np.diff(data.frames.step)[same]
    apart = apart[apart > 0]
    return int(np.median(apart)) if len(apart) else 1


def _features(data: Demonstrations) -> dict[str, dict[str, Any]]:
    robot, frames = data.robot, data.frames
    height, width = frames.images.shape[2:4]
    picture = {"dtype": "image", "shape": [height, width, 3], "names": ["height", "width", "channels"]}
    single = {name: {"dtype": "int64", "shape": [1], "names": None} for name in ("step", "told")}
    counted = {
        name: {"dtype": "int64", "shape": [1], "names": None}
        for name in ("frame_index", "episode_index", "index", "task_index")
    }
    return {
        **{PICTURE + camera: dict(picture) for camera in robot.cameras},
        STATE: {"dtype": "float32", "shape": [len(robot.proprio_names)], "names": list(robot.proprio_names)},
        ACTION: {"dtype": "float32", "shape": list(frames.chunks.shape[1:]), "names": ["row", "action"]},
        "privileged": {"dtype": "float32", "shape": [frames.privileged.shape[1]], "names": None},
        **single,
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        **counted,
    }


def _add_frames(
    columns: dict[str, list[Any]], data: Demonstrations, rows: np.ndarray, fps: int, first: int, episode: int, task: int
) -> None:
    frames = data.frames
    for number, row in enumerate(rows):
        for camera, image in zip(data.robot.cameras, frames.images[row], strict=True):
            columns[PICTURE + camera].append({"bytes": _png(image), "path": None})
        columns[STATE].append(frames.proprio[row].tolist())
        columns[ACTION].append(frames.chunks[row].tolist())
        columns["privileged"].append(frames.privileged[row].tolist())
        columns["step"].append(int(frames.step[row]))
        columns["told"].append(int(frames.told[row]))
        columns["timestamp"].append(number / fps)
        columns["frame_index"].append(number)
        columns["episode_index"].append(episode)
        columns["index"].append(first + number)
        columns["task_index"].append(task)


def _png(image: np.ndarray) -> bytes:
    import cv2

    done, png = cv2.imencode(".png", image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise ValueError(f"a picture of shape {image.shape} cannot be written as PNG")
    return bytes(png)


def _words(task: TaskInfo, told: int) -> str:
    return task.instructions[max(told, 0)]


def _episode_row(episode: int, words: list[str], first: int, length: int, file: int) -> dict[str, Any]:
    return {
        "episode_index": episode,
        "tasks": words,
        "length": length,
        "dataset_from_index": first,
        "dataset_to_index": first + length,
        "data/chunk_index": file // FILES,
        "data/file_index": file % FILES,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
    }


def _column(pa: Any, name: str, feature: Mapping[str, Any], values: list[Any]) -> Any:
    if feature["dtype"] == "image":
        return pa.array(values, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    kind = {"float32": pa.float32(), "int64": pa.int64()}[feature["dtype"]]
    if feature["shape"] != [1]:
        for _ in feature["shape"]:
            kind = pa.list_(kind)
    return pa.array(values, kind)


def _tasks_table(pa: Any, texts: list[str]) -> Any:
    """lerobot reads this file with pandas, and wants the text as its index: pandas keeps that in the schema."""
    table = pa.table({"task_index": pa.array(range(len(texts)), pa.int64()), "task": pa.array(texts, pa.string())})

    def column(name: str, kind: str, numpy_kind: str) -> dict[str, Any]:
        return {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy_kind, "metadata": None}

    about = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(about)})


class _Statistics:
    """Least, largest, mean and deviation of each column; of pictures by channel, as shares of 255."""

    def __init__(self) -> None:
        self._sums: dict[str, list[np.ndarray]] = {}

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """(frames, ...) of each column."""
        for name, found in columns.items():
            values = found.astype(np.float64)
            if name.startswith(PICTURE):
                values = np.moveaxis(values / 255, -1, 1)
            axes = (0, 2, 3) if name.startswith(PICTURE) else (0,)
            parts = [f(values, axis=axes) for f in (np.min, np.max, np.mean)]
            parts += [np.square(values).mean(axis=axes), np.array(len(values))]
            before = self._sums.get(name)
            if before is not None:
                n, m = float(before[4]), float(parts[4])
                mixed = [(n * a + m * b) / (n + m) for a, b in zip(before[2:4], parts[2:4], strict=True)]
                low, high = np.minimum(before[0], parts[0]), np.maximum(before[1], parts[1])
                parts = [low, high, *mixed, np.array(n + m)]
            self._sums[name] = parts

    def values(self) -> dict[str, Any]:
        """As `meta/stats.json` holds them."""
        found = {}
        for name, (low, high, mean, square, count) in self._sums.items():
            std = np.sqrt(np.maximum(square - mean**2, 0))
            shape = (3, 1, 1) if name.startswith(PICTURE) else (np.atleast_1d(mean).shape)
            parts = {"min": low, "max": high, "mean": mean, "std": std}
            found[name] = {k: np.asarray(v).reshape(shape).tolist() for k, v in parts.items()} | {"count": [int(count)]}
        return found


def _read_columns(folder: Path, features: Mapping[str, Any], cameras: list[str]) -> tuple[dict[str, Any], str]:
    """All frames in order, name -> values, and the digest of the files."""
    pa, pq = _pyarrow()
    paths = sorted((folder / "data").glob("*/*.parquet"))
    if not paths:
        raise InputError(f"lerobot: {folder / 'data'} holds no parquet file")
    stored = [name for name in cameras if features[name].get("dtype") == "image"]
    wanted = [STATE, ACTION, "episode_index", "frame_index", "task_index", *stored]
    wanted += [name for name in EXTRA if name in features]
    table = pa.concat_tables([pq.read_table(path, columns=wanted) for path in paths])
    table = table.sort_by([("episode_index", "ascending"), ("frame_index", "ascending")])
    columns = {name: table.column(name).to_pylist() for name in stored}
    for name in set(wanted) - set(stored):
        columns[name] = np.array(table.column(name).to_pylist())
    return columns, sha256("".join(sha256(path.read_bytes()) for path in paths).encode())


def _pictures(folder: Path, info: Mapping[str, Any], name: str, columns: Mapping[str, Any]) -> np.ndarray:
    """(frames, height, width, 3) uint8 RGB of one camera."""
    import cv2

    if info["features"][name].get("dtype") == "video":
        pictures = _video_frames(folder, info, name, columns)
    else:
        stored = (row["bytes"] or (folder / row["path"]).read_bytes() for row in columns[name])
        pictures = [
            np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))[:, :, ::-1] for data in stored
        ]
    found = np.stack(pictures)
    height, width = found.shape[1:3]
    if height != width or height % 16:
        raise InputError(f"lerobot: {folder}: {name} is {height} x {width}; must be square, a multiple of 16 pixels")
    return found


def _video_frames(folder: Path, info: Mapping[str, Any], name: str, columns: Mapping[str, Any]) -> list[np.ndarray]:
    try:
        import av
    except ImportError:
        raise DependencyMissingError("videos of LeRobot's format need av: pip install 'rarrl[lerobot]'") from None
    _, pq = _pyarrow()
    episodes = [
        row
        for path in sorted((folder / "meta/episodes").glob("*/*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    films: dict[str, list[np.ndarray]] = {}
    found = []
    for row in sorted(episodes, key=lambda row: row["episode_index"]):
        places = {key: row[f"videos/{name}/{key}"] for key in ("chunk_index", "file_index")}
        path = str(info.get("video_path") or VIDEOS).format(video_key=name, **places)
        if path not in films:
            films.clear()  # one at a time: films are large
            with av.open(str(folder / path)) as film:
                films[path] = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        first = round(row[f"videos/{name}/from_timestamp"] * info["fps"])
        found += films[path][first : first + row["length"]]
    if len(found) != len(columns["episode_index"]):
        raise InputError(f"lerobot: {folder}: {name} has {len(found)} pictures, {len(columns['episode_index'])} frames")
    return found


def _demonstrations(
    folder: Path,
    info: Mapping[str, Any],
    cameras: list[str],
    columns: Mapping[str, np.ndarray],
    images: np.ndarray,
    digest: str,
) -> Demonstrations:
    actions = columns[ACTION].astype(np.float32)
    episode = columns["episode_index"].astype(np.int32)
    n = len(episode)
    privileged = columns["privileged"].astype(np.float32) if "privileged" in columns else np.zeros((n, 6), np.float32)
    frames = Frames(
        images,
        columns[STATE].astype(np.float32),
        actions if actions.ndim == 3 else _chunks(actions, episode),
        privileged,
        episode,
        columns.get("step", columns["frame_index"]).astype(np.int32),
        columns["told"].astype(np.int32) if "told" in columns else np.zeros(0, np.int32),
    )
    if not all(np.isfinite(part).all() for part in (frames.proprio, frames.chunks, frames.privileged)):
        raise InputError(f"lerobot: {folder} is damaged (a number is not finite)")
    robot, tasks = _robot_and_tasks(folder, info, cameras)
    return Demonstrations(frames, columns["task_index"].astype(np.int64), tasks, robot, digest)


def _chunks(actions: np.ndarray, episode: np.ndarray) -> np.ndarray:
    """(frames, HORIZON, a): the next actions of the same episode, the last one repeated."""
    last = np.searchsorted(episode, episode, side="right") - 1
    rows = np.minimum(np.arange(len(actions))[:, None] + np.arange(HORIZON), last[:, None])
    return np.asarray(actions[rows])


def _robot_and_tasks(
    folder: Path, info: Mapping[str, Any], cameras: list[str]
) -> tuple[RobotInfo, tuple[TaskInfo, ...]]:
    if (folder / OWN).is_file():
        own = read_json(folder / OWN, "lerobot")
        values = own["robot"]
        cameras_of, proprio, actions = (tuple(values[n]) for n in ("cameras", "proprio_names", "action_names"))
        tasks = tuple(TaskInfo(t["name"], tuple(t["instructions"]), t["scene"], t["opposite"]) for t in own["tasks"])
        return RobotInfo(cameras_of, proprio, actions, float(values["control_hz"])), tasks

    _, pq = _pyarrow()
    rows = pq.read_table(folder / TASKS).to_pylist()
    text = next(name for name in rows[0] if name != "task_index")
    rows.sort(key=lambda row: row["task_index"])
    robot = RobotInfo(
        tuple(name.removeprefix(PICTURE) for name in cameras),
        _names(info["features"][STATE], "state"),
        _names(info["features"][ACTION], "action"),
        float(info["fps"]),
    )
    return robot, tuple(TaskInfo(row[text], (row[text],), row[text], "") for row in rows)


def _names(feature: Mapping[str, Any], what: str) -> tuple[str, ...]:
    """Of a vector's numbers; some data sets keep them in a map, and some have none."""
    names = feature.get("names")
    if isinstance(names, dict):
        names = next(iter(names.values()), None)
    count = int(feature["shape"][-1])
    if not isinstance(names, list) or len(names) != count:
        return tuple(f"{what}_{i}" for i in range(count))
    return tuple(map(str, names))


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DependencyMissingError(NEEDS) from None
    return pyarrow, pyarrow.parquet
