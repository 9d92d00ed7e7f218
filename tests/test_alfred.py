"""ALFRED: both layouts, one bad entry among good ones, statistics and what is drawn from them."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rarrl.alfred import (
    STATISTICS_PATH,
    STEP_VIEWS,
    TASK_TYPES,
    Annotation,
    GoalParameters,
    SubgoalType,
    alfred_statistics,
    load_statistics,
    read_alfred,
    sample_plans,
    save_statistics,
    step_view,
    step_views,
)
from rarrl.errors import InputError
from rarrl.types import StepView
from rarrl_learning.latency.jobs import count_alfred

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "alfred"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the ALFRED plans are not at hand (see docs)")


def compact(trial: str = "trial_1", **changes: Any) -> dict[str, Any]:
    return {
        "task_type": "look_at_obj_in_light",
        "scene": "FloorPlan301",
        "trial": trial,
        "params": {"object_sliced": False, "object_target": "AlarmClock", "toggle_target": "DeskLamp"},
        "plan": [["GotoLocation", "dresser"], ["PickupObject", "alarmclock"], ["ToggleObject", "desklamp"]],
        "low_steps": [5, 1, 2],
        "annotations": [{"goal": "Look at the clock\nby lamp light.", "steps": ["Walk  on."]}, {"goal": "Other."}],
        **changes,
    }


def traj_data(trial: str = "trial_1") -> dict[str, Any]:
    """The same plan in ALFRED's own layout (json_2.1.0), with what matters here."""
    actions = [("GotoLocation", ["dresser"]), ("PickupObject", ["alarmclock"]), ("ToggleObject", ["desklamp"])]
    high = [{"discrete_action": {"action": a, "args": b}, "high_idx": i} for i, (a, b) in enumerate(actions)]
    high.append({"discrete_action": {"action": "NoOp", "args": []}, "high_idx": 3})
    low = [{"high_idx": i, "discrete_action": {"action": "x", "args": {}}} for i in [0, 0, 0, 0, 0, 1, 2, 2]]
    return {
        "task_id": trial,
        "task_type": "look_at_obj_in_light",
        "scene": {"floor_plan": "FloorPlan301", "scene_num": 301},
        "pddl_params": {"object_target": "AlarmClock", "toggle_target": "DeskLamp", "mrecep_target": ""},
        "turk_annotations": {
            "anns": [
                {"task_desc": "Look at the clock by lamp light.", "high_descs": ["Walk on."]},
                {"task_desc": "Other.", "high_descs": []},
            ]
        },
        "plan": {"high_pddl": high, "low_actions": low},
    }


def write_compact(folder: Path, split: str, *lines: Any) -> Path:
    path = folder / f"alfred_{split}.jsonl.gz"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def write_trial(root: Path, split: str, trial: str, text: str | None = None) -> Path:
    folder = root / split / "look_at_obj_in_light-AlarmClock-None-DeskLamp-301" / trial
    folder.mkdir(parents=True)
    path = folder / "traj_data.json"
    path.write_text(json.dumps(traj_data(trial)) if text is None else text)
    return path


