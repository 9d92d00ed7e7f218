"""The parsers of what comes from outside, each with valid inputs to begin from and the error that it documents."""

from __future__ import annotations

import fuzz_data  # each adds its own
import fuzz_messages
import fuzz_own_files
import fuzz_settings
import fuzz_weights
from fuzz_target import DEAR, TARGETS, Target
from fuzz_weights import small_gguf

__all__ = ["DEAR", "PARTS", "TARGETS", "Target", "small_gguf"]

PARTS = (fuzz_settings, fuzz_own_files, fuzz_data, fuzz_weights, fuzz_messages)
"""Where the parsers stand."""
