"""Which expert a goal gets; what they do is in test_expert.py and test_fixtures.py."""

import pytest

from rarrl_sim_envs.libero import experts


@pytest.fixture
def kind(monkeypatch):
    """Goal -> the name of its expert, without a simulator."""
    for name in ("PickAndPlace", "Push", "Turn", "Pull", "NoExpert"):
        monkeypatch.setattr(experts, name, lambda *arguments, name=name: name)

    class Base:
        obj_body_id = dict.fromkeys(("plate_1", "bowl_1", "wooden_cabinet_1", "butter_1"), 0)

    return lambda *goal: experts.expert_for(Base(), None, None, None, goal)


def test_goals_get_the_expert_of_their_kind(kind):
    assert kind("in", "butter_1", "basket_1_contain_region") == "PickAndPlace"
    assert kind("on", "bowl_1", "plate_1") == "PickAndPlace"
    assert kind("on", "plate_1", "main_table_stove_front_region") == "Push"
    assert kind("on", "plate_1", "flat_stove_1_cook_region") == "PickAndPlace"
    assert kind("turnon", "flat_stove_1") == "Turn"
    assert kind("open", "wooden_cabinet_1_middle_region") == "Pull"


def test_what_goes_into_a_drawer_has_none(kind):
    assert kind("in", "bowl_1", "wooden_cabinet_1_top_region") == "NoExpert"
    assert kind("turnoff", "flat_stove_1") == "NoExpert"
