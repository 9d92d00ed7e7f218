"""Fixtures of the parts that commands run."""

from quantize_fixtures import calibration, gguf  # noqa: F401
