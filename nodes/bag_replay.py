"""`rarrl replay BAG`: recorded topics through today's parts, and what they say now beside what they said then.

    recorded messages -> gate, orchestrator -> rows -> beside the recording, and beside what the bag expects

What a bag expects is an attachment: what the parts said when it was updated last. Two computers come to the same rows
but for rounding, so that a small bag is a regression test. The recording itself is followed more loosely: which of two
messages that came within the same milliseconds the gate saw first is not recorded."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rarrl.bag.reader import Bag
from rarrl.bag.rewrite import rewrite
from rarrl.config import Config, Scalar, config_from_flat
from rarrl.errors import InputError
from rarrl.strict_json import short

from . import bag_decisions, bag_gate
from .bag_decisions import Decided
from .bag_gate import Tick

EXPECTED = "rarrl/expected.json.gz"
SETTINGS = "rarrl/settings/{}.json"
MAX_JSON = 64 << 20
"""Bytes of an attachment, unpacked."""
MAX_ROWS = 5_000_000
TOLERANCE = 1e-3
"""m/s, rad/s, seconds, tokens. Far above rounding, and below what moves a robot."""
NEAR_S = 0.1
"""Seconds, two ticks of a gate at 20 Hz. A recorded command that the gate comes to within this time, rather than at the
same tick, is a matter of which message it saw first."""
PARTS = ("gate", "decisions")
TRANSITIONS = ("safety_gate_node/transition_event", "orchestrator_node/transition_event")

Row = list[Any]
"""What a part said at one moment: seconds since the recording began, then texts and numbers."""


@dataclass(frozen=True)
class Difference:
    """The first of several. at_s: since the recording began. was, now: in words."""

    at_s: float
    was: str
    now: str


@dataclass(frozen=True)
class Comparison:
    """What today's parts say beside something else. against: "recording" or "expected". moved: kinds of difference ->
    how many, such as "STOP -> PASS"."""

    part: str
    against: str
    compared: int
    different: int
    first: Difference | None = None
    moved: Mapping[str, int] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """For people."""
        what = {"gate": "ticks of the gate", "decisions": "decisions"}[self.part]
        head = f"{self.part}, against the {self.against}: {self.different} of {self.compared} {what} differ"
        if self.first is None:
            return head
        kinds = ", ".join(
            f"{kind}: {count}" for kind, count in sorted(self.moved.items(), key=lambda kind: -kind[1])[:5]
        )
        return f"{head} ({kinds}); first at {self.first.at_s:.3f} s: was {self.first.was}, is {self.first.now}"


@dataclass(frozen=True)
class Replay:
    """What came of a replay.

    Attributes:
        rows: part -> what it says now.
        comparisons: with the recording, and with what the bag expects where it says so.
        notes: what was not played, and why; what was refused.
    """

    bag: Path
    seconds: float
    rows: Mapping[str, Sequence[Row]]
    comparisons: Sequence[Comparison]
    notes: Sequence[str]

    @property
    def moved(self) -> bool:
        """Whether something is not as the bag expects, or, where it expects nothing, as it was recorded."""
        judge = "expected" if any(each.against == "expected" for each in self.comparisons) else "recording"
        return any(each.different for each in self.comparisons if each.against == judge)

    def to_json(self) -> dict[str, Any]:
        return {
            "bag": str(self.bag),
            "seconds": round(self.seconds, 3),
            "moved": self.moved,
            "comparisons": [
                {
                    "part": each.part,
                    "against": each.against,
                    "compared": each.compared,
                    "different": each.different,
                    "moved": dict(each.moved),
                    "first": None if each.first is None else vars(each.first),
                }
                for each in self.comparisons
            ],
            "notes": list(self.notes),
        }


def replay_bag(
    bag: Bag, overrides: Mapping[str, Scalar] | None = None, tolerance: float = TOLERANCE, repair: bool = False
) -> Replay:
    """Plays all parts of which the bag holds what they need.

    Args:
        bag: opened.
        overrides: settings that win over the recorded ones, such as orchestrator.policy.
        tolerance: by which numbers may differ.
        repair: what the bag expects is about to be written anew, so that it need not be readable.

    Raises: InputError for a bag of which no part can be played, or settings in it that are not allowed."""
    overrides = dict(overrides or {})
    rows: dict[str, list[Row]] = {}
    comparisons: list[Comparison] = []
    notes: list[str] = [] if bag.whole else ["the bag ends within a record, as one whose recorder was killed"]
    expected: dict[str, list[Row]] = {}
    try:
        expected = _expected(bag)
    except InputError as error:
        if not repair:
            raise
        notes.append(str(error))

    sent = "cmd_vel_gated" if any(topic.endswith("/cmd_vel_gated") for topic in bag.topics) else "cmd_vel"
    topics, missing = _topics(bag, {**bag_gate.INPUTS, sent: ""}, (TRANSITIONS[0], "mode"))
    if missing:
        notes.append(f"gate not played: {missing}")
    else:
        topics[bag_gate.SENT] = topics.pop(sent)
        ticks, refused = bag_gate.play_gate(bag, settings_of(bag, "safety_gate_node", "gate.", overrides), topics)
        rows["gate"] = [_gate_row(tick) for tick in ticks]
        comparisons.append(_with_recorded_commands(ticks, tolerance))
        if refused:
            notes.append("gate refused " + ", ".join(f"{count} x {why}" for why, count in refused.most_common(5)))

    optional = ("decision", "answer", TRANSITIONS[1])
    topics, missing = _topics(bag, {"state": bag_decisions.KIND}, optional)
    if missing:
        notes.append(f"decisions not played: {missing}")
    else:
        config = _config(settings_of(bag, "orchestrator_node", "orchestrator.", overrides))
        decided, refused_count = bag_decisions.play_decisions(bag, config, topics)
        rows["decisions"] = [_decision_row(one) for one in decided]
        comparisons.append(_with_recorded_decisions(decided, tolerance))
        if refused_count:
            notes.append(f"decisions: {refused_count} messages were refused")

    if not rows:
        raise InputError(f"replay: {bag.path} holds nothing that can be played: {'; '.join(notes)}")
    comparisons += [_compared(part, rows[part], expected[part], tolerance) for part in rows if part in expected]
    return Replay(bag.path, bag.end_s - bag.start_s, rows, comparisons, notes)


# What the parts said, as rows


def _gate_row(tick: Tick) -> Row:
    result = tick.result
    return [
        round(tick.at_s, 4),
        result.action.value,
        str(result.reason.value),
        round(result.v, 6),
        round(result.omega, 6),
    ]


def _decision_row(one: Decided) -> Row:
    decision = one.now.decision
    how = "asks a person" if decision.asks_person else "beside acting" if decision.beside else ""
    numbers = [round(number, 6) for number in (decision.deadline_s, one.now.time_left_s, one.now.tokens_left, one.lead)]
    return [round(one.at_s, 4), decision.action.label, how, *numbers]


def _compared(part: str, now: Sequence[Row], was: Sequence[Row], tolerance: float) -> Comparison:
    """Row by row: both come from the same messages, so that they belong to the same moments."""
    moved: Counter[str] = Counter()
    first: Difference | None = None
    for index in range(max(len(now), len(was))):
        mine = now[index] if index < len(now) else None
        theirs = was[index] if index < len(was) else None
        kind = _kind(theirs, mine, tolerance)
        if kind:
            moved[kind] += 1
            row = mine or theirs
            first = first or Difference(float(row[0]) if row else 0.0, _words(theirs), _words(mine))
    return Comparison(part, "expected", max(len(now), len(was)), moved.total(), first, moved)


def _kind(was: Row | None, now: Row | None, tolerance: float) -> str:
    """What kind of difference there is; "": none."""
    if was is None or now is None:
        return "one more" if was is None else "one less"
    if was[1:3] != now[1:3]:
        return f"{_name(was)} -> {_name(now)}"
    far = len(was) != len(now) or any(abs(a - b) > tolerance for a, b in zip(was[3:], now[3:], strict=True))
    return f"{_name(now)}: other numbers" if far else ""


def _name(row: Row) -> str:
    return " ".join(filter(None, row[1:3]))


def _words(row: Row | None) -> str:
    return "nothing" if row is None else f"{_name(row)} {' '.join(f'{number:.4g}' for number in row[3:])}"


# Beside the recording


def _with_recorded_commands(ticks: Sequence[Tick], tolerance: float) -> Comparison:
    """The gate's commands beside the recorded ones: stops, and speeds."""
    moved: Counter[str] = Counter()
    first: Difference | None = None
    low = high = 0
    for tick in ticks:
        while ticks[low].at_s < tick.at_s - NEAR_S:
            low += 1
        while high < len(ticks) and ticks[high].at_s <= tick.at_s + NEAR_S:
            high += 1
        near = [other.sent for other in ticks[low:high]]
        if any(all(abs(a - b) <= tolerance for a, b in zip(tick.was, sent, strict=True)) for sent in near):
            continue
        # Between two ticks nearby: the ramp of a speed that began a tick earlier or later.
        if all(
            min(sent[i] for sent in near) - tolerance <= tick.was[i] <= max(sent[i] for sent in near) + tolerance
            for i in (0, 1)
        ):
            continue
        then, now = ("stands" if not any(pair) else "moves" for pair in (tick.was, tick.sent))
        moved[f"{then} -> {now}" if then != now else "other speed"] += 1
        words = " ".join(f"{number:.4g}" for number in tick.was)
        first = first or Difference(tick.at_s, f"{then} {words}", _words(_gate_row(tick)))
    return Comparison("gate", "recording", len(ticks), moved.total(), first, moved)


