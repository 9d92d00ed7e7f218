"""Each row of the table of messages holds, by an example."""

import math

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.frames import base_frames, foreign
from rarrl.perception.camera_input import ENCODINGS, image_from_bytes
from rarrl.perception.rig import CameraRig
from rarrl.range_scan import RangeScan
from rarrl.safety.gate import planar
from rarrl.safety.joint_states import JointStates
from rarrl_nodes.accepted import ACCEPTED, CONVERTED, IGNORED, REFUSED, ROWS

LEFT = [500.0, 0, 320.0, 0, 0, 500.0, 240.0, 0, 0, 0, 1, 0]


def image(encoding="mono8", side=64, step=0, missing=0, big=False):
    pixel = ENCODINGS[encoding].pixel if encoding in ENCODINGS else 1
    step = step or side * pixel
    return image_from_bytes(bytes(step * side - missing), encoding, side, side, step, big)


def cameras(tx=-50.0, binning=(1, 1), offset=(0, 0), **right):
    other = list(LEFT)
    other[3] = tx
    for index, value in right.items():
        other[int(index[1:])] = value
    parts = [CameraRig.of_part(p, binning, offset) for p in (LEFT, other)]
    return CameraRig.from_projections(*parts, 640, 480, "f")


def scan(start=-1.0, step=0.02, ranges=(1.0,) * 101, end=None, limits=(0.1, 10.0)):
    end = start + step * (len(ranges) - 1) if end is None else end
    return RangeScan.from_readings(start, end, step, np.array(ranges), *limits)


def joints(names, positions):
    states = JointStates()
    states.update(["a", "b"], [0.0, 1.0], 1.0)
    if wrong := states.update(names, positions, 2.0):
        raise ValueError(wrong)
    known, _ = states.of(["a", "b"])
    if len(known) < 2:
        raise ValueError("a joint is not known any more")
    return known


def frame(name):
    if foreign(name, base_frames("base_link")):
        raise ValueError("another frame")


def axes(value):
    if fault := planar((0.2, value, 0.0), (0.0, 0.0, 0.0))[2]:
        raise ValueError(fault)


TURN = math.tau
OURS = ("base_link", "base_footprint", "")
EXAMPLES = {
    "rows padded at their end (`step`)": lambda: image(step=70, missing=6),
    "`is_bigendian`": lambda: image("mono16", big=True),
    "sides out of range": lambda: image(side=8),
    "fewer or more bytes than `step` and `height` say": lambda: image(missing=1),
    "`P` of a rectified pair": cameras,
    "binning": lambda: cameras(binning=(2, 2)),
    "region of interest": lambda: cameras(offset=(10, 20)),
    "other cx on the right (doffs)": lambda: cameras(p2=335.0),
    "`P[3]` of the right camera 0": lambda: cameras(tx=0.0),
    "left and right exchanged": lambda: cameras(tx=50.0),
    "NaN, no calibration, not rectified": lambda: cameras(p5=math.nan),
    "beams to the left": scan,
    "beams to the right (negative increment)": lambda: scan(1.0, -0.02),
    "first and last beam of one bearing": lambda: scan(0.0, TURN / 100, (1.0,) * 101),
    "more than a full turn": lambda: scan(0.0, TURN / 100, (1.0,) * 150),
    "increment, count and `angle_max` that contradict": lambda: scan(end=2.0),
    "+inf": lambda: scan(ranges=(math.inf,) * 10),
    "-inf, NaN, 0, out of `range_min` to `range_max`": lambda: scan(ranges=(-math.inf, math.nan, 0.0, 0.05, 11.0)),
    "`range_max` not above `range_min`": lambda: scan(limits=(1.0, 1.0)),
    "`range_max` above 300 m, but not infinite": lambda: scan(limits=(0.1, 1000.0)),
    "beams farther apart than 0.25 m": lambda: scan(0.0, 0.5),
    "child frame `base_frame`, `base_footprint` or none": lambda: [
        frame(n) for n in ("base_link", "base_footprint", "")
    ],
    "another child frame, or a changed frame": lambda: frame("camera_link"),
    "frame `base_frame`, `base_footprint` or none": lambda: list(map(frame, OURS)),
    "another frame": lambda: frame("map"),
    "other axes, up to 0.001": lambda: axes(0.0009),
    "other axes, above 0.001": lambda: axes(0.0011),
    "joints in any order, and further ones": lambda: joints(["c", "b", "a"], [2.0, 1.0, 0.0]),
    "some of the joints": lambda: joints(["b"], [1.0]),
    "no position (velocities or efforts alone)": lambda: joints(["a", "b"], []),
    "a position that is not finite": lambda: joints(["a", "b"], [math.nan, 1.0]),
    "a name twice, or other counts": lambda: joints(["a", "a"], [1.0, 1.0]),
}
ELSEWHERE = {
    "gray, for a policy": "tests/nodes/test_vla_policy_node.py",
    "left image in another frame than its CameraInfo": "tests/nodes/test_stereo_voxel_node.py",
    "frame in `gate.scan_frames`": "tests/nodes/test_safety_gate_node.py",
    "any other frame, or none": "tests/nodes/test_safety_gate_node.py",
    "any": "tests/test_diagnostics.py (why nothing was heard), or nothing subscribes",
}
"""Rows that need a node -> where they are shown."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.message} {row.content}")
def test_each_row_holds(row):
    if row.content in ELSEWHERE:
        return
    if row.content.startswith("encoding"):
        example = lambda: image(row.content.split("`")[1])  # noqa: E731
    else:
        example = EXAMPLES[row.content]

    if row.outcome == REFUSED:
        with pytest.raises((ValueError, InputError)):
            example()
    else:
        assert row.outcome in (ACCEPTED, CONVERTED, IGNORED)
        example()


def test_the_table_and_the_examples_go_together():
    contents = {row.content for row in ROWS if not row.content.startswith("encoding")}
    assert contents == set(EXAMPLES) | set(ELSEWHERE)
