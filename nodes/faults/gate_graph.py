"""The safety gate over ROS: each of the three that it hears dies or freezes, or sends what must not move a base.

`python -m rarrl_nodes.faults.gate_graph ROLE` is one of the three (who commands, the detector's scan, odometry), which
publishes good messages; the gate and each of them are processes of their own."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .gate import CONFIG, FAR, SECTORS, STOP_S, TICK
from .row import Row, Trial
from .station import STAGE, START_S, Station, own_domain, start_node

CLEAN_S = 5.0
"""Seconds of a clean trial."""
WATCH_S = 1.0
"""Seconds after an injection in which the base must have come to rest."""
ALL_AROUND = 2 * math.pi
"""rad, field of view of the scan. A base that goes to and fro for minutes under a camera that looks ahead comes to be
blocked at its sides, which it saw `memory_m` of way ago: rows that share a graph would wait in vain for it to move."""
RATES = {"command": 20.0, "scan": 15.0, "odom": 30.0}


def command_message(v: float, omega: float) -> Any:
    from geometry_msgs.msg import TwistStamped

    msg = TwistStamped()
    msg.twist.linear.x = v
    msg.twist.angular.z = omega
    return msg


def scan_message(ranges: list[float]) -> Any:
    from sensor_msgs.msg import LaserScan

    step = ALL_AROUND / max(len(ranges), 1)
    msg = LaserScan(angle_increment=step, range_min=0.005, range_max=FAR, ranges=ranges)
    msg.angle_min = -ALL_AROUND / 2 + step / 2
    msg.angle_max = ALL_AROUND / 2 - step / 2
    msg.header.frame_id = "base_link"
    return msg


def odom_message() -> Any:
    from nav_msgs.msg import Odometry

    msg = Odometry()
    msg.pose.pose.position.x = 0.05 * math.sin(2 * time.monotonic())  # m; odometry that stands is a stop
    msg.pose.pose.orientation.w = 1.0
    return msg


def types() -> dict[str, Any]:
    from geometry_msgs.msg import TwistStamped
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import LaserScan

    return {"command": TwistStamped, "scan": LaserScan, "odom": Odometry}


def play_role(role: str) -> None:
    """Publishes good messages until it is killed. The command's omega tells when it was sent, for the latency."""
    import rclpy
    from rclpy.duration import Duration

    rclpy.init()
    node = rclpy.create_node(f"{role}_player")

    publisher = node.create_publisher(types()[role], role, 1)
    while True:
        stamp = (node.get_clock().now() - Duration(seconds=0.1 if role == "command" else 0.02)).to_msg()
        if role == "command":
            msg = command_message(0.2, (1e3 * time.monotonic() % 1000) * 1e-5)
        else:
            msg = scan_message([5.0] * SECTORS) if role == "scan" else odom_message()
        msg.header.stamp = stamp
        publisher.publish(msg)
        time.sleep(1 / RATES[role])


class Listener(Station):
    """Hears cmd_vel; attacks; starts and ends those that the gate hears."""

    def __init__(self) -> None:
        from geometry_msgs.msg import TwistStamped

        super().__init__("listener")
        self.heard: list[tuple[float, float, float]] = []  # when, v, omega
        self.node.create_subscription(TwistStamped, "cmd_vel", self._on_twist, 100)
        self.publishers = {topic: self.node.create_publisher(of, topic, 1) for topic, of in types().items()}
        self.players: dict[str, subprocess.Popen[bytes]] = {}

    def _on_twist(self, msg: Any) -> None:
        self.heard.append((time.monotonic(), msg.twist.linear.x, msg.twist.angular.z))

    def start(self, role: str) -> None:
        """Starts one of the three, if it does not run."""
        if role not in self.players:
            self.players[role] = start_node("faults.gate_graph", role)

    def end(self, role: str) -> None:
        """Kills one of the three, if it runs."""
        if (player := self.players.pop(role, None)) is not None:
            player.kill()
            player.wait()

    def moving(self, v: float = 0.19) -> bool:
        """Whether the last command to the base was at least so fast."""
        return bool(self.heard) and self.heard[-1][1] >= v

    def until_moving(self) -> None:
        """Waits until the gate lets commands through; others are started where they do not do it (a busy machine)."""
        for _ in range(3):
            if self.wait(self.moving, START_S / 3):
                return
            for role in tuple(self.players):
                self.end(role)
                self.start(role)
        self.need(self.moving, "the gate lets nothing through", 1.0)

    def send(self, topic: str, msg: Any, age_s: float = 0.0) -> None:
        """Publishes a message with a stamp of some age."""
        msg.header.stamp = self.now_stamp(age_s)
        self.publishers[topic].publish(msg)

    def answer(self, at: float) -> tuple[float | None, float, int, int]:
        """Of what was heard after `at`: seconds to the first zero and to the last movement, messages, NaNs."""
        after = [(t - at, v, omega) for t, v, omega in self.heard if t >= at]
        zero = next((t for t, v, omega in after if v == omega == 0.0), None)
        last = max((t for t, v, omega in after if v or omega), default=0.0)
        return zero, last, len(after), sum(not math.isfinite(v + omega) for _, v, omega in after)


