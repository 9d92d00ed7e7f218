"""Memory: of all parts of a model, and what a computer or a container leaves."""

import pytest

from rarrl.reasoner.memory import file_bytes, free_bytes


def test_all_parts_of_a_split_model_count(tmp_path):
    for number, size in ((1, 10), (2, 200), (3, 3000)):
        (tmp_path / f"big-{number:05d}-of-00003.gguf").write_bytes(bytes(size))
    assert file_bytes(tmp_path / "big-00001-of-00003.gguf") == 3210
    (tmp_path / "big-00003-of-00003.gguf").unlink()
    assert file_bytes(tmp_path / "big-00001-of-00003.gguf") == 210

    (tmp_path / "small.gguf").write_bytes(bytes(7))
    assert file_bytes(tmp_path / "small.gguf") == 7
    assert file_bytes(tmp_path / "none.gguf") == file_bytes(tmp_path) == 0


@pytest.mark.parametrize(
    ("available", "limit", "current", "cached", "free"),
    [
        ("8 kB", "max", "0", 0, 8192),
        ("8 kB", "6000", "5000", 1000, 2000),
        ("8 kB", "6000", "9000", 0, 0),
        ("1 kB", "1000000", "0", 0, 1024),
        ("junk", "6000", "1000", 0, 5000),
        ("junk", "max", "0", 0, None),
    ],
)
def test_the_smaller_of_what_computer_and_container_leave(tmp_path, available, limit, current, cached, free):
    (tmp_path / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {available}\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(current)
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\n")
    assert free_bytes(tmp_path / "meminfo", tmp_path) == free


def test_nothing_is_known_without_these_files(tmp_path):
    assert free_bytes(tmp_path / "none", tmp_path) is None
