"""Runs a robot's skills over ROS 2, whatever their types: sends goals, keeps deadlines, and tells what comes back.

At most one goal is at work at a server. After a goal of which it is not known whether it still runs, its server takes
nothing new until the result came, the server says that it does not have the goal any more, or the server is gone. A
server that never said whether it takes a goal may be thinking about it for as long as it likes, and says meanwhile that
it knows no such goal: there, only its answer counts, or its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Any

from rclpy.action import get_action_names_and_types
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle, NameValidationException
from rclpy.node import Node

from rarrl.errors import InputError
from rarrl.plugins import did_you_mean, one_line
from rarrl.skills.outcome import Outcome, OutcomeMap
from rarrl.skills.skill_set import Run, Skill
from rarrl.strict_json import short

from . import ros_types
from .skill_events import (
    Accepted,
    CancelRefused,
    Event,
    Feedback,
    Finished,
    Ignored,
    Lost,
    Rejected,
    Sending,
    Settled,
    SkillRun,
    Unavailable,
)
from .skill_servers import ACTIVE, ENDED, NOT_KNOWN, SERVERS, SUCCEEDED, UNKNOWN, Server
from .spinning import later

TICK_S = 0.05
"""Seconds between two looks at the deadlines while something runs; a deadline is missed by at most this much."""

STALL_S = 0.2
"""Seconds without a look after which deadlines are judged only at the next one."""

LOOK_S = 0.5
"""Seconds between two looks at whether the server of a running goal is still the same."""

GONE_S = 1.0
"""Seconds that a server must be missing from the graph before it counts as gone; discovery may lose it for a moment."""

RETRY_S = (1.0, 2.0, 4.0, 8.0, 10.0)
"""Seconds between repeated cancels of a goal that does not end; the last one repeats."""

ASK_S = 0.25
"""Seconds between two questions for a goal that an earlier process may have sent, or not: its server may still be
thinking about it. It is believed that there is none `accept_s` after the earlier process has sent it."""

NO_ANSWER = "never acknowledged"
REFUSED = "refused"
ACKNOWLEDGED = "acknowledged"

FEEDBACK_S = 0.2
"""Seconds between two events of feedback on one goal; a controller may send a hundred a second."""

MAX_WHY = 500
"""Characters of a server's own words that are passed on."""

MAX_GIVEN_UP = 20
"""Goals that are remembered in case that they are accepted when nobody expects it any more."""

DISTANCE = ("distance_remaining", "distance_to_goal", "distance_left")
RECOVERIES = ("number_of_recoveries", "recoveries")
TIME_LEFT = ("estimated_time_remaining", "time_remaining")


class Phase(Enum):
    """Where a run is."""

    WAITING = "waits for its server"
    SENT = "waits for the answer to its goal"
    RUNNING = "at work"
    ENDING = "asked to stop"
    UNKNOWN = "given up; may still be at work"


@dataclass(eq=False)
class _Job:
    """A run at its server. Times are seconds of the steady clock.

    due: when the phase has to end. end: when the result is due. sent_to: who served it when the goal was sent.
    instances: who serves it now."""

    run: SkillRun
    server: Server
    message: Any
    adopted: bool
    due: float
    phase: Phase = Phase.WAITING
    end: float = 0.0
    sent_to: frozenset[Any] = frozenset()
    instances: frozenset[Any] = frozenset()
    cancel_asked: bool = False
    overdue: bool = False
    known_since: float = 0.0  # when the server first said that it has the goal
    stops: str = NO_ANSWER  # what the server said to the cancel
    retries: int = 0
    next_retry: float = 0.0
    next_look: float = 0.0
    missing_since: float = 0.0
    not_known_since: float = 0.0  # when the server first said that it has no such goal
    ask_again: float = 0.0  # when it is asked for the goal again; 0: not
    told: float = 0.0  # when the last feedback was told

    @property
    def uuid(self) -> str:
        return self.run.uuid

    @property
    def skill(self) -> Skill:
        return self.run.skill

    @property
    def known(self) -> bool:
        return self.known_since > 0.0

    @property
    def is_orphan(self) -> bool:
        """Whether all who might have the goal are gone."""
        return bool(self.sent_to) and self.sent_to.isdisjoint(self.server.instances())


