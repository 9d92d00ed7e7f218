"""Rendered stereo pairs with exact truth: textured quads, a z-buffer, and two cameras with real cameras' faults.

A scene is a list of flat quads in the left camera's frame. Each is drawn by its homography (cv2.warpPerspective); depth
is exact, for 1/z is linear over the image of a plane. The same seed gives the same pair, byte by byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from rarrl.perception.rig import CameraRig
from rarrl.types import StereoPair

NEAR = 0.05  # metres; quads are clipped here
TEXTURE_SIDE = 256  # texels
KINDS = ("indoor", "outdoor")
# How often a texture is of which style. Repetitive ones (checks, stripes, bricks) are traps: some, not most.
STYLES = {
    "noise": 0.34,
    "fine": 0.16,
    "blobs": 0.14,
    "print": 0.12,
    "bricks": 0.08,
    "weak": 0.06,
    "checks": 0.05,
    "stripes": 0.05,
}


@dataclass(frozen=True, eq=False)
class Quad:
    """A parallelogram: `corner` + a * `along` + b * `across` for a, b in 0..1, (3,) metres, left optical frame.

    texture: index into the scene's textures; -1: drawn by `shade` alone (nothing to match on). repeat: how often the
    texture repeats along and across. shade: (3,) BGR factor."""

    corner: np.ndarray
    along: np.ndarray
    across: np.ndarray
    texture: int
    repeat: tuple[float, float]
    shade: np.ndarray


@dataclass(frozen=True, eq=False)
class Scene:
    """What is in front of the cameras. sky: BGR of what no quad covers."""

    kind: str
    rig: CameraRig
    quads: list[Quad]
    textures: list[np.ndarray]
    sky: np.ndarray


@dataclass(frozen=True, eq=False)
class RenderedPair:
    """disparity: (height, width) float32 true disparity of the left image, px; NaN where no quad is seen (sky)."""

    kind: str
    rig: CameraRig
    pair: StereoPair
    disparity: np.ndarray


@dataclass(frozen=True)
class SynthConfig:
    """How rendered pairs are drawn. Ranges are (least, greatest)."""

    width: int = 880
    height: int = 400
    baseline_m: tuple[float, float] = (0.05, 0.6)
    misrectification_px: float = 1.0
    kinds: tuple[str, ...] = field(default=KINDS)


def render_pairs(n: int, seed: int, config: SynthConfig | None = None, first: int = 0) -> Iterator[RenderedPair]:
    """Pairs `first` .. `first + n - 1` of the endless set named `seed`; kinds in turn."""
    for index in range(first, first + n):
        yield render_pair(seed, index, config)


def render_pair(seed: int, index: int, config: SynthConfig | None = None) -> RenderedPair:
    """Pair `index` of the set `seed`; independent of the others, so sets can be drawn in parallel.

    Raises: ValueError for a kind that does not exist."""
    config = config or SynthConfig()
    rng = np.random.default_rng([seed, index])
    scene = _scene(rng, index, config)
    return _pair(scene, float(index), config, rng, rng)


def build_scene(seed: int, index: int, config: SynthConfig | None = None) -> Scene:
    """The scene of `render_pair(seed, index, config)`, to be moved in and photographed frame by frame.

    Raises: ValueError for a kind that does not exist."""
    return _scene(np.random.default_rng([seed, index]), index, config or SynthConfig())


def render_frame(
    scene: Scene, seed: int, frame: int, stamp_s: float, config: SynthConfig | None = None
) -> RenderedPair:
    """Frame `frame` of a sequence of `scene` by the camera `seed`.

    Lens and exposure are those of the other frames, sensor noise is the frame's own."""
    camera = np.random.default_rng([seed, 0])
    grain = np.random.default_rng([seed, 1, frame])
    return _pair(scene, stamp_s, config or SynthConfig(), camera, grain)


def _scene(rng: np.random.Generator, index: int, config: SynthConfig) -> Scene:
    kind = config.kinds[index % len(config.kinds)]
    if kind not in KINDS:
        raise ValueError(f"SynthConfig.kinds: {kind!r} is unknown; allowed: {', '.join(KINDS)}")
    return _indoor(rng, config) if kind == "indoor" else _outdoor(rng, config)


