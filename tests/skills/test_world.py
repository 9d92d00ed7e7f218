"""`world.yaml`: what is wrong with one, and what holds in it."""

from dataclasses import replace

import pytest
from toy_robot import WORLD, toy

from rarrl.errors import InputError
from rarrl.skills.facts import Condition
from rarrl.skills.world import Place, Thing, World, load_world

TOY = toy().world
START = TOY.start_state()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("placs: {}", "key 'placs' is unknown.*did you mean 'places'"),
        ("places: {desk: {rom: hall}}", "key 'places.desk.rom' is unknown; allowed keys: room,.*did you mean 'room'"),
        ("places: {desk: {room: hall}}", "places.desk.room: 'hall' is unknown"),
        ("rooms: {hall: }\nplaces: {desk: {room: hal}}", "did you mean 'hall'"),
        ("places: {a: }\nthings: {a: }", "'a' is among places too"),
        ("places: {my desk: }", "'my desk' is no name"),
        ("things: {cup: {at: [moon]}}", "things.cup: 'moon' is unknown"),
        ("places: {a: }\nthings: {cup: {usual: {a: 1.5}}}", "1.5 is not allowed"),
        ("rooms: {a: }\ndoors: {d: {between: [a, b]}}", "doors.d.between: 'b' is unknown"),
        ("places: {a: {pose: [0, .nan, 0]}}", "places.a.pose: .0.0, nan, 0.0. is not allowed"),
        ("facts: ['']", "'' is no fact"),
        ("places: {a: }\nstart: b", "start: 'b' is unknown"),
        ("places: {a: {groups: [place]}}", "cannot name a group"),
        ("places: {a: {values: {yaw: 3}}}", "places.a.values: 'yaw' cannot name a value"),
        ("things: {a: {values: {no name: 3}}}", "things.a.values: 'no name' cannot name a value"),
        ("forbidden_pairs: [[a, b]]", "forbidden_pairs: 'a' is unknown"),
        ("hands: 21", "hands"),
        ("places: {a: {pose: [1, 2]}}", "pose"),
        ("[1, 2]", "is not allowed"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, message):
    (tmp_path / "world.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        load_world(tmp_path / "world.yaml")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"world: {tmp_path / 'world.yaml'}: ")


def test_an_empty_file_is_an_empty_world(tmp_path):
    (tmp_path / "world.yaml").write_text("")
    assert load_world(tmp_path / "world.yaml") == World()


def test_the_start():
    assert (START.at, START.room) == ("table", "hall")
    assert START.flags == {("open", "door")}
    assert START.located == {("cup", "shelf", 1)}
    assert World(**{**WORLD, "start": "kitchen"}).start_state().at == ""


@pytest.mark.parametrize(
    ("need", "thing", "holds"),
    [
        ("hand_empty", "", True),
        ("not hand_empty", "", False),
        ("at table", "", True),
        ("at shelf", "", False),
        ("at {thing.place}", "cup", False),
        ("at {thing.place}", "plate", False),
        ("reachable shelf", "", True),
        ("reachable {thing.place}", "cup", True),
        ("open door", "", True),
        ("open cupboard", "", False),
        ("open table", "", True),  # what cannot be shut always is
        ("{thing} at shelf", "cup", True),
        ("{thing} at table", "cup", False),
        ("clean {thing}", "cup", False),
    ],
)
def test_what_holds_at_the_start(need, thing, holds):
    assert TOY.holds(Condition.parse(need).filled({"thing": thing}), START) is holds


def test_shut_doors_and_rooms():
    shut = replace(START, flags=frozenset())
    assert TOY.reachable_rooms(shut) == {"hall"}
    assert [TOY.is_reachable(name, shut) for name in ("table", "door", "shelf", "kitchen")] == [
        True,
        True,
        False,
        False,
    ]
    nowhere = replace(shut, room="")  # it does not know where it is
    assert TOY.reachable_rooms(nowhere) == {"hall", "kitchen"}


def test_as_many_things_as_hands():
    two = World(**{**WORLD, "hands": 2})
    empty = Condition.parse("hand_empty")
    assert two.holds(empty, replace(START, held=("cup",)))
    assert not two.holds(empty, replace(START, held=("cup", "plate")))


def test_kinds_and_groups():
    world = World(
        places={"sink": Place(groups=("wet",)), "charger": Place(holds=False)},
        things={"cup": Thing(groups=("wet", "drink"), holds=True), "lamp": Thing(portable=False)},
    )
    assert world.names("place") == ("sink", "charger")
    assert world.names("receptacle") == ("sink", "cup")
    assert world.names("portable") == ("cup",)
    assert set(world.names("wet")) == {"cup", "sink"}
    assert world.members("<drink>") == ("cup",)
    assert world.members("cup") == ("cup",)


def test_metres():
    assert TOY.distance_m("table", "shelf") == 6.0
    assert TOY.distance_m("table", "moon") == 0.0
