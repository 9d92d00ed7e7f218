"""Rooms: repeatable, with what is needed, and every piece within the robot's reach."""

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl_sim_envs.household.catalogue import FURNITURE
from rarrl_sim_envs.household.home import ROBOT_M, cell, distances, draw_home


@pytest.mark.parametrize("seed", range(6))
def test_a_home_holds_what_is_required_and_nothing_overlaps(seed):
    required = ("fridge", "sinkbasin", "bed", "microwave")
    home = draw_home(np.random.default_rng(seed), required)
    assert home == draw_home(np.random.default_rng(seed), required)
    assert set(required) <= set(home.places)
    boxes = [place.box for place in home.places.values()]
    for i, a in enumerate(boxes):
        assert min(a[:2]) >= 0 and a[2] <= home.size[0] and a[3] <= home.size[1]
        for b in boxes[i + 1 :]:
            assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
    for place in home.places.values():
        for slot in place.slots:
            x, y, heading = place.stand(slot)
            assert distances(np.array([(x, y)]), home.boxes).min() > ROBOT_M
            assert np.hypot(slot[0] - x, slot[1] - y) < 0.65
            assert np.cos(heading) * (slot[0] - x) + np.sin(heading) * (slot[1] - y) > 0.5


def test_clearance_is_the_distance_to_the_nearest_footprint_and_the_door_counts_when_shut():
    home = draw_home(np.random.default_rng(1), ())
    door = ((home.door[0] + home.door[2]) / 2, (home.door[1] + home.door[3]) / 2)
    open_, shut = home.clearance(True), home.clearance(False)
    assert open_[cell(open_, *door)] > 0.3 and shut[cell(shut, *door)] == 0.0
    assert (shut <= open_).all()


def test_homes_that_cannot_be_say_why():
    with pytest.raises(InputError, match="no furniture throne"):
        draw_home(np.random.default_rng(0), ("throne",))
    with pytest.raises(InputError, match="do not fit"):
        draw_home(np.random.default_rng(0), tuple(FURNITURE))
