"""ALFWorld's games under any policy, and the trees of their decisions: in homes of our own, with answers of our own."""

import numpy as np
import pytest
from alfworld_fixtures import SENTENCES, a_game

from rarrl.orchestrator.rules import make_rule
from rarrl.reasoner.base import Answer, Request
from rarrl.skills.plan import Plan
from rarrl.types import Action, CallStatus, Role
from rarrl_learning.alfworld.trials import AtHome, Home, alfred_plan
from rarrl_learning.grove import Grove
from rarrl_learning.trees import LEAF, grow
from rarrl_learning.trials import CallCosts, Terms, Trial
from rarrl_sim_envs.alfworld.plans import alfred_plan_of, right_plan
from rarrl_sim_envs.alfworld.twin import Twin

GAME = a_game("pick_heat_then_place_in_recep", "Mug", "Desk")
RIGHT = (("PickupObject", "mug"), ("HeatObject", "mug"), ("PutObject", "mug", "desk"))
WRONG = (("PickupObject", "pan"), ("PutObject", "pan", "desk"))
UNCLEAR = "warm up something to drink from at my work place"
COSTS = CallCosts.of(
    {action: [float(action)] for action in list(Action)[1:]}, {action: [100.0] for action in list(Action)[1:]}
)
PLANNERS = (Action.PLANNER_1, Action.PLANNER_2)


class Planner:
    """Answers at level 1 with one plan, at level 2 with another; keeps what it was asked."""

    name = "planner"

    def __init__(self, first=RIGHT, second=WRONG):
        self._plans = {1: first, 2: second}
        self.asked: list[Request] = []

    def ask(self, request):
        self.asked.append(request)
        plan = Plan.from_rows(self._plans[request.level])
        return Answer(request.decision, request.role, request.level, CallStatus.OK, float(request.level), self.name,
                      tokens_in=50, tokens_out=10, plan=plan)  # fmt: skip

    def close(self):
        pass


@pytest.fixture
def home():
    return Home(GAME, Twin)


def terms(planner=None, **changes):
    return Terms(AtHome(planner or Planner()), COSTS, **changes)


@pytest.mark.parametrize("task_type", list(SENTENCES))
def test_a_plan_goes_to_alfreds_words_and_back(task_type):
    thing, place = ("Book", "DeskLamp") if task_type == "look_at_obj_in_light" else ("Mug", "Desk")
    game = a_game(task_type, thing, place)
    assert alfred_plan(right_plan(game, Home(game, Twin).domain)) == alfred_plan_of(game)


def test_the_model_is_asked_in_alfreds_words_about_the_furniture_alone(home):
    planner = Planner()
    domain = home.domain
    request = Request(1, Role.PLANNER, 2, UNCLEAR, 9.0, plan=right_plan(GAME, domain), failed=0, domain=domain)
    answer = AtHome(planner).ask(request)
    (asked,) = planner.asked
    assert asked.domain is None and asked.plan == alfred_plan_of(GAME)
    assert {"desk", "fridge", "microwave"} <= set(asked.scene) and "mug" not in asked.scene
    assert [step.arguments[-1] for step in answer.plan.steps] == ["desk_1"]


def test_a_plan_that_the_home_has_nothing_for_is_refused(home):
    planner = Planner(first=(("PickupObject", "mug"), ("PutObject", "mug", "sofa")))
    answer = AtHome(planner).ask(Request(1, Role.PLANNER, 1, UNCLEAR, 9.0, domain=home.domain))
    assert (answer.status, answer.plan) == (CallStatus.REFUSED, None)
    assert "sofa" in answer.why


def test_asking_helps_where_the_sentence_is_unclear_and_costs_where_it_is_not(home):
    clear, unclear = Trial(home.task(GAME.goal)), Trial(home.task(UNCLEAR))
    never, start = make_rule("never"), make_rule("start", recipe="P1")
    assert (clear.play(never, terms()).success, unclear.play(never, terms()).success) == (True, False)
    played = unclear.play(start, terms())
    assert (played.success, played.calls, played.llm_s, played.tokens) == (True, 1, 1.0, 60.0)


def test_a_tree_holds_what_playing_finds(home):
    trial = Trial(home.task(UNCLEAR))
    tree = grow(trial, terms(), PLANNERS)
    grove = Grove([tree], COSTS)
    for rule in (make_rule("never"), make_rule("start", recipe="P1"), make_rule("start", recipe="P2"),
                 make_rule("after_failure", failures=1, recipe="P1")):  # fmt: skip
        alone = Trial(home.task(UNCLEAR)).play(rule, terms())  # of several tasks of a home none disturbs another
        found = grove.play(rule, 3600.0)
        assert (bool(found.success[0]), found.llm_s[0], found.skills[0]) == (alone.success, alone.llm_s, alone.skills)
    end = tree.oracle
    assert tree.success[end] and tree.llm_s[end] == 1.0
    assert (tree.children[tree.ended] == LEAF).all() and (tree.children[~tree.ended, 0] != LEAF).all()


def test_a_grove_plays_within_a_budget(home):
    grove = Grove([grow(Trial(home.task(said)), terms(), PLANNERS) for said in (UNCLEAR, GAME.goal)], COSTS)
    start = make_rule("start", recipe="P1")
    assert grove.play(start, 3600.0).llm_s.tolist() == [1.0, 1.0]
    assert grove.play(start, 0.5).llm_s.tolist() == [0.0, 0.0]
    assert grove.oracle(3600.0).llm_s.tolist() == [1.0, 0.0]
    assert grove.oracle(0.5).success.tolist() == [0.0, 1.0]
    assert [grove.of[level].tolist() for level in grove.levels][-1] == [0, 1]
    assert np.isin(grove.later_of, np.flatnonzero(~grove.ended)).all()
