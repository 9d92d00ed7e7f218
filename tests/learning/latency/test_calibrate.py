"""What calls take, by a few calls; and a profile with these costs."""

import pytest

from rarrl.errors import RarrlError
from rarrl.latency.profile import load_profile, save_profile
from rarrl.latency.replay import ReplayTable
from rarrl.reasoner.base import Answer
from rarrl.reasoner.breaker import GuardedReasoner
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.types import THINK_ACTIONS, Action, CallStatus, Role
from rarrl_learning.latency.calibrate import calibrate, calibrated

PLAN = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "shelf"]])
SECONDS = {Action.PLANNER_1: 4.0, Action.PLANNER_2: 8.0, Action.VERIFIER_1: 1.0, Action.VERIFIER_2: 2.0}


class Slow:
    """Takes SECONDS by its own account, or ends as `fails` says."""

    name = "openai:http://10.0.0.5/v1#big"

    def __init__(self, fails=None, why="no server"):
        self.asked = []
        self.why = why
        self.fails = fails

    def ask(self, request):
        self.asked.append(request)
        action = next(a for a in THINK_ACTIONS if (a.role, a.level) == (request.role, request.level))
        common = (request.decision, request.role, request.level)
        if self.fails is not None:
            return Answer(*common, self.fails, request.deadline_s, self.name, why=self.why)
        result = {"verdict": Verdict(True)} if request.role is Role.VERIFIER else {"plan": PLAN}
        return Answer(*common, CallStatus.OK, SECONDS[action], self.name, 500, 100, **result)

    def close(self):
        pass


def test_each_kind_of_call_is_made_for_each_goal():
    model = Slow()
    measured = calibrate(GuardedReasoner(model), deadline_s=60.0, rounds=3)
    assert (measured.seconds, measured.made, len(model.asked)) == (SECONDS, 12, 13)
    assert measured.ends == {CallStatus.OK: 12}
    assert measured.line().startswith("12 calls of openai:URL#big: THINK(planner, 1) 4 s, ")


def test_the_calibrated_profile_has_the_measured_costs_and_the_recorded_answers(tmp_path):
    household = load_profile("household")
    profile = calibrated(household, calibrate(GuardedReasoner(Slow()), 60.0, rounds=1))
    save_profile(profile, tmp_path / "costs.json")
    read = load_profile(tmp_path / "costs.json")
    costs = ReplayTable.from_profile(read).costs
    assert costs.mean_s == pytest.approx([SECONDS[action] for action in THINK_ACTIONS], rel=0.02)
    assert costs.mean_tokens == pytest.approx(600.0, rel=0.02)
    assert (read.tasks, read.plans, read.world) == (household.tasks, household.plans, household.world)
    assert (read.header.model, "10.0.0.5" in str(read)) == ("openai:URL#big", False)
    assert "plans and verdicts are those of llama:planner.gguf" in read.header.assumptions


@pytest.mark.parametrize(
    "fails, words",
    [
        (CallStatus.BACKEND_DOWN, r"cannot be asked: no server"),
        (CallStatus.TIMEOUT, r"none of 4 calls was answered within 7 s.*call_timeout_s"),
    ],
)
def test_a_model_that_never_answers_is_told_at_once(fails, words):
    with pytest.raises(RarrlError, match=words):
        calibrate(GuardedReasoner(Slow(fails)), deadline_s=7.0, rounds=1)


def test_a_server_that_loads_its_model_longer_than_the_deadline_is_given_more_time():
    model = Slow(CallStatus.BACKEND_DOWN, why="HTTP 503: the server is loading its model; wait")
    with pytest.raises(RarrlError, match=r"; allow more \(--llm-option call_timeout_s=SECONDS\) than 7 s"):
        calibrate(GuardedReasoner(model), deadline_s=7.0, rounds=1)


def test_a_weak_model_is_measured_all_the_same():
    measured = calibrate(GuardedReasoner(Slow(CallStatus.INVALID)), deadline_s=3.0)
    assert (measured.ends, measured.seconds[Action.PLANNER_1]) == ({CallStatus.INVALID: 8}, 3.0)
    assert ReplayTable.from_profile(calibrated(load_profile("household"), measured)).costs.mean_tokens.min() > 0
