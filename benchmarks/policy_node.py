"""Measures vla_policy_node with the shipped Meta-World policy: node, its worker and robot each a process.

    python benchmarks/policy_node.py [--seconds 60] [--rate 10] [--preset fast] [--trials 10] [--seed 0] [--json FILE]

The robot sends two pictures and proprioception `--rate` times a second, recorded beforehand: the first STEPS control
steps of the expert in each of Meta-World's ten tasks, again and again; the subgoal changes with the task. So the robot
does not obey: this measures the node, not success (`rarrl eval policy` does). Needs the extras ros, sim and llama, and
most of one core: on a machine that is busier the policy misses its deadlines. Five minutes.

Clean run (table `clean`). chunks, inference_p50_ms, inference_p95_ms: what the node says. late_chunks: inferences that
missed the deadline, and chunks that came when none of their rows could be used. holds: ticks without a command, after
the first one. seam_jump: the largest change of any joint from one tick to the next at a seam, as the node tells;
seam_jump_at_once: the same chunks in the same ticks through a broker that does not blend.

stale_commands: commands (in all blocks) whose stamp, that of the oldest observation they rest on, was more than the
limit ago when they were written, by the time stamp of the middleware. In the block `delayed` observations reach the
node up to a second late.

Faults. `--trials` times each, the worker gets kill -9 (`killed`) or SIGSTOP (`stopped`). hold_s: from the signal to the
first hold heard here. recovery_s: from the signal to the first command after it. bridged: faults without a hold, since
a new worker answered while the rows at hand were still fresh.

Files (table `files`). One node, one folder with ever other damage; the files' hashes in the card are made right again
unless the hash is the point. accepted: configured in spite of it. node_deaths: times that the node's process ended. At
last the good files are put back: `recovered_files`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ros_environment import isolate

from rarrl.config import PolicyConfig
from rarrl.files import sha256
from rarrl.policy.base import ActionChunk
from rarrl.policy.chunking import ChunkBroker
from rarrl.results import Figure, make_results, write_results

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "rarrl" / "models" / "policy_metaworld"
# Seconds: images that are older must not become commands.
LIMIT_S = PolicyConfig().max_observation_age_s
STATUS = "vla_policy_node: policy"
STEPS = 20  # control steps of each task


@dataclass(frozen=True, eq=False)
class Frame:
    """What the robot sees and feels at one step, and what it is told to do."""

    images: np.ndarray
    proprio: np.ndarray
    subgoal: str


def record(seed: int) -> list[Frame]:
    """The first steps of the expert's way, task by task."""
    from rarrl_sim_envs.metaworld.env import MT10, MetaWorldLanguageEnv

    frames = []
    for task in MT10:
        env = MetaWorldLanguageEnv(task)
        told, _ = env.reset(options={"split": "test", "start": seed})
        for _ in range(STEPS):
            frames.append(Frame(told["images"], told["proprio"], told["instruction"]))
            env.advance(env.expert_action())
            told = env.observation()
        env.close()

    return frames


@dataclass(frozen=True, eq=False)
class Heard:
    """A message: when it came (steady clock), how old its stamp was when it was written, its points."""

    at: float
    age_s: float
    stamp_ns: int
    points: np.ndarray  # (n, a)


