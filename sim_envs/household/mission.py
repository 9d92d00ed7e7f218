"""The expert drives whole missions."""

from __future__ import annotations

from dataclasses import dataclass

from rarrl.types import ActStatus

from .env import HouseholdEnv
from .expert import Expert
from .tasks import remaining_plan
from .world import DT


@dataclass(frozen=True)
class Run:
    """A mission that the expert has driven.

    share: of the goal conditions met in the end. seconds: simulated. collisions: contacts of the base. disturbed: what
    went wrong. failures: reasons of the failed attempts."""

    success: bool
    share: float
    seconds: float
    collisions: int
    disturbed: tuple[str, ...]
    failures: tuple[str, ...]


def run_mission(env: HouseholdEnv, seed: int, replans: bool = True) -> Run:
    """Drives a mission of `env` to its end. replans: after each failure and disturbance, which a real robot would not
    know of, the plan is made again from the world as it is; else the plan of the start is kept."""
    _, info = env.reset(seed=seed)
    expert = Expert()
    disturbed: list[str] = []
    failures: list[str] = []
    done = False
    late = False
    outdated = False

    while not done and not late:
        _, _, done, late, info = env.step(expert.act(env.world, info["subgoal"]))

        event = info["event"]
        failed = event is not None and event.status is ActStatus.FAILURE
        if failed:
            failures.append(event.reason)
        disturbed += info["disturbed"]
        outdated |= failed or bool(info["disturbed"])

        if replans and outdated and not done and not env.world.busy:
            outdated = False
            env.set_plan(remaining_plan(env.world, env.mission.task))
            info["subgoal"] = env.executor.row

    met, total = info["conditions"]
    seconds = env.world.steps * DT
    return Run(done, met / total, seconds, info["collisions"], tuple(disturbed), tuple(failures))
