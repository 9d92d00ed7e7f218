"""`rarrl profile record`: a language model's answers on ALFRED's goals, their seconds and tokens.

Every call is a real one. It is written to a journal beside the profile as soon as it is over, so that a killed
recording goes on where it was: no call is lost but the one under way, and none is made twice.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from rarrl.alfred import HOUSEHOLD_TASKS, AlfredPlan, is_development, read_alfred
from rarrl.alfred_plans import expert_plan, same_plan
from rarrl.errors import InputError, RarrlError
from rarrl.latency.profile import (
    CallRecord,
    Finish,
    LatencyProfile,
    ProfileHeader,
    TaskRecord,
    World,
    load_profile,
    shareable,
)
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.reasoner.breaker import CircuitBreaker, GuardedReasoner
from rarrl.reasoner.nearest import NearestGoal, NearestPlan
from rarrl.reasoner.plan import Plan
from rarrl.results import machine
from rarrl.types import CallStatus, Role

from ..latency.import_logs import MIN_VALID, MIN_VALID_SHARE
from .curriculum import homes
from .pace import PacedReasoner

Progress = Callable[[int, str], None]
FINISH: dict[CallStatus, Finish] = {
    CallStatus.OK: "stop",
    CallStatus.BUDGET: "length",
    CallStatus.TIMEOUT: "timeout",
    CallStatus.REFUSED: "refused",
}
"""`CallRecord.finish` of each status of an answer; all others: error."""
DOWN_WAITS_S = (1.0, 5.0, 15.0)
"""Seconds before a call is made again whose backend was not there: a server that loads its model or restarts is back by
then. After the last of them the recording ends; the same command goes on with it."""
SHIPPED_GOALS = "household"
"""The shipped profile whose goals come with the package."""
WARM_UP_GOAL = "put a mug on the shelf"
"""Goal of the call that is made before the first recorded one, so that loading the model is not counted as its
latency."""


@dataclass(frozen=True)
class RecordConfig:
    """What is recorded. n: annotations, drawn from all of the split's by `seed`. deadline_s: of each call. concurrency:
    tasks asked about side by side."""

    llm: str
    split: str
    n: int = 500
    roles: tuple[Role, ...] = (Role.PLANNER, Role.VERIFIER)
    levels: tuple[int, ...] = (1, 2)
    threads: int = 1
    deadline_s: float = 60.0
    seed: int = 0
    concurrency: int = 1

    def __post_init__(self) -> None:
        if not self.roles or not self.levels or self.n < 1:
            raise InputError("profile record: needs at least one role, one level and one annotation")

    @property
    def settings(self) -> dict[str, Any]:
        """What two recordings must share to be one: all but `n`. One call at a time is not told, as before there were
        several."""
        left_out = ("n", "concurrency") if self.concurrency == 1 else ("n",)
        return {name: value for name, value in asdict(self).items() if name not in left_out}


@dataclass(frozen=True)
class RecordedTask:
    """A goal sentence, the expert's plan for it, and the plan of a robot without a language model.

    home: classes that the robot met there in its earlier tasks (`homes`); () where it knows nothing of it."""

    source: AlfredPlan
    annotation: int
    expert: Plan
    default: NearestPlan
    home: tuple[str, ...] = ()

    @property
    def goal(self) -> str:
        """The annotator's sentence."""
        return self.source.annotations[self.annotation].goal


