from dataclasses import replace

import numpy as np
import pytest
from policy_fixtures import ROBOT, TASKS, frames_of

from rarrl.errors import InputError
from rarrl_learning.policy.demonstrations import load_demonstrations, write_shard


def test_what_is_written_is_read(recorded):
    data = load_demonstrations([recorded])
    assert [task.name for task in data.tasks] == ["left", "right", "up"]
    assert data.robot == ROBOT
    for i, task in enumerate(data.tasks):
        expected, mine = frames_of(task, 40, TASKS.index(task)), data.task == i
        for name, array in vars(expected).items():
            assert np.array_equal(getattr(data.frames, name)[mine], array), name


def test_the_digest_is_of_the_content(recorded):
    before = load_demonstrations([recorded]).digest
    assert load_demonstrations([recorded]).digest == before
    write_shard(recorded / "up.safetensors", ROBOT, TASKS[2], frames_of(TASKS[2], 40, 9), {})
    assert load_demonstrations([recorded]).digest != before


def test_bad_folders_are_refused(recorded, tmp_path):
    with pytest.raises(InputError, match="rarrl data record"):
        load_demonstrations([tmp_path / "empty"])
    path = recorded / "up.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:100] + b"\0" * 50 + whole[150:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"up\.safetensors"):
            load_demonstrations([recorded])
    write_shard(path, replace(ROBOT, control_hz=10.0), TASKS[2], frames_of(TASKS[2], 5), {})
    with pytest.raises(InputError, match="another robot"):
        load_demonstrations([recorded])
    write_shard(path, ROBOT, replace(TASKS[0], scene="wall"), frames_of(TASKS[0], 5), {})
    with pytest.raises(InputError, match="other instructions"):
        load_demonstrations([recorded])


def test_numbers_that_are_not_finite_are_refused(recorded):
    frames = frames_of(TASKS[0], 5)
    frames.chunks[2, 1, 0] = np.nan
    write_shard(recorded / "left.safetensors", ROBOT, TASKS[0], frames, {})
    with pytest.raises(InputError, match="not finite"):
        load_demonstrations([recorded])
