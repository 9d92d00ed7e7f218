"""Games are read from ALFWorld's folder and from compact files, strictly."""

import json
import lzma
from dataclasses import replace

import pytest
from alfworld_fixtures import a_game, write_folder

from rarrl.alfred import AlfredPlan, Annotation
from rarrl.errors import InputError
from rarrl_sim_envs.alfworld.games import games_folder, in_peoples_words, read_games

GAMES = (a_game(), a_game("look_at_obj_in_light", "Book", "DeskLamp", walkthrough=("go to desk 1", "use desklamp 1")))


def line(game, **changes):
    value = {"task": game.task, "trial": game.trial, "goal": f"Your task is to: {game.goal}"}
    value |= {"pddl_problem": game.problem, "walkthrough": list(game.walkthrough), "solvable": game.solvable}
    return json.dumps(value | {"pddl_domain": 0, "grammar": 0} | changes)


@pytest.fixture
def compact(tmp_path):
    def write(*lines, name="alfworld_valid_seen.jsonl.xz"):
        path = tmp_path / name
        text = ("\n".join(lines) + "\n").encode()
        path.write_bytes(lzma.compress(text) if name.endswith(".xz") else text)
        return path

    return write


def test_a_folder_and_a_compact_file_hold_the_same(tmp_path, compact):
    folder = write_folder(tmp_path / "games", GAMES)
    path = compact(*map(line, GAMES))
    assert set(read_games(folder)) == set(read_games(path)) == set(GAMES)
    assert read_games(folder, "valid_seen", n=1) == read_games(folder)[:1]
    assert read_games(path.parent, "valid_seen") == read_games(path)
    one = next(folder.rglob("game.tw-pddl"))
    assert read_games(one)[0] in GAMES


def test_what_a_game_is_about():
    game = GAMES[1]
    assert (game.task_type, game.thing, game.place, game.home) == ("look_at_obj_in_light", "book", "desklamp", "1")
    assert game.goal == "look at book under the desklamp."


def test_what_alfworlds_expert_has_not_solved_is_left_out(compact):
    path = compact(line(GAMES[0]), line(GAMES[1], solvable=False))
    assert read_games(path) == GAMES[:1]
    assert [game.solvable for game in read_games(path, unsolvable=True)] == [True, False]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("{",), "line 1 is not whole JSON"),
        ((line(GAMES[0]), "[]"), "line 2: .* is not allowed"),
        ((line(GAMES[0], task="pick_up-Mug-None-Desk-1"),), "task 'pick_up-Mug-None-Desk-1' is none"),
        ((line(GAMES[0], task="pick_and_place_simple-Mug"),), "is none"),
        ((line(GAMES[0], goal=7),), "key goal: 7 is not allowed"),
        ((line(GAMES[0], pddl_problem="x" * (5 << 20)),), "line 1 is beyond what is read"),
        (("",), "holds no games"),
    ],
)
def test_a_bad_line_is_refused_in_one_line(compact, lines, said):
    with pytest.raises(InputError, match=said) as error:
        read_games(compact(*lines))
    assert "\n" not in str(error.value) and "ALFWorld" in str(error.value)


def test_a_file_that_is_no_xz_is_refused(compact):
    path = compact(line(GAMES[0]))
    path.write_bytes(b"no xz")
    with pytest.raises(InputError, match="cannot be read"):
        read_games(path)


def test_a_game_without_a_task_is_refused(tmp_path):
    folder = write_folder(tmp_path, GAMES[:1])
    path = next(folder.rglob("game.tw-pddl"))
    path.write_text(json.dumps({"grammar": "", "pddl_problem": ""}), "utf-8")
    with pytest.raises(InputError, match="its grammar holds no"):
        read_games(folder)


def test_where_games_are_looked_for(tmp_path):
    assert games_folder(tmp_path, {}) == tmp_path
    assert games_folder(None, {"ALFWORLD_DATA": str(tmp_path)}) == tmp_path
    with pytest.raises(InputError, match="does not exist; get the games with `alfworld-download`"):
        games_folder(None, {"ALFWORLD_DATA": str(tmp_path / "none")})
    with pytest.raises(InputError, match="holds no games of split train; get the games"):
        read_games(tmp_path, "train")


def test_goals_as_people_wrote_them():
    game = replace(GAMES[0], trial="trial_T1")
    said = (Annotation("Put a cup on the desk", ()), Annotation("  take the mug\nto the desk ", ()))
    plans = [
        AlfredPlan(game.task_type, "FloorPlan1", "trial_T1", (), (), (), said),
        AlfredPlan("look_at_obj_in_light", "FloorPlan1", "trial_T1", (), (), (), (Annotation("another task", ()),)),
    ]
    found = in_peoples_words([game, GAMES[1]], plans)
    assert [each.goal for each in found] == ["Put a cup on the desk", "take the mug to the desk"]
    assert {each.problem for each in found} == {game.problem}
