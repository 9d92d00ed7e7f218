"""Drives robots of simulators that are not ours, by their own pictures and scans, with the safety gate and without it.

    python benchmarks/foreign_bases.py [--runs 20] [--pairs 40] [--seed 0] [--world NAME]
        [--worlds FOLDER] [--json FILE]

MiniWorld (extra `miniworld`): stereo pairs of its camera -> `make_detector` -> `ObstacleSensor` -> `BaseGate` -> base.
ir-sim (extra `irsim`): its lidar -> `RangeScan.from_readings` -> `BaseGate` -> base. Both know exactly where they are,
and obey at once: what is measured is what they see and what the gate makes of it.

eyes: over `--pairs` seeded places in each MiniWorld world, against MiniWorld's own depth buffer. coverage: share of the
pixels up to the cube's end that got a depth. error: share of the true depth, median and 90th percentile. seen_too_far:
share of the scan's bearings that call free what stands more than TOO_FAR_M nearer. seen_too_near: share that end more
than TOO_NEAR_M before what stands there.

blind: a driver that sees nothing is sent at full speed towards things, and places behind walls. contacts: runs that
ended by one; with the gate, and without it as a control. MiniWorld counts the bounding circles of its objects. ir-sim:
only contacts while the base moves; `by_moving`: of these, with things that move; `standing_base`: things that drove
into a base that stood, which no gate can prevent.

free: a driver that knows the world takes only arcs that are free for SAFE_S, by SAFE_M more than the gate's margin.
What the gate stops there is stopped wrongly: `asked_wide`, `stopped_wide` where there was WIDE_M or more to spare,
`asked_tight`, `stopped_tight` where less. In MiniWorld the same drives are repeated with the exact distances of what
the camera looks at (gate_by "exact"): what the gate stops then is due to the field of view, not to the detector.
Without the gate that driver touches nothing, or the row says so.

--worlds: a folder with YAML files of ir-sim worlds, such as `usage` of its repository. Their robot is replaced by ours.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml

from rarrl.build import make_detector
from rarrl.config import GateConfig
from rarrl.errors import InputError
from rarrl.perception.classical import Refusal
from rarrl.perception.obstacle_sensor import ObstacleSensor
from rarrl.perception.obstacles import Body
from rarrl.poses import yaw_of
from rarrl.range_scan import RangeScan
from rarrl.report.runs import wilson
from rarrl.results import Figure, make_results, write_results
from rarrl.safety.base_gate import BaseGate
from rarrl.types import RobotCommand, StereoPair
from rarrl_sim_envs.irsim.robot import IrSimRobot, with_robot
from rarrl_sim_envs.miniworld.robot import MiniWorldRobot

DT = 0.1  # seconds of a control tick, and between two scans of the lidar
PAIR_TICKS = 2  # between two pairs: five a second, as on a small computer
SPEED_MPS = 0.5  # the gate's default limit
TURN_RADPS = 1.0  # likewise
RUN_S = 15.0  # seconds of a run
HELD_S = 1.0  # seconds of standing after which a driver tries something else
GRID = "indoor"
SECTORS = 31
FAR_M = 6.4  # the cube's end
LOWEST_M = 0.3  # nothing lower stands in MiniWorld's worlds: its keys are 0.35 m high
STOPPED_MPS = 0.01
TOO_FAR_M = 0.2  # a voxel of 0.1 m and as much again
TOO_NEAR_M = 0.5
SAFE_S = 2.5  # seconds of full speed: 1.25 m, four times what the gate needs to stop
SAFE_M = 0.25  # a voxel, two cells of the gate's map, and 5 cm
WIDE_M = 0.5
ARCS = (0.0, 0.15, -0.15, 0.3, -0.3)  # rad/s; wider ones leave the camera's view
MINIWORLDS = ("OneRoom", "FourRooms", "PutNext", "PickupObjects", "WallGap")
IR_MARGIN_M = 0.1  # the gate's default
MINIWORLD_MARGIN_M = 0.2
"""Metres. MiniWorld's bounding circle of a box of 0.8 m reaches 0.17 m beyond its faces, where no camera sees it."""

