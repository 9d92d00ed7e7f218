"""`rarrl demo --alfworld`."""

import pytest
from alfworld_fixtures import a_game, write_folder
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.errors import InputError
from rarrl_learning.alfworld import demo
from rarrl_learning.alfworld.demo import choose, play_games

GAMES = [
    a_game(),
    a_game("pick_clean_then_place_in_recep", "Plate", "Desk"),
    a_game("look_at_obj_in_light", "Book", "DeskLamp"),
]


def test_games_are_chosen_from_each_type_in_turn():
    more = [*GAMES, a_game(thing="Apple"), a_game(thing="Pen")]
    assert [game.task_type for game in choose(more, 4, 0)] == [
        "pick_and_place_simple",
        "look_at_obj_in_light",
        "pick_clean_then_place_in_recep",
        "pick_and_place_simple",
    ]
    assert choose(more, 1, 1)[0].thing == "apple"


def test_games_are_played_and_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "find_spec", lambda name: None)  # nobody to ask
    shown = play_games(tmp_path, 3, games=write_folder(tmp_path / "games", GAMES))
    assert [each.won for each in shown.transcripts] == [True] * 3
    assert {each.policy for each in shown.transcripts} == {"no model"}
    assert shown.text.read_text("utf-8").count("succeeded: ") == 3
    assert "<!doctype html>" in shown.page.read_text("utf-8")


def test_without_games_it_says_how_to_get_them(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="alfworld-download"):
        play_games(tmp_path, 1, games=tmp_path)
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path / "none"))
    done = CliRunner().invoke(app, ["demo", "--alfworld", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "get the games with `alfworld-download`" in " ".join(done.output.split())
    assert not (tmp_path / "run").exists()
    done = CliRunner().invoke(app, ["demo", "--alfworld", "--quick"])
    assert done.exit_code == 2 and "--quick: not with --alfworld" in done.output
