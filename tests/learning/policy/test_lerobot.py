"""LeRobotDataset v3: what is written comes back; data sets of others are read; and lerobot's own loader, where it is
installed, reads ours."""

import json

import numpy as np
import pytest
from policy_fixtures import recorded  # noqa: F401 (a fixture)

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from rarrl.errors import InputError  # noqa: E402
from rarrl_learning.policy.demonstrations import load_demonstrations  # noqa: E402
from rarrl_learning.policy.lerobot import export_lerobot, is_lerobot  # noqa: E402

TOP, VIDEO = "observation.images.top", "video"


@pytest.fixture
def exported(recorded, tmp_path):  # noqa: F811
    data = load_demonstrations([recorded])
    counts = export_lerobot(data, tmp_path / "lerobot")
    assert counts == {"episodes": 120, "frames": 120}
    return data, tmp_path / "lerobot"


def test_what_is_written_comes_back_to_the_bit(exported):
    data, folder = exported
    back = load_demonstrations([folder])
    assert (back.robot, back.tasks) == (data.robot, data.tasks)

    def in_order(found, name):
        return getattr(found.frames, name)[np.lexsort((found.frames.episode, found.task))]

    for name in ("images", "proprio", "chunks", "privileged", "step", "told"):
        assert np.array_equal(in_order(data, name), in_order(back, name)), name


def test_the_layout_is_that_of_the_format(exported):
    data, folder = exported
    info = json.loads((folder / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_tasks"], info["fps"]) == ("v3.0", 3, 20)
    assert info["features"]["action"]["shape"] == [8, 2]
    frames = pa.concat_tables(pq.read_table(path) for path in sorted((folder / "data").glob("*/*.parquet")))
    assert set(frames.column_names) == set(info["features"])
    assert frames["index"].to_pylist() == list(range(120))
    episodes = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["dataset_from_index"] for row in episodes] == list(range(120))
    stats = json.loads((folder / "meta/stats.json").read_text())
    state = data.frames.proprio
    assert np.allclose(stats["observation.state"]["mean"], state.mean(0), atol=1e-5)
    assert np.allclose(stats["observation.state"]["std"], state.std(0), atol=1e-5)
    assert np.array(stats[TOP]["max"]).shape == (3, 1, 1) and stats[TOP]["count"] == [120]
    tasks = pq.read_table(folder / "meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_lerobots_own_loader_reads_it(exported):
    lerobot = pytest.importorskip("lerobot.datasets.lerobot_dataset", reason="lerobot is not installed")
    data, folder = exported
    found = lerobot.LeRobotDataset("rarrl/test", root=folder)
    assert (len(found), found.num_episodes) == (120, 120)
    frame = found[0]
    assert tuple(frame["action"].shape) == (8, 2) and frame["task"] == "go left"
    assert np.array_equal((frame[TOP].numpy() * 255).round().transpose(1, 2, 0), data.frames.images[0, 0])


def foreign(folder, dtype="image", **changes):
    """A data set as lerobot's recorder writes one: single actions, two episodes of three frames."""
    n = 6
    picture = [np.full((32, 32, 3), 10 * i, np.uint8) for i in range(n)]
    (folder / "data/chunk-000").mkdir(parents=True)
    (folder / "meta/episodes/chunk-000").mkdir(parents=True)
    columns = {
        "observation.state": pa.array([[float(i), 0.0] for i in range(n)], pa.list_(pa.float32())),
        "action": pa.array([[float(i)] for i in range(n)], pa.list_(pa.float32())),
        "episode_index": [0, 0, 0, 1, 1, 1],
        "frame_index": [0, 1, 2, 0, 1, 2],
        "task_index": [1, 1, 1, 0, 0, 0],
    }
    where = {}
    if dtype == VIDEO:
        film(folder / f"videos/{TOP}/chunk-000/file-000.mp4", picture)
        where = {
            f"videos/{TOP}/chunk_index": [0, 0],
            f"videos/{TOP}/file_index": [0, 0],
            f"videos/{TOP}/from_timestamp": [0.0, 0.3],
        }
    else:
        import cv2

        stored = [{"bytes": cv2.imencode(".png", p)[1].tobytes(), "path": None} for p in picture]
        columns[TOP] = pa.array(stored, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table(columns), folder / "data/chunk-000/file-000.parquet")
    episodes = pa.table({"episode_index": [0, 1], "length": [3, 3], **where})
    pq.write_table(episodes, folder / "meta/episodes/chunk-000/file-000.parquet")
    pq.write_table(
        pa.table({"task_index": [0, 1], "__index_level_0__": ["lift", "drop"]}), folder / "meta/tasks.parquet"
    )
    features = {
        TOP: {"dtype": dtype, "shape": [32, 32, 3]},
        "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["a", "b"]}},
        "action": {"dtype": "float32", "shape": [1], "names": None},
    }
    info = {"codebase_version": "v3.0", "fps": 10, "features": features, "video_path": None} | changes
    (folder / "meta/info.json").write_text(json.dumps(info))
    return folder


def film(path, pictures):
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


@pytest.mark.parametrize("dtype", ["image", VIDEO])
def test_a_data_set_of_others_becomes_chunks(tmp_path, dtype):
    data = load_demonstrations([foreign(tmp_path / "theirs", dtype)])
    assert data.robot.proprio_names == ("a", "b") and data.robot.action_names == ("action_0",)
    assert [task.name for task in data.tasks] == ["lift", "drop"] and data.task.tolist() == [1, 1, 1, 0, 0, 0]
    assert data.frames.chunks.shape == (6, 8, 1)
    assert data.frames.chunks[1, :4, 0].tolist() == [1, 2, 2, 2]  # the last action of an episode is repeated
    assert np.allclose(data.frames.images[:, 0, 16, 16, 0], np.arange(6) * 10, atol=4)


def test_what_is_not_such_a_data_set_is_refused(tmp_path, recorded):  # noqa: F811
    assert not is_lerobot(recorded)
    old = foreign(tmp_path / "old", codebase_version="v2.1")
    with pytest.raises(InputError, match=r"version v2\.1; allowed: v3\.0"):
        load_demonstrations([old])
    with pytest.raises(InputError, match="give it alone"):
        load_demonstrations([recorded, old])
    torn = foreign(tmp_path / "torn")
    (torn / "data/chunk-000/file-000.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="cannot be read"):
        load_demonstrations([torn])
    with pytest.raises(InputError, match="not empty"):
        export_lerobot(load_demonstrations([recorded]), tmp_path)
