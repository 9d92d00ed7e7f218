"""Definitions of message types: complete, and those of `rarrl.bag.definitions` the same as ROS has."""

import pytest

from rarrl.bag.definitions import DEFINITIONS
from rarrl_nodes.bag_types import SEPARATOR, definition_of


def fields(text):
    """Type -> its fields without comments, constants and defaults, of a definition and all that it is made of."""
    own, *others = text.split(f"{SEPARATOR}\n")
    found = {}
    for part in (f"MSG: own\n{own}", *others):
        name, *lines = part.splitlines()
        stripped = (line.partition("#")[0].split() for line in lines)
        found[name] = [
            (kind.rpartition("/")[2], field)
            for kind, field, *rest in filter(None, stripped)
            if "=" not in "".join((field, *rest))
        ]
    return found


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_ours_are_those_of_ros(kind):
    text = definition_of(kind)
    if text is None:
        pytest.skip("ROS's definitions are missing: pip install 'rarrl[ros]', or source a ROS 2")
    theirs, ours = fields(text), fields(DEFINITIONS[kind])
    assert set(ours) <= set(theirs) | {"MSG: own"}
    for name, its in ours.items():
        assert its == theirs[name]


def test_a_definition_brings_along_what_it_is_made_of(tmp_path, monkeypatch):
    for name, text in {"A": "B[] b  # C c\nint32 X=1\nother/D[<=3] d\nstring<=5 s\n", "B": "float32[4] x\n"}.items():
        path = tmp_path / "share" / "own" / "msg" / f"{name}.msg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert definition_of("own/msg/A") is None  # other/D is missing
    (tmp_path / "share" / "other" / "msg").mkdir(parents=True)
    (tmp_path / "share" / "other" / "msg" / "D.msg").write_text("")
    definition_of.cache_clear()
    assert definition_of("own/msg/A").split(f"{SEPARATOR}\n")[1:] == ["MSG: own/B\nfloat32[4] x\n\n", "MSG: other/D\n"]
    definition_of.cache_clear()
