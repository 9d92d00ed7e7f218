"""Where reports go, and what the computer has."""

import os

import pytest

from rarrl.doctor import machine


def test_reports_folder(tmp_path):
    assert machine.check_runs(tmp_path / "not" / "yet" / "runs").status == "ok"
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").touch()
    check = machine.check_runs(tmp_path / "file")  # a file stands where the folder should be
    assert check.status == "fail" and check.fix


def test_small_machines_are_warned():
    assert machine.check_machine(1, 8.0).status == "warn"
    assert machine.check_machine(4, 1.0).status == "warn"
    assert machine.check_machine(4, 0.4).status == "fail"
    assert machine.check_machine(4, None).status == "ok"
    assert "joules" in machine.check_machine(4, None, True).detail


@pytest.mark.parametrize(
    ("membership", "limits", "gib"),
    [
        ("0::/robot/nodes\n", {"robot/memory.max": "536870912\n", "robot/nodes/memory.max": "max\n"}, 0.5),
        ("4:memory:/docker/ab\n0::/\n", {"memory/memory.limit_in_bytes": "268435456\n"}, 0.25),  # seen from inside
        ("5:cpu:/\n", {"memory.max": "1"}, None),
        ("", {}, None),
    ],
)
def test_a_container_may_have_less_memory(tmp_path, membership, limits, gib):
    for name, text in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "cgroup").write_text(membership)
    whole = machine.memory_gib(tmp_path, tmp_path / "not there")
    assert whole > 0
    assert machine.memory_gib(tmp_path, tmp_path / "cgroup") == (gib or whole)
