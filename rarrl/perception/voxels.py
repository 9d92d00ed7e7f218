"""From disparity to voxels: which of them are hit and which are seen through, and coarser copies of a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from rarrl.errors import InputError
from rarrl.perception.rig import CameraRig
from rarrl.types import VoxelGrid, VoxelState

MAX_SIZE = 128
"""Voxels along one side of the cube: twice the shipped presets; 128^3 voxels take 10 MB a grid."""
BLOCK = 4
"""Pixels: free space is judged on blocks of this side, by the nearest surface in each. Chosen by hand."""


@dataclass(frozen=True)
class GridSpec:
    """A cube of size^3 voxels in the left camera's optical frame.

    origin: the corner with the least x, y and z, metres. voxel_size: metres.

    Raises: InputError that names what is wrong."""

    origin: tuple[float, float, float]
    voxel_size: float
    size: int = 64

    def __post_init__(self) -> None:
        if len(self.origin) != 3 or not all(math.isfinite(c) for c in self.origin):
            raise InputError(f"grid: origin must be three finite numbers (metres), got {self.origin}")
        if not (math.isfinite(self.voxel_size) and 0.001 <= self.voxel_size <= 100):
            raise InputError(f"grid: voxel_size must be 0.001 to 100 m, got {self.voxel_size}")
        if not 8 <= self.size <= MAX_SIZE or self.size % 8:
            raise InputError(f"grid: size must be a multiple of 8 up to {MAX_SIZE} (voxels a side), got {self.size}")
        if self.z_far <= 0:
            raise InputError(f"grid: the cube lies wholly behind the camera (z up to {self.z_far} m)")

    @classmethod
    def cube(cls, side_m: float, voxel_size: float, below_m: float | None = None) -> GridSpec:
        """Makes a cube ahead of the camera, centred sideways.

        below_m: how far it reaches below the optical axis, metres; what lies lower, such as the ground, is cut. None
        centres it.

        >>> GridSpec.cube(32.0, 0.5, below_m=1.0).origin
        (-16.0, -31.0, 0.0)
        """
        cells = side_m / voxel_size if voxel_size > 0 else 0.0
        if abs(cells - round(cells)) > 1e-6:
            raise InputError(f"grid: a side of {side_m} m is not a whole number of {voxel_size} m voxels")

        below = side_m / 2 if below_m is None else below_m
        return cls((-side_m / 2, below - side_m, 0.0), voxel_size, round(cells))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of voxels along x, y and z."""
        return (self.size, self.size, self.size)

    @property
    def z_far(self) -> float:
        """The z coordinate of the cube's far face, metres."""
        return self.origin[2] + self.size * self.voxel_size


PRESETS: dict[str, GridSpec] = {
    "outdoor": GridSpec.cube(32.0, 0.5, below_m=1.0),  # that of StereoVoxelNet: ground more than 1 m below is cut
    "indoor": GridSpec.cube(6.4, 0.1),
    "near": GridSpec.cube(3.2, 0.05),  # for driving up to furniture: half the reach, twice as fine
}
"""The cubes that the setting `detector.preset` names."""


def grid_spec(name: str) -> GridSpec:
    """Returns the preset `name`. Raises: InputError that lists the names."""
    if name not in PRESETS:
        raise InputError(f"grid: preset {name!r} is unknown; allowed: {', '.join(PRESETS)}")
    return PRESETS[name]


@dataclass(frozen=True, eq=False)
class Voters:
    """Pixels that vote for the voxels that they lie in.

    disparity, weight: (rows, columns) float32; pixels, NaN: none. step: of the image they hold only every n-th row,
    from n // 2 on, and every m-th column."""

    disparity: np.ndarray
    weight: np.ndarray
    step: tuple[int, int] = (1, 1)


