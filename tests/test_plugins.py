"""Tables that users add to, and objects by their import path: what is refused, and in which words."""

import pytest

from rarrl.errors import InputError
from rarrl.plugins import Table, did_you_mean, import_object, is_import_path, make_by_path


def test_a_table_keeps_order_and_refuses_what_cannot_be_told_apart():
    table = Table("rule")
    table.register("one", 1)
    table.register("two_2", 2)
    assert list(table) == ["one", "two_2"] and list(table.values()) == [1, 2]
    for name in ("one", "", "One", "a:b", "a/b", "../x", "1", "a.b"):
        with pytest.raises(ValueError, match="rule"):
            table.register(name, 3)
    table.unregister("one")
    assert "one" not in table and table["two_2"] == 2


@pytest.mark.parametrize("text", ["own_parts:Dial", "a.b.c:D", "a:B.make"])
def test_import_paths(text):
    assert is_import_path(text)


@pytest.mark.parametrize(
    "text", ["", "Dial", "a.b", ":D", "a:", "a b:C", "a/b:C", "llama:/x.gguf", 'interval:{"every": 3}', "a:B()"]
)
def test_what_is_no_import_path(text):
    assert not is_import_path(text)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module:X", "cannot be imported"),
        ("own_parts:Dail", "did you mean 'Dial'"),
        ("own_parts:Dial.nothing", "has no nothing"),
    ],
)
def test_what_cannot_be_imported_is_one_line(path, message):
    with pytest.raises(InputError, match=message) as error:
        import_object(path, "policy")
    assert "\n" not in str(error.value) and str(error.value).startswith("policy: ")


def test_a_module_that_fails_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "broken_part.py").write_text("raise RuntimeError('two\\nlines')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="RuntimeError: two lines") as error:
        import_object("broken_part:X", "policy")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("own_parts:NUMBER", "is a int"),
        ("own_parts:needs_an_argument", "called without arguments it failed"),
        ("own_parts:Speechless", "has no infer"),
    ],
)
def test_what_does_not_make_the_part_is_one_line(path, message):
    with pytest.raises(InputError, match=message):
        make_by_path(path, "policy", ("spec", "infer", "reset"))


BAD = """
class Prop:
    name = "prop"
    @property
    def act(self):
        raise RuntimeError("not yet")
thing = Prop()
class Exits:
    def __init__(self):
        raise SystemExit("bye")
"""


@pytest.fixture
def bad(tmp_path, monkeypatch):
    """Modules of a user that exit, or have a property that raises."""
    (tmp_path / "bad_part.py").write_text(BAD)
    (tmp_path / "exiting_part.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("exiting_part:X", "cannot be imported (SystemExit: 3)"),
        ("bad_part:Exits", "called without arguments it failed (SystemExit: bye)"),
        ("bad_part:Prop", "reading act failed (RuntimeError: not yet)"),
        ("bad_part:thing.act", "reading act failed (RuntimeError: not yet)"),
        ("math:pi.foo", "math has no foo"),
    ],
)
def test_what_exits_or_raises_when_it_is_read_is_one_line(bad, path, message):
    with pytest.raises(InputError) as error:
        make_by_path(path, "policy", ("name", "act"))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_name_in_capitals_is_recognised():
    assert did_you_mean("LEARNED", ("learned", "never")) == "; did you mean 'learned'?"
    assert did_you_mean("dial", ("Dial",)) == "; did you mean 'Dial'?"