@contextmanager
def running_gate() -> Iterator[Listener]:
    """The gate's process, and a listener beside it."""
    with own_domain():
        listener = Listener()
        gate = start_node("safety_gate_node")
        try:
            listener.need(lambda: bool(listener.heard), "safety_gate_node does not start")
            yield listener
        finally:
            for role in tuple(listener.players):
                listener.end(role)
            gate.send_signal(signal.SIGINT)
            gate.wait(timeout=20)
            listener.close()


def graph(roles: Sequence[str]) -> Listener:
    """The gate with these of the three, kept from row to row."""
    listener = STAGE.keep("gate", running_gate)
    for role in RATES:
        (listener.start if role in roles else listener.end)(role)
    return listener


def clean(trials: int, seed: int) -> list[Trial]:
    """Everything well: each zero is a stop without need."""
    listener = graph(tuple(RATES))
    found = []
    for _ in range(trials):
        listener.until_moving()
        listener.listen(0.5)
        listener.heard.clear()
        listener.listen(CLEAN_S)
        stops = sum(v == 0.0 for _, v, _ in listener.heard)
        found.append(Trial(outputs=len(listener.heard), counts={"false_stops": stops}))
    return found


def silenced(role: str, number: signal.Signals) -> Callable[[int, int], list[Trial]]:
    """One of the three gets a signal, and comes back a second later."""

    def play(trials: int, seed: int) -> list[Trial]:
        listener = graph(tuple(RATES))
        return [_silence(listener, role, number, k) for k in range(trials)]

    return play


def _silence(listener: Listener, role: str, number: signal.Signals, k: int) -> Trial:
    listener.until_moving()
    listener.listen(0.3 + 0.037 * (k % 5))
    listener.heard.clear()
    at = time.monotonic()
    listener.players[role].send_signal(number)
    listener.listen(WATCH_S)
    zero, last, outputs, nan = listener.answer(at)

    again = time.monotonic()
    if number is signal.SIGKILL:
        listener.end(role)
        listener.start(role)
    else:
        listener.players[role].send_signal(signal.SIGCONT)
    back = listener.wait(listener.moving)
    recover_s = time.monotonic() - again if back else None
    return Trial(zero, last, recover_s, outputs, int(last > STOP_S), {"nan_published": nan})


def attacked(send: Callable[[Listener], None], blinds: bool) -> Callable[[int, int], list[Trial]]:
    """Good messages for 0.7 s, then for 1 s only what `send` sends, ten times faster; odometry goes on.

    Unsafe is more than the limits at any time, or any movement later than STOP_S after it began. blinds: it is the
    scan that is bad; else good ones go on."""

    def play(trials: int, seed: int) -> list[Trial]:
        listener = graph(("odom",))
        return [_attack(listener, send, blinds) for _ in range(trials)]

    return play


