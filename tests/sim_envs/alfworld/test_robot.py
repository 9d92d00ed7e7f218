"""The robot knows what the text says, and nothing else."""

import pytest
from alfworld_fixtures import KITCHEN, a_game, write_folder

from rarrl.clock import ManualClock
from rarrl.errors import InputError
from rarrl.executive.executive import TaskExecutive, TaskStatus
from rarrl.executive.play import play_task
from rarrl.skills.domain import load_robot
from rarrl.skills.outcome import Outcome
from rarrl.skills.plan import Step
from rarrl_sim_envs.alfworld import robot
from rarrl_sim_envs.alfworld.games import TASK_TYPES
from rarrl_sim_envs.alfworld.robot import AlfworldPlayer, domain_of, perform
from rarrl_sim_envs.alfworld.twin import Twin

GAMES = {
    "pick_and_place_simple": a_game(),
    "look_at_obj_in_light": a_game("look_at_obj_in_light", "Book", "DeskLamp"),
    "pick_clean_then_place_in_recep": a_game("pick_clean_then_place_in_recep", "Plate", "Drawer"),
    "pick_heat_then_place_in_recep": a_game("pick_heat_then_place_in_recep", "Apple", "Fridge"),
    "pick_cool_then_place_in_recep": a_game("pick_cool_then_place_in_recep", "Pan", "CounterTop"),
    "pick_two_obj_and_place": a_game("pick_two_obj_and_place", "Pen", "Desk"),
}


class Lies:
    """A game whose text says something else than what is: `said` -> `instead`."""

    def __init__(self, game, said, instead):
        self.game, self.said, self.instead = game, said, instead

    def step(self, command):
        return self.game.step(command).replace(self.said, self.instead)


def play(game, **lie):
    twin = Twin(game)
    domain = domain_of(twin.reset())
    player = AlfworldPlayer(Lies(twin, **lie) if lie else twin, domain)
    end = play_task(TaskExecutive(domain), game.goal, player, ManualClock())
    return twin, end, [said.command for said in player.log]


def begun(game=None, commands=50):
    twin = Twin(game or a_game())
    return AlfworldPlayer(twin, domain_of(twin.reset()), commands), twin


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_it_does_each_type_of_task_by_the_sentence_alone(task_type):
    twin, end, commands = play(GAMES[task_type])
    assert twin.won and end.status is TaskStatus.SUCCEEDED, commands
    assert len(commands) <= 16


def test_a_lying_observation_changes_what_it_does():
    game = a_game("pick_and_place_simple", "Plate", "Desk")
    twin, _, honest = play(game)
    assert twin.won and "take plate 1 from countertop 1" in honest

    twin, end, misled = play(game, said="a plate 1", instead="a pan 9")  # the plate is where it was
    assert not any(command.startswith("take plate") for command in misled)
    assert not twin.won and end.status is TaskStatus.FAILED
    assert len(misled) > len(honest)


def test_a_thing_that_is_not_there_though_the_text_says_so_is_looked_for_elsewhere():
    home = {"Desk_1": ("Pen",), "Drawer_1": ("Mug",), "CounterTop_1": ()}
    game = a_game(home=home, place="CounterTop")
    twin, _, commands = play(game, said="a pen 1", instead="a mug 7")
    assert "take mug 7 from desk 1" in commands  # it believes the text
    assert twin.won and "take mug 1 from drawer 1" in commands  # and then the refusal


def test_the_world_of_a_home():
    domain = domain_of(Twin(a_game()).reset())
    assert set(domain.world.places) == {name.lower() for name in KITCHEN}
    assert domain.world.places["drawer_2"].opens and not domain.world.places["drawer_2"].open
    assert sum(domain.world.things["mug"].usual.values()) <= 1.001
    assert domain is domain_of(Twin(a_game("pick_two_obj_and_place", "Pen")).reset())
    assert {"clean", "heat", "cool"} <= set(domain.skills.skills)

    bedroom = domain_of(Twin(a_game(home={"Bed_1": ("Book",), "Desk_1": ("Mug",)})).reset())
    assert not {"clean", "heat", "cool"} & set(bedroom.skills.skills)
    assert bedroom.skills.examples[0].say == "put some mug on desk"  # a bed is soft
    with pytest.raises(InputError, match="ALFWorld: the opening text names no receptacles"):
        domain_of("You are nowhere.")


