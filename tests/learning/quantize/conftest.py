"""Fixtures of quantization."""

from policy_fixtures import recorded  # noqa: F401
from quantize_fixtures import calibration, calibration_of_another_width, gguf  # noqa: F401
