"""ALFRED's expert plans: reads the data set, counts its statistics, and draws plans from them.

ALFRED: Shridhar et al., "ALFRED: A Benchmark for Interpreting Grounded Instructions for Everyday Tasks", CVPR 2020;
https://github.com/askforalfred/alfred, MIT licence. The data set itself does not come with this package; its
statistics (how often which sequence of sub-goals, how many low-level steps each) do.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rarrl.errors import InputError
from rarrl.files import read_file, write_json_atomic
from rarrl.strict_json import check_regular_file, parse_json, read_json, short, validated
from rarrl.types import StepView

logger = logging.getLogger(__name__)

STATISTICS_PATH = Path(__file__).resolve().parent / "data" / "alfred_statistics.json"
"""The statistics of the train split that come with the package."""
HOUSEHOLD_TASKS = STATISTICS_PATH.with_name("household_tasks.jsonl")
"""Goals of our own with their plans, in the compact form. They are played if the data set is not there."""
TASK_TYPES = (
    "look_at_obj_in_light",
    "pick_and_place_simple",
    "pick_and_place_with_movable_recep",
    "pick_clean_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_two_obj_and_place",
)
"""ALFRED's seven task types."""
MAX_SUBGOALS = 100
"""Sub-goals of one plan; ALFRED's longest has 19, so more is a wrong file. The next four limits are of this kind
too."""
MAX_STEPS = 10_000
"""Low-level steps of one sub-goal."""
MAX_LINE_BYTES = 1 << 20
"""Bytes of one line of a compact file."""
MAX_PLANS = 1_000_000
"""Plans of one split; ALFRED's train split has 6,574."""
MAX_SKIPPED = 10_000
"""Bad entries of one split: each is told in a line that is kept."""
MAX_COMPACT_BYTES = 1 << 30
"""Bytes of a compact file when it is unpacked: a small .gz file must not fill the memory."""

_WHAT = "ALFRED"
"""How messages about a file begin."""
_COMPACT = re.compile(r"^alfred_([A-Za-z0-9_]+)\.jsonl(\.gz)?$")
"""Name of a compact file; the group is the split."""
_NO_PLAN = "key plan is missing"
"""How the line of an entry ends that has no plan."""
_DROPPED = ("NoOp", "End")
"""Sub-goals without an effect; each expert plan ends with one."""


class SubgoalType(IntEnum):
    """ALFRED's eight high-level actions (Shridhar et al., CVPR 2020), in the order of their one-hot feature."""

    GotoLocation = 0
    PickupObject = 1
    PutObject = 2
    SliceObject = 3
    ToggleObject = 4
    CleanObject = 5
    HeatObject = 6
    CoolObject = 7


PRIOR_ATTEMPTS = 4.0
"""What a failure share is worth that was published for another agent: it orders the actions, and no more."""
_NEVER, _POSSIBLE, _ALWAYS = 0.0, 0.5, 1.0
"""Share of the failures that cannot be undone, where all that is known is whether that can happen."""


def _views() -> dict[str, StepView]:
    """What is known of ALFRED's actions without having played.

    Failures: one minus the success of each sub-goal that Shridhar et al. publish (2020, table 4, S2S+PM, mean of seen
    and unseen scenes). What cannot be undone is common sense: a cut stays a cut; what was put, cleaned, heated or
    cooled wrongly often lies out of reach, or is spoilt. Seconds: the mean of the train split's low-level steps of an
    action (`rarrl/data/alfred_statistics.json`) at a quarter of a second each."""
    known = {
        SubgoalType.GotoLocation: (0.635, _NEVER, 3.4),
        SubgoalType.PickupObject: (0.735, _NEVER, 0.3),
        SubgoalType.PutObject: (0.365, _POSSIBLE, 0.4),
        SubgoalType.SliceObject: (0.815, _ALWAYS, 0.3),
        SubgoalType.ToggleObject: (0.34, _NEVER, 0.25),
        SubgoalType.CleanObject: (0.31, _POSSIBLE, 1.0),
        SubgoalType.HeatObject: (0.13, _POSSIBLE, 2.0),
        SubgoalType.CoolObject: (0.10, _POSSIBLE, 1.5),
    }
    return {
        kind.name: StepView(kind.name, failures, PRIOR_ATTEMPTS, irreversible, seconds)
        for kind, (failures, irreversible, seconds) in known.items()
    }


