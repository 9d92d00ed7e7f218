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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from rarrl.alfred import AlfredPlan, is_development, read_alfred
from rarrl.errors import InputError, RarrlError
from rarrl.latency.profile import CallRecord, LatencyProfile, ProfileHeader, TaskRecord, World
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.reasoner.nearest import NearestGoal, NearestPlan
from rarrl.reasoner.plan import Plan, expert_plan, same_plan
from rarrl.results import machine
from rarrl.types import CallStatus, Role

from .curriculum import homes

Progress = Callable[[int, str], None]
FINISH = {CallStatus.OK: "stop", CallStatus.BUDGET: "length", CallStatus.TIMEOUT: "timeout"}  # all others: error
MAX_DOWN = 3
"""So many calls in a row without a backend end the recording."""


@dataclass(frozen=True)
class RecordConfig:
    """What is recorded. n: annotations, drawn from all of the split's by `seed`. deadline_s: of each call."""

    llm: str
    split: str
    n: int = 500
    roles: tuple[Role, ...] = (Role.PLANNER, Role.VERIFIER)
    levels: tuple[int, ...] = (1, 2)
    threads: int = 1
    deadline_s: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.roles or not self.levels or self.n < 1:
            raise InputError("profile record: needs at least one role, one level and one annotation")


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


class Journal:
    """The calls made so far, a JSON line each, after a line that says what is recorded.

    Raises: InputError where the file belongs to another recording."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path = path
        self.calls: dict[str, dict[str, Any]] = {}
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
                    f"journal: {path} belongs to another recording ({lines[0]}); give another --out, or remove it"
                )

            self.calls = {line["key"]: line["answer"] for line in lines[1:]}

        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a", encoding="utf-8")
        if self._stream.tell() == 0:
            self._write(about)

    def add(self, key: str, answer: dict[str, Any]) -> None:
        """Keeps one call."""
        self._write({"key": key, "answer": answer})
        self.calls[key] = answer

    def _write(self, line: dict[str, Any]) -> None:
        self._stream.write(json.dumps(line, allow_nan=False) + "\n")
        self._stream.flush()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stream.close()


class Recorder:
    """Asks `reasoner` what `config` wants to know of `tasks`, through a journal."""

    def __init__(
        self, reasoner: Reasoner, tasks: Sequence[RecordedTask], config: RecordConfig, journal: Journal
    ) -> None:
        self.reasoner = reasoner
        self.tasks = tasks
        self.config = config
        self.journal = journal
        self.made = 0  # calls of this process
        self._down = 0

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
            return self.journal.calls[key]

        task = self.tasks[number]
        config = self.config
        if not self.made:  # loading the model is not the first call's latency
            self.reasoner.ask(Request(0, Role.PLANNER, 1, "put a mug on the shelf", config.deadline_s))
        request = Request(self.made + 1, role, level, task.goal, config.deadline_s, task.home, plan, seed=config.seed)
        while (answer := self.reasoner.ask(request)).status is CallStatus.BACKEND_DOWN:
            self._down += 1
            if self._down >= MAX_DOWN:
                raise RarrlError(
                    f"profile record: {self.reasoner.name} is down ({answer.why}); the same command goes on from call "
                    f"{len(self.journal.calls)} once it is up"
                )

        self._down = 0
        self.made = self.made + 1
        result = _plain(answer, plan, task.expert)
        self.journal.add(key, result)

        return result


def _plain(answer: Answer, judged: Plan | None, expert: Plan) -> dict[str, Any]:
    """An answer as the columns of a record, with its plan as rows."""
    plan = judged or answer.plan
    verdict = answer.verdict
    correct = None
    if answer.status is CallStatus.OK and plan is not None:
        right = same_plan(plan, expert)
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
        "confidence": _number(answer.confidence),
        "verdict": None if verdict is None else verdict.ok,
        "fault": None if verdict is None or verdict.fault is None else verdict.fault.value,
        "p_ok": None if verdict is None else _number(verdict.p_ok),
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

    `data`: hash of the data set. `progress(tasks done, text)`.
    Raises: InputError (another recording's journal), RarrlError (the backend stays away)."""
    about = {"config": asdict(config), "backend": reasoner.name, "data": data}

    plans: dict[Plan, int] = {}
    met: dict[tuple[str, ...], int] = {}
    records = []
    rows = []
    with Journal(journal, about) as kept:
        recorder = Recorder(reasoner, tasks, config, kept)
        for number, task in enumerate(tasks):
            rows.append(_task_record(task, plans, met))
            for answer in recorder.answers(number):
                plan = None
                if answer["plan"] is not None:
                    plan = plans.setdefault(Plan.from_rows(answer["plan"]), len(plans))
                records.append(CallRecord(**{**answer, "task": number, "plan": plan}))
            if progress is not None:
                progress(number + 1, f"{recorder.made} calls")

    listed = tuple(tuple(tuple(row) for row in plan.to_rows()) for plan in plans)
    return LatencyProfile(
        schema_version=2, header=header, records=tuple(records), tasks=tuple(rows), plans=listed, homes=tuple(met)
    )


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


def make_header(name: str, reasoner: str, config: RecordConfig) -> ProfileHeader:
    """Where a recording comes from, for its file; without the paths of this machine."""
    options = f"--llm {reasoner} --alfred DIR --split {config.split} --n {config.n} --threads {config.threads}"
    options += f" --roles {','.join(role.value for role in config.roles)} --levels {','.join(map(str, config.levels))}"
    here = machine()
    what = "development plans of split train" if config.split == "train" else f"split {config.split}"

    return ProfileHeader(
        name=re.sub("[^a-z0-9._-]+", "-", name.lower()).strip("._-")[:64] or "recorded",
        kind="recorded",
        measured=f"{config.n} goals of ALFRED, {what}; threads: {config.threads}; seed {config.seed}; default plan: "
        "nearest known goal (tf-idf) of the train split without its development plans; known of a home: what was met "
        "there in the train split's other trials",
        model=reasoner,
        hardware=f"{here['processor']}, {here['cores']} cores shared with other work, {here['platform']}",
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        source="rarrl profile record on ALFRED (https://github.com/askforalfred/alfred), goals not included",
        licence="recorded by rarrl; plans and trial names from ALFRED, MIT licence, (c) 2019 ALFRED",
        command=f"rarrl profile record {options} --seed {config.seed}",
        world=World.ALFRED,
    )