def _attack(listener: Listener, send: Callable[[Listener], None], blinds: bool) -> Trial:
    def good() -> bool:
        listener.send("scan", scan_message([5.0] * SECTORS))
        listener.send("command", command_message(0.2, 0.0), 0.05)
        listener.listen(TICK)
        return listener.moving(0.15)

    listener.need(good, "the gate lets nothing through")
    listener.heard.clear()
    at = time.monotonic()
    while time.monotonic() - at < WATCH_S:
        if not blinds:
            listener.send("scan", scan_message([5.0] * SECTORS))
        send(listener)
        listener.listen(TICK / 5)

    zero, last, outputs, nan = listener.answer(at)
    beyond = sum(not (abs(v) <= CONFIG.max_speed_mps and abs(w) <= CONFIG.max_turn_radps) for _, v, w in listener.heard)
    return Trial(zero, last, None, outputs, beyond + int(last > STOP_S), {"nan_published": nan})


def ask(v: float = 0.2, omega: float = 0.0, age_s: float = 0.05, y: float = 0.0) -> Callable[[Listener], None]:
    """Sends a command. y: m/s to the side."""

    def send(listener: Listener) -> None:
        msg = command_message(v, omega)
        msg.twist.linear.y = y
        listener.send("command", msg, age_s)

    return send


def see(ranges: list[float], age_s: float = 0.0) -> Callable[[Listener], None]:
    """Sends a scan, and a good command."""

    def send(listener: Listener) -> None:
        listener.send("scan", scan_message(ranges), age_s)
        ask()(listener)

    return send


ATTACKS: tuple[tuple[str, str, Callable[[Listener], None]], ...] = (
    ("C3-observation-old", "commands that rest on observations 0.6 s old", ask(age_s=0.6)),
    ("C3-observation-hour", "commands that rest on observations 1 h old", ask(age_s=3600.0)),
    ("C3-observation-ahead", "commands with stamps 5 s ahead", ask(age_s=-5.0)),
    ("C3-stamp-zero", "commands without a stamp", lambda listener: ask(age_s=time.time())(listener)),
    ("P1-command-nan", "commands with a speed that is NaN", ask(v=math.nan)),
    ("P1-command-inf", "commands with a turn that is infinite", ask(omega=-math.inf)),
    ("P2-command-fast", "commands ten times too fast", ask(v=5.0)),
    ("P2-command-sideways", "commands to the side", ask(y=0.2)),
    ("C5-scan-nan", "scans of NaN", see([math.nan] * SECTORS)),
    ("C5-scan-empty", "scans without a reading", see([])),
    ("C7-scan-blocked", "scans that are blocked at 1 cm", see([0.01] * SECTORS)),
    ("C3-scan-old", "scans 0.5 s old", see([5.0] * SECTORS, age_s=0.5)),
)
"""Name, what is injected, how it is sent."""
SIGNALS = {"killed": signal.SIGKILL, "frozen": signal.SIGSTOP}
TIMES = {"stop_s": STOP_S, "detect_s": 1.0}
EXPECTED = "zero on cmd_vel within 0.5 s"


def rows() -> tuple[Row, ...]:
    """The clean control, the three falling silent in two ways, and each attack."""
    control = "commands, scans and odometry are good: no stop"
    found = [Row("K-gate", "gate", "none: the control", "nothing", control, "graph", clean, 12, 1)]
    for role in RATES:
        for how, number in SIGNALS.items():
            name = f"N1-gate-{role}-{how}"
            fault = f"who publishes `{role}` is {how}"
            found.append(
                Row(
                    name,
                    "gate",
                    fault,
                    number.name,
                    f"{EXPECTED}; moves again when it is back",
                    "graph",
                    silenced(role, number),
                    10,
                    1 if how == "killed" else 0,
                    stops=True,
                    recovers=True,
                    limits=TIMES,
                )
            )
    for name, fault, send in ATTACKS:
        play = attacked(send, blinds="scan" in name)
        found.append(Row(name, "gate", fault, "50 a second", EXPECTED, "graph", play, 6, 1, stops=True, limits=TIMES))
    return tuple(found)


if __name__ == "__main__":
    play_role(sys.argv[1])
