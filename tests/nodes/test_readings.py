from types import SimpleNamespace as Value

import numpy as np
import pytest

from rarrl_nodes.readings import nanoseconds, pose_of, range_scan_of, seconds, speeds_of


def xyz(x=0.0, y=0.0, z=0.0, **more):
    return Value(x=x, y=y, z=z, **more)


def odometry(*rotation):
    x, y, z, w = rotation
    return Value(pose=Value(pose=Value(position=xyz(1.0, 2.0), orientation=xyz(x, y, z, w=w))))


def test_a_stamp_is_exact_in_nanoseconds():
    stamp = Value(sec=1_796_079_206, nanosec=416_094_674)
    assert nanoseconds(stamp) == 1_796_079_206_416_094_674
    assert seconds(stamp) == pytest.approx(1_796_079_206.416094674, abs=5e-7)


def test_speeds_of_a_base_that_cannot_go_sideways():
    assert speeds_of(Value(twist=Value(linear=xyz(0.2), angular=xyz(z=-0.5)))) == (0.2, -0.5, "")
    v, omega, fault = speeds_of(Value(twist=Value(linear=xyz(0.2, 0.1), angular=xyz())))
    assert (v, omega) == (0.2, 0.0) and fault


def test_a_scan_and_what_is_none():
    fields = {"angle_min": -0.5, "angle_max": 0.5, "angle_increment": 0.5, "range_min": 0.1, "range_max": 5.0}
    assert range_scan_of(Value(ranges=[1.0, 2.0, 3.0], **fields)) is not None
    with pytest.raises(ValueError):
        range_scan_of(Value(ranges=[1.0, 2.0, 3.0], **{**fields, "angle_increment": float("nan")}))


def test_a_pose_and_what_is_none():
    np.testing.assert_allclose(pose_of(odometry(0.0, 0.0, 0.0, 1.0))[:2, 3], [1.0, 2.0])
    with pytest.raises(ValueError, match="odometry: "):
        pose_of(odometry(0.0, 0.0, 0.0, 0.0))