MINIWORLD_CLEAR_M = 1.2
"""Metres around a start in MiniWorld in which nothing stands: twice the base and its margin, so that it may leave."""

BOUNDED = {"height": 12, "width": 12, "step_time": DT, "collision_mode": "stop"}
WALLS = [
    {"shape": {"name": "rectangle", "length": 12, "width": 0.2}, "state": [x, y, turn]}
    for x, y, turn in ((6, 0, 0), (6, 12, 0), (0, 6, math.pi / 2), (12, 6, math.pi / 2))
]
RANGE = {"range_low": [1.5, 1.5, -3.14], "range_high": [10.5, 10.5, 3.14]}
WANDERERS = {
    "number": 6,
    "distribution": {"name": "random", **RANGE},
    "kinematics": {"name": "omni"},
    "shape": {"name": "circle", "radius": 0.25},
}
IR_WORLDS: dict[str, dict[str, Any]] = {
    "shapes": {
        "world": BOUNDED,
        "obstacle": [
            *WALLS,
            {"number": 6, "distribution": {"name": "random", **RANGE}, "shape": {"name": "circle", "radius": 0.4}},
            {
                "number": 4,
                "distribution": {"name": "random", **RANGE},
                "shape": {
                    "name": "polygon",
                    "random_shape": True,
                    "avg_radius_range": [0.4, 0.9],
                    "irregularity_range": [0, 0.4],
                    "spikeyness_range": [0, 0.4],
                    "num_vertices_range": [4, 6],
                },
            },
        ],
    },
    "thin lines": {
        "world": BOUNDED,
        "obstacle": [
            *WALLS,
            {"shape": {"name": "linestring", "vertices": [[3, 2], [4, 6], [8, 7]]}, "state": [0, 0, 0]},
            {"shape": {"name": "linestring", "vertices": [[6, 1], [9, 4]]}, "state": [0, 0, 0]},
            {"number": 8, "distribution": {"name": "random", **RANGE}, "shape": {"name": "circle", "radius": 0.05}},
        ],
    },
    "perlin map": {
        "world": {
            **BOUNDED,
            "height": 20,
            "width": 20,
            "obstacle_map": {"name": "perlin", "resolution": 0.1, "complexity": 0.04, "fill": 0.3, "seed": 48},
        }
    },
    "cave map": {"world": {**BOUNDED, "height": 30, "width": 30, "obstacle_map": "cave.png", "mdownsample": 2}},
    "wanderers that yield": {
        "world": BOUNDED,
        "obstacle": [
            *WALLS,
            {**WANDERERS, "behavior": {"name": "rvo", "wander": True, **RANGE, "vxmax": 0.5, "vymax": 0.5}},
        ],
    },
    "wanderers that do not look": {
        "world": {**BOUNDED, "collision_mode": "unobstructed_obstacles"},
        "obstacle": [
            *WALLS,
            {**WANDERERS, "behavior": {"name": "dash", "wander": True, **RANGE}, "vel_max": [0.5, 0.5]},
        ],
    },
}
"""In ir-sim's words, by its own generators."""


