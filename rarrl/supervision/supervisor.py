"""The supervisor's state machine.

A node counts as alive by its heartbeats alone, which its executor sends: a process that is there and does not answer
(stopped, hung, a callback that never returns) is killed and started again like one that has ended. What a node's state
is, is likewise what its heartbeats say, so that a supervisor that was itself killed finds the nodes as they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rarrl.supervision.events import (
    SILENT_S,
    Adopt,
    Announce,
    Ask,
    Beat,
    Change,
    Command,
    End,
    Ended,
    Event,
    Kill,
    Life,
    Rule,
    Settings,
    Start,
)
from rarrl.supervision.modes import Mode, Status, mode_without

START_S = 60.0
"""Seconds until the first heartbeat of a new process: importing ROS takes long on a busy machine."""

CHANGE_S = 120.0
"""Seconds that a transition may take, in which a node is silent: a policy or a language model is loaded."""

END_S = 10.0
"""Seconds that a process may take to end after it has said so: threads and worker processes end first."""

ADOPT_S = 10.0
"""Seconds until the first heartbeat of a process that an earlier supervisor had started: DDS finds it within two."""

ASK_S = 1.0
"""Seconds after which a transition is asked for again where the node shows no sign of it: the question may have gone to
a process that was killed, which DDS remembers for a while."""

KILL_S = 1.0
"""Seconds after which a process that does not end is killed once more."""

STARVED_S = 5.0
"""Most seconds of waiting for a processor that are forgiven: to kill a node that does not get one makes things worse,
but one that gets none for so long does not work either."""

HALTED_S = 0.3
"""Seconds of silence after which it is looked whether a signal has stopped the process: longer than a beat."""

TOGETHER_S = 3.0
"""Seconds of silence that are allowed where several nodes are silent at once: what they have in common, the computer or
the middleware, is then at fault, and to kill them all helps nobody."""

STEP_S = 0.25
"""Most seconds between two looks that count: a supervisor that was itself kept from running blames nobody for it."""

SETTLE_S = 2.0
"""Seconds after which a node that somebody else has deactivated counts as missing: a simulator does so for a moment."""

BACKOFF_S = (0.1, 0.5, 2.0, 5.0, 10.0)
"""Seconds before a node is tried again, by the number of its failures in a row."""


@dataclass
class _Watched:
    """What is known of one node. Times are the supervisor's own, see `Supervisor._time`."""

    rule: Rule
    pid: int | None = None
    since: float = 0.0  # when the process was started, or adopted
    patience_s: float = START_S  # from then until its first heartbeat
    beat: Beat | None = None  # of this process
    heard: float = 0.0
    waited: float = 0.0  # seconds in which the process had waited for a processor by then
    gap: float = 0.0  # the longest silence between two heartbeats while it was active
    changed: float = 0.0  # when its state was another one last
    served: bool = False  # this process has been active
    ever: bool = False  # any process of it has been
    asked: Change | None = None
    asked_at: float = 0.0
    killed_at: float | None = None
    again_at: float = 0.0  # not before
    in_a_row: int = 0
    failures: deque[float] = field(default_factory=deque)
    why: str = ""  # of its last failure
    given_up: bool = False
    second: tuple[int, float] = (0, 0.0)  # process number of another one of its name, and when it was heard

    @property
    def life(self) -> Life | None:
        return self.beat.life if self.beat is not None else None


