"""Settings: defaults, ranges, and one clear line for everything that can be wrong with a file."""

import json
import os
import re
import time
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from rarrl.config import Config, config_from_flat, config_from_values, given_settings, iter_fields, load_config, to_yaml
from rarrl.errors import InputError

DEFAULT_YAML = Path(__file__).resolve().parents[1] / "config" / "default.yaml"


@pytest.fixture
def load(tmp_path):
    def _load(text: str | bytes) -> Config:
        path = tmp_path / "config.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(path)

    return _load


def test_default_file_is_the_defaults_and_was_not_edited_by_hand():
    assert load_config(DEFAULT_YAML) == load_config(None) == Config()
    assert DEFAULT_YAML.read_text("utf-8") == to_yaml(Config()), "python -m rarrl.config > config/default.yaml"


def test_every_setting_has_a_default_a_range_and_a_meaning():
    specs = list(iter_fields(Config))
    assert len({spec.name for spec in specs}) == len(specs) > 10
    for spec in specs:
        assert spec.description and "\n" not in spec.description, spec.name
        assert isinstance(spec.default, spec.type), spec.name
        if spec.type in (int, float):
            assert spec.minimum is not None and spec.maximum is not None, spec.name
            assert spec.minimum <= spec.default <= spec.maximum, spec.name
        if spec.choices:
            assert spec.default in spec.choices, spec.name


UNITS = {
    "_s": r"\bseconds\b",
    "_m": r"\bmetres\b",
    "_hz": r"\bhertz\b",
    "_deg": r"\bdegrees\b",
    "_mps": r"\bm/s(?!\^)",
    "_mps2": r"\bm/s\^2",
    "_radps": r"\brad/s(?!\^)",
    "_radps2": r"\brad/s\^2",
}
"""Ending of a setting's name -> what its description must say."""


@pytest.mark.parametrize("spec", list(iter_fields(Config)), ids=lambda spec: spec.name)
def test_a_description_stands_alone(spec):
    assert re.fullmatch(r"[A-Z].*\.", spec.description), spec.description
    for sentence in re.split(r"(?<=\.) (?=[A-Z])", spec.description):
        assert sentence[0].isupper() and sentence.endswith("."), sentence
    assert len(spec.description.split()) >= 6
    assert "__" not in spec.description and "  " not in spec.description

    ending = spec.name[spec.name.rindex("_") :] if "_" in spec.name.rpartition(".")[2] else ""
    if ending in UNITS:
        assert re.search(UNITS[ending], spec.description), spec.description


def test_every_physical_setting_is_held_to_its_unit():
    endings = {
        "_" + spec.name.rpartition("_")[2] for spec in iter_fields(Config) if spec.type is float and "_" in spec.name
    }
    assert set(UNITS) <= endings
    assert endings - set(UNITS) == {"_budget", "_margin", "_scale", "_share", "_weight"}  # counts and ratios


@pytest.mark.parametrize("spec", list(iter_fields(Config)), ids=lambda spec: spec.name)
def test_limits_are_inclusive_and_nothing_beyond_them_passes(spec):
    if spec.type in (int, float):
        for value in (spec.minimum, spec.maximum):
            config_from_flat({spec.name: spec.type(value)}, "test")
        beyond = [spec.minimum - 1, spec.maximum + 1, True, "1", None, [1]]
        if spec.type is float:
            beyond += [float("nan"), float("inf")]
        else:
            beyond.append(1.5)
    else:
        beyond = ["", "x\ny"] if spec.minimum else ["x\ny"]
        beyond += [3, None, "x" * 5000]
    for value in beyond:
        with pytest.raises(InputError, match=rf"^config: test: key {spec.name}: .*allowed: "):
            config_from_flat({spec.name: value}, "test")


@given(
    budget=st.floats(0.0, 3600.0),
    speed=st.floats(0.01, 1000.0),
    profile=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=200),
)
def test_writing_and_reading_back_changes_nothing(tmp_path_factory, budget, speed, profile):
    values = {"orchestrator.time_budget_s": budget, "orchestrator.profile": profile, "replay.speed": speed}
    config = config_from_flat(values, "test")
    path = tmp_path_factory.mktemp("config") / "c.yaml"
    path.write_text(to_yaml(config), "utf-8")
    assert load_config(path) == config


def test_what_is_left_out_keeps_its_default(load):
    assert load("") == load("replay:\n") == load("# nothing\n") == Config()
    config = load("replay: {episodes: 3}\norchestrator: {time_budget_s: 5}\n")
    assert config.replay.episodes == 3
    assert config.orchestrator.time_budget_s == 5.0
    assert config.replay.speed == Config().replay.speed