class Robot:
    """Sends observations, hears commands."""

    def __init__(self, names: tuple[str, ...], cameras: tuple[str, ...]) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from rclpy.time import Time
        from sensor_msgs.msg import Image, JointState
        from std_msgs.msg import String
        from trajectory_msgs.msg import JointTrajectory

        self._time = Time
        self._names = names
        self._cameras = cameras
        self._kinds = {"image": Image, "joints": JointState, "text": String}
        self.node = rclpy.create_node("robot")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.images = [self.node.create_publisher(Image, f"{camera}/image", 4) for camera in cameras]
        self.proprio = self.node.create_publisher(JointState, "proprio", 4)
        self.subgoal = self.node.create_publisher(String, "subgoal", latched)
        self._told = ""
        self.commands: list[Heard] = []
        self.chunks: list[Heard] = []
        self.statuses: list[Any] = []
        for topic, heard in (("joint_command", self.commands), ("action_chunk", self.chunks)):
            self.node.create_subscription(JointTrajectory, topic, self._hearer(heard), 100)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def _hearer(self, heard: list[Heard]) -> Callable[[Any, Any], None]:
        def hear(msg: Any, info: Any) -> None:
            stamp_ns = msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec
            points = np.array([point.positions for point in msg.points])
            heard.append(Heard(time.monotonic(), (info["source_timestamp"] - stamp_ns) / 1e9, stamp_ns, points))

        return hear

    def _on_diagnostics(self, msg: Any) -> None:
        self.statuses += [s for s in msg.status if s.name == STATUS]

    def listen(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.01)
        return condition()

    def messages(self, frame: Frame) -> list[Any]:
        """The observation, stamped now."""
        stamp = self.node.get_clock().now().to_msg()
        joints = self._kinds["joints"](name=list(self._names), position=[float(v) for v in frame.proprio])
        joints.header.stamp = stamp

        result = []
        for picture in frame.images:
            msg = self._kinds["image"](height=picture.shape[0], width=picture.shape[1], encoding="rgb8")
            msg.step = 3 * picture.shape[1]
            msg.data.frombytes(np.ascontiguousarray(picture).data)
            msg.header.stamp = stamp
            result.append(msg)

        return [*result, joints]

    def send(self, messages: list[Any]) -> None:
        for publisher, msg in zip((*self.images, self.proprio), messages, strict=True):
            publisher.publish(msg)

    def tell(self, subgoal: str) -> None:
        if subgoal != self._told:
            self._told = subgoal
            self.subgoal.publish(self._kinds["text"](data=subgoal))

    def status(self) -> dict[str, str]:
        """The next values on /diagnostics, with `message`."""
        count = len(self.statuses)
        if not self.wait(lambda: len(self.statuses) > count, 10.0):
            raise SystemExit("policy_node: the node's diagnostics fell silent")
        return self.last_status()

    def last_status(self) -> dict[str, str]:
        status = self.statuses[-1]
        return {"message": status.message, **{v.key: v.value for v in status.values}}

    def configure(self) -> bool:
        """Asks the node to configure itself; whether it did."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        client = self.node.create_client(ChangeState, "vla_policy_node/change_state")
        if not self.wait(client.service_is_ready, 30.0):
            raise SystemExit("policy_node: the node did not start")

        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_CONFIGURE
        future = client.call_async(request)
        if not self.wait(future.done, 90.0):
            raise SystemExit("policy_node: the node does not answer")

        self.node.destroy_client(client)
        return bool(future.result().success)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()


@contextmanager
def running_node(**parameters: object) -> Iterator[subprocess.Popen]:
    """The node as a process; ended with SIGINT."""
    arguments = [a for name, value in parameters.items() for a in ("-p", f"{name.replace('__', '.')}:={value}")]
    command = [sys.executable, "-m", "rarrl_nodes.vla_policy_node", "--ros-args", *arguments]
    child = subprocess.Popen(command, start_new_session=True)  # as from a terminal of its own
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(timeout=20)


class Player:
    """Sends frames at a rate for as long as one listens."""

    def __init__(self, robot: Robot, frames: list[Frame], rate: float) -> None:
        self._robot = robot
        self._frames = frames
        self._period = 1 / rate
        self._sent = 0
        self._next = time.monotonic()

    def play(self, until: Callable[[], bool], seconds: float, delay: Callable[[], float] = lambda: 0.0) -> bool:
        """Until `until()` holds or `seconds` have passed; whether it holds. delay: seconds from the stamp of an
        observation to when it is sent."""
        end = time.monotonic() + seconds
        waiting: list[tuple[float, list[Any]]] = []
        self._next = max(self._next, time.monotonic() - self._period)
        while not until() and time.monotonic() < end:
            if time.monotonic() >= self._next:
                frame = self._frames[self._sent % len(self._frames)]
                self._robot.tell(frame.subgoal)
                waiting.append((self._next + delay(), self._robot.messages(frame)))
                self._sent += 1
                self._next += self._period

            for item in [w for w in waiting if w[0] <= time.monotonic()]:
                self._robot.send(item[1])
                waiting.remove(item)
            soonest = min([self._next, *(at for at, _ in waiting)])
            self._robot.wait(until, min(max(soonest - time.monotonic(), 0.0), 0.02))

        return until()

    def status(self) -> dict[str, str]:
        """As the robot's, without a pause."""
        count = len(self._robot.statuses)
        self.play(lambda: len(self._robot.statuses) > count, 10.0)
        return self._robot.last_status()


