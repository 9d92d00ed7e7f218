"""Recording a language model on sentences of a robot's own."""

import json

import pytest

from rarrl.errors import InputError
from rarrl.latency.profile import load_profile, save_profile
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Verdict
from rarrl.skills.domain import Domain, load_robot
from rarrl.types import CallStatus, Role
from rarrl_learning.reasoner.record import RecordConfig
from rarrl_learning.reasoner.record_skills import drawn_missions, record_skills, skills_header
from rarrl_learning.reasoner.skill_goals import Outcomes


@pytest.fixture(scope="module")
def missions():
    return drawn_missions(load_robot("pyrobosim"), 8, 0)


class Knowing:
    """Writes the right plan of every other mission and the one before of the others; calls all plans ok."""

    name = "llama:knowing.gguf"

    def __init__(self, missions):
        self.numbers = {mission.say: number for number, mission in enumerate(missions)}
        self.missions, self.calls = missions, 0

    def ask(self, request):
        self.calls += 1
        number = self.numbers[request.goal]
        fields = {"plan": self.missions[number - number % 2].right}
        if request.role is Role.VERIFIER:
            fields = {"verdict": Verdict(True)}
        return Answer(
            request.decision, request.role, request.level, CallStatus.OK, 0.5, self.name, 100, 9, ttft_s=0.1, **fields
        )


def test_missions_are_other_sentences_than_the_examples_that_are_shown(missions):
    for mission in missions:
        assert not mission.domain.check(mission.right)
        assert mission.say not in {example.say for example in mission.domain.skills.examples}
        assert len(mission.domain.skills.examples) == len(load_robot("pyrobosim").skills.examples) - 1
    assert len({mission.say for mission in missions}) == 8
    assert [each.say for each in drawn_missions(load_robot("pyrobosim"), 4, 0)] == [each.say for each in missions[:4]]


def test_a_file_with_one_example_cannot_be_recorded():
    robot = load_robot("pyrobosim")
    alone = robot.skills.model_copy(update={"examples": robot.skills.examples[:1]})
    with pytest.raises(InputError, match="at least two examples"):
        drawn_missions(Domain(alone, robot.made, robot.policy), 5, 0)


def test_a_recording_is_a_profile_that_goes_on_where_it_was(tmp_path, missions):
    config = RecordConfig("llama:knowing.gguf", "skills", len(missions))
    header = skills_header("mine", "llama:knowing.gguf", "robot", config)
    reasoner = Knowing(missions)
    profile = record_skills(reasoner, missions, config, header, tmp_path / "mine.calls.jsonl")
    save_profile(profile, tmp_path / "mine.json")
    assert load_profile(str(tmp_path / "mine.json")) == profile

    planned = [record for record in profile.records if record.role == "planner" and record.level == 1]
    outcomes = Outcomes(load_robot("pyrobosim"))
    expected = [outcomes.same(missions[n - n % 2].right, mission.right) for n, mission in enumerate(missions)]
    assert [record.correct for record in planned] == expected and any(expected) and not all(expected)

    made = reasoner.calls
    assert record_skills(reasoner, missions, config, header, tmp_path / "mine.calls.jsonl") == profile
    assert reasoner.calls == made
    first = json.loads((tmp_path / "mine.calls.jsonl").read_text().splitlines()[1])
    assert set(first) == {"key", "answer", "status", "why", "text"}
