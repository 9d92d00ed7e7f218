"""Recording: every call real, none lost or doubled when killed; the file gives back what was recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rarrl.alfred import is_development
from rarrl.alfred_plans import alfred_plan
from rarrl.errors import InputError, RarrlError
from rarrl.latency.profile import load_profile, save_profile, shareable
from rarrl.latency.replay import ReplayTable
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.breaker import GuardedReasoner
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.types import CallStatus, Role
from rarrl_learning.latency.jobs import answer_tables, show_profile
from rarrl_learning.reasoner.record import (
    DOWN_WAITS_S,
    Journal,
    RecordConfig,
    RecordedTask,
    Recorder,
    choose_tasks,
    common_reasons,
    few_answered,
    journal_of,
    make_header,
    record_profile,
    shipped_tasks,
)

RIGHT = [["GotoLocation", "table"], ["PickupObject", "mug"], ["GotoLocation", "shelf"], ["PutObject", "mug", "shelf"]]
WRONG = Plan.from_rows([["PickupObject", "cup"], ["PutObject", "cup", "shelf"]])


def entry(trial: str, goal: str, plan: list[list[str]] = RIGHT) -> dict:
    return {
        "task_type": "pick_and_place_simple",
        "scene": "FloorPlan1",
        "trial": trial,
        "plan": plan,
        "low_steps": [9, 1, 4, 1],
        "annotations": [{"goal": goal, "steps": []}, {"goal": goal + " please", "steps": []}],
    }


@pytest.fixture(scope="module")
def alfred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alfred")
    cup = [["GotoLocation", "table"], ["PickupObject", "cup"], ["GotoLocation", "shelf"], ["PutObject", "cup", "shelf"]]
    train = [entry(f"trial_{i}", f"put the mug number {i} on the shelf") for i in range(40)]
    train.append(entry("trial_x", "place a cup onto the shelf", cup))
    (folder / "alfred_train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in train))
    seen = [entry("trial_seen", "place a cup or mug on the shelf now")]
    (folder / "alfred_valid_seen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in seen))
    return folder


class Scripted:
    """Level 1 plans with a cup, level 2 with the expert's mug; the verifier finds cups wrong. `dies_after` calls."""

    name = "scripted"

    def __init__(self, dies_after: int = 10**9, fails: CallStatus | None = None) -> None:
        self.asked: list[Request] = []
        self.dies_after, self.fails = dies_after, fails

    def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        if len(self.asked) > self.dies_after:
            raise KeyboardInterrupt
        common = {"decision": request.decision, "role": request.role, "level": request.level, "backend": self.name}
        if self.fails is not None:
            return Answer(**common, status=self.fails, seconds=0.5)
        common |= {"status": CallStatus.OK, "seconds": 0.25 * request.level, "tokens_in": 20, "tokens_out": 9}
        if request.role is Role.PLANNER:
            plan = WRONG if request.level == 1 else alfred_plan(RIGHT)
            return Answer(**common, plan=plan, confidence=-0.25 / request.level, ttft_s=0.1)
        assert request.plan is not None
        ok = "cup" not in str(request.plan)
        verdict = Verdict(ok, None if ok else Fault.OBJECT, 0.9 if ok else 0.2)
        return Answer(**common, verdict=verdict, confidence=-0.01)

    def close(self) -> None:
        pass


CONFIG = RecordConfig("scripted", "valid_seen", n=2)


def record(reasoner: Scripted, tasks: list[RecordedTask], journal: Path):  # type: ignore[no-untyped-def]
    header = make_header("mine", reasoner.name, CONFIG)
    return record_profile(reasoner, tasks, CONFIG, header, journal, "0" * 64)


