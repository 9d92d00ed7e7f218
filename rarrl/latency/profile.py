"""Latency profiles, which hold what calls to a language model cost, measured or modelled: schema, load and save.

A profile is one JSON file. Its records are kept as columns and rows, one call per line, so that a file of hundreds of
calls stays small and a change shows as one line in a diff.
docs/explanation/latency-profiles.md describes it for people.

Version 1 holds what calls cost. Version 2 (`rarrl profile record`) adds which task each call was for, what was answered
and whether it was right: a table of tasks, a list of plans, and further columns of the records.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rarrl.errors import InputError
from rarrl.files import sha256, write_text_atomic
from rarrl.strict_json import read_json, short, validated

PROFILE_DIR = Path(__file__).resolve().parents[1] / "data" / "profiles"
"""The profiles that come with the package."""
MAX_SECONDS = 3600.0
"""Seconds of one call: no task has a larger budget (`orchestrator.time_budget_s`)."""
MAX_TOKENS = 1_000_000
"""Tokens read or written in one call; more is a wrong file."""
MAX_RECORDS = 200_000
"""Records, and plans, of one profile; more is a wrong file."""
MAX_TASKS = 50_000
"""Tasks, and homes, of one profile: twice the annotations of ALFRED."""

SHIPPED_REASONER = ("llama:planner.gguf", "rarrl-planner (llama.cpp")
"""How the profiles name the language model that comes with the package."""

HOUSEHOLD_TRIAL = "household-"
"""How the trial names of missions in the simulated home begin; those of ALFRED begin with `trial_`."""

RoleName = Literal["planner", "verifier"]
"""Values of `rarrl.types.Role`."""
Kind = Literal["recorded", "imported", "parametric"]
"""recorded: calls that we measured; imported: calls from another project's log; parametric: a distribution."""
Finish = Literal["stop", "length", "timeout", "refused", "error"]
"""How a call ended; see `CallRecord`."""


class World(str, Enum):
    """Where the tasks of a recorded profile come from, and so which weights and rules were fitted to them.

    ALFRED: the data set's annotated tasks, replayed. HOUSEHOLD: missions of the simulated home. SKILLS: a robot with
    skills of its own."""

    ALFRED = "alfred"
    HOUSEHOLD = "household"
    SKILLS = "skills"


class _Strict(BaseModel):
    # strict: "3" is not 3 and true is not 1. Small integers are bounded, not Literal[1, 2], which true would pass.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


_TEXT = "text of 1 to 2000 characters on one line"
"""What a text may be, for messages."""
_LINE = r"^[^\r\n]*$"
"""Pattern of a text on one line."""
PlanRows = tuple[tuple[str, ...], ...]
"""A plan: per step a verb and its arguments, as `rarrl.reasoner.plan.Plan.to_rows` gives them."""