class Base(Protocol):
    """A simulator's robot, as the adapters in sim_envs make it."""

    touched: bool

    @property
    def pose(self) -> np.ndarray: ...
    def place(self, x: float, y: float, yaw: float) -> None: ...
    def drive(self, v: float, omega: float, dt: float) -> None: ...
    def clearance(self, points: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Rig:
    """A base with what looks for obstacles on it. look: gives the gate what is seen now; exact: what is there, where a
    picture shows that too. bounds: of the world: low x,
    low y, high x, high y, metres. things: (n, 2), where drivers are sent."""

    base: Base
    config: GateConfig
    look: Callable[[BaseGate, float], None]
    exact: Callable[[BaseGate, float], None] | None
    bounds: tuple[float, float, float, float]
    things: np.ndarray


def gate_config(**settings: Any) -> GateConfig:
    return GateConfig(
        rate_hz=1 / DT,
        max_command_age_s=0.2,
        max_obstacle_age_s=0.35,
        max_speed_mps=SPEED_MPS,
        max_turn_radps=TURN_RADPS,
        latency_s=DT,
        **settings,
    )


def miniworld_sensor(robot: MiniWorldRobot) -> ObstacleSensor:
    """As `rarrl.robot.Robot` and stereo_voxel_node have it: the detector, and how its camera is mounted."""
    body = Body(2 * robot.radius_m, 0.1, 1.5)
    return ObstacleSensor(make_detector(robot.rig, GRID), robot.camera_mount, body, SECTORS)


def miniworld_rig(robot: MiniWorldRobot, sensor: ObstacleSensor, seed: int) -> Rig:
    robot.reset(seed)
    x, y = robot.camera_mount[:2, 3]
    config = gate_config(
        radius_m=robot.radius_m,
        margin_m=MINIWORLD_MARGIN_M,
        look_radps=0.8,
        sensor_x_m=float(x),
        sensor_y_m=float(y),
        blind_m=sensor.blind_m(LOWEST_M),
        assumed_clear_m=MINIWORLD_CLEAR_M,
    )

    def look(gate: BaseGate, now: float) -> None:
        if round(now / DT) % PAIR_TICKS == 0:
            gate.on_scan(sensor.read(robot.pair(now), robot.pose).scan, now, now)

    def exact(gate: BaseGate, now: float) -> None:
        if round(now / DT) % PAIR_TICKS == 0:
            width = sensor.field_rad / SECTORS
            gate.on_scan(RangeScan((width - sensor.field_rad) / 2, width, true_ranges(robot, sensor), FAR_M), now, now)

    ends = robot.walls.reshape(-1, 2)
    bounds = (*ends.min(axis=0), *ends.max(axis=0))
    things = np.array([(x, y) for x, y, _ in robot.circles])
    return Rig(robot, config, look, exact, tuple(map(float, bounds)), things)


def irsim_rig(world: dict[str, Any], seed: int) -> Rig:
    robot = IrSimRobot(with_robot(world), seed)
    mount = robot.mount
    config = gate_config(
        radius_m=robot.radius_m,
        margin_m=IR_MARGIN_M,
        sensor_x_m=mount.x_m,
        sensor_y_m=mount.y_m,
        sensor_yaw_deg=math.degrees(mount.yaw_rad),
        assumed_clear_m=robot.radius_m + IR_MARGIN_M + 0.1,  # two cells
    )

    def look(gate: BaseGate, now: float) -> None:
        gate.on_scan(robot.scan, now, now)

    return Rig(robot, config, look, None, robot.bounds, robot.things)


def put_at_start(rig: Rig, rng: np.random.Generator) -> bool:
    """At a place of which what the gate is told to assume is true; False where none was found."""
    low_x, low_y, high_x, high_y = rig.bounds
    places = rng.uniform((low_x, low_y), (high_x, high_y), (2000, 2))
    clear = rig.base.clearance(places)
    inside = np.flatnonzero((clear > rig.config.assumed_clear_m) & np.isfinite(clear))
    for i in inside:
        if walled_in(rig, places[i]):
            rig.base.place(*map(float, places[i]), float(rng.uniform(-math.pi, math.pi)))
            return True
    return False


def walled_in(rig: Rig, place: np.ndarray) -> bool:
    """Whether something stands in most directions: a place that is not outside of the world."""
    steps = np.arange(0.5, 40.0, 0.1)
    angles = np.linspace(0, 2 * math.pi, 8, endpoint=False)
    rays = place + steps[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    hit = (rig.base.clearance(rays.reshape(-1, 2)).reshape(rays.shape[:2]) < 0.06).any(axis=0)
    return int(hit.sum()) >= 5


class BlindDriver:
    """Sees nothing: turns to a thing, or to a place behind the world's edge, and goes there at full speed."""

    def __init__(self, rig: Rig, rng: np.random.Generator) -> None:
        self._rig = rig
        self._rng = rng
        self._draw()

    def _draw(self) -> None:
        low_x, low_y, high_x, high_y = self._rig.bounds
        if len(self._rig.things) and self._rng.random() < 0.5:
            self._goal = self._rng.choice(self._rig.things)
        else:
            side = self._rng.uniform(-math.pi, math.pi)
            middle = np.array([low_x + high_x, low_y + high_y]) / 2
            self._goal = middle + (high_x - low_x + high_y - low_y) * np.array([math.cos(side), math.sin(side)])

    def wish(self, held_s: float) -> tuple[float, float]:
        if held_s > HELD_S:
            self._draw()
        T = self._rig.base.pose
        x, y = self._goal - T[:2, 3]
        bearing = math.remainder(math.atan2(y, x) - yaw_of(T), 2 * math.pi)
        return SPEED_MPS if abs(bearing) < 1.0 else 0.0, min(max(1.5 * bearing, -TURN_RADPS), TURN_RADPS)


class SeeingDriver:
    """Knows the world: takes an arc that is free for SAFE_S; turns in place where there is none, or it is held."""

    def __init__(self, rig: Rig, rng: np.random.Generator) -> None:
        self._rig = rig
        self._side = float(rng.choice([-1.0, 1.0]))
        self._turn_ticks = 0
        self.spare_m = 0.0  # of the last arc, beyond the gate's margin

    def wish(self, held_s: float) -> tuple[float, float]:
        if held_s > HELD_S:
            self._turn_ticks = 10
        self._turn_ticks -= 1
        if self._turn_ticks <= 0:
            for omega in ARCS:
                self.spare_m = self._spare(omega)
                if self.spare_m > SAFE_M:
                    return SPEED_MPS, omega
        return 0.0, 0.8 * self._side

    def _spare(self, omega: float) -> float:
        rig = self._rig
        T = rig.base.pose
        u = np.linspace(0.0, SAFE_S, 26)
        chord = SPEED_MPS * u * np.sinc(omega * u / (2 * math.pi))
        ahead = np.stack([chord * np.cos(omega * u / 2), chord * np.sin(omega * u / 2)], axis=1)
        places = T[:2, 3] + ahead @ T[:2, :2].T
        return float(rig.base.clearance(places).min()) - rig.config.radius_m - rig.config.margin_m


@dataclass
class Run:
    """What came of one run. asked: ticks in which the driver wanted to drive. stopped: of these, ticks in which the
    gate let nothing through; both by whether there was room to spare. touched: what ended it, "" where nothing did."""

    way_m: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    touched: str = ""


def run(rig: Rig, driver: BlindDriver | SeeingDriver, gate_by: str) -> Run:
    """One run to its first contact, or RUN_S. gate_by: what the gate goes by, as in `drives`."""
    gate = BaseGate(rig.config)
    done = Run()
    held_s = 0.0
    for k in range(round(RUN_S / DT)):
        now = k * DT
        v, omega = driver.wish(held_s)
        asked = v > 0
        room = "wide" if getattr(driver, "spare_m", 0.0) >= WIDE_M else "tight"
        done.asked[room] += asked
        if gate_by:
            gate.on_odometry(rig.base.pose, now, now)
            (rig.look if gate_by == "seen" else rig.exact)(gate, now)
            result = gate.check(RobotCommand(v, omega, now, now), now)
            v = result.v
            omega = result.omega
            done.stopped[room] += asked and v < STOPPED_MPS
        held_s = held_s + DT if asked and v < STOPPED_MPS else 0.0

        before = rig.base.pose[:2, 3].copy()
        rig.base.drive(v, omega, DT)
        done.way_m += float(np.linalg.norm(rig.base.pose[:2, 3] - before))
        if rig.base.touched:
            done.touched = getattr(rig.base, "touched_by", "standing")
            break
    return done


def drives(simulator: str, world: str, rigs: Iterable[Rig], seed: int) -> list[dict[str, Any]]:
    """Rows for one world; each rig is one run of each kind, from one start. The gate goes by what is "seen", or by the
    "exact" distances of what its camera looks at, or there is none: ""."""
    found: dict[tuple[str, str], list[Run]] = {}
    for number, rig in enumerate(rigs):
        rng = np.random.default_rng((seed, number))
        if not put_at_start(rig, rng):
            continue
        T = rig.base.pose
        start = (float(T[0, 3]), float(T[1, 3]), yaw_of(T))
        for kind in (BlindDriver, SeeingDriver):
            for gate_by in ("seen", "exact", ""):
                if gate_by == "exact" and (rig.exact is None or kind is BlindDriver):
                    continue
                rig.base.place(*start)
                driver = kind(rig, np.random.default_rng((seed, number, 1)))
                found.setdefault((kind.__name__, gate_by), []).append(run(rig, driver, gate_by))

    return [row_of(simulator, world, kind, gate_by, runs) for (kind, gate_by), runs in found.items()]


def row_of(simulator: str, world: str, kind: str, gate_by: str, runs: list[Run]) -> dict[str, Any]:
    ends = [each.touched for each in runs]
    ticks = {
        f"{name}_{room}": sum(getattr(each, name)[room] for each in runs)
        for name in ("asked", "stopped")
        for room in ("wide", "tight")
    }
    return {
        "simulator": simulator,
        "world": world,
        "driver": "blind" if kind == "BlindDriver" else "free",
        "gate_by": gate_by,
        "runs": len(runs),
        "contacts": sum(end in ("standing", "moving") for end in ends),
        "by_moving": ends.count("moving"),
        "standing_base": ends.count("standing base"),
        "way_m": round(sum(each.way_m for each in runs), 1),
        **ticks,
    }


def eyes(robot: MiniWorldRobot, sensor: ObstacleSensor, world: str, pairs: int, seed: int) -> dict[str, Any]:
    """A row of the table `eyes`."""
    errors: list[np.ndarray] = []
    seen = there = bearings = far = near = refused = 0
    for number in range(pairs):
        robot.reset(seed + number)
        pair = robot.pair()
        depth = robot.depth()
        reach = depth < sensor.detector.voxelizer.spec.z_far
        there += int(reach.sum())
        measured = measured_depth(sensor, pair)
        if measured is None:
            refused += 1
            continue
        told = np.isfinite(measured) & reach
        seen += int(told.sum())
        errors.append(np.abs(measured - depth)[told] / depth[told])

        scan = sensor.read(pair).scan
        truth = np.minimum(true_ranges(robot, sensor), scan.range_max)
        bearings += len(truth)
        far += int((scan.ranges > truth + TOO_FAR_M).sum())
        near += int((scan.ranges < truth - TOO_NEAR_M).sum())

    error = np.concatenate(errors) if errors else np.array([math.nan])
    return {
        "world": world,
        "pairs": pairs,
        "refused": refused,
        "coverage": round(seen / there, 4),
        "error_median": round(float(np.median(error)), 4),
        "error_p90": round(float(np.quantile(error, 0.9)), 4),
        "bearings": bearings,
        "seen_too_far": far,
        "seen_too_near": near,
    }


def measured_depth(sensor: ObstacleSensor, pair: StereoPair) -> np.ndarray | None:
    """(height, width) metres; None where the pair is refused."""
    found = sensor.detector.matches(pair)
    return None if isinstance(found, Refusal) else sensor.detector.voxelizer.rig.depth(found.disparity)


def true_ranges(robot: MiniWorldRobot, sensor: ObstacleSensor) -> np.ndarray:
    """(SECTORS,) metres from the camera to the nearest thing that the picture shows between the body's heights."""
    depth = robot.depth()
    rig = robot.rig
    u, v = np.meshgrid(np.arange(rig.width), np.arange(rig.height))
    points = np.stack([(u - rig.cx) / rig.fx * depth, (v - rig.cy) / rig.fy * depth, depth], axis=-1)
    points = points @ robot.camera_mount[:3, :3].T
    height = points[..., 2] + robot.camera_mount[2, 3]
    body = (height > sensor.body.low_m) & (height < sensor.body.high_m)
    distance = np.hypot(points[..., 0], points[..., 1])
    sector = np.arctan2(points[..., 1], points[..., 0]) / sensor.field_rad + 0.5
    index = np.floor(sector * SECTORS).astype(int)
    return np.array([distance[body & (index == i)].min(initial=math.inf) for i in range(SECTORS)])


def worlds_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The ir-sim worlds of a folder, that have something to run into and a step of DT."""
    found = {}
    for path in sorted(folder.rglob("*.yaml")):
        world = yaml.safe_load(path.read_text("utf-8"))
        settings = world.get("world", {})
        if ("obstacle" in world or "obstacle_map" in settings) and math.isclose(settings.get("step_time", DT), DT):
            found[str(path.relative_to(folder))] = world
    return found


def irsim_rigs(world: dict[str, Any], runs: int, seed: int) -> Iterable[Rig]:
    for number in range(runs):
        rig = irsim_rig(world, seed + number)
        yield rig
        rig.base.close()  # type: ignore[attr-defined]


def share(hits: int, n: int, unit: str) -> Figure:
    lo, hi = wilson(hits, n)
    return Figure(hits / n, unit, n, lo, hi)


def summed(rows: list[dict[str, Any]], unit: str) -> dict[str, Figure]:
    """Figures of one simulator's rows."""
    figures: dict[str, Figure] = {}
    for driver in ("blind", "free"):
        for gate_by, words in (("seen", "gate"), ("exact", "gate_exact"), ("", "no_gate")):
            of = [row for row in rows if row["driver"] == driver and row["gate_by"] == gate_by]
            name = f"{unit}_{driver}_{words}"
            if n := sum(row["runs"] for row in of):
                figures[f"{name}_contacts"] = share(sum(row["contacts"] for row in of), n, "share of runs")
            for room in ("wide", "tight"):
                asked, stopped = (sum(row[f"{key}_{room}"] for row in of) for key in ("asked", "stopped"))
                if asked and gate_by and driver == "free":
                    figures[f"{name}_stopped_wrongly_{room}"] = share(stopped, asked, "share of ticks")
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="starts in each world")
    parser.add_argument("--pairs", type=int, default=40, help="pairs in each MiniWorld world")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("miniworld", "irsim"))
    parser.add_argument("--world", action="append", help="only this one, of those here; may be given again")
    parser.add_argument("--worlds", type=Path, help="folder with YAML files of more ir-sim worlds")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()

    tables: dict[str, Any] = {"eyes": [], "drives": []}
    for rows in measure(args, tables):
        show(rows)
        if args.json is not None:  # after each world: nothing is lost
            command = " ".join(["python", "benchmarks/foreign_bases.py", *sys.argv[1:]])
            results = make_results(command, args.seed, figures_of(tables), tables)
            results["versions"] |= {name: importlib.metadata.version(name) for name in ("miniworld", "ir-sim")}
            write_results(args.json, results)

    for key, figure in figures_of(tables).items():
        print(f"{key}: {figure.text()} {figure.unit} (n = {figure.n})")
    return 0


