"""A MiniWorld environment as a robot base with a stereo camera: pairs and poses out, velocities in.

MiniWorld 2.1.0 (https://github.com/Farama-Foundation/Miniworld) is a renderer of rooms and objects with one camera and
steps of fixed size. Worlds, textures, drawing and collisions stay its own. This adapter moves its camera sideways for
the second image and calls its `move_agent` and `turn_agent` with distances that follow from a velocity.

Frames: MiniWorld's x is to the right, y up and z towards the viewer; here the ground plane is (x, -z), and its angle
`dir` is the yaw.
"""

from __future__ import annotations

import math
import os
import sys
from typing import Any

import numpy as np

from rarrl.errors import DependencyMissingError, InputError
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.rig import CameraRig
from rarrl.poses import pose_matrix
from rarrl.types import StereoPair

WIDTH_PX = 560
HEIGHT_PX = 280
"""Pixels. Twice as wide as high: MiniWorld sets the vertical field of view (60 degrees), so this is 98 degrees across,
and a base needs to see beside its own width. With 240 rows its asphalt is too smooth for the detector."""
BASELINE_M = 0.12
"""Metres between the two images: that of common stereo heads."""
PITCH_DEG = 45.0
"""Degrees by which the camera looks down. As MiniWorld has it, it is level, and what is 0.3 m high is below its view
within 3.2 m; so within 0.5 m, which is the base and a margin. A gate stops before places that nobody could see."""
STEPS_FOREVER = 10**9
"""Steps of an episode: this robot is not played in episodes."""


def load_miniworld() -> Any:
    """The module `miniworld.envs`. Where no display is named, it draws without one (EGL).

    `PYOPENGL_PLATFORM=egl`, which its documentation names, has no effect in 2.1.0: its `opengl` module reads it after
    `entity` has imported `pyglet.gl`, which opens the display. Hence pyglet's own option, before the first import.

    Raises: DependencyMissingError where it is not installed, or the machine has no OpenGL."""
    try:
        import pyglet

        if sys.platform.startswith("linux") and not os.environ.get("DISPLAY") and "miniworld" not in sys.modules:
            pyglet.options["headless"] = True
        import miniworld.envs
    except ImportError as error:  # pyglet says so where libGL, libGLU or libEGL is missing
        raise DependencyMissingError(
            f"MiniWorld cannot be loaded ({error}): pip install 'rarrl[miniworld]', and on Debian and Ubuntu "
            "apt install libegl1 libgl1 libglu1-mesa"
        ) from error
    return miniworld.envs


