"""From chunks to one command per tick: what a base does, when it stands, and which answers count."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from rarrl.policy.actor import STAND, Actor, BaseMotion
from rarrl.policy.base import ActionChunk, Observation
from rarrl.policy.recovery import BACK_MPS, STUCK_S

DT = 0.1
MAX_AGE_S = 0.4


def actor(actions=("linear_x_m_s", "angular_z_rad_s", "interact"), proprio=("speed_m_s", "busy"), blend_rows=0):
    spec = SimpleNamespace(action_names=actions, proprio_names=proprio, horizon=8)
    made = Actor(spec, DT, MAX_AGE_S, blend_rows)
    made.follow("go left")
    return made


def chunk(row, observed_at, dt=DT):
    return ActionChunk(np.tile(np.float32(row), (8, 1)), dt, observed_at)


def observation(observed_at):
    return Observation(np.zeros((1, 2, 2, 3), np.uint8), np.zeros(2, np.float32), "go left", observed_at)


def test_rows_come_in_time_and_say_what_they_rest_on():
    made = actor()
    rows = np.stack([np.arange(8) / 10, np.zeros(8), np.zeros(8)], axis=1).astype(np.float32)
    assert made.take(ActionChunk(rows, DT, 10.0), "go left", 10.15)
    acts = [made.tick(10.2 + DT * k) for k in range(3)]
    assert [act.motion.linear_x for act in acts] == pytest.approx([0.2, 0.3, 0.4])
    assert {act.observed_at for act in acts} == {10.0} and acts[0].row.index == 2


def test_it_holds_when_nothing_fresh_is_left():
    made = actor()
    assert made.tick(10.0).row is None
    made.take(chunk((0.3, 0.1, 1.0), 10.0), "go left", 10.0)
    assert made.tick(10.0).interact
    late = made.tick(10.0 + MAX_AGE_S + 0.05)
    assert late.row is None and late.motion == STAND and not late.interact
    assert late.observed_at == 10.0 + MAX_AGE_S + 0.05


@pytest.mark.parametrize(("row", "busy"), [((0.3, 0.1, 0.9), False), ((0.3, 0.1, 0.0), True)])
def test_the_base_stands_while_the_hand_is_to_act_or_acts(row, busy):
    made = actor()
    made.take(chunk(row, 10.0), "go left", 10.0)
    act = made.tick(10.0, busy=busy)
    assert act.motion == STAND and act.interact == (row[2] > 0.5)


def test_an_action_to_the_left_is_passed_on():
    made = actor(("linear_y_m_s", "linear_x_m_s"))
    made.take(chunk((0.2, 0.3), 10.0), "go left", 10.0)
    assert made.drives and made.tick(10.0).motion == BaseMotion(float(np.float32(0.3)), float(np.float32(0.2)), 0.0)


@pytest.mark.parametrize(
    ("names", "drives"),
    [(("angular_z_rad_s",), True), (("interact",), False), (("shoulder", "elbow"), False)],
)
def test_which_policies_drive_a_base(names, drives):
    assert actor(names).drives == drives


def test_an_arm_gets_its_rows_and_no_motion():
    made = actor(("shoulder", "elbow"))
    made.take(chunk((0.5, -0.5), 10.0), "go left", 10.0)
    act = made.tick(10.0)
    assert act.motion == STAND and act.row.action.tolist() == [0.5, -0.5]


@pytest.mark.parametrize("measured", [True, False])
def test_a_base_that_does_not_get_on_backs_off_where_its_speed_is_measured(measured):
    made = actor(proprio=("speed_m_s",) if measured else ())
    speeds = []
    for k in range(round((STUCK_S + 0.5) / DT)):
        made.take(chunk((0.3, 0.0, 0.0), 10.0 + DT * k), "go left", 10.0 + DT * k)
        speeds.append(made.tick(10.0 + DT * k, speed_mps=0.0).motion.linear_x)
    assert speeds[0] == pytest.approx(0.3) and (speeds[-1] == BACK_MPS) == measured
    assert made.recovery.count == measured


def test_another_subgoal_asks_at_once_and_keeps_the_rows_until_its_own_come():
    made = actor()
    made.take(chunk((0.3, 0.0, 0.0), 10.0), "go left", 10.0)
    made.asked()
    assert made.tick(10.0).row and not made.wants_chunk(10.0)
    made.follow("go right")
    assert made.wants_chunk(10.0) and made.tick(10.1).row
    assert not made.take(chunk((0.1, 0.0, 0.0), 10.1), "go left", 10.1) and made.refused_answers == 1
    assert made.take(chunk((0.2, 0.0, 0.0), 10.1), "go right", 10.1)
    assert made.tick(10.2).motion.linear_x == pytest.approx(0.2)


def test_without_a_subgoal_it_holds_at_once_and_asks_nothing():
    made = actor()
    made.take(chunk((0.3, 0.0, 0.0), 10.0), "go left", 10.0)
    made.follow("")
    assert made.tick(10.0).row is None and not made.wants_chunk(10.0)
    made.follow("go left")
    assert made.wants_chunk(10.0) and made.tick(10.1).row is None  # what was forgotten stays forgotten


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (chunk((math.nan, 0.0, 0.0), 10.0), "not_finite"),
        (chunk((0.3, 0.0, 0.0), 11.0), "future"),
        (chunk((0.3, 0.0, 0.0), 9.0), "stale"),
        (ActionChunk(np.zeros((3, 3), np.float32), DT, 10.0), "shape"),
    ],
)
def test_answers_that_are_no_good_are_refused_and_counted(answer, reason):
    made = actor()
    assert not made.take(answer, "go left", 10.1)
    assert made.broker.refused[reason] == 1 and made.tick(10.1).row is None


def test_rows_count_as_long_as_a_tick_whatever_the_policy_was_trained_with():
    made = actor()
    assert made.take(chunk((0.3, 0.0, 0.0), 10.0, dt=1 / 80), "go left", 10.0)


def test_only_fresh_observations_are_worth_asking_about():
    made = actor()
    assert made.is_fresh(observation(10.0), 10.0 + MAX_AGE_S / 2)
    assert not made.is_fresh(observation(10.0), 10.0 + MAX_AGE_S + 0.01)


@pytest.mark.parametrize("value", [0.0, -0.1, math.nan])
def test_times_that_are_not_above_zero_are_refused(value):
    spec = SimpleNamespace(action_names=("linear_x_m_s",), proprio_names=(), horizon=8)
    with pytest.raises(ValueError, match=r"Actor: dt must be above 0 s, got "):
        Actor(spec, value, MAX_AGE_S)
    with pytest.raises(ValueError, match=r"Actor: max_age_s must be above 0 s, got "):
        Actor(spec, DT, value)
