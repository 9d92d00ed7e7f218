"""Fixtures of the command line."""

from quantize_fixtures import calibration, calibration_of_another_width, gguf  # noqa: F401