STEP_VIEWS: dict[str, StepView] = _views()
"""ALFRED's actions by name, as the orchestrator sees them; in the order of SubgoalType."""


def step_view(name: str) -> StepView:
    """How the orchestrator sees a step of which the name alone is known: as ALFRED's action of that name, else as a
    skill that nobody told anything about. Raises: ValueError for a name that is none."""
    known = STEP_VIEWS.get(name)
    return known if known is not None else StepView(name)


def step_views(kinds: Iterable[SubgoalType]) -> tuple[StepView, ...]:
    """A plan of ALFRED's actions, as the orchestrator sees it."""
    return tuple(STEP_VIEWS[kind.name] for kind in kinds)


@dataclass(frozen=True)
class Annotation:
    """One annotator's text: the goal sentence, and a sentence per sub-goal, which may be missing."""

    goal: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class GoalParameters:
    """ALFRED's goal condition: class names in lower case, "" if the task type has none."""

    object: str
    place: str  # the receptacle that it ends up in
    movable: str  # the receptacle that is carried
    lamp: str
    sliced: bool


@dataclass(frozen=True)
class AlfredPlan:
    """One expert plan. `subgoals`, `arguments` and `low_steps` have one entry per sub-goal.

    arguments: ALFRED's object and receptacle names, lower case. low_steps: low-level actions, 1 or more. Plans drawn
    from statistics have no scene, arguments, annotations or parameters."""

    task_type: str
    scene: str
    trial: str
    subgoals: tuple[SubgoalType, ...]
    arguments: tuple[tuple[str, ...], ...]
    low_steps: tuple[int, ...]
    annotations: tuple[Annotation, ...] = ()
    parameters: GoalParameters | None = None

    @property
    def goal(self) -> str:
        """The first annotator's goal sentence; "" if there is none."""
        return self.annotations[0].goal if self.annotations else ""


@dataclass(frozen=True)
class AlfredData:
    """The plans of one split.

    skipped: a line for each entry that was left out, with place and reason. sha256: of the files' content."""

    plans: tuple[AlfredPlan, ...]
    skipped: list[str]
    sha256: str
    split: str


def read_alfred(path: Path | str, split: str | None = None) -> AlfredData:
    """Reads expert plans.

    Args:
        path: a compact `alfred_<split>.jsonl.gz` (or .jsonl) file; or a folder that holds such files; or ALFRED's own
            tree (`json_2.1.0`, or the folder above it): `<split>/<task>/<trial>/traj_data.json`.
        split: such as "train". None means "train" if there is one, else the only split there is.

    A corrupt entry is named in `skipped` and left out.

    Raises: InputError, one line, for a missing path, an empty folder, an unknown split (it lists those that there are),
        a truncated file, or no valid plan at all."""
    try:
        return _read(Path(path), split)
    except OSError as error:  # a folder that may not be listed, a path too long for the system
        raise InputError(f"{_WHAT}: {short(str(path))} cannot be read ({error.strerror}); check its rights") from None


def _read(path: Path, split: str | None) -> AlfredData:
    if path.is_dir():
        name, source = _choose_split(path, split)
    else:
        check_regular_file(path, _WHAT, max_bytes=MAX_COMPACT_BYTES)
        match = _COMPACT.match(path.name)
        name = match.group(1) if match else split or path.stem
        source = path

        if match and split not in (None, name):
            raise InputError(f"{_WHAT}: {path} holds split {name}, not {short(split)}; give that split's file")

    digest = hashlib.sha256()
    entries = _tree_entries(source, digest) if source.is_dir() else _compact_entries(source, digest)
    plans, skipped = _collect(entries)
    if not plans:
        if skipped and all(line.endswith(_NO_PLAN) for line in skipped):
            raise _without_plans(name, source)
        first = f"; first of {len(skipped)} bad entries: {skipped[0]}" if skipped else ""
        what = (
            "; download the data set again" if skipped else ", which holds no entry; give the folder of a whole split"
        )
        raise InputError(f"{_WHAT}: no valid plan in {source}{first}{what}")

    if skipped:
        logger.warning("ALFRED %s: %d bad entries left out; first: %s", name, len(skipped), skipped[0])

    return AlfredData(tuple(plans), skipped, digest.hexdigest(), name)


