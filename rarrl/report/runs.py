"""Reads runs for the report: the episodes of `events.jsonl`, and the figures of a policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rarrl.errors import InputError
from rarrl.events import (
    FILE_NAME,
    ActEvent,
    EndEvent,
    EpisodeEvent,
    Event,
    RunEvent,
    ShockEvent,
    ThinkEvent,
    read_events,
)


@dataclass(frozen=True)
class Episode:
    """One finished episode: its first line, the events in it, its last line."""

    start: EpisodeEvent
    events: tuple[Event, ...]
    end: EndEvent

    @property
    def number(self) -> int:
        """The episode's number; with one seed, the same number is the same task in each run."""
        return self.start.episode

    @property
    def acts(self) -> list[ActEvent]:
        """The execution attempts, in order."""
        return [event for event in self.events if isinstance(event, ActEvent)]

    @property
    def moments(self) -> list[tuple[Event, bool]]:
        """Events in the order of decisions, and whether they are over: a THINK beside acting comes twice, where it was
        decided and where its call ended."""
        moments: list[tuple[Event, bool]] = []
        for event in self.events:
            if isinstance(event, ThinkEvent) and event.beside:
                later = (
                    at
                    for at, (other, _) in enumerate(moments)
                    if isinstance(other, ActEvent | ThinkEvent) and other.decision > event.decision
                )
                moments.insert(next(later, len(moments)), (event, False))
            moments.append((event, True))
        return moments

    @property
    def thinks(self) -> list[ThinkEvent]:
        """The calls of the language model, in order."""
        return [event for event in self.events if isinstance(event, ThinkEvent)]

    @property
    def shocks(self) -> list[ShockEvent]:
        """The cuts of the budget from outside."""
        return [event for event in self.events if isinstance(event, ShockEvent)]

    @property
    def duration_s(self) -> float:
        """Seconds of robot time from the beginning to the end."""
        return self.end.t - self.start.t


@dataclass(frozen=True)
class Run:
    """What one policy did. note: what is missing from an interrupted run, "" for a whole one."""

    header: RunEvent
    episodes: tuple[Episode, ...]
    note: str = ""

    @property
    def policy(self) -> str:
        """The policy's name."""
        return self.header.policy

    def episode(self, number: int) -> Episode:
        """Returns the finished episode `number`. Raises: KeyError if there is none."""
        return {episode.number: episode for episode in self.episodes}[number]


@dataclass(frozen=True)
class Figures:
    """The figures of one policy.

    success: share of successful episodes, 0 to 1; low, high: its 95 % Wilson interval. llm_seconds, tokens, calls:
    means over `n` episodes. misses: calls that ran out of the budget, a sum. lost: tasks that failed irreversibly, a
    sum."""

    policy: str
    n: int
    success: float
    low: float
    high: float
    llm_seconds: float
    tokens: float
    calls: float
    misses: int
    lost: int


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Returns the 95 % Wilson interval of a share.

    >>> [round(x, 3) for x in wilson(15, 20)]
    [0.531, 0.888]
    """
    if n == 0:
        return 0.0, 1.0

    z = 1.959964
    p = successes / n
    middle = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)

    return max(low, 0.0), min(high, 1.0)


def figures_of(run: Run) -> Figures:
    """Returns the figures of a run; they are zero if it has no finished episode."""
    ends = [episode.end for episode in run.episodes]
    n = len(ends)
    successes = sum(end.success for end in ends)
    low, high = wilson(successes, n)

    return Figures(
        policy=run.policy,
        n=n,
        success=successes / max(n, 1),
        low=low,
        high=high,
        llm_seconds=sum(end.llm_seconds for end in ends) / max(n, 1),
        tokens=sum(end.tokens for end in ends) / max(n, 1),
        calls=sum(end.calls for end in ends) / max(n, 1),
        misses=sum(end.deadline_misses for end in ends),
        lost=sum(end.lost for end in ends),
    )


def shown_episode(runs: Sequence[Run]) -> tuple[int, str] | None:
    """Returns the number of the episode that a report shows and the rule that chose it, None without a common episode.

    Of the episodes that all runs finished and whose outcome differs between the policies, it is the first one with the
    most kinds of sub-goals (it shows most); else the first in which some policy called the language model; else the
    first."""
    tables = [{episode.number: episode for episode in run.episodes} for run in runs]
    common = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    if not common:
        return None

    differ = [number for number in common if len({table[number].end.success for table in tables}) > 1]
    if differ:
        kinds = {number: len(set(tables[0][number].start.subgoals)) for number in differ}
        rule = "the most varied task among those whose outcome differs between the policies"
        return max(differ, key=lambda number: (kinds[number], -number)), rule

    for number in common:
        if any(table[number].thinks for table in tables):
            return number, "the first with a call of the language model"

    return common[0], "the first"


def read_run(path: Path) -> Run:
    """Reads the run in `path` (an events.jsonl, or its folder). An episode without an end is left out.

    Raises: InputError that names file and line."""
    log = read_events(path)
    episodes: list[Episode] = []
    start: EpisodeEvent | None = None
    inside: list[Event] = []
    for event in log.events:
        if isinstance(event, EpisodeEvent):
            start = event
            inside = []
        elif isinstance(event, EndEvent):
            assert start is not None  # read_events checks the order
            episodes.append(Episode(start, tuple(inside), event))
            start = None
        else:
            inside.append(event)

    notes = [log.truncated] if log.truncated else []
    if start is not None:
        notes.append(f"episode {start.episode} has no end (the run was interrupted); it is left out")

    return Run(log.run, tuple(episodes), "; ".join(notes))


def read_runs(folder: Path) -> list[Run]:
    """Reads the runs of a run folder: its own events.jsonl, else those of its subfolders in the order of their names.

    Raises: InputError if there is none, or for a bad one."""
    if not folder.exists():
        raise InputError(f"run: {folder} does not exist; `rarrl replay` and `rarrl run` write runs/<time>/")
    if folder.is_file() or (folder / FILE_NAME).exists():
        return [read_run(folder)]

    files = sorted(folder.glob(f"*/{FILE_NAME}"))
    if not files:
        raise InputError(
            f"run: {folder} holds no {FILE_NAME}, nor do its folders; `rarrl replay` and `rarrl run` write runs/<time>/"
        )

    return [read_run(file) for file in files]
