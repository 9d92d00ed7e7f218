"""`rarrl tune robot`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarrl.cli.common import check_output, command_line, console, guarded, progress, table
from rarrl.cli.orchestrator import JsonOption
from rarrl.errors import DependencyMissingError, InputError

WAITED = 1.3
"""Real time over processor time of one thread, from which on the computer counts as busy with something else."""

if TYPE_CHECKING:
    from rarrl_learning.speed.measure import Setting, Speed
    from rarrl_learning.speed.preset import Choice, Measured, Needs


@guarded("nothing was written; start again")
def tune_robot(
    target_hz: Annotated[float, typer.Option(min=0.1, max=200, help="Stereo pairs a second that are to be answered.")],
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the settings go: a ROS parameter file, also for --config.")
    ] = Path("robot.yaml"),
    policy: Annotated[
        str, typer.Option(help="The policy: a folder, or a shipped one by name; none: only see and gate.")
    ] = "",
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the cameras' pictures.")] = "640x480",
    cube: Annotated[str, typer.Option(help="The cube of voxels: indoor, near or outdoor.")] = "indoor",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads to try at most; default: as many as there are cores.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of timing; all settings in turn in each.")] = 5,
    json: JsonOption = None,
) -> None:
    """Measure this computer, and write settings with which the robot keeps a rate on it.

    Exit status 1 where nothing keeps it: the settings that come nearest are written then."""
    from rarrl.config import GateConfig, PolicyConfig
    from rarrl.perception.voxels import grid_spec
    from rarrl.resources.threads import cores
    from rarrl_learning.speed.measure import halved
    from rarrl_learning.speed.preset import Measured, Needs, choose, settings, write_settings

    width, height = _size(size)
    grid_spec(cube)
    check_output(output, "--output")
    check_output(json, "--json")
    tried = range(1, (threads or cores()) + 1)
    gate, chunk_s = GateConfig(), PolicyConfig().deadline_s

    policies, chunks_hz = _policy(policy, tried, rounds)
    measured = Measured(cores(), _detector((width, height), cube, tried, rounds), policies, _gate(rounds))
    needs = Needs(target_hz, gate.rate_hz, gate.max_obstacle_age_s, chunk_s, chunks_hz)
    choice = choose(measured, needs)
    _print_speeds(measured)

    lines = _told(choice, measured, needs, size)
    if not choice.keeps(needs):
        small = halved(width, height)
        with suppress(InputError):  # too small to be matched
            few = max(2, rounds // 2)
            smaller = choose(Measured(cores(), _detector(small, cube, tried, few), policies, measured.gate), needs)
            lines.append(
                f"With pictures of {small[0]}x{small[1]} (the camera's binning) {smaller.detector[0]} would keep "
                f"{min(smaller.kept_hz, target_hz):g} Hz."
            )
    about = [f"Written by `{command_line()}` for {_computer()}.", *lines]
    write_settings(output, settings(choice, needs, policy), "\n".join(about))
    for line in lines:
        typer.echo(line)
    typer.echo(f"settings: {output} (params_file:={output}, or rarrl run --sim --config {output})")

    if json is not None:
        from rarrl.results import write_results

        write_results(json, _results(choice, measured, needs))
        typer.echo(f"figures: {json}")
    if not choice.keeps(needs):
        raise typer.Exit(1)


def _size(text: str) -> tuple[int, int]:
    """Raises: InputError."""
    from rarrl.perception.rig import MAX_SIDE, MIN_SIDE

    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    sides = tuple(map(int, found.groups())) if found else ()
    if len(sides) != 2 or not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise InputError(f"--size: {text[:40]!r} is no size; allowed: WIDTHxHEIGHT, {MIN_SIDE} to {MAX_SIDE} pixels")
    return sides[0], sides[1]


def _detector(size: tuple[int, int], cube: str, tried: range, rounds: int) -> Mapping[Setting, Speed]:
    from rarrl.perception.detectors import DETECTORS
    from rarrl_learning.progress import counted
    from rarrl_learning.speed.measure import detector_speeds, rendered_rooms

    with progress(f"detector, {size[0]}x{size[1]}", len(DETECTORS) * len(tried) * (rounds + 1)) as update:
        return detector_speeds(rendered_rooms(*size, cube=cube), tried, rounds, counted(update))


def _policy(policy: str, tried: range, rounds: int) -> tuple[Mapping[Setting, Speed], float]:
    """Speeds, and chunks a second; none where the policy is "none", or llama.cpp is missing and none was named."""
    from rarrl.config import PolicyConfig
    from rarrl_learning.progress import counted
    from rarrl_learning.speed.measure import policy_presets, policy_speeds

    if policy == "none":
        return {}, 0.0
    try:
        with progress("policy", len(policy_presets(policy)) * len(tried) * (rounds + 1)) as update:
            found, spec = policy_speeds(policy, tried, rounds, counted(update))
        return found, spec.control_hz / max(1.0, (1 - PolicyConfig().replan_share) * spec.horizon)
    except DependencyMissingError as error:
        if policy:
            raise
        typer.echo(f"left out: the policy ({error})", err=True)
        return {}, 0.0


def _gate(rounds: int) -> Speed:
    from rarrl_learning.speed.measure import gate_speed

    return gate_speed(rounds)


def _print_speeds(measured: Measured) -> None:
    parts = [("detector", measured.detector), ("policy", measured.policy), ("gate", {("a step", 1): measured.gate})]
    rows = [
        (f"{part}: {name or 'the whole'}", str(count), f"{s.cpu_ms:.1f}", f"{s.wall_ms:.1f}", f"{s.p95_ms:.1f}")
        for part, found in parts
        for (name, count), s in found.items()
    ]
    head = ("part", "threads", "CPU ms", "ms", "95 % within, ms")
    console().print(table("A pair, a chunk, a step on this computer", head, rows))


def _told(choice: Choice, measured: Measured, needs: Needs, size: str) -> list[str]:
    """What was chosen, and what it does not keep, for people; one line each."""
    from rarrl_learning.speed.preset import BUSY, least_hz

    quality, count = choice.detector
    pair = measured.detector[choice.detector]
    with_policy = ""
    if choice.policy is not None:
        with_policy = f", policy {choice.policy[0] or 'whole'} with {_threads(choice.policy[1])}"
    lines = [
        f"Detector {quality} with {_threads(count)}{with_policy}: 95 % of the pairs of {size} within "
        f"{pair.p95_ms:.0f} ms, {100 * choice.busy:.0f} % of {measured.cores} cores."
    ]
    waited = median(speed.wall_ms / speed.cpu_ms for (_, threads), speed in measured.detector.items() if threads == 1)
    if waited > WAITED:
        lines.append(
            f"Other programs took the cores while this was measured: pairs took {waited:.1f} times what they computed. "
            "End them and measure again, or take this as what is left beside them."
        )
    if choice.keeps(needs):
        return lines

    lines.insert(0, f"{needs.target_hz:g} Hz cannot be kept on this computer; nearest: {choice.kept_hz:g} Hz.")
    if choice.hz == 0:
        lines.append(
            f"The policy alone takes too long or too much: a chunk may take {1e3 * needs.deadline_s:.0f} ms "
            f"(policy.deadline_s), and all parts {100 * BUSY:.0f} % of the cores. --policy none leaves it out."
        )
    if choice.hz < (least := least_hz(measured, choice, needs)):
        lines.append(
            f"The robot would stand: the gate needs scans younger than {needs.max_age_s:g} s "
            f"(gate.max_obstacle_age_s), which takes {least:.1f} Hz."
        )
    return lines


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _computer() -> str:
    from rarrl.results import machine

    here = machine()
    return f"{here['processor']}, {here['cores']} cores"


def _results(choice: Choice, measured: Measured, needs: Needs) -> dict[str, Any]:
    from dataclasses import asdict

    from rarrl.results import Figure, make_results

    pair = measured.detector[choice.detector]
    figures = {
        "target_hz": Figure(needs.target_hz, "1/s, asked for"),
        "kept_hz": Figure(choice.hz, "1/s, at most, by the chosen settings", pair.n),
        "pair_p95_ms": Figure(pair.p95_ms, "ms", pair.n),
        "busy_share": Figure(choice.busy, "of the cores' time, at that rate"),
    }
    if choice.policy is not None:
        chunk = measured.policy[choice.policy]
        figures["chunk_p95_ms"] = Figure(chunk.p95_ms, "ms", chunk.n)
    found = {"detector": measured.detector, "policy": measured.policy, "gate": {("a step", 1): measured.gate}}
    tables = {
        part: [{"setting": name, "threads": count, **asdict(speed)} for (name, count), speed in speeds.items()]
        for part, speeds in found.items()
    }
    return make_results(command_line(), 0, figures, tables)