def is_development(plan: AlfredPlan) -> bool:
    """Returns whether a plan of the train split is kept out of the language model's training.

    That is one in twelve, by the trial's name. Models are chosen on these plans, and answers are recorded on them.

    >>> plan = AlfredPlan("pick_and_place_simple", "", "trial_T20190907_174127_043461", (), (), ())
    >>> is_development(plan)
    False
    """
    return hashlib.sha256(plan.trial.encode()).digest()[0] % 12 == 0


def available_splits(folder: Path) -> dict[str, Path]:
    """Returns split name -> compact file or folder of tasks for what `folder` holds; empty if nothing is ALFRED's."""
    splits: dict[str, Path] = {}
    if (folder / "json_2.1.0").is_dir():
        splits.update(available_splits(folder / "json_2.1.0"))

    if next(folder.glob("*/*/traj_data.json"), None):
        splits[folder.name] = folder

    for child in sorted(folder.iterdir()):
        match = _COMPACT.match(child.name)
        if match and child.is_file():
            splits[match.group(1)] = child
        elif child.is_dir() and next(child.glob("*/*/traj_data.json"), None):
            splits[child.name] = child

    return splits


def _without_plans(split: str, source: Path) -> InputError:
    return InputError(
        f"{_WHAT}: split {split} in {source} holds goals without expert plans, as ALFRED's tests_seen and tests_unseen "
        "do, whose plans are not published; take train, valid_seen or valid_unseen"
    )


def _test_split(folder: Path, split: str | None) -> Path | None:
    """The folder of a test split, whose trials lie in it without a folder per task; None where there is none."""
    places = [folder] if split is None else [folder / split, folder / "json_2.1.0" / split]
    return next((place for place in places if next(place.glob("*/traj_data.json"), None)), None)


def _choose_split(folder: Path, split: str | None) -> tuple[str, Path]:
    splits = available_splits(folder)
    if split not in splits and (tests := _test_split(folder, split)) is not None:
        raise _without_plans(tests.name, tests)

    listed = ", ".join(sorted(splits))
    if not splits:
        raise InputError(
            f"{_WHAT}: {folder} holds no ALFRED data; expected alfred_<split>.jsonl.gz files or "
            "<split>/<task>/<trial>/traj_data.json (ALFRED's json_2.1.0)"
        )

    wanted = split if split is not None else ("train" if "train" in splits else listed)
    if wanted in splits:
        return wanted, splits[wanted]
    if split is None:
        raise InputError(f"{_WHAT}: {folder} holds several splits; choose one of: {listed}")

    raise InputError(f"{_WHAT}: {folder} has no split {short(split)}; available: {listed}")


_Entry = tuple[str, bytes | None, bool]
"""Where an entry stands, its JSON text (None: unreadable), and whether it is a traj_data.json."""


def _compact_entries(path: Path, digest: Any) -> Iterator[_Entry]:
    """Yields one entry per line. The digest is that of the file's own bytes, as sha256sum prints it."""
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)

    opener = gzip.open if path.name.endswith(".gz") else open
    number = 0
    total = 0
    try:
        with opener(path, "rb") as lines:
            while line := lines.readline(MAX_LINE_BYTES):
                number = number + 1
                total = total + len(line)
                if len(line) == MAX_LINE_BYTES or total > MAX_COMPACT_BYTES:
                    raise InputError(
                        f"{_WHAT}: {path} line {number}: over {MAX_LINE_BYTES} bytes a line or {MAX_COMPACT_BYTES} in "
                        "all; this is not an ALFRED file of ours"
                    )

                if line.strip():
                    yield f"{path.name} line {number}", line, False
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise InputError(
            f"{_WHAT}: {path} is truncated or no gzip file after line {number} ({error}); download it again"
        ) from None


def _tree_entries(split: Path, digest: Any) -> Iterator[_Entry]:
    """Yields one entry per trial, in the order of the paths. The digest is of relative paths and contents."""
    for task in sorted(split.iterdir()):
        for trial in sorted(task.glob("*/traj_data.json")):
            where = str(trial.relative_to(split.parent))
            try:
                check_regular_file(trial, _WHAT)
                data: bytes | None = read_file(trial, _WHAT)
            except InputError:
                data = None

            digest.update(where.encode() + b"\0" + (data or b""))
            yield where, data, True