def choose_tasks(alfred: Path, config: RecordConfig, memory: Path | None = None) -> tuple[list[RecordedTask], str]:
    """`config.n` annotations of the split, and the hash of the data.

    Of the train split only the development plans are taken: the others were taught to the model. `memory`: a data set
    with the train split, among whose other plans the default plan is looked up; None: `alfred`. What the robot knows of
    a task's home is what it met in all other trials of the train split there.
    Raises: InputError: no such split, no annotation in it, no train split."""
    data = read_alfred(alfred, config.split)
    train = data if config.split == "train" and memory is None else read_alfred(memory or alfred, "train")
    known = NearestGoal(plan for plan in train.plans if not is_development(plan))
    wanted = [plan for plan in data.plans if config.split != "train" or is_development(plan)]
    pairs = [(plan, i) for plan in wanted for i in range(len(plan.annotations))]
    if not pairs:
        raise InputError(f"profile record: split {config.split} holds no annotated goal to ask for; name another split")

    order = np.random.default_rng(config.seed).permutation(len(pairs))[: config.n]
    chosen = [pairs[int(i)] for i in order]

    met = homes([plan for plan, _ in chosen], train.plans)
    tasks = []
    for (plan, annotation), home in zip(chosen, met, strict=True):
        goal = plan.annotations[annotation].goal
        tasks.append(RecordedTask(plan, annotation, expert_plan(plan), known.recall(goal), home))
    return tasks, data.sha256


def journal_of(out: Path) -> Path:
    """The journal of the profile `out`. It stays beside the profile, so that answers can be looked into and more goals
    recorded later on."""
    return out.with_name(f"{out.stem}.calls.jsonl")


def shipped_tasks(config: RecordConfig) -> tuple[list[RecordedTask], str]:
    """`config.n` of the goals that come with the package (`HOUSEHOLD_TASKS`), and the hash of their file.

    They need no data set. Their default plans, which come from ALFRED's train split, are those of the shipped profile
    `household`."""
    data = read_alfred(HOUSEHOLD_TASKS)
    known = load_profile(SHIPPED_GOALS)
    tables = known.tasks or ()
    plans = [Plan.from_rows(rows) for rows in known.plans or ()]
    defaults = {(task.trial, task.annotation): task for task in tables}

    pairs = [(plan, i) for plan in data.plans for i in range(len(plan.annotations)) if (plan.trial, i) in defaults]
    order = np.random.default_rng(config.seed).permutation(len(pairs))[: config.n]
    tasks = []
    for index in order:
        plan, annotation = pairs[int(index)]
        task = defaults[plan.trial, annotation]
        default = NearestPlan(plans[task.default], task.similarity, task.words, task.unknown)
        tasks.append(RecordedTask(plan, annotation, expert_plan(plan), default))
    return tasks, data.sha256