def test_the_shipped_files_are_a_home_with_one_of_each():
    domain = load_robot("alfworld")
    assert domain.skills.skills.keys() >= {"look", "go", "open", "close", "take", "put", "clean", "heat", "cool", "use"}
    assert all(name.endswith("_1") for name in domain.world.places)


def test_people_name_places_and_things_as_they_like():
    domain = domain_of(Twin(a_game()).reset())
    assert domain.lexicon.named("put a cold apple into the refrigerator") == {"apple", "fridge_1"}
    assert "sinkbasin_1" in domain.lexicon.named("wash it in the sink")


def test_what_it_has_put_somewhere_it_takes_again_only_where_no_other_one_is_left():
    player, twin = begun(a_game(home={"Desk_1": ("Mug", "Mug"), "Bed_1": ()}))
    for row in ("go desk_1", "take mug", "put mug desk_1", "take mug"):
        skill, *arguments = row.split()
        assert player.run(Step(skill, tuple(arguments)), 10.0).outcome is Outcome.SUCCESS
    assert [said.command for said in player.log if said.command.startswith("take")] == [
        "take mug 1 from desk 1",
        "take mug 2 from desk 1",
    ]
    assert twin.step("inventory") == "You are carrying: a mug 2."


def test_what_stands_on_two_receptacles_is_not_believed_to_be_where_it_was_taken_from():
    """A safe stands on a dresser: the world tells of what is in it on both."""
    game = a_game(home={"Dresser_1": ("Pen",), "Shelf_1": (), "Bed_1": ()})
    facts = game.problem.replace("(:init", "(:init (inReceptacle Pen_bar_01 Shelf_bar_01)")
    player, _ = begun(type(game)(game.task, game.trial, game.goal, facts))
    run = lambda *row: player.run(Step(row[0], row[1:]), 10.0)  # noqa: E731
    run("go", "shelf_1")
    run("take", "pen")
    seen = run("go", "dresser_1")
    assert "pen 1" in seen.why and seen.fields["things"] == []
    run("go", "bed_1")
    run("put", "pen", "bed_1")
    assert run("look", "bed_1").fields["things"] == [{"class": "pen", "place": "bed_1"}]
    assert run("go", "dresser_1").fields["things"] == []
    assert run("take", "pen").outcome is Outcome.REFUSED


def test_an_arrival_where_it_is_already_is_looked_at():
    player, _ = begun()
    assert player.run(Step("go", ("drawer_1",)), 10.0).seconds == 5.0
    again = player.run(Step("go", ("drawer_2",)), 10.0)
    assert (again.outcome, again.seconds) == (Outcome.SUCCESS, 7.0)
    assert [said.command for said in player.log][-2:] == ["go to drawer 2", "examine drawer 2"]
    assert "things" not in again.fields  # it is shut


def test_the_game_is_over_after_so_many_commands():
    player, _ = begun(commands=2)
    player.run(Step("go", ("desk_1",)), 10.0)
    player.run(Step("look", ("desk_1",)), 10.0)
    end = player.run(Step("look", ("desk_1",)), 10.0)
    assert (end.outcome, end.why, len(player.log)) == (Outcome.LOST, "the game is over: 2 commands were given", 2)


def test_a_node_runs_the_skills_as_python(tmp_path, monkeypatch):
    monkeypatch.delenv("ALFWORLD_GAME", raising=False)
    with pytest.raises(InputError, match="ALFWORLD_GAME is not set"):
        perform("go desk_1")
    folder = write_folder(tmp_path, [a_game()])
    monkeypatch.setenv("ALFWORLD_GAME", str(next(folder.rglob("game.tw-pddl"))))
    robot._player.cache_clear()
    assert perform("go desk_1").outcome is Outcome.SUCCESS
    assert "book 1" in perform("look desk_1").why
