"""Every parser bears a few hundred damaged inputs; benchmarks/fuzz.py does the hundred thousand. And it can lose."""

import json
import logging
import os
import random
import signal

import fuzz
import pytest
from fuzz_mutators import damaged_tree, json_of, with_raw
from fuzz_targets import DEAR, TARGETS, Target
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.errors import InputError
from rarrl.strict_json import parse_json
from rarrl.strict_yaml import parse_yaml


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_parser_bears_damage(target, tmp_path):
    if why := target.missing():
        pytest.skip(why)
    parse, mutate = target.start(tmp_path)
    found, seen = fuzz.Found(), set()
    for number in range(30 if target.runs == DEAR else 200):
        fuzz.run_once(target, parse, mutate(random.Random(f"quick {number}")), found, seen, str(tmp_path))
    assert found.crashes == {}
    assert found.executions == found.accepted + found.refused


def crashes_of(parse, runs=3, **more):
    target = Target("a parser", lambda place: (parse, lambda rng: b"x"), native=True, **more)
    return fuzz.fuzz(target, runs, 0).crashes


def raises(error):
    def parse(data):
        raise error

    return parse


@pytest.mark.parametrize(
    ("parse", "kind"),
    [
        (raises(KeyError("a")), "KeyError"),
        (raises(RecursionError()), "RecursionError"),
        (raises(SystemExit(1)), "SystemExit"),
        (lambda data: os.kill(os.getpid(), signal.SIGSEGV), "native fault (SIGSEGV)"),
        (lambda data: os._exit(0), "exit"),
    ],
)
def test_what_is_no_documented_error_is_a_crash(parse, kind):
    (found,) = crashes_of(parse).items()
    assert found[0].startswith(kind) and found[1] == 3


def test_an_input_that_takes_too_long_is_one(monkeypatch):
    monkeypatch.setattr(fuzz, "HANG_S", 0.05)

    def endless(data):
        while True:
            pass

    assert list(crashes_of(endless, runs=1)) == ["more than 0 s"]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("two\nlines", "message of several lines"),
        ("\x1b[2J", "message with control characters"),
        ("x" * 3000, "message of more than 2000 characters"),
        ("", "empty message"),
    ],
)
def test_a_message_that_is_no_line_is_one(message, kind):
    assert crashes_of(raises(ValueError(message)), errors=(ValueError,)) == {kind: 3}
    assert crashes_of(raises(InputError(message or "empty"))) == {}  # our own errors see to it


def test_a_refusal_is_none_and_equal_seeds_give_equal_inputs():
    assert crashes_of(raises(InputError("no"))) == {}
    mutate = json_of([{"a": [1, "b", {"c": None}]}])
    again = [mutate(random.Random(f"{n}")) for n in range(50)]
    assert again == [mutate(random.Random(f"{n}")) for n in range(50)]
    assert len(set(again)) > 30


def test_a_damaged_tree_can_hold_what_python_cannot_write():
    texts = [with_raw(damaged_tree({"a": [1, 2], "b": "c"}, random.Random(n)), random.Random(n)) for n in range(3000)]
    assert {"1e999", "NaN"} <= {word for text in texts for word in ("1e999", "NaN") if word in text}


# What grammars allow, beyond our seeds

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def one_line(error):
    return str(error).isprintable() and len(str(error)) <= 2000


@settings(max_examples=300)
@given(JSON, st.binary(max_size=20), st.integers(0, 200))
def test_json_is_a_value_or_one_line(value, noise, at):
    text = json.dumps(value).encode()
    for data in (text, text[:at] + noise + text[at:], noise):
        try:
            read = parse_json(data, "file", "a.json")
        except InputError as error:
            assert one_line(error)
        else:
            json.dumps(read, allow_nan=False, ensure_ascii=False).encode()  # finite, and no half pairs


@settings(max_examples=150)
@given(st.text(alphabet=st.sampled_from("ab: -[]{},&*!?|>'\"#%@\n\t\\u0d8\x00\x85\u2028"), max_size=60))
def test_yaml_is_a_value_or_one_line(text):
    try:
        parse_yaml(text, "file", "a.yaml")
    except InputError as error:
        assert one_line(error)


def test_nothing_here_turns_logging_off():
    assert logging.root.manager.disable == logging.NOTSET