class MiniWorldRobot:
    """The agent of a MiniWorld environment, as a round base.

    Args:
        world: name of a class in `miniworld.envs`, such as OneRoom, FourRooms, PickupObjects
        pitch_deg: by which its camera looks down

    Its camera is as high, as far ahead and as wide as MiniWorld has it. touched: whether the last `drive` was refused
    by MiniWorld because the base would have entered a wall, or the bounding circle of an object."""

    def __init__(
        self,
        world: str = "OneRoom",
        width: int = WIDTH_PX,
        height: int = HEIGHT_PX,
        baseline_m: float = BASELINE_M,
        pitch_deg: float = PITCH_DEG,
    ) -> None:
        envs = load_miniworld()
        made = getattr(envs, world, None)
        if not isinstance(made, type):
            allowed = ", ".join(sorted(name for name in dir(envs) if isinstance(getattr(envs, name), type)))
            raise InputError(f"MiniWorld: world {world!r} is unknown; allowed: {allowed}")
        self.env = made(obs_width=width, obs_height=height, window_width=64, window_height=64)
        self.env.max_episode_steps = STEPS_FOREVER
        self._baseline_m = baseline_m
        self._pitch_deg = pitch_deg
        self.touched = False
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Draws the world, and the place where the robot starts, of `seed`."""
        self.env.reset(seed=seed)
        self.agent.cam_pitch = -self._pitch_deg  # MiniWorld counts it upwards
        self.touched = False

    @property
    def agent(self) -> Any:
        """MiniWorld's own."""
        return self.env.unwrapped.agent

    @property
    def radius_m(self) -> float:
        """Of the base."""
        return float(self.agent.radius)

    @property
    def rig(self) -> CameraRig:
        """Of the pair: OpenGL's perspective has square pixels, and the axis between the middle ones."""
        height, width = self.env.obs_fb.height, self.env.obs_fb.width
        focal_px = height / 2 / math.tan(math.radians(self.agent.cam_fov_y) / 2)
        return CameraRig(focal_px, focal_px, (width - 1) / 2, (height - 1) / 2, self._baseline_m, width, height)

    @property
    def camera_mount(self) -> np.ndarray:
        """(4, 4) `T_base_camera` of the left camera; the base frame lies on the floor."""
        T = camera_pose(float(self.agent.cam_height), math.radians(self._pitch_deg))
        T[:2, 3] = self.agent.cam_fwd_disp, self._baseline_m / 2
        return T

    def pair(self, stamp_s: float = 0.0) -> StereoPair:
        """What both cameras see now."""
        left, right = (self._from_beside(side, self.env.render_obs) for side in (1, -1))
        return StereoPair(left[..., ::-1].copy(), right[..., ::-1].copy(), stamp_s)  # MiniWorld's are RGB

    def depth(self) -> np.ndarray:
        """(height, width) float32, metres along the left camera's axis: MiniWorld's own depth buffer."""
        depth: np.ndarray = self._from_beside(1, self.env.render_depth)[..., 0]
        return depth

    def _from_beside(self, side: int, render: Any) -> np.ndarray:
        """What `render` returns with the camera half a baseline to the left (1) or the right (-1)."""
        here = self.agent.pos
        self.agent.pos = here - side * self._baseline_m / 2 * self.agent.right_vec
        try:
            image: np.ndarray = render().copy()
        finally:
            self.agent.pos = here
        return image

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) `T_odom_base`, where the base is: exact."""
        x, _, z = self.agent.pos
        return pose_matrix(float(x), float(-z), float(self.agent.dir))

    def place(self, x: float, y: float, yaw: float) -> None:
        """Puts the robot there, whatever stands there."""
        self.agent.pos = np.array([x, 0.0, -y])
        self.agent.dir = yaw

    def drive(self, v: float, omega: float, dt: float) -> None:
        """Moves for `dt` seconds: turns by half, moves along the arc's chord, turns by the rest. m/s, rad/s."""
        turn = omega * dt
        self.env.turn_agent(math.degrees(turn / 2))
        moved = self.env.move_agent(v * dt * float(np.sinc(turn / (2 * math.pi))), 0.0)
        self.env.turn_agent(math.degrees(turn / 2))
        self.touched = not moved

    def clearance(self, points: np.ndarray) -> np.ndarray:
        """(n,) metres from points ((n, 2), ground plane) to what MiniWorld lets nothing enter: its walls and the
        bounding circles of its objects, which reach beyond what is drawn (0.17 m beside a box of 0.8 m)."""
        nearest = distance_to_segments(points, self.walls)
        for x, y, radius in self.circles:
            nearest = np.minimum(nearest, np.hypot(points[:, 0] - x, points[:, 1] - y) - radius)
        return nearest

    @property
    def walls(self) -> np.ndarray:
        """(n, 2, 2) metres, the ends of the walls' lines on the ground plane."""
        return np.asarray(self.env.unwrapped.wall_segs)[:, :, [0, 2]] * (1.0, -1.0)

    @property
    def circles(self) -> list[tuple[float, float, float]]:
        """x, y, radius in metres of each object's bounding circle."""
        things = (thing for thing in self.env.unwrapped.entities if thing is not self.agent)
        return [(float(thing.pos[0]), float(-thing.pos[2]), float(thing.radius)) for thing in things]

    def close(self) -> None:
        self.env.close()


def distance_to_segments(points: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """(n,) from points ((n, 2)) to the nearest of `segments` ((m, 2, 2), both ends).

    >>> distance_to_segments(np.array([[1.0, 2.0], [5.0, 0.0]]), np.array([[[0.0, 0.0], [2.0, 0.0]]])).tolist()
    [2.0, 3.0]
    """
    start = segments[:, 0]
    along = segments[:, 1] - start
    share = ((points[:, None] - start) * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-12)
    foot = start + np.clip(share, 0.0, 1.0)[..., None] * along
    nearest: np.ndarray = np.linalg.norm(points[:, None] - foot, axis=-1).min(axis=1)
    return nearest
