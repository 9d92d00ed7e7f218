"""The recipes of the shipped planner, on a model that says what the test wants."""

import math
from dataclasses import replace

import pytest

from rarrl.reasoner import deliberate
from rarrl.reasoner import prompt as p
from rarrl.reasoner.base import Request
from rarrl.reasoner.deliberate import carry_out, difference
from rarrl.reasoner.language_model import CallFailedError, Completion
from rarrl.reasoner.plan import Fault, Plan
from rarrl.types import CallStatus, Role

MUG = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "shelf"]])
CUP = Plan.from_rows([["PickupObject", "cup"], ["PutObject", "cup", "shelf"]])
SOFA = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "sofa"]])


class Scripted:
    """plans: what it writes for one prompt after the other; the last one again and again. likely: text -> score."""

    def __init__(self, plans, likely=None, verdict='{"ok":true}', p_ok=0.9, tokens=10, failures=None):
        self.plans, self.verdict, self.p, self.tokens = list(plans), verdict, p_ok, tokens
        self.likely = {p.plan_json(plan) + p.END: score for plan, score in (likely or {}).items()}
        self.likely = self.likely or {f"{text}{p.END}": -1.0 for text in self.plans}
        self.failures = failures or {}
        self.completions = 0
        self.spent = 0

    def complete(self, prompt, *, schema=None, grammar="", max_tokens=None, temperature=0.0, seed=0, alternatives=0):
        self.completions += 1
        if self.completions in self.failures:
            raise self.failures[self.completions]
        assert schema is not None
        self.spent += self.tokens
        if prompt.startswith((p.VERIFY, p.JUDGE)):
            told = ({self.verdict: math.log(self.p), '{"ok":false,"fault":"wrong object"}': math.log(1 - self.p)},)
            return Completion(self.verdict, 5, self.tokens, 0.0, 0.0, -0.1, told if alternatives else ())
        text = self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]
        return Completion(text, 5, self.tokens, 0.0, 0.0, -0.1)

    def score(self, prompt, texts):
        return [self.likely.get(text, -40.0 if text.startswith('{"plan') else -1.0) for text in texts]


def ask(model, role=Role.PLANNER, level=1, plan=None):
    return carry_out(Request(1, role, level, "put a mug on the shelf", 1.0, plan=plan), model)


def test_level_1_is_one_answer():
    model = Scripted([p.plan_json(MUG)])
    assert ask(model).result == MUG
    assert model.completions == 1


def test_level_2_keeps_the_likeliest_whole_plan():
    model = Scripted([p.plan_json(CUP)], {CUP: -9.0, MUG: -1.0})
    request = Request(1, Role.PLANNER, 2, "put a mug on the shelf", 1.0, scene=("shelf", "desk"))
    outcome = carry_out(request, model)
    assert outcome.result == MUG  # the second reader has read it
    assert 0.9 < outcome.p_right <= 1.0
    assert model.completions == 1

    blind = deliberate.as_trained(replace(request, scene=()), model)
    assert blind.result == CUP  # nothing is known that level 1 does not know
    assert blind.p_right < 0.1


def test_level_2_offers_another_plan_than_the_one_that_failed():
    model = Scripted([p.plan_json(MUG)], {MUG: -0.1, CUP: -1.0, SOFA: -20.0})
    first = ask(model, level=2)
    again = ask(model, level=2, plan=MUG)
    assert first.result == MUG
    assert again.result != MUG
    assert 0.0 < again.p_right < 1.0


def test_level_2_chooses_no_plan_that_the_home_lacks():
    model = Scripted([p.plan_json(SOFA)], {SOFA: -0.1, MUG: -9.0})
    for scene, plan in (((), SOFA), (("shelf", "desk"), MUG), (("sofa", "desk"), SOFA)):
        request = Request(1, Role.PLANNER, 2, "put a mug on the shelf", 1.0, scene=scene)
        assert deliberate.as_trained(request, model).result == plan


def test_a_plan_that_the_home_lacks_is_hardly_ok():
    model = Scripted([p.plan_json(MUG)], {MUG: -0.1})
    request = Request(1, Role.VERIFIER, 2, "put a mug on the shelf", 1.0, scene=("sofa", "desk"), plan=MUG)
    verdict = deliberate.as_trained(request, model).result
    assert not verdict.ok and verdict.p_ok == deliberate.P_MISSING


def test_probabilities_of_plans_sum_to_one():
    model = Scripted([p.plan_json(CUP)], {CUP: -2.0, MUG: -1.0})
    request = Request(1, Role.PLANNER, 2, "put a mug on the shelf", 1.0)
    likely = deliberate.probabilities(request, model, deliberate.as_trained(replace(request, level=1), model))
    assert sum(likely.values()) == pytest.approx(1.0)
    assert likely[MUG] > likely[CUP] and len(likely) > 3


