"""What a robot has met in its home: looked up by level 2, and nowhere else."""

import json
import math
from dataclasses import dataclass, field

import pytest

from rarrl.alfred import AlfredPlan
from rarrl.alfred import SubgoalType as T
from rarrl.errors import InputError
from rarrl.reasoner import deliberate
from rarrl.reasoner import prompt as p
from rarrl.reasoner.base import Request
from rarrl.reasoner.home import read_home
from rarrl.reasoner.language_model import Completion
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.types import Role
from rarrl_learning.reasoner.curriculum import homes

MUG = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "shelf"]])
CUP = Plan.from_rows([["PickupObject", "cup"], ["PutObject", "cup", "shelf"]])


def task(trial, scene, *names):
    return AlfredPlan(
        "pick_and_place_simple", scene, trial, (T.PickupObject,) * len(names), tuple((n,) for n in names), ()
    )


def test_a_home_is_what_was_met_there_in_other_trials():
    known = [task("a", "Kitchen", "mug"), task("b", "Kitchen", "pan", "egg"), task("c", "Bedroom", "book")]
    asked = [task("b", "Kitchen", "pan", "egg"), task("d", "Kitchen", "fork"), task("e", "Cellar", "box")]
    assert homes(asked, known) == [("mug",), ("egg", "mug", "pan"), ()]


def test_a_schema_of_a_home_names_nothing_else():
    text = str(p.schema(Role.PLANNER, 1, ("mug", "shelf")))
    assert "'mug'" in text and "'shelf'" in text and "'cup'" not in text and "ToggleObject" not in text  # no lamp there
    assert p.schema(Role.PLANNER, 1) == p.schema(Role.PLANNER, 1, ())


def test_what_is_missing_counts_once_and_only_in_a_known_home():
    assert deliberate.missing(CUP, ("mug", "shelf")) == 1
    assert deliberate.missing(MUG, ("mug", "shelf")) == deliberate.missing(CUP, ()) == 0


@dataclass
class Scripted:
    """A language model at the edge of the test: likes the cup, but writes what the schema lets it."""

    schemas: list = field(default_factory=list)
    deadline: float = math.inf

    def complete(self, prompt, *, schema=None, **_):
        self.schemas.append(str(schema))
        if "ok" in self.schemas[-1] and "plan" not in self.schemas[-1]:
            text = p.verdict_json(Verdict(True), "put a cup on the shelf" if "achieves" in self.schemas[-1] else None)
        else:
            text = p.plan_json(CUP if "'cup'" in self.schemas[-1] else MUG)
        return Completion(text, 9, 9, 0.0, -0.1, -0.1)

    def score(self, prompt, texts):
        likely = {p.plan_json(CUP) + p.END: -0.1, p.plan_json(MUG) + p.END: -2.0}
        return [likely.get(text, -40.0 if text.startswith('{"plan') else -1.0) for text in texts]


@pytest.mark.parametrize(
    ("level", "home", "plan"), [(1, ("mug", "shelf"), CUP), (2, ("mug", "shelf"), MUG), (2, (), CUP)]
)
def test_level_2_writes_of_what_there_is(level, home, plan):
    request = Request(1, Role.PLANNER, level, "put the cup on the shelf", 5.0, scene=home)
    assert deliberate.carry_out(request, Scripted()).result == plan


def test_of_a_home_that_was_only_looked_around_in_the_furniture_is_known():
    text = str(p.schema(Role.PLANNER, 1, ("shelf", "desklamp")))
    assert all(name in text for name in ("'mug'", "'shelf'", "'floorlamp'", "'box'")) and "'sofa'" not in text
    assert p.schema(Role.PLANNER, 1, ("desklamp",)) == p.schema(Role.PLANNER, 1)

    assert deliberate.missing(MUG, ("shelf", "desk")) == 0
    assert deliberate.missing(MUG, ("desk",)) == 1


def test_a_home_is_read_from_a_file(tmp_path):
    path = tmp_path / "home.json"
    path.write_text(json.dumps({"shelf": ["mug", "mug"], "desk": [], "fridge": ["egg"]}))
    assert read_home(path) == ("desk", "egg", "fridge", "mug", "shelf")


@pytest.mark.parametrize(
    ("met", "message"),
    [
        (["mug"], "expected"),
        ({"shelf": "mug"}, "expected"),
        ({"shelf": ["mugg"]}, "did you mean 'mug'"),
        ({"shelf": [7]}, "7 is no thing, place"),
        ({"shelf": []}, "names no thing to carry"),
        ({}, "names no thing to carry"),
    ],
)
def test_a_bad_home_is_refused(met, message, tmp_path):
    path = tmp_path / "home.json"
    path.write_text(json.dumps(met))
    with pytest.raises(InputError, match=message):
        read_home(path)
