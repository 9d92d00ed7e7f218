"""A setting names the detector."""

from typing import get_args

import pytest

from rarrl.build import make_detector
from rarrl.config import DetectorConfig
from rarrl.errors import InputError
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.detectors import DETECTORS, detector_class
from rarrl.perception.fast import FastDetector


def test_the_setting_has_exactly_these_names():
    assert get_args(DetectorConfig.model_fields["quality"].annotation) == tuple(DETECTORS)
    assert detector_class("fast") is FastDetector
    with pytest.raises(InputError, match="allowed: accurate, fast"):
        detector_class("best")


def test_make_detector_takes_it_from_the_configuration_or_by_name(rig):
    assert type(make_detector(rig)) is type(make_detector(rig, DetectorConfig())) is ClassicalDetector
    assert type(make_detector(rig, DetectorConfig(quality="fast"))) is FastDetector
    assert type(make_detector(rig, "near", quality="fast")) is FastDetector
    with pytest.raises(InputError, match="allowed: accurate, fast"):
        make_detector(rig, quality="best")