def clean(robot: Robot, player: Player, seconds: float, rate: float) -> dict[str, Any]:
    """The row of the clean run."""
    before = player.status()
    first = len(robot.commands)
    player.play(lambda: False, seconds)
    commands = robot.commands[first:]
    after = player.status()

    def counted(name: str) -> int:
        return int(after[name]) - int(before[name])

    ages = [heard.age_s for heard in commands if len(heard.points)]
    return {
        "seconds": seconds,
        "ticks": len(commands),
        "holds": sum(not len(heard.points) for heard in commands),
        "chunks": counted("chunks"),
        "late_chunks": counted("late") + counted("refused_stale"),
        "refused_out_of_order": counted("refused_out_of_order"),
        "other_subgoal": counted("other_subgoal"),
        "exceptions": counted("exceptions"),
        "inference_p50_ms": float(after["inference_p50_ms"]),
        "inference_p95_ms": float(after["inference_p95_ms"]),
        "age_p50_s": float(np.quantile(ages, 0.5)),
        "age_max_s": float(max(ages)),
        "seam_jump": float(after["seam_jump"]),
        "seam_jumps": {n.removeprefix("seam_jump_"): float(v) for n, v in after.items() if n.startswith("seam_jump_")},
        "seam_jump_at_once": at_once(robot, 1 / rate),
        "load": os.getloadavg()[0],
    }


def at_once(robot: Robot, dt: float) -> float:
    """`seam_jump` of the same chunks in the same ticks without blending."""
    chunks = list(robot.chunks)
    commands = robot.commands

    broker = ChunkBroker(chunks[0].points.shape, dt, LIMIT_S, blend_rows=0)
    offset = min(heard.at - heard.stamp_ns / 1e9 - heard.age_s for heard in chunks)  # steady minus ROS time
    for command in commands:
        while chunks and chunks[0].at <= command.at:
            heard = chunks.pop(0)
            broker.push(ActionChunk(heard.points, dt, heard.stamp_ns / 1e9 + offset), heard.at)
        broker.next_row(command.at)

    return float(broker.seam_jump.max())


def fault(robot: Robot, player: Player, kind: int) -> dict[str, float | None]:
    """Signals the worker amid its work; seconds until the robot is told to hold, and until it acts again.

    None of both where a new worker answered before the rows at hand were too old: it acted all the time."""
    acting = len(robot.commands)
    if not player.play(lambda: len(robot.commands) > acting + 20 and bool(len(robot.commands[-1].points)), 30.0):
        raise SystemExit("policy_node: the node does not act")

    pid = int(player.status()["worker_pid"])
    player.play(lambda: False, float(np.random.default_rng(pid).uniform(0, 0.2)))
    first = len(robot.commands)
    at = time.monotonic()
    os.kill(pid, kind)

    def held() -> int | None:
        return next((i for i in range(first, len(robot.commands)) if not len(robot.commands[i].points)), None)

    player.play(lambda: held() is not None, 5.0)
    index = held()
    if index is None:
        if int(player.status()["worker_pid"]) == pid:
            raise SystemExit("policy_node: neither a hold nor another worker after a fault")
        return {"hold_s": None, "recovery_s": None}
    if not player.play(lambda: bool(len(robot.commands[-1].points)), 60.0):
        raise SystemExit("policy_node: no recovery after a fault")

    return {"hold_s": robot.commands[index].at - at, "recovery_s": robot.commands[-1].at - at}


# Files


def reseal(folder: Path) -> None:
    """Makes the hashes in the card right again."""
    card = json.loads((folder / "card.json").read_text("utf-8"))
    card["files"] = {name: sha256((folder / name).read_bytes()) for name in card["files"]}
    (folder / "card.json").write_text(json.dumps(card), "utf-8")


def on_file(name: str, change: Callable[[bytearray], bytes | bytearray], sealed: bool = True) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(bytearray(path.read_bytes())))
        if sealed:
            reseal(folder)

    return damage


