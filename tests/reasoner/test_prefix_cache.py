"""States of prefixes on disk: read back whole, or not at all; small, few, private."""

import os
import stat

import pytest

from rarrl.reasoner import prefix_cache
from rarrl.reasoner.prefix_cache import PrefixCache, fingerprint, folder

TOKENS = [1, 2, 3]
STATE = bytes(range(256)) * 10


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(5000))
    return path


@pytest.fixture
def cache(model, tmp_path):
    return PrefixCache(model, "1.0", tmp_path / "cache" / "prefixes")


def files(tmp_path):
    return sorted((tmp_path / "cache" / "prefixes").iterdir())


def test_what_was_kept_is_read_again_by_the_same_model_version_and_tokens(cache, model, tmp_path):
    where = tmp_path / "cache" / "prefixes"
    cache.save(TOKENS, STATE)
    assert cache.load(TOKENS) == STATE
    assert PrefixCache(model, "1.0", where).load(TOKENS) == STATE
    assert cache.load([1, 2]) is None
    assert PrefixCache(model, "1.1", where).load(TOKENS) is None
    assert stat.S_IMODE(os.stat(where).st_mode) == 0o700

    model.write_bytes(model.read_bytes() + b"other weights")
    assert cache.load(TOKENS) is None


@pytest.mark.parametrize(("keep", "more"), [(-1, b""), (20, b""), (0, b""), (-1, b"x"), (None, b"x")])
def test_a_damaged_file_is_not_read_and_removed(cache, tmp_path, keep, more):
    cache.save(TOKENS, STATE)
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:keep] + more)
    assert cache.load(TOKENS) is None
    assert files(tmp_path) == []


def test_states_that_are_too_large_are_not_kept(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(prefix_cache, "MAX_STATE", 100)
    cache.save(TOKENS, bytes(101))
    assert cache.load(TOKENS) is None
    cache.save(TOKENS, bytes(100))
    assert cache.load(TOKENS) == bytes(100)


def test_the_folder_stays_small_and_loses_what_was_used_longest_ago(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(prefix_cache, "MAX_FOLDER", 3 * (len(STATE) + 47))
    for age, token in enumerate([4, 3, 2, 1]):
        cache.save([token], STATE)
        os.utime(max(files(tmp_path), key=lambda path: path.stat().st_mtime), (100.0 + age, 100.0 + age))
    assert cache.load([4]) is None
    assert [cache.load([token]) for token in (3, 2, 1)] == [STATE] * 3


def test_a_folder_that_cannot_be_written_does_no_harm(model, tmp_path):
    (tmp_path / "file").write_text("no folder")
    cache = PrefixCache(model, "1.0", tmp_path / "file" / "prefixes")
    cache.save(TOKENS, STATE)
    assert cache.load(TOKENS) is None
    cache.forget(TOKENS)


def test_a_model_file_that_has_gone_does_no_harm(cache, model):
    model.unlink()
    cache.save(TOKENS, STATE)
    assert cache.load(TOKENS) is None


def test_one_changed_byte_in_the_middle_of_the_samples_is_another_model(model):
    before = fingerprint(model)
    about = model.stat()
    data = bytearray(model.read_bytes())
    data[2500] ^= 1
    model.write_bytes(data)
    os.utime(model, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert fingerprint(model) != before


@pytest.mark.parametrize(("given", "is_used"), [("/some/cache", True), ("", False), ("relative", False)])
def test_the_folder_follows_the_xdg_specification(monkeypatch, given, is_used):
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert (str(folder()) == "/some/cache/rarrl/prefixes") is is_used
    assert folder().is_absolute()
