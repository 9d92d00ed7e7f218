"""The twin says what TextWorld says."""

import os
import random
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from alfworld_fixtures import a_game

from rarrl.errors import InputError
from rarrl_sim_envs.alfworld.games import read_games
from rarrl_sim_envs.alfworld.textworld_game import TextWorldGame
from rarrl_sim_envs.alfworld.twin import Twin, listed, names_of

needs_textworld = pytest.mark.skipif(
    find_spec("textworld") is None or find_spec("alfworld") is None,
    reason="needs textworld and alfworld: pip install 'rarrl[alfworld]'",
)


def say(game, *commands):
    return [game.step(command) for command in commands]


def begun(*args, **kwargs):
    twin = Twin(a_game(*args, **kwargs))
    twin.reset()
    return twin


def test_the_opening_names_receptacles_and_the_task():
    text = Twin(a_game()).reset()
    assert text.startswith("-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room. Looking quickly")
    assert "you see a countertop 2, a countertop 1, a desk 1, a drawer 2, a drawer 1, a fridge 1," in text
    assert text.endswith("Your task is to: put some mug on desk.")


def test_names_count_down_as_ids_go_up():
    ids = ("mug_bar_02", "mug_bar_01", "sink_bar_03_bar_sinkbasin", "mugtype", "agent1")
    assert names_of(ids) == {"mug_bar_01": "mug 2", "mug_bar_02": "mug 1", "sink_bar_03_bar_sinkbasin": "sinkbasin 1"}
    assert [listed(""), listed(["a"]), listed("ab"), listed("abc")] == ["nothing", "a", "a, and b", "a, b, and c"]


def test_things_are_taken_and_put():
    twin = begun()
    assert say(twin, "go to countertop 2", "take mug 2 from countertop 2", "inventory") == [
        "You arrive at countertop 2. On the countertop 2, you see a apple 1, a knife 1, and a mug 2.",
        "You pick up the mug 2 from the countertop 2.",
        "You are carrying: a mug 2.",
    ]
    assert say(twin, "take apple 1 from countertop 2", "go to desk 1") == [
        "Nothing happens.",  # one hand
        "You arrive at desk 1. On the desk 1, you see a book 1, and a desklamp 1.",
    ]
    assert not twin.won
    assert say(twin, "move mug 2 to desk 1") == ["You move the mug 2 to the desk 1."]
    assert twin.won
    twin.reset()
    assert not twin.won
    assert say(twin, "inventory") == ["You are not carrying anything."]


def test_what_is_shut_is_opened_first():
    twin = begun()
    assert say(
        twin, "open fridge 1", "go to fridge 1", "take pan 1 from fridge 1", "open fridge 1", "open fridge 1"
    ) == [
        "Nothing happens.",
        "You arrive at fridge 1. The fridge 1 is closed.",
        "Nothing happens.",
        "You open the fridge 1. The fridge 1 is open. In it, you see a pan 1.",
        "Nothing happens.",
    ]
    assert say(twin, "close fridge 1", "examine fridge 1") == ["You close the fridge 1.", "The fridge 1 is closed."]


def test_receptacles_of_one_spot():
    twin = begun()
    assert say(twin, "go to drawer 1", "go to drawer 2", "examine drawer 2", "look") == [
        "You arrive at drawer 1. The drawer 1 is closed.",
        "Nothing happens.",  # it is there already
        "The drawer 2 is closed.",
        "You are facing the drawer 2, and drawer 1. Next to it, you see nothing.",
    ]


def test_treatments_and_what_is_said_of_them():
    twin = begun("pick_heat_then_place_in_recep")
    say(twin, "go to countertop 1", "take mug 1 from countertop 1")
    assert say(twin, "heat mug 1 with microwave 1", "go to microwave 1", "heat mug 1 with microwave 1") == [
        "Nothing happens.",
        "You arrive at microwave 1. The microwave 1 is closed.",
        "You heat the mug 1 using the microwave 1.",
    ]
    assert say(twin, "go to fridge 1", "cool mug 1 with fridge 1", "clean mug 1 with fridge 1")[1:] == [
        "You cool the mug 1 using the fridge 1.",
        "Nothing happens.",
    ]
    say(twin, "go to desk 1", "move mug 1 to desk 1")
    assert not twin.won  # it is cold again