class Journal:
    """The calls made so far, a JSON line each, after a line that says what is recorded.

    A line holds the columns of the profile under `answer`, and what is only of use here: the answer's status, the
    reason where there is no plan or verdict, and what the model wrote.

    Raises: InputError where the file belongs to another recording, with what differs."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path = path
        self.calls: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        about = json.loads(json.dumps(about))
        if path.exists():
            whole = path.read_bytes().rpartition(b"\n")[0] + b"\n"  # a killed process leaves half a line
            os.truncate(path, len(whole) if whole != b"\n" else 0)
            try:
                lines = [json.loads(line) for line in whole.splitlines() if line]
            except ValueError as error:
                raise InputError(f"journal: {path} is damaged ({error}); remove it to record again") from None
            if lines and lines[0] != about:
                raise InputError(
                    f"journal: {path} belongs to another recording ({_differences(lines[0], about)}); give another "
                    "--out, or remove it"
                )

            self.calls = {line["key"]: line for line in lines[1:]}

        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a", encoding="utf-8")
        if self._stream.tell() == 0:
            self._write(about)

    def add(self, key: str, answer: dict[str, Any], status: CallStatus, why: str, text: str) -> None:
        """Keeps one call."""
        line = {"key": key, "answer": answer, "status": status.value, "why": why, "text": text}
        with self._lock:
            self._write(line)
            self.calls[key] = line

    def _write(self, line: dict[str, Any]) -> None:
        self._stream.write(json.dumps(line, allow_nan=False) + "\n")
        self._stream.flush()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stream.close()


def _differences(old: Any, new: dict[str, Any]) -> str:
    """What differs between two first lines of a journal, for a message."""
    if not isinstance(old, dict) or not isinstance(old.get("config"), dict):
        return "its first line says nothing of a recording"

    was = {**old, **old["config"]}
    now = {**new, **new["config"]}
    keys = [key for key in now if key != "config" and was.get(key) != now[key]]
    return ", ".join(f"{key} was {was.get(key)}, is {now[key]}" for key in keys) or "other settings"


def unbroken(reasoner: Reasoner) -> Reasoner:
    """`reasoner` with a circuit breaker that never opens.

    A robot must not wait for a model that misses its deadlines; here that it misses them is the result."""
    if isinstance(reasoner, GuardedReasoner):
        reasoner.breaker = CircuitBreaker(failures=sys.maxsize, clock=reasoner.breaker.clock)
    return reasoner


def server_reasoner(make: Callable[[], Reasoner], config: RecordConfig) -> Reasoner:
    """What `make` makes; as many of them as `config.concurrency` says, behind one pace."""
    if config.concurrency == 1:
        return make()
    first = Request(0, Role.PLANNER, 1, WARM_UP_GOAL, config.deadline_s)
    return PacedReasoner([unbroken(make()) for _ in range(config.concurrency)], first)


class Recorder:
    """Asks `reasoner` what `config` wants to know of `tasks`, through a journal. Threads may ask of different tasks.

    `sleep`: how it waits for a backend that is not there."""

    def __init__(
        self,
        reasoner: Reasoner,
        tasks: Sequence[RecordedTask],
        config: RecordConfig,
        journal: Journal,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.reasoner = unbroken(reasoner)
        self.tasks = tasks
        self.config = config
        self.journal = journal
        self.made = 0  # calls of this process
        self._sleep = sleep
        self._lock = threading.Lock()
        self._stopped = False

    def all_answers(self) -> Iterator[Sequence[dict[str, Any]] | Iterator[dict[str, Any]]]:
        """The answers for each task, in order; `config.concurrency` tasks are under way at once.

        Raises: see `answers`."""
        if self.config.concurrency == 1:
            yield from map(self.answers, range(len(self.tasks)))
            return
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            try:
                yield from pool.map(lambda number: list(self.answers(number)), range(len(self.tasks)))
            except BaseException:
                self._stopped = True
                self.reasoner.close()  # what is under way ends at once, and is not kept
                pool.shutdown(cancel_futures=True)
                raise

    def answers(self, number: int) -> Iterator[dict[str, Any]]:
        """The answers for task `number`: planners first, then the verifier on each different plan that there is.

        Raises: RarrlError where the backend stays away."""
        task = self.tasks[number]
        config = self.config
        plans = [task.default.plan]
        if Role.PLANNER in config.roles:
            for level in config.levels:
                answer = self._ask(number, Role.PLANNER, level, None)
                if answer["finish"] == "stop":
                    plans.append(Plan.from_rows(answer["plan"]))
                yield answer

        if Role.VERIFIER in config.roles:
            for plan in dict.fromkeys(plans):
                for level in config.levels:
                    yield self._ask(number, Role.VERIFIER, level, plan)

    def _ask(self, number: int, role: Role, level: int, plan: Plan | None) -> dict[str, Any]:
        key = f"{number} {role.value} {level} {plan or ''}".rstrip()
        if key in self.journal.calls:
            return dict(self.journal.calls[key]["answer"])
        if self._stopped:
            raise RarrlError("profile record: stopped")

        task = self.tasks[number]
        config = self.config
        if not self.made and self.config.concurrency == 1:  # loading the model is not the first call's latency
            self.reasoner.ask(Request(0, Role.PLANNER, 1, WARM_UP_GOAL, config.deadline_s))
        with self._lock:
            self.made += 1
            decision = self.made
        request = Request(decision, role, level, task.goal, config.deadline_s, task.home, plan, seed=config.seed)
        answer = self._patient(request)
        if self._stopped:
            raise RarrlError("profile record: stopped")

        result = _plain(answer, plan, task.expert)
        self.journal.add(key, result, answer.status, answer.why, answer.text)

        return result

    def _patient(self, request: Request) -> Answer:
        """The answer to `request`; a backend that is not there is waited for.

        Raises: RarrlError where it stays away."""
        answer = self.reasoner.ask(request)
        for wait_s in DOWN_WAITS_S:
            if answer.status is not CallStatus.BACKEND_DOWN or self._stopped:
                return answer
            self._sleep(wait_s)
            answer = self.reasoner.ask(request)

        if answer.status is not CallStatus.BACKEND_DOWN or self._stopped:
            return answer
        raise RarrlError(
            f"profile record: {self.reasoner.name} is down ({answer.why}); the same command goes on from call "
            f"{len(self.journal.calls)} once it is up"
        )


def _plain(answer: Answer, judged: Plan | None, expert: Plan) -> dict[str, Any]:
    """An answer as the columns of a record, with its plan as rows."""
    verdict = answer.verdict
    return {
        **call_columns(answer, judged, lambda plan: same_plan(plan, expert)),
        "confidence": _number(answer.confidence),
        "verdict": None if verdict is None else verdict.ok,
        "fault": None if verdict is None or verdict.fault is None else verdict.fault.value,
        "p_ok": None if verdict is None else _number(verdict.p_ok),
    }


def call_columns(answer: Answer, judged: Plan | None, is_right: Callable[[Plan], bool]) -> dict[str, Any]:
    """The columns that every recorded call has. judged: the plan that a verifier was asked about."""
    plan = judged or answer.plan
    verdict = answer.verdict
    correct = None
    if answer.status is CallStatus.OK and plan is not None:
        right = is_right(plan)
        correct = right if verdict is None else verdict.ok == right
    ttft = answer.seconds if math.isnan(answer.ttft_s) else min(answer.ttft_s, answer.seconds)
    return {
        "role": answer.role.value,
        "level": answer.level,
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
        "ttft_s": round(ttft, 5),
        "total_s": round(answer.seconds, 5),
        "finish": FINISH.get(answer.status, "error"),
        "correct": correct,
        "plan": None if plan is None else plan.to_rows(),
    }


def _number(value: float) -> float | None:
    return round(value, 5) + 0.0 if math.isfinite(value) else None


def record_profile(
    reasoner: Reasoner,
    tasks: Sequence[RecordedTask],
    config: RecordConfig,
    header: ProfileHeader,
    journal: Path,
    data: str,
    progress: Progress | None = None,
) -> LatencyProfile:
    """Makes every call that the journal does not hold yet; the whole profile.

    The tasks of fewer goals begin those of more: a journal goes on with another `config.n`.
    `data`: hash of the data set. `progress(tasks done, text)`: after each call.
    Raises: InputError (another recording's journal), RarrlError (the backend stays away)."""
    about = {"config": config.settings, "backend": reasoner.name, "data": data}

    plans: dict[Plan, int] = {}
    met: dict[tuple[str, ...], int] = {}
    records = []
    rows = []
    ends: Counter[str] = Counter()
    with Journal(journal, about) as kept:
        recorder = Recorder(reasoner, tasks, config, kept)
        for number, (task, answers) in enumerate(zip(tasks, recorder.all_answers(), strict=True)):
            rows.append(_task_record(task, plans, met))
            for answer in answers:
                ends[answer["finish"]] += 1
                if progress is not None:
                    progress(number, f"{recorder.made} calls made; {counted_ends(ends)}")

                plan = None
                if answer["plan"] is not None:
                    plan = plans.setdefault(Plan.from_rows(answer["plan"]), len(plans))
                records.append(CallRecord(**{**answer, "task": number, "plan": plan}))
            if progress is not None:
                progress(number + 1, f"{recorder.made} calls made; {counted_ends(ends)}")

    listed = tuple(tuple(tuple(row) for row in plan.to_rows()) for plan in plans)
    return LatencyProfile(
        schema_version=2, header=header, records=tuple(records), tasks=tuple(rows), plans=listed, homes=tuple(met)
    )


def counted_ends(ends: Counter[str]) -> str:
    """How calls ended, for people.

    >>> counted_ends(Counter({"stop": 3, "refused": 1}))
    '3 of 4 answered, 1 refused by the plan checker'
    """
    words = {"refused": "refused by the plan checker", "length": "cut off at the token cap", "timeout": "too late"}
    others = [f"{n} {words.get(finish, 'without a usable answer')}" for finish, n in ends.items() if finish != "stop"]
    return ", ".join([f"{ends['stop']} of {ends.total()} answered", *others])


def few_answered(profile: LatencyProfile) -> str:
    """A warning where a role and level was answered too seldom to rely on; "" where none was."""
    few = []
    for option in profile.options():
        finishes = [record.finish for record in profile.records or () if (record.role, record.level) == option]
        answered = finishes.count("stop")
        if answered < MIN_VALID or answered < MIN_VALID_SHARE * len(finishes):
            few.append(f"{answered} of {len(finishes)} calls of {option[0]} {option[1]}")
    if not few:
        return ""
    wanted = f"wanted: at least {MIN_VALID} and half of all"
    return f"only {', '.join(few)} were answered ({wanted}); do not rely on this profile"


def common_reasons(journal: Path, most: int = 5) -> list[str]:
    """The reasons that the calls of a journal without a plan or verdict give, each with how often; frequent first."""
    lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()[1:]]
    reasons = Counter(f"{line['status']}: {line['why']}" for line in lines if line.get("why"))
    return [f"{n} x {' '.join(reason.split())[:200]}" for reason, n in reasons.most_common(most)]


