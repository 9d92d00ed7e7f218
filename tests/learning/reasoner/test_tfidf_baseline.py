"""The tf-idf baseline, on made-up plans."""

import pytest

pytest.importorskip("sklearn")

from rarrl_learning.reasoner.curriculum import FIELDS, annotated_plans, fields
from rarrl_learning.reasoner.tfidf_baseline import TfidfBaseline, field_hits, with_confusions


def goals_and_fields(plans):
    pairs = [(a.goal, fields(plan.task_type, plan.parameters)) for plan in plans for a in plan.annotations]
    return [goal for goal, _ in pairs], [target for _, target in pairs]


def test_it_names_the_parameters_it_has_seen(made_up_plans):
    goals, targets = goals_and_fields(made_up_plans)
    model = TfidfBaseline(goals, targets)
    assert field_hits(goals, targets, model).mean() > 0.95
    hits = field_hits(
        ["a hot egg belongs on the sofa"], [("pick_heat_then_place_in_recep", "egg", "sofa", "", "", False)], model
    )
    assert hits.shape == (1, len(FIELDS)) and hits.all()


def test_confusions_are_other_classes_of_the_same_field(made_up_plans):
    training_set = with_confusions(annotated_plans(made_up_plans))
    assert [a.goal for a in training_set] == [a.goal for a in annotated_plans(made_up_plans)]
    things, places = {"mug", "apple", "plate", "egg"}, {"desk", "shelf", "fridge", "sofa"}
    for annotated in training_set:
        assert annotated.confusions
        for true, others in annotated.confusions.items():
            assert true not in others and set(others) <= (things if true in things else places)
