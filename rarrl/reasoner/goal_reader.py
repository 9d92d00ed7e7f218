"""Reads what a goal sentence asks for: type of the task, thing, place ... by the words and letters in it.

A second opinion beside the shipped planner, which writes plans word by word and knows no homes. The sentence is a bag
of hashed n-grams: an embedding of each, their mean, one hidden layer, and a softmax for each field; as fastText (Joulin
et al., "Bag of tricks for efficient text classification", EACL 2017) with a hidden layer. What is in the home adds to
the evidence for each value: where a floor lamp was seen, "the lamp" is one. It runs on numpy, within two
milliseconds."""

from __future__ import annotations

import itertools
import json
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from rarrl.alfred import GoalParameters
from rarrl.alfred_plans import KNIVES
from rarrl.errors import InputError
from rarrl.files import read_file, sha256
from rarrl.reasoner.plan import Plan
from rarrl.reasoner.prompt import clean
from rarrl.reasoner.vocabulary import ALFRED
from rarrl.strict_json import read_json

WEIGHTS = Path(__file__).resolve().parents[1] / "models" / "goal_reader" / "goal_reader.safetensors"
"""The reader that comes with the package."""
FIELDS = ("task_type", "object", "place", "movable", "lamp", "sliced")
"""What is read, in ALFRED's words; "" where a task has none."""
LIKELIEST = 4
"""Values of each field that plans are made of."""
_LETTERS = (3, 4, 5)
"""Lengths of the pieces of words, in letters; the ends of a word count as one each."""
CLASSES = tuple(sorted({*ALFRED.known.objects, *ALFRED.known.lamps}))
"""Things that may be seen in a home, in the order of `presence`."""
_TREATMENTS = {
    "pick_clean_then_place_in_recep": "CleanObject",
    "pick_heat_then_place_in_recep": "HeatObject",
    "pick_cool_then_place_in_recep": "CoolObject",
}

_KINDS = {verb: kind for kind, verb in _TREATMENTS.items()}

Goal = tuple[str, ...]
"""A value for each of `FIELDS`."""


def ngrams(sentence: str, buckets: int) -> list[int]:
    """Returns the bucket of each n-gram of a sentence, each n-gram once: of one to three words, of three to five
    letters."""
    words = re.findall("[a-z0-9]+", clean(sentence))
    pieces = [" ".join(words[at : at + n]) + f"/{n}" for n in (1, 2, 3) for at in range(len(words) - n + 1)]
    for word in words:
        whole = f"<{word}>"
        pieces += [whole[at : at + n] for n in _LETTERS for at in range(len(whole) - n + 1)]
    return [zlib.crc32(piece.encode()) % buckets for piece in dict.fromkeys(pieces)]


def presence(home: Iterable[str]) -> np.ndarray:
    """Returns which things were seen in a home, (1 + classes,) float32: whether any was, and for each class whether it
    was. All 0 where none was. Furniture is not among them: weights for it would know homes by heart."""
    there = frozenset(home) & frozenset(CLASSES)
    return np.array([bool(there), *(name in there for name in CLASSES)], np.float32)


def plan_of(goal: Goal) -> Plan:
    """The plan that reaches a goal, step by step as ALFRED's experts do it.

    >>> str(plan_of(("pick_heat_then_place_in_recep", "mug", "desk", "", "", "False")))
    'PickupObject(mug); HeatObject(mug); PutObject(mug, desk)'
    """
    kind, thing, place, movable, lamp, sliced = goal
    rows = [["PickupObject", thing]]
    if kind == "look_at_obj_in_light":
        rows.append(["ToggleObject", lamp])
    elif kind == "pick_and_place_with_movable_recep":
        rows += [["PutObject", thing, movable], ["PickupObject", movable], ["PutObject", movable, place]]
    else:
        rows += [[_TREATMENTS[kind], thing]] if kind in _TREATMENTS else []
        rows.append(["PutObject", thing, place])
        rows *= 2 if kind == "pick_two_obj_and_place" else 1
    if sliced == "True":
        rows = [["PickupObject", "knife"], ["SliceObject", thing], ["PutObject", "knife", "countertop"], *rows]
    return Plan.from_rows(rows)


def achieved(plan: Plan) -> tuple[str, GoalParameters]:
    """Task type and goal parameters that a plan amounts to."""
    sliced = any(step.skill == "SliceObject" for step in plan.steps)
    steps = [step for step in plan.steps if not (sliced and step.arguments[0] in KNIVES)]
    puts = [(s.arguments[0], s.arguments[-1]) for s in steps if s.skill == "PutObject"]
    first = next((step.arguments[0] for step in steps), "")

    for step in steps:
        if step.skill == "ToggleObject":
            thing = next((s.arguments[0] for s in steps if s.skill == "PickupObject"), "")
            return "look_at_obj_in_light", GoalParameters(thing, "", "", step.arguments[0], sliced)

    for step in steps:
        if step.skill in _KINDS:
            thing = step.arguments[0]
            place = next((where for what, where in reversed(puts) if what == thing), "")
            return _KINDS[step.skill], GoalParameters(thing, place, "", "", sliced)

    carried = dict(puts)
    for what, where in puts:
        if where in carried and where != what:
            parameters = GoalParameters(what, carried[where], where, "", sliced)
            return "pick_and_place_with_movable_recep", parameters

    kind = "pick_two_obj_and_place" if len(puts) > 1 and len(carried) == 1 else "pick_and_place_simple"
    return kind, GoalParameters(puts[-1][0] if puts else first, puts[-1][1] if puts else "", "", "", sliced)