def refused(path: Path | str, split: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_alfred(path, split)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    return str(caught.value)


def test_a_compact_file_by_hand(tmp_path: Path) -> None:
    plan = read_alfred(write_compact(tmp_path, "train", compact())).plans[0]
    assert plan.subgoals == (SubgoalType.GotoLocation, SubgoalType.PickupObject, SubgoalType.ToggleObject)
    assert plan.arguments == (("dresser",), ("alarmclock",), ("desklamp",))
    assert plan.low_steps == (5, 1, 2)
    assert (plan.task_type, plan.scene, plan.trial) == ("look_at_obj_in_light", "FloorPlan301", "trial_1")
    assert plan.goal == "Look at the clock by lamp light."
    assert plan.annotations[0] == Annotation("Look at the clock by lamp light.", ("Walk on.",))
    assert plan.annotations[1] == Annotation("Other.", ())
    assert plan.parameters == GoalParameters("alarmclock", place="", movable="", lamp="desklamp", sliced=False)


@pytest.mark.parametrize("deeper", ["", "json_2.1.0"])
def test_the_tree_gives_the_same_plans_and_drops_noop(tmp_path: Path, deeper: str) -> None:
    write_trial(tmp_path / deeper, "train", "trial_1")
    write_trial(tmp_path / deeper, "valid_seen", "trial_2")
    expected = read_alfred(write_compact(tmp_path / deeper, "other", compact())).plans
    assert read_alfred(tmp_path, "train").plans == expected
    assert read_alfred(tmp_path).plans == expected  # train is the default
    assert [plan.trial for plan in read_alfred(tmp_path, "valid_seen").plans] == ["trial_2"]
    assert [plan.trial for plan in read_alfred(tmp_path / deeper / "valid_seen").plans] == ["trial_2"]


def test_one_corrupt_json_among_many_is_named_skipped_and_counted(tmp_path: Path) -> None:
    for i in range(30):
        write_trial(tmp_path, "train", f"trial_{i:02d}")
    whole = json.dumps(traj_data())
    write_trial(tmp_path, "train", "trial_bad", whole[: len(whole) // 2])
    data = read_alfred(tmp_path, "train")
    assert len(data.plans) == 30 and len(data.skipped) == 1
    assert "trial_bad/traj_data.json is not whole JSON" in data.skipped[0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "is not whole JSON"),
        ("[]", "key task_type is missing"),
        ('{"task_type": NaN}', "NaN is not a JSON number"),
        (compact(task_type="dance"), "key task_type: 'dance' is not one of ALFRED's"),
        (compact(low_steps=[5, 1]), "key low_steps: 2 entries for 3 sub-goals"),
        (compact(low_steps=[5, 1, -2]), "key low_steps: -2 is not an integer from 1 to 10000"),
        (compact(low_steps=[5, 1, 10**9]), "key low_steps: 1000000000 is not"),
        (compact(low_steps=[5, 1, True]), "key low_steps: True is not"),
        (compact(low_steps=[5, 1, 1.5]), "key low_steps: 1.5 is not"),
        (compact(plan=[], low_steps=[]), "key plan: 0 sub-goals, expected 1 to 100"),
        (compact(plan=[["Fly", "x"]], low_steps=[1]), "action 'Fly' is not one of GotoLocation"),
        (compact(plan=[[["x"]]], low_steps=[1]), "is not a list of an action and its arguments"),
        (compact(plan="GotoLocation"), "key plan: 'GotoLocation' is not a list"),
        (compact(scene=3), "key scene: 3 is not a str"),
    ],
)
def test_a_bad_line_is_named_and_skipped(tmp_path: Path, line: Any, expected: str) -> None:
    data = read_alfred(write_compact(tmp_path, "train", compact(), line, compact()))
    assert len(data.plans) == 2
    assert len(data.skipped) == 1 and data.skipped[0].startswith("alfred_train.jsonl.gz line 2")
    assert expected in data.skipped[0]


@pytest.mark.parametrize("key", ["plan", "task_id", "task_type", "scene"])
def test_a_tree_entry_without_a_key_is_named(tmp_path: Path, key: str) -> None:
    write_trial(tmp_path, "train", "trial_1")
    write_trial(tmp_path, "train", "trial_2", json.dumps({k: v for k, v in traj_data().items() if k != key}))
    data = read_alfred(tmp_path)
    assert len(data.plans) == 1 and f"key {key} is missing" in data.skipped[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(key=st.sampled_from([*traj_data(), "high_pddl", "low_actions"]), value=json_values)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_under_any_key_is_read_or_skipped(tmp_path: Path, key: str, value: Any) -> None:
    bad = traj_data()
    (bad["plan"] if key in bad["plan"] else bad)[key] = value
    if not (tmp_path / "train").exists():
        write_trial(tmp_path, "train", "trial_1")
        write_trial(tmp_path, "train", "trial_2")
    next(tmp_path.glob("train/*/trial_2/traj_data.json")).write_text(json.dumps(bad))
    data = read_alfred(tmp_path)
    assert len(data.plans) + len(data.skipped) == 2


def test_wrong_places_are_refused_in_one_line(tmp_path: Path) -> None:
    assert "holds no ALFRED data" in refused(tmp_path)
    assert "does not exist" in refused(tmp_path / "nowhere")
    refused("\0")
    refused("a" * 5000)
    write_compact(tmp_path, "valid_seen", compact())
    write_compact(tmp_path, "valid_unseen", compact())
    assert "has no split 'test'; available: valid_seen, valid_unseen" in refused(tmp_path, "test")
    assert "holds several splits; choose one of: valid_seen, valid_unseen" in refused(tmp_path)
    assert "holds split valid_seen, not 'train'" in refused(tmp_path / "alfred_valid_seen.jsonl.gz", "train")


@pytest.mark.parametrize("layout", ["tests_seen/trial_1", "tests_seen/task/trial_1", "json_2.1.0/tests_seen/trial_1"])
def test_a_test_split_reads_as_what_it_is(tmp_path: Path, layout: str) -> None:
    place = tmp_path / layout
    place.mkdir(parents=True)
    published = {key: value for key, value in traj_data().items() if key not in ("plan", "pddl_params")}
    (place / "traj_data.json").write_text(json.dumps(published))
    words = "split tests_seen in .* holds goals without expert plans, .* take train, valid_seen or valid_unseen"
    assert re.search(words, refused(tmp_path, "tests_seen"))
    assert re.search(words, refused(tmp_path / layout.partition("tests_seen")[0] / "tests_seen"))


def test_a_compact_file_of_a_test_split_reads_as_what_it_is(tmp_path: Path) -> None:
    path = write_compact(tmp_path, "tests_seen", {"task_type": "look_at_obj_in_light", "trial": "trial_1"})
    assert "holds goals without expert plans" in refused(path)
    mixed = write_compact(tmp_path, "valid_seen", {"task_type": "look_at_obj_in_light"}, "damaged")
    assert "download the data set again" in refused(mixed)
    empty = write_compact(tmp_path, "valid_unseen")
    assert "which holds no entry" in refused(empty)


def test_damaged_compact_files_are_refused(tmp_path: Path) -> None:
    path = write_compact(tmp_path, "train", *[compact(f"trial_{i}") for i in range(500)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is truncated or no gzip file after line" in refused(path)
    path.write_bytes(b"no gzip at all")
    assert "is truncated or no gzip file after line 0" in refused(path)
    path.write_bytes(b"")
    assert "no valid plan" in refused(path)
    assert "first of 1 bad entries: alfred_train.jsonl.gz line 1" in refused(write_compact(tmp_path, "train", "{"))
    path.write_bytes(gzip.compress(b" " * 50_000_000))  # 50 MB of nothing in 50 kB: a line must not fill the memory
    assert "line 1: over 1048576 bytes a line" in refused(path)


def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    first = read_alfred(write_compact(tmp_path, "train", compact())).sha256
    assert read_alfred(write_compact(tmp_path, "train", compact())).sha256 == first
    assert read_alfred(write_compact(tmp_path, "train", compact("trial_2"))).sha256 != first


def test_statistics_by_hand_and_round_trip(tmp_path: Path) -> None:
    goto = compact(plan=[["GotoLocation", "x"]], low_steps=[7])
    write_compact(tmp_path, "train", compact(), goto, goto, "{")
    data, statistics = count_alfred(tmp_path, tmp_path / "s.json")
    assert statistics.sequences == {
        "look_at_obj_in_light": {"GotoLocation": 2, "GotoLocation PickupObject ToggleObject": 1}
    }
    assert statistics.steps == {"GotoLocation": {"5": 1, "7": 2}, "PickupObject": {"1": 1}, "ToggleObject": {"2": 1}}
    assert (statistics.header.plans, statistics.header.skipped, statistics.header.split) == (3, 1, "train")
    assert statistics.header.data_sha256 == data.sha256
    assert load_statistics(tmp_path / "s.json") == statistics


def test_shipped_statistics_say_what_the_data_set_is_known_for() -> None:
    statistics = load_statistics()
    assert sum(statistics.task_counts().values()) == 6574
    assert tuple(statistics.task_counts()) == TASK_TYPES

    def mean(name: str) -> float:
        steps = statistics.steps[name]
        return sum(int(n) * count for n, count in steps.items()) / sum(steps.values())

    assert mean("GotoLocation") == pytest.approx(13.5, abs=0.05)
    assert mean("PickupObject") == pytest.approx(1.15, abs=0.005)
    assert max(int(n) for n in statistics.steps["GotoLocation"]) == 68


def test_drawn_plans_follow_the_statistics() -> None:
    statistics = load_statistics()
    n = 40_000
    plans = sample_plans(statistics, n, seed=0)
    assert len(plans) == n
    for task, count in statistics.task_counts().items():
        assert sum(plan.task_type == task for plan in plans) / n == pytest.approx(count / 6574, abs=0.01)
    heat = Counter(
        " ".join(s.name for s in plan.subgoals) for plan in plans if plan.task_type == "pick_heat_then_place_in_recep"
    )
    for sequence, count in statistics.sequences["pick_heat_then_place_in_recep"].items():
        assert heat[sequence] / heat.total() == pytest.approx(count / 918, abs=0.02)
    goto = [
        steps
        for plan in plans
        for subgoal, steps in zip(plan.subgoals, plan.low_steps, strict=True)
        if subgoal is SubgoalType.GotoLocation
    ]
    assert sum(goto) / len(goto) == pytest.approx(13.5, abs=0.1)
    assert all(plan.goal == "" and plan.scene == "" and set(plan.arguments) == {()} for plan in plans)


def test_drawing_is_seeded() -> None:
    statistics = load_statistics()
    assert sample_plans(statistics, 50, 1) == sample_plans(statistics, 50, 1) != sample_plans(statistics, 50, 2)
    assert sample_plans(statistics, 0, 1) == []
    with pytest.raises(ValueError, match="n must be >= 0, got -1"):
        sample_plans(statistics, -1, 0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.update(x=1), "key 'x' is unknown"),
        (lambda s: s.update(schema_version=2), "key schema_version: 2 is not allowed (allowed: 1)"),
        (lambda s: s["header"].update(plans=-1), "key header.plans: -1 is not allowed (allowed: integer 1 to"),
        (lambda s: s["header"].update(plans=5), "counts add up to 6574, header.plans says 5"),
        (lambda s: s["sequences"].update(dance={"GotoLocation": 1}), "'dance' is unknown"),
        (lambda s: s["sequences"]["look_at_obj_in_light"].update(Fly=1), "'Fly' occurs in sequences but has no steps"),
        (lambda s: s["steps"].pop("GotoLocation"), "'GotoLocation' occurs in sequences but has no steps"),
        (lambda s: s["steps"]["GotoLocation"].update({"0": 1}), "key steps.GotoLocation: '0' is not allowed"),
        (lambda s: s["steps"]["GotoLocation"].update({"4": -3}), "key steps.GotoLocation: '4' needs a count"),
        (lambda s: s["steps"].update(GotoLocation={}), "key steps.GotoLocation"),
        (lambda s: s.update(sequences={}), "key sequences"),
    ],
)
def test_bad_statistics_are_refused(tmp_path: Path, change: Any, expected: str) -> None:
    value = json.loads(STATISTICS_PATH.read_text())
    change(value)
    (tmp_path / "s.json").write_text(json.dumps(value))
    with pytest.raises(InputError) as caught:
        load_statistics(tmp_path / "s.json")
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_statistics_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError):
            load_statistics(path)
    with pytest.raises(InputError, match="cannot write"):
        save_statistics(load_statistics(), tmp_path)


def test_alfreds_actions_as_steps() -> None:
    assert list(STEP_VIEWS) == list(SubgoalType.__members__)
    assert all(name == view.name == step_view(name).name for name, view in STEP_VIEWS.items())
    assert step_view("dock") == StepView("dock") and step_view("PutObject").irreversible == 0.5
    assert step_views((SubgoalType.HeatObject,)) == (STEP_VIEWS["HeatObject"],)
    with pytest.raises(ValueError, match="printable"):
        step_view("")


def test_seconds_of_the_steps_are_those_of_the_statistics() -> None:
    steps = load_statistics().steps
    for name, view in STEP_VIEWS.items():
        counts = {int(n): times for n, times in steps[name].items()}
        mean = sum(n * times for n, times in counts.items()) / sum(counts.values())
        assert view.seconds == pytest.approx(0.25 * mean, abs=0.1)


@needs_data
def test_shipped_statistics_come_out_of_the_data_again() -> None:
    data = read_alfred(DATA, "train")
    assert len(data.plans) == 6574 and data.skipped == []
    assert alfred_statistics(data) == load_statistics()


@needs_data
def test_the_validation_split_is_whole() -> None:
    data = read_alfred(DATA, "valid_seen")
    assert (len(data.plans), data.skipped) == (251, [])