class Voxelizer:
    """Counts, for one camera and one cube, which voxels a disparity image hits and which it sees through."""

    def __init__(self, rig: CameraRig, spec: GridSpec) -> None:
        self.rig = rig
        self.spec = spec
        self._x = ((np.arange(rig.width) - rig.cx) / rig.fx).astype(np.float32)
        self._y = ((np.arange(rig.height) - rig.cy) / rig.fy).astype(np.float32)

        # Slabs of voxels along z: the disparity of the far face (pixels), and the depth of the middle for footprints.
        z = spec.origin[2] + spec.voxel_size * np.arange(spec.size + 1)
        self._slabs = np.flatnonzero(z[:-1] >= 0)
        with np.errstate(divide="ignore"):
            self._far = rig.fx * rig.baseline / z[1:] - rig.doffs

        self._depths = (z[:-1] + z[1:]) / 2
        self._boxes = [_boxes(rig, spec, int(k), self._depths[k], self._far[k]) for k in self._slabs]

    def hits(self, disparity: np.ndarray) -> np.ndarray:
        """Counts the pixels of `disparity` ((height, width) float32, pixels, NaN: none) that fall into each voxel.

        Returns: (size, size, size) int64."""
        return self._counted(self._flat_index(disparity))

    def votes(self, *voters: Voters) -> np.ndarray:
        """Adds up the weights of the pixels that fall into each voxel; (size, size, size) float64."""
        flat = np.concatenate([self._flat_index(v.disparity, v.step) for v in voters])
        return self._counted(flat, np.concatenate([v.weight.ravel() for v in voters]))

    def _counted(self, flat: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        counts = np.bincount(flat, weights=weight, minlength=self.spec.size**3 + 1)
        return counts[:-1].reshape(self.spec.shape)

    def certainty(self, disparity: np.ndarray, sigma_px: np.ndarray) -> np.ndarray:
        """Returns about the probability, (height, width) float32, that a pixel lies in the voxel of its disparity.

        It assumes a normal error with standard deviation `sigma_px` (float32, any shape that fits) and a point in the
        middle of the voxel."""
        sigmas = self.width_px(disparity) / (2 * sigma_px)
        return np.where(disparity == disparity, np.tanh(np.float32(0.8) * sigmas), 0)  # within 0.02 of erf(x / sqrt 2)

    def width_px(self, disparity: np.ndarray) -> np.ndarray:
        """Returns how many pixels of disparity a voxel's depth is at `disparity` (float32, any shape; NaN stays
        NaN)."""
        # That is voxel_size * (disparity + doffs)^2 / (fx * baseline). Disparities below 0.1 lie beyond any cube.
        shifted = np.maximum(disparity + np.float32(self.rig.doffs), np.float32(0.1))
        return shifted * shifted * np.float32(self.spec.voxel_size / (self.rig.fx * self.rig.baseline))

    def _flat_index(self, disparity: np.ndarray, step: tuple[int, int] = (1, 1)) -> np.ndarray:
        """Returns the flat voxel index of each pixel, (n,) int32; the number of voxels for those outside the cube."""
        rig = self.rig
        spec = self.spec
        if step == (1, 1):
            rig.check_size(disparity)

        rows, columns = disparity.shape
        y, x = (axis[n // 2 :: n] for axis, n in zip((self._y, self._x), step, strict=True))
        y, x = y[:rows, None], x[:columns]

        # Every pixel is computed, even without disparity: whole images are quicker than gathering some pixels.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            z = np.float32(rig.fx * rig.baseline) / (disparity + np.float32(rig.doffs))
            index = np.zeros(z.shape, dtype=np.int32)
            inside = z > 0

            for low, axis in zip(spec.origin, (x, y, np.float32(1)), strict=True):
                cell = axis * z
                cell -= np.float32(low)
                cell *= np.float32(1 / spec.voxel_size)
                inside &= (cell >= 0) & (cell < spec.size)  # false for NaN
                index *= spec.size
                index += cell.astype(np.int32)

        np.copyto(index, spec.size**3, where=~inside)
        return index.ravel()

    def seen_through(self, disparity: np.ndarray, textured: np.ndarray | None = None, row_step: int = 1) -> np.ndarray:
        """Returns the share, 0 to 1, of each voxel's image footprint whose rays pass through it.

        Carving: a ray passes through the voxels nearer than its surface. Blocks of 4 x 4 pixels count with their
        *nearest* surface; pixels without disparity, and the part of a footprint outside the image, count as not seen.

        textured: (rows, columns) bool per block; nothing is seen through the other blocks. None: all are textured.
        row_step: 2 where a row of `disparity` stands for two of the image.
        Returns: (size, size, size) float32."""
        if row_step == 1:
            self.rig.check_size(disparity)
        size = self.spec.size

        nearest, count = _blocks(disparity, -(-self.rig.height // BLOCK), row_step)
        if textured is not None:
            count *= textured

        nearest = np.ascontiguousarray(nearest.T)
        count = np.ascontiguousarray(count.T)

        share = np.zeros((size, size, size), dtype=np.float32)  # z, x, y while it is filled
        seen = nearest[count > 0]
        least, most = (seen.min(), seen.max()) if len(seen) else (np.inf, -np.inf)

        table = None
        for box in self._boxes:
            if box.far <= least:
                break  # no ray passes through this slab, nor through those behind it

            if table is None or box.far <= most:  # nearer slabs let every ray through, so one table serves them all
                table = cv2.integral((nearest < box.far) * count)

            strip = table[box.right] - table[box.left]  # whole rows first, because gathering single numbers is slow
            share[box.within] = (strip[:, box.below] - strip[:, box.above]) * box.per_block

        # Viewed as a (z, x y) matrix, a transposed copy by OpenCV is twenty times quicker than numpy's.
        return cv2.transpose(share.reshape(size, -1)).reshape(self.spec.shape)

    def footprints(self, seen: np.ndarray) -> np.ndarray:
        """Returns, (size, size, size) bool, the voxels whose image footprint holds a pixel of `seen`.

        seen: (height, width) bool."""
        self.rig.check_size(seen)
        spec = self.spec
        rig = self.rig

        table = np.zeros((rig.height + 1, rig.width + 1), dtype=np.int64)
        table[1:, 1:] = seen.cumsum(axis=0).cumsum(axis=1)
        held = np.zeros((spec.size, spec.size, spec.size), dtype=bool)
        edges = np.arange(spec.size + 1) * spec.voxel_size

        for k in self._slabs:
            u = np.clip(np.ceil(rig.fx * (edges + spec.origin[0]) / self._depths[k] + rig.cx), 0, rig.width).astype(int)
            v = np.clip(np.ceil(rig.fy * (edges + spec.origin[1]) / self._depths[k] + rig.cy), 0, rig.height).astype(
                int
            )
            at = table[np.ix_(v, u)]
            held[k] = (at[1:, 1:] - at[1:, :-1] - at[:-1, 1:] + at[:-1, :-1]) > 0

        return np.ascontiguousarray(held.transpose(2, 1, 0))

    def grid(self, state: np.ndarray, probability: np.ndarray, stamp_s: float, refusal: str = "") -> VoxelGrid:
        """Makes a `VoxelGrid` of this cube in this camera's frame."""
        spec = self.spec
        return VoxelGrid(state, probability, spec.origin, spec.voxel_size, self.rig.frame, stamp_s, refusal)

    def nothing_seen(self, stamp_s: float, refusal: str = "") -> VoxelGrid:
        """Makes a grid in which all is unknown, for a pair that cannot be used; refusal says why it cannot."""
        shape = self.spec.shape
        return self.grid(np.zeros(shape, np.uint8), np.full(shape, 0.5, np.float32), stamp_s, refusal)


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Footprints of the voxels of one slab, in blocks.

    far: disparity of the slab's far face, pixels. within: the index (z, columns, rows) of the voxels that meet the
    image. left, right, above, below: edges, in blocks. per_block: 1 / (16 * blocks of the whole box), because a box may
    reach beyond the image, where nothing is seen."""

    far: np.float32
    within: tuple[int, slice, slice]
    left: np.ndarray
    right: np.ndarray
    above: np.ndarray
    below: np.ndarray
    per_block: np.ndarray


def _boxes(rig: CameraRig, spec: GridSpec, slab: int, depth: float, far: float) -> _Boxes:
    """Computes the footprints, widened to whole blocks, of the voxels in `slab`, whose middle is at `depth`
    (metres)."""
    edges = np.arange(spec.size + 1) * spec.voxel_size
    columns, rows = -(-rig.width // BLOCK), -(-rig.height // BLOCK)
    low_u, high_u, in_u = _spans((rig.fx * (edges + spec.origin[0]) / depth + rig.cx) / BLOCK, columns)
    low_v, high_v, in_v = _spans((rig.fy * (edges + spec.origin[1]) / depth + rig.cy) / BLOCK, rows)
    per_block = 1 / (BLOCK**2 * (high_u - low_u)[:, None] * (high_v - low_v))
    left, right, above, below = (
        np.clip(edge, 0, end).astype(np.intp)
        for edge, end in ((low_u, columns), (high_u, columns), (low_v, rows), (high_v, rows))
    )

    return _Boxes(np.float32(far), (slab, in_u, in_v), left, right, above, below, per_block.astype(np.float32))


def _spans(edges: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray, slice]:
    """Widens each span between consecutive `edges` to whole numbers, at least one apart.

    Returns the lower and upper ends of the spans that meet 0..end, and which spans these are."""
    low = np.floor(edges[:-1])
    high = np.maximum(np.ceil(edges[1:]), low + 1)
    meets = np.flatnonzero((high > 0) & (low < end))
    within = slice(int(meets[0]), int(meets[-1]) + 1) if len(meets) else slice(0, 0)
    return low[within], high[within], within


def _blocks(disparity: np.ndarray, rows: int, row_step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns per block of 4 x 4 pixels the greatest disparity (float32, -inf: none) and how many have one (uint8).

    rows: of blocks. row_step: how many rows of the image one of `disparity` stands for."""
    columns = -(-disparity.shape[1] // BLOCK)
    high = BLOCK // row_step
    padded = np.full((rows * high, columns * BLOCK), -np.inf, dtype=np.float32)
    known = disparity == disparity  # false for NaN
    np.copyto(padded[: disparity.shape[0], : disparity.shape[1]], disparity, where=known)

    strips = padded.reshape(rows, high, columns * BLOCK).max(axis=1)
    nearest = np.maximum.reduce([strips[:, i::BLOCK] for i in range(BLOCK)])

    valid = (padded > -np.inf).view(np.uint8).reshape(rows, high, columns * BLOCK).sum(axis=1, dtype=np.uint8)
    count = np.add.reduce([valid[:, i::BLOCK] for i in range(BLOCK)], dtype=np.uint8) * np.uint8(row_step)

    return nearest, count


def pool(mask: np.ndarray, factor: int) -> np.ndarray:
    """Merges `factor`^3 voxels of the cube `mask` into one, which takes the greatest of their values.

    Raises: ValueError if the side is not a multiple of `factor`."""
    n = mask.shape[0]
    if factor < 1 or n % factor:
        raise ValueError(f"factor must divide the {n} voxels of a side, got {factor}")

    m = n // factor
    pooled: np.ndarray = mask.reshape(m, factor, m, factor, m, factor).max(axis=(1, 3, 5))
    return pooled


def coarsen(grid: VoxelGrid, factor: int) -> VoxelGrid:
    """Merges `factor`^3 voxels of `grid` into one: occupied if any of them is, free if all are, else unknown.

    The probability is the greatest one."""
    occupied = pool(grid.occupied, factor)
    unknown = pool(grid.unknown, factor)
    state = np.where(occupied, VoxelState.OCCUPIED, np.where(unknown, VoxelState.UNKNOWN, VoxelState.FREE))

    return VoxelGrid(
        state.astype(np.uint8),
        pool(grid.probability, factor),
        grid.origin,
        grid.voxel_size * factor,
        grid.frame,
        grid.stamp_s,
    )


def pyramid(grid: VoxelGrid, coarsest: int = 8) -> list[VoxelGrid]:
    """Returns copies of `grid` from coarse to fine, e.g. 8^3, 16^3, 32^3, 64^3; the last is `grid` itself."""
    size = grid.state.shape[0]
    levels = [grid]

    factor = 2
    while size % factor == 0 and size // factor >= coarsest:
        levels.insert(0, coarsen(grid, factor))
        factor *= 2

    return levels


@dataclass(frozen=True, eq=False)
class Truth:
    """The true state of the voxels of one pair, (size, size, size) bool each.

    occupied: the voxel holds a surface point that the left camera sees. observed: its image footprint holds a pixel
    with known truth; of other voxels nothing is known."""

    occupied: np.ndarray
    observed: np.ndarray


def truth_voxels(voxelizer: Voxelizer, disparity: np.ndarray) -> Truth:
    """Makes the truth from the true disparity of the left image ((height, width) float32, pixels; NaN: none).

    A voxel is occupied if at least one pixel's point falls into it."""
    return Truth(voxelizer.hits(disparity) > 0, voxelizer.footprints(~np.isnan(disparity)))