def _pair(
    scene: Scene, stamp_s: float, config: SynthConfig, camera: np.random.Generator, grain: np.random.Generator
) -> RenderedPair:
    left, inverse_depth = draw(scene, 0.0)
    right, _ = draw(scene, scene.rig.baseline)
    with np.errstate(invalid="ignore"):
        disparity = np.where(
            inverse_depth > 0, scene.rig.fx * scene.rig.baseline * inverse_depth - scene.rig.doffs, np.nan
        ).astype(np.float32)
    pair = StereoPair(*_photograph(camera, left, right, config, grain), stamp_s=stamp_s)
    return RenderedPair(scene.kind, scene.rig, pair, disparity)


def draw(scene: Scene, baseline: float) -> tuple[np.ndarray, np.ndarray]:
    """(height, width, 3) uint8 image and (height, width) float32 inverse depth (1/m, 0 = nothing) from a camera
    `baseline` metres to the right of the left one."""
    rig = scene.rig
    image = np.empty((rig.height, rig.width, 3), dtype=np.uint8)
    image[:] = scene.sky
    buffer = np.zeros((rig.height, rig.width), dtype=np.float32)
    cx = rig.cx + (rig.doffs if baseline else 0.0)
    K = np.array([[rig.fx, 0, cx], [0, rig.fy, rig.cy], [0, 0, 1]])
    mips = {index: _mipmaps(texture) for index, texture in enumerate(scene.textures)}
    for quad in scene.quads:
        _draw_quad(image, buffer, quad, mips.get(quad.texture, []), K, np.array([baseline, 0.0, 0.0]))
    return image, buffer


def _draw_quad(
    image: np.ndarray,
    buffer: np.ndarray,
    quad: Quad,
    mips: list[np.ndarray],
    K: np.ndarray,
    position: np.ndarray,
) -> None:
    corner = quad.corner - position
    ring = np.array([corner, corner + quad.along, corner + quad.along + quad.across, corner + quad.across])
    height, width = buffer.shape
    ring = _clip(ring, _view(K, width, height))
    if not len(ring):
        return

    pixels = ring @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    x0, y0 = np.maximum(np.floor(pixels.min(axis=0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 1, (width, height))
    if x0 >= x1 or y0 >= y1:
        return

    normal = np.cross(quad.along, quad.across)
    offset = float(normal @ corner)
    if abs(offset) < 1e-9:  # seen edge-on
        return

    mask = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
    fixed = np.round((pixels - (x0, y0)) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 1, shift=4)

    # Points X of the plane obey normal . X = offset, and X = z K^-1 (u, v, 1): 1/z is linear in u and v.
    a, b, c = (normal @ np.linalg.inv(K)) / offset
    inverse = ((a * np.arange(x0, x1) + c)[None, :] + (b * np.arange(y0, y1))[:, None]).astype(np.float32)
    nearer = (mask > 0) & (inverse > buffer[y0:y1, x0:x1])
    if not nearer.any():
        return

    buffer[y0:y1, x0:x1][nearer] = inverse[nearer]
    if not mips:
        image[y0:y1, x0:x1][nearer] = np.clip(160 * quad.shade, 0, 255).astype(np.uint8)
        return

    # Texture coordinates in texels of the full-size texture, as a homography of pixels.
    frame = np.stack([quad.along, quad.across, corner], axis=1)
    to_texel = np.diag([quad.repeat[0] * TEXTURE_SIDE, quad.repeat[1] * TEXTURE_SIDE, 1.0]) @ np.linalg.inv(K @ frame)

    # One mip level per quad would blur or alias long floors: take two or more, by texels per pixel.
    texels = (
        max(
            quad.repeat[0] * TEXTURE_SIDE / np.linalg.norm(quad.along),
            quad.repeat[1] * TEXTURE_SIDE / np.linalg.norm(quad.across),
        )
        / K[0, 0]
    )
    seen = inverse[nearer]
    level = np.clip(np.round(np.log2(np.maximum(texels / seen, 1e-6)) - 0.3), 0, len(mips) - 1).astype(np.int8)

    colours = np.empty((len(seen), 3), dtype=np.uint8)
    shift = np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1]], dtype=float)
    for number in np.unique(level):
        scale = 0.5 ** int(number)
        texel = np.diag([scale, scale, 1.0]) @ to_texel @ shift
        drawn = cv2.warpPerspective(
            mips[int(number)],
            texel,
            (x1 - x0, y1 - y0),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_WRAP,
        )
        here = level == number
        colours[here] = drawn[nearer][here]

    image[y0:y1, x0:x1][nearer] = np.clip(colours * quad.shade.astype(np.float32), 0, 255).astype(np.uint8)


