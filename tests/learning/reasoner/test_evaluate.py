"""Figures of a reasoner whose faults are known."""

import numpy as np
import pytest

from rarrl.alfred import AlfredData
from rarrl.alfred_plans import expert_plan
from rarrl.errors import InputError
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Fault, Verdict
from rarrl.types import CallStatus, Role
from rarrl_learning.reasoner.curriculum import renamed
from rarrl_learning.reasoner.evaluate import Bootstrap, auc, evaluate


class Known:
    """Level 1 takes every mug for a cup, level 2 does not; the verifier knows it, and so does who is asked again."""

    name = "known"

    def __init__(self, plans, blind=False):
        self.right = {a.goal: expert_plan(plan) for plan in plans for a in plan.annotations}
        self.blind = blind

    def ask(self, request):
        right, answer = self.right[request.goal], {"plan": None, "verdict": None}
        if request.role is Role.PLANNER:
            wrong = request.level == 1 and request.plan is None
            answer["plan"] = renamed(right, "mug", "cup") if wrong else right
        else:
            ok = self.blind or request.plan == right
            answer["verdict"] = Verdict(ok, None if ok else Fault.OBJECT, 0.9 if ok else 0.2)
        return Answer(request.decision, request.role, request.level, CallStatus.OK, 0.1, "known", 5, 10, **answer)

    def close(self):
        pass


@pytest.fixture
def data(made_up_plans):
    return AlfredData(tuple(made_up_plans), [], "0" * 64, "made_up")


def test_known_faults_give_known_figures(data, made_up_plans):
    figures, tables = evaluate(Known(made_up_plans), data, seed=0)
    assert figures["task_type_accuracy"].value == 1.0
    assert figures["object_accuracy"].value == 0.75  # one object of four
    assert figures["all_parameters_accuracy"].value == 0.75
    assert figures["plan_accuracy_level1"].value == 0.75
    assert figures["plan_accuracy_level2"].value == 1.0
    assert figures["gain_level2"].value == 0.25
    assert figures["gain_level2"].lo > 0.0
    assert figures["gain_verifier"].value == 0.25
    assert figures["verifier_auc"].value == 1.0
    assert figures["gain_level2"].n == 64
    assert tables["by_task_type"]["pick_heat_then_place_in_recep"]["n"] == 32


def test_a_blind_verifier_gains_nothing(data, made_up_plans):
    figures, _ = evaluate(Known(made_up_plans, blind=True), data, seed=0)
    assert figures["gain_verifier"].value == 0.0
    assert figures["verifier_auc"].value == 0.5


def test_a_reasoner_that_is_down_scores_nothing_and_breaks_nothing(data):
    class Down:
        name = "down"

        def ask(self, request):
            return Answer(request.decision, request.role, request.level, CallStatus.BACKEND_DOWN, 0.0, "down")

    figures, _ = evaluate(Down(), data, seed=0)
    assert figures["all_parameters_accuracy"].value == 0.0
    assert figures["plan_accuracy_level2"].value == 0.0
    assert "verifier_auc" not in figures


def test_without_parameters_there_is_nothing_to_judge(made_up_plans):
    from dataclasses import replace

    plans = tuple(replace(plan, parameters=None) for plan in made_up_plans)
    with pytest.raises(InputError, match="goal parameters"):
        evaluate(Known(plans), AlfredData(plans, [], "0" * 64, "made_up"), seed=0)


def test_clusters_widen_the_interval():
    values = np.repeat([0.0, 1.0] * 25, 4)
    alone = Bootstrap(range(200), 0).mean(values)
    together = Bootstrap(np.repeat(range(50), 4), 0).mean(values)
    assert alone.value == together.value == 0.5
    assert together.hi - together.lo > 1.6 * (alone.hi - alone.lo)


def test_auc_by_hand():
    scores, positive = np.array([0.9, 0.2, 0.8, 0.1]), np.array([True, True, False, False])
    assert auc(scores, positive, np.ones(4)) == 0.75
    assert auc(scores, positive, np.array([1.0, 0.0, 1.0, 1.0])) == 1.0