def _task_record(task: RecordedTask, plans: dict[Plan, int], met: dict[tuple[str, ...], int]) -> TaskRecord:
    return TaskRecord(
        trial=task.source.trial,
        annotation=task.annotation,
        task_type=task.source.task_type,
        steps=tuple((int(kind), n) for kind, n in zip(task.source.subgoals, task.source.low_steps, strict=True)),
        expert=plans.setdefault(task.expert, len(plans)),
        default=plans.setdefault(task.default.plan, len(plans)),
        similarity=round(task.default.similarity, 5),
        default_correct=same_plan(task.default.plan, task.expert),
        words=task.default.words,
        unknown=task.default.unknown,
        home=met.setdefault(task.home, len(met)) if task.home else None,
    )


def profile_name(text: str) -> str:
    """A name that a profile may have, made of `text`.

    >>> profile_name("My model")
    'my-model'
    """
    return re.sub("[^a-z0-9._-]+", "-", text.lower()).strip("._-")[:64] or "recorded"


def make_header(name: str, reasoner: str, config: RecordConfig) -> ProfileHeader:
    """Where a recording comes from, for its file; without the paths of this machine and the address of a server."""
    reasoner = shareable(reasoner)
    shipped = config.split == HOUSEHOLD_TASKS.stem
    where = "" if shipped else f" --alfred DIR --split {config.split}"
    options = f"--llm {reasoner}{where} --n {config.n} --threads {config.threads}"
    options += f" --roles {','.join(role.value for role in config.roles)} --levels {','.join(map(str, config.levels))}"
    beside = "" if config.concurrency == 1 else f"; {config.concurrency} tasks asked about side by side"
    options += "" if config.concurrency == 1 else f" --concurrency {config.concurrency}"
    here = machine()
    what = "ALFRED, development plans of split train" if config.split == "train" else f"ALFRED, split {config.split}"
    if shipped:
        what = "our own (rarrl/data/household_tasks.jsonl, in the form of an ALFRED split)"

    return ProfileHeader(
        name=profile_name(name),
        kind="recorded",
        measured=f"{config.n} goals of {what}; threads: {config.threads}{beside}; seed {config.seed}; default "
        "plan: nearest known goal (tf-idf) of the train split without its development plans; known of a home: what was "
        "met there in the train split's other trials",
        model=reasoner,
        hardware=f"{here['processor']}, {here['cores']} cores shared with other work, {here['platform']}",
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        source="rarrl profile record on rarrl/data/household_tasks.jsonl; default plans from ALFRED "
        "(https://github.com/askforalfred/alfred)"
        if shipped
        else "rarrl profile record on ALFRED (https://github.com/askforalfred/alfred), goals not included",
        licence="recorded by rarrl; plans and trial names from ALFRED, MIT licence, (c) 2019 ALFRED",
        command=f"rarrl profile record {options} --seed {config.seed}",
        world=World.ALFRED,
    )