def _clip(ring: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Sutherland-Hodgman: the part of a convex `ring` ((n, 3)) on the inner side (plane . (x, y, z, 1) >= 0) of all."""
    for plane in planes:
        kept = []
        inner = ring @ plane[:3] + plane[3]
        for i in range(len(ring)):
            j = (i + 1) % len(ring)
            if inner[i] >= 0:
                kept.append(ring[i])
            if (inner[i] >= 0) != (inner[j] >= 0):
                kept.append(ring[i] + (ring[j] - ring[i]) * (inner[i] / (inner[i] - inner[j])))

        if len(kept) < 3:
            return np.empty((0, 3))
        ring = np.array(kept)

    return ring


def _view(K: np.ndarray, width: int, height: int) -> np.ndarray:
    """Planes (5, 4) of what the camera sees, two pixels wider than the image."""
    left, right = (-2 - K[0, 2]) / K[0, 0], (width + 2 - K[0, 2]) / K[0, 0]
    top = (-2 - K[1, 2]) / K[1, 1]
    bottom = (height + 2 - K[1, 2]) / K[1, 1]
    return np.array([[0, 0, 1, -NEAR], [1, 0, -left, 0], [-1, 0, right, 0], [0, 1, -top, 0], [0, -1, bottom, 0]])


def _mipmaps(texture: np.ndarray) -> list[np.ndarray]:
    levels = [texture]
    while levels[-1].shape[0] > 8:
        side = levels[-1].shape[0] // 2
        levels.append(cv2.resize(levels[-1], (side, side), interpolation=cv2.INTER_AREA))
    return levels


# Textures


def _noise(rng: np.random.Generator, coarsest: int, finest: int, falloff: float) -> np.ndarray:
    """(side, side) float32 in 0..1: octaves of smooth noise; wraps around."""
    total = np.zeros((TEXTURE_SIDE, TEXTURE_SIDE), dtype=np.float32)
    cells = coarsest
    weight = 1.0
    while cells <= finest:
        values = rng.random((cells, cells), dtype=np.float32)
        wrapped = np.pad(values, ((1, 1), (1, 1)), mode="wrap")
        side = TEXTURE_SIDE * (cells + 2) // cells
        edge = TEXTURE_SIDE // cells
        big = cv2.resize(wrapped, (side, side), interpolation=cv2.INTER_CUBIC)
        total += weight * big[edge : edge + TEXTURE_SIDE, edge : edge + TEXTURE_SIDE]
        cells = cells * 2
        weight = weight * falloff

    low, high = total.min(), total.max()
    return (total - low) / max(high - low, 1e-6)


def _texture(rng: np.random.Generator) -> np.ndarray:
    """(side, side, 3) uint8: noise, bricks, checks, stripes, blobs or print, in two or three colours."""
    side = TEXTURE_SIDE
    style = str(rng.choice(list(STYLES), p=list(STYLES.values())))
    dark = rng.uniform(20, 120) + rng.normal(0, 15, 3)
    light = rng.uniform(100, 230) + rng.normal(0, 20, 3)
    y, x = np.mgrid[0:side, 0:side]
    if style == "noise":
        mix = _noise(rng, int(2 ** rng.integers(1, 4)), 128, rng.uniform(0.5, 0.9))
    elif style == "fine":
        mix = _noise(rng, int(2 ** rng.integers(4, 6)), 128, rng.uniform(0.7, 1.0))
    elif style == "weak":  # plaster: almost nothing to hold on to
        mix = 0.5 + rng.uniform(0.02, 0.15) * (_noise(rng, 2, 128, 0.7) - 0.5)
    elif style == "bricks":
        rows = int(2 ** rng.integers(3, 5))
        h, w = side // rows, 2 * side // rows
        shifted = (x + (y // h % 2) * (w // 2)) % side
        tone = rng.random((rows, side // w)).astype(np.float32)[y // h, shifted // w]
        mix = np.where((y % h < 2) | (shifted % w < 2), 0.0, 0.5 + 0.5 * tone)
    elif style == "checks":
        n = side // int(2 ** rng.integers(2, 5))
        mix = ((x // n + y // n) % 2).astype(np.float32)
    elif style == "stripes":
        n = side // int(2 ** rng.integers(2, 6))
        mix = ((x if rng.random() < 0.6 else y) // n % 2).astype(np.float32)
    else:
        canvas = np.zeros((side, side), dtype=np.float32)
        for _ in range(int(rng.integers(30, 120))):
            at = tuple(int(v) for v in rng.integers(0, side, 2))
            size = tuple(int(v) for v in rng.integers(2, 24, 2))
            if style == "blobs":
                cv2.ellipse(canvas, at, size, float(rng.uniform(0, 180)), 0, 360, float(rng.random()), -1)
            else:
                cv2.rectangle(canvas, at, (at[0] + size[0], at[1] + size[1] // 4), float(rng.random()), -1)

        mix = canvas

    if style in ("bricks", "checks", "stripes", "blobs", "print") and rng.random() < 0.8:
        mix = np.clip(mix + rng.uniform(0.05, 0.35) * (_noise(rng, 4, 128, 0.8) - 0.5), 0, 1)
    tint = rng.uniform(-20, 20, 3) * _noise(rng, 2, 8, 0.6)[..., None]
    return np.clip(dark + (light - dark) * np.asarray(mix)[..., None] + tint, 0, 255).astype(np.uint8)


# Scenes. They are built in a level frame (x right, y down, z ahead, origin at the camera), then turned into the camera.


def _rig(
    rng: np.random.Generator, config: SynthConfig, focal: tuple[float, float], fb: tuple[float, float]
) -> CameraRig:
    """A camera: focal length as a share of the width; focal length times baseline within `fb`, px m."""
    f = config.width * rng.uniform(*focal)
    low = max(config.baseline_m[0], fb[0] / f)
    high = max(low, min(config.baseline_m[1], fb[1] / f))

    return CameraRig(
        fx=f,
        fy=f,
        cx=config.width * rng.uniform(0.47, 0.53),
        cy=config.height * rng.uniform(0.44, 0.56),
        baseline=float(math.exp(rng.uniform(math.log(low), math.log(high)))),
        width=config.width,
        height=config.height,
    )


def _turn(rng: np.random.Generator, pitch_deg: tuple[float, float], roll_deg: float) -> np.ndarray:
    """Rotation that takes level axes to the camera's."""
    pitch, roll = math.radians(rng.uniform(*pitch_deg)), math.radians(rng.uniform(-roll_deg, roll_deg))
    tilt = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    lean = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    turned: np.ndarray = lean @ tilt
    return turned


class _Builder:
    """Collects the quads of a scene."""

    def __init__(self, rng: np.random.Generator, rotation: np.ndarray, n_textures: int, bare: float) -> None:
        self.rng = rng
        self.rotation = rotation
        self.bare = bare
        self.textures = [_texture(rng) for _ in range(n_textures)]
        self.quads: list[Quad] = []

    def add(
        self,
        corner: list[float],
        along: list[float],
        across: list[float],
        per_m: float | None = None,
        shade: float = 1.0,
    ) -> None:
        """A quad with a random texture, `per_m` repeats a metre; bare with the scene's probability."""
        rng = self.rng
        density = per_m or float(math.exp(rng.uniform(math.log(0.4), math.log(3.0))))
        a, b = (np.asarray(v, dtype=float) for v in (along, across))
        texture = -1 if rng.random() < self.bare else int(rng.integers(len(self.textures)))
        self.quads.append(
            Quad(
                self.rotation @ np.asarray(corner, dtype=float),
                self.rotation @ a,
                self.rotation @ b,
                texture,
                (density * float(np.linalg.norm(a)), density * float(np.linalg.norm(b))),
                shade * rng.uniform(0.75, 1.15, 3),
            )
        )

    def box(
        self, centre: tuple[float, float, float], size: tuple[float, float, float], yaw: float, per_m: float
    ) -> None:
        """Five faces (no bottom); `centre` is that of the bottom face, `size` width, height, length."""
        w, h, length = size
        ex = np.array([math.cos(yaw), 0, math.sin(yaw)])
        ez = np.array([-math.sin(yaw), 0, math.cos(yaw)])
        down = np.array([0.0, 1.0, 0.0])
        low = np.asarray(centre) - ex * w / 2 - ez * length / 2

        top = low - down * h
        for corner, a, b, shade in (
            (top, ex * w, down * h, 1.0),
            (top + ez * length, ex * w, down * h, 1.0),
            (top, ez * length, down * h, 0.8),
            (top + ex * w, ez * length, down * h, 0.7),
            (top, ex * w, ez * length, 1.15),
        ):
            self.add(list(corner), list(a), list(b), per_m, shade)

    def pole(self, x: float, z: float, floor: float, height: float, thickness: float) -> None:
        """A thin upright quad that faces the camera."""
        self.add([x, floor - height, z], [thickness, 0, 0], [0, height, 0], float(self.rng.uniform(1, 4)))

    def scene(self, kind: str, rig: CameraRig) -> Scene:
        """The finished scene."""
        return Scene(kind, rig, self.quads, self.textures, self.rng.uniform((150, 140, 120), (255, 245, 235)))


def _indoor(rng: np.random.Generator, config: SynthConfig) -> Scene:
    """A room with boxes, boards and poles, or a table top seen from near."""
    rig = _rig(rng, config, (0.6, 1.6), (25.0, 220.0))
    near = rng.random() < 0.4
    bare = rng.choice([0.0, 0.05, 0.15])
    b = _Builder(rng, _turn(rng, (-4, 18), 4.0), int(rng.integers(6, 11)), bare)
    depth = rng.uniform(1.6, 3.2) if near else rng.uniform(3.0, 6.2)
    half = rng.uniform(1.2, 3.2)
    floor, ceiling = rng.uniform(0.3, 1.3), -rng.uniform(0.8, 1.8)
    b.bare = 0.3 * bare
    b.add([-half, ceiling, depth], [2 * half, 0, 0], [0, floor - ceiling, 0])  # far wall
    b.add([-half, floor, -0.5], [2 * half, 0, 0], [0, 0, depth + 0.5])  # floor
    b.add([-half, ceiling, -0.5], [2 * half, 0, 0], [0, 0, depth + 0.5])
    b.add([-half, ceiling, -0.5], [0, 0, depth + 0.5], [0, floor - ceiling, 0])
    b.add([half, ceiling, -0.5], [0, 0, depth + 0.5], [0, floor - ceiling, 0])

    b.bare = bare
    first = max(0.45, 5.0 * rig.fx * rig.baseline / config.width)  # at most a fifth of the width in disparity
    for _ in range(int(rng.integers(8, 20))):
        z = rng.uniform(min(first, 0.8 * depth), depth)
        x = rng.uniform(-1, 1) * min(half, 0.55 * z * config.width / rig.fx)
        what = rng.choice(["box", "board", "pole", "ball"], p=[0.45, 0.3, 0.15, 0.1])
        seen = z * config.height / rig.fx  # what the image spans from top to bottom at this depth
        base = floor if rng.random() < 0.3 else min(floor, rng.uniform(-0.2, 0.9) * seen)
        if what == "box":
            size = tuple(rng.uniform((0.08, 0.08, 0.08), (0.7, 0.9, 0.7)))
            b.box((x, base, z + 0.35), size, rng.uniform(-1.5, 1.5), float(rng.uniform(1, 6)))
        elif what == "board":
            w, h = rng.uniform(0.1, 0.9, 2)
            slope = rng.uniform(-0.8, 0.8, 2)
            b.add([x - w / 2, base - h, z], [w, 0, slope[0] * w], [0, h, slope[1] * h], float(rng.uniform(1, 6)))
        elif what == "pole":
            b.pole(x, z, floor, rng.uniform(0.4, 1.8), rng.uniform(0.01, 0.06))
        else:
            _ball(b, np.array([x, base - 0.2, z]), rng.uniform(0.08, 0.35))

    return b.scene("indoor", rig)


def _ball(b: _Builder, centre: np.ndarray, radius: float) -> None:
    """A lantern of quads: curved enough for slanted and turning surfaces."""
    n = 10
    height = 1.6 * radius
    for i in range(n):
        one, two = (2 * math.pi * (i + k) / n for k in (0, 1))
        p = centre + radius * np.array([math.cos(one), 0, math.sin(one)])
        q = centre + radius * np.array([math.cos(two), 0, math.sin(two)])
        b.add(list(p - (0, height / 2, 0)), list(q - p), [0, height, 0], 2.0)


def _outdoor(rng: np.random.Generator, config: SynthConfig) -> Scene:
    """A street: road, houses, cars, people-sized boxes, poles, signs."""
    rig = _rig(rng, config, (0.6, 1.25), (60.0, 560.0))
    b = _Builder(rng, _turn(rng, (-3, 8), 3.0), int(rng.integers(6, 10)), rng.choice([0.0, 0.05, 0.1]))
    floor = rng.uniform(0.5, 2.0)
    b.add([-60, floor, 0.0], [120, 0, 0], [0, 0, 120], float(rng.uniform(0.15, 0.8)))

    road = rng.uniform(3.5, 9.0)
    for side in (-1, 1):
        z = rng.uniform(-5, 8)
        while z < 60 and rng.random() < 0.93:
            length = rng.uniform(4, 18)
            height = rng.uniform(3, 14)
            x = side * (road + rng.uniform(0, 6) + 4)
            b.box((x, floor, z + length / 2), (8.0, height, length), rng.normal(0, 0.05), float(rng.uniform(0.1, 0.6)))
            z += length + rng.uniform(0, 8)

    first = max(2.0, 5.0 * rig.fx * rig.baseline / config.width)
    for _ in range(int(rng.integers(5, 13))):
        z = float(math.exp(rng.uniform(math.log(first), math.log(40.0))))
        x = rng.uniform(-1, 1) * min(road, 0.5 * z * config.width / rig.fx)
        what = rng.choice(["car", "person", "pole", "sign", "bush"], p=[0.3, 0.2, 0.25, 0.1, 0.15])
        if what == "car":
            b.box((x, floor, z + 2.5), (1.8, rng.uniform(1.3, 2.2), rng.uniform(3, 5)), rng.normal(0, 0.3), 0.5)
        elif what == "person":
            b.box((x, floor, z), (0.5, rng.uniform(1.4, 1.9), 0.35), rng.uniform(-1, 1), 1.5)
        elif what == "pole":
            b.pole(x, z, floor, rng.uniform(2, 6), rng.uniform(0.06, 0.25))
        elif what == "sign":
            w, h = rng.uniform(0.5, 2.0, 2)
            b.add([x - w / 2, floor - 2 - h, z], [w, 0, 0], [0, h, 0], 1.0)
        else:
            _ball(b, np.array([x, floor - 0.5, z]), rng.uniform(0.4, 1.2))

    return b.scene("outdoor", rig)


# Two cameras that disagree


def _photograph(
    rng: np.random.Generator, left: np.ndarray, right: np.ndarray, config: SynthConfig, noise_rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The images as two cameras give them: lens, sensor, file. More are good than bad: `harsh` tends to 0.

    `rng` draws the cameras, `noise_rng` the noise of this frame (the same generator does for a single frame)."""
    harsh = rng.random() ** 2
    sigma = float(rng.uniform(0.0, 0.5 + 0.7 * harsh))
    noise = 0.5 + 4.5 * harsh
    quality = int(rng.choice([0, 70, 85, 95], p=[0.4, 0.1, 0.2, 0.3]))  # 0: no JPEG
    shift = rng.uniform(-1, 1) * config.misrectification_px * (rng.random() < 0.5)
    lean = rng.uniform(-1, 1) * 0.3 * config.misrectification_px / config.width

    spread = 0.03 + 0.12 * harsh  # of exposure and gamma between the cameras
    done = []
    for camera, image in enumerate((left, right)):
        height, width = image.shape[:2]
        if camera == 1 and (shift or lean):
            M = np.array([[1.0, 0.0, 0.0], [lean, 1.0, shift - lean * width / 2]])
            image = cv2.warpAffine(image, M, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if sigma > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), sigma * float(rng.uniform(0.85, 1.15)))
        gain = (1 + spread * rng.uniform(-1, 1)) * (1 + spread / 3 * rng.uniform(-1, 1, 3))  # exposure, white balance
        curve = (np.arange(256) / 255.0) ** (1 + spread * rng.uniform(-1, 1))
        lut = np.stack([255.0 * curve * g for g in gain], axis=1).astype(np.float32)
        value = cv2.merge([lut[:, c][image[..., c]] for c in range(3)])
        value *= _vignette(width, height, rng.uniform(0.0, 0.25))[..., None]
        grain = np.empty(value.shape, dtype=np.float32)
        noise_rng.standard_normal(out=grain, dtype=np.float32)
        value += noise * grain
        image = np.clip(value, 0, 255).astype(np.uint8)
        if quality:
            data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
        done.append(image)

    return done[0], done[1]


def _vignette(width: int, height: int, strength: float) -> np.ndarray:
    x, y = (np.linspace(-1, 1, n, dtype=np.float32) for n in (width, height))
    return 1 - np.float32(strength) * (x[None, :] ** 2 + y[:, None] ** 2) / 2
