"""Trials and observation clips for `rarrl tune policy` and `rarrl bench policy`."""

from __future__ import annotations

from collections.abc import Sequence

from rarrl.policy.base import Observation, Policy
from rarrl_sim_envs.suites import Env, Suite, suite_named

from .evaluate import as_observation, play_start

SUITE = suite_named("metaworld")
MAX_STEPS = SUITE.play_steps  # control steps of an episode
TUNING_STARTS = 50_000
"""First start of the training list that is for tuning; demonstrations are recorded from lower ones."""


class TrialRunner:
    """Plays single starts of a suite, its scenes kept. Use it with `with`."""

    def __init__(self, suite: Suite = SUITE) -> None:
        self._suite = suite
        self._envs: dict[str, Env] = {}

    def play(
        self,
        policy: Policy,
        task: str,
        start: int,
        rows: int | None = None,
        split: str = "train",
        words: str = "trained",
    ) -> bool:
        """Whether `policy` solves a start of the list.

        rows: of a chunk done before the next is asked for; None: all. words: a kind of instruction of the suite."""
        if task not in self._envs:
            self._envs[task] = self._suite.make(task, self._suite.play_steps)
        rows = rows or policy.spec.horizon
        return play_start(self._envs[task], policy, self._suite, task, words, start, rows, split).success

    def __enter__(self) -> TrialRunner:
        return self

    def __exit__(self, *_: object) -> None:
        for env in self._envs.values():
            env.close()
        self._envs.clear()


def speed_tasks(suite: Suite = SUITE) -> tuple[str, ...]:
    """The tasks that speed is measured on: those of the suite's first figure."""
    return tuple(suite.figures["success_f16"][0])


def observation_clips(
    tasks: Sequence[str] | None = None, every: int = 8, steps: int = 80, suite: Suite = SUITE
) -> list[list[Observation]]:
    """What a policy sees while the expert does each task, from one tuning start: every `every` control steps.

    tasks: None: `speed_tasks`"""
    found = []
    for task in tasks or speed_tasks(suite):
        env = suite.make(task, suite.play_steps)
        try:
            env.reset(options={"split": "train", "start": TUNING_STARTS})
            clip = []
            for step in range(steps):
                if step % every == 0:
                    clip.append(as_observation(env.observation()))
                if env.advance(env.expert_action()):
                    break
            found.append(clip)
        finally:
            env.close()

    return found
