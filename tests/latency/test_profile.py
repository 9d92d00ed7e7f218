"""Profiles: round trip, and every way in which a file can be bad ends in one clear line."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rarrl import files
from rarrl.errors import InputError
from rarrl.latency.profile import (
    COLUMNS,
    PROFILE_DIR,
    RECORDED_COLUMNS,
    CallRecord,
    LatencyProfile,
    ProfileHeader,
    dumps_profile,
    load_profile,
    save_profile,
    shipped_profiles,
)
from rarrl_learning.latency.ship import gpt4o_mini_anchor

HEADER: dict[str, Any] = {
    "name": "test",
    "kind": "recorded",
    "measured": "a test",
    "model": "none",
    "hardware": "none",
    "date": "2026-01-31",
    "source": "here",
    "licence": "Apache-2.0",
}
ROW = ["planner", 1, 260, 100, 0.2, 0.9, "stop", True]


def document(**changes: Any) -> dict[str, Any]:
    records = {"columns": list(COLUMNS), "rows": [list(ROW), list(ROW)]}
    return {"schema_version": 1, "header": dict(HEADER), "records": records, **changes}


def with_cell(column: str, value: Any) -> dict[str, Any]:
    result = document()
    result["records"]["rows"][1][COLUMNS.index(column)] = value
    return result


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_profile(str(path))
    message = str(caught.value)
    assert "\n" not in message and len(message) < 1000
    return message


def refused_document(tmp_path: Path, value: Any) -> str:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(value))
    message = refused(path)
    assert str(path) in message
    return message


seconds = st.floats(0, 3600, allow_nan=False)
records = st.builds(
    lambda role, level, n_in, n_out, times, finish, correct: CallRecord(
        role=role,
        level=level,
        tokens_in=n_in,
        tokens_out=n_out,
        ttft_s=min(times),
        total_s=max(times),
        finish=finish,
        correct=correct,
    ),
    st.sampled_from(["planner", "verifier"]),
    st.sampled_from([1, 2]),
    st.integers(0, 1_000_000),
    st.integers(0, 1_000_000),
    st.tuples(seconds, seconds),
    st.sampled_from(["stop", "length", "timeout", "error"]),
    st.sampled_from([True, False, None]),
)


@given(st.lists(records, min_size=1, max_size=20))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip_keeps_every_bit(tmp_path: Path, rows: list[CallRecord]) -> None:
    profile = LatencyProfile(schema_version=1, header=ProfileHeader(**HEADER), records=tuple(rows))
    path = tmp_path / "p.json"
    save_profile(profile, path)
    assert load_profile(path) == profile
    assert dumps_profile(load_profile(path)) == path.read_text()


def test_parametric_round_trip(tmp_path: Path) -> None:
    save_profile(gpt4o_mini_anchor(), tmp_path / "a.json")
    assert load_profile(str(tmp_path / "a.json")) == gpt4o_mini_anchor()


def test_one_record_a_line(tmp_path: Path) -> None:
    text = dumps_profile(load_profile("groq-70b"))
    assert sum('"planner",1,' in line for line in text.splitlines()) == 150


@pytest.mark.parametrize("name", shipped_profiles())
def test_shipped_profiles_load_are_small_and_named_as_their_file(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    limit = 100_000 if profile.tasks is None else 1_000_000
    assert (PROFILE_DIR / f"{name}.json").stat().st_size < limit


def test_at_least_four_measured_sets_are_shipped() -> None:
    assert sum(load_profile(name).header.kind == "imported" for name in shipped_profiles()) >= 4


def test_unknown_name_suggests_a_shipped_one() -> None:
    with pytest.raises(InputError, match=r"no profile 'grok-70b'; did you mean groq-70b\? Shipped: anyscale-70b, "):
        load_profile("grok-70b")
    with pytest.raises(InputError, match=r"no profile 'zzz'\. Shipped: anyscale-70b, "):
        load_profile("zzz")


@pytest.mark.parametrize("name", ["", "\0", "a" * 5000, "no/such/file.json", "x.json", "."])
def test_strange_names_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_profile(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("role", "critic", "record 2, key records.role: 'critic' is not allowed (allowed: planner, verifier)"),
        ("level", 3, "record 2, key records.level: 3 is not allowed (allowed: 1, 2)"),
        ("tokens_in", -1, "record 2, key records.tokens_in: -1 is not allowed (allowed: integer 0 to 1000000"),
        ("tokens_in", 1.5, "key records.tokens_in: 1.5 is not allowed"),
        ("tokens_out", 10**7, "record 2, key records.tokens_out: 10000000 is not allowed (allowed: integer 0 to"),
        ("tokens_out", "100", "record 2, key records.tokens_out: '100' is not allowed"),
        ("tokens_out", True, "record 2, key records.tokens_out: True is not allowed"),
        ("ttft_s", -0.1, "record 2, key records.ttft_s: -0.1 is not allowed (allowed: 0 to 3600 s"),
        ("total_s", 0.1, "record 2, records: key total_s: 0.1 is below ttft_s 0.2 (allowed: ttft_s to 3600 s)"),
        ("total_s", 3601, "record 2, key records.total_s: 3601 is not allowed (allowed: ttft_s to 3600 s"),
        ("total_s", None, "record 2, key records.total_s: None is not allowed"),
        ("total_s", 10**400, "is too large (allowed: 64 bits)"),
        (
            "finish",
            "done",
            "record 2, key records.finish: 'done' is not allowed (allowed: stop, length, timeout, refused, error)",
        ),
        ("correct", 1, "record 2, key records.correct: 1 is not allowed (allowed: true, false, null)"),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, column: str, value: Any, expected: str) -> None:
    assert expected in refused_document(tmp_path, with_cell(column, value))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schema_version": 3}, "key schema_version: 3 is not allowed (allowed: 1, 2)"),
        ({"schema_version": True}, "key schema_version: True is not allowed"),
        ({"colour": "red"}, "key 'colour' is unknown; allowed keys: schema_version, header, records, parametric"),
        ({"header": {**HEADER, "author": "x"}}, "key 'header.author' is unknown; allowed keys: name, kind"),
        ({"header": {k: v for k, v in HEADER.items() if k != "licence"}}, "key header.licence is missing; add it"),
        ({"header": {**HEADER, "name": "a/b"}}, "key header.name: 'a/b' is not allowed (allowed: 1 to 64 of"),
        ({"header": {**HEADER, "date": "yesterday"}}, "key header.date: 'yesterday' is not allowed (allowed: YYYY"),
        ({"header": {**HEADER, "model": "a\nb"}}, "key header.model: 'a\\nb' is not allowed"),
        ({"header": {**HEADER, "kind": "parametric"}}, "header.kind parametric goes with parametric, not records"),
        ({"header": []}, "key header: [] is not allowed"),
        ({"records": None}, "header.kind recorded needs at least one entry in records"),
        ({"records": {"columns": list(COLUMNS), "rows": []}}, "needs at least one entry in records"),
        ({"records": [1]}, "key records: [1] is not allowed"),
        ({"records": {"columns": list(COLUMNS), "rows": [[1]]}}, "record 1: [1] is not allowed (allowed: a list of 8"),
        ({"records": {"columns": ["role"], "rows": []}}, "key records.columns: ['role'] is not allowed"),
        ({"records": {"columns": [{}], "rows": []}}, "key records.columns: [{}] is not allowed"),
        ({"records": {"columns": [*COLUMNS, "role"], "rows": []}}, "key records.columns: "),
    ],
)
def test_bad_documents_are_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in refused_document(tmp_path, document(**changes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "is not whole JSON"),
        (b"[]", "is not allowed"),
        (b'{"schema_version": 1', "is not whole JSON at line 1, column"),
        (b'{"schema_version": NaN}', "NaN is not a JSON number"),
        (b'{"schema_version": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"schema_version": 1e999}', "number 1e999 is too large"),
        (b'{"a": 1, "a": 2}', "key 'a' is given twice"),
        (b"\xff\xfe\x00", "bad.json"),
        (b"\x80abc", "can't decode"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 10_000, "bad.json"),
    ],
)
def test_broken_json_is_refused(tmp_path: Path, text: bytes, expected: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(text)
    assert expected in refused(path)


@given(cut=st.integers(0, 4000), flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_refused_or_read_but_never_crash(
    tmp_path: Path, cut: int, flips: list[tuple[int, int]]
) -> None:
    profile = load_profile("groq-70b")
    data = bytearray(dumps_profile(profile.model_copy(update={"records": (profile.records or ())[:40]})).encode())
    for at, value in flips:
        data[at % len(data)] = value
    path = tmp_path / "damaged.json"
    path.write_bytes(data[: len(data) - cut if cut < len(data) else 0])
    try:
        loaded = load_profile(str(path))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(math.isfinite(record.total_s) for record in loaded.records or ())


def test_a_folder_a_pipe_and_a_huge_file_are_refused_unread(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe.json")
    assert "is not a regular file" in refused(tmp_path / "pipe.json")
    with (tmp_path / "huge.json").open("wb") as stream:
        stream.truncate(files.MAX_FILE_BYTES + 1)  # sparse: takes no disk
    assert "at most 67108864 are read" in refused(tmp_path / "huge.json")


def test_too_many_records_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = {"columns": list(COLUMNS), "rows": [ROW] * 200_001}
    assert "at most 200000" in refused_document(tmp_path, document(records=rows))


def parametric(**changes: Any) -> dict[str, Any]:
    option = {"role": "planner", "level": 1, "mu": 0.0, "sigma": 0.3, "tokens_in": 1, "tokens_out": 1, "error_rate": 0}
    return {
        "schema_version": 1,
        "header": {**HEADER, "kind": "parametric"},
        "parametric": [{**option, "error_rate": 0.0, **changes}],
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sigma": -0.1}, "record 1, key parametric.sigma: -0.1 is not allowed (allowed: 0 to 3"),
        ({"error_rate": 1.1}, "record 1, key parametric.error_rate: 1.1 is not allowed (allowed: 0 to 1"),
        ({"mu": 8.0, "sigma": 3.0}, "puts the 99.9 % quantile at"),
        ({"tail": 1}, "key 'parametric.tail' is unknown; allowed keys: role, level, mu"),
    ],
)
def test_bad_parametric_options_are_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in refused_document(tmp_path, parametric(**changes))


def test_a_parametric_option_given_twice_is_refused(tmp_path: Path) -> None:
    value = parametric()
    value["parametric"] *= 2
    assert "holds a role and level twice" in refused_document(tmp_path, value)


def test_require_says_what_is_there_and_where_to_get_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document()))
    profile = load_profile(str(path))
    profile.require("planner", 1)
    with pytest.raises(InputError, match=r"test: no records of verifier level 2 \(it has: planner level 1\); record "):
        profile.require("verifier", 2)


def test_saving_where_it_cannot_be_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        save_profile(gpt4o_mini_anchor(), tmp_path / "file" / "p.json")
    with pytest.raises(InputError, match="cannot write"):
        save_profile(gpt4o_mini_anchor(), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]  # no temporary left behind


def test_the_file_shown_in_the_documentation_loads(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "latency-profiles.md").read_text(encoding="utf-8")
    example = text.split("```json\n")[1].split("```")[0]
    (tmp_path / "doc.json").write_text(example)
    assert load_profile(tmp_path / "doc.json").name == "groq-70b"


# --- version 2 ---

TASK = {
    "trial": "trial_1",
    "annotation": 0,
    "task_type": "pick_and_place_simple",
    "steps": [[0, 9], [1, 1], [2, 1]],
    "expert": 0,
    "default": 1,
    "similarity": 0.75,
    "default_correct": False,
    "words": 8,
    "unknown": 1,
}
PLANS = [[["PickupObject", "mug"], ["PutObject", "mug", "shelf"]], [["PickupObject", "cup"]]]
WRITTEN = ["planner", 1, 20, 9, 0.01, 0.05, "stop", True, 0, 0, -0.02, None, None, None]
JUDGED = ["verifier", 2, 20, 9, 0.01, 0.05, "stop", True, 0, 1, -0.3, False, "missing step", 0.125]


def recorded(**changes: Any) -> dict[str, Any]:
    return {
        "schema_version": 2,
        "header": dict(HEADER),
        "tasks": {"columns": list(TASK), "rows": [list(TASK.values())]},
        "plans": PLANS,
        "records": {"columns": list(RECORDED_COLUMNS), "rows": [WRITTEN, JUDGED]},
        **changes,
    }


def with_value(table: str, column: str, value: Any, row: int = 0) -> dict[str, Any]:
    document = json.loads(json.dumps(recorded()))
    document[table]["rows"][row][document[table]["columns"].index(column)] = value
    return document


def with_home(home: int) -> dict[str, Any]:
    document = json.loads(json.dumps(recorded(homes=[["mug", "shelf"]])))
    document["tasks"]["columns"].append("home")
    for row in document["tasks"]["rows"]:
        row.append(home)
    return document


def test_a_recording_keeps_what_was_known_of_homes(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(with_home(0)))
    profile = load_profile(tmp_path / "p.json")
    assert profile.homes == (("mug", "shelf"),) and profile.tasks is not None and profile.tasks[0].home == 0
    save_profile(profile, tmp_path / "again.json")
    assert load_profile(tmp_path / "again.json") == profile


def test_a_recording_reads_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps(recorded()))
    profile = load_profile(file)
    assert profile.tasks is not None and profile.plans is not None and profile.records is not None
    assert profile.tasks[0].steps == ((0, 9), (1, 1), (2, 1)) and profile.plans[1] == (("PickupObject", "cup"),)
    assert (profile.records[1].fault, profile.records[1].p_ok, profile.records[0].confidence) == (
        "missing step",
        0.125,
        -0.02,
    )
    save_profile(profile, tmp_path / "again.json")
    assert load_profile(tmp_path / "again.json") == profile
    assert len((tmp_path / "again.json").read_text().splitlines()) < 45, "a task, plan or record a line"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (recorded(schema_version=1), "key records.columns: "),
        (recorded(tasks=None), "schema_version 2 needs header.kind recorded, tasks and plans"),
        (recorded(header={**HEADER, "kind": "imported"}), "schema_version 2 needs header.kind recorded"),
        (recorded(tasks={"columns": ["trial"], "rows": []}), "key tasks.columns: ['trial'] is not allowed"),
        (recorded(tasks={"columns": list(TASK), "rows": [[1]]}), "task 1: [1] is not allowed"),
        (recorded(plans=[[["PickupObject", 1]]]), "key plans: 1 is not allowed"),
        (with_value("tasks", "default", 2), "a task's expert or default is no entry of plans (allowed: 0 to 1)"),
        (with_home(1), "a task's home is no entry of homes (there are 1)"),
        (recorded(homes=["mug"]), "key homes: 'mug' is not allowed"),
        (with_value("tasks", "steps", [[8, 1]]), "a step is not allowed (allowed: type 0 to 7"),
        (
            with_value("tasks", "similarity", 1.5),
            "record 1, key tasks.similarity: 1.5 is not allowed (allowed: 0 to 1)",
        ),
        (with_value("records", "task", 1), "record 1, key task: 1 is not allowed (allowed: 0 to 0)"),
        (with_value("records", "task", None, 1), "record 2, key task: None is not allowed"),
        (with_value("records", "plan", 2, 1), "record 2, key plan: 2 is not allowed (allowed: 0 to 1)"),
        (with_value("records", "plan", None), "record 1, key plan: null is not allowed for an answered call"),
        (
            with_value("records", "confidence", 0.5),
            "key records.confidence: 0.5 is not allowed (allowed: null, or -100 to 0)",
        ),
        (with_value("records", "p_ok", -1.0, 1), "key records.p_ok: -1.0 is not allowed (allowed: null, or 0 to 1)"),
    ],
)
def test_a_bad_recording_ends_in_one_line(document: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        load_profile(file)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["household-heldout", "household", "rarrl-planner-valid-seen"])
def test_a_recorded_file_from_before_the_world_is_recognised_by_its_trials(tmp_path: Path, name: str) -> None:
    text = json.loads((PROFILE_DIR / f"{name}.json").read_text())
    expected = text["header"].pop("world")
    path = tmp_path / "old.json"
    path.write_text(json.dumps(text))
    old = load_profile(path)
    assert old.header.world is None and old.world is not None and old.world.value == expected


@pytest.mark.parametrize(
    ("profile", "reasoner", "fits"),
    [
        ("household", "llama", True),
        ("household-training", "llama", True),
        ("household", "llama:models/planner.gguf", True),
        ("household", "llama:SmolLM2.gguf", False),
        ("rarrl-planner-q4_0", "llama", False),
        ("groq-70b", "openai:https://api.example.org/v1#llama-2-70b-chat", True),
        ("groq-70b", "openai:https://api.example.org/v1#qwen3", False),
    ],
)
def test_a_profile_tells_whether_it_is_of_a_model(profile: str, reasoner: str, fits: bool) -> None:
    told = load_profile(profile).mismatch(reasoner)
    assert (told == "") is fits
    assert "api.example.org" not in told
