"""Plain YAML alone, and one line about what is wrong with it."""

import pytest

from rarrl.errors import InputError
from rarrl.strict_yaml import MAX_YAML_BYTES, parse_yaml, read_yaml


def test_plain_yaml():
    assert parse_yaml("a: {b: [1, 2.5, yes, null, x]}", "skills", "here") == {"a": {"b": [1, 2.5, True, None, "x"]}}
    assert parse_yaml("", "skills", "here") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "line 2, column 1: key 'a' is given twice"),
        ("a: &x 1\nb: *x", "line 1, column 4: anchors"),
        ("b: *x", "anchors|undefined"),
        ("1: a", "a key must be text, got '1'; put it in quotes"),
        ("yes: a", "put it in quotes"),
        ("? [a]\n: 1", "a key must be text"),
        ("<<: {a: 1}", "a key must be text"),
        ("a: [1", "line 1"),
        ("a: !!python/object/apply:os.system [true]", "are refused; write the value alone"),
        ("a: 2020-99-99", "not plain YAML"),
        ("a: [at {to}]", "write a text with .. in it in quotes"),
        (b"\xff\xfe\x00", "not plain YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, message):
    with pytest.raises(InputError, match=message) as error:
        parse_yaml(text, "skills", "here")
    assert str(error.value).startswith("skills: here: ")
    assert "\n" not in str(error.value)


def test_files(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    assert read_yaml(path, "skills") == {"a": 1}
    path.write_text("# " + "x" * MAX_YAML_BYTES)
    with pytest.raises(InputError, match="has more than 100000 bytes"):
        read_yaml(path, "skills")
    for wrong in (tmp_path / "none.yaml", tmp_path, tmp_path / "\0"):
        with pytest.raises(InputError):
            read_yaml(wrong, "skills")
