"""From what a computer takes for a robot's parts to the settings with which they keep a rate together."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from rarrl.config import Config, Scalar, load_config
from rarrl.errors import InputError
from rarrl.files import write_bytes_atomic

from .measure import Setting, Speed

IN_TIME = 0.8
"""Share of the period that 95 % of the pairs may take: what comes between (messages, the garbage collector) is not
measured here."""
BUSY = 0.75
"""Share of the cores' time that the parts may take. The rest is for drivers, ROS and the language model."""
COMMENT_COLUMNS = 118


@dataclass(frozen=True)
class Needs:
    """What the robot needs. max_age_s: of a scan, for the gate. deadline_s: of a chunk. gate_hz: steps of the gate a
    second. chunks_hz: of the policy; 0 without one."""

    target_hz: float
    gate_hz: float
    max_age_s: float
    deadline_s: float
    chunks_hz: float = 0.0


@dataclass(frozen=True)
class Measured:
    """What was measured. detector, policy: by (quality or preset, threads), the best first; policy is empty where there
    is none. cores: that this process may use."""

    cores: int
    detector: Mapping[Setting, Speed]
    policy: Mapping[Setting, Speed]
    gate: Speed


@dataclass(frozen=True)
class Choice:
    """Settings, and what they come to. policy: None without one. hz: pairs a second that are kept, at most.
    busy: share of the cores' time that is taken at the rate that is asked for, or at `hz` where that is less."""

    detector: Setting
    policy: Setting | None
    hz: float
    busy: float

    @property
    def kept_hz(self) -> float:
        """`hz` in tenths, rounded down; at least 0.1, the least that can be set."""
        return max(0.1, int(10 * self.hz) / 10)

    def keeps(self, needs: Needs) -> bool:
        """Whether the rate that is asked for is met."""
        return self.hz >= needs.target_hz


def choose(measured: Measured, needs: Needs) -> Choice:
    """The best settings that keep the rate; else those that come nearest to it.

    The detector's quality counts before what the policy leaves out, and fewer threads before more of them."""
    qualities = list(dict.fromkeys(name for name, _ in measured.detector))
    presets = list(dict.fromkeys(name for name, _ in measured.policy))
    policies: list[tuple[str, int] | None] = list(measured.policy) or [None]
    choices = [
        _choice(measured, needs, detector, policy)
        for detector, policy in itertools.product(measured.detector, policies)
    ]

    def order(choice: Choice) -> tuple[float, ...]:
        quality, threads = choice.detector
        preset, more = choice.policy or (presets[0] if presets else "", 0)
        rank = (qualities.index(quality), presets.index(preset) if presets else 0, threads + more)
        return (0.0, *rank) if choice.keeps(needs) else (1.0, -choice.hz, *rank)

    return min(choices, key=order)


def _choice(measured: Measured, needs: Needs, detector: Setting, policy: Setting | None) -> Choice:
    """What these settings come to."""
    pair = measured.detector[detector]
    beside_ms = measured.gate.cpu_ms * needs.gate_hz
    in_time = True
    if policy is not None:
        chunk = measured.policy[policy]
        beside_ms += chunk.cpu_ms * needs.chunks_hz
        in_time = chunk.p95_ms <= IN_TIME * 1e3 * needs.deadline_s

    left_ms = BUSY * 1e3 * measured.cores - beside_ms  # of processor time a second
    hz = max(0.0, min(IN_TIME * 1e3 / pair.p95_ms, left_ms / pair.cpu_ms)) if in_time else 0.0
    busy = (min(hz, needs.target_hz) * pair.cpu_ms + beside_ms) / (1e3 * measured.cores)
    return Choice(detector, policy, hz, busy)


def least_hz(measured: Measured, choice: Choice, needs: Needs) -> float:
    """Rate below which scans become too old for the gate between two of them, and the robot stops; infinite where one
    pair alone takes too long."""
    left_s = needs.max_age_s - measured.detector[choice.detector].p95_ms / 1e3
    return 1.0 / left_s if left_s > 0 else float("inf")


def settings(choice: Choice, needs: Needs, folder: str = "") -> dict[str, dict[str, Scalar]]:
    """Sections of the configuration. folder: of the policy, as `policy.folder` names it; "": it is left out."""
    quality, threads = choice.detector
    rate = needs.target_hz if choice.keeps(needs) else choice.kept_hz
    sections: dict[str, dict[str, Scalar]] = {
        "detector": {"quality": quality, "threads": threads, "target_hz": float(rate)},
        "gate": {"rate_hz": float(needs.gate_hz)},
    }
    if choice.policy is not None:
        preset, threads = choice.policy
        sections["policy"] = {**({"folder": folder} if folder else {}), "preset": preset, "threads": threads}
    return sections


def write_settings(path: Path, sections: Mapping[str, Mapping[str, Scalar]], about: str) -> Config:
    """Writes `sections` as a ROS parameter file for all nodes, which `rarrl run --config` takes as well, below `about`
    as a comment. Returns what the parser of configurations reads from it.

    Raises: InputError where it cannot be written."""
    wrapped = (textwrap.wrap(line, COMMENT_COLUMNS, break_on_hyphens=False) or [""] for line in about.splitlines())
    comment = "".join(f"# {line}".rstrip() + "\n" for lines in wrapped for line in lines)
    values = {"/**": {"ros__parameters": {name: dict(section) for name, section in sections.items()}}}
    text = comment + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=10_000)
    try:
        write_bytes_atomic(path, text.encode())
    except OSError as error:
        raise InputError(f"--output: cannot write {path} ({error.strerror}); name another path") from None
    return load_config(path)
