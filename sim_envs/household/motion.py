"""How the base moves: its limits, and poses along exact arcs. Metres, radians counterclockwise from x, seconds."""

from __future__ import annotations

import math

DT = 0.1  # s, one step of the world: the rate at which the action policy commands (10 Hz)

# Limits of the simulated base, those of a light indoor base that carries things among people.
MAX_V = 0.6  # m/s ahead: no faster than people walk here
MIN_V = -0.2  # m/s back: it does not see there
MAX_OMEGA = 1.5  # rad/s
MAX_ACCEL = 1.2  # m/s^2: from full speed to a stop in 0.15 m
MAX_ALPHA = 6.0  # rad/s^2: at full turning speed in 0.25 s

STANDING = 0.1  # m/s; a slower base counts as standing, which interactions ask for


def wrap(angle: float) -> float:
    """The same angle within -pi to pi, rad."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def advance(x: float, y: float, heading: float, v: float, omega: float, dt: float = DT) -> tuple[float, float, float]:
    """A pose (x, y, heading) `dt` seconds later at constant speeds (m/s, rad/s): an arc, exactly."""
    turned = heading + omega * dt
    if abs(omega) < 1e-6:  # the radius below would be infinite
        return x + v * dt * math.cos(heading), y + v * dt * math.sin(heading), wrap(turned)
    radius = v / omega
    return (
        x + radius * (math.sin(turned) - math.sin(heading)),
        y - radius * (math.cos(turned) - math.cos(heading)),
        wrap(turned),
    )


def limited(v: float, omega: float, speed: float, turning: float) -> tuple[float, float]:
    """The speeds (m/s, rad/s) a step after `speed` and `turning`, when `v` and `omega` are commanded."""
    v = min(max(v, MIN_V), MAX_V)
    omega = min(max(omega, -MAX_OMEGA), MAX_OMEGA)
    speed += min(max(v - speed, -MAX_ACCEL * DT), MAX_ACCEL * DT)
    turning += min(max(omega - turning, -MAX_ALPHA * DT), MAX_ALPHA * DT)
    return speed, turning