class SkillRunner:
    """Runs skills on behalf of a node. All methods may be called in any thread; events come in the executor's.

    Every entity is in one mutually exclusive callback group, and goals are sent from there: sent from another thread,
    the answer to a goal may be taken before rclpy knows that it waits for one (ros2/rclpy#1123).

    Args:
        on_event: called with each event, in the executor's thread; it may call the runner.
        skills: those whose servers are looked for at once, so that they are known when the first goal is sent.
        frame: TF frame of poses that name none.
        shared: names of servers on which goals of other clients may run besides ours.

    Raises: InputError where the type of one of `skills` is not installed."""

    def __init__(
        self,
        node: Node,
        on_event: Callable[[Event], None],
        skills: Iterable[Skill] = (),
        frame: str = "map",
        shared: Iterable[str] = (),
    ) -> None:
        self._node = node
        self._tell = on_event
        self._frame = frame
        self._shared = frozenset(map(node.resolve_service_name, shared))
        self._servers: dict[tuple[str, str], Server] = {}
        self._jobs: dict[str, _Job] = {}  # also those that were given up
        self._given_up: dict[str, _Job] = {}  # the last that nobody knew, in case that they turn up after all
        self._ticked = 0.0
        self._closed = False

        self._group = MutuallyExclusiveCallbackGroup()
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake = later(node, self._work, self._group)
        self._timer = node.create_timer(
            TICK_S, self._tick, callback_group=self._group, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()
        try:
            for skill in skills:
                if not skill.run.python:
                    self._server(skill.run)
        except InputError:
            self.close()
            raise

    # What others call

    def start(self, run: SkillRun) -> None:
        """Sends a goal as soon as its server is there, at most `accept_s` from now."""
        self.post(lambda: self._start(run, adopt=False))

    def adopt(self, run: SkillRun) -> None:
        """Takes up a goal that an earlier process has sent, by its uuid. One that its server does not know is Lost."""
        self.post(lambda: self._start(run, adopt=True))

    def cancel(self, uuid: str) -> None:
        """Asks the server to stop. The run ends as always: with its result, or Lost after `cancel_s`."""
        self.post(lambda: self._cancel(uuid))

    def cancel_now(self, uuid: str) -> None:
        """As `cancel`, but carried out at once: for a node that ends. Only in the executor's thread."""
        self._work()
        self._cancel(uuid)
        job = self._jobs.get(uuid)
        if job is not None and job.phase is Phase.SENT and job.server.cancels:
            self._send_cancel(job)  # its answer is not awaited any more

    def busy(self, skill: Skill) -> str:
        """Why the skill's server takes no goal at the moment; "" where it does. Only in the executor's thread."""
        job = self._job_at(self._server(skill.run))
        return f"{job.server.name}: a goal is {job.phase.value}" if job else ""

    def servers(self) -> dict[str, bool]:
        """Name of each server -> whether it is there. Only in the executor's thread."""
        return {server.name: server.is_there() for server in self._servers.values()}

    def close(self) -> None:
        """Destroys what the runner made on the node. Goals that run go on: a new process can adopt them."""
        if self._closed:
            return
        self._closed = True
        for server in self._servers.values():
            server.destroy()
        self._node.destroy_timer(self._timer)
        self._node.destroy_timer(self._wake)

    def post(self, work: Callable[[], None]) -> None:
        """Runs `work` in the executor's thread, after what was posted before."""
        self._inbox.put(work)
        with suppress(InvalidHandle):  # closed in another thread
            self._wake.reset()

    # In the executor's thread

    def _work(self) -> None:
        while not self._closed:
            try:
                work = self._inbox.get_nowait()
            except Empty:
                return
            work()

    def _server(self, run: Run) -> Server:
        """The server of a skill; made when it is first needed. Raises: InputError."""
        if run.python:
            raise InputError(f"{run.python} is a Python callable; it is not run over ROS")
        kind = "action" if run.action else "service" if run.service else "topic"
        name = resolved(self._node, kind, run.server)
        if (kind, name) not in self._servers:
            self._servers[kind, name] = SERVERS[kind](self._node, name, run.type, self, self._group)
        server = self._servers[kind, name]
        if server.type_name != run.type:
            raise InputError(f"{kind} {name}: is run as {server.type_name} and as {run.type}; keep one")
        return server

    def _job_at(self, server: Server) -> _Job | None:
        return next((job for job in self._jobs.values() if job.server is server), None)

    def _start(self, run: SkillRun, adopt: bool) -> None:
        if run.uuid in self._jobs:
            self._tell(Ignored(run.uuid, "this run was started already"))
            return
        try:
            server = self._server(run.skill.run)
            message = None if adopt else server.make(run.skill.run.goal, run.arguments, self._now_frame())
        except InputError as error:
            self._tell(Lost(run.uuid, str(error), settled=True) if adopt else Rejected(run.uuid, str(error), False))
            return
        if why := self.busy(run.skill):
            busy = Rejected(run.uuid, why, sent=False, outcome=Outcome.UNAVAILABLE)
            self._tell(Lost(run.uuid, why, settled=True) if adopt else busy)
            return

        job = self._jobs[run.uuid] = _Job(run, server, message, adopt, due=_now() + run.skill.accept_s)
        self._timer.reset()
        if adopt and not server.cancels:
            self._adopt_blindly(job)
        else:
            self._try_send(job)

    def _adopt_blindly(self, job: _Job) -> None:
        """Takes up what cannot be asked what became of it: a command counts as done in time, and a service is left
        alone for as long as it might take."""
        job.end = self._end_of(job)
        if job.server.kind == "topic":
            self._take(job)
        else:
            self._give_up(job, f"{job.server.name}: the answer of a service went to the process that had asked")

    def _end_of(self, job: _Job) -> float:
        """When the result is due."""
        seconds = job.skill.expected_s if job.server.kind == "topic" else job.skill.timeout_s
        return _now() + max(seconds - job.run.ran_s, 0.0)

    def _now_frame(self) -> ros_types.Frame:
        stamp = self._node.get_clock().now().to_msg()
        return ros_types.Frame(self._frame, (stamp.sec, stamp.nanosec))

    def _try_send(self, job: _Job) -> None:
        server = job.server
        if not server.is_there() or not (server.is_settled() or job.adopted):
            return
        if not job.adopted and server.name not in self._shared and server.others(job.uuid):
            why = f"{server.name}: a goal of another client is at work there"
            self._end(job, Rejected(job.uuid, why, sent=False, outcome=Outcome.UNAVAILABLE))
            return

        job.sent_to = job.instances = server.instances()
        job.end = self._end_of(job)
        if job.adopted:
            server.ask(job.uuid)
        else:
            self._tell(Sending(job.uuid))
            server.send(job.uuid, job.message)
        job.phase = Phase.SENT
        job.due = _now() + job.skill.accept_s
        if job.adopted:
            self.on_status(server)
        elif not server.accepts:
            self._runs(job)

    def _runs(self, job: _Job) -> None:
        """The server has taken the goal."""
        job.phase, job.due = Phase.RUNNING, job.end
        if job.cancel_asked:
            self._stop(job)

    def _cancel(self, uuid: str) -> None:
        job = self._jobs.get(uuid)
        if job is None:
            self._tell(Ignored(uuid, "cancel: no such goal is at work"))
            return
        if job.phase is Phase.WAITING and not job.adopted:
            self._end(job, Rejected(uuid, "cancelled before it was sent", sent=False, outcome=Outcome.CANCELLED))
            return

        job.cancel_asked = True
        if job.phase is Phase.RUNNING:
            self._stop(job)

    def _stop(self, job: _Job) -> None:
        """Asks the server to stop a goal that runs."""
        if not job.server.cancels:
            self._tell(CancelRefused(job.uuid, f"{job.server.name}: a {job.server.kind} cannot be called back"))
            return
        job.phase = Phase.ENDING
        job.due = _now() + job.skill.cancel_s
        self._send_cancel(job)

    def _send_cancel(self, job: _Job) -> None:
        job.server.cancel(job.uuid)
        job.next_retry = _now() + RETRY_S[min(job.retries, len(RETRY_S) - 1)]
        job.retries += 1

    # What comes back

    def on_accepted(self, uuid: str, accepted: bool) -> None:
        """See `Listener`."""
        job = self._jobs.get(uuid)
        if job is None or job.known:
            return
        if accepted:
            self._take(job)
        elif job.phase is Phase.UNKNOWN:
            self._end(job, Settled(uuid, f"{job.server.name} has rejected the goal"))
        else:
            self._end(job, Rejected(uuid, f"{job.server.name} has rejected the goal", sent=True))

    def _take(self, job: _Job) -> None:
        """The goal is known to be at work."""
        job.known_since = _now()
        if job.server.cancels and (not job.adopted or job.not_known_since):
            job.server.ask(job.uuid)
        if job.phase is Phase.UNKNOWN:
            self._send_cancel(job)
            return
        self._tell(Accepted(job.uuid, job.adopted))
        self._runs(job)

    def on_status(self, server: Server) -> None:
        """See `Listener`. Where the answer to a goal was lost, this tells that the goal is at work."""
        for uuid in [uuid for uuid, job in self._given_up.items() if job.server is server]:
            if server.goals.get(uuid) in ACTIVE:
                job = self._jobs[uuid] = self._given_up.pop(uuid)
                job.phase = Phase.UNKNOWN
                self._timer.reset()
                self._tell(Ignored(uuid, "a goal that was believed gone was accepted after all; it is told to stop"))
        for job in [each for each in self._jobs.values() if each.server is server]:
            if not job.known and job.phase is not Phase.WAITING and server.goals.get(job.uuid):
                self._take(job)

    def on_feedback(self, uuid: str, message: Any) -> None:
        """See `Listener`."""
        job = self._jobs.get(uuid)
        if job is None or job.phase not in (Phase.RUNNING, Phase.ENDING) or _now() - job.told < FEEDBACK_S:
            return
        job.told = _now()
        distance, recoveries = _number(message, DISTANCE), _number(message, RECOVERIES)
        count = None if recoveries is None else int(recoveries)
        fields = ros_types.plain(message)
        self._tell(Feedback(uuid, distance, count, _number(message, TIME_LEFT), fields))

    def on_cancel(self, uuid: str, code: int, stops: bool, asked: float) -> None:
        """See `Listener`."""
        job = self._jobs.get(uuid)
        if job is None:
            return
        if code == NOT_KNOWN:
            self._on_not_known(job, asked)
        elif code == ENDED:
            job.stops = ACKNOWLEDGED
            if job.phase is Phase.UNKNOWN:
                job.server.ask(uuid)  # the result that was sent may have been lost
        elif stops:
            job.stops = ACKNOWLEDGED
        elif job.phase is Phase.ENDING:
            job.stops = REFUSED
            if not job.overdue:
                job.phase, job.due, job.cancel_asked = Phase.RUNNING, job.end, False
                self._tell(CancelRefused(uuid, f"{job.server.name} goes on with the goal"))

    def _on_not_known(self, job: _Job, asked: float) -> None:
        """The server has no such goal: it was started again, has forgotten how the goal ended, or never got it.

        One that was asked before it took the goal knows better now. One that never took it may do so at any time."""
        if job.known and asked < job.known_since:
            return
        name = job.server.name
        if job.known or (job.adopted and job.run.accepted) or job.is_orphan:
            self._on_gone(job, f"{name} does not know the goal: it was started again, or its result was lost")
        elif job.adopted:
            job.not_known_since = job.not_known_since or _now()
            job.ask_again = _now() + ASK_S
            job.due = max(job.due, _now() + 4.0 * ASK_S)  # it answers
            silent_s = _now() - job.not_known_since
            if silent_s >= ASK_S and job.run.sent_ago_s + silent_s >= job.skill.accept_s:
                self._forsake(job)

    def _forsake(self, job: _Job) -> None:
        """An earlier process has perhaps never sent this goal. Should it turn up, it is told to stop."""
        self._given_up = dict([*self._given_up.items(), (job.uuid, job)][-MAX_GIVEN_UP:])
        del self._jobs[job.uuid]
        why = f"{job.server.name} does not know the goal"
        self._tell(Settled(job.uuid, why) if job.phase is Phase.UNKNOWN else Lost(job.uuid, why, settled=True))

    def on_result(self, uuid: str, status: str, message: Any, asked: float) -> None:
        """See `Listener`."""
        job = self._jobs.get(uuid)
        if job is None:
            if status != UNKNOWN:
                self._tell(Ignored(uuid, f"a result ({status}) that nobody waits for"))
        elif status == UNKNOWN:
            self._on_not_known(job, asked)
        else:
            if job.adopted and not job.known and job.phase is not Phase.UNKNOWN:
                self._tell(Accepted(uuid, adopted=True))
            self._end(job, self._finished(job, status, message))

    def _finished(self, job: _Job, status: str, message: Any) -> Finished:
        late = job.phase is Phase.UNKNOWN
        table = job.skill.outcome.resolved
        code: Any = status
        names: tuple[str, ...] = ()
        why, fields = "", {}
        if message is not None:
            fields = ros_types.plain(message)
            try:
                if table.field:
                    code = ros_types.read(message, table.field)
                    known = ros_types.codes_at(type(message), table.field)
                    names = tuple(name for name, value in known.items() if value == code)
                if table.why:
                    why = str(ros_types.read(message, table.why))[:MAX_WHY]
            except InputError as error:
                why = f"outcome: {error}"

        outcome = judge(table, status, (code, *names), why)
        listed = not table.field or message is None or any(map(table.lists, (code, *names)))
        if not listed and not why and status == SUCCEEDED:
            why = f"{table.field} is {short(code)}, which no list of `outcome` holds"
        if job.overdue and outcome is Outcome.CANCELLED:
            outcome, why = Outcome.FAILED, f"no result within {job.skill.timeout_s:g} s; stopped"
        return Finished(job.uuid, outcome, status, code, names, why, fields, job.overdue, late)

    def on_surplus(self, what: str) -> None:
        """See `Listener`."""
        self._tell(Ignored("", what))

    # Deadlines

    def _tick(self) -> None:
        if not self._jobs:
            self._timer.cancel()
            return
        last, self._ticked = self._ticked, _now()
        if self._ticked - last > STALL_S:
            return  # the executor was held up: what has come meanwhile is read first
        for job in tuple(self._jobs.values()):
            if job.phase is Phase.WAITING:
                self._try_send(job)
            else:
                self._look(job)
            if job.uuid in self._jobs and job.ask_again and _now() > job.ask_again:
                job.ask_again = 0.0
                job.server.ask(job.uuid)
            elif job.uuid in self._jobs and job.phase is not Phase.UNKNOWN and _now() > job.due:
                self._on_due(job)
            elif job.uuid in self._jobs and job.phase in (Phase.ENDING, Phase.UNKNOWN):
                self._again(job)

    def _on_due(self, job: _Job) -> None:
        name, skill = job.server.name, job.skill
        if job.phase is Phase.WAITING:
            if job.adopted:  # its server may be there and not be discovered yet, with the goal at work
                job.due = _now() + skill.accept_s
            else:
                self._end(job, Unavailable(job.uuid, self._missing(job.server)))
        elif job.phase is Phase.SENT:
            self._give_up(job, f"{name} did not say within {skill.accept_s:g} s whether it takes the goal")
        elif job.phase is Phase.RUNNING and job.server.kind == "topic":
            self._end(job, self._finished(job, SUCCEEDED, None))
        elif job.phase is Phase.RUNNING and job.server.cancels:
            job.overdue = True
            self._stop(job)
        elif job.phase is Phase.RUNNING:
            self._give_up(job, f"{name} did not answer within {skill.timeout_s:g} s")
        elif job.phase is Phase.ENDING:
            after = f"a cancel that it {job.stops}"
            first = f"no result within {skill.timeout_s:g} s, nor" if job.overdue else "no result"
            self._give_up(job, f"{name}: {first} within {skill.cancel_s:g} s after {after}")

    def _give_up(self, job: _Job, why: str) -> None:
        """From here on it is not known whether the goal runs: it is told to stop, and its server takes nothing new."""
        job.phase = Phase.UNKNOWN
        job.retries = 0
        if job.server.cancels:
            if not job.known:
                job.server.ask(job.uuid)
            self._send_cancel(job)
        self._tell(Lost(job.uuid, why, settled=False))

    def _again(self, job: _Job) -> None:
        """Repeats a cancel, which may have been lost."""
        if job.server.cancels and _now() > job.next_retry:
            self._send_cancel(job)
        elif job.adopted and job.server.kind == "service" and _now() > job.end:
            self._end(job, Settled(job.uuid, f"the time of {job.server.name} is over"))

    def _look(self, job: _Job) -> None:
        """Whether the server is still the one that has the goal."""
        if _now() < job.next_look:
            return
        job.next_look = _now() + LOOK_S
        if not job.server.is_there():
            job.missing_since = job.missing_since or _now()
            if _now() - job.missing_since >= GONE_S:
                self._on_gone(job, f"{job.server.name} is gone")
            return

        job.missing_since = 0.0
        there = job.server.instances()
        if there == job.instances:
            return
        if (job.server.kind == "service" or not job.known) and job.server.kind != "topic" and job.is_orphan:
            self._on_gone(job, f"{job.server.name} was started again")
            return
        if job.server.kind == "service":
            if len(there) < len(job.instances) and job.phase is Phase.UNKNOWN:
                self._on_gone(job, f"one of the servers of {job.server.name} is gone")
        elif job.server.kind == "action":
            # It was started again under our goal, or another one has come: who knows the goal answers.
            job.server.refresh()
            job.server.ask(job.uuid)
        job.instances = there

    def _on_gone(self, job: _Job, why: str) -> None:
        if job.phase is Phase.UNKNOWN:
            self._end(job, Settled(job.uuid, why))
        else:
            self._end(job, Lost(job.uuid, why, settled=True))

    def _end(self, job: _Job, event: Event) -> None:
        """The goal does not run any more; its server takes the next one."""
        del self._jobs[job.uuid]
        job.server.forget(job.uuid)
        self._tell(event)

    def _missing(self, server: Server) -> str:
        """That a server is not there, and what may have been meant."""
        what = "nobody subscribes to it" if server.kind == "topic" else "no server"
        return f"{server.kind} {server.name}: {what}{did_you_mean(server.name, in_graph(self._node, server.kind))}"


def judge(table: OutcomeMap, status: str, codes: Iterable[Any], why: str) -> Outcome:
    """The outcome of a result whose code has several names.

    >>> judge(OutcomeMap(success=("NONE",)), "SUCCEEDED", (0, "NONE"), "")
    <Outcome.SUCCESS: 'success'>
    """
    found = [table.read(code, why) for code in codes]
    outcome = next((each for each in found if each is not Outcome.FAILED), Outcome.FAILED)
    if outcome is Outcome.SUCCESS and status in ("ABORTED", "CANCELED"):
        return Outcome.CANCELLED if status == "CANCELED" else Outcome.FAILED
    return outcome


def in_graph(node: Node, kind: str) -> dict[str, list[str]]:
    """Name and types of all actions and services that are served, or topics that somebody subscribes to."""
    if kind == "action":
        found = get_action_names_and_types(node)
    else:
        found = node.get_service_names_and_types() if kind == "service" else node.get_topic_names_and_types()
    return {name: types for name, types in found if "/_action/" not in name and count_of(node, kind, name)}


def resolved(node: Node, kind: str, name: str) -> str:
    """The name of a server with its namespace, after remapping. Raises: InputError where it cannot be one."""
    try:
        return str(node.resolve_topic_name(name) if kind == "topic" else node.resolve_service_name(name))
    except (RuntimeError, NameValidationException) as error:
        raise InputError(f"{kind} {short(name)} is no name in ROS ({one_line(error)})") from None


def count_of(node: Node, kind: str, name: str) -> int:
    """How many servers, or subscribers of a topic, the graph shows. name: resolved."""
    if kind == "action":
        return int(node.count_services(f"{name}/_action/send_goal"))
    return int(node.count_services(name) if kind == "service" else node.count_subscribers(name))


def _number(message: Any, names: tuple[str, ...]) -> float | None:
    """The first of these fields that the message has, as a number; a duration in seconds."""
    for name in names:
        value = getattr(message, name, None)
        if value is not None and hasattr(value, "nanosec"):
            return float(value.sec) + float(value.nanosec) * 1e-9
        if isinstance(value, (int, float)):
            return float(value)
    return None


def _now() -> float:
    return time.monotonic()