def test_the_tasks_of_train_are_those_that_were_not_taught(alfred: Path) -> None:
    tasks, _ = choose_tasks(alfred, RecordConfig("x", "train", n=1000))
    assert tasks and all(is_development(task.source) for task in tasks)
    assert len({(t.source.trial, t.annotation) for t in tasks}) == len(tasks)
    again, _ = choose_tasks(alfred, RecordConfig("x", "train", n=2))
    assert again == tasks[:2], "more tasks begin with the fewer ones"
    with pytest.raises(InputError, match="no split 'valid_unseen'"):
        choose_tasks(alfred, RecordConfig("x", "valid_unseen"))


def test_what_is_known_of_a_home_is_from_other_trials(alfred: Path) -> None:
    tasks, _ = choose_tasks(alfred, RecordConfig("x", "train", n=1000))
    own = next((task for task in tasks if task.source.trial == "trial_x"), None)
    assert all("mug" in task.home for task in tasks) and (own is None or "cup" not in own.home)


def test_what_is_recorded_by_hand(alfred: Path, tmp_path: Path) -> None:
    tasks, _ = choose_tasks(alfred, CONFIG)
    reasoner = Scripted()
    profile = record(reasoner, tasks, tmp_path / "j")
    assert profile.tasks is not None and profile.plans is not None and profile.records is not None
    assert [task.default_correct for task in profile.tasks] == [False, False], "the nearest goal is the cup's"
    first = [r for r in profile.records if r.task == 0]
    # the default plan and planner 1's are the same cup plan: judged once per level
    assert [(r.role, r.level, r.correct, r.verdict) for r in first] == [
        ("planner", 1, False, None),
        ("planner", 2, True, None),
        ("verifier", 1, True, False),
        ("verifier", 2, True, False),
        ("verifier", 1, True, True),
        ("verifier", 2, True, True),
    ]
    assert profile.plans[first[1].plan] == (("PickupObject", "mug"), ("PutObject", "mug", "shelf"))
    assert (first[0].confidence, first[0].ttft_s, first[0].total_s) == (-0.25, 0.1, 0.25)
    assert (first[2].fault, first[2].p_ok, first[2].ttft_s) == ("wrong object", 0.2, 0.25)
    assert len(reasoner.asked) == 1 + 12, "a warm-up call, then six a task"
    met = ("cup", "mug", "shelf", "table")  # in the train split's tasks of the same FloorPlan1
    assert {request.scene for request in reasoner.asked[1:]} == {met} and profile.homes == (met,)
    assert [task.home for task in profile.tasks] == [0, 0]
    save_profile(profile, tmp_path / "mine.json")
    assert load_profile(tmp_path / "mine.json") == profile
    assert "please" not in (tmp_path / "mine.json").read_text(), "no annotator's sentence"
    assert ReplayTable.from_profile(profile).correct[:, 0].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("dies_after", [1, 2, 4, 7, 11])
def test_a_killed_recording_goes_on_without_a_call_lost_or_doubled(
    alfred: Path, tmp_path: Path, dies_after: int
) -> None:
    tasks, _ = choose_tasks(alfred, CONFIG)
    whole = record(Scripted(), tasks, tmp_path / "whole")
    killed = Scripted(dies_after)
    with pytest.raises(KeyboardInterrupt):
        record(killed, tasks, tmp_path / "j")
    with (tmp_path / "j").open("a") as stream:
        stream.write('{"key": "0 planner')  # the kill came while a line was written
    second = Scripted()
    assert record(second, tasks, tmp_path / "j") == whole
    assert len(killed.asked) - 2 + len(second.asked) - 1 == 12, "less warm-ups and the killed call"
    third = Scripted()
    assert record(third, tasks, tmp_path / "j") == whole and third.asked == []


def test_a_journal_of_another_recording_is_refused(alfred: Path, tmp_path: Path) -> None:
    tasks, _ = choose_tasks(alfred, CONFIG)
    record(Scripted(), tasks, tmp_path / "j")
    other = RecordConfig("scripted", "valid_seen", n=2, seed=1)
    with pytest.raises(InputError, match=r"belongs to another recording \(seed was 0, is 1\)"):
        record_profile(Scripted(), tasks, other, make_header("m", "s", other), tmp_path / "j", "0" * 64)


