"""Finds obstacles in one stereo pair: two numpy images in, voxels and the nearest obstacle out.

Needs: rarrl alone. Run: python examples/detector_on_two_images.py
You see: how many voxels are occupied, and a distance within one voxel (0.1 m) of the right answer. The pair is drawn
here, so the right answer is known: a textured box 1.65 m ahead of a textured wall. With your own camera, replace
`draw_pair` by two rectified images, and the rig by your calibration.
"""

import numpy as np

from rarrl import StereoPair, make_detector
from rarrl.perception.obstacles import Body, level_camera, summarize
from rarrl.perception.rig import CameraRig
from rarrl.types import VoxelState

RIG = CameraRig(fx=220.0, fy=220.0, cx=159.5, cy=119.5, baseline=0.12, width=320, height=240)
WALL_PX = 6  # disparity of the wall, pixels: 220 px * 0.12 m / 6 px = 4.4 m
BOX_PX = 16  # disparity of the box, pixels: 1.65 m


def draw_pair() -> StereoPair:
    """A wall with a box in front of it. A point at column x on the left lies at column x - disparity on the right."""
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 256, (240, 320 + WALL_PX), dtype=np.uint8)
    box = rng.integers(0, 256, (120, 80), dtype=np.uint8)

    left = wall[:, :320].copy()
    right = wall[:, WALL_PX:].copy()
    left[60:180, 120:200] = box
    right[60:180, 120 - BOX_PX : 200 - BOX_PX] = box

    return StereoPair(left, right)


def main() -> None:
    detector = make_detector(RIG, "indoor")  # 6.4 m a side, voxels of 0.1 m
    grid = detector.detect(draw_pair())
    print(f"occupied voxels: {np.count_nonzero(grid.state == VoxelState.OCCUPIED)} of {grid.state.size}")

    camera = level_camera(height_m=0.6)  # looks straight ahead, 0.6 m above the ground
    around = summarize(grid, camera, Body(width_m=0.4), speed=0.5, lookahead_m=3.0, field_rad=RIG.field_rad)
    ahead = around.nearest_m[len(around.nearest_m) // 2]
    print(f"nearest obstacle straight ahead: {ahead:.2f} m (the near side of its voxel)")
    print(f"right answer: {RIG.depth(np.array([BOX_PX]))[0]:.2f} m")
    print(f"time to contact at 0.5 m/s: {around.time_to_contact_s:.1f} s")


if __name__ == "__main__":
    main()
