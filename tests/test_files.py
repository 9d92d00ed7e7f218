"""Files are written whole or not at all."""

import json
import os

import pytest

from rarrl import files
from rarrl.errors import InputError


def test_writes_make_folders_and_replace(tmp_path):
    path = tmp_path / "a" / "b.json"
    files.write_json_atomic(path, {"x": 1})
    files.write_json_atomic(path, {"x": 2})
    assert json.loads(path.read_text()) == {"x": 2}
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(path.parent) == ["b.json"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object()])
def test_bad_value_leaves_the_old_file(tmp_path, bad):
    path = tmp_path / "b.json"
    files.write_json_atomic(path, 1)
    with pytest.raises((ValueError, TypeError)):
        files.write_json_atomic(path, {"x": bad})
    assert path.read_text() == "1\n"


def test_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "b.txt"
    files.write_text_atomic(path, "old")

    def power_cut(fd):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        files.write_text_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["b.txt"]


def test_text_is_utf8(tmp_path):
    files.write_text_atomic(tmp_path / "t", "λ")
    assert (tmp_path / "t").read_bytes() == b"\xce\xbb"


def test_read_file_names_what_and_where(tmp_path):
    with pytest.raises(InputError, match=r"profile: .*nothing does not exist"):
        files.read_file(tmp_path / "nothing", "profile")
    with pytest.raises(InputError, match="is a folder"):
        files.read_file(tmp_path, "profile")
    (tmp_path / "f").write_bytes(b"\x00\x01")
    assert files.read_file(tmp_path / "f", "profile") == b"\x00\x01"


def test_sha256_known_answer():
    assert files.sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
