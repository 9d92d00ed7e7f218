"""Fixtures of the stereo detector."""

from perception_fixtures import indoor_pair, outdoor_pair, rig, stereo_data  # noqa: F401