class Supervisor:
    """The state machine.

    Args:
        rules: in the order in which nodes are activated.
        now: seconds of the steady clock.
        running: node -> process number, of those that an earlier supervisor had started and that still run.
        waited: process number -> seconds for which it has waited for a processor so far. What is not silent because it
            hangs, but because other programs have the processor, is not to blame.
        halted: process number -> whether a signal has stopped it, so that there is nothing to wait for.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        settings: Settings,
        now: float,
        running: Mapping[str, int] | None = None,
        waited: Callable[[int], float] = lambda pid: 0.0,
        halted: Callable[[int], bool] = lambda pid: False,
    ) -> None:
        self._waited = waited
        self._halted = halted
        self.settings = settings
        self._nodes = {rule.name: _Watched(rule) for rule in rules}
        self._last = now
        self._time = 0.0  # seconds in which this supervisor was awake
        self._told: Status | None = None
        self._gone: dict[str, float] = {}  # part -> since when it is missing
        self._failed = False  # anything has, since the start
        self._complete = False  # everything was up at once
        self._ended = False

        for name, pid in (running or {}).items():
            self._take(self._nodes[name], pid, ADOPT_S)

    # Events

    def handle(self, event: Event, now: float) -> list[Command]:
        """Takes in what has happened."""
        self._awake(now)
        node = self._nodes.get(event.node)
        if node is None:
            return []
        return self._on_beat(node, event) if isinstance(event, Beat) else self._on_ended(node, event)

    def started(self, name: str, pid: int, now: float) -> None:
        """The process that `Start` asked for."""
        self._awake(now)
        self._take(self._nodes[name], pid, START_S)

    def retry(self, now: float) -> list[str]:
        """Tries those again that were given up; returns their names."""
        self._awake(now)
        names = [name for name, node in self._nodes.items() if node.given_up]
        for name in names:
            node = self._nodes[name]
            node.given_up = False
            node.in_a_row = 0
            node.again_at = self._time
            node.failures.clear()
        return names

    def look(self, now: float) -> list[Command]:
        """What is to be done now; to be called several times in `HEARTBEAT_S`."""
        self._awake(now)
        commands: list[Command] = []
        for node in self._nodes.values():
            commands += self._look_at(node)
        status = self._status()
        if self._is_new(status):
            self._told = status
            commands.append(Announce(status))
        return commands

    @property
    def status(self) -> Status:
        """How the robot stands, as it was announced last."""
        return self._told or self._status()

    @property
    def gaps(self) -> dict[str, float]:
        """Node -> the longest silence between two heartbeats of a node that was well, seconds."""
        return {name: node.gap for name, node in self._nodes.items()}

    @property
    def seconds(self) -> dict[str, int]:
        """Node -> process number of a second process of its name, which was heard lately and is left alone."""
        lately = self._time - SETTLE_S
        return {
            name: node.second[0] for name, node in self._nodes.items() if node.second[0] and node.second[1] > lately
        }

    @property
    def running(self) -> dict[str, int]:
        """Node -> process number."""
        return {name: node.pid for name, node in self._nodes.items() if node.pid is not None}

    def ages(self, now: float) -> dict[str, float]:
        """Node -> seconds since its last heartbeat, of those that are heard."""
        self._awake(now)
        return {name: self._time - node.heard for name, node in self._nodes.items() if node.beat is not None}

    def _awake(self, now: float) -> None:
        self._time += min(max(now - self._last, 0.0), STEP_S)
        self._last = now

    def _take(self, node: _Watched, pid: int, patience_s: float) -> None:
        """From now on, `pid` is the node's process."""
        node.pid = pid
        node.since = node.again_at = self._time
        node.patience_s = patience_s
        node.beat = None
        node.served = False
        node.asked = None
        node.killed_at = None

    def _on_beat(self, node: _Watched, beat: Beat) -> list[Command]:
        commands: list[Command] = []
        if node.pid is None:
            self._take(node, beat.pid, ADOPT_S)
            commands.append(Adopt(beat.node, beat.pid))
        elif node.pid != beat.pid and (self.settings.manage or not self._wedged(node)):
            node.second = (beat.pid, self._time)
            return []
        elif node.pid != beat.pid:  # whoever manages it has started it again
            self._take(node, beat.pid, ADOPT_S)
            commands.append(Adopt(beat.node, beat.pid))
        before, node.beat = node.life, beat
        if before is Life.ACTIVE and beat.life is Life.ACTIVE:
            node.gap = max(node.gap, self._time - node.heard)
        node.heard = self._time
        node.waited = self._waited(beat.pid)
        if before is not beat.life:
            node.changed = self._time
            commands += self._on_change(node, before, beat)
        return commands

    def _on_change(self, node: _Watched, before: Life | None, beat: Beat) -> list[Command]:
        """Another state than `before`."""
        if beat.life is Life.ACTIVE and node.killed_at is None:
            node.served = node.ever = True
            node.in_a_row = 0
        if beat.life is Life.CHANGING:
            return []
        asked, node.asked = node.asked, None
        if asked is None or before is not Life.CHANGING or beat.life is asked.goal:
            return []
        return self._fail(node, f"cannot {asked.value}: {beat.failure or 'see its log'}")

    def _on_ended(self, node: _Watched, event: Ended) -> list[Command]:
        if event.pid != node.pid:
            return []
        killed = node.killed_at is not None
        node.pid = node.beat = node.killed_at = None
        if not self.settings.manage:
            node.why = event.how
            return []
        if node.rule.essential:
            failed = killed or event.status != 0
            return self._end(f"{node.rule.name}: {node.why if killed else event.how}" if failed else "")
        if not killed:
            # The same command with the same bad input ends the same way.
            return self._fail(node, event.how, hopeless=event.status == 2 and not node.ever)
        return []

    def _fail(self, node: _Watched, why: str, hopeless: bool = False) -> list[Command]:
        """One more failure: the node is tried again after a while, or given up."""
        self._failed = True
        node.why = why
        node.in_a_row += 1
        node.failures.append(self._time)
        while self._time - node.failures[0] > self.settings.window_s:
            node.failures.popleft()
        node.again_at = self._time + BACKOFF_S[min(node.in_a_row, len(BACKOFF_S)) - 1]
        if not hopeless and node.in_a_row < self.settings.attempts and len(node.failures) <= self.settings.restarts:
            return []

        node.given_up = True
        if not self.settings.end_if_given_up:
            return []
        refused = hopeless or (node.beat is not None and node.beat.refused)
        return self._end(f"{node.rule.name}: {why}", refused)

    def _end(self, why: str, refused: bool = False) -> list[Command]:
        if self._ended:
            return []
        self._ended = True
        return [End(why, refused)]

    # Looking after one node

    def _look_at(self, node: _Watched) -> list[Command]:
        if not self.settings.manage or self._ended:
            return []
        if node.killed_at is not None:
            return self._kill(node, node.why) if self._time - node.killed_at > KILL_S else []
        if node.pid is not None and (why := self._wedged(node)):
            commands = self._fail(node, why)
            return [*commands, *self._kill(node, why)]
        if node.given_up or self._time < node.again_at:
            return []
        if node.pid is None:
            if self._time < self.settings.listen_s:
                return []
            node.again_at = self._time + START_S  # `started` comes before that
            return [Start(node.rule.name)]
        return self._move_on(node)

    def _wedged(self, node: _Watched) -> str:
        """Why a process that is there counts as dead; "" where it is well."""
        if node.beat is None:
            late = self._time - node.since > node.patience_s
            return f"no heartbeat {node.patience_s:g} s after its start" if late else ""
        silent = self._time - node.heard
        if node.beat.life is Life.CHANGING:
            return f"a transition took longer than {CHANGE_S:g} s" if silent > CHANGE_S else ""
        if node.beat.life is Life.FINALIZED:
            return f"did not end within {END_S:g} s" if silent > END_S else ""
        if silent > HALTED_S and self._halted(node.beat.pid):
            return f"stopped by a signal, silent for {silent:.1f} s"
        limit_s = node.rule.silent_s
        if silent <= limit_s:
            return ""
        if any(other is not node and self._is_quiet(other) for other in self._nodes.values()):
            limit_s = max(limit_s, TOGETHER_S)
        starved = min(self._waited(node.beat.pid) - node.waited, STARVED_S)
        return f"alive, but silent for {silent:.1f} s" if silent - starved > limit_s else ""

    def _is_quiet(self, node: _Watched) -> bool:
        """Whether a node that should be heard is not, for longer than beats are apart."""
        if node.beat is None or node.killed_at is not None or node.life in (Life.CHANGING, Life.FINALIZED):
            return False
        return self._time - node.heard > SILENT_S / 2 and not self._halted(node.beat.pid)

    def _kill(self, node: _Watched, why: str) -> list[Command]:
        assert node.pid is not None
        node.killed_at = self._time
        return [Kill(node.rule.name, node.pid, why)]

    def _move_on(self, node: _Watched) -> list[Command]:
        """The next transition of a node that is well. What somebody else has undone is left as it is."""
        if node.served or (node.asked is not None and self._time - node.asked_at < ASK_S):
            return []
        change = None
        if node.life is Life.UNCONFIGURED:
            change = Change.CONFIGURE
        elif node.life is Life.INACTIVE and self._may_activate(node):
            change = Change.ACTIVATE
        if change is None:
            return []
        node.asked, node.asked_at = change, self._time
        return [Ask(node.rule.name, change)]

    def _may_activate(self, node: _Watched) -> bool:
        """Whether it is its turn: at first in order, later as soon as its guards are active."""
        if node.rule.by_person and node.ever:
            return False
        for other in self._nodes.values():
            if other is node:
                return True
            waits = not other.ever and not other.given_up
            if other.life is not Life.ACTIVE and (waits or other.rule.guard):
                return False
        return True

    # The mode

    def _missing(self, node: _Watched) -> Mapping[str, str]:
        """Part -> why it does not work, of one node."""
        own = node.rule.part
        if node.given_up:
            return {own: f"given up: {node.why}; ~/retry tries it again"}
        if node.pid is None or node.killed_at is not None:
            return {own: node.why or "not started yet"}
        if node.beat is None:
            return {own: node.why or "is starting"}
        if not self.settings.manage and (why := self._wedged(node)):
            return {own: why}
        if node.life is Life.ACTIVE:
            return {part: why for part, why in node.beat.troubles.items() if why}
        if node.life is Life.FINALIZED and node.rule.essential:
            return {}  # it has done its work
        if node.served:  # by somebody else
            settled = self._time - node.changed > SETTLE_S
            return {own: f"somebody has made it {node.life.value}" if node.life else ""} if settled else {}
        if node.life is Life.INACTIVE and node.rule.by_person and node.ever:
            return {own: f"{node.why}; a person has to activate it: ros2 lifecycle set {node.rule.name} activate"}
        return {own: node.why or "is starting"}

    def _status(self) -> Status:
        missing: dict[str, str] = {}
        for node in self._nodes.values():
            missing |= self._missing(node)
        self._complete = self._complete or not missing
        mode = max((mode_without(part) for part in missing), default=Mode.NORMAL)

        back = tuple((part, self._time - since) for part, since in self._gone.items() if part not in missing)
        starting = bool(missing) and not self._failed and not self._complete
        given_up = tuple(node.rule.part for node in self._nodes.values() if node.given_up)
        return Status(mode, tuple(missing.items()), back, starting, given_up)

    def _is_new(self, status: Status) -> bool:
        """Whether it is worth telling: another mode, other parts are missing, or one is given up."""
        told = self._told
        parts = {part for part, _ in status.missing}
        is_new = told is None or not (
            told.mode is status.mode
            and told.starting is status.starting
            and told.given_up == status.given_up
            and (status.starting or {part for part, _ in told.missing} == parts)
        )
        if is_new:
            self._gone = {part: self._gone.get(part, self._time) for part in parts}
        return is_new