def test_the_lamp_and_the_knife():
    twin = begun("look_at_obj_in_light", "Book", "DeskLamp")
    assert say(twin, "use desklamp 1", "go to desk 1", "use desklamp 1", "use desklamp 1") == [
        "Nothing happens.",
        "You arrive at desk 1. On the desk 1, you see a book 1, and a desklamp 1.",
        "You turn on the desklamp 1.",
        "You turn on the desklamp 1.",
    ]
    say(twin, "take book 1 from desk 1")
    assert twin.won
    twin.reset()
    say(twin, "go to countertop 2", "take knife 1 from countertop 2")
    assert say(twin, "slice apple 1 with knife 1", "examine knife 1", "help")[:2] == [
        "You sliced the apple 1 with the knife 1.",
        "There's nothing special about knife 1.",
    ]


@pytest.mark.parametrize(
    "command", ["", "dance", "go to moon 1", "take mug 9 from desk 1", "use mug 1", "open", "\x00"]
)
def test_what_cannot_be_done(command):
    assert say(begun(), command) == ["Nothing happens."]


def test_what_is_possible():
    twin = begun()
    say(twin, "go to fridge 1")
    ways = {f"go to {name}" for name in ("countertop 1", "countertop 2", "desk 1", "drawer 1", "drawer 2",
                                         "microwave 1", "sinkbasin 1")}  # fmt: skip
    assert set(twin.possible()) == ways | {"look", "inventory", "help", "open fridge 1", "examine fridge 1"}
    say(twin, "open fridge 1")
    assert {"take pan 1 from fridge 1", "close fridge 1"} <= set(twin.possible())
    say(twin, "take pan 1 from fridge 1")
    assert {"cool pan 1 with fridge 1", "move pan 1 to fridge 1", "examine pan 1"} <= set(twin.possible())


def test_a_problem_without_an_agent_is_refused():
    game = a_game()
    with pytest.raises(InputError, match="no agent, or no receptacles"):
        Twin(type(game)(game.task, game.trial, game.goal, "(:init (a b)) (:goal (and))"))
    with pytest.raises(InputError, match="objecttype is of two things each"):
        Twin(type(game)(game.task, game.trial, game.goal, "(:init (objectType a)) (:goal (and))"))
    with pytest.raises(InputError, match="openable is of one thing"):
        Twin(type(game)(game.task, game.trial, game.goal, "(:init (openable)) (:goal (and))"))
    facts = "(atLocation agent1 x) (receptacleAtLocation desk_bar_1 y)"
    with pytest.raises(InputError, match="is not allowed in a goal"):
        Twin(type(game)(game.task, game.trial, game.goal, f"(:init {facts}) (:goal (or (a b) (c d)))"))


def test_a_command_takes_less_than_a_millisecond():
    twin = begun()
    began = time.process_time()
    for _ in range(200):
        say(twin, "go to desk 1", "look", "examine desk 1", "go to fridge 1", "inventory")
        assert not twin.won
    assert (time.process_time() - began) / 1000 < 0.001


def some_games():
    """Games of the data set where it is there, else a kitchen of ours for each type of task."""
    folder = os.environ.get("ALFWORLD_DATA", "")
    if folder and Path(folder).is_dir():
        return read_games(Path(folder), "valid_seen")[::40]
    return (
        a_game(),
        a_game("pick_two_obj_and_place", "Pen", "Desk"),
        a_game("look_at_obj_in_light", "Book", "DeskLamp"),
    )


@needs_textworld
@pytest.mark.slow
@pytest.mark.parametrize("game", some_games(), ids=lambda game: game.task)
def test_textworld_says_the_same(game):
    real, twin, rng = TextWorldGame(game), Twin(game), random.Random(0)
    assert real.reset() == twin.reset()
    for command in game.walkthrough:
        assert (real.step(command), real.won) == (twin.step(command), twin.won), command
    if game.walkthrough:
        assert twin.won

    names = sorted(set(twin.names))
    for _ in range(40):
        a, b = rng.choice(names), rng.choice(names)
        said = [f"go to {a}", f"open {a}", f"examine {a}", f"take {a} from {b}", f"move {a} to {b}", f"use {a}", "look"]
        command = rng.choice([*said, *(each for each in twin.possible() for _ in range(3))])
        assert (real.step(command), real.won) == (twin.step(command), twin.won), command
