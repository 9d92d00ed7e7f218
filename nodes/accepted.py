"""What the nodes make of the messages that they receive, as the table of docs/reference/messages.md.

tests/nodes/test_accepted.py shows each row by an example; the encodings of images are those that the code reads."""

from __future__ import annotations

from dataclasses import dataclass

from rarrl.perception.camera_input import ENCODINGS, MAX_IMAGE_SIDE, MAX_PADDING, REFUSED_ENCODINGS
from rarrl.safety.gate import OTHER_AXES

ACCEPTED = "accepted"
CONVERTED = "converted"
REFUSED = "refused"
IGNORED = "ignored"


@dataclass(frozen=True)
class Row:
    """One kind of content. outcome: accepted as it is, converted to what is used, refused (counted, with its reason in
    /diagnostics; the robot stands where it lasts) or ignored. how: what is done, or why not."""

    message: str
    content: str
    outcome: str
    how: str = ""


def _encodings() -> tuple[Row, ...]:
    rows = []
    for name, layout in ENCODINGS.items():
        plain = layout.convert is None and layout.word == 1
        how = "" if plain else "upper 8 bits of each number" if layout.word == 2 else "to BGR"
        if layout.channels == 4:
            how += ", alpha left out"
        rows.append(Row("Image", f"encoding `{name}`", ACCEPTED if plain else CONVERTED, how))
    rows += [Row("Image", f"encoding `{name}`", REFUSED, why) for name, why in REFUSED_ENCODINGS.items()]
    return tuple(rows)


ROWS: tuple[Row, ...] = (
    *_encodings(),
    Row(
        "Image",
        "rows padded at their end (`step`)",
        ACCEPTED,
        f"up to {MAX_PADDING} bytes; the last row may lack it",
    ),
    Row("Image", "`is_bigendian`", ACCEPTED, "of 16-bit encodings"),
    Row("Image", "sides out of range", REFUSED, f"64 to {MAX_IMAGE_SIDE} pixels"),
    Row("Image", "fewer or more bytes than `step` and `height` say", REFUSED),
    Row("Image", "gray, for a policy", REFUSED, "it was trained on colours"),
    Row("Image", "left image in another frame than its CameraInfo", REFUSED, "another camera's"),
    Row("CompressedImage", "any", REFUSED, "another type: run `image_transport republish compressed raw`"),
    Row("CameraInfo", "`P` of a rectified pair", ACCEPTED, "volatile or latched, also from before the node started"),
    Row("CameraInfo", "binning", CONVERTED, "`P` is scaled; images have the binned size"),
    Row("CameraInfo", "region of interest", CONVERTED, "`P` is shifted; images have its size"),
    Row("CameraInfo", "other cx on the right (doffs)", ACCEPTED, "disparities below 0 are searched"),
    Row("CameraInfo", "`P[3]` of the right camera 0", REFUSED, "no baseline; calibrate both cameras together"),
    Row("CameraInfo", "left and right exchanged", REFUSED),
    Row("CameraInfo", "NaN, no calibration, not rectified", REFUSED),
    Row("LaserScan", "beams to the left", ACCEPTED),
    Row("LaserScan", "beams to the right (negative increment)", CONVERTED, "turned round"),
    Row("LaserScan", "first and last beam of one bearing", CONVERTED, "the nearer reading counts"),
    Row("LaserScan", "more than a full turn", CONVERTED, "of one bearing the nearest reading counts"),
    Row("LaserScan", "increment, count and `angle_max` that contradict", REFUSED, "one beam off is accepted"),
    Row("LaserScan", "+inf", ACCEPTED, "nothing within `range_max` (REP 117)"),
    Row("LaserScan", "-inf, NaN, 0, out of `range_min` to `range_max`", ACCEPTED, "that bearing is blocked"),
    Row("LaserScan", "`range_max` not above `range_min`", REFUSED),
    Row("LaserScan", "`range_max` above 300 m, but not infinite", REFUSED, "centimetres or millimetres"),
    Row(
        "LaserScan",
        "beams farther apart than 0.25 m",
        ACCEPTED,
        "as far as they are nearer; beyond that nothing is free",
    ),
    Row("LaserScan", "frame in `gate.scan_frames`", ACCEPTED, "mounted as `gate.sensor_*` says, turned or upside down"),
    Row("LaserScan", "any other frame, or none", REFUSED, "stop, `unknown frame`; or `gate.sensor_from_tf`"),
    Row("Odometry", "child frame `base_frame`, `base_footprint` or none", ACCEPTED),
    Row("Odometry", "another child frame, or a changed frame", REFUSED, "the gate stops, `unknown frame`"),
    Row("TwistStamped", "frame `base_frame`, `base_footprint` or none", ACCEPTED),
    Row("TwistStamped", "another frame", REFUSED, "stop, `command not for this base`"),
    Row("TwistStamped", f"other axes, up to {OTHER_AXES}", IGNORED, "rounding"),
    Row("TwistStamped", f"other axes, above {OTHER_AXES}", REFUSED, "stop, `command not for this base`"),
    Row("JointState", "joints in any order, and further ones", ACCEPTED),
    Row("JointState", "some of the joints", ACCEPTED, "merged by name; each joint has its own time"),
    Row("JointState", "no position (velocities or efforts alone)", IGNORED),
    Row("JointState", "a position that is not finite", REFUSED, "that joint is not known any more"),
    Row("JointState", "a name twice, or other counts", REFUSED, "these joints are not known any more"),
    Row("PointCloud2", "any", IGNORED, "published by the detector (`voxels`), read by no node: the gate takes scans"),
)