def _with_recorded_decisions(decided: Sequence[Decided], tolerance: float) -> Comparison:
    moved: Counter[str] = Counter()
    first: Difference | None = None
    compared = 0
    for one in decided:
        if one.was is None:
            continue
        compared += 1
        now = _decision_row(one)
        was = _decision_row(Decided(one.at_s, one.was, one.lead, None))
        kind = _kind(was, now, tolerance)
        if kind:
            moved[kind] += 1
            first = first or Difference(one.at_s, _words(was), _words(now))
    return Comparison("decisions", "recording", compared, moved.total(), first, moved)


# What the bag says of itself: untrusted


def _topics(bag: Bag, needed: Mapping[str, str], optional: Sequence[str]) -> tuple[dict[str, str], str]:
    """Our names -> the bag's topics, and what is missing, "" if nothing is. needed: name -> its type, "": any."""
    found: dict[str, str] = {}
    for name in (*needed, *optional):
        names = [topic for topic in bag.topics if topic == f"/{name}"]
        names = names or [topic for topic in bag.topics if topic.endswith(f"/{name}")]
        if len(names) > 1:
            return {}, f"{name} is several topics: {', '.join(map(short, names[:4]))}"
        if names:
            found[name] = names[0]
        elif name in needed:
            return {}, f"no topic {name} was recorded"
        if names and needed.get(name) and bag.topics[names[0]] != needed[name]:
            return {}, f"{short(names[0])} carries {short(bag.topics[names[0]])}, needed {needed[name]}"
    return found, ""