def _collect(entries: Iterable[_Entry]) -> tuple[list[AlfredPlan], list[str]]:
    plans: list[AlfredPlan] = []
    skipped: list[str] = []
    for where, data, is_tree in entries:
        try:
            if data is None:
                raise ValueError("cannot be read")
            value = parse_json(data, _WHAT, where)
            plans.append(_plan(_from_traj_data(value) if is_tree else value))
        except InputError as error:  # from parse_json: already says where
            skipped.append(str(error).removeprefix(f"{_WHAT}: "))
        except ValueError as error:
            skipped.append(f"{where}: {error}")

        if len(plans) > MAX_PLANS or len(skipped) > MAX_SKIPPED:
            raise InputError(
                f"{_WHAT}: over {MAX_PLANS} plans, or over {MAX_SKIPPED} bad entries"
                f"{'; first: ' + skipped[0] if skipped else ''}; this is not ALFRED"
            )

    return plans, skipped


def _from_traj_data(value: Any) -> dict[str, Any]:
    """Converts ALFRED's own JSON to the compact form. Raises: ValueError that names the key."""
    high = _get(_get(value, "plan", dict), "high_pddl", list)
    low = _get(_get(value, "plan", dict), "low_actions", list)

    steps = Counter(_get(action, "high_idx", int) for action in low)
    if len(high) > MAX_SUBGOALS + len(_DROPPED):
        raise ValueError(f"key high_pddl: {len(high)} sub-goals, expected at most {MAX_SUBGOALS}")
    plan = []
    low_steps = []
    for index, subgoal in enumerate(high):
        action = _get(subgoal, "discrete_action", dict)
        plan.append([_get(action, "action", str), *_get(action, "args", list)])
        low_steps.append(steps[_get({"high_idx": index} | subgoal, "high_idx", int)])

    scene = _get(value, "scene", dict)
    floor_plan = scene.get("floor_plan") or f"FloorPlan{_get(scene, 'scene_num', int)}"
    anns = value.get("turk_annotations", {})
    anns = anns.get("anns", []) if isinstance(anns, dict) else []
    anns = anns if isinstance(anns, list) else []

    return {
        "task_type": _get(value, "task_type", str),
        "scene": floor_plan,
        "trial": _get(value, "task_id", str),
        "plan": plan,
        "low_steps": low_steps,
        "params": value.get("pddl_params"),
        "annotations": [
            {"goal": ann.get("task_desc"), "steps": ann.get("high_descs")} for ann in anns if isinstance(ann, dict)
        ],
    }


def _get(value: Any, key: str, kind: type) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise ValueError(_NO_PLAN if key == "plan" else f"key {key} is missing")
    if not isinstance(value[key], kind) or (kind is int and isinstance(value[key], bool)):
        raise ValueError(f"key {key}: {short(value[key])} is not a {kind.__name__}")
    return value[key]


def _plan(value: Any) -> AlfredPlan:
    """Converts a compact entry to an AlfredPlan. Raises: ValueError that names the key."""
    task_type = _get(value, "task_type", str)
    if task_type not in TASK_TYPES:
        raise ValueError(f"key task_type: {short(task_type)} is not one of ALFRED's ({', '.join(TASK_TYPES)})")

    plan = _get(value, "plan", list)
    low_steps = _get(value, "low_steps", list)
    if len(plan) != len(low_steps):
        raise ValueError(f"key low_steps: {len(low_steps)} entries for {len(plan)} sub-goals")

    pairs = zip(plan, low_steps, strict=True)
    kept = [(s, n) for s, n in pairs if not (isinstance(s, list) and s and s[0] in _DROPPED)]
    if not 1 <= len(kept) <= MAX_SUBGOALS:
        raise ValueError(f"key plan: {len(kept)} sub-goals, expected 1 to {MAX_SUBGOALS}")

    for subgoal, steps in kept:
        _check_subgoal(subgoal, steps)

    return AlfredPlan(
        task_type=task_type,
        scene=_get(value, "scene", str),
        trial=_get(value, "trial", str),
        subgoals=tuple(SubgoalType[subgoal[0]] for subgoal, _ in kept),
        arguments=tuple(tuple(subgoal[1:]) for subgoal, _ in kept),
        low_steps=tuple(steps for _, steps in kept),
        annotations=_annotations(value.get("annotations")),
        parameters=_parameters(value.get("params")),
    )


