"""Plays what was recorded to the view at its own pace: any function from a time to a snapshot, and the log of a run."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace

from rarrl.events import ActEvent, EndEvent, Event, ShockEvent, ThinkEvent
from rarrl.report.runs import Episode, Run
from rarrl.why import Explained, explain, label

from .state import Bar, Controls, Moment, Option, Reason, Snapshot, Story
from .story import after, begun, spoken

At = Callable[[float], Snapshot]
"""What was to be seen so many seconds after the beginning. It is asked with times that do not run back."""
NO_THINK = "this is a recording: what was decided is decided"
_ENDS, _BEGINS, _OVER = range(3)
"""Kinds of moments of a log, in their order at the same time."""


class Player:
    """A recording as a `rarrl.view.server.Source`: it runs from when somebody watches first, and can be paused. At its
    end it stands; the button plays it again.

    Args:
        open_: makes what is played, from its beginning; it is called anew where it begins again.
        duration_s: of the recording.
        source: what it is, in words.
        speed: its seconds for a real one.
        clock: seconds, for tests."""

    def __init__(
        self,
        open_: Callable[[], At],
        duration_s: float,
        source: str,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open, self._duration_s, self._speed, self._clock = open_, duration_s, speed, clock
        self._lock = threading.Lock()
        self._at = open_()
        self._t_s = 0.0
        self._since: float | None = None  # of the clock; None: it stands
        self._begun = False
        self._controls = Controls(source, recorded=True, no_think=NO_THINK)
        self._shown: tuple[float, Snapshot] | None = None

    def look(self) -> Snapshot:
        """See `Source`."""
        with self._lock:
            now = self._clock()
            if self._since is not None:
                self._t_s += (now - self._since) * self._speed
                self._since = now
            if self._t_s >= self._duration_s:
                self._t_s, self._since = self._duration_s, None
            stands = self._since is None
            over = stands and self._t_s >= self._duration_s
            controls = replace(self._controls, paused=stands, resume_label="Play again" if over else "Go on")
            if self._shown is not None and self._shown[0] == self._t_s and controls == self._controls:
                return self._shown[1]
            self._controls = controls if controls != self._controls else self._controls
            self._shown = self._t_s, replace(self._at(self._t_s), controls=self._controls)
            return self._shown[1]

    def watch(self, somebody: bool) -> None:
        """See `Source`: it begins with the first who watches, and goes on where nobody does."""
        with self._lock:
            if somebody and not self._begun:
                self._begun, self._since = True, self._clock()

    def pause(self, wanted: bool) -> str:
        """See `Source`."""
        with self._lock:
            if not wanted and self._t_s >= self._duration_s:
                self._at, self._t_s = self._open(), 0.0
            self._since = None if wanted else self._clock()
            return ""

    def think_now(self) -> str:
        """See `Source`."""
        return NO_THINK


@dataclass(frozen=True)
class _Told:
    """The story from `t_s` on."""

    t_s: float
    story: Story


def episode_player(run: Run, number: int, cost_weight: float, speed: float = 1.0) -> Player:
    """The finished episode `number` of a run's log; each decision is explained as `rarrl why` does.

    Raises: KeyError where there is none; InputError where the run's policy is not there any more."""
    episode = run.episode(number)
    one = Run(run.header, (episode,), run.note)
    told = stories(run, episode, explain(one, cost_weight), cost_weight)
    begin, times = episode.start.t, [each.t_s for each in told]

    def at(t_s: float) -> Snapshot:
        story = told[max(bisect_right(times, begin + t_s) - 1, 0)].story
        return Snapshot(Moment(begin + t_s), story)

    return Player(lambda: at, episode.duration_s, f"the log of {run.policy}, episode {number}", speed)


def stories(run: Run, episode: Episode, explained: list[Explained], cost_weight: float) -> list[_Told]:
    """How the story of an episode went on, by time: as it was decided, and as it came out."""
    reasons = {each.decision: reason_of(each, cost_weight, run.policy) for each in explained}
    moments: list[tuple[float, int, Event]] = []
    for event in (*episode.events, episode.end):
        if isinstance(event, ActEvent | ThinkEvent):
            moments += [(event.t1, _ENDS, event), (event.t0, _BEGINS, event)]
        else:
            assert isinstance(event, ShockEvent | EndEvent)
            moments.append((event.t, _ENDS if isinstance(event, ShockEvent) else _OVER, event))

    story = after(after(Story(), run.header), episode.start)
    told = [_Told(episode.start.t, story)]
    for t_s, kind, event in sorted(moments, key=lambda moment: moment[:2]):
        if kind == _BEGINS and isinstance(event, ActEvent | ThinkEvent):
            story = _begun(story, event, reasons.get(event.decision))
        else:
            story = after(story, event)
        told.append(_Told(t_s, story))
    return told


def _begun(story: Story, event: ActEvent | ThinkEvent, reason: Reason | None) -> Story:
    if event.t1 <= event.t0:  # it is over at once, and its end stands before its beginning
        return replace(story, reason=reason or story.reason)
    if isinstance(event, ActEvent):
        return begun(story, Bar(event.decision, event.t0, None, label=spoken(event.subgoal)), reason)
    bar = Bar(event.decision, event.t0, None, event.role, event.level, beside=bool(event.beside))
    return begun(story, bar, reason)


def reason_of(one: Explained, cost_weight: float, policy: str) -> Reason:
    """An explained decision as the view shows it."""
    options = tuple(
        Option(
            label(choice),
            bool(one.allowed[choice]),
            choice == one.choice,
            None if one.probabilities is None else float(one.probabilities[choice]),
            seconds,
            tokens,
            cost_weight * seconds,
        )
        for choice, (seconds, tokens) in enumerate(one.expected)
    )
    return Reason(one.decision, label(one.choice), one.why, options, one.value, policy)