def measure(args: argparse.Namespace, tables: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Fills the tables world by world; yields the new rows."""
    for world in MINIWORLDS if args.only != "irsim" else ():
        if args.world and world not in args.world:
            continue
        robot = MiniWorldRobot(world)
        sensor = miniworld_sensor(robot)
        row = eyes(robot, sensor, world, args.pairs, args.seed)
        tables["eyes"].append(row)
        rigs = (miniworld_rig(robot, sensor, args.seed + number) for number in range(args.runs))
        rows = drives("MiniWorld", world, rigs, args.seed)
        tables["drives"] += rows
        yield [row, *rows]

    theirs = worlds_in(args.worlds) if args.worlds else {}
    for name, group in (("ir-sim", IR_WORLDS), ("ir-sim's own", theirs)) if args.only != "miniworld" else ():
        for world, description in group.items():
            if args.world and world not in args.world and group is IR_WORLDS:
                continue
            try:
                rows = drives(name, world, irsim_rigs(description, args.runs, args.seed), args.seed)
            except (InputError, ValueError, KeyError) as error:
                print(f"{world}: left out: {error}")
                continue
            tables["drives"] += rows
            yield rows


def figures_of(tables: dict[str, Any]) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    if tables["eyes"]:
        keys = ("bearings", "seen_too_far", "seen_too_near")
        n, far, near = (sum(row[key] for row in tables["eyes"]) for key in keys)
        figures["miniworld_seen_too_far"] = share(far, n, "share of bearings")
        figures["miniworld_seen_too_near"] = share(near, n, "share of bearings")
    for name in ("MiniWorld", "ir-sim", "ir-sim's own"):
        of = [row for row in tables["drives"] if row["simulator"] == name]
        figures |= summed(of, name.lower().replace("-", "").replace("'s ", "_"))
    return figures


def show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print("; ".join(f"{key} {value}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