def test_what_the_rules_forbid_is_not_taken_from_the_second_reader():
    model = Scripted([p.plan_json(CUP)], {CUP: -9.0, MUG: -1.0})
    forbids = Request(1, Role.PLANNER, 2, "put a mug on the shelf", 1.0, rules=lambda plan: "no" * ("mug" in str(plan)))
    scene = ("shelf", "desk")
    assert deliberate.as_trained(replace(forbids, scene=scene), model).result == CUP
    assert deliberate.as_trained(replace(forbids, scene=scene, rules=lambda _: ""), model).result == MUG


def test_verifier_tells_its_probability():
    verdict = ask(Scripted([""], p_ok=0.7), Role.VERIFIER, plan=MUG).result
    assert verdict.ok and verdict.p_ok == pytest.approx(0.7)


def test_verifier_at_level_2_doubts_a_plan_whose_rival_is_likelier():
    likely = {CUP: -9.0, MUG: -1.0}
    wrong = ask(Scripted([p.plan_json(MUG)], likely), Role.VERIFIER, 2, plan=CUP).result
    right = ask(Scripted([p.plan_json(CUP)], likely), Role.VERIFIER, 2, plan=MUG).result
    assert wrong.p_ok < 0.5 < right.p_ok
    assert (wrong.ok, wrong.fault) == (False, Fault.OBJECT)
    assert (right.ok, right.fault) == (True, None)


def test_difference_names_the_fault():
    rows = [["PickupObject", "mug"], ["CleanObject", "mug"], ["PutObject", "mug", "shelf"]]
    longer = Plan.from_rows(rows)
    assert difference(longer, MUG) is Fault.EXTRA
    assert difference(MUG, longer) is Fault.MISSING
    assert difference(MUG, CUP) is Fault.OBJECT
    assert difference(MUG, Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "sofa"]])) is Fault.PLACE
    assert difference(longer, Plan.from_rows([rows[1], rows[0], rows[2]])) is Fault.ORDER


class Describing(Scripted):
    """Also says how likely a goal is as a description of a plan: nats per word."""

    def __init__(self, plans, described, **rest):
        super().__init__(plans, **rest)
        self.described = described

    def score(self, prompt, texts):
        if prompt.startswith(p.DESCRIBE):
            return [-self.described.get(prompt, 20.0) * len(text.split()) for text in texts]
        return super().score(prompt, texts)


def described(plan, nats):
    return {p.describe_prompt(plan): nats}


@pytest.mark.parametrize("level", [1, 2])
def test_it_abstains_where_the_goal_describes_no_plan(level):
    strange = Describing([p.plan_json(MUG)], described(MUG, 12.0))
    with pytest.raises(CallFailedError, match=r"I know seven kinds of task.*put two pillows") as refused:
        ask(strange, level=level)
    assert refused.value.status is CallStatus.REFUSED
    assert deliberate.as_trained(Request(1, Role.PLANNER, level, "do a backflip", 1.0), strange).result == MUG

    told = ask(Describing([p.plan_json(MUG)], described(MUG, 0.5)), level=level)
    assert told.result == MUG and 0.3 < told.p_right < 1.0


@pytest.mark.parametrize("level", [1, 2])
def test_a_verifier_does_not_call_nonsense_ok(level):
    for nats, ok in ((12.0, False), (0.5, True)):
        model = Describing([p.plan_json(CUP)], described(MUG, nats), likely={CUP: -9.0, MUG: -1.0})
        verdict = ask(model, Role.VERIFIER, level, MUG).result
        assert verdict.ok is ok and (verdict.p_ok > 0.5) is ok


def test_a_place_that_the_goal_names_is_chosen_where_it_explains_the_goal_better():
    sofa = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "sofa"]])
    better = described(sofa, 2.0) | described(MUG, 0.5)
    assert ask(Describing([p.plan_json(sofa)], better)).result == MUG
    assert ask(Describing([p.plan_json(sofa)], described(sofa, 0.5) | described(MUG, 0.5))).result == sofa


def test_level_2_chooses_no_place_that_the_home_lacks():
    sofa = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "sofa"]])
    model = Describing([p.plan_json(sofa)], described(sofa, 1.0) | described(MUG, 0.1))
    request = Request(1, Role.PLANNER, 2, "put a mug on the shelf", 1.0, scene=("mug", "sofa"))
    assert carry_out(request, model).result == sofa


def test_only_a_model_that_learned_to_describe_plans_abstains():
    assert deliberate.recipe_for(deliberate.TRAINED) is carry_out
    assert deliberate.recipe_for("random") is deliberate.as_trained
