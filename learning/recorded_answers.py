"""A language model's answers, asked once for real and replayed exactly: a question is known by what its prompt holds.

A file belongs to one model and to one pair of a robot's files, because prompts are made of them. Whoever asks makes
the `Question` of a request: what does not change a prompt is left out of it, so that one answer serves all such
requests."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rarrl.errors import InputError
from rarrl.files import MAX_FILE_BYTES, check_regular_file, read_file, sha256, write_bytes_atomic, write_json_atomic
from rarrl.reasoner import skills_prompt
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.resources.cpu import cpu_seconds
from rarrl.skills.domain import load_robot
from rarrl.strict_json import parse_json
from rarrl.types import CallStatus, Role

LEVELS = (1, 2)
DEADLINE_S = 600.0
"""Of a call while it is recorded: a busy machine must not cut an answer off. Replaying holds it against the deadline of
the one who asks, by CPU seconds."""
_WHAT = "recorded answers"

Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Question:
    """What a model was asked. plan: that a verifier judges, or that failed before a planner was asked; None where there
    is none. home: what was known of the home, sorted; () where the prompt does not hold it."""

    goal: str
    role: Role
    level: int
    plan: Plan | None = None
    home: tuple[str, ...] = ()

    def __str__(self) -> str:
        about = f" on {self.plan}" if self.plan is not None else ""
        return f"{self.goal[:60]!r}{about}"

    def sort_key(self) -> tuple[Any, ...]:
        """Where it stands in a file."""
        return (self.goal, self.home, self.role.value, self.level, str(self.plan or ""))


@dataclass(frozen=True)
class Recorded:
    """One answer. seconds: of the model's process on one thread (CPU time, so that other programs on the machine do not
    count)."""

    question: Question
    status: str
    seconds: float
    tokens_in: int
    tokens_out: int
    plan: Rows | None = None
    ok: bool | None = None
    fault: str = ""
    p_ok: float | None = None
    p_right: float | None = None
    confidence: float | None = None
    where: dict[str, dict[str, float]] = field(default_factory=dict)
    why: str = ""

    @property
    def goal(self) -> str:
        """The sentence that was asked about."""
        return self.question.goal

    @property
    def level(self) -> int:
        """The level that was asked at."""
        return self.question.level

    def answer(self, request: Request, backend: str) -> Answer:
        """As the reasoner would have given it to `request`; cut off at its deadline."""
        seconds = min(self.seconds, request.deadline_s)
        status = CallStatus(self.status)
        if seconds < self.seconds:
            status = CallStatus.TIMEOUT
        ok = status is CallStatus.OK
        verdict = None
        if ok and self.ok is not None:
            verdict = Verdict(self.ok, Fault(self.fault) if self.fault else None, _number(self.p_ok))
        return Answer(
            decision=request.decision,
            role=request.role,
            level=request.level,
            status=status,
            seconds=seconds,
            backend=backend,
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
            plan=Plan.from_rows(self.plan) if ok and self.plan is not None else None,
            verdict=verdict,
            confidence=_number(self.confidence),
            p_right=_number(self.p_right),
            where={thing: tuple(shares.items()) for thing, shares in self.where.items()} if ok else {},
            why=self.why or ("" if ok else status.value),
        )

    @classmethod
    def of(cls, question: Question, answer: Answer, seconds: float) -> Recorded:
        """What is kept of an answer."""
        verdict = answer.verdict
        return cls(
            question=question,
            status=answer.status.value,
            seconds=seconds,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            plan=_rows(answer.plan),
            ok=None if verdict is None else verdict.ok,
            fault=verdict.fault.value if verdict is not None and verdict.fault is not None else "",
            p_ok=None if verdict is None else _rounded(verdict.p_ok),
            p_right=_rounded(answer.p_right),
            confidence=_rounded(answer.confidence),
            where={t: {place: round(share, 4) for place, share in shares} for t, shares in answer.where.items()},
            why=answer.why[:200],
        )

    def to_json(self) -> dict[str, Any]:
        """As the file keeps it."""
        about = self.question
        asked: dict[str, Any] = {"goal": about.goal, "level": about.level}
        if about.role is not Role.PLANNER:
            asked["role"] = about.role.value
        if about.plan is not None:
            asked["asked"] = _rows(about.plan)
        if about.home:
            asked["home"] = about.home
        kept = {
            name: value for name, value in self.__dict__.items() if value not in (None, "", {}) and name != "question"
        }
        return asked | kept

    @classmethod
    def from_json(cls, entry: dict[str, Any], homes: list[list[str]]) -> Recorded:
        """Raises: KeyError, TypeError, ValueError for what is no entry."""
        values = dict(entry)
        home = values.pop("home", ())
        asked = values.pop("asked", None)
        question = Question(
            str(values.pop("goal")),
            Role(values.pop("role", Role.PLANNER.value)),
            int(values.pop("level")),
            None if asked is None else Plan.from_rows(asked),
            tuple(homes[home] if isinstance(home, int) else home),
        )
        if "plan" in values:
            values["plan"] = tuple(map(tuple, values["plan"]))
        return cls(question, **values)


class AnswerFile:
    """The answers in a file, and those that are added to it: first in a journal beside it, so that a recording that was
    killed goes on where it was.

    Args:
        path: a JSON file, packed where its name ends in .gz; it need not be there yet.
        model, robot: whom a new file belongs to; None: whoever the file says.

    Raises: InputError for a file that is none, or that belongs to another model or to other files of the robot."""

    def __init__(self, path: Path, model: str | None = None, robot: str | None = None) -> None:
        self.path = path
        self.journal = path.with_name(f"{path.name.partition('.')[0]}.calls.jsonl")
        self.entries: dict[Question, Recorded] = {}
        self.model, self.robot = model or "", robot or ""
        if path.exists() or model is None:
            self._read(model, robot)
        if model is not None and self.journal.exists():
            for line in self.journal.read_text("utf-8").splitlines():
                try:
                    entry = Recorded.from_json(json.loads(line), [])
                except (KeyError, TypeError, ValueError, OverflowError, RecursionError, AttributeError):
                    continue  # a killed process leaves half a line
                self.entries[entry.question] = entry

    def _read(self, model: str | None, robot: str | None) -> None:
        check_regular_file(self.path, _WHAT)
        data = read_file(self.path, _WHAT)
        if self.path.suffix == ".gz":
            try:
                with gzip.open(self.path) as stream:
                    data = stream.read(MAX_FILE_BYTES + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(f"{_WHAT}: {self.path} cannot be unpacked ({error}); record it again") from None
            if len(data) > MAX_FILE_BYTES:
                raise InputError(f"{_WHAT}: {self.path} unpacks to more than {MAX_FILE_BYTES} bytes; split the file")
        document = parse_json(data, _WHAT, str(self.path))
        try:
            self.model, self.robot = str(document["model"]), str(document["robot"])
            entries = [Recorded.from_json(each, document.get("homes", [])) for each in document["answers"]]
            by_question = {entry.question: entry for entry in entries}  # a list in a question is no question
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InputError(f"{_WHAT}: {self.path} is none ({error!r:.80}); record it again") from None
        if robot is not None and robot != self.robot:
            raise InputError(f"{_WHAT}: {self.path} belongs to other files of the robot; record it again")
        if model is not None and model != self.model:
            raise InputError(f"{_WHAT}: {self.path} is of {self.model}, not of {model}; give another file")
        self.entries = by_question

    def ask(self, reasoner: Reasoner, question: Question, request: Request) -> Recorded:
        """The answer that is known, else the one that `reasoner` gives to `request`."""
        if question not in self.entries:
            before = seconds_of_children()
            answer = reasoner.ask(request)
            entry = Recorded.of(question, answer, round(seconds_of_children() - before, 3))
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            with self.journal.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry.to_json()) + "\n")
            self.entries[question] = entry
        return self.entries[question]

    def save(self, keep: Callable[[Question], bool] = lambda _: True) -> None:
        """Writes the file, sorted, and removes the journal. keep: which answers; the others are forgotten."""
        kept = sorted((entry for question, entry in self.entries.items() if keep(question)), key=_place)
        homes = {
            home: number for number, home in enumerate(dict.fromkeys(e.question.home for e in kept if e.question.home))
        }
        answers = []
        for entry in kept:
            row = entry.to_json()
            if "home" in row:
                row["home"] = homes[row["home"]]
            answers.append(row)
        document: dict[str, Any] = {"model": self.model, "robot": self.robot}
        if homes:
            document["homes"] = list(homes)
        document["answers"] = answers
        if self.path.suffix == ".gz":
            text = json.dumps(document, separators=(",", ":"), allow_nan=False)
            write_bytes_atomic(self.path, gzip.compress(text.encode(), mtime=0))
        else:
            write_json_atomic(self.path, document)
        self.journal.unlink(missing_ok=True)


class ReplayedAnswers:
    """A `Reasoner` that gives the answers of a file again.

    Args:
        answers: the file.
        question_of: the question that a request is.
        command: records what is missing, for messages."""

    def __init__(self, answers: AnswerFile, question_of: Callable[[Request], Question], command: str) -> None:
        self._answers: Mapping[Question, Recorded] = answers.entries
        self.model = answers.model
        self._question_of = question_of
        self._command = command

    @property
    def name(self) -> str:
        """The backend that was recorded."""
        return f"recorded:{self.model}"

    def __iter__(self) -> Iterator[Recorded]:
        return iter(self._answers.values())

    def ask(self, request: Request) -> Answer:
        """The recorded answer. Raises: InputError for a question that was not recorded."""
        question = self._question_of(request)
        entry = self._answers.get(question)
        if entry is None:
            who = f"{request.role.value} {request.level}"
            raise InputError(f"{_WHAT}: {who} was not asked about {question}; record it with `{self._command}`")
        return entry.answer(request, self.name)

    def close(self) -> None:
        """Nothing is open."""


def robot_hash(robot: str) -> str:
    """Of what questions to a robot that comes with the package are made from: its skills, names, examples and what a
    plan may hold. What its files say besides, such as what a person is asked about, is in no prompt."""
    domain = load_robot(robot)
    question = Request(0, Role.PLANNER, 2, "a goal", DEADLINE_S, domain=domain)
    asked = skills_prompt.messages(question, domain), skills_prompt.schema(question, domain)
    examples = [example.model_dump(mode="json") for example in domain.skills.examples]
    return sha256(json.dumps([asked, examples], sort_keys=True).encode())


def seconds_of_children() -> float:
    """CPU seconds of the processes below this one, those of the model."""
    total, queue = 0.0, [os.getpid()]
    while queue:
        pid = queue.pop()
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                queue.append(int(child))
                total += cpu_seconds(int(child))
    return total


def _place(entry: Recorded) -> tuple[Any, ...]:
    return entry.question.sort_key()


def _rows(plan: Iterable[Any] | Plan | None) -> Rows | None:
    return tuple(tuple(row) for row in plan.to_rows()) if isinstance(plan, Plan) else None


def _rounded(value: float) -> float | None:
    return round(value, 4) if value == value else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