def flipped(seed: int, first: int, last: int, count: int) -> Callable[[bytearray], bytearray]:
    def change(data: bytearray) -> bytearray:
        rng = np.random.default_rng(seed)
        for at in rng.integers(first, last, count):
            data[at] ^= int(rng.integers(1, 256))
        return data

    return change


def nan_at_the_end(data: bytearray) -> bytearray:
    data[-4:] = b"\x00\x00\xc0\x7f"  # float32, and its upper half float16: not a number
    return data


def nan_weight(folder: Path) -> None:
    from safetensors.numpy import load, save

    path = folder / "policy.safetensors"
    weights = {name: array.copy() for name, array in load(path.read_bytes()).items()}
    weights["head_out.bias"][0] = np.nan
    path.write_bytes(save(weights))
    reseal(folder)


def on_spec(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text("utf-8"))
        card["spec"] |= changes
        (folder / "card.json").write_text(json.dumps(card), "utf-8")

    return damage


def without_spec(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text("utf-8"))
    del card["spec"]
    (folder / "card.json").write_text(json.dumps(card), "utf-8")


GGUF = "model.gguf"
OUTER = "policy.safetensors"
CUTS = (0, 3, 8, 24, 100, 400, 5000, 1_000_000)
DAMAGES: dict[str, Callable[[Path], None]] = {
    **{f"GGUF cut after {n} bytes": on_file(GGUF, lambda data, n=n: data[:n]) for n in CUTS},
    **{f"GGUF header, 8 bytes flipped ({s})": on_file(GGUF, flipped(s, 0, 400, 8)) for s in range(6)},
    "GGUF of an unknown version": on_file(GGUF, lambda data: data[:4] + b"\x63\0\0\0" + data[8:]),
    "GGUF with 2^60 tensors": on_file(GGUF, lambda data: data[:8] + (1 << 60).to_bytes(8, "little") + data[16:]),
    "GGUF without a metadata key": on_file(GGUF, lambda data: data.replace(b"llama.block_count", b"llama.block_cuont")),
    "GGUF with a NaN weight": on_file(GGUF, nan_at_the_end),
    "safetensors with a NaN weight": nan_weight,
    "safetensors cut": on_file(OUTER, lambda data: data[: len(data) // 2]),
    "safetensors with a header of 2^40 bytes": on_file(OUTER, lambda data: (1 << 40).to_bytes(8, "little") + data[8:]),
    "a pickle in place of safetensors": on_file(OUTER, lambda data: b"\x80\x04\x95" + data),
    "card of another width": on_spec(width=512),
    "card with more joints": on_spec(action_names=["a", "b"], action_low=[0.0, 0.0], action_high=[1.0, 1.0]),
    "card with a horizon of 0": on_spec(horizon=0),
    "card without a spec": without_spec,
    "card that is no JSON": on_file("card.json", lambda data: data[:50], sealed=False),
    "no card": lambda folder: (folder / "card.json").unlink(),
    "no GGUF": lambda folder: (folder / GGUF).unlink(),
    "GGUF with one flipped bit, hash as it was": on_file(
        GGUF, lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], sealed=False
    ),
    "safetensors with one flipped bit, hash as it was": on_file(
        OUTER, lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], sealed=False
    ),
}


def files(robot: Robot) -> tuple[list[dict[str, Any]], int, bool]:
    """The rows of `files`, how often the node died, whether it took the good files at last."""
    rows = []
    deaths = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "policy"
        shutil.copytree(SHIPPED, folder)
        with running_node(policy__folder=folder, autostart="false") as child:
            for name, damage in DAMAGES.items():
                shutil.rmtree(folder)
                shutil.copytree(SHIPPED, folder)
                damage(folder)
                accepted = robot.configure()
                deaths += child.poll() is not None
                said = "" if accepted else robot.status()["message"].replace(str(folder), "DIR")
                rows.append({"damage": name, "accepted": accepted, "said": said})
                print(f"{name}: {said or 'ACCEPTED'}", file=sys.stderr)
                if accepted:
                    break

            shutil.rmtree(folder)
            shutil.copytree(SHIPPED, folder)
            recovered = not rows[-1]["accepted"] and robot.configure()

    return rows, deaths, recovered


