"""Shortest ways in pyrobosim's world, by the world's own test of what is free."""

import pytest

pytest.importorskip("pyrobosim", reason='needs pip install "rarrl[pyrobosim]"')

from rarrl_sim_envs.pyrobosim.robot import DOORS, PLACES, PyrobosimRobot


@pytest.fixture(scope="module")
def robot():
    return PyrobosimRobot()


def ends(robot, one, other):
    nodes = {place.name: place.children[0].graph_nodes[0].pose for place in robot._world.locations}
    return nodes[one], nodes[other]


@pytest.mark.parametrize("to", ["table", "desk", "dumpster", "bin"])
def test_pyrobosim_finds_no_collision_on_a_way(robot, to):
    from pyrobosim.utils.path import Path
    from pyrobosim.utils.world_collision import is_path_collision_free

    way = robot.road_map.way(*ends(robot, "fridge", to))
    assert len(way) >= 2 and is_path_collision_free(Path(poses=way), robot._robot, step_dist=0.02)


def test_a_shut_door_makes_a_way_longer_and_all_shut_leave_none(robot):
    start, goal = ends(robot, "fridge", "table")

    def metres(shut):
        return robot.road_map.lengths((start.x, start.y), shut)[-1, robot.road_map.rows_of["table"]].min()

    assert metres(()) < metres(["hall_dining_kitchen"]) < metres(["hall_dining_kitchen", "hall_dining_office"])
    assert robot.road_map.way(start, goal, DOORS) == []


def test_every_place_and_door_has_its_rows(robot):
    assert all(robot.road_map.rows_of[name] for name in (*PLACES, *DOORS))
