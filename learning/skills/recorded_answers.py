"""A language model's answers, asked once for real and replayed exactly: a question is known by what its prompt holds.

The planner of general models reads the sentence, and the robot's two files. So an answer is kept under the sentence and
the level, for one pair of files; beliefs change none of it. A plan that failed would change level 2's answer: such
questions are asked here as if nothing had failed, and whoever asks again hears the same again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rarrl.errors import InputError
from rarrl.files import sha256, write_json_atomic
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.resources.cpu import cpu_seconds
from rarrl.skills.domain import ROBOTS, Domain
from rarrl.skills.plan import Plan
from rarrl.strict_json import read_json
from rarrl.types import CallStatus, Role

LEVELS = (1, 2)
DEADLINE_S = 600.0
"""Of a call while it is recorded: a busy machine must not cut an answer off. Replaying holds it against the deadline of
the one who asks, by CPU seconds."""


@dataclass(frozen=True)
class Recorded:
    """One answer of the planner. seconds: of the model's process on one thread (CPU time, so that other programs on the
    machine do not count)."""

    goal: str
    level: int
    status: str
    seconds: float
    tokens_in: int
    tokens_out: int
    plan: tuple[tuple[str, ...], ...] | None
    where: dict[str, dict[str, float]]
    confidence: float | None
    why: str = ""

    def answer(self, request: Request, backend: str) -> Answer:
        """As the reasoner would have given it to `request`; cut off at its deadline."""
        seconds = min(self.seconds, request.deadline_s)
        status = CallStatus(self.status)
        if seconds < self.seconds:
            status = CallStatus.TIMEOUT
        ok = status is CallStatus.OK
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
            confidence=float("nan") if self.confidence is None else self.confidence,
            where={thing: tuple(shares.items()) for thing, shares in self.where.items()} if ok else {},
            why=self.why or ("" if ok else status.value),
        )

    def to_json(self) -> dict[str, Any]:
        """As the file keeps it."""
        return {name: value for name, value in self.__dict__.items() if value not in (None, "", {})}


class RecordedAnswers:
    """A `Reasoner` that replays.

    Args:
        path: what `record` has written.

    Raises: InputError for a file that is none, or that was recorded with other files of the robot."""

    def __init__(self, path: Path) -> None:
        document = read_json(path, "recorded answers")
        if document.get("robot") != robot_hash():
            raise InputError(f"recorded answers: {path} belongs to other files of the robot; record it again")
        self.model = str(document["model"])
        self.entries = {
            (str(each["goal"]), int(each["level"])): Recorded(
                goal=str(each["goal"]),
                level=int(each["level"]),
                status=str(each["status"]),
                seconds=float(each["seconds"]),
                tokens_in=int(each["tokens_in"]),
                tokens_out=int(each["tokens_out"]),
                plan=tuple(map(tuple, each["plan"])) if "plan" in each else None,
                where=each.get("where", {}),
                confidence=each.get("confidence"),
                why=str(each.get("why", "")),
            )
            for each in document["answers"]
        }

    @property
    def name(self) -> str:
        """The backend that was recorded."""
        return f"recorded:{self.model}"

    def ask(self, request: Request) -> Answer:
        """The recorded answer. Raises: InputError for a question that was not recorded."""
        entry = self.entries.get((request.goal, request.level))
        if entry is None or request.role is not Role.PLANNER:
            raise InputError(
                f"recorded answers: {request.role.value} {request.level} was not asked about {request.goal[:60]!r}; "
                "record it with `rarrl profile record-skills`"
            )
        return entry.answer(request, self.name)

    def close(self) -> None:
        """Nothing is open."""


def record(
    reasoner: Reasoner, model: str, domain: Domain, questions: Iterable[tuple[str, int]], path: Path
) -> dict[str, Any]:
    """Asks `questions` (sentence, level) that `path` does not hold yet, and adds each answer to it at once."""
    document: dict[str, Any] = {"model": model, "robot": robot_hash(), "answers": []}
    if path.exists():
        found = read_json(path, "recorded answers")
        document = found if (found.get("model"), found.get("robot")) == (model, robot_hash()) else document

    known = {(each["goal"], each["level"]) for each in document["answers"]}
    for goal, level in questions:
        if (goal, level) in known:
            continue
        before = _seconds_of_children()
        answer = reasoner.ask(Request(0, Role.PLANNER, level, goal, DEADLINE_S, domain=domain))
        entry = Recorded(
            goal=goal,
            level=level,
            status=answer.status.value,
            seconds=round(_seconds_of_children() - before, 2),
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            plan=tuple(tuple(row) for row in answer.plan.to_rows()) if isinstance(answer.plan, Plan) else None,
            where={t: {place: round(share, 4) for place, share in shares} for t, shares in answer.where.items()},
            confidence=round(answer.confidence, 4) if answer.confidence == answer.confidence else None,
            why=answer.why[:200],
        )
        document["answers"].append(entry.to_json())
        document["answers"].sort(key=lambda each: (each["goal"], each["level"]))
        write_json_atomic(path, document)
    return document


def robot_hash() -> str:
    """Of the two files that the questions are made from."""
    return sha256(b"".join((ROBOTS / "pyrobosim" / name).read_bytes() for name in ("skills.yaml", "world.yaml")))


def _seconds_of_children() -> float:
    """CPU seconds of the processes below this one, those of the model."""
    total, queue = 0.0, [os.getpid()]
    while queue:
        pid = queue.pop()
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                queue.append(int(child))
                total += cpu_seconds(int(child))
    return total