def _check_subgoal(subgoal: Any, steps: Any) -> None:
    if not isinstance(subgoal, list) or not subgoal or not all(isinstance(part, str) for part in subgoal):
        raise ValueError(f"key plan: {short(subgoal)} is not a list of an action and its arguments")
    if subgoal[0] not in SubgoalType.__members__:
        raise ValueError(f"key plan: action {short(subgoal[0])} is not one of {', '.join(SubgoalType.__members__)}")
    if type(steps) is not int or not 1 <= steps <= MAX_STEPS:
        raise ValueError(f"key low_steps: {short(steps)} is not an integer from 1 to {MAX_STEPS}")


def _annotations(value: Any) -> tuple[Annotation, ...]:
    """Returns the annotations with a goal sentence, with single spaces. A task may have none."""
    found = []
    for annotation in value if isinstance(value, list) else []:
        words: dict[str, Any] = annotation if isinstance(annotation, dict) else {}
        goal = words.get("goal")
        steps = words.get("steps")

        if isinstance(goal, str) and goal.strip():
            sentences = steps if isinstance(steps, list) else []
            found.append(Annotation(" ".join(goal.split()), tuple(" ".join(str(s).split()) for s in sentences)))

    return tuple(found)


def _parameters(value: Any) -> GoalParameters | None:
    if not isinstance(value, dict):
        return None

    keys = ("object_target", "parent_target", "mrecep_target", "toggle_target")
    names = [value.get(key) or "" for key in keys]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"key params: {short(value)} must hold texts under {', '.join(keys)}")

    thing, place, movable, lamp = (name.lower() for name in names)
    return GoalParameters(thing, place, movable, lamp, value.get("object_sliced") is True)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class StatisticsHeader(_Strict):
    """Where the counts come from."""

    source: str = Field(max_length=2000, description="text")
    licence: str = Field(max_length=2000, description="text")
    split: str = Field(max_length=200, description="text")
    data_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="64 hex digits")
    command: str = Field(max_length=2000, description="text")
    plans: int = Field(ge=1, le=MAX_PLANS, description="integer 1 to 1000000")
    skipped: int = Field(ge=0, le=MAX_PLANS, description="integer 0 to 1000000")


class AlfredStatistics(_Strict):
    """Counts over the expert plans of a split.

    sequences: task type -> "GotoLocation PickupObject ..." -> number of plans. steps: sub-goal type -> low-level steps
    (as text, because JSON's keys are text) -> number of sub-goals."""

    schema_version: int = Field(ge=1, le=1, description="1")
    header: StatisticsHeader
    sequences: dict[str, dict[str, int]] = Field(description="task type -> sub-goal sequence -> count")
    steps: dict[str, dict[str, int]] = Field(description="sub-goal type -> low-level steps -> count")

    @model_validator(mode="after")
    def _consistent(self) -> AlfredStatistics:
        _check_counts("sequences", self.sequences, TASK_TYPES)
        _check_counts("steps", self.steps, tuple(SubgoalType.__members__))
        used = {name for counts in self.sequences.values() for sequence in counts for name in sequence.split()}

        for name in sorted(used):
            if name not in self.steps:
                raise ValueError(f"key steps: {short(name)} occurs in sequences but has no steps; make the file again")

        for name, counts in self.steps.items():
            bad = next((k for k in counts if not re.fullmatch("[1-9][0-9]{0,4}", k) or int(k) > MAX_STEPS), None)
            if bad is not None:
                raise ValueError(f"key steps.{name}: {short(bad)} is not allowed (allowed: 1 to {MAX_STEPS})")

        total = sum(sum(counts.values()) for counts in self.sequences.values())
        if total != self.header.plans:
            raise ValueError(f"key sequences: counts add up to {total}, header.plans says {self.header.plans}")
        return self

    def task_counts(self) -> dict[str, int]:
        """Returns the number of plans per task type."""
        return {task: sum(counts.values()) for task, counts in self.sequences.items()}


