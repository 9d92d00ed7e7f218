import math

import pytest

from rarrl.executive.certainty import (
    FEATURES,
    SIGNS,
    Certainty,
    DoneSignals,
    Effects,
    Trust,
    certainty,
    features,
    read_signals,
)
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.plan import Step
from rarrl.skills.skill_set import Skill

WEIGHTS = {"holds:full": 2.0, "holds:empty": -4.0, "slow": -0.5, "distance:known": 1.0, "distance:m": -4.0}
RUN = {"python": "arm.driver:pick"}
PICK = Skill(does="takes a thing", parameters={"thing": "thing"}, run=RUN, gives=("holding {thing}",))
PLACE = Skill(
    does="puts it down", parameters={"thing": "thing", "to": "place"}, run=RUN, gives=("{thing} at {to}", "hand_empty")
)
GO = Skill(does="drives", parameters={"to": "place"}, run=RUN, gives=("at {to}",))
OPEN = Skill(does="opens", parameters={"what": "place"}, run=RUN, gives=("open {what}",))
STEP = Step("pick", ("soda",))


def success(seconds=2.0, **fields):
    return SkillResult(Outcome.SUCCESS, seconds=seconds, fields=fields)


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.SUCCESS])
def test_what_is_no_success_is_not_done(outcome):
    assert Certainty(WEIGHTS).judge(PICK, STEP, SkillResult(outcome, fields={"holding": True}), 2.0) == 0.0


def test_without_signals_the_trust_in_the_skill_decides():
    judge = Certainty(WEIGHTS)
    start = judge.judge(PICK, STEP, success(), 2.0)
    assert 0.8 < start < 0.9

    judge.confirm("pick", False)
    after = judge.judge(PICK, STEP, success(), 2.0)
    assert after < start
    assert judge.judge(OPEN, Step("open", ("fridge",)), success(), 2.0) == pytest.approx(start)


def test_signals_agree_or_contradict():
    judge = Certainty(WEIGHTS)
    plain = judge.judge(PICK, STEP, success(), 2.0)
    assert judge.judge(PICK, STEP, success(holding=True), 2.0) > plain
    assert judge.judge(PICK, STEP, success(holding=False), 2.0) < 0.4
    assert judge.judge(PICK, STEP, success(seconds=16.0), 2.0) < plain
    assert judge.judge(PICK, STEP, success(unknown=3), 2.0) == pytest.approx(plain)


def test_what_a_signal_means_depends_on_what_the_skill_should_change():
    full = DoneSignals(holding=True, changed=True, seen=True)
    assert features(Effects.of(PICK), full) == {"holds:full": 1.0, "changed:yes": 1.0, "takes:seen": 1.0}
    assert features(Effects.of(PLACE), full) == {"releases:full": 1.0, "changed:yes": 1.0, "leaves:seen": 1.0}
    assert features(Effects.of(OPEN), full) == {"changed:yes": 1.0}
    assert features(Effects.of(GO), full) == {}


def test_all_features_have_a_name_and_a_sign():
    assert set(SIGNS) == set(FEATURES)


@pytest.mark.parametrize(
    ("after", "before", "in_hand"),
    [(0.03, 0.08, True), (0.001, 0.08, False), (0.08, 0.08, None), (0.03, None, True), (None, 0.08, None)],
)
def test_a_gripper_that_tells_its_opening(after, before, in_hand):
    assert DoneSignals(opening_m=after, opening_before_m=before).in_hand is in_hand


def test_fields_of_signals():
    skill = PICK.model_copy(update={"signals": {"holding": "not reached_goal", "opening_m": "result.position"}})
    signals = read_signals(skill, success(reached_goal=False, result={"position": 0.02}), 2.0)
    assert (signals.holding, signals.opening_m) == (True, 0.02)

    of_nav2 = read_signals(GO, success(distance_remaining=0.3, number_of_recoveries=2), 10.0)
    assert (of_nav2.distance_left_m, of_nav2.recoveries, of_nav2.expected_s) == (0.3, 2.0, 10.0)
    odd = read_signals(GO, success(seconds=math.nan, distance_remaining=math.nan, holding="yes"), 0.0)
    assert odd == DoneSignals()


def test_signals_of_a_skill_are_checked():
    with pytest.raises(ValueError, match="did you mean 'holding'"):
        Skill(does="takes", run=RUN, signals={"holdng": "stalled"})
    with pytest.raises(ValueError, match="is no field"):
        Skill(does="takes", run=RUN, signals={"holding": "a b"})


def test_trust_finds_how_often_a_skill_lies():
    trust = Trust()
    for number in range(200):
        trust = trust.after(0.0, really_done=number % 5 != 0)
    assert 1 / (1 + math.exp(-trust.log_odds)) == pytest.approx(0.8, abs=0.03)
    assert (trust.confirmed, trust.lies) == (160, 40)


def test_a_lie_that_the_signals_had_shown_says_little_of_the_skill():
    assert Trust().after(-6.0, False).log_odds > Trust().after(0.0, False).log_odds
    assert Trust().after(0.0, False).log_odds > Trust().after(6.0, False).log_odds


def test_the_less_is_known_of_a_skill_the_nearer_to_a_half():
    known, unknown = Trust(3.0, 0.1), Trust(3.0, 1.0)
    assert certainty(Effects(), DoneSignals(), known, WEIGHTS) > certainty(Effects(), DoneSignals(), unknown, WEIGHTS)


def test_what_was_learned_is_kept():
    judge = Certainty(WEIGHTS)
    judge.judge(PICK, STEP, success(), 2.0)
    judge.confirm("pick", False)
    other = Certainty.from_json(judge.to_json(), WEIGHTS)
    assert other.trust("pick") == judge.trust("pick")
    assert other.judge(PICK, STEP, success(), 2.0) == judge.judge(PICK, STEP, success(), 2.0)


@pytest.mark.parametrize("bad", [{"pick": {}}, {"pick": {"log_odds": "x"}}, [1], {"pick": 3}])
def test_damaged_statistics_are_refused(bad):
    with pytest.raises((ValueError, KeyError, TypeError)):
        Certainty.from_json(bad, WEIGHTS)
