"""What `rarrl demo` plays: the same few missions under every policy, each recorded for the report."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from itertools import zip_longest
from multiprocessing import active_children, get_context

from rarrl.alfred import TASK_TYPES
from rarrl.config import LanguageModelConfig
from rarrl.errors import RarrlError
from rarrl_sim_envs.household.env import HouseholdEnv

from .evaluate import FIRST_SEED, Setting, run_mission
from .report.trace import Played
from .trace_recorder import TraceRecorder

POLICIES = ("never", "always", "after_failure", "learned")
FILMED = "learned"
Play = Callable[[Setting, int, bool], Played]


LATENCY = "household"
"""The profile whose seconds and tokens the shipped model's calls cost: measured ones would differ with the load of the
machine, and with them the missions of the same seed."""


def demo_settings(llm: str, model: LanguageModelConfig | None = None) -> list[Setting]:
    """Of every policy; llm, model: who thinks, and its settings, as in `rarrl.build`. The shipped model answers the
    same to the same, so that nothing is asked twice; of another one nobody knows, and its calls take the time that they
    take."""
    shipped = llm == "llama"
    return [
        Setting(
            policy=policy,
            llm=llm,
            latency=LATENCY if shipped else "",
            costs="household-training",
            remembers=shipped,
            language_model=model or LanguageModelConfig(),
        )
        for policy in POLICIES
    ]


def demo_seeds(missions: int, seed: int) -> list[int]:
    """Of `missions` missions that nothing was trained or tuned on: the first of each type of task in the list of the
    evaluation, then the second of each, and so on, so that few missions are not many of one type."""
    first = FIRST_SEED + 10_000 * seed
    by_type: dict[str, list[int]] = {}
    number = 0
    while len(by_type) < len(TASK_TYPES) or min(map(len, by_type.values())) * len(TASK_TYPES) < missions:
        by_type.setdefault(_task_type(first + number), []).append(first + number)
        number += 1

    rounds = zip_longest(*(by_type[name] for name in TASK_TYPES))
    return [found for one in rounds for found in one if found is not None][:missions]


def _task_type(seed: int) -> str:
    """The type of the task that a mission of this seed has."""
    env = HouseholdEnv(stereo=False)
    env.reset(seed=seed)
    return env.mission.task.task_type


def play(setting: Setting, seed: int, pictures: bool) -> Played:
    """One mission, recorded. pictures: of the left eye too."""
    recorder = TraceRecorder(setting.policy, pictures)
    row = run_mission(setting, seed, recorder)
    trace = recorder.trace()
    return Played(row.result, tuple(d for d in trace.decisions if d.action == "think"), trace)


def play_all(
    settings: Sequence[Setting],
    seeds: Sequence[int],
    workers: int = 0,
    progress: Callable[[float, str], None] | None = None,
    one: Play = play,
    keep: Callable[[Played], None] | None = None,
) -> list[Played]:
    """Every seed with every setting, in the order of settings, then seeds; those of FILMED with pictures.

    workers: processes; 0: one per core that is ours, at most four. one: plays a mission. keep: is called
    with each mission as soon as it is played, in any order.

    Raises: RarrlError where a process died; what `run_mission` raises."""
    jobs = [(setting, seed) for seed in seeds for setting in settings]
    workers = min(workers or min(len(os.sched_getaffinity(0)), 4), len(jobs))
    found: dict[tuple[Setting, int], Played] = {}

    def take(job: tuple[Setting, int], played: Played) -> None:
        found[job] = played
        if keep is not None:
            keep(played)
        if progress is not None:
            progress(len(found), f"{job[0].policy}: {played.result.end_reason}")

    if workers == 1:
        for job in jobs:
            take(job, one(*job, job[0].policy == FILMED))
    else:
        # Spawned: neither OpenGL nor llama.cpp survives a fork.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_be_quiet) as pool:
            futures = {pool.submit(one, *job, job[0].policy == FILMED): job for job in jobs}
            try:
                for future in as_completed(futures):
                    take(futures[future], future.result())
            except BaseException as error:
                pool.shutdown(wait=False, cancel_futures=True)
                for child in active_children():
                    child.terminate()
                if isinstance(error, BrokenProcessPool):
                    raise RarrlError("a process that played missions died (out of memory?); try again") from None
                raise
    return [found[setting, seed] for setting in settings for seed in seeds]


def _be_quiet() -> None:
    """Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