def quantiles(name: str, found: list[float | None], unit: str) -> dict[str, Figure]:
    values = [value for value in found if value is not None]
    if not values:
        return {}
    return {
        f"{name}_p50": Figure(float(np.quantile(values, 0.5)), unit, len(values)),
        f"{name}_max": Figure(float(max(values)), unit, len(values)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the clean run")
    parser.add_argument("--rate", type=float, default=10.0, help="control ticks and observations per second")
    parser.add_argument("--preset", default="fast", help="how the policy is served; empty: whole")
    parser.add_argument("--trials", type=int, default=10, help="faults of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the starts and delays")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()
    isolate()
    import rclpy

    spec = json.loads((SHIPPED / "card.json").read_text("utf-8"))["spec"]
    frames = record(args.seed)
    rclpy.init()

    rng = np.random.default_rng(args.seed)
    robot = Robot(tuple(spec["proprio_names"]), tuple(spec["cameras"]))
    with running_node(policy__control_hz=float(args.rate), policy__preset=args.preset) as child:
        player = Player(robot, frames, args.rate)
        if not player.play(lambda: bool(robot.commands and len(robot.commands[-1].points)), 60.0):
            raise SystemExit("policy_node: the node did not start")
        player.play(lambda: False, 3.0)
        run = clean(robot, player, args.seconds, args.rate)
        heard = len(robot.commands)
        player.play(lambda: False, 10.0, delay=lambda: float(rng.uniform(0, 1)))
        delayed = robot.commands[heard:]
        killed = [fault(robot, player, signal.SIGKILL) for _ in range(args.trials)]
        stopped = [fault(robot, player, signal.SIGSTOP) for _ in range(args.trials)]
        restarts = int(robot.status()["worker_restarts"])
        alive = child.poll() is None

    commands = [c for c in robot.commands if len(c.points)]
    rows, deaths, recovered = files(robot)
    robot.close()
    rclpy.try_shutdown()
    acted = sum(bool(len(c.points)) for c in delayed)
    figures = {
        "late_chunks": Figure(run["late_chunks"], "chunks", run["chunks"]),
        "holds": Figure(run["holds"], "ticks", run["ticks"]),
        "seam_jump": Figure(run["seam_jump"], "action", run["ticks"]),
        "seam_jump_at_once": Figure(run["seam_jump_at_once"], "action", run["ticks"]),
        "inference_p50_ms": Figure(run["inference_p50_ms"], "ms", run["chunks"]),
        "inference_p95_ms": Figure(run["inference_p95_ms"], "ms", run["chunks"]),
        "stale_commands": Figure(sum(c.age_s > LIMIT_S for c in commands), "commands", len(commands)),
        "stale_commands_bound": Figure(3 / len(commands), "share", len(commands)),
        "delayed_acted": Figure(acted, "ticks", len(delayed)),
        "bridged": Figure(sum(row["hold_s"] is None for row in (*killed, *stopped)), "faults", 2 * args.trials),
        **quantiles("hold_s", [row["hold_s"] for row in (*killed, *stopped)], "s"),
        **quantiles("recovery_s_killed", [row["recovery_s"] for row in killed], "s"),
        **quantiles("recovery_s_stopped", [row["recovery_s"] for row in stopped], "s"),
        "worker_restarts": Figure(restarts, "", 2 * args.trials),
        "exceptions": Figure(run["exceptions"], "", run["ticks"]),
        "damaged_accepted": Figure(sum(row["accepted"] for row in rows), "folders", len(rows)),
        "node_deaths": Figure(deaths + (not alive), "", len(rows) + 2 * args.trials),
        "recovered_files": Figure(int(recovered), "", 1),
    }
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        command = " ".join(["python", "benchmarks/policy_node.py", *sys.argv[1:]])
        tables = {
            "clean": [run],
            "faults": [{"fault": k, **row} for k, of in (("killed", killed), ("stopped", stopped)) for row in of],
            "files": rows,
        }
        write_results(args.json, make_results(command, args.seed, figures, tables))

    return 0


if __name__ == "__main__":
    sys.exit(main())