def test_a_backend_that_is_down_ends_the_recording(
    alfred: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, _ = choose_tasks(alfred, CONFIG)
    monkeypatch.setattr("rarrl_learning.reasoner.record.DOWN_WAITS_S", (0.0, 0.0))
    with pytest.raises(RarrlError, match="scripted is down"):
        record(Scripted(fails=CallStatus.BACKEND_DOWN), tasks, tmp_path / "j")


def test_calls_without_an_answer_are_kept_as_such(alfred: Path, tmp_path: Path) -> None:
    tasks, _ = choose_tasks(alfred, CONFIG)
    for status, finish in (
        (CallStatus.TIMEOUT, "timeout"),
        (CallStatus.BUDGET, "length"),
        (CallStatus.INVALID, "error"),
        (CallStatus.REFUSED, "refused"),
    ):
        profile = record(Scripted(fails=status), tasks, tmp_path / finish)
        assert {(r.finish, r.correct, r.total_s) for r in profile.records or ()} == {(finish, None, 0.5)}
        save_profile(profile, tmp_path / f"{finish}.json")
        assert not ReplayTable.from_profile(load_profile(tmp_path / f"{finish}.json")).ok.any()


def test_a_backend_that_restarts_is_waited_for(alfred: Path, tmp_path: Path) -> None:
    tasks, _ = choose_tasks(alfred, CONFIG)
    reasoner = Scripted(fails=CallStatus.BACKEND_DOWN)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            reasoner.fails = None

    with Journal(tmp_path / "j", {}) as journal:
        answers = list(Recorder(reasoner, tasks, CONFIG, journal, sleep).answers(0))
    assert waits == list(DOWN_WAITS_S[:2])
    assert [answer["finish"] for answer in answers] == ["stop"] * 6


@pytest.mark.parametrize("status", [CallStatus.TIMEOUT, CallStatus.INVALID])
def test_a_model_that_always_fails_is_recorded_to_the_end(alfred: Path, tmp_path: Path, status: CallStatus) -> None:
    tasks, _ = choose_tasks(alfred, CONFIG)
    guarded = GuardedReasoner(Scripted(fails=status))
    profile = record_profile(guarded, tasks, CONFIG, make_header("m", "s", CONFIG), tmp_path / "j", "0" * 64)
    assert len(profile.records or ()) == 8, "two planners and the verifier twice on the default plan, for two tasks"


def test_a_model_that_answered_too_seldom_is_warned_of(alfred: Path, tmp_path: Path) -> None:
    tasks, _ = choose_tasks(alfred, CONFIG)
    config = replace(CONFIG, roles=(Role.PLANNER,), levels=(1,))

    def recorded(times: int, reasoner: Scripted) -> str:
        header = make_header("m", "s", config)
        profile = record_profile(reasoner, tasks * times, config, header, tmp_path / f"{times}", "0" * 64)
        return few_answered(profile)

    words = "calls of planner 1 were answered (wanted: at least 50 and half of all); do not rely on this profile"
    assert recorded(1, Scripted()) == f"only 2 of 2 {words}"
    assert recorded(2, Scripted(fails=CallStatus.INVALID)) == f"only 0 of 4 {words}"
    assert recorded(25, Scripted()) == ""


def test_the_journal_tells_why_a_call_had_no_answer(alfred: Path, tmp_path: Path) -> None:
    tasks, _ = choose_tasks(alfred, CONFIG)

    class Refusing(Scripted):
        def ask(self, request: Request) -> Answer:
            if request.role is Role.VERIFIER:
                return super().ask(request)
            empty_handed = Plan.from_rows([["PutObject", "cup", "shelf"]])
            return replace(super().ask(request), plan=empty_handed, text="put it there")

    journal = journal_of(tmp_path / "mine.json")
    guarded = GuardedReasoner(Refusing())
    profile = record_profile(guarded, tasks, CONFIG, make_header("m", "s", CONFIG), journal, "0" * 64)
    assert [r.finish for r in profile.records or () if r.role == "planner"] == ["refused"] * 4
    line = json.loads(journal.read_text().splitlines()[1])
    assert (line["status"], line["text"]) == ("REFUSED", "put it there")
    assert "holds nothing" in line["why"]
    assert common_reasons(journal) == [f"4 x REFUSED: {line['why']}"]
    assert (journal.name, "put it there" in str(profile)) == ("mine.calls.jsonl", False)


def test_more_goals_are_added_to_a_recording(alfred: Path, tmp_path: Path) -> None:
    few, many = RecordConfig("scripted", "valid_seen", n=1), CONFIG
    tasks, _ = choose_tasks(alfred, many)
    record_profile(Scripted(), tasks[:1], few, make_header("m", "s", few), tmp_path / "j", "0" * 64)
    second = Scripted()
    profile = record_profile(second, tasks, many, make_header("m", "s", many), tmp_path / "j", "0" * 64)
    assert profile == record_profile(Scripted(), tasks, many, make_header("m", "s", many), tmp_path / "k", "0" * 64)
    assert len(second.asked) == 1 + 6, "the second task alone"


@pytest.mark.parametrize(
    "name, shown",
    [
        ("openai:http://10.0.0.5:8080/v1#qwen3", "openai:URL#qwen3"),
        ("openai:https://user:secret@llm.example.org/v1#org/model", "openai:URL#org/model"),
        ("openai:HTTP://[::1]:8080#m", "openai:URL#m"),
        ("llama:SmolLM2", "llama:SmolLM2"),
        ("mine.module:Class", "mine.module:Class"),
    ],
)
def test_a_profile_does_not_tell_where_the_server_is(name: str, shown: str) -> None:
    assert shareable(name) == shown
    header = make_header("mine", name, CONFIG)
    assert header.model == shown and f"--llm {shown} " in header.command


def test_a_short_recording_needs_no_data_set() -> None:
    tasks, _ = shipped_tasks(RecordConfig("x", "household_tasks", n=500))
    few, _ = shipped_tasks(RecordConfig("x", "household_tasks", n=3))
    assert (len(tasks), few) == (103, tasks[:3])
    right = sum(task.default.plan == task.expert for task in tasks)
    assert 0 < right < 60, "the default plans are those of a robot that knows ALFRED alone"


def test_the_tables_of_answers_by_hand(alfred: Path, tmp_path: Path) -> None:
    tasks, _ = choose_tasks(alfred, CONFIG)
    profile = record(Scripted(), tasks, tmp_path / "j")
    save_profile(profile, tmp_path / "mine.json")
    assert [row.right for row in show_profile(tmp_path / "mine.json")] == [0.0, 1.0, 1.0, 1.0]
    tables = {table.title: table.rows for table in answer_tables(profile)}
    assert tables["Right answers by task type"] == [
        ("pick_and_place_simple", "0.0 %", "0.0 %", "100.0 %", "100.0 %", "100.0 %")
    ]
    assert tables["Planner's confidence: mean probability a token, and how often the plan is right"] == [
        ("planner, level 1", "2", "0.779", "0.0 %"),
        ("planner, level 2", "2", "0.882", "100.0 %"),
    ]
    assert tables["Verifier's probability of ok, and how often the plan is right"] == [
        ("verifier, level 1", "2", "0.200", "0.0 %"),
        ("verifier, level 1", "2", "0.900", "100.0 %"),
        ("verifier, level 2", "2", "0.200", "0.0 %"),
        ("verifier, level 2", "2", "0.900", "100.0 %"),
    ]
    assert list(answer_tables(load_profile("groq-70b"))) == []
