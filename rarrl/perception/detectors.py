"""The detectors by the names that the setting `detector.quality` has for them."""

from __future__ import annotations

from rarrl.errors import InputError
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.fast import FastDetector, QuickDetector

DETECTORS: dict[str, type[ClassicalDetector]] = {
    "accurate": ClassicalDetector,
    "fast": FastDetector,
    "quick": QuickDetector,
}
"""The most accurate first, the quickest last."""


def detector_class(quality: str) -> type[ClassicalDetector]:
    """Returns the detector that `quality` names. Raises: InputError that lists the names."""
    if quality not in DETECTORS:
        raise InputError(f"detector: quality {quality!r} is unknown; allowed: {', '.join(DETECTORS)}")
    return DETECTORS[quality]
