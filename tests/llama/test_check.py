"""A file is tried in a child before anything else gets it; what the child says becomes one line."""

import sys
from pathlib import Path

import pytest

from rarrl.errors import InputError
from rarrl.llama import check


def child(tmp_path, monkeypatch, script):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.chdir(tmp_path)
    Path("m.gguf").touch()


def test_a_file_that_llama_cpp_computes_with_passes(tmp_path, monkeypatch):
    child(tmp_path, monkeypatch, 'test "$*" = "-m rarrl.llama.check m.gguf"')
    check.check_in_child(Path("m.gguf"))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo 'error: m.gguf: cannot load it' >&2; exit 1",
            "m.gguf: llama.cpp cannot compute with it: m.gguf: cannot",
        ),
        (
            "printf '/build/src/ggml.c:42: GGML_ASSERT(n > 0) failed\\nbacktrace\\n' >&2; kill -ABRT $$",
            r"ends the process \(SIGABRT\): ggml.c:42: GGML_ASSERT\(n > 0\) failed; export",
        ),
        ("kill -SEGV $$", r"ends the process \(SIGSEGV\): nothing"),
    ],
)
def test_what_it_does_not_compute_with_is_one_line(tmp_path, monkeypatch, script, message):
    child(tmp_path, monkeypatch, script)
    with pytest.raises(InputError, match=message) as error:
        check.check_in_child(Path("m.gguf"))
    assert "\n" not in str(error.value)


def test_a_child_that_hangs_is_told(tmp_path, monkeypatch):
    child(tmp_path, monkeypatch, "exec sleep 10")
    monkeypatch.setattr(check, "TIMEOUT_S", 0.05)
    with pytest.raises(InputError, match="did not load it within"):
        check.check_in_child(Path("m.gguf"))


def test_a_child_that_eats_the_memory_is_ended(tmp_path, monkeypatch):
    python = sys.executable
    child(tmp_path, monkeypatch, f"exec {python} -c 'import time; x = bytearray(80_000_000); time.sleep(60)'")
    monkeypatch.setattr(check, "SPARE_BYTES", 40_000_000)
    with pytest.raises(InputError, match=r"bytes of memory to load it \(allowed: 40000000\)"):
        check.check_in_child(Path("m.gguf"))
