"""The tables of furniture and things agree with one another."""

from rarrl.alfred import TASK_TYPES
from rarrl_sim_envs.household.catalogue import APPLIANCES, FURNITURE, HABITS, NAMES, OBJECTS, SENTENCES


def test_the_catalogue_is_of_one_piece():
    habits = [name for names, _ in HABITS for name in names]
    assert sorted(habits) == sorted(OBJECTS)  # each thing has its places, once
    assert {place for _, places in HABITS for place in places} <= set(FURNITURE)
    assert all(kind.height <= (kind.tall or kind.height) for kind in FURNITURE.values())


def test_each_task_type_has_sentences_and_each_word_a_class():
    assert set(SENTENCES) == set(TASK_TYPES)
    assert set(NAMES) <= {*FURNITURE, *OBJECTS}
    assert set(APPLIANCES.values()) <= set(FURNITURE)


def test_things_lie_and_stand_within_half_a_slot():
    assert all(max(half[:2]) <= 0.12 for _, half in OBJECTS.values())
    assert {shape for shape, _ in OBJECTS.values()} == {"box", "ball", "can"}
