"""The home in real time, without ROS: driven by hand, five times as fast."""

import math
import threading
import time
from importlib.util import find_spec

import numpy as np
import pytest
from sim_follower import act

if find_spec("mujoco") is None:
    pytest.skip("mujoco is missing: pip install 'rarrl[sim]'", allow_module_level=True)
pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")

from rarrl.clock import SteadyClock
from rarrl.types import ActStatus
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.expert import target_pose
from rarrl_sim_envs.household.robot import realtime
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.robot.proprioception import PROPRIO_NAMES
from rarrl_sim_envs.household.robot.realtime import DEADMAN_S, EndedError, RealtimeExecutive, SimWorld

SPEED = 5.0


class Scene:
    """Draws nothing."""

    def __init__(self, world, width, height, seed):
        self.closed = False

    def pair(self, world):
        return "pair"

    def close(self):
        self.closed = True


class Home:
    """A world with what it told; `follow` drives it."""

    def __init__(self, seed=1):
        self.moments, self.seen, self.follow = [], [], False
        env = HouseholdEnv(stereo=False, people=0, disturbance=0.0)
        env.reset(seed=seed)
        self.world = SimWorld(env, self._feel, lambda *_: self.seen.append(1), SteadyClock(SPEED))
        self.world.begin(env)
        self.world.start()

    def _feel(self, moment):
        self.moments.append(moment)
        if self.follow:
            v, omega, wish = act(moment.subgoal, dict(zip(PROPRIO_NAMES, moment.proprio, strict=True)))
            self.world.command(v, omega)
            self.world.interact(wish)

    def until(self, condition, seconds=10.0):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            time.sleep(0.005)
        return condition()

    @property
    def v(self):
        return self.moments[-1].speed[0]


@pytest.fixture
def home(monkeypatch):
    monkeypatch.setattr(realtime, "HouseholdScene", Scene)
    made = Home()
    yield made
    made.world.stop()


def hold(home, v, omega, seconds):
    """Commands it for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        home.world.command(v, omega)
        time.sleep(0.01)


def test_nothing_moves_before_the_mission_begins(home):
    assert home.world.wait_shown() is None
    hold(home, 0.3, 0.5, 0.3)
    assert home.world.env.world.steps == 0 and home.moments and home.seen
    assert home.world.ticks == 0  # such steps are none that could be missed


def test_the_base_does_what_it_is_told_and_stands_when_told_nothing(home):
    home.world.going = True
    hold(home, 0.0, 0.8, 0.3)
    assert home.moments[-1].speed[1] == pytest.approx(0.8)
    silent = time.monotonic()
    assert home.until(lambda: home.moments[-1].speed[1] == 0.0)
    assert (time.monotonic() - silent) * SPEED < DEADMAN_S + 1.0  # a busy machine is late
    assert home.world.deadman == 1


@pytest.mark.parametrize("bad", [(math.nan, 0.0), (0.0, math.inf)])
def test_commands_that_are_no_numbers_are_zero(home, bad):
    home.world.going = True
    hold(home, *bad, 0.3)
    assert home.world.error is None and home.moments[-1].speed == (0.0, 0.0)


def test_an_attempt_lasts_until_it_is_over(home):
    home.world.going = home.follow = True
    env = home.world.env
    row = env.executor.row
    event = home.world.attempt(env)
    assert (event.row, event.status) == (row, ActStatus.SUCCESS)
    assert home.until(lambda: home.moments[-1].subgoal == "")  # between attempts it is to hold
    taken = home.world.attempt(env)
    assert taken.row[0] == "PickupObject" and taken.status is ActStatus.SUCCESS and env.world.held >= 0
    told = {m.subgoal for m in home.moments}
    assert {" ".join(row), " ".join(taken.row), ""} <= told


def test_a_success_between_attempts_is_told_by_the_next(home):
    env = home.world.env
    executive = RealtimeExecutive(env, home.world, known_goals(), 20.0, 4000.0, first_seed=1)
    with home.world.monitor:
        executive.begin(0)
        row = env.executor.row
        env.world.teleport(*target_pose(env.world, row))
        home.world.going = True
    assert home.until(lambda: env.executor.index == 1)
    with home.world.monitor:
        attempt = executive.act()
    assert (attempt.status, attempt.seconds, attempt.subgoal_done) == (ActStatus.SUCCESS, 0.0, True)
    assert executive.event.row == row and executive.summary.subgoal_index == 1 and executive.summary.step == 1
    assert home.world.between() == []


def test_the_hand_acts_when_the_base_stands(home):
    home.world.going = True
    env = home.world.env
    thread = threading.Thread(target=lambda: home.world.attempt(env))
    thread.start()
    assert home.until(lambda: home.moments[-1].subgoal)
    home.world.interact(True)
    hold(home, 0.4, 0.0, 0.1)
    end = time.monotonic() + 5.0  # a busy machine
    while time.monotonic() < end and env.world.outcome is None:
        home.world.interact(True)
        home.world.command(0.4, 0.0)
        time.sleep(0.005)
    assert home.v == 0.0  # who wants to act stands, whatever is commanded besides
    home.world.stop()
    thread.join(5.0)


def test_who_waits_is_told_when_it_ends(home):
    ended = []

    def attempt():
        try:
            home.world.attempt(home.world.env)
        except EndedError:
            ended.append(True)

    thread = threading.Thread(target=attempt)
    thread.start()
    assert home.until(lambda: home.moments and home.moments[-1].subgoal)
    home.world.stop()
    thread.join(5.0)
    assert ended


def test_a_world_that_fails_is_told(monkeypatch):
    monkeypatch.setattr(realtime, "HouseholdScene", Scene)
    monkeypatch.setattr(Scene, "pair", lambda self, world: 1 / 0)
    home = Home()
    assert home.until(lambda: home.world.error is not None)
    with pytest.raises(EndedError):
        home.world.attempt(home.world.env)
    home.world.stop()


def test_time_passes_by_itself_while_the_robot_thinks(home):
    executive = RealtimeExecutive(home.world.env, home.world, known_goals(), 20.0, 4000.0, first_seed=1)
    with home.world.monitor:
        executive.begin(0)
        steps = home.world.env.world.steps
        executive._pass(5.0)
        assert home.world.env.world.steps == steps
    home.world.going = True
    home.follow = True
    with home.world.monitor:
        attempt = executive.act()
    assert attempt.subgoal_done and attempt.seconds > 1.0


def test_steps_for_which_there_was_no_time_are_counted(monkeypatch):
    monkeypatch.setattr(realtime, "HouseholdScene", Scene)
    slow = [0.15]
    monkeypatch.setattr(Scene, "pair", lambda self, world: time.sleep(slow[0]))
    home = Home()
    home.world.going = True
    assert home.until(lambda: home.world.ticks > 30)
    home.world.stop()
    assert home.world.miss_rate > 0.4 and home.world.env.world.steps < home.world.ticks
    assert np.isfinite(home.world.latencies.quantile_ms(0.95))


def test_the_silence_of_who_decides_stops_the_base(home):
    home.world.going = True
    driven = False
    for _ in range(60):
        home.world.hear()
        home.world.command(0.3, 0.0)
        driven |= home.world.env.world.v > 0.0
        time.sleep(0.01)
    assert driven
    end = time.monotonic() + 3.0
    while time.monotonic() < end and home.world.env.world.v > 0.0:
        home.world.command(0.3, 0.0)  # the others go on
        time.sleep(0.01)
    assert home.world.env.world.v == 0.0
