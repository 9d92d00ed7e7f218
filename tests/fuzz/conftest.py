"""The fuzzer of benchmarks/, which is no package."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))


@pytest.fixture(autouse=True)
def _logging():
    """Some parsers warn of each bad entry; the fuzzer turns that off."""
    import logging

    yield
    logging.disable(logging.NOTSET)