class TaskRecord(_Strict):
    """One task as it was put to the language model: an annotator's goal for one of ALFRED's plans.

    steps: the expert plan with GotoLocation, (sub-goal type, low-level steps) each. expert, default: entries of the
    profile's plans. The default is what a robot without a language model would do (`rarrl.reasoner.nearest`);
    similarity: how similar the goal is that it comes from; default_correct: whether it is right. words: number of words
    of the goal. unknown: how many of them are in none of the known goals. home: entry of the profile's homes, what the
    robot had met there; None if it knew nothing about its home."""

    trial: str = Field(min_length=1, max_length=200, pattern=_LINE, description="ALFRED's name of the trial")
    annotation: int = Field(ge=0, le=1000, description="integer 0 to 1000, which annotator")
    task_type: str = Field(min_length=1, max_length=200, pattern=_LINE, description="ALFRED's task type")
    steps: tuple[tuple[int, int], ...] = Field(
        min_length=1, max_length=100, description="list of [sub-goal type, low-level steps]"
    )
    expert: int = Field(ge=0, le=MAX_RECORDS, description="an entry of plans, from 0")
    default: int = Field(ge=0, le=MAX_RECORDS, description="an entry of plans, from 0")
    similarity: float = Field(ge=0, le=1, description="0 to 1")
    default_correct: bool = Field(description="true, false")
    words: int = Field(ge=0, le=10_000, description="integer 0 to 10000")
    unknown: int = Field(ge=0, le=10_000, description="integer 0 to 10000")
    home: int | None = Field(default=None, ge=0, le=MAX_TASKS, description="null, or an entry of homes, from 0")

    @field_validator("steps")
    @classmethod
    def _known(cls, steps: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        if not all(0 <= kind <= 7 and 1 <= count <= 10_000 for kind, count in steps):
            raise ValueError("a step is not allowed (allowed: type 0 to 7, 1 to 10000 low-level steps)")
        return steps


class CallRecord(_Strict):
    """One call to the language model.

    finish: stop (a whole answer), length (cut off at the cap, so no usable answer), timeout, refused (a plan that the
    plan checker refused, or a call that the backend declined), error (no answer).
    correct: whether the answer was right, None if it was not checked.

    Version 2 adds, None if there is none: task (row of the profile's tasks), plan (entry of its plans: what a planner
    wrote, or what a verifier judged), confidence (mean log-probability of the answer's tokens), and for a verifier
    verdict (whether the plan is ok), fault (what it finds wrong) and p_ok (its probability of ok)."""

    role: RoleName = Field(description="planner, verifier")
    level: int = Field(ge=1, le=2, description="1, 2")
    tokens_in: int = Field(ge=0, le=MAX_TOKENS, description="integer 0 to 1000000, prompt tokens")
    tokens_out: int = Field(ge=0, le=MAX_TOKENS, description="integer 0 to 1000000, generated tokens")
    ttft_s: float = Field(ge=0, le=MAX_SECONDS, description="0 to 3600 s, time to the first token")
    total_s: float = Field(ge=0, le=MAX_SECONDS, description="ttft_s to 3600 s, time to the last token")
    finish: Finish = Field(description="stop, length, timeout, refused, error")
    correct: bool | None = Field(default=None, description="true, false, null")
    task: int | None = Field(default=None, ge=0, le=MAX_TASKS, description="null, or a row of tasks, from 0")
    plan: int | None = Field(default=None, ge=0, le=MAX_RECORDS, description="null, or an entry of plans, from 0")
    confidence: float | None = Field(default=None, ge=-100, le=0, description="null, or -100 to 0")
    verdict: bool | None = Field(default=None, description="true, false, null")
    fault: str | None = Field(default=None, max_length=40, pattern=_LINE, description="null, or text on one line")
    p_ok: float | None = Field(default=None, ge=0, le=1, description="null, or 0 to 1")

    @model_validator(mode="after")
    def _order(self) -> CallRecord:
        if self.total_s < self.ttft_s:
            raise ValueError(
                f"key total_s: {self.total_s} is below ttft_s {self.ttft_s} (allowed: ttft_s to 3600 s); fix or drop it"
            )
        return self


COLUMNS = tuple(CallRecord.model_fields)[:8]
"""The columns of a record in a file of version 1, in order."""
RECORDED_COLUMNS = tuple(CallRecord.model_fields)
"""The columns of a record in a file of version 2, in order."""
TASK_COLUMNS = tuple(TaskRecord.model_fields)
"""The columns of a task, in order."""


class ProfileHeader(_Strict):
    """Where the numbers come from."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit"
    )
    kind: Kind = Field(description="recorded, imported, parametric")
    measured: str = Field(min_length=1, max_length=2000, pattern=_LINE, description=_TEXT)
    model: str = Field(min_length=1, max_length=2000, pattern=_LINE, description=_TEXT)
    hardware: str = Field(min_length=1, max_length=2000, pattern=_LINE, description=_TEXT)
    date: str = Field(
        pattern=r"^([0-9]{4}(-[0-9]{2}){0,2}|unknown)$", description="YYYY, YYYY-MM, YYYY-MM-DD or unknown"
    )
    source: str = Field(min_length=1, max_length=2000, pattern=_LINE, description=_TEXT)
    licence: str = Field(min_length=1, max_length=2000, pattern=_LINE, description=_TEXT)
    assumptions: str = Field(default="", max_length=2000, pattern=_LINE, description="text on one line")
    command: str = Field(default="", max_length=2000, pattern=_LINE, description="text on one line")
    world: World | None = Field(
        default=None,
        strict=False,  # JSON has no enums
        description="alfred, household: where the tasks of recorded answers come from; left out for latencies alone",
    )


class ParametricOption(_Strict):
    """A lognormal latency for one role and level: ln(seconds) is normal with mean mu and standard deviation sigma."""

    role: RoleName = Field(description="planner, verifier")
    level: int = Field(ge=1, le=2, description="1, 2")
    mu: float = Field(ge=-10, le=8, description="-10 to 8, mean of ln(seconds)")
    sigma: float = Field(ge=0, le=3, description="0 to 3, standard deviation of ln(seconds)")
    tokens_in: int = Field(ge=0, le=MAX_TOKENS, description="integer 0 to 1000000, prompt tokens a call")
    tokens_out: int = Field(ge=0, le=MAX_TOKENS, description="integer 0 to 1000000, generated tokens a call")
    error_rate: float = Field(ge=0, le=1, description="0 to 1, share of calls without a usable answer")

    @model_validator(mode="after")
    def _tail(self) -> ParametricOption:
        slowest = math.exp(min(self.mu + 3.1 * self.sigma, 700.0))  # the 99.9 % quantile
        if slowest > MAX_SECONDS:
            raise ValueError(
                f"key mu: {self.mu} with sigma {self.sigma} puts the 99.9 % quantile at {slowest:.4g} s "
                "(allowed: up to 3600 s); lower mu or sigma"
            )

        return self


class LatencyProfile(_Strict):
    """A latency profile: measured records (kinds recorded, imported) or a parametric block, never both.

    The records are in the order of the measurement, by which replay keeps bursts together. In an imported profile the
    j-th record of every role and level derives from the same measured request."""

    schema_version: int = Field(ge=1, le=2, description="1, 2")
    header: ProfileHeader
    records: tuple[CallRecord, ...] | None = Field(default=None, max_length=MAX_RECORDS)
    parametric: tuple[ParametricOption, ...] | None = Field(default=None, max_length=4)
    tasks: tuple[TaskRecord, ...] | None = Field(default=None, max_length=MAX_TASKS)
    plans: tuple[PlanRows, ...] | None = Field(
        default=None, max_length=MAX_RECORDS, description="list of plans: [[verb, argument, ...], ...]"
    )
    homes: tuple[tuple[str, ...], ...] = Field(
        default=(), max_length=MAX_TASKS, description="list of homes: [class name, ...]"
    )

    @model_validator(mode="after")
    def _one_content(self) -> LatencyProfile:
        parametric = self.header.kind == "parametric"
        wanted, other = ("parametric", "records") if parametric else ("records", "parametric")
        if getattr(self, other) is not None:
            raise ValueError(f"header.kind {self.header.kind} goes with {wanted}, not {other}; remove {other}")
        if not getattr(self, wanted):
            raise ValueError(f"header.kind {self.header.kind} needs at least one entry in {wanted}; add it")

        options = [(option.role, option.level) for option in self.parametric or ()]
        if len(set(options)) != len(options):
            raise ValueError("parametric holds a role and level twice; keep one of them")
        return self

    @model_validator(mode="after")
    def _whole(self) -> LatencyProfile:
        """Checks that version 2 has tasks and plans and that every reference to them is valid."""
        if self.schema_version == 1:
            if self.header.world is not None:
                raise ValueError("header.world goes with recorded answers (schema_version 2); remove it")
            if self.tasks is not None or self.plans is not None or self.homes:
                raise ValueError("tasks, plans and homes need schema_version 2; change it, or remove them")
            return self
        if not self.tasks or not self.plans or self.header.kind != "recorded":
            raise ValueError("schema_version 2 needs header.kind recorded, tasks and plans; add them, or use version 1")
        if any(max(task.expert, task.default) >= len(self.plans) for task in self.tasks):
            raise ValueError(f"a task's expert or default is no entry of plans (allowed: 0 to {len(self.plans) - 1})")
        if any(task.home is not None and task.home >= len(self.homes) for task in self.tasks):
            raise ValueError(f"a task's home is no entry of homes (there are {len(self.homes)}); fix or drop it")

        for number, record in enumerate(self.records or (), start=1):
            needs_plan = record.role == "verifier" or record.finish == "stop"
            if record.task is None or record.task >= len(self.tasks):
                raise ValueError(
                    f"record {number}, key task: {record.task} is not allowed (allowed: 0 to {len(self.tasks) - 1})"
                )
            if needs_plan and record.plan is None:
                raise ValueError(f"record {number}, key plan: null is not allowed for an answered call; fix or drop it")
            if record.plan is not None and record.plan >= len(self.plans):
                raise ValueError(
                    f"record {number}, key plan: {record.plan} is not allowed (allowed: 0 to {len(self.plans) - 1})"
                )

        return self

    @property
    def name(self) -> str:
        """The name in the header."""
        return self.header.name

    @property
    def recorded(self) -> bool:
        """Whether it holds recorded answers beside what calls cost."""
        return self.tasks is not None

    @property
    def world(self) -> World | None:
        """Where its tasks come from; None where it holds latencies alone, which belong to no world.

        Recorded files from before the header's `world` are recognised by the names of their tasks' trials."""
        if self.tasks is None or self.header.world is not None:
            return self.header.world
        at_home = all(task.trial.startswith(HOUSEHOLD_TRIAL) for task in self.tasks)
        return World.HOUSEHOLD if at_home else World.ALFRED

    def mismatch(self, reasoner: str) -> str:
        """Why this profile says nothing of what calls of `reasoner` cost; "" where it was recorded with it.

        Args:
            reasoner: as in `--llm`, or the name of a `Reasoner`; `llama` is the model that comes with the package."""
        kind, _, text = reasoner.partition(":")
        if kind == "llama":
            names = [f"llama:{Path(text).name}"] if text else SHIPPED_REASONER
        else:
            names = [shareable(reasoner), reasoner.rpartition("#")[2]]
        if any(self.header.model.lower().startswith(name.lower()) for name in names):
            return ""
        asked = names[0]
        return (
            f"latency profile {self.name} was recorded with {self.header.model}, not with {asked}: what calls are "
            "expected to cost is learnt from the calls that are made; `rarrl profile record` makes a profile of it"
        )

    def options(self) -> list[tuple[str, int]]:
        """Returns the (role, level) pairs that this profile knows, sorted."""
        return sorted({(entry.role, entry.level) for entry in self.records or self.parametric or ()})

    def require(self, role: str, level: int) -> None:
        """Raises: InputError, one line, if the profile has nothing for `role` at `level`."""
        if (role, level) not in self.options():
            known = ", ".join(f"{r} level {n}" for r, n in self.options())
            raise InputError(
                f"latency profile {self.name}: no records of {role} level {level} (it has: {known}); "
                f"record or import them, or choose a profile that has them ({', '.join(shipped_profiles())})"
            )


_PARTS: dict[str, type[BaseModel]] = {
    "records": CallRecord,
    "header": ProfileHeader,
    "parametric": ParametricOption,
    "tasks": TaskRecord,
}
"""Key of a profile -> the model of its entries, for messages."""
_WHAT = "latency profile"
"""How messages about a profile begin."""


def shareable(reasoner: str) -> str:
    """The name of a reasoner without the address of its server, for files that are passed on.

    >>> shareable("openai:http://10.0.0.5:8080/v1#qwen3")
    'openai:URL#qwen3'
    """
    return re.sub(r"[a-z][a-z0-9+.-]*://[^#\s]*", "URL", reasoner, flags=re.IGNORECASE)


def shipped_profiles() -> list[str]:
    """Returns the names of the profiles that come with the package, sorted."""
    return sorted(path.stem for path in PROFILE_DIR.glob("*.json"))


def load_profile(name_or_path: str | Path) -> LatencyProfile:
    """Loads a shipped profile by name, or any profile by path.

    Raises: InputError, one line that names file, record number (from 1), key, value, what is allowed, and the fix."""
    path = _resolve(str(name_or_path))
    value = _lists_to_tuples(_expand_rows(read_json(path, _WHAT), str(path)))
    return validated(LatencyProfile, value, _WHAT, str(path), _PARTS)


def save_profile(profile: LatencyProfile, path: Path | str) -> None:
    """Writes `profile`, whole or not at all; `load_profile` returns an equal one.

    Raises: InputError if the path cannot be written."""
    try:
        write_text_atomic(Path(path), dumps_profile(profile))
    except OSError as error:
        raise InputError(f"{_WHAT}: cannot write {path} ({error.strerror}); choose another path") from None


def dumps_profile(profile: LatencyProfile) -> str:
    """Returns the text of a profile's file: the header indented, then one task, plan or record per line.

    The same profile gives the same text."""
    header = profile.header.model_dump(mode="json")
    if profile.header.world is None:
        del header["world"]  # as in files from before this key
    head: dict[str, Any] = {"schema_version": profile.schema_version, "header": header}
    if profile.parametric is not None:
        head["parametric"] = [option.model_dump() for option in profile.parametric]
        return json.dumps(head, indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    text = json.dumps(head, indent=1, allow_nan=False, ensure_ascii=False)[:-2]
    if profile.tasks is not None and profile.plans is not None:
        text += f',\n "tasks": {_table(TASK_COLUMNS, profile.tasks)},\n "plans": {_lines(profile.plans)}'
        text += f',\n "homes": {_lines(profile.homes)}' if profile.homes else ""

    columns = COLUMNS if profile.schema_version == 1 else RECORDED_COLUMNS
    return f'{text},\n "records": {_table(columns, profile.records or ())}\n}}\n'


def content_sha256(profile: LatencyProfile) -> str:
    """Hex digest of what was measured: of the file as `save_profile` writes it, without the header's `world`.

    Models and tuned rules name the profile that they learned from by it; a profile that was labelled with its world
    later on is still the same measurement."""
    header = profile.header.model_copy(update={"world": None})
    return sha256(dumps_profile(profile.model_copy(update={"header": header})).encode())


def _lines(entries: Sequence[Any]) -> str:
    return "[\n" + ",\n".join("  " + _compact(entry) for entry in entries) + "\n ]"


def _table(columns: Sequence[str], rows: Sequence[BaseModel]) -> str:
    lines = ",\n".join("   " + _compact([getattr(row, column) for column in columns]) for row in rows)
    return f'{{\n  "columns": {json.dumps(list(columns))},\n  "rows": [\n{lines}\n  ]\n }}'


def _compact(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _resolve(name: str) -> Path:
    shipped = shipped_profiles()
    if name in shipped:
        return PROFILE_DIR / f"{name}.json"
    if "/" in name or "\\" in name or name.endswith(".json") or _exists(name):
        return Path(name)

    begun = [each for each in shipped if each.lower().startswith(name.lower())]  # gpt4 for gpt4o-mini-anchor
    close = begun or difflib.get_close_matches(name.lower(), shipped, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close and name else "."
    raise InputError(f"{_WHAT}: no profile {short(name)}{hint} Shipped: {', '.join(shipped)}; or give a file's path")


def _exists(name: str) -> bool:
    try:
        return bool(name) and Path(name).exists()
    except (OSError, ValueError):  # too long, or a NUL character
        return False


def _expand_rows(value: Any, where: str) -> Any:
    """Turns columns and rows into a dict per record or task. What has another shape is left for the schema to
    refuse."""
    if not isinstance(value, dict):
        return value

    version_2 = value.get("schema_version") == 2
    columns = {"records": RECORDED_COLUMNS if version_2 else COLUMNS, "tasks": TASK_COLUMNS}
    expanded = {
        key: _expand_table(
            value[key], f"{where}: key {key}", f"{where}: {'record' if key == 'records' else 'task'}", names
        )
        for key, names in columns.items()
        if value.get(key) is not None
    }

    return {**value, **expanded}


def _expand_table(block: Any, where: str, row_where: str, allowed: Sequence[str]) -> list[dict[str, Any]]:
    if not isinstance(block, dict) or set(block) != {"columns", "rows"} or not isinstance(block.get("rows"), list):
        raise InputError(
            f'{_WHAT}: {where}: {short(block)} is not allowed (allowed: {{"columns": [...], "rows": '
            "[[...], ...]}); see docs/explanation/latency-profiles.md"
        )

    columns = block["columns"]
    names = columns if isinstance(columns, list) else []
    fields = {**CallRecord.model_fields, **TaskRecord.model_fields}
    optional = {name for name, field in fields.items() if not field.is_required()}
    bad = [name for name in names if name not in allowed]
    bad += [name for name in allowed if name not in names and name not in optional]

    if bad or not names or len(set(names)) != len(names):
        raise InputError(
            f"{_WHAT}: {where}.columns: {short(columns)} is not allowed "
            f"(allowed: each once of {', '.join(allowed)}); fix the column names"
        )

    if len(block["rows"]) > MAX_RECORDS:  # before each becomes an object
        raise InputError(f"{_WHAT}: {where}.rows: {len(block['rows'])} rows (allowed: at most {MAX_RECORDS})")
    for number, row in enumerate(block["rows"], start=1):
        if not isinstance(row, list) or len(row) != len(names):
            raise InputError(
                f"{_WHAT}: {row_where} {number}: {short(row)} is not allowed (allowed: a list of {len(names)} "
                f"values, one per column: {', '.join(names)}); fix or drop it"
            )

    return [dict(zip(names, row, strict=True)) for row in block["rows"]]


def _lists_to_tuples(value: Any) -> Any:
    """Turns lists into tuples, four levels deep (plans, plan, step, name): JSON has lists, the strict schema tuples."""
    if not isinstance(value, dict):
        return value
    lists = {key for key in ("records", "parametric", "tasks", "plans", "homes") if isinstance(value.get(key), list)}
    return {key: _frozen(entry, 4) if key in lists else entry for key, entry in value.items()}


def _frozen(value: Any, depth: int) -> Any:
    if depth and isinstance(value, list):
        return tuple(_frozen(entry, depth - 1) for entry in value)
    if depth and isinstance(value, dict) and isinstance(value.get("steps"), list):
        return {**value, "steps": _frozen(value["steps"], 2)}
    return value