def fields(task_type: str, parameters: GoalParameters) -> tuple[str | bool, ...]:
    """In the order of FIELDS."""
    return (
        task_type,
        parameters.object,
        parameters.place,
        parameters.movable,
        parameters.lamp,
        parameters.sliced,
    )


def goal_of(plan: Plan) -> Goal:
    """What a plan amounts to, a text for each of `FIELDS`."""
    return tuple(map(str, fields(*achieved(plan))))


def is_whole(goal: Goal) -> bool:
    """Whether a goal has the fields of its type and no others."""
    kind, thing, place, movable, lamp, _ = goal
    lights = kind == "look_at_obj_in_light"
    carries = kind == "pick_and_place_with_movable_recep"
    return bool(thing) and bool(lamp) == lights and bool(place) != lights and bool(movable) == carries


@dataclass(frozen=True)
class GoalReader:
    """The reader. values: of each of `FIELDS`, the values that it knows. embedding: (buckets, width) int8. scale:
    (buckets,) float32. layers: name -> weights, float32; FIELD.home: (values, 1 + classes), see `presence`."""

    values: tuple[tuple[str, ...], ...]
    embedding: np.ndarray
    scale: np.ndarray
    layers: dict[str, np.ndarray]

    def read(self, sentence: str, home: Iterable[str] = ()) -> list[np.ndarray]:
        """Returns the log-probability of each value, an array for each of `FIELDS`.

        home: classes of what the robot knows to be there; () where it knows nothing."""
        ids = ngrams(sentence, len(self.embedding)) or [0]
        x = (self.embedding[ids] * self.scale[ids, None]).sum(0) / np.sqrt(len(ids))
        hidden = np.maximum(self.layers["hidden.weight"] @ x + self.layers["hidden.bias"], 0.0)
        both = np.concatenate([hidden, x])
        there = presence(home)
        return [
            _log_softmax(
                self.layers[f"{field}.weight"] @ both
                + self.layers[f"{field}.bias"]
                + self.layers[f"{field}.home"] @ there
            )
            for field in FIELDS
        ]

    def goals(self, read: Sequence[np.ndarray], n: int) -> list[Goal]:
        """The `n` likeliest goals of what `read` gave, the likeliest first."""
        likely = [np.argsort(-field, kind="stable")[:LIKELIEST] for field in read]
        found = []
        for ids in itertools.product(*likely):
            goal = tuple(self.values[at][i] for at, i in enumerate(ids))
            if is_whole(goal):
                found.append((float(sum(field[i] for field, i in zip(read, ids, strict=True))), goal))
        return [goal for _, goal in sorted(found, key=lambda pair: (-pair[0], pair[1]))[:n]]

    def nats(self, read: Sequence[np.ndarray], goal: Goal) -> float:
        """The log-probability of a goal; a value that the reader does not know is as likely as its least likely one."""
        total = 0.0
        for field, values, value in zip(read, self.values, goal, strict=True):
            total += float(field[values.index(value)] if value in values else field.min())
        return total


def load_goal_reader(path: Path = WEIGHTS) -> GoalReader:
    """Reads the weights that `python -m rarrl_learning.reasoner.train_goal_reader` writes; a file whose hash is not
    that in its card is refused. Raises: InputError."""
    data = read_file(path, "goal reader")
    card = path.with_name("card.json")
    if card.is_file():
        value = read_json(card, "goal reader")
        files = value.get("files") if isinstance(value, dict) else None
        expected = files.get(path.name) if isinstance(files, dict) else None
        if expected != sha256(data):
            raise InputError(f"goal reader: {path} is not the file that {card.name} describes; install rarrl again")
    try:
        with safe_open(path, "numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            values = json.loads((file.metadata() or {})["values"])
        for name, array in tensors.items():
            if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite numbers")
        reader = GoalReader(
            tuple(tuple(values[field]) for field in FIELDS),
            tensors.pop("embedding"),
            tensors.pop("scale"),
            tensors,
        )
        reader.read("put a mug on the desk")
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"goal reader: {path} holds no weights of it ({error!r:.80}); install rarrl again") from None
    return reader


@lru_cache(maxsize=1)
def shipped_goal_reader() -> GoalReader:
    """The reader that comes with the package. Raises: InputError."""
    return load_goal_reader()


def _log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))