def settings_of(bag: Bag, node: str, prefix: str, overrides: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """A node's settings as they were recorded, all others as today's defaults; `overrides` win. Raises: InputError."""
    text = bag.attachments.get(SETTINGS.format(node), b"{}")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(
        isinstance(value, bool | int | float | str) for value in values.values()
    ):
        raise InputError(f"replay: {bag.path}: the settings of {node} in it are no settings")
    own = {name: value for name, value in overrides.items() if name.startswith(prefix)}
    for name in PLAIN:
        value = values.get(name)
        if isinstance(value, str) and name not in own and not PLAIN[name].fullmatch(value):
            raise InputError(
                f"replay: {bag.path} was recorded with {name} {short(value)}; a bag is not to say which file or code "
                f"is loaded: name it on the command line"
            )
    return {**values, **own}


PLAIN = {
    "orchestrator.policy": re.compile(r"[a-z_]+(:\{[^\r\n]*\})?"),
    "orchestrator.profile": re.compile(r"[\w-]+"),
    "orchestrator.abstain": re.compile(r""),
}
"""Settings that may name files or code -> what a bag may say: names of what is shipped."""


def _config(settings: Mapping[str, Scalar]) -> Config:
    """Of the orchestrator. Raises: InputError."""
    used = ("orchestrator.", "executive.skills", "language_model.call_timeout_s")
    return config_from_flat({name: value for name, value in settings.items() if name.startswith(used)}, "the bag")


def _expected(bag: Bag) -> dict[str, list[Row]]:
    """What the bag expects the parts to say; {} where it does not. Raises: InputError."""
    packed = bag.attachments.get(EXPECTED)
    if packed is None:
        return {}
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        rows = json.loads(unpacker.decompress(packed, MAX_JSON))
    except (ValueError, zlib.error, RecursionError):
        rows = None
    if not isinstance(rows, dict) or not all(part in PARTS and _are_rows(rows[part]) for part in rows):
        raise InputError(f"replay: what {bag.path} expects cannot be read; make it anew with --update")
    return rows


def _are_rows(rows: object) -> bool:
    if not isinstance(rows, list) or len(rows) > MAX_ROWS:
        return False
    return all(
        isinstance(row, list)
        and 3 <= len(row) <= 10
        and all(isinstance(text, str) for text in row[1:3])
        and all(isinstance(number, int | float) for number in (row[0], *row[3:]))
        for row in rows
    )


def packed(rows: Mapping[str, Sequence[Row]]) -> bytes:
    """`rows` as the attachment that holds what a bag expects; the same for the same rows."""
    return gzip.compress(json.dumps(rows, separators=(",", ":"), allow_nan=False).encode(), mtime=0)


def update(bag: Bag, replay: Replay, path: Path | None = None) -> None:
    """Makes the bag expect what `replay` says.

    Args:
        path: a new MCAP file instead, with the topics alone that a replay plays; None: the bag's own file, which keeps
            all that it holds.

    Raises: InputError where it cannot be written, or is no single MCAP file."""
    expected = {EXPECTED: packed(replay.rows)}
    if path is None:
        rewrite(bag, bag.files[0], expected)
        return
    if path.exists():
        raise InputError(f"replay: {path} exists; name a new file")
    ends = (*bag_gate.INPUTS, "cmd_vel", "cmd_vel_gated", "mode", "state", "decision", "answer", *TRANSITIONS)
    rewrite(bag, path, expected, [topic for topic in bag.topics if topic.endswith(tuple(f"/{end}" for end in ends))])
