"""The run log: what is written comes back, and a bad line is told in one line."""

import json

import pytest

from rarrl.alfred import STEP_VIEWS
from rarrl.errors import InputError
from rarrl.events import (
    ActEvent,
    EndEvent,
    EpisodeEvent,
    EventWriter,
    RunEvent,
    ShockEvent,
    ThinkEvent,
    facts_of,
    read_events,
    steps_of,
    to_line,
)
from rarrl.types import ActStatus, CallStatus, Role, StepView

RUN = RunEvent(policy="always", profile="groq-70b", seed=3, speed=20.0, date="2025-01-01T00:00:00", source="graph")
EVENTS = (
    EpisodeEvent(
        episode=0,
        category="Delivery",
        task_type="pick_and_place_simple",
        goal="Put a plate on the – table",
        subgoals=("GotoLocation", "PickupObject"),
        time_budget_s=20.0,
        token_budget=4000.0,
        horizon=5,
        t=0.0,
    ),
    ThinkEvent(
        episode=0,
        decision=1,
        t0=0.0,
        t1=0.7,
        role="planner",
        level=2,
        status="OK",
        tokens=380.0,
        time_left_s=19.3,
        tokens_left=3620.0,
        why="because",
    ),
    ShockEvent(episode=0, t=0.7, time_left_s=8.0, tokens_left=1000.0),
    ActEvent(
        episode=0,
        decision=2,
        t0=0.7,
        t1=2.7,
        subgoal="GotoLocation",
        subgoal_index=0,
        status="LOST",
        subgoal_done=False,
        why="",
    ),
    EndEvent(
        episode=0,
        t=2.7,
        success=False,
        lost=True,
        llm_seconds=0.7,
        tokens=380.0,
        calls=1,
        acts=1,
        deadline_misses=0,
    ),
)


@pytest.fixture
def written(tmp_path):
    with EventWriter(tmp_path, RUN) as log:
        for event in EVENTS:
            log(event)
    return tmp_path / "events.jsonl"


def test_what_is_written_comes_back(written):
    log = read_events(written)
    assert (log.run, log.events, log.truncated) == (RUN, EVENTS, None)
    assert read_events(written.parent) == log  # the folder will do


def test_the_lines_have_the_agreed_keys(written):
    lines = [json.loads(line) for line in written.read_text("utf-8").splitlines()]
    assert [line["type"] for line in lines] == ["run", "episode", "think", "shock", "act", "end"]
    assert list(lines[0]) == ["type", "schema", "policy", "profile", "seed", "mode", "speed", "date", "source"]
    keys = [" ".join(line) for line in lines]
    assert keys[2] == "type episode decision t0 t1 role level status tokens time_left_s tokens_left why answer"
    assert keys[3] == "type episode t time_left_s tokens_left"
    assert keys[4] == "type episode decision t0 t1 subgoal subgoal_index status subgoal_done why"
    assert keys[5] == "type episode t success lost llm_seconds tokens calls acts deadline_misses"


def test_the_words_are_those_of_the_value_objects():
    for status in ActStatus:
        EVENTS[3].model_validate({**EVENTS[3].model_dump(), "status": status.value})
    for call in CallStatus:
        EVENTS[1].model_validate({**EVENTS[1].model_dump(), "status": call.value})
    for role in Role:
        EVENTS[1].model_validate({**EVENTS[1].model_dump(), "role": role.value})


def test_a_killed_run_is_read_up_to_its_last_whole_line(written):
    whole = written.read_bytes()
    for cut in range(1, len(to_line(EVENTS[-1]).encode())):
        written.write_bytes(whole[:-cut])
        log = read_events(written)
        if cut == 1:  # only the line's end is missing
            assert log.events == EVENTS
        else:
            assert log.events == EVENTS[:-1]
            assert "line 6 is cut off" in (log.truncated or "")


def test_the_writer_flushes_each_line_and_never_overwrites(tmp_path):
    with EventWriter(tmp_path / "new", RUN) as log:
        log(EVENTS[0])
        assert len(read_events(tmp_path / "new").events) == 1
        with pytest.raises(InputError, match="exists already"):
            EventWriter(tmp_path / "new", RUN)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        EventWriter(tmp_path / "file", RUN)


@pytest.mark.parametrize(
    ("number", "change", "told"),
    [
        (2, {"t": -1.0}, "line 2: key t: -1.0"),
        (2, {"subgoals": []}, "line 2: key subgoals"),
        (2, {"subgoals": ["Fly, high"]}, "line 2: key subgoals: StepView.name"),
        (2, {"facts": [[0.2, 2.0, 1.5, 1.0, False]]}, "line 2: key subgoals"),
        (2, {"horizon": 1.5}, "line 2: key horizon"),
        (3, {"level": 3}, "line 3: key level: 3"),
        (3, {"t1": -0.1}, "line 3: key t1"),
        (3, {"time_left_s": -1.0}, "line 3: key time_left_s"),
        (3, {"tokens": 1e300}, "line 3: key tokens"),
        (4, {"extra": 1}, "line 4: key 'extra' is unknown"),
        (5, {"status": "MAYBE"}, "line 5: key status: 'MAYBE'"),
        (5, {"t0": 9.0}, "line 5: key t1"),
        (5, {"episode": 7}, "line 5: key episode: 7"),
        (6, {"type": "fin"}, "line 6: key type: 'fin'"),
        (6, {"success": "yes"}, "line 6: key success"),
        (1, {"schema": 2}, "line 1: key schema: 2"),
        (1, {"speed": 0.0}, "line 1: key speed"),
    ],
)
def test_bad_values_are_told_by_line_and_key(written, number, change, told):
    lines = written.read_text("utf-8").splitlines()
    lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **change})
    written.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(InputError) as error:
        read_events(written)
    assert told in str(error.value) and str(written) in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: expected the run's line"),
        ("{}\n", "line 1: key type"),
        ("[1]\n", "line 1: key type"),
        ("\n", "line 1 is not whole JSON"),
        ('{"type": NaN}\n', "NaN"),
        ('{"type": "end", "type": "end"}\n', "given twice"),
        ("[" * 100_000 + "\n", "nested too deeply"),
        (to_line(EVENTS[0]), "line 1: expected the run's line"),
        (to_line(RUN) * 2, "line 2: a second run"),
        (to_line(RUN) + to_line(EVENTS[0]) * 2, "line 3: episode 0 begins before"),
        (to_line(RUN) + to_line(EVENTS[-1]), "line 2: key episode"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, told):
    path = tmp_path / "events.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError) as error:
        read_events(path)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_folder_without_a_log_is_told(tmp_path):
    with pytest.raises(InputError, match=r"events\.jsonl does not exist"):
        read_events(tmp_path)


def test_what_foreign_steps_are_expected_to_do_is_kept():
    steps = (StepView("dock", 0.1, 3.0, 0.5, 2.0), StepView("look", looks=True))
    assert facts_of((STEP_VIEWS["PutObject"], StepView("look"))) is None  # the names say it
    names = tuple(step.name for step in steps)
    assert steps_of(names, facts_of(steps)) == steps
    with pytest.raises(ValueError, match="key subgoals"):
        steps_of(names, facts_of(steps)[:1])
