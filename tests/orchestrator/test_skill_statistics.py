"""Counts on the robot: what they make of the maker's word, and that the file is never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rarrl.errors import InputError
from rarrl.orchestrator.skill_statistics import (
    MAX_CLASSES,
    MEMORY,
    Counts,
    SkillStatistics,
    Tried,
    priors_of,
)
from rarrl.skills.skill_set import SkillSet
from rarrl.types import StepView

PRIORS = {
    "pick": StepView("pick", failures=0.2, attempts=4.0, irreversible=0.5, seconds=5.0),
    "look": StepView("look", failures=0.1, attempts=4.0, irreversible=0.0, seconds=1.0, looks=True),
}
SODA, BOTTLE = Tried("pick", "soda"), Tried("pick", "bottle")


def test_before_anything_was_tried_the_maker_is_believed() -> None:
    statistics = SkillStatistics(PRIORS)
    assert statistics.view(SODA) == PRIORS["pick"] and statistics.view(Tried("look")) == PRIORS["look"]


def test_counts_by_hand() -> None:
    statistics = SkillStatistics(PRIORS)
    for success, lost in ((True, False), (False, False), (False, True), (True, False)):
        statistics.record(SODA, success, lost, seconds=11.0)
    view = statistics.view(SODA)
    assert view.failures == pytest.approx((0.2 * 4 + 2) / 8) and view.attempts == 8.0
    assert view.irreversible == pytest.approx((0.5 * 2 + 1) / 4)
    assert view.seconds == pytest.approx((5.0 * 2 + 44.0) / 6)
    # Another class begins as the skill is, which is worth six attempts at most.
    other = statistics.view(BOTTLE)
    assert other.failures == pytest.approx(view.failures) and other.attempts == 6.0
    assert statistics.view(Tried("look")) == PRIORS["look"]


def test_a_class_shows_where_it_differs() -> None:
    statistics = SkillStatistics(PRIORS)
    for _ in range(30):
        statistics.record(SODA, True)
        statistics.record(BOTTLE, False)
    assert statistics.view(SODA).failures < 0.15 < 0.85 < statistics.view(BOTTLE).failures


def test_old_attempts_fade() -> None:
    statistics = SkillStatistics(PRIORS)
    for _ in range(1000):
        statistics.record(SODA, True)
    assert statistics.view(SODA).attempts == pytest.approx(MEMORY + 4.0)
    for _ in range(400):
        statistics.record(SODA, False)
    assert statistics.view(SODA).failures > 0.8


def test_a_plan_as_the_orchestrator_sees_it() -> None:
    statistics = SkillStatistics(PRIORS)
    summary = statistics.summary((Tried("look"), SODA), 1, 3, 9, retries_left=1, contradicted=2)
    assert [step.name for step in summary.subgoals] == ["look", "pick"] and summary.subgoal_index == 1
    assert (summary.step, summary.horizon, summary.retries_left, summary.contradicted) == (3, 9, 1, 2)


def test_unknown_skills_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'pick'"):
        SkillStatistics(PRIORS).record(Tried("pik"), True)


def test_the_file_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "skill_statistics.json"
    first = SkillStatistics(PRIORS, path)
    first.record(SODA, False, lost=True)
    first.record(Tried("look"), True, seconds=2.5)
    first.save()
    assert SkillStatistics(PRIORS, path).view(SODA) == first.view(SODA)
    # A robot without `look` keeps its counts for the day that it has it again.
    without = SkillStatistics({"pick": PRIORS["pick"], "loook": PRIORS["look"]}, path)
    assert "did you mean 'loook'" in caplog.text
    without.record(SODA, True)
    without.save()
    assert SkillStatistics(PRIORS, path).view(Tried("look")) == first.view(Tried("look"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema_version": 2, "skills": {}}',
        '{"schema_version": 1, "skills": {}, "more": 1}',
        *(
            json.dumps({"schema_version": 1, "skills": {"pick": {name: counts}}})
            for name, counts in (
                ("soda", {"attempts": 1, "failures": 2, "lost": 0, "seconds": 1}),
                ("soda", {"attempts": -1, "failures": 0, "lost": 0, "seconds": 1}),
                ("soda", {"attempts": float("nan"), "failures": 0, "lost": 0, "seconds": 1}),
                ("soda", {"attempts": 1}),
                ("", {"attempts": 1, "failures": 0, "lost": 0, "seconds": 1}),
            )
        ),
    ],
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    path = tmp_path / "s.json"
    (tmp_path / "s.damaged.json").write_text("the last one")
    path.write_text(text)
    statistics = SkillStatistics(PRIORS, path)
    assert statistics.view(SODA) == PRIORS["pick"] and "set aside" in caplog.text
    statistics.save()
    assert (tmp_path / "s.damaged1.json").read_text() == text
    assert (tmp_path / "s.damaged.json").read_text() == "the last one"
    assert json.loads(path.read_text()) == {"schema_version": 1, "skills": {}}


def test_classes_beyond_the_limit_are_counted_for_the_skill(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    statistics = SkillStatistics(PRIORS, path)
    for number in range(MAX_CLASSES + 20):
        statistics.record(Tried("pick", f"thing {number}"), False)
    statistics.save()
    classes = json.loads(path.read_text())["skills"]["pick"]
    assert len(classes) == MAX_CLASSES + 1 and classes["*"]["attempts"] == 20.0
    assert SkillStatistics(PRIORS, path).view(Tried("pick", "new")).failures > 0.9


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Counts(attempts=1.0, failures=0.0, lost=1.0, seconds=0.0)


def test_priors_are_those_of_the_skill_file() -> None:
    skills = SkillSet.model_validate(
        {
            "skills": {
                "pour": {
                    "does": "pours",
                    "run": {"python": "m:f"},
                    "prior": {"success": 0.7, "weight": 3.0},
                    "irreversible": "always",
                    "expected_s": 8.0,
                }
            }
        }
    )
    assert priors_of(skills) == {"pour": StepView("pour", 1.0 - 0.7, 3.0, 1.0, 8.0)}
