"""Camera messages in, obstacle messages out. What comes in is checked; what goes out is filled in bulk."""

from __future__ import annotations

import array
import math

import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2, PointField
from std_msgs.msg import Header

from rarrl.errors import InputError
from rarrl.perception.camera_input import MAX_IMAGE_SIDE, image_from_bytes
from rarrl.perception.obstacles import HeightSlice
from rarrl.perception.rig import CameraRig
from rarrl.range_scan import BETWEEN_M, RangeScan
from rarrl.types import VoxelGrid, VoxelState

BLOCKED_M = 0.01
"""Metres. Range of a bearing of which nothing is known: a valid reading, an obstacle at the robot."""
_FIELDS = [
    PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
    for i, name in enumerate(("x", "y", "z", "probability"))
]


def image_of(msg: Image) -> np.ndarray:
    """The picture, gray or BGR. Raises: ValueError, one line."""
    data = memoryview(msg.data)
    return image_from_bytes(data, msg.encoding, msg.width, msg.height, msg.step, bool(msg.is_bigendian))


def rig_of(left: CameraInfo, right: CameraInfo) -> CameraRig:
    """The camera that two messages describe, with their binning and region of interest. Raises: InputError, one
    line."""
    for side, info in (("left", left), ("right", right)):
        if max(info.width, info.height) > MAX_INFO_SIDE:
            raise InputError(
                f"camera: {info.width} x {info.height} pixels of the {side} camera; at most {MAX_INFO_SIDE} a side"
            )
    sizes = [size_of(info) for info in (left, right)]
    if sizes[0] != sizes[1]:
        (width, height), (other_width, other_height) = sizes
        raise InputError(
            f"camera: left has {width} x {height} pixels, right {other_width} x {other_height}; they must be alike"
        )
    width, height = sizes[0]
    if max(width, height) > MAX_IMAGE_SIDE:
        raise InputError(f"camera: {width} x {height} pixels; at most {MAX_IMAGE_SIDE} a side")
    return CameraRig.from_projections(_projection(left), _projection(right), width, height, left.header.frame_id)


MAX_INFO_SIDE = 65536
"""Pixels of the full image that a CameraInfo may name; images themselves are of at most MAX_IMAGE_SIDE."""


def size_of(info: CameraInfo) -> tuple[int, int]:
    """Columns and rows of the images that a CameraInfo describes: of its region of interest, binned."""
    width = info.roi.width or info.width
    height = info.roi.height or info.height
    return int(width) // max(info.binning_x, 1), int(height) // max(info.binning_y, 1)


def _projection(info: CameraInfo) -> tuple[float, ...]:
    """Raises: InputError where its region of interest lies outside of the image."""
    roi = info.roi
    if roi.x_offset + roi.width > info.width or roi.y_offset + roi.height > info.height:
        raise InputError(
            f"camera: the region of interest ({roi.width} x {roi.height} at {roi.x_offset}, {roi.y_offset}) is outside "
            f"of {info.width} x {info.height} pixels"
        )
    return CameraRig.of_part(info.p, (info.binning_x, info.binning_y), (roi.x_offset, roi.y_offset))


def same_camera(a: CameraInfo | None, b: CameraInfo) -> bool:
    """Whether two messages describe one camera. Bit by bit: NaN equals itself here."""
    return a is not None and _described(a) == _described(b)


def _described(info: CameraInfo) -> tuple[object, ...]:
    roi = info.roi
    part = (info.binning_x, info.binning_y, roi.x_offset, roi.y_offset, roi.width, roi.height)
    return info.width, info.height, info.header.frame_id, *part, np.asarray(info.p).tobytes()


def cloud_of(grid: VoxelGrid, header: Header) -> PointCloud2:
    """The centres of the occupied voxels, with their probability."""
    occupied = grid.occupied
    centres = grid.centres(occupied)
    points = np.empty((len(centres), 4), dtype=np.float32)
    points[:, :3] = centres
    points[:, 3] = grid.probability.take(np.flatnonzero(occupied))
    msg = PointCloud2(header=header, height=1, width=len(points), fields=_FIELDS, is_bigendian=False, is_dense=True)
    msg.point_step = points.itemsize * points.shape[1]
    msg.row_step = msg.point_step * len(points)
    msg.data = _filled("B", points)
    return msg


def scan_of(scan: RangeScan, stamp: Time, frame: str) -> LaserScan:
    """How far each bearing is seen to be free; infinite where that is beyond `range_max`.

    A bearing of which nothing is known gets BLOCKED_M: zero would be no valid reading. Bearings stand for whole wedges
    here, unlike a lidar's beams: a wide one is sent as several, so that readers do not take it for beams with gaps."""
    parts = max(1, math.ceil(scan.increment * scan.range_max / BETWEEN_M))
    ranges = np.repeat(np.maximum(scan.ranges, BLOCKED_M), parts)
    ranges[ranges >= scan.range_max] = math.inf
    increment = scan.increment / parts

    msg = LaserScan(angle_increment=increment, range_min=BLOCKED_M / 2, range_max=scan.range_max)
    msg.angle_min = scan.angle_min - (scan.increment - increment) / 2
    msg.angle_max = msg.angle_min + (len(ranges) - 1) * increment
    msg.header.stamp = stamp
    msg.header.frame_id = frame
    msg.ranges = _filled("f", ranges.astype(np.float32))
    return msg


def occupancy_of(places: HeightSlice, stamp: Time, frame: str) -> OccupancyGrid:
    """Seen from above: 100 occupied, 0 free, -1 unknown. A cell is a voxel wide; rows run along x, from the right."""
    msg = OccupancyGrid()
    msg.header.stamp = stamp
    msg.header.frame_id = frame

    msg.info.map_load_time = stamp
    msg.info.resolution = places.cell
    msg.info.width, msg.info.height = places.state.shape
    msg.info.origin.position.x, msg.info.origin.position.y = places.origin
    msg.info.origin.orientation.w = 1.0

    values = np.full(len(VoxelState), -1, dtype=np.int8)
    values[VoxelState.FREE] = 0
    values[VoxelState.OCCUPIED] = 100
    msg.data = _filled("b", values[places.state.T])
    return msg


def _filled(kind: str, values: np.ndarray) -> array.array:
    """The only quick way into a message: lists and ndarrays are checked element by element."""
    result = array.array(kind)
    result.frombytes(np.ascontiguousarray(values).data.cast("B") if values.size else b"")
    return result
