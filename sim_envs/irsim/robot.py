"""A world of ir-sim with a robot in it, as a base with a lidar: scans and poses out, velocities in.

ir-sim 2.12 (https://github.com/hanruihua/ir-sim) simulates robots in the plane from a YAML file: shapes, maps, things
that move, a lidar, collisions. All of that stays its own. This adapter takes its scan as the fields of the
sensor_msgs/LaserScan that ir-sim makes of it, through the conversion that the safety gate's node uses.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rarrl.errors import DependencyMissingError, InputError
from rarrl.frames import Mount
from rarrl.poses import pose_matrix
from rarrl.range_scan import RangeScan
from rarrl.strict_yaml import read_yaml

ROBOT: dict[str, Any] = {
    "kinematics": {"name": "diff"},
    "shape": {"name": "circle", "radius": 0.3},
    "state": [0, 0, 0],
    "vel_min": [-1, -2],
    "vel_max": [1, 2],
    "sensors": [{"name": "lidar2d", "range_min": 0.05, "range_max": 6, "angle_range": 2 * math.pi, "number": 181}],
}
"""In ir-sim's words: a round differential base with a lidar of 2 degrees that sees all around."""
STANDS_MPS = 1e-3
"""m/s. Slower than that is standing: a turn of a round base in place moves its outline nowhere."""


def load_irsim() -> Any:
    """The module `irsim`. Raises: DependencyMissingError where it is not installed."""
    try:
        import irsim
    except ImportError as error:
        raise DependencyMissingError(f"ir-sim cannot be loaded ({error}): pip install 'rarrl[irsim]'") from error
    return irsim


def with_robot(world: Mapping[str, Any], robot: Mapping[str, Any] = ROBOT) -> dict[str, Any]:
    """The description of an ir-sim world with `robot` instead of the robots that it has: what stands and moves there
    stays. It runs without a keyboard."""
    kept = {key: value for key, value in world.items() if key not in ("robot", "gui", "keyboard")}
    kept["world"] = {**kept.get("world", {}), "control_mode": "auto"}
    return {**kept, "robot": [dict(robot)]}


class IrSimRobot:
    """The first robot of an ir-sim world: round, with differential drive and a lidar.

    world: the path of its YAML file, or what stands in it. seed: of all that is drawn in it.

    Raises: InputError for a world whose first robot is another one."""

    def __init__(self, world: str | Path | Mapping[str, Any], seed: int = 0) -> None:
        irsim = load_irsim()
        described = world if isinstance(world, Mapping) else read_yaml(Path(world), "the ir-sim world")
        with tempfile.TemporaryDirectory() as folder:  # ir-sim reads files alone
            path = Path(folder, "world.yaml")
            path.write_text(yaml.safe_dump(dict(described)), "utf-8")
            self.env = irsim.make(str(path), headless=True, log_level="ERROR", seed=seed)

        robots = self.env.robot_list
        kind = (robots[0].kinematics, robots[0].shape) if robots else ("no robot", "")
        self._lidar = robots[0].lidar if robots else None
        if kind != ("diff", "circle") or self._lidar is None:
            raise InputError(
                f"ir-sim: the first robot is {' '.join(kind)}{'' if self._lidar else ' without a lidar'} (allowed: "
                "kinematics diff, shape circle, with a sensor lidar2d); `with_robot` puts one into any world"
            )
        self.robot = robots[0]
        self._moved = False

    @property
    def radius_m(self) -> float:
        """Of the base."""
        return float(self.robot.radius)

    @property
    def dt(self) -> float:
        """Seconds of a step."""
        return float(self.env.step_time)

    @property
    def mount(self) -> Mount:
        """Where the lidar is on the base."""
        assert self._lidar is not None
        x, y, yaw = self._lidar.get_offset()
        return Mount(x, y, yaw)

    @property
    def scan(self) -> RangeScan:
        """What the lidar measures now."""
        from irsim.msg import LaserScan

        # use_inf: as REP 117 has it. Else a return nearer than range_min reads range_min, as if all were free so far.
        told = LaserScan.from_sensor(self._lidar, use_inf=True)
        return RangeScan.from_readings(
            told.angle_min, told.angle_max, told.angle_increment, told.ranges, told.range_min, told.range_max
        )

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) `T_odom_base`, where the base is: exact."""
        return pose_matrix(*map(float, self.robot.state[:3, 0]))

    def place(self, x: float, y: float, yaw: float) -> None:
        """Puts the robot there, whatever stands there; its lidar looks from there at once."""
        self.robot.set_state([x, y, yaw], init=True)
        self.env.refresh()
        self._moved = False

    def drive(self, v: float, omega: float, dt: float | None = None) -> None:
        """One step of the world: m/s, rad/s. dt: the step, which the world sets; another one is refused.

        Raises: ValueError."""
        if dt is not None and not math.isclose(dt, self.dt):
            raise ValueError(f"ir-sim: a step takes {self.dt} s here (step_time of its world), got {dt}")
        before = self.robot.state[:2, 0].copy()
        self.env.step(np.array([[v], [omega]]))
        self._moved = bool(np.linalg.norm(self.robot.state[:2, 0] - before) > STANDS_MPS * self.dt)

    @property
    def touched(self) -> bool:
        """Whether ir-sim says that the base touches something."""
        return bool(self.robot.collision)

    @property
    def touched_by(self) -> str:
        """What touches: "standing" for something that stands, "moving" for something that can move while the base
        moves, "standing base" for something that came while the base stood."""
        if not self.touched:
            return ""
        if not self._moved:
            return "standing base"
        return "standing" if any(other.static for other in self.robot.collision_obj) else "moving"

    def clearance(self, points: np.ndarray) -> np.ndarray:
        """(n,) metres from points ((n, 2)) to the nearest thing, where things are now; 0 inside of one."""
        import shapely

        others = [o.geometry for o in self.env.objects if o is not self.robot and not o.unobstructed]
        nearest = np.full(len(points), math.inf)
        if others:
            at = shapely.points(points)
            (index, _), distance = shapely.STRtree(others).query_nearest(at, return_distance=True, all_matches=False)
            nearest[index] = distance
        return nearest

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Of the world: low x, low y, high x, high y, metres."""
        (low_x, high_x), (low_y, high_y) = self.env._world.x_range, self.env._world.y_range
        return float(low_x), float(low_y), float(high_x), float(high_y)

    @property
    def things(self) -> np.ndarray:
        """(n, 2) metres, where the middle of each thing is now."""
        middles = [o.geometry.centroid for o in self.env.objects if o is not self.robot and not o.unobstructed]
        return np.array([(middle.x, middle.y) for middle in middles]).reshape(-1, 2)

    def close(self) -> None:
        self.env.end(0)
