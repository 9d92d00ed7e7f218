"""`rarrl/AlfWorld-v0`."""

import gymnasium
import pytest
from alfworld_fixtures import a_game, write_folder
from gymnasium.utils.env_checker import check_env

import rarrl_sim_envs  # noqa: F401
from rarrl.errors import DependencyMissingError, InputError

GAME = a_game()
WAY = ("go to countertop 1", "take mug 1 from countertop 1", "go to desk 1", "move mug 1 to desk 1")


def make(**arguments):
    return gymnasium.make("rarrl/AlfWorld-v0", **{"games": [GAME], **arguments})


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the render mode
def test_it_passes_the_checker():
    check_env(make(render_mode="ansi").unwrapped)


def test_a_game_is_won_by_its_commands():
    env = make(render_mode="ansi")
    observation, info = env.reset(seed=1)
    assert observation["task"] == GAME.goal and "Your task is to" in observation["text"]
    assert info["game"] == GAME.name and "go to desk 1" in info["possible"]
    results = [env.step(command)[1:4] for command in WAY]
    assert results == [(0.0, False, False)] * 3 + [(1.0, True, False)]
    assert env.render() == "> move mug 1 to desk 1\nYou move the mug 1 to the desk 1."


def test_it_is_cut_off_after_fifty_commands():
    env = make()
    env.reset(seed=1)
    *_, last = (env.step("look") for _ in range(50))
    assert last[1:4] == (0.0, False, True)
    assert (last[4]["commands"], last[4]["is_success"]) == (50, False)


def test_games_are_drawn_from_the_seed_or_named(tmp_path):
    games = [GAME, a_game("pick_two_obj_and_place", "Pen"), a_game("look_at_obj_in_light", "Book", "DeskLamp")]
    env = make(games=write_folder(tmp_path, games))
    drawn = [env.reset(seed=seed)[1]["game"] for seed in range(12)]
    assert drawn == [env.reset(seed=seed)[1]["game"] for seed in range(12)]
    assert set(drawn) == {game.name for game in games}
    assert env.reset(options={"game": games[2].name})[0]["task"] == games[2].goal


def test_what_it_refuses(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"engine 'textwold' is unknown \(allowed: twin, textworld\).*textworld"):
        make(engine="textwold")
    with pytest.raises(InputError, match="no games were given"):
        make(games=[])
    with pytest.raises(InputError, match="no game 'mine' among the 1"):
        make().reset(options={"game": "mine"})
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path / "none"))
    with pytest.raises(DependencyMissingError, match="alfworld-download"):
        make(games=None).reset()
