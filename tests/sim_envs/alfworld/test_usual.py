"""Where things usually are is counted, and shared out among the receptacles of a home."""

import pytest
from alfworld_fixtures import a_game

from rarrl_sim_envs.alfworld.usual import PRIOR_PLACES, PRIOR_THINGS, count_usual, shares, shipped_usual


def test_things_are_counted_by_the_receptacle():
    usual = count_usual([a_game(), a_game("pick_two_obj_and_place", "Pen")])
    assert usual["pen"]["drawer"] == round((4 + PRIOR_THINGS) / (4 + PRIOR_PLACES), 5)  # 2 pens in 2 drawers, twice
    assert usual["pen"]["desk"] == round(PRIOR_THINGS / (2 + PRIOR_PLACES), 5)
    assert set(usual) == {"mug", "apple", "knife", "plate", "pan", "pen", "book", "desklamp"}


def test_shares_of_a_home():
    found = shares(
        "mug", {"desk_1": "desk", "shelf_1": "shelf", "shelf_2": "shelf"}, {"mug": {"desk": 0.6, "shelf": 0.2}}
    )
    assert found == {"desk_1": 0.6, "shelf_1": 0.2, "shelf_2": 0.2}
    alike = shares("pet", {"desk_1": "desk", "bed_1": "bed"}, {})  # of what was never seen nothing is known
    assert alike["desk_1"] == alike["bed_1"]


def test_what_is_shipped():
    usual = shipped_usual()
    assert usual["mug"]["coffeemachine"] > usual["mug"]["bed"]
    assert usual["soapbar"]["toilet"] > usual["soapbar"].get("sofa", 0.0)
    assert all(0.0 < rate < 10.0 for rates in usual.values() for rate in rates.values())
    assert sum(shares("mug", {"desk_1": "desk", "bed_1": "bed"}, usual).values()) == pytest.approx(1.0, abs=0.01)
