"""Value objects to standard messages and back. The content of a message is untrusted: it is checked before it is used.

A value object is sent as key-value texts in the single `DiagnosticStatus` of a `DiagnosticArray`. Numbers are written
with enough digits to be read back exactly.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rarrl.alfred import step_view
from rarrl.decision_loop import DecisionOutcome, Phase, Report, TaskView
from rarrl.reasoner.base import MAX_GOAL_CHARS, Answer, Shares
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.skills.outcome import Outcome
from rarrl.types import Action, ActStatus, Budget, CallStatus, Decision, PlanStatus, Role, StateSummary, StepView

from .key_values import MAX_TEXT, SCHEMA, as_text, quoted

# Limits on what a message may hold. Each is far above what a run needs and keeps a bad sender from exhausting memory.
MAX_STEPS = 100  # steps of a language model's plan; no skills file allows more
MAX_ARGUMENTS = 8  # of a step
MAX_SUBGOALS = 1000  # subgoals of a plan; ALFRED's plans have about ten
MAX_WORD = 200  # characters of an argument; a text that a skill speaks may have as many
MAX_BELIEFS = 40  # what is believed about the names in play
MAX_BELIEF = 300  # characters of one, and of the robot's own words on a failure
MAX_HOME = 500  # object classes of a home
MAX_INT = 2**53  # integers up to here survive a reader that uses doubles
MAX_NUMBER = 1e9  # seconds or tokens; three orders of magnitude above what any task needs
MAX_NUMBER_CHARS = 40  # characters of a number; `repr` of a double needs at most 24
STEP_FACTS = ("failures", "attempts", "irreversible", "seconds", "looks")
"""What the message `state` tells of each step beside its name, under `plan_...`; see `rarrl.types.StepView`."""
_VERDICTS = {0: "none", 1: "ok", -1: "wrong"}
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_INT = re.compile(r"\d{1,16}", re.ASCII)


@dataclass(frozen=True)
class DecisionMessage:
    """A decision as it is sent.

    Attributes:
        run: the run that it belongs to, an arbitrary name.
        state: number of the report that it answers.
        time_left_s: the remaining time budget as the orchestrator counts it.
        tokens_left: the remaining token budget as the orchestrator counts it.
    """

    run: str
    state: int
    episode: int
    decision: Decision
    time_left_s: float
    tokens_left: float


@dataclass(frozen=True)
class Asked:
    """The THINK whose call a robot has open, as its `state` tells it: the orchestrator sees by it what is still wanted.

    Attributes:
        run: the robot's run.
        state: number of the report that the decision answered.
        decision: id of the THINK.
        withdrawn: nobody needs its answer any more: the call is to be stopped.
    """

    run: str
    state: int
    decision: int
    action: Action
    withdrawn: bool = False

    @classmethod
    def of(cls, message: DecisionMessage, withdrawn: bool = False) -> Asked:
        """What the robot has open that carries out `message`, a THINK."""
        return cls(message.run, message.state, message.decision.id, message.decision.action, withdrawn)

    def is_of(self, message: DecisionMessage) -> bool:
        """Whether `message` is the decision that was asked."""
        return (self.run, self.state, self.decision) == (message.run, message.state, message.decision.id)


@dataclass(frozen=True)
class AnswerMessage:
    """A reasoner's answer as it is sent.

    Attributes:
        run: the run that it belongs to.
        state: number of the report whose decision, `answer.decision`, it answers.
    """

    run: str
    state: int
    answer: Answer


def values_from_report(report: Report, asked: Asked | None = None) -> dict[str, object]:
    """The texts of the `state` topic. asked: the call that the robot has open."""
    summary, budget = report.summary, report.budget
    values: dict[str, object] = {
        "schema": SCHEMA,
        "run": report.run,
        "state": report.number,
        "phase": report.phase.value,
        "episode": report.episode,
        "plan": ",".join(s.name for s in summary.subgoals),
        **{f"plan_{key}": ",".join(as_text(getattr(s, key)) for s in summary.subgoals) for key in STEP_FACTS},
        "subgoal_index": summary.subgoal_index,
        "retries_left": summary.retries_left,
        "contradicted_beliefs": summary.contradicted,
        "step": summary.step,
        "horizon": summary.horizon,
        "thinking": summary.thinking,
        "can_go_on": summary.can_go_on,
        "time_budget_s": budget.initial_time_s,
        "token_budget": budget.initial_tokens,
        "time_left_s": budget.time_s,
        "tokens_left": budget.tokens,
        **_values_from_outcome("outcome", report.outcome),
        **_values_from_outcome("thought", report.thought),
        "asked_id": "none" if asked is None else asked.decision,
    }
    if asked is not None:
        values |= {
            "asked_state": asked.state,
            "asked_action": asked.action.name,
            "asked_withdrawn": asked.withdrawn,
        }

    values |= {"goal": "none"} if report.task is None else _values_from_task(report.task)
    return values


def _values_from_outcome(name: str, outcome: DecisionOutcome | None) -> dict[str, object]:
    if outcome is None:
        return {f"{name}_id": "none"}
    return {
        f"{name}_id": outcome.decision,
        f"{name}_action": outcome.action.name,
        f"{name}_status": outcome.status.value,
        f"{name}_seconds": outcome.seconds,
        f"{name}_tokens": outcome.tokens,
        f"{name}_subgoal_done": outcome.subgoal_done,
    }


def report_from_values(values: Mapping[str, str]) -> Report:
    """The inverse of `values_from_report`. Raises: ValueError that names the key."""
    names = _get(values, "plan").split(",")
    if len(names) > MAX_SUBGOALS:
        raise ValueError(f"key plan: {len(names)} subgoals, at most {MAX_SUBGOALS}")

    # A sender of before knows steps by name alone, and neither of the counts.
    told = any(key in values for key in (*(f"plan_{key}" for key in STEP_FACTS), "retries_left"))
    beside = _knows_beside(values)
    summary = StateSummary(
        _steps(values, names) if told else tuple(_step(step_view, name) for name in names),
        _int(values, "subgoal_index"),
        _int(values, "step"),
        _int(values, "horizon"),
        _int(values, "retries_left") if told else 0,
        _int(values, "contradicted_beliefs") if told else 0,
        _bool(values, "thinking") if beside else False,
        _bool(values, "can_go_on") if beside else False,
    )
    budget = Budget(
        _float(values, "time_left_s"),
        _float(values, "tokens_left"),
        _float(values, "time_budget_s"),
        _float(values, "token_budget"),
    )

    return Report(
        run=_name(values, "run"),
        number=_int(values, "state"),
        phase=_member({p.value: p for p in Phase}, _get(values, "phase"), "phase"),
        episode=_int(values, "episode"),
        summary=summary,
        budget=budget,
        outcome=_outcome(values, "outcome"),
        task=None if _get(values, "goal") == "none" else _task(values),
        thought=_outcome(values, "thought") if beside else None,
    )


def asked_from_values(values: Mapping[str, str]) -> Asked | None:
    """The call that the robot has open by its `state`; None: none. Raises: ValueError that names the key."""
    if not _knows_beside(values) or _get(values, "asked_id") == "none":
        return None
    return Asked(
        run=_name(values, "run"),
        state=_int(values, "asked_state"),
        decision=_int(values, "asked_id"),
        action=_thinks(_member(Action.__members__, _get(values, "asked_action"), "asked_action"), "asked_action"),
        withdrawn=_bool(values, "asked_withdrawn"),
    )


def _knows_beside(values: Mapping[str, str]) -> bool:
    """Whether a state is of a sender that knows of thinking beside acting."""
    return any(key in values for key in ("thinking", "can_go_on", "thought_id", "asked_id"))


def _thinks(action: Action, key: str) -> Action:
    if action is Action.ACT:
        raise ValueError(f"key {key}: ACT asks nothing")
    return action


def _steps(values: Mapping[str, str], names: list[str]) -> tuple[StepView, ...]:
    columns = []
    for key in STEP_FACTS:
        texts = _get(values, f"plan_{key}").split(",")
        if len(texts) != len(names):
            raise ValueError(f"key plan_{key}: {len(texts)} values for {len(names)} steps")
        read = _bool if key == "looks" else _float
        columns.append([read({key: text}, key) for text in texts])
    return tuple(_step(StepView, *row) for row in zip(names, *columns, strict=True))


def _step(make: Callable[..., StepView], *values: Any) -> StepView:
    try:
        return make(*values)
    except ValueError as error:
        raise ValueError(f"key plan: {error}") from None


def _outcome(values: Mapping[str, str], name: str) -> DecisionOutcome | None:
    if _get(values, f"{name}_id") == "none":
        return None

    action: Action = _member(Action.__members__, _get(values, f"{name}_action"), f"{name}_action")
    if name == "thought":
        _thinks(action, "thought_action")
    kinds = ActStatus if action is Action.ACT else CallStatus
    return DecisionOutcome(
        decision=_int(values, f"{name}_id"),
        action=action,
        status=_member(kinds.__members__, _get(values, f"{name}_status"), f"{name}_status"),
        seconds=_float(values, f"{name}_seconds"),
        tokens=_float(values, f"{name}_tokens"),
        subgoal_done=_bool(values, f"{name}_subgoal_done"),
    )


def values_from_decision(message: DecisionMessage) -> dict[str, object]:
    """The texts of the `decision` topic."""
    decision = message.decision
    return {
        "schema": SCHEMA,
        "run": message.run,
        "state": message.state,
        "episode": message.episode,
        "id": decision.id,
        "action": "ACT" if decision.action is Action.ACT else "THINK",
        "role": decision.action.role.value if decision.action.role else "none",
        "level": decision.action.level,
        "deadline_s": decision.deadline_s,
        "beside": decision.beside,
        "asks_person": decision.asks_person,
        "time_left_s": message.time_left_s,
        "tokens_left": message.tokens_left,
        "why": decision.why,
    }


def decision_from_values(values: Mapping[str, str]) -> DecisionMessage:
    """The inverse of `values_from_decision`. Raises: ValueError that names the key."""
    acts = _member({"ACT": True, "THINK": False}, _get(values, "action"), "action")
    roles = {"none": None, **{r.value: r for r in Role}}
    role = _member(roles, _get(values, "role"), "role")
    level = _int(values, "level")

    action = next((a for a in Action if (a.role, a.level) == (role, level)), None)
    if action is None or (action is Action.ACT) != acts:
        raise ValueError(f"keys action, role, level: {values['action']}, {role}, {level} do not go together")

    # A sender of before knows neither.
    beside, asks_person = (_bool(values, key) if key in values else False for key in ("beside", "asks_person"))
    if beside and acts:
        raise ValueError("key beside: true, but only a THINK can be beside acting")
    if asks_person and not acts:
        raise ValueError("key asks_person: true, but only in place of an ACT can a person be asked")

    return DecisionMessage(
        run=_name(values, "run"),
        state=_int(values, "state"),
        episode=_int(values, "episode"),
        decision=Decision(
            _int(values, "id"), action, _float(values, "deadline_s"), _get(values, "why"), beside, asks_person
        ),
        time_left_s=_float(values, "time_left_s"),
        tokens_left=_float(values, "tokens_left"),
    )


def values_from_answer(message: AnswerMessage) -> dict[str, object]:
    """The texts of the `answer` topic."""
    answer = message.answer
    verdict = answer.verdict
    return {
        "schema": SCHEMA,
        "run": message.run,
        "state": message.state,
        "id": answer.decision,
        "role": answer.role.value,
        "level": answer.level,
        "status": answer.status.value,
        "seconds": answer.seconds,
        "ttft_s": answer.ttft_s,
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
        "backend": answer.backend,
        "confidence": answer.confidence,
        "steps": _plan_text(answer.plan),
        "verdict": "none" if verdict is None else ("ok" if verdict.ok else "wrong"),
        "fault": "none" if verdict is None or verdict.fault is None else verdict.fault.value,
        "p_ok": math.nan if verdict is None else verdict.p_ok,
        "where": json.dumps({thing: dict(shares) for thing, shares in answer.where.items()})[:MAX_TEXT],
        "text": answer.text[:MAX_TEXT],
        "why": answer.why,
        "tokens_saved": answer.tokens_saved,
    }


def answer_from_values(values: Mapping[str, str]) -> AnswerMessage:
    """The inverse of `values_from_answer`. Raises: ValueError that names the key."""
    faults = {"none": None, **{fault.value: fault for fault in Fault}}
    verdicts = {"none": None, "ok": True, "wrong": False}
    ok = _member(verdicts, _get(values, "verdict"), "verdict")
    fault = _member(faults, _get(values, "fault"), "fault")
    p_ok = _measure(values, "p_ok")

    answer = Answer(
        decision=_int(values, "id"),
        role=_member({r.value: r for r in Role}, _get(values, "role"), "role"),
        level=_member({"1": 1, "2": 2}, _get(values, "level"), "level"),
        status=_member(CallStatus.__members__, _get(values, "status"), "status"),
        seconds=_float(values, "seconds"),
        backend=_get(values, "backend"),
        tokens_in=_int(values, "tokens_in"),
        tokens_out=_int(values, "tokens_out"),
        ttft_s=_measure(values, "ttft_s"),
        plan=_plan(values, "steps"),
        verdict=None if ok is None else Verdict(ok, fault, p_ok),
        confidence=_measure(values, "confidence"),
        text=_get(values, "text"),
        why=_get(values, "why"),
        where=_where(values),
        tokens_saved=_int(values, "tokens_saved") if "tokens_saved" in values else 0,
    )

    if answer.status is not CallStatus.OK and (answer.plan is not None or answer.verdict is not None):
        raise ValueError(f"key status: {answer.status.value} cannot come with a plan or a verdict")
    return AnswerMessage(_name(values, "run"), _int(values, "state"), answer)


def values_from_budget(budget: Budget, message: DecisionMessage | None) -> dict[str, object]:
    """The texts of the `budget` topic: what is left after the decision in `message` (None: there was none yet)."""
    values: dict[str, object] = {"schema": SCHEMA}
    if message is not None:
        sent = values_from_decision(message)
        values |= {key: sent[key] for key in ("run", "episode", "id", "action", "role", "level")}

    values |= {
        "time_left_s": budget.time_s,
        "tokens_left": budget.tokens,
        "time_budget_s": budget.initial_time_s,
        "token_budget": budget.initial_tokens,
        "why": message.decision.why if message is not None else "no decision yet",
    }
    return values


def values_from_plan(report: Report) -> dict[str, object]:
    """The texts of the `plan` topic: one key per subgoal, counted from "0"."""
    subgoals = {str(i): s.name for i, s in enumerate(report.summary.subgoals)}
    return {"schema": SCHEMA, "run": report.run, "episode": report.episode, "subgoals": len(subgoals), **subgoals}


def _plan_text(plan: Plan | None) -> str:
    return "none" if plan is None else json.dumps(plan.to_rows())


def _plan(values: Mapping[str, str], key: str, fewest: int = 1) -> Plan | None:
    text = _get(values, key)
    if text == "none":
        return None

    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        rows = None

    if (
        not isinstance(rows, list)
        or not fewest <= len(rows) <= MAX_STEPS
        or not all(isinstance(row, list) and 1 <= len(row) <= 1 + MAX_ARGUMENTS for row in rows)
        or not all(isinstance(word, str) and 1 <= len(word) <= MAX_WORD for row in rows for word in row)
    ):
        raise ValueError(f"key {key}: {quoted(text)} is not a list of {fewest} to {MAX_STEPS} [skill, argument, ...]")
    return Plan.from_rows(rows)


def _values_from_task(task: TaskView) -> dict[str, object]:
    status = task.status
    return {
        "goal": f"goal: {task.goal}",
        "steps": _plan_text(task.plan),
        "source": status.source,
        "plan_confidence": status.confidence,
        "similarity": status.similarity,
        "plan_verdict": _VERDICTS[status.verdict],
        "verdict_level": status.verdict_level,
        "plan_p_ok": status.p_ok,
        "answered_1": status.answered[0],
        "answered_2": status.answered[1],
        "agreeing": status.agreeing,
        "contradicted": status.contradicted,
        "words": status.words,
        "unknown_words": status.unknown,
        "scene": json.dumps(task.scene),
        "beliefs": json.dumps([each[:MAX_BELIEF] for each in task.beliefs[:MAX_BELIEFS]]),
        "failed": "none" if task.failed is None else task.failed,
        "failed_outcome": task.outcome or "none",
        "failed_why": task.why[:MAX_BELIEF],
    }


def _task(values: Mapping[str, str]) -> TaskView:
    goal = _get(values, "goal").removeprefix("goal: ")
    if len(goal) > MAX_GOAL_CHARS:
        raise ValueError(f"key goal: {len(goal)} characters, at most {MAX_GOAL_CHARS}")

    plan = _plan(values, "steps", fewest=0)  # none is known for the goal
    if plan is None:
        raise ValueError("key steps: none, but a goal comes with the current plan")

    verdicts = {name: verdict for verdict, name in _VERDICTS.items()}
    status = PlanStatus(
        source=_member({"0": 0, "1": 1, "2": 2}, _get(values, "source"), "source"),
        confidence=_share(values, "plan_confidence"),
        similarity=_share(values, "similarity"),
        verdict=_member(verdicts, _get(values, "plan_verdict"), "plan_verdict"),
        verdict_level=_member({"0": 0, "1": 1, "2": 2}, _get(values, "verdict_level"), "verdict_level"),
        p_ok=_share(values, "plan_p_ok"),
        answered=(_bool(values, "answered_1"), _bool(values, "answered_2")),
        agreeing=_int(values, "agreeing"),
        contradicted=_bool(values, "contradicted"),
        words=_int(values, "words"),
        unknown=_int(values, "unknown_words"),
    )

    scene = _texts(values, "scene", MAX_HOME, MAX_WORD)
    if "beliefs" not in values:  # a sender of before, which knows neither beliefs nor what failed
        return TaskView(goal, plan, status, scene)

    outcomes = {"none": "", **{outcome.value: outcome.value for outcome in Outcome}}
    failed = None if _get(values, "failed") == "none" else _int(values, "failed")
    if failed is not None and failed >= len(plan.steps):
        raise ValueError(f"key failed: {failed} is no row of the plan, which has {len(plan.steps)}")
    return TaskView(
        goal,
        plan,
        status,
        scene,
        beliefs=_texts(values, "beliefs", MAX_BELIEFS, MAX_BELIEF),
        failed=failed,
        outcome=_member(outcomes, _get(values, "failed_outcome"), "failed_outcome"),
        why=_get(values, "failed_why")[:MAX_BELIEF],
    )


def _texts(values: Mapping[str, str], key: str, most: int, longest: int) -> tuple[str, ...]:
    text = _get(values, key)
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None

    if (
        not isinstance(names, list)
        or len(names) > most
        or not all(isinstance(name, str) and 1 <= len(name) <= longest for name in names)
    ):
        raise ValueError(f"key {key}: {quoted(text)} is not a list of at most {most} names")
    return tuple(names)


def _where(values: Mapping[str, str]) -> dict[str, Shares]:
    """Thing -> places and shares; {} from a sender of before, and where the text was too long to be sent whole."""
    text = values.get("where", "{}")
    try:
        found = json.loads(text)
        return {
            str(thing)[:MAX_WORD]: tuple((str(place)[:MAX_WORD], _within_one(n)) for place, n in of.items())
            for thing, of in found.items()
        }
    except (ValueError, RecursionError, TypeError, AttributeError, OverflowError):
        if len(text) >= MAX_TEXT:
            return {}
        raise ValueError(f"key where: {quoted(text)} is not thing -> place -> share") from None


def _within_one(share: object) -> float:
    """Raises: ValueError for NaN, OverflowError for an integer beyond any float, TypeError."""
    number = float(share)  # type: ignore[arg-type]
    if math.isnan(number):
        raise ValueError("a share is NaN")
    return min(max(number, 0.0), 1.0)


def _share(values: Mapping[str, str], key: str) -> float:
    value = _float(values, key)
    if value > 1.0:
        raise ValueError(f"key {key}: {value} is not a number from 0 to 1")
    return value


def _bool(values: Mapping[str, str], key: str) -> bool:
    return bool(_member({"true": True, "false": False}, _get(values, key), key))


def _measure(values: Mapping[str, str], key: str) -> float:
    """A number of either sign; nan: unknown."""
    text = _get(values, key)
    if text == "nan":
        return math.nan

    value = float(text) if len(text) <= MAX_NUMBER_CHARS and _FLOAT.fullmatch(text) else math.nan
    if not abs(value) <= MAX_NUMBER:
        raise ValueError(f"key {key}: {quoted(text)} is neither nan nor a number within {MAX_NUMBER:g}")
    return value


def _get(values: Mapping[str, str], key: str) -> str:
    if key not in values:
        raise ValueError(f"key {key} is missing")
    return values[key]


def _name(values: Mapping[str, str], key: str) -> str:
    text = _get(values, key)
    if not 1 <= len(text) <= 100:
        raise ValueError(f"key {key}: 1 to 100 characters, got {len(text)}")
    return text


def _int(values: Mapping[str, str], key: str) -> int:
    text = _get(values, key)
    if not _INT.fullmatch(text) or int(text) > MAX_INT:
        raise ValueError(f"key {key}: {quoted(text)} is not an integer from 0 to {MAX_INT}")
    return int(text)


def _float(values: Mapping[str, str], key: str) -> float:
    text = _get(values, key)
    value = float(text) if len(text) <= MAX_NUMBER_CHARS and _FLOAT.fullmatch(text) else math.nan
    if not 0.0 <= value <= MAX_NUMBER:
        raise ValueError(f"key {key}: {quoted(text)} is not a number from 0 to {MAX_NUMBER:g}")
    return value


def _member(members: Mapping[str, Any], name: str, key: str) -> Any:
    if name not in members:
        raise ValueError(f"key {key}: {quoted(name)} is not one of {', '.join(members)}")
    return members[name]