def test_parameters_of_all_ros_nodes_are_the_same_sections(load, tmp_path):
    sections = "detector: {quality: fast, target_hz: 8}\n    replay: {episodes: 3}\n"
    plain = load(sections.replace("    ", ""))
    assert load("/**:\n  ros__parameters:\n    " + sections) == plain
    assert given_settings(tmp_path / "config.yaml") == {
        "detector.quality": "fast",
        "detector.target_hz": 8.0,
        "replay.episodes": 3,
    }
    assert given_settings(None) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("replay: {sped: 2}", "key replay.sped is unknown; did you mean replay.speed?"),
        ("repla: {}", "did you mean replay?"),
        ("speed: 3", "did you mean replay.speed?"),
        ("replay: {zzz: 3}", "known here: episodes, seed, "),
        ("replay: {speed: -1}", "key replay.speed: -1 is not allowed (allowed: number 0.01 to 1000)"),
        ("replay: {speed: 1e3}", "YAML reads 1e3 as text"),
        ("replay: {speed: .nan}", "nan is not allowed"),
        ("replay: {speed: .inf}", "inf is not allowed"),
        ("replay: {episodes: 2.5}", "allowed: integer 1 to 100000"),
        ("replay: {seed: true}", "True is not allowed"),
        ("replay: {seed: " + "9" * 5000 + "}", "not plain YAML"),
        ("replay: {category: Cooking}", "allowed: all, Navigation, Inspection, Delivery"),
        ("replay: {episodes: 0, seed: -1}", "(and 1 more)"),
        ("replay: 3", "expected a section with episodes, "),
        ("- 1", "expected sections orchestrator, language_model"),
        ("/**: {ros__parameters: {replay: {sped: 2}}}", "key replay.sped is unknown; did you mean replay.speed?"),
        ("/**: {ros__parameters: 3}", "expected sections orchestrator, language_model"),
        ("/**: {ros__parameters: {}, more: 1}", "key /** is unknown"),
        ("/**: {ros__parameters: {}}\nreplay: {}", "key /** is unknown"),
        ("gate: {ros__parameters: {}}", "key gate.ros__parameters is unknown"),
        ("hello", "expected sections orchestrator, language_model"),
        ("replay: {speed: 1, speed: 2}", "key 'speed' is given twice; keep one"),
        ("1: 2", "a key must be text"),
        ("? [a]\n: 2", "a key must be text"),
        ("<<: {replay: {}}", "a key must be text"),
        ("replay: &a {}\norchestrator: *a", "line 1, column 9: anchors (&) and aliases (*) are refused"),
        ("replay: {profile: !!python/name:os.system x}", "are refused; write the value alone"),
        ("replay:\n speed: 1\n  seed: 2", "line 3"),
        ("replay: {speed: 2", "not plain YAML at line"),
        ("replay: {seed: 2020-99-99}", "not plain YAML"),
        ("replay: \x00", "not plain YAML"),
        (b"\xff\xfe\xfd", "not plain YAML"),
        ("[" * 50_000, "nested too deeply"),
        ("a" * 200_000, "more than 100000 bytes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_files_are_refused_in_one_line(load, text, says):
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        load(text)
    message = str(caught.value)
    assert says in message
    assert message.startswith("config: ") and "config.yaml" in message
    assert "\n" not in message and len(message) < 600
    assert time.monotonic() - start < 60.0  # a bomb would take hours


def test_bad_paths_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_config(tmp_path / "nothing.yaml")
    with pytest.raises(InputError, match="is a folder"):
        load_config(tmp_path)
    with pytest.raises(InputError, match="NUL"):
        load_config(Path("a\0b"))
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    with pytest.raises(InputError, match="not a regular file"):
        load_config(tmp_path / "pipe")


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5)
)
def test_any_value_is_accepted_or_refused_in_one_line(value):
    for values in (value, {"replay": value}, {"replay": {"speed": value}}, {"orchestrator": {"profile": value}}):
        try:
            config_from_values(values, "test")
        except InputError as error:
            assert len(str(error).splitlines()) == 1


def test_the_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config().replay.speed = 3.0


def test_iter_fields_refuses_what_ros_cannot_declare():
    class Exclusive(BaseModel):
        x: float = Field(default=1.0, gt=0.0)

    class Nested(BaseModel):
        x: list[int] = Field(default=[])

    class Numbers(BaseModel):
        x: Literal[1, 2] = 1

    with pytest.raises(TypeError, match="x: use ge and le"):
        list(iter_fields(Exclusive))
    with pytest.raises(TypeError, match="x: a setting is"):
        list(iter_fields(Nested))
    with pytest.raises(TypeError, match="x: a setting is"):
        list(iter_fields(Numbers))


def test_what_goes_to_a_server_is_a_mapping_or_its_text(load):
    body = {"chat_template_kwargs": {"enable_thinking": False}, "seed": None}
    config = load(f"language_model: {{extra_body: {json.dumps(body)}, headers: {{X-Title: robot}}}}").language_model
    assert (config.body, config.header_lines) == (body, {"X-Title": "robot"})
    assert config_from_flat({"language_model.extra_body": json.dumps(body)}, "test").language_model.body == body
    assert load(to_yaml(Config(language_model=config))).language_model == config
