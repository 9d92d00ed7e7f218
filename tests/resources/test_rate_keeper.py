"""A loop that keeps its rate: durations in, preset out. A simulated computer makes the durations."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.resources.rate_keeper import CALM_S, GAP_S, LOOPS, MAX_CALM_S, RateKeeper

COSTS = (1.0, 0.5, 0.3)


class Computer:
    """Runs a keeper's loops at 10 Hz; a loop of the best preset takes `slow` x 60 ms."""

    def __init__(self, keeper=None, base_s=0.06):
        self.keeper = keeper or RateKeeper(10.0, COSTS)
        self.base_s = base_s
        self.now = 100.0
        self.switched = []  # (when, to)
        self.late = 0

    def run(self, seconds, slow=1.0, costs=COSTS):
        end = self.now + seconds
        while self.now < end:
            loop_s = (slow() if callable(slow) else slow) * self.base_s * costs[self.keeper.preset]
            self.late += loop_s > self.keeper.period_s
            self.now += max(loop_s, self.keeper.period_s)
            if self.keeper.took(self.now, loop_s):
                self.switched.append((self.now, self.keeper.preset))
        return self.keeper.preset


def test_it_stays_with_the_best_preset_while_that_is_in_time():
    computer = Computer()
    assert computer.run(60.0) == 0 and computer.switched == []


@pytest.mark.parametrize(("slow", "preset"), [(1.5, 0), (2.0, 1), (3.0, 1), (4.0, 2), (50.0, 2)])
def test_a_late_loop_takes_the_best_preset_that_is_in_time(slow, preset):
    computer = Computer()
    assert computer.run((LOOPS + 0.5) * max(0.1, slow * 0.06), slow) == preset
    assert len(computer.switched) == (preset > 0), "at once to the right one"


def test_it_comes_back_a_step_at_a_time_once_the_computer_has_calmed_down():
    computer = Computer()
    computer.run(2.0, 6.0)
    freed = computer.now
    assert computer.run(20.0) == 0
    assert [to for _, to in computer.switched] == [2, 1, 0]
    assert [when - freed > CALM_S - 0.5 for when, to in computer.switched[1:]] == [True, True]


def test_one_slow_loop_switches_nothing():
    computer = Computer()
    for _ in range(20):
        computer.run(1.0)
        computer.run(0.1, 10.0)
    assert computer.switched == []


def test_what_is_late_by_a_little_and_early_by_a_little_does_not_flap():
    noise = random.Random(0)
    computer = Computer()
    computer.run(120.0, lambda: noise.uniform(1.5, 1.8))  # 90 to 108 ms: the limit lies in between
    assert len(computer.switched) <= 1, "what the hysteresis is for"


def test_attempts_that_fail_become_rare():
    """A short loop is seldom interrupted, a long one always: the durations of one promise too much of the other."""
    computer = Computer()
    computer.run(600.0, lambda: 3.0 if computer.keeper.preset == 0 else 1.0)
    ups = [when for when, to in computer.switched if to == 0]
    gaps = [later - sooner for sooner, later in itertools.pairwise(ups)]
    assert gaps == sorted(gaps) or gaps[-1] == pytest.approx(max(gaps), rel=0.2)
    assert len(ups) <= 4 + 600 / MAX_CALM_S and computer.late <= LOOPS * (len(ups) + 1)


def test_an_attempt_that_lasts_forgives_those_that_failed():
    computer = Computer()
    computer.run(100.0, lambda: 3.0 if computer.keeper.preset == 0 else 1.0)
    computer.run(120.0)
    assert computer.keeper.preset == 0
    computer.run(2.0, 3.0)
    freed = computer.now
    computer.run(2 * CALM_S)
    assert computer.keeper.preset == 0 and computer.switched[-1][0] - freed < CALM_S + 1.0


def test_a_pause_begins_anew():
    keeper = RateKeeper(10.0, COSTS)
    assert not keeper.took(0.0, 0.2) and not keeper.took(0.1, 0.2)
    assert not keeper.took(0.4 + GAP_S, 0.2), "two loops of before the pause count no more"
    assert math.isfinite(keeper.expected_s(0)) and keeper.preset == 0


def test_a_single_preset_never_switches():
    computer = Computer(RateKeeper(10.0, (1.0,)))
    assert computer.run(20.0, 9.0) == 0 and computer.keeper.switches == 0


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=400))
def test_whatever_the_durations_it_switches_seldom(durations):
    keeper = RateKeeper(10.0, COSTS)
    now, switches, ups = 0.0, 0, 0
    for loop_s in durations:
        now += max(loop_s, 0.1)
        before = keeper.preset
        switched = keeper.took(now, loop_s)
        assert switched == (keeper.preset != before) and 0 <= keeper.preset < len(COSTS)
        switches += switched
        ups += keeper.preset < before
    assert keeper.switches == switches and ups <= now / CALM_S and switches <= 2 * ups + len(COSTS) - 1


@pytest.mark.parametrize(
    ("target_hz", "costs"),
    [(0.0, COSTS), (math.nan, COSTS), (10.0, ()), (10.0, (0.5, 1.0)), (10.0, (1.0, 1.0)), (10.0, (1.0, 0.0))],
)
def test_what_makes_no_sense_is_refused(target_hz, costs):
    with pytest.raises(ValueError, match="must"):
        RateKeeper(target_hz, costs)