def _check_counts(key: str, table: dict[str, dict[str, int]], names: tuple[str, ...]) -> None:
    for name, counts in table.items():
        if name not in names:
            raise ValueError(f"key {key}: {short(name)} is unknown (allowed: {', '.join(names)})")
        bad = next((entry for entry, count in counts.items() if not 1 <= count <= 10**9 or not entry), None)
        if bad is not None or not counts:
            raise ValueError(f"key {key}.{name}: {short(bad)} needs a count from 1 to 1000000000")

    longest = max((len(entry.split()) for counts in table.values() for entry in counts), default=0)
    if not table or longest > MAX_SUBGOALS:
        raise ValueError(f"key {key}: expected entries of 1 to {MAX_SUBGOALS} sub-goals")


def alfred_statistics(data: AlfredData, command: str = "") -> AlfredStatistics:
    """Counts sequences of sub-goals per task type and low-level steps per sub-goal type; most frequent first."""
    sequences: defaultdict[str, Counter[str]] = defaultdict(Counter)
    steps: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for plan in data.plans:
        sequences[plan.task_type][" ".join(subgoal.name for subgoal in plan.subgoals)] += 1
        for subgoal, n in zip(plan.subgoals, plan.low_steps, strict=True):
            steps[subgoal.name][n] += 1

    header = StatisticsHeader(
        source="ALFRED (https://github.com/askforalfred/alfred), expert plans, data/json_2.1.0",
        licence="counted from data under the MIT licence, (c) 2019 ALFRED",
        split=data.split,
        data_sha256=data.sha256,
        command=command or f"rarrl alfred statistics DIR --split {data.split}",
        plans=len(data.plans),
        skipped=len(data.skipped),
    )

    return AlfredStatistics(
        schema_version=1,
        header=header,
        sequences={
            task: dict(sorted(sequences[task].items(), key=lambda item: (-item[1], item[0])))
            for task in sorted(sequences)
        },
        steps={
            subgoal.name: {str(n): count for n, count in sorted(steps[subgoal.name].items())}
            for subgoal in SubgoalType
            if subgoal.name in steps
        },
    )


def save_statistics(statistics: AlfredStatistics, path: Path | str) -> None:
    """Writes the statistics, whole or not at all. Raises: InputError if the path cannot be written."""
    try:
        write_json_atomic(Path(path), statistics.model_dump())
    except OSError as error:
        raise InputError(f"ALFRED statistics: cannot write {path} ({error.strerror}); choose another path") from None


def load_statistics(path: Path | str = STATISTICS_PATH) -> AlfredStatistics:
    """Reads the shipped statistics (of the train split), or those in `path`. Raises: InputError, one line."""
    what = "ALFRED statistics"
    value = read_json(Path(path), what)
    return validated(AlfredStatistics, value, what, str(path), {"header": StatisticsHeader})


def sample_plans(statistics: AlfredStatistics, n: int, seed: int) -> list[AlfredPlan]:
    """Draws `n` plans: task types and sequences as often as counted, the steps of each sub-goal independently.

    The same statistics, n and seed give the same plans. Raises: ValueError for n < 0."""
    if n < 0:
        raise ValueError(f"sample_plans: n must be >= 0, got {n}")

    rng = np.random.default_rng(seed)
    kinds = [
        (task, tuple(SubgoalType[name] for name in sequence.split()), count)
        for task, counts in statistics.sequences.items()
        for sequence, count in counts.items()
    ]
    weights = np.array([count for _, _, count in kinds], dtype=np.float64)
    drawn = [kinds[i] for i in rng.choice(len(kinds), size=n, p=weights / weights.sum())]
    steps = _draw_steps(statistics, Counter(subgoal for _, subgoals, _ in drawn for subgoal in subgoals), rng)

    return [
        AlfredPlan(
            task_type=task,
            scene="",
            trial=f"drawn_{seed}_{i}",
            subgoals=subgoals,
            arguments=((),) * len(subgoals),
            low_steps=tuple(next(steps[subgoal]) for subgoal in subgoals),
        )
        for i, (task, subgoals, _) in enumerate(drawn)
    ]


def _draw_steps(
    statistics: AlfredStatistics, needed: Counter[SubgoalType], rng: np.random.Generator
) -> dict[SubgoalType, Iterator[int]]:
    draws: dict[SubgoalType, Iterator[int]] = {}
    for subgoal in sorted(needed):
        histogram = statistics.steps[subgoal.name]
        counts = np.array(list(histogram.values()), dtype=np.float64)
        values = np.array([int(key) for key in histogram])
        draws[subgoal] = iter(rng.choice(values, size=needed[subgoal], p=counts / counts.sum()).tolist())

    return draws
